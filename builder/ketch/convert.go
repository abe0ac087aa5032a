package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/convert"
	"github.com/ketch-os/ketch/builder/progress"
)

func convertCommand() command {
	var formats strings.Builder
	for _, f := range convert.Formats() {
		fmt.Fprintf(&formats, "  %-11s %s\n", f.Name, f.About)
	}
	return command{
		name: "convert", args: "IMAGE -o FILE", short: "Write an image in the format that a cloud takes",
		long: `
IMAGE is a raw disk, as ketch build writes it. The format is the one that the
name of FILE ends in, or the one that --format names:

` + formats.String() + `
Holes and zeros take no room, all cores compress, and the same disk gives the
same bytes. FILE is replaced when the new one is complete.

  ketch convert out/qemu/disk.raw -o disk.qcow2
  ketch convert out/qemu/disk.raw -o disk.qcow2 --format qcow2-0.10`,
		setup: func(f *flag.FlagSet) func(context.Context, *env, []string) error {
			output := f.String("o", "", "write to `FILE`")
			format := f.String("format", "", "write the format `NAME` whatever FILE is called")
			return func(ctx context.Context, e *env, args []string) error {
				input, err := oneArgument("convert", "an image", args)
				if err != nil {
					return err
				}
				if *output == "" {
					return usagef("convert", "-o FILE is missing")
				}
				if err := convertImage(ctx, e, convert.Conversion{Input: input, Output: *output}, *format); err != nil {
					return fmt.Errorf("convert: %w", err)
				}
				return nil
			}
		},
	}
}

func convertImage(ctx context.Context, e *env, c convert.Conversion, format string) (err error) {
	start := time.Now()
	if format != "" {
		c.Format, err = convert.Named(format)
	} else {
		c.Format, err = convert.ForFile(c.Output)
	}
	if err != nil {
		return err
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
	fmt.Fprintf(e.stdout, "%s: %s, %.1f MiB, in %.2f s\n", c.Output, c.Format.Name, float64(info.Size())/(1<<20), time.Since(start).Seconds())
	return nil
}
