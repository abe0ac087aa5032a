package qemutests

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/layout"
)

// TestRogueNeighbour: the only DHCP server that a machine hears says all that it should
// not. The machine takes what makes sense of it, tells the rest, and is good.
func TestRogueNeighbour(t *testing.T) {
	t.Parallel()
	o := direct(t, newDisk(t))
	o.ExitOnReboot, o.Network = true, qemu.NetworkNone
	o.Extra = append(o.Extra, "-netdev", wire(t, rogue(t)), "-device", "virtio-net-pci,netdev=wire,romfile=")
	m := launch(t, o, lifeLimit)
	told := m.waitLine("DHCP: not taken: ")
	for _, want := range []string{"MTU 65535", "route to 127.0.0.0/8", `domain "x\u009b`} {
		if !strings.Contains(told, want) && !strings.Contains(m.shell("ketchctl logs ketchd"), want) {
			t.Errorf("nothing is said of %s: %s", want, told)
		}
	}
	m.waitLine(layout.ConsolePrefix + layout.SayGood)
	if links := m.status().Links; len(links) != 1 || !strings.Contains(strings.Join(links[0].Addresses, " "), "192.0.2.10/24") {
		t.Errorf("the links are %+v; want one, with the address that was given", links)
	}
	if mtu := m.shell("cat /sys/class/net/*/mtu"); strings.Contains(mtu, "65535") {
		t.Errorf("MTU: %s", mtu)
	}
	if routes := m.shell("cat /proc/net/route"); strings.Contains(routes, "\t0000007F\t") || strings.Count(routes, "\n") > 70 {
		t.Errorf("routes:\n%s", routes)
	}
	if resolv := m.shell("cat /etc/resolv.conf"); resolv != "# from DHCP, by ketchd\nnameserver 192.0.2.53" {
		t.Errorf("resolv.conf: %q", resolv)
	}
	m.powerOff()
}

// rogue answers requests for an address.
func rogue(t *testing.T) func(*dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	network := func(text string) *net.IPNet {
		_, n, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	routes := []*dhcpv4.Route{{Dest: network("127.0.0.0/8"), Router: net.IPv4(192, 0, 2, 1)}}
	for n := range 100 {
		routes = append(routes, &dhcpv4.Route{Dest: network(fmt.Sprintf("10.0.%d.0/24", n)), Router: net.IPv4(192, 0, 2, 1)})
	}
	return func(asked *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		kind := dhcpv4.MessageTypeOffer
		if asked.MessageType() == dhcpv4.MessageTypeRequest {
			kind = dhcpv4.MessageTypeAck
		}
		reply, err := dhcpv4.NewReplyFromRequest(asked, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 10)),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))), dhcpv4.WithLeaseTime(3600), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
			dhcpv4.WithDNS(net.IPv4(127, 0, 0, 53), net.IPv4(192, 0, 2, 53)), dhcpv4.WithDomainSearchList("x\u009b2J"),
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0xff, 0xff})), dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(routes...)))
		if err != nil {
			panic(err)
		}
		return reply
	}
}

// wire is a network of QEMU's whose only other end is this test: it answers DHCP. Each
// frame is a datagram on the loopback.
func wire(t *testing.T, answer func(*dhcpv4.DHCPv4) *dhcpv4.DHCPv4) (netdev string) {
	t.Helper()
	ours, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	theirs, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := theirs.LocalAddr().(*net.UDPAddr)
	theirs.Close() // QEMU's from now on
	go func() {
		frame := make([]byte, 64<<10)
		for {
			n, err := ours.Read(frame)
			if err != nil {
				return
			}
			if asked, ok := question(frame[:n]); ok {
				ours.WriteTo(answerFrame(asked.ClientHWAddr, answer(asked).ToBytes()), port)
			}
		}
	}()
	return fmt.Sprintf("socket,id=wire,udp=%s,localaddr=%s", ours.LocalAddr(), port)
}

// The lengths of headers, and the ports of DHCP (RFC 894, 791, 768, 2131).
const (
	ethernetHeader, ipHeader, udpHeader = 14, 20, 8
	serverPort, clientPort              = 67, 68
)

// question is the DHCP message in an Ethernet frame, if there is one.
func question(frame []byte) (*dhcpv4.DHCPv4, bool) {
	const headers = ethernetHeader + ipHeader + udpHeader
	if len(frame) < headers || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[ethernetHeader] != 0x45 || frame[ethernetHeader+9] != 17 ||
		binary.BigEndian.Uint16(frame[ethernetHeader+ipHeader+2:]) != serverPort {
		return nil, false
	}
	message, err := dhcpv4.FromBytes(frame[headers:])
	return message, err == nil
}

// answerFrame is a frame with a DHCP message for a client.
func answerFrame(client net.HardwareAddr, message []byte) []byte {
	frame := append(append([]byte{}, client...), 2, 0, 0, 0, 0, 1, 0x08, 0x00)
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 255, 255, 255, 255}
	binary.BigEndian.PutUint16(ip[2:], uint16(ipHeader+udpHeader+len(message)))
	sum := uint32(0)
	for i := 0; i < ipHeader; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	frame = append(frame, ip...)
	for _, field := range []uint16{serverPort, clientPort, uint16(udpHeader + len(message)), 0} { // no checksum
		frame = binary.BigEndian.AppendUint16(frame, field)
	}
	return append(frame, message...)
}
