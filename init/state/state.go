// Package state gives the machine its /var: the state partition, which grows to
// the end of the disk, gets an ext4 file system at the first boot, is checked
// when it was not unmounted cleanly, and is never formatted again.
//
// layout.AttrStateFormatted is the one witness of "there is a file system": it is
// set after the file system is on the medium. A boot that is cut short before
// that starts over at the next. After that, a file system that cannot be used is
// left for a person to look at, and the machine runs without it.
package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/blockdev"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/mount"
	"github.com/ketch-os/ketch/update/slot"
)

// Limit is how long Mount may take at most: a check of a large file system is
// slow.
const Limit = makeLimit + 2*checkLimit + time.Minute

const (
	makeLimit  = 5 * time.Minute
	checkLimit = 15 * time.Minute
)

// partition is the state partition while it is made ready.
type partition struct {
	m      *machine.Machine
	reaper *reaper.Reaper
	disk   *os.File
	table  *gpt.Table
	number int
	node   string
}

// Mount makes the state partition of the machine's disk ready and mounts it.
func Mount(m *machine.Machine, r *reaper.Reaper, target string) error {
	if err := booted(m); err != nil {
		return err
	}
	p, err := open(m, r)
	if err != nil {
		return err
	}
	defer p.disk.Close()
	if err := p.fit(); err != nil {
		return err
	}
	if err := p.fill(); err != nil {
		return err
	}
	err = mount.Mount{
		Source: p.node, Target: target, Type: "ext4",
		Flags: mount.NoDev | mount.NoSUID, Data: p.mountOptions(),
	}.Do()
	if err != nil {
		return err
	}
	if err := p.growFileSystem(target); err != nil {
		m.Log.Printf(kmsg.Warning, "%v", err) // smaller than it could be, but whole
	}
	return nil
}

// booted returns nil when the machine's disk is the one that it was booted from. A
// state partition that may be another machine's is neither mounted nor written to.
func booted(m *machine.Machine) error {
	if m.Doubt == "" {
		if err := (slot.Origin{CountPath: m.CountPath}).Alone(m.Disk); err != nil {
			m.Doubt = err.Error()
		}
	}
	if m.Doubt != "" {
		return errors.New(m.Doubt)
	}
	return nil
}

const (
	// reservedPercent is the part of the file system that is kept for who has
	// CAP_SYS_RESOURCE: PID 1, containerd and ketchd can work on when it is full.
	reservedPercent = "1"
	// nobody is who has it too, by ext4's rules: without this, user 0, and that is who
	// writes what containers write (docs of package linux/quota).
	nobody = "65534"
)

// mountOptions are those of the file system. One that could not be given quotas
// could not be mounted with them.
func (p *partition) mountOptions() string {
	const options = "errors=remount-ro,resuid=" + nobody + ",resgid=" + nobody
	f, err := os.Open(p.node)
	if err != nil {
		return options
	}
	defer f.Close()
	if super, err := readSuperblock(f); err != nil || !super.quotas() {
		return options
	}
	return options + ",prjquota"
}

