package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/printable"
)

// shownWords is how many lines of the last words a person is shown.
const shownWords = 60

// endings say how a run ended.
func endings() map[string]string {
	return map[string]string{
		pid1.EndClean: "in order",
		pid1.EndFatal: "PID 1 gave up on it, and went down in order",
		pid1.EndPanic: "in a crash",
		pid1.EndCut:   "cut off",
		pid1.EndNone:  "there was none",
	}
}

// showPrevious tells a person how the run before this one ended.
func showPrevious(out io.Writer, p *pid1.Previous) error {
	w := tabwriter.NewWriter(printable.NewWriter(out), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "ended\t%s\n", endings()[p.End])
	fmt.Fprintf(w, "reason\t%s\n", dash(p.Reason))
	if run := p.Run; run != nil {
		showRun(w, run)
	}
	for _, crash := range p.Crashes {
		fmt.Fprintf(w, "crash\t%s at %s: %s\n\tall of it is in %s\n", crash.Kind, when(crash.Time), dash(crash.Reason), crash.Path)
	}
	if p.Run != nil && p.Run.Gate != nil {
		showGate(w, p.Run.Gate.Checks)
	}
	if err := w.Flush(); err != nil || p.LastWords == "" {
		return err
	}
	lines := strings.SplitAfter(strings.TrimRight(p.LastWords, "\n"), "\n")
	_, err := fmt.Fprintf(out, "\nLAST WORDS\n%s\n", printable.Lines(strings.Join(lines[max(0, len(lines)-shownWords):], "")))
	return err
}

func showRun(w io.Writer, run *pid1.Run) {
	fmt.Fprintf(w, "version\t%s\n", run.Version)
	fmt.Fprintf(w, "root hash\t%s\n", run.RootHash)
	if run.Entry != "" {
		fmt.Fprintf(w, "entry\t%s\n", run.Entry)
	}
	fmt.Fprintf(w, "started\t%s\n", when(run.Started))
	if run.Ended != nil {
		fmt.Fprintf(w, "ended\t%s, after %s\n", when(*run.Ended), duration(run.Ended.Sub(run.Started).Seconds()))
	}
	fmt.Fprintf(w, "boot\t%s\n", strings.Join(milestones(&run.Boot), ", "))
	for line := range strings.Lines(run.Fatal) {
		fmt.Fprintf(w, "fatal\t%s\n", strings.TrimSpace(line))
	}
}

// milestones are how far a boot came.
func milestones(boot *pid1.Boot) []string {
	var parts []string
	if boot.ReadyUsec > 0 {
		parts = append(parts, fmt.Sprintf("runtime-ready after %.1f s", float64(boot.ReadyUsec)/1e6))
	}
	if boot.GoodUsec > 0 {
		return append(parts, fmt.Sprintf("good after %.1f s", float64(boot.GoodUsec)/1e6))
	}
	return append(parts, "not good")
}

// showGate prints the checks of a boot, this one or the last.
func showGate(w io.Writer, gate []pid1.Check) {
	if len(gate) == 0 {
		return
	}
	fmt.Fprintf(w, "\nHEALTH GATE\tPASSED\tREASON\n")
	for _, check := range gate {
		passed := "no"
		if check.Passed {
			passed = fmt.Sprintf("after %.1f s", check.After)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", check.Name, passed, dash(check.Reason))
	}
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// showLogs lists the logs.
func showLogs(out io.Writer, list *node.LogList) error {
	w := tabwriter.NewWriter(printable.NewWriter(out), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "LOG\tSIZE\tLAST WRITTEN\n")
	var sum int64
	for _, l := range list.Logs {
		sum += l.Bytes
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Name, kib(l.Bytes), when(l.Modified))
	}
	fmt.Fprintf(w, "\nall\t%s of at most %s\n", kib(sum), kib(list.Limit))
	return w.Flush()
}

func kib(bytes int64) string { return fmt.Sprintf("%.1f KiB", float64(bytes)/1024) }
