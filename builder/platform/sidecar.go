package platform

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/output"
)

// What stands beside an image that is downloaded rather than registered.
const (
	checksumSuffix  = ".sha256" // as sha256sum(1) writes it
	signatureSuffix = ".sig"    // RSA, PKCS #1 v1.5, over the file's SHA-256
)

// Seal writes what stands beside a file. The signature comes last: with it, all is there.
func Seal(ctx context.Context, path string, by image.Signer) error {
	for _, beside := range []string{path + checksumSuffix, path + signatureSuffix} {
		if err := output.Check(beside); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	signature, err := by.Sign(ctx, filepath.Base(path), data)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	if err := output.WriteFile(path+checksumSuffix, []byte(checksumLine(sum[:], path))); err != nil {
		return err
	}
	return output.WriteFile(path+signatureSuffix, signature)
}

// checksumFile is the rule that FILE.sha256 is there and true.
func checksumFile(a *Artefact) (string, error) {
	beside := a.Path + checksumSuffix
	data, err := os.ReadFile(beside)
	if err != nil {
		return "", err
	}
	sum, err := digest(a.Path)
	if err != nil {
		return "", err
	}
	if want := checksumLine(sum, a.Path); string(data) != want {
		return "", fmt.Errorf("%s: %q; want %q", beside, data, want)
	}
	return hex.EncodeToString(sum), nil
}

// checksumLine is the content of a checksum file: sha256sum -c reads it.
func checksumLine(sum []byte, path string) string {
	return fmt.Sprintf("%x  %s\n", sum, filepath.Base(path))
}

// digest is the SHA-256 of a file.
func digest(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return nil, err
	}
	return hash.Sum(nil), nil
}

// detachedSignature is the rule that FILE.sig is there, by a key that is trusted.
func detachedSignature(a *Artefact) (string, error) {
	if len(a.Certs) == 0 {
		return "", hint.Add(errors.New("there is no certificate to hold it against"), "name the certificate with --cert FILE")
	}
	beside := a.Path + signatureSuffix
	signature, err := os.ReadFile(beside)
	if err != nil {
		return "", err
	}
	sum, err := digest(a.Path)
	if err != nil {
		return "", err
	}
	var names []string
	for _, cert := range a.Certs {
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum, signature) == nil {
			return "by " + cert.Subject.CommonName, nil
		}
		names = append(names, cert.Subject.CommonName)
	}
	return "", fmt.Errorf("%s: not a signature of this file by %s", beside, strings.Join(names, " or "))
}
