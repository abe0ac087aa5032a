// Package bootcount is PID 1's use of the boot record (disk/bootrecord): it counts a
// start before anything else can fail, notes how the start ends, and decides what
// becomes of a version that keeps failing.
//
//	Count   a start begins; when all of a version's tries have failed, in a row, the
//	        boot loader is asked for the version that was good last (fallback.go)
//	Fail    PID 1 ends the start itself: its words are kept
//	Good    the health gate has passed
//	Revoke  an update is about to overwrite a version (orders.go)
//	Expect  an update is about to install one
//
// A start that ends without a word, in a panic, a reset or a power cut, has been
// counted all the same. A boot never fails for want of a record: a machine that
// cannot read or write it runs, degraded.
package bootcount

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/init/loader"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/step"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/cmdline"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/update/slot"
)

// limit is how long the disk may take over a write.
const limit = 10 * time.Second

// Count counts this start in the record of a disk, and then decides whether this
// version is to be started at all. The error is a Fallback: the machine is to
// reboot.
func Count(m *machine.Machine, disk string) error {
	node, err := slot.Node(disk, find)
	if err != nil {
		return unusable(m, err)
	}
	line, err := cmdline.Read()
	if err != nil {
		return unusable(m, err)
	}
	entries, err := slot.Entries()
	if err != nil {
		m.Log.Printf(kmsg.Warning, "%v", err)
	}
	m.Disk, m.BootRecord = disk, node
	s := newStart(m, line)
	before, err := update(m, func(r *bootrecord.Record) error { s.count(r); return nil })
	if err != nil {
		return unusable(m, err)
	}
	m.Before = before.Find(s.root)
	m.Why = why(before, s, m.Entry, entries)
	m.Log.Printf(kmsg.Info, "boot record: start %d of version %s since it was good", m.Record().Versions[0].Attempts, s.version)
	return decide(m, m.Before, entries)
}

// unusable goes on without a record.
func unusable(m *machine.Machine, err error) error {
	m.BootRecord = ""
	m.Degrade("boot record: %v; starts are not counted", err)
	return nil
}

// find returns the number of the boot record's partition.
func find(table *gpt.Table) int {
	if numbers := table.ByType(gpt.MustParseGUID(layout.TypeBoot)); len(numbers) > 0 {
		return numbers[0]
	}
	return 0
}

// start is which version is being started.
type start struct {
	root           verity.RootHash
	version, entry string
}

// newStart reads the first occurrence of each parameter. A later step refuses a
// second one; by then the start has been counted.
func newStart(m *machine.Machine, line *cmdline.Line) start {
	s := start{}
	digits, _ := line.Get(layout.ParamUsrHash)
	s.root, _ = verity.ParseRootHash(digits) // without a root hash it counts as the version of the zero hash
	s.version, _ = line.Get(layout.ParamVersion)
	s.entry = layout.EntryID(s.version)
	if booted, ok := loader.Booted(m); ok {
		s.entry = booted.ID
	}
	return s
}

// count counts the start.
func (s start) count(r *bootrecord.Record) {
	// The loader has followed. The other version's last start only asked for this
	// one: it does not count as a failure.
	if failed := r.Find(r.AskedFor); failed != nil && r.Asked == s.root && r.AskedFor != s.root {
		failed.Attempts = min(failed.Attempts, tries(*failed))
	}
	r.Asked, r.AskedFor = verity.RootHash{}, verity.RootHash{}
	r.Count(s.root, s.version, s.entry)
}

// Fail keeps the words of the error that ends this start. It takes at most limit,
// and its own failure is only logged.
func Fail(m *machine.Machine, fault error) {
	var fallback *Fallback
	if errors.As(fault, &fallback) {
		return // that is no failure of its own
	}
	err := current(m, func(_ *bootrecord.Record, v *bootrecord.Version) { v.Fail(fault.Error(), time.Now()) })
	if err != nil {
		m.Log.Printf(kmsg.Warning, "boot record: %v", err)
	}
}

// Good notes that this start is good: the count of attempts starts over.
func Good(m *machine.Machine) error {
	err := current(m, func(r *bootrecord.Record, v *bootrecord.Version) { r.Good(v, time.Now()) })
	if err != nil {
		return fmt.Errorf("boot record: %w", err)
	}
	return nil
}

// Failed tells whether an entry belongs to a version, other than the running one,
// that is not to be started any more, and how many tries that version had.
func Failed(m *machine.Machine, n entry.Name) (of int, is bool) {
	r := m.Record()
	if r == nil || len(r.Versions) == 0 || slot.Same(n.ID, r.Versions[0].Entry) {
		return 0, false
	}
	for _, v := range r.Versions[1:] {
		if slot.Same(n.ID, v.Entry) {
			return int(tries(v)), failed(v)
		}
	}
	return 0, false
}

// tries is how many attempts of a version may fail.
func tries(v bootrecord.Version) uint32 { return cmp.Or(v.Tries, layout.Tries) }

// failed judges a version that is not running: all its attempts have failed, or its
// slot is no longer its own.
func failed(v bootrecord.Version) bool { return v.Revoked || v.Attempts >= tries(v) }

// WayBack is the version to go back to from the running one, the first of the
// record: the one that was good last, unless it has failed since. It is nil where
// there is none.
func WayBack(r *bootrecord.Record) *bootrecord.Version {
	running := r.Versions[0].RootHash
	return r.LastGood(func(v bootrecord.Version) bool { return v.RootHash != running && !failed(v) })
}

// current changes what the record says of the running version. Without a record
// there is nothing to change: unusable has degraded the machine.
func current(m *machine.Machine, change func(*bootrecord.Record, *bootrecord.Version)) error {
	known := m.Record()
	if m.BootRecord == "" || known == nil {
		return nil
	}
	running := known.Versions[0].RootHash
	_, err := update(m, func(r *bootrecord.Record) error {
		v := r.Find(running)
		if v == nil {
			return errors.New("it does not know the running version any more")
		}
		change(r, v)
		return nil
	})
	return err
}

// update reads the record, changes it and writes it back. It returns what the
// record was before; the machine has what it is now.
func update(m *machine.Machine, edit func(*bootrecord.Record) error) (before *bootrecord.Record, err error) {
	// A disk that hangs leaves the function behind: what it shares with us has a lock.
	node, done := m.BootRecord, make(chan *bootrecord.Record, 1)
	err = step.Within(m, limit, func() error {
		before, err := rewrite(m, node, edit)
		done <- before
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-done, nil
}

func rewrite(m *machine.Machine, node string, edit func(*bootrecord.Record) error) (before *bootrecord.Record, err error) {
	f, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// One at a time: the health gate and a fatal error may come together.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, os.NewSyscallError("flock", err)
	}
	r, err := bootrecord.Read(f)
	if errors.Is(err, bootrecord.ErrDamaged) {
		m.Log.Printf(kmsg.Warning, "%v: starting an empty one", err)
	} else if err != nil {
		return nil, err
	}
	before = r.Clone()
	if err := edit(r); err != nil {
		return nil, err
	}
	if err := r.Write(f); err != nil {
		return nil, err
	}
	m.SetRecord(r) // while the disk is locked: the later record stays
	return before, nil
}
