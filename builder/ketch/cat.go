package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/imagefs"
	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/internal/cli"
)

func catCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cat IMAGE PATH…", Short: "Print files of an image",
		Args: cli.AtLeast(2, "an image and the path of a file in it"),
		Long: treeHelp + `

  ketch cat out/qemu/disk.raw /usr/lib/os-release
  ketch cat out/qemu/disk.raw /efi/loader/loader.conf`,
	}
	f := cmd.Flags()
	open, most := inTree(f)
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		return open(args[0], func(t *imagefs.Tree) error {
			out := limit.New(most.Bytes, "").Writer(e.stdout)
			for _, name := range args[1:] {
				if err := catFile(out, t, name); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return cmd
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
