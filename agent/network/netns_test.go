package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/testkit"
)

// dhcpServer is a DHCP server on a link; address is what it gives to everybody.
type dhcpServer struct {
	mu       sync.Mutex
	address  net.IP
	refuse   bool
	requests int // for more time
	more     []dhcpv4.Modifier
}

func (s *dhcpServer) handle(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := dhcpv4.MessageTypeOffer
	if m.MessageType() == dhcpv4.MessageTypeRequest {
		kind = dhcpv4.MessageTypeAck
		if !m.ClientIPAddr.IsUnspecified() {
			s.requests++
			if s.refuse {
				kind = dhcpv4.MessageTypeNak
				s.refuse = false
			}
		}
	}
	reply, err := dhcpv4.NewReplyFromRequest(m,
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithServerIP(net.IPv4(192, 0, 2, 1)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))),
	)
	if err != nil {
		panic(err)
	}
	if kind != dhcpv4.MessageTypeNak {
		for _, modify := range append([]dhcpv4.Modifier{
			dhcpv4.WithYourIP(s.address),
			dhcpv4.WithLeaseTime(10), // renewed after 5 s
			dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
			dhcpv4.WithRouter(net.IPv4(192, 0, 2, 254)), // not .1, which is local here
			dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53)),
			dhcpv4.WithDomainSearchList("example.org"),
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x05, 0x78})),
		}, s.more...) {
			modify(reply)
		}
	}
	conn.WriteTo(reply.ToBytes(), peer)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// startServer makes a link "eth7" with a DHCP server at its other end, "server".
func startServer(t *testing.T, s *dhcpServer) {
	t.Helper()
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth7"}, PeerName: "server"}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	peer := must(netlink.LinkByName("server"))
	if err := netlink.AddrAdd(peer, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(24, 32)}}); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(peer); err != nil {
		t.Fatal(err)
	}
	server, err := server4.NewServer("server", nil, s.handle)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve()
	t.Cleanup(func() { server.Close() })
}

func addresses(t *testing.T, name string) string {
	t.Helper()
	var list []string
	for _, address := range must(netlink.AddrList(must(netlink.LinkByName(name)), netlink.FAMILY_V4)) {
		list = append(list, address.IPNet.String())
	}
	return strings.Join(list, " ")
}

// TestNetwork runs a Network against a real kernel and a DHCP server.
func TestNetwork(t *testing.T) {
	if !testkit.InNamespaces(t, unix.CLONE_NEWNET) {
		return
	}
	server := &dhcpServer{address: net.IPv4(192, 0, 2, 10)}
	startServer(t, server)
	resolv := t.TempDir() + "/run/resolv.conf"
	n := &Network{
		Resolv:     resolv,
		Say:        func(what string) { t.Log(what) },
		configures: func(l netlink.Link) bool { return l.Attrs().Name == "eth7" },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()

	testkit.Eventually(t, "address by DHCP", func() bool { return addresses(t, "eth7") == "192.0.2.10/24" })
	testkit.Eventually(t, "resolver configuration", func() bool {
		text, _ := os.ReadFile(resolv)
		return string(text) == "# from DHCP, by ketchd\nnameserver 192.0.2.53\nsearch example.org\n"
	})
	if up := must(netlink.LinkByName("lo")).Attrs().Flags & net.FlagUp; up == 0 {
		t.Error("lo is down")
	}
	link := must(netlink.LinkByName("eth7"))
	if link.Attrs().MTU != 1400 {
		t.Errorf("MTU = %d; want 1400", link.Attrs().MTU)
	}
	routes := must(netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil, Protocol: 16}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_DST))
	if len(routes) != 1 || routes[0].Gw.String() != "192.0.2.254" {
		t.Errorf("default routes = %v; want one by 192.0.2.254", routes)
	}
	links, err := n.Links()
	if err != nil || len(links) != 1 || !links[0].Up || !strings.HasPrefix(links[0].DHCP, "bound until ") || fmt.Sprint(links[0].DNS) != "[192.0.2.53]" {
		t.Errorf("Links = %+v, %v; want eth7, bound", links, err)
	}

	// After a renewal the lease holds on; a refused one leads to a new address
	// in the same network.
	testkit.Eventually(t, "renewal", func() bool { server.mu.Lock(); defer server.mu.Unlock(); return server.requests > 0 })
	server.mu.Lock()
	server.refuse, server.address = true, net.IPv4(192, 0, 2, 11)
	server.mu.Unlock()
	testkit.Eventually(t, "new address after a refusal", func() bool { return addresses(t, "eth7") == "192.0.2.11/24" })

	// Without a carrier the client rests; with one it begins again.
	peer := must(netlink.LinkByName("server"))
	netlink.LinkSetDown(peer)
	testkit.Eventually(t, "loss of the carrier", func() bool { return must(n.Links())[0].DHCP == "no carrier" })
	netlink.LinkSetUp(peer)
	testkit.Eventually(t, "new lease", func() bool { return strings.HasPrefix(must(n.Links())[0].DHCP, "bound until ") })

	// A second Network, after a crash of the first, takes over.
	cancel()
	<-done
	server.mu.Lock()
	server.address = net.IPv4(192, 0, 2, 12)
	server.mu.Unlock()
	ctx, cancel = context.WithCancel(t.Context())
	done = make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	testkit.Eventually(t, "only the new address", func() bool { return addresses(t, "eth7") == "192.0.2.12/24" })
	if err := netlink.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the link to be gone", func() bool { return len(must(n.Links())) == 0 })
	cancel()
	<-done
}

