package image

import (
	"fmt"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/efi/authenticode"
	"github.com/ketch-os/ketch/efi/uki"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// Report is what Inspect sees on a disk.
type Report struct {
	DiskID     string             `json:"diskID"`
	Size       int64              `json:"size"` // bytes
	SectorSize int64              `json:"sectorSize"`
	State      string             `json:"state"` // "never booted" or "has been booted"
	Partitions []PartitionReport  `json:"partitions"`
	Entries    []EntryReport      `json:"entries"`
	BootRecord *bootrecord.Record `json:"bootRecord,omitempty"` // missing where it cannot be read: see Damage
	Damage     []string           `json:"damage,omitempty"`     // of one copy of the partition table, or of the boot record
}

// PartitionReport is a partition.
type PartitionReport struct {
	Number int    `json:"number"`
	Label  string `json:"label"`
	Kind   string `json:"kind"`
	Type   string `json:"type"`
	ID     string `json:"id"`
	Offset int64  `json:"offset"` // bytes
	Size   int64  `json:"size"`   // bytes
}

// EntryReport is a boot entry, with what it leads to.
type EntryReport struct {
	Path     string          `json:"path"`
	Version  string          `json:"version,omitempty"`
	Tries    string          `json:"tries,omitempty"` // boot counter
	Kernel   string          `json:"kernel,omitempty"`
	Cmdline  string          `json:"cmdline,omitempty"`
	RootHash string          `json:"rootHash,omitempty"`
	Slot     string          `json:"slot,omitempty"`
	Signers  []string        `json:"signers,omitempty"` // common names, not checked
	Images   []release.Input `json:"images,omitempty"`
	Contents string          `json:"contents,omitempty"` // what the bill of materials counts
	Error    string          `json:"error,omitempty"`
}

// Inspect tells what is on a disk. Faults in single entries stand in the report.
func (d *Disk) Inspect() *Report {
	r := &Report{DiskID: d.Table.DiskID.String(), Size: d.Size, SectorSize: d.Table.SectorSize, Damage: d.Table.Damage, State: "has been booted"}
	if d.Pristine() {
		r.State = "never booted"
	}
	for i, p := range d.Table.Partitions {
		if p.Used() {
			r.Partitions = append(r.Partitions, PartitionReport{
				Number: i + 1, Label: p.Name, Kind: kindOf(p.Type), Type: p.Type.String(), ID: p.ID.String(),
				Offset: p.Offset(d.Table.SectorSize), Size: p.Size(d.Table.SectorSize),
			})
		}
	}
	entries, err := d.Entries()
	for _, e := range entries {
		r.Entries = append(r.Entries, d.report(e))
	}
	if err != nil {
		r.Entries = append(r.Entries, EntryReport{Path: layout.ESPEntries, Error: err.Error()})
	}
	if r.BootRecord, err = d.BootRecord(); err != nil {
		r.Damage = append(r.Damage, err.Error())
	}
	return r
}

func (d *Disk) report(e Entry) EntryReport {
	r := EntryReport{Path: e.Path, Version: e.Version, Cmdline: e.Cmdline, RootHash: e.RootHash.String(), Tries: "good: no counter"}
	if e.Name.Counted {
		r.Tries = fmt.Sprintf("%d left, %d used", e.Name.Left, e.Name.Done)
	}
	if sections, err := uki.Parse(e.Data); err == nil {
		r.Kernel = sections.Uname
	}
	signers, err := authenticode.Signers(e.Data)
	if err == nil {
		for _, cert := range signers {
			r.Signers = append(r.Signers, cert.Subject.CommonName)
		}
	}
	slot, err := d.Slot(e.RootHash)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	r.Slot = "slot " + slot.Name
	info, _, err := slot.Info()
	if err != nil {
		r.Error = err.Error()
		return r
	}
	r.Images = info.Images
	if document, _, err := SlotSBOM(slot); err == nil {
		r.Contents = document.Summary()
	}
	return r
}

// kindOf names a partition type for a person.
func kindOf(kind gpt.GUID) string {
	for _, arch := range []layout.Arch{layout.AMD64, layout.ARM64} {
		for _, row := range arch.Partitions() {
			switch {
			case gpt.MustParseGUID(row.Type) != kind:
			case arch == layout.AMD64:
				return row.Kind
			default:
				return row.Kind + " (" + arch.Name + ")"
			}
		}
	}
	return "unknown"
}
