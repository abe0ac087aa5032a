package compose

import (
	"fmt"
	"strconv"
	"strings"
)

// Restart is a restart policy of the Compose specification.
type Restart struct {
	When Condition
	Max  int // for OnFailure: how many restarts; 0 = no limit
}

// Condition says after which exits a service is started again.
type Condition string

// The conditions of the Compose specification. A service has no way to be
// stopped but its own exit in this version, so UnlessStopped acts like Always.
const (
	Never         Condition = "no"
	Always        Condition = "always"
	OnFailure     Condition = "on-failure"
	UnlessStopped Condition = "unless-stopped"
)

// ParseRestart reads a policy: no, always, unless-stopped, on-failure[:n].
// Nothing means no.
func ParseRestart(text string) (Restart, error) {
	name, limit, limited := strings.Cut(text, ":")
	restart := Restart{When: Condition(name)}
	switch restart.When {
	case "":
		restart.When = Never
	case OnFailure:
		if !limited {
			return restart, nil
		}
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 {
			return Restart{}, fmt.Errorf("restart policy %q: %q is not a number of restarts", text, limit)
		}
		restart.Max = n
		return restart, nil
	case Never, Always, UnlessStopped:
	default:
		return Restart{}, fmt.Errorf("restart policy %q is not one of no, always, unless-stopped, on-failure[:n]", text)
	}
	if limited {
		return Restart{}, fmt.Errorf("restart policy %q: only on-failure takes a number", text)
	}
	return restart, nil
}

// Again tells whether a service is started again after it has exited with
// status and was restarted restarts times since it last ran well.
func (r Restart) Again(status uint32, restarts int) bool {
	switch r.When {
	case Always, UnlessStopped:
		return true
	case OnFailure:
		return status != 0 && (r.Max == 0 || restarts < r.Max)
	}
	return false
}

// String is the policy as ParseRestart reads it.
func (r Restart) String() string {
	if r.Max > 0 {
		return fmt.Sprintf("%s:%d", r.When, r.Max)
	}
	return string(r.When)
}
