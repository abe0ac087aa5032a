package image

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/internal/compose"
	"github.com/ketch-os/ketch/layout"
)

// Workload is a Compose file of a definition, with the images that it brings.
type Workload struct {
	Compose  Line       // the file, and where the definition names it
	Images   []ImageRef // those of its images that do not come from a registry by their own name
	Text     []byte     // of the file
	Project  string
	Services []compose.Service
}

// workload is the YAML form of a Workload.
type workload struct {
	Compose yaml.Node   `yaml:"compose"`
	Images  []yaml.Node `yaml:"images"`
}

// addWorkloads reads the Compose files that the definition at path names.
func (d *Definition) addWorkloads(list []workload, path string) error {
	for _, from := range list {
		w := Workload{Compose: Line{File: path, Number: from.Compose.Line}}
		if err := from.Compose.Decode(&w.Compose.Text); err != nil || w.Compose.Text == "" {
			return fmt.Errorf("definition %s: workloads: want entries such as {compose: FILE, images: [REFERENCE]}", path)
		}
		refs, err := imageRefs("workloads: images", from.Images, path)
		if err != nil {
			return err
		}
		w.Images = refs
		if err := w.read(filepath.Dir(path)); err != nil {
			return fmt.Errorf("definition %s: workloads: %w", w.Compose.Origin(), err)
		}
		for _, other := range d.Workloads {
			if other.Project == w.Project {
				return hint.Add(fmt.Errorf("definition %s: workloads: %s is the second project called %s; the first is %s", w.Compose.Origin(), w.Compose.Text, w.Project, other.Compose.Origin()),
					"give one of them a name: in its Compose file")
			}
		}
		d.Workloads = append(d.Workloads, w)
	}
	return nil
}

