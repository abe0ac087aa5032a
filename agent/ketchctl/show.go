package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

// show prints a status for a person.
func show(out io.Writer, s *node.Status) error {
	w := printable.NewTable(out)
	if s.Hostname != "" {
		w.Row("machine", s.Hostname)
	}
	colour := cli.Green
	if s.State != node.Healthy {
		colour = cli.Red
	}
	w.Row("state", printable.Ours(cli.Paint(out, colour, s.State)))
	showMachine(w, s)
	for _, problem := range s.Problems {
		w.Row("problem", printable.Ours(cli.Paint(out, cli.Red, printable.Text(problem))))
	}
	if s.System != nil {
		showRecord(w, s.System.Record)
	}
	showClock(w, s.Clock)
	showLinks(w, s.Links)
	showListening(w, s.Listening)
	if s.System != nil {
		showServices(w, s.System.Services)
		showGate(w, s.System.Gate)
	}
	showWorkloads(w, s.Workloads)
	showImages(w, s.Images)
	return w.Flush()
}

func showMachine(w *printable.Table, s *node.Status) {
	if system := s.System; system != nil {
		version := system.Version
		if system.Development {
			version += ", signed with development keys"
		}
		w.Row("version", version)
		w.Row("secure boot", onOff(system.SecureBoot))
		w.Row("boot", bootLine(system))
		if system.GoingDown != "" {
			w.Row("going down", system.GoingDown)
		}
		if system.Entry != "" {
			w.Row("entry", fmt.Sprintf("%s on %s, slot %s", system.Entry, system.Disk, dash(system.Slot)))
		}
	}
	w.Row("memory", fmt.Sprintf("%d MiB in use of %d MiB", s.Memory.UsedKiB>>10, s.Memory.TotalKiB>>10))
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off: the firmware does not check signatures"
}

// bootLine sums up how this boot went.
func bootLine(system *pid1.Status) string {
	parts := []string{"up " + duration(system.Uptime)}
	if system.Boot.ReadyUsec > 0 {
		parts = append(parts, fmt.Sprintf("runtime-ready after %.1f s", float64(system.Boot.ReadyUsec)/1e6))
	}
	switch {
	case system.Good && system.Boot.GoodUsec > 0:
		parts = append(parts, fmt.Sprintf("good after %.1f s", float64(system.Boot.GoodUsec)/1e6))
	case system.Good:
		parts = append(parts, "good")
	default:
		parts = append(parts, "not good yet: "+pendingChecks(system.Gate))
	}
	return strings.Join(parts, ", ")
}

func pendingChecks(gate []pid1.Check) string {
	var names []string
	for _, check := range gate {
		if !check.Passed {
			names = append(names, strings.TrimSuffix(check.Name+": "+check.Reason, ": "))
		}
	}
	if len(names) == 0 {
		return "no reason is given"
	}
	return strings.Join(names, "; ")
}

// duration is a time in seconds as a person says it.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// showClock tells how the machine knows the time, where it asks for it.
func showClock(w *printable.Table, c *node.Clock) {
	if c == nil {
		return
	}
	state := "not synchronised"
	if c.Synchronised {
		state = "synchronised"
	}
	if c.Last != nil {
		state += fmt.Sprintf(" at %s: was off by %s, rate corrected by %.1f ppm", when(*c.Last), milliseconds(c.OffsetUsec), c.Frequency)
	}
	if c.Problem != "" {
		state += "; " + c.Problem
	}
	w.Row("clock", state)
	if len(c.Servers) == 0 {
		return
	}
	w.Row()
	w.Row("TIME SERVER", "FROM", "AGREES", "OFFSET", "DELAY", "STRATUM", "ERROR")
	for _, s := range c.Servers {
		agrees := "no"
		if s.Agrees {
			agrees = "yes"
		}
		w.Row(s.Name, s.From, agrees, milliseconds(s.OffsetUsec), milliseconds(s.DelayUsec), number(s.Stratum), dash(s.Error))
	}
}

// showListening tells what can be reached from a network.
func showListening(w *printable.Table, sockets []node.Socket) {
	if len(sockets) == 0 {
		return
	}
	w.Row()
	w.Row("LISTENS ON", "PROTOCOL", "PROGRAM")
	for _, s := range sockets {
		w.Row(s.Address, s.Protocol, dash(s.Program))
	}
}

func milliseconds(usec int64) string { return fmt.Sprintf("%.3f ms", float64(usec)/1e3) }

func showLinks(w *printable.Table, links []node.Link) {
	if len(links) == 0 {
		return
	}
	w.Row()
	w.Row("LINK", "ADDRESSES", "DHCP", "DNS")
	for _, l := range links {
		w.Row(l.Name, list(l.Addresses), dash(l.DHCP), list(l.DNS))
	}
}

func showServices(w *printable.Table, services []pid1.Service) {
	if len(services) == 0 {
		return
	}
	w.Row()
	w.Row("SERVICE", "STATE", "PID", "RESTARTS", "LAST EXIT")
	for _, s := range services {
		w.Row(s.Name, s.State, number(s.PID), s.Restarts, dash(s.LastExit))
	}
	for _, s := range services {
		if s.State == pid1.StateBackoff || s.State == pid1.StateDegraded || s.Reason != "" {
			showTrouble(w, s)
		}
	}
}

// showTrouble tells why a service is not ready, and what it said last.
func showTrouble(w *printable.Table, s pid1.Service) {
	w.Row()
	w.Row(fmt.Sprintf("%s, %s: %s", s.Name, s.State, cmp.Or(s.Reason, s.LastExit, "no reason is given")))
	for _, line := range s.Lines {
		w.Row("    " + line)
	}
}

func showWorkloads(w *printable.Table, workloads []node.Workload) {
	if len(workloads) == 0 {
		return
	}
	w.Row()
	w.Row("WORKLOAD", "STATE", "PID", "RESTARTS", "LAST EXIT", "IMAGE")
	for _, l := range workloads {
		exit := "-"
		if l.Exit != nil {
			exit = fmt.Sprintf("exit status %d", *l.Exit)
		}
		w.Row(l.Name, l.State, number(l.PID), l.Restarts, exit, dash(l.Image))
	}
	for _, l := range workloads {
		if l.State == node.Refused {
			w.Row()
			w.Row(fmt.Sprintf("%s, %s: %s", l.Name, l.State, l.Error))
		}
	}
}

func showImages(w *printable.Table, images []node.Image) {
	if len(images) == 0 {
		return
	}
	w.Row()
	w.Row("IMAGE", "DIGEST", "SIZE")
	for _, i := range images {
		w.Row(i.Name, shortDigest(i.Digest), cli.Bytes(i.Size))
	}
}

// shortDigest is enough of a digest to tell images apart.
func shortDigest(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func list(items []string) string { return dash(strings.Join(items, " ")) }
