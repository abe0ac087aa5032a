package initramfs

import (
	"fmt"
	"io/fs"
)

// extraDir is where systemd's stub puts what it finds beside the kernel image on
// the ESP, ENTRY.efi.extra.d and loader/credentials (systemd-stub(7)). It reads all
// of it into memory before the kernel starts, however much there is, and no
// signature covers it. Nothing of Ketch reads it; it is gone with the initramfs.
const extraDir = ".extra"

// extra says what the stub has dropped into the initramfs; empty: nothing.
func extra(initramfs fs.FS) string {
	files, bytes := 0, int64(0)
	fs.WalkDir(initramfs, extraDir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // what cannot be read is not read by others, either
		}
		files++
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	if files == 0 {
		return ""
	}
	return fmt.Sprintf("files on the ESP are not the system's (%d, of %d KiB, in EFI/Linux/*.extra.d or loader/credentials): they are read at each boot, and not used; remove them",
		files, bytes>>10)
}
