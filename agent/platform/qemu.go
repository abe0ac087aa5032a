package platform

import (
	"context"
	"fmt"
	"io/fs"
)

// firmwareFiles are the files of fw_cfg that hold a configuration (QEMU,
// docs/specs/fw_cfg.rst): our own, and the one that Ignition's users know.
var firmwareFiles = []string{"opt/org.ketch.config", "opt/com.coreos/config"}

// firmwarePath is a file of fw_cfg in sysfs (Documentation/ABI/testing/sysfs-firmware-qemu_fw_cfg).
func firmwarePath(name string) string { return "firmware/qemu_fw_cfg/by_name/" + name + "/raw" }

func detectFirmwareConfig(h *Host) string {
	for _, name := range firmwareFiles {
		if _, err := fs.Stat(h.Sys, firmwarePath(name)); err == nil {
			return "fw_cfg has " + name
		}
	}
	return ""
}

func readFirmwareConfig(_ context.Context, h *Host, to *Facts) error {
	for _, name := range firmwareFiles {
		data, err := readFile(h.Sys, firmwarePath(name), maxUserData)
		if err != nil {
			return fmt.Errorf("read fw_cfg file %s: %w", name, err)
		}
		if data != nil {
			to.Source, to.UserData = "fw_cfg "+name, data
			return nil
		}
	}
	return fmt.Errorf("read fw_cfg: %w", fs.ErrNotExist)
}
