package keys

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/efi/sigdb"
	"github.com/ketch-os/ketch/internal/guid"
)

const (
	keyBits = 2048
	// validYears is long: firmware does not look at it, and tools that do should
	// not stop working during the life of a machine.
	validYears = 30

	developmentText = "These keys were made by a build and are not secret.\n" +
		"Images signed with them say so on their console. Remove this file only from keys that were kept secret since they were made.\n"
)

// Options says how to make keys. Start is needed.
type Options struct {
	Start  time.Time // from when on the certificates are valid
	Secret bool      // the keys will be kept secret: do not mark them as development keys
}

// New makes a directory of new keys. It appears whole or not at all, and one that
// is there already is left alone, even if empty.
func New(dir string, o Options) error {
	if err := create(dir, o); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	return nil
}

func create(dir string, o Options) error {
	if o.Start.IsZero() {
		return errors.New("no time from which they are to be valid")
	}
	dir = filepath.Clean(dir)
	if _, err := os.Lstat(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if err == nil {
		return hint.Add(fmt.Errorf("%s: %w", dir, fs.ErrExist), "keys are never overwritten: give another directory, or remove this one")
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".new-")
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: at.Op, Path: dir, Err: at.Err} // of the name that was asked for
	}
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := fill(temporary, o); err != nil {
		return err
	}
	return publish(temporary, dir)
}

// fill writes the files of a new set.
func fill(dir string, o Options) error {
	for _, v := range variables() {
		key, certificate, err := newPair(v, o)
		if err != nil {
			return err
		}
		if err := writePEM(filepath.Join(dir, string(v)+keySuffix), "PRIVATE KEY", key, 0o600); err != nil {
			return err
		}
		if err := writePEM(filepath.Join(dir, string(v)+certSuffix), "CERTIFICATE", certificate, 0o644); err != nil {
			return err
		}
	}
	if err := writeFile(filepath.Join(dir, guidFile), []byte(newGUID().String()+"\n"), 0o644); err != nil {
		return err
	}
	if o.Secret {
		return nil
	}
	return writeFile(filepath.Join(dir, developmentFile), []byte(developmentText), 0o644)
}

// newPair makes a key and its certificate, both in DER.
func newPair(v sigdb.Variable, o Options) (key, certificate []byte, err error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	name := "Ketch development " + string(v)
	if o.Secret {
		name = "Ketch " + string(v)
	}
	start := o.Start.UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    start,
		NotAfter:     start.AddDate(validYears, 0, 0),
		// Its own issuer, so a CA; and OpenSSL, in firmware as in sbverify, takes
		// a certificate with key usages only for what they name.
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:           x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	certificate, err = x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	key, err = x509.MarshalPKCS8PrivateKey(private)
	return key, certificate, err
}

// newGUID makes a random GUID.
func newGUID() guid.GUID {
	var b [16]byte
	rand.Read(b[:]) // it never fails
	return guid.UUID(guid.Stamp(b, 4))
}
