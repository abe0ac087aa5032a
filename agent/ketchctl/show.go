package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
)

// show prints a status for a person.
func show(out io.Writer, s *node.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	colour := cli.Green
	if s.State != node.Healthy {
		colour = cli.Red
	}
	fmt.Fprintf(w, "state\t%s\n", cli.Paint(out, colour, s.State))
	showMachine(w, s)
	for _, problem := range s.Problems {
		fmt.Fprintf(w, "problem\t%s\n", cli.Paint(out, cli.Red, printable.Text(problem)))
	}
	if s.System != nil {
		showRecord(w, s.System.Record)
	}
	showLinks(w, s.Links)
	if s.System != nil {
		showServices(w, s.System.Services)
		showGate(w, s.System.Gate)
	}
	showWorkloads(w, s.Workloads)
	showImages(w, s.Images)
	return w.Flush()
}

func showMachine(w io.Writer, s *node.Status) {
	if system := s.System; system != nil {
		version := system.Version
		if system.Development {
			version += ", signed with development keys"
		}
		fmt.Fprintf(w, "version\t%s\n", version)
		fmt.Fprintf(w, "secure boot\t%s\n", onOff(system.SecureBoot))
		fmt.Fprintf(w, "boot\t%s\n", bootLine(system))
		if system.GoingDown != "" {
			fmt.Fprintf(w, "going down\t%s\n", system.GoingDown)
		}
		if system.Entry != "" {
			fmt.Fprintf(w, "entry\t%s on %s, slot %s\n", system.Entry, system.Disk, dash(system.Slot))
		}
	}
	fmt.Fprintf(w, "memory\t%d MiB in use of %d MiB\n", s.Memory.UsedKiB>>10, s.Memory.TotalKiB>>10)
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
			names = append(names, strings.TrimSpace(check.Name+" "+check.Reason))
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

func showLinks(w io.Writer, links []node.Link) {
	fmt.Fprintf(w, "\nLINK\tADDRESSES\tDHCP\tDNS\n")
	for _, l := range links {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Name, list(l.Addresses), dash(l.DHCP), list(l.DNS))
	}
}

func showServices(w io.Writer, services []pid1.Service) {
	fmt.Fprintf(w, "\nSERVICE\tSTATE\tPID\tRESTARTS\tLAST EXIT\n")
	for _, s := range services {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", s.Name, s.State, number(s.PID), s.Restarts, dash(s.LastExit))
	}
	for _, s := range services {
		if s.State == pid1.StateBackoff || s.State == pid1.StateDegraded || s.Reason != "" {
			showTrouble(w, s)
		}
	}
}

// showTrouble tells why a service is not ready, and what it said last. Lines
// without a tab do not widen the columns.
func showTrouble(w io.Writer, s pid1.Service) {
	fmt.Fprintf(w, "\n%s, %s: %s\n", s.Name, s.State, cmp.Or(s.Reason, s.LastExit, "no reason is given"))
	for _, line := range s.Lines {
		fmt.Fprintf(w, "    %s\n", printable.Text(strings.ReplaceAll(line, "\t", " ")))
	}
}

func showWorkloads(w io.Writer, workloads []node.Workload) {
	fmt.Fprintf(w, "\nWORKLOAD\tSTATE\tPID\tRESTARTS\tLAST EXIT\tIMAGE\n")
	for _, l := range workloads {
		exit := "-"
		if l.Exit != nil {
			exit = fmt.Sprintf("exit status %d", *l.Exit)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", l.Name, l.State, number(l.PID), l.Restarts, exit, dash(l.Image))
	}
	for _, l := range workloads {
		if l.State == node.Refused {
			fmt.Fprintf(w, "\n%s, %s: %s\n", l.Name, l.State, strings.ReplaceAll(l.Error, "\t", " "))
		}
	}
}

func showImages(w io.Writer, images []node.Image) {
	fmt.Fprintf(w, "\nIMAGE\tDIGEST\tSIZE\n")
	for _, i := range images {
		fmt.Fprintf(w, "%s\t%s\t%.1f MiB\n", i.Name, shortDigest(i.Digest), float64(i.Size)/(1<<20))
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
