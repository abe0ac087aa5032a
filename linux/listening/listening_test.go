package listening

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func TestRead(t *testing.T) {
	proc := fstest.MapFS{
		"net/tcp": {Data: []byte(heading +
			"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n" +
			"   1: 0100007F:1F90 0100007F:9000 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0\n")},
		"net/tcp6": {Data: []byte(heading +
			"   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0\n" +
			"   1: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100 0 0 10 0\n")},
		"net/udp": {Data: []byte(heading +
			"   0: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15 2 0 0\n")},
		"7/comm": {Data: []byte("ketch-sshd\n")},
		"7/fd/3": {Data: []byte("socket:[13]"), Mode: os.ModeSymlink},
		"7/fd/4": {Data: []byte("socket:[99]"), Mode: os.ModeSymlink},
	}
	want := []Socket{
		{Protocol: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:8080")},
		{Protocol: "tcp", Address: netip.MustParseAddrPort("[::]:22"), Program: "ketch-sshd"},
		{Protocol: "tcp", Address: netip.MustParseAddrPort("[2001:db8::1]:80")},
		{Protocol: "udp", Address: netip.MustParseAddrPort("0.0.0.0:68")},
	}
	got, err := Read(proc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Socket{}), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("Read (-want +got):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	for line, want := range map[string]string{
		"   0: 0100007F:1F90 00000000:0000 0A\n":         "has 4 fields",
		"   0: 0100007F:XXXX 0:0 0A 0:0 0:0 0 0 0 1 1\n": "invalid syntax",
		"   0: 01007F:0001 0:0 0A 0:0 0:0 0 0 0 1 1\n":   "neither of IPv4 nor of IPv6",
		"   0: zz:0001 0:0 0A 0:0 0:0 0 0 0 1 1\n":       "invalid byte",
	} {
		if got, err := Read(fstest.MapFS{"net/tcp": {Data: []byte(heading + line)}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read of %q = %v, %v; want %q", line, got, err, want)
		}
	}
}

// TestBounds: whoever listens a thousand times, or has a thousand files open, keeps
// nobody waiting, and does not hide the machine's own.
func TestBounds(t *testing.T) {
	line := func(port, inode int) string {
		return fmt.Sprintf("   0: 0100007F:%04X 00000000:0000 0A 0:0 0:0 0 0 0 %d 1\n", port, inode)
	}
	most := bounds{sockets: 20, descriptors: 60, ofOne: 10}
	proc, tcp := &counted{MapFS: fstest.MapFS{}}, heading+line(22, 1)
	proc.MapFS["7/comm"] = &fstest.MapFile{Data: []byte("ketch-sshd\n")}
	proc.MapFS["7/fd/3"] = &fstest.MapFile{Data: []byte("socket:[1]"), Mode: os.ModeSymlink}
	for i := range 2 * most.descriptors {
		tcp += line(1024+i, 100+i)
		name := fmt.Sprintf("%d/fd/%d", 100+i/(2*most.ofOne), i)
		proc.MapFS[name] = &fstest.MapFile{Data: []byte("socket:[99999]"), Mode: os.ModeSymlink}
	}
	proc.MapFS["net/tcp"] = &fstest.MapFile{Data: []byte(tcp)}
	all, err := read(proc, most)
	if !errors.Is(err, ErrMore) || len(all) != most.sockets {
		t.Errorf("Read = %d sockets, %v; want %d and that there are more", len(all), err, most.sockets)
	}
	if i := slices.IndexFunc(all, func(s Socket) bool { return s.Address.Port() == 22 }); i < 0 || all[i].Program != "ketch-sshd" {
		t.Errorf("the machine's own is not among %+v", all)
	}
	if proc.links > most.descriptors {
		t.Errorf("%d descriptors were looked at; want at most %d", proc.links, most.descriptors)
	}
}

// counted counts the links that are read.
type counted struct {
	fstest.MapFS
	links int
}

func (c *counted) ReadLink(name string) (string, error) {
	c.links++
	return c.MapFS.ReadLink(name)
}

// TestThisMachine: a socket of this very process is found, by its name.
func TestThisMachine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all, err := Read(os.DirFS("/proc"))
	if err != nil {
		t.Fatal(err)
	}
	own := l.Addr().(*net.TCPAddr).AddrPort()
	if !slices.ContainsFunc(all, func(s Socket) bool {
		return s.Protocol == "tcp" && s.Address == own && strings.HasPrefix("listening.test", s.Program) && s.Program != ""
	}) {
		t.Errorf("%v is not among %+v", own, all)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(heading + "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parse(strings.NewReader(text), tables()[0], 512)
		if err == nil && len(all) > strings.Count(text, "0A") {
			t.Errorf("parse(%q) = %v", text, all)
		}
	})
}
