package link

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestUp runs itself in a new network namespace, where lo starts down.
func TestUp(t *testing.T) {
	if os.Getenv("LINK_TEST_INSIDE") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestUp$", "-test.v")
		cmd.Env = append(os.Environ(), "LINK_TEST_INSIDE=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if _, ran := err.(*exec.ExitError); err != nil && !ran {
			t.Skipf("no network namespace to be had: %v", err)
		}
		if err != nil {
			t.Errorf("inside the namespace: %v\n%s", err, out)
		}
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
