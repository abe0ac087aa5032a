// Package network configures the machine's Ethernet links by DHCPv4 (RFC 2131)
// and writes the resolver's configuration from what the servers said. IPv6 is
// left to the kernel, which configures itself from router advertisements
// (RFC 4862) once a link has the parameters for it.
//
// Nothing waits for the network: links, leases and servers may come and go at
// any time. When ketchd ends, addresses stay as long as their leases last, and
// the next ketchd takes over.
//
// Left out: static configuration, bonds and VLANs, DHCPv6, duplicate address
// detection by ARP (RFC 5227), DHCPRELEASE and DHCPDECLINE.
package network

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Lease is what a server has granted, checked.
type Lease struct {
	Address netip.Prefix
	Server  netip.Addr // option 54; whom to ask for more time
	Routes  []Route
	DNS     []netip.Addr
	NTP     []netip.Addr // servers that tell the time: option 42
	Search  []string     // domains
	MTU     int          // 0: not said
	Refused []string     // what the server said besides and was not taken, and why

	// From the moment the lease was asked for. Endless when Expire is 0.
	Renew, Rebind, Expire time.Duration
}

// Route leads to a network, directly when Gateway is the zero Addr.
type Route struct {
	To      netip.Prefix
	Gateway netip.Addr
}

const (
	// shortest is the shortest lease that is believed.
	shortest = 10 * time.Second
	// endless is the lease time that means no end (RFC 2131, 3.3).
	endless = 0xffffffff * time.Second
	// minMTU is the least that IPv6 works with (RFC 8200, 5): below it the kernel
	// takes IPv6 off the link. IPv4's is 576 (RFC 791, 3.1).
	minMTU = 1280
	// maxMTU is the largest that Ethernet devices agree on. A virtual link takes
	// 65,535 without a word, and nothing arrives any more.
	maxMTU = 9216
	// maxRoutes is how many routes are taken.
	maxRoutes = 64
)

// newLease checks an acknowledgement and takes from it what is used. A server
// is not trusted: what it says becomes addresses and routes, never text that
// something interprets.
func newLease(ack *dhcpv4.DHCPv4) (*Lease, error) {
	address, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || !host(address) {
		return nil, fmt.Errorf("DHCP server grants the address %v", ack.YourIPAddr)
	}
	mask := ack.SubnetMask()
	if mask == nil {
		mask = ack.YourIPAddr.DefaultMask()
	}
	ones, bits := mask.Size()
	if bits != 32 || ones == 0 {
		return nil, fmt.Errorf("DHCP server grants the network mask %v", mask)
	}
	lease := &Lease{Address: netip.PrefixFrom(address, ones)}
	lease.DNS = lease.hosts("DNS server", ack.DNS())
	lease.NTP = lease.hosts("NTP server", ack.NTPServers())
	lease.setSearch(ack)
	if servers := lease.hosts("server", []net.IP{ack.ServerIdentifier()}); len(servers) == 1 {
		lease.Server = servers[0]
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil {
		lease.setMTU(int(mtu))
	}
	lease.setRoutes(ack)
	return lease, lease.setTimes(ack)
}

// refuse notes that something was not taken.
func (l *Lease) refuse(format string, args ...any) {
	l.Refused = append(l.Refused, fmt.Sprintf(format, args...))
}

func (l *Lease) setMTU(mtu int) {
	if mtu < minMTU || mtu > maxMTU {
		l.refuse("MTU %d: it must be from %d to %d", mtu, minMTU, maxMTU)
		return
	}
	l.MTU = mtu
}

// setTimes takes the lease's times (RFC 2131, 4.4.5). Those that contradict
// each other are replaced by the usual ones: a half, seven eighths.
func (l *Lease) setTimes(ack *dhcpv4.DHCPv4) error {
	l.Expire = ack.IPAddressLeaseTime(0)
	if l.Expire >= endless {
		l.Expire = 0
		return nil
	}
	if l.Expire < shortest {
		return fmt.Errorf("DHCP server grants a lease of %v; the least that is taken is %v", l.Expire, shortest)
	}
	l.Renew = ack.IPAddressRenewalTime(l.Expire / 2)
	l.Rebind = ack.IPAddressRebindingTime(l.Expire - l.Expire/8) // the longest times seven would overflow
	if l.Renew < shortest/4 || l.Renew >= l.Rebind || l.Rebind >= l.Expire {
		l.Renew, l.Rebind = l.Expire/2, l.Expire-l.Expire/8
	}
	return nil
}

// setRoutes: classless static routes (RFC 3442) replace the router option.
func (l *Lease) setRoutes(ack *dhcpv4.DHCPv4) {
	static := ack.ClasslessStaticRoute()
	if len(static) > maxRoutes {
		l.refuse("%d routes: only the first %d are taken", len(static), maxRoutes)
		static = static[:maxRoutes]
	}
	for _, route := range static {
		to, gateway, err := classless(route.Dest, route.Router)
		if err != nil {
			l.refuse("route to %v by %v: %v", route.Dest, route.Router, err)
			continue
		}
		l.Routes = append(l.Routes, Route{to, gateway})
	}
	if len(static) > 0 {
		return
	}
	if routers := l.hosts("router", ack.Router()); len(routers) > 0 { // the first is preferred
		l.Routes = []Route{{netip.PrefixFrom(netip.IPv4Unspecified(), 0), routers[0]}}
	}
}

func classless(dest *net.IPNet, router net.IP) (to netip.Prefix, gateway netip.Addr, err error) {
	address, ok := netip.AddrFromSlice(dest.IP.To4())
	ones, bits := dest.Mask.Size()
	if !ok || bits != 32 {
		return to, gateway, errors.New("not IPv4")
	}
	to = netip.PrefixFrom(address, ones).Masked()
	for _, never := range neverRouted() {
		if never.Bits() <= ones && never.Contains(to.Addr()) {
			return to, gateway, fmt.Errorf("nothing of %s is reached by a router", never)
		}
	}
	if gateway, ok = netip.AddrFromSlice(router.To4()); !ok {
		return to, gateway, errors.New("not IPv4")
	}
	if gateway.IsUnspecified() { // on the link itself
		return to, netip.Addr{}, nil
	}
	if !host(gateway) {
		return to, gateway, errors.New("that is no router's address")
	}
	return to, gateway, nil
}

// neverRouted are the networks that no route leads to (RFC 6890, 2.2.2): "this
// network", loopback, multicast, and broadcast.
func neverRouted() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"),
	}
}

