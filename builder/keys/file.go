package keys

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ketch-os/ketch/internal/atomicfile"
)

// readPEM reads the one block that a file holds, of one kind.
func readPEM[T any](path, kind string, parse func([]byte) (T, error)) (value T, err error) {
	block, err := readBlock(path)
	if err != nil {
		return value, err
	}
	if block.Type != kind {
		return value, fmt.Errorf("%s: holds a PEM block %q, not %q", path, block.Type, kind)
	}
	if value, err = parse(block.Bytes); err != nil {
		return value, fmt.Errorf("%s: %w", path, err)
	}
	return value, nil
}

// readBlock reads the one block that a file holds.
func readBlock(path string) (*pem.Block, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, fmt.Errorf("%s: not in PEM form", path)
	case strings.TrimSpace(string(rest)) != "":
		return nil, fmt.Errorf("%s: holds more than one PEM block", path)
	}
	return block, nil
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// writeFile writes a new file, whatever the umask, down to the disk.
func writeFile(path string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// publish gives a finished directory its name. Of two that make the same keys at
// the same time one fails: a directory cannot take the place of a full one.
func publish(temporary, dir string) error {
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, dir); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(dir))
}
