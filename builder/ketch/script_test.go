package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/internal/printable"
	"github.com/ketch-os/ketch/internal/testkit"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ketch": main})
}

// TestScripts runs the command lines in testdata: what a person types, and what ketch answers.
func TestScripts(t *testing.T) {
	// The keys are made once: RSA takes its time.
	keyDir := filepath.Join(t.TempDir(), "keys")
	if err := keys.New(keyDir, keys.Options{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("KEYS", keyDir)
			env.Values[theTest{}] = env.T()
			// Where testscript put ketch itself: the first directory of PATH.
			env.Setenv("BIN", filepath.SplitList(env.Getenv("PATH"))[0])
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"oci-image":  ociImage,
			"boot-files": bootFiles,

			"compressed-image":  compressedImage,
			"application-image": applicationImage,
			"flip":              flip,
			"truncate":          truncate,
			"blob":              blob,
			"fields":            fields,
			"hostile":           hostile,
			"printable":         isPrintable,
			"same":              same,
			"oracle":            needs,
		},
	})
}

// theTest is where a script's Values hold its testscript.T.
type theTest struct{}

// needs is testkit's rule for a script: without a program or file it is skipped, or
// fails where CI=true: oracle NAME|/PATH.
func needs(ts *testscript.TestScript, _ bool, args []string) {
	_, err := testkit.Find(args[0])
	if filepath.IsAbs(args[0]) {
		_, err = os.Stat(args[0])
	}
	switch {
	case err == nil:
	case testkit.OnCI():
		ts.Fatalf("needs %s: %v", args[0], err)
	default:
		ts.Value(theTest{}).(testscript.T).Skip("needs ", args[0], ": ", err)
	}
}

// ociImage makes an image with a layer from each directory: oci-image LAYOUT TAG DIR….
func ociImage(ts *testscript.TestScript, _ bool, args []string) {
	var from []string
	for _, dir := range args[2:] {
		from = append(from, ts.MkAbs(dir))
	}
	ts.Check(writeImage(ts.MkAbs(args[0]), args[1], from...))
}

func writeImage(dir, tag string, from ...string) error {
	var layers []v1.Layer
	for _, layer := range from {
		data, err := tarOf(layer)
		if err != nil {
			return err
		}
		layers = append(layers, static.NewLayer(data, types.OCIUncompressedLayer))
	}
	return addImage(dir, tag, v1.Config{}, layers...)
}

// addImage adds an image to a layout, which is made where there is none.
func addImage(dir, tag string, run v1.Config, layers ...v1.Layer) error {
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
	if err != nil {
		return err
	}
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	if img, err = configure(img, run); err != nil {
		return err
	}
	path, err := layout.FromPath(dir)
	if err != nil {
		if path, err = layout.Write(dir, empty.Index); err != nil {
			return err
		}
	}
	return path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag}))
}

// applicationImage makes an image of a directory that runs a program in it:
// application-image LAYOUT TAG DIR PROGRAM.
func applicationImage(ts *testscript.TestScript, _ bool, args []string) {
	data, err := tarOf(ts.MkAbs(args[2]))
	ts.Check(err)
	ts.Check(addImage(ts.MkAbs(args[0]), args[1], v1.Config{Entrypoint: []string{args[3]}}, static.NewLayer(data, types.OCIUncompressedLayer)))
}

// compressedImage makes an image with one compressed layer, which has a file of
// zeros: compressed-image LAYOUT TAG MIB. The file is usr/share/zero.
func compressedImage(ts *testscript.TestScript, _ bool, args []string) {
	var mib int
	_, err := fmt.Sscan(args[2], &mib)
	ts.Check(err)
	dir := ts.MkAbs(args[1] + ".zero")
	writeFile(ts, filepath.Join(dir, "usr/share/zero"), make([]byte, mib<<20))
	data, err := tarOf(dir)
	ts.Check(err)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	ts.Check(err)
	ts.Check(addImage(ts.MkAbs(args[0]), args[1], v1.Config{}, layer))
}

func configure(img v1.Image, run v1.Config) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config = "linux", "amd64", run
	return mutate.ConfigFile(img, config)
}

func tarOf(dir string) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target := ""
		if entry.Type() == fs.ModeSymlink {
			if target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		if header.Name, err = filepath.Rel(dir, path); err != nil {
			return err
		}
		header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "", ""
		if err := w.WriteHeader(header); err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	return buffer.Bytes(), errors.Join(err, w.Close())
}

// bootFiles fills a directory with what a bootable image needs: boot-files DIR.
// The kernel in it is none: the scripts build, they do not boot.
func bootFiles(ts *testscript.TestScript, _ bool, args []string) {
	const efi = "/usr/lib/systemd/boot/efi/"
	needs(ts, false, []string{efi + "linuxx64.efi.stub"})
	dir := ts.MkAbs(args[0])
	for name, from := range map[string]string{
		"boot/vmlinuz": efi + "linuxx64.efi.stub", "boot/linuxx64.efi.stub": efi + "linuxx64.efi.stub", "boot/systemd-bootx64.efi": efi + "systemd-bootx64.efi", "boot/guard.efi": efi + "systemd-bootx64.efi",
	} {
		data, err := os.ReadFile(from)
		ts.Check(err)
		writeFile(ts, filepath.Join(dir, name), data)
	}
	writeFile(ts, filepath.Join(dir, "boot/linux.release"), []byte("6.1.0-test\n"))
	writeFile(ts, filepath.Join(dir, "boot/linux.source"), []byte("linux-source-6.1 6.1.0-1\n"))
	writeFile(ts, filepath.Join(dir, "usr/lib/ketch/init"), []byte("not really PID 1"))
}

