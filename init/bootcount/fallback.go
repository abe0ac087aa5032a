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
	// asks is how many starts in a row ask the boot loader for another version.
	// After that PID 1 takes it that the loader does not follow.
	asks = layout.Tries
	// longestPause is the longest of pauses.
	longestPause = 5 * time.Minute
)

// pauses are the waits before the start of a version that has failed too often,
// while there is no other to go to.
var pauses = backoff.Pause{First: 10 * time.Second, Last: longestPause}

// Limit is how long Count may take: the sum of what it may wait for.
const Limit = longestPause + 2*loader.Limit + 3*limit + 30*time.Second

// Fallback ends a start because another version has been asked for.
type Fallback struct {
	From, To bootrecord.Version
}

func (f *Fallback) Error() string {
	return fmt.Sprintf("version %s has failed %d times in a row (the last time: %s): the boot loader is asked for version %s, which was good",
		f.From.Name, f.From.Attempts, f.From.Words, f.To.Name)
}

// decide acts on what the record says now. before is what it said of this version
// before this start, nil where it said nothing.
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
			before.Name, before.Attempts, pause) // it has failed, so the record knew it before
		time.Sleep(pause)
	}
	return nil
}

// judge decides what becomes of the version that is being started, the first of
// the record. It is started (nil, 0), or another is gone back to, or, where that
// cannot be, it is started after a pause.
//
// The other version is that of WayBack. Where there is none, or the boot loader
// has been asked in vain, this version is tried for ever, with longer and longer
// pauses: what keeps it from becoming good may pass.
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

// target is the name of a version's entry as the loader knows it. Where the
// loader lists no entries, it is the name of an entry that is good.
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

// fallBack notes what has been asked for. This start did nothing else, so the
// version keeps the words of its last failure.
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

// Stay asks the boot loader for this entry at the next start, because the names
// on the ESP cannot be changed to say that it is good.
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
