package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/agent/logfile"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/node/client"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/testkit"
)

// serve runs a Server over a Unix socket.
func serve(t *testing.T, s *Server) *client.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "run", "ketchd.sock")
	listener, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return client.New(socket)
}

func logs(t *testing.T, text string) logfile.Dir {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "demo.log"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return logfile.Dir(dir)
}

func TestHealth(t *testing.T) {
	state := errors.New("containerd does not answer")
	client := serve(t, &Server{Ready: func(context.Context) error { return state }})
	if err := client.Health(t.Context()); err == nil || err.Error() != state.Error() {
		t.Errorf("Health = %v; want %v", err, state)
	}
	state = nil
	if err := client.Health(t.Context()); err != nil {
		t.Errorf("Health = %v; want nil", err)
	}
}

// PID 1 writes its request by hand and reads the first line of the answer.
func TestHealthByHand(t *testing.T) {
	client := serve(t, &Server{Ready: func(context.Context) error { return nil }})
	conn, err := net.Dial("unix", client.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /v1/health HTTP/1.1\r\nHost: ketch\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 OK\r\n")) {
		t.Errorf("answer = %q, %v; want 200", answer, err)
	}
}

func TestStatus(t *testing.T) {
	exit := uint32(3)
	want := &node.Status{
		State: node.Degraded, Problems: []string{"workload web: failed"},
		System:    &pid1.Status{Version: "1.0", Good: true},
		Memory:    pid1.Memory{TotalKiB: 100, AvailableKiB: 60, UsedKiB: 40},
		Links:     []node.Link{{Name: "eth0", Addresses: []string{"192.0.2.1/24"}}},
		Workloads: []node.Workload{{Name: "web", State: node.Failed, Exit: &exit}},
		Images:    []node.Image{},
	}
	got, err := serve(t, &Server{Status: func(context.Context) *node.Status { return want }}).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Status (-want +got):\n%s", diff)
	}
}

func TestLogs(t *testing.T) {
	client := serve(t, &Server{Logs: logs(t, "one\ntwo\nthree\n")})
	for lines, want := range map[int]string{-1: "one\ntwo\nthree\n", 0: "", 2: "two\nthree\n"} {
		var out strings.Builder
		if err := client.Logs(t.Context(), &out, "demo", lines, false); err != nil || out.String() != want {
			t.Errorf("Logs(%d) = %q, %v; want %q", lines, out.String(), err, want)
		}
	}
	for name, want := range map[string]string{"none": "there is no log of none", "../demo": "only letters and digits", "": "only letters"} {
		err := client.Logs(t.Context(), io.Discard, name, -1, false)
		var refused *node.Error
		if !errors.As(err, &refused) || !strings.Contains(refused.Message, want) || refused.Advice != "there are logs of demo" {
			t.Errorf("Logs(%q) = %v; want %q and a hint", name, err, want)
		}
	}
}

func TestLogList(t *testing.T) {
	got, err := serve(t, &Server{Logs: logs(t, "one\n")}).LogList(t.Context())
	if err != nil || len(got.Logs) != 1 || got.Logs[0].Name != "demo" || got.Logs[0].Bytes != 4 || got.Limit <= 0 {
		t.Errorf("LogList = %+v, %v; want demo with 4 bytes, and a limit", got, err)
	}
	if got, err := serve(t, &Server{Logs: logfile.Dir(t.TempDir() + "/none")}).LogList(t.Context()); err == nil {
		t.Errorf("LogList of no directory = %+v; want an error", got)
	}
}

func TestMemory(t *testing.T) {
	want := &node.MemoryTable{GivenKiB: 3, UsedKiB: 2, Rows: []node.MemoryRow{{Name: "a", KiB: 2}}, Processes: []node.ProcessMemory{{PID: 1, Name: "init"}}}
	var fault error
	client := serve(t, &Server{Memory: func() (*node.MemoryTable, error) { return want, fault }})
	got, err := client.Memory(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Memory: %v (-want +got):\n%s", err, diff)
	}
	fault = errors.New("read meminfo: no such file")
	if _, err := client.Memory(t.Context()); err == nil || err.Error() != fault.Error() {
		t.Errorf("Memory = %v; want %v", err, fault)
	}
}

