package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
)

// Local signs with a private key of this process.
//
// Like the other signers, Command and Signatures, it makes the signature of one
// program of an image, which name says: its path on the ESP. The signature is
// RSA PKCS #1 v1.5 with SHA-256 over the message, so that it has the same bytes
// whoever makes it.
type Local struct{ Key crypto.Signer }

// Signer is the directory's own key.
func (s *Set) Signer() (Local, error) {
	if s.DB.Key == nil {
		return Local{}, s.missing("db"+keySuffix, "a key that lives elsewhere signs with --sign-with COMMAND, --key pkcs11:…, or in two steps with --unsigned")
	}
	return Local{s.DB.Key}, nil
}

// Sign implements image.Signer.
func (l Local) Sign(_ context.Context, _ string, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return l.Key.Sign(nil, digest[:], crypto.SHA256)
}

// Command signs by running a program: it reads the message on its standard
// input and writes the signature, without any encoding, to its standard output.
// What it is signing stands in its environment, as KETCH_SIGN_NAME.
type Command struct {
	Args []string
	Hint string // what to do when it fails
}

// Shell is a Command in the words of a shell.
func Shell(line string) Command { return Command{Args: []string{"/bin/sh", "-c", line}} }

// PKCS11 is a Command for a key in a PKCS #11 token (RFC 7512), by OpenSSL and
// its engine for them. A PIN comes with the URI, as pin-source= or pin-value=.
func PKCS11(uri string) Command {
	return Command{
		Args: []string{"openssl", "dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine", "-sign", uri},
		Hint: "a pkcs11: key needs OpenSSL and its engine: sudo apt-get install -y openssl libengine-pkcs11-openssl; see docs/signing.md",
	}
}

// nameVariable tells a command what it signs.
const nameVariable = "KETCH_SIGN_NAME"

// waitDelay is how long what a command has left running may keep its output open.
const waitDelay = 5 * time.Second

// maxComplaint bounds what of a command's complaint an error repeats.
const maxComplaint = 2000

// Sign implements image.Signer.
func (c Command) Sign(ctx context.Context, name string, message []byte) ([]byte, error) {
	var signature, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), nameVariable+"="+name)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(message), &signature, &complaint
	cmd.WaitDelay = waitDelay
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		said := strings.TrimSpace(complaint.String())
		err = fmt.Errorf("signing command: %w: %s", err, said[max(0, len(said)-maxComplaint):])
	case signature.Len() == 0:
		err = errors.New("signing command: it wrote no signature to its standard output")
	}
	if err != nil && c.Hint != "" {
		err = hint.Add(err, "%s", c.Hint)
	}
	return signature.Bytes(), err
}

// Names of the files by which a signature is asked for and given.
const (
	messageSuffix   = ".tbs"
	signatureSuffix = ".sig"
)

// MessageFile is the file with what is to be signed for a program.
func MessageFile(name string) string { return path.Base(name) + messageSuffix }

// SignatureFile is the file with a program's signature.
func SignatureFile(name string) string { return path.Base(name) + signatureSuffix }

// Signatures takes signatures that have been made already: files in a directory.
type Signatures struct{ Dir string }

// Sign implements image.Signer.
func (s Signatures) Sign(_ context.Context, name string, _ []byte) ([]byte, error) {
	signature, err := os.ReadFile(filepath.Join(s.Dir, SignatureFile(name)))
	if errors.Is(err, fs.ErrNotExist) {
		err = hint.Add(err, "it is the signature over %s of the requests that ketch build --unsigned wrote: openssl dgst -sha256 -sign db.key -out %s %s",
			MessageFile(name), SignatureFile(name), MessageFile(name))
	}
	return signature, err
}
