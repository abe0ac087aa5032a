package pid1

import "time"

// GateReport is what became of the health gate on one boot: the content of
// layout.GateReport, written when the gate has decided, pass or fail.
type GateReport struct {
	Version  string    `json:"version"`  // of the OS
	RootHash string    `json:"rootHash"` // of its /usr
	Time     time.Time `json:"time"`     // when the gate decided, by the machine's clock
	After    float64   `json:"after"`    // the same in seconds since the kernel started
	Deadline float64   `json:"deadline"` // in seconds, from the start of the services
	Outcome  string    `json:"outcome"`  // GateGood or GateFailed
	Checks   []Check   `json:"checks"`   // as they stood then
}

// The outcomes of a GateReport.
const (
	GateGood   = "good"
	GateFailed = "failed" // the reboot follows
)

// GateAnswer is ketchd's answer to GET /v1/gate: the checks that PID 1 leaves to
// it, as they stand now. Check.After is unused.
type GateAnswer struct {
	Checks []Check `json:"checks"`
}