// open finds the partition on the disk that the system runs from.
func open(m *machine.Machine, r *reaper.Reaper) (*partition, error) {
	disk, err := os.OpenFile(blockdev.Path(m.Disk), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	p := &partition{m: m, reaper: r, disk: disk}
	if err := p.find(); err != nil {
		disk.Close()
		return nil, fmt.Errorf("find state partition on %s: %w", m.Disk, err)
	}
	return p, nil
}

func (p *partition) find() error {
	size, err := p.disk.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if p.table, err = gpt.Read(p.disk, size); err != nil {
		return err
	}
	sector, err := blockdev.SectorSize(p.disk)
	if err != nil {
		return err
	}
	if sector != p.table.SectorSize {
		return fmt.Errorf("the partition table is for sectors of %d bytes, the disk's have %d", p.table.SectorSize, sector)
	}
	if p.number, err = find(p.table); err != nil {
		return err
	}
	disks, err := blockdev.Disks()
	for _, disk := range disks {
		if disk.Name == p.m.Disk && disk.Partitions[p.number] != "" {
			p.node = blockdev.Path(disk.Partitions[p.number])
			return nil
		}
	}
	return errors.Join(err, fmt.Errorf("partition %d has no device", p.number))
}

// entry is the partition's entry in the table.
func (p *partition) entry() *gpt.Partition { return &p.table.Partitions[p.number-1] }

// espID is the unique GUID of the disk's ESP; empty: it has none.
func (p *partition) espID() string {
	if number := espNumber(p.table); number != 0 {
		return p.table.Partitions[number-1].ID.String()
	}
	return ""
}

// fit lets table and partition reach the end of the disk, on the medium and in
// the kernel.
func (p *partition) fit() error {
	size, err := p.disk.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	before, damage, esp := p.entry().Size(p.table.SectorSize), p.table.Damage, p.espID()
	changed, err := adapt(p.table, p.number, uint64(size/p.table.SectorSize), getrandom)
	if err != nil || !changed {
		return err
	}
	for _, fault := range damage {
		p.m.Log.Printf(kmsg.Info, "partition table of %s rewritten: %s", p.m.Disk, fault)
	}
	if err := p.writeTable(); err != nil {
		return err
	}
	if strings.EqualFold(p.m.ESP, esp) { // the boot loader told what it was then
		p.m.ESP = p.espID()
	}
	after := p.entry().Size(p.table.SectorSize)
	if after == before {
		return nil
	}
	if err := blockdev.ResizePartition(p.disk, p.number, p.entry().Offset(p.table.SectorSize), after); err != nil {
		return err
	}
	p.m.Say("%s%.1f GiB", layout.SayStateGrown, float64(after)/layout.GiB)
	return nil
}

func (p *partition) writeTable() error {
	if err := p.table.Write(p.disk); err != nil {
		return err
	}
	if err := p.disk.Sync(); err != nil {
		return fmt.Errorf("write partition table: %w", err)
	}
	p.table.Damage = nil
	return nil
}

// fill sees to it that there is a whole file system.
func (p *partition) fill() error {
	if formatted(*p.entry()) {
		return p.check()
	}
	if err := p.format(); err != nil {
		return err
	}
	p.entry().Attributes |= layout.AttrStateFormatted
	return p.writeTable()
}

// format makes the file system and waits until it is on the medium.
func (p *partition) format() error {
	var id gpt.GUID
	if err := renew(&id, getrandom); err != nil {
		return err
	}
	_, err := p.reaper.Run(makeLimit, "/usr/sbin/mkfs.ext4", "-q", "-F",
		"-U", id.String(), "-L", layout.LabelState,
		"-m", reservedPercent,
		// Workloads are bounded in what they may take, by quotas of projects.
		"-O", "quota,project",
		// The kernel writes the inode tables later, and a new partition needs no TRIM.
		"-E", "quotatype=prjquota,lazy_itable_init=1,lazy_journal_init=1,nodiscard",
		p.node)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(p.node, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("flush new file system: %w", err)
	}
	return nil
}

// check runs e2fsck where the superblock asks for it.
func (p *partition) check() error {
	f, err := os.Open(p.node)
	if err != nil {
		return err
	}
	defer f.Close()
	super, err := p.superblock(f)
	if err != nil {
		return fmt.Errorf("state partition %s: %w", p.node, err)
	}
	switch {
	case !super.equipped():
		return p.equip()
	case !super.clean():
		return p.fsck()
	}
	return nil
}

// superblock reads it. One that a power cut has torn is put right by a copy.
func (p *partition) superblock(f *os.File) (*superblock, error) {
	s, err := readSuperblock(f)
	if err != nil {
		return nil, err
	}
	if err := checkWhole(f); !errors.Is(err, errTorn) {
		return s, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	b, err := findBackup(f, size)
	if err != nil {
		return nil, err
	}
	if err := p.fsck(b.args()...); err != nil {
		return nil, err
	}
	p.m.Log.Printf(kmsg.Warning, "state partition %s: %v; it was put right by its copy in block %d", p.node, errTorn, b.block)
	if err := checkWhole(f); err != nil {
		return nil, err
	}
	return readSuperblock(f)
}

func (p *partition) fsck(more ...string) error {
	out, err := p.reaper.Run(checkLimit, append([]string{"/usr/sbin/e2fsck", "-p", p.node}, more...)...)
	if err != nil && !corrected(err) {
		return fmt.Errorf("check state partition: %w", err)
	}
	p.m.Log.Printf(kmsg.Info, "state partition checked: %s", out)
	return nil
}

// equip gives a file system that an earlier version has made what it lacks: project
// quotas, and a reserve. tune2fs writes the superblock last, so that an attempt that
// was cut short is made again; what it left is put right by the check before. A file
// system that cannot be changed (its inodes have no room for a project's number) is
// used as it is.
func (p *partition) equip() error {
	if err := p.fsck("-f"); err != nil {
		return err
	}
	_, err := p.reaper.Run(checkLimit, "/usr/sbin/tune2fs", "-O", "quota,project", "-Q", "prjquota", "-m", reservedPercent, p.node)
	if err != nil {
		p.m.Degrade("bound what workloads write: %v", err)
		return nil
	}
	p.m.Log.Printf(kmsg.Info, "state partition %s: it has project quotas and a reserve now", p.node)
	return nil
}

// corrected tells the exit statuses of e2fsck(8) that leave a whole file system:
// 1, errors corrected, and 2, a reboot is due when it was mounted, which it was not.
func corrected(err error) bool {
	var exit *reaper.ExitError
	return errors.As(err, &exit) && exit.Status.Exited() && exit.Status.ExitStatus()&^3 == 0
}

// resizeIoctl is EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64): grow a mounted file
// system to a number of blocks.
const resizeIoctl = 0x40086610

// growFileSystem extends the mounted file system to the partition's end.
func (p *partition) growFileSystem(target string) error {
	f, err := os.Open(p.node)
	if err != nil {
		return err
	}
	defer f.Close()
	super, err := readSuperblock(f)
	if err != nil {
		return err
	}
	blocks := uint64(p.entry().Size(p.table.SectorSize) / super.blockSize())
	if blocks <= uint64(super.blocks()) {
		return nil
	}
	root, err := os.Open(target)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, root.Fd(), resizeIoctl, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return fmt.Errorf("grow file system of %s: ioctl(EXT4_IOC_RESIZE_FS): %w", target, errno)
	}
	p.m.Log.Printf(kmsg.Info, "file system of %s grown to %d blocks of %d bytes", target, blocks, super.blockSize())
	return nil
}

// getrandom waits until the kernel has randomness to give.
func getrandom() ([16]byte, error) {
	return randomFrom(func(b []byte) (int, error) { return unix.Getrandom(b, 0) })
}

func randomFrom(read func([]byte) (int, error)) (b [16]byte, err error) {
	n, err := read(b[:])
	if err != nil {
		return b, fmt.Errorf("get random bytes: %w", err)
	}
	if n != len(b) {
		return b, fmt.Errorf("get random bytes: got %d of %d", n, len(b))
	}
	return b, nil
}
