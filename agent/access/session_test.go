package access

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/internal/testkit"
)

// one is a fixture with one key that core has.
func one(t testing.TB, change func(*Server)) *fixture {
	f := newFixture(t, change)
	f.allow(f.newKey(t, "id"))
	return f
}

func TestCommand(t *testing.T) {
	f := one(t, nil)
	for _, test := range []struct {
		command, stdin string
		want           result
	}{
		{"echo a  'b c' \"d\\\"e\"", "", result{out: "[a][b c][d\"e]\n"}},
		{"ketchctl echo x", "", result{out: "[x]\n"}},
		{"/usr/bin/ketchctl echo x", "", result{out: "[x]\n"}},
		{"fail", "", result{err: "it failed\n", status: 7}},
		{"cat", "what comes in", result{out: "what comes in"}},
		{"large 300000", "", result{out: strings.Repeat("x", 300000)}},
		{"echo x | cat", "", result{status: 2, err: "error: '|' means something to a shell, and there is none here: in single quotes it stands for itself\n" +
			"hint: this machine has no shell; ssh USER@HOST help lists what it can do\n"}},
		{"scp -t /tmp", "", result{status: 2, err: "error: the older protocol of scp needs a program on the machine\nhint: use scp without -O, or sftp\n"}},
		{"rsync --server", "", result{status: 2, err: "error: there is no rsync on this machine\nhint: use scp or sftp\n"}},
	} {
		if got := f.ssh(t, "id", test.stdin, nil, test.command); got != test.want {
			t.Errorf("ssh %s = %v; want %v", test.command, got, test.want)
		}
	}
	if got := f.ssh(t, "id", "typed\n", []string{"-T"}); got.out != "a prompt\ntyped\n" {
		t.Errorf("a session without a command: %v", got)
	}
}

// TestDebugImage: with a shell it is the shell that runs.
func TestDebugImage(t *testing.T) {
	f := one(t, func(s *Server) { s.Shell = "/bin/sh" })
	if got := f.ssh(t, "id", "", nil, "echo $((6*7)) | cat; exit 3"); got != (result{out: "42\n", status: 3}) {
		t.Errorf("a command: %v", got)
	}
	if got := f.ssh(t, "id", "echo from stdin; exit 4\n", []string{"-T"}); got != (result{out: "from stdin\n", status: 4}) {
		t.Errorf("a shell: %v", got)
	}
	if got := f.ssh(t, "id", "", nil, "kill -TERM $$"); got.status != 255 { // ssh(1): exit-signal
		t.Errorf("a shell that is killed: %v", got)
	}
	got := f.ssh(t, "id", "", []string{"-tt"}, "tty; test -t 0 && test -t 1 && test -t 2 && echo terminal; ps -o tty= -p $$ >/dev/null")
	if !strings.Contains(got.out, "/dev/pts/") || !strings.Contains(got.out, "terminal") || got.status != 0 {
		t.Errorf("a terminal: %v", got)
	}
}

func TestEnvironment(t *testing.T) {
	f := one(t, nil)
	got := f.ssh(t, "id", "", []string{"-o", "SetEnv=LANG=de_DE.UTF-8 LC_TIME=C LD_PRELOAD=x PATH=/tmp LC_ALL=/etc/x COLORTERM=truecolor"}, "env")
	lines := strings.Split(got.out, "\n")
	has := func(line string) bool { return strings.Contains("\n"+got.out, "\n"+line+"\n") }
	for _, want := range []string{"LANG=de_DE.UTF-8", "LC_TIME=C", "COLORTERM=truecolor", "USER=core", "LOGNAME=core",
		"PATH=/usr/sbin:/usr/bin", "HOME=" + filepath.Join(f.dir, "home/core")} {
		if !has(want) {
			t.Errorf("%s is missing in %q", want, lines)
		}
	}
	for _, line := range lines {
		if name, _, _ := strings.Cut(line, "="); name == "LD_PRELOAD" || name == "LC_ALL" || name == "SSH_ORIGINAL_COMMAND" {
			t.Errorf("%s was let in", line)
		}
	}
	if !strings.Contains(got.out, "SSH_CONNECTION=127.0.0.1 ") {
		t.Errorf("there is no SSH_CONNECTION in %q", lines)
	}
}

// client is a connection by x/crypto's client, for what ssh(1) cannot be told to do.
func (f *fixture) client(t testing.TB, config ssh.Config) (*ssh.Client, error) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "id"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return ssh.Dial("tcp", f.address, &ssh.ClientConfig{
		Config: config, User: "core", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(f.HostKey.PublicKey()),
	})
}

