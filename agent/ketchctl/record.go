package main

import (
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/printable"
)

// showRecord prints what the machine remembers of its boots.
func showRecord(w *printable.Table, r *pid1.Record) {
	if r == nil {
		return
	}
	w.Row("booted", r.Why)
	w.Row()
	w.Row("BOOT RECORD", "STATE", "STARTS", "GOOD", "SINCE GOOD", "LAST GOOD", "LAST FAILURE")
	for _, v := range r.Versions {
		w.Row(v.Version, recordedState(v), v.Starts, v.Goods, v.Attempts, dash(v.GoodAt), dash(v.Words))
	}
}

// recordedState sums up what a version is worth.
func recordedState(v pid1.RecordedVersion) string {
	switch {
	case v.Running && v.Attempts == 0:
		return "running, good"
	case v.Running:
		return "running"
	case v.Revoked:
		return "revoked, gives way to another"
	case v.Failed:
		return "failed, not booted by itself"
	case v.LastGood:
		return "last good"
	case v.Goods > 0:
		return "was good"
	}
	return "on trial"
}
