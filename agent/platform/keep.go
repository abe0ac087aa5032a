package platform

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ketch-os/ketch/internal/atomicfile"
	"github.com/ketch-os/ketch/internal/plainfile"
)

// maxKept bounds what is kept, in bytes: user data, in base64, and keys.
const maxKept = 2*maxUserData + 8<<20

// Keep keeps facts at path for a boot at which the platform is away: their SHA-256 in a
// line, then JSON. A power cut leaves the old ones or the new ones. Facts that are kept
// already are not written again.
func Keep(path string, f *Facts) error {
	text, err := encode(f)
	if err != nil {
		return err
	}
	if before, err := plainfile.Read(path, maxKept); err == nil && bytes.Equal(before, text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep what the platform says: %w", err)
	}
	if err := atomicfile.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("keep what the platform says: %w", err)
	}
	return nil
}

func encode(f *Facts) ([]byte, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("keep what the platform says: %w", err)
	}
	return fmt.Appendf(nil, "%x\n%s\n", sha256.Sum256(text), text), nil
}

// Kept returns the facts that were kept at path; nil: there are none.
func Kept(path string) (*Facts, error) {
	data, err := plainfile.Read(path, maxKept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		var f *Facts
		if f, err = decode(data); err == nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("read what the platform said last: %w", err)
}

func decode(data []byte) (*Facts, error) {
	sum, rest, _ := bytes.Cut(data, []byte("\n"))
	text := bytes.TrimSuffix(rest, []byte("\n"))
	if fmt.Sprintf("%x", sha256.Sum256(text)) != string(sum) {
		return nil, errors.New("its checksum is another: it was damaged")
	}
	var f Facts
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	return &f, nil
}
