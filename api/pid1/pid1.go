// Package pid1 is the language of PID 1's socket, layout.InitSocket, and of
// the boot timeline, layout.BootTimeline.
//
// A client connects to the Unix stream socket (mode 0600: root only), writes
// one Request as a line of JSON, reads one Reply as a line of JSON, and may
// then ask again on the same connection. Exchange does that:
//
//	→ {"do":"status"}
//	← {"status":{"version":"0.1.0","good":true,"services":[…],"boot":{…}}}
//	→ {"do":"power","power":"reboot","by":"ketchctl reboot"}
//	← {}
//
// Unknown fields are ignored by both sides, so that either may be newer.
package pid1

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxLine bounds a request or a reply in bytes, the newline included.
const MaxLine = 1 << 20

// What a Request may ask for.
const (
	DoStatus = "status"
	DoPower  = "power"
	DoRecord = "record" // for the boot record alone
	// DoRevoke makes the boot record forget that a version is good, and its tries,
	// before its slot is overwritten. It is refused for the running version and, as
	// long as that is not good, for the one to go back to.
	DoRevoke = "revoke"
	// DoExpect makes the boot record know a version that is about to be installed,
	// and how many of its starts may fail. It is refused for the running version.
	DoExpect = "expect"
)

// The ways to go down, in Request.Power.
const (
	PowerOff    = "off"
	PowerReboot = "reboot"
	PowerHalt   = "halt"
)

// Request is one question or order to PID 1.
type Request struct {
	Do       string `json:"do"`                 // DoStatus, DoPower, …
	Power    string `json:"power,omitempty"`    // for DoPower: PowerOff, PowerReboot or PowerHalt
	By       string `json:"by,omitempty"`       // for all that changes something: who asks and why, for the console
	Lines    int    `json:"lines,omitempty"`    // for DoStatus: last lines of output wanted per service; 0 = 5
	RootHash string `json:"rootHash,omitempty"` // for DoRevoke and DoExpect: of which version, 64 hex digits
	Version  string `json:"version,omitempty"`  // for DoExpect: as it calls itself
	Tries    int    `json:"tries,omitempty"`    // for DoExpect: 1 to 9
}

// Reply answers one Request.
type Reply struct {
	Error  string  `json:"error,omitempty"`  // the request was not understood or refused
	Status *Status `json:"status,omitempty"` // to DoStatus
	Record *Record `json:"record,omitempty"` // to DoRecord, DoRevoke and DoExpect, as it is then
}

// Status is what PID 1 knows of the machine.
type Status struct {
	Version     string    `json:"version"`               // of the running OS
	Development bool      `json:"development,omitempty"` // signed with development keys
	SecureBoot  bool      `json:"secureBoot"`            // the firmware checks signatures: EFI variable SecureBoot
	RootHash    string    `json:"rootHash"`              // of the running /usr
	Disk        string    `json:"disk"`                  // the disk it runs from: "vda"
	Slot        string    `json:"slot,omitempty"`        // the slot of the disk: "A" or "B"
	Entry       string    `json:"entry,omitempty"`       // boot entry as the boot loader named it
	MachineID   string    `json:"machineID"`
	Uptime      float64   `json:"uptime"`              // seconds since the kernel started
	Ready       bool      `json:"ready"`               // runtime-ready
	Good        bool      `json:"good"`                // the health gate has passed on this boot
	GoingDown   string    `json:"goingDown,omitempty"` // "power-off (asked by …)" once that has begun
	Degraded    []string  `json:"degraded,omitempty"`  // each reason why the machine is not whole
	Watchdog    string    `json:"watchdog,omitempty"`  // identity of the armed watchdog; empty: none
	Services    []Service `json:"services"`
	Gate        []Check   `json:"gate"`
	GateOutcome string    `json:"gateOutcome,omitempty"` // GateGood or GateFailed, once the gate has decided
	Boot        Boot      `json:"boot"`
	Record      *Record   `json:"record,omitempty"` // of this and earlier boots; missing where there is no boot record
}

// The states of a Service.
const (
	StateWaiting  = "waiting"  // for what it comes after, or for the file that it runs for
	StateStarting = "starting" // runs, not ready yet
	StateReady    = "ready"    // runs and answers its probe (or has none)
	StateBackoff  = "backoff"  // has ended, is started again soon
	StateDegraded = "degraded" // keeps failing; still retried, rarely
	StateStopping = "stopping" // was told to end
	StateStopped  = "stopped"  // has ended because it was told to
)

