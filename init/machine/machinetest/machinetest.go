// Package machinetest gives tests a machine's watchdog.
package machinetest

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/linux/watchdog"
)

// Watch gives m a watchdog that is a file: it grows by a byte each time that it is
// fed. fed counts them.
func Watch(t testing.TB, m *machine.Machine) (fed func() int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "watchdog"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	m.Watchdog = watchdog.Inherit(uintptr(fd), machine.WatchdogTimeout)
	size := func() int64 {
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	armed := size()
	return func() int64 { return size() - armed }
}
