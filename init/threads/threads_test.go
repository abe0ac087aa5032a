package threads

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/linux/kmsg"
)

// TestReserve runs itself as a process that blocks many threads at once, with and
// without a reserve: with one it starts no thread for that.
func TestReserve(t *testing.T) {
	if reserve := os.Getenv("THREADS_TEST_RESERVE"); reserve != "" {
		count, _ := strconv.Atoi(reserve)
		os.Stdout.WriteString("started " + strconv.Itoa(started(t, count)) + "\n")
		return
	}
	for reserve, want := range map[int]bool{0: false, Reserved: true} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestReserve$")
		cmd.Env = append(os.Environ(), "THREADS_TEST_RESERVE="+strconv.Itoa(reserve))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("with a reserve of %d: %v\n%s", reserve, err, out)
		}
		if enough := strings.Contains(string(out), "started 0\n"); enough != want {
			t.Errorf("with a reserve of %d a process that blocks %d threads says %q", reserve, blocked, out)
		}
	}
}

// blocked is how many threads the test blocks: all but those that the runtime uses
// itself, and those that run.
const blocked = Reserved - 8

// started reserves threads, blocks many at once in read(2), and returns how many
// threads have been started for that.
func started(t *testing.T, count int) int {
	Reserve(&kmsg.Log{}, count)
	before := threads(t)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	for range blocked {
		go func() {
			_, err := unix.Read(pipe[0], make([]byte, 1))
			ended <- err
		}()
	}
	for inRead(t) < blocked { // the runtime takes its time to notice
		unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
	}
	if _, err := unix.Write(pipe[1], make([]byte, blocked)); err != nil {
		t.Fatal(err)
	}
	for range blocked {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	return threads(t) - before
}

func threads(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// inRead is how many threads wait in read(2), by /proc/TID/syscall.
func inRead(t *testing.T) (n int) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile("/proc/self/task/" + e.Name() + "/syscall")
		if err != nil {
			t.Fatal(err)
		}
		if number, _, _ := strings.Cut(string(text), " "); number == strconv.Itoa(unix.SYS_READ) {
			n++
		}
	}
	return n
}
