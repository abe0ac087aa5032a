package fat

import (
	"bytes"
	"io"
	"io/fs"
	"testing"

	"github.com/ketch-os/ketch/disk/internal/fixed"
)

// patched is a volume with other bytes at some places. A fuzzer cannot carry
// 33 MiB around, so it gets the places that matter.
type patched struct {
	io.ReaderAt
	patches map[int64][]byte
}

func (p patched) ReadAt(b []byte, offset int64) (int, error) {
	n, err := p.ReaderAt.ReadAt(b, offset)
	for at, patch := range p.patches {
		for i, c := range patch {
			if to := at + int64(i) - offset; to >= 0 && to < int64(n) {
				b[to] = c
			}
		}
	}
	return n, err
}

// FuzzOpen opens volumes with an arbitrary boot sector, FSInfo, start of the FAT
// and first clusters, and reads all that is in them.
func FuzzOpen(f *testing.F) {
	o := Options{Size: 33 * mib, Label: "ESP", Time: testTime, Files: []File{
		{Path: "a long directory name/file.txt", Data: pattern(2000, 1)},
		{Path: "a long directory name/empty"},
		{Path: "SHORT", Data: pattern(600, 2)},
	}}
	volume := newVolume(f, o)
	g := openVolume(f, volume, o.Size)
	piece := func(offset, size int64) []byte {
		b := make([]byte, size)
		if err := fixed.ReadAt(volume, b, offset); err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(piece(0, 90), piece(512, 512), piece(g.fatOffset(0), 64), piece(g.dataOffset(), 3*512))
	f.Add(piece(0, 90), []byte(nil), []byte(nil), piece(g.dataOffset(), 1024))
	f.Fuzz(func(t *testing.T, boot, info, table, data []byte) {
		r := patched{volume, map[int64][]byte{0: boot, 512: info, g.fatOffset(0): table, g.fatOffset(1): table, g.dataOffset(): data}}
		opened, err := Open(r, o.Size)
		if err != nil {
			return
		}
		readAll(t, opened)
	})
}

// readAll reads whatever an opened volume has. Errors are fine, panics and
// endless work are not.
func readAll(t *testing.T, f *FS) {
	var total int64
	err := fs.WalkDir(f, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, err := f.Extents(path)
			return err
		}
		content, err := f.ReadFile(path)
		total += int64(len(content))
		return err
	})
	if err != nil {
		t.Errorf("what Open accepted cannot be read: %v", err)
	}
	if total > f.size() {
		t.Errorf("the files of a volume of %d bytes have %d bytes", f.size(), total)
	}
	_ = f.Check()
	_ = f.Describe(f.dataOffset())
}

// FuzzNames writes arbitrary names and reads them back.
func FuzzNames(f *testing.F) {
	f.Add("loader/loader.conf", "EFI/BOOT/BOOTX64.EFI")
	f.Add("a b/.c", "a b/..c")
	f.Add("ſ", "S~1")
	f.Fuzz(func(t *testing.T, one, two string) {
		files := []File{{Path: one, Data: []byte("one")}, {Path: two, Data: []byte("two")}}
		volume := &pages{size: 33 * mib, content: make(map[int64][]byte)}
		if err := Write(volume, Options{Size: volume.size, Files: files}); err != nil {
			return
		}
		opened, err := Open(volume, volume.size)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if content, err := opened.ReadFile(file.Path); err != nil || !bytes.Equal(content, file.Data) {
				t.Errorf("ReadFile(%q) = %q, %v; want %q", file.Path, content, err, file.Data)
			}
		}
	})
}

// pages is a sparse volume in memory.
type pages struct {
	size    int64
	content map[int64][]byte
}

const pageSize = 4096

// each calls do for the part of b on each page.
func (p *pages) each(b []byte, offset int64, do func(page int64, within int, part []byte)) {
	for len(b) > 0 {
		page, within := offset/pageSize, int(offset%pageSize)
		n := min(len(b), pageSize-within)
		do(page, within, b[:n])
		b, offset = b[n:], offset+int64(n)
	}
}

func (p *pages) WriteAt(b []byte, offset int64) (int, error) {
	p.each(b, offset, func(page int64, within int, part []byte) {
		if p.content[page] == nil {
			p.content[page] = make([]byte, pageSize)
		}
		copy(p.content[page][within:], part)
	})
	return len(b), nil
}

func (p *pages) ReadAt(b []byte, offset int64) (int, error) {
	n := max(0, min(int64(len(b)), p.size-offset))
	p.each(b[:n], offset, func(page int64, within int, part []byte) {
		clear(part)
		if content := p.content[page]; content != nil {
			copy(part, content[within:])
		}
	})
	if n < int64(len(b)) {
		return int(n), io.EOF
	}
	return int(n), nil
}
