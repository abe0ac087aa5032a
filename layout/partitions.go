package layout

// Partition is a row of the plan of a disk.
type Partition struct {
	Name  string // unique in the plan; the builder derives the UUID from it, unless it is a part of a root hash
	Kind  string // what it is, in words
	Label string // on a new disk without a version
	Type  string // type GUID, in its text form
	Size  int64  // bytes; 0: the rest of the disk, at least MinState
	// Attributes are the bits that a machine may set; a new disk has none.
	Attributes uint64
}

// Partitions is the plan of a disk: its partitions, in the order of their numbers
// and of their places. docs/image-format.md has it as a table.
func (a Arch) Partitions() []Partition {
	return []Partition{
		NumESP - 1:     {Name: "ESP", Kind: "EFI system partition", Label: LabelESP, Type: TypeESP, Size: SizeESP},
		NumBIOS - 1:    {Name: "BIOS", Kind: "BIOS boot", Label: LabelBIOS, Type: TypeBIOS, Size: SizeBIOS},
		NumUsrA - 1:    {Name: "usr A", Kind: kindUsr, Label: LabelEmpty, Type: a.Usr, Size: SizeUsr},
		NumVerityA - 1: {Name: "verity A", Kind: kindVerity, Label: LabelEmpty, Type: a.UsrVerity, Size: SizeVerity},
		NumUsrB - 1:    {Name: "usr B", Kind: kindUsr, Label: LabelEmpty, Type: a.Usr, Size: SizeUsr},
		NumVerityB - 1: {Name: "verity B", Kind: kindVerity, Label: LabelEmpty, Type: a.UsrVerity, Size: SizeVerity},
		NumBoot - 1:    {Name: "boot", Kind: "boot record", Label: LabelBoot, Type: TypeBoot, Size: SizeBoot},
		NumState - 1:   {Name: "state", Kind: "state (/var)", Label: LabelState, Type: TypeState, Attributes: AttrStateFormatted},
	}
}

const (
	kindUsr    = "usr"
	kindVerity = "usr hash tree"
)

// Slot is a pair of partitions that holds a version of the OS.
type Slot struct {
	Name        string // "A" or "B"
	Usr, Verity int    // partition numbers
}

// Slots are the two slots of a disk.
func Slots() []Slot {
	return []Slot{{"A", NumUsrA, NumVerityA}, {"B", NumUsrB, NumVerityB}}
}

// Partition type GUIDs, in their text form.
const (
	TypeESP   = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" // EFI system partition (UEFI 2.10, 5.3.3)
	TypeBIOS  = "21686148-6449-6e6f-744e-656564454649" // BIOS boot partition (GRUB's "Hah!IdontNeedEFI")
	TypeBoot  = "f44126d9-b73c-4c33-bf76-93438cf48f9b" // Ketch's boot record
	TypeState = "4d21b016-b534-45c2-a9fb-5c16e091fd2d" // UAPI.2 variable data, /var
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
