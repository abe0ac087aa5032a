package clock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ketch-os/ketch/agent/clock/sntp"
)

// world is a machine with a clock, and servers around it, in time of its own.
type world struct {
	*Clock
	mu      sync.Mutex
	shift   time.Duration // of the machine's clock against the true time
	steps   []time.Duration
	slews   int
	asked   map[string]int
	servers map[string]func(*sntp.Packet) // what a server makes of the right answer
	said    []string
}

// newWorld is a machine whose clock is off by shift.
func newWorld(shift time.Duration, servers map[string]func(*sntp.Packet)) *world {
	w := &world{shift: shift, asked: map[string]int{}, servers: servers}
	w.Clock = &Clock{
		Kernel: w, Floor: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), // the time of package synctest begins in 2000
		Say:  func(line string) { w.said = append(w.said, line) },
		Dial: w.dial, Now: w.now, Nonce: func() uint64 { return 0xfedcba9876543210 }, Chance: func() float64 { return 0.5 },
	}
	return w
}

func (w *world) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return time.Now().Add(w.shift) }

func (w *world) Step(offset time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shift += offset
	w.steps = append(w.steps, offset)
	return nil
}

// Slew takes all of it at once: a world has no hurry.
func (w *world) Slew(offset, _, _ time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shift += offset
	w.slews++
	return nil
}

// dial is a network that takes a millisecond each way.
func (w *world) dial(_ context.Context, _, address string) (net.Conn, error) {
	change, ok := w.servers[address]
	if !ok {
		return nil, errors.New("no such host")
	}
	w.mu.Lock()
	w.asked[address]++
	w.mu.Unlock()
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		question := make([]byte, 100)
		if _, err := theirs.Read(question); err != nil || change == nil {
			theirs.Read(question) // silence, until nobody waits any more
			return
		}
		time.Sleep(time.Millisecond)
		at := sntp.Stamp(time.Now())
		p := sntp.Packet{LeapVersionMode: 4<<3 | 4, Stratum: 2, RootDispersion: 1 << 9, Origin: sntp.Time(binary.BigEndian.Uint64(question[40:])), Receive: at, Transmit: at}
		change(&p)
		answer, _ := binary.Append(nil, binary.BigEndian, p)
		time.Sleep(time.Millisecond)
		theirs.Write(answer)
	}()
	return ours, nil
}

// count is how often a server has been asked.
func (w *world) count(address string) int { w.mu.Lock(); defer w.mu.Unlock(); return w.asked[address] }

func right(*sntp.Packet) {}

// off is a server whose clock is wrong by some time.
func off(by time.Duration) func(*sntp.Packet) {
	return func(p *sntp.Packet) {
		at := sntp.Stamp(time.Now().Add(by))
		p.Receive, p.Transmit = at, at
	}
}

// runs runs a world for a time.
func (w *world) runs(t *testing.T, servers []string, span time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	w.Use(Configuration, servers)
	time.Sleep(span)
	cancel()
	running.Wait()
}

func (w *world) is(wrong time.Duration) bool { return max(w.shift, -w.shift) <= wrong }

