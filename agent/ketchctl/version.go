package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/ketch-os/ketch/internal/cli"
)

// version is that of the OS: ketchctl is a part of it.
func (m machine) version() (cli.Version, error) {
	v := cli.Built()
	text, err := os.ReadFile(m.info)
	if err != nil {
		return v, err
	}
	var info struct{ Version string }
	if err := json.Unmarshal(text, &info); err != nil {
		return v, fmt.Errorf("decode %s: %w", m.info, err)
	}
	v.Version = info.Version
	return v, nil
}
