package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/platform"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func sealCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "seal FILE", Short: "Write a checksum and a signature beside a file to download",
		Args: cli.One("a file"),
		Long: `
Writes FILE.sha256, for sha256sum -c, and FILE.sig, a signature over the file by
the key that signs images: RSA PKCS #1 v1.5 with SHA-256, no encoding around
it. Whoever downloads the three files checks them with common tools:

  sha256sum -c disk.raw.zst.sha256
  openssl x509 -in db.crt -pubkey -noout -out db.pub
  openssl dgst -sha256 -verify db.pub -signature disk.raw.zst.sig disk.raw.zst

or with ketch check disk.raw.zst --platform metal --cert db.crt.`,
	}
	f := cmd.Flags()
	var s signing
	s.flags(f)
	asJSON := f.Bool("json", false, "print the result as JSON")
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error {
		return s.seal(ctx, e, args[0], *asJSON)
	})
	return cmd
}

func (s *signing) seal(ctx context.Context, e *env, path string, asJSON bool) error {
	set, err := s.set(e.stderr)
	if err != nil {
		return err
	}
	signer, err := s.signer(set, e.stderr)
	if err != nil {
		return err
	}
	if err := platform.Seal(ctx, path, signer); err != nil {
		return err
	}
	if asJSON {
		return cli.JSON(e.stdout, signedFile{path, set.DB.Certificate.Subject.CommonName})
	}
	printable.Fprintf(e.stdout, "%s: checksum and signature by %s beside it\n", path, set.DB.Certificate.Subject.CommonName)
	return nil
}
