package gate

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/probe"
	"github.com/ketch-os/ketch/init/reaper"
	"github.com/ketch-os/ketch/layout/gatefile"
)

const (
	// commandLimit is how long a command may run.
	commandLimit = 30 * time.Second
	// askLimit is how long ketchd may take to look after its checks.
	askLimit = 15 * time.Second
)

// Commands is the source of the checks that are commands.
func Commands(r *reaper.Reaper, checks []gatefile.Check) Source {
	return func() (found []pid1.Check) {
		for _, c := range checks {
			if len(c.Command) > 0 {
				_, err := r.Run(commandLimit, c.Command...)
				found = append(found, result("command "+c.Name, err))
			}
		}
		return found
	}
}

// Ketchd is the source of the checks that ketchd looks after, because PID 1 speaks
// to no network and knows no workloads. path is ketchd's socket. Those that it excuses
// count as passed where lenient says so.
func Ketchd(path string, lenient func() bool) Source {
	return func() []pid1.Check {
		checks, err := ask(path)
		for i, c := range checks {
			checks[i].Passed = c.Passed || c.Excused != "" && lenient()
		}
		return append([]pid1.Check{result("ketchd looks after its checks", err)}, checks...)
	}
}

func ask(path string) ([]pid1.Check, error) {
	body, err := probe.Get(path, "/v1/gate", askLimit)
	if err != nil {
		return nil, err
	}
	var answer pid1.GateAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("decode ketchd's checks: %w", err)
	}
	return answer.Checks, nil
}
