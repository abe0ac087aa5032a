package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/disk/bootrecord"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/shutdown"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/linux/power"
)

func serve(t *testing.T) (net.Conn, <-chan shutdown.Request) {
	t.Helper()
	m := machine.New()
	m.Version = "1.0"
	return serveMachine(t, m)
}

func serveMachine(t *testing.T, m *machine.Machine) (net.Conn, <-chan shutdown.Request) {
	t.Helper()
	requests := make(chan shutdown.Request, 1)
	server := &Server{
		Machine: m,
		Request: func(o shutdown.Request) { requests <- o },
		Status: func(lines int) *pid1.Status {
			s := Report(m)
			s.Services = []pid1.Service{{Name: "x", Lines: make([]string, lines)}}
			return s
		},
	}
	path := filepath.Join(t.TempDir(), "init.sock")
	if err := server.Serve(path); err != nil {
		t.Fatal(err)
	}
	return connect(t, path), requests
}

// connect makes a connection. A socket whose queue is full refuses it for the moment.
func connect(t *testing.T, path string) (conn net.Conn) {
	t.Helper()
	testkit.Eventually(t, "a connection", func() (made bool) {
		var err error
		conn, err = net.Dial("unix", path)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestStatus(t *testing.T) {
	conn, _ := serve(t)
	for ask, want := range map[int]int{0: defaultLines, 7: 7, -1: 0} {
		reply, err := pid1.Exchange(conn, pid1.Request{Do: pid1.DoStatus, Lines: ask})
		if err != nil {
			t.Fatal(err)
		}
		if got := reply.Status; got.Version != "1.0" || len(got.Services[0].Lines) != want {
			t.Errorf("status with %d lines = %+v; want %d lines", ask, got, want)
		}
	}
}

// TestTooMuch: a reply over the limit is an error that says so, and the next
// question is answered.
func TestTooMuch(t *testing.T) {
	conn, _ := serve(t)
	_, err := pid1.Exchange(conn, pid1.Request{Do: pid1.DoStatus, Lines: pid1.MaxLine})
	if err == nil || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("status of a MiB = %v; want the limit named", err)
	}
	if _, err := pid1.Exchange(conn, pid1.Request{Do: pid1.DoStatus}); err != nil {
		t.Errorf("the question after it: %v", err)
	}
}

func TestPower(t *testing.T) {
	conn, requests := serve(t)
	if _, err := pid1.Exchange(conn, pid1.Request{Do: pid1.DoPower, Power: pid1.PowerReboot, By: "ketchctl"}); err != nil {
		t.Fatal(err)
	}
	got := testkit.Receive(t, "a request", requests)
	if got.Action != power.Reboot || !strings.HasPrefix(got.By, "ketchctl, process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("request = %+v; want a reboot asked by ketchctl, process %d", got, os.Getpid())
	}
}

// running and other are the root hashes of the two versions of a machine.
var running, other = verity.RootHash{0: 2}, verity.RootHash{0: 1}

// recorded is a machine that runs version 2.0, which is good, as 1.0 was before.
func recorded(t *testing.T) *machine.Machine {
	t.Helper()
	m := machine.New()
	m.BootRecord = filepath.Join(t.TempDir(), "partition")
	f, err := os.Create(m.BootRecord)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := &bootrecord.Record{}
	r.Good(r.Count(other, "1.0", "ketch_1.0"), time.Unix(1_800_000_000, 0))
	r.Good(r.Count(running, "2.0", "ketch_2.0"), time.Unix(1_800_000_100, 0))
	if err := r.Write(f); err != nil {
		t.Fatal(err)
	}
	m.SetRecord(r)
	return m
}

// TestUpdate is what an update asks, in its order.
func TestUpdate(t *testing.T) {
	m := recorded(t)
	conn, _ := serveMachine(t, m)
	before, err := pid1.AskRecord(conn)
	if err != nil || len(before.Versions) != 2 || before.Versions[0].Version != "2.0" || before.Versions[1].Revoked {
		t.Fatalf("AskRecord = %+v, %v", before, err)
	}
	revoked, err := pid1.Revoke(conn, other.String(), "update")
	if err != nil || !revoked.Versions[1].Revoked {
		t.Errorf("Revoke = %+v, %v; want 1.0 revoked", revoked, err)
	}
	expected, err := pid1.Expect(conn, "3.0", verity.RootHash{0: 3}.String(), 1, "update")
	if err != nil || expected.Versions[1].Version != "3.0" || expected.Versions[1].Tries != 1 {
		t.Errorf("Expect = %+v, %v; want 3.0 with one try", expected, err)
	}
	f, err := os.Open(m.BootRecord)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r, err := bootrecord.Read(f); err != nil || r.Generation != expected.Generation || !r.Find(other).Revoked || r.Find(verity.RootHash{0: 3}) == nil {
		t.Errorf("the disk has %+v, %v", r, err)
	}
	if status, err := pid1.Exchange(conn, pid1.Request{Do: pid1.DoStatus}); err != nil || status.Status.Record.Generation != expected.Generation {
		t.Errorf("the status has another record: %+v, %v", status, err)
	}
}

// TestForgedLine: what a client calls itself makes no line of the console's.
func TestForgedLine(t *testing.T) {
	conn, requests := serve(t)
	if _, err := pid1.Exchange(conn, pid1.Request{Do: pid1.DoPower, Power: pid1.PowerOff, By: "x\nketch: FATAL: \x1b[2J"}); err != nil {
		t.Fatal(err)
	}
	if got := (<-requests).By; strings.ContainsAny(got, "\n\x1b") || !strings.HasPrefix(got, `x\nketch: FATAL: \x1b[2J, process `) {
		t.Errorf("By = %q; want it escaped", got)
	}
}

// TestForgedName: nor does the name that a process gives itself.
func TestForgedName(t *testing.T) {
	const comm = "/proc/self/comm"
	before, err := os.ReadFile(comm)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(comm, before, 0) })
	if err := os.WriteFile(comm, []byte("x\nFATAL\x1b[2J"), 0); err != nil {
		t.Fatal(err)
	}
	if got, want := who("", os.Getpid()), fmt.Sprintf(`process %d x\nFATAL\x1b[2J`, os.Getpid()); got != want {
		t.Errorf("who = %q; want %q", got, want)
	}
}

