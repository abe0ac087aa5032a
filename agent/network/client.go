package network

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/ketch-os/ketch/internal/backoff"
)

// lease is a lease as the server's messages tell it.
type lease struct {
	*Lease
	messages *nclient4.Lease
}

// dhcp is the DHCP side of a link. *dhcpSocket is one.
type dhcp interface {
	// Request asks whoever answers for an address.
	Request(ctx context.Context) (lease, error)
	// Renew asks for more time: the server that gave the lease, or any.
	Renew(ctx context.Context, g lease, any bool) (lease, error)
}

// linkConfig is the kernel's side of a link. *device is one.
type linkConfig interface {
	// Set makes the link's addresses and routes those of the lease.
	Set(l *Lease) error
	// Clear takes away what Set has set.
	Clear() error
}

// client keeps one link configured.
type client struct {
	dhcp dhcp
	link linkConfig
	// changed is called with each lease, nil when it has ended, and with what
	// went wrong while there is none.
	changed func(l *Lease, err error)
}

const (
	// firstRetry and lastRetry are the pauses before a lease is asked for again.
	firstRetry = 500 * time.Millisecond
	lastRetry  = time.Minute
)

// minRetry is the least time between two requests for more time (RFC 2131, 4.4.5).
const minRetry = time.Minute

// run asks for leases and keeps them until ctx ends. The configuration stays
// then: the kernel drops it when the lease ends.
func (c *client) run(ctx context.Context) {
	retry := backoff.Pause{First: firstRetry, Last: lastRetry}
	for failures := 0; ctx.Err() == nil; failures++ {
		asked := time.Now()
		g, err := c.dhcp.Request(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = c.link.Set(g.Lease)
		}
		if err != nil {
			c.changed(nil, err)
			backoff.Sleep(ctx, retry.After(failures+1, rand.Float64()))
			continue
		}
		failures = 0
		c.changed(g.Lease, nil)
		if c.hold(ctx, g, asked); ctx.Err() == nil {
			c.changed(nil, errors.Join(errors.New("lease has ended"), c.link.Clear()))
		}
	}
}

// hold renews a lease until it cannot be had any longer or ctx ends.
func (c *client) hold(ctx context.Context, g lease, asked time.Time) {
	if g.Expire == 0 {
		<-ctx.Done()
		return
	}
	next := asked.Add(g.Renew)
	for backoff.Sleep(ctx, time.Until(next)) {
		now := time.Now()
		if !now.Before(asked.Add(g.Expire)) {
			return
		}
		newer, err := c.renew(ctx, g, asked)
		var refused *nclient4.ErrNak
		switch {
		case err == nil:
			g, asked = newer, now
			next = asked.Add(g.Renew)
			c.changed(g.Lease, nil)
		case errors.As(err, &refused):
			return
		default:
			next = nextTry(time.Now(), asked, g.Lease)
		}
		if g.Expire == 0 {
			<-ctx.Done()
		}
	}
}

// renew asks once, and puts what it got to use.
func (c *client) renew(ctx context.Context, g lease, asked time.Time) (lease, error) {
	limited, cancel := context.WithDeadline(ctx, asked.Add(g.Expire))
	defer cancel()
	newer, err := c.dhcp.Renew(limited, g, !time.Now().Before(asked.Add(g.Rebind)))
	if err == nil {
		err = c.link.Set(newer.Lease)
	}
	return newer, err
}

// nextTry is when to ask again: after half of what is left of the period, but
// not sooner than in a minute, and no later than the period's end (RFC 2131, 4.4.5).
func nextTry(now, asked time.Time, l *Lease) time.Time {
	for _, end := range [...]time.Time{asked.Add(l.Rebind), asked.Add(l.Expire)} {
		if left := end.Sub(now); left > 0 {
			return now.Add(min(max(left/2, minRetry), left))
		}
	}
	return now
}

// dhcpSocket speaks DHCP on one link. Its sockets are open only while it waits
// for an answer: a raw socket sees every packet of the link.
type dhcpSocket struct{ link string }

// asked for in every request (RFC 2132, 9.8).
var options = [...]dhcpv4.OptionCode{
	dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionClasslessStaticRoute,
	dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName, dhcpv4.OptionDNSDomainSearchList,
	dhcpv4.OptionInterfaceMTU, dhcpv4.OptionNTPServers, dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
}

func modifiers() []dhcpv4.Modifier {
	list := []dhcpv4.Modifier{dhcpv4.WithRequestedOptions(options[:]...)}
	if name, err := os.Hostname(); err == nil && domain.MatchString(name) && name != "localhost" {
		list = append(list, dhcpv4.WithOption(dhcpv4.OptHostName(name)))
	}
	return list
}

// Request goes from DISCOVER to ACK.
func (s *dhcpSocket) Request(ctx context.Context) (lease, error) {
	c, err := nclient4.New(s.link, nclient4.WithTimeout(time.Second), nclient4.WithRetry(4))
	if err != nil {
		return lease{}, fmt.Errorf("open DHCP socket on %s: %w", s.link, err)
	}
	defer c.Close()
	return leaseOf(c.Request(ctx, modifiers()...))
}

// Renew sends one REQUEST in state RENEWING, to the server, or REBINDING, to all.
func (s *dhcpSocket) Renew(ctx context.Context, g lease, any bool) (lease, error) {
	options := []nclient4.ClientOpt{nclient4.WithTimeout(2 * time.Second), nclient4.WithRetry(2)}
	if !any && g.Server.IsValid() {
		self := &net.UDPAddr{IP: g.Address.Addr().AsSlice(), Port: nclient4.ClientPort}
		peer := &net.UDPAddr{IP: g.Server.AsSlice(), Port: nclient4.ServerPort}
		options = append(options, nclient4.WithUnicast(self), nclient4.WithServerAddr(peer))
	}
	c, err := nclient4.New(s.link, options...)
	if err != nil {
		return lease{}, fmt.Errorf("open DHCP socket on %s: %w", s.link, err)
	}
	defer c.Close()
	return leaseOf(c.Renew(ctx, g.messages, modifiers()...))
}

func leaseOf(messages *nclient4.Lease, err error) (lease, error) {
	if err != nil {
		return lease{}, err
	}
	checked, err := newLease(messages.ACK)
	return lease{checked, messages}, err
}
