package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/internal/cli"
)

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify IMAGE", Short: "Check every signature and every block of an image",
		Args: cli.One("an image"),
		Long: `
Checks both copies of the partition table, the ESP's file system, the
signatures of boot loader and kernel images, and every block of usr and of its
hash tree against the root hash in the signed command line. On an image that
has not been booted, every other byte must be as ketch build writes it.

  ketch verify out/qemu/disk.raw --cert keys/db.crt
  ketch verify /dev/sdb --written --cert keys/db.crt    before its first boot

On a machine's disk, only what a machine changes may differ, and only as it
changes it. What was not looked at is listed as left out, with the reason.

Exit status 1, and a line that names the partition, block or file, when
anything differs.

A file to download (make metal) has a checksum and a signature beside it:
ketch seal --help tells how to check them before it is unpacked.`,
	}
	f := cmd.Flags()
	var certs []string
	f.StringArrayVar(&certs, "cert", nil, "trust signatures by this certificate: PEM `FILE` (repeatable; default keys/db.crt)")
	asJSON := f.Bool("json", false, "print the checks as JSON")
	most := maxSize(f)
	written := f.Bool("written", false, "no machine may have booted from it: a disk that an image was just written to")
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		if len(certs) == 0 {
			certs = []string{"keys/db.crt"}
		}
		return verify(e, args[0], most.Bytes, certs, *written, *asJSON)
	})
	return cmd
}

// verified is what ketch verify prints as JSON.
type verified struct {
	Path   string        `json:"path"`
	Passed bool          `json:"passed"`
	Checks []image.Check `json:"checks"`
}

func verify(e *env, path string, most int64, certFiles []string, written, asJSON bool) error {
	d, err := image.OpenWithin(path, most)
	if err != nil {
		return err
	}
	defer d.Close()
	var certs []*x509.Certificate
	for _, name := range certFiles {
		cert, err := readCert(name)
		if err != nil {
			return err
		}
		certs = append(certs, cert)
	}
	examine := d.Verify
	if written {
		examine = d.VerifyWritten
	}
	checks, err := examine(certs...)
	if err != nil {
		return err
	}
	if asJSON {
		if err := cli.JSON(e.stdout, verified{path, passed(checks), checks}); err != nil {
			return err
		}
	} else {
		printChecks(e, checks)
	}
	return faultOf(path, checks)
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
