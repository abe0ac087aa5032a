package workload

import "time"

const (
	firstDelay = 200 * time.Millisecond
	lastDelay  = time.Minute
	// settled is how long a service must run for its next exit to count as the first.
	settled = 10 * time.Second
)

// delay is the pause before a restart, after a number of failures in a row. Each
// failure doubles it. It is spread by ±25 %, so that services which failed together
// do not start together. chance is a random number in [0, 1).
func delay(failures int, chance float64) time.Duration {
	pause := lastDelay
	if failures < 9 { // 200 ms << 9 is over a minute
		pause = min(firstDelay<<max(failures-1, 0), lastDelay)
	}
	return time.Duration(float64(pause) * (0.75 + chance/2))
}
