package lastrun

import (
	"testing"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
)

func TestJudge(t *testing.T) {
	end := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	crash := func(after time.Duration) []pid1.Crash { return []pid1.Crash{{Reason: "oops", Time: end.Add(after)}} }
	for _, test := range []struct {
		name        string
		run, next   *pid1.Run
		end, reason string
	}{
		{"nothing", nil, nil, pid1.EndNone, "no run before this one has left a word"},
		{"off in order", &pid1.Run{Request: "power-off (asked by x)", Ended: &end}, &pid1.Run{}, pid1.EndClean, "power-off (asked by x)"},
		{"gave up", &pid1.Run{Request: "reboot", Fatal: "health gate: not good in time\nketchd", Ended: &end}, &pid1.Run{}, pid1.EndFatal, "health gate: not good in time"},
		{"gave up and hung on the way down", &pid1.Run{Request: "reboot", Fatal: "slot"}, &pid1.Run{}, pid1.EndFatal, "slot"},
		{"cut off", &pid1.Run{}, &pid1.Run{}, pid1.EndCut, "no last word: power loss, a reset, or a hang that the watchdog ended"},
		{"reset by the watchdog", &pid1.Run{}, &pid1.Run{WatchdogReset: true}, pid1.EndCut, "the watchdog has reset the machine"},
		{"cut off on the way down", &pid1.Run{Request: "reboot (asked by x)"}, &pid1.Run{}, pid1.EndCut, "reboot (asked by x) had begun; no last word: power loss, a reset, or a hang that the watchdog ended"},
		{"panic", &pid1.Run{}, &pid1.Run{Crashes: crash(-time.Hour)}, pid1.EndPanic, "oops"},
		{"panic before the first record", nil, &pid1.Run{Crashes: crash(0)}, pid1.EndPanic, "oops"},
		{"panic of a boot that left no record, after one that ended well", &pid1.Run{Request: "off", Ended: &end}, &pid1.Run{Crashes: crash(time.Minute)}, pid1.EndPanic, "oops"},
		{"a boot that failed before the first record, after one that ended well", &pid1.Run{Request: "off", Ended: &end}, &pid1.Run{Failure: &pid1.Failure{Version: "1.1", Time: end.Add(time.Minute), Words: "slot: gone"}}, pid1.EndFatal, "version 1.1, before /var was mounted: slot: gone"},
		{"a failure, and hung on the way down", &pid1.Run{Request: "reboot", Fatal: "gate", Started: end}, &pid1.Run{Failure: &pid1.Failure{Version: "1.1", Time: end.Add(time.Minute), Words: "gate"}}, pid1.EndFatal, "gate"},
		{"a failure in its own record", &pid1.Run{Request: "reboot", Fatal: "gate", Ended: &end}, &pid1.Run{Failure: &pid1.Failure{Version: "1.1", Time: end.Add(-time.Second), Words: "gate"}}, pid1.EndFatal, "gate"},
		{"a boot that ended well, after one that panicked", &pid1.Run{Request: "off", Ended: &end}, &pid1.Run{Crashes: crash(-time.Minute)}, pid1.EndClean, "off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Judge(test.run, test.next); got.End != test.end || got.Reason != test.reason {
				t.Errorf("Judge = %s (%s); want %s (%s)", got.End, got.Reason, test.end, test.reason)
			}
		})
	}
}
