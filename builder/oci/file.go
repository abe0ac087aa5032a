package oci

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// replaceFile writes a file so that its name always stands for a whole content:
// temporary file in tmp, which is on the same file system, fsync, rename, fsync
// of the directory.
func replaceFile(path, tmp string, data []byte) error {
	f, err := createTemp(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return finish(f, path, err)
}

// createTemp makes a temporary file in dir that others may read once it has its name.
func createTemp(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".ketch-*")
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o644); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// finish gives a temporary file its name if everything went well, err included,
// and removes it otherwise.
func finish(f *os.File, path string, err error) error {
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

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