// host tells whether an address can be a machine's.
func host(a netip.Addr) bool {
	return a.Is4() && !slices.ContainsFunc(neverRouted(), func(p netip.Prefix) bool { return p.Contains(a) })
}

// hosts are those of a list that can be a machine's; what says what they are for.
func (l *Lease) hosts(what string, list []net.IP) []netip.Addr {
	var found []netip.Addr
	for _, ip := range list {
		if ip == nil {
			continue // the option is missing
		}
		if address, ok := netip.AddrFromSlice(ip.To4()); ok && host(address) {
			found = append(found, address)
		} else {
			l.refuse("%s %v: that is no machine's address", what, ip)
		}
	}
	return found
}

// domain is a name that can stand in resolv.conf without meaning anything else.
var domain = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)

// setSearch takes the search list (RFC 3397), or the domain name alone.
func (l *Lease) setSearch(ack *dhcpv4.DHCPv4) {
	names := []string{ack.DomainName()}
	if search := ack.DomainSearch(); search != nil && len(search.Labels) > 0 {
		names = search.Labels
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, ".")
		if name == "" {
			continue
		}
		if len(name) > 253 || !domain.MatchString(name) {
			l.refuse("domain %.80q: it is no name of a domain", name)
			continue
		}
		l.Search = append(l.Search, name)
	}
}

// resolvConf is the resolver's configuration (resolv.conf(5)) for the leases of
// the links, by their index: the links that came first count first.
func resolvConf(leases map[int]*Lease) []byte {
	var servers []netip.Addr
	var search []string
	for _, index := range sortedKeys(leases) {
		servers = appendNew(servers, leases[index].DNS)
		search = appendNew(search, leases[index].Search)
	}
	var text strings.Builder
	text.WriteString("# from DHCP, by ketchd\n")
	for _, server := range servers[:min(len(servers), 3)] { // MAXNS: no resolver reads more
		fmt.Fprintf(&text, "nameserver %s\n", server)
	}
	if len(search) > 0 {
		fmt.Fprintf(&text, "search %s\n", strings.Join(search, " "))
	}
	return []byte(text.String())
}

func appendNew[T comparable](list, more []T) []T {
	for _, item := range more {
		if !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	return list
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
