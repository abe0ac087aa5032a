// Package image turns a definition into a disk image: container images go in,
// a signed disk with two slots comes out. It also reads such images back, to
// inspect and to verify them.
//
// Every step is in this process: no root, no loop device, no mount, no other
// program. The same definition, layers and keys give the same bytes.
package image

import (
	"context"
	"errors"
	"time"

	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/output"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/update/release"
)

// Options say what to build.
type Options struct {
	Definition *Definition
	Output     string     // the image; it appears by rename
	Keys       *keys.Set  // whose certificate the programs are signed for
	Signer     Signer     // default: the key of Keys
	Unsigned   bool       // leave the signing to Sign; the requests lie in RequestDir
	Source     Source     // of container images
	Progress   func(Step) // called after each step
}

// Step is a step that has been done.
type Step struct {
	Name   string        `json:"name"`
	Took   time.Duration `json:"-"` // see MarshalJSON
	Detail string        `json:"detail,omitempty"`
}

// Result describes an image that was built.
type Result struct {
	Path     string `json:"path"`
	UpToDate bool   `json:"upToDate,omitempty"` // it was there already, from the same inputs
	Version  string `json:"version"`
	RootHash string `json:"rootHash"`
	UsrSize  int64  `json:"usrSize"` // bytes of the usr file system
	UKISize  int64  `json:"ukiSize"` // bytes
	Steps    []Step `json:"steps"`
	// Requests is what is left to be signed.
	Requests []Request `json:"requests,omitempty"`
}

// build is a build on its way: each step uses what earlier ones left here.
type build struct {
	Options
	out      *output.File
	images   []*oci.Image
	cargo    *cargo
	stack    *Stack
	tree     *tree.Tree
	boot     bootFiles
	info     release.Info
	infoJSON []byte
	root     verity.RootHash
	programs map[string][]byte // of the ESP, signed once that step is done
	enrol    map[string][]byte // what enrols the keys, by the names of the files
	esp      map[string][]byte // the ESP's files that carry no signature
	detail   string            // of the current step
	result   Result
}

// steps is the build, in order.
var steps = []struct {
	name string
	do   func(*build, context.Context) error
}{
	{"merge layers", (*build).mergeLayers},
	{"workloads", (*build).stow},
	{"describe the image", (*build).describe},
	{"bill of materials", (*build).describeContent},
	{"usr and its hash tree", (*build).makeUsr},
	{"kernel image", (*build).makeUKI},
	{"signatures", (*build).signPrograms},
	{"system partition", (*build).makeESP},
	{"partition table", (*build).makeTable},
}

// Build builds the image, unless it is there already, from the same inputs. On
// an error nothing of it is left.
func Build(ctx context.Context, o Options) (result *Result, err error) {
	if err := output.Check(o.Output); err != nil {
		return nil, err
	}
	b := &build{Options: o, programs: map[string][]byte{}}
	if err := b.prepareKeys(); err != nil {
		return nil, err
	}
	if b.images, err = o.Source.open(ctx, o.Definition.Images); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.closeStack()) }()
	if b.cargo, err = o.Source.openCargo(ctx, o.Definition, b.brought); err != nil {
		return nil, err
	}
	inputs, err := b.inputs()
	if err != nil {
		return nil, err
	}
	result, ok := upToDate(o.Output, inputs)
	if !ok {
		if err := b.build(ctx); err != nil {
			return nil, err
		}
		result = &b.result
		result.Path, result.Version, result.RootHash = o.Output, o.Definition.Version, b.root.String()
		if err := writeRecord(o.Output, inputs, b.result); err != nil {
			return nil, err
		}
	}
	if err := exportSBOM(o.Output); err != nil {
		return nil, err
	}
	if o.Unsigned {
		result.Requests, err = writeRequests(o.Output)
	}
	return result, err
}

// prepareKeys finds out, before any work is done, that a key is missing.
func (b *build) prepareKeys() (err error) {
	if b.Signer == nil && !b.Unsigned {
		if b.Signer, err = b.Keys.Signer(); err != nil {
			return err
		}
	}
	if b.Definition.Enroll != "off" {
		b.enrol, err = b.Keys.Enrolment(b.Definition.Released)
	}
	return err
}

func (b *build) build(ctx context.Context) (err error) {
	if b.out, err = output.Create(ctx, b.Output); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.out.Discard()) }()
	if err := b.out.Truncate(diskSize()); err != nil {
		return err
	}
	for _, step := range steps {
		if err := b.run(ctx, step.name, step.do); err != nil {
			return err
		}
	}
	return b.out.Commit()
}

func (b *build) run(ctx context.Context, name string, do func(*build, context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	start := time.Now()
	b.detail = ""
	if err := do(b, ctx); err != nil {
		return err
	}
	step := Step{name, time.Since(start), b.detail}
	b.result.Steps = append(b.result.Steps, step)
	if b.Progress != nil {
		b.Progress(step)
	}
	return nil
}

func (b *build) closeStack() error {
	if b.stack == nil {
		return nil
	}
	return b.stack.Close()
}