func TestRefusals(t *testing.T) {
	for line, want := range map[string]string{
		`{"do":"dance"}`:                 `unknown request "dance"`,
		`{"do":"power","power":"cycle"}`: `unknown way down "cycle"`,
		`power off`:                      "invalid character",
		`{"do":"revoke"}`:                `root hash "": want 64 hexadecimal digits`,
		`{"do":"revoke","rootHash":7}`:   "cannot unmarshal number",
		`{"do":"revoke","rootHash":"` + running.String() + `"}`:                                             "version 2.0 is running",
		`{"do":"expect","rootHash":"` + running.String() + `","version":"2.0","tries":3}`:                   "version 2.0 is running",
		`{"do":"expect","rootHash":"` + other.String() + `","version":"1.0"}`:                               "0 tries: want 1 to 9",
		`{"do":"expect","rootHash":"` + other.String() + `","tries":3}`:                                     "a version has a name",
		`{"do":"expect","rootHash":"` + other.String() + `","version":"` + strings.Repeat("1", 1000) + `"}`: "has 1000 bytes",
		`{"do":"revoke","rootHash":"` + strings.Repeat("0", 2000) + `"}`:                                    "want 64 hexadecimal digits",
	} {
		conn, _ := serveMachine(t, recorded(t))
		conn.Write([]byte(line + "\n"))
		answer := make([]byte, 4096)
		n, err := conn.Read(answer)
		if err != nil || !strings.Contains(strings.ReplaceAll(string(answer[:n]), `\"`, `"`), want) {
			t.Errorf("answer to %s = %q, %v; want %s", line, answer[:n], err, want)
		}
	}
}

