// Package keys makes and reads a directory of Secure Boot keys: who owns the
// machine (PK), who may change what boots (KEK), and who signs what boots (db).
//
//	PK.key  PK.crt    RSA-2048 private key (PKCS #8) and self-signed X.509 certificate, PEM
//	KEK.key KEK.crt   the same
//	db.key  db.crt    the same; signs the boot loader and every unified kernel image
//	GUID.txt          names the owner of the entries in firmware's databases
//	development       there only if anyone may have the keys: images say so on their console
package keys

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ketch/builder/hint"
	"ketch/efi/sigdb"
)

// Names of files in the directory.
const (
	guidFile        = "GUID.txt"
	developmentFile = "development"
	keySuffix       = ".key"
	certSuffix      = ".crt"
	authSuffix      = ".auth"
)

// variables lists the keys, in the order in which they are made.
func variables() []sigdb.Variable { return []sigdb.Variable{sigdb.PK, sigdb.KEK, sigdb.DB} }

// Pair is a private key and its certificate.
type Pair struct {
	Key         crypto.Signer
	Certificate *x509.Certificate
}

// Set is a directory of keys.
type Set struct {
	PK, KEK, DB Pair
	Owner       sigdb.GUID
	Development bool // not secret
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

// Load reads the directory. Its errors name the file.
func Load(dir string) (*Set, error) {
	s, err := load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = hint.Add(err, "make new keys with: ketch keys new DIRECTORY")
	}
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	return s, nil
}

func load(dir string) (*Set, error) {
	var s Set
	for _, v := range variables() {
		var err error
		if *s.pair(v), err = loadPair(filepath.Join(dir, string(v))); err != nil {
			return nil, err
		}
	}
	if err := s.checkDistinct(dir); err != nil {
		return nil, err
	}
	guid, err := os.ReadFile(filepath.Join(dir, guidFile))
	if err != nil {
		return nil, err
	}
	if s.Owner, err = sigdb.ParseGUID(strings.TrimSpace(string(guid))); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, guidFile), err)
	}
	switch _, err := os.Stat(filepath.Join(dir, developmentFile)); {
	case err == nil:
		s.Development = true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return &s, nil
}

// checkDistinct refuses one key in two roles: copied files, most likely.
func (s *Set) checkDistinct(dir string) error {
	seen := map[string]sigdb.Variable{}
	for _, v := range variables() {
		public := string(s.pair(v).Certificate.RawSubjectPublicKeyInfo)
		if other, twice := seen[public]; twice {
			return fmt.Errorf("%s holds the same key as %s%s", filepath.Join(dir, string(v)+certSuffix), other, certSuffix)
		}
		seen[public] = v
	}
	return nil
}

func loadPair(path string) (Pair, error) {
	key, err := readPEM(path+keySuffix, "PRIVATE KEY", parseKey)
	if err != nil {
		return Pair{}, err
	}
	certificate, err := readPEM(path+certSuffix, "CERTIFICATE", x509.ParseCertificate)
	if err != nil {
		return Pair{}, err
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return Pair{}, fmt.Errorf("%s is not the key of %s", path+keySuffix, path+certSuffix)
	}
	return Pair{key, certificate}, nil
}

func parseKey(der []byte) (*rsa.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key of type %T is not RSA", key)
	}
	return private, nil
}

// Expired says, a line each, which certificates are not valid at now. Firmware
// boots with them all the same; a person should know.
func (s *Set) Expired(now time.Time) []string {
	var notes []string
	for _, v := range variables() {
		c := s.pair(v).Certificate
		switch {
		case now.After(c.NotAfter):
			notes = append(notes, fmt.Sprintf("certificate %s%s expired on %s", v, certSuffix, c.NotAfter.Format(time.DateOnly)))
		case now.Before(c.NotBefore):
			notes = append(notes, fmt.Sprintf("certificate %s%s is valid only from %s", v, certSuffix, c.NotBefore.Format(time.DateOnly)))
		}
	}
	return notes
}

// Enrolment makes the files with which systemd-boot enrols the keys on a machine
// whose firmware is in setup mode, by name: PK.auth, KEK.auth and db.auth, to lie in
// layout.ESPEnrollKeys. PK signs PK and KEK, KEK signs db.
func (s *Set) Enrolment(at time.Time) (map[string][]byte, error) {
	files := map[string][]byte{}
	for v, signer := range map[sigdb.Variable]Pair{sigdb.PK: s.PK, sigdb.KEK: s.PK, sigdb.DB: s.KEK} {
		list := sigdb.List(s.Owner, s.pair(v).Certificate)
		update, err := sigdb.Auth(v, list, at, signer.Key, signer.Certificate)
		if err != nil {
			return nil, fmt.Errorf("make enrolment files: %w", err)
		}
		files[string(v)+authSuffix] = update
	}
	return files, nil
}
