// Package admit bounds who may be at the door of the SSH server before having signed
// in: connections at once, in all and by network, and how fast they may come.
//
// A network is an IPv4 address or an IPv6 /64, which is what one subscriber has
// (RFC 6177). When the door is full the oldest of the network that waits with most
// gives way: a flood displaces itself before it keeps anybody out.
package admit

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Limits are the bounds. All of them are needed.
type Limits struct {
	Waiting    int           // connections that have not signed in, in all
	PerNetwork int           // the same, of one network
	Burst      int           // connections of one network at once, after a rest
	Every      time.Duration // one more after each of these
	FailCost   int           // a sign-in that failed counts as so many connections
	SignedIn   int           // connections that have signed in, in all
}

// Default are the limits of a machine.
func Default() Limits {
	return Limits{Waiting: 64, PerNetwork: 16, Burst: 40, Every: time.Second, FailCost: 4, SignedIn: 64}
}

// maxNetworks bounds what is remembered of networks that have come too often.
const maxNetworks = 4096

// The reasons not to let a connection in.
var (
	ErrTooFast  = errors.New("its network comes too often")
	ErrTooMany  = errors.New("its network has too many connections at the door")
	ErrFull     = errors.New("too many are signed in")
	errNoLimits = errors.New("the door has no limits")
)

// Door keeps the count. Use New.
type Door struct {
	limits Limits

	mu       sync.Mutex
	waiting  *list.List // of *Visit, oldest first
	networks map[netip.Prefix]*network
	signedIn int
}

// network is what is known of one network.
type network struct {
	waiting int
	owed    time.Time // when it will have rested from all its connections
}

// Visit is a connection at the door.
type Visit struct {
	door    *Door
	network netip.Prefix
	element *list.Element // nil once it is not at the door any more
	inside  bool
	close   func()
}

// New returns a door with limits.
func New(limits Limits) *Door {
	return &Door{limits: limits, waiting: list.New(), networks: map[netip.Prefix]*network{}}
}

// NetworkOf is the network that an address counts for.
func NetworkOf(address netip.Addr) netip.Prefix {
	address = address.Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	prefix, _ := address.Prefix(bits) // the bits are in range: there is no error
	return prefix
}

// Enter lets a connection to the door, or says why not. close is called, from
// another's Enter, when it has to give way.
func (d *Door) Enter(address netip.Addr, now time.Time, close func()) (*Visit, error) {
	if d.limits.Waiting <= 0 {
		return nil, errNoLimits
	}
	v := &Visit{door: d, network: NetworkOf(address), close: close}
	d.mu.Lock()
	n := d.network(v.network, now)
	err := d.refusal(n, now)
	var displaced *Visit
	if err == nil {
		d.charge(n, now, 1)
		if d.waiting.Len() >= d.limits.Waiting {
			displaced = d.displace()
		}
		n.waiting++
		v.element = d.waiting.PushBack(v)
	}
	d.mu.Unlock()
	if displaced != nil {
		displaced.close()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// refusal tells why a network may not come now.
func (d *Door) refusal(n *network, now time.Time) error {
	switch {
	case n.waiting >= d.limits.PerNetwork:
		return ErrTooMany
	case n.owed.Sub(now) > time.Duration(d.limits.Burst-1)*d.limits.Every:
		return ErrTooFast
	}
	return nil
}

// charge makes a network rest longer. What it owes has a bound: a fault that
// repeats itself does not keep it out for ever.
func (d *Door) charge(n *network, now time.Time, times int) {
	if n.owed.Before(now) {
		n.owed = now
	}
	n.owed = n.owed.Add(time.Duration(times) * d.limits.Every)
	if most := now.Add(time.Duration(2*d.limits.Burst) * d.limits.Every); n.owed.After(most) {
		n.owed = most
	}
}

// network finds what is known of one, and forgets others where there are too many.
func (d *Door) network(prefix netip.Prefix, now time.Time) *network {
	if n := d.networks[prefix]; n != nil {
		return n
	}
	if len(d.networks) >= maxNetworks {
		d.forget(now)
	}
	n := &network{}
	d.networks[prefix] = n
	return n
}

// forget drops the networks that have rested, or, where none has, those that owe
// least, down to half.
func (d *Door) forget(now time.Time) {
	for limit := now; len(d.networks) > maxNetworks/2; limit = limit.Add(d.limits.Every) {
		kept := 0
		for prefix, n := range d.networks {
			switch {
			case n.waiting > 0:
				kept++
			case !n.owed.After(limit):
				delete(d.networks, prefix)
			}
		}
		if kept == len(d.networks) {
			return
		}
	}
}

// displace takes the oldest of the network with most off the list.
func (d *Door) displace() *Visit {
	var victim *Visit
	most := 0
	for e := d.waiting.Front(); e != nil; e = e.Next() {
		v := e.Value.(*Visit)
		if n := d.networks[v.network].waiting; n > most {
			victim, most = v, n
		}
	}
	d.leave(victim)
	return victim
}

// leave takes a visit off the list.
func (d *Door) leave(v *Visit) {
	if v.element == nil {
		return
	}
	d.waiting.Remove(v.element)
	v.element = nil
	d.networks[v.network].waiting--
}

// SignedIn moves a visit inside, or says that there is no room.
func (v *Visit) SignedIn() error {
	d := v.door
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leave(v)
	if d.signedIn >= d.limits.SignedIn {
		return ErrFull
	}
	d.signedIn++
	v.inside = true
	return nil
}

// Failed makes the network of a visit rest longer.
func (v *Visit) Failed(now time.Time) {
	d := v.door
	d.mu.Lock()
	defer d.mu.Unlock()
	d.charge(d.network(v.network, now), now, d.limits.FailCost)
}

// End ends a visit. It may be called more than once.
func (v *Visit) End() {
	d := v.door
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leave(v)
	if v.inside {
		d.signedIn--
		v.inside = false
	}
}
