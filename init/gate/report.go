package gate

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/system"
	"github.com/ketch-os/ketch/init/timeline"
)

// Outcome is what has become of the gate on this boot: fault is Wait's error.
func (g *Gate) Outcome(m *machine.Machine, fault error) *pid1.GateReport {
	outcome := pid1.GateGood
	if fault != nil {
		outcome = pid1.GateFailed
	}
	return &pid1.GateReport{
		Version: m.Version, RootHash: m.RootHash,
		Time: time.Now().UTC(), After: timeline.Now().Seconds(), Deadline: g.Deadline.Seconds(),
		Outcome: outcome, Checks: g.Report(),
	}
}

// Save keeps an outcome in the file at path, on the medium when it returns.
func Save(path string, outcome *pid1.GateReport) error {
	text, err := json.MarshalIndent(outcome, "", "\t")
	if err == nil {
		err = system.Replace(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep gate report: %w", err)
	}
	return nil
}
