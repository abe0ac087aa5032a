package network

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

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
		for _, modify := range []dhcpv4.Modifier{
			dhcpv4.WithYourIP(s.address),
			dhcpv4.WithLeaseTime(10), // renewed after 5 s
			dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
			dhcpv4.WithRouter(net.IPv4(192, 0, 2, 254)), // not .1, which is local here
			dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53)),
			dhcpv4.WithDomainSearchList("example.org"),
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x05, 0x78})),
		} {
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

// wait polls for what must come true within a few seconds.
func wait(t *testing.T, what string, limit time.Duration, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
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

	wait(t, "address by DHCP", 5*time.Second, func() bool { return addresses(t, "eth7") == "192.0.2.10/24" })
	wait(t, "resolver configuration", time.Second, func() bool {
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
	wait(t, "renewal", 7*time.Second, func() bool { server.mu.Lock(); defer server.mu.Unlock(); return server.requests == 1 })
	server.mu.Lock()
	server.refuse, server.address = true, net.IPv4(192, 0, 2, 11)
	server.mu.Unlock()
	wait(t, "new address after a refusal", 10*time.Second, func() bool { return addresses(t, "eth7") == "192.0.2.11/24" })

	// Without a carrier the client rests; with one it begins again.
	peer := must(netlink.LinkByName("server"))
	netlink.LinkSetDown(peer)
	wait(t, "loss of the carrier", 2*time.Second, func() bool { return must(n.Links())[0].DHCP == "no carrier" })
	netlink.LinkSetUp(peer)
	wait(t, "new lease", 5*time.Second, func() bool { return strings.HasPrefix(must(n.Links())[0].DHCP, "bound until ") })

	// A second Network, after a crash of the first, takes over.
	cancel()
	<-done
	server.mu.Lock()
	server.address = net.IPv4(192, 0, 2, 12)
	server.mu.Unlock()
	ctx, cancel = context.WithCancel(t.Context())
	done = make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	wait(t, "only the new address", 5*time.Second, func() bool { return addresses(t, "eth7") == "192.0.2.12/24" })
	if err := netlink.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	wait(t, "the link to be gone", 2*time.Second, func() bool { return len(must(n.Links())) == 0 })
	cancel()
	<-done
}
