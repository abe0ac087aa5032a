package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/compare"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

// diffOptions are the flags of ketch diff.
type diffOptions struct {
	json, files, exitCode bool
	maxSize               *cli.Size
}

func diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff A B", Short: "Show what differs between two images: packages, files, sizes",
		Args: cli.Between(2, 2, "two images"),
		Long: `
Compares the newest version of the OS on two disks: what it boots with, its
packages (by the bill of materials in each, see ketch sbom), and every file by
content, mode, owner, extended attributes and link target. Times of files and
signatures are left out.

  ketch diff old/disk.raw out/qemu/disk.raw
  ketch diff --files --json old/disk.raw out/qemu/disk.raw

The exit status is 0 whether or not there are differences, unless --exit-code
is given.`,
	}
	f := cmd.Flags()
	var o diffOptions
	f.BoolVar(&o.json, "json", false, "print everything as JSON")
	f.BoolVar(&o.files, "files", false, "list every file that differs")
	o.maxSize = maxSize(f)
	f.BoolVar(&o.exitCode, "exit-code", false, "exit with status 1 when the images differ")
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		return o.run(e, args[0], args[1])
	})
	return cmd
}

func (o diffOptions) run(e *env, a, b string) error {
	report, err := compare.Images(a, b, o.maxSize.Bytes)
	if err != nil {
		return err
	}
	if o.json {
		err = cli.JSON(e.stdout, report)
	} else {
		err = o.print(e.stdout, report)
	}
	if err == nil && o.exitCode && !report.Equal() {
		return cli.Status(1)
	}
	return err
}

func (o diffOptions) print(out io.Writer, r *compare.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range []struct {
		name string
		side compare.Side
	}{{"A", r.A}, {"B", r.B}} {
		printable.Fprintf(w, "%s\t%s\t%s %s\tusr %s\troot hash %s…\n", s.name, s.side.Path, s.side.Name, s.side.Version, cli.Bytes(s.side.UsrSize), s.side.RootHash[:16])
	}
	if r.Equal() {
		printable.Fprintf(w, "\nno differences\n")
		return w.Flush()
	}
	if delta := r.B.UsrSize - r.A.UsrSize; delta != 0 {
		printable.Fprintf(w, "\nusr: %s\n", signed(delta))
	}
	printBoot(w, r.Boot)
	printPackages(w, r)
	if o.files || len(r.Files) <= fewFiles {
		printFiles(w, r.Files)
	} else {
		printDirectories(w, r.Files)
	}
	return w.Flush()
}

// fewFiles are listed one by one without being asked for.
const fewFiles = 20

func printBoot(w io.Writer, values []compare.Value) {
	if len(values) == 0 {
		return
	}
	printable.Fprintf(w, "\nboot\n")
	for _, v := range values {
		if v.Name == "command line" {
			printable.Fprintf(w, "  %s\t%s\n", v.Name, parameters(v))
			continue
		}
		printable.Fprintf(w, "  %s\t%s\n", v.Name, arrow(short(v.A), short(v.B)))
	}
}

// parameters tells what was taken from and added to a list of words.
func parameters(v compare.Value) string {
	a, b := strings.Fields(v.A), strings.Fields(v.B)
	var changes []string
	for _, word := range a {
		if !slices.Contains(b, word) {
			changes = append(changes, "-"+word)
		}
	}
	for _, word := range b {
		if !slices.Contains(a, word) {
			changes = append(changes, "+"+word)
		}
	}
	if len(changes) == 0 {
		return arrow(v.A, v.B)
	}
	return strings.Join(changes, " ")
}

func arrow(a, b string) string { return cmp.Or(a, "none") + " → " + cmp.Or(b, "none") }

// short cuts digests.
func short(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		if hex := strings.TrimPrefix(word, "sha256:"); len(hex) == 64 {
			words[i] = hex[:12] + "…"
		}
	}
	return strings.Join(words, " ")
}

