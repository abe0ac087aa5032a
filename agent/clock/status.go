package clock

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"net"
	"time"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/linux/timex"
)

// System returns the clock of this machine, whose image was released at floor.
func System(floor time.Time, say func(string)) *Clock {
	return &Clock{
		Kernel: kernel{}, Floor: floor, Say: say,
		Dial: new(net.Dialer).DialContext, Now: time.Now, Nonce: nonce, Chance: mathrand.Float64,
	}
}

// nonce is a number that nobody guesses.
func nonce() uint64 {
	var b [8]byte
	rand.Read(b[:]) // does not fail
	return binary.BigEndian.Uint64(b[:])
}

// kernel is that of this machine.
type kernel struct{}

func (kernel) Step(offset time.Duration) error { return timex.Step(offset) }
func (kernel) Slew(offset, poll, uncertain time.Duration) error {
	return timex.Slew(offset, poll, uncertain)
}

// OfPlatform are the servers that a platform has for its machines.
func OfPlatform(name string) []string {
	switch name {
	case "ec2":
		return []string{"169.254.169.123"} // "Set the time on your EC2 instance", Amazon Time Sync Service
	case "gce":
		return []string{"metadata.google.internal"} // "Configure NTP on a VM", Compute Engine
	}
	return nil
}

// stale is how long ago servers may have agreed for the clock to count as right: a
// crystal is wrong by a second after a day.
const stale = 24 * time.Hour

// Status tells how the clock is kept right; nil: there are no servers.
func (c *Clock) Status() *node.Clock {
	c.prepare()
	servers, from := c.servers()
	if len(servers) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	status := &node.Clock{
		Synchronised: s.synchronised && c.Now().Sub(s.at) < stale,
		OffsetUsec:   s.offset.Microseconds(), WrongUsec: s.wrong.Microseconds(), PollUsec: s.poll.Microseconds(), Problem: s.problem,
		Servers: make([]node.ClockServer, 0, len(servers)),
	}
	if s.synchronised {
		at := s.at.UTC().Truncate(time.Second)
		status.Last = &at
	}
	if k, err := timex.Read(); err == nil {
		status.Frequency = k.Frequency
	}
	for _, name := range servers {
		status.Servers = append(status.Servers, c.last[name].describe(name, from))
	}
	return status
}

func (o outcome) describe(name string, from Source) node.ClockServer {
	d := node.ClockServer{Name: name, From: from.String(), Agrees: o.agrees}
	if o.err != nil {
		d.Error = o.err.Error()
	}
	if o.Sample != nil {
		d.OffsetUsec, d.DelayUsec, d.Stratum = o.Offset.Microseconds(), o.Delay.Microseconds(), o.Stratum
	}
	return d
}
