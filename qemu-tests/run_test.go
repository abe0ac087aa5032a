package qemutests

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// buildKetch builds the command that people use, once for all tests.
func buildKetch(t *testing.T) string {
	t.Helper()
	ketch, err := theKetch()
	if err != nil {
		t.Fatal(err)
	}
	return ketch
}

var theKetch = sync.OnceValues(func() (string, error) {
	ketch := filepath.Join(idle.dir, "ketch")
	out, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", ketch, "../builder/ketch").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build ketch: %w\n%s", err, out)
	}
	return ketch, err
})

// onTerminal is a `ketch run` whose console somebody looks at.
type onTerminal struct {
	t       *testing.T
	cmd     *exec.Cmd
	keys    io.Writer // what is typed
	console *os.File  // the reader's end
	ended   chan error

	mu   sync.Mutex
	text strings.Builder
}

// runOnTerminal starts `ketch run`, and reads what it prints.
func runOnTerminal(t *testing.T, ketch string, args ...string) *onTerminal {
	t.Helper()
	takeTurn(t)
	r := &onTerminal{t: t, cmd: exec.Command(ketch, append([]string{"run"}, args...)...), ended: make(chan error, 1)}
	console, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.console, r.cmd.Stdout, r.cmd.Stderr = console, writer, r
	if r.keys, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	go io.Copy(r, console)
	go func() { r.ended <- r.cmd.Wait() }()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		console.Close()
		if t.Failed() {
			t.Logf("ketch run said:\n%s", r)
		}
	})
	return r
}

func (r *onTerminal) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *onTerminal) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// waits waits until the console shows something.
func (r *onTerminal) waits(pattern string) (found []string) {
	r.t.Helper()
	testkit.Eventually(r.t, pattern+" on the console", func() bool {
		found = regexp.MustCompile(pattern).FindStringSubmatch(r.String())
		return found != nil
	})
	return found
}

// qemu is the process of the machine.
func (r *onTerminal) qemu() (pid int) {
	r.t.Helper()
	testkit.Eventually(r.t, "QEMU runs", func() bool {
		for child, parent := range processes() {
			if parent == r.cmd.Process.Pid {
				pid = child
			}
		}
		return pid > 0
	})
	return pid
}

// endsWith waits for the end of ketch, and of the machine with it.
func (r *onTerminal) endsWith(qemu int) {
	r.t.Helper()
	testkit.Receive(r.t, "the end of ketch", r.ended)
	testkit.Eventually(r.t, "the end of QEMU after ketch's", func() bool {
		state, _, ok := statOf(filepath.Join("/proc", strconv.Itoa(qemu), "stat"))
		return !ok || state == 'Z' // where nobody collects orphans, a dead one stays
	})
}

// TestKetchRun goes through the door that people use. The demo's port is forwarded
// without being asked for. When nobody reads the console any more, as after
// `ketch run | head`, ketch ends, and so does the machine; likewise when ketch is
// killed.
func TestKetchRun(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "qemu-system-x86_64")
	curl := testkit.Tool(t, "curl")
	ketch, image := buildKetch(t), newDisk(t)

	r := runOnTerminal(t, ketch, image)
	url := r.waits(`(http://127\.0\.0\.1:\d+/) reaches the machine's port 8080`)[1]
	testkit.Eventually(t, "the demo answers on "+url, func() bool {
		out, err := exec.Command(curl, "-fsS", "--max-time", "10", url).Output()
		return err == nil && strings.Contains(string(out), "Ketch")
	})
	if text := r.String(); strings.Index(text, layout.ConsolePrefix+layout.SayGood) > strings.Index(text, url) {
		t.Error("the console shows the address before the machine is good")
	}
	machine := r.qemu()
	r.console.Close()
	io.WriteString(r.keys, "echo one more line\n")
	r.endsWith(machine)

	r = runOnTerminal(t, ketch, image)
	machine = r.qemu()
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.endsWith(machine)
}

// ketchRunsSecure is `ketch run --test` with Secure Boot, for the first time: the
// image enrols its keys, which takes a reset, and then runs the command.
func ketchRunsSecure(t *testing.T, disk string) {
	t.Helper()
	takeTurn(t)
	serial := filepath.Join(t.TempDir(), "console")
	cmd := exec.Command(buildKetch(t), "run", disk, "--secure-boot", "--cpus", "1", "--serial", serial,
		"--test", "ketchctl status; echo err >&2; exit 7")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if status := cmd.ProcessState.ExitCode(); status != 7 || stderr.String() != "err\n" {
		t.Errorf("ketch run --test: status %d, stderr %q, %v; want 7, err", status, &stderr, err)
	}
	if !regexp.MustCompile(`(?m)^ *secure boot +on`).Match(out) {
		t.Errorf("ketchctl status does not say that Secure Boot is on:\n%s", out)
	}
	if console, err := os.ReadFile(serial); err != nil || !strings.Contains(string(console), layout.SayGood) {
		t.Errorf("--serial: %v; want the console in the file, got %d bytes", err, len(console))
	}
}
