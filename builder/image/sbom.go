package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/output"
	"github.com/ketch-os/ketch/builder/sbom"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// packages are what the images themselves list as installed.
type packages struct {
	databases []*sbom.Database
	fault     error // of a list that cannot be read: it matters to a bill of materials only
}

// read notes the packages of an image whose layers have just been applied to
// the tree: their database will not outlive the mapping to the shape of an OS.
func (p *packages) read(t *tree.Tree, ref ImageRef) {
	db, err := sbom.ReadDatabase(t, ref.Ref, ref.Origin())
	if err != nil {
		p.fault = errors.Join(p.fault, ref.wrap(err))
	}
	if db != nil {
		p.databases = append(p.databases, db)
	}
}

// describeContent puts the bill of materials into the tree.
func (b *build) describeContent(context.Context) error {
	if err := b.stack.packages.fault; err != nil {
		return fmt.Errorf("bill of materials: %w", err)
	}
	source := sbom.Source{
		Name: b.info.Name, Version: b.info.Version, Released: b.info.Released, Kernel: b.info.Kernel.Source,
		Databases: b.stack.packages.databases, Tree: b.tree, MaxSize: b.Source.Cache.MaxSize,
	}
	for _, input := range slices.Concat(b.info.Images, b.info.Workloads) {
		source.Images = append(source.Images, sbom.Image{Ref: input.Ref, Digest: input.Digest})
	}
	document, err := sbom.Make(source)
	if err != nil {
		return fmt.Errorf("bill of materials: %w", err)
	}
	data, err := document.Encode()
	if err != nil {
		return fmt.Errorf("bill of materials: %w", err)
	}
	b.detail = fmt.Sprintf("%s, %d KiB", document.Summary(), len(data)/layout.KiB)
	return b.put(layout.SBOM, data)
}

// SlotSBOM reads the bill of materials out of a slot. The error of an image without
// one is an fs.ErrNotExist.
func SlotSBOM(s *release.Slot) (document *sbom.Document, raw []byte, err error) {
	usr, err := s.FS()
	if err != nil {
		return nil, nil, err
	}
	if raw, err = fs.ReadFile(usr, strings.TrimPrefix(layout.SBOM, "/usr/")); err != nil {
		return nil, nil, fmt.Errorf("usr: %w", err)
	}
	document, err = sbom.Parse(raw)
	return document, raw, err
}

// SBOMPath is where the bill of materials lies beside an image.
func SBOMPath(image string) string { return image + ".spdx.json" }

// SBOM reads the bill of materials of the newest version on a disk.
func (d *Disk) SBOM() (document *sbom.Document, raw []byte, err error) {
	e, err := d.Newest()
	if err != nil {
		return nil, nil, err
	}
	slot, err := d.Slot(e.RootHash)
	if err != nil {
		return nil, nil, err
	}
	return SlotSBOM(slot)
}

// Newest is the boot entry that the boot loader takes first.
func (d *Disk) Newest() (Entry, error) {
	entries, err := d.Entries()
	if err == nil && len(entries) == 0 {
		err = errNoEntry
	}
	if err != nil {
		return Entry{}, err
	}
	return slices.MinFunc(entries, func(a, b Entry) int { return entry.Order(a.Name, b.Name) }), nil
}

// exportSBOM puts a copy of the bill of materials beside a new image.
func exportSBOM(image string) error {
	d, err := Open(image)
	if err != nil {
		return err
	}
	defer d.Close()
	_, raw, err := d.SBOM()
	if err != nil {
		return fmt.Errorf("%s: %w", image, err)
	}
	return replaceFile(SBOMPath(image), raw)
}

// replaceFile gives a file a new content in one step, unless it has it.
func replaceFile(name string, data []byte) error {
	if there, err := os.ReadFile(name); err == nil && bytes.Equal(there, data) {
		return nil
	}
	return output.WriteFile(name, data)
}
