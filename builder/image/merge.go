package image

import (
	"context"
	"fmt"
	"slices"

	"ketch/builder/hint"
	"ketch/builder/layers"
	"ketch/builder/tree"
)

// Merge merges the images of a definition and maps the tree to the shape of the OS.
func Merge(ctx context.Context, from Source, d *Definition) (*Stack, error) {
	images, err := from.open(ctx, d.Images)
	if err != nil {
		return nil, err
	}
	return mergeOS(ctx, from, d, images)
}

func mergeOS(ctx context.Context, from Source, d *Definition, images []*layers.Image) (*Stack, error) {
	s, err := from.merge(ctx, d.Images, images, tree.Policy{Links: d.UsrMerge})
	if err != nil {
		return nil, err
	}
	if err := s.mapOS(d); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// mapOS leaves usr/ and boot/, and nothing else, in the tree.
func (s *Stack) mapOS(d *Definition) error {
	report, err := s.Tree.MapOS(d.Drop, &tree.Origin{Place: d.File})
	if err != nil {
		return fmt.Errorf("definition %s: %w", d.File, err)
	}
	s.LeftOut = slices.Concat(report.Dropped, report.Ignored)
	if usr := s.Tree.Lookup("usr"); usr == nil || len(usr.Children) == 0 {
		return hint.Add(fmt.Errorf("definition %s: the merged tree has no usr/", d.File), "an OS image is made of container images that carry files under /usr")
	}
	s.Tree.ClampTimes(d.Released)
	return nil
}

func (b *build) merge(ctx context.Context) (err error) {
	if b.stack, err = mergeOS(ctx, b.Source, b.Definition, b.images); err != nil {
		return err
	}
	b.tree, b.info.Images = b.stack.Tree, b.stack.Inputs
	count := 0
	for _, input := range b.stack.Inputs {
		count += len(input.Layers)
	}
	b.detail = fmt.Sprintf("%d layers of %d images", count, len(b.stack.Inputs))
	for _, out := range b.stack.LeftOut {
		b.detail += fmt.Sprintf("; left out %s (%d files)", out.Path, out.Files)
	}
	return nil
}
