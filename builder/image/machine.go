package image

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// machine checks a disk that a machine has booted from, as far as it is not
// signed or hashed. A machine of ours changes this, and nothing else:
//
//   - the partition table: its place and size follow the disk's; the disk GUID
//     and the UUIDs of ESP and state partition become random, once; the latter
//     reaches to the end and gets its attribute (init/state);
//   - the ESP: the counter in a boot entry's name. With the renaming go the times
//     of directory entries and their directories' archive attribute, what is left of
//     a removed entry, and FSInfo's counts;
//   - the boot record, by its rules (disk/bootrecord);
//   - the state partition.
func (v *verification) machine() {
	var table *gpt.Table
	v.check("partitions", func() (detail string, err error) {
		table, err = v.machineTable()
		return "as the builder makes them; what the machine made its own is of the form that it gives it", err
	})
	v.check("ESP files", v.espFiles)
	if v.broken() {
		v.leaveOut("every other byte", "what is wrong above comes first")
		return
	}
	v.check("every other byte", func() (string, error) { return v.machineBytes(table) })
	v.leaveOut(fmt.Sprintf("GUIDs of the disk and of partitions %d and %d", layout.NumESP, layout.NumState), "the machine's own, made at its first boot")
	v.leaveOut("what the boot record says", "the machine's own account of its boots; its form was checked")
	state := v.disk.Table.Partitions[layout.NumState-1]
	v.leaveOut(fmt.Sprintf("partition %d (%s)", layout.NumState, state.Name), "%d MiB of the machine's own data", state.Size(v.disk.Table.SectorSize)/layout.MiB)
	if gap := v.behindState(); gap.end > gap.start {
		v.leaveOut(fmt.Sprintf("unused space behind partition %d", layout.NumState), "%d bytes: what the disk held before", gap.end-gap.start)
	}
}

// installed is the entry of the version that the disk was made with: the
// identifiers of its partitions derive from it.
func (v *verification) installed() (Entry, error) {
	for _, e := range v.entries {
		if v.newTable("", e.RootHash).Partitions[layout.NumBIOS-1].ID == v.disk.Table.Partitions[layout.NumBIOS-1].ID {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("partition %d: its UUID is not the one that a version on the disk gives it", layout.NumBIOS)
}

// machineTable is the table that the builder makes, with what a machine changes
// as it is on the disk. Everything else must be the builder's.
func (v *verification) machineTable() (*gpt.Table, error) {
	first, err := v.installed()
	if err != nil {
		return nil, err
	}
	_, info, err := v.info(first)
	if err != nil {
		return nil, err
	}
	got, want := v.disk.Table, v.newTable(info.Version, first.RootHash)
	if len(got.Partitions) != len(want.Partitions) {
		return nil, fmt.Errorf("%d partitions; want %d", len(got.Partitions), len(want.Partitions))
	}
	if err := v.placeVersions(want); err != nil {
		return nil, err
	}
	if err := checkOwn(got, want); err != nil {
		return nil, fmt.Errorf("partition %d (%s): %w", layout.NumState, got.Partitions[layout.NumState-1].Name, err)
	}
	want.DiskID, want.Partitions[layout.NumState-1] = got.DiskID, got.Partitions[layout.NumState-1]
	want.Partitions[layout.NumESP-1].ID = got.Partitions[layout.NumESP-1].ID
	for i, p := range want.Partitions {
		if got.Partitions[i] != p {
			return nil, fmt.Errorf("partition %d (%s): type, place, UUID, label or attributes are not the builder's", i+1, got.Partitions[i].Name)
		}
	}
	return want, nil
}

// placeVersions gives the slots the versions that boot entries lead to.
func (v *verification) placeVersions(table *gpt.Table) error {
	for _, e := range v.entries {
		s, info, err := v.info(e)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(layout.Slots(), func(slot layout.Slot) bool { return slot.Name == s.Name })
		if i < 0 {
			return fmt.Errorf("partitions %d and %d, which hold %s, are no slot", s.UsrNumber, s.VerityNumber, info.Version)
		}
		release.Place(table, layout.Slots()[i], info.Version, e.RootHash)
	}
	return nil
}

// checkOwn checks what PID 1 writes into the table: it takes the image's GUIDs,
// or makes both random, and only then marks the file system as whole.
func checkOwn(got, want *gpt.Table) error {
	g, w := got.Partitions[layout.NumState-1], want.Partitions[layout.NumState-1]
	esp, image := got.Partitions[layout.NumESP-1].ID, want.Partitions[layout.NumESP-1].ID
	own := randomUUID(got.DiskID) && randomUUID(g.ID) && randomUUID(esp)
	unit := uint64(layout.Alignment / got.SectorSize)
	switch {
	case !own && (got.DiskID != want.DiskID || g.ID != w.ID || esp != image):
		return errors.New("its UUID, the ESP's and the disk's GUID are neither the image's nor random ones")
	case g.Attributes&^layout.AMD64.Partitions()[layout.NumState-1].Attributes != 0:
		return fmt.Errorf("attributes %#x", g.Attributes)
	case g.Attributes != 0 && !own:
		return errors.New("it is marked as formatted, but has the UUID of the image: no machine leaves that")
	case g.Type != w.Type || g.Name != w.Name || g.First != w.First:
		return errors.New("type, label or start are not the builder's")
	case g.Last+1 != (got.LastUsable()+1)/unit*unit:
		return fmt.Errorf("ends at block %d: want the last usable multiple of %d MiB", g.Last, layout.Alignment/layout.MiB)
	}
	return nil
}

// randomUUID tells a UUID of version 4 (RFC 9562, 5.4).
func randomUUID(id gpt.GUID) bool {
	text := id.String()
	return text[14] == '4' && strings.ContainsRune("89ab", rune(text[19]))
}

// espFiles checks that the ESP has the files of its versions, and no others: a
// boot entry, a driver or an add-on of somebody else's would take part in the boot.
func (v *verification) espFiles() (string, error) {
	want, err := v.espNames()
	if err != nil {
		return "", err
	}
	count := 0
	err = fs.WalkDir(v.disk.ESP, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			for path := range want {
				if name == "." || strings.HasPrefix(path, name+"/") {
					return nil
				}
			}
			return fmt.Errorf("ESP directory %s: belongs to no version on the disk", name)
		}
		sums, known := want[name]
		if !known {
			return fmt.Errorf("ESP %s: belongs to no version on the disk", name)
		}
		delete(want, name)
		count++
		return v.checkSum(name, sums)
	})
	if err != nil {
		return "", err
	}
	for path := range want {
		return "", fmt.Errorf("ESP %s: is missing", path)
	}
	return fmt.Sprintf("%d files: the programs, whose signatures were checked, and those whose SHA-256 is in image.json", count), nil
}

