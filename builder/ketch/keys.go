package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/ketch-os/ketch/builder/keys"
)

func keysCommand() command {
	return command{
		name: "keys", args: "new|auth DIR", short: "Make the keys that images are signed with",
		long: `
Makes the three keys of Secure Boot, each with a certificate: PK, KEK, and db,
which signs boot loader and kernel images. Keep DIR out of version control, and
PK and KEK out of the build machine. Keys made with --development are marked:
every machine whose image they signed says so on its console.

ketch keys auth makes PK.auth, KEK.auth and db.auth in DIR: with them, an image
that enrols its keys can be built where PK.key and KEK.key are not.

  ketch keys new keys --development
  ketch keys auth keys`,
		setup: func(f *flag.FlagSet) func(context.Context, *env, []string) error {
			development := f.Bool("development", false, "mark the keys as not secret")
			return func(_ context.Context, e *env, args []string) error {
				if len(args) != 2 || args[0] != "new" && args[0] != "auth" {
					return usagef("keys", "want: new DIR, or: auth DIR")
				}
				if args[0] == "auth" {
					return enrolmentFiles(e, args[1])
				}
				if err := keys.New(args[1], keys.Options{Start: time.Now(), Secret: !*development}); err != nil {
					return fmt.Errorf("keys: %w", err)
				}
				fmt.Fprintf(e.stdout, "keys: PK, KEK and db are in %s\n", args[1])
				return nil
			}
		},
	}
}

func enrolmentFiles(e *env, dir string) error {
	if err := keys.WriteAuth(dir, time.Now()); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	fmt.Fprintf(e.stdout, "keys: PK.auth, KEK.auth and db.auth are in %s\n", dir)
	return nil
}
