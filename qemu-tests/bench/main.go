// Command bench measures the figures that the README quotes: the time a machine
// takes to boot, the memory it uses, sizes, and the speed of the builder. It
// prints a table and, with -json, writes the same as JSON.
//
// Times of the guest are measured with QEMU counting instructions (icount): they
// depend on what was executed, not on how busy this computer is.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"text/tabwriter"
	"time"
)

// Figure is one measured value and what it should reach.
type Figure struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Target string  `json:"target,omitempty"`
	How    string  `json:"how"`
}

// Results are the figures of one run.
type Results struct {
	Date    time.Time `json:"date"`
	CPUs    int       `json:"cpus"`
	Figures []Figure  `json:"figures"`
}

func main() {
	image := flag.String("image", "out/qemu/disk.raw", "measure this image: `FILE`")
	definition := flag.String("definition", "images/qemu.yaml", "time the build of this definition: `FILE`")
	out := flag.String("json", "", "write the figures to `FILE`")
	only := flag.String("only", "", "measure this `GROUP` alone: sizes, kernel, boot, …")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, options{*image, *definition, *out, *only}); err != nil {
		fmt.Fprintf(os.Stderr, "error: bench: %v\n", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct{ image, definition, out, only string }

func run(ctx context.Context, o options) error {
	results := Results{Date: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU()}
	for _, measure := range []struct {
		name string
		do   func(context.Context) ([]Figure, error)
	}{
		{"sizes", func(context.Context) ([]Figure, error) { return sizes(o.image) }},
		{"kernel", kernel},
		{"boot", func(ctx context.Context) ([]Figure, error) { return boot(ctx, o.image) }},
		{"memory", func(ctx context.Context) ([]Figure, error) { return memoryFigures(ctx, o.image) }},
		{"ssh", func(ctx context.Context) ([]Figure, error) { return sshFigures(ctx, o.image) }},
		{"build", func(ctx context.Context) ([]Figure, error) { return build(ctx, o.definition) }},
		{"verity", verityThroughput},
		{"crowd", func(ctx context.Context) ([]Figure, error) { return crowd(ctx, o.definition) }},
		{"comparison", func(ctx context.Context) ([]Figure, error) { return compare(ctx, o.definition) }},
	} {
		if o.only != "" && o.only != measure.name {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", measure.name)
		figures, err := measure.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", measure.name, err)
		}
		results.Figures = append(results.Figures, figures...)
	}
	if results.Figures == nil {
		return fmt.Errorf("there is no group %q", o.only)
	}
	if err := print(results); err != nil {
		return err
	}
	if o.out == "" {
		return nil
	}
	data, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.out, append(data, '\n'), 0o666)
}

func print(r Results) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "what\tmeasured\ttarget\thow (%s, %d CPUs)\n", r.Date.Format(time.DateOnly), r.CPUs)
	for _, f := range r.Figures {
		fmt.Fprintf(w, "%s\t%.2f %s\t%s\t%s\n", f.Name, f.Value, f.Unit, f.Target, f.How)
	}
	return w.Flush()
}
