// Package backoff says how long to wait before something that has failed is tried
// again: longer after each failure, and not as long as others wait.
package backoff

import (
	"context"
	"time"
)

// Even is the chance that leaves a pause as it is, for something that nobody else
// waits for.
const Even = 0.5

// Pause is a pause that is First after the first failure, doubled for each in a row,
// and Last at most.
type Pause struct{ First, Last time.Duration }

// After is the pause after so many failures in a row, spread by ±25 %: what fell
// together does not rise together. chance is a random number in [0, 1).
func (p Pause) After(failures int, chance float64) time.Duration {
	pause := p.First
	for ; failures > 1 && pause < p.Last; failures-- {
		pause *= 2
	}
	return time.Duration(float64(min(pause, p.Last)) * (0.75 + chance/2))
}

// Sleep waits for d; it tells whether ctx still holds.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
