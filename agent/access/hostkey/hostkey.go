// Package hostkey keeps the key by which people know a machine: one of Ed25519, made
// at the first boot and kept for good. Every client of the last ten years takes it, so
// there is no second one that people would have to compare.
//
// A key that cannot be read is put aside and a new one made: a machine that can be
// reached and says so is worth more than one that cannot.
package hostkey

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/internal/atomicfile"
	"github.com/ketch-os/ketch/internal/plainfile"
)

// File is the private key's name, in OpenSSH's own form. The public key lies
// beside it, in File + ".pub": layout.SSHHostKey.
const File = "host_ed25519"

// maxFile is how large a file of a key may be, in bytes: some 400 are usual.
const maxFile = 64 << 10

// Load returns the key in a directory, which it makes where it is missing. note is
// what a person should know of it, or "".
//
// The random numbers come from getrandom(2), which waits until the kernel's pool is
// ready.
func Load(dir string) (key ssh.Signer, note string, err error) {
	path := filepath.Join(dir, File)
	text, err := plainfile.Read(path, maxFile)
	if err == nil {
		if key, err = parse(text); err == nil {
			return key, publish(path, key, ""), nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		note = fmt.Sprintf("the host key could not be read (%v): it is put aside as %s.unreadable, and the machine has a new one", err, File)
		if err := putAside(path); err != nil {
			return nil, "", fmt.Errorf("put unreadable host key aside: %w", err)
		}
	}
	if key, err = create(dir, path); err != nil {
		return nil, "", err
	}
	return key, publish(path, key, note), nil
}

// putAside renames what has the key's name, whatever that is: what was put aside
// before gives way.
func putAside(path string) error {
	if err := os.RemoveAll(path + ".unreadable"); err != nil {
		return err
	}
	return os.Rename(path, path+".unreadable")
}

func parse(text []byte) (ssh.Signer, error) {
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, err
	}
	if kind := key.PublicKey().Type(); kind != ssh.KeyAlgoED25519 {
		return nil, fmt.Errorf("it is of type %s", kind)
	}
	return key, nil
}

// create makes a key and keeps it before anybody has seen it.
func create(dir, path string) (ssh.Signer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of the host key: %w", err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, fmt.Errorf("encode host key: %w", err)
	}
	if err := atomicfile.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, fmt.Errorf("keep host key: %w", err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("use host key: %w", err)
	}
	return key, nil
}

// publish puts the public key beside the private one. Others only show it: where it
// cannot be kept the machine is reached all the same, and the note says why.
func publish(path string, key ssh.Signer, note string) string {
	if err := writePublic(path, key); err != nil {
		return strings.TrimPrefix(note+"; "+err.Error(), "; ")
	}
	return note
}

// writePublic writes the public key, where it is not there yet.
func writePublic(path string, key ssh.Signer) error {
	text := ssh.MarshalAuthorizedKey(key.PublicKey())
	old, err := plainfile.Read(path+".pub", maxFile)
	if err == nil && string(old) == string(text) {
		return nil
	}
	if errors.Is(err, plainfile.ErrForeign) {
		if err := os.RemoveAll(path + ".pub"); err != nil {
			return fmt.Errorf("make room for public host key: %w", err)
		}
	}
	if err := atomicfile.WriteFile(path+".pub", text, 0o644); err != nil {
		return fmt.Errorf("keep public host key: %w", err)
	}
	return nil
}
