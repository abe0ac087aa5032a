package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/progress"
	"github.com/ketch-os/ketch/builder/tree"
)

func flattenCommand() command {
	return command{
		name: "flatten", args: "REF… -o TREE.tar", short: "Merge container images into one tar",
		long: `
Applies the layers of the images, the first image at the bottom, and writes the
merged tree as a canonical tar: names sorted, the same tree gives the same
bytes.

  ketch flatten docker.io/library/debian:12 oci:out/layers:base -o tree.tar`,
		setup: func(f *flag.FlagSet) func(context.Context, *env, []string) error {
			out := f.String("o", "", "write the tar to `FILE` (- for standard output)")
			links := f.String("usr-merge", "error", "a directory over a link to a directory: `error`, follow or replace")
			return func(ctx context.Context, e *env, args []string) error {
				if len(args) == 0 || *out == "" {
					return usagef("flatten", "want at least one container image and -o FILE")
				}
				if !slices.Contains([]string{"error", "follow", "replace"}, *links) {
					return usagef("flatten", "--usr-merge %s: want error, follow or replace", *links)
				}
				if err := flatten(ctx, e, args, *out, tree.Policy{Links: tree.LinkPolicy(*links)}); err != nil {
					return fmt.Errorf("flatten: %w", err)
				}
				return nil
			}
		},
	}
}

func flatten(ctx context.Context, e *env, refs []string, out string, policy tree.Policy) (err error) {
	cache, err := openCache()
	if err != nil {
		return err
	}
	var images []image.ImageRef
	for _, ref := range refs {
		images = append(images, image.ImageRef{Ref: ref})
	}
	stack, err := image.OpenStack(ctx, image.Source{Client: &oci.Client{}, Cache: cache, Progress: progress.New(e.stderr)}, images, policy)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.Close()) }()
	if out == "-" {
		return writeTar(stack.Tree, e.stdout)
	}
	partial := out + ".partial"
	f, err := os.Create(partial)
	if err != nil {
		return err
	}
	defer os.Remove(partial)
	if err := errors.Join(writeTar(stack.Tree, f), f.Close()); err != nil {
		return err
	}
	return os.Rename(partial, out)
}

func writeTar(t *tree.Tree, w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 1<<20)
	return errors.Join(t.WriteTar(buffered), buffered.Flush())
}

func whyCommand() command {
	return command{
		name: "why", args: "DEFINITION PATH", short: "Tell which image, layer and definition line gave a path",
		long: `
Prints the history of a path in the merged tree, oldest first: who added it,
who replaced or removed it, which rule moved it.

  ketch why images/qemu.yaml usr/bin/containerd`,
		setup: func(f *flag.FlagSet) func(context.Context, *env, []string) error {
			asJSON := f.Bool("json", false, "print the history as JSON")
			return func(ctx context.Context, e *env, args []string) error {
				if len(args) != 2 {
					return usagef("why", "want a definition and a path")
				}
				if err := why(ctx, e, args[0], args[1], *asJSON); err != nil {
					return fmt.Errorf("why: %w", err)
				}
				return nil
			}
		},
	}
}

func why(ctx context.Context, e *env, path, name string, asJSON bool) (err error) {
	definition, err := image.LoadDefinition(path)
	if err != nil {
		return err
	}
	source, err := sourceFor(path, false)
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
		return printJSON(e.stdout, history)
	}
	for _, step := range history {
		fmt.Fprintf(e.stdout, "%-10s %s", step.Action, step.Other)
		if step.Origin != nil {
			fmt.Fprintf(e.stdout, "  by %s", step.Origin)
			if step.Origin.Image != "" && step.Origin.Place != "" {
				fmt.Fprintf(e.stdout, ", %s", step.Origin.Place)
			}
		}
		fmt.Fprintln(e.stdout)
	}
	return nil
}
