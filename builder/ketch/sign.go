package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

// signing are the flags that say who signs.
type signing struct {
	keys    string // directory
	cert    string // file
	key     string // file or pkcs11: URI
	command string
}

func (s *signing) flags(f *pflag.FlagSet) {
	f.StringVar(&s.keys, "keys", "keys", "sign with the keys in `DIR` (see ketch keys)")
	f.StringVar(&s.cert, "cert", "", "the certificate that belongs to the signing key: PEM `FILE` (default db.crt of --keys)")
	f.StringVar(&s.key, "key", "", "sign with this private key: PEM file, or a `URI` pkcs11:… of a token (default db.key of --keys)")
	f.StringVar(&s.command, "sign-with", "", "sign by running `COMMAND`: it reads what to sign and writes the signature (see docs/signing.md)")
}

// set reads the keys' directory and warns of what is worth a word.
func (s *signing) set(stderr io.Writer) (set *keys.Set, err error) {
	if s.cert != "" {
		set, err = keys.LoadFor(s.cert, s.keys)
	} else {
		set, err = keys.Load(s.keys)
	}
	if err != nil {
		return nil, hint.Add(err, "make a set of keys: ketch keys new %s", s.keys)
	}
	for _, note := range set.Expired(time.Now()) {
		printable.Fprintf(stderr, "warning: %s\n", note)
	}
	return set, nil
}

// signer is who signs by the flags.
func (s *signing) signer(set *keys.Set, stderr io.Writer) (image.Signer, error) {
	switch {
	case s.command != "" && s.key != "":
		return nil, errors.New("--sign-with and --key: want one of them")
	case s.command != "":
		return keys.Shell(s.command), nil
	case strings.HasPrefix(s.key, "pkcs11:"):
		token, err := keys.PKCS11(s.key)
		if err != nil {
			return nil, err
		}
		if token.ShowsPIN() {
			printable.Fprintln(stderr, "warning: the PIN in --key stands in the process list, for everybody on this machine: ?pin-source=file:FILE hides it")
		}
		return token, nil
	case s.key != "":
		key, err := keys.ReadKey(s.key)
		if err != nil {
			return nil, err
		}
		if !key.PublicKey.Equal(set.DB.Certificate.PublicKey) {
			return nil, fmt.Errorf("%s is not the key of the certificate %s", s.key, set.DB.Certificate.Subject)
		}
		return keys.Local{Key: key}, nil
	}
	return set.Signer()
}

// unused refuses flags that say who signs where nobody does.
func (s *signing) unused() error {
	if s.command != "" || s.key != "" {
		return errors.New("--unsigned and --signatures take none of --sign-with and --key")
	}
	return nil
}

// signOptions are the flags of ketch sign.
type signOptions struct {
	signing
	output     string
	signatures string
	json       bool
	maxSize    *cli.Size
}

func signCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sign IMAGE -o FILE", Short: "Sign an image that was built with --unsigned",
		Args: cli.One("an unsigned image"),
		Long: `
First checks every byte of IMAGE but the signatures it lacks, then adds these.
FILE is the same, byte for byte, as what ketch build writes with the key at hand.

  ketch build images/qemu.yaml --unsigned -o unsigned.raw
  ketch sign unsigned.raw -o disk.raw --keys keys
  ketch sign unsigned.raw -o disk.raw --sign-with 'openssl dgst -sha256 -sign db.key'
  ketch sign unsigned.raw -o disk.raw --key 'pkcs11:token=ketch;object=db?pin-source=file:/run/pin'

With --signatures, they have been made elsewhere: unsigned.raw.requests holds a
file NAME.tbs for each, and DIR must hold NAME.sig, an RSA PKCS #1 v1.5 signature
with SHA-256 over that file's bytes.`,
	}
	f := cmd.Flags()
	var o signOptions
	o.flags(f)
	f.StringVarP(&o.output, "output", "o", "", "write the signed image to `FILE`")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	o.maxSize = maxSize(f)
	f.StringVar(&o.signatures, "signatures", "", "take the signatures from `DIR`")
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error {
		if o.output == "" {
			return cli.Usagef("want -o FILE")
		}
		return o.sign(ctx, e, args[0])
	})
	return cmd
}

// signedFile is what ketch sign and seal print as JSON.
type signedFile struct {
	Path   string `json:"path"`
	Signer string `json:"signer"` // common name of the certificate
}

func (o *signOptions) sign(ctx context.Context, e *env, unsigned string) error {
	set, err := o.set(e.stderr)
	if err != nil {
		return err
	}
	signer, err := o.signer(set, e.stderr)
	if err != nil {
		return err
	}
	options := image.SignOptions{Unsigned: unsigned, Output: o.output, Keys: set, Signer: signer, MaxSize: o.maxSize.Bytes}
	if err := image.Sign(ctx, options); err != nil {
		return err
	}
	if o.json {
		return cli.JSON(e.stdout, signedFile{o.output, set.DB.Certificate.Subject.CommonName})
	}
	printable.Fprintf(e.stdout, "%s: signed by %s\n", o.output, set.DB.Certificate.Subject.CommonName)
	return nil
}

// signer is who signs; signatures that are there need nobody.
func (o *signOptions) signer(set *keys.Set, stderr io.Writer) (image.Signer, error) {
	if o.signatures == "" {
		return o.signing.signer(set, stderr)
	}
	return keys.Signatures{Dir: o.signatures}, o.unused()
}
