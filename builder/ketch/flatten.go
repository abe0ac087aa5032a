package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/output"
	"github.com/ketch-os/ketch/builder/progress"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
	"github.com/ketch-os/ketch/update/release"
)

func flattenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "flatten REF… -o TREE.tar", Short: "Merge container images into one tar",
		Args: cli.AtLeast(1, "at least one container image and -o FILE"),
		Long: `
Applies the layers of the images, the first image at the bottom, and writes the
merged tree as a canonical tar: names sorted, the same tree gives the same
bytes. A FIFO or a character device is written into; nothing but a regular file
is ever replaced, and that once the tar is complete.

  ketch flatten docker.io/library/debian:12 oci:out/layers:base -o tree.tar`,
	}
	f := cmd.Flags()
	out := f.StringP("output", "o", "", "write the tar to `FILE` (- for standard output)")
	most := maxSize(f)
	asJSON := f.Bool("json", false, "print the result as JSON")
	links := f.String("usr-merge", "error", "what a directory over a link to a directory is: `POLICY` error, follow or replace")
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error {
		if *out == "" {
			return cli.Usagef("want at least one container image and -o FILE")
		}
		if !slices.Contains([]string{"error", "follow", "replace"}, *links) {
			return cli.Usagef("--usr-merge %s: want error, follow or replace", *links)
		}
		if *asJSON && *out == "-" {
			return cli.Usagef("--json and -o -: want one of them, both write to standard output")
		}
		to := output.Stream{Path: *out, Stdout: e.stdout, Limit: most.Bytes}
		result, err := flatten(ctx, e, args, to, tree.Policy{Links: tree.LinkPolicy(*links)})
		if err != nil || !*asJSON {
			return err
		}
		return cli.JSON(e.stdout, result)
	})
	return cmd
}

// flattened is what ketch flatten prints as JSON.
type flattened struct {
	Path     string          `json:"path"`
	Size     int64           `json:"size"`   // bytes of the tar
	Images   []release.Input `json:"images"` // bottom up
	Notes    []string        `json:"notes,omitempty"`
	TookUsec int64           `json:"tookUsec"`
}

func flatten(ctx context.Context, e *env, refs []string, out output.Stream, policy tree.Policy) (result *flattened, err error) {
	start := time.Now()
	if err := out.Check(); err != nil {
		return nil, err
	}
	cache, err := openCache(out.Limit)
	if err != nil {
		return nil, err
	}
	var images []image.ImageRef
	for _, ref := range refs {
		images = append(images, image.ImageRef{Ref: ref})
	}
	stack, err := image.OpenStack(ctx, image.Source{Client: &oci.Client{}, Cache: cache, Progress: progress.New(e.stderr)}, images, policy)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stack.Close()) }()
	result = &flattened{Path: out.Path, Images: stack.Inputs, Notes: stack.Notes()}
	for _, note := range result.Notes {
		printable.Fprintln(e.stderr, "flatten:", note)
	}
	err = out.Write(ctx, func(w io.Writer) (err error) {
		result.Size, err = writeTar(stack.Tree, w)
		return err
	})
	result.TookUsec = time.Since(start).Microseconds()
	return result, err
}

// writeTar returns how many bytes the tar has.
func writeTar(t *tree.Tree, w io.Writer) (int64, error) {
	counted := &counter{w: w}
	buffered := bufio.NewWriterSize(counted, 1<<20)
	err := t.WriteTar(buffered)
	if err == nil { // what has failed once fails again when it is flushed
		err = buffered.Flush()
	}
	return counted.n, err
}

// counter counts the bytes that go through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func whyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "why DEFINITION PATH", Short: "Tell which image, layer and definition line gave a path",
		Args: cli.Between(2, 2, "a definition and a path"),
		Long: `
Prints the history of a path in the merged tree, oldest first: who added it,
who replaced or removed it, which rule moved it.

  ketch why images/qemu.yaml usr/bin/containerd`,
	}
	f := cmd.Flags()
	asJSON := f.Bool("json", false, "print the history as JSON")
	most := maxSize(f)
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error {
		return why(ctx, e, args[0], args[1], *asJSON, most.Bytes)
	})
	return cmd
}

func why(ctx context.Context, e *env, path, name string, asJSON bool, most int64) (err error) {
	definition, err := image.LoadDefinition(path)
	if err != nil {
		return err
	}
	source, err := sourceFor(path, false, most)
	if err != nil {
		return err
	}
	stack, err := image.Merge(ctx, source, definition)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.Close()) }()
	history := stack.Tree.Why(strings.Trim(name, "/"))
	if len(history) == 0 {
		return fmt.Errorf("%s: no layer of %s has it", name, path)
	}
	if asJSON {
		return cli.JSON(e.stdout, history)
	}
	for _, step := range history {
		printable.Fprintf(e.stdout, "%-10s %s", step.Action, step.Other)
		if step.Origin != nil {
			printable.Fprintf(e.stdout, "  by %s", step.Origin)
			if step.Origin.Image != "" && step.Origin.Place != "" {
				printable.Fprintf(e.stdout, ", %s", step.Origin.Place)
			}
		}
		printable.Fprintln(e.stdout)
	}
	return nil
}
