package link

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/testkit"
)

// TestUp runs itself in a new network namespace, where lo starts down.
func TestUp(t *testing.T) {
	if !testkit.InNamespaces(t, unix.CLONE_NEWNET) {
		return
	}
	if err := Up("lo"); err != nil {
		t.Fatal(err)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil || lo.Flags&net.FlagUp == 0 {
		t.Errorf("lo is %v, %v; want it up", lo, err)
	}
	for _, name := range []string{"none0", "a-name-that-is-too-long"} {
		if err := Up(name); err == nil {
			t.Errorf("Up(%s) = nil; want an error", name)
		}
	}
}
