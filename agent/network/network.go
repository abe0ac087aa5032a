package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/internal/backoff"
)

// Network keeps the machine's links configured.
type Network struct {
	Resolv string            // path of the resolver's configuration
	Say    func(what string) // a short line for the console
	// Changed is told when leases have come, changed or gone, and which servers they
	// name that tell the time. It must not call back. nil: nobody is.
	Changed func(timeServers []string)

	configures func(netlink.Link) bool // nil: ethernet; tests have no real links

	mu    sync.Mutex
	links map[int]*link // by index
}

// link is an Ethernet link that has a carrier, or had one.
type link struct {
	name  string
	stop  context.CancelFunc // nil while there is no carrier
	lease *Lease
	state string // of the lease, in words
}

// Run configures links as they come, until ctx ends.
func (n *Network) Run(ctx context.Context) {
	n.mu.Lock()
	n.links = make(map[int]*link)
	n.mu.Unlock()
	if err := n.prepare(); err != nil {
		n.Say("network: " + err.Error())
	}
	var clients sync.WaitGroup
	defer clients.Wait()
	for ctx.Err() == nil {
		// The kernel drops messages when too many wait: listing the links anew
		// puts that right.
		if err := n.watch(ctx, &clients); err != nil && ctx.Err() == nil {
			n.Say("network: " + err.Error())
			backoff.Sleep(ctx, time.Second)
		}
	}
}

// prepare brings the loopback link up and makes sure that there is a resolver
// configuration: containers bind it before there is a lease.
func (n *Network) prepare() error {
	if err := os.MkdirAll(filepath.Dir(n.Resolv), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(n.Resolv, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	file.Close()
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find link lo: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}

// watch follows the kernel's news of links, beginning with those there are. The
// news of a link that comes and goes meanwhile is only late.
func (n *Network) watch(ctx context.Context, clients *sync.WaitGroup) error {
	updates, done := make(chan netlink.LinkUpdate), make(chan struct{})
	var last atomic.Value // error of the subscription; only one that ends it counts
	last.Store(problem{errors.New("the kernel has closed the socket")})
	// ListExisting is not used: it sends its request to every listener in the
	// namespace, and each of them takes that for an error.
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		ErrorCallback: func(err error) { last.Store(problem{err}) },
	})
	if err != nil {
		close(done)
		return fmt.Errorf("follow links: %w", err)
	}
	defer func() { // the subscription ends by closing updates, which must be read until then
		close(done)
		for range updates {
		}
	}()
	present, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range present {
		n.update(ctx, l, unix.RTM_NEWLINK, clients)
	}
	for {
		select {
		case update, ok := <-updates:
			if !ok {
				return fmt.Errorf("follow links: %w", last.Load().(problem))
			}
			n.update(ctx, update.Link, update.Header.Type, clients)
		case <-ctx.Done():
			return nil
		}
	}
}

// problem gives errors the one type that an atomic.Value asks for.
type problem struct{ error }

// update deals with news of one link: a client runs while it has a carrier.
func (n *Network) update(ctx context.Context, news netlink.Link, kind uint16, clients *sync.WaitGroup) {
	attrs := news.Attrs()
	if !n.ours(news) {
		return
	}
	if kind == unix.RTM_DELLINK {
		n.drop(attrs.Index)
		return
	}
	n.mu.Lock()
	_, met := n.links[attrs.Index]
	n.mu.Unlock()
	if !met {
		n.meet(attrs)
	}
	if attrs.Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(news); err != nil {
			n.Say(fmt.Sprintf("network: bring %s up: %v", attrs.Name, err))
		}
		return // news of its being up follows
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	known := n.links[attrs.Index]
	carrier := attrs.RawFlags&unix.IFF_LOWER_UP != 0
	switch {
	case carrier && known.stop == nil:
		n.start(ctx, attrs.Index, known, clients)
	case !carrier && known.stop != nil:
		known.stop()
		known.stop, known.state = nil, "no carrier"
		n.Say(known.name + ": no carrier")
	}
}

