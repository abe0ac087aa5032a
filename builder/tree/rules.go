package tree

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/layout"
)

// Rule maps a directory of an ordinary root file system into usr/.
type Rule struct {
	From, To string // names in the tree
	// Link: the running system has From as a symbolic link to To. An image may
	// already have the same link, and relative links in From must still lead
	// to the same file from To.
	Link bool
}

// OSRules are the mappings that make an image's tree fit a system whose only
// persistent, verified part is /usr.
func OSRules() []Rule {
	return []Rule{
		{From: "bin", To: "usr/bin", Link: true},
		{From: "sbin", To: "usr/sbin", Link: true},
		{From: "lib", To: "usr/lib", Link: true},
		{From: "lib64", To: "usr/lib64", Link: true},
		{From: "lib32", To: "usr/lib32", Link: true},
		{From: "libx32", To: "usr/libx32", Link: true},
		{From: "etc", To: strings.TrimPrefix(layout.EtcSkeleton, "/")},
	}
}

// keptRoots are the directories that an OS image is made of: usr becomes the
// verified file system, boot feeds the boot loader's partition.
var keptRoots = []string{"usr", "boot"}

// skeleton are the directories that the running system makes for itself. Images
// bring them, too; as long as they hold no files nothing is lost with them.
var skeleton = []string{
	"dev", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "var",
}

// MapReport is what MapOS did.
type MapReport struct {
	Moved   []Removal // Path: what was moved into usr/ by a rule
	Ignored []Removal // directories of the skeleton, without files
	Dropped []Removal // what the definition gives up
}

// Removal is a subtree that is not where its image had it.
type Removal struct {
	Path  string
	To    string // where it is now, if anywhere
	Files int    // names in it, its own included
	Bytes int64  // of regular files
}

// Stray is a file outside usr/ and boot/ that no rule maps.
type Stray struct {
	Path   string
	Origin *Origin
}

// StrayError lists the files outside usr/ and boot/ that no rule maps.
type StrayError struct {
	Strays []Stray // the first ten
	Total  int
}

func (e *StrayError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d files outside usr/ and boot/:", e.Total)
	for _, stray := range e.Strays {
		fmt.Fprintf(&s, "\n  %s in %s", stray.Path, stray.Origin)
	}
	if more := e.Total - len(e.Strays); more > 0 {
		fmt.Fprintf(&s, "\n  and %d more", more)
	}
	return s.String()
}

// Hint says what can be done.
func (e *StrayError) Hint() string {
	return "an OS image carries only /usr, /etc and /boot: install the files below /usr, or give them up with drop: in the definition"
}

// MapOS makes an OS image's tree of a container's: it removes what the list
// drop names, moves what OSRules say into usr/, and leaves nothing but usr/ and
// boot/ in the root. Whatever it has no rule for is an error. by, the place of
// the definition, goes into the history of the names.
func (t *Tree) MapOS(drop []string, by *Origin) (*MapReport, error) {
	if by == nil {
		by = &Origin{}
	}
	m := mapping{change{t, by}, &MapReport{}, map[string]string{}}
	if err := m.drop(drop); err != nil {
		return nil, err
	}
	rules := OSRules()
	m.followLinks(rules)
	for _, r := range rules {
		if err := m.apply(r, rules); err != nil {
			return nil, fmt.Errorf("map %s to %s: %w", r.From, r.To, err)
		}
	}
	return m.report, m.checkRoot()
}

// mapping is the work of MapOS.
type mapping struct {
	change
	report *MapReport
	// targets is where links of the root lead, under the names that the rules give.
	targets map[string]string
}

// followLinks notes where links lead while everything is still there.
func (m mapping) followLinks(rules []Rule) {
	for _, r := range rules {
		n := m.t.root.Children[r.From]
		if n == nil || n.Type() != TypeSymlink {
			continue
		}
		if target, real, err := m.t.find(r.From, true); err == nil && target.IsDir() {
			m.targets[r.From] = mapped(real, rules)
		}
	}
}

func (m mapping) drop(names []string) error {
	for _, name := range names {
		dropped, err := m.t.Drop(name, m.by)
		if err != nil {
			return err
		}
		m.report.Dropped = append(m.report.Dropped, dropped)
	}
	return nil
}

// Drop gives up a name, and what is below it. by, the place in the definition
// that says so, goes into the history of the names.
func (t *Tree) Drop(name string, by *Origin) (Removal, error) {
	n, real, err := t.find(name, false)
	if err != nil {
		return Removal{}, hint.Add(fmt.Errorf("drop %w", err), "take it off the definition's drop list")
	}
	if real == "." {
		return Removal{}, fmt.Errorf("drop %s: the root cannot be dropped", name)
	}
	dropped := measure(real, n)
	t.remove(real, Step{Action: Dropped, Origin: by})
	return dropped, nil
}

// apply moves one directory of the root where its rule says.
func (m mapping) apply(r Rule, rules []Rule) error {
	n := m.t.root.Children[r.From]
	if n == nil {
		return nil
	}
	if n.Type() == TypeSymlink && r.Link {
		return m.link(r, n)
	}
	if !n.IsDir() {
		return fmt.Errorf("%s in %s is neither a directory nor a link to %s", r.From, n.Origin, r.To)
	}
	if r.Link {
		if err := checkLinks(n, r, rules); err != nil {
			return err
		}
	}
	moved := measure(r.From, n)
	moved.To = r.To
	m.report.Moved = append(m.report.Moved, moved)
	return m.move(r.From, n, r.To)
}

