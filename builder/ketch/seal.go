package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/ketch-os/ketch/builder/platform"
)

func sealCommand() command {
	return command{
		name: "seal", args: "FILE", short: "Write a checksum and a signature beside a file to download",
		long: `
Writes FILE.sha256, for sha256sum -c, and FILE.sig, a signature over the file by
the key that signs images: RSA PKCS #1 v1.5 with SHA-256, no encoding around
it. Whoever downloads the three files checks them with common tools:

  sha256sum -c disk.raw.zst.sha256
  openssl x509 -in db.crt -pubkey -noout -out db.pub
  openssl dgst -sha256 -verify db.pub -signature disk.raw.zst.sig disk.raw.zst

or with ketch check disk.raw.zst --platform metal --cert db.crt.`,
		setup: func(f *flag.FlagSet) func(context.Context, *env, []string) error {
			var s signing
			s.flags(f)
			return func(ctx context.Context, e *env, args []string) error {
				path, err := oneArgument("seal", "a file", args)
				if err != nil {
					return err
				}
				if err := s.seal(ctx, e, path); err != nil {
					return fmt.Errorf("seal: %w", err)
				}
				return nil
			}
		},
	}
}

func (s *signing) seal(ctx context.Context, e *env, path string) error {
	set, err := s.set(e.stderr)
	if err != nil {
		return err
	}
	signer, err := s.signer(set)
	if err != nil {
		return err
	}
	if err := platform.Seal(ctx, path, signer); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s: checksum and signature by %s beside it\n", path, set.DB.Certificate.Subject.CommonName)
	return nil
}
