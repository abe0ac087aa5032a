package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ketch-os/ketch/linux/kmsg"
)

// TestGo runs itself as a process that panics in a goroutine.
func TestGo(t *testing.T) {
	if os.Getenv("CRASH_TEST_INSIDE") != "" {
		Go(&kmsg.Log{}, func() { panic("lost at sea") })
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestGo$")
	cmd.Env = append(os.Environ(), "CRASH_TEST_INSIDE=1")
	out, err := cmd.CombinedOutput()
	if err == nil || err.Error() != "exit status 2" || strings.Contains(string(out), "lost at sea") {
		t.Errorf("a process that panics ended with %v:\n%s\nwant exit status 2 and nothing on standard error", err, out)
	}
}

// TestRedirect runs itself as a process that the runtime ends, and whose standard
// descriptors, a pipe that nobody empties, must not hold it up.
func TestRedirect(t *testing.T) {
	if log := os.Getenv("CRASH_TEST_LOG"); log != "" {
		if err := redirect(log); err != nil {
			os.Exit(1)
		}
		for range 100 {
			os.Stdout.Write(make([]byte, 1<<16))
		}
		var lock sync.Mutex
		lock.Unlock()
	}
	full, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	defer write.Close()
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRedirect$")
	cmd.Env = append(os.Environ(), "CRASH_TEST_LOG="+log)
	cmd.Stdout, cmd.Stderr = write, write
	err = cmd.Run()
	text, _ := os.ReadFile(log)
	if err == nil || err.Error() != "exit status 2" || !strings.HasPrefix(string(text), "fatal error: sync: unlock of unlocked mutex") {
		t.Errorf("the process ended with %v, its log is %.80q; want exit status 2 and the reason", err, text)
	}
}

func TestText(t *testing.T) {
	stack := "goroutine 1 [running]:\nruntime/debug.Stack()\n\tx.go:1\npanic({0x1, 0x2})\n\tpanic.go:1\nmain.main()\n\tmain.go:7 +0x1\n"
	for _, test := range []struct {
		fault string
		stack string
		want  string
	}{
		{"lost at sea", stack, "panic({0x1, 0x2})\n\tpanic.go:1\nmain.main()\n\tmain.go:7 +0x1\nPID 1 panic: lost at sea\n"},
		{"lost", "main.main()\n", "main.main()\nPID 1 panic: lost\n"},
		{strings.Repeat("x", 9999), strings.Repeat("y", 9999), strings.Repeat("y", maxStack) + "…\nPID 1 panic: " + strings.Repeat("x", maxReason) + "…\n"},
	} {
		if got := text(test.fault, []byte(test.stack)); got != test.want {
			t.Errorf("text(%.20q) = %q; want %q", test.fault, got, test.want)
		}
	}
}
