package control

import (
	"os"
	"sync"
	"time"
)

// crowd holds the connections that are served, as many at a time as most says. When
// one more comes, and it is a client's turn to send or to take something, the one
// that has taken longest over it is put out: who says nothing keeps nobody out.
type crowd struct {
	most int

	mu      sync.Mutex
	changed sync.Cond
	inside  int
	waiting []*os.File // for their clients, longest first
	leaving int        // of inside, those that were put out and have not left yet
}

func newCrowd(most int) *crowd {
	c := &crowd{most: most}
	c.changed.L = &c.mu
	return c
}

// enter waits for a place.
func (c *crowd) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.inside == c.most {
		if len(c.waiting) > 0 && c.leaving == 0 {
			c.leaving++
			c.waiting[0].SetDeadline(time.Unix(1, 0)) // long past: it ends what waits for the client
			c.waiting = c.waiting[1:]
		}
		c.changed.Wait()
	}
	c.inside++
}

// leave gives the place free. The caller has called busy.
func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside--
	c.changed.Signal()
}

// wait notes that it is the client's turn, for patience at most.
func (c *crowd) wait(conn *os.File, patience time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.SetDeadline(time.Now().Add(patience))
	c.waiting = append(c.waiting, conn)
	c.changed.Signal()
}

// busy notes that it is the client's turn no more. It reports whether the client may
// stay: one that was put out has no further turn.
func (c *crowd) busy(conn *os.File) (stays bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, w := range c.waiting {
		if w == conn {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			return true
		}
	}
	c.leaving--
	return false
}
