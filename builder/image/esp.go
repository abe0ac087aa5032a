package image

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/ketch-os/ketch/disk/fat"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/layout"
)

// espOptions are the ESP's file system as the builder makes it, in the disk's sectors.
func espOptions(root verity.RootHash, sectorSize int64, released time.Time, files []fat.File) fat.Options {
	serial := derive(root, "ESP serial")
	return fat.Options{
		Size: layout.SizeESP, SectorSize: sectorSize, Label: layout.LabelESP,
		Serial: binary.LittleEndian.Uint32(serial[:]), Time: released, Files: files,
	}
}

// firstEntry is the name of a version's boot entry before its first boot.
func firstEntry(version string) entry.Name {
	return entry.Name{ID: layout.EntryID(version), Counted: true, Left: layout.Tries}
}

// sortedESP lists the names of unsigned files in the order they are written in.
func sortedESP[V any](files map[string]V) []string { return slices.Sorted(maps.Keys(files)) }

func fatFile(name string, data []byte) fat.File { return fat.File{Path: name, Data: data} }
