package convert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/input"
	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/builder/output"
)

// Conversion is a raw disk in a file that is to become a file in another format.
type Conversion struct {
	Input    string
	Output   string // replaced, by a rename
	Format   Format
	Options  Options
	MaxSize  int64                  // of the disk, in bytes; 0: limit.Default
	Progress func(done, size int64) // bytes of the disk that are in no hole; may be nil
}

// Run writes the output. On an error nothing of it is left.
func (c Conversion) Run(ctx context.Context) (err error) {
	in, err := input.Open(c.Input)
	if err != nil {
		return input.Explain(err, input.Image)
	}
	defer in.Close()
	disk, err := OpenDisk(in)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Input, err)
	}
	if err := limit.Check(disk.Size, cmp.Or(c.MaxSize, limit.Default), "read "+c.Input); err != nil {
		return err
	}
	if sameFile(c.Input, c.Output) {
		return hint.Add(fmt.Errorf("%s would replace the image itself", c.Output), "give another name with -o")
	}
	if c.Progress != nil {
		size, err := disk.DataSize()
		if err != nil {
			return err
		}
		disk.Progress = func(done int64) { c.Progress(min(done, size), size) }
	}
	out, err := output.Create(ctx, c.Output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Discard()) }()
	if err := c.Format.Write(ctx, out.File.File, disk, c.Options); err != nil {
		return fmt.Errorf("%s: %w", c.Output, err)
	}
	return out.Commit()
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
