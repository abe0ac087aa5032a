package keys

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"

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
