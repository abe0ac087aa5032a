// Package threads gives PID 1 its threads while there are some to be had.
//
// Go's runtime starts a thread when a goroutine is ready to run and every thread
// that it has is blocked in a system call. Where the kernel refuses one, because
// other processes have taken them all, the runtime ends the process ("failed to
// create new OS thread"), and the kernel panics with it. But a thread that the
// runtime has once started is kept: it sleeps until it is wanted again. So PID 1
// starts as many as it can want before anything else runs.
package threads

import (
	"runtime"
	"sync"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/linux/kmsg"
)

const (
	// Reserved is how many threads PID 1 has from the start of stage two on. Besides
	// the goroutines that run, these may block one each, all at once: the writers of
	// four services' logs, the start of a process, what is left behind on a disk that
	// hangs (the boot record, the gate's report, the account of the boot, the hourly
	// stamp), and the first steps of the way down. Then processes end, and there are
	// threads to be had again. Sockets, pipes and timers block none. A thread costs
	// about 50 KiB, the kernel's part included.
	Reserved = 20
	// running is how many goroutines run at once: on a machine of many processors
	// the garbage collector would want a thread for each of them.
	running = 4
)

// Reserve makes sure that a number of threads is there, and bounds how many run at
// once.
func Reserve(log *kmsg.Log, count int) {
	runtime.GOMAXPROCS(min(runtime.NumCPU(), running))
	var here, done sync.WaitGroup
	release := make(chan struct{})
	here.Add(count)
	for range count {
		done.Add(1)
		crash.Go(log, func() {
			defer done.Done()
			runtime.LockOSThread() // while it waits, nobody else uses its thread
			here.Done()
			<-release
			runtime.UnlockOSThread() // with the lock the thread would end, too
		})
	}
	here.Wait()
	close(release)
	done.Wait()
}
