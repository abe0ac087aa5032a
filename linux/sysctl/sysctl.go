// Package sysctl sets kernel parameters at run time by writing below /proc/sys
// (Documentation/admin-guide/sysctl).
package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Root is where the parameters are.
const Root = "/proc/sys"

// Setting is one parameter and why it is set.
type Setting struct {
	Name  string // with dots: "kernel.panic"
	Value string // may be empty
	Why   string
}

// Set sets all parameters and returns the errors of those that did not take,
// joined. A parameter that this kernel does not have goes to missing.
func Set(root string, settings []Setting, missing func(name string)) error {
	var errs []error
	for _, s := range settings {
		path := filepath.Join(root, strings.ReplaceAll(s.Name, ".", "/"))
		err := write(path, s.Value)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing(s.Name)
		case err != nil:
			errs = append(errs, fmt.Errorf("set %s to %q: %w", s.Name, s.Value, err))
		}
	}
	return errors.Join(errs...)
}

// write uses a single write(2), as these files need, and never creates one. The
// newline lets it write an empty value: a write of nothing changes nothing.
func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value + "\n")
	return err
}
