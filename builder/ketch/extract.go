package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/ketch-os/ketch/builder/imagefs"
)

func extractCommand() command {
	return command{
		name: "extract", args: "IMAGE [PATH…] -o DIR", short: "Copy files of an image into a directory",
		long: treeHelp + `

Each file lands in DIR at its whole path, and nothing outside of DIR, whatever
links lie there; a file that is there already is never replaced. Modes, times
and hard links are kept; for root owners, extended attributes, set-ID bits and
devices, too. What could not be kept is said on standard error.

  ketch extract out/qemu/disk.raw -o tree
  ketch extract out/qemu/disk.raw /usr/bin /efi/loader -o tree`,
		setup: func(f *flag.FlagSet) func(context.Context, *env, []string) error {
			dir := f.String("o", "", "put the files into `DIR`")
			open := inTree(f)
			return func(_ context.Context, e *env, args []string) error {
				if len(args) == 0 || *dir == "" {
					return usagef("extract", "want an image and -o DIR")
				}
				err := open(args[0], func(t *imagefs.Tree) error { return extract(e, t, *dir, args[1:]) })
				if err != nil {
					return fmt.Errorf("extract: %w", err)
				}
				return nil
			}
		},
	}
}

func extract(e *env, t *imagefs.Tree, dir string, paths []string) error {
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	x := imagefs.Extraction{Dir: dir, AsRoot: os.Geteuid() == 0, Lost: func(name, what string) {
		fmt.Fprintf(e.stderr, "extract: %s: left out: %s\n", printable(name), what)
	}}
	leftOut, err := x.Run(t, paths...)
	if leftOut {
		fmt.Fprintln(e.stderr, "warning: not root: owners, extended attributes and set-ID bits are left out")
	}
	return err
}
