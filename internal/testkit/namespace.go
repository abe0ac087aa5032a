package testkit

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// insideVariable holds the name of the test that runs inside of namespaces.
const insideVariable = "KETCH_TEST_INSIDE"

// outputGrace is how long before its own end a test gives one inside of namespaces
// up, so that it can still tell what that said.
const outputGrace = 5 * time.Second

// InNamespaces runs the calling test again in new namespaces (CLONE_NEW… of
// clone(2)), as root of a user namespace, which any user may make. It reports
// whether this is that run: the caller returns where it is not. environment is
// for that run besides.
//
// In a new PID namespace the test is PID 1, and with a new mount namespace too it
// has a /proc of its own. There, as anywhere, what it lacks skips or fails it.
func InNamespaces(t *testing.T, namespaces uintptr, environment ...string) bool {
	t.Helper()
	if os.Getenv(insideVariable) == t.Name() {
		if namespaces&unix.CLONE_NEWPID != 0 && namespaces&unix.CLONE_NEWNS != 0 {
			if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
				t.Fatal(err)
			}
		}
		return true
	}
	cmd := again(t, namespaces, environment)
	// PR_SET_PDEATHSIG is about the thread that starts a process (prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	if _, ran := err.(*exec.ExitError); err != nil && !ran {
		Need(t, "namespaces", err)
	}
	t.Logf("inside:\n%s", out)
	skipped, err := verdictInside(t.Name(), string(out), err)
	if skipped {
		t.Skip("skipped inside of namespaces, see above")
	}
	if err != nil {
		t.Errorf("inside of namespaces: %v", err)
	}
	return false
}

// verdictInside tells by its output how a test has ended, and err how its program has.
func verdictInside(name, out string, err error) (skipped bool, _ error) {
	result := func(word string) bool { return strings.Contains(out, "--- "+word+": "+name+" ") }
	switch {
	case err != nil:
		return false, err
	case result("SKIP"):
		return true, nil
	case !result("PASS"):
		return false, errors.New("the test did not run")
	}
	return false, nil
}

// again is the program of this test, told to run it alone.
func again(t *testing.T, namespaces uintptr, environment []string) *exec.Cmd {
	arguments := []string{"-test.run=" + only(t.Name()), "-test.v"}
	if end, ok := t.Deadline(); ok {
		arguments = append(arguments, "-test.timeout="+max(time.Until(end)-outputGrace, time.Second).String())
	}
	cmd := exec.Command("/proc/self/exe", arguments...)
	cmd.Env = append(append(os.Environ(), insideVariable+"="+t.Name()), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  namespaces | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	return cmd
}

// only is the pattern that matches one test (go help testflag, -run).
func only(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

// Alone waits until PID 1, which the test is in a PID namespace of its own, has no
// company there, not even a zombie.
func Alone(t testing.TB) {
	t.Helper()
	Eventually(t, "PID 1 alone in its namespace", func() bool {
		entries, _ := os.ReadDir("/proc")
		return !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
			pid, err := strconv.Atoi(e.Name())
			return err == nil && pid != 1
		})
	})
}
