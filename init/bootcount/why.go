package bootcount

import (
	"fmt"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/update/slot"
)

// why tells why the boot loader took this entry, from the record before this
// start is counted, the entry's name, and the list that it was in.
func why(r *bootrecord.Record, s start, selected string, entries []entry.Name) string {
	switch from := r.Find(r.AskedFor); {
	case r.Asked != s.root || from == nil:
	case from.RootHash == s.root:
		return "asked for by this version itself: the ESP could not be changed to say that it is good"
	default:
		return fmt.Sprintf("asked for after %d failures in a row of version %s: %s", min(from.Attempts, tries(*from)), from.Name, from.Words)
	}
	ours, err := entry.Parse(selected)
	if err != nil {
		return "the boot loader does not tell"
	}
	return position(ours, entries) + older(r, s)
}

// older tells that a newer version was good on this machine and has not failed
// since: somebody has put the older one back.
func older(r *bootrecord.Record, s start) string {
	for _, v := range r.Versions {
		if v.RootHash != s.root && v.EverGood() && !failed(v) && entry.Compare(v.Entry, s.entry) > 0 {
			return fmt.Sprintf("; it is older than version %s, which was good on this machine", v.Name)
		}
	}
	return ""
}

// position tells why from the entry's place in the loader's list.
func position(ours entry.Name, entries []entry.Name) string {
	switch {
	case len(entries) == 0:
		return "the boot loader does not tell"
	case len(entries) == 1:
		return "the only one"
	case !slot.Same(entries[0].File(), ours.File()):
		return "chosen by hand, or by a setting of the boot loader"
	case ours.Bad():
		return "the newest; no entry has tries left"
	}
	for _, other := range entries {
		if other.Bad() && entry.Compare(other.ID, ours.ID) > 0 {
			return fmt.Sprintf("the newest that has tries left or is good; %s has none left", other.ID)
		}
	}
	return "the newest"
}

// Report is what the machine's status tells of the record; nil where there is none.
func Report(m *machine.Machine) *pid1.Record {
	r := m.Record()
	if r == nil || len(r.Versions) == 0 {
		return nil
	}
	report := &pid1.Record{Why: m.Why, Generation: r.Generation, Floor: r.Floor}
	last := r.LastGood(func(bootrecord.Version) bool { return true })
	for i := range r.Versions {
		v := &r.Versions[i]
		report.Versions = append(report.Versions, pid1.RecordedVersion{
			Version: v.Name, RootHash: v.RootHash.String(), Entry: v.Entry,
			Running: i == 0, LastGood: v == last, Failed: i > 0 && failed(*v), Revoked: v.Revoked, Tries: tries(*v),
			Starts: v.Starts, Goods: v.Goods, Attempts: v.Attempts,
			GoodAt: moment(v.GoodTime), FailedAt: moment(v.FailTime), Words: v.Words,
		})
	}
	if running := &report.Versions[0]; running.Words == bootrecord.Silent {
		running.Words = "" // it has not ended yet
	}
	return report
}

// moment is a time in the form of RFC 3339; none is empty.
func moment(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}
