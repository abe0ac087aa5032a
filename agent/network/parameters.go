package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ketch-os/ketch/internal/plainfile"
)

// inherited are the kernel parameters that a link has of its own, and that PID 1
// sets for links in general (init/system/sysctl.go). A link that was there before
// has kept the kernel's defaults. Setting "all" does not reach it either: for
// these parameters the kernel asks the link alone, or takes what either says.
var inherited = [...]string{
	"ipv6/conf/*/accept_ra", // 2: the router's word counts although we forward
	"ipv6/conf/*/accept_redirects",
	"ipv4/conf/*/send_redirects",
}

// inherit gives a link the parameters that new ones have. root is "/proc/sys/net".
// It comes before the link is up: that is when the kernel asks for a router.
func inherit(root, link string) error {
	name, err := plainfile.Name(link)
	if err != nil {
		return err
	}
	var faults []error
	for _, parameter := range inherited {
		dir, file := filepath.Dir(filepath.Dir(parameter)), filepath.Base(parameter)
		value, err := os.ReadFile(filepath.Join(root, dir, "default", file))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without the protocol
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(root, dir, name, file), value, 0)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("set %s of %s: %w", file, name, err))
		}
	}
	return errors.Join(faults...)
}
