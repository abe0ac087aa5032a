package control

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/shutdown"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/power"
)

func serve(t *testing.T) (net.Conn, <-chan shutdown.Request) {
	t.Helper()
	requests := make(chan shutdown.Request, 1)
	m := machine.New()
	m.Version = "1.0"
	server := &Server{
		Log:     &kmsg.Log{},
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
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, requests
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
	select {
	case got := <-requests:
		if got.Action != power.Reboot || !strings.HasPrefix(got.By, "ketchctl, process "+strconv.Itoa(os.Getpid())) {
			t.Errorf("request = %+v; want a reboot asked by ketchctl, process %d", got, os.Getpid())
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("no request came")
	}
}

func TestRefusals(t *testing.T) {
	for line, want := range map[string]string{
		`{"do":"dance"}`:                 `unknown request "dance"`,
		`{"do":"power","power":"cycle"}`: `unknown way down "cycle"`,
		`power off`:                      "invalid character",
	} {
		conn, _ := serve(t)
		conn.Write([]byte(line + "\n"))
		answer := make([]byte, 4096)
		n, err := conn.Read(answer)
		if err != nil || !strings.Contains(strings.ReplaceAll(string(answer[:n]), `\"`, `"`), want) {
			t.Errorf("answer to %s = %q, %v; want %s", line, answer[:n], err, want)
		}
	}
}