// A machine whose boot record cannot be used has none to ask for or to change.
func TestWithoutRecord(t *testing.T) {
	conn, _ := serve(t)
	for _, do := range []func() (*pid1.Record, error){
		func() (*pid1.Record, error) { return pid1.AskRecord(conn) },
		func() (*pid1.Record, error) { return pid1.Revoke(conn, other.String(), "update") },
		func() (*pid1.Record, error) { return pid1.Expect(conn, "3.0", other.String(), 3, "update") },
	} {
		if got, err := do(); err == nil || !strings.Contains(err.Error(), "this machine has no boot record") {
			t.Errorf("without a boot record: %+v, %v", got, err)
		}
	}
}

// Unknown fields of a request are ignored: a client may be newer.
func TestUnknownField(t *testing.T) {
	conn, _ := serveMachine(t, recorded(t))
	if err := pid1.WriteLine(conn, map[string]any{"do": "record", "since": "yesterday"}); err != nil {
		t.Fatal(err)
	}
	var reply pid1.Reply
	if err := pid1.ReadLine(bufio.NewReader(conn), &reply); err != nil || reply.Error != "" || reply.Record == nil {
		t.Errorf("answer to a request with an unknown field: %+v, %v", reply, err)
	}
}

// line is a line of the conversation in the document.
var line = regexp.MustCompile(`(?m)^    ([→←]) (.*)$`)

// TestDocumentedConversation has the conversation of the document with a machine
// that runs version 2.0. Of an answer that the document cuts short, with "…", the
// first name counts.
func TestDocumentedConversation(t *testing.T) {
	text, err := os.ReadFile("../../docs/control-socket.md")
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := serveMachine(t, recorded(t))
	answers, asked := bufio.NewReader(conn), 0
	for _, found := range line.FindAllStringSubmatch(string(text), -1) {
		said := found[2]
		if found[1] == "→" {
			asked++
			if _, err := io.WriteString(conn, said+"\n"); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var reply pid1.Reply
		if err := pid1.ReadLine(answers, &reply); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(reply)
		if err != nil {
			t.Fatal(err)
		}
		begin, _, _ := strings.Cut(strings.ReplaceAll(said, `": `, `":`), "…")
		if !strings.HasPrefix(string(got), begin) {
			t.Errorf("answer %d is %s; the document has %s", asked, got, said)
		}
	}
	if asked < 5 {
		t.Errorf("the document has %d requests; want one of each kind", asked)
	}
}

// TestSlowClients: clients that say nothing, half a line, or take no answer keep
// nobody out. To wait for one after the other would take longer than a test may.
func TestSlowClients(t *testing.T) {
	first, _ := serve(t)
	path := first.RemoteAddr().String()
	for name, begin := range map[string]func(net.Conn){
		"silent":         func(net.Conn) {},
		"half a line":    func(c net.Conn) { c.Write([]byte(`{"do":`)) },
		"takes no reply": func(c net.Conn) { c.Write([]byte(`{"do":"status","lines":80000}` + "\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 600 {
				begin(connect(t, path))
			}
			reply, err := pid1.Exchange(connect(t, path), pid1.Request{Do: pid1.DoStatus})
			if err != nil || reply.Status.Version != "1.0" {
				t.Errorf("after 600 slow clients: %+v, %v", reply, err)
			}
		})
	}
}

// TestLongLine: a line without end is given up at its limit, not kept.
func TestLongLine(t *testing.T) {
	conn, _ := serve(t)
	go conn.Write(bytes.Repeat([]byte("x"), 4*pid1.MaxLine)) // until the connection is closed
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if !strings.Contains(answer, "over the limit") {
		t.Errorf("answer to a line without end: %q, %v", answer, err)
	}
}
