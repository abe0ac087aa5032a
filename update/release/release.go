// Package release is what a version of the OS is, for those who make one, install
// one and start one: the names that its root hash gives to its partitions, what a
// slot of a disk holds, and what a version says of itself in image.json.
//
// It is pure: no clock, no kernel, and the disk is an io.ReaderAt. The root hash
// itself is a matter of dm-verity: verity.RootHash.
package release

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/layout"
)

// SlotIDs are the unique GUIDs of the two partitions of a slot that holds a
// version: the two halves of its root hash (UAPI.2), so that usrhash= alone leads
// to both.
func SlotIDs(root verity.RootHash) (usr, hash gpt.GUID) {
	return gpt.UUID([16]byte(root[:16])), gpt.UUID([16]byte(root[16:]))
}

// Place gives a slot's partitions the names and identifiers of a version.
func Place(t *gpt.Table, slot layout.Slot, version string, root verity.RootHash) {
	usr, hash := &t.Partitions[slot.Usr-1], &t.Partitions[slot.Verity-1]
	usr.Name, hash.Name = layout.SlotLabel(version), layout.VerityLabel(version)
	usr.ID, hash.ID = SlotIDs(root)
}

// Info is usr/share/ketch/image.json: what an image is made of. It lies under
// the root hash, so it can be trusted where the root hash is.
type Info struct {
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Released time.Time `json:"released"`
	Platform string    `json:"platform,omitempty"`
	Kernel   Kernel    `json:"kernel"`
	Images   []Input   `json:"images"`
	// Workloads are the container images that the machine runs.
	Workloads []Input `json:"workloads,omitempty"`
	// ESP has the SHA-256 of every file on the ESP that carries no signature.
	ESP map[string]string `json:"esp"`
}

// Kernel tells where the kernel comes from.
type Kernel struct {
	Release string `json:"release"` // uname -r
	Source  string `json:"source"`  // source package and version
}

// Input is one container image that went in.
type Input struct {
	Ref    string   `json:"ref"`
	Digest string   `json:"digest"` // of the manifest
	Layers []string `json:"layers"` // diffIDs, bottom up
}

// Encode returns the bytes of image.json.
func (i *Info) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(i, "", "  ")
	return append(data, '\n'), err
}

// DecodeInfo reads image.json. Fields that a later version may add are no error.
func DecodeInfo(data []byte) (*Info, error) {
	var info Info
	if err := json.Unmarshal(data, &info); err != nil {
		return nil, fmt.Errorf("decode image.json: %w", err)
	}
	return &info, nil
}
