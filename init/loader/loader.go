// Package loader is what PID 1 asks of the boot loader: which entry to take next.
// The asking itself is that of package slot; here it has a limit, so that an ESP or
// a firmware that hangs holds up nothing else.
package loader

import (
	"errors"
	"time"

	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/step"
	"github.com/ketch-os/ketch/update/slot"
)

// Limit is how long an ESP or the firmware may take over what it is asked.
const Limit = 30 * time.Second

// Booted is the name of the booted entry's file; false where the loader does not tell.
func Booted(m *machine.Machine) (entry.Name, bool) { return slot.Booted(m.Entry, m.CountPath) }

// Ask makes an entry that of the next start, and of that one only.
func Ask(m *machine.Machine, next entry.Name) error {
	return step.Within(m, Limit, func() error { return slot.Ask(next) })
}

// Rename gives the entries on the ESP the names that want returns for theirs.
func Rename(m *machine.Machine, want func(entry.Name) entry.Name) error {
	if m.Doubt != "" {
		return errors.New(m.Doubt)
	}
	esp := slot.ESP{Disk: m.Disk, ID: m.ESP}
	return step.Within(m, Limit, func() error { return esp.Rename(want) })
}
