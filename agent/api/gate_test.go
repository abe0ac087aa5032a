package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/pid1"
)

// TestGate: a client and PID 1, which asks by hand and wants the answer in one
// piece, read the same.
func TestGate(t *testing.T) {
	want := &pid1.GateAnswer{Checks: []pid1.Check{
		{Name: "workload web is up", Reason: "backoff"}, {Name: "http front page", Passed: true},
	}}
	client := serve(t, &Server{Gate: func(context.Context) *pid1.GateAnswer { return want }})
	got, err := client.Gate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Gate (-want +got):\n%s", diff)
	}

	conn, err := net.Dial("unix", client.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /v1/gate HTTP/1.0\r\nHost: ketch\r\n\r\n")
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	header, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	var byHand pid1.GateAnswer
	if err := json.Unmarshal(body, &byHand); err != nil {
		t.Fatalf("answer %q: %v", text, err)
	}
	if diff := cmp.Diff(want, &byHand); diff != "" || !bytes.HasPrefix(header, []byte("HTTP/1.0 200 OK\r\n")) {
		t.Errorf("by hand: header %q (-want +got):\n%s", header, diff)
	}
}
