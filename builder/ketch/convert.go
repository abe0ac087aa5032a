package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/convert"
	"github.com/ketch-os/ketch/builder/output"
	"github.com/ketch-os/ketch/builder/progress"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func convertCommand() *cobra.Command {
	var formats strings.Builder
	var names []string
	for _, f := range convert.Formats() {
		names = append(names, f.Name)
		formats.WriteString(fmt.Sprintf("  %-11s %s\n", f.Name, f.About))
	}
	cmd := &cobra.Command{
		Use: "convert IMAGE -o FILE", Short: "Write an image in the format that a cloud takes",
		Args: cli.One("an image"),
		Long: `
IMAGE is a raw disk, as ketch build writes it. The format is the one that the
name of FILE ends in, or the one that --format names:

` + formats.String() + `
Holes and zeros take no room, all cores compress, and the same disk gives the
same bytes. FILE is replaced when the new one is complete.

  ketch convert out/qemu/disk.raw -o disk.qcow2
  ketch convert out/qemu/disk.raw -o disk.qcow2 --format qcow2-0.10`,
	}
	f := cmd.Flags()
	to := f.StringP("output", "o", "", "write to `FILE`")
	asJSON := f.Bool("json", false, "print the result as JSON")
	most := maxSize(f)
	format := f.String("format", "", "write the format `NAME` whatever FILE is called")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error {
		if *to == "" {
			return cli.Usagef("want an image and -o FILE")
		}
		return convertImage(ctx, e, convert.Conversion{Input: args[0], Output: *to, MaxSize: most.Bytes}, *format, *asJSON)
	})
	return cmd
}

// converted is what ketch convert prints as JSON.
type converted struct {
	Path     string `json:"path"`
	Format   string `json:"format"`
	Size     int64  `json:"size"` // bytes of the file
	TookUsec int64  `json:"tookUsec"`
}

func convertImage(ctx context.Context, e *env, c convert.Conversion, format string, asJSON bool) (err error) {
	start := time.Now()
	if format != "" {
		c.Format, err = convert.Named(format)
	} else {
		c.Format, err = convert.ForFile(c.Output)
	}
	if err != nil {
		return cmp.Or(output.Check(c.Output), err) // a directory's name tells no format, either
	}
	bar := progress.New(e.stderr)
	c.Progress = func(done, size int64) { bar.Show("convert: "+filepath.Base(c.Output), done, size) }
	err = c.Run(ctx)
	bar.Clear()
	if err != nil {
		return err
	}
	info, err := os.Stat(c.Output)
	if err != nil {
		return err
	}
	took := time.Since(start)
	if asJSON {
		return cli.JSON(e.stdout, converted{c.Output, c.Format.Name, info.Size(), took.Microseconds()})
	}
	printable.Fprintf(e.stdout, "%s: %s, %s, in %.2f s\n", c.Output, c.Format.Name, cli.Bytes(info.Size()), took.Seconds())
	return nil
}
