package compose

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Refused is a workload that does not run because its file was refused. Where a
// file does not even tell which services it holds, the file itself is listed.
type Refused struct {
	Name string // project-service, or the project alone
	File string
	// Essential tells that a boot without the workload is not good. It is also true
	// where it cannot be told: what cannot be read counts as failed, not as absent.
	Essential bool
	Faults    []error // what is wrong: of the service itself, or else of its file
}

// Reason is what is wrong, in one line.
func (r *Refused) Reason() string {
	return strings.ReplaceAll(errors.Join(r.Faults...).Error(), "\n", "; ")
}

// refuse lists what can still be told of the services in a file with faults.
func (s *Set) refuse(path string, text []byte, err error) {
	faults := apart(path, err)
	doc, broken := readYAML(text)
	project := shown(doc.project(path), filepath.Base(path))
	names, known := doc.services()
	for _, name := range names {
		s.Refused = append(s.Refused, Refused{
			Name: project + "-" + shown(name, name), File: path,
			Essential: doc.essential(name), Faults: faultsOf(name, faults),
		})
	}
	if broken != nil || !known || len(names) == 0 {
		s.Refused = append(s.Refused, Refused{Name: project, File: path, Essential: broken != nil || !known, Faults: faults})
	}
}

// apart lists what an error joins, each with the file's name.
func apart(path string, err error) (faults []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if fault := new(Fault); !errors.As(err, &fault) {
			err = &Fault{File: path, Err: err}
		}
		return []error{err}
	}
	for _, err := range joined.Unwrap() {
		faults = append(faults, apart(path, err)...)
	}
	return faults
}

// faultsOf are the faults of a service, or all of its file's when it has none.
func faultsOf(name string, faults []error) (own []error) {
	for _, err := range faults {
		var fault *Fault
		if errors.As(err, &fault) && strings.HasPrefix(fault.Field+".", "services."+name+".") {
			own = append(own, err)
		}
	}
	if len(own) == 0 {
		return faults
	}
	return own
}

// shown is a name as it may be shown: quoted if it could not become one.
func shown(name, otherwise string) string {
	switch {
	case names.MatchString(name):
		return name
	case name == "":
		name = otherwise
	}
	return fmt.Sprintf("%q", name)
}

// services names the services of a file, in their order. known is false where
// there may be others.
func (d document) services() (list []string, known bool) {
	known = len(d) > 0
	there := make(map[string]bool)
	some := false
	for _, root := range d {
		root = resolve(root)
		if root == nil || root.Kind != yaml.MappingNode || find(root, "include", maxDepth).key != nil {
			known = false
		}
		services := find(root, "services", maxDepth)
		if services.key == nil {
			continue
		}
		some = true
		if node := resolve(services.value); node == nil || node.Kind != yaml.MappingNode {
			known = false
		}
		for _, p := range pairs(resolve(services.value), maxDepth) {
			if name := p.key.Value; !there[name] {
				there[name] = true
				list = append(list, name)
			}
		}
	}
	return list, known && some
}

// essential tells whether a service of a refused file is essential, or may be.
func (d document) essential(name string) bool {
	for _, root := range d {
		services := find(root, "services", maxDepth)
		if services.key == nil {
			continue
		}
		if service := find(services.value, name, maxDepth); service.key != nil && essentialNode(service.value) {
			return true
		}
	}
	return false
}

// essentialNode reads the labels of a service. Whatever can give it labels that
// are not in the file, or in a form that is none, makes it essential.
func essentialNode(service *yaml.Node) bool {
	if service = resolve(service); service == nil || service.Kind != yaml.MappingNode {
		return true
	}
	for _, elsewhere := range []string{"extends", "label_file"} {
		if find(service, elsewhere, maxDepth).key != nil {
			return true
		}
	}
	labels := find(service, "labels", maxDepth)
	if labels.key == nil {
		return false
	}
	node := resolve(labels.value)
	switch {
	case node == nil:
		return true
	case node.Kind == yaml.MappingNode:
		for _, p := range pairs(node, maxDepth) {
			if value := resolve(p.value); value == nil || essentialLabel(p.key.Value, value.Value) {
				return true
			}
		}
		return false
	case node.Kind == yaml.SequenceNode:
		for _, item := range node.Content {
			if item = resolve(item); item == nil || item.Kind != yaml.ScalarNode {
				return true
			}
			key, value, _ := strings.Cut(item.Value, "=")
			if strings.Contains(key, "$") || essentialLabel(key, value) {
				return true
			}
		}
		return false
	}
	return node.Tag != "!!null"
}

// essentialLabel tells whether a label makes a service essential, or may have been
// meant to: one that is refused, too.
func essentialLabel(key, value string) bool {
	if key == EssentialLabel {
		return value != "false"
	}
	return checkLabel(key, value) != nil
}
