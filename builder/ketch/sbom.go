package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/sbom"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func sbomCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sbom IMAGE", Short: "Show what an image is made of: packages, versions, licences",
		Args: cli.One("an image"),
		Long: `
Reads the bill of materials out of the newest version of the OS on a disk. It
lies under the root hash; ketch build puts a copy beside the image. --spdx
prints it as it is: an SPDX 2.3 document in JSON.

  ketch sbom out/qemu/disk.raw
  ketch sbom --spdx out/qemu/disk.raw > disk.spdx.json`,
	}
	f := cmd.Flags()
	asJSON := f.Bool("json", false, "print the packages as JSON")
	most := maxSize(f)
	spdx := f.Bool("spdx", false, "print the SPDX document")
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		document, raw, err := readSBOM(args[0], most.Bytes)
		if err != nil {
			return err
		}
		if *spdx {
			_, err := e.stdout.Write(raw)
			return err
		}
		if *asJSON {
			return cli.JSON(e.stdout, contentsOf(document))
		}
		return printSBOM(e.stdout, document)
	})
	return cmd
}

// readSBOM reads the bill of materials of the newest version in an image.
func readSBOM(path string, most int64) (*sbom.Document, []byte, error) {
	d, err := image.OpenWithin(path, most)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	document, raw, err := d.SBOM()
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = hint.Add(err, "only images that ketch build has made since it writes bills of materials have one")
	}
	return document, raw, err
}

// packaged is a package as ketch sbom --json prints it.
type packaged struct {
	Kind    string `json:"kind"` // "deb", "golang", "oci", …
	Name    string `json:"name"`
	Version string `json:"version"`
	Licence string `json:"licence"` // SPDX expression, or NOASSERTION
}

func contentsOf(d *sbom.Document) []packaged {
	list := []packaged{}
	for _, p := range d.Packages {
		if kind := p.Kind(); kind != "" {
			list = append(list, packaged{kind, p.Name, p.Version, p.LicenceDeclared})
		}
	}
	return list
}

func printSBOM(out io.Writer, d *sbom.Document) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	printable.Fprintf(w, "%s: %s\n\n", d.Name, d.Summary())
	for _, p := range d.Packages {
		if kind := p.Kind(); kind != "" {
			printable.Fprintf(w, "%s\t%s\t%s\t%s\n", kind, printable.Name(p.Name), short(p.Version), p.LicenceDeclared)
		}
	}
	return w.Flush()
}
