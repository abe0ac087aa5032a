package lastrun

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/atomicfile"
)

// Streak counts the boots in a row that workloads may have ended: each came to no
// orderly end, and its workloads had not run for Settled. A version that is good is
// never fallen back from, so that something else must slow such a machine down.
type Streak struct {
	BootID  string `json:"bootID"`  // of the boot that has counted last
	Count   int    `json:"count"`   // boots before that one
	Settled bool   `json:"settled"` // its workloads have run for long enough
}

const (
	// Settled is how long workloads must have run for the end of a boot not to count.
	Settled = 10 * time.Minute
	// tolerated is how many such ends make no difference yet: somebody may have cut
	// the power twice.
	tolerated = 2
	// firstHold is how long workloads are held back after one more, lastHold the
	// longest after it has been doubled for each.
	firstHold = time.Minute
	lastHold  = 30 * time.Minute
)

// Next is the streak on a boot, after one that ended as p tells.
func (s Streak) Next(bootID string, p *pid1.Previous) Streak {
	switch {
	case s.BootID == bootID: // ketchd was started again
		return s
	case p.End == pid1.EndClean, p.End == pid1.EndNone:
		return Streak{BootID: bootID}
	case s.Settled && p.Run != nil && p.Run.BootID == s.BootID:
		return Streak{BootID: bootID}
	}
	return Streak{BootID: bootID, Count: s.Count + 1}
}

// Hold is how long after the start of the kernel workloads are held back.
func (s Streak) Hold() time.Duration {
	if s.Count <= tolerated {
		return 0
	}
	hold := firstHold
	for n := s.Count - tolerated; n > 1 && hold < lastHold; n-- {
		hold *= 2
	}
	return min(hold, lastHold)
}

// Problem is what there is to say of the streak; empty: nothing. It holds until
// workloads have settled.
func (s Streak) Problem() string {
	if s.Hold() == 0 || s.Settled {
		return ""
	}
	return fmt.Sprintf("the last %d boots came to no orderly end, with workloads that had run for less than %v: those that are not essential start %v after the kernel",
		s.Count, Settled, s.Hold())
}

// LoadStreak reads a streak. One that is not there, or that a broken disk has spoilt,
// is none.
func LoadStreak(path string) (s Streak, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Streak{}, nil
	}
	if err != nil || json.Unmarshal(text, &s) != nil || s.Count < 0 {
		return Streak{}, err
	}
	return s, nil
}

// Save keeps the streak over a power cut.
func (s Streak) Save(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, append(text, '\n'), 0o644)
}
