// Package crash is what happens when PID 1 itself is at fault. A panic's text
// goes to the kernel log line by line, and so to the console and to pstore. Then
// PID 1 exits, and the kernel panics and reboots the machine (kernel.panic).
//
// pstore keeps the newest lines of the log (10 KiB, compressed), and the kernel's
// own words follow PID 1's. So what PID 1 says is short, and its reason comes
// last.
package crash

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/linux/kmsg"
)

const (
	// maxReason and maxStack bound what is said of a panic, in bytes.
	maxReason = 1 << 10
	maxStack  = 3 << 10
)

// Prepare makes the kernel log PID 1's standard error, so that pstore keeps what
// Go's runtime says when it dies by itself (out of memory, a map race, a
// deadlock), with the stack of the goroutine at fault. The stacks of all
// goroutines would push the reason out, because every piece of a line becomes a
// record.
//
// It lets go of the standard descriptors that the kernel has opened on the
// console: a console that takes no more must not hold up PID 1, least of all when
// PID 1 dies.
func Prepare() error {
	debug.SetTraceback("single")
	return redirect("/dev/kmsg")
}

// redirect makes log the standard error, and the others nothing.
func redirect(log string) error {
	for fd, path := range [...]string{os.DevNull, os.DevNull, log} {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		err = unix.Dup3(int(f.Fd()), fd, 0)
		f.Close()
		if err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	return nil
}

// Go runs f in a goroutine that reports its panic. PID 1 starts no goroutine any
// other way.
func Go(log *kmsg.Log, f func()) {
	go func() {
		defer Report(log)
		f()
	}()
}

// Report is deferred first thing in a goroutine.
func Report(log *kmsg.Log) {
	if fault := recover(); fault != nil {
		log.Printf(kmsg.Emergency, "%s", text(fault, debug.Stack()))
		syncWithin(2 * time.Second) // the kernel's panic will not do it
		os.Exit(2)
	}
}

// syncWithin syncs. Where a broken disk does not let that end, the call is left
// behind.
func syncWithin(limit time.Duration) {
	done := make(chan struct{})
	go func() {
		unix.Sync()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// text is the stack, from the call that panicked outwards, and the reason.
func text(fault any, stack []byte) string {
	lines := string(stack)
	// What debug.Stack, Report and the runtime add to the stack tells nothing.
	if _, after, ok := strings.Cut(lines, "\npanic("); ok {
		lines = "panic(" + after
	}
	reason := fmt.Sprint(fault)
	return fmt.Sprintf("%s\nPID 1 panic: %s\n", cut(lines, maxStack), cut(reason, maxReason))
}

func cut(text string, limit int) string {
	if len(text) <= limit {
		return strings.TrimRight(text, "\n")
	}
	return text[:limit] + "…"
}
