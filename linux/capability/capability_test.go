package capability

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/testkit"
)

// TestKeep: no thread of the process has more, and what it starts has no more either.
func TestKeep(t *testing.T) {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); errno == syscall.ENOTSUP {
		withoutCgo(t)
		return
	}
	if !testkit.InNamespaces(t, 0) {
		return
	}
	if err := Keep(unix.CAP_NET_BIND_SERVICE); err != nil {
		t.Fatal(err)
	}
	const want = "0000000000000400"
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		check(t, "thread "+task.Name(), read(t, "/proc/self/task/"+task.Name()+"/status"), want)
	}
	out, err := exec.Command("cat", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	check(t, "child", string(out), want)
}

// withoutCgo runs the test again in a program that has none: with it, Go does not
// know all threads.
func withoutCgo(t *testing.T) {
	t.Helper()
	cmd := exec.Command("go", "test", "-count=1", "-run=^"+t.Name()+"$", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func check(t *testing.T, whose, status, want string) {
	t.Helper()
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
		if !strings.Contains(status, set+":\t"+want+"\n") {
			t.Errorf("%s: %s is not %s:\n%s", whose, set, want, status)
		}
	}
	if !strings.Contains(status, "NoNewPrivs:\t1\n") {
		t.Errorf("%s can get new privileges", whose)
	}
}
