package system

import (
	"fmt"
	"os"
	"path/filepath"

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

// Directories makes the tree below /var and /run; root is "/" but for tests.
func Directories(root string) error {
	for _, d := range directories() {
		path := filepath.Join(root, d.path)
		err := os.MkdirAll(path, 0o755)
		if err == nil {
			err = os.Chmod(path, d.mode) // Mkdir is subject to the umask
		}
		if err != nil {
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
