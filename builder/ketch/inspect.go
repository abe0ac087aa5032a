package main

import (
	"context"
	"fmt"
	"io"

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
	most := maxSize(f)
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		d, err := image.OpenWithin(args[0], most.Bytes)
		if err != nil {
			return err
		}
		defer d.Close()
		report := d.Inspect()
		if *asJSON {
			return cli.JSON(e.stdout, report)
		}
		return printReport(e.stdout, report)
	})
	return cmd
}

func printReport(out io.Writer, r *image.Report) error {
	w := printable.NewTable(out)
	w.Row("disk", fmt.Sprintf("%s, %.2f GiB, sectors of %d bytes", r.DiskID, float64(r.Size)/(1<<30), r.SectorSize))
	w.Row("state", r.State)
	w.Row()
	w.Row("#", "label", "size", "UUID", "type")
	for _, p := range r.Partitions {
		w.Row(p.Number, p.Label, cli.Bytes(p.Size), p.ID, p.Kind)
	}
	for _, e := range r.Entries {
		w.Row()
		w.Row("entry", e.Path)
		printEntry(w, e)
	}
	printBootRecord(w, r.BootRecord)
	for _, d := range r.Damage {
		w.Row()
		w.Row("damage", d)
	}
	return w.Flush()
}

func printEntry(w *printable.Table, e image.EntryReport) {
	if e.Error != "" {
		w.Row("  error", e.Error)
		return
	}
	w.Row("  version", fmt.Sprintf("%s (%s)", e.Version, e.Slot))
	w.Row("  tries", e.Tries)
	w.Row("  kernel", e.Kernel)
	w.Row("  command line", e.Cmdline)
	w.Row("  root hash", e.RootHash)
	if e.Contents != "" {
		w.Row("  contents", e.Contents)
	}
	for _, s := range e.Signers {
		w.Row("  signed by", s)
	}
	for _, i := range e.Images {
		w.Row("  image", i.Ref+" "+i.Digest)
	}
}

// printBootRecord prints what a machine has noted of its boots.
func printBootRecord(w *printable.Table, r *bootrecord.Record) {
	if r == nil {
		return
	}
	w.Row()
	if r.Generation == 0 {
		w.Row("boot record", "empty")
		return
	}
	w.Row("boot record", fmt.Sprintf("generation %d", r.Generation))
	for _, v := range r.Versions {
		line := fmt.Sprintf("%d starts, %d good, %d since it was good", v.Starts, v.Goods, v.Attempts)
		if v.Words != "" {
			line += "; the last: " + v.Words
		}
		w.Row("  "+v.Name, line)
	}
}
