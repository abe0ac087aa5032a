// Command espedit changes the boot entries of the machine it runs on, as an update
// does: espedit add DISK NAME FILE, espedit remove DISK ID.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/ketch-os/ketch/efi/entry"
	"github.com/ketch-os/ketch/update/slot"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "espedit:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 4 && args[0] == "add":
		name, err := entry.Parse(args[2])
		if err != nil {
			return err
		}
		data, err := os.ReadFile(args[3])
		if err != nil {
			return err
		}
		return slot.ESP{Disk: args[1]}.Add(name, bytes.NewReader(data), sha256.Sum256(data))
	case len(args) == 3 && args[0] == "remove":
		return slot.ESP{Disk: args[1]}.Remove(args[2])
	}
	return fmt.Errorf("unknown arguments %q", args)
}