// link gives up an image's link From for the running system's, which leads to
// To. Nothing is lost where both lead to one directory; that may be a directory
// of another name, as in distributions where sbin → usr/bin and usr/sbin → bin.
// Where To is missing, the policy may make it a link to where the image's leads.
func (m mapping) link(r Rule, n *Node) error {
	if strings.TrimPrefix(path.Clean("/"+n.Target), "/") == r.To {
		m.t.remove(r.From, Step{Action: Moved, Origin: m.by, Other: r.To})
		return nil
	}
	wrong := fmt.Errorf("%s in %s is neither a directory nor a link to %s, but a link to %s", r.From, n.Origin, r.To, n.Target)
	real := m.targets[r.From]
	target := m.t.Lookup(real)
	if target == nil || !strings.HasPrefix(real, "usr/") {
		return hint.Add(wrong, "on the running system /%s leads to /%s: give up the link with drop: %s in the definition", r.From, r.To, r.From)
	}
	switch there, _, err := m.t.find(r.To, true); {
	case err == nil && there == target:
	case err == nil || m.t.Lookup(r.To) != nil:
		return hint.Add(wrong, "on the running system /%s leads to /%s, which is another directory than %s: "+
			"move the files into one of them, and give up the link with drop: %s in the definition", r.From, r.To, real, r.From)
	case m.t.policy.Links != LinksFollow:
		return hint.Add(wrong, "on the running system /%s leads to /%s: with policy: usr-merge: follow in the definition %s becomes a link to %s",
			r.From, r.To, r.To, real)
	default:
		if err := m.makeLink(r.To, real, n); err != nil {
			return err
		}
	}
	m.t.remove(r.From, Step{Action: Moved, Origin: m.by, Other: r.To})
	return nil
}

// makeLink makes name, below usr/, a link to the directory target, below usr/ too.
func (m mapping) makeLink(name, target string, as *Node) error {
	link := Symlink(strings.TrimPrefix(target, "usr/"), as.Mtime)
	link.Origin = as.Origin
	parent, err := m.parent(path.Dir(name), as.Mtime)
	if err != nil {
		return err
	}
	return m.place(parent, path.Base(name), link, Step{Action: Received, Origin: m.by, Other: as.Target})
}

// checkLinks refuses relative links that would lead somewhere else after the
// move: link targets are never edited.
func checkLinks(dir *Node, r Rule, rules []Rule) error {
	return walk(r.From, dir, func(name string, n *Node) error {
		if n.Type() != TypeSymlink || strings.HasPrefix(n.Target, "/") {
			return nil
		}
		newName := r.To + strings.TrimPrefix(name, r.From)
		before, after := leadsTo(name, n.Target), leadsTo(newName, n.Target)
		if mapped(before, rules) == mapped(after, rules) {
			return nil
		}
		return hint.Add(fmt.Errorf("symbolic link %s → %s in %s leads to %s, and after the move to %s",
			name, n.Target, n.Origin, before, after), "make it an absolute link, or install it as %s", newName)
	})
}

// leadsTo is the file that a relative link names, taken by its letters.
func leadsTo(link, target string) string {
	return strings.TrimPrefix(path.Join("/", path.Dir(link), target), "/")
}

// mapped is the name that a file has after the rules whose old names stay valid.
func mapped(name string, rules []Rule) string {
	for _, r := range rules {
		if rest, ok := strings.CutPrefix(name, r.From); ok && r.Link && (rest == "" || rest[0] == '/') {
			return r.To + rest
		}
	}
	return name
}

// checkRoot removes the empty skeleton and refuses what is left besides usr and boot.
func (m mapping) checkRoot() error {
	var strays StrayError
	for _, base := range m.t.root.Names() {
		n := m.t.root.Children[base]
		if n.IsDir() && slices.Contains(keptRoots, base) {
			continue
		}
		if strays.add(base, n, n.IsDir() && slices.Contains(skeleton, base)) {
			continue
		}
		m.report.Ignored = append(m.report.Ignored, measure(base, n))
		m.t.remove(base, Step{Action: Dropped, Origin: m.by})
	}
	if strays.Total > 0 {
		return &strays
	}
	if m.t.root.Children["usr"] == nil {
		return errors.New("no image has a usr/ directory")
	}
	return nil
}

// add notes the files in a directory of the root and says whether there were
// any. An unknown directory without files counts itself.
func (e *StrayError) add(base string, n *Node, known bool) bool {
	before := e.Total
	note := func(name string, n *Node) {
		if e.Total++; e.Total <= 10 {
			e.Strays = append(e.Strays, Stray{name, n.Origin})
		}
	}
	walk(base, n, func(name string, n *Node) error {
		if !n.IsDir() {
			note(name, n)
		}
		return nil
	})
	if e.Total == before && !known {
		note(base, n)
	}
	return e.Total > before
}

// measure adds up what is in a subtree.
func measure(name string, n *Node) Removal {
	r := Removal{Path: name}
	walk(name, n, func(_ string, n *Node) error {
		r.Files++
		if n.Type() == TypeRegular {
			r.Bytes += n.Size
		}
		return nil
	})
	return r
}
