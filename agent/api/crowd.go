package api

import (
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// most is how many connections are open at a time: see crowd.
	most = 64
	// maxHeader bounds a request's header in bytes. What is asked here has no body.
	maxHeader = 16 << 10
)

// crowd is a listener with at most that many connections open. When one more comes,
// the one that has kept a place for longest is closed: of those that ask nothing, if
// there are any. So who says nothing keeps nobody out, and memory is bounded.
type crowd struct {
	net.Listener

	mu   sync.Mutex
	open map[net.Conn]*place
}

// place is what is known of a connection.
type place struct {
	asks  bool // there is a request that has not been answered
	since time.Time
}

func newCrowd(l net.Listener) *crowd { return &crowd{Listener: l, open: map[net.Conn]*place{}} }

// Accept waits for the next connection and makes room for it.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= most {
		longest := c.longest()
		delete(c.open, longest)
		longest.Close()
	}
	c.open[conn] = &place{since: time.Now()}
	return conn, nil
}

// longest finds the connection that goes when another comes.
func (c *crowd) longest() (found net.Conn) {
	var its *place
	for conn, p := range c.open {
		if its == nil || its.asks && !p.asks || its.asks == p.asks && p.since.Before(its.since) {
			found, its = conn, p
		}
	}
	return found
}

// changed is the server's ConnState.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.open[conn]
	switch {
	case p == nil: // closed to make room
	case state == http.StateClosed:
		delete(c.open, conn)
	default:
		p.asks, p.since = state == http.StateActive, time.Now()
	}
}
