package gate

import (
	"errors"
	"fmt"

	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/init/bootcount"
	"github.com/ketch-os/ketch/init/loader"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/update/slot"
)

// Bless makes this boot a good one: the boot record says so, and the names of the
// boot entries are made to agree with it. This version's entry loses its counter.
// An entry whose version has failed too often, by the record's count, gets a name
// without tries. Where the names cannot be changed, the loader is asked for this
// entry at the next start. Whatever of this fails, the boot stays good.
func Bless(m *machine.Machine) error {
	return errors.Join(bootcount.Good(m), agree(m))
}

func agree(m *machine.Machine) error {
	ours, ok := loader.Booted(m)
	if !ok {
		return nil // a loader that does not count has nothing to agree with
	}
	entries, err := slot.Entries()
	if err != nil {
		return err
	}
	wanted := func(n entry.Name) entry.Name {
		tries, failed := bootcount.Failed(m, n)
		return verdict(n, ours, tries, failed)
	}
	if !differ(append(entries, ours), wanted) {
		return nil
	}
	err = loader.Rename(m, wanted)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("change the names of boot entries: %w", err)
	if asked := bootcount.Stay(m); asked != nil {
		return errors.Join(err, fmt.Errorf("ask for this entry at the next start instead: %w", asked))
	}
	return err
}

// verdict is the name that an entry is to have. tries are those of its version.
func verdict(n, ours entry.Name, tries int, failed bool) entry.Name {
	switch {
	case slot.Same(n.ID, ours.ID):
		return n.Good()
	case failed && !n.Bad():
		return n.Failed(tries)
	}
	return n
}

// differ tells whether any name is to change. If none is, the ESP need not be
// mounted.
func differ(names []entry.Name, wanted func(entry.Name) entry.Name) bool {
	for _, n := range names {
		if wanted(n) != n {
			return true
		}
	}
	return false
}
