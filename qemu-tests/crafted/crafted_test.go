package crafted

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

// sealed is a file system as mke2fs makes it, with checksums.
func sealed(t *testing.T) Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	out, err := exec.Command(testkit.Tool(t, "mke2fs"), "-q", "-F", "-t", "ext4", "-b", "4096", path, "16M").CombinedOutput()
	if err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Image{Name: "sealed", Data: data, Sealed: true, Descriptors: 4096}
}

// The seals are right: of an image that is as it was made they change nothing.
func TestSeals(t *testing.T) {
	image := sealed(t)
	for _, p := range image.parts() {
		data := bytes.Clone(image.Data)
		if p.seal(data, p); len(differences(image.Data, data)) > 0 {
			t.Errorf("the seal of the %s changes a whole file system", p.name)
		}
	}
}

func TestCases(t *testing.T) {
	image := sealed(t)
	cases := Cases([]Image{image}, 100, 1)
	if diff := cmp.Diff(cases, Cases([]Image{image}, 100, 1)); diff != "" {
		t.Errorf("the same seed gives other cases:\n%s", diff)
	}
	changed := 0
	for _, c := range cases {
		data := bytes.Clone(image.Data)
		for _, w := range c.Writes {
			copy(data[w.At:], w.Data)
		}
		if !bytes.Equal(data, image.Data) {
			changed++
		}
	}
	if changed < 90 { // a lie may be the truth
		t.Errorf("%d of 100 cases are changed; want nearly all", changed)
	}
}
