package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/printable"
)

// chart draws a timeline: a line for each step, with its bar in what is left of
// the width.
type chart struct {
	boot    *pid1.Boot
	width   int
	ascii   bool // draw with ASCII alone
	virtual bool // the machine is a virtual one
}

// The columns of a line: stage, step, start, duration, mark, bar.
const (
	stageWidth = 9
	nameWidth  = 20
	timeWidth  = 8
	minBar     = 10
	// longShare: a step that takes this part of the boot, in per cent, stands out.
	longShare = 10
)

// bar is one line of the chart. Times are microseconds since the kernel started.
type bar struct {
	stage, name string
	start, took int64
	fault       string
	untold      string // why there are no times
}

// String is the chart and what it sums up to.
func (c chart) String() string {
	bars := c.bars()
	var first, last int64
	for _, b := range bars {
		first, last = min(first, b.start), max(last, b.start+b.took)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%-*s %-*s %*s %*s\n", stageWidth, "STAGE", nameWidth, "STEP", timeWidth, "START", timeWidth, "TOOK")
	for _, b := range bars {
		text.WriteString(c.line(b, first, last))
	}
	text.WriteString("\n" + c.summary(bars, last-first))
	return text.String()
}

// bars lists firmware, boot loader and kernel before the steps that were recorded.
func (c chart) bars() []bar {
	b := c.boot
	untold := ""
	if b.FirmwareUsec == 0 && b.LoaderUsec == 0 {
		untold = "not told by the boot loader"
		if c.virtual {
			untold += ": it keeps no time in a virtual machine"
		}
	}
	list := []bar{
		{stage: "firmware", start: -b.FirmwareUsec - b.LoaderUsec, took: b.FirmwareUsec, untold: untold},
		{stage: "loader", start: -b.LoaderUsec, took: b.LoaderUsec, untold: untold},
		{stage: "kernel", took: b.PID1Usec},
	}
	for _, s := range b.Steps {
		list = append(list, bar{stage: s.Stage, name: s.Name, start: s.StartUsec, took: s.TookUsec, fault: s.Error})
	}
	return list
}

func (c chart) line(b bar, first, last int64) string {
	if b.untold != "" {
		return fmt.Sprintf("%-*s %s\n", stageWidth, b.stage, b.untold)
	}
	line := fmt.Sprintf("%-*s %s %*s %*s %s", stageWidth, printable.Text(b.stage), fit(printable.Text(b.name), nameWidth),
		timeWidth, seconds(b.start), timeWidth, seconds(b.took), mark(b, last-first))
	room := max(minBar, c.width-utf8.RuneCountInString(line)-1)
	line += " " + c.stroke(b, first, last, room)
	line = strings.TrimRight(line, " ") + "\n"
	if b.fault != "" {
		line += fmt.Sprintf("%-*s ! %s\n", stageWidth, "", printable.Text(b.fault))
	}
	return line
}

// stroke draws one bar on a line of room columns. What is shorter than a column
// is a thin one.
func (c chart) stroke(b bar, first, last int64, room int) string {
	full, thin := "█", "▏"
	if c.ascii {
		full, thin = "#", "|"
	}
	span := max(last-first, 1)
	from := min(int((b.start-first)*int64(room)/span), room-1)
	to := min(int((b.start+b.took-first)*int64(room)/span), room)
	if to <= from {
		return strings.Repeat(" ", from) + thin
	}
	return strings.Repeat(" ", from) + strings.Repeat(full, to-from)
}

// mark makes a step stand out: "!" for one that failed, "*" for a long one.
func mark(b bar, span int64) string {
	switch {
	case b.fault != "":
		return "!"
	case long(b, span):
		return "*"
	}
	return " "
}

func long(b bar, span int64) bool { return b.took*100 >= span*longShare && span > 0 }

// summary says what the marks mean, where there are any, and how far the boot came.
func (c chart) summary(bars []bar, span int64) string {
	var failed, slow bool
	for _, b := range bars {
		failed = failed || b.fault != ""
		slow = slow || b.fault == "" && long(b, span)
	}
	text := ""
	if failed {
		text += "! failed; the boot went on, or ended there\n"
	}
	if slow {
		text += fmt.Sprintf("* took %d %% of the boot or more\n", longShare)
	}
	return text + strings.Join(milestones(c.boot), ", ") + "\n"
}

// seconds is a number of microseconds in at most timeWidth columns.
func seconds(usec int64) string {
	if usec > -10_000 && usec < 10_000 {
		return fmt.Sprintf("%.1f ms", float64(usec)/1e3)
	}
	if usec > -1e6 && usec < 1e6 {
		return fmt.Sprintf("%d ms", usec/1000)
	}
	return fmt.Sprintf("%.2f s", float64(usec)/1e6)
}

// fit makes text exactly n columns wide.
func fit(text string, n int) string {
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-1]) + "~"
	}
	return text + strings.Repeat(" ", n-utf8.RuneCountInString(text))
}
