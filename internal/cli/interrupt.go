package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// grace is how long a command may take to clean up after a signal.
const grace = 800 * time.Millisecond

// Interruptible returns a context that ends with the first SIGINT, SIGTERM or
// SIGHUP. A second signal ends the process at once, and so does the end of the
// grace that a command has to clean up. So neither a disk that hangs nor a loop
// that never looks at the context holds up a person who wants to leave. The
// process then ends by the signal, as one that never caught it. After stop,
// signals do what they do by default.
func Interruptible(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	stopped := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case got := <-signals:
			signal.Stop(signals) // a second one is not caught
			cancel()
			select {
			case <-time.After(grace):
				syscall.Kill(os.Getpid(), got.(syscall.Signal))
			case <-stopped:
			}
		case <-stopped:
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		watch.Wait()
		cancel()
	}
}
