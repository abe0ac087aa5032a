// Package listening tells which sockets of this machine take what comes from a
// network (proc(5), /proc/net/tcp and its like), and whose they are.
package listening

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Socket is one of them.
type Socket struct {
	Protocol string         // tcp, udp or raw
	Address  netip.AddrPort // of a raw socket the port is its protocol's number
	Program  string         // that has it open; "" where that cannot be seen
	inode    string
}

// table is a file of /proc/net, and the state in which a socket of it listens
// (include/net/tcp_states.h: TCP_LISTEN, TCP_CLOSE).
type table struct{ file, protocol, state string }

func tables() []table {
	return []table{
		{"tcp", "tcp", "0A"}, {"tcp6", "tcp", "0A"},
		{"udp", "udp", "07"}, {"udp6", "udp", "07"},
		{"raw", "raw", "07"}, {"raw6", "raw", "07"},
	}
}

// Read lists the sockets that a /proc shows, by protocol and address.
func Read(proc fs.FS) (all []Socket, err error) {
	for _, t := range tables() {
		text, err := fs.ReadFile(proc, "net/"+t.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err == nil {
			var found []Socket
			found, err = parse(string(text), t)
			all = append(all, found...)
		}
		if err != nil {
			return nil, fmt.Errorf("list sockets: net/%s: %w", t.file, err)
		}
	}
	owners := programs(proc, all)
	for i := range all {
		all[i].Program = owners[all[i].inode]
	}
	slices.SortFunc(all, func(a, b Socket) int {
		if a.Protocol != b.Protocol {
			return strings.Compare(a.Protocol, b.Protocol)
		}
		return a.Address.Compare(b.Address)
	})
	return all, nil
}

// The fields of a line.
const (
	fieldLocal = 1
	fieldState = 3
	fieldInode = 9
	fields     = 10
)

// parse reads a table: a heading, and a line for each socket.
func parse(text string, t table) (all []Socket, err error) {
	_, lines, _ := strings.Cut(text, "\n")
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) < fields {
			return nil, fmt.Errorf("line %q has %d fields; want %d", strings.TrimSpace(line), len(f), fields)
		}
		if f[fieldState] != t.state {
			continue
		}
		address, err := parseAddress(f[fieldLocal])
		if err != nil {
			return nil, err
		}
		all = append(all, Socket{Protocol: t.protocol, Address: address, inode: f[fieldInode]})
	}
	return all, nil
}

// parseAddress reads "0100007F:1F90": an address in words of this machine's byte
// order, and a port.
func parseAddress(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: %w", text, err)
	}
	b, err := hex.DecodeString(host)
	if err == nil && len(b) != 4 && len(b) != 16 {
		err = errors.New("it is neither of IPv4 nor of IPv6")
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: %w", text, err)
	}
	for word := b; len(word) > 0; word = word[4:] {
		binary.BigEndian.PutUint32(word, binary.NativeEndian.Uint32(word))
	}
	address, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(address, uint16(number)), nil
}

// programs finds who has sockets open, by inode.
func programs(proc fs.FS, sockets []Socket) map[string]string {
	wanted := map[string]bool{}
	for _, s := range sockets {
		wanted["socket:["+s.inode+"]"] = true
	}
	found := map[string]string{}
	links, err := fs.Glob(proc, "[0-9]*/fd/*")
	if err != nil || len(wanted) == 0 {
		return found
	}
	for _, link := range links {
		target, err := fs.ReadLink(proc, link)
		if err != nil || !wanted[target] {
			continue // closed, or somebody else's
		}
		comm, _ := fs.ReadFile(proc, path.Join(path.Dir(path.Dir(link)), "comm"))
		found[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = strings.TrimSpace(string(comm))
	}
	return found
}