// meet takes a new link in.
func (n *Network) meet(attrs *netlink.LinkAttrs) {
	if err := inherit("/proc/sys/net", attrs.Name); err != nil {
		n.Say("network: " + err.Error())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[attrs.Index] = &link{name: attrs.Name}
}

// start runs a DHCP client for a link. n.mu is held.
func (n *Network) start(ctx context.Context, index int, l *link, clients *sync.WaitGroup) {
	limited, cancel := context.WithCancel(ctx)
	l.stop, l.state = cancel, "asking"
	c := &client{
		dhcp:    &dhcpSocket{l.name},
		link:    &device{index, l.name},
		changed: func(lease *Lease, err error) { n.changed(limited, index, lease, err) },
	}
	clients.Go(func() { c.run(limited) })
}

// drop forgets a link that is gone.
func (n *Network) drop(index int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if gone := n.links[index]; gone != nil {
		if gone.stop != nil {
			gone.stop()
		}
		delete(n.links, index)
		n.Say(gone.name + ": gone")
		n.publish()
	}
}

// changed notes what a client says of its lease.
func (n *Network) changed(ctx context.Context, index int, lease *Lease, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[index]
	if l == nil || ctx.Err() != nil {
		return // the client was stopped meanwhile
	}
	previous := l.state
	before := l.lease
	l.lease = lease
	switch {
	case lease == nil:
		l.state = err.Error()
		if l.state != previous {
			n.Say(fmt.Sprintf("%s: DHCP: %v", l.name, err))
		}
	case lease.Expire == 0:
		l.state = "bound for ever"
	default:
		l.state = "bound until " + time.Now().Add(lease.Expire).UTC().Format(time.RFC3339)
	}
	if lease != nil && (before == nil || before.Address != lease.Address) {
		n.Say(fmt.Sprintf("%s: %s by DHCP", l.name, lease.Address))
	}
	if lease != nil && len(lease.Refused) > 0 && (before == nil || !slices.Equal(before.Refused, lease.Refused)) {
		n.Say(fmt.Sprintf("%s: DHCP: not taken: %s", l.name, strings.Join(lease.Refused, "; ")))
	}
	n.writeResolv()
}

// publish tells others what the leases say. n.mu is held.
func (n *Network) publish() {
	n.writeResolv()
	if n.Changed == nil {
		return
	}
	var servers []string
	for _, index := range slices.Sorted(maps.Keys(n.links)) {
		if lease := n.links[index].lease; lease != nil {
			for _, server := range lease.NTP {
				servers = append(servers, server.String())
			}
		}
	}
	n.Changed(servers)
}

// writeResolv writes the resolver's configuration. It keeps the file and its
// inode, which containers have bound: one write, then the length; a reader in
// between sees the new lines, and perhaps the end of the old ones. n.mu is held.
func (n *Network) writeResolv() {
	leases := make(map[int]*Lease)
	for index, l := range n.links {
		if l.lease != nil {
			leases[index] = l.lease
		}
	}
	text := resolvConf(leases)
	file, err := os.OpenFile(n.Resolv, os.O_WRONLY|os.O_CREATE, 0o644)
	if err == nil {
		_, err = file.Write(text)
		err = errors.Join(err, file.Truncate(int64(len(text))), file.Close())
	}
	if err != nil {
		n.Say("network: write resolver configuration: " + err.Error())
	}
}

func (n *Network) ours(l netlink.Link) bool {
	if n.configures != nil {
		return n.configures(l)
	}
	return ethernet(l)
}

// ethernet tells whether a link is one to configure: a device of its own (not a
// bridge, a veth of a container, a bond) that is no part of another.
func ethernet(l netlink.Link) bool {
	attrs := l.Attrs()
	return l.Type() == "device" && attrs.EncapType == "ether" && attrs.Flags&net.FlagLoopback == 0 && attrs.MasterIndex == 0
}

// Links describes the machine's Ethernet links, by index.
func (n *Network) Links() ([]node.Link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	list := make([]node.Link, 0, len(all))
	for _, l := range all {
		if !n.ours(l) {
			continue
		}
		described, err := n.describe(l)
		if err != nil {
			return nil, err
		}
		list = append(list, described)
	}
	return list, nil
}

func (n *Network) describe(l netlink.Link) (node.Link, error) {
	attrs := l.Attrs()
	to := node.Link{Name: attrs.Name, MAC: attrs.HardwareAddr.String(), Up: attrs.RawFlags&unix.IFF_LOWER_UP != 0}
	addresses, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return to, fmt.Errorf("list addresses of %s: %w", attrs.Name, err)
	}
	for _, address := range addresses {
		to.Addresses = append(to.Addresses, address.IPNet.String())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.links[attrs.Index]; known != nil {
		to.DHCP = known.state
		if known.lease != nil {
			for _, server := range known.lease.DNS {
				to.DNS = append(to.DNS, server.String())
			}
		}
	}
	return to, nil
}
