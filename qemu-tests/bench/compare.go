package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ketch-os/ketch/builder/image"
)

// A tree of about 1 GiB, made of files of many sizes: a quarter of it does not
// compress, as binaries' data does not.
const (
	treeFiles   = 8000
	treeSize    = 880 << 20 // with the OS's own usr, as much as a slot of 1 GiB holds
	treePattern = 1 << 20
)

// compare builds an image of a 1 GiB tree from cached layers, and lets other
// tools make what they can of the same tree, in one run.
func compare(ctx context.Context, definition string) ([]Figure, error) {
	dir, err := os.MkdirTemp("out", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	c := &comparison{ctx: ctx, dir: dir}
	if err := c.prepare(definition); err != nil {
		return nil, err
	}
	ours, err := c.ours()
	if err != nil {
		return nil, err
	}
	return append(ours, c.theirs()...), nil
}

// comparison is a directory with a tree in every form that the tools read.
type comparison struct {
	ctx        context.Context
	dir        string
	definition string
}

func (c *comparison) path(name string) string { return filepath.Join(c.dir, name) }

// prepare makes the layer, and the merged tree as a directory and as a tar.
func (c *comparison) prepare(definition string) error {
	for path, text := range map[string]string{
		"rootfs/big/layer.yaml": "description: a large tree\n",
		"big.yaml":              "extends: ../../" + definition + "\nimages: [oci:layers:big]\nslot-fill: 1.0\n",
	} {
		if err := os.MkdirAll(filepath.Dir(c.path(path)), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(c.path(path), []byte(text), 0o666); err != nil {
			return err
		}
	}
	c.definition = c.path("big.yaml")
	if err := writeTree(c.path("rootfs/big/files/usr/share/big")); err != nil {
		return err
	}
	for _, command := range [][]string{
		{"bin/ketch", "layers", "build", "--rootfs", c.path("rootfs"), "-o", c.path("layers")},
		{"bin/ketch", "flatten", "oci:" + c.path("layers") + ":big", "-o", c.path("tree.tar")},
		{"mkdir", c.path("tree")},
		{"tar", "-C", c.path("tree"), "--no-same-owner", "-xf", c.path("tree.tar")},
		{"bin/ketch", "build", c.definition, "-o", c.path("first.raw")}, // so that the layers are cached
	} {
		if _, err := timed(c.ctx, nil, command[0], command[1:]...); err != nil {
			return err
		}
	}
	return os.Remove(c.path("first.raw"))
}

// writeTree fills a directory with files whose sizes spread evenly on a
// logarithmic scale, the same at every run.
func writeTree(dir string) error {
	noise := pattern(treePattern)
	text := words(16 * treePattern)
	for left, i := treeSize, 0; i < treeFiles && left > 0; i++ {
		// 13 sizes from 1 KiB to 4 MiB less a bit; their mean is what the tree needs.
		size := min(left, (1<<10)<<(i%13)*treeSize/treeFiles/(645<<10)+i%997)
		if i == treeFiles-1 {
			size = left
		}
		left -= size
		source := text
		if i%4 == 0 {
			source = noise
		}
		name := filepath.Join(dir, fmt.Sprintf("%02d/%04d", i%64, i))
		if err := writeFile(name, source, size, i); err != nil {
			return err
		}
	}
	return nil
}

// words is text that compresses about as text does.
func words(size int) []byte {
	noise := pattern(size)
	text := make([]byte, 0, size)
	for i := 0; len(text) < size-16; i += 2 {
		text = fmt.Appendf(text, "%c%x ", 'a'+noise[i]%26, noise[i+1]%64)
	}
	return text
}

// writeFile writes size bytes of source, over and over, each file its own.
func writeFile(name string, source []byte, size, number int) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(f, "%08d", number)
	for start := number * 61 % len(source); size > 0; start = 0 {
		n, err := f.Write(source[start:min(len(source), start+size)])
		if err != nil {
			return errors.Join(err, f.Close())
		}
		size -= n
	}
	return f.Close()
}

// ours builds the image, and tells what of it is the work that others do too.
func (c *comparison) ours() ([]Figure, error) {
	var result image.Result
	var peak int64
	took, err := median(3, func() (time.Duration, error) {
		cmd := exec.CommandContext(c.ctx, "bin/ketch", "build", c.definition, "--json", "-o", c.path("big.raw"))
		start := time.Now()
		out, err := cmd.Output()
		took := time.Since(start)
		if err != nil {
			return 0, fmt.Errorf("ketch build: %w", err)
		}
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			peak = max(peak, usage.Maxrss)
		}
		if err := json.Unmarshal(out, &result); err != nil {
			return 0, err
		}
		// The next run must not find the image there already.
		return took, errors.Join(os.Remove(c.path("big.raw")), os.Remove(c.path("big.raw.json")))
	})
	if err != nil {
		return nil, err
	}
	size := fmt.Sprintf("usr of %.0f MiB", float64(result.UsrSize)/(1<<20))
	figures := []Figure{
		{"1 GiB tree, cached layers, to the signed image", took.Seconds(), "s", "≤ 6", "wall, median of 3; " + size},
		{"peak memory of that build", float64(peak) / 1024, "MiB", "≤ 300", "maximum resident set; file pages count too"},
	}
	for _, step := range result.Steps {
		if strings.HasPrefix(step.Name, "usr") {
			figures = append(figures, Figure{"of that: " + step.Name, step.Took.Seconds(), "s", "", "EROFS and dm-verity, in one pass"})
		}
	}
	return figures, nil
}

