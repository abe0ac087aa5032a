package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/imagefs"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func extractCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "extract IMAGE [PATH…] -o DIR", Short: "Copy files of an image into a directory",
		Args: cli.AtLeast(1, "an image and -o DIR"),
		Long: treeHelp + `

Each file lands in DIR at its whole path, and nothing outside of DIR, whatever
links lie there; a file that is there already is never replaced. Modes, times
and hard links are kept; for root owners, extended attributes, set-ID bits and
devices, too. What could not be kept is said on standard error.

  ketch extract out/qemu/disk.raw -o tree
  ketch extract out/qemu/disk.raw /usr/bin /efi/loader -o tree`,
	}
	f := cmd.Flags()
	dir := f.StringP("output", "o", "", "put the files into `DIR`")
	asJSON := f.Bool("json", false, "print the result as JSON")
	open, most := inTree(f)
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error {
		if *dir == "" {
			return cli.Usagef("want an image and -o DIR")
		}
		return open(args[0], func(t *imagefs.Tree) error {
			result, err := extract(ctx, e, t, imagefs.Extraction{Dir: *dir, MaxSize: most.Bytes}, args[1:])
			if err != nil || !*asJSON {
				return err
			}
			return cli.JSON(e.stdout, result)
		})
	})
	return cmd
}

// extracted is what ketch extract prints as JSON.
type extracted struct {
	Path  string `json:"path"` // the directory
	Files int    `json:"files"`
	// LeftOut are files that could not be made, or not wholly.
	LeftOut []leftOut `json:"leftOut,omitempty"`
	// AsRoot tells that owners, extended attributes and set-ID bits are as in the image.
	AsRoot bool `json:"asRoot"`
}

type leftOut struct {
	Path string `json:"path"` // in the image
	What string `json:"what"`
}

func extract(ctx context.Context, e *env, t *imagefs.Tree, x imagefs.Extraction, paths []string) (*extracted, error) {
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	result := &extracted{Path: x.Dir}
	x.AsRoot = os.Geteuid() == 0
	x.Lost = func(name, what string) {
		result.LeftOut = append(result.LeftOut, leftOut{name, what})
		printable.Fprintf(e.stderr, "extract: %s: left out: %s\n", printable.Name(name), what)
	}
	lost, err := x.Run(ctx, t, paths...)
	if lost {
		printable.Fprintln(e.stderr, "warning: not root: owners, extended attributes and set-ID bits are left out")
	}
	result.Files, result.AsRoot = x.Files, !lost
	return result, err
}
