// Package lastrun judges how the run before this one ended, from what PID 1 has
// kept of it. The rules are in docs/boot-record.md.
package lastrun

import (
	"fmt"
	"strings"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
)

// Judge tells how a run ended from its own record, which may be missing, and from
// what the one after it found. A dump, or a failure in the boot record, counts
// only when it is younger than that record. A run that ends before it can write
// anything leaves one beside an older record.
func Judge(run *pid1.Run, next *pid1.Run) *pid1.Previous {
	if next == nil {
		next = &pid1.Run{}
	}
	p := &pid1.Previous{Run: run, Crashes: next.Crashes}
	p.End, p.Reason = judge(run, next)
	return p
}

func judge(run, next *pid1.Run) (end, reason string) {
	if n := len(next.Crashes); n > 0 && (run == nil || run.Ended == nil || next.Crashes[n-1].Time.After(*run.Ended)) {
		return pid1.EndPanic, next.Crashes[n-1].Reason
	}
	if f := next.Failure; f != nil && (run == nil || f.Time.After(last(run)) && (run.Fatal == "" || run.Ended != nil)) {
		return pid1.EndFatal, fmt.Sprintf("version %s, before /var was mounted: %s", f.Version, f.Words)
	}
	switch {
	case run == nil:
		return pid1.EndNone, "no run before this one has left a word"
	case run.Fatal != "":
		line, _, _ := strings.Cut(run.Fatal, "\n")
		return pid1.EndFatal, line
	case run.Ended != nil:
		return pid1.EndClean, run.Request
	}
	var why []string
	if run.Request != "" {
		why = append(why, run.Request+" had begun")
	}
	if next.WatchdogReset {
		return pid1.EndCut, strings.Join(append(why, "the watchdog has reset the machine"), "; ")
	}
	return pid1.EndCut, strings.Join(append(why, "no last word: power loss, a reset, or a hang that the watchdog ended"), "; ")
}

// last is the latest moment that a run tells of.
func last(r *pid1.Run) time.Time {
	if r.Ended != nil {
		return *r.Ended
	}
	if r.Gate != nil && r.Gate.Time.After(r.Started) {
		return r.Gate.Time
	}
	return r.Started
}