// checkSum holds a file of the ESP against the digests that it may have; none
// are for a program, whose signature has been checked.
func (v *verification) checkSum(name string, sums []string) error {
	if sums == nil {
		return nil
	}
	data, err := v.disk.readESP(name)
	if err != nil {
		return fmt.Errorf("ESP %s: %w", name, err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(data)); !slices.Contains(sums, sum) {
		return fmt.Errorf("ESP %s: SHA-256 is %s, want %s", name, sum, strings.Join(sums, " or "))
	}
	return nil
}

// espNames are the files that the versions on the disk bring, each with the
// digests that it may have.
func (v *verification) espNames() (map[string][]string, error) {
	names := map[string][]string{}
	for _, p := range loaders() {
		names[p.name] = nil
	}
	for _, e := range v.entries {
		_, info, err := v.info(e)
		if err != nil {
			return nil, err
		}
		if err := checkName(e.Name, info.Version, v.tries(e)); err != nil {
			return nil, fmt.Errorf("ESP %s: %w", e.Path, err)
		}
		names[e.Path] = nil
		for name, sum := range info.ESP {
			names[name] = append(names[name], sum)
		}
	}
	return names, nil
}

// tries is how many starts of a version may fail, as the boot record has it.
func (v *verification) tries(e Entry) int {
	r, err := v.disk.BootRecord()
	if err != nil {
		return layout.Tries // its own check tells
	}
	if known := r.Find(e.RootHash); known != nil {
		return int(cmp.Or(known.Tries, layout.Tries))
	}
	return layout.Tries
}

// checkName checks a boot entry's name: each boot takes a try off it and adds one
// to what was used, and a good one loses its counter (UAPI.1, "Boot counting").
func checkName(name entry.Name, version string, tries int) error {
	switch {
	case name.ID != layout.EntryID(version):
		return fmt.Errorf("is the entry of version %s: want it to be called %s", version, layout.EntryID(version))
	case name.Counted && name.Left+name.Done != tries:
		return fmt.Errorf("%d tries left and %d used: want %d in all", name.Left, name.Done, tries)
	}
	return nil
}

// machineBytes compares every byte that no machine changes.
func (v *verification) machineBytes(table *gpt.Table) (string, error) {
	skip := []span{v.whole(layout.NumBoot), v.whole(layout.NumState), v.behindState()}
	if len(v.entries) == 1 {
		renamed, err := v.disk.ESP.Renamed(layout.ESPEntries)
		if err != nil {
			return "", fmt.Errorf("ESP: %w", err)
		}
		for _, e := range renamed {
			at := v.start(layout.NumESP) + e.Offset
			skip = append(skip, span{at, at + e.Length})
		}
		v.leaveOut("ESP directories", "times and archive attributes, what is left of removed entries, and the count of free clusters: a boot renames its entry")
	} else {
		skip = append(skip, v.whole(layout.NumESP))
		v.leaveOut("ESP free space", "with %d boot entries it depends on the order in which they came", len(v.entries))
	}
	first, err := v.installed()
	if err != nil {
		return "", err
	}
	return "as the builder writes it", v.compare(table, first, skip)
}

// whole is the span of a partition.
func (v *verification) whole(number int) span {
	size := v.disk.Table.Partitions[number-1].Size(v.disk.Table.SectorSize)
	return span{v.start(number), v.start(number) + size}
}

// behindState is what lies between the last partition and the backup of the table.
func (v *verification) behindState() span {
	return span{v.whole(layout.NumState).end, int64(v.disk.Table.LastUsable()+1) * v.disk.Table.SectorSize}
}
