// Package crash is what happens when PID 1 itself is at fault. A panic reaches
// the kernel log line by line, so that it is on the console and in pstore, then
// PID 1 exits, which makes the kernel panic, which reboots it (kernel.panic).
package crash

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"ketch/linux/kmsg"
)

// Prepare sends what the runtime says when it dies by itself (out of memory, a
// map race, a deadlock) to the kernel log too, for pstore. Its own standard
// error is the console.
func Prepare() error {
	debug.SetTraceback("all")
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() // SetCrashOutput keeps a duplicate
	return debug.SetCrashOutput(f, debug.CrashOptions{})
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

// syncWithin leaves a sync behind that a broken disk does not let end.
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

func text(fault any, stack []byte) string {
	return fmt.Sprintf("PID 1 panic: %v\n%s", fault, stack)
}
