package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func composeCommand() *cobra.Command {
	return cli.Parent(&cobra.Command{Use: "compose", Short: "Check the Compose files of workloads"}, composeCheckCommand())
}

func composeCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Check a Compose file against what the machine supports",
		Args: cli.One("a Compose file"),
		Long: `
Reads the file as ketchd on the machine does. Each fault has its line.
The images are not looked at: ketch build does that. The exit status is 1 when
something is wrong.

  ketch compose check compose.yaml`,
	}
	asJSON := cmd.Flags().Bool("json", false, "print the result as JSON")
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		w, fault := image.CheckCompose(args[0])
		if *asJSON {
			if err := cli.JSON(e.stdout, newCheckedCompose(args[0], w, fault)); err != nil {
				return err
			}
		}
		if fault != nil {
			showFaults(e.stderr, fault)
			return cli.Status(1)
		}
		if *asJSON {
			return nil
		}
		for _, s := range w.Services {
			printable.Fprintf(e.stdout, "%s: runs %s\n", s.Name, s.Image)
		}
		return nil
	})
	return cmd
}

// showFaults prints a line for each fault, and how it is cured where that is known.
func showFaults(w io.Writer, err error) {
	all := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		all = several.Unwrap()
	}
	for _, fault := range all {
		printable.Fprintln(w, fault)
		if cure := hint.Of(fault); cure != "" {
			printable.Fprintln(w, printable.Ours(cli.Paint(w, cli.Bold, "hint:")), cure)
		}
	}
}

// checkedCompose is what ketch compose check prints as JSON.
type checkedCompose struct {
	Path     string           `json:"path"`
	Passed   bool             `json:"passed"`
	Services []composeService `json:"services"`
	Error    string           `json:"error,omitempty"` // a line for each fault
}

type composeService struct {
	Name  string `json:"name"`
	Image string `json:"image"`
}

func newCheckedCompose(path string, w *image.Workload, err error) checkedCompose {
	c := checkedCompose{Path: path, Passed: err == nil, Services: []composeService{}}
	if err != nil {
		c.Error = err.Error()
		return c
	}
	for _, s := range w.Services {
		c.Services = append(c.Services, composeService{s.Name, s.Image})
	}
	return c
}