// theirs lets the other tools work on the same tree. One that is missing, or
// cannot do it here, is named in the table.
func (c *comparison) theirs() []Figure {
	var figures []Figure
	for _, tool := range []struct {
		name, how string
		args      []string
	}{
		{"mkfs.erofs", "uncompressed, from a directory", []string{"mkfs.erofs", "-T0", c.path("out.erofs"), c.path("tree")}},
		{"veritysetup format", "the hash tree of that file", []string{"veritysetup", "format", c.path("out.erofs"), c.path("out.verity")}},
		{"mksquashfs", "zstd level 3, from a directory", []string{"mksquashfs", c.path("tree"), c.path("out.squashfs"), "-comp", "zstd", "-Xcompression-level", "3", "-noappend", "-quiet", "-no-progress"}},
		{"sqfstar", "lz4 (it takes no level for zstd), from the tar", []string{"sh", "-c", `exec sqfstar -comp lz4 -quiet -no-progress "$1" < "$2"`, "sqfstar", c.path("tar.squashfs"), c.path("tree.tar")}},
		{"mkosi", "a squashfs and no more (-t plain_squashfs, lz4), from a directory, no packages", []string{"unshare", "-m", "sh", "-c", mkosi, "mkosi", c.dir}},
	} {
		took, err := timed(c.ctx, nil, tool.args[0], tool.args[1:]...)
		if err != nil {
			reason, _, _ := strings.Cut(err.Error(), "\n")
			fmt.Fprintf(os.Stderr, "bench: %s cannot be measured here: %s\n", tool.name, reason)
			figures = append(figures, Figure{Name: "same tree, " + tool.name, Unit: "s", How: "not measured: it does not run here"})
			continue
		}
		figures = append(figures, Figure{"same tree, " + tool.name, took.Seconds(), "s", "", "wall, one run; " + tool.how})
	}
	return figures
}

// mkosi makes an image of a tree alone with mkosi 14, which wants a
// distribution: it gets an empty one, and package tools that do nothing, in a
// mount namespace of its own. It must be root.
const mkosi = `set -e
cd "$1"
mkdir -p base/etc/apt/sources.list.d base/etc/apt/apt.conf.d base/etc/apt/preferences.d base/etc/default \
	base/etc/kernel/install.d base/etc/dpkg/dpkg.cfg.d base/usr/sbin base/usr/lib base/var/lib/dpkg
for tool in apt-get apt-cache; do mount --bind /bin/true /usr/bin/$tool; done
exec mkosi --distribution debian --release bookworm --with-docs=yes --base-image base --extra-tree tree \
	-t plain_squashfs --compress-fs=lz4 -o mkosi.raw --force build
`