// marks are what a line of a change starts with.
var marks = map[compare.Change]string{compare.Added: "+", compare.Removed: "-", compare.Changed: "~", compare.Rebuilt: "~"}

func printPackages(w io.Writer, r *compare.Report) {
	if len(r.Packages) == 0 {
		return
	}
	printable.Fprintf(w, "\npackages: %s\n", counts(r.Packages, func(p compare.Package) compare.Change { return p.Change }))
	if r.Basis != "sbom" {
		printable.Fprintf(w, "  (by the layers' inventories: an image has no bill of materials)\n")
	}
	for _, p := range r.Packages {
		line(w, marks[p.Change]+" "+p.Kind, printable.Name(p.Name), versions(p), sizeChange(p.SizeB-p.SizeA))
	}
}

func versions(p compare.Package) string {
	a, b := short(strings.Join(p.A, ", ")), short(strings.Join(p.B, ", "))
	switch p.Change {
	case compare.Changed:
		return arrow(a, b)
	case compare.Rebuilt:
		return b + ", other files"
	}
	return a + b
}

func printFiles(w io.Writer, files []compare.File) {
	if len(files) == 0 {
		return
	}
	printable.Fprintf(w, "\nfiles: %s\n", counts(files, fileChange))
	for _, f := range files {
		line(w, marks[f.Change]+" "+printable.Name(f.Path), details(f.What), sizeChange(f.SizeB-f.SizeA))
	}
}

func fileChange(f compare.File) compare.Change { return f.Change }

// details tells what of a file has changed.
func details(what []compare.Value) string {
	var all []string
	for _, v := range what {
		if v.A == "" && v.B == "" {
			all = append(all, v.Name)
			continue
		}
		all = append(all, v.Name+" "+arrow(v.A, v.B))
	}
	return strings.Join(all, ", ")
}

// printDirectories groups files by the directory they are in.
func printDirectories(w io.Writer, files []compare.File) {
	printable.Fprintf(w, "\nfiles: %s (--files lists them)\n", counts(files, fileChange))
	groups := map[string][]compare.File{}
	var order []string
	for _, f := range files {
		dir := path.Dir(f.Path)
		if groups[dir] == nil {
			order = append(order, dir)
		}
		groups[dir] = append(groups[dir], f)
	}
	slices.Sort(order)
	for _, dir := range order {
		delta := int64(0)
		for _, f := range groups[dir] {
			delta += f.SizeB - f.SizeA
		}
		line(w, printable.Name(dir), counts(groups[dir], fileChange), sizeChange(delta))
	}
}

// counts reads "1 added, 2 changed".
func counts[T any](all []T, change func(T) compare.Change) string {
	n := map[compare.Change]int{}
	for _, c := range all {
		n[change(c)]++
	}
	var parts []string
	for _, c := range []compare.Change{compare.Added, compare.Removed, compare.Changed, compare.Rebuilt} {
		if n[c] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[c], c))
		}
	}
	return strings.Join(parts, ", ")
}

// line writes the cells of a table; empty ones at its end would be blanks.
func line(w io.Writer, cells ...string) {
	for i, cell := range cells {
		cells[i] = printable.Text(cell)
	}
	io.WriteString(w, "  "+strings.TrimRight(strings.Join(cells, "\t"), "\t")+"\n")
}

func sizeChange(delta int64) string {
	if delta == 0 {
		return ""
	}
	return signed(delta)
}

// signed is a number of bytes with its sign.
func signed(delta int64) string {
	size, sign := delta, "+"
	if delta < 0 {
		size, sign = -delta, "-"
	}
	switch {
	case size < 10<<10:
		return fmt.Sprintf("%+d bytes", delta)
	case size < 10<<20:
		return fmt.Sprintf("%+.1f KiB", float64(delta)/(1<<10))
	}
	return sign + cli.Bytes(size)
}
