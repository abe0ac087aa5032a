package access

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/agent/access/transfer"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
	"github.com/ketch-os/ketch/internal/words"
	"github.com/ketch-os/ketch/linux/pty"
)

// session is one channel of type "session" (RFC 4254, 6).
type session struct {
	*connection
	ssh.Channel

	environ  []string // what the client has sent, and may send
	terminal *terminal
	begun    bool

	mu      sync.Mutex
	process *process // once it runs
	gone    bool     // nobody listens any more: nothing is started
}

// terminal is what a client asks for with "pty-req" (RFC 4254, 6.2).
type terminal struct {
	kind  string // TERM
	size  pty.Size
	modes pty.Modes
}

// session serves a channel until what it runs has ended.
func (c *connection) session(offered ssh.NewChannel) {
	channel, requests, err := offered.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	s := &session{connection: c, Channel: channel}
	ended, closed := make(chan struct{}), make(chan struct{})
	late := time.AfterFunc(beginLimit, func() { c.finish(channel, closed) })
	defer late.Stop()
	for r := range requests {
		run, ok := s.answer(r)
		if r.WantReply {
			r.Reply(ok, nil)
		}
		if run != nil {
			late.Stop()
			go func() {
				run()
				close(ended)
				c.finish(channel, closed) // which ends requests
			}()
		}
	}
	close(closed)
	if s.begun {
		s.hangUp(ended)
	}
}

// answer does what a request asks for. run is what the session is to run.
func (s *session) answer(r *ssh.Request) (run func(), ok bool) {
	switch r.Type {
	case "env":
		return nil, s.env(r.Payload)
	case "pty-req":
		return nil, s.allocate(r.Payload)
	case "window-change":
		return nil, s.resize(r.Payload)
	case "signal":
		return nil, s.signal(r.Payload)
	case "shell":
		return s.begin("", r.Payload)
	case "exec":
		return s.begin("exec", r.Payload)
	case "subsystem":
		return s.begin("subsystem", r.Payload)
	}
	return nil, false // agent and X11 forwarding, break, and what comes later
}

// begin starts what a session is for: it has one purpose.
func (s *session) begin(kind string, payload []byte) (run func(), ok bool) {
	var asked struct{ Text string }
	if s.begun || kind != "" && ssh.Unmarshal(payload, &asked) != nil {
		return nil, false
	}
	original := asked.Text
	if kind == "subsystem" {
		if asked.Text != "sftp" {
			return nil, false
		}
		original = internalSFTP
	}
	s.begun = true
	command := original
	if s.may.Forced {
		command = s.may.Command
	}
	if err := s.home(); err != nil {
		return func() { s.fail(err, 1) }, true
	}
	if command == internalSFTP {
		return s.sftp, true
	}
	return func() { s.run(command, original) }, true
}

// internalSFTP is the command that stands for file transfer, as in OpenSSH.
const internalSFTP = "internal-sftp"

// home is the user's directory, which is made where it is missing.
func (s *session) home() error {
	if err := os.MkdirAll(s.directory(), 0o700); err != nil {
		return fmt.Errorf("make home directory: %w", err)
	}
	return nil
}

// directory is the path of the user's directory. A name that is no file's name is
// that of no user.
func (s *session) directory() string {
	return filepath.Join(s.Home, filepath.Base(filepath.Clean("/"+s.user)))
}

// sftp moves files.
func (s *session) sftp() {
	serve := transfer.Confined
	if s.Shell != "" {
		serve = transfer.Whole
	}
	s.Log("files: " + s.connection.String())
	err := serve(s.Channel, s.directory())
	status := uint32(0)
	if err != nil && s.ctx.Err() == nil {
		s.Log(fmt.Sprintf("files: %s: %s", s.connection, printable.Text(err.Error())))
		status = 1
	}
	s.exit(status)
}

// run runs a command, or what a session without one is for.
func (s *session) run(command, original string) {
	args, err := s.arguments(command)
	if err != nil {
		s.fail(err, 2)
		return
	}
	// The words after the first may be secret.
	s.Log(fmt.Sprintf("runs %.40q: %s", cmp.Or(firstWord(command), "a session"), s.connection))
	p, err := s.launch(args, original)
	if errors.Is(err, errGone) {
		return
	}
	if err != nil {
		s.fail(err, 1)
		return
	}
	signal, status := p.wait()
	if signal != "" {
		s.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal  string
			Core    bool
			Message string
			Lang    string
		}{Signal: signal}))
		return
	}
	s.exit(uint32(status))
}

// firstWord is what of a command may be logged. A shell takes NAME=VALUE before the
// program's name: the value is not told.
func firstWord(command string) string {
	command = strings.TrimSpace(command)
	if end := strings.IndexAny(command, " \t\r\n"); end >= 0 {
		command = command[:end]
	}
	if name, _, ok := strings.Cut(command, "="); ok {
		return name + "=…"
	}
	return command
}

var errGone = errors.New("the client has gone")

// launch starts a program, unless hangUp was there first and would never see it.
func (s *session) launch(args []string, original string) (p *process, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return nil, errGone
	}
	s.process, err = s.start(args, original)
	return s.process, err
}

