package main

import (
	"strings"
	"testing"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/printable"
)

func TestShowRecord(t *testing.T) {
	var out strings.Builder
	w := printable.NewTable(&out)
	showRecord(w, nil) // no boot record
	if w.Flush(); out.Len() != 0 {
		t.Errorf("showRecord(nil) = %q; want nothing", &out)
	}
	showRecord(w, &pid1.Record{Why: "the only one", Versions: []pid1.RecordedVersion{
		{Version: "1.0", Running: true, Starts: 4, Goods: 4, GoodAt: "2026-11-22T10:00:00Z", LastGood: true},
		{Version: "2.0", Failed: true, Starts: 3, Attempts: 3, Words: "slot: gone"},
	}})
	w.Flush()
	for _, want := range []string{
		"booted  the only one\n",
		"1.0          running, good                 4       4     0           2026-11-22T10:00:00Z  -\n",
		"2.0          failed, not booted by itself  3       0     3           -                     slot: gone\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("showRecord prints\n%s\nwant a line %q", &out, want)
		}
	}
}

func TestRecordedState(t *testing.T) {
	for want, v := range map[string]pid1.RecordedVersion{
		"running": {Running: true, Attempts: 1}, "running, good": {Running: true}, "on trial": {Attempts: 1},
		"revoked, gives way to another": {Goods: 1, Failed: true, Revoked: true},
		"was good":                      {Goods: 1}, "last good": {Goods: 1, LastGood: true}, "failed, not booted by itself": {Goods: 1, LastGood: true, Failed: true},
	} {
		if got := recordedState(v); got != want {
			t.Errorf("recordedState(%+v) = %q; want %q", v, got, want)
		}
	}
}
