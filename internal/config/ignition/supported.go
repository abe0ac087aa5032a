package ignition

import (
	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/internal/config/strict"
)

// form is what is acted on of a value: nil, all of it; otherwise those keys of a
// mapping, or of each mapping in a list.
type form map[string]form

var (
	resource = form{"source": nil, "compression": nil, "verification": {"hash": nil}}
	who      = form{"id": nil, "name": nil}

	supported = form{
		"ignition": {
			"version": nil,
			"config":  {"merge": resource, "replace": resource},
			"security": {
				"tls": {"certificateAuthorities": resource},
			},
		},
		"passwd": {
			"users": {"name": nil, "sshAuthorizedKeys": nil},
		},
		"storage": {
			"files":       {"path": nil, "user": who, "group": who, "mode": nil, "overwrite": nil, "contents": resource},
			"directories": {"path": nil, "user": who, "group": who, "mode": nil, "overwrite": nil},
			"links":       {"path": nil, "user": who, "group": who, "target": nil, "overwrite": nil, "hard": nil},
		},
	}
)

// check refuses what a value asks for and nothing acts on.
func (f form) check(n strict.Node) {
	switch {
	case f == nil:
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Items() {
			f.check(item)
		}
	case n.Kind == yaml.MappingNode:
		for _, entry := range n.Entries() {
			inner, ok := f[entry.Key]
			if ok {
				inner.check(entry.Value)
			} else if asks(entry.Value) && !entry.Value.Bad() {
				entry.Value.Problem("is not supported")
			}
		}
	}
}

// asks tells whether a value asks for anything: empty lists and mappings do not.
func asks(n strict.Node) bool {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Tag != "!!null"
	case yaml.MappingNode:
		for _, entry := range n.Entries() {
			if asks(entry.Value) {
				return true
			}
		}
		return false
	}
	return len(n.Content) > 0
}
