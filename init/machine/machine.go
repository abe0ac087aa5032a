// Package machine is what PID 1 knows of the machine it runs: the facts that the
// initramfs stage found, the log, the watchdog, the timeline, and what is
// not as it should be. Every part of PID 1 is given the one Machine.
package machine

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/init/timeline"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/watchdog"
)

// handoffVariable is the environment variable that carries Facts and timeline
// from the initramfs stage to stage two.
const handoffVariable = "KETCH_INITRAMFS"

// Facts are found once, in the initramfs stage.
type Facts struct {
	Version     string
	Development bool
	SecureBoot  bool                // the firmware has checked the kernel image's signature
	RootHash    string              // 64 hex digits
	Disk        string              // "vda"
	Slot        string              // "A" or "B"
	Entry       string              // LoaderEntrySelected
	CountPath   string              // LoaderBootCountPath; empty: tries are not counted
	ESP         string              // LoaderDevicePartUUID; where PID 1 gives the ESP another, that
	Doubt       string              // why Disk may be another than the one that was booted: nothing is written to it; empty: it is that
	BootRecord  string              // device node of the boot record; empty: there is none to write to
	Why         string              // why this entry was booted
	Before      *bootrecord.Version // what was known of this version when it was started; nil: nothing
	WatchdogFD  uintptr
}

// Machine is safe for use by several goroutines once stage two runs services.
type Machine struct {
	Facts
	Log       *kmsg.Log
	Timeline  *timeline.Timeline
	Watchdog  *watchdog.Device // nil: none
	MachineID string

	mu       sync.Mutex
	degraded []string
	record   *bootrecord.Record // as last read or written; nil: not yet
}

// New is the machine at the first instruction of PID 1.
func New() *Machine {
	return &Machine{
		Log:      kmsg.New(layout.ConsolePrefix),
		Timeline: timeline.New(pid1.Boot{PID1Usec: timeline.Now().Microseconds()}),
	}
}

// handoff is the value of handoffVariable.
type handoff struct {
	Facts    Facts
	Boot     pid1.Boot
	Record   *bootrecord.Record
	Degraded []string
}

// Handoff returns the environment that carries the machine into stage two.
func (m *Machine) Handoff() ([]string, error) {
	text, err := json.Marshal(handoff{m.Facts, m.Timeline.Boot(), m.Record(), m.Degraded()})
	if err != nil {
		return nil, fmt.Errorf("hand over to stage two: %w", err)
	}
	return []string{handoffVariable + "=" + string(text)}, nil
}

// Resume is the machine as the initramfs stage handed it over. With an error it is
// a new machine, of which nothing is known.
func Resume(environ func(string) string) (*Machine, error) {
	var h handoff
	if err := json.Unmarshal([]byte(environ(handoffVariable)), &h); err != nil {
		return New(), fmt.Errorf("take over from the initramfs stage: %w", err)
	}
	m := &Machine{Facts: h.Facts, Log: kmsg.New(layout.ConsolePrefix), Timeline: timeline.New(h.Boot), record: h.Record, degraded: h.Degraded}
	m.Log.Open()
	if h.Facts.WatchdogFD != 0 {
		m.Watchdog = watchdog.Inherit(h.Facts.WatchdogFD, WatchdogTimeout)
	}
	return m, nil
}

// Say writes a line that a person at the console should see.
func (m *Machine) Say(format string, args ...any) { m.Log.Printf(kmsg.Notice, format, args...) }

// Degrade notes that something is missing that the machine can run without, and
// says so on the console.
func (m *Machine) Degrade(format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	m.mu.Lock()
	known := slices.Contains(m.degraded, reason)
	if !known {
		m.degraded = append(m.degraded, reason)
	}
	m.mu.Unlock()
	if !known {
		m.Log.Printf(kmsg.Warning, "degraded: %s", reason)
	}
}

// Recover takes a reason back: what was missing is there again.
func (m *Machine) Recover(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.degraded = slices.DeleteFunc(m.degraded, func(r string) bool { return r == reason })
}

// Degraded returns the reasons given to Degrade and not taken back.
func (m *Machine) Degraded() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.degraded)
}

// Record is the boot record as it was last read or written, nil before that. The
// caller must not change it.
func (m *Machine) Record() *bootrecord.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.record
}

// SetRecord notes what the boot record holds now.
func (m *Machine) SetRecord(r *bootrecord.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record = r
}

// Save writes the timeline to where people and programs look for it.
func (m *Machine) Save() {
	if err := m.Timeline.Save(layout.BootTimeline); err != nil && !os.IsNotExist(err) {
		m.Log.Printf(kmsg.Warning, "%v", err)
	}
}
