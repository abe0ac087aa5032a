// Package keys makes and reads a directory of Secure Boot keys: who owns the
// machine (PK), who may change what boots (KEK), and who signs what boots (db).
//
//	PK.key   PK.crt    RSA-2048 private key (PKCS #8) and self-signed X.509 certificate, PEM
//	KEK.key  KEK.crt   the same
//	db.key   db.crt    the same; signs the boot loader and every unified kernel image
//	PK.auth  KEK.auth  db.auth   signed updates that enrol the certificates, for images that do so
//	GUID.txt           names the owner of the entries in firmware's databases
//	development        there only if anyone may have the keys: images say so on their console
//
// A build needs db.crt, and something that signs for it: db.key, or a Signer
// for a key that lives elsewhere. An image that enrols its keys needs the
// three .auth files besides, or else PK.key and KEK.key to make them.
package keys

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/efi/sigdb"
	"github.com/ketch-os/ketch/internal/guid"
)

// Names of files in the directory.
const (
	guidFile        = "GUID.txt"
	developmentFile = "development"
	keySuffix       = ".key"
	certSuffix      = ".crt"
	authSuffix      = ".auth"

	// DBAuth is the file that enrols the certificate of db.
	DBAuth = string(sigdb.DB) + authSuffix
)

// variables lists the keys, in the order in which they are made.
func variables() []sigdb.Variable { return []sigdb.Variable{sigdb.PK, sigdb.KEK, sigdb.DB} }

// Pair is a certificate and its private key. A pair of Load may lack either.
type Pair struct {
	Key         crypto.Signer
	Certificate *x509.Certificate
}

// Set is a directory of keys.
type Set struct {
	PK, KEK, DB Pair
	Owner       guid.GUID // zero where the directory has none
	Development bool      // not secret
	dir         string
	auth        map[string][]byte // the .auth files, by name
}

// pair returns the field of a variable.
func (s *Set) pair(v sigdb.Variable) *Pair {
	switch v {
	case sigdb.PK:
		return &s.PK
	case sigdb.KEK:
		return &s.KEK
	}
	return &s.DB
}

// Load reads the directory. The certificate of db must be there, anything else
// may be missing until it is needed. Its errors name the file.
func Load(dir string) (*Set, error) {
	s, err := load(dir)
	if err == nil {
		err = s.readDB(filepath.Join(dir, string(sigdb.DB)))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = hint.Add(err, "make new keys with: ketch keys new DIRECTORY")
	}
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	return s, nil
}

// LoadFor is Load for a signer that is not in the directory: the certificate of
// db is the one in a file of its own. The directory may be missing as a whole.
func LoadFor(certificate, dir string) (*Set, error) {
	s, err := load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		s, err = &Set{dir: dir}, nil
	}
	if err == nil {
		s.DB.Certificate, err = readCertificate(certificate)
	}
	if err == nil {
		err = s.checkDistinct()
	}
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	return s, nil
}

// load reads all but the key and the certificate of db.
func load(dir string) (*Set, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	s := &Set{dir: dir, auth: map[string][]byte{}}
	for _, v := range []sigdb.Variable{sigdb.PK, sigdb.KEK} {
		var err error
		if *s.pair(v), err = loadPair(filepath.Join(dir, string(v))); err != nil {
			return nil, err
		}
	}
	var err error
	s.Owner, err = optional(filepath.Join(dir, guidFile), readOwner)
	if err != nil {
		return nil, err
	}
	for _, v := range variables() {
		name := string(v) + authSuffix
		content, err := optional(filepath.Join(dir, name), os.ReadFile)
		if err != nil {
			return nil, err
		}
		if content != nil {
			s.auth[name] = content
		}
	}
	_, err = os.Stat(filepath.Join(dir, developmentFile))
	s.Development = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return s, err
}

// readDB reads the pair of db, whose certificate must be there.
func (s *Set) readDB(path string) (err error) {
	if s.DB, err = loadPair(path); err != nil {
		return err
	}
	if s.DB.Certificate == nil {
		return &fs.PathError{Op: "open", Path: path + certSuffix, Err: fs.ErrNotExist}
	}
	return s.checkDistinct()
}

func readOwner(path string) (guid.GUID, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return guid.GUID{}, err
	}
	owner, err := guid.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return owner, fmt.Errorf("%s: %w", path, err)
	}
	return owner, nil
}

// optional is what read makes of a file, or nothing where there is none.
func optional[T any](path string, read func(string) (T, error)) (value T, err error) {
	if value, err = read(path); errors.Is(err, fs.ErrNotExist) {
		var none T
		return none, nil
	}
	return value, err
}

