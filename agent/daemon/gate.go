package daemon

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/layout/gatefile"
)

const (
	// probeLimit bounds the HTTP probes.
	probeLimit = 5 * time.Second
	// maxProbed is how much of the answer to a probe is read, in bytes: enough to
	// see that there is one.
	maxProbed = 64 << 10
)

// gate tells how the checks stand that PID 1's health gate leaves to ketchd: those
// of the workloads and their images, and the HTTP probes of the machine's gate file.
func (n *Node) gate(ctx context.Context) *pid1.GateAnswer {
	checks := append(n.workloads.Checks(), n.checkImages()...)
	checks = append(checks, probeGate(ctx, layout.GateFile)...)
	if !n.disk.Has(exhausted) {
		excuse(checks, statePath+" is full")
	}
	return &pid1.GateAnswer{Checks: checks}
}

// excuse says of all that does not hold why that is nobody's fault.
func excuse(checks []pid1.Check, why string) {
	for i := range checks {
		if !checks[i].Passed {
			checks[i].Excused = why
		}
	}
}

// probeGate sends the requests of a gate file. A file that cannot be read asks for
// something that is not known: that holds the gate closed. PID 1 reads it, too.
func probeGate(ctx context.Context, path string) []pid1.Check {
	file, err := gatefile.Read(path)
	if err != nil {
		return []pid1.Check{{Name: "gate file can be read", Reason: err.Error()}}
	}
	return probeAll(ctx, probeLimit, file.Checks)
}

// checkImages tells, of a machine with essential services, whether each runs the
// image that this version of the OS carries. One that could not be imported may have
// left an older one of the same name, and that one would run.
func (n *Node) checkImages() []pid1.Check {
	n.mu.Lock()
	last := n.imported
	n.mu.Unlock()
	var checks []pid1.Check
	for _, image := range slices.Compact(slices.Sorted(slices.Values(n.workloads.EssentialImages()))) {
		c := pid1.Check{Name: "image " + image + " is imported", Passed: last.err == nil || slices.Contains(last.names, image)}
		if !c.Passed {
			c.Reason = strings.ReplaceAll(last.err.Error(), "\n", "; ")
		}
		checks = append(checks, c)
	}
	return checks
}

// probeAll sends the requests among the checks, side by side, and waits for their
// answers no longer than limit.
func probeAll(ctx context.Context, limit time.Duration, checks []gatefile.Check) []pid1.Check {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var all sync.WaitGroup
	results := make([]pid1.Check, len(checks))
	for i, c := range checks {
		if c.HTTP == "" {
			continue
		}
		all.Go(func() {
			results[i] = pid1.Check{Name: "http " + c.Name, Passed: true}
			if err := probe(ctx, c); err != nil {
				results[i].Passed, results[i].Reason = false, err.Error()
			}
		})
	}
	all.Wait()
	var found []pid1.Check
	for _, r := range results {
		if r.Name != "" {
			found = append(found, r)
		}
	}
	return found
}

// probe sends one request, without a proxy and without following anything: the
// answer that counts is that of the address in the file.
func probe(ctx context.Context, c gatefile.Check) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.HTTP, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxProbed))
	if wanted := cmp.Or(c.Status, http.StatusOK); answer.StatusCode != wanted {
		return fmt.Errorf("%s answers %d, not %d", c.HTTP, answer.StatusCode, wanted)
	}
	return nil
}
