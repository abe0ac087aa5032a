package admit

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"
)

func small() Limits {
	return Limits{Waiting: 4, PerNetwork: 3, Burst: 5, Every: time.Second, FailCost: 3, SignedIn: 2}
}

var start = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)

func enter(t *testing.T, d *Door, address string, now time.Time, close func()) *Visit {
	t.Helper()
	v, err := d.Enter(netip.MustParseAddr(address), now, close)
	if err != nil {
		t.Fatalf("Enter(%s) = %v", address, err)
	}
	return v
}

func TestNetworkOf(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":         "192.0.2.1/32",
		"::ffff:192.0.2.1":  "192.0.2.1/32",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"fe80::1%eth0":      "fe80::/64",
	} {
		if got := NetworkOf(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("NetworkOf(%s) = %s; want %s", address, got, want)
		}
	}
}

func TestPerNetwork(t *testing.T) {
	d := New(small())
	first := enter(t, d, "2001:db8::1", start, nil)
	enter(t, d, "2001:db8::2", start, nil)
	enter(t, d, "2001:db8::3", start, nil)
	if _, err := d.Enter(netip.MustParseAddr("2001:db8::4"), start, nil); !errors.Is(err, ErrTooMany) {
		t.Fatalf("fourth of a network: %v; want ErrTooMany", err)
	}
	first.End()
	first.End() // twice is once
	enter(t, d, "2001:db8::4", start, nil)
	if _, err := d.Enter(netip.MustParseAddr("2001:db8::5"), start, nil); !errors.Is(err, ErrTooMany) {
		t.Errorf("after one has left twice: %v; want ErrTooMany", err)
	}
}

func TestRate(t *testing.T) {
	d := New(small())
	come := func(now time.Time) error {
		v, err := d.Enter(netip.MustParseAddr("192.0.2.1"), now, nil)
		if err == nil {
			v.End()
		}
		return err
	}
	for i := range 5 {
		if err := come(start); err != nil {
			t.Fatalf("connection %d of the burst: %v", i, err)
		}
	}
	if err := come(start); !errors.Is(err, ErrTooFast) {
		t.Fatalf("after the burst: %v; want ErrTooFast", err)
	}
	if err := come(start.Add(time.Second)); err != nil {
		t.Errorf("after a rest: %v", err)
	}
	if err := come(start.Add(time.Second)); !errors.Is(err, ErrTooFast) {
		t.Errorf("at once after that: %v; want ErrTooFast", err)
	}
	enter(t, d, "192.0.2.2", start, nil) // another network is not concerned
}

// TestFailures: they cost more, but nobody is kept out for ever.
func TestFailures(t *testing.T) {
	d := New(small())
	v := enter(t, d, "192.0.2.1", start, nil)
	for range 1000 {
		v.Failed(start)
	}
	v.End()
	if _, err := d.Enter(netip.MustParseAddr("192.0.2.1"), start.Add(5*time.Second), nil); !errors.Is(err, ErrTooFast) {
		t.Errorf("after many failures: %v; want ErrTooFast", err)
	}
	enter(t, d, "192.0.2.1", start.Add(11*time.Second), nil)
}

// TestDisplaced: a full door takes a newcomer in, at the cost of those that are most.
func TestDisplaced(t *testing.T) {
	d := New(small())
	closed := map[string]bool{}
	visits := map[string]*Visit{}
	for _, address := range []string{"192.0.2.9", "198.51.100.1", "198.51.100.1", "198.51.100.1"} {
		visits[address] = enter(t, d, address, start, func() { closed[address] = true })
	}
	enter(t, d, "203.0.113.1", start, nil)
	if !closed["198.51.100.1"] || closed["192.0.2.9"] {
		t.Errorf("closed = %v; want one of the network with three, not the oldest of all", closed)
	}
}

func TestSignedIn(t *testing.T) {
	d := New(small())
	var inside []*Visit
	for range 2 {
		v := enter(t, d, "192.0.2.1", start, nil)
		if err := v.SignedIn(); err != nil {
			t.Fatal(err)
		}
		inside = append(inside, v)
	}
	third := enter(t, d, "192.0.2.1", start, nil)
	if err := third.SignedIn(); !errors.Is(err, ErrFull) {
		t.Errorf("third: %v; want ErrFull", err)
	}
	third.End()
	inside[0].End()
	if err := enter(t, d, "192.0.2.1", start, nil).SignedIn(); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

// TestManyNetworks: what is remembered has a bound, whoever comes.
func TestManyNetworks(t *testing.T) {
	d := New(small())
	for i := range uint32(5 * maxNetworks) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 0x0a000000+i)
		v, err := d.Enter(netip.AddrFrom4(b), start, nil)
		if err != nil {
			t.Fatal(err)
		}
		v.Failed(start)
		v.End()
		if len(d.networks) > maxNetworks {
			t.Fatalf("%d networks are remembered", len(d.networks))
		}
	}
	if d.waiting.Len() != 0 {
		t.Errorf("%d wait at the door after all have left", d.waiting.Len())
	}
}
