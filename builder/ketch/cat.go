package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/ketch-os/ketch/builder/imagefs"
)

func catCommand() command {
	return command{
		name: "cat", args: "IMAGE PATH…", short: "Print files of an image",
		long: treeHelp + `

  ketch cat out/qemu/disk.raw /usr/lib/os-release
  ketch cat out/qemu/disk.raw /efi/loader/loader.conf`,
		setup: func(f *flag.FlagSet) func(context.Context, *env, []string) error {
			open := inTree(f)
			return func(_ context.Context, e *env, args []string) error {
				if len(args) < 2 {
					return usagef("cat", "want an image and the path of a file in it")
				}
				err := open(args[0], func(t *imagefs.Tree) error {
					for _, name := range args[1:] {
						if err := catFile(e.stdout, t, name); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					return fmt.Errorf("cat: %w", err)
				}
				return nil
			}
		},
	}
}

func catFile(out io.Writer, t *imagefs.Tree, name string) error {
	f, err := t.Lookup(name, true)
	if err != nil {
		return err
	}
	content, err := f.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(out, content)
	return err
}
