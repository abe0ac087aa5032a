package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/link"
)

// rootVariable names the directory that stands for the machine.
const rootVariable = "KETCH_TEST_ROOT"

// output is what a process has said so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}
func (o *output) String() string { o.mu.Lock(); defer o.mu.Unlock(); return o.text.String() }

// TestProductionMachine runs the programs that an image carries in a root of their
// own, which has nothing else: no shell and no library.
func TestProductionMachine(t *testing.T) {
	root := os.Getenv(rootVariable)
	if root == "" {
		testkit.Tool(t, "ssh")
		root = t.TempDir()
		for name, path := range map[string]string{"ketch-sshd": ".", "ketchctl": "../../ketchctl"} {
			build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(root, "usr/bin", name), path)
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build %s: %v\n%s", name, err, out)
			}
		}
	}
	if !testkit.InNamespaces(t, unix.CLONE_NEWNS|unix.CLONE_NEWNET|unix.CLONE_NEWPID, rootVariable+"="+root) {
		return
	}
	for _, dir := range []string{"proc", "dev", "run/ketch", "var/lib/ketch"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(
		unix.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""),
		unix.Mount("/dev", filepath.Join(root, "dev"), "", unix.MS_BIND|unix.MS_REC, ""),
		link.Up("lo"))
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "id")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	line, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	file := access.File{Users: []access.User{{Name: "core", Keys: []string{strings.TrimSpace(string(line))}}}}
	if err := file.Write(filepath.Join(root, layout.AccessFile)); err != nil {
		t.Fatal(err)
	}

	var console, log output
	server := exec.Command("/usr/bin/ketch-sshd")
	server.Dir, server.Stdout, server.Stderr = "/", &console, &log
	server.Err = nil // it need not be there outside of the root
	server.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Setsid: true}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the host key is shown", func() bool { return strings.Count(console.String(), "\n") == 2 })
	said := strings.Split(console.String(), "\n")
	known := key + ".known"
	if err := os.WriteFile(known, []byte("127.0.0.1 "+strings.TrimPrefix(said[1], layout.SayHostKey)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ssh := func(stdin string, args ...string) (string, int) {
		t.Helper()
		all := append([]string{"-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
			"-o", "UserKnownHostsFile=" + known, "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"}, args...)
		cmd := exec.Command("ssh", all...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	for _, test := range []struct {
		args   []string
		stdin  string
		want   string
		status int
	}{
		{[]string{"core@127.0.0.1", "help"}, "", "ketchctl reboot", 0},
		{[]string{"core@127.0.0.1", "ketchctl", "help", "logs"}, "", "usage: ketchctl logs", 0},
		{[]string{"core@127.0.0.1", "sh", "-c", "'id'"}, "", "error: this machine has no shell\nhint: ", 2},
		{[]string{"core@127.0.0.1", "status"}, "", "connect to ketchd", 1},
		{[]string{"-T", "core@127.0.0.1"}, "help poweroff\n", "usage: ketchctl poweroff", 0},
		{[]string{"-tt", "core@127.0.0.1"}, "help reboot\rexit\r", "There is no shell here", 0},
	} {
		if out, status := ssh(test.stdin, test.args...); status != test.status || !strings.Contains(out, test.want) {
			t.Errorf("ssh %q: status %d, %q; want status %d and %q", test.args, status, out, test.status, test.want)
		}
	}
	powers(t, server.Process.Pid)
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if !strings.Contains(log.String(), "signed in: user core from 127.0.0.1:") {
		t.Errorf("log = %s", &log)
	}
	if t.Failed() {
		io.WriteString(os.Stderr, log.String())
	}
}

// powers are those of root that the server has kept.
func powers(t *testing.T, pid int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapPrm:\t0000000000000400\n", "CapBnd:\t0000000000000400\n", "NoNewPrivs:\t1\n"} { // CAP_NET_BIND_SERVICE
		if !strings.Contains(string(status), want) {
			t.Errorf("its status lacks %q:\n%s", want, status)
		}
	}
}
