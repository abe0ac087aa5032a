package oslayers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"

	"github.com/ketch-os/ketch/builder/oslayers/gocmd"
	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/internal/testkit"
)

// required are modules of our own go.mod, with what a person reads in their licence files.
var required = map[string]string{
	"golang.org/x/sys":                      "BSD-3-Clause",
	"github.com/containerd/containerd/v2":   "Apache-2.0",
	"go.yaml.in/yaml/v4":                    "Apache-2.0",
	"github.com/rogpeppe/go-internal":       "BSD-3-Clause",
	"github.com/ulikunitz/xz":               "BSD-3-Clause",             // with words of its own: read by hand
	"github.com/cyphar/filepath-securejoin": "BSD-3-Clause AND MPL-2.0", // explained in a third file
}

func TestLicences(t *testing.T) {
	content, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := modfile.Parse("go.mod", content, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r record
	for _, m := range gomod.Require {
		if _, ok := required[m.Mod.Path]; ok {
			r.addModule(inventory.Module{ModuleVersion: inventory.ModuleVersion(m.Mod)})
		}
	}
	if len(r.Modules) != len(required) {
		t.Fatalf("go.mod requires %d of the %d modules", len(r.Modules), len(required))
	}
	b := &build{module: "../..", compiler: &gocmd.Compiler{Module: "../.."}}
	if err := r.addLicences(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for i, m := range r.Modules {
		if m.Licence != required[m.Path] || (m.Licence == "") != (len(m.SHA256) > 0) {
			t.Errorf("licence of %s is %q, digests %v; want %q", m.Path, m.Licence, m.SHA256, required[m.Path])
		}
		if i > 0 && r.Modules[i-1].Path >= m.Path {
			t.Errorf("%s stands behind %s", m.Path, r.Modules[i-1].Path)
		}
	}
}

func TestArchivesAgreeWithDpkg(t *testing.T) {
	dpkg, gcc := testkit.Tool(t, "dpkg"), testkit.Tool(t, "gcc")
	b := &build{compiler: &gocmd.Compiler{Module: "../.."}}
	got, err := b.archives(t.Context(), []string{"libc.a"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := exec.Command(gcc, "-print-file-name=libc.a").Output()
	if err != nil {
		t.Fatal(err)
	}
	owner, err := exec.Command(dpkg, "-S", filepath.Clean(strings.TrimSpace(string(file)))).Output()
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(string(owner), ":")
	version, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Name != name || got[0].Version != string(version) || len(got[0].Copyright) != 64 {
		t.Errorf("archives = %+v; want %s %s", got, name, version)
	}
}

// What a program is made of goes into the record of its layer.
func TestProgramsInTheRecord(t *testing.T) {
	dir := write(t, project)
	o := options(dir, t.TempDir(), "tiny")
	layers, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var record string
	for _, f := range unpacked(t, openImage(t, o.Out, layers[0].Image)) {
		if strings.HasPrefix(f.Name, "usr/share/ketch/packages/") && f.Content != "" {
			record = f.Content
		}
	}
	got, err := inventory.Parse([]byte(record))
	if err != nil {
		t.Fatal(err)
	}
	release, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := &inventory.Layer{
		Layer: "tiny",
		Own:   &inventory.Module{ModuleVersion: inventory.ModuleVersion{Path: "tiny", Version: "(devel)"}}, // without a licence file
		Go:    []inventory.Program{{Path: "usr/bin/tiny", Package: "./cmd", Go: strings.TrimSpace(string(release))}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}
