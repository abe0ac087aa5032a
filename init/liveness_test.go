package main

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/shutdown"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/power"
	"github.com/ketch-os/ketch/linux/watchdog"
)

// beats lets a pulse beat as the loop does, and returns how often the watchdog
// would have been fed, and what PID 1 died of.
func beats(p *pulse, n int) (fed int, died any) {
	defer func() { died = recover() }()
	for range n {
		select {
		case err := <-p.taken:
			if p.note(err) {
				fed++
			}
		case <-time.After(50 * time.Millisecond):
		}
		p.take()
	}
	return fed, nil
}

func TestPulse(t *testing.T) {
	var lock sync.Mutex
	fault := errors.New("process 7 has ended and has not been collected")
	var unwell error
	p := newPulse(&kmsg.Log{}, []vital{
		{"machine", func() error { return nil }},
		{"supervisor", func() error { lock.Lock(); defer lock.Unlock(); return nil }},
		{"reaper", func() error { lock.Lock(); defer lock.Unlock(); return unwell }},
	})
	if fed, died := beats(p, 20); fed != 20 || died != nil {
		t.Errorf("alive: fed %d times, died of %v; want 20, nil", fed, died)
	}
	lock.Lock() // for a while
	if fed, died := beats(p, beatsToDeath-3); fed > 1 || died != nil {
		t.Errorf("a lock held: fed %d times, died of %v; want the round under way at most", fed, died)
	}
	lock.Unlock()
	if fed, died := beats(p, 5); fed < 4 || died != nil {
		t.Errorf("the lock let go: fed %d times, died of %v; want it alive again", fed, died)
	}
	lock.Lock()
	unwell = fault
	lock.Unlock()
	fed, died := beats(p, beatsToDeath+2)
	if text, _ := died.(string); fed > 1 || !strings.HasPrefix(text, "deadlock: reaper has not been alive for 30s") {
		t.Errorf("a part that is not alive: fed %d times, died of %v; want the reaper named", fed, died)
	}
}

func TestDeadlockIsDeath(t *testing.T) {
	var lock sync.Mutex
	lock.Lock()
	defer lock.Unlock()
	p := newPulse(&kmsg.Log{}, []vital{{"supervisor", func() error { lock.Lock(); return nil }}})
	fed, died := beats(p, beatsToDeath+1)
	if text, _ := died.(string); fed > 0 || !strings.HasPrefix(text, "deadlock: supervisor") {
		t.Errorf("a deadlock: fed %d times, died of %v; want the supervisor named", fed, died)
	}
	if !strings.Contains(stacks(), "TestDeadlockIsDeath") {
		t.Error("the stacks do not show who waits")
	}
	if limit := beatsToDeath * machine.FeedEvery; limit >= machine.WatchdogTimeout {
		t.Errorf("PID 1 gives up after %v: the watchdog would not let it speak", limit)
	}
}

// TestServe: the loop feeds the watchdog while all is well, and ends with an order.
func TestServe(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "watchdog")
	if err != nil {
		t.Fatal(err)
	}
	m := machine.New()
	m.Watchdog = watchdog.Inherit(f.Fd(), machine.WatchdogTimeout)
	before := size(t, f.Name())
	s := newSystem(m)
	s.reaper, s.services, s.gate = theReaper(), emptySupervisor(m), s.newGate()
	go func() {
		for size(t, f.Name()) == before {
			time.Sleep(time.Millisecond)
		}
		s.order(shutdown.Order{Action: power.Off, By: "a test"})
		close(s.ended)
		s.order(shutdown.Order{Action: power.Reboot, By: "a late one"}) // waits for nobody
	}()
	order := s.serve(make(chan os.Signal))
	if order.Action != power.Off || order.By != "a test" {
		t.Errorf("serve = %+v; want the first order", order)
	}
	<-s.ended
}

func size(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		t.Error(err)
		return 0
	}
	return info.Size()
}

// TestBetter: only a version on trial goes back, and only to one that was good.
func TestBetter(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key := func(n byte) bootrecord.Key { return bootrecord.Key{n} }
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
