package reaper

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// scoreFile holds how likely the kernel is to kill this process when memory is
// out (proc_pid_oom_score_adj(5)). Children inherit it at their fork.
const scoreFile = "/proc/self/oom_score_adj"

// Protect makes PID 1 the last to be killed for its memory. What Start starts
// does not inherit that.
func Protect() error { return setOOMScore(-1000) }

func oomScore() (int, error) {
	text, err := os.ReadFile(scoreFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func setOOMScore(score int) error {
	if err := os.WriteFile(scoreFile, []byte(strconv.Itoa(score)), 0); err != nil {
		return fmt.Errorf("set oom_score_adj to %d: %w", score, err)
	}
	return nil
}
