// Package clock keeps the machine's clock right by asking servers what time it is
// (NTP, RFC 5905; package sntp).
//
//	servers     of the configuration, or else of the platform, or else of DHCP
//	agreement   more than half of those that answer must agree; the others are not believed
//	at first    the clock is stepped: nothing has used it yet that would mind
//	from then   it is slewed; only an offset that is large three times in a row is stepped
//	never       before the image's release, more than ten years after it, or, once it was
//	            right, more than an hour back, however many steps it takes
//
// Leap seconds are not announced to the kernel: after one the clock is slewed.
package clock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ketch-os/ketch/agent/clock/sntp"
	"github.com/ketch-os/ketch/internal/backoff"
)

const (
	// shortPoll and longPoll are the shortest and the longest pause between two
	// questions to a server that answers.
	shortPoll = 64 * time.Second
	longPoll  = 2048 * time.Second
	// again is the pause before a large offset is looked at again.
	again = 10 * time.Second
	// maxServers is how many are asked, of a list that names more.
	maxServers = 8
	// slewed is the largest offset that is slewed: more, and it would take minutes.
	slewed = 400 * time.Millisecond
	// atFirst is the same before the clock was ever right.
	atFirst = 20 * time.Millisecond
	// confirmed is how often in a row an offset must be large to be believed.
	confirmed = 3
	// maxBack is how far a clock that was right is set back, in all.
	maxBack = time.Hour
	// maxYears is how long after its release an image believes that it runs.
	maxYears = 10
	// port is that of NTP (RFC 5905, 7.2).
	port = "123"
)

// retry is the pause after questions that nobody has answered.
func retry() backoff.Pause { return backoff.Pause{First: 2 * time.Second, Last: longPoll / 2} }

// The sources of servers, best first.
type Source int

// The first that names any decides.
const (
	Configuration Source = iota
	Platform
	DHCP
	sources
)

func (s Source) String() string { return [...]string{"configuration", "platform", "DHCP"}[s] }

// Kernel is the kernel's clock.
type Kernel interface {
	Step(offset time.Duration) error
	Slew(offset, poll, uncertain time.Duration) error
}

// Clock keeps a clock right. All fields are needed. It runs only where there are servers.
type Clock struct {
	Kernel Kernel
	Floor  time.Time // when the running image was released
	Say    func(line string)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Now    func() time.Time // the clock itself
	Nonce  func() uint64    // a random number
	Chance func() float64   // a random number in [0, 1)

	init  sync.Once
	wake  chan struct{} // something has changed
	ready chan struct{} // closed once the clock was right

	mu     sync.Mutex
	named  [sources][]string
	state  state
	last   map[string]outcome
	resign map[string]time.Time // servers that do not want to be asked before
}

// state is what is known of the clock.
type state struct {
	synchronised  bool
	at            time.Time // of the last agreement
	latest        time.Time // that was ever set
	since         time.Time // when it was, by a clock that nothing sets
	offset, wrong time.Duration
	poll          time.Duration
	large         int // how often in a row the offset was
	failures      int // in a row
	problem       string
}

// outcome is what became of the last question to a server.
type outcome struct {
	reading
	err    error
	agrees bool
}

func (c *Clock) prepare() {
	c.init.Do(func() {
		c.wake, c.ready = make(chan struct{}, 1), make(chan struct{})
		c.last, c.resign = map[string]outcome{}, map[string]time.Time{}
	})
}

// Use makes servers, "host" or "host:port", those that a source names.
func (c *Clock) Use(from Source, servers []string) {
	c.prepare()
	c.mu.Lock()
	changed := !slices.Equal(c.named[from], servers)
	c.named[from] = slices.Clone(servers)
	if changed {
		clear(c.resign)
	}
	c.mu.Unlock()
	if changed {
		c.askNow()
	}
}

// Wake makes a clock that is not right ask again at once: there may be a network now.
func (c *Clock) Wake() {
	c.prepare()
	c.mu.Lock()
	right := c.state.synchronised
	c.mu.Unlock()
	if !right {
		c.askNow()
	}
}

// askNow ends the pause.
func (c *Clock) askNow() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Ready returns a channel that is closed once servers have told the time.
func (c *Clock) Ready() <-chan struct{} {
	c.prepare()
	return c.ready
}

// servers are those to ask, and who names them.
func (c *Clock) servers() ([]string, Source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for from, named := range c.named {
		if len(named) > 0 {
			return named[:min(len(named), maxServers)], Source(from)
		}
	}
	return nil, DHCP
}

// Run asks until ctx ends. Without servers it waits for some.
func (c *Clock) Run(ctx context.Context) {
	c.prepare()
	for ctx.Err() == nil {
		select {
		case <-c.wake: // what has changed until now, the round to come knows
		default:
		}
		servers, _ := c.servers()
		if len(servers) == 0 {
			select {
			case <-ctx.Done():
			case <-c.wake:
			}
			continue
		}
		pause := c.round(ctx, servers)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-c.wake:
		}
		timer.Stop()
	}
}

// round asks once, does what follows, and returns the pause until the next time.
func (c *Clock) round(ctx context.Context, servers []string) time.Duration {
	readings, errs := c.ask(ctx, servers)
	agree := pick(readings)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.last { // what is not asked any more is forgotten
		if !slices.Contains(servers, i) {
			delete(c.last, i)
		}
	}
	for server, err := range errs {
		c.last[server] = outcome{err: err}
	}
	for _, r := range readings {
		c.last[r.server] = outcome{reading: r, agrees: slices.Contains(agree, r)}
	}
	if ctx.Err() != nil {
		return 0
	}
	if len(agree) == 0 {
		return c.failed(readings, errs)
	}
	offset, wrong := combine(agree)
	pause, err := c.apply(offset, wrong, len(agree))
	if err != nil {
		c.trouble(err.Error())
		c.state.failures++
		return retry().After(c.state.failures, c.Chance())
	}
	return pause
}

