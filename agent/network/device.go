package network

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// firstMetric is the metric of the routes of the first link. Of two default
// routes the one of the link that came first wins.
const firstMetric = 1000

// device is a link in the kernel.
type device struct {
	index int
	name  string
}

// Set makes the IPv4 addresses and routes of the link those of the lease.
// Whatever else has a limited life or comes from DHCP was left by an earlier
// lease, and is removed.
func (d *device) Set(l *Lease) error {
	link, err := netlink.LinkByIndex(d.index)
	if err != nil {
		return fmt.Errorf("find link %s: %w", d.name, err)
	}
	if l.MTU != 0 && l.MTU != link.Attrs().MTU {
		// A device that cannot do it works with the MTU it has.
		if err := netlink.LinkSetMTU(link, l.MTU); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("set MTU of %s to %d: %w", d.name, l.MTU, err)
		}
	}
	// The old ones go first: removing an address also removes those that came
	// later in the same network.
	if err := d.clean(link, l); err != nil {
		return err
	}
	if err := netlink.AddrReplace(link, address(l)); err != nil {
		return fmt.Errorf("set address %s on %s: %w", l.Address, d.name, err)
	}
	for _, route := range l.Routes {
		if err := netlink.RouteReplace(d.route(l, route)); err != nil {
			return fmt.Errorf("set route to %s on %s: %w", route.To, d.name, err)
		}
	}
	return nil
}

// Clear takes away everything that Set has set.
func (d *device) Clear() error {
	link, err := netlink.LinkByIndex(d.index)
	if err != nil {
		return fmt.Errorf("find link %s: %w", d.name, err)
	}
	return d.clean(link, &Lease{})
}

// clean removes the addresses and routes of leases other than l.
func (d *device) clean(link netlink.Link, l *Lease) error {
	addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", d.name, err)
	}
	for _, old := range addresses {
		if old.Flags&unix.IFA_F_PERMANENT != 0 || prefix(old.IPNet) == l.Address {
			continue
		}
		if err := netlink.AddrDel(link, &old); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove address %s from %s: %w", old.IPNet, d.name, err)
		}
	}
	return d.cleanRoutes(l)
}

func (d *device) cleanRoutes(l *Lease) error {
	filter := &netlink.Route{LinkIndex: d.index, Protocol: unix.RTPROT_DHCP}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list routes of %s: %w", d.name, err)
	}
	for _, old := range routes {
		if wanted(l, old) {
			continue
		}
		if err := netlink.RouteDel(&old); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route to %v from %s: %w", old.Dst, d.name, err)
		}
	}
	return nil
}

func wanted(l *Lease, old netlink.Route) bool {
	to := netip.PrefixFrom(netip.IPv4Unspecified(), 0) // the default route may come without a destination
	if old.Dst != nil {
		to = prefix(old.Dst)
	}
	gateway, _ := netip.AddrFromSlice(old.Gw.To4())
	for _, route := range l.Routes {
		if (Route{to, gateway}) == route {
			return true
		}
	}
	return false
}

// address is the lease's address, for as long as the lease lasts. When nobody
// renews it the kernel takes it away. An endless lease lasts 68 years, because a
// permanent address would not be known as ours.
func address(l *Lease) *netlink.Addr {
	seconds := int(l.Expire / time.Second)
	if l.Expire == 0 {
		seconds = math.MaxInt32
	}
	return &netlink.Addr{IPNet: ipNet(l.Address), ValidLft: seconds, PreferedLft: seconds}
}

// route is a route of the lease. Its gateway is taken to be on the link whatever
// the mask says: clouds give out /32 addresses.
func (d *device) route(l *Lease, r Route) *netlink.Route {
	route := &netlink.Route{
		LinkIndex: d.index,
		Dst:       ipNet(r.To),
		Src:       l.Address.Addr().AsSlice(),
		Protocol:  unix.RTPROT_DHCP,
		Priority:  firstMetric + d.index,
		Scope:     netlink.SCOPE_LINK,
	}
	if r.Gateway.IsValid() {
		route.Gw = r.Gateway.AsSlice()
		route.Scope = netlink.SCOPE_UNIVERSE
		route.Flags = int(netlink.FLAG_ONLINK)
	}
	return route
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefix(n *net.IPNet) netip.Prefix {
	address, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), ones)
}
