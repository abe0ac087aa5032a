// Package initramfs is the first stage of the boot, from the kernel's initramfs to
// the init of a verified /usr. There is nothing in the initramfs but this
// program; whatever a boot stub may have dropped beside it is told, and not read.
package initramfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/init/bootcount"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/system"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/cmdline"
	"github.com/ketch-os/ketch/linux/dm"
	"github.com/ketch-os/ketch/linux/efivar"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/mount"
	"github.com/ketch-os/ketch/linux/sysctl"
	"github.com/ketch-os/ketch/update/slot"
)

const (
	// slotLimit is how long the disk may take to appear.
	slotLimit = 10 * time.Second
	// SlotStepLimit leaves room for reading tables, and for a start that could not
	// be counted earlier.
	SlotStepLimit = slotLimit + 10*time.Second + bootcount.Limit
	// RecordStepLimit leaves room for the disk to appear before its record is
	// read.
	RecordStepLimit = slotLimit + 10*time.Second + bootcount.Limit

	device  = "usr"      // of device-mapper
	newRoot = "/sysroot" // where the new root is built
)

// Stage is what the steps find out, one after another.
type Stage struct {
	Machine *machine.Machine

	root   verity.RootHash
	origin slot.Origin
	slot   slot.Slot
	node   string // of the verity device
}

// MountKernel mounts the kernel's own file systems and opens its log.
func (s *Stage) MountKernel() error {
	var skipped []error
	err := mount.All(system.Early(), func(err error) { skipped = append(skipped, err) })
	s.Machine.Log.Open()
	if err != nil {
		return err
	}
	for _, err := range []error{kmsg.Prepare(sysctl.Root), system.Hurry(true)} {
		if err != nil {
			skipped = append(skipped, err)
		}
	}
	for _, err := range skipped {
		s.Machine.Log.Printf(kmsg.Info, "%v", err)
	}
	return nil
}

// ReadCommandLine takes the root hash and the version from the kernel's command
// line. Each counts once: see layout.ParamUsrHash.
func (s *Stage) ReadCommandLine() error {
	line, err := cmdline.Read()
	if err != nil {
		return err
	}
	return s.take(line)
}

func (s *Stage) take(line *cmdline.Line) error {
	hash, ok, err := line.Once(layout.ParamUsrHash)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("the kernel command line has no " + layout.ParamUsrHash + "=")
	}
	if s.root, err = verity.ParseRootHash(hash); err != nil {
		return err
	}
	version, _, err := line.Once(layout.ParamVersion)
	if err != nil {
		return err
	}
	dev, _, err := line.Once(layout.ParamDev)
	if err != nil {
		return err
	}
	m := s.Machine
	m.RootHash, m.Version, m.Development = strings.ToLower(hash), version, dev == "1"
	m.Timeline.Change(func(b *pid1.Boot) { b.Version = version })
	m.Say("%s%s", layout.SayVersion, version)
	if m.Development {
		m.Log.Printf(kmsg.Warning, "%s", layout.SayDevelopment)
	}
	return nil
}

// ReadLoader takes from the EFI variables what the boot loader tells: which entry
// it booted, from which disk, whether it counts tries, and its times; and from the
// firmware whether it checks signatures. A machine without EFI, or with another
// loader, boots without.
func (s *Stage) ReadLoader() error {
	m := s.Machine
	for name, to := range map[string]*string{
		efivar.LoaderEntrySelected:  &m.Entry,
		efivar.LoaderBootCountPath:  &m.CountPath,
		efivar.LoaderDevicePartUUID: &m.ESP,
	} {
		value, err := efivar.Loader(name)
		if err != nil && !errors.Is(err, efivar.ErrNone) {
			m.Log.Printf(kmsg.Warning, "%v", err)
		}
		*to = value
	}
	secure, err := efivar.SecureBoot()
	if err != nil {
		m.Log.Printf(kmsg.Warning, "%v", err)
	}
	m.SecureBoot = secure
	if found := extra(os.DirFS("/")); found != "" {
		m.Degrade("%s", found)
	}
	began, err := efivar.LoaderUsec(efivar.LoaderTimeInitUSec)
	ended, errEnd := efivar.LoaderUsec(efivar.LoaderTimeExecUSec)
	if err == nil && errEnd == nil && began >= 0 && ended >= began {
		m.Timeline.Change(func(b *pid1.Boot) { b.FirmwareUsec, b.LoaderUsec = began, ended-began })
	}
	return nil
}

// CountStart counts this start in the boot record of the disk that the boot
// loader came from, before anything else can go wrong. Where the loader does not
// say which that is, FindSlot does it.
func (s *Stage) CountStart() error {
	m := s.Machine
	s.origin = slot.Origin{CountPath: m.CountPath}
	var err error
	if s.origin.ESP, err = gpt.ParseGUID(m.ESP); err != nil {
		return nil // it does not tell
	}
	var twins *slot.TwinsError
	switch s.origin.Disk, err = s.origin.Find(slotLimit); {
	case errors.As(err, &twins):
		s.doubt(err)
		return nil
	case err != nil:
		m.Log.Printf(kmsg.Warning, "boot record: %v", err)
		return nil
	}
	return bootcount.Count(m, s.origin.Disk)
}

// doubt notes why the disk that the system runs from may be another's.
func (s *Stage) doubt(why error) {
	s.Machine.Doubt = why.Error()
	s.Machine.Log.Printf(kmsg.Warning, "%v; nothing is written to a disk, and this start is not counted", why)
}