// said is what a Network says.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

func (s *said) has(part string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(strings.Join(s.lines, "\n"), part)
}

// runNetwork runs a Network on the link of startServer until the test ends.
func runNetwork(t *testing.T) (s *said, resolv string) {
	t.Helper()
	s, resolv = &said{}, t.TempDir()+"/resolv.conf"
	n := &Network{Resolv: resolv, Say: s.say, configures: func(l netlink.Link) bool { return l.Attrs().Name == "eth7" }}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		for _, line := range s.lines {
			t.Log(line)
		}
	})
	return s, resolv
}

// TestRogueServer: a neighbour on the link that is faster than the real server says
// all that it should not. The link works with what is left of it, and ketchd says
// what it has not taken.
func TestRogueServer(t *testing.T) {
	if !testkit.InNamespaces(t, unix.CLONE_NEWNET) {
		return
	}
	static := []*dhcpv4.Route{}
	for _, to := range []string{"127.0.0.0/8", "127.0.0.53/32", "224.0.0.0/4", "239.1.2.3/32", "255.255.255.255/32", "0.0.0.0/8"} {
		_, network, err := net.ParseCIDR(to)
		if err != nil {
			t.Fatal(err)
		}
		static = append(static, &dhcpv4.Route{Dest: network, Router: net.IPv4(192, 0, 2, 254)})
	}
	for _, by := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(224, 0, 0, 1), net.IPv4bcast} {
		static = append(static, &dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(198, 51, 100, 0).To4(), Mask: net.CIDRMask(24, 32)}, Router: by})
	}
	for n := range 100 {
		static = append(static, &dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(10, 0, byte(n), 0).To4(), Mask: net.CIDRMask(24, 32)}, Router: net.IPv4(192, 0, 2, 254)})
	}
	server := &dhcpServer{address: net.IPv4(192, 0, 2, 10), more: []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(static...)),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0xff, 0xff})),
		dhcpv4.WithDNS(net.IPv4(127, 0, 0, 53), net.IPv4(224, 0, 0, 251), net.IPv4(192, 0, 2, 53)),
		dhcpv4.WithDomainSearchList("good.example", "bad\x1b]0;owned\x07", "x\u009b31m", "y\nnameserver 6.6.6.6"),
	}}
	startServer(t, server)
	mtu := must(netlink.LinkByName("eth7")).Attrs().MTU
	s, resolv := runNetwork(t)

	testkit.Eventually(t, "address by DHCP", func() bool { return addresses(t, "eth7") == "192.0.2.10/24" })
	testkit.Eventually(t, "what was not taken", func() bool { return s.has("DHCP: not taken: ") })
	for _, want := range []string{
		"MTU 65535", "DNS server 127.0.0.53", "DNS server 224.0.0.251", `domain "bad\x1b`, `domain "x\u009b`, `domain "y\nname`, "109 routes",
		"route to 127.0.0.0/8", "route to 127.0.0.53/32", "route to 224.0.0.0/4", "route to 239.1.2.3/32", "route to 255.255.255.255/32", "route to 0.0.0.0/8",
		"by 127.0.0.1", "by 224.0.0.1", "by 255.255.255.255",
	} {
		if !s.has(want) {
			t.Errorf("nothing is said of %s", want)
		}
	}
	if got := must(netlink.LinkByName("eth7")).Attrs().MTU; got != mtu {
		t.Errorf("MTU = %d; want it left at %d", got, mtu)
	}
	routes := must(netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: unix.RTPROT_DHCP}, netlink.RT_FILTER_PROTOCOL))
	if len(routes) != maxRoutes-9 {
		t.Errorf("%d routes; want the good ones of the first %d", len(routes), maxRoutes)
	}
	for _, route := range routes {
		if !strings.HasPrefix(route.Dst.String(), "10.0.") {
			t.Errorf("there is a route to %s by %s", route.Dst, route.Gw)
		}
	}
	testkit.Eventually(t, "resolver configuration", func() bool {
		text, _ := os.ReadFile(resolv)
		return string(text) == "# from DHCP, by ketchd\nnameserver 192.0.2.53\nsearch good.example\n"
	})
}