// imageRefs reads a list of references to container images.
func imageRefs(key string, nodes []yaml.Node, path string) (refs []ImageRef, err error) {
	for _, node := range nodes {
		ref := ImageRef{Dir: filepath.Dir(path), File: path, Line: node.Line}
		if err := node.Decode(&ref.Ref); err != nil || ref.Ref == "" {
			return nil, fmt.Errorf("definition %s:%d: %s: want a reference to a container image, such as oci:DIR:TAG", path, node.Line, key)
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// read reads the Compose file; relative paths start at dir, and stay as they are
// where there is none.
func (w *Workload) read(dir string) (err error) {
	path := w.Compose.Text
	if dir != "" && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if w.Text, err = compose.ReadFile(path); err != nil {
		return err
	}
	w.Project = compose.Project(path, w.Text)
	w.Services, err = compose.Parse(path, w.Text)
	return err
}

// cargo is what the workloads of a definition bring into an image.
type cargo struct {
	workloads []Workload
	images    []carried
}

// carried is a container image that the OS image carries.
type carried struct {
	ref   ImageRef
	image *oci.Image
	names []string // by which Compose files ask for it
}

// brought tells which images the OS layers bring, and in which file each is.
type brought func(context.Context) (map[string]string, error)

// openCargo opens the images of the workloads: those that the definition lists, and
// those that a Compose file names and nobody brings, from their registries.
func (from Source) openCargo(ctx context.Context, d *Definition, layers brought) (*cargo, error) {
	c := &cargo{workloads: d.Workloads}
	var refs []ImageRef
	for _, w := range d.Workloads {
		refs = append(refs, w.Images...)
	}
	images, err := from.open(ctx, refs)
	if err != nil {
		return nil, err
	}
	for i, image := range images {
		if err := c.list(refs[i], image); err != nil {
			return nil, refs[i].wrap(err)
		}
	}
	return c, c.pull(ctx, from, layers)
}

// list takes an image that the definition lists. A Compose file must name it.
func (c *cargo) list(ref ImageRef, image *oci.Image) error {
	names, err := imageNames(image)
	if err != nil {
		return err
	}
	used := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(c.wanted(), name) })
	if len(used) == 0 {
		return hint.Add(fmt.Errorf("workloads: images: no service runs %s; it is called %s", ref.Ref, strings.Join(names, " or ")),
			"the services run: %s", strings.Join(c.wanted(), ", "))
	}
	for _, name := range used {
		if other := c.find(name); other != nil {
			return fmt.Errorf("workloads: images: %s is called %s, and so is %s (%s)", ref.Ref, name, other.ref.Ref, other.ref.Origin())
		}
	}
	c.images = append(c.images, carried{ref, image, used})
	return nil
}

// wanted lists the images that the services run, each once, sorted.
func (c *cargo) wanted() (names []string) {
	for _, w := range c.workloads {
		for _, s := range w.Services {
			names = append(names, s.Image)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *cargo) find(name string) *carried {
	i := slices.IndexFunc(c.images, func(i carried) bool { return slices.Contains(i.names, name) })
	if i < 0 {
		return nil
	}
	return &c.images[i]
}

// pull opens the images that nobody brings.
func (c *cargo) pull(ctx context.Context, from Source, layers brought) error {
	missing := slices.DeleteFunc(c.wanted(), func(name string) bool { return c.find(name) != nil })
	if len(missing) == 0 {
		return nil
	}
	there, err := layers(ctx)
	if err != nil {
		return err
	}
	var refs []ImageRef
	for _, name := range missing {
		if there[name] == "" {
			refs = append(refs, c.place(name))
		}
	}
	images, err := from.open(ctx, refs)
	if err != nil && hint.Of(err) == "" {
		err = hint.Add(err, "an image that is not in a registry is listed under workloads: images, such as oci-archive:FILE")
	}
	if err != nil {
		return err
	}
	for i, image := range images {
		c.images = append(c.images, carried{refs[i], image, []string{refs[i].Ref}})
	}
	return nil
}

// place is the reference to an image of a registry, and where a Compose file names it.
func (c *cargo) place(name string) ImageRef {
	for _, w := range c.workloads {
		for _, s := range w.Services {
			if s.Image == name {
				return ImageRef{Ref: name, File: s.File, Line: compose.Line(w.Text, "services."+s.Key+".image")}
			}
		}
	}
	return ImageRef{Ref: name}
}

// imageNames are the full names of an image: its own, or else that of its file.
func imageNames(image *oci.Image) (names []string, err error) {
	ref := image.Reference
	own := []string{ref.Text}
	if ref.Local() {
		if own, err = image.Names(); err != nil {
			return nil, err
		}
		base := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(ref.Path), ".tar"), ".oci")
		if len(own) == 0 {
			own = []string{base}
		}
		for i, name := range own { // a bare tag is a tag of the file's name
			if !strings.ContainsAny(name, "/:") && name != base {
				own[i] = base + ":" + name
			}
		}
	}
	for _, name := range own {
		full, err := compose.ImageName(name)
		if err != nil {
			return nil, fmt.Errorf("image name %q: %w", name, err)
		}
		names = append(names, full)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// inputs digests what decides the bytes of the cargo.
func (c *cargo) inputs() (list []string) {
	for _, w := range c.workloads {
		list = append(list, w.Project, string(w.Text))
	}
	for _, i := range c.images {
		list = append(list, i.ref.Ref, i.image.Digest.String())
	}
	return list
}

// composePath is where a project's Compose file lies in the tree.
func composePath(project string) string { return inEtc(layout.ComposeDir) + "/" + project + ".yaml" }

// inEtc is where a file of /etc lies in the tree: in the skeleton.
func inEtc(path string) string {
	return layout.EtcSkeleton[1:] + strings.TrimPrefix(path, "/etc")
}

// CheckCompose checks a Compose file as a build does, without its images.
func CheckCompose(path string) (*Workload, error) {
	w := &Workload{Compose: Line{Text: path}}
	return w, w.read("")
}
