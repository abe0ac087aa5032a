package oci

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/internal/filelock"
	"github.com/ketch-os/ketch/internal/testkit"
)

// imageOf writes an image of layers into a layout and opens it.
func imageOf(t testing.TB, dir string, layers []stored) *Image {
	t.Helper()
	b := blobs{}
	b.write(t, dir, map[string]v1.Descriptor{"": b.image(t, layers, nil)})
	img, err := (&Client{}).Open(context.Background(), reference(t, "oci:"+dir, ""))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func fetch(t testing.TB, c *Cache, img *Image) ([]Blob, []Progress, error) {
	t.Helper()
	var seen []Progress
	blobs, err := c.Fetch(context.Background(), img.Layers, func(p Progress) { seen = append(seen, p) })
	return blobs, seen, err
}

// TestStoredForms reads one content stored in every way that gzip and zstd allow.
func TestStoredForms(t *testing.T) {
	plain := tarOf(t, "x", 200_000)
	half := len(plain) / 2
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'}
	tests := []struct {
		name string
		data []byte
	}{
		{"plain", plain},
		{"gzip", testkit.Gzip(plain)},
		{"gzip in two members", append(testkit.Gzip(plain[:half]), testkit.Gzip(plain[half:])...)},
		{"gzip with padding", append(testkit.Gzip(plain), make([]byte, 1000)...)},
		{"gzip with a byte behind it", append(testkit.Gzip(plain), 'x')},
		{"zstd", zstded(t, plain)},
		{"zstd in two frames", append(zstded(t, plain[:half]), zstded(t, plain[half:])...)},
		{"zstd with a frame to skip", append(zstded(t, plain), skippable...)},
	}
	for _, tt := range tests {
		for _, media := range []types.MediaType{types.OCILayer, types.DockerLayer, types.OCIUncompressedLayer, ociRestrictedZstd, ""} {
			img := imageOf(t, t.TempDir(), []stored{{media, tt.data, plain, nil}})
			blobs, _, err := fetch(t, newCache(t), img)
			if err != nil {
				t.Errorf("%s as %q: %v", tt.name, media, err)
				continue
			}
			f, err := blobs[0].Open()
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if _, err := got.ReadFrom(f); err != nil || !bytes.Equal(got.Bytes(), plain) {
				t.Errorf("%s as %q: %d bytes, %v; want %d", tt.name, media, got.Len(), err, len(plain))
			}
			f.Close()
		}
	}
}

func TestBadCompression(t *testing.T) {
	plain := tarOf(t, "x", 2000)
	gz, zs := testkit.Gzip(plain), zstded(t, plain)
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"gzip that ends early", gz[:len(gz)/2], "uncompress: "},
		{"gzip with a wrong checksum", append(bytes.Clone(gz[:len(gz)-8]), 1, 2, 3, 4, 5, 6, 7, 8), "uncompress: "},
		{"gzip header only", gz[:2], "uncompress: "},
		{"zstd that ends early", zs[:len(zs)/2], "uncompress: "},
		{"zstd magic only", zs[:4], "uncompress: "},
		{"gzip of something else", testkit.Gzip([]byte("something else")), "diffID is"},
	} {
		img := imageOf(t, t.TempDir(), []stored{{types.OCILayer, tt.data, plain, nil}})
		_, _, err := fetch(t, newCache(t), img)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want an error with %q", tt.name, err, tt.want)
		}
	}
}

func TestCacheLimit(t *testing.T) {
	bomb := make([]byte, 50<<20)
	img := imageOf(t, t.TempDir(), []stored{{types.OCILayer, testkit.Gzip(bomb), bomb, nil}})
	c := newCache(t)
	c.MaxSize = 1 << 20
	_, _, err := fetch(t, c, img)
	checkError(t, "a gzip bomb", err, "unpack layers: it becomes larger than 1048576 bytes", "--max-size")
	if files := cacheFiles(t, c); len(files) != 0 {
		t.Errorf("left in the cache: %q", files)
	}
	plain := tarOf(t, "x", 2<<20)
	_, _, err = fetch(t, c, imageOf(t, t.TempDir(), []stored{{types.OCIUncompressedLayer, plain, plain, nil}}))
	checkError(t, "a large plain layer", err, "read layer: it becomes larger than", "--max-size")
	half, other := tarOf(t, "x", 600<<10), tarOf(t, "y", 600<<10)
	_, _, err = fetch(t, c, imageOf(t, t.TempDir(), []stored{{types.OCILayer, testkit.Gzip(half), half, nil}, {types.OCILayer, testkit.Gzip(other), other, nil}}))
	checkError(t, "two layers that are too large together", err, "unpack layers: it becomes larger than", "--max-size")
}

