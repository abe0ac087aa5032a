package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/disk/verity"
)

// sizes measures the image, its usr, and the image compressed as it travels.
func sizes(path string) ([]Figure, error) {
	d, err := image.Open(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.Entries()
	if err != nil || len(entries) == 0 {
		return nil, fmt.Errorf("no boot entry: %w", err)
	}
	slot, err := d.Slot(entries[0].RootHash)
	if err != nil {
		return nil, err
	}
	compressed, err := compressedSize(path)
	if err != nil {
		return nil, err
	}
	const mib = 1 << 20
	return []Figure{
		{"usr", float64(slot.UsrSize) / mib, "MiB", "≤ 160", "EROFS, uncompressed"},
		{"kernel image (UKI)", float64(len(entries[0].Data)) / mib, "MiB", "", "kernel and initramfs, signed"},
		{"image, compressed", float64(compressed) / mib, "MiB", "≤ 50", "zstd, level \"best\""},
	}, nil
}

// kernel tells of the kernel in the cache: its size, and how long it took to build.
func kernel(ctx context.Context) ([]Figure, error) {
	out, err := exec.CommandContext(ctx, "scripts/kernel", "--path").Output()
	if err != nil {
		return nil, fmt.Errorf("scripts/kernel --path: %w", err)
	}
	product := strings.TrimSpace(string(out))
	info, err := os.Stat(filepath.Join(product, "vmlinuz"))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(product, "seconds"))
	if err != nil {
		return nil, err
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		return nil, err
	}
	return []Figure{
		{"kernel", float64(info.Size()) / (1 << 20), "MiB", "≤ 8", "bzImage, zstd"},
		{"kernel build", seconds / 60, "min", "≤ 15", "wall, on the day it was built, whatever else ran"},
	}, nil
}

// counter counts bytes.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func compressedSize(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var size counter
	z, err := zstd.NewWriter(&size, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(z, f); err != nil {
		return 0, err
	}
	return int64(size), z.Close()
}

// build times ketch: with nothing in its layer cache, and with one small file of
// one layer changed, from that file to the signed image.
func build(ctx context.Context, definition string) ([]Figure, error) {
	if err := os.MkdirAll("out", 0o777); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("out", "bench-") // in the checkout: a layer belongs to a module
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cache, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	image := filepath.Join(dir, "disk.raw")
	cold, err := timed(ctx, []string{"XDG_CACHE_HOME=" + cache}, "bin/ketch", "build", definition, "-o", image)
	if err != nil {
		return nil, err
	}
	changed, err := noteDefinition(dir, definition)
	if err != nil {
		return nil, err
	}
	runs := 0
	warm, err := median(5, func() (time.Duration, error) {
		runs++
		if err := writeNote(dir, fmt.Sprintf("change %d\n", runs)); err != nil {
			return 0, err
		}
		layer, err := timed(ctx, nil, "bin/ketch", "layers", "build", "--rootfs", filepath.Join(dir, "rootfs"), "-o", filepath.Join(dir, "layers"))
		if err != nil {
			return 0, err
		}
		disk, err := timed(ctx, nil, "bin/ketch", "build", changed, "-o", image)
		return layer + disk, err
	})
	if err != nil {
		return nil, err
	}
	return []Figure{
		{"ketch build, empty layer cache", cold.Seconds(), "s", "", "wall; the layers were built before"},
		{"one file changed, to the signed image", warm.Seconds(), "s", "≤ 2", "wall, median of 5: ketch layers build, ketch build"},
	}, nil
}

// noteDefinition extends a definition by a layer of one file.
func noteDefinition(dir, definition string) (string, error) {
	for path, text := range map[string]string{
		"rootfs/note/layer.yaml": "description: a file that changes\n",
		"changed.yaml":           "extends: ../../" + definition + "\nimages: [oci:layers:note]\n",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "changed.yaml"), nil
}

func writeNote(dir, text string) error {
	path := filepath.Join(dir, "rootfs/note/files/usr/share/note")
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o666)
}

// timed runs a command and returns how long it took.
func timed(ctx context.Context, env []string, name string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return time.Since(start), nil
}

func median(runs int, measure func() (time.Duration, error)) (time.Duration, error) {
	var all []time.Duration
	for range runs {
		took, err := measure()
		if err != nil {
			return 0, err
		}
		all = append(all, took)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// verityThroughput hashes one file with our code and with veritysetup, in turn.
func verityThroughput(ctx context.Context) ([]Figure, error) {
	const size = 512 << 20
	dir, err := os.MkdirTemp("", "ketch-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, pattern(size), 0o666); err != nil {
		return nil, err
	}
	ours, err := median(5, func() (time.Duration, error) { return hash(data, filepath.Join(dir, "ours")) })
	if err != nil {
		return nil, err
	}
	theirs, err := median(5, func() (time.Duration, error) {
		return timed(ctx, nil, "veritysetup", "format", data, filepath.Join(dir, "theirs"))
	})
	if err != nil {
		return nil, err
	}
	const gb = 1e9
	return []Figure{
		{"hash tree, ketch", size / ours.Seconds() / gb, "GB/s", "", "512 MiB file in the page cache, median of 5"},
		{"hash tree, veritysetup format", size / theirs.Seconds() / gb, "GB/s", "", "the same file, the same run"},
		{"ketch ÷ veritysetup", theirs.Seconds() / ours.Seconds(), "×", "≥ 3", ""},
	}, nil
}

// pattern is data without a block of zeros.
func pattern(size int) []byte {
	data := make([]byte, size)
	state := uint64(1)
	for i := range data {
		state = state*6364136223846793005 + 1442695040888963407
		data[i] = byte(state >> 56)
	}
	return data
}

func hash(data, out string) (time.Duration, error) {
	in, err := os.Open(data)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	tree, err := os.Create(out)
	if err != nil {
		return 0, err
	}
	defer tree.Close()
	info, err := in.Stat()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	_, err = verity.Build(in, info.Size(), verity.Params{Salt: make([]byte, 32)}, tree)
	return time.Since(start), err
}
