package platform

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/disk/qcow2"
	"github.com/ketch-os/ketch/disk/vhd"
)

// contained is the rule that the disk is wrapped in one of some ways, and can be unwrapped.
func contained(formats []string) func(*Artefact) (string, error) {
	return func(a *Artefact) (string, error) {
		if a.Broken != nil {
			return "", a.Broken
		}
		if !slices.Contains(formats, a.Format) {
			return "", fmt.Errorf("the file is %s; want %s", a.Format, strings.Join(formats, " or "))
		}
		return a.Format, nil
	}
}

var (
	errNoQCOW2 = errors.New("it is no qcow2")
	errNoVHD   = errors.New("there is no VHD")
)

// noSnapshots is the rule that a qcow2 is one disk and nothing besides. That it
// needs no other file has been settled by opening it.
func noSnapshots(a *Artefact) (string, error) {
	if a.QCOW2 == nil {
		return "", errNoQCOW2
	}
	if n := a.QCOW2.Header.SnapshotCount; n > 0 {
		return "", fmt.Errorf("header: %d snapshots", n)
	}
	return "none", nil
}

// compat010 is the rule of platforms with old readers.
func compat010(a *Artefact) (string, error) {
	if a.QCOW2 == nil {
		return "", errNoQCOW2
	}
	if v := a.QCOW2.Header.Version; v != qcow2.Version2 {
		return "", fmt.Errorf("header: version %d (compat=1.1); want version %d, compat=0.10", v, qcow2.Version2)
	}
	return "0.10", nil
}

// compressed is the rule that clusters are compressed. Some may not be: those
// that would become larger by it.
func compressed(a *Artefact) (string, error) {
	if a.QCOW2 == nil {
		return "", errNoQCOW2
	}
	small, plain, err := a.QCOW2.Clusters()
	if err != nil {
		return "", err
	}
	if small == 0 && plain > 0 {
		return "", fmt.Errorf("none of %d clusters is compressed; want qemu-img convert -c, or ketch convert", plain)
	}
	return fmt.Sprintf("%d of %d clusters", small, small+plain), nil
}

// dynamicVHD is the rule of platforms that grow a disk as it is written.
func dynamicVHD(a *Artefact) (string, error) {
	if a.VHD == nil {
		return "", errNoVHD
	}
	if t := a.VHD.Footer.DiskType; t != vhd.Dynamic {
		return "", fmt.Errorf("footer, byte 60: disk type %d (fixed); want %d, dynamic", t, vhd.Dynamic)
	}
	return "dynamic", nil
}

// createdBy is the rule of platforms that go by the program that made a VHD.
func createdBy(creator string) func(*Artefact) (string, error) {
	return func(a *Artefact) (string, error) {
		if a.VHD == nil {
			return "", errNoVHD
		}
		if got := a.VHD.Footer.CreatorApplication; strings.TrimRight(string(got[:]), "\x00") != creator {
			return "", fmt.Errorf("footer, byte 28: creator %q; want %q", got[:], creator)
		}
		return creator, nil
	}
}
