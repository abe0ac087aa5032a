// Package oslayers builds the layers that the operating system itself is made of.
//
// A layer is a folder with a layer.yaml and, under files/, the files it carries
// as they are. The definition is a list of sections, each a step that adds to
// the layer: the kernel, files out of Debian packages, Go commands, a userland
// in one program, container images, links. rootfs/README.md describes them.
//
// All layers go into one OCI image layout, each as an image of one uncompressed
// layer under a tag of its name. The same inputs give the same bytes, and a
// layer whose inputs have not changed is not made again: the digest of its
// inputs stands in the index beside it.
package oslayers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/cache"
	"github.com/ketch-os/ketch/builder/oslayers/apt"
	"github.com/ketch-os/ketch/builder/oslayers/gocmd"
	"github.com/ketch-os/ketch/builder/oslayers/oci"
)

// Options says what to build. Only Source and Out are required.
type Options struct {
	Source string    // the folder of the layers: rootfs
	Out    string    // the OCI layout: out/layers
	Names  []string  // which layers; none means all
	Cache  string    // for what outlives a checkout; default ${XDG_CACHE_HOME:-~/.cache}/ketch
	Log    io.Writer // a line a step; default none
}

// Layer is a layer as it is in the layout now.
type Layer struct {
	Name    string  `json:"name"`
	Image   v1.Hash `json:"image"`   // digest of the manifest
	Layer   v1.Hash `json:"layer"`   // digest of the tar, and its diff ID
	Size    int64   `json:"size"`    // bytes of the tar
	Rebuilt bool    `json:"rebuilt"` // false: its inputs had not changed
}

