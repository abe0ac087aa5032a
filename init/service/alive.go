package service

import (
	"fmt"
	"time"

	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/reaper"
)

// listen probes a process that is ready until it ends, and tells when it hangs. A
// probe that waits for its answer keeps nobody else waiting.
func (u *unit) listen(child *reaper.Child) <-chan error {
	hangs := make(chan error, 1)
	if u.Service.Alive == nil {
		return hangs
	}
	crash.Go(u.m.Log, func() {
		if err := u.question(child); err != nil {
			hangs <- err
		}
	})
	return hangs
}

// question returns why a process counts as hung, nil when it has ended or is to
// stop. A failure that is not yet the last in a row is only shown as the
// service's reason.
func (u *unit) question(child *reaper.Child) error {
	for failures := 0; ; {
		select {
		case <-child.Done():
			return nil
		case <-u.stop:
			return nil
		case <-time.After(u.Pace.Every):
		}
		err := u.Service.Alive()
		if err == nil {
			u.because("")
			failures = 0
			continue
		}
		if failures++; failures >= u.Pace.Failures {
			return fmt.Errorf("it hangs: no answer to %d probes in a row: %w", failures, err)
		}
		u.because(fmt.Sprintf("no answer to %d of %d probes: %v", failures, u.Pace.Failures, err))
	}
}
