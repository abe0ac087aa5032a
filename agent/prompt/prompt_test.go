package prompt

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/linux/pty"
)

// echo is a prompt whose commands print their words; "fail" fails.
func echo(in io.Reader, out io.Writer) *Prompt {
	return &Prompt{
		Name: "ketchctl", Text: "m> ", Greeting: "hello\n",
		Run: func(ctx context.Context, args []string) int {
			switch args[0] {
			case "fail":
				return 7
			case "wait":
				fmt.Fprintln(out, "waiting")
				<-ctx.Done()
				return 130
			}
			fmt.Fprintf(out, "%q\n", args)
			return 0
		},
		Complete: func(args []string) []string {
			if len(args) > 1 {
				return matching([]string{"--json", "--previous"}, args[len(args)-1])
			}
			return matching([]string{"status", "stop", "logs"}, args[0])
		},
		Streams: cli.Streams{In: in, Out: out, Err: out},
	}
}

func TestLines(t *testing.T) {
	for in, want := range map[string]struct {
		out    string
		status int
	}{
		"":                               {"", 0},
		"status --json\n":                {"[\"status\" \"--json\"]\n", 0},
		"ketchctl status":                {"[\"status\"]\n", 0},
		"\n  \nketchctl\nstatus 'a b'\n": {"[\"status\" \"a b\"]\n", 0},
		"fail\n":                         {"", 7},
		"fail\nstatus\n":                 {"[\"status\"]\n", 0},
		"fail\nexit\nstatus\n":           {"", 7},
		"status | cat\nlogs\n":           {"error: '|' means something to a shell, and there is none here: in single quotes it stands for itself\n[\"logs\"]\n", 0},
		"logs 'a":                        {"error: the quote ' is never closed\n", 2},
	} {
		var out strings.Builder
		status, err := echo(strings.NewReader(in), &out).Serve(t.Context())
		if err != nil || out.String() != want.out || status != want.status {
			t.Errorf("%q: %q, status %d, %v; want %q, status %d", in, out.String(), status, err, want.out, want.status)
		}
	}
}

// typing is a prompt on a terminal, and the fingers on it.
type typing struct {
	t      *testing.T
	master *os.File
	said   strings.Builder
	status chan int
}

func newTyping(t *testing.T) *typing {
	t.Helper()
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := pty.Resize(master, pty.Size{Columns: 100, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	ty := &typing{t: t, master: master, status: make(chan int, 1)}
	go func() {
		status, err := echo(terminal, terminal).Serve(context.Background())
		if err != nil {
			t.Errorf("Serve = %v", err)
		}
		terminal.Close()
		ty.status <- status
	}()
	return ty
}

// types types, and waits for what is said after it.
func (ty *typing) types(keys, want string) {
	ty.t.Helper()
	from := ty.said.Len()
	io.WriteString(ty.master, keys)
	ty.master.SetReadDeadline(time.Now().Add(2 * time.Minute)) // a busy host is slow
	for b := make([]byte, 256); !strings.Contains(ty.said.String()[from:], want); {
		n, err := ty.master.Read(b)
		ty.said.Write(b[:n])
		if err != nil {
			ty.t.Fatalf("after %q: %q never came: %q", keys, want, ty.said.String()[from:])
		}
	}
}

func TestTerminal(t *testing.T) {
	ty := newTyping(t)
	ty.types("", "m> ")
	ty.types("logs web\r", `["logs" "web"]`)
	ty.types("\x1b[A\r", `["logs" "web"]`) // up: what was typed before
	ty.types("sta\t\r", `["status"]`)      // one choice
	ty.types("st\t\x03", "status  stop")   // several; Ctrl-C drops the line
	ty.types("status --j\t\r", `["status" "--json"]`)
	ty.types("atus\x01st\x05 x\r", `["status" "x"]`) // Ctrl-A, Ctrl-E
	ty.types("fail\r", "m> ")
	ty.types("exi\t\r", "")
	if status := <-ty.status; status != 7 {
		t.Errorf("status = %d; want that of the last command, 7", status)
	}
}

func TestEndOfInput(t *testing.T) {
	ty := newTyping(t)
	ty.types("", "m> ")
	ty.types("\x04", "\n")
	if status := <-ty.status; status != 0 {
		t.Errorf("status = %d", status)
	}
}

// FuzzComplete: a completion keeps what stands there, and the cursor inside.
func FuzzComplete(f *testing.F) {
	f.Add("st", 2)
	f.Add("status --", 9)
	f.Fuzz(func(t *testing.T, line string, at int) {
		if at < 0 || at > len(line) {
			return
		}
		got, cursor, ok := echo(nil, io.Discard).complete(io.Discard, line, at)
		if ok && (!strings.HasPrefix(got, line[:at]) || !strings.HasSuffix(got, line[at:]) || cursor < at || cursor > len(got)) {
			t.Errorf("complete(%q, %d) = %q, %d", line, at, got, cursor)
		}
	})
}
