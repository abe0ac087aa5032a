package pid1

import "time"

// Run is the account that one boot leaves to the next: the content of
// layout.CurrentRun, which the next boot renames to layout.PreviousRun. It is
// written early, when the health gate has decided, when the way down begins and
// when it is about to unmount the file that it is in.
type Run struct {
	BootID   string      `json:"bootID"` // /proc/sys/kernel/random/boot_id
	Version  string      `json:"version"`
	RootHash string      `json:"rootHash"`
	Entry    string      `json:"entry,omitempty"`   // boot entry as the boot loader named it
	Started  time.Time   `json:"started"`           // when the kernel started
	Request  string      `json:"request,omitempty"` // "reboot (asked by …)": the way down had begun
	Fatal    string      `json:"fatal,omitempty"`   // the failure that began it
	Ended    *time.Time  `json:"ended,omitempty"`   // the way down came as far as unmounting
	Gate     *GateReport `json:"gate,omitempty"`    // nil: the gate had not decided
	Boot     Boot        `json:"boot"`
	// Crashes are the kernel's last words of the runs before this one, as found
	// in pstore when this one started, oldest first.
	Crashes []Crash `json:"crashes,omitempty"`
	// Failure is the last failure that the boot record knew of when this run
	// started: it is kept for boots that end before /var is mounted.
	Failure *Failure `json:"failure,omitempty"`
	// WatchdogReset tells that a watchdog says it has ended the run before.
	WatchdogReset bool `json:"watchdogReset,omitempty"`
}

// Crash is a dump of the kernel log that has survived the end of its run.
type Crash struct {
	Kind   string    `json:"kind"` // "Panic", "Oops", …: the kernel's word
	Time   time.Time `json:"time"`
	Reason string    `json:"reason,omitempty"` // the line of it that tells most
	Path   string    `json:"path"`             // of the dump
}

// Failure is a start that PID 1 has given up on.
type Failure struct {
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	Words   string    `json:"words"`
}

// The ways that a run can end.
const (
	EndClean = "clean" // Run.Request was carried out
	EndFatal = "fatal" // PID 1 gave up on it, in order
	EndPanic = "panic" // the kernel, or PID 1, crashed
	EndCut   = "cut"   // no word: power loss, reset, or a hang that the watchdog ended
	EndNone  = "none"  // no run before this one is known
)

// Previous tells of the run before this one.
type Previous struct {
	End     string  `json:"end"`           // EndClean, EndFatal, EndPanic, EndCut or EndNone
	Reason  string  `json:"reason"`        // in words
	Run     *Run    `json:"run,omitempty"` // nil: it left no account
	Crashes []Crash `json:"crashes,omitempty"`
	// LastWords is the end of the last dump, when End is EndPanic.
	LastWords string `json:"lastWords,omitempty"`
}
