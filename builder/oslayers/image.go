package oslayers

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/oslayers/oci"
)

// image is a container image that the layer carries: one Go command in a root
// of its own, as an OCI archive.
type image struct {
	Path    string            `yaml:"path"` // of the archive in the layer
	Name    string            `yaml:"name"` // full reference: ketch.local/demo:1
	Program program           `yaml:"program"`
	User    string            `yaml:"user"`
	Ports   []string          `yaml:"ports"` // 8080/tcp
	Env     []string          `yaml:"env"`
	Labels  map[string]string `yaml:"labels"`
}

func (i *image) inputs(context.Context, *build) ([]string, error) {
	if _, _, err := i.reference(); err != nil {
		return nil, err
	}
	return []string{i.Program.resolved.Key}, nil
}

// reference splits the name: a tag must be given.
func (i *image) reference() (repository, tag string, err error) {
	slash := strings.LastIndex(i.Name, "/")
	repository, tag, found := strings.Cut(i.Name[slash+1:], ":")
	if slash < 0 || !found || tag == "" {
		return "", "", fmt.Errorf("image name %q: want registry/name:tag", i.Name)
	}
	return repository, tag, nil
}

func (i *image) apply(ctx context.Context, b *build, l *layer) error {
	_, tag, err := i.reference()
	if err != nil {
		return err
	}
	root, err := i.root(ctx, b, l)
	if err != nil {
		return err
	}
	archive, err := oci.Archive(i.Name, tag, root, oci.Image{Config: i.config(), Comment: "ketch layers build " + l.name})
	if err != nil {
		return err
	}
	return l.files.add(i.Path, regular(plain, archive))
}

// root is the image's one layer: the program, and nothing else.
func (i *image) root(ctx context.Context, b *build, l *layer) ([]byte, error) {
	binary, err := b.compiler.Build(ctx, i.Program.resolved, b.work)
	if err != nil {
		return nil, err
	}
	if err := b.record(ctx, l, binary, recordOf(i.Path+":"+i.Program.Path, i.Program.resolved)); err != nil {
		return nil, err
	}
	program, err := hosted(executable, binary)
	if err != nil {
		return nil, err
	}
	files := newContents()
	if err := files.Put(i.Program.Path, program, nil); err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	err = files.WriteLayer(&buffer)
	return buffer.Bytes(), err
}

func (i *image) config() v1.Config {
	config := v1.Config{
		Entrypoint: []string{"/" + i.Program.Path}, Env: i.Env, User: i.User, WorkingDir: "/", Labels: i.Labels,
	}
	for _, port := range i.Ports {
		if config.ExposedPorts == nil {
			config.ExposedPorts = map[string]struct{}{}
		}
		config.ExposedPorts[port] = struct{}{}
	}
	return config
}
