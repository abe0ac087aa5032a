package keys

import (
	"crypto/x509"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/output"
	"github.com/ketch-os/ketch/efi/sigdb"
	"github.com/ketch-os/ketch/internal/guid"
)

// Enrolment gives the files with which systemd-boot enrols the keys on a machine
// whose firmware is in setup mode, by name: PK.auth, KEK.auth and db.auth, to lie in
// layout.ESPEnrollKeys. PK signs PK and KEK, KEK signs db.
//
// They are the directory's own files where it has them, so that PK.key and
// KEK.key need not be there, and are made with these keys where it has none.
func (s *Set) Enrolment(at time.Time) (map[string][]byte, error) {
	files, err := s.enrolment(at)
	if err != nil {
		return nil, fmt.Errorf("enrolment files: %w", err)
	}
	return files, nil
}

func (s *Set) enrolment(at time.Time) (map[string][]byte, error) {
	for _, v := range variables() {
		if s.pair(v).Certificate == nil {
			return nil, s.missing(string(v)+certSuffix, "an image that enrols its keys needs all three certificates")
		}
	}
	if len(s.auth) == 0 {
		return s.sign(at)
	}
	for _, v := range variables() {
		if err := s.checkAuth(v); err != nil {
			return nil, err
		}
	}
	return s.auth, nil
}

const authHint = "where PK.key and KEK.key are, make the files that enrol the certificates: ketch keys auth DIR; copy PK.auth, KEK.auth and db.auth here"

// missing tells of a file that the directory lacks.
func (s *Set) missing(name, cure string) error {
	return hint.Add(&fs.PathError{Op: "open", Path: filepath.Join(s.dir, name), Err: fs.ErrNotExist}, "%s", cure)
}

// authSigner is whose key signs the update of a variable.
func authSigner(v sigdb.Variable) sigdb.Variable {
	if v == sigdb.DB {
		return sigdb.KEK
	}
	return sigdb.PK
}

// sign makes the files.
func (s *Set) sign(at time.Time) (map[string][]byte, error) {
	if s.Owner == (guid.GUID{}) {
		return nil, s.missing(guidFile, authHint)
	}
	files := map[string][]byte{}
	for _, v := range variables() {
		by := authSigner(v)
		signer := s.pair(by)
		if signer.Key == nil {
			return nil, s.missing(string(by)+keySuffix, authHint)
		}
		list := sigdb.List(s.Owner, s.pair(v).Certificate)
		update, err := sigdb.Auth(v, list, at, signer.Key, signer.Certificate)
		if err != nil {
			return nil, err
		}
		files[string(v)+authSuffix] = update
	}
	return files, nil
}

// checkAuth refuses a file that would enrol something else than the certificate.
func (s *Set) checkAuth(v sigdb.Variable) error {
	name := string(v) + authSuffix
	content, ok := s.auth[name]
	if !ok {
		return s.missing(name, authHint)
	}
	path := filepath.Join(s.dir, name)
	update, err := sigdb.ParseAuth(content)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := update.Verify(v, s.pair(authSigner(v)).Certificate); err != nil {
		return hint.Add(fmt.Errorf("%s: %w", path, err), authHint)
	}
	if err := enrols(update, s.pair(v).Certificate); err != nil {
		return hint.Add(fmt.Errorf("%s: %w", path, err), authHint)
	}
	return nil
}

// enrols checks that a signed update brings a certificate.
func enrols(update *sigdb.Update, certificate *x509.Certificate) error {
	list, err := sigdb.ParseList(update.Content)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(s sigdb.Signature) bool { return s.Certificate.Equal(certificate) }) {
		return nil
	}
	return fmt.Errorf("it does not enrol the certificate %s", certificate.Subject)
}

// CheckEnrolment checks that what an image enrols into db lets this set's
// programs start.
func (s *Set) CheckEnrolment(db []byte) error {
	update, err := sigdb.ParseAuth(db)
	if err == nil {
		err = enrols(update, s.DB.Certificate)
	}
	if err != nil {
		return fmt.Errorf("the image's own %s: %w", DBAuth, err)
	}
	return nil
}

// WriteAuth makes the enrolment files anew, with PK.key and KEK.key, and puts
// them into the directory. Firmware that has taken an update refuses one whose
// time is not later.
func WriteAuth(dir string, at time.Time) (*Set, error) {
	s, err := Load(dir)
	if err != nil {
		return nil, err
	}
	s.auth = nil
	files, err := s.Enrolment(at)
	if err != nil {
		return nil, err
	}
	for _, v := range variables() {
		name := string(v) + authSuffix
		if err := output.WriteFile(filepath.Join(dir, name), files[name]); err != nil {
			return nil, err
		}
	}
	return s, nil
}
