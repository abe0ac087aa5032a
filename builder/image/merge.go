package image

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/internal/printable"
	"github.com/ketch-os/ketch/layout"
)

// Merge merges the images of a definition and maps the tree to the shape of the
// OS. The files that the builder makes itself are in it, with no content yet.
func Merge(ctx context.Context, from Source, d *Definition) (s *Stack, err error) {
	images, err := from.open(ctx, d.Images)
	if err != nil {
		return nil, err
	}
	if s, err = stackOS(ctx, from, d, images); err != nil {
		return nil, err
	}
	there := func(context.Context) (map[string]string, error) { return layerImages(s.Tree), nil }
	c, err := from.openCargo(ctx, d, there)
	if err == nil {
		err = c.pack(ctx, from, d, s)
	}
	for _, name := range generated() {
		err = errors.Join(err, s.Tree.Put(name[1:], tree.File(nil, 0o644, d.Released), nil))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// generated lists the files of usr that the builder makes itself.
func generated() []string { return []string{layout.OSRelease, layout.ImageInfo, layout.SBOM} }

// stackOS merges the images of the OS and maps the tree to its shape.
func stackOS(ctx context.Context, from Source, d *Definition, images []*oci.Image) (*Stack, error) {
	s, err := from.stack(ctx, d.Images, images, d.Policy)
	if err != nil {
		if refusedByPolicy(err) { // not one that could not be fetched
			err = suspectApplication(err, d, images)
		}
		return nil, err
	}
	if err := s.mapOS(d); err != nil {
		s.Close()
		return nil, suspectApplication(err, d, images)
	}
	return s, nil
}

// refusedByPolicy tells that an image's files do not go with those of the others.
func refusedByPolicy(err error) bool {
	_, collision := errors.AsType[*tree.Collision](err)
	_, link := errors.AsType[*tree.LinkConflict](err)
	_, overwrite := errors.AsType[*tree.Overwrite](err)
	_, whiteout := errors.AsType[*tree.Whiteout](err)
	return collision || link || overwrite || whiteout
}

// mapOS leaves usr/ and boot/, and nothing else, in the tree. What the image does
// without is listed in LeftOut.
func (s *Stack) mapOS(d *Definition) error {
	for _, path := range d.Drop {
		dropped, err := s.Tree.Drop(path.Text, &tree.Origin{Place: path.Origin()})
		if err != nil {
			return fmt.Errorf("definition %s: %w", path.Origin(), err)
		}
		s.LeftOut = append(s.LeftOut, dropped)
	}
	report, err := s.Tree.MapOS(nil, nil)
	if err != nil {
		return fmt.Errorf("definition %s: %w", d.File, err)
	}
	s.LeftOut = append(s.LeftOut, report.Ignored...)
	s.LeftOut = append(s.LeftOut, s.unusedBoot()...)
	if usr := s.Tree.Lookup("usr"); usr == nil || len(usr.Children) == 0 {
		return hint.Add(fmt.Errorf("definition %s: the merged tree has no usr/", d.File), "an OS image is made of container images that carry files under /usr")
	}
	s.Tree.ClampTimes(d.Released)
	return nil
}

// unusedBoot lists the files of boot/ that no part of the image is made of.
func (s *Stack) unusedBoot() (unused []tree.Removal) {
	used := map[*tree.Node]bool{}
	for _, part := range new(bootFiles).parts() {
		used[s.Tree.Lookup(part.name)], used[s.Tree.Follow(part.name)] = true, true
	}
	s.Tree.Walk(func(name string, n *tree.Node) error {
		if strings.HasPrefix(name, "boot/") && !n.IsDir() && !used[n] {
			unused = append(unused, tree.Removal{Path: name, Files: 1, Bytes: n.Size})
		}
		return nil
	})
	return unused
}

// needStack merges the OS's layers, unless that has been done.
func (b *build) needStack(ctx context.Context) (err error) {
	if b.stack == nil {
		b.stack, err = stackOS(ctx, b.Source, b.Definition, b.images)
	}
	return err
}

func (b *build) mergeLayers(ctx context.Context) (err error) {
	if err := b.needStack(ctx); err != nil {
		return err
	}
	b.tree, b.info.Images = b.stack.Tree, b.stack.Inputs
	count := 0
	for _, input := range b.stack.Inputs {
		count += len(input.Layers)
	}
	b.detail = fmt.Sprintf("%d layers of %d images", count, len(b.stack.Inputs))
	for _, note := range b.stack.Notes() {
		b.detail += "; " + note
	}
	return nil
}

// maxListed bounds how many files a note lists one by one.
const maxListed = 10

// Notes say what became of files otherwise than their images have it: what was
// left out, and what stayed in spite of a whiteout.
func (s *Stack) Notes() (notes []string) {
	for _, out := range s.LeftOut {
		notes = append(notes, fmt.Sprintf("left out %s (%d files)", out.Path, out.Files))
	}
	for _, x := range s.Tree.DroppedXattrs() {
		notes = append(notes, fmt.Sprintf("dropped extended attribute %s of %d files of %s", x.Name, x.Files, x.Image))
	}
	whiteouts := s.Tree.Whiteouts()
	for _, w := range whiteouts[:min(len(whiteouts), maxListed)] {
		notes = append(notes, fmt.Sprintf("kept %s of %s: the whiteout is of %s", w.Path, w.Of.Image, w.By.Image))
	}
	if more := len(whiteouts) - maxListed; more > 0 {
		notes = append(notes, fmt.Sprintf("kept %d more files that another image's whiteouts name", more))
	}
	for i, note := range notes {
		notes[i] = printable.Text(note)
	}
	return notes
}
