package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	File     string        `json:"file"`
	Platform string        `json:"platform"`
	Format   string        `json:"format"`
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
	report := checkReport{path, p.Name, a.Format, p.Check(a), p.NotesOn(a)}
	if o.json {
		if err := cli.JSON(e.stdout, report); err != nil {
			return err
		}
	} else {
		report.print(e)
	}
	if err := report.err(); err != nil || o.nextSteps == "" {
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
	for _, c := range r.Checks {
		printable.Fprintln(e.stdout, verdict(e.stdout, c))
	}
	for _, note := range r.Notes {
		printable.Fprintf(e.stdout, "note %s\n", note)
	}
}

// err is the first rule that is broken, and how many more are.
func (r checkReport) err() error {
	var broken []error
	for _, c := range r.Checks {
		if c.Err != nil {
			broken = append(broken, fmt.Errorf("%s: %w", c.Name, c.Err))
		}
	}
	switch len(broken) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s for %s: %w", r.File, r.Platform, broken[0])
	}
	return fmt.Errorf("%s for %s: %w (and %d more)", r.File, r.Platform, broken[0], len(broken)-1)
}
