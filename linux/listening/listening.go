// Package listening tells which sockets of this machine take what comes from a
// network (proc(5), /proc/net/tcp and its like), and whose they are.
package listening

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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

// Whoever runs on the machine decides how many sockets listen, and how many
// descriptors are open: a look at them is bounded.
type bounds struct {
	sockets     int // that are listed of one table
	descriptors int // that are looked at to tell whose the sockets are
	ofOne       int // of those: of one process
}

// ErrMore tells that more sockets listen than are listed.
var ErrMore = errors.New("more sockets listen than are listed")

// Read lists the sockets that a /proc shows, by protocol and address. With ErrMore
// the list is as good as any: it has as many as are looked at.
func Read(proc fs.FS) ([]Socket, error) {
	return read(proc, bounds{sockets: 512, descriptors: 8192, ofOne: 1024})
}

func read(proc fs.FS, most bounds) (all []Socket, err error) {
	more := false
	for _, t := range tables() {
		found, err := readTable(proc, t, most.sockets)
		all = append(all, found...)
		switch {
		case errors.Is(err, ErrMore):
			more = true
		case err != nil:
			return nil, fmt.Errorf("list sockets: net/%s: %w", t.file, err)
		}
	}
	owners := programs(proc, all, most)
	for i := range all {
		all[i].Program = owners[all[i].inode]
	}
	slices.SortFunc(all, func(a, b Socket) int {
		if a.Protocol != b.Protocol {
			return strings.Compare(a.Protocol, b.Protocol)
		}
		return a.Address.Compare(b.Address)
	})
	if more {
		return all, ErrMore
	}
	return all, nil
}

func readTable(proc fs.FS, t table, most int) ([]Socket, error) {
	file, err := proc.Open("net/" + t.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without IPv6
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parse(file, t, most)
}

// The fields of a line.
const (
	fieldLocal = 1
	fieldState = 3
	fieldInode = 9
	fields     = 10
)

// parse reads a table: a heading, and a line for each socket. The kernel writes those
// of TCP that listen before all others; the first that does not is the end of them.
func parse(from io.Reader, t table, most int) (all []Socket, err error) {
	lines := bufio.NewScanner(from)
	lines.Scan() // the heading
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < fields {
			return nil, fmt.Errorf("line %q has %d fields; want %d", strings.TrimSpace(lines.Text()), len(f), fields)
		}
		if f[fieldState] != t.state {
			if t.protocol == "tcp" {
				return all, nil
			}
			continue
		}
		if len(all) == most {
			return all, ErrMore
		}
		address, err := parseAddress(f[fieldLocal])
		if err != nil {
			return nil, err
		}
		all = append(all, Socket{Protocol: t.protocol, Address: address, inode: f[fieldInode]})
	}
	return all, lines.Err()
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

// programs finds who has sockets open, by inode. The first processes come first: those
// are the machine's own.
func programs(proc fs.FS, sockets []Socket, most bounds) map[string]string {
	wanted := map[string]string{}
	for _, s := range sockets {
		wanted["socket:["+s.inode+"]"] = s.inode
	}
	found := map[string]string{}
	left := most.descriptors
	for _, pid := range processes(proc) {
		if len(found) == len(wanted) || left <= 0 {
			return found
		}
		dir := strconv.Itoa(pid)
		open := descriptors(proc, dir, min(left, most.ofOne))
		left -= len(open)
		for _, fd := range open {
			target, err := fs.ReadLink(proc, path.Join(dir, "fd", fd.Name()))
			if inode := wanted[target]; err == nil && inode != "" { // else closed, or somebody else's
				comm, _ := fs.ReadFile(proc, path.Join(dir, "comm"))
				found[inode] = strings.TrimSpace(string(comm))
			}
		}
	}
	return found
}

// processes are the numbers of all that run, in their order.
func processes(proc fs.FS) (pids []int) {
	entries, err := fs.ReadDir(proc, ".")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// descriptors lists what a process has open, as far as the limit reaches.
func descriptors(proc fs.FS, pid string, limit int) []fs.DirEntry {
	dir, err := proc.Open(path.Join(pid, "fd"))
	if err != nil {
		return nil
	}
	defer dir.Close()
	list, ok := dir.(fs.ReadDirFile)
	if !ok {
		return nil
	}
	open, _ := list.ReadDir(limit)
	return open
}