// Service is one supervised process.
type Service struct {
	Name     string   `json:"name"`
	State    string   `json:"state"`
	PID      int      `json:"pid,omitempty"`
	Since    float64  `json:"since,omitempty"`    // seconds since the kernel started, of the last change of State
	Restarts int      `json:"restarts"`           // starts after the first
	LastExit string   `json:"lastExit,omitempty"` // "exit status 1", "signal: killed", …
	Reason   string   `json:"reason,omitempty"`   // why it is not ready, or did not answer when last asked
	Lines    []string `json:"lines,omitempty"`    // its last lines of output, oldest first
	Log      string   `json:"log,omitempty"`      // path of its log
}

// Check is one condition of the health gate.
type Check struct {
	Name   string  `json:"name"`
	Passed bool    `json:"passed"`
	After  float64 `json:"after,omitempty"`  // seconds since the kernel started, when it first held
	Reason string  `json:"reason,omitempty"` // why it does not hold
	// Excused says why it is not this version's fault that it does not hold: a boot
	// that has no better version to go back to is good all the same.
	Excused string `json:"excused,omitempty"`
}

// Boot is the timeline of this boot: the content of layout.BootTimeline. All
// times are microseconds since the kernel started (CLOCK_BOOTTIME); those of
// the firmware and the boot loader are durations before that moment.
type Boot struct {
	Version      string  `json:"version"`
	FirmwareUsec int64   `json:"firmwareUsec,omitempty"` // power-on to boot loader (LoaderTimeInitUSec)
	LoaderUsec   int64   `json:"loaderUsec,omitempty"`   // boot loader to kernel (LoaderTimeExecUSec − LoaderTimeInitUSec)
	PID1Usec     int64   `json:"pid1Usec"`               // kernel start to PID 1
	ReadyUsec    int64   `json:"readyUsec,omitempty"`    // runtime-ready
	GoodUsec     int64   `json:"goodUsec,omitempty"`     // health gate passed
	Memory       *Memory `json:"memory,omitempty"`       // at runtime-ready
	Steps        []Step  `json:"steps"`                  // in the order they began
}

// The stages a Step belongs to.
const (
	StageInitramfs = "initramfs"
	StageSystem    = "system"
	StageService   = "service" // start to ready
	StageGate      = "gate"
	StageDown      = "down" // the way down: in the account that a boot leaves, and nowhere else
)

// Step is one bar of the timeline.
type Step struct {
	Stage     string `json:"stage"`
	Name      string `json:"name"`
	StartUsec int64  `json:"startUsec"`
	TookUsec  int64  `json:"tookUsec"`
	Error     string `json:"error,omitempty"` // what went wrong without ending the boot
}

// Memory is a machine's memory as docs/memory.md counts it, in KiB.
type Memory struct {
	TotalKiB     int64 `json:"totalKiB"`     // what the kernel was given
	AvailableKiB int64 `json:"availableKiB"` // MemAvailable
	UsedKiB      int64 `json:"usedKiB"`      // their difference
}

// Exchange sends one request over a connection to PID 1 and returns the reply.
// An error that PID 1 reports is returned as an error.
func Exchange(conn io.ReadWriter, ask Request) (*Reply, error) {
	if err := WriteLine(conn, ask); err != nil {
		return nil, fmt.Errorf("ask PID 1 for %s: %w", ask.Do, err)
	}
	var reply Reply
	if err := ReadLine(bufio.NewReader(conn), &reply); err != nil {
		return nil, fmt.Errorf("read PID 1's reply to %s: %w", ask.Do, err)
	}
	if reply.Error != "" {
		return nil, fmt.Errorf("PID 1 refused %s: %s", ask.Do, reply.Error)
	}
	return &reply, nil
}

// WriteLine writes v as one line of JSON with a single Write.
func WriteLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(line) >= MaxLine {
		return fmt.Errorf("line of %d bytes is over the limit of %d", len(line)+1, MaxLine)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// ReadLine reads one line of JSON into v. It returns io.EOF, unwrapped, when the
// other side closed the connection between lines.
func ReadLine(r *bufio.Reader, v any) error {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > MaxLine:
			return fmt.Errorf("line is over the limit of %d bytes", MaxLine)
		case err == nil:
			return json.Unmarshal(line, v)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return io.ErrUnexpectedEOF
		default:
			return err
		}
	}
}
