package bootcount

import (
	"errors"
	"fmt"
	"time"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/init/loader"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/update/slot"
)

const (
	// asks is how many starts in a row ask the boot loader for another version
	// before PID 1 believes that it will not be heard.
	asks = layout.Tries
	// longestPause is the longest of pauses.
	longestPause = 5 * time.Minute
)

// pauses are how long a version waits that has failed too often, when there is no
// other to go to.
var pauses = backoff.Pause{First: 10 * time.Second, Last: longestPause}

// Limit is how long Count may take, for the step it is: all it may wait for.
const Limit = longestPause + 2*loader.Limit + 3*limit + 30*time.Second

// Fallback ends a start because another version has been asked for.
type Fallback struct {
	From, To bootrecord.Version
}

func (f *Fallback) Error() string {
	return fmt.Sprintf("version %s has failed %d times in a row (the last time: %s): the boot loader is asked for version %s, which was good",
		f.From.Name, f.From.Attempts, f.From.Words, f.To.Name)
}

// decide acts on what the record says now, and what it said of this version
// before, nil if nothing.
func decide(m *machine.Machine, before *bootrecord.Version, entries []entry.Name) error {
	to, pause := judge(m.Record())
	if to != nil {
		err := ask(m, *to, entries)
		if err == nil {
			return fallBack(m, *before, *to)
		}
		m.Degrade("fall back to version %s: %v", to.Name, err)
	}
	if pause > 0 {
		m.Log.Printf(kmsg.Warning, "version %s has failed %d times in a row, and there is no other to go to: waiting for %v",
			before.Name, before.Attempts, pause) // more than three attempts: there is a before
		time.Sleep(pause)
	}
	return nil
}

// judge decides about the version that is being started, the first of the record:
// start it (nil, 0), or go back to another, or, where that cannot be, start it
// after a pause.
//
// The other one is that which was good last, unless it has since failed as often
// itself. Where there is none, or the boot loader has been asked in vain, the
// newest is tried for ever, ever more slowly: what keeps it from becoming good
// may pass.
func judge(r *bootrecord.Record) (to *bootrecord.Version, pause time.Duration) {
	v := r.Versions[0]
	over := int(v.Attempts) - int(tries(v))
	if over <= 0 {
		return nil, 0
	}
	pause = pauses.After(over, backoff.Even)
	if over > asks {
		return nil, pause
	}
	return WayBack(r), pause
}

// ask asks the boot loader for another version's entry, by the variable or,
// where there are no variables, by marking our own as bad.
func ask(m *machine.Machine, to bootrecord.Version, entries []entry.Name) error {
	next, err := target(to, entries)
	if err != nil {
		return err
	}
	err = loader.Ask(m, next)
	if err == nil {
		return nil
	}
	m.Log.Printf(kmsg.Warning, "%v: marking our own boot entry as bad instead", err)
	ours := m.Record().Versions[0]
	marked := loader.Rename(m, func(n entry.Name) entry.Name {
		if slot.Same(n.ID, ours.Entry) {
			return n.Failed(int(tries(ours)))
		}
		return n
	})
	if marked != nil {
		return errors.Join(err, marked)
	}
	return nil
}

// target is the name of a version's entry as the loader knows it. A loader that
// does not list its entries is asked for the name of a good one.
func target(v bootrecord.Version, entries []entry.Name) (entry.Name, error) {
	for _, n := range entries {
		if slot.Same(n.ID, v.Entry) {
			return n, nil
		}
	}
	if len(entries) > 0 {
		return entry.Name{}, fmt.Errorf("the boot loader has no entry %s", v.Entry)
	}
	return entry.Name{ID: v.Entry}, nil
}

// fallBack notes what has been asked for. This start was none: what is known of
// the version is what was known before.
func fallBack(m *machine.Machine, before, to bootrecord.Version) error {
	err := current(m, func(r *bootrecord.Record, v *bootrecord.Version) {
		r.Asked, r.AskedFor = to.RootHash, v.RootHash
		v.Words, v.FailTime = before.Words, before.FailTime
	})
	if err != nil {
		m.Log.Printf(kmsg.Warning, "boot record: %v", err)
	}
	from := before
	from.Attempts = min(before.Attempts, tries(before))
	return &Fallback{From: from, To: to}
}

// Stay asks the boot loader for this very entry at the next start: the names on
// the ESP do not say that it is the one to take, and cannot be changed.
func Stay(m *machine.Machine) error {
	booted, ok := loader.Booted(m)
	if !ok {
		return errors.New("the boot loader does not tell what it has booted")
	}
	if err := loader.Ask(m, booted); err != nil {
		return err
	}
	return current(m, func(r *bootrecord.Record, v *bootrecord.Version) { r.Asked, r.AskedFor = v.RootHash, v.RootHash })
}
