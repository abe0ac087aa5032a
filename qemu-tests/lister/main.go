// Command lister prints the manifest of a directory as the kernel of the machine
// shows it, in JSON: lister DIRECTORY.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ketch-os/ketch/disk/erofs/manifest"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lister:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("want one directory")
	}
	entries, err := manifest.OfDirectory(args[0])
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(entries)
}