// TestCacheHit fetches twice: the second time nothing is read.
func TestCacheHit(t *testing.T) {
	dir := t.TempDir()
	img := imageOf(t, dir, threeLayers(t))
	age(t, dir)
	c := newCache(t)
	if _, seen, err := fetch(t, c, img); err != nil || len(seen) < 3 {
		t.Fatalf("first: %v, %d reports of progress; want some for each layer", err, len(seen))
	}
	c.now = later // files that are new are not noted
	if _, _, err := fetch(t, c, img); err != nil {
		t.Fatal(err)
	}
	if _, seen, err := fetch(t, c, img); err != nil || len(seen) != 0 {
		t.Errorf("third: %v, %d reports of progress; want none", err, len(seen))
	}
	// A change with the old size and the old time is seen: ctime tells.
	path := filepath.Join(dir, "blobs", "sha256", img.Layers[0].DiffID.Hex)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[600] ^= 1
	put(t, path, data)
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	_, _, err = fetch(t, c, img)
	checkError(t, "a changed file", err, "layer 1 of oci:", "damaged")
}

// age makes the files of a layout look old.
func age(t testing.TB, dir string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	paths, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// later is a clock by which nothing has changed a moment ago.
func later() time.Time { return time.Now().Add(time.Minute) }

// TestCacheFileChanged changes what lies in the cache under a layer's name. The
// layer comes from where it came from, whole, and the file is what its name says again.
func TestCacheFileChanged(t *testing.T) {
	stored := threeLayers(t)[1]
	same := bytes.Clone(stored.Plain)
	same[600] ^= 1
	for name, content := range map[string][]byte{
		"emptied": nil, "changed": same, "cut short": stored.Plain[:1000], "longer": append(bytes.Clone(stored.Plain), 0), "something else": []byte("x"),
	} {
		for noted, now := range map[string]func() time.Time{"noted": later, "not noted": time.Now} {
			img := imageOf(t, t.TempDir(), threeLayers(t)[1:2])
			c := newCache(t)
			c.now = now
			blobs, _, err := fetch(t, c, img)
			if err == nil {
				blobs, _, err = fetch(t, c, img) // notes it, if anything does
			}
			if err != nil {
				t.Fatal(err)
			}
			path := blobs[0].Path
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			put(t, path, content)
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
			if blobs, _, err = fetch(t, c, img); err != nil {
				t.Errorf("%s, %s: %v", name, noted, err)
				continue
			}
			if got, err := os.ReadFile(blobs[0].Path); err != nil || !bytes.Equal(got, stored.Plain) {
				t.Errorf("%s, %s: the layer has %d bytes, %v; want its own %d", name, noted, len(got), err, len(stored.Plain))
			}
		}
	}
}

// TestCacheNotesWhatItHas reads a file of the cache once more, and not again
// until it changes: then a note that is damaged costs a reading, and no more.
func TestCacheNotesWhatItHas(t *testing.T) {
	img := imageOf(t, t.TempDir(), threeLayers(t)[1:2])
	c := newCache(t)
	c.now = later
	for range 2 {
		if _, _, err := fetch(t, c, img); err != nil {
			t.Fatal(err)
		}
	}
	proof := c.proof(img.Layers[0].DiffID)
	noted, err := os.Stat(proof)
	if err != nil {
		t.Fatalf("after the second fetch: %v", err)
	}
	if _, _, err := fetch(t, c, img); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Stat(proof); err != nil || !os.SameFile(noted, again) {
		t.Errorf("after the third fetch the note is another (%v): the layer was read again", err)
	}
	put(t, proof, nil)
	if _, _, err := fetch(t, c, img); err != nil {
		t.Errorf("with an empty note: %v", err)
	}
	if again, err := os.ReadFile(proof); err != nil || len(again) == 0 {
		t.Errorf("the empty note is still %q, %v", again, err)
	}
}

// TestCacheShared lets several processes, as it were, fetch the same layers at
// once. What is compressed is read from its source by one of them, and no file is
// replaced while another reads it.
func TestCacheShared(t *testing.T) {
	layers := threeLayers(t)
	layers = append(layers, layers...)
	img := imageOf(t, t.TempDir(), layers)
	var reads atomic.Int32
	for i := range img.Layers {
		img.Layers[i].source = counting{img.Layers[i].source, &reads}
	}
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			c, err := OpenCache(dir)
			if err != nil {
				t.Error(err)
				return
			}
			blobs, err := c.Fetch(context.Background(), img.Layers, nil)
			if err != nil {
				t.Error(err)
			}
			for i, b := range blobs {
				if b.Size != int64(len(layers[i].Plain)) {
					t.Errorf("layer %d: %d bytes; want %d", i+1, b.Size, len(layers[i].Plain))
				}
			}
		})
	}
	wg.Wait()
	if n := reads.Load(); n != 2 {
		t.Errorf("%d blobs were read from the source; want 2", n)
	}
	if left := cacheNames(t, dir, "tmp"); len(left) != 0 {
		t.Errorf("left in tmp: %q", left)
	}
}

