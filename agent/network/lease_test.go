package network

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

// ack is an acknowledgement as a plain home router sends it, with more options.
func ack(t *testing.T, more ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	t.Helper()
	message, err := dhcpv4.New(
		dhcpv4.WithMessageType(dhcpv4.MessageTypeAck),
		dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 10)),
		dhcpv4.WithOption(dhcpv4.OptSubnetMask(net.CIDRMask(24, 32))),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))),
		dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(time.Hour)),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range more {
		message.UpdateOption(option)
	}
	return message
}

var compareAddresses = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

func TestNewLease(t *testing.T) {
	home := func(change func(*Lease)) *Lease {
		l := &Lease{
			Address: netip.MustParsePrefix("192.0.2.10/24"), Server: netip.MustParseAddr("192.0.2.1"),
			Renew: 30 * time.Minute, Rebind: 3150 * time.Second, Expire: time.Hour,
		}
		change(l)
		return l
	}
	all := netip.MustParsePrefix("0.0.0.0/0")
	router := netip.MustParseAddr("192.0.2.1")
	for _, test := range []struct {
		name string
		ack  *dhcpv4.DHCPv4
		want *Lease
	}{
		{"plain", ack(t), home(func(*Lease) {})},
		{"router, DNS, domain, MTU", ack(t,
			dhcpv4.OptRouter(net.IPv4(192, 0, 2, 1), net.IPv4(192, 0, 2, 2)),
			dhcpv4.OptDNS(net.IPv4(192, 0, 2, 53), net.IPv4(127, 0, 0, 1)),
			dhcpv4.OptNTPServers(net.IPv4(192, 0, 2, 123), net.IPv4(224, 0, 1, 1)),
			dhcpv4.OptDomainName("example.org."),
			dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x05, 0xb4}),
		), home(func(l *Lease) {
			l.Routes = []Route{{all, router}}
			l.DNS = []netip.Addr{netip.MustParseAddr("192.0.2.53")}
			l.NTP = []netip.Addr{netip.MustParseAddr("192.0.2.123")}
			l.Refused = []string{"DNS server 127.0.0.1: that is no machine's address", "NTP server 224.0.1.1: that is no machine's address"}
			l.Search = []string{"example.org"}
			l.MTU = 1460
		})},
		{"classless routes replace the router, search list the domain", ack(t,
			dhcpv4.OptRouter(net.IPv4(192, 0, 2, 9)),
			dhcpv4.OptClasslessStaticRoute(
				&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(32, 32)}, Router: net.IPv4zero},
				&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, Router: net.IPv4(192, 0, 2, 1)}),
			dhcpv4.OptDomainName("not.this"),
			dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{"a.example", "b.example"}}),
		), home(func(l *Lease) {
			l.Routes = []Route{{netip.MustParsePrefix("192.0.2.1/32"), netip.Addr{}}, {all, router}}
			l.Search = []string{"a.example", "b.example"}
		})},
		{"text that would be more than a domain", ack(t, dhcpv4.OptDomainName("x\nnameserver 6.6.6.6")), home(func(l *Lease) {
			l.Refused = []string{`domain "x\nnameserver 6.6.6.6": it is no name of a domain`}
		})},
		{"own times", ack(t, dhcpv4.OptRenewTimeValue(10*time.Minute), dhcpv4.Option{Code: dhcpv4.OptionRebindingTimeValue, Value: dhcpv4.Duration(20 * time.Minute)}),
			home(func(l *Lease) { l.Renew, l.Rebind = 10*time.Minute, 20*time.Minute })},
		{"times that contradict", ack(t, dhcpv4.OptRenewTimeValue(2*time.Hour)), home(func(*Lease) {})},
		{"endless", ack(t, dhcpv4.OptIPAddressLeaseTime(endless)), home(func(l *Lease) { l.Renew, l.Rebind, l.Expire = 0, 0, 0 })},
		{"MTU of IPv4 alone", ack(t, dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{2, 64})), home(func(l *Lease) {
			l.Refused = []string{"MTU 576: it must be from 1280 to 9216"}
		})},
		{"least MTU", ack(t, dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{5, 0})), home(func(l *Lease) { l.MTU = 1280 })},
		{"largest MTU", ack(t, dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x24, 0})), home(func(l *Lease) { l.MTU = 9216 })},
		{"MTU too large", ack(t, dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x24, 1})), home(func(l *Lease) {
			l.Refused = []string{"MTU 9217: it must be from 1280 to 9216"}
		})},
		{"half of all addresses by a router", ack(t, dhcpv4.OptClasslessStaticRoute(
			&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(1, 32)}, Router: net.IPv4(192, 0, 2, 1)})),
			home(func(l *Lease) { l.Routes = []Route{{netip.MustParsePrefix("0.0.0.0/1"), router}} })},
		{"router that is none", ack(t, dhcpv4.OptRouter(net.IPv4(224, 0, 0, 2))), home(func(l *Lease) {
			l.Refused = []string{"router 224.0.0.2: that is no machine's address"}
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := newLease(test.ack)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, compareAddresses); diff != "" {
				t.Errorf("newLease (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewLeaseRefuses(t *testing.T) {
	change := func(f func(*dhcpv4.DHCPv4)) *dhcpv4.DHCPv4 { a := ack(t); f(a); return a }
	for name, bad := range map[string]*dhcpv4.DHCPv4{
		"no address":    change(func(a *dhcpv4.DHCPv4) { a.YourIPAddr = net.IPv4zero }),
		"multicast":     change(func(a *dhcpv4.DHCPv4) { a.YourIPAddr = net.IPv4(224, 0, 0, 1) }),
		"loopback":      change(func(a *dhcpv4.DHCPv4) { a.YourIPAddr = net.IPv4(127, 0, 0, 2) }),
		"broken mask":   ack(t, dhcpv4.OptSubnetMask(net.IPv4Mask(255, 0, 255, 0))),
		"no lease time": change(func(a *dhcpv4.DHCPv4) { a.Options.Del(dhcpv4.OptionIPAddressLeaseTime) }),
		"short lease":   ack(t, dhcpv4.OptIPAddressLeaseTime(time.Second)),
	} {
		if got, err := newLease(bad); err == nil {
			t.Errorf("%s: newLease = %+v; want an error", name, got)
		}
	}
}

func FuzzNewLease(f *testing.F) {
	message, err := dhcpv4.New(dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 10)), dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(time.Hour)),
		dhcpv4.WithOption(dhcpv4.OptDomainName("example.org")), dhcpv4.WithOption(dhcpv4.OptRouter(net.IPv4(192, 0, 2, 1))))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message.ToBytes())
	f.Fuzz(func(t *testing.T, packet []byte) {
		message, err := dhcpv4.FromBytes(packet)
		if err != nil {
			return
		}
		lease, err := newLease(message)
		if err != nil {
			return
		}
		text := string(resolvConf(map[int]*Lease{1: lease}))
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "nameserver ") && !strings.HasPrefix(line, "search ") {
				t.Errorf("line %q in resolv.conf", line)
			}
		}
		if lease.MTU != 0 && (lease.MTU < minMTU || lease.MTU > maxMTU) || len(lease.Routes) > maxRoutes {
			t.Errorf("MTU %d, %d routes", lease.MTU, len(lease.Routes))
		}
		for _, r := range lease.Routes {
			if r.To.Bits() > 0 && (r.To.Addr().IsLoopback() || r.To.Addr().IsMulticast()) || r.Gateway.IsValid() && !host(r.Gateway) {
				t.Errorf("route %v", r)
			}
		}
		if lease.Expire != 0 && !(lease.Renew < lease.Rebind && lease.Rebind < lease.Expire) {
			t.Errorf("times %v, %v, %v", lease.Renew, lease.Rebind, lease.Expire)
		}
	})
}

func TestResolvConf(t *testing.T) {
	addr := netip.MustParseAddr
	for _, test := range []struct {
		name   string
		leases map[int]*Lease
		want   string
	}{
		{"none", nil, "# from DHCP, by ketchd\n"},
		{"two links", map[int]*Lease{
			3: {DNS: []netip.Addr{addr("10.0.0.3"), addr("10.0.0.2")}, Search: []string{"b"}},
			2: {DNS: []netip.Addr{addr("10.0.0.1"), addr("10.0.0.2")}, Search: []string{"a", "b"}},
			4: {DNS: []netip.Addr{addr("10.0.0.4")}},
		}, "# from DHCP, by ketchd\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch a b\n"},
	} {
		if got := string(resolvConf(test.leases)); got != test.want {
			t.Errorf("%s: resolvConf = %q; want %q", test.name, got, test.want)
		}
	}
}
