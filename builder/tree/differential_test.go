package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/testkit"
)

// TestDifferential applies random stacks of layers, and lets umoci unpack the
// same ones as root: the trees must be equal to the last attribute. It takes the
// same stacks each time, unless KETCH_DIFFERENTIAL says for how long it is to run,
// beginning with seed 1 or the one in KETCH_SEED.
func TestDifferential(t *testing.T) {
	tool := testkit.Tool(t, "umoci")
	testkit.Root(t, "for umoci to restore owners and devices")
	seed := uint64(1)
	if text := os.Getenv("KETCH_SEED"); text != "" {
		fmt.Sscan(text, &seed)
	}
	var limit time.Duration
	if text := os.Getenv("KETCH_DIFFERENTIAL"); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	first := seed
	for start := time.Now(); (seed < first+seeds || time.Since(start) < limit) && !t.Failed(); seed++ {
		compareWithUmoci(t, tool, seed)
	}
	t.Logf("%d stacks of layers, seeds %d to %d", (seed-first)*stacks, first, seed-1)
}

// seeds is how many images of that many stacks there are at least.
const seeds = 4

// stacks is how many stacks of layers one image has, each in a directory of its
// own: umoci takes longer to start than to unpack.
const stacks = 40

func compareWithUmoci(t *testing.T, tool string, seed uint64) {
	t.Helper()
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), tree: New(Policy{Links: LinksReplace})}
	var layers [][]byte
	var text []string
	for n := range 2 + g.IntN(4) {
		g.used, g.needed = map[string]byte{}, map[string]bool{}
		var lines []string
		for g.stack = range stacks {
			lines = append(lines, g.layer()...)
		}
		text = append(text, fmt.Sprintf("layer %d", n+1))
		text = append(text, lines...)
		layers = append(layers, archive(t, lines...))
		if err := g.tree.Apply(layerOf("base", n+1, layers[n])); err != nil {
			t.Errorf("seed %d: %v\n%s", seed, err, strings.Join(text, "\n"))
			return
		}
	}
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	writeLayout(t, filepath.Join(dir, "layout"), layers)
	cmd := exec.Command(tool, "raw", "unpack", "--image", filepath.Join(dir, "layout")+":x", filepath.Join(dir, "root"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("seed %d: umoci: %v\n%s\n%s", seed, err, out, strings.Join(text, "\n"))
		return
	}
	want, err := readDirectory(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(g.comparable(want), g.comparable(g.tree.lines())); diff != "" {
		t.Errorf("seed %d, -umoci +ours:\n%s\n%s", seed, diff, concerned(text, diff))
	}
}

// concerned leaves those lines of layers that are of the stacks in a difference.
func concerned(text []string, diff string) string {
	changes := strings.Join(slices.DeleteFunc(strings.Split(diff, "\n"), func(line string) bool {
		return !strings.HasPrefix(line, "+") && !strings.HasPrefix(line, "-")
	}), "\n")
	var out []string
	for _, line := range text {
		fields := strings.Fields(line)
		stack, _, _ := strings.Cut(fields[1], "/")
		if fields[0] == "layer" || strings.Contains(changes, " "+stack+"/") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// generator makes random layers. It knows the tree below the layer it makes, so
// that it can keep away from what the specification leaves open or umoci 0.4.7
// is known to do otherwise.
type generator struct {
	*rand.Rand
	tree   *Tree
	stack  int             // the layer is for this one
	needed map[string]bool // parents of what the layer has through links
	used   map[string]byte // what the layer has: the kind of each name's entry, and 'w' for ".wh." names
}

// layer returns the lines of a stack's layer.
func (g *generator) layer() []string {
	var lines []string
	for range 4 + g.IntN(14) {
		name := g.name()
		line := g.entry(name)
		if line == "" || g.blocked(name, line[0]) {
			continue
		}
		lines = append(lines, line)
		g.used[inArchive(name, line[0])] = line[0]
		if real := g.real(name); real != name {
			g.used[inArchive(real, line[0])] = line[0]
			for _, way := range []string{name, real} {
				for dir := path.Dir(way); dir != "."; dir = path.Dir(dir) {
					g.needed[dir] = true
				}
			}
		}
	}
	return lines
}

// inArchive is the name of an entry in the archive.
func inArchive(name string, kind byte) string {
	switch kind {
	case 'w':
		return path.Join(path.Dir(name), whiteoutPrefix+path.Base(name))
	case 'o':
		return path.Join(name, opaqueMarker)
	}
	return name
}

// name returns a name of one to four components out of a few, so that layers meet.
func (g *generator) name() string {
	parts := []string{"a", "b", "c", "d"}
	name := fmt.Sprintf("s%d/%s", g.stack, parts[g.IntN(len(parts))])
	for g.IntN(3) > 0 && strings.Count(name, "/") < 4 {
		name += "/" + parts[g.IntN(len(parts))]
	}
	return name
}

// blocked says whether an entry would be about something that the specification
// leaves open, or that umoci refuses: a name twice in a layer; anything below
// what is no directory, whiteouts and opaque markers included; something else in
// the place of a directory, or of a link to one, that has content of the same
// layer; anything through a link that the layer removes or replaces.
func (g *generator) blocked(name string, kind byte) bool {
	return g.blockedAs(name, kind) || g.blockedAs(g.real(name), kind)
}

func (g *generator) blockedAs(name string, kind byte) bool {
	entry := inArchive(name, kind)
	if g.used[entry] != 0 || (kind == 'w' || kind == 'o') && g.needed[name] {
		return true
	}
	stays := kind == 'o' || (kind == 'd' || kind == 'w') && !g.isLink(name)
	for other := range g.used {
		if strings.HasPrefix(other, name+"/") && !stays {
			return true
		}
	}
	links := 0
	for dir := path.Dir(entry); dir != "."; dir = path.Dir(dir) {
		if k := g.used[dir]; k != 0 && (k != 'd' || g.isLink(dir)) {
			return true
		}
		hidden := g.used[inArchive(dir, 'w')] != 0 || g.used[inArchive(dir, 'o')] != 0
		if hidden && g.real(name) != name {
			return true
		}
		n := g.tree.Lookup(dir)
		if n == nil || n.IsDir() || g.used[dir] == 'd' {
			continue
		}
		if links++; links > 1 || kind == 'o' || !g.leadsToDir(dir, n.Target) {
			return true
		}
	}
	return false
}

// leadsToDir says whether a link is to a directory, and not through another link.
func (g *generator) leadsToDir(name, target string) bool {
	if !path.IsAbs(target) {
		target = path.Join("/", path.Dir(g.real(name)), target)
	}
	target = strings.TrimPrefix(path.Clean(target), "/")
	n, real, err := g.tree.find(name, true)
	return err == nil && n.IsDir() && real == target
}

func (g *generator) isLink(name string) bool {
	n := g.tree.Lookup(name)
	return n != nil && n.Type() == TypeSymlink
}

// real is a name with the links of the lower tree among its parents resolved.
func (g *generator) real(name string) string {
	dir := path.Dir(name)
	if dir == "." {
		return name
	}
	_, real, err := g.tree.find(dir, true)
	if err != nil {
		real = g.real(dir)
	}
	return path.Join(real, path.Base(name))
}

func (g *generator) entry(name string) string {
	lower := g.tree.Lookup(name)
	switch k := g.IntN(20); {
	case k < 7:
		return fmt.Sprintf("f %s=%d%s", name, g.IntN(1000), g.attrs())
	case k < 11:
		return "d " + name + g.attrs()
	case k < 13:
		return fmt.Sprintf("l %s->%s mtime=%d", name, g.target(), g.IntN(1e6))
	case k < 15:
		return g.hardLink(name)
	case k == 15:
		return fmt.Sprintf("p %s%s", name, g.attrs())
	case k == 16:
		return fmt.Sprintf("c %s=%d:%d%s", name, 1+g.IntN(255), g.IntN(256), g.attrs())
	case k < 19 && lower != nil:
		return "w " + name
	case k == 19 && lower != nil && lower.IsDir():
		return "o " + name
	}
	return ""
}

// hardLink links to a file of the same layer, as the specification wants it.
func (g *generator) hardLink(name string) string {
	for _, target := range slices.Sorted(maps.Keys(g.used)) {
		inStack := strings.HasPrefix(target, fmt.Sprintf("s%d/", g.stack))
		if kind := g.used[target]; inStack && g.real(target) == target && (kind == 'f' || kind == 'l' || kind == 'p') && g.IntN(2) == 0 {
			return fmt.Sprintf("h %s->%s", name, target)
		}
	}
	return ""
}

// attrs returns random attributes; extended ones now and then.
func (g *generator) attrs() string {
	modes := []string{"0644", "0755", "4755", "2711", "0600", "1777", "0000"}
	s := fmt.Sprintf(" mode=%s uid=%d gid=%d mtime=%d.5", modes[g.IntN(len(modes))], g.IntN(3)*100000, g.IntN(3), g.IntN(1e6)-5e5)
	return s
}

// target is one of the same stack, however it is written.
func (g *generator) target() string {
	targets := []string{"a", "b", "../c", "/%s/a/b", "/../%s/c", "../../../../../%s/d", "nowhere", "./c/.", ".", "../../%s"}
	return strings.ReplaceAll(targets[g.IntN(len(targets))], "%s", fmt.Sprintf("s%d", g.stack))
}

// writeLayout writes an image layout with one image, x.
func writeLayout(t testing.TB, dir string, layers [][]byte) {
	t.Helper()
	put := func(name string, data []byte) {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(media string, data []byte) map[string]any {
		sum := sha256.Sum256(data)
		put("blobs/sha256/"+hex.EncodeToString(sum[:]), data)
		return map[string]any{"mediaType": media, "size": len(data), "digest": "sha256:" + hex.EncodeToString(sum[:])}
	}
	document := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var descriptors, diffIDs []any
	for _, l := range layers {
		d := blob("application/vnd.oci.image.layer.v1.tar", l)
		descriptors, diffIDs = append(descriptors, d), append(diffIDs, d["digest"])
	}
	config := blob("application/vnd.oci.image.config.v1+json", document(map[string]any{
		"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}}))
	manifest := blob("application/vnd.oci.image.manifest.v1+json", document(map[string]any{
		"schemaVersion": 2, "config": config, "layers": descriptors}))
	manifest["annotations"] = map[string]string{"org.opencontainers.image.ref.name": "x"}
	put("index.json", document(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}}))
	put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// readDirectory writes a directory on disk as the tests write a tree.
func readDirectory(root string) ([]string, error) {
	var out []string
	first := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, _ := filepath.Rel(root, path)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if target, ok := first[st.Ino]; ok {
			out = append(out, "h "+name+"->"+target)
			return nil
		}
		if st.Mode&TypeMask != TypeDir {
			first[st.Ino] = name
		}
		n := &Node{Mode: st.Mode, UID: st.Uid, GID: st.Gid, Mtime: time.Unix(st.Mtim.Unix()),
			Rdev: Device(unix.Major(st.Rdev), unix.Minor(st.Rdev))}
		if n.Type() == TypeRegular {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content := File(data, 0, time.Time{})
			n.Size, n.content = content.Size, content.content
		}
		if n.Type() == TypeSymlink {
			n.Target, err = os.Readlink(path)
		}
		out = append(out, n.line(name))
		return err
	})
	return out, err
}

// comparable leaves out what the specification leaves open, the root's own
// attributes and those of directories that no layer describes, and what umoci
// 0.4.7 does not restore: the time of a directory in which something was removed
// or made for want of an entry.
func (g *generator) comparable(lines []string) []string {
	implied, touched := map[string]bool{}, map[string]bool{".": true}
	for name, trail := range g.tree.trails {
		implied[name] = trail[len(trail)-1].Action == Implied
		for _, step := range trail {
			if step.Action != Described {
				touched[path.Dir(name)] = true
			}
		}
	}
	var out []string
	for _, line := range lines {
		name := strings.Fields(line)[1]
		switch {
		case name == ".":
			continue
		case implied[name]:
			line = "d " + name
		case line[0] == 'd' && touched[name]:
			line, _, _ = strings.Cut(line, " mtime=")
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}
