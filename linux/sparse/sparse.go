// Package sparse lets a file that others append to keep its end only: its head is
// given back to the file system as a hole (fallocate(2), FALLOC_FL_PUNCH_HOLE), and
// lseek(2) with SEEK_DATA tells where the data begins.
//
// Nothing moves, so whoever has the file open, with O_APPEND, writes on as before,
// and no byte is lost between two steps. Offsets keep their meaning: a reader that
// is late finds that the data begins after its own offset, and by how much.
//
// A file system has a largest offset (16 TiB for ext4). Long before it the file is
// shortened by exactly one Lap, all of it hole (FALLOC_FL_COLLAPSE_RANGE): a reader
// whose offset is behind the end then takes one Lap off its own. tmpfs cannot do
// that, and has no such limit.
package sparse

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lap is by how many bytes a file is shortened when so many are a hole.
const Lap = 1 << 40

// minUnit is the least that a hole is a multiple of, in bytes: a page.
const minUnit = 4 << 10

// Data is the offset of the first byte at or after from that is no hole; the
// file's size when there is none.
func Data(f *os.File, from int64) (int64, error) {
	at, err := unix.Seek(int(f.Fd()), from, unix.SEEK_DATA)
	if err != unix.ENXIO {
		return at, os.NewSyscallError("lseek", err)
	}
	// There was nothing but a hole up to the end, or from is behind it. The file may
	// have grown since: that holds up to an end that is known before it is asked again.
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	at, err = unix.Seek(int(f.Fd()), from, unix.SEEK_DATA)
	if err == unix.ENXIO {
		return max(from, info.Size()), nil
	}
	return at, os.NewSyscallError("lseek", err)
}

// Keep drops what is before the file's last bytes, in whole blocks: what is left of
// a block that is cut would be filled with zeros.
func Keep(f *os.File, last int64) error { return keep(f, last, Lap) }

func keep(f *os.File, last, lap int64) error {
	var info unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &info); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	unit := max(info.Blksize, minUnit)
	head := (info.Size - last) / unit * unit
	if head <= 0 {
		return nil
	}
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, head); err != nil {
		return os.NewSyscallError("fallocate", err)
	}
	if head < lap {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, lap)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return os.NewSyscallError("fallocate", err)
}
