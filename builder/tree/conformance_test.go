package tree

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lists makes the layers of a case readable: one string a layer, entries
// separated by semicolons or lines.
func lists(layers ...string) [][]string {
	var out [][]string
	for _, layer := range layers {
		var lines []string
		for _, line := range strings.FieldsFunc(layer, func(r rune) bool { return r == ';' || r == '\n' }) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
		out = append(out, lines)
	}
	return out
}

// conformance is what the layers of an image, bottom up, must give. Where the
// image specification's text decides, it is quoted in the name.
var conformance = []struct {
	name   string
	policy Policy
	layers []string
	want   string // a tree, or
	err    string // a part of the error
}{
	// Adding and replacing.
	{
		name:   "one layer",
		layers: []string{"d a mode=0700 uid=1 gid=2 mtime=3; f a/b=x mode=0600; l a/c->b; p a/d; c a/e=1:3; b a/f=259:1048575"},
		want:   "d a mode=0700 uid=1 gid=2 mtime=3; f a/b=x mode=0600; l a/c->b; c a/e=1:3; b a/f=259:1048575; p a/d",
	},
	{
		name:   "an upper file replaces a lower one, attributes and all",
		layers: []string{"f a=old mode=4755 uid=5 xattr:user.x=1", "f a=new"},
		want:   "f a=new",
	},
	{
		name:   "both are directories: the attributes are replaced, the content stays",
		layers: []string{"d a mode=0700 uid=5 mtime=7 xattr:user.x=1; f a/f=1", "d a mode=0711 gid=6; f a/g=2"},
		want:   "d a mode=0711 gid=6; f a/f=1; f a/g=2",
	},
	{
		name:   "a file without its directory leaves the directory's attributes alone",
		layers: []string{"d a mode=0700 mtime=7", "f a/g=2 mtime=9"},
		want:   "d a mode=0700 mtime=7; f a/g=2 mtime=9",
	},
	{name: "a file replaces a directory and its content", layers: []string{"d a; d a/b; f a/b/c=1; f x=1", "f a=2"}, want: "f a=2; f x=1"},
	{name: "a directory replaces a file", layers: []string{"f a=1", "d a; f a/b=2"}, want: "d a; f a/b=2"},
	{name: "a link replaces a directory", layers: []string{"d a; f a/b=1", "l a->c"}, want: "l a->c"},
	{name: "a file replaces a link, not its target", layers: []string{"f t=1; l a->t", "f a=2"}, want: "f a=2; f t=1"},
	{name: "a device replaces a file", layers: []string{"f a=1", "c a=5:1"}, want: "c a=5:1"},
	{name: "missing parents are 0755, root's, as old as what needs them", layers: []string{"f a/b/c=1 mtime=5 uid=7"}, want: "d a mtime=5; d a/b mtime=5; f a/b/c=1 uid=7 mtime=5"},
	{name: "a directory's own entry may come after its content", layers: []string{"f a/b=1; d a mode=0700"}, want: "d a mode=0700; f a/b=1"},
	{name: "the root has attributes", layers: []string{"d ./ mode=0700 uid=3"}, want: "d . mode=0700 uid=3"},
	{name: "the root cannot be a link", layers: []string{"l /.->/etc"}, err: "the root must be a directory"},
	{name: "the root cannot be a file", layers: []string{"f .=x"}, err: "the root must be a directory"},
	{name: "a later entry of a name wins", layers: []string{"f a=1; f a=2 mode=0600"}, want: "f a=2 mode=0600"},
	{name: "a later entry of a name wins over a directory", layers: []string{"d a; f a/b=1; f a=2"}, want: "f a=2"},
	{name: "extracted like a regular tar archive: file, then directory", layers: []string{"d a; f a/lower=1", "f a=2; d a"}, want: "d a"},

	// Names.
	{name: "a, ./a, /a and a/ are one path", layers: []string{"d ./a/; f /a/b=1", "f a/./b=2", "w ./a//b", "f //a/b=3"}, want: "d a; f a/b=3"},
	{name: "a name may go up inside the root", layers: []string{"d a; f a/../b=1"}, want: "d a; f b=1"},
	{name: "a name that climbs out", layers: []string{"f ../a=1"}, err: `name "../a": leaves the root`},
	{name: "a name that climbs out on the way", layers: []string{"f a/../../b=1"}, err: "leaves the root"},
	{name: "a name that is only dots", layers: []string{"d .."}, err: "leaves the root"},
	{name: "a whiteout that climbs out", layers: []string{"w ../a"}, err: "leaves the root"},
	{name: "a hard link that climbs out", layers: []string{"h a->../../etc/passwd"}, err: "leaves the root"},
	{name: "a name longer than a file system holds", layers: []string{"f " + strings.Repeat("n", 256) + "=1"}, err: "longer than 255"},
	{name: "a path longer than Linux takes", layers: []string{"d " + strings.Repeat("name/", 1000)}, err: "longer than 4095"},
	{
		name:   "long names",
		layers: []string{"f " + strings.Repeat(strings.Repeat("n", 200)+"/", 9) + "f=1"},
		want: func() string {
			out, at := "", ""
			for range 9 {
				at += strings.Repeat("n", 200)
				out += "d " + at + ";"
				at += "/"
			}
			return out + "f " + at + "f=1"
		}(),
	},

	// Whiteouts.
	{name: "a whiteout removes a file", layers: []string{"f a=1; f b=1", "w a"}, want: "f b=1"},
	{name: "a whiteout removes a directory with its content", layers: []string{"d d; d d/e; f d/e/f=1", "w d"}, want: ""},
	{name: "a whiteout of nothing", layers: []string{"f a=1", "w b; w c/d; w a/e"}, want: "f a=1"},
	{name: "the whiteout itself is hidden", layers: []string{"w a"}, want: ""},
	{name: "a whiteout before the entry: a fresh directory", layers: []string{"d d mode=0700; f d/x=1", "w d; d d; f d/y=2"}, want: "d d; f d/y=2"},
	{name: "a whiteout after the entry: a fresh directory", layers: []string{"d d mode=0700; f d/x=1", "d d; f d/y=2; w d"}, want: "d d; f d/y=2"},
	{name: "a whiteout does not hide its own layer's file", layers: []string{"f a=1", "f a=2; w a"}, want: "f a=2"},
	{name: "a whiteout below a directory that the layer replaces", layers: []string{"d d; f d/x=1", "d d mode=0700; w d/x"}, want: "d d mode=0700"},
	{name: "a whiteout acts on the link, not its target", layers: []string{"d t; f t/f=1; l a->t", "w a"}, want: "d t; f t/f=1"},
	{name: "the parents of a whiteout are resolved", layers: []string{"d t; f t/f=1; f t/g=1; l a->t", "w a/f"}, want: "l a->t; d t; f t/g=1"},
	{name: "the order of whiteouts is of no consequence (1)", layers: []string{"d t; f t/f=1; l a->t", "w a; w a/f"}, want: "d t"},
	{name: "the order of whiteouts is of no consequence (2)", layers: []string{"d t; f t/f=1; l a->t", "w a/f; w a"}, want: "d t"},
	{name: "a whiteout through a link of its own layer", layers: []string{"d a; f a/f=1; d t; f t/f=2", "l a->t; w a/f"}, want: "l a->t; d t; f t/f=2"},
	{name: "a whiteout below a link that the layer makes a file of", layers: []string{"d t; f t/f=1; l a->t", "f a=2; w a/f"}, want: "f a=2; d t; f t/f=1"},
	{name: "a whiteout below a link that the layer makes a directory of", policy: Policy{Links: LinksReplace}, layers: []string{"d t; f t/f=1; l a->t", "d a; w a/f"}, want: "d a; d t; f t/f=1"},
	{name: "a whiteout below a link that is meant to be followed", policy: Policy{Links: LinksFollow}, layers: []string{"d t; f t/f=1; l a->t", "d a; w a/f"}, want: "l a->t; d t"},
	{name: "a hard link is removed by name", layers: []string{"f a=1; h b->a", "w a"}, want: "f b=1"},
	{name: "a file removed and added by later layers", layers: []string{"f a=1", "w a", "f a=2"}, want: "f a=2"},
	{name: "whiteout without a name", layers: []string{"f .wh.=x"}, err: "a whiteout of no file"},
	{name: "whiteout of .", layers: []string{"d d", "f d/.wh..=x"}, err: "a whiteout of no file"},
	{name: "whiteout of ..", layers: []string{"d d", "f d/.wh...=x"}, err: "a whiteout of no file"},
	{name: "a whiteout is a regular file", layers: []string{"d .wh.a"}, err: "not a regular file"},
	{name: "a whiteout is not a symbolic link", layers: []string{"l .wh.a->b"}, err: "not a regular file"},
	{name: "whiteouts linked to one another, as aufs wrote them", layers: []string{"f a=1; f b=1", "w a; h .wh.b->.wh.a"}, want: ""},
	{name: "a whiteout is no directory", layers: []string{"f .wh.a/b=1"}, err: "cannot be a whiteout"},
	{name: "the marks of aufs", layers: []string{"f .wh..wh.plnk=1"}, err: "reserved"},

	// Opaque directories.
	{name: "opaque: all siblings are hidden in the lower layer", layers: []string{"d d mode=0700; f d/x=1; d d/e; f d/e/f=1; f y=1", "d d; o d; f d/z=2"}, want: "d d; f d/z=2; f y=1"},
	{name: "opaque, the marker last", layers: []string{"d d; f d/x=1; d d/e; f d/e/f=1", "d d; d d/e; f d/e/z=2; o d"}, want: "d d; d d/e; f d/e/z=2"},
	{name: "opaque keeps its own layer's file of the same name", layers: []string{"d d; f d/x=1", "f d/x=2; o d"}, want: "d d; f d/x=2"},
	{name: "opaque without an entry for the directory", layers: []string{"d d mode=0700; f d/x=1", "o d"}, want: "d d mode=0700"},
	{name: "opaque root", layers: []string{"d d; f x=1", "o .; f y=1"}, want: "f y=1"},
	{name: "opaque directory that was not there", layers: []string{"f x=1", "o d"}, want: "f x=1"},
	{name: "opaque directory over a file", layers: []string{"f d=1", "o d; f d/x=2"}, want: "d d; f d/x=2"},
	{name: "opaque directory whited out by its own layer", layers: []string{"d d; f d/x=1", "w d; o d"}, want: ""},
	{name: "the example of the specification", layers: []string{"d a; d a/b; d a/b/c; f a/b/c/bar=1", "d a; o a; d a/b; d a/b/c; f a/b/c/foo=2"}, want: "d a; d a/b; d a/b/c; f a/b/c/foo=2"},

	// Hard links.
	{name: "hard link in one layer", layers: []string{"f a=1 mode=4755; h b->a; h c->/b"}, want: "f a=1 mode=4755; h b->a; h c->a"},
	{name: "hard link to a lower layer", layers: []string{"d d; f d/a=1", "h b->./d/a"}, want: "f b=1; d d; h d/a->b"},
	{name: "an upper file breaks the link", layers: []string{"f a=old; h b->a", "f a=new"}, want: "f a=new; f b=old"},
	{name: "a link to a file that its own layer replaces later", layers: []string{"f a=old", "h b->a; f a=new"}, want: "f a=new; f b=old"},
	{name: "a link to a file that its own layer has replaced", layers: []string{"f a=old", "f a=new; h b->a"}, want: "f a=new; h b->a"},
	{name: "hard link to a symbolic link links the link", layers: []string{"f t=1; l a->t; h b->a"}, want: "l a->t; h b->a; f t=1"},
	{name: "hard link to a dangling symbolic link", layers: []string{"l a->nowhere; h b->a"}, want: "l a->nowhere; h b->a"},
	{name: "hard link to a device", layers: []string{"c a=1:3; h b->a"}, want: "c a=1:3; h b->a"},
	{name: "hard link to itself", layers: []string{"f a=1", "h a->a"}, want: "f a=1"},
	{name: "hard link between two names of one file", layers: []string{"f a=1; h b->a", "h b->a; h a->b"}, want: "f a=1; h b->a"},
	{name: "a hard link replaces what has its name", layers: []string{"f a=1; d b; f b/c=2", "h b->a"}, want: "f a=1; h b->a"},
	{name: "the parents of a hard link's target are resolved", layers: []string{"d d; f d/f=1; l a->/d; h b->a/f"}, want: "l a->/d; f b=1; d d; h d/f->b"},
	{name: "hard link to a directory", layers: []string{"d a; h b->a"}, err: "hard link to the directory a"},
	{name: "hard link to nothing", layers: []string{"h b->a"}, err: "layer 1 of base (sha256:1111): b: hard link to a, which is not there"},
	{name: "hard link to a file that comes later", layers: []string{"h b->a; f a=1"}, err: "which is not there"},
	{name: "hard link whose target is gone names both layers", layers: []string{"f a=1", "w a", "h b->a"}, err: "layer 3 of base (sha256:3333): b: hard link to a, which is removed by layer 2 of base"},
	{name: "hard link whose target its own layer removes", layers: []string{"f a=1", "h b->a; w a"}, err: "layer 2 of base (sha256:2222): b: hard link to a, which is removed by layer 2 of base"},
	{name: "hard link whose target is gone with its directory", layers: []string{"d d; f d/a=1", "w d", "h b->d/a"}, err: "hard link to d/a, which is removed with d by layer 2"},

	// Symbolic links.
	{name: "a target is kept as it is", layers: []string{"d etc; l etc/mtab->../../proc/self/mounts; l etc/x->/../..//a/./b"}, want: "d etc; l etc/mtab->../../proc/self/mounts; l etc/x->/../..//a/./b"},
	{name: "a parent that is a link is followed", layers: []string{"d usr; d usr/bin; l bin->usr/bin", "f bin/sh=1"}, want: "l bin->usr/bin; d usr; d usr/bin; f usr/bin/sh=1"},
	{name: "an absolute link is followed inside the tree", layers: []string{"d usr; l a->/usr", "f a/x=1"}, want: "l a->/usr; d usr; f usr/x=1"},
	{name: "a link is clamped at the root", layers: []string{"d usr; d d; l d/a->../../../usr", "f d/a/x=1"}, want: "d d; l d/a->../../../usr; d usr; f usr/x=1"},
	{name: "a link is not clamped to its directory", layers: []string{"d e; d d; l d/a->../e", "f d/a/x=1"}, want: "d d; l d/a->../e; d e; f e/x=1"},
	{name: "a chain of links", layers: []string{"d t; l a->b; l b->/c; l c->t/.", "f a/x=1"}, want: "l a->b; l b->/c; l c->t/.; d t; f t/x=1"},
	{name: "a dangling link is followed to where it points", layers: []string{"d run; d var; l var/lock->/run/lock", "f var/lock/x=1"}, want: "d run; d run/lock; f run/lock/x=1; d var; l var/lock->/run/lock"},
	{name: "a link in the same layer is followed", layers: []string{"d t; l a->t; f a/x=1"}, want: "l a->t; d t; f t/x=1"},
	{name: "links in a circle", layers: []string{"l a->b; l b->a", "f a/x=1"}, err: "too many levels of symbolic links"},
	{name: "a link to itself", layers: []string{"l a->a; f a/x=1"}, err: "too many levels of symbolic links"},
	{name: "an entry under a file replaces it", layers: []string{"f a=1", "f a/b=2"}, want: "d a; f a/b=2"},
	{name: "an entry far under a file replaces it", layers: []string{"f a=1", "f a/b/c=2"}, want: "d a; d a/b; f a/b/c=2"},
	{name: "an entry under a file of its own layer replaces it", layers: []string{"f a=1; f a/b=2"}, want: "d a; f a/b=2"},
	{name: "an entry under a link to a file replaces the link", layers: []string{"f t=1; l a->t", "f a/b=2"}, want: "d a; f a/b=2; f t=1"},
	{name: "an entry under a device replaces it", layers: []string{"c a=1:3", "f a/b=2"}, want: "d a; f a/b=2"},
	{name: "an empty target", layers: []string{"l a->"}, err: "target of 0 bytes"},

	// The usr-merge conflict.
	{name: "usr-merge", layers: []string{"image one; d usr; d usr/bin; l bin->usr/bin", "image two; d bin; f bin/x=1"}, err: "layer 1 of two (sha256:1111): bin: bin is a directory here, but a symbolic link to usr/bin in layer 1 of one (sha256:1111)"},
	{name: "usr-merge in one image", layers: []string{"d usr; d usr/bin; l bin->usr/bin", "d bin; f bin/x=1"}, err: "bin is a directory here"},
	{name: "usr-merge, follow", policy: Policy{Links: LinksFollow}, layers: []string{"d usr; d usr/bin mode=0711; l bin->usr/bin", "d bin mode=0700; f bin/x=1"}, want: "l bin->usr/bin; d usr; d usr/bin mode=0711; f usr/bin/x=1"},
	{name: "usr-merge, replace", policy: Policy{Links: LinksReplace}, layers: []string{"d usr; d usr/bin; f usr/bin/sh=1; l bin->usr/bin", "d bin; f bin/x=1"}, want: "d bin; f bin/x=1; d usr; d usr/bin; f usr/bin/sh=1"},
	{name: "usr-merge by an opaque directory", layers: []string{"d usr; d usr/bin; l bin->usr/bin", "o bin; f bin/x=1"}, err: "bin is a directory here"},
	{name: "usr-merge by an opaque directory, follow", policy: Policy{Links: LinksFollow}, layers: []string{"d usr; f usr/sh=1; l bin->usr", "o bin; f bin/x=1"}, want: "l bin->usr; d usr; f usr/sh=1; f usr/x=1"},
	{name: "usr-merge by an opaque directory, replace", policy: Policy{Links: LinksReplace}, layers: []string{"d usr; f usr/sh=1; l bin->usr", "o bin; f bin/x=1"}, want: "d bin; f bin/x=1; d usr; f usr/sh=1"},
	{name: "no usr-merge: the link was whited out", layers: []string{"d usr; l bin->usr", "w bin; d bin; f bin/x=1"}, want: "d bin; f bin/x=1; d usr"},
	{name: "no usr-merge: the link leads nowhere", layers: []string{"l bin->usr", "d bin; f bin/x=1"}, want: "d bin; f bin/x=1"},
	{name: "no usr-merge: the link leads to a file", layers: []string{"f usr=1; l bin->usr", "d bin; f bin/x=1"}, want: "d bin; f bin/x=1; f usr=1"},
	{name: "no usr-merge: within a layer the last entry wins", layers: []string{"d usr; l bin->usr; d bin; f bin/x=1"}, want: "d bin; f bin/x=1; d usr"},
	{name: "usr-merge the other way round", layers: []string{"image one; d lib; f lib/modules=1", "image two; d usr; d usr/lib; l lib->usr/lib"}, err: "layer 1 of two (sha256:1111): lib: lib is a symbolic link to usr/lib here, but a directory with modules in it in layer 1 of one"},
	{name: "usr-merge the other way round, follow", policy: Policy{Links: LinksFollow}, layers: []string{"image one; d lib; f lib/m=1; d lib/d; f lib/d/f=1", "image two; d usr; l lib->/usr/lib; d usr/lib; d usr/lib/d; f usr/lib/d/g=1"}, want: "l lib->/usr/lib; d usr; d usr/lib; d usr/lib/d; f usr/lib/d/f=1; f usr/lib/d/g=1; f usr/lib/m=1"},
	{name: "usr-merge the other way round, replace", policy: Policy{Links: LinksReplace}, layers: []string{"image one; d lib; f lib/m=1", "image two; l lib->usr/lib"}, want: "l lib->usr/lib"},
	{name: "usr-merge the other way round, in one image, is how it is done", layers: []string{"d lib; f lib/m=1", "l lib->usr/lib; d usr; d usr/lib; f usr/lib/m=1"}, want: "l lib->usr/lib; d usr; d usr/lib; f usr/lib/m=1"},
	{name: "usr-merge the other way round, with no files", layers: []string{"image one; d lib; d lib/d", "image two; l lib->usr/lib"}, want: "l lib->usr/lib"},

	// Overwrites between images.
	{name: "overwrite allowed", layers: []string{"image one; f a=1", "image two; f a=2"}, want: "f a=2"},
	{name: "overwrite refused", policy: Policy{Overwrites: OverwritesError}, layers: []string{"image one; f a=1", "image two; f a=2"}, err: "layer 1 of two (sha256:1111): a: a is already in layer 1 of one"},
	{name: "overwrite refused: a file makes way for a directory", policy: Policy{Overwrites: OverwritesError}, layers: []string{"image one; f a=1", "image two; f a/b=2"}, err: "a is already in layer 1 of one"},
	{name: "overwrite refused: a hard link", policy: Policy{Overwrites: OverwritesError}, layers: []string{"image one; f a=1", "image two; f b=2; h a->b"}, err: "a is already in layer 1 of one"},
	{name: "overwrite refused: whiteouts are no overwrites", policy: Policy{Overwrites: OverwritesError}, layers: []string{"image one; f a=1", "f b=1", "w a; f a=2; w b"}, want: "f a=2"},
	{name: "overwrite refused: a link of another image", policy: Policy{Overwrites: OverwritesError}, layers: []string{"image one; f a=1", "image two; h b->a", "f b=2"}, want: "f a=1; f b=2"},
	{name: "overwrite refused: a directory that was described again", policy: Policy{Overwrites: OverwritesError}, layers: []string{"image one; d d; f d/a=1", "image two; d d", "f d=2"}, err: "d: d/a is already in layer 1 of one"},

	// Whiteouts are about the layers of their own image.
	{name: "another image's file", layers: []string{"image one; f a=1; f b=1", "image two; w a"}, want: "f a=1; f b=1"},
	{name: "another image's file, refused", policy: Policy{Overwrites: OverwritesError}, layers: []string{"image one; f a=1", "image two; w a"}, err: "layer 1 of two (sha256:1111): a whiteout of a, which is in layer 1 of one (sha256:1111)"},
	{name: "another image's files in an opaque directory", layers: []string{"image one; d d; f d/a=1", "image two; d d; f d/b=1", "d d; o d; f d/c=1"}, want: "d d; f d/a=1; f d/c=1"},
	{name: "another image's files in an opaque directory, refused", policy: Policy{Overwrites: OverwritesError}, layers: []string{"image one; d d; f d/a=1", "image two; d d; f d/b=1", "d d; o d; f d/c=1"}, err: "layer 2 of two (sha256:2222): d/.wh..wh..opq: a whiteout of d/a, which is in layer 1 of one"},
	{name: "another image's files in an opaque root", layers: []string{"image one; f a=1; d d; f d/b=1", "image two; f d/c=2; f e=2", "o .; f f=2"}, want: "f a=1; d d; f d/b=1; f f=2"},
	{name: "a whiteout of a directory of two images", layers: []string{"image one; d d mode=0700; f d/a=1; d d/e mode=0711", "image two; d d mode=0750; f d/b=2; d d/e; f d/e/x=2; d d/f", "w d"}, want: "d d mode=0700; f d/a=1; d d/e mode=0711"},
	{name: "a whiteout of the own copy of a file", layers: []string{"image one; f a=1", "image two; f a=2", "w a"}, want: "f a=1"},
	{name: "a whiteout of the own copy of a copy", layers: []string{"image one; f a=1", "image two; f a=2", "image three; f a=3", "f a=4", "w a"}, want: "f a=2"},
	{name: "a whiteout of a file in the place of a directory", layers: []string{"image one; d d mode=0700; f d/a=1", "image two; d d; f d/b=2", "f d=2", "w d"}, want: "d d mode=0700; f d/a=1"},
	{name: "a whiteout of a directory in the place of a file", layers: []string{"image one; f d=1", "image two; d d; f d/b=2", "w d"}, want: "f d=1"},
	{name: "a whiteout of the own link to another image's file", layers: []string{"image one; f a=1", "image two; h b->a", "w b"}, want: "f a=1"},
	{name: "a whiteout of another image's link to the own file", layers: []string{"image one; f a=1", "image two; h b->a", "image one; w b"}, want: "f a=1; h b->a"},
	{name: "a whiteout of an implied directory", layers: []string{"image one; f a=1", "image two; f d/e/b=2", "w d"}, want: "f a=1"},
	{name: "a whiteout behind another image's link", policy: Policy{Links: LinksFollow}, layers: []string{"image one; d usr; d usr/bin; f usr/bin/a=1; l bin->usr/bin", "image two; d bin; f bin/b=2; f bin/c=2", "w bin/b; w bin/a"}, want: "d usr; d usr/bin; f usr/bin/a=1; f usr/bin/c=2; l bin->usr/bin"},
	{name: "a whiteout of what a link swapped away", policy: Policy{Links: LinksFollow}, layers: []string{"image one; f lib/m=1; f lib/n=1", "image two; f lib/m=2; d d", "l lib->d", "w d/m"}, want: "d d; f d/m=1; f d/n=1; l lib->d"},
	{name: "overwrite within an image", policy: Policy{Overwrites: OverwritesError}, layers: []string{"image one; f a=1", "f a=2", "image two; f b=1"}, want: "f a=2; f b=1"},
	{name: "directories in common are no overwrite", policy: Policy{Overwrites: OverwritesError}, layers: []string{"image one; d a; f a/x=1", "image two; d a; f a/y=1"}, want: "d a; f a/x=1; f a/y=1"},

	// Attributes.
	{name: "setuid, setgid, sticky", layers: []string{"f a=1 mode=4755; f b=1 mode=2711; d c mode=1777"}, want: "f a=1 mode=04755; f b=1 mode=02711; d c mode=01777"},
	{name: "capabilities and other extended attributes", layers: []string{"f a=1 xattr:security.capability=cap xattr:user.x=y; d d xattr:user.z=1"}, want: "f a=1 xattr:security.capability=cap xattr:user.x=y; d d xattr:user.z=1"},
	{name: "large owners", layers: []string{"f a=1 uid=4294967294 gid=2097152"}, want: "f a=1 uid=4294967294 gid=2097152"},
	{name: "no owner", layers: []string{"f a=1 uid=4294967295"}, err: "out of range"},
	{name: "times before 1970 and with fractions", layers: []string{"f a=1 mtime=-12.5; f b=1 mtime=1.25; d c mtime=-1"}, want: "f a=1 mtime=-12.5; f b=1 mtime=1.25; d c mtime=-1"},
	{name: "attributes of overlayfs", layers: []string{"d a xattr:trusted.overlay.opaque=y"}, err: "belongs to overlayfs"},
	{name: "a whiteout of overlayfs", layers: []string{"c a=0:0"}, err: "whiteout of overlayfs"},
	{name: "a device number out of range", layers: []string{"c a=4096:0"}, err: "out of range"},
	{name: "too much in extended attributes", layers: []string{"f a=1 xattr:user.x=" + strings.Repeat("x", 70000)}, err: "extended attributes"},
	{name: "more files than the limit", policy: Policy{MaxNodes: 4}, layers: []string{"f a/b/c/d=1"}, err: "more than 4 files"},
}

