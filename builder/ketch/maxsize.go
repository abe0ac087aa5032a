package main

import (
	"github.com/spf13/pflag"

	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/internal/cli"
)

// maxSize declares the flag of every command that unpacks or writes what comes from
// outside.
func maxSize(f *pflag.FlagSet) *cli.Size {
	most := &cli.Size{Bytes: limit.Default}
	f.Var(most, "max-size", "give up on what becomes larger than `SIZE` when it is unpacked or written: 512M, 64G")
	return most
}
