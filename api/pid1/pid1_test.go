package pid1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExchange(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		in := bufio.NewReader(server)
		for {
			var ask Request
			if ReadLine(in, &ask) != nil {
				return
			}
			reply := Reply{Error: "unknown request " + ask.Do}
			if ask.Do == DoStatus {
				reply = Reply{Status: &Status{Version: "1.0", Good: true}}
			}
			WriteLine(server, reply)
		}
	}()
	got, err := Exchange(client, Request{Do: DoStatus})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Status{Version: "1.0", Good: true}, got.Status); diff != "" {
		t.Errorf("Exchange(status) (-want +got):\n%s", diff)
	}
	if _, err := Exchange(client, Request{Do: "dance"}); err == nil || !strings.Contains(err.Error(), "unknown request dance") {
		t.Errorf("Exchange(dance) = %v; want the refusal", err)
	}
}

// TestAskRecord: PID 1 may be newer than its client. One that is older, or
// answers without what was asked for, gives an error.
func TestAskRecord(t *testing.T) {
	for line, want := range map[string]string{
		`{"record":{"why":"the only one","generation":7,"versions":[],"new":{}},"newer":1}`: "",
		`{}`:                                     "PID 1 answers record without a record",
		`{"error":"unknown request \"record\""}`: `PID 1 refused record: unknown request "record"`,
	} {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			var ask Request
			if ReadLine(bufio.NewReader(server), &ask) == nil {
				io.WriteString(server, line+"\n")
			}
		}()
		got, err := AskRecord(client)
		client.Close()
		if want == "" && (err != nil || got.Generation != 7) || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("AskRecord with the reply %s = %+v, %v; want %q", line, got, err, want)
		}
	}
}

func TestReadLine(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     error // nil: any error
	}{
		{"nothing", "", io.EOF},
		{"half a line", `{"do":`, io.ErrUnexpectedEOF},
		{"too long", strings.Repeat(" ", MaxLine+1), nil},
		{"not JSON", "status\n", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var ask Request
			err := ReadLine(bufio.NewReader(strings.NewReader(test.in)), &ask)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("ReadLine(%.10q) = %v; want %v", test.in, err, test.want)
			}
		})
	}
}

func FuzzReadLine(f *testing.F) {
	f.Add([]byte(`{"do":"power","power":"off"}` + "\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var ask Request
		if ReadLine(bufio.NewReader(bytes.NewReader(line)), &ask) != nil {
			return
		}
		var out bytes.Buffer
		if err := WriteLine(&out, ask); err != nil {
			t.Fatal(err)
		}
		var again Request
		if err := ReadLine(bufio.NewReader(&out), &again); err != nil || again != ask {
			t.Errorf("round trip of %+v = %+v, %v", ask, again, err)
		}
	})
}
