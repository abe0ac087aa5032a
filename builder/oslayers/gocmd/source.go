package gocmd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	gomodule "golang.org/x/mod/module"

	"github.com/ketch-os/ketch/builder/hint"
)

// Sources returns where the sources of modules lie in Go's module cache. One
// that is not there, because a program made of it was kept and the module was
// not, is downloaded.
func (c *Compiler) Sources(ctx context.Context, modules []Module) (dirs []string, err error) {
	cache, err := c.run(ctx, "go", "env", "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		dir, err := moduleDir(strings.TrimSpace(string(cache)), m.Path, m.Version)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(dir); err != nil {
			if dir, err = download(ctx, m.Path, m.Version); err != nil {
				return nil, err
			}
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// moduleDir is the directory that Go gives a module (Go Modules Reference, "Module cache").
func moduleDir(cache, path, version string) (string, error) {
	escapedPath, err := gomodule.EscapePath(path)
	if err != nil {
		return "", err
	}
	escapedVersion, err := gomodule.EscapeVersion(version)
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, escapedPath+"@"+escapedVersion), nil
}

// download asks the Go tool for a module, outside of any module of our own.
func download(ctx context.Context, path, version string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", path+"@"+version)
	cmd.Dir, cmd.Env = os.TempDir(), append(environ(false), "GOFLAGS=")
	answer, err := output(cmd)
	if err != nil {
		return "", hint.Add(fmt.Errorf("find the source of %s %s: %w", path, version, err), "its licence is read from there; scripts/modules downloads all modules")
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(answer, &downloaded); err != nil || downloaded.Dir == "" {
		return "", fmt.Errorf("find the source of %s %s: go mod download says %.200q", path, version, answer)
	}
	return downloaded.Dir, nil
}

// Library is where the C compiler finds a static library.
func (c *Compiler) Library(ctx context.Context, name string) (string, error) {
	path, err := c.run(ctx, "gcc", "-print-file-name="+name)
	if err != nil {
		return "", err
	}
	found := strings.TrimSpace(string(path))
	if !filepath.IsAbs(found) { // gcc answers with the bare name of what it does not find
		return "", hint.Add(fmt.Errorf("find static library %s: gcc has none", name), "run scripts/setup")
	}
	return found, nil
}
