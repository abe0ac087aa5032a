package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/output"
	"github.com/ketch-os/ketch/builder/platform"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check IMAGE --platform P", Short: "Check that a platform will take an image",
		Args: cli.One("an image"),
		Long: `
Holds a file against everything that the platform asks of it: the container
around the disk, the disk's size and partition table, the kernel parameters in
the signed kernel image, and what has to stand beside the file. The image may
be raw or as ketch convert writes it. docs/platforms.md lists the rules.

  ketch check out/gce/disk.raw.tar.gz --platform gce
  ketch check out/gce/disk.raw.tar.gz --platform gce --next-steps out/gce/next-steps.md

A line for each rule; exit status 1 when one of them is broken. Notes tell what
a file cannot show.`,
	}
	f := cmd.Flags()
	var o checkOptions
	f.StringVar(&o.platform, "platform", "", "the `PLATFORM`: qemu, ec2, gce, openstack, rackspace, onmetal or metal")
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions(platform.Names(), cobra.ShellCompDirectiveNoFileComp))
	f.StringArrayVar(&o.certs, "cert", nil, "trust signatures beside the file by this certificate: PEM `FILE` (repeatable; default keys/db.crt)")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	f.StringVar(&o.nextSteps, "next-steps", "", "where no rule is broken, write to `FILE` how the image gets to the platform: the commands of its own client")
	o.maxSize = maxSize(f)
	cmd.RunE = do(func(_ context.Context, e *env, args []string) error {
		return o.check(e, args[0])
	})
	return cmd
}

type checkOptions struct {
	platform string
	certs    []string
	json     bool

	nextSteps string
	maxSize   *cli.Size
}

// checkReport is what ketch check prints as JSON.
type checkReport struct {
	Path     string        `json:"path"`
	Platform string        `json:"platform"`
	Format   string        `json:"format"`
	Passed   bool          `json:"passed"`
	Checks   []image.Check `json:"checks"`
	Notes    []string      `json:"notes,omitempty"`
}

func (o *checkOptions) check(e *env, path string) error {
	p, err := platform.Find(o.platform)
	if err != nil {
		return cli.Usage(err)
	}
	if o.nextSteps != "" {
		if err := output.Check(o.nextSteps); err != nil {
			return err
		}
	}
	a, err := platform.Open(path, o.maxSize.Bytes)
	if err != nil {
		return err
	}
	defer a.Close()
	if a.Certs, err = o.readCerts(); err != nil {
		return err
	}
	checks := p.Check(a)
	report := checkReport{path, p.Name, a.Format, passed(checks), checks, p.NotesOn(a)}
	if o.json {
		if err := cli.JSON(e.stdout, report); err != nil {
			return err
		}
	} else {
		report.print(e)
	}
	if err := faultOf(path+" for "+p.Name, checks); err != nil || o.nextSteps == "" {
		return err
	}
	return writeNextSteps(o.nextSteps, p, a)
}

// writeNextSteps writes the page of what to do with an artefact.
func writeNextSteps(path string, p *platform.Platform, a *platform.Artefact) error {
	var page bytes.Buffer
	if err := p.NextSteps(&page, a); err != nil {
		return err
	}
	return output.WriteFile(path, page.Bytes())
}

// readCerts reads the certificates that were named. The default one may be
// missing: most platforms want no signature.
func (o *checkOptions) readCerts() (certs []*x509.Certificate, err error) {
	names, byDefault := o.certs, len(o.certs) == 0
	if byDefault {
		names = []string{"keys/db.crt"}
	}
	for _, name := range names {
		cert, err := readCert(name)
		if byDefault && errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

// passed tells that none of some checks has found a fault. What was left out is none.
func passed(checks []image.Check) bool {
	return !slices.ContainsFunc(checks, func(c image.Check) bool { return c.Err != nil })
}

// verdict is the line of a check; its first word has a colour on a terminal.
func verdict(w io.Writer, c image.Check) printable.Ours {
	colour := cli.Green
	switch {
	case c.Err != nil:
		colour = cli.Red
	case c.LeftOut != "":
		colour = cli.Yellow
	}
	word, rest, _ := strings.Cut(c.Line(), " ")
	return printable.Ours(cli.Paint(w, colour, word) + " " + printable.Text(rest))
}

func (r checkReport) print(e *env) {
	printChecks(e, r.Checks)
	for _, note := range r.Notes {
		printable.Fprintf(e.stdout, "note %s\n", note)
	}
}

func printChecks(e *env, checks []image.Check) {
	for _, c := range checks {
		printable.Fprintln(e.stdout, verdict(e.stdout, c))
	}
}

// faultOf is the first fault that some checks of a thing have found, and how many more
// there are.
func faultOf(what string, checks []image.Check) error {
	var first error
	more := -1
	for _, c := range checks {
		if c.Err == nil {
			continue
		}
		if more++; more == 0 {
			first = fmt.Errorf("%s: %s: %w", what, c.Name, c.Err)
		}
	}
	if more > 0 {
		return fmt.Errorf("%w (and %d more)", first, more)
	}
	return first
}