func writeFile(ts *testscript.TestScript, path string, data []byte) {
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path, data, 0o755))
}

// fields looks at the JSON that the last command has printed: it has these fields, the
// first of them at the top, and all are named alike, in camelCase, a file or a
// directory "path", a time with its unit: fields NAME….
func fields(ts *testscript.TestScript, _ bool, args []string) {
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &value))
	seen := map[string]bool{}
	var visit func(any)
	visit = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, element := range v {
				visit(element)
			}
		case map[string]any:
			for name, field := range v {
				seen[name] = true
				if !regexp.MustCompile("^[a-z][a-zA-Z0-9]*$").MatchString(name) || slices.Contains([]string{"file", "dir", "time", "took", "duration", "seconds", "ok"}, name) {
					ts.Fatalf("a field is called %q", name)
				}
				if name != "xattrs" { // named by their owners
					visit(field)
				}
			}
		}
	}
	visit(value)
	for _, name := range args {
		if !seen[name] {
			ts.Fatalf("no field is called %q", name)
		}
	}
}

// unprintable are names that do to a terminal what they should not: controls of C0
// and C1, of bidirectional text, and ends of lines.
var unprintable = []string{"esc\x1b[2J", "csi\u009b31m", "bidi\u202etxt", "two\nlines", "wide\ttab"}

// hostile fills a directory with such names, in every place whose names some command
// prints: hostile DIR.
func hostile(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	write := func(name, text string) { writeFile(ts, filepath.Join(dir, name), []byte(text)) }
	var status strings.Builder
	for i, bad := range unprintable {
		write("usr/share/"+bad, bad)
		ts.Check(os.Symlink(bad, filepath.Join(dir, "usr/share", bad+".link")))
		write("boot/"+bad, bad)
		write("etc/"+bad, bad)
		if i < 3 { // a line feed and a tab end a field
			fmt.Fprintf(&status, "Package: p%s\nStatus: install ok installed\nVersion: 1%s\nArchitecture: all\nSource: s%[1]s\n\n", bad, bad)
		}
	}
	write("var/lib/dpkg/status", status.String())
}

// isPrintable looks at what the last command has said: nothing that a terminal takes
// for a command, and no line that a name has begun.
func isPrintable(ts *testscript.TestScript, _ bool, _ []string) {
	for _, stream := range []string{"stdout", "stderr"} {
		text := ts.ReadFile(stream)
		if printable.Lines(text) != text {
			ts.Fatalf("%s has what does not print: %q", stream, text)
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "lines") {
				ts.Fatalf("a name has begun a line of %s: %q", stream, text)
			}
		}
	}
}

// flip changes the byte of a file at an offset; a negative one counts from the end: flip FILE OFFSET.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	defer f.Close()
	var at int64
	_, err = fmt.Sscan(args[1], &at)
	ts.Check(err)
	if at < 0 {
		size, err := f.Seek(0, io.SeekEnd)
		ts.Check(err)
		at += size
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	ts.Check(err)
	_, err = f.WriteAt([]byte{b[0] ^ 1}, at)
	ts.Check(err)
}

// truncate cuts the end off a file: truncate FILE BYTES.
func truncate(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	var less int64
	_, err = fmt.Sscan(args[1], &less)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), info.Size()-less))
}

// blob puts the path of a layer's blob into $BLOB: blob LAYOUT TAG.
func blob(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	index, err := layout.ImageIndexFromPath(dir)
	ts.Check(err)
	manifest, err := index.IndexManifest()
	ts.Check(err)
	for _, d := range manifest.Manifests {
		if d.Annotations["org.opencontainers.image.ref.name"] != args[1] {
			continue
		}
		img, err := index.Image(d.Digest)
		ts.Check(err)
		layers, err := img.Layers()
		ts.Check(err)
		digest, err := layers[0].Digest()
		ts.Check(err)
		ts.Setenv("BLOB", filepath.Join(dir, "blobs", digest.Algorithm, digest.Hex))
		return
	}
	ts.Fatalf("no image %s", args[1])
}

// Each announcement comes once, after the whole line, wherever writes are cut.
func TestAnnouncer(t *testing.T) {
	const console, want = "one\r\nketch: good\r\nversion\r\ntwo\r\nketch: good\r\nversion\r\nketch: good\r\n",
		"one\r\nketch: good\r\nversion\r\n[END]two\r\nketch: good\r\n[TEXT]version\r\nketch: good\r\n"
	for size := 1; size <= len(console); size++ {
		var out bytes.Buffer
		a := &announcer{out: &out, next: []announcement{{after: "version", text: "[END]"}, {after: "ketch: good", text: "[TEXT]"}}}
		for rest := []byte(console); len(rest) > 0; {
			part := rest[:min(size, len(rest))]
			if n, err := a.Write(part); n != len(part) || err != nil {
				t.Fatalf("Write(%q) = %d, %v", part, n, err)
			}
			rest = rest[len(part):]
		}
		if out.String() != want {
			t.Errorf("in writes of %d bytes: %q; want %q", size, &out, want)
		}
	}
}
