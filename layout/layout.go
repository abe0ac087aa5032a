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

// Partition type GUIDs, in their text form.
const (
	TypeESP   = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" // EFI system partition (UEFI 2.10, 5.3.3)
	TypeBIOS  = "21686148-6449-6e6f-744e-656564454649" // BIOS boot partition (GRUB's "Hah!IdontNeedEFI")
	TypeBoot  = "f44126d9-b73c-4c33-bf76-93438cf48f9b" // Ketch's boot record
	TypeState = "4d21b016-b534-45c2-a9fb-5c16e091fd2d" // UAPI.2 variable data, /var
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

// Partition labels. A slot in use carries its version: SlotLabel, VerityLabel.
const (
	LabelESP   = "ESP"
	LabelBIOS  = "BIOS"
	LabelEmpty = "_empty" // a slot that holds no version (systemd-sysupdate's convention)
	LabelBoot  = "ketch_boot"
	LabelState = "ketch_state"
)

// SlotLabel is the label of the usr partition that holds version.
func SlotLabel(version string) string { return "ketch_" + version }

// VerityLabel is the label of the partition with the hash tree of version.
func VerityLabel(version string) string { return SlotLabel(version) + "_verity" }

// AttrStateFormatted is the attribute bit (48–63 belong to the type) that PID 1
// sets on the state partition once its file system has been made whole.
// Without it the partition holds nothing, whatever its bytes say: an interrupted
// first boot starts over. With it the partition is never formatted again.
const AttrStateFormatted = 1 << 48

// Partition numbers: the order of the partitions on the disk.
const (
	NumESP = 1 + iota
	NumBIOS
	NumUsrA
	NumVerityA
	NumUsrB
	NumVerityB
	NumBoot
	NumState
)

// Partition sizes in bytes. Slot sizes are for life: every machine keeps the
// ones it was installed with.
const (
	SizeESP    = 512 * MiB
	SizeBIOS   = 2 * MiB
	SizeUsr    = 1 * GiB
	SizeVerity = 16 * MiB
	SizeBoot   = 1 * MiB
	// MinState is the smallest state partition an image is made with; the first
	// boot grows it to the end of the disk.
	MinState = 64 * MiB
	// ImageMultiple: the size of an image is a multiple of it (Google Compute
	// Engine accepts nothing else).
	ImageMultiple = 1 * GiB
)

// Files on the ESP.
const (
	ESPLoaderConf = "loader/loader.conf"
	ESPEntries    = "EFI/Linux" // unified kernel images (UAPI.1, type #2)
	ESPEnrollKeys = "loader/keys/auto"
	// Tries is how often a new version may fail to become good.
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
