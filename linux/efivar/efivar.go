// Package efivar reads and writes EFI variables through efivarfs
// (Documentation/filesystems/efivarfs.rst): those of the boot loader interface
// (systemd.io/BOOT_LOADER_INTERFACE), which are text in UTF-16.
package efivar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Dir is where efivarfs is mounted.
const Dir = "/sys/firmware/efi/efivars"

// loaderGUID is the vendor of the boot loader interface.
const loaderGUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// The variables of the boot loader interface that Ketch reads.
const (
	LoaderEntrySelected  = "LoaderEntrySelected"  // the entry that was booted
	LoaderBootCountPath  = "LoaderBootCountPath"  // its file on the ESP, while its tries are counted
	LoaderDevicePartUUID = "LoaderDevicePartUUID" // the ESP that the loader came from
	LoaderTimeInitUSec   = "LoaderTimeInitUSec"   // power-on to the loader's start
	LoaderTimeExecUSec   = "LoaderTimeExecUSec"   // power-on to the kernel's start
	LoaderEntries        = "LoaderEntries"        // the entries the loader found, in its order
)

// LoaderEntryOneShot is the variable that Ketch writes: the entry for the next
// start, and for that one only.
const LoaderEntryOneShot = "LoaderEntryOneShot"

// ErrNone tells that a variable does not exist: an old loader, no EFI, or, for
// LoaderBootCountPath, an entry without a counter.
var ErrNone = errors.New("no such EFI variable")

// Loader returns the text of a variable of the boot loader interface.
func Loader(name string) (string, error) { return text(os.DirFS(Dir), name+"-"+loaderGUID) }

// LoaderList returns the texts of a variable that holds several.
func LoaderList(name string) ([]string, error) { return texts(os.DirFS(Dir), name+"-"+loaderGUID) }

// LoaderUsec returns a time of the boot loader interface in microseconds.
func LoaderUsec(name string) (int64, error) { return usec(os.DirFS(Dir), name+"-"+loaderGUID) }

func usec(vars fs.FS, file string) (int64, error) {
	value, err := text(vars, file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read EFI variable %s: %w", file, err)
	}
	return n, nil
}

// globalGUID is the vendor of the variables that UEFI itself defines (UEFI 2.10,
// section 3.3).
const globalGUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

// SecureBoot tells whether the firmware checks what it starts: its variable of
// that name is 1 (UEFI 2.10, section 3.3). A firmware that has none does not.
func SecureBoot() (bool, error) { return flag(os.DirFS(Dir), "SecureBoot-"+globalGUID) }

// flag reads a variable of one byte, 0 or 1; one that does not exist is 0.
func flag(vars fs.FS, file string) (bool, error) {
	data, err := fs.ReadFile(vars, file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read EFI variable: %w", err)
	}
	if len(data) != 5 || data[4] > 1 {
		return false, fmt.Errorf("read EFI variable %s: want attributes and a byte that is 0 or 1; got %x", file, data)
	}
	return data[4] == 1, nil
}

// text reads the first, or only, text of a variable.
func text(vars fs.FS, file string) (string, error) {
	list, err := texts(vars, file)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0], nil
}

// texts reads a file of efivarfs: four bytes of attributes, then texts in
// UTF-16LE, each ending with a NUL, which the last may lack.
func texts(vars fs.FS, file string) ([]string, error) {
	data, err := fs.ReadFile(vars, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNone, file)
	}
	if err != nil {
		return nil, fmt.Errorf("read EFI variable: %w", err)
	}
	if len(data) < 4 || len(data)%2 != 0 {
		return nil, fmt.Errorf("read EFI variable %s: %d bytes are no attributes and UTF-16", file, len(data))
	}
	units := make([]uint16, (len(data)-4)/2)
	binary.Decode(data[4:], binary.LittleEndian, units)
	whole := strings.TrimSuffix(string(utf16.Decode(units)), "\x00")
	if whole == "" {
		return nil, nil
	}
	return strings.Split(whole, "\x00"), nil
}
