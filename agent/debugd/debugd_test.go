package main

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout/debugport"
)

// connect serves one end of a socket pair, in place of the port, and returns
// the host's end.
func connect(t *testing.T) (host net.Conn, served <-chan error) {
	t.Helper()
	dir := t.TempDir()
	listener, err := net.Listen("unix", dir+"/port")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	host, err = net.Dial("unix", dir+"/port")
	if err != nil {
		t.Fatal(err)
	}
	guest, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	host.SetDeadline(time.Now().Add(testkit.HangLimit))
	done := make(chan error, 1)
	go func() { done <- serve(guest) }()
	t.Cleanup(func() { host.Close() })
	return host, done
}

type reply struct {
	stdout, stderr string
	result         debugport.Result
}

// finish reads the frames of one command.
func finish(t *testing.T, host io.Reader) reply {
	t.Helper()
	var got reply
	for {
		kind, payload, err := debugport.ReadFrame(host)
		if err != nil {
			t.Fatalf("read reply after %+v: %v", got, err)
		}
		switch kind {
		case debugport.Stdout:
			got.stdout += string(payload)
		case debugport.Stderr:
			got.stderr += string(payload)
		case debugport.Exit:
			if err := json.Unmarshal(payload, &got.result); err != nil {
				t.Fatal(err)
			}
			return got
		}
	}
}

func send(t *testing.T, host io.Writer, command debugport.Command) {
	t.Helper()
	if err := debugport.WriteJSON(host, debugport.Run, command); err != nil {
		t.Fatal(err)
	}
}

func TestCommands(t *testing.T) {
	host, served := connect(t)
	for _, test := range []struct {
		name    string
		command debugport.Command
		want    reply
	}{
		{"args", debugport.Command{Args: []string{"echo", "a b"}}, reply{stdout: "a b\n"}},
		{"shell", debugport.Command{Shell: "echo out; echo err >&2; exit 3"}, reply{"out\n", "err\n", debugport.Result{Status: 3}}},
		{"stdin", debugport.Command{Args: []string{"cat"}, Stdin: []byte("in")}, reply{stdout: "in"}},
		{"stdin not read", debugport.Command{Args: []string{"true"}, Stdin: make([]byte, 1<<19)}, reply{}},
		{"signal", debugport.Command{Shell: "kill -TERM $$"}, reply{result: debugport.Result{Status: 143}}},
		{"nothing", debugport.Command{}, reply{result: debugport.Result{Status: 127, Error: "run command: neither args nor shell is given"}}},
		{"timeout kills the group", debugport.Command{Shell: "echo begun; sleep 100 & sleep 100", Timeout: 0.2},
			reply{"begun\n", "debugd: timed out after 200ms\n", debugport.Result{Status: 137}}},
		{"background", debugport.Command{Shell: "sleep 3 & echo done"}, reply{stdout: "done\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			send(t, host, test.command)
			if got := finish(t, host); got != test.want {
				t.Errorf("run %+v = %+v; want %+v", test.command, got, test.want)
			}
		})
	}
	host.Close()
	if err := <-served; err != nil {
		t.Errorf("serve = %v; want nil at the end of the stream", err)
	}
}

func TestMissingProgram(t *testing.T) {
	host, _ := connect(t)
	send(t, host, debugport.Command{Args: []string{"/no/such/program"}})
	if got := finish(t, host); got.result.Status != 127 || !strings.Contains(got.result.Error, "/no/such/program") {
		t.Errorf("result = %+v; want status 127 and the program's name", got.result)
	}
}

func TestLongOutput(t *testing.T) {
	host, _ := connect(t)
	const size = 3*debugport.MaxPayload + 17
	send(t, host, debugport.Command{Shell: "head -c 3145745 /dev/zero"})
	if got := finish(t, host); len(got.stdout) != size || got.result != (debugport.Result{}) {
		t.Errorf("got %d bytes, %+v; want %d bytes, status 0", len(got.stdout), got.result, size)
	}
}

// A host that says hello while a command runs has given up on the command.
func TestHelloKills(t *testing.T) {
	host, _ := connect(t)
	send(t, host, debugport.Command{Shell: "echo begun; sleep 100"})
	if kind, _, err := debugport.ReadFrame(host); kind != debugport.Stdout || err != nil {
		t.Fatal(kind, err)
	}
	if err := debugport.WriteFrame(host, debugport.Hello, nil); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, host); got.result.Status != 137 {
		t.Errorf("result = %+v; want status 137", got.result)
	}
	if kind, _, err := debugport.ReadFrame(host); kind != debugport.Hello || err != nil {
		t.Errorf("after the kill = %q, %v; want Hello", kind, err)
	}
}

func TestHostGoesAway(t *testing.T) {
	host, served := connect(t)
	send(t, host, debugport.Command{Shell: "echo begun; sleep 100"})
	if kind, _, err := debugport.ReadFrame(host); kind != debugport.Stdout || err != nil {
		t.Fatal(kind, err)
	}
	host.Close()
	testkit.Receive(t, "the end of serve after the host has gone", served)
}

func TestBadFrames(t *testing.T) {
	for name, bytes := range map[string]string{
		"unknown kind": "?\x00\x00\x00\x00",
		"too long":     "R\xff\x00\x00\x00",
		"guest's kind": "O\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			host, served := connect(t)
			io.WriteString(host, bytes)
			if err := <-served; err == nil {
				t.Errorf("serve after %q = nil; want an error", bytes)
			}
		})
	}
}

func TestFindPort(t *testing.T) {
	ports := fstest.MapFS{
		"vport1p1/name": {Data: []byte("org.qemu.guest_agent.0\n")},
		"vport2p3/name": {Data: []byte(debugport.PortName + "\n")},
		"vport2p4/dev":  {Data: []byte("250:4\n")},
	}
	if got, err := findPort(ports); got != "vport2p3" || err != nil {
		t.Errorf("findPort = %q, %v; want vport2p3", got, err)
	}
	delete(ports, "vport2p3/name")
	if _, err := findPort(ports); err == nil || !strings.Contains(err.Error(), debugport.PortName) {
		t.Errorf("findPort without the port = %v; want an error that names it", err)
	}
}

func TestMain(m *testing.M) {
	os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	os.Exit(m.Run())
}
