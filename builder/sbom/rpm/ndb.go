package rpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// RPM's ndb (lib/backend/ndb/rpmpkg.c): little-endian numbers, a header of 32 bytes,
// slots of 16 up to the end of the slots' pages, and blobs, which slots lead to.
type ndbHeader struct {
	Magic      [4]byte // 0: "RpmP"
	Version    uint32  // 4: 0
	Generation uint32  // 8
	SlotPages  uint32  // 12: of 4096 bytes
	NextIndex  uint32  // 16
	_          [12]byte
}

type ndbSlot struct {
	Magic  [4]byte // 0: "Slot"
	Index  uint32  // 4: of the package
	Offset uint32  // 8: of the blob, in blocks; 0: the slot is free
	Blocks uint32  // 12: of the blob
}

type ndbBlob struct {
	Magic      [4]byte // 0: "BlbS"
	Index      uint32  // 4: of the package
	Generation uint32  // 8
	Length     uint32  // 12: bytes of the header, which follow
}

const (
	ndbPage  = 4096
	ndbBlock = 16
)

// eachNDB calls do for every header in an ndb.
func eachNDB(data []byte, do func([]byte) error) error {
	var h ndbHeader
	if err := decode(data, 0, &h); err != nil {
		return err
	}
	if string(h.Magic[:]) != "RpmP" || h.Version != 0 {
		return errors.New("is no package database of RPM's")
	}
	end := int64(h.SlotPages) * ndbPage
	if end > int64(len(data)) {
		return fmt.Errorf("%d bytes of slots in %d", end, len(data))
	}
	seen := map[uint32]bool{}
	for at := int64(binary.Size(h)); at+ndbBlock <= end; at += ndbBlock {
		var slot ndbSlot
		if err := decode(data, at, &slot); err != nil {
			return err
		}
		if string(slot.Magic[:]) != "Slot" {
			return fmt.Errorf("byte %d: no slot", at)
		}
		if slot.Index == 0 || slot.Offset == 0 {
			continue
		}
		if seen[slot.Index] {
			return fmt.Errorf("byte %d: package %d a second time", at, slot.Index)
		}
		seen[slot.Index] = true
		if err := ndbHeaderOf(data, slot, do); err != nil {
			return err
		}
	}
	return nil
}

// ndbHeaderOf calls do for the header that a slot leads to.
func ndbHeaderOf(data []byte, slot ndbSlot, do func([]byte) error) error {
	at := int64(slot.Offset) * ndbBlock
	var blob ndbBlob
	if err := decode(data, at, &blob); err != nil {
		return err
	}
	if string(blob.Magic[:]) != "BlbS" || blob.Index != slot.Index {
		return fmt.Errorf("byte %d: not the blob of package %d", at, slot.Index)
	}
	start := at + int64(binary.Size(blob))
	if end := start + int64(blob.Length); end <= int64(len(data)) {
		return do(data[start:end])
	}
	return fmt.Errorf("byte %d: a blob of %d bytes, behind the end", at, blob.Length)
}

// decode reads little-endian fields at an offset.
func decode(data []byte, at int64, v any) error {
	if at < 0 || at+int64(binary.Size(v)) > int64(len(data)) {
		return fmt.Errorf("is cut off before byte %d", at)
	}
	return binary.Read(bytes.NewReader(data[at:]), binary.LittleEndian, v)
}
