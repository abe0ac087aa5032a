// Package control answers on PID 1's socket in the language of layout/status.
package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"ketch/init/crash"
	"ketch/init/down"
	"ketch/init/machine"
	"ketch/init/record"
	"ketch/layout/status"
	"ketch/linux/kmsg"
	"ketch/linux/power"
	"ketch/linux/socket"
)

const (
	// clients is how many connections are served at a time.
	clients = 8
	// patience is how long a client may take over a line.
	patience = 10 * time.Second
	// defaultLines of output per service are told unless asked for otherwise.
	defaultLines = 5
)

// Server answers requests. All fields are needed.
type Server struct {
	Log    *kmsg.Log
	Status func(lines int) *status.Status
	Order  func(down.Order) // may wait for the present one
}

// Serve listens at path and answers until the process ends.
func (s *Server) Serve(path string) error {
	l, err := socket.Listen(path, 0o600)
	if err != nil {
		return err
	}
	crash.Go(s.Log, func() { s.accept(l) })
	return nil
}

func (s *Server) accept(l *socket.Listener) {
	slots := make(chan bool, clients)
	for {
		conn, err := l.Accept()
		if err != nil { // out of descriptors: try again when some may be free
			s.Log.Printf(kmsg.Warning, "%v", err)
			time.Sleep(time.Second)
			continue
		}
		slots <- true
		crash.Go(s.Log, func() {
			defer func() { <-slots }()
			defer conn.Close()
			s.converse(conn)
		})
	}
}

// converse answers one client, line by line, until it closes the connection.
func (s *Server) converse(conn *os.File) {
	pid, _ := socket.Peer(conn)
	lines := bufio.NewReader(conn)
	for {
		conn.SetDeadline(time.Now().Add(patience))
		var ask status.Request
		err := status.ReadLine(lines, &ask)
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		reply := &status.Reply{}
		if err != nil {
			reply.Error = err.Error()
		} else {
			reply = s.answer(ask, pid)
		}
		if send(conn, reply) != nil || err != nil {
			return
		}
	}
}

// send writes a reply, or, of one that is too long to send, the reason.
func send(conn *os.File, reply *status.Reply) error {
	err := status.WriteLine(conn, reply)
	if err == nil {
		return nil
	}
	return status.WriteLine(conn, &status.Reply{Error: err.Error()}) // fails too on a broken connection
}

func (s *Server) answer(ask status.Request, pid int) *status.Reply {
	switch ask.Do {
	case status.DoStatus:
		if ask.Lines == 0 {
			ask.Lines = defaultLines
		}
		return &status.Reply{Status: s.Status(max(0, ask.Lines))}
	case status.DoPower:
		action, err := Action(ask.Power)
		if err != nil {
			return &status.Reply{Error: err.Error()}
		}
		by := who(ask.By, pid)
		crash.Go(s.Log, func() { s.Order(down.Order{Action: action, By: by}) }) // the answer does not wait
		return &status.Reply{}
	}
	return &status.Reply{Error: fmt.Sprintf("unknown request %q", ask.Do)}
}

// Action reads the name of a way down as Request.Power has it.
func Action(name string) (power.Action, error) {
	switch name {
	case status.PowerOff:
		return power.Off, nil
	case status.PowerReboot:
		return power.Reboot, nil
	case status.PowerHalt:
		return power.Halt, nil
	}
	return 0, fmt.Errorf("unknown way down %q", name)
}

// who names the client by what it says and by what the kernel says.
func who(by string, pid int) string {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	name := fmt.Sprintf("process %d", pid)
	if err == nil {
		name += " " + strings.TrimSpace(string(comm))
	}
	if by == "" {
		return name
	}
	return by + ", " + name
}

// Report gathers a machine's facts; the caller adds services and gate.
func Report(m *machine.Machine) *status.Status {
	s := &status.Status{
		Version: m.Version, Development: m.Development, RootHash: m.RootHash,
		Disk: m.Disk, Entry: m.Entry, MachineID: m.MachineID,
		Degraded: m.Degraded(), Boot: m.Timeline.Boot(), Record: record.Report(m),
	}
	if m.Watchdog != nil {
		s.Watchdog = m.Watchdog.Identity
	}
	s.Ready, s.Good = s.Boot.ReadyUsec != 0, s.Boot.GoodUsec != 0
	return s
}
