// Package efivar reads EFI variables from efivarfs
// (Documentation/filesystems/efivarfs.rst), chiefly those of the boot loader
// interface (systemd.io/BOOT_LOADER_INTERFACE): text in UTF-16. It does not
// write any.
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
)

// ErrNone tells that a variable does not exist: an old loader, no EFI, or, for
// LoaderBootCountPath, an entry without a counter.
var ErrNone = errors.New("no such EFI variable")

// Loader returns the text of a variable of the boot loader interface.
func Loader(name string) (string, error) { return text(os.DirFS(Dir), name+"-"+loaderGUID) }

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

// text reads a file of efivarfs: four bytes of attributes, then UTF-16LE that
// ends with, or without, a NUL.
func text(vars fs.FS, file string) (string, error) {
	data, err := fs.ReadFile(vars, file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: %s", ErrNone, file)
	}
	if err != nil {
		return "", fmt.Errorf("read EFI variable: %w", err)
	}
	if len(data) < 4 || len(data)%2 != 0 {
		return "", fmt.Errorf("read EFI variable %s: %d bytes are no attributes and UTF-16", file, len(data))
	}
	units := make([]uint16, (len(data)-4)/2)
	binary.Decode(data[4:], binary.LittleEndian, units)
	value, _, _ := strings.Cut(string(utf16.Decode(units)), "\x00")
	return value, nil
}