// FindSlot waits for the partitions that the root hash names.
func (s *Stage) FindSlot() (err error) {
	m := s.Machine
	if s.slot, err = slot.Wait(s.root, s.origin, slotLimit); err != nil {
		return err
	}
	m.Disk, m.Slot = s.slot.Disk, s.slot.Name
	m.Log.Printf(kmsg.Info, "slot: usr %s, hash tree %s", s.slot.Usr, s.slot.Hash)
	if m.Doubt == "" {
		if err := mistaken(s.slot, s.origin); err != nil {
			s.doubt(err)
		}
	}
	if m.Doubt == "" && m.Record() == nil {
		return bootcount.Count(m, s.slot.Disk)
	}
	return nil
}

// mistaken tells why a slot may lie on another disk than the one that was booted.
func mistaken(found slot.Slot, origin slot.Origin) error {
	switch {
	case found.Booted:
		return nil
	case !origin.ESP.IsZero():
		return fmt.Errorf("the disk that was booted, with ESP %s, has not appeared: running from %s", origin.ESP, found.Disk)
	case found.Copies > 0:
		return fmt.Errorf("the boot loader does not tell which disk was booted, and %d others hold the same version as %s", found.Copies, found.Disk)
	}
	return nil
}

// MakeVerity makes the device through which every block of usr is verified, reads
// the first block through it, and asks whether it was valid.
func (s *Stage) MakeVerity() error {
	target, err := s.target()
	if err != nil {
		return err
	}
	number, err := dm.Create(device, fmt.Sprintf("CRYPT-VERITY-%x-%s", s.root[:16], device))
	if err != nil {
		return err
	}
	if err := dm.Load(device, target); err != nil {
		return err
	}
	if err := dm.Resume(device); err != nil {
		return err
	}
	if s.node, err = dm.Node(device, number); err != nil {
		return err
	}
	if err := readFirst(s.node); err != nil {
		return fmt.Errorf("read first block of usr: %w", err)
	}
	return valid()
}

// target describes the verity device. The sizes that the superblock of the hash
// tree claims must fit the partitions.
func (s *Stage) target() (dm.Target, error) {
	f, err := os.Open(s.slot.Hash)
	if err != nil {
		return dm.Target{}, err
	}
	defer f.Close()
	super, err := verity.ReadSuperblock(f)
	if err != nil {
		return dm.Target{}, fmt.Errorf("%s: %w", s.slot.Hash, err)
	}
	if super.DataSize() > s.slot.UsrSize || verity.HashSize(super.DataSize()) > s.slot.HashSize {
		return dm.Target{}, fmt.Errorf("%s: the hash tree is for %d bytes, more than the slot holds", s.slot.Hash, super.DataSize())
	}
	return dm.Target{
		Length: super.Sectors(), Type: "verity",
		// A corrupt block ends in a panic, hence in a reboot: never in wrong data.
		Params: super.Table(s.slot.Usr, s.slot.Hash, s.root, "panic_on_corruption"),
	}, nil
}

func readFirst(node string) error {
	f, err := os.Open(node)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, make([]byte, layout.BlockSize))
	return err
}

// valid asks device-mapper for the device's status, which says more than a read
// that succeeds.
func valid() error {
	targets, err := dm.Status(device)
	if err != nil {
		return err
	}
	if len(targets) != 1 || targets[0].Type != "verity" || !strings.HasPrefix(targets[0].Params, "V") {
		return fmt.Errorf("verity device %s is not valid: %+v", device, targets)
	}
	return nil
}

// BuildRoot makes the root on a tmpfs: /usr verified and read-only, links into
// it, and mount points. The root holds nothing that is executed or that lasts.
func (s *Stage) BuildRoot() error {
	table := []mount.Mount{
		{Source: "tmpfs", Target: newRoot, Type: "tmpfs", Flags: mount.NoSUID | mount.NoDev, Data: "mode=0755,size=10%"},
		{Source: s.node, Target: newRoot + "/usr", Type: "erofs", Flags: mount.ReadOnly | mount.NoDev},
	}
	if err := mount.All(table, nil); err != nil {
		return err
	}
	for _, dir := range append(system.Moved(), "/etc", "/var", "/tmp", "/root", "/home", "/mnt", "/srv", "/opt") {
		if err := os.MkdirAll(newRoot+dir, 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if _, err := os.Stat(newRoot + "/usr/" + name); err != nil {
			continue // an image may have no lib64
		}
		if err := os.Symlink("usr/"+name, newRoot+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// Move makes the new root the root, and frees the memory of the initramfs.
func (s *Stage) Move() error {
	for _, dir := range system.Moved() {
		if err := mount.Move(dir, newRoot+dir); err != nil {
			return err
		}
	}
	if err := empty("/"); err != nil {
		return err
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := mount.Move(".", "/"); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return os.NewSyscallError("chroot", err)
	}
	return os.Chdir("/")
}

// empty removes everything below dir that is on the same file system.
func empty(dir string) error {
	var top unix.Stat_t
	if err := unix.Lstat(dir, &top); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := strings.TrimSuffix(dir, "/") + "/" + entry.Name()
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil || stat.Dev != top.Dev {
			continue // a mount point
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// Become executes the init of the verified /usr in this one's place. It returns
// only when that is impossible.
func (s *Stage) Become() error {
	env, err := s.Machine.Handoff()
	if err != nil {
		return err
	}
	if err := unix.Exec(layout.InitPath, []string{layout.InitPath}, env); err != nil {
		return fmt.Errorf("execute %s: %w", layout.InitPath, err)
	}
	return nil
}
