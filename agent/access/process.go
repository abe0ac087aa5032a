package access

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/linux/pty"
)

// process is what a session runs, in a session of its own, so that all of it can be
// told to end.
type process struct {
	cmd    *exec.Cmd
	master *os.File // nil: it has no terminal
	output sync.WaitGroup

	mu    sync.Mutex
	ended bool // its number may be another's
}

// start starts a program for a session.
func (s *session) start(args []string, original string) (*process, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = s.directory()
	cmd.Env = s.environment(original)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p := &process{cmd: cmd}
	if s.terminal != nil {
		if err := p.onTerminal(s); err != nil {
			return nil, err
		}
		p.ordinary()
		return p, nil
	}
	cmd.Stdout, cmd.Stderr = s.Channel, s.Channel.Stderr()
	// A pipe of its own: what runs may end before the client has said all.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.ordinary()
	go func() { // ends with the channel, or with the process
		io.Copy(stdin, s.Channel)
		stdin.Close()
	}()
	return p, nil
}

// onTerminal starts the program on a terminal.
func (p *process) onTerminal(s *session) error {
	master, terminal, err := pty.Open()
	if err != nil {
		return err
	}
	defer terminal.Close()
	p.master = master
	path, err := pty.Name(master)
	if err == nil {
		err = errors.Join(pty.Resize(master, s.terminal.size), pty.Set(terminal, s.terminal.modes))
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = terminal, terminal, terminal
	p.cmd.SysProcAttr.Setctty = true
	p.cmd.Env = append(p.cmd.Env, "TERM="+s.terminal.kind, "SSH_TTY="+path)
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return errors.Join(err, master.Close())
	}
	p.output.Go(func() { io.Copy(s.Channel, master) }) // ends with EIO, when nobody has the terminal any more
	go io.Copy(master, s.Channel)                      // ends with the channel, or when the master is closed
	return nil
}

// environment is what a program gets.
func (s *session) environment(original string) []string {
	remote, remotePort, _ := net.SplitHostPort(s.conn.RemoteAddr().String())
	local, localPort, _ := net.SplitHostPort(s.local().String())
	env := append([]string{
		"PATH=/usr/sbin:/usr/bin", "HOME=" + s.directory(), "USER=" + s.user, "LOGNAME=" + s.user, "LANG=C.UTF-8",
		fmt.Sprintf("SSH_CONNECTION=%s %s %s %s", remote, remotePort, local, localPort),
		fmt.Sprintf("SSH_CLIENT=%s %s %s", remote, remotePort, localPort),
	}, s.environ...)
	if s.Shell != "" {
		env = append(env, "SHELL="+s.Shell)
	}
	if original != "" && s.may.Forced {
		env = append(env, "SSH_ORIGINAL_COMMAND="+original)
	}
	return env
}

// ordinary makes what a session runs as likely to be killed for want of memory as any
// other process: it has inherited the server's score (proc(5), oom_score_adj).
func (p *process) ordinary() {
	os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.cmd.Process.Pid), []byte("0"), 0) // it may have ended
}

// wait returns how the program has ended, after all that it wrote has been passed on.
func (p *process) wait() (signal string, status int) {
	err := p.cmd.Wait()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.output.Wait()
	if p.master != nil {
		p.master.Close()
	}
	state := p.cmd.ProcessState
	if state == nil {
		return "", 255
	}
	if got, ok := state.Sys().(syscall.WaitStatus); ok && got.Signaled() {
		return nameOf(got.Signal()), 0
	}
	if err != nil && state.ExitCode() == 0 { // its output could not be passed on
		return "", 255
	}
	return "", state.ExitCode()
}

func (p *process) resize(to pty.Size) error {
	if p.master == nil {
		return errors.New("it has no terminal")
	}
	return pty.Resize(p.master, to)
}

// signals are those that a client may send, by their names in RFC 4254, 6.10.
func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"ABRT": unix.SIGABRT, "ALRM": unix.SIGALRM, "FPE": unix.SIGFPE, "HUP": unix.SIGHUP, "ILL": unix.SIGILL,
		"INT": unix.SIGINT, "KILL": unix.SIGKILL, "PIPE": unix.SIGPIPE, "QUIT": unix.SIGQUIT, "SEGV": unix.SIGSEGV,
		"TERM": unix.SIGTERM, "USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2,
	}
}

// nameOf is a signal's name in the protocol; one that has none there has that of the
// kernel and a domain of its own. Real-time signals have none there, either.
func nameOf(signal syscall.Signal) string {
	for name, s := range signals() {
		if s == signal {
			return name
		}
	}
	kernels := cmp.Or(unix.SignalName(signal), fmt.Sprintf("SIG%d", int(signal)))
	return strings.TrimPrefix(kernels, "SIG") + "@ketch"
}

// signal passes one on to all that the session runs.
func (p *process) signal(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	signal, ok := signals()[name]
	return ok && !p.ended && syscall.Kill(-p.cmd.Process.Pid, signal) == nil
}

// hangUp is what a terminal does when its line is cut. What has no terminal gets the
// same, so that nothing runs on for a client that has gone.
func (p *process) hangUp() {
	p.signal("HUP")
	if p.master != nil {
		p.master.Close()
	}
}
