package bootcount

import (
	"errors"
	"fmt"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/layout"
)

// What others ask PID 1 to write, because it is the only one that writes the record.

// maxTries keeps the counter in an entry's name at one digit: see entry.Name.File.
const maxTries = 9

// Revoke takes back that a version is good, and its tries: its slot is about to
// be overwritten. A version that the record does not know is no error. Revoke
// refuses the running version and, as long as that is not good, the one to go
// back to.
func Revoke(m *machine.Machine, root verity.RootHash) error {
	return ordered(m, root, func(r *bootrecord.Record) error {
		running := r.Versions[0]
		if to := WayBack(r); to != nil && to.RootHash == root && running.Attempts > 0 {
			return fmt.Errorf("version %s is the one to go back to: the running one, %s, is not good yet", to.Name, running.Name)
		}
		if v := r.Find(root); v != nil {
			v.Revoke()
		}
		return nil
	})
}

// Expect notes a version that is about to be installed, and how many of its
// starts may fail, 1 to 9. It refuses the running version, and names that do not
// fit.
func Expect(m *machine.Machine, version string, root verity.RootHash, tries int) error {
	id := layout.EntryID(version)
	switch {
	case version == "":
		return errors.New("a version has a name")
	case len(version) > bootrecord.MaxName || len(id) > bootrecord.MaxEntry:
		return fmt.Errorf("version %.40q has %d bytes: the boot record holds %d", version, len(version), bootrecord.MaxName)
	case tries < 1 || tries > maxTries:
		return fmt.Errorf("%d tries: want 1 to %d", tries, maxTries)
	case root.IsZero():
		return errors.New("a version has a root hash")
	}
	return ordered(m, root, func(r *bootrecord.Record) error {
		r.Expect(root, version, id, uint32(tries))
		return nil
	})
}

// ordered changes what the record says of a version that does not run.
func ordered(m *machine.Machine, root verity.RootHash, change func(*bootrecord.Record) error) error {
	if m.BootRecord == "" || m.Record() == nil {
		return errors.New("this machine has no boot record that can be written")
	}
	_, err := update(m, func(r *bootrecord.Record) error {
		switch {
		case len(r.Versions) == 0:
			return errors.New("the boot record does not know the running version any more")
		case r.Versions[0].RootHash == root:
			return fmt.Errorf("version %s is running", r.Versions[0].Name)
		}
		return change(r)
	})
	return err
}
