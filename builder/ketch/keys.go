package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func keysCommand() *cobra.Command {
	return cli.Parent(&cobra.Command{Use: "keys", Short: "Make the keys that images are signed with"}, newKeysCommand(), authCommand())
}

func newKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "new DIR", Short: "Make a set of keys",
		Args: cli.One("a directory"),
		Long: `
Makes the three keys of Secure Boot, each with a certificate: PK, KEK, and db,
which signs boot loader and kernel images. Keep DIR out of version control, and
PK and KEK out of the build machine. Keys made with --development are marked:
every machine whose image they signed says so on its console.

  ketch keys new keys --development`,
	}
	development := cmd.Flags().Bool("development", false, "mark the keys as not secret")
	asJSON := cmd.Flags().Bool("json", false, "print the result as JSON")
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		if err := keys.New(args[0], keys.Options{Start: time.Now(), Secret: !*development}); err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(e.stdout, madeKeys{Path: args[0], Development: *development})
		}
		printable.Fprintf(e.stdout, "keys: PK, KEK and db are in %s\n", args[0])
		return nil
	})
	return cmd
}

// madeKeys is what ketch keys prints as JSON.
type madeKeys struct {
	Path        string `json:"path"` // the directory
	Development bool   `json:"development"`
}

func authCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "auth DIR", Short: "Make the files that enrol a set of keys",
		Args: cli.One("a directory of keys"),
		Long: `
Makes PK.auth, KEK.auth and db.auth in DIR: with them, an image that enrols its
keys can be built where PK.key and KEK.key are not.

  ketch keys auth keys`,
	}
	asJSON := cmd.Flags().Bool("json", false, "print the result as JSON")
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		set, err := keys.WriteAuth(args[0], time.Now())
		if err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(e.stdout, madeKeys{Path: args[0], Development: set.Development})
		}
		printable.Fprintf(e.stdout, "keys: PK.auth, KEK.auth and db.auth are in %s\n", args[0])
		return nil
	})
	return cmd
}