func TestConformance(t *testing.T) {
	for _, tt := range conformance {
		t.Run(tt.name, func(t *testing.T) {
			tree, err := build(t, tt.policy, lists(tt.layers...)...)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("Apply(%q) = %v; want an error with %q", tt.layers, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatalf("Apply(%q) = %v", tt.layers, err)
			}
			want, err := build(t, Policy{}, lists(tt.want)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.lines(), tree.lines()); diff != "" {
				t.Errorf("Apply(%q), -want +got:\n%s", tt.layers, diff)
			}
			checkCount(t, tree)
		})
	}
}

func TestPolicyCheck(t *testing.T) {
	for _, p := range []Policy{{}, {Links: LinksError, Overwrites: OverwritesAllow}, {Links: LinksFollow}, {Links: LinksReplace, Overwrites: OverwritesError}} {
		if err := p.Check(); err != nil {
			t.Errorf("%+v.Check() = %v", p, err)
		}
	}
	for _, p := range []Policy{{Links: "folow"}, {Overwrites: "follow"}} {
		if err := p.Check(); err == nil {
			t.Errorf("%+v.Check(): no error", p)
		}
	}
}

// checkCount compares the number of names with what the tree has counted.
func checkCount(t *testing.T, tree *Tree) {
	t.Helper()
	count := 0
	tree.Walk(func(string, *Node) error { count++; return nil })
	if count != tree.nodes {
		t.Errorf("the tree holds %d names, and says %d", count, tree.nodes)
	}
}
