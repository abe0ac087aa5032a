package configure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/internal/atomicfile"
	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/layout"
)

// maxRecord bounds the list of what was written, in bytes.
const maxRecord = 8 << 20

// forget takes back what an earlier configuration of this boot has written and this one
// does not ask for: files and links below /etc and /run, where each boot begins anew.
// What the image has there comes back. What is below /var stays: it is data. The list of
// what is written now takes the place of the old one before any of it is.
func (a *Applier) forget(_ context.Context, m config.Merged, _ config.Fetcher) error {
	record := a.path(layout.Configured)
	var before []string
	if text, err := plainfile.Read(record, maxRecord); err == nil {
		if err := json.Unmarshal(text, &before); err != nil {
			return fmt.Errorf("read %s: %w", record, err)
		}
	}
	now := volatile(m)
	var errs []error
	for _, name := range before {
		if slices.Contains(now, name) {
			continue
		}
		if err := a.takeBack(name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, plainError(err)))
			now = append(now, name) // it is tried again
		}
	}
	if len(now) == 0 && len(before) == 0 {
		return nil
	}
	text, err := json.Marshal(now)
	if err == nil {
		err = atomicfile.WriteFile(record, text, 0o600)
	}
	return errors.Join(append(errs, err)...)
}

// volatile lists the files and links of a configuration that last as long as a boot.
func volatile(m config.Merged) (names []string) {
	for _, f := range m.Files {
		names = append(names, f.Path)
	}
	for _, l := range m.Links {
		names = append(names, l.Path)
	}
	for _, w := range m.Workloads {
		if len(w.Refused) == 0 {
			names = append(names, composeFile(w.Name))
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "/var/") })
}

// composeFile is where the Compose file of a project is written.
func composeFile(project string) string { return path.Join(layout.ComposeDir, project+".yaml") }

// takeBack removes a file or link, or gives it back what the image has in its place.
func (a *Applier) takeBack(name string) error {
	err := a.in(name, func(root *os.Root, name string) error { return root.Remove(name) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	rest, inEtc := strings.CutPrefix(name, "/etc")
	if !inEtc {
		return nil
	}
	skeleton := a.path(layout.EtcSkeleton + rest)
	info, err := os.Lstat(skeleton)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(skeleton)
		if err != nil {
			return err
		}
		return a.in(name, func(root *os.Root, name string) error { return root.Symlink(target, name) })
	}
	data, err := os.ReadFile(skeleton)
	if err != nil {
		return err
	}
	mode := config.Mode{Bits: uint32(info.Mode().Perm()), Set: true}
	return a.write(config.File{Node: config.Node{Path: name, Owner: a.owner}, Mode: mode}, data)
}
