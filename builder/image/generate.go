package image

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Info is usr/share/ketch/image.json: what the image is made of. It lies under
// the root hash, so it can be trusted where the root hash is.
type Info struct {
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Released time.Time `json:"released"`
	Platform string    `json:"platform,omitempty"`
	Kernel   Kernel    `json:"kernel"`
	Images   []Input   `json:"images"`
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

func (i *Info) encode() ([]byte, error) {
	data, err := json.MarshalIndent(i, "", "  ")
	return append(data, '\n'), err
}

func decodeInfo(data []byte) (*Info, error) {
	var info Info
	if err := json.Unmarshal(data, &info); err != nil {
		return nil, fmt.Errorf("image.json: %w", err)
	}
	return &info, nil
}

// osRelease is /usr/lib/os-release (os-release(5)); it is also the UKI's .osrel
// section, from which the boot loader takes title and version.
func (d *Definition) osRelease() string {
	var b strings.Builder
	for _, field := range [][2]string{
		{"NAME", d.Name},
		{"ID", "ketch"},
		{"VERSION_ID", d.Version},
		{"IMAGE_ID", "ketch"},
		{"IMAGE_VERSION", d.Version},
		{"PRETTY_NAME", d.Name + " " + d.Version},
		{"VARIANT_ID", d.Platform},
	} {
		if field[1] != "" {
			fmt.Fprintf(&b, "%s=\"%s\"\n", field[0], field[1])
		}
	}
	return b.String()
}

// loaderConf is loader/loader.conf of systemd-boot. It has no default entry: one
// would win over boot counting.
func (d *Definition) loaderConf() []byte {
	return []byte("timeout 0\neditor no\nauto-entries no\nauto-firmware no\nsecure-boot-enroll " + d.Enroll + "\n")
}
