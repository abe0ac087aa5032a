package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/internal/compose"
	"github.com/ketch-os/ketch/internal/imagelayout"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/layout/gatefile"
)

// machine is the platform that images are for.
var machine = ocispec.Platform{OS: "linux", Architecture: "amd64"}

// checkWorkloads holds what the tree gives ketchd and PID 1 to read against the
// code that reads it there: container images, Compose files, the gate file. What the
// machine would refuse, no image is made of.
func checkWorkloads(t *tree.Tree) error {
	images, err := checkImages(t)
	return errors.Join(err, checkComposeFiles(t, images), checkGate(t))
}

// entries lists a directory of the tree, sorted; a directory that is not there is
// empty.
func entries(t *tree.Tree, dir string) []string {
	node := t.Follow(dir)
	if node == nil {
		return nil
	}
	var names []string
	for name := range node.Children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// checkImages reads the container images of the tree. It returns the file of each.
func checkImages(t *tree.Tree) (map[string]string, error) {
	dir := layout.ImagesDir[1:]
	images := map[string]string{}
	var problems []error
	for _, name := range entries(t, dir) {
		at := path.Join(dir, name)
		if err := checkLayout(t, at, images); err != nil {
			problems = append(problems, hint.Add(fmt.Errorf("%s (of %s): %w", at, from(t, at), err),
				"images are packed for the machine when a definition lists them under workloads: images"))
		}
	}
	return images, errors.Join(problems...)
}

// from tells where a file of the tree comes from.
func from(t *tree.Tree, name string) string {
	node := t.Lookup(name)
	if node == nil || node.Origin == nil {
		return "the builder"
	}
	if node.Origin.Place == "" || node.Origin.Image == "" {
		return node.Origin.String()
	}
	return node.Origin.Image + ", " + node.Origin.Place
}

func checkLayout(t *tree.Tree, at string, images map[string]string) error {
	l, err := openTree(t, at)
	if err != nil {
		return err
	}
	list, err := l.Images()
	if err != nil {
		return err
	}
	for _, image := range list {
		if other := images[image.Name]; other != "" {
			return fmt.Errorf("its image is called %s, and so is one of %s", image.Name, other)
		}
		if err := l.Check(image.Descriptor, machine); err != nil {
			return fmt.Errorf("%s: %w", image.Name, err)
		}
		images[image.Name] = at
	}
	return nil
}

// openTree opens an image layout of the tree, a directory or an archive.
func openTree(t *tree.Tree, at string) (*imagelayout.Layout, error) {
	node := t.Follow(at)
	if node != nil && node.Type() == tree.TypeRegular {
		return imagelayout.OpenArchive(at, node.Reader())
	}
	return imagelayout.OpenFiles(at, func(name string) (io.ReadCloser, error) {
		file := t.Follow(path.Join(at, name))
		if file == nil {
			return nil, &fs.PathError{Op: "open", Path: path.Join(at, name), Err: fs.ErrNotExist}
		}
		return file.Open()
	})
}

// layerImages lists the images that the layers of a tree bring, without reading
// more than their indexes. Those that cannot be read are found by checkImages.
func layerImages(t *tree.Tree) map[string]string {
	images := map[string]string{}
	for _, name := range entries(t, layout.ImagesDir[1:]) {
		at := path.Join(layout.ImagesDir[1:], name)
		if l, err := openTree(t, at); err == nil {
			list, _ := l.Images()
			for _, image := range list {
				images[image.Name] = at
			}
		}
	}
	return images
}

// checkComposeFiles reads the Compose files of the tree as ketchd does. Each image
// that they name must be among images.
func checkComposeFiles(t *tree.Tree, images map[string]string) error {
	dir := inEtc(layout.ComposeDir)
	set := new(compose.Set)
	texts := map[string][]byte{}
	var problems []error
	for _, name := range entries(t, dir) {
		at := path.Join(dir, name)
		if !compose.IsFile(name) {
			continue
		}
		text, err := t.ReadFile(at)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		texts[at] = text
		set.Add(at, text)
	}
	problems = append(problems, set.Err())
	for _, s := range set.Services {
		if images[s.Image] == "" {
			field := "services." + s.Key + ".image"
			problems = append(problems, hint.Add(
				&compose.Fault{File: s.File, Line: compose.Line(texts[s.File], field), Field: field, Err: fmt.Errorf("%s is not in the image (the Compose file is of %s)", s.Image, from(t, s.File))},
				"list the Compose file under workloads: in the definition, and its images are found"))
		}
	}
	return errors.Join(problems...)
}

// checkGate reads the gate file as PID 1 and ketchd do. The programs that it runs
// must be there, as far as they lie in /usr.
func checkGate(t *tree.Tree) error {
	at := inEtc(layout.GateFile)
	if t.Follow(at) == nil {
		return nil
	}
	text, err := t.ReadFile(at)
	if err != nil {
		return err
	}
	file, err := gatefile.Parse(text)
	if err != nil {
		return fmt.Errorf("%s (of %s): %w", at, from(t, at), err)
	}
	for i, check := range file.Checks {
		if len(check.Command) == 0 {
			continue
		}
		if err := checkProgram(t, check.Command[0]); err != nil {
			return fmt.Errorf("%s (of %s): checks[%d].command: %w", at, from(t, at), i, err)
		}
	}
	return nil
}

// checkProgram tells whether a path of the running system is a program. What lies
// outside /usr and its links cannot be told.
func checkProgram(t *tree.Tree, name string) error {
	at := path.Clean(name)[1:]
	switch top, _, _ := strings.Cut(at, "/"); top {
	case "usr":
	case "bin", "sbin", "lib", "lib64":
		at = "usr/" + at
	default:
		return nil
	}
	node := t.Follow(at)
	if node == nil {
		return fmt.Errorf("%s: no such file in the image", name)
	}
	if node.Type() != tree.TypeRegular || node.Mode&0o111 == 0 {
		return fmt.Errorf("%s is not a program", name)
	}
	return nil
}

// stow is the step of a build that packs the workloads and the machine's configuration,
// and checks all there are.
func (b *build) stow(ctx context.Context) error {
	if err := b.cargo.pack(ctx, b.Source, b.Definition, b.stack); err != nil {
		return err
	}
	b.info.Workloads = b.stack.Cargo
	if err := b.putConfig(); err != nil {
		return fmt.Errorf("definition %s: config: %w", b.Definition.Config.File.Origin(), err)
	}
	if err := checkWorkloads(b.tree); err != nil {
		return err
	}
	b.detail = fmt.Sprintf("%d Compose files, %d images", len(entries(b.tree, inEtc(layout.ComposeDir))), len(layerImages(b.tree)))
	return nil
}

// brought merges the OS's layers, unless that has been done, and tells which images
// they bring.
func (b *build) brought(ctx context.Context) (map[string]string, error) {
	err := b.needStack(ctx)
	if err != nil {
		return nil, err
	}
	return layerImages(b.stack.Tree), nil
}

// suspectApplication adds a hint to the error of a merge: an image that runs
// something is rarely a part of an OS.
func suspectApplication(err error, d *Definition, images []*oci.Image) error {
	for i, image := range images {
		if program := runs(image.Config); err != nil && program != "" {
			return hint.Add(err, "%s (%s) runs %s: an image of an application is listed under workloads:, with a Compose file; see docs/first-hour.md", d.Images[i].Ref, d.Images[i].Origin(), program)
		}
	}
	return err
}

// runs names the program that an image starts, "" for none or a shell.
func runs(config *v1.ConfigFile) string {
	command := slices.Concat(config.Config.Entrypoint, config.Config.Cmd)
	if len(command) == 0 || slices.Contains([]string{"sh", "bash", "ash", "dash"}, path.Base(command[0])) {
		return ""
	}
	return command[0]
}
