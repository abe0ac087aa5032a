// Package cache says where long-lived products are kept: ${XDG_CACHE_HOME:-~/.cache}/ketch.
// Deleting it is always safe.
package cache

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/ketch-os/ketch/builder/hint"
)

// Dir returns the directory. It need not exist.
func Dir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", hint.Add(fmt.Errorf("find the cache: %w", err), "set XDG_CACHE_HOME or HOME")
	}
	return filepath.Join(dir, "ketch"), nil
}
