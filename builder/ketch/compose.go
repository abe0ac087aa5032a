package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

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
Reads the file as ketchd on the machine does. Each fault has its line. The images
are not looked at: ketch build does that.

  ketch compose check compose.yaml`,
	}
	asJSON := cmd.Flags().Bool("json", false, "print the result as JSON")
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		w, err := image.CheckCompose(args[0])
		if *asJSON {
			return errors.Join(cli.JSON(e.stdout, newCheckedCompose(args[0], w, err)), err)
		}
		if err != nil {
			return err
		}
		for _, s := range w.Services {
			printable.Fprintf(e.stdout, "%s: runs %s\n", s.Name, s.Image)
		}
		return nil
	})
	return cmd
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
