package tree

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/hint"
)

func TestMapOS(t *testing.T) {
	tests := []struct {
		name   string
		policy Policy
		layers []string
		drop   []string
		want   string
		report string
		err    string
		hint   string
	}{
		{name: "nothing to do", layers: []string{"d usr; f usr/x=1; d boot; f boot/vmlinuz=1"}, want: "d usr; f usr/x=1; d boot; f boot/vmlinuz=1"},
		{
			name:   "etc, bin and lib",
			layers: []string{"d usr; d usr/bin; f usr/bin/a=1; d bin mode=0700; f bin/b=1; d etc mode=0750; f etc/passwd=1; l etc/mtab->../proc/self/mounts; d lib; d lib/x; f lib/x/y=1"},
			want:   "d usr; d usr/bin; f usr/bin/a=1; f usr/bin/b=1; d usr/lib; d usr/lib/x; f usr/lib/x/y=1; d usr/share; d usr/share/ketch; d usr/share/ketch/etc mode=0750; f usr/share/ketch/etc/passwd=1; l usr/share/ketch/etc/mtab->../proc/self/mounts",
			report: "moved bin usr/bin 2; moved lib usr/lib 3; moved etc usr/share/ketch/etc 3",
		},
		{name: "links of a merged /usr", layers: []string{"d usr; l bin->usr/bin; l sbin->/usr/sbin; l lib->usr/lib; l lib64->usr/lib64; l lib32->usr/lib32; l libx32->usr/libx32"}, want: "d usr"},
		{name: "a directory over a link inside usr", layers: []string{"d usr; d usr/bin; l usr/sbin->bin; d sbin; f sbin/x=1"}, want: "d usr; d usr/bin; f usr/bin/x=1; l usr/sbin->bin", report: "moved sbin usr/sbin 2"},
		{name: "directories merge", layers: []string{"d usr; d usr/lib; d usr/lib/d mode=0700; f usr/lib/d/a=1; d lib; d lib/d mode=0711; f lib/d/b=1"}, want: "d usr; d usr/lib; d usr/lib/d mode=0700; f usr/lib/d/a=1; f usr/lib/d/b=1", report: "moved lib usr/lib 3"},
		{name: "a hard link across the move", layers: []string{"d usr; f usr/x=1; h bin/x->usr/x"}, want: "d usr; d usr/bin; f usr/bin/x=1; h usr/x->usr/bin/x", report: "moved bin usr/bin 2"},
		{name: "one file twice", layers: []string{"d usr; d usr/bin; f usr/bin/x=1; d bin; h bin/x->usr/bin/x; l bin/l->x; l usr/bin/l->x"}, want: "d usr; d usr/bin; f usr/bin/x=1; l usr/bin/l->x", report: "moved bin usr/bin 3"},
		{
			name:   "two files of one name",
			layers: []string{"image one; d usr; f usr/bin/x=1", "image two; f bin/x=2"},
			err:    "map bin to usr/bin: bin/x of layer 1 of two (sha256:1111) and usr/bin/x of layer 1 of one (sha256:1111) are the same file",
		},
		{name: "a directory and a file of one name", layers: []string{"d usr; f usr/bin/x=1; d bin; f bin/x/y=1"}, err: "are the same file of the image", hint: "drop bin/x or usr/bin/x"},
		{name: "relative links that still lead there", layers: []string{"d usr; f usr/lib/y=1; d bin; l bin/a->b; l bin/b->../lib/x; f lib/x=1; l bin/c->/lib/x; l lib/d->../usr/../bin/b"}, want: "d usr; d usr/bin; l usr/bin/a->b; l usr/bin/b->../lib/x; l usr/bin/c->/lib/x; d usr/lib; l usr/lib/d->../usr/../bin/b; f usr/lib/x=1; f usr/lib/y=1", report: "moved bin usr/bin 4; moved lib usr/lib 3"},
		{name: "a relative link that leads elsewhere", layers: []string{"d usr; l bin/sh->../usr/bin/dash"}, err: "symbolic link bin/sh → ../usr/bin/dash in layer 1 of base (sha256:1111) leads to usr/bin/dash, and after the move to usr/usr/bin/dash", hint: "install it as usr/bin/sh"},
		{name: "a link of the wrong target", layers: []string{"d usr; l bin->busybox"}, err: "map bin to usr/bin: bin in layer 1 of base (sha256:1111) is neither a directory nor a link to usr/bin, but a link to busybox", hint: "drop: bin"},
		{name: "links that lead to one directory", layers: []string{"d usr; d usr/bin; f usr/bin/x=1; d usr/lib; l bin->usr/bin; l sbin->usr/bin; l lib->usr/lib; l lib64->usr/lib; l usr/sbin->bin; l usr/lib64->lib"}, want: "d usr; d usr/bin; f usr/bin/x=1; d usr/lib; l usr/sbin->bin; l usr/lib64->lib"},
		{name: "a link to another directory", layers: []string{"d usr; d usr/bin; l sbin->usr/bin"}, err: "sbin in layer 1 of base (sha256:1111) is neither a directory nor a link to usr/sbin, but a link to usr/bin", hint: "policy: usr-merge: follow"},
		{name: "a link to another directory, followed", policy: Policy{Links: LinksFollow}, layers: []string{"d usr; d usr/bin; f usr/bin/x=1; l sbin->bin; l bin->usr/bin; l lib64->/usr/lib; f usr/lib/y=1"},
			want: "d usr; d usr/bin; f usr/bin/x=1; l usr/sbin->bin; d usr/lib; f usr/lib/y=1; l usr/lib64->lib"},
		{name: "a link to one of two directories", policy: Policy{Links: LinksFollow}, layers: []string{"d usr; d usr/bin; f usr/sbin/x=1; l sbin->usr/bin"}, err: "sbin in layer 1 of base", hint: "drop: sbin"},
		{name: "a link that leads to a directory outside usr", policy: Policy{Links: LinksFollow}, layers: []string{"d usr; d opt/bin; l sbin->opt/bin"}, err: "sbin in layer 1 of base", hint: "drop: sbin"},
		{name: "a link that leads nowhere", policy: Policy{Links: LinksFollow}, layers: []string{"d usr; l sbin->usr/bin"}, err: "sbin in layer 1 of base", hint: "drop: sbin"},
		{name: "a link that is dropped", layers: []string{"d usr; d usr/bin; l sbin->usr/bin"}, drop: []string{"sbin"}, want: "d usr; d usr/bin", report: "dropped sbin 1"},
		{name: "etc as a link", layers: []string{"d usr; l etc->usr/etc"}, err: "etc in layer 1 of base (sha256:1111) is neither"},
		{name: "the empty skeleton", layers: []string{"d usr; d proc; d sys; d dev; d run/lock; d tmp mode=1777; d var/lib/x; d root; d home; d mnt; d opt; d srv; d media"}, want: "d usr",
			report: "ignored dev 1; ignored home 1; ignored media 1; ignored mnt 1; ignored opt 1; ignored proc 1; ignored root 1; ignored run 2; ignored srv 1; ignored sys 1; ignored tmp 1; ignored var 3"},
		{name: "files in the skeleton", layers: []string{"d usr; f var/lib/dpkg/status=1; f var/lib/dpkg/info/x=1; f root/.profile=1"}, err: "3 files outside usr/ and boot/:\n  root/.profile in layer 1 of base (sha256:1111)\n  var/lib/dpkg/info/x in", hint: "drop:"},
		{name: "files in the skeleton, dropped", layers: []string{"d usr; f var/lib/dpkg/status=123; f var/lib/dpkg/info/x=1; f root/.profile=1; f usr/doc=1"}, drop: []string{"/var/lib/dpkg/", "root/.profile", "usr/doc"}, want: "d usr",
			report: "dropped var/lib/dpkg 4; dropped root/.profile 1; dropped usr/doc 1; ignored root 1; ignored var 2"},
		{name: "something to drop that is not there", layers: []string{"d usr"}, drop: []string{"var/x"}, err: "drop var/x: no such file", hint: "take it off"},
		{name: "the root to drop", layers: []string{"d usr"}, drop: []string{"/"}, err: "cannot be dropped"},
		{name: "another directory", layers: []string{"d usr; d data"}, err: "1 files outside usr/ and boot/:\n  data in layer 1 of base"},
		{name: "more files than are worth listing", layers: []string{"d usr" + func() (s string) {
			for i := range 30 {
				s += fmt.Sprintf("; f app/%02d=1", i)
			}
			return s
		}()}, err: "app/09 in layer 1 of base (sha256:1111)\n  and 20 more"},
		{name: "boot as a link", layers: []string{"d usr; l boot->usr/boot"}, err: "boot in layer 1"},
		{name: "usr as a file", layers: []string{"f usr=1"}, err: "usr in layer 1"},
		{name: "no usr", layers: []string{"d boot"}, err: "no image has a usr/ directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree, err := build(t, tt.policy, lists(tt.layers...)...)
			if err != nil {
				t.Fatal(err)
			}
			report, err := tree.MapOS(tt.drop, &Origin{Place: "image.yaml:1"})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(hint.Of(err), tt.hint) {
					t.Errorf("MapOS = %v (hint %q); want an error with %q (%q)", err, hint.Of(err), tt.err, tt.hint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want, err := build(t, Policy{}, lists(tt.want)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.lines(), tree.lines()); diff != "" {
				t.Errorf("tree, -want +got:\n%s", diff)
			}
			if got := report.short(); got != tt.report {
				t.Errorf("report %q; want %q", got, tt.report)
			}
			checkCount(t, tree)
		})
	}
}

func (r *MapReport) short() string {
	var out []string
	for _, m := range r.Moved {
		out = append(out, fmt.Sprintf("moved %s %s %d", m.Path, m.To, m.Files))
	}
	for _, d := range r.Dropped {
		out = append(out, fmt.Sprintf("dropped %s %d", d.Path, d.Files))
	}
	for _, i := range r.Ignored {
		out = append(out, fmt.Sprintf("ignored %s %d", i.Path, i.Files))
	}
	return strings.Join(out, "; ")
}

func TestWhyAfterMapOS(t *testing.T) {
	tree, err := build(t, Policy{}, lists("image one; d usr; f etc/hosts=1; f var/x=1", "f etc/hosts=2")...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.MapOS([]string{"var/x"}, &Origin{Image: "map"}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"etc/hosts", []string{"added one.1", "replaced one.2", "moved map.0 usr/share/ketch/etc/hosts"}},
		{"usr/share/ketch/etc/hosts", []string{"added one.1", "replaced one.2", "received map.0 etc/hosts"}},
		{"usr/share/ketch", []string{"implied map.0"}},
		{"var/x", []string{"added one.1", "dropped map.0"}},
		{"var", []string{"implied one.1", "dropped map.0"}},
	} {
		if diff := cmp.Diff(tt.want, steps(tree.Why(tt.name))); diff != "" {
			t.Errorf("Why(%q), -want +got:\n%s", tt.name, diff)
		}
	}
}
