package main

import (
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/update/release"
)

// version is that of the OS: ketchctl is a part of it.
func (m machine) version() (cli.Version, error) {
	v := cli.Built()
	info, _, err := release.ReadInfo(m.usr)
	if err != nil {
		return v, err
	}
	v.Version, v.OS = info.Version, true
	return v, nil
}
