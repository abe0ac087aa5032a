package erofs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

// dirBlocks splits the sorted names of a directory into those of each block.
func dirBlocks(names []string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for len(names) > 0 {
			n, used := 0, 0
			for n < len(names) && used+direntSize+len(names[n]) <= BlockSize {
				used += direntSize + len(names[n])
				n++
			}
			if !yield(names[:n]) {
				return
			}
			names = names[n:]
		}
	}
}

// dirSize returns the size of a directory with these names: full blocks, but
// for the last.
func dirSize(names []string) (size int64) {
	for block := range dirBlocks(names) {
		size = roundUp(size, BlockSize)
		for _, name := range block {
			size += direntSize + int64(len(name))
		}
	}
	return size
}

// encodeDir returns the content of a directory. entry gives the number and the
// type of what a name stands for.
func encodeDir(names []string, entry func(name string) (nid uint64, mode uint32)) []byte {
	var dir []byte
	for block := range dirBlocks(names) {
		dir = append(dir, make([]byte, -len(dir)&(BlockSize-1))...)
		offset := len(block) * direntSize
		for _, name := range block {
			nid, mode := entry(name)
			dir = append(dir, encode(dirent{NID: nid, NameOffset: uint16(offset), Type: direntType(mode)})...)
			offset += len(name)
		}
		for _, name := range block {
			dir = append(dir, name...)
		}
	}
	return dir
}

// entry is a directory's entry as read.
type entry struct {
	name string
	nid  uint64
	kind uint8
}

var errDirBlock = errors.New("directory block is malformed")

// decodeDirBlock reads one block of a directory, the last one shorter than
// BlockSize. Names are valid and in order when it returns no error.
func decodeDirBlock(block []byte) ([]entry, error) {
	dirents, err := decodeDirents(block)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(dirents))
	for i, d := range dirents {
		end := len(block)
		if i+1 < len(dirents) {
			end = int(dirents[i+1].NameOffset)
		}
		if int(d.NameOffset) > end || end > len(block) {
			return nil, errDirBlock
		}
		name := block[d.NameOffset:end]
		if i+1 == len(dirents) {
			name, _, _ = bytes.Cut(name, []byte{0})
		}
		if len(name) == 0 || len(name) > maxName || bytes.ContainsAny(name, "/\x00") {
			return nil, fmt.Errorf("directory entry %q is not a file name", name)
		}
		entries[i] = entry{string(name), d.NID, d.Type}
		if i > 0 && entries[i-1].name >= entries[i].name {
			return nil, fmt.Errorf("directory entry %q is out of order", name)
		}
	}
	return entries, nil
}

// decodeDirents reads the entries at the start of a block of a directory.
func decodeDirents(block []byte) ([]dirent, error) {
	var first dirent
	if _, err := binary.Decode(block, binary.LittleEndian, &first); err != nil {
		return nil, errDirBlock
	}
	size := int(first.NameOffset)
	if size == 0 || size%direntSize != 0 || size > len(block) {
		return nil, errDirBlock
	}
	dirents := make([]dirent, size/direntSize)
	_, err := binary.Decode(block[:size], binary.LittleEndian, dirents)
	return dirents, err
}
