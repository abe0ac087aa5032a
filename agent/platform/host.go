package platform

import (
	"os"
	"time"

	"github.com/ketch-os/ketch/agent/fetch"
	"github.com/ketch-os/ketch/linux/cmdline"
)

// Here is the machine that this process runs on, from an image that was made for a
// platform.
func Here(image string) (*Host, error) {
	line, err := cmdline.Read()
	if err != nil {
		return nil, err
	}
	sys := os.DirFS("/sys")
	volumes := &Volumes{Sys: sys, Open: openDevice, OpenFAT: mountFAT}
	return &Host{Sys: sys, Cmdline: line, Image: image, Client: &fetch.Client{}, Now: time.Now, Volume: volumes.Find}, nil
}
