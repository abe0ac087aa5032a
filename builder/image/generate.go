package image

import (
	"fmt"
	"strings"
)

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