// arguments are those of the program that runs a command.
func (s *session) arguments(command string) ([]string, error) {
	switch {
	case s.Shell != "" && command != "":
		return []string{s.Shell, "-c", command}, nil
	case s.Shell != "":
		return []string{s.Shell}, nil
	case command == "":
		return append(slices.Clone(s.Control), "prompt"), nil
	}
	args, err := words.Split(command)
	if err != nil {
		return nil, &refusal{err.Error(), "this machine has no shell; ssh USER@HOST help lists what it can do"}
	}
	if len(args) > 0 && filepath.Base(args[0]) == "ketchctl" {
		args = args[1:]
	}
	if len(args) > 0 {
		if why := missing(filepath.Base(args[0])); why != nil {
			return nil, why
		}
	}
	return append(slices.Clone(s.Control), args...), nil
}

// missing tells why programs do not run that clients ask for, with the way that works.
func missing(program string) error {
	switch program {
	case "scp":
		return &refusal{"the older protocol of scp needs a program on the machine", "use scp without -O, or sftp"}
	case "rsync":
		return &refusal{"there is no rsync on this machine", "use scp or sftp"}
	case "sh", "bash", "zsh", "ash", "dash":
		return &refusal{"this machine has no shell", "ssh USER@HOST help lists what it can do"}
	}
	return nil
}

// refusal is an error with its cure.
type refusal struct{ what, cure string }

func (r *refusal) Error() string { return r.what }

// Hint is the cure.
func (r *refusal) Hint() string { return r.cure }

// fail tells the client why there is nothing to run.
func (s *session) fail(err error, status uint32) {
	text := "error: " + printable.Lines(err.Error()) + "\n"
	var hinter cli.Hinter
	if errors.As(err, &hinter) {
		text += "hint: " + hinter.Hint() + "\n"
	}
	if s.terminal != nil {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	io.WriteString(s.Stderr(), text)
	s.exit(status)
}

// exit tells the client how it has ended (RFC 4254, 6.10).
func (s *session) exit(status uint32) {
	s.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
}

// hangUpLimit is how long what runs may take to end when nobody listens any more.
const hangUpLimit = 10 * time.Second

// hangUp tells what runs that nobody listens any more. A command line is killed that
// does not end; what somebody has started in a shell to go on without them does.
func (s *session) hangUp(ended <-chan struct{}) {
	s.mu.Lock()
	p := s.process
	s.gone = true
	s.mu.Unlock()
	if p != nil {
		p.hangUp()
	}
	select {
	case <-ended:
		return
	case <-time.After(hangUpLimit):
	}
	if p != nil && s.Shell == "" {
		p.signal("KILL")
		<-ended
	}
}

// allocate notes the terminal that is wanted; it is made when something runs on it.
func (s *session) allocate(payload []byte) bool {
	var asked struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if s.may.NoPTY || s.begun || ssh.Unmarshal(payload, &asked) != nil || !plainValue(asked.Term) {
		return false
	}
	modes, err := pty.ParseModes([]byte(asked.Modes))
	if err != nil {
		return false
	}
	s.terminal = &terminal{asked.Term, size(asked.Columns, asked.Rows, asked.Width, asked.Height), modes}
	return true
}

// resize changes the terminal's size (RFC 4254, 6.7).
func (s *session) resize(payload []byte) bool {
	var asked struct{ Columns, Rows, Width, Height uint32 }
	if ssh.Unmarshal(payload, &asked) != nil {
		return false
	}
	s.mu.Lock()
	p := s.process
	s.mu.Unlock()
	if p == nil {
		return false
	}
	return p.resize(size(asked.Columns, asked.Rows, asked.Width, asked.Height)) == nil
}

func size(columns, rows, width, height uint32) pty.Size {
	small := func(n uint32) uint16 { return uint16(min(n, 1<<16-1)) }
	return pty.Size{Columns: small(columns), Rows: small(rows), Width: small(width), Height: small(height)}
}

// signal passes a signal on (RFC 4254, 6.9).
func (s *session) signal(payload []byte) bool {
	var asked struct{ Name string }
	if ssh.Unmarshal(payload, &asked) != nil {
		return false
	}
	s.mu.Lock()
	p := s.process
	s.mu.Unlock()
	return p != nil && p.signal(asked.Name)
}

const (
	maxVariables = 32
	maxValue     = 256
)

// env takes a variable that is about language and colours, and no other: what a
// program loads or runs is not for the client to say.
func (s *session) env(payload []byte) bool {
	var asked struct{ Name, Value string }
	if s.begun || ssh.Unmarshal(payload, &asked) != nil || len(s.environ) >= maxVariables {
		return false
	}
	welcome := strings.HasPrefix(asked.Name, "LC_") || slices.Contains([]string{"LANG", "COLORTERM", "NO_COLOR"}, asked.Name)
	if !welcome || strings.Trim(asked.Name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" || !plainValue(asked.Value) {
		return false
	}
	s.environ = append(s.environ, asked.Name+"="+asked.Value)
	return true
}

// plainValue tells whether a value has nothing in it that it should not have: a
// path, a control character.
func plainValue(value string) bool {
	return len(value) <= maxValue && !strings.ContainsAny(value, "/\x00") && printable.Text(value) == value
}
