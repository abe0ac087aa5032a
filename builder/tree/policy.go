package tree

import (
	"fmt"
	"path"
)

// Policy says what to do where the layers' rules give a legal result that is
// seldom the wanted one. The zero value is the strict one.
type Policy struct {
	Links      LinkPolicy
	Overwrites OverwritePolicy
	Xattrs     []string // patterns of path.Match for the extended attributes to drop
	MaxNodes   int      // 0: DefaultMaxNodes
}

func (p Policy) maxNodes() int {
	if p.MaxNodes > 0 {
		return p.MaxNodes
	}
	return DefaultMaxNodes
}

// LinkPolicy decides the usr-merge conflict: one layer has a directory where
// another has a symbolic link to a directory (bin/ and bin → usr/bin).
type LinkPolicy string

// What can be done about a usr-merge conflict.
const (
	LinksError   LinkPolicy = "error"   // also the zero value: refuse, naming both images
	LinksFollow  LinkPolicy = "follow"  // both mean the directory that the link leads to, whose attributes stay
	LinksReplace LinkPolicy = "replace" // what the specification says: the upper layer's replaces the lower one's
)

// OverwritePolicy decides what happens when an image replaces a file of another.
type OverwritePolicy string

// What can be done about overwrites between images.
const (
	OverwritesAllow OverwritePolicy = "allow" // also the zero value
	OverwritesError OverwritePolicy = "error"
)

// Check refuses values that are none of the constants.
func (p Policy) Check() error {
	switch p.Links {
	case "", LinksError, LinksFollow, LinksReplace:
	default:
		return fmt.Errorf("policy for links %q: not one of %s, %s, %s", p.Links, LinksError, LinksFollow, LinksReplace)
	}
	switch p.Overwrites {
	case "", OverwritesAllow, OverwritesError:
		return p.checkXattrs()
	}
	return fmt.Errorf("policy for overwrites %q: not one of %s, %s", p.Overwrites, OverwritesAllow, OverwritesError)
}

// LinkConflict is a usr-merge conflict.
type LinkConflict struct {
	Path     string
	Target   string  // of the symbolic link
	Dir      *Origin // who has the directory
	Link     *Origin // who has the link
	Contents string  // a file that a link would hide, when the link comes second
}

func (e *LinkConflict) Error() string {
	if e.Contents != "" {
		return fmt.Sprintf("%s is a symbolic link to %s here, but a directory with %s in it in %s",
			e.Path, e.Target, e.Contents, e.Dir)
	}
	return fmt.Sprintf("%s is a directory here, but a symbolic link to %s in %s", e.Path, e.Target, e.Link)
}

// Hint says what can be done.
func (e *LinkConflict) Hint() string {
	return fmt.Sprintf("install the files of the directory below %s in their image, or say under policy: in the definition what is meant: "+
		"usr-merge: follow (both are the directory that the link leads to) or usr-merge: replace (the later one wins)", e.Target)
}

// Overwrite is a file that one image has and another replaces, where the policy forbids it.
type Overwrite struct {
	Path  string
	Lower *Origin
}

func (e *Overwrite) Error() string {
	return fmt.Sprintf("%s is already in %s", e.Path, e.Lower)
}

// directoryOverLink decides what becomes of a directory where the lower view
// has a symbolic link. After followed, the link stays and nothing is left to do;
// otherwise, with no error, the directory goes in its place.
func (a application) directoryOverLink(parent *cursor, base string, link *Node) (followed bool, err error) {
	target, _, err := parent.clone().walk([]string{base}, true)
	if err != nil || !target.IsDir() {
		return false, nil
	}
	name := parent.name(base)
	switch a.t.policy.Links {
	case LinksFollow:
		a.t.record(name, link, Step{Action: Followed, Origin: a.by, Other: link.Target})
		return true, nil
	case LinksReplace:
		return false, nil
	}
	return false, &LinkConflict{Path: name, Target: link.Target, Dir: a.by, Link: link.Origin}
}

// linkOverDirectory decides what becomes of a symbolic link where the lower
// view has another image's directory with files in it. Within one image that is
// how a distribution merges its /usr, and the specification's rule holds.
func (a application) linkOverDirectory(parent *cursor, base string, link, dir *Node) (followed bool, err error) {
	name := parent.name(base)
	at, file := a.t.foreign(name, dir, a.by.Image)
	if file == nil || a.t.policy.Links == LinksReplace {
		return false, nil
	}
	if a.t.policy.Links != LinksFollow {
		return false, &LinkConflict{Path: name, Target: link.Target, Dir: file.Origin, Link: a.by, Contents: path.Base(at)}
	}
	return true, a.swap(parent, base, link, dir)
}

// swap puts a link in the place of a directory and the directory's content where
// the link leads.
func (a application) swap(parent *cursor, base string, link, dir *Node) error {
	name := parent.name(base)
	parent.dir().Children[base] = link
	a.t.record(name, dir, Step{Action: Followed, Origin: a.by, Other: link.Target})
	target, err := a.parent(name, dir.Mtime)
	if err != nil {
		return err
	}
	if parent.dir().Children[base] != link {
		return fmt.Errorf("%s: symbolic link to %s, which is not a directory", name, link.Target)
	}
	if err := a.t.count(link); err != nil {
		return err
	}
	return a.merge(name, dir, target)
}

// foreign returns the first file below dir, no directory, that another image has given.
func (t *Tree) foreign(name string, dir *Node, image string) (string, *Node) {
	for _, base := range dir.Names() {
		at, n := path.Join(name, base), dir.Children[base]
		if n.IsDir() {
			at, n = t.foreign(at, n, image)
		} else if t.owner(at, n).Image == image {
			n = nil
		}
		if n != nil {
			return at, n
		}
	}
	return "", nil
}

// danglingLink explains a hard link whose target is not in the tree.
func (a application) danglingLink(e entry) error {
	err := fmt.Errorf("hard link to %s, which is not there", e.Link)
	if name, cleanErr := clean(e.Link); cleanErr != nil {
		err = fmt.Errorf("hard link: %w", cleanErr)
	} else if end, ok := a.t.end(name); ok {
		err = fmt.Errorf("hard link to %s, which is %s", name, end)
	}
	return err
}