// TestServers: who is believed, and what becomes of a clock that is an hour behind.
func TestServers(t *testing.T) {
	epoch := func(p *sntp.Packet) { p.Receive, p.Transmit = sntp.Stamp(time.Unix(0, 0)), sntp.Stamp(time.Unix(0, 0)) }
	for name, test := range map[string]struct {
		servers map[string]func(*sntp.Packet)
		set     bool
		said    string // part of what is said
	}{
		"one":               {map[string]func(*sntp.Packet){"a:123": right}, true, "clock: set by 1h0m0s, to 2000-01-01T00:00:00Z, as 1 of the servers say"},
		"three":             {map[string]func(*sntp.Packet){"a:123": right, "b:123": right, "c:123": right}, true, "as 3 of the servers say"},
		"one liar of three": {map[string]func(*sntp.Packet){"a:123": right, "b:123": right, "c:123": off(-24 * time.Hour)}, true, "as 2 of the servers say"},
		"one silent":        {map[string]func(*sntp.Packet){"a:123": right, "b:123": nil, "c:123": right}, true, "as 2 of the servers say"},
		"two that differ":   {map[string]func(*sntp.Packet){"a:123": right, "b:123": off(time.Minute)}, false, "2 servers answer, and no more than half of them agree"},
		"all differ":        {map[string]func(*sntp.Packet){"a:123": right, "b:123": off(time.Minute), "c:123": off(time.Hour)}, false, "3 servers answer"},
		"silence":           {map[string]func(*sntp.Packet){"a:123": nil}, false, "a: no answer within 2s"},
		"no such host":      {map[string]func(*sntp.Packet){}, false, "a: no such host"},
		"unsynchronised":    {map[string]func(*sntp.Packet){"a:123": func(p *sntp.Packet) { p.LeapVersionMode |= 3 << 6 }}, false, "a: the server is not synchronised"},
		"zero transmit":     {map[string]func(*sntp.Packet){"a:123": func(p *sntp.Packet) { p.Transmit = 0 }}, false, "a: the server's time is missing"},
		"spoofed":           {map[string]func(*sntp.Packet){"a:123": func(p *sntp.Packet) { p.Origin++ }}, false, "a: "},
		"1970":              {map[string]func(*sntp.Packet){"a:123": epoch}, false, "10 years after this image was made: not believed"},
		"before the image":  {map[string]func(*sntp.Packet){"a:123": off(-400 * 24 * time.Hour)}, false, "10 years after this image was made: not believed"},
		"far future":        {map[string]func(*sntp.Packet){"a:123": off(11 * 366 * 24 * time.Hour)}, false, "10 years after this image was made: not believed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(-time.Hour, test.servers)
				servers := []string{"a"}
				for _, more := range []string{"b", "c"} {
					if _, ok := test.servers[more+":123"]; ok {
						servers = append(servers, more)
					}
				}
				w.runs(t, servers, 30*time.Second)
				if w.is(10*time.Millisecond) != test.set || !test.set && len(w.steps) > 0 {
					t.Errorf("the clock is off by %v after steps %v", w.shift, w.steps)
				}
				if said := strings.Join(w.said, "\n"); !strings.Contains(said, test.said) {
					t.Errorf("said %q; want %q", said, test.said)
				}
				select {
				case <-w.Ready():
					if !test.set {
						t.Error("it is ready")
					}
				default:
					if test.set {
						t.Error("it is not ready")
					}
				}
				if s := w.Status(); s.Synchronised != test.set || test.set && s.Problem != "" {
					t.Errorf("status = %+v", s)
				}
			})
		})
	}
}

// TestNoServers: nobody is asked, and there is nothing to tell.
func TestNoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(-time.Hour, map[string]func(*sntp.Packet){"a:123": right})
		w.runs(t, nil, 24*time.Hour)
		if len(w.asked) > 0 || len(w.said) > 0 || w.Status() != nil {
			t.Errorf("asked %v, said %q, status %v", w.asked, w.said, w.Status())
		}
	})
}

// TestSources: the best source that names servers decides, and a change counts at once.
func TestSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(0, map[string]func(*sntp.Packet){"a:123": right, "b:123": right, "[fd00::1]:123": right, "c:1123": right})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.Run(ctx) })
		for _, step := range []struct {
			from    Source
			servers []string
			want    string
		}{{DHCP, []string{"a"}, "a:123"}, {Platform, []string{"fd00::1"}, "[fd00::1]:123"}, {Configuration, []string{"c:1123"}, "c:1123"}, {Configuration, nil, "[fd00::1]:123"}} {
			before := w.count(step.want)
			w.Use(step.from, step.servers)
			time.Sleep(time.Second)
			if w.count(step.want) != before+1 {
				t.Errorf("after %v names %v: asked %v; want %s", step.from, step.servers, w.asked, step.want)
			}
		}
		cancel()
		running.Wait()
	})
}

// TestInterval: a clock that stays right is looked at ever more rarely, and a server
// that does not answer too.
func TestInterval(t *testing.T) {
	for name, test := range map[string]struct {
		server      func(*sntp.Packet)
		least, most int
	}{"right": {right, 40, 60}, "silent": {nil, 80, 110}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(0, map[string]func(*sntp.Packet){"a:123": test.server})
			w.runs(t, []string{"a"}, 24*time.Hour)
			if n := w.count("a:123"); n < test.least || n > test.most {
				t.Errorf("%s: asked %d times in a day; want %d to %d", name, n, test.least, test.most)
			}
		})
	}
}

// TestWake: news of the network make a clock ask at once that is not right, and leave
// one alone that is.
func TestWake(t *testing.T) {
	for name, test := range map[string]struct {
		server func(*sntp.Packet)
		most   int
		least  int
	}{"right": {right, 1, 1}, "silent": {nil, 40, 15}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(0, map[string]func(*sntp.Packet){"a:123": test.server})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { w.Run(ctx) })
			w.Use(DHCP, []string{"a"})
			for range 60 {
				time.Sleep(time.Second)
				w.Wake()
			}
			cancel()
			running.Wait()
			if n := w.count("a:123"); n < test.least || n > test.most {
				t.Errorf("%s: asked %d times; want %d to %d", name, n, test.least, test.most)
			}
		})
	}
}

// TestKiss: a server that says so is left alone.
func TestKiss(t *testing.T) {
	for code, most := range map[string]int{"DENY": 2, "RSTR": 2, "RATE": 12} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(0, map[string]func(*sntp.Packet){"a:123": func(p *sntp.Packet) { p.Stratum = 0; copy(p.ReferenceID[:], code) }})
			w.runs(t, []string{"a"}, 24*time.Hour)
			if n := w.count("a:123"); n < 1 || n > most {
				t.Errorf("%s: asked %d times in a day; want at most %d", code, n, most)
			}
		})
	}
}

