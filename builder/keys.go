package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"ketch/builder/keys"
)

func keysCommand() command {
	return command{
		name: "keys", args: "new DIR", short: "Make the keys that images are signed with",
		long: `
Makes the three keys of Secure Boot, each with a certificate: PK, KEK, and db,
which signs boot loader and kernel images. Keep DIR out of version control, and
PK and KEK out of the build machine. Keys made with --development are marked:
every machine whose image they signed says so on its console.

  ketch keys new keys --development`,
		setup: func(f *flag.FlagSet) func(context.Context, *env, []string) error {
			development := f.Bool("development", false, "mark the keys as not secret")
			return func(_ context.Context, e *env, args []string) error {
				if len(args) != 2 || args[0] != "new" {
					return usagef("keys", "want: new DIR")
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
