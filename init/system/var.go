package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ketch-os/ketch/linux/mount"
)

// directory is one that every machine has below /var or /run.
type directory struct {
	path string
	mode os.FileMode
}

func directories() []directory {
	return []directory{
		{"/var/lib/ketch", 0o700}, // configuration: may hold secrets
		{"/var/lib/containerd", 0o711},
		{"/var/log/ketch", 0o755},
		{"/var/tmp", 0o777 | os.ModeSticky},
		{"/run/ketch", 0o755},
		{"/run/containerd", 0o711},
		{"/run/lock", 0o777 | os.ModeSticky},
		{"/root", 0o700},
	}
}

// Directories makes the tree below /var and /run; root is "/" but for tests. A link
// that leads out of /var, in the place of a directory, is an error: what follows
// writes there, and does not look again.
func Directories(root string) error {
	for _, d := range directories() {
		if err := d.make(root); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"var/run": "../run", "var/lock": "../run/lock"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}

func (d directory) make(root string) error {
	top, name, _ := strings.Cut(d.path[1:], "/")
	if name == "" {
		name = "."
	}
	if err := os.MkdirAll(filepath.Join(root, top), 0o755); err != nil {
		return err
	}
	in, err := os.OpenRoot(filepath.Join(root, top))
	if err != nil {
		return err
	}
	defer in.Close()
	if err := in.MkdirAll(name, 0o755); err != nil {
		return err
	}
	return in.Chmod(name, d.mode) // Mkdir is subject to the umask
}

// Volatile mounts a /var that is gone at the next boot, for a machine whose state
// partition cannot be used: it comes up, and says why.
func Volatile(target string) error {
	err := mount.Mount{
		Source: "tmpfs", Target: target, Type: "tmpfs",
		Flags: mount.NoDev | mount.NoSUID, Data: "mode=0755,size=25%",
	}.Do()
	if err != nil {
		return fmt.Errorf("no state partition and no substitute for it: %w", err)
	}
	return nil
}
