package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func inspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "inspect IMAGE", Short: "Show partitions, versions, root hashes and signatures of an image",
		Args: cli.One("an image"),
		Long: `
Reads an image or a machine's disk; nothing is checked beyond what reading
needs (see ketch verify).

  ketch inspect out/qemu/disk.raw
  ketch inspect --json /dev/vda`,
	}
	f := cmd.Flags()
	asJSON := f.Bool("json", false, "print it as JSON")
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		report, err := image.Inspect(args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return cli.JSON(e.stdout, report)
		}
		return printReport(e.stdout, report)
	})
	return cmd
}

func printReport(out io.Writer, r *image.Report) error {
	w := tabwriter.NewWriter(printable.NewWriter(out), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "disk\t%s, %.2f GiB, sectors of %d bytes\n", r.DiskID, float64(r.Size)/(1<<30), r.SectorSize)
	fmt.Fprintf(w, "state\t%s\n\n", r.State)
	fmt.Fprint(w, "#\tlabel\tsize\tUUID\ttype\n")
	for _, p := range r.Partitions {
		fmt.Fprintf(w, "%d\t%s\t%.1f MiB\t%s\t%s\n", p.Number, p.Label, float64(p.Size)/(1<<20), p.ID, p.Kind)
	}
	for _, e := range r.Entries {
		fmt.Fprintf(w, "\nentry\t%s\n", e.Path)
		if e.Error != "" {
			fmt.Fprintf(w, "  error\t%s\n", e.Error)
			continue
		}
		fmt.Fprintf(w, "  version\t%s (%s)\n  tries\t%s\n  kernel\t%s\n  command line\t%s\n  root hash\t%s\n", e.Version, e.Slot, e.Tries, e.Kernel, e.Cmdline, e.RootHash)
		if e.Contents != "" {
			fmt.Fprintf(w, "  contents\t%s\n", e.Contents)
		}
		for _, s := range e.Signers {
			fmt.Fprintf(w, "  signed by\t%s\n", s)
		}
		for _, i := range e.Images {
			fmt.Fprintf(w, "  image\t%s %s\n", i.Ref, i.Digest)
		}
	}
	printBootRecord(w, r.BootRecord)
	for _, d := range r.Damage {
		fmt.Fprintf(w, "\ndamage\t%s\n", d)
	}
	return w.Flush()
}

// printBootRecord prints what a machine has noted of its boots.
func printBootRecord(w io.Writer, r *bootrecord.Record) {
	if r == nil {
		return
	}
	if r.Generation == 0 {
		fmt.Fprint(w, "\nboot record\tempty\n")
		return
	}
	fmt.Fprintf(w, "\nboot record\tgeneration %d\n", r.Generation)
	for _, v := range r.Versions {
		fmt.Fprintf(w, "  %s\t%d starts, %d good, %d since it was good", v.Name, v.Starts, v.Goods, v.Attempts)
		if v.Words != "" {
			fmt.Fprintf(w, "; the last: %s", v.Words)
		}
		fmt.Fprintln(w)
	}
}
