package main

import (
	"fmt"
	"os"

	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/update/release"
)

// version is that of the OS: ketchctl is a part of it.
func (m machine) version() (cli.Version, error) {
	v := cli.Built()
	text, err := os.ReadFile(m.info)
	if err != nil {
		return v, err
	}
	info, err := release.DecodeInfo(text)
	if err != nil {
		return v, fmt.Errorf("%s: %w", m.info, err)
	}
	v.Version = info.Version
	return v, nil
}
