package qemutests

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/builder/oci"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/layout"
)

// buildEnrolling builds the image under test so that it enrols its keys by
// itself, signed with the keys in a directory.
func buildEnrolling(t *testing.T, keysDir string) (disk string) {
	t.Helper()
	disk = filepath.Join(t.TempDir(), "disk.raw")
	if err := buildWith(keysDir, disk, filepath.Join(t.TempDir(), "cache")); err != nil {
		t.Fatal(err)
	}
	return disk
}

func buildWith(keysDir, output, cacheDir string) error {
	definition, err := image.LoadDefinition("../images/qemu.yaml")
	if err != nil {
		return err
	}
	definition.Enroll = "force"
	set, err := keys.Load(keysDir)
	if err != nil {
		return err
	}
	cache, err := oci.OpenCache(cacheDir)
	if err != nil {
		return err
	}
	lock, err := oci.LoadLock("../images/qemu.lock")
	if err != nil {
		return err
	}
	_, err = image.Build(context.Background(), image.Options{
		Definition: definition, Output: output, Keys: set,
		Source: image.Source{Client: &oci.Client{Lock: lock}, Cache: cache},
	})
	return err
}

// TestSecureBoot enrols our keys in firmware that is in setup mode, then boots
// under Secure Boot what they signed, and does not boot anything else.
func TestSecureBoot(t *testing.T) {
	t.Parallel()
	disk := buildEnrolling(t, keysDir)
	machineDir := filepath.Join(t.TempDir(), "enrolling")
	if err := os.Mkdir(machineDir, 0o777); err != nil {
		t.Fatal(err)
	}
	// systemd-boot enrols the keys and resets the machine.
	m := start(t, qemu.Options{Image: copyOf(t, disk, 0), Dir: machineDir, SecureBoot: true})
	m.ends(bootLimit)
	variables := filepath.Join(machineDir, "variables.fd")

	t.Run("boots what our keys signed", func(t *testing.T) {
		t.Parallel()
		ketchRunsSecure(t, disk)
	})
	t.Run("not with one byte flipped", func(t *testing.T) {
		t.Parallel()
		disk := copyOf(t, disk, 0)
		x := tamper{t: t, path: disk}
		x.flip(layout.NumESP, x.find(layout.NumESP, []byte("lockdown=integrity")))
		refusedByFirmware(t, disk, variables)
	})
	t.Run("not what another key signed", func(t *testing.T) {
		t.Parallel()
		other := filepath.Join(t.TempDir(), "keys")
		if err := keys.New(other, keys.Options{Start: time.Now()}); err != nil {
			t.Fatal(err)
		}
		refusedByFirmware(t, buildEnrolling(t, other), variables)
	})
}

// refusedByFirmware boots a disk under Secure Boot; firmware or boot loader must
// say that they refuse it, and the kernel must not start.
func refusedByFirmware(t *testing.T, disk, variables string) {
	t.Helper()
	m := start(t, qemu.Options{Image: disk, SecureBoot: true, Variables: variables})
	ctx, cancel := qemu.Limit(m.ctx, bootLimit)
	defer cancel()
	_, err := m.Console.WaitFor(ctx, func(text string) (string, bool) {
		for _, sign := range []string{"Access Denied", "Security Violation", "Access denied", "Security violation"} {
			if strings.Contains(text, sign) {
				return sign, true
			}
		}
		return "", strings.Contains(text, layout.ConsolePrefix)
	})
	if err != nil {
		t.Errorf("wait for the refusal: %v", err)
	}
	// Nothing is left to start: firmware has come to the end of its list, or what was
	// refused a program has reset the machine, which ends it.
	_, err = m.Console.WaitFor(ctx, func(text string) (string, bool) {
		return "", strings.Contains(text, "No bootable option or device was found")
	})
	if err != nil && !errors.Is(err, qemu.ErrEnded) {
		t.Errorf("wait for the end of the attempt: %v", err)
	}
	if strings.Contains(m.Console.String(), layout.ConsolePrefix) {
		t.Error("the kernel was started all the same")
	}
}
