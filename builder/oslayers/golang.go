package oslayers

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/ketch-os/ketch/builder/oslayers/gocmd"
)

// programs are the Go commands of a layer.
type programs []*program

func (all programs) inputs(context.Context, *build) ([]string, error) {
	var inputs []string
	for _, p := range all {
		inputs = append(inputs, p.resolved.Key)
	}
	return inputs, nil
}

func (all programs) apply(ctx context.Context, b *build, l *layer) error {
	step := b.prefix
	defer func() { b.prefix = step }()
	for i, p := range all {
		b.prefix = fmt.Sprintf("%s %d/%d", step, i+1, len(all))
		if err := b.addProgram(ctx, l, p.Path, p.resolved); err != nil {
			return err
		}
	}
	return nil
}

// addProgram compiles a program, if it is not in the cache, and puts it in its place.
func (b *build) addProgram(ctx context.Context, l *layer, place string, p gocmd.Program) error {
	if !b.compiler.Cached(p) {
		b.report(path.Base(p.Package))
	}
	binary, err := b.compiler.Build(ctx, p, b.work)
	if err != nil {
		return err
	}
	if err := b.record(ctx, l, binary, recordOf(place, p)); err != nil {
		return err
	}
	program, err := hosted(executable, binary)
	if err != nil {
		return err
	}
	return l.files.add(place, program)
}

// busybox is a userland in one program, and the links by which it is called.
type busybox struct {
	gocmd.Busybox `yaml:",inline"`
	Path          string `yaml:"path"`  // of the program
	Links         string `yaml:"links"` // the directory of its names

	resolved gocmd.Program
}

func (u *busybox) inputs(ctx context.Context, b *build) ([]string, error) {
	if u.Path == "" || u.Links == "" {
		return nil, errors.New("path and links are required")
	}
	var err error
	u.resolved, err = b.compiler.ResolveBusybox(ctx, path.Base(u.Path), u.Busybox)
	return []string{u.resolved.Key}, err
}

func (u *busybox) apply(ctx context.Context, b *build, l *layer) error {
	if err := b.addProgram(ctx, l, u.Path, u.resolved); err != nil {
		return err
	}
	target, err := relative(u.Links, u.Path)
	if err != nil {
		return err
	}
	for _, name := range u.Names() {
		if err := l.files.add(path.Join(u.Links, name), link(target)); err != nil {
			return err
		}
	}
	return nil
}
