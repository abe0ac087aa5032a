package config

import (
	"errors"

	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/internal/compose"
	"github.com/ketch-os/ketch/internal/config/strict"
)

// Workload is a Compose file of a configuration.
type Workload struct {
	Name string // of the project
	Text []byte // of the Compose file
	// Refused are the services that the machine does not run, because something is
	// wrong with the file; it runs none of such a file.
	Refused []compose.Refused
}

// Workloads are the projects that a machine runs.
type Workloads []Workload

// UnmarshalNode reads a mapping of projects to Compose files. A file is a mapping, or
// the text of one. A fault in a file costs that file alone.
func (w *Workloads) UnmarshalNode(n strict.Node) {
	var files map[string]composeFile
	if !n.Decode(&files) && files == nil {
		return
	}
	for _, entry := range n.Entries() {
		file := files[entry.Key]
		delete(files, entry.Key)
		if file.text == nil {
			continue
		}
		workload := Workload{Name: entry.Key, Text: file.text}
		workload.check(file)
		*w = append(*w, workload)
	}
}

// Schema describes the form as JSON Schema.
func (Workloads) Schema() map[string]any {
	return map[string]any{
		"type":                 "object",
		"propertyNames":        map[string]any{"pattern": "^[a-z0-9]+([_-][a-z0-9]+)*$"},
		"additionalProperties": map[string]any{"type": []any{"object", "string"}},
	}
}

// composeFile is a Compose file, and where it stands.
type composeFile struct {
	text []byte
	node strict.Node
}

// UnmarshalNode takes the value over as it is.
func (f *composeFile) UnmarshalNode(n strict.Node) {
	f.node = n
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		f.text = []byte(n.Value)
	case n.Kind == yaml.MappingNode:
		whole, err := n.Expanded()
		if err == nil {
			f.text, err = yaml.Dump(whole)
		}
		if err != nil {
			n.Problem("%v", err)
		}
	default:
		n.Problem("want a Compose file, as a mapping or as text")
	}
}

// check holds the file against what the machine supports.
func (w *Workload) check(f composeFile) {
	path := w.Name + ".yaml"
	var set compose.Set
	set.Add(path, w.Text)
	if project := compose.Project(path, w.Text); project != w.Name {
		f.node.Problem("the project is called %q in its file; want one name", project)
		w.Refused = []compose.Refused{{Name: w.Name, Essential: len(set.Refused) > 0 && set.Refused[0].Essential,
			Faults: []error{errors.New("its project has two names")}}}
		return
	}
	for i := range set.Refused {
		set.Refused[i].File = "the configuration"
		for j, err := range set.Refused[i].Faults {
			set.Refused[i].Faults[j] = f.problem(err)
		}
	}
	w.Refused = set.Refused
}

// problem notes a fault where it is in the configuration.
func (f composeFile) problem(err error) error {
	fault := new(compose.Fault)
	if !errors.As(err, &fault) {
		fault = &compose.Fault{Err: err}
	}
	node := f.node.Find(fault.Field)
	if f.node.Kind == yaml.ScalarNode {
		node = f.node.Inside(fault.Line)
	}
	if fault.Field == "" || node.Path == strict.Join(f.node.Path, fault.Field) {
		return node.Problem("%v", fault.Err)
	}
	return node.Problem("%s: %v", fault.Field, fault.Err)
}
