package qemutests

import (
	"strings"
	"testing"
	"time"
)

// TestIPv6: QEMU's user network has a router, whose word gives the machine an
// address and a route, although it forwards (RFC 4862).
func TestIPv6(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil)
	var addresses, routes string
	for deadline := time.Now().Add(bootLimit); time.Now().Before(deadline); time.Sleep(time.Second) {
		addresses = m.shell("cat /proc/net/if_inet6")
		routes = m.shell("cat /proc/net/ipv6_route")
		if strings.Contains(addresses, "fec0") && hasDefault(routes) {
			if links := m.status().Links; len(links) != 1 || !strings.Contains(strings.Join(links[0].Addresses, " "), "fec0:") {
				t.Errorf("the status has the links %+v", links)
			}
			return
		}
	}
	t.Errorf("no address or no default route by the router's word:\n%s\n%s", addresses, routes)
}

// hasDefault tells whether there is a route to everywhere by a router: its line of
// /proc/net/ipv6_route has zeros, a prefix of no bits, and a link-local next hop.
func hasDefault(routes string) bool {
	for line := range strings.Lines(routes) {
		f := strings.Fields(line)
		if len(f) == 10 && strings.Trim(f[0], "0") == "" && f[1] == "00" && strings.HasPrefix(f[4], "fe80") {
			return true
		}
	}
	return false
}
