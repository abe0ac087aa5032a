package erofs

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkWrite writes large files from disk to disk, through nothing else.
func BenchmarkWrite(b *testing.B) {
	const files, size = 4, 64 << 20
	source := filepath.Join(b.TempDir(), "source")
	if err := os.WriteFile(source, noise(size), 0o600); err != nil {
		b.Fatal(err)
	}
	children := make(map[string]*Inode)
	for i := range files {
		f := file(nil)
		f.Size, f.Open = size, func() (io.ReadCloser, error) { return os.Open(source) }
		children[fmt.Sprint(i)] = f
	}
	target, err := os.Create(filepath.Join(b.TempDir(), "image"))
	if err != nil {
		b.Fatal(err)
	}
	defer target.Close()
	for _, c := range []struct {
		name string
		w    io.Writer
	}{{"ToFile", target}, {"ToWriter", struct{ io.Writer }{target}}, {"ToNothing", struct{ io.Writer }{io.Discard}}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(files * size)
			for b.Loop() {
				if _, err := target.Seek(0, io.SeekStart); err != nil {
					b.Fatal(err)
				}
				if _, err := Write(c.w, dir(children), testOptions); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWriteSmall counts the cost of an inode.
func BenchmarkWriteSmall(b *testing.B) {
	root := manyEntries(20000)
	for b.Loop() {
		if _, err := Write(io.Discard, root, testOptions); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20000, "ns/inode")
}

// BenchmarkWalk reads the names and inodes of a large directory.
func BenchmarkWalk(b *testing.B) {
	f := open(b, image(b, manyEntries(20000)))
	for b.Loop() {
		if err := f.Walk(func(string, *Stat) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
