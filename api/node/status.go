// Package node is how programs on the machine speak to ketchd: HTTP/1.1 with
// JSON over the Unix socket layout.KetchdSocket, mode 0660.
// docs/api.md has the table of what can be asked, which is that of the routes of
// package agent/api. The types here are the answers.
//
// A workload that fails makes the status degraded, not the health check fail:
// ketchd is ready when it can do its work.
//
// A request that cannot be answered gets a status of 4xx or 5xx and an Error.
// New fields may appear in answers at any time; what is here keeps its meaning
// as long as the path begins with /v1.
//
// Package client asks; package agent/api answers. A program in another language needs
// neither:
//
//	curl --unix-socket /run/ketch/ketchd.sock http://ketch/v1/status
package node

import (
	"time"

	"github.com/ketch-os/ketch/api/pid1"
)

// The states of a machine.
const (
	Healthy  = "healthy"
	Degraded = "degraded"
)

// Status is the answer to GET /v1/status.
type Status struct {
	State     string       `json:"state"`              // Healthy or Degraded
	Hostname  string       `json:"hostname,omitempty"` // the machine's
	Problems  []string     `json:"problems,omitempty"` // each reason to be degraded
	System    *pid1.Status `json:"system,omitempty"`   // what PID 1 says; missing when it does not answer
	Memory    pid1.Memory  `json:"memory"`             // now
	Clock     *Clock       `json:"clock,omitempty"`    // missing: nobody is asked for the time
	Links     []Link       `json:"links"`
	Listening []Socket     `json:"listening"`
	Workloads []Workload   `json:"workloads"`
	Images    []Image      `json:"images"`
}

// Clock is how the machine knows the time.
type Clock struct {
	Synchronised bool          `json:"synchronised"`        // by servers, on this boot, and not for too long ago
	Last         *time.Time    `json:"last,omitempty"`      // when servers last agreed
	OffsetUsec   int64         `json:"offsetUsec"`          // of this machine's clock then: it was behind by so much
	WrongUsec    int64         `json:"wrongUsec,omitempty"` // how wrong that may be
	Frequency    float64       `json:"frequency"`           // correction of the clock's rate, in parts per million
	PollUsec     int64         `json:"pollUsec,omitempty"`  // pause between two questions
	Problem      string        `json:"problem,omitempty"`   // why the time is not known
	Servers      []ClockServer `json:"servers"`
}

// ClockServer is one server that is asked for the time.
type ClockServer struct {
	Name       string `json:"name"`
	From       string `json:"from"`                 // who names it: "configuration", "platform" or "DHCP"
	Agrees     bool   `json:"agrees"`               // with most, when last asked
	OffsetUsec int64  `json:"offsetUsec,omitempty"` // by its last answer
	DelayUsec  int64  `json:"delayUsec,omitempty"`  // there and back
	Stratum    int    `json:"stratum,omitempty"`
	Error      string `json:"error,omitempty"` // why it gave no time when last asked
}

// Link is a network interface.
type Link struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac,omitempty"`
	Up        bool     `json:"up"`                  // it has a carrier
	Addresses []string `json:"addresses,omitempty"` // "10.0.2.15/24"
	DHCP      string   `json:"dhcp,omitempty"`      // state of the lease, in words
	DNS       []string `json:"dns,omitempty"`       // servers that the lease names
}

// Socket is one that takes what comes from a network.
type Socket struct {
	Protocol string `json:"protocol"`          // tcp, udp or raw
	Address  string `json:"address"`           // "[::]:22"; of a raw socket the port is its protocol's number
	Program  string `json:"program,omitempty"` // that has it open
}

// The states of a Workload.
const (
	Waiting  = "waiting"  // not started yet
	Running  = "running"  // its container runs
	Backoff  = "backoff"  // has exited or could not be started; is started again soon
	Exited   = "exited"   // has exited with status 0, and its policy leaves it at that
	Failed   = "failed"   // has failed for good
	Unknown  = "unknown"  // containerd does not answer; the container may well run
	Stopping = "stopping" // the machine goes down
	Refused  = "refused"  // its Compose file was refused; Error says why
)

// Workload is one service of a Compose file. Of one that is Refused only the name,
// the file and the reason are known; where a file does not tell which services it
// holds, the project stands for them.
type Workload struct {
	Name     string  `json:"name"`
	State    string  `json:"state"`
	Image    string  `json:"image"`
	File     string  `json:"file"` // the Compose file
	Restart  string  `json:"restart"`
	PID      int     `json:"pid,omitempty"`
	Since    string  `json:"since,omitempty"` // RFC 3339: the last change of State
	Restarts int     `json:"restarts"`        // starts after the first on this boot
	Exit     *uint32 `json:"exit,omitempty"`  // status of the last exit
	Error    string  `json:"error,omitempty"` // why it could not be started, or was refused
}

// Image is a container image in containerd's store.
type Image struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`           // bytes: manifest, configuration and layers
	File   string `json:"file,omitempty"` // the layout it was imported from
}

// LogList is the answer to GET /v1/logs without a name.
type LogList struct {
	Logs  []Log `json:"logs"`
	Limit int64 `json:"limit"` // bytes that all of them together may take
}

// Log is one log of the machine: of a workload, a service or the kernel.
type Log struct {
	Name     string    `json:"name"`
	Bytes    int64     `json:"bytes"` // what there is to read
	Modified time.Time `json:"modified"`
}

// Error is the answer to a request that could not be answered.
type Error struct {
	Message string `json:"error"`
	Advice  string `json:"hint,omitempty"` // the cure, where it is known
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Hint is the cure, or "".
func (e *Error) Hint() string { return e.Advice }