// Build builds the layers, one after the other.
func Build(ctx context.Context, o Options) ([]Layer, error) {
	b, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer b.close()
	layout, err := oci.Open(ctx, o.Out)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Out, err)
	}
	defer layout.Close()
	var layers []Layer
	for _, d := range b.definitions {
		layer, err := b.build(ctx, d, layout)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", d.name, err)
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// build is one run of Build.
type build struct {
	definitions []*definition
	module      string // directory of go.mod
	work        string // scratch, on the same file system as the cache
	self        string // digest of the program that builds
	apt         apt.Apt
	compiler    *gocmd.Compiler
	log         io.Writer
	prefix      string // of lines about the step in progress
}

// open reads the definitions and finds out what their Go commands are made of.
func open(ctx context.Context, o Options) (*build, error) {
	b := &build{log: o.Log}
	if b.log == nil {
		b.log = io.Discard
	}
	names := o.Names
	var err error
	if len(names) == 0 {
		if names, err = find(o.Source); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		d, err := load(o.Source, name)
		if err != nil {
			return nil, err
		}
		b.definitions = append(b.definitions, d)
	}
	if b.module, err = findModule(o.Source); err != nil {
		return nil, err
	}
	if b.self, err = digestSelf(); err != nil {
		return nil, err
	}
	if err := b.openCache(ctx, o.Cache); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	if err := b.resolve(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// openCache makes the cache and a scratch directory in it.
func (b *build) openCache(ctx context.Context, dir string) error {
	if dir == "" {
		var err error
		if dir, err = cache.Dir(); err != nil {
			return err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	work := filepath.Join(dir, "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	if err := sweep(work, time.Now().Add(-24*time.Hour)); err != nil {
		return err
	}
	b.apt = apt.Apt{Cache: filepath.Join(dir, "debian")}
	if b.compiler, err = gocmd.Open(ctx, b.module, filepath.Join(dir, "go"), b.report); err != nil {
		return err
	}
	b.work, err = os.MkdirTemp(work, "layers-")
	return err
}

// sweep removes what builds that were killed left behind.
func sweep(work string, before time.Time) error {
	entries, err := os.ReadDir(work)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.ModTime().Before(before) {
			if err := os.RemoveAll(filepath.Join(work, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *build) close() { os.RemoveAll(b.work) }

// resolve asks the Go tool about the commands of all layers at once.
func (b *build) resolve(ctx context.Context) error {
	var programs []*program
	var commands []gocmd.Command
	for _, d := range b.definitions {
		for _, p := range d.commands() {
			programs = append(programs, p)
			commands = append(commands, p.Command)
		}
	}
	resolved, err := b.compiler.Resolve(ctx, commands)
	if err != nil {
		return err
	}
	for i, p := range programs {
		p.resolved = resolved[i]
	}
	return nil
}

// findModule is the directory of the go.mod that governs the folder.
func findModule(folder string) (string, error) {
	dir, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find go.mod: none in %s nor above it", folder)
		}
	}
}

// digestSelf is the digest of the running program: another builder may build
// another layer from the same definition.
func digestSelf() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	return digestFile(path)
}

// inputsAnnotation holds the digest of a layer's inputs in the index.
const inputsAnnotation = "org.ketch.layer.inputs"

// build makes one layer, or finds that the one in the layout is it.
func (b *build) build(ctx context.Context, d *definition, layout *oci.Layout) (Layer, error) {
	start := time.Now()
	steps := d.steps()
	inputs, err := b.inputs(ctx, d, steps)
	if err != nil {
		return Layer{}, err
	}
	if image, tar, ok := layout.Image(d.name); ok && image.Annotations[inputsAnnotation] == inputs {
		fmt.Fprintf(b.log, "layer %s: up to date\n", d.name)
		return Layer{d.name, image.Digest, tar.Digest, tar.Size, false}, nil
	}
	image, tar, err := b.make(ctx, d, steps, inputs, layout)
	if err != nil {
		return Layer{}, err
	}
	fmt.Fprintf(b.log, "layer %s: %.1f MiB in %.1f s\n", d.name, float64(tar.Size)/(1<<20), time.Since(start).Seconds())
	return Layer{d.name, image.Digest, tar.Digest, tar.Size, true}, nil
}

// make takes the steps and stores what they made.
func (b *build) make(ctx context.Context, d *definition, steps []step, inputs string, layout *oci.Layout) (image, tar v1.Descriptor, err error) {
	made := newLayer(d)
	for _, s := range steps {
		if err := b.run(ctx, d, s, made); err != nil {
			return image, tar, err
		}
	}
	labels, err := made.labels(d)
	if err != nil {
		return image, tar, err
	}
	if tar, err = layout.WriteLayer(made.files.WriteLayer); err != nil {
		return image, tar, err
	}
	image, err = layout.Put(d.name, oci.Image{
		Layer: tar, Config: v1.Config{Labels: labels}, Comment: "ketch layers build " + d.name,
	}, map[string]string{inputsAnnotation: inputs})
	return image, tar, err
}

// inputs is the digest of everything that decides what the layer will be.
func (b *build) inputs(ctx context.Context, d *definition, steps []step) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%x\n", b.self, sha256.Sum256(d.yaml))
	for _, s := range steps {
		b.prefix = fmt.Sprintf("layer %s: %s", d.name, s.name)
		inputs, err := s.action.inputs(ctx, b)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(h, "%s %q\n", s.name, inputs)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// run runs one step and says how long it took.
func (b *build) run(ctx context.Context, d *definition, s step, made *layer) error {
	b.prefix = fmt.Sprintf("layer %s: %s", d.name, s.name)
	start := time.Now()
	if err := s.action.apply(ctx, b, made); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if took := time.Since(start); took > 100*time.Millisecond {
		b.report(fmt.Sprintf("%.1f s", took.Seconds()))
	}
	return nil
}

// report writes a line about the step in progress.
func (b *build) report(line string) { fmt.Fprintf(b.log, "%s: %s\n", b.prefix, line) }

// labels describe the image: those of the definition win.
func (l *layer) labels(d *definition) (map[string]string, error) {
	labels := map[string]string{
		"org.opencontainers.image.title":       "ketch " + d.name,
		"org.opencontainers.image.description": d.Description,
	}
	version, err := l.version(d.Version)
	if err != nil {
		return nil, fmt.Errorf("version: %w", err)
	}
	if version != "" {
		labels["org.opencontainers.image.version"] = version
	}
	if packages := l.record.debianLabel(); packages != "" {
		labels["org.ketch.debian.packages"] = packages
	}
	maps.Copy(labels, d.Labels)
	return labels, nil
}

// mode bits of a plain file and of one that can be executed.
const (
	plain      fs.FileMode = 0o644
	executable fs.FileMode = 0o755
)
