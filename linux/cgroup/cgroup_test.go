package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/testkit"
)

// tree makes directories that look like a hierarchy with two controllers.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"", "services"} {
		os.MkdirAll(filepath.Join(root, dir), 0o755)
		os.WriteFile(filepath.Join(root, dir, "cgroup.controllers"), []byte("cpu memory\n"), 0o644)
		os.WriteFile(filepath.Join(root, dir, "cgroup.subtree_control"), nil, 0o644)
	}
	return root
}

func TestMake(t *testing.T) {
	root := tree(t)
	group, err := Make(root, "services/containerd")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "services/containerd"); string(group) != want || group.Name() != "containerd" {
		t.Errorf("Make = %s; want %s", group, want)
	}
	for _, dir := range []string{"", "services"} {
		if got, _ := os.ReadFile(filepath.Join(root, dir, "cgroup.subtree_control")); string(got) != "+cpu +memory" {
			t.Errorf("controllers handed down by %q = %q; want +cpu +memory", dir, got)
		}
	}
	if children, err := Group(root).Children(); err != nil || len(children) != 1 || children[0].Name() != "services" {
		t.Errorf("Children = %v, %v; want services", children, err)
	}
	if _, err := Make(t.TempDir(), "x"); err == nil {
		t.Error("Make without a hierarchy = nil; want an error")
	}
}

// TestKill uses the machine's own hierarchy.
func TestKill(t *testing.T) {
	group := Group(testkit.Cgroup(t))
	dir, err := group.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !group.Populated() {
		t.Error("the group of a running process is not populated")
	}
	if got := group.PIDs(); len(got) != 1 || got[0] != cmd.Process.Pid {
		t.Errorf("PIDs = %v; want %d", got, cmd.Process.Pid)
	}
	group.Signal(unix.SIGCONT)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := group.Clear(2 * time.Minute); err != nil || group.Populated() {
		t.Errorf("Clear = %v; want nobody left", err)
	}
	if err := <-ended; err == nil || err.Error() != "signal: killed" {
		t.Errorf("process ended with %v; want signal: killed", err)
	}
	if err := group.Clear(0); err != nil {
		t.Errorf("Clear of an empty group = %v", err)
	}
}
