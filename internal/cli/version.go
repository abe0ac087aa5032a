package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Version is what a program was built from, and what it runs on.
type Version struct {
	Version string `json:"version"`           // of the program's module; "(devel)" out of a checkout without one
	Commit  string `json:"commit,omitempty"`  // missing where the build did not record it
	Changed bool   `json:"changed,omitempty"` // the checkout had changes besides that commit
	Go      string `json:"go"`                // "go1.26.6"
	Machine string `json:"machine"`           // "linux/amd64"
	Kernel  string `json:"kernel"`            // that runs now: uname -r
	OS      bool   `json:"-"`                 // the program is of an OS, and Kernel is of the same
}

// Built is the version of this program.
func Built() Version {
	v := Version{Version: "(devel)", Go: runtime.Version(), Machine: runtime.GOOS + "/" + runtime.GOARCH, Kernel: kernel()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Changed = s.Value == "true"
		}
	}
	return v
}

func kernel() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// Print writes a version for a person.
func (v Version) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "version\t%s\n", v.Version)
	commit := v.Commit
	switch {
	case commit == "":
		commit = "not recorded"
	case v.Changed:
		commit += ", and changes"
	}
	whose := "host kernel"
	if v.OS {
		whose = "kernel"
	}
	fmt.Fprintf(w, "commit\t%s\ngo\t%s %s\n%s\t%s\n", commit, v.Go, v.Machine, whose, v.Kernel)
	return w.Flush()
}

// versionCommand tells the version that about returns.
func versionCommand(about func() (Version, error)) *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Show the version, the commit, Go's and the kernel's version", Args: None}
	asJSON := cmd.Flags().Bool("json", false, "print it as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, err := about()
		if err != nil {
			return err
		}
		if *asJSON {
			return JSON(cmd.OutOrStdout(), v)
		}
		return v.Print(cmd.OutOrStdout())
	}
	return cmd
}
