package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// crowdDir is the directory that has the many files.
const crowdDir = "usr/share/crowd"

// crowd times what looks at each file of an image where one directory has 300,000,
// against the same with a tenth of them: what is linear takes no more than ten times
// as long. It counts the processor time of our own code: that depends
// neither on what else runs nor on the host's file system.
func crowd(ctx context.Context, definition string) ([]Figure, error) {
	if err := os.MkdirAll("out", 0o777); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("out", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	const many, few = 300_000, 30_000
	of := map[int]map[string]cost{}
	for _, files := range []int{few, many} {
		if of[files], err = lookAtEach(ctx, filepath.Join(dir, fmt.Sprint(files)), definition, files); err != nil {
			return nil, err
		}
	}
	var figures []Figure
	for _, name := range []string{"ls", "extract", "diff"} {
		slow, quick := of[many][name], of[few][name]
		figures = append(figures,
			Figure{fmt.Sprintf("ketch %s, a directory of %d files", name, many), slow.wall.Seconds(), "s", "", "wall"},
			Figure{fmt.Sprintf("ketch %s, ÷ a directory of %d", name, few), slow.own.Seconds() / quick.own.Seconds(), "×", "≤ 20", "processor time without the kernel's; linear is 10, quadratic 100"})
	}
	return figures, nil
}

// cost is what a command took.
type cost struct{ wall, own time.Duration }

// lookAtEach builds an image with files in one directory, and times the commands
// that look at each of them.
func lookAtEach(ctx context.Context, dir, definition string, files int) (map[string]cost, error) {
	if err := writeCrowd(filepath.Join(dir, "images"), files); err != nil {
		return nil, err
	}
	text := "extends: ../../../" + definition + "\nimages: [oci:images:crowd]\n"
	if err := os.WriteFile(filepath.Join(dir, "crowd.yaml"), []byte(text), 0o666); err != nil {
		return nil, err
	}
	with, without := filepath.Join(dir, "with.raw"), filepath.Join(dir, "without.raw")
	for image, definition := range map[string]string{with: filepath.Join(dir, "crowd.yaml"), without: definition} {
		if _, err := timed(ctx, nil, "bin/ketch", "build", definition, "-o", image); err != nil {
			return nil, err
		}
	}
	took := map[string]cost{}
	for name, args := range map[string][]string{
		"ls":      {"-l", with, "/" + crowdDir},
		"extract": {with, "/" + crowdDir, "-o", filepath.Join(dir, "tree")},
		"diff":    {without, with},
	} {
		cmd := exec.CommandContext(ctx, "bin/ketch", append([]string{name}, args...)...)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", cmd, err, out)
		}
		took[name] = cost{time.Since(start), cmd.ProcessState.UserTime()}
	}
	return took, nil
}

// writeCrowd writes an OCI image layout with one image, crowd, of small files in one
// directory.
func writeCrowd(dir string, files int) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for i := range files {
		text := fmt.Sprintln(i)
		header := &tar.Header{Name: fmt.Sprintf("%s/%07d", crowdDir, i), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(1e9, 0)}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(archive.Bytes(), types.OCIUncompressedLayer))
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(mutate.ConfigMediaType(img, types.OCIConfigJSON), config); err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "crowd"}))
}