// ask asks servers side by side, but for those that do not want it.
func (c *Clock) ask(ctx context.Context, servers []string) (readings []reading, errs map[string]error) {
	errs = map[string]error{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, server := range servers {
		c.mu.Lock()
		until := c.resign[server]
		c.mu.Unlock()
		if c.Now().Before(until) {
			errs[server] = errors.New("it does not want to be asked now")
			continue
		}
		all.Go(func() {
			sample, err := sntp.Ask(ctx, c.Dial, address(server), c.Nonce(), c.Floor, c.Now)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs[server] = err
				c.kissed(server, err)
				return
			}
			readings = append(readings, reading{server, sample})
		})
	}
	all.Wait()
	slices.SortFunc(readings, func(a, b reading) int { return strings.Compare(a.server, b.server) })
	return readings, errs
}

// kissed does what a server asks for that does not want to be asked: one that does
// not serve this machine is left alone for a day, one that is asked too often for
// four of the longest pauses.
func (c *Clock) kissed(server string, err error) {
	var kiss *sntp.Kiss
	if !errors.As(err, &kiss) {
		return
	}
	rest := 4 * longPoll
	if kiss.Gone() {
		rest = 24 * time.Hour
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resign[server] = c.Now().Add(rest)
}

// address is a server's with its port.
func address(server string) string {
	if host, number, err := net.SplitHostPort(server); err == nil {
		return net.JoinHostPort(host, number)
	}
	return net.JoinHostPort(strings.Trim(server, "[]"), port)
}

// failed notes that nobody, or no majority, has told the time. c.mu is held.
func (c *Clock) failed(readings []reading, errs map[string]error) time.Duration {
	c.state.failures++
	why := "no server answers"
	if len(readings) > 0 {
		why = fmt.Sprintf("%d servers answer, and no more than half of them agree", len(readings))
	} else if len(errs) == 1 {
		for server, err := range errs {
			why = server + ": " + err.Error()
		}
	}
	if c.state.failures > 2 || len(readings) > 0 { // a network takes its time to come up
		c.trouble(why)
	}
	return retry().After(c.state.failures, c.Chance())
}

// trouble notes a problem, and says it when it is new. c.mu is held.
func (c *Clock) trouble(why string) {
	if c.state.problem != why {
		c.Say("clock: " + why)
	}
	c.state.problem = why
}

// apply does what an offset asks for. c.mu is held.
func (c *Clock) apply(offset, wrong time.Duration, agree int) (pause time.Duration, err error) {
	s := &c.state
	s.offset, s.wrong = offset, wrong
	wanted := c.Now().Add(offset)
	size := max(offset, -offset)
	switch {
	case wanted.Before(c.Floor):
		return 0, fmt.Errorf("the servers say it is %s, before this image was made: not believed", wanted.UTC().Format(time.RFC3339))
	case wanted.After(c.Floor.AddDate(maxYears, 0, 0)):
		return 0, fmt.Errorf("the servers say it is %s, %d years after this image was made: not believed", wanted.UTC().Format(time.RFC3339), maxYears)
	case s.synchronised && wanted.Before(s.furthest().Add(-maxBack)):
		return 0, fmt.Errorf("the servers say that the clock is %v ahead: it was right before, and is not set back by more than %v in all", size.Round(time.Second), maxBack)
	case !s.synchronised && size > atFirst, size > slewed && s.large+1 >= confirmed:
		if err := c.Kernel.Step(offset); err != nil {
			return 0, err
		}
		c.Say(fmt.Sprintf("clock: set by %v, to %s, as %d of the servers say", round(offset), wanted.UTC().Format(time.RFC3339), agree))
		err = c.Kernel.Slew(0, shortPoll, wrong) // tells the kernel that it is right
	case size > slewed:
		s.large++
		return again, nil
	default:
		err = c.Kernel.Slew(offset, max(s.poll, shortPoll), wrong)
	}
	if err != nil {
		return 0, err
	}
	s.reached(wanted)
	c.right(size)
	return time.Duration(float64(s.poll) * (0.9 + c.Chance()/5)), nil
}

// furthest is what time it would be, had the clock never been set back.
func (s *state) furthest() time.Time { return s.latest.Add(time.Since(s.since)) }

// reached notes the time that the clock has been set to. The monotonic reading is taken
// off it: the clock is stepped, and a step does not change that.
func (s *state) reached(now time.Time) {
	if now = now.Round(0); !s.synchronised || now.After(s.furthest()) {
		s.latest, s.since = now, time.Now()
	}
}

// right notes that the clock is, and how soon to look again: the pause grows while the
// offset stays small, and falls when it does not. c.mu is held.
func (c *Clock) right(size time.Duration) {
	s := &c.state
	if !s.synchronised {
		close(c.ready)
	}
	switch {
	case !s.synchronised || size > slewed:
		s.poll = shortPoll
	case size > max(2*s.wrong, 10*time.Millisecond):
		s.poll = max(s.poll/2, shortPoll)
	default:
		s.poll = min(s.poll*2, longPoll)
	}
	s.synchronised, s.at, s.large, s.failures, s.problem = true, c.Now(), 0, 0, ""
}

// round is an offset as a person reads it.
func round(d time.Duration) time.Duration {
	if d < time.Second && d > -time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}
