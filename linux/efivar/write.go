package efivar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unicode/utf16"

	"golang.org/x/sys/unix"
)

// The attributes of a variable that lasts and that an operating system may
// write (UEFI 2.10, 8.2.1).
const (
	nonVolatile       = 1
	bootServiceAccess = 2
	runtimeAccess     = 4
	lasting           = nonVolatile | bootServiceAccess | runtimeAccess
)

// mountFlags are those of efivarfs; it is read-only but for the moment of a write.
const mountFlags = unix.MS_REMOUNT | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// SetLoader gives a variable of the boot loader interface a text that survives
// a reset. efivarfs is writable for as long as that takes.
func SetLoader(name, value string) (err error) {
	file := Dir + "/" + name + "-" + loaderGUID
	if err := unix.Mount("", Dir, "", mountFlags, ""); err != nil {
		return fmt.Errorf("write EFI variable %s: remount efivarfs: %w", name, err)
	}
	defer func() {
		if again := unix.Mount("", Dir, "", mountFlags|unix.MS_RDONLY, ""); again != nil {
			err = errors.Join(err, fmt.Errorf("make efivarfs read-only again: %w", again))
		}
	}()
	if err := write(file, encode(value)); err != nil {
		return fmt.Errorf("write EFI variable: %w", err)
	}
	return nil
}

// encode is the content of a file of efivarfs: attributes, then text and NUL.
func encode(value string) []byte {
	data := binary.LittleEndian.AppendUint32(nil, lasting)
	for _, unit := range append(utf16.Encode([]rune(value)), 0) {
		data = binary.LittleEndian.AppendUint16(data, unit)
	}
	return data
}

// write replaces a variable with a single write(2), as efivarfs wants it.
func write(file string, data []byte) error {
	if err := mutable(file); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// immutable is FS_IMMUTABLE_FL of include/uapi/linux/fs.h.
const immutable = 0x10

// mutable clears the flag by which efivarfs protects variables that it does not
// know. One that does not exist has none.
func mutable(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return fmt.Errorf("ioctl(FS_IOC_GETFLAGS) of %s: %w", file, err)
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags&^immutable)); err != nil {
		return fmt.Errorf("ioctl(FS_IOC_SETFLAGS) of %s: %w", file, err)
	}
	return nil
}
