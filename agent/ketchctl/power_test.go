package main

import (
	"bufio"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/node/client"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/cli"
)

// TestPower: PID 1 is asked for the right way down, with who and why.
func TestPower(t *testing.T) {
	for _, test := range []struct {
		args   []string
		answer pid1.Reply
		want   pid1.Request
		out    string
		status int
	}{
		{[]string{"reboot"}, pid1.Reply{}, pid1.Request{Do: "power", Power: "reboot", By: "ketchctl reboot by core from 192.0.2.1"}, "the machine goes down\n", 0},
		{[]string{"poweroff", "-m", "so long"}, pid1.Reply{}, pid1.Request{Do: "power", Power: "off", By: "ketchctl poweroff by core from 192.0.2.1: so long"}, "the machine goes down\n", 0},
		{[]string{"reboot"}, pid1.Reply{Error: "not now"}, pid1.Request{Do: "power", Power: "reboot", By: "ketchctl reboot by core from 192.0.2.1"}, "error: reboot: PID 1 refused power: not now\n", 1},
	} {
		t.Setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
		t.Setenv("USER", "core")
		socket := filepath.Join(t.TempDir(), "init.sock")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan pid1.Request, 1)
		go func() {
			defer l.Close()
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			var r pid1.Request
			if pid1.ReadLine(bufio.NewReader(conn), &r) == nil {
				asked <- r
				pid1.WriteLine(conn, &test.answer)
			}
		}()
		var out strings.Builder
		status := cli.Run(t.Context(), program(machine{client.New("/nowhere"), socket, fstest.MapFS{}}), test.args, cli.Streams{Out: &out, Err: &out})
		if out.String() != test.out || status != test.status {
			t.Errorf("%q: %q, status %d; want %q, status %d", test.args, out.String(), status, test.out, test.status)
		}
		if diff := cmp.Diff(test.want, <-asked); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.args, diff)
		}
	}
}

func TestPowerRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"at most 200 are kept":   {"reboot", "-m", strings.Repeat("x", 201)},
		"on Ketch machines only": {"reboot"},
		"There are no arguments": {"poweroff", "now"},
	} {
		var out strings.Builder
		status := cli.Run(t.Context(), program(machine{client.New("/nowhere"), "/no/such/socket", fstest.MapFS{}}), args, cli.Streams{Out: &out, Err: &out})
		if status == 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%q: %q, status %d; want %q", args, out.String(), status, want)
		}
	}
}

func TestCompletions(t *testing.T) {
	m := machine{client.New("/nowhere"), "", fstest.MapFS{}}
	for line, want := range map[string]string{
		"st":             "status",
		"status --p":     "--previous",
		"re":             "reboot",
		"no-such-thing ": "",
	} {
		got := strings.Join(completions(m, strings.Split(line, " ")), " ")
		if got != want {
			t.Errorf("completions(%q) = %q; want %q", line, got, want)
		}
	}
}

func TestPrompt(t *testing.T) {
	var out strings.Builder
	m := machine{client.New("/nowhere"), "", fstest.MapFS{}}
	status := cli.Run(t.Context(), program(m), []string{"prompt"},
		cli.Streams{In: strings.NewReader("help reboot\nketchctl no-such\n"), Out: &out, Err: &out})
	if status != 2 || !strings.Contains(out.String(), "usage: ketchctl reboot") || !strings.Contains(out.String(), `unknown command "no-such"`) {
		t.Errorf("prompt = %q, status %d", out.String(), status)
	}
}
