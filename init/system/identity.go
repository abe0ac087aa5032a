package system

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/atomicfile"
	"github.com/ketch-os/ketch/internal/guid"
	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/layout"
)

// maxIdentity is how large a file with an identifier or a name may be, in bytes.
const maxIdentity = 4 << 10

// MachineID returns the machine's own identifier, 32 hexadecimal digits
// (machine-id(5)), from the directory where it is kept, and makes it the first
// time. One that is not valid identifies nothing, and is replaced. Anything in
// its place that is no plain file stays, and is an error.
func MachineID(dir string) (string, error) {
	path := filepath.Join(dir, "machine-id")
	text, err := plainfile.Read(path, maxIdentity)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, plainfile.ErrTooLarge) {
		return "", fmt.Errorf("read machine ID: %w", err)
	}
	if id := strings.TrimSpace(string(text)); validID(id) {
		return id, nil
	}
	var b [16]byte
	if _, err := unix.Getrandom(b[:], 0); err != nil {
		return "", os.NewSyscallError("getrandom", err)
	}
	b = guid.Stamp(b, 4) // the ID is a UUID, too
	id := hex.EncodeToString(b[:])
	if err := Replace(path, []byte(id+"\n"), 0o444); err != nil {
		return "", fmt.Errorf("keep machine ID: %w", err)
	}
	return id, nil
}

func validID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == "" && strings.Trim(id, "0") != ""
}

// Replace writes a file, in a directory that it makes where it is missing, so
// that a power cut leaves the old one or the new one.
func Replace(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, data, mode)
}

// Hostname returns the name that the machine was given, or one from its ID. An
// error tells that a file could not be read; the name is valid all the same.
func Hostname(given []string, machineID string) (string, error) {
	var faults []error
	for _, path := range given {
		text, err := plainfile.Read(path, maxIdentity)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, fmt.Errorf("read host name: %w", err))
		}
		name, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		if validHostname(name) {
			return name, errors.Join(faults...)
		}
	}
	return "ketch-" + machineID[:min(6, len(machineID))], errors.Join(faults...)
}

// validHostname keeps to RFC 1123, 2.1, and to what sethostname(2) takes.
func validHostname(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."
	return name != "" && len(name) <= 64 && strings.Trim(name, letters) == "" &&
		!strings.HasPrefix(name, "-") && !strings.HasPrefix(name, ".")
}

// Identify sets the host name and writes the files of /etc that carry names. A name
// that the machine was given and that cannot be read goes to unread.
func Identify(etc, machineID string, unread func(error)) error {
	name, err := Hostname([]string{layout.Hostname, filepath.Join(etc, "hostname")}, machineID)
	if err != nil {
		unread(err)
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	for file, text := range map[string]string{"hostname": name + "\n", "machine-id": machineID + "\n"} {
		if err := os.WriteFile(filepath.Join(etc, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return addHost(filepath.Join(etc, "hosts"), name)
}

// addHost gives the machine's own name an address that works without a network.
func addHost(path, name string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("127.0.1.1\t" + name + "\n")
	return err
}
