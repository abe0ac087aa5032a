package system

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Etc rebuilds /etc from the image's skeleton: the configuration is the truth,
// and no edit by hand outlives a boot.
func Etc(skeleton, etc string) error {
	if err := copyTree(skeleton, etc); err != nil {
		return fmt.Errorf("build %s: %w", etc, err)
	}
	// Links that the skeleton may leave out.
	for name, target := range map[string]string{
		"resolv.conf": "../run/ketch/resolv.conf", // written by ketchd
		"mtab":        "../proc/self/mounts",
		"os-release":  "../usr/lib/os-release",
	} {
		if err := os.Symlink(target, filepath.Join(etc, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("build %s: %w", etc, err)
		}
	}
	return nil
}

// copyTree copies directories, files and symbolic links with their modes. All
// belong to root, as in the image.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == from {
			return os.MkdirAll(to, 0o755) // an image without a skeleton
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyEntry(path, filepath.Join(to, name), entry)
	})
}

func copyEntry(from, to string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch entry.Type() {
	case fs.ModeDir:
		if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return os.Chmod(to, permissions(info))
	case fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case 0:
		return copyFile(from, to, permissions(info))
	}
	return fmt.Errorf("%s is neither a file, a directory nor a symbolic link", from)
}

// permissions are the mode bits that chmod(2) sets, the sticky ones included.
func permissions(info fs.FileInfo) fs.FileMode {
	return info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Chmod(mode)
}