// checkDistinct refuses one key in two roles: copied files, most likely.
func (s *Set) checkDistinct() error {
	seen := map[string]sigdb.Variable{}
	for _, v := range variables() {
		c := s.pair(v).Certificate
		if c == nil {
			continue
		}
		public := string(c.RawSubjectPublicKeyInfo)
		if other, twice := seen[public]; twice {
			return fmt.Errorf("%s holds the same key as %s%s", filepath.Join(s.dir, string(v)+certSuffix), other, certSuffix)
		}
		seen[public] = v
	}
	return nil
}

// loadPair reads what there is of a pair.
func loadPair(path string) (pair Pair, err error) {
	if pair.Certificate, err = optional(path+certSuffix, readCertificate); err != nil {
		return Pair{}, err
	}
	key, err := optional(path+keySuffix, ReadKey)
	if err != nil || key == nil {
		return pair, err
	}
	if pair.Certificate != nil && !key.PublicKey.Equal(pair.Certificate.PublicKey) {
		return Pair{}, fmt.Errorf("%s is not the key of %s", path+keySuffix, path+certSuffix)
	}
	pair.Key = key
	return pair, nil
}

// ReadKey reads a private RSA key from a file: PKCS #8 (RFC 5958), as ketch and
// OpenSSL 3 write it, or PKCS #1 (RFC 8017, appendix A.1.2), as OpenSSL did before.
func ReadKey(path string) (*rsa.PrivateKey, error) {
	block, err := readBlock(path)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(block, path)
	if err == nil {
		err = strongEnough(&key.PublicKey)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// Kinds of PEM block that hold a private key (RFC 7468, 10 and 11).
const (
	pemPKCS8     = "PRIVATE KEY"
	pemPKCS1     = "RSA PRIVATE KEY"
	pemEncrypted = "ENCRYPTED PRIVATE KEY"
)

func parseKey(block *pem.Block, path string) (*rsa.PrivateKey, error) {
	encrypted := block.Type == pemEncrypted || block.Headers["Proc-Type"] != "" // RFC 1421, 4.6.1.1
	switch {
	case encrypted:
		return nil, hint.Add(errors.New("the key is encrypted"), "sign with --sign-with COMMAND, which may ask for the passphrase, or decrypt it: openssl pkey -in %s -out FILE", path)
	case block.Type == pemPKCS1:
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case block.Type != pemPKCS8:
		return nil, hint.Add(fmt.Errorf("holds a PEM block %q, not %q", block.Type, pemPKCS8), "firmware takes RSA keys: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048, or ketch keys new")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, hint.Add(fmt.Errorf("key of type %T is not RSA", key), "firmware takes RSA keys: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048, or ketch keys new")
	}
	return private, nil
}

// minBits is the shortest modulus that signs anything: NIST SP 800-131A has
// disallowed shorter ones for signatures since 2014, and UEFI 2.10, 32.6 asks
// firmware for RSA-2048.
const minBits = 2048

// strongEnough refuses keys that others can compute, or that firmware may not take.
func strongEnough(key any) error {
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("key of type %T is not RSA", key)
	}
	if bits := public.N.BitLen(); bits < minBits {
		return hint.Add(fmt.Errorf("RSA key of %d bits: signatures of fewer than %d can be forged", bits, minBits), "make new keys with: ketch keys new DIRECTORY")
	}
	return nil
}

// readCertificate reads a certificate and refuses one of a weak key.
func readCertificate(path string) (*x509.Certificate, error) {
	return readPEM(path, "CERTIFICATE", func(der []byte) (*x509.Certificate, error) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		return c, strongEnough(c.PublicKey)
	})
}

// soon is how long before its end a certificate is worth a word.
const soon = 30 * 24 * time.Hour

// Expired says, a line each, which certificates are not valid at now, or will
// not be for much longer. Firmware boots with them all the same; a person
// should know.
func (s *Set) Expired(now time.Time) []string {
	var notes []string
	for _, v := range variables() {
		c := s.pair(v).Certificate
		if c == nil {
			continue
		}
		note := func(what string, when time.Time) {
			notes = append(notes, fmt.Sprintf("the certificate of %s (%s) %s %s", v, c.Subject, what, when.Format(time.DateOnly)))
		}
		switch {
		case now.After(c.NotAfter):
			note("expired on", c.NotAfter)
		case now.Before(c.NotBefore):
			note("is valid only from", c.NotBefore)
		case now.After(c.NotAfter.Add(-soon)):
			note("expires on", c.NotAfter)
		}
	}
	return notes
}
