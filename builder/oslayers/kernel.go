package oslayers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// kernel takes files out of a directory that a program makes. The program
// prints the directory on the last line of its standard output; it keeps its
// own cache, and is quick when there is nothing to do.
type kernel struct {
	Command string            `yaml:"command"` // a path in the main module
	Files   map[string]string `yaml:"files"`   // path in the layer → name in the directory
	dir     string            // what the program printed
}

func (k *kernel) inputs(ctx context.Context, b *build) ([]string, error) {
	var err error
	if k.dir, err = k.run(ctx, b); err != nil {
		return nil, err
	}
	var inputs []string
	for _, path := range slices.Sorted(maps.Keys(k.Files)) {
		digest, err := digestFile(k.source(path))
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, path+" "+digest)
	}
	return inputs, nil
}

func (k *kernel) source(path string) string { return filepath.Join(k.dir, k.Files[path]) }

func (k *kernel) apply(_ context.Context, _ *build, l *layer) error {
	for _, path := range slices.Sorted(maps.Keys(k.Files)) {
		file, err := hosted(plain, k.source(path))
		if err != nil {
			return err
		}
		if err := l.files.add(path, file); err != nil {
			return err
		}
	}
	return nil
}

// run runs the program; what it says on its way goes to the log as it is.
func (k *kernel) run(ctx context.Context, b *build) (string, error) {
	if k.Command == "" || len(k.Files) == 0 {
		return "", errors.New("command and files are required")
	}
	var stdout bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(b.module, k.Command))
	cmd.Dir = b.module
	cmd.Stdout, cmd.Stderr = &stdout, b.log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run %s: %w", k.Command, err)
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	dir := lines[len(lines)-1]
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", fmt.Errorf("run %s: the last line it printed is %q, not a directory", k.Command, dir)
	}
	return dir, nil
}
