package pid1

import (
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	end := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	crash := func(after time.Duration) []Crash { return []Crash{{Reason: "oops", Time: end.Add(after)}} }
	for _, test := range []struct {
		name        string
		run, next   *Run
		end, reason string
	}{
		{"nothing", nil, nil, EndNone, "no run before this one has left a word"},
		{"off in order", &Run{Order: "power-off (asked by x)", Ended: &end}, &Run{}, EndClean, "power-off (asked by x)"},
		{"gave up", &Run{Order: "reboot", Fatal: "health gate: not good in time\nketchd", Ended: &end}, &Run{}, EndFatal, "health gate: not good in time"},
		{"gave up and hung on the way down", &Run{Order: "reboot", Fatal: "slot"}, &Run{}, EndFatal, "slot"},
		{"cut off", &Run{}, &Run{}, EndCut, "no last word: power loss, a reset, or a hang that the watchdog ended"},
		{"reset by the watchdog", &Run{}, &Run{WatchdogReset: true}, EndCut, "the watchdog has reset the machine"},
		{"cut off on the way down", &Run{Order: "reboot (asked by x)"}, &Run{}, EndCut, "reboot (asked by x) had begun; no last word: power loss, a reset, or a hang that the watchdog ended"},
		{"panic", &Run{}, &Run{Crashes: crash(-time.Hour)}, EndPanic, "oops"},
		{"panic before the first record", nil, &Run{Crashes: crash(0)}, EndPanic, "oops"},
		{"panic of a boot that left no record, after one that ended well", &Run{Order: "off", Ended: &end}, &Run{Crashes: crash(time.Minute)}, EndPanic, "oops"},
		{"a boot that failed before the first record, after one that ended well", &Run{Order: "off", Ended: &end}, &Run{Failure: &Failure{"1.1", end.Add(time.Minute), "slot: gone"}}, EndFatal, "version 1.1, before /var was mounted: slot: gone"},
		{"a failure, and hung on the way down", &Run{Order: "reboot", Fatal: "gate", Started: end}, &Run{Failure: &Failure{"1.1", end.Add(time.Minute), "gate"}}, EndFatal, "gate"},
		{"a failure in its own record", &Run{Order: "reboot", Fatal: "gate", Ended: &end}, &Run{Failure: &Failure{"1.1", end.Add(-time.Second), "gate"}}, EndFatal, "gate"},
		{"a boot that ended well, after one that panicked", &Run{Order: "off", Ended: &end}, &Run{Crashes: crash(-time.Minute)}, EndClean, "off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Judge(test.run, test.next); got.End != test.end || got.Reason != test.reason {
				t.Errorf("Judge = %s (%s); want %s (%s)", got.End, got.Reason, test.end, test.reason)
			}
		})
	}
}
