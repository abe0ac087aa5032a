package main

import (
	"fmt"
	"io"
	"strings"
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
	w := printable.NewTable(out)
	w.Row("ended", endings()[p.End])
	w.Row("reason", dash(p.Reason))
	if run := p.Run; run != nil {
		showRun(w, run)
	}
	for _, crash := range p.Crashes {
		w.Row("crash", fmt.Sprintf("%s at %s: %s", crash.Kind, when(crash.Time), dash(crash.Reason)))
		w.Row("", "all of it is in "+crash.Path)
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

func showRun(w *printable.Table, run *pid1.Run) {
	w.Row("version", run.Version)
	w.Row("root hash", run.RootHash)
	if run.Entry != "" {
		w.Row("entry", run.Entry)
	}
	w.Row("started", when(run.Started))
	if run.Ended != nil {
		w.Row("ended", when(*run.Ended)+", after "+duration(run.Ended.Sub(run.Started).Seconds()))
	}
	w.Row("boot", strings.Join(milestones(&run.Boot), ", "))
	for line := range strings.Lines(run.Fatal) {
		w.Row("fatal", strings.TrimSpace(line))
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
func showGate(w *printable.Table, gate []pid1.Check) {
	if len(gate) == 0 {
		return
	}
	w.Row()
	w.Row("HEALTH GATE", "PASSED", "REASON")
	for _, check := range gate {
		passed := "no"
		if check.Passed {
			passed = fmt.Sprintf("after %.1f s", check.After)
		}
		w.Row(check.Name, passed, dash(check.Reason))
	}
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// showLogs lists the logs.
func showLogs(out io.Writer, list *node.LogList) error {
	w := printable.NewTable(out)
	w.Row("LOG", "SIZE", "LAST WRITTEN")
	var sum int64
	for _, l := range list.Logs {
		sum += l.Bytes
		w.Row(l.Name, kib(l.Bytes), when(l.Modified))
	}
	w.Row()
	w.Row("all", kib(sum)+" of at most "+kib(list.Limit))
	return w.Flush()
}

func kib(bytes int64) string { return fmt.Sprintf("%.1f KiB", float64(bytes)/1024) }
