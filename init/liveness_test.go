package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/machine/machinetest"
	"github.com/ketch-os/ketch/init/shutdown"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/power"
)

// lock is a mutex whose waiters synctest sees as such.
type lock chan bool

func newLock() lock     { return make(lock, 1) }
func (l lock) hold()    { l <- true }
func (l lock) release() { <-l }

// take is a part's sign of life: the lock can be had.
func (l lock) take() error {
	l.hold()
	l.release()
	return nil
}

// rounds lets a prober run as the loop does, and returns how often the watchdog
// would have been fed, and what PID 1 died of.
func rounds(p *prober, n int) (fed int, died any) {
	defer func() { died = recover() }()
	for range n {
		synctest.Wait() // the round under way ends, or hangs
		select {
		case err := <-p.found:
			if p.note(err) {
				fed++
			}
		default:
		}
		p.startRound()
	}
	return fed, nil
}

func TestProber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := newLock()
		fault := errors.New("process 7 has ended and has not been collected")
		var unwell error
		p := newProber(&kmsg.Log{}, []part{
			{"machine", func() error { return nil }},
			{"supervisor", held.take},
			{"reaper", func() error { return unwell }},
		})
		if fed, died := rounds(p, 20); fed != 20 || died != nil {
			t.Errorf("alive: fed %d times, died of %v; want 20, nil", fed, died)
		}
		synctest.Wait()
		held.hold() // for a while
		if fed, died := rounds(p, maxMissed); fed != 1 || died != nil {
			t.Errorf("a lock held: fed %d times, died of %v; want the round before it alone", fed, died)
		}
		held.release()
		if fed, died := rounds(p, 5); fed != 5 || died != nil {
			t.Errorf("the lock let go: fed %d times, died of %v; want it alive again", fed, died)
		}
		synctest.Wait()
		unwell = fault
		fed, died := rounds(p, maxMissed+2)
		if text, _ := died.(string); fed != 1 || !strings.HasPrefix(text, "deadlock: reaper has not been alive for 30s") {
			t.Errorf("a part that is not alive: fed %d times, died of %v; want the reaper named", fed, died)
		}
	})
}

func TestDeadlockIsDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := newLock()
		held.hold()
		defer held.release()
		p := newProber(&kmsg.Log{}, []part{{"supervisor", held.take}})
		fed, died := rounds(p, maxMissed+1)
		if text, _ := died.(string); fed > 0 || !strings.HasPrefix(text, "deadlock: supervisor") {
			t.Errorf("a deadlock: fed %d times, died of %v; want the supervisor named", fed, died)
		}
		if !strings.Contains(stacks(), "TestDeadlockIsDeath") {
			t.Error("the stacks do not show who waits")
		}
	})
	if limit := maxMissed * machine.FeedEvery; limit >= machine.WatchdogTimeout {
		t.Errorf("PID 1 gives up after %v: the watchdog would not let it speak", limit)
	}
}

// watched is a machine with a watchdog, and how often that has been fed.
func watched(t *testing.T) (m *machine.Machine, fed func() int64) {
	t.Helper()
	m = machine.New()
	return m, machinetest.Watch(t, m)
}

// newRunning is a system without services.
func newRunning(m *machine.Machine) *running {
	s := newSystem(m)
	s.reaper, s.services, s.gate = theReaper(), emptySupervisor(m), s.newGate()
	return s
}

// TestServe: the loop feeds the watchdog while all is well, and ends with a request.
func TestServe(t *testing.T) {
	theReaper() // is of no one test
	synctest.Test(t, func(t *testing.T) {
		m, fed := watched(t)
		s := newRunning(m)
		go func() {
			time.Sleep(4*machine.FeedEvery + time.Second)
			s.request(shutdown.Request{Action: power.Off, By: "a test"})
			close(s.ended)
			s.request(shutdown.Request{Action: power.Reboot, By: "a late one"}) // waits for nobody
		}()
		request := s.serve(make(chan os.Signal), s.parts())
		if request.Action != power.Off || request.By != "a test" {
			t.Errorf("serve = %+v; want the first request", request)
		}
		if got := fed(); got != 5 {
			t.Errorf("the watchdog was fed %d times in 21 s; want 5", got)
		}
		<-s.ended
	})
}

// TestAStuckPartStarvesTheWatchdog: it is not fed while a part hangs, whatever else
// is under way, as what follows a good boot is; and PID 1 does not wait for it.
func TestAStuckPartStarvesTheWatchdog(t *testing.T) {
	theReaper()
	synctest.Test(t, func(t *testing.T) {
		m, fed := watched(t)
		s := newRunning(m)
		release, held := make(chan struct{}), newLock()
		held.hold()
		defer held.release()
		defer close(release)
		go s.within(blessLimit, func() error { <-release; return nil })
		began := time.Now()
		died := func() (died any) {
			defer func() { died = recover() }()
			s.serve(make(chan os.Signal), []part{{"timeline", held.take}})
			return nil
		}()
		if text, _ := died.(string); !strings.HasPrefix(text, "deadlock: timeline") {
			t.Errorf("PID 1 died of %v; want the timeline named", died)
		}
		if got, took := fed(), time.Since(began); got != 0 || took != maxMissed*machine.FeedEvery {
			t.Errorf("the watchdog was fed %d times in %v; want never in 30 s", got, took)
		}
	})
}

// TestBetter: only a version on trial goes back, and only to one that was good.
func TestBetter(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key := func(n byte) verity.RootHash { return verity.RootHash{n} }
	record := func(good ...byte) *bootrecord.Record {
		r := &bootrecord.Record{}
		for _, n := range good {
			r.Good(r.Count(key(n), string('0'+n)+".0", "x"), now)
		}
		return r
	}
	trial := record(1)
	trial.Count(key(2), "2.0", "x")
	spent := record(1)
	for range layout.Tries {
		spent.Count(key(1), "1.0", "x")
	}
	spent.Count(key(2), "2.0", "x")
	again := record(1, 2)
	again.Count(key(1), "1.0", "x")
	first := record()
	first.Count(key(1), "1.0", "x")
	for name, test := range map[string]struct {
		record *bootrecord.Record
		want   string
	}{
		"no record": {nil, ""}, "empty": {record(), ""}, "first version": {first, ""}, "on trial": {trial, "1.0"},
		"was good": {again, ""}, "the good one has failed since": {spent, ""},
	} {
		if got := better(test.record); got != test.want {
			t.Errorf("%s: better = %q; want %q", name, got, test.want)
		}
	}
	m := machine.New()
	s := newSystem(m)
	m.SetRecord(trial)
	if err := s.stateHolds(); err != nil {
		t.Errorf("with the state partition: %v", err)
	}
	s.noState = errors.New("state partition: no ext4")
	if err := s.stateHolds(); err == nil || err.Error() != "state partition: no ext4; version 1.0 was good on this machine" {
		t.Errorf("on trial, without the state partition: %v", err)
	}
	m.SetRecord(first)
	if err := s.stateHolds(); err != nil {
		t.Errorf("the only version, without the state partition: %v; want it to run degraded", err)
	}
}
