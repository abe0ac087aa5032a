package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/internal/config/userdata"
	"github.com/ketch-os/ketch/layout"
)

// MachineConfig is a configuration that the image brings along (docs/configuration.md).
type MachineConfig struct {
	File Line   // and where the definition names it
	Text []byte // nil: there is none
}

// setConfig reads the configuration that the definition at path names. One that the machine
// would find fault with is an error: an image is mended more easily than a machine.
func (d *Definition) setConfig(node yaml.Node, path string) error {
	if node.IsZero() {
		return nil
	}
	c := MachineConfig{File: Line{File: path, Number: node.Line}}
	if err := node.Decode(&c.File.Text); err != nil || c.File.Text == "" {
		return fmt.Errorf("definition %s: config: want the name of a file", c.File.Origin())
	}
	name := c.File.Text
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(path), name)
	}
	var err error
	if c.Text, err = os.ReadFile(name); err == nil {
		err = checkConfig(name, c.Text)
	}
	if err != nil {
		return fmt.Errorf("definition %s: config: %w", c.File.Origin(), err)
	}
	d.Config = c
	return nil
}

// checkConfig reads a configuration as the machine does.
func checkConfig(name string, text []byte) error {
	result := userdata.Parse(context.Background(), text, nil)
	var errs []error
	for _, p := range result.Problems {
		errs = append(errs, errors.New(p.In(name)))
	}
	if len(errs) > 0 {
		return hint.Add(errors.Join(errs...), "ketch config check %s", name)
	}
	if len(result.LeftOut) > 0 {
		return fmt.Errorf("%s: names %s: the configuration of an image is whole in itself", name, result.LeftOut[0])
	}
	return nil
}

// putConfig puts the configuration into the tree.
func (b *build) putConfig() error {
	c := b.Definition.Config
	if c.Text == nil {
		return nil
	}
	return b.stack.putNew(layout.DefaultConfig[1:], tree.File(c.Text, 0o644, b.Definition.Released), &tree.Origin{Place: c.File.Origin()})
}
