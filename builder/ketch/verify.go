package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/image"
)

func verifyCommand() command {
	return command{
		name: "verify", args: "IMAGE", short: "Check every signature and every block of an image",
		long: `
Checks both copies of the partition table, the ESP's file system, the
signatures of boot loader and kernel images, and every block of usr and of its
hash tree against the root hash in the signed command line. On an image that
has not been booted, every other byte must be as ketch build writes it.

  ketch verify out/qemu/disk.raw --cert keys/db.crt

Exit status 1, and a line that names the partition, block or file, when
anything differs.

A file to download (make metal) has a checksum and a signature beside it:
ketch seal --help tells how to check them before it is unpacked.`,
		setup: func(f *flag.FlagSet) func(context.Context, *env, []string) error {
			var certs files
			f.Var(&certs, "cert", "trust signatures by this certificate: PEM `FILE` (repeatable; default keys/db.crt)")
			asJSON := f.Bool("json", false, "print the checks as JSON")
			return func(_ context.Context, e *env, args []string) error {
				path, err := oneArgument("verify", "an image", args)
				if err != nil {
					return err
				}
				if len(certs) == 0 {
					certs = files{"keys/db.crt"}
				}
				return verify(e, path, certs, *asJSON)
			}
		},
	}
}

// files is a flag that may be given several times.
type files []string

func (f *files) String() string     { return "" }
func (f *files) Set(s string) error { *f = append(*f, s); return nil }

func verify(e *env, path string, certFiles []string, asJSON bool) error {
	var certs []*x509.Certificate
	for _, name := range certFiles {
		cert, err := readCert(name)
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		certs = append(certs, cert)
	}
	checks, err := image.Verify(path, certs...)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if asJSON {
		if err := printJSON(e.stdout, checks); err != nil {
			return err
		}
	}
	var wrong []error
	for _, c := range checks {
		if c.Err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", c.Name, c.Err))
		} else if !asJSON {
			fmt.Fprintf(e.stdout, "ok  %s: %s\n", c.Name, c.Detail)
		}
	}
	switch len(wrong) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("verify: %s: %w", path, wrong[0])
	}
	for _, err := range wrong[1:] {
		fmt.Fprintf(e.stdout, "bad %v\n", err)
	}
	return fmt.Errorf("verify: %s: %w (and %d more)", path, wrong[0], len(wrong)-1)
}

func readCert(name string) (*x509.Certificate, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, hint.Add(err, "name the certificate with --cert FILE")
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: %w", name, errors.New("not a certificate in PEM"))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return cert, nil
}
