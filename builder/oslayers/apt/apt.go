// Package apt fetches Debian packages for an image, with the host's apt and
// its configuration: its mirrors, its keys, its proxies. Nothing is installed
// and nothing needs root. apt checks the signature of its index; every file
// that is used is checked here against the SHA-256 in that index.
package apt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ketch-os/ketch/builder/cache"
	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/internal/atomicfile"
)

// File is one package in the version that the host's apt would install.
type File struct {
	Package string // as asked for: "libc6"
	Name    string // e2fsprogs_1.47.0-2+b2_amd64.deb
	SHA256  string // hex
}

// Version is the file's Debian version, as its name gives it.
func (f File) Version() string {
	parts := strings.Split(f.Name, "_")
	if len(parts) < 2 {
		return ""
	}
	version, err := url.PathUnescape(parts[1]) // an epoch's colon is written %3a
	if err != nil {
		return parts[1]
	}
	return version
}

// Apt is the host's apt together with a cache of what it fetched.
type Apt struct {
	Cache string // directory; made when missing
}

// resolved is a line of `apt-get --print-uris`: 'URI' name size SHA256:hex.
var resolved = regexp.MustCompile(`^'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})$`)

// Resolve finds the version of each package that apt would install. It asks
// apt's index on disk, not the network.
func (a Apt) Resolve(ctx context.Context, packages []string) ([]File, error) {
	state, err := a.state(packages)
	if err != nil {
		return nil, err
	}
	memo := filepath.Join(a.Cache, "resolved", state)
	output, ok := cache.ReadMemo(memo)
	if !ok {
		if output, err = printURIs(ctx, packages); err == nil {
			err = cache.WriteMemo(memo, output)
		}
	}
	if err != nil {
		return nil, err
	}
	return parseURIs(output, packages)
}

func printURIs(ctx context.Context, packages []string) ([]byte, error) {
	output, err := run(ctx, "", append([]string{"--print-uris", "download"}, packages...))
	if err != nil {
		return nil, fmt.Errorf("resolve Debian packages: %w", err)
	}
	return output, nil
}

// parseURIs returns one file for each package, in the order of packages.
func parseURIs(output []byte, packages []string) ([]File, error) {
	found := map[string]File{}
	for line := range strings.Lines(string(output)) {
		m := resolved.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		name, _, _ := strings.Cut(m[1], "_")
		found[name] = File{Package: name, Name: m[1], SHA256: m[2]}
	}
	files := make([]File, 0, len(packages))
	for _, name := range packages {
		file, ok := found[name]
		if !ok {
			return nil, fmt.Errorf("resolve Debian package %s: apt names no file with a SHA-256", name)
		}
		files = append(files, file)
	}
	return files, nil
}

// Fetch makes the files present in the cache and returns their paths, in order.
func (a Apt) Fetch(ctx context.Context, files []File) ([]string, error) {
	var missing []File
	paths := make([]string, len(files))
	for i, file := range files {
		paths[i] = filepath.Join(a.Cache, file.Name)
		if check(paths[i], file) != nil {
			missing = append(missing, file)
		}
	}
	if len(missing) == 0 {
		return paths, nil
	}
	return paths, a.download(ctx, missing)
}

// download fetches into a directory of its own, so that the cache only ever holds whole, checked files.
func (a Apt) download(ctx context.Context, files []File) error {
	if err := os.MkdirAll(a.Cache, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(a.Cache, ".fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args := []string{"download"}
	for _, file := range files {
		args = append(args, file.Package+"="+file.Version())
	}
	if _, err := run(ctx, dir, args); err != nil {
		return fmt.Errorf("fetch Debian packages: %w", err)
	}
	for _, file := range files {
		fetched := filepath.Join(dir, file.Name)
		if err := check(fetched, file); err != nil {
			return fmt.Errorf("fetch Debian package %s: %w", file.Name, err)
		}
		if err := atomicfile.Move(fetched, filepath.Join(a.Cache, file.Name)); err != nil {
			return err
		}
	}
	return nil
}

// check reads the file once: it is there, whole, and the one of the index.
func check(path string, file File) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != file.SHA256 {
		return fmt.Errorf("SHA-256 is %s, the index says %s", got, file.SHA256)
	}
	return nil
}

// run calls apt-get in dir. The sandbox user of a root apt-get could not write
// into a directory of ours, hence APT::Sandbox::User.
func run(ctx context.Context, dir string, args []string) ([]byte, error) {
	args = append([]string{"-qq", "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"}, args...)
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	return output, explain(err, stderr.String())
}

// explain turns apt's complaint into one line, with the cure where it is known.
func explain(err error, stderr string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return hint.Add(err, "the layers take files out of Debian packages: build them on Debian 12, where apt-get is")
	}
	var complaints []string
	for line := range strings.Lines(stderr) {
		if text, found := strings.CutPrefix(strings.TrimSpace(line), "E: "); found {
			complaints = append(complaints, text)
		}
	}
	if len(complaints) > 0 {
		err = fmt.Errorf("apt-get: %s", strings.Join(complaints, "; "))
	}
	return hint.Add(err, "apt's package lists are missing or old: run `sudo apt-get update`")
}

// state is a digest of what Resolve's answer depends on: the request, and the
// names, sizes and times of apt's lists and configuration. Asking apt itself
// takes half a second; this takes a few milliseconds.
func (a Apt) state(packages []string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", packages, os.Getenv("APT_CONFIG"))
	for _, root := range []string{"/etc/apt", "/var/lib/apt/lists"} {
		if err := stamp(h, root); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func stamp(w io.Writer, root string) error {
	return filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
			return nil // a mirror's password may be for root only: it does not choose versions
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "partial" || entry.Name() == "auxfiles"):
			return filepath.SkipDir
		case entry.IsDir() || entry.Name() == "lock":
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil // it went away meanwhile
		}
		_, err = fmt.Fprintf(w, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		return err
	})
}
