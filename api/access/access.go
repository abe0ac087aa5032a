// Package access is who may sign in to a machine, as its configuration tells the
// SSH server: the content of layout.AccessFile, JSON, mode 0600.
//
// Ketchd writes the file and the SSH server reads it, anew for every sign-in. The
// file is there as long as somebody may sign in, and no longer: PID 1 runs the
// server while it is there, so a machine without keys has no such process.
package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/ketch-os/ketch/internal/atomicfile"
	"github.com/ketch-os/ketch/internal/plainfile"
)

// DefaultUser may always be signed in as: with a key of its own, or with a
// certificate that names it.
const DefaultUser = "core"

// DefaultPort is where the server listens when the file names no port (RFC 4253, 4.1).
const DefaultPort = 22

// maxSize bounds the file in bytes: some 10,000 keys.
const maxSize = 8 << 20

// File is who may sign in.
type File struct {
	Users []User `json:"users,omitempty"`
	// TrustedUserCAKeys are the keys that sign certificates of users, a public key
	// in the form of authorized_keys each, without options.
	TrustedUserCAKeys []string `json:"trustedUserCAKeys,omitempty"`
	// Port is the TCP port of the server; 0 is DefaultPort.
	Port int `json:"port,omitempty"`
}

// User is one name that may be signed in as. Two entries of a name are one user.
type User struct {
	Name string   `json:"name"`
	Keys []string `json:"keys,omitempty"` // lines of authorized_keys, with their options (sshd(8))
}

// Anybody tells whether there is a key that somebody may sign in with.
func (f File) Anybody() bool {
	return len(f.TrustedUserCAKeys) > 0 || slices.ContainsFunc(f.Users, func(u User) bool { return len(u.Keys) > 0 })
}

// Write makes the file at path say who may sign in, or takes it away where nobody may.
func (f File) Write(path string) error {
	if !f.Anybody() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove keys: %w", err)
		}
		return nil
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode keys: %w", err)
	}
	if err := atomicfile.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return nil
}

// Read reads the file at path. One that is not there lets nobody in, and is an
// error of fs.ErrNotExist.
func Read(path string) (File, error) {
	text, err := plainfile.Read(path, maxSize)
	if err != nil {
		return File{}, fmt.Errorf("read keys: %w", err)
	}
	return Decode(text)
}

// Decode reads the text of a file.
func Decode(text []byte) (f File, err error) {
	if len(text) > maxSize {
		return File{}, fmt.Errorf("decode keys: more than %d bytes", maxSize)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return File{}, fmt.Errorf("decode keys: %w", err)
	}
	if f.Port < 0 || f.Port > 65535 {
		return File{}, fmt.Errorf("decode keys: port %d is none", f.Port)
	}
	return f, nil
}
