package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/ketch-os/ketch/agent/memory"
	"github.com/ketch-os/ketch/api/node"
)

// memory shows where memory goes. It asks the kernel, not ketchd.
func (c command) memory(args []string) error {
	flags := flag.NewFlagSet("memory", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	if _, err := c.parse(flags, args, 0); err != nil {
		return c.misuse(err)
	}
	table, err := memory.Read(os.DirFS("/proc"))
	if errors.Is(err, fs.ErrPermission) {
		return &node.Error{Message: err.Error(), Hint: "be root: the kernel shows this to nobody else"}
	}
	return print(c, *asJSON, showMemory)(table, err)
}

func showMemory(out io.Writer, t *memory.Table) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%8s  %s\n", "MiB", "WHERE")
	for _, row := range t.Rows {
		fmt.Fprintf(&text, "%8s  %s\n", mib(row.KiB), row.Name)
	}
	fmt.Fprintf(&text, "%8s  in use, of %s\n", mib(t.UsedKiB), mib(t.GivenKiB))
	fmt.Fprintf(&text, "\n%8s  %8s  %7s  %s\n", "OWN MiB", "OF FILES", "PID", "PROCESS")
	for _, p := range t.Processes {
		fmt.Fprintf(&text, "%8s  %8s  %7d  %s\n", mib(p.AnonKiB), mib(p.FileKiB), p.PID, p.Name)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func mib(kib int64) string { return fmt.Sprintf("%.1f", float64(kib)/1024) }
