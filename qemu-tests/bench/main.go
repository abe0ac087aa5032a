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
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *image, *definition, *out); err != nil {
		fmt.Fprintf(os.Stderr, "error: bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, image, definition, out string) error {
	results := Results{Date: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU()}
	for _, measure := range []struct {
		name string
		do   func(context.Context) ([]Figure, error)
	}{
		{"sizes", func(context.Context) ([]Figure, error) { return sizes(image) }},
		{"kernel", kernel},
		{"boot", func(ctx context.Context) ([]Figure, error) { return boot(ctx, image) }},
		{"memory", func(ctx context.Context) ([]Figure, error) { return memory(ctx, image) }},
		{"build", func(ctx context.Context) ([]Figure, error) { return build(ctx, definition) }},
		{"verity", verityThroughput},
		{"comparison", func(ctx context.Context) ([]Figure, error) { return compare(ctx, definition) }},
	} {
		fmt.Fprintf(os.Stderr, "bench: %s\n", measure.name)
		figures, err := measure.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", measure.name, err)
		}
		results.Figures = append(results.Figures, figures...)
	}
	if err := print(results); err != nil {
		return err
	}
	if out == "" {
		return nil
	}
	data, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(data, '\n'), 0o666)
}

func print(r Results) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "what\tmeasured\ttarget\thow (%s, %d CPUs)\n", r.Date.Format(time.DateOnly), r.CPUs)
	for _, f := range r.Figures {
		fmt.Fprintf(w, "%s\t%.2f %s\t%s\t%s\n", f.Name, f.Value, f.Unit, f.Target, f.How)
	}
	return w.Flush()
}