func (f *fixture) dial(t testing.TB) *ssh.Client {
	t.Helper()
	client, err := f.client(t, ssh.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// TestTerminal: its size is what the client says, and follows it.
func TestTerminal(t *testing.T) {
	f := one(t, func(s *Server) { s.Shell = "/bin/sh" })
	session, err := f.dial(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("xterm-256color", 33, 99, ssh.TerminalModes{ssh.ECHO: 0}); err != nil {
		t.Fatal(err)
	}
	in, _ := session.StdinPipe()
	out, _ := session.StdoutPipe()
	if err := session.Start(`trap 'stty size' WINCH; echo "$TERM"; stty size; while :; do read line && test -n "$line" && exit 5; done`); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	read := func(want string) {
		t.Helper()
		for b := make([]byte, 1); !strings.Contains(said.String(), want); {
			n, err := out.Read(b)
			said.Write(b[:n])
			if err != nil {
				t.Fatalf("%q never came: %q, %v", want, said.String(), err)
			}
		}
	}
	read("xterm-256color\r\n33 99\r\n")
	if err := session.WindowChange(44, 111); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "\n") // a trap runs once read has returned
	read("44 111\r\n")
	io.WriteString(in, "end\n")
	var exit *ssh.ExitError
	if err := session.Wait(); err == nil || !asExit(err, &exit) || exit.ExitStatus() != 5 {
		t.Errorf("Wait = %v; want status 5", err)
	}
}

func asExit(err error, to **ssh.ExitError) (ok bool) {
	*to, ok = err.(*ssh.ExitError)
	return ok
}

// alive tells whether a process is there.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// hang starts a command that hangs, and returns its process.
func hang(t *testing.T, client *ssh.Client) (*ssh.Session, int) {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, _ := session.StdoutPipe()
	if err := session.Start("hang"); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	return session, pid
}

func TestSignal(t *testing.T) {
	f := one(t, nil)
	session, pid := hang(t, f.dial(t))
	if err := session.Signal(ssh.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := session.Wait(); !asExit(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("Wait = %v; want the signal TERM", err)
	}
	if alive(pid) {
		t.Error("it lives")
	}
}

// TestHangUp: what runs ends with its connection, and so does all that it took.
func TestHangUp(t *testing.T) {
	f := one(t, nil)
	client := f.dial(t)
	_, pid := hang(t, client)
	client.Close()
	testkit.Eventually(t, "process "+strconv.Itoa(pid)+" ends", func() bool { return !alive(pid) })
	testkit.Eventually(t, "the connection is signed out", func() bool { return strings.Contains(f.logged(), "signed out: user core") })
}

// TestServerEnds: connections end with the server.
func TestServerEnds(t *testing.T) {
	f := one(t, nil)
	var client *ssh.Client
	t.Run("while it serves", func(t *testing.T) {
		inner := one(t, nil)
		var err error
		if client, err = inner.client(t, ssh.Config{}); err != nil {
			t.Fatal(err)
		}
	}) // its clean-up ends the server
	if err := client.Wait(); err == nil {
		t.Error("a connection outlives its server")
	}
	f.dial(t)
}

// TestChannels: one connection has a bounded number of them, and gives them back.
func TestChannels(t *testing.T) {
	f := one(t, nil)
	client := f.dial(t)
	var sessions []*ssh.Session
	for range maxSessions {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, session)
	}
	if _, err := client.NewSession(); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("one session more: %v; want too many", err)
	}
	there := "127.0.0.1:" + answering(t)
	for range maxOwnChannels - maxSessions {
		conn, err := client.Dial("tcp", there)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if _, err := client.Dial("tcp", there); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("one forwarded connection more: %v; want too many", err)
	}
	sessions[0].Close()
	testkit.Eventually(t, "a place is free again", func() bool {
		session, err := client.NewSession()
		if err == nil {
			session.Close()
		}
		return err == nil
	})
}

// TestOnePurpose: a session runs one thing, and no agent, X11 or unknown subsystem.
func TestOnePurpose(t *testing.T) {
	f := one(t, nil)
	session, err := f.dial(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{"auth-agent-req@openssh.com", "x11-req", "break", "unheard-of"} {
		if ok, err := session.SendRequest(request, true, nil); ok || err != nil {
			t.Errorf("%s = %v, %v; want it refused", request, ok, err)
		}
	}
	if err := session.RequestSubsystem("netconf"); err == nil {
		t.Error("an unknown subsystem is served")
	}
	if err := session.Start("hang"); err != nil {
		t.Fatal(err)
	}
	if ok, err := session.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{"hang"})); ok || err != nil {
		t.Errorf("a second command = %v, %v; want it refused", ok, err)
	}
}

// TestNothingStartsForNobody: a program whose client has gone before it was started is
// not started.
func TestNothingStartsForNobody(t *testing.T) {
	s, ended := &session{}, make(chan struct{})
	close(ended)
	s.hangUp(ended)
	if p, err := s.launch([]string{"sleep", "3600"}, ""); p != nil || !errors.Is(err, errGone) {
		t.Errorf("launch = %v, %v; want %v", p, err, errGone)
	}
}

func TestNameOf(t *testing.T) {
	for signal, want := range map[syscall.Signal]string{
		syscall.SIGTERM: "TERM", syscall.SIGBUS: "BUS@ketch", 34: "34@ketch", 64: "64@ketch",
	} {
		if got := nameOf(signal); got != want {
			t.Errorf("nameOf(%d) = %q; want %q", int(signal), got, want)
		}
	}
}

// TestFirstWord: nothing that may be secret is logged.
func TestFirstWord(t *testing.T) {
	for command, want := range map[string]string{
		"": "", " status --json": "status", "login\tsecret": "login", "login\nsecret": "login", "login\r\nsecret": "login",
		"TOKEN=secret curl": "TOKEN=…", "--token=secret": "--token=…",
	} {
		if got := firstWord(command); got != want {
			t.Errorf("firstWord(%q) = %q; want %q", command, got, want)
		}
	}
}
