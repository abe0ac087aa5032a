package vhd

import (
	"fmt"
	"io"
)

// ReadFooter reads the footer at the end of a file of size bytes and checks it;
// of a dynamic disk it also checks the copy at the start.
func ReadFooter(r io.ReaderAt, size int64) (f Footer, err error) {
	if size < FooterSize {
		return f, fmt.Errorf("VHD footer: a file of %d bytes has no room for one", size)
	}
	last, err := readAt(r, size-FooterSize, FooterSize)
	if err != nil {
		return f, fmt.Errorf("read VHD footer: %w", err)
	}
	decode(last, &f)
	if err := f.check(size); err != nil {
		return f, fmt.Errorf("VHD footer: %w", err)
	}
	if f.DiskType == Fixed {
		return f, nil
	}
	first, err := readAt(r, 0, FooterSize)
	if err != nil {
		return f, fmt.Errorf("read VHD footer's copy: %w", err)
	}
	if string(first) != string(last) {
		return f, fmt.Errorf("VHD footer: its copy at the start differs")
	}
	return f, nil
}

// check holds a footer against its file's size.
func (f Footer) check(size int64) error {
	switch sum := f.Checksum; {
	case f.Cookie != cookieFooter:
		return fmt.Errorf("cookie %q", f.Cookie)
	case string(f.encode()) != string(encode(f)):
		return fmt.Errorf("checksum %#x is wrong", sum)
	case f.Version != version:
		return fmt.Errorf("version %#x", f.Version)
	case f.DiskType != Fixed && f.DiskType != Dynamic:
		return fmt.Errorf("disk type %d", f.DiskType)
	case f.CurrentSize > maxDisk || f.CurrentSize%sectorSize != 0:
		return fmt.Errorf("a disk of %d bytes", f.CurrentSize)
	case f.DiskType == Fixed && int64(f.CurrentSize) != size-FooterSize:
		return fmt.Errorf("a fixed disk of %d bytes in a file of %d", f.CurrentSize, size)
	}
	return nil
}

// ReadHeader reads the header of a dynamic disk, whose footer ReadFooter has
// read from the same file of size bytes, and checks it.
func ReadHeader(r io.ReaderAt, size int64, f Footer) (h Header, err error) {
	if f.DataOffset > uint64(size) || uint64(size)-f.DataOffset < headerSize {
		return h, fmt.Errorf("VHD header: at %d in a file of %d bytes", f.DataOffset, size)
	}
	raw, err := readAt(r, int64(f.DataOffset), headerSize)
	if err != nil {
		return h, fmt.Errorf("read VHD header: %w", err)
	}
	decode(raw, &h)
	if err := h.check(size, f); err != nil {
		return h, fmt.Errorf("VHD header: %w", err)
	}
	return h, nil
}

func (h Header) check(size int64, f Footer) error {
	blocks := divideUp(int64(f.CurrentSize), BlockSize)
	switch {
	case h.Cookie != cookieDynamic:
		return fmt.Errorf("cookie %q", h.Cookie)
	case string(h.encode()) != string(encode(h)):
		return fmt.Errorf("checksum %#x is wrong", h.Checksum)
	case h.Version != version:
		return fmt.Errorf("version %#x", h.Version)
	case h.BlockSize != BlockSize:
		return fmt.Errorf("blocks of %d bytes", h.BlockSize)
	case int64(h.MaxTableEntries) < blocks:
		return fmt.Errorf("%d table entries for %d blocks", h.MaxTableEntries, blocks)
	case h.TableOffset > uint64(size) || int64(h.MaxTableEntries)*4 > size-int64(h.TableOffset):
		return fmt.Errorf("a table of %d entries at %d in a file of %d bytes", h.MaxTableEntries, h.TableOffset, size)
	}
	return nil
}
