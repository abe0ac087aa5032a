package tree

import (
	"fmt"
	"slices"
)

// Origin is a layer of an image, or another source of files.
type Origin struct {
	Image  string `json:"image,omitempty"`  // the reference, as the definition writes it; empty: made by the builder
	Layer  int    `json:"layer,omitempty"`  // position in the image, from 1
	DiffID string `json:"diffID,omitempty"` // digest of the uncompressed layer
	Place  string `json:"place,omitempty"`  // where the definition asks for it: file:line
}

// String returns "layer 2 of oci:base (sha256:…)".
func (o *Origin) String() string {
	switch {
	case o == nil, o.Image == "" && o.Place == "":
		return "the builder"
	case o.Image == "":
		return o.Place
	case o.Layer == 0:
		return o.Image
	}
	return fmt.Sprintf("layer %d of %s (%s)", o.Layer, o.Image, o.DiffID)
}

// Action is what happened to a name.
type Action string

// What can happen to a name.
const (
	Added     Action = "added"
	Implied   Action = "implied"   // a parent directory that no layer describes
	Linked    Action = "linked"    // made a hard link to Step.Other
	Replaced  Action = "replaced"  // by another file
	Described Action = "described" // a directory got new attributes and kept its content
	Followed  Action = "followed"  // a directory and a link to Step.Other met and were taken for the same
	Removed   Action = "removed"   // by a whiteout, or with the parent Step.Other
	Hidden    Action = "hidden"    // by an opaque whiteout of the parent
	Kept      Action = "kept"      // in spite of a whiteout, which another image has
	Moved     Action = "moved"     // by a mapping rule, to Step.Other
	Received  Action = "received"  // by a mapping rule, from Step.Other
	Dropped   Action = "dropped"   // by the definition's list
	Generated Action = "generated" // put there by the builder
)

// Step is one event in the history of a name.
type Step struct {
	Action Action  `json:"action"`
	Origin *Origin `json:"origin,omitempty"`
	Other  string  `json:"other,omitempty"` // the other name that took part
}

// String returns "replaced by layer 1 of oci:tools (sha256:…)".
func (s Step) String() string {
	if s.Action == Kept {
		return fmt.Sprintf("kept in spite of a whiteout by %s", s.Origin)
	}
	other := ""
	if s.Other != "" {
		other = " " + s.preposition() + " " + s.Other
	}
	return fmt.Sprintf("%s%s by %s", s.Action, other, s.Origin)
}

func (s Step) preposition() string {
	switch s.Action {
	case Received:
		return "from"
	case Removed, Hidden, Dropped, Replaced:
		return "with"
	}
	return "to"
}

// Why returns what happened to a name, first things first: who added it, who
// changed, replaced or removed it. It is nil for a name that never was. A
// symbolic link among the parents is followed when nothing ever had the name itself.
func (t *Tree) Why(name string) []Step {
	name, err := clean(name)
	if err != nil {
		return nil
	}
	if trail := t.trails[name]; trail != nil {
		return slices.Clone(trail)
	}
	n, real, err := t.find(name, false)
	if err != nil {
		return nil
	}
	if trail := t.trails[real]; trail != nil {
		return slices.Clone(trail)
	}
	return []Step{{Action: Added, Origin: n.Origin}}
}

// record adds a step to the history of a name. Most names have only one, that
// they were added: it is not kept, because the node knows it. prior is the node
// that has the name before the step, if any.
func (t *Tree) record(name string, prior *Node, s Step) {
	if prior != nil && t.trails[name] == nil {
		t.trails[name] = []Step{{Action: Added, Origin: prior.Origin}}
	}
	t.trails[name] = append(t.trails[name], s)
}

// end returns the last step of a name that is gone.
func (t *Tree) end(name string) (Step, bool) {
	trail := t.trails[name]
	if len(trail) == 0 {
		return Step{}, false
	}
	return trail[len(trail)-1], true
}
