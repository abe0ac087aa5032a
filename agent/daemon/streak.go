package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/agent/lastrun"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/layout"
)

// countBoot tells of how many boots before this one workloads may have been the end.
// What cannot be read or kept is a problem, and counts as none.
func (n *Node) countBoot() lastrun.Streak {
	s, err := lastrun.LoadStreak(layout.Streak)
	previous, errPrevious := previousRun()
	boot, errBoot := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err := errors.Join(err, errPrevious, errBoot); err != nil {
		n.problem("count boots that came to no end", err)
		return lastrun.Streak{}
	}
	s = s.Next(strings.TrimSpace(string(boot)), previous)
	n.problem("count boots that came to no end", s.Save(layout.Streak))
	if text := s.Problem(); text != "" {
		n.problem(crashLoop, errors.New(text))
	}
	return s
}

// crashLoop is the subject of what there is to say of a streak.
const crashLoop = "crash loop"

// settle ends a streak once workloads have run for long enough.
func (n *Node) settle(ctx context.Context, s lastrun.Streak) {
	if s.Settled || !backoff.Sleep(ctx, s.Hold()+lastrun.Settled-uptime()) {
		return
	}
	s.Settled = true
	n.problem("count boots that came to no end", s.Save(layout.Streak))
	n.problem(crashLoop, nil)
}

// uptime is the time since the kernel started.
func uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(fmt.Sprintf("clock_gettime(CLOCK_BOOTTIME): %v", err)) // no kernel of ours lacks it
	}
	return time.Duration(now.Nano())
}
