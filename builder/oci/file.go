package oci

import (
	"io"
	"os"
)

// section is a range of a local file.
type section struct {
	path         string
	offset, size int64
}

// open returns the section's bytes. They are fewer than its size when the file
// has become shorter.
func (s section) open() (*BlobFile, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	return &BlobFile{io.NewSectionReader(f, s.offset, s.size), f}, nil
}

// BlobFile is an open range of a local file.
type BlobFile struct {
	*io.SectionReader
	file *os.File
}

// Close closes the file.
func (f *BlobFile) Close() error { return f.file.Close() }
