// Package pace tells how long to pause between two looks at something that a boot
// waits for, where nothing can be waited on.
package pace

import "time"

const (
	shortest = 4 * time.Millisecond
	longest  = 500 * time.Millisecond
	// share is the part of a wait that may pass unnoticed after its end.
	share = 20
)

// Pause is the pause after a wait of some time: it grows with that, so that what
// comes at once is seen at once, and looking takes little from a slow machine,
// on which it keeps from running the very thing that is waited for.
func Pause(waited time.Duration) time.Duration {
	return min(max(waited/share, shortest), longest)
}
