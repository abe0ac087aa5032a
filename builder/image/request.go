package image

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/builder/output"
	"github.com/ketch-os/ketch/efi/authenticode"
)

// Request asks for the signature of one program of an unsigned image.
type Request struct {
	Name      string `json:"name"`      // the program's path on the ESP
	What      string `json:"what"`      // "kernel image"
	Algorithm string `json:"algorithm"` // always RSA PKCS #1 v1.5 with SHA-256
	Message   string `json:"message"`   // the file with what is to be signed
	Digest    string `json:"digest"`    // its SHA-256
	Signature string `json:"signature"` // the file for the signature
	message   []byte
}

const (
	algorithm   = "RSASSA-PKCS1-v1_5 with SHA-256"
	requestList = "requests.json"
)

// RequestDir is the directory with the requests of an unsigned image.
func RequestDir(image string) string { return image + ".requests" }

// requests lists what is to be signed of an unsigned image.
func requests(name string) (list []Request, err error) {
	d, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.Entries()
	if err == nil && len(entries) != 1 {
		err = errNoEntry
	}
	if err != nil {
		return nil, err
	}
	for _, p := range programs(entries[0].Version) {
		data, err := d.readESP(p.name)
		if err != nil {
			return nil, err
		}
		message, err := authenticode.Message(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		list = append(list, Request{
			Name: p.name, What: p.what, Algorithm: algorithm, Digest: fmt.Sprintf("%x", sha256.Sum256(message)),
			Message: keys.MessageFile(p.name), Signature: keys.SignatureFile(p.name), message: message,
		})
	}
	return list, nil
}

// writeRequests puts the requests of an unsigned image beside it: a list, and a
// file for each message.
func writeRequests(image string) ([]Request, error) {
	list, err := requests(image)
	if err != nil {
		return nil, fmt.Errorf("what to sign of %s: %w", image, err)
	}
	dir := RequestDir(image)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	for _, r := range list {
		if err := output.WriteFile(filepath.Join(dir, r.Message), r.message); err != nil {
			return nil, err
		}
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, err
	}
	return list, output.WriteFile(filepath.Join(dir, requestList), append(text, '\n'))
}
