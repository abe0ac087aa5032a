package gate

import (
	"encoding/json"
	"fmt"
	"time"

	"ketch/init/machine"
	"ketch/init/system"
	"ketch/init/timeline"
	"ketch/layout/status"
)

// Outcome is what has become of the gate on this boot: fault is Wait's error.
func (g *Gate) Outcome(m *machine.Machine, fault error) *status.GateReport {
	outcome := status.GateGood
	if fault != nil {
		outcome = status.GateFailed
	}
	return &status.GateReport{
		Version: m.Version, RootHash: m.RootHash,
		Time: time.Now().UTC(), After: timeline.Now().Seconds(), Deadline: g.Deadline.Seconds(),
		Outcome: outcome, Checks: g.Report(),
	}
}

// Save keeps an outcome in the file at path, on the medium when it returns.
func Save(path string, outcome *status.GateReport) error {
	text, err := json.MarshalIndent(outcome, "", "\t")
	if err == nil {
		err = system.Replace(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep gate report: %w", err)
	}
	return nil
}