// TestLater: what becomes of a clock that was right, when the servers move by some time.
func TestLater(t *testing.T) {
	for _, test := range []struct {
		by    time.Duration
		span  time.Duration // for which they do
		moved bool
		step  bool
	}{
		{100 * time.Millisecond, time.Hour, true, false},
		{-100 * time.Millisecond, time.Hour, true, false},
		{10 * time.Minute, 3 * time.Hour, true, true},
		{-10 * time.Minute, 3 * time.Hour, true, true},
		{-2 * time.Hour, 3 * time.Hour, false, false},
		{48 * time.Hour, 3 * time.Hour, true, true},        // a machine that slept
		{10 * time.Minute, 15 * time.Second, false, false}, // a moment of madness
	} {
		t.Run(fmt.Sprint(test.by, " for ", test.span), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				moved := time.Duration(0)
				w := newWorld(0, map[string]func(*sntp.Packet){"a:123": func(p *sntp.Packet) { mu.Lock(); by := moved; mu.Unlock(); off(by)(p) }})
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { w.Run(ctx) })
				w.Use(DHCP, []string{"a"})
				time.Sleep(time.Hour)
				mu.Lock()
				moved = test.by
				mu.Unlock()
				w.askNow()
				time.Sleep(test.span)
				if test.span < time.Minute { // they are right again
					mu.Lock()
					moved = 0
					mu.Unlock()
					time.Sleep(time.Hour)
				}
				cancel()
				running.Wait()
				wrong := w.shift - moved
				if ok := max(wrong, -wrong) < 20*time.Millisecond; ok != (test.moved || moved == 0) {
					t.Errorf("the clock is off by %v from what the servers say", wrong)
				}
				if (len(w.steps) > 0) != test.step {
					t.Errorf("steps = %v", w.steps)
				}
				if !test.moved && moved != 0 && !strings.Contains(w.Status().Problem, "not set back") {
					t.Errorf("problem = %q", w.Status().Problem)
				}
			})
		})
	}
}

// TestBackInSteps: a liar who takes the clock back by less than what is refused, again and again.
func TestBackInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var w *world
		w = newWorld(0, map[string]func(*sntp.Packet){"a:123": func(p *sntp.Packet) {
			if time.Since(began) > 10*time.Minute {
				at := sntp.Stamp(w.now().Add(-maxBack + time.Minute))
				p.Receive, p.Transmit = at, at
			}
		}})
		w.runs(t, []string{"a"}, 24*time.Hour)
		if w.shift < -maxBack || w.shift > -maxBack/2 || len(w.steps) != 1 {
			t.Errorf("after a day the clock is off by %v, in steps %v; want one", w.shift, w.steps)
		}
		if problem := w.Status().Problem; !strings.Contains(problem, "not set back by more than 1h0m0s in all") {
			t.Errorf("problem = %q", problem)
		}
	})
}

// TestPick: the intervals that most share.
func TestPick(t *testing.T) {
	r := func(server string, offset, wrong time.Duration) reading {
		return reading{server, &sntp.Sample{Offset: offset * time.Millisecond, Wrong: wrong * time.Millisecond}}
	}
	for want, all := range map[string][]reading{
		"":     nil,
		"a":    {r("a", 5, 1)},
		"ab":   {r("a", 5, 10), r("b", 14, 1)},
		"bc":   {r("a", 100, 5), r("b", 0, 5), r("c", 3, 5)},
		"abc":  {r("a", -10, 20), r("b", 0, 5), r("c", 9, 5)},
		"acde": {r("a", 0, 5), r("b", 99, 1), r("c", 1, 5), r("d", 2, 5), r("e", 3, 5)},
		"ab!":  {r("a", 0, 0), r("b", 2, 0)}, // two that only touch
	} {
		got := ""
		for _, one := range pick(all) {
			got += one.server
		}
		if got != strings.TrimSuffix(want, "!") {
			t.Errorf("pick(%v) = %q; want %q", all, got, want)
		}
	}
	if got := pick([]reading{r("a", 0, 1), r("b", 100, 1), r("c", 0, 1), r("d", 100, 1)}); got != nil {
		t.Errorf("two against two: %v", got)
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"time.example": "time.example:123", "time.example:1123": "time.example:1123", "192.0.2.1": "192.0.2.1:123",
		"2001:db8::1": "[2001:db8::1]:123", "[2001:db8::1]": "[2001:db8::1]:123", "[2001:db8::1]:99": "[2001:db8::1]:99",
	} {
		if got := address(in); got != want {
			t.Errorf("address(%s) = %s; want %s", in, got, want)
		}
	}
}
