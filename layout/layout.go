// Package layout is the contract between the parts of Ketch: what the builder
// writes, PID 1 finds and the update client replaces. It holds names, sizes
// and identifiers, and imports only the standard library.
//
// The disk follows the UAPI Discoverable Partitions Specification (UAPI.2)
// and the boot entries follow the UAPI Boot Loader Specification (UAPI.1).
package layout

// Sizes in bytes.
const (
	KiB = 1 << 10
	MiB = 1 << 20
	GiB = 1 << 30

	// Alignment is where every partition starts and ends.
	Alignment = 1 * MiB
	// BlockSize is the block size of EROFS and of dm-verity, data and hash.
	BlockSize = 4096
)

// Arch holds what differs between processor architectures.
type Arch struct {
	Name       string // Go's name for it
	Usr        string // UAPI.2 type GUID of the usr partition
	UsrVerity  string // UAPI.2 type GUID of its hash tree
	Guard      string // what the firmware starts: the removable-media path on the ESP (UEFI 2.10, 3.5.1.1)
	BootLoader string // what the guard starts: systemd-boot
}

// AMD64 and ARM64 are the architectures of the layout; images are built for AMD64 today.
var (
	AMD64 = Arch{"amd64", "8484680c-9521-48c6-9c11-b0720656f69e", "77ff5f63-e7b6-4633-acf4-1565b864c0e6", "EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi"}
	ARM64 = Arch{"arm64", "b0e01050-ee5f-4390-949a-9101b17104e9", "6e11a4e7-fbca-4ded-b9e9-e1a512bb664e", "EFI/BOOT/BOOTAA64.EFI", "EFI/systemd/systemd-bootaa64.efi"}
)

// Files on the ESP.
const (
	ESPLoaderConf = "loader/loader.conf"
	ESPEntries    = "EFI/Linux" // unified kernel images (UAPI.1, type #2)
	ESPEnrollKeys = "loader/keys/auto"
	// Tries is how often a new version may fail to become good, unless an update
	// says another number.
	Tries = 3
)

// EntryID is the boot entry's name without its counter and suffix.
func EntryID(version string) string { return "ketch_" + version }

// Kernel command line parameters that PID 1 reads. Each counts once: a second
// occurrence is an error, because the command line can be appended to from
// outside the signed image.
const (
	ParamUsrHash = "usrhash"       // 64 hex digits: the root hash of /usr
	ParamVersion = "ketch.version" // the version that the image calls itself
	ParamDev     = "ketch.dev"     // "1": signed with development keys
)
