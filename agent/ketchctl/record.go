package main

import (
	"fmt"
	"io"

	"github.com/ketch-os/ketch/api/pid1"
)

// showRecord prints what the machine remembers of its boots.
func showRecord(w io.Writer, r *pid1.Record) {
	if r == nil {
		return
	}
	fmt.Fprintf(w, "booted\t%s\n", r.Why)
	fmt.Fprintf(w, "\nBOOT RECORD\tSTATE\tSTARTS\tGOOD\tSINCE GOOD\tLAST GOOD\tLAST FAILURE\n")
	for _, v := range r.Versions {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\n", v.Version, recordedState(v), v.Starts, v.Goods, v.Attempts, dash(v.GoodAt), dash(v.Words))
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