// counting counts how often a blob is read.
type counting struct {
	source
	n *atomic.Int32
}

func (c counting) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	c.n.Add(1)
	return c.source.blob(ctx, d)
}

// cacheNames lists a directory of a cache.
func cacheNames(t *testing.T, dir, sub string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, sub))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestCacheWait ends a wait for another process with its context. What is known
// to be whole needs no waiting.
func TestCacheWait(t *testing.T) {
	img := imageOf(t, t.TempDir(), threeLayers(t)[1:2])
	c := newCache(t)
	c.now = later
	lock, err := c.lock(t.Context(), img.Layers[0].DiffID)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Fetch(ended, img.Layers, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch() = %v; want %v", err, context.Canceled)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is noted
		if _, _, err := fetch(t, c, img); err != nil {
			t.Fatal(err)
		}
	}
	if lock, err = c.lock(t.Context(), img.Layers[0].DiffID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fetch(ended, img.Layers, nil); err != nil {
		t.Errorf("Fetch() of a layer that is noted = %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

func TestCacheSweep(t *testing.T) {
	c := newCache(t)
	at := func(name string) string { return filepath.Join(c.tmp(), name) }
	long := time.Now().Add(-25 * time.Hour)
	held, err := filelock.Try(at("held.lock"))
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{".1x4k9.partial", "killed.lock", "held.lock"} {
		put(t, at(old), nil)
		if err := os.Chtimes(at(old), long, long); err != nil {
			t.Fatal(err)
		}
	}
	put(t, at(".2y5l0.partial"), nil)
	if _, err := OpenCache(c.dir); err != nil {
		t.Fatal(err)
	}
	if got := cacheNames(t, c.dir, "tmp"); !slices.Equal(got, []string{".2y5l0.partial", "held.lock"}) {
		t.Errorf("tmp holds %q; want what is new or locked", got)
	}
	if err := held.Release(); err != nil {
		t.Error(err)
	}
}

func TestLockErrors(t *testing.T) {
	sum := " sha256:" + strings.Repeat("0", 64)
	for _, tt := range []struct{ text, want string }{
		{"# comment\n\na:v1 sha256:123\n", "x.lock:3: "},
		{"a:v1\n", "x.lock:1: "},
		{"a:v1" + sum + "\na:v1" + sum + "\n", "x.lock:2: a:v1 is there twice"},
		{"a:v1" + sum + " more\n", "is not a reference and a digest"},
	} {
		path := filepath.Join(t.TempDir(), "x.lock")
		put(t, path, []byte(tt.text))
		_, err := LoadLock(path)
		if err == nil || !strings.Contains(err.Error(), tt.want) || hint.Of(err) == "" {
			t.Errorf("LoadLock(%q) = %v; want an error with %q and a hint", tt.text, err, tt.want)
		}
	}
}

// TestLockSave keeps what was used, sorted, and writes only what changed.
func TestLockSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	a, b := digestOf([]byte("a")), digestOf([]byte("b"))
	l, err := LoadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a lock of nothing made a file")
	}
	l.set("z:v1", b)
	l.set("m:v1", a)
	if err := l.Save(path); err != nil {
		t.Fatal(err)
	}
	want := lockHeader + "m:v1 " + a.String() + "\nz:v1 " + b.String() + "\n"
	if data, err := os.ReadFile(path); err != nil || string(data) != want {
		t.Errorf("lock file %q, %v; want %q", data, err, want)
	}
	if l, err = LoadLock(path); err != nil {
		t.Fatal(err)
	}
	if got, ok := l.get("z:v1"); !ok || got != b {
		t.Errorf("get(z:v1) = %s, %v; want %s", got, ok, b)
	}
	if _, ok := l.get("unknown:v1"); ok {
		t.Error("get(unknown:v1) = a digest; want none")
	}
	if err := l.Save(path); err != nil {
		t.Fatal(err)
	}
	want = lockHeader + "z:v1 " + b.String() + "\n"
	if data, err := os.ReadFile(path); err != nil || string(data) != want {
		t.Errorf("lock file %q, %v; want %q", data, err, want)
	}
}
