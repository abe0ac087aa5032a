package qemutests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ketch-os/ketch/internal/testkit"
)

// More tests run at once than there are processors: a machine often only waits,
// for a watchdog or for a limit to pass. But if too many emulate a boot at once,
// each is slower than its limits allow. So machines start one after the other,
// each when what the tests have begun leaves a processor of the host to it. What
// others do on the host does not count: they may never leave one.

const (
	// turnLimit is how long a machine waits, whatever the others do.
	turnLimit = 90 * time.Second
	// turnLook is the time between two looks, turnLooks how many are averaged.
	turnLook, turnLooks = 50 * time.Millisecond, 10
	// turnSpare is how many processors must have nothing to do for the tests.
	turnSpare = 0.5
)

var turn sync.Mutex

// takeTurn returns when a machine may start.
func takeTurn(t testing.TB) {
	t.Helper()
	turn.Lock()
	defer turn.Unlock()
	for deadline := time.Now().Add(turnLimit); time.Now().Before(deadline); {
		want := 0 // threads that want a processor, over all looks
		for range turnLooks {
			time.Sleep(turnLook)
			want += runnable()
		}
		if float64(want)/turnLooks <= float64(runtime.NumCPU())-turnSpare {
			return
		}
	}
}

// runnable counts the threads of this process and its descendants that run or wait
// for a processor, but for the one that looks.
func runnable() int {
	ours := map[int]bool{os.Getpid(): true}
	all := processes()
	for found := true; found; {
		found = false
		for pid, parent := range all {
			if ours[parent] && !ours[pid] {
				ours[pid], found = true, true
			}
		}
	}
	count := -1
	for pid := range ours {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, thread := range threads {
			if state, _, ok := statOf(thread); ok && state == 'R' {
				count++
			}
		}
	}
	return max(count, 0)
}

// processes tells of each process on the host its parent.
func processes() map[int]int {
	parents := map[int]int{}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		var pid int
		if _, parent, ok := statOf(path); ok {
			fmt.Sscanf(strings.TrimPrefix(path, "/proc/"), "%d/", &pid)
			parents[pid] = parent
		}
	}
	return parents
}

// statOf reads a process's or a thread's state and parent (proc_pid_stat(5)). One that has
// ended meanwhile has none.
func statOf(path string) (state byte, parent int, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, false
	}
	_, err = fmt.Sscanf(string(text[bytes.LastIndexByte(text, ')')+1:]), " %c %d", &state, &parent)
	return state, parent, err == nil
}

// TestTurn: a program that a test has started and that wants a processor is seen.
func TestTurn(t *testing.T) {
	busy := exec.Command("sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	defer busy.Wait()
	defer busy.Process.Kill()
	if all := processes(); all[busy.Process.Pid] != os.Getpid() {
		t.Errorf("the program has the parent %d; want %d", all[busy.Process.Pid], os.Getpid())
	}
	testkit.Eventually(t, "the program wants a processor", func() bool { return runnable() > 0 })
}
