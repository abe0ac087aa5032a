package configure

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/ketch-os/ketch/internal/config"
)

// maxLinks is how many links lead to a place, as for the kernel (path_resolution(7)).
const maxLinks = 40

// checkPlace checks where base in the directory dir lies, once links are followed: a link
// of an earlier configuration may lead to what none may write.
func checkPlace(root *os.Root, dir, base string) error {
	leads, err := follow(root, dir)
	if err != nil {
		return err
	}
	place := path.Join("/", path.Base(root.Name()), leads, base)
	if err := config.CheckPath(place); err != nil {
		return fmt.Errorf("a link leads it to %s: %w", place, err)
	}
	return nil
}

// follow returns a path below root without links in it. What is not there leads nowhere.
func follow(root *os.Root, name string) (string, error) {
	at, rest := ".", strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == ".." {
			if at == "." {
				return "", errors.New("a link leads out of the directory at the top")
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		info, err := root.Lstat(next)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err != nil || info.Mode().Type() != fs.ModeSymlink {
			at = next
			continue
		}
		target, err := root.Readlink(next)
		switch links++; {
		case err != nil:
			return "", err
		case path.IsAbs(target):
			return "", errors.New("a link leads out of the directory at the top")
		case links > maxLinks:
			return "", fmt.Errorf("more than %d links lead to each other", maxLinks)
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}
