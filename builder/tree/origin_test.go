package tree

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// steps writes a history in short: "added one.1, replaced two.1".
func steps(trail []Step) []string {
	var out []string
	for _, s := range trail {
		text := fmt.Sprintf("%s %s.%d", s.Action, s.Origin.Image, s.Origin.Layer)
		if s.Other != "" {
			text += " " + s.Other
		}
		out = append(out, text)
	}
	return out
}

func TestWhy(t *testing.T) {
	tree, err := build(t, Policy{Links: LinksFollow}, lists(
		"image one; d d; f d/f=1; f d/g=1; f x=1; h y->x; l l->d; f old/f=1; d o; f o/a=1; d o/b; f o/b/c=1; d lib; f lib/m=1",
		"d d mode=0700; f d/f=2; w x; w old; o o",
		"image two; f d/f=3; f x=2; f new/deep/f=1; d l; f l/z=1; w y; l lib->d")...)
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Put("gen/f", File([]byte("x"), 0o644, time.Unix(0, 0)), &Origin{Place: "image.yaml:7"}); err != nil {
		t.Fatal(err)
	}
	if err := tree.Remove("d/g", &Origin{Place: "image.yaml:8"}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		want []string
	}{
		{"nothing", nil},
		{"../x", nil},
		{"d", []string{"added one.1", "described one.2"}},
		{"/d/f/", []string{"added one.1", "replaced one.2", "replaced two.1"}},
		{"l/f", []string{"added one.1", "replaced one.2", "replaced two.1"}},
		{"x", []string{"added one.1", "removed one.2", "added two.1"}},
		{"y", []string{"linked one.1 x", "kept two.1"}},
		{"old", []string{"implied one.1", "removed one.2"}},
		{"old/f", []string{"added one.1", "removed one.2 old"}},
		{"new/deep", []string{"implied two.1"}},
		{"new/deep/f", []string{"added two.1"}},
		{"l", []string{"added one.1", "followed two.1 d"}},
		{"d/z", []string{"added two.1"}},
		{"o/a", []string{"added one.1", "hidden one.2 o"}},
		{"o/b/c", []string{"added one.1", "removed one.2 o/b"}},
		{"lib", []string{"added one.1", "followed two.1 d"}},
		{"lib/m", []string{"added one.1", "moved two.1 d/m"}},
		{"d/m", []string{"added one.1", "received two.1 lib/m"}},
		{"gen/f", []string{"generated .0"}},
		{"d/g", []string{"added one.1", "removed .0"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, steps(tree.Why(tt.name))); diff != "" {
			t.Errorf("Why(%q), -want +got:\n%s", tt.name, diff)
		}
	}
}

func TestStepString(t *testing.T) {
	one := &Origin{Image: "oci:base", Layer: 2, DiffID: "sha256:12"}
	for _, tt := range []struct {
		step Step
		want string
	}{
		{Step{Action: Added, Origin: one}, "added by layer 2 of oci:base (sha256:12)"},
		{Step{Action: Removed, Origin: one, Other: "d"}, "removed with d by layer 2 of oci:base (sha256:12)"},
		{Step{Action: Moved, Origin: &Origin{Place: "image.yaml:3"}, Other: "usr/bin"}, "moved to usr/bin by image.yaml:3"},
		{Step{Action: Received, Origin: &Origin{}, Other: "bin"}, "received from bin by the builder"},
	} {
		if got := tt.step.String(); got != tt.want {
			t.Errorf("%+v.String() = %q; want %q", tt.step, got, tt.want)
		}
	}
}

func TestPut(t *testing.T) {
	tree, err := build(t, Policy{}, lists("d usr; d usr/bin; l bin->usr/bin; f f=1")...)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(5, 0)
	for _, p := range []struct {
		name string
		node *Node
	}{
		{"bin/x", File([]byte("x"), 0o755, at)},
		{"f/y", Symlink("..", at)},
		{"/new/dir/", Dir(0o700, at)},
		{"new/dir/z", File(nil, 0o644, at)},
		{"usr/bin/x", File([]byte("again"), 0o755, at)},
	} {
		if err := tree.Put(p.name, p.node, nil); err != nil {
			t.Errorf("Put(%q) = %v", p.name, err)
		}
	}
	want := []string{
		"l bin->usr/bin", "d f mtime=5", "l f/y->.. mtime=5", "d new mtime=5", "d new/dir mode=0700 mtime=5",
		"f new/dir/z= mtime=5", "d usr", "d usr/bin", "f usr/bin/x=again mode=0755 mtime=5",
	}
	if diff := cmp.Diff(want, tree.lines()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	checkCount(t, tree)
	for _, name := range []string{"", ".", "/", "../x", "a\x00"} {
		if err := tree.Put(name, Dir(0o755, at), nil); err == nil {
			t.Errorf("Put(%q): no error", name)
		}
	}
	for _, name := range []string{"", ".", "nothing", "../x", "usr/bin/x/y"} {
		if err := tree.Remove(name, nil); err == nil {
			t.Errorf("Remove(%q): no error", name)
		}
	}
}

func TestLookup(t *testing.T) {
	tree, err := build(t, Policy{}, lists("d usr; d usr/bin; f usr/bin/sh=shell; l bin->usr/bin; l sh->/bin/sh; l up->../../usr; l loop->loop; l dir->usr/bin/; l file->usr/bin/sh/")...)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, lookup, follow string }{
		{".", "d .", "d ."},
		{"usr", "d usr", "d usr"},
		{"/usr/", "d usr", "d usr"},
		{"bin", "l bin->usr/bin", "d bin"},
		{"bin/sh", "f bin/sh=shell", "f bin/sh=shell"},
		{"sh", "l sh->/bin/sh", "f sh=shell"},
		{"up", "l up->../../usr", "d up"},
		{"up/bin", "d up/bin", "d up/bin"},
		{"dir", "l dir->usr/bin/", "d dir"},
		{"file", "l file->usr/bin/sh/", ""},
		{"loop", "l loop->loop", ""},
		{"loop/x", "", ""},
		{"sh/x", "", ""},
		{"..", "", ""},
		{"", "", ""},
	} {
		line := func(n *Node) string {
			if n == nil {
				return ""
			}
			return n.line(tt.name)
		}
		lookup, follow := line(tree.Lookup(tt.name)), line(tree.Follow(tt.name))
		if tt.name == "/usr/" {
			lookup, follow = tree.Lookup(tt.name).line("usr"), tree.Follow(tt.name).line("usr")
		}
		if lookup != tt.lookup || follow != tt.follow {
			t.Errorf("%q: Lookup %q, Follow %q; want %q, %q", tt.name, lookup, follow, tt.lookup, tt.follow)
		}
	}
	data, err := tree.ReadFile("sh")
	if err != nil || string(data) != "shell" {
		t.Errorf(`ReadFile("sh") = %q, %v; want "shell"`, data, err)
	}
	for _, name := range []string{"usr", "nothing", "loop"} {
		if _, err := tree.ReadFile(name); err == nil {
			t.Errorf("ReadFile(%q): no error", name)
		}
	}
	sub, err := tree.Subtree("usr")
	if err != nil || sub.Lookup("bin/sh") == nil {
		t.Errorf(`Subtree("usr") = %v, %v; want bin/sh in it`, sub, err)
	}
	if _, err := tree.Subtree("bin"); err == nil {
		t.Error(`Subtree("bin"): no error for a link`)
	}
}