func TestPrevious(t *testing.T) {
	want := &pid1.Previous{End: pid1.EndPanic, Reason: "lost at sea", LastWords: "<0>[    1.0] lost at sea\n"}
	var fault error
	client := serve(t, &Server{Previous: func() (*pid1.Previous, error) { return want, fault }})
	got, err := client.Previous(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Previous: %v (-want +got):\n%s", err, diff)
	}
	fault = errors.New("read last words: no such file")
	if _, err := client.Previous(t.Context()); err == nil || err.Error() != fault.Error() {
		t.Errorf("Previous = %v; want %v", err, fault)
	}
}

func TestFollow(t *testing.T) {
	dir := logs(t, "one\n")
	client := serve(t, &Server{Logs: dir})
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- client.Logs(ctx, writer, "demo", 1, true) }()
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(reader, got); err != nil || string(got) != want {
			t.Fatalf("followed %q, %v; want %q", got, err, want)
		}
	}
	expect("one\n")
	log, err := os.OpenFile(filepath.Join(string(dir), "demo.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	io.WriteString(log, "two\n")
	expect("two\n")
	cancel()
	if err := testkit.Receive(t, "the end of Logs after that of its context", done); err != nil {
		t.Errorf("Logs = %v; want nil once its context has ended", err)
	}
}

// byHand is a client of a socket that asks for what no Client asks for.
func byHand(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
}

func TestBadRequests(t *testing.T) {
	client := byHand(serve(t, &Server{Logs: logs(t, "")}).Socket)
	for path, want := range map[string]int{
		"/v1/logs?name=demo&lines=x": 400, "/v1/logs?name=demo&lines=-1": 400, "/v1/logs?name=demo&follow=maybe": 400,
		"/v1/logs?name=demo": 200, "/v1/nothing": 404, "/": 404,
	} {
		answer, err := client.Get("http://ketch" + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("GET %s = %d; want %d", path, answer.StatusCode, want)
		}
	}
	answer, err := client.Post("http://ketch/v1/status", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed && answer.StatusCode != http.StatusNotFound {
		t.Errorf("POST /v1/status = %d; want a refusal", answer.StatusCode)
	}
}

func TestUnreachable(t *testing.T) {
	err := client.New(filepath.Join(t.TempDir(), "none")).Health(t.Context())
	var refused *node.Error
	if !errors.As(err, &refused) || !strings.Contains(refused.Message, "no such file") || refused.Advice == "" {
		t.Errorf("Health without a socket = %#v; want the cause and a hint", err)
	}
}

func TestListen(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "ketchd.sock")
	for range 2 { // the second finds what a killed process leaves
		listener, err := Listen(socket)
		if err != nil {
			t.Fatal(err)
		}
		listener.(*net.UnixListener).SetUnlinkOnClose(false)
		info, err := os.Stat(socket)
		if err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("mode = %v, %v; want 0660", info.Mode(), err)
		}
		listener.Close()
	}
}

// TestSlowClients: whatever a thousand clients leave undone, one more is answered.
// Nothing of it is waited for: the limits in time are far longer than each part of
// this test.
func TestSlowClients(t *testing.T) {
	client := serve(t, &Server{Ready: func(context.Context) error { return nil }, Logs: logs(t, strings.Repeat("a line\n", 100_000))})
	for name, ask := range map[string]string{
		"silent":             "",
		"half a header":      "GET /v1/health HTTP/1.1\r\nHost: x\r\n",
		"half a body":        "GET /v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx",
		"follows for ever":   "GET /v1/logs?name=demo&lines=0&follow=true HTTP/1.1\r\nHost: x\r\n\r\n",
		"takes no answer":    "GET /v1/logs?name=demo HTTP/1.1\r\nHost: x\r\n\r\n",
		"keeps a connection": "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			for range 1000 {
				conn, err := net.Dial("unix", client.Socket)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				io.WriteString(conn, ask)
			}
			if err := client.Health(t.Context()); err != nil {
				t.Errorf("after a thousand clients: %v", err)
			}
			testkit.Eventually(t, "no more descriptors than the clients' thousand, and some", func() bool { return descriptors(t) < 1000+5*most })
		})
	}
}

// descriptors counts those of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestEndlessHeader: a header without end is refused at its limit.
func TestEndlessHeader(t *testing.T) {
	client := serve(t, &Server{})
	conn, err := net.Dial("unix", client.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		io.WriteString(conn, "GET /v1/health HTTP/1.1\r\nX: ")
		for err := error(nil); err == nil; { // until the connection is closed
			_, err = io.WriteString(conn, strings.Repeat("x", 4096))
		}
	}()
	answer, _ := io.ReadAll(conn)
	if !bytes.Contains(answer, []byte("431 ")) {
		t.Errorf("answer to an endless header: %q; want status 431", answer)
	}
}