// TestServerThatGrantsNothing: a lease of no time, or one of an address that is no
// machine's, is refused, and asked for again.
func TestServerThatGrantsNothing(t *testing.T) {
	if !testkit.InNamespaces(t, unix.CLONE_NEWNET) {
		return
	}
	server := &dhcpServer{address: net.IPv4(192, 0, 2, 10), more: []dhcpv4.Modifier{dhcpv4.WithLeaseTime(0)}}
	startServer(t, server)
	s, _ := runNetwork(t)
	testkit.Eventually(t, "a lease of no time refused", func() bool { return s.has("grants a lease of 0s") })
	server.mu.Lock()
	server.more, server.address = nil, net.IPv4(127, 0, 0, 9)
	server.mu.Unlock()
	testkit.Eventually(t, "an address of the loopback refused", func() bool { return s.has("grants the address 127.0.0.9") })
	if got := addresses(t, "eth7"); got != "" {
		t.Errorf("the link has %s; want no address", got)
	}
	server.mu.Lock()
	server.address = net.IPv4(192, 0, 2, 11)
	server.mu.Unlock()
	testkit.Eventually(t, "the real server's address", func() bool { return addresses(t, "eth7") == "192.0.2.11/24" })
}

// TestRouterAdvertisement: on a machine that forwards, a link that was there before
// its parameters were set gets an address and a route by what a router says.
func TestRouterAdvertisement(t *testing.T) {
	if !testkit.InNamespaces(t, unix.CLONE_NEWNET) {
		return
	}
	startServer(t, &dhcpServer{address: net.IPv4(192, 0, 2, 10)})
	for file, value := range map[string]string{ // as PID 1 sets them
		"ipv6/conf/all/forwarding": "1", "ipv6/conf/all/accept_ra": "2", "ipv6/conf/default/accept_ra": "2",
		"ipv4/conf/all/send_redirects": "0", "ipv4/conf/default/send_redirects": "0",
	} {
		if err := os.WriteFile("/proc/sys/net/"+file, []byte(value), 0); err != nil {
			testkit.Need(t, "kernel parameters of a network namespace", err)
		}
	}
	s, _ := runNetwork(t)
	testkit.Eventually(t, "address by DHCP", func() bool { return addresses(t, "eth7") != "" })
	for file, want := range map[string]string{"ipv6/conf/eth7/accept_ra": "2", "ipv4/conf/eth7/send_redirects": "0"} {
		if got, err := os.ReadFile("/proc/sys/net/" + file); strings.TrimSpace(string(got)) != want {
			t.Errorf("%s = %s, %v; want %s", file, got, err, want)
		}
	}
	has := func() (global, route bool) {
		link := must(netlink.LinkByName("eth7"))
		for _, a := range must(netlink.AddrList(link, netlink.FAMILY_V6)) {
			global = global || strings.HasPrefix(a.IPNet.String(), "2001:db8:7:")
		}
		for _, r := range must(netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{LinkIndex: link.Attrs().Index, Protocol: unix.RTPROT_RA}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)) {
			route = route || r.Gw != nil
		}
		return global, route
	}
	testkit.Eventually(t, "address and route by a router's word", func() bool {
		advertise(t, "server")
		global, route := has()
		return global && route
	})
	if s.has("network: ") {
		t.Error("something of the network is wrong, see the log")
	}
}

// advertise sends a router advertisement (RFC 4861, 4.2) to all machines on a link.
func advertise(t *testing.T, link string) {
	t.Helper()
	c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw := must(c.(*net.IPConn).SyscallConn())
	raw.Control(func(fd uintptr) { // such a message must come from the link itself: hop limit 255
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255)
	})
	if err != nil {
		t.Fatal(err)
	}
	message := append([]byte{
		134, 0, 0, 0, // type, code, checksum by the kernel
		64, 0, 0x07, 0x08, // hop limit, flags, lifetime 1,800 s
		0, 0, 0, 0, 0, 0, 0, 0,
		3, 4, 64, 0xc0, // prefix information: /64, on link, for addresses
		0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0,
	}, net.ParseIP("2001:db8:7::")...)
	_, err = c.WriteTo(message, &net.IPAddr{IP: net.ParseIP("ff02::1"), Zone: link})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) { // the router's own address is still tentative
		t.Fatal(err)
	}
}
