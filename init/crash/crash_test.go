package crash

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"ketch/linux/kmsg"
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

func TestText(t *testing.T) {
	got := text("lost at sea", []byte("goroutine 1 [running]:\nmain.main()\n"))
	if want := "PID 1 panic: lost at sea\ngoroutine 1 [running]:\nmain.main()\n"; got != want {
		t.Errorf("text = %q; want %q", got, want)
	}
}
