// Package control answers on PID 1's socket in the language of api/pid1.
package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/init/bootcount"
	"github.com/ketch-os/ketch/init/crash"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/shutdown"
	"github.com/ketch-os/ketch/internal/printable"
	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/power"
	"github.com/ketch-os/ketch/linux/socket"
)

const (
	// clients is how many connections are served at a time: see crowd.
	clients = 8
	// patience is how long a client may take over a line, while nobody else waits.
	patience = 10 * time.Second
	// defaultLines is how many lines of output a service's status has by default.
	defaultLines = 5
)

// Server answers requests. All fields are needed.
type Server struct {
	Machine *machine.Machine
	Status  func(lines int) *pid1.Status
	Request func(shutdown.Request) // may wait for the present one
}

// Serve listens at path and answers until the process ends.
func (s *Server) Serve(path string) error {
	l, err := socket.Listen(path, 0o600)
	if err != nil {
		return err
	}
	crash.Go(s.Machine.Log, func() { s.accept(l) })
	return nil
}

func (s *Server) accept(l *socket.Listener) {
	crowd := newCrowd(clients)
	for {
		conn, err := l.Accept()
		if err != nil { // out of descriptors: try again when some may be free
			s.Machine.Log.Printf(kmsg.Warning, "%v", err)
			time.Sleep(time.Second)
			continue
		}
		crowd.enter()
		crash.Go(s.Machine.Log, func() {
			defer crowd.leave()
			defer conn.Close()
			s.converse(crowd, conn)
		})
	}
}

// converse answers one client, line by line, until it closes the connection.
func (s *Server) converse(crowd *crowd, conn *os.File) {
	pid, _ := socket.Peer(conn)
	lines := bufio.NewReader(conn)
	for {
		var ask pid1.Request
		crowd.wait(conn, patience)
		err := pid1.ReadLine(lines, &ask)
		if stays := crowd.busy(conn); !stays || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		reply := &pid1.Reply{}
		if err != nil {
			reply.Error = err.Error()
		} else {
			reply = s.answer(ask, pid)
		}
		crowd.wait(conn, patience)
		failed := send(conn, reply)
		if stays := crowd.busy(conn); !stays || failed != nil || err != nil {
			return
		}
	}
}

// send writes a reply. When the reply is too long to send, it writes that.
func send(conn *os.File, reply *pid1.Reply) error {
	err := pid1.WriteLine(conn, reply)
	if err == nil {
		return nil
	}
	return pid1.WriteLine(conn, &pid1.Reply{Error: err.Error()}) // fails too on a broken connection
}

func (s *Server) answer(ask pid1.Request, pid int) *pid1.Reply {
	switch ask.Do {
	case pid1.DoStatus:
		if ask.Lines == 0 {
			ask.Lines = defaultLines
		}
		return &pid1.Reply{Status: s.Status(max(0, ask.Lines))}
	case pid1.DoPower:
		action, err := Action(ask.Power)
		if err != nil {
			return &pid1.Reply{Error: err.Error()}
		}
		by := who(ask.By, pid)
		crash.Go(s.Machine.Log, func() { s.Request(shutdown.Request{Action: action, By: by}) }) // the answer does not wait
		return &pid1.Reply{}
	case pid1.DoRecord:
		return s.record(nil)
	case pid1.DoRevoke, pid1.DoExpect:
		return s.record(s.order(ask, pid))
	}
	return &pid1.Reply{Error: fmt.Sprintf("unknown request %q", ask.Do)}
}

// order changes the boot record, of which PID 1 is the only writer, and says on
// whose behalf.
func (s *Server) order(ask pid1.Request, pid int) error {
	root, err := verity.ParseRootHash(ask.RootHash)
	if err != nil {
		return err
	}
	what := "revoked"
	if ask.Do == pid1.DoRevoke {
		err = bootcount.Revoke(s.Machine, root)
	} else {
		what = fmt.Sprintf("expected, version %s, %d tries", ask.Version, ask.Tries)
		err = bootcount.Expect(s.Machine, ask.Version, root, ask.Tries)
	}
	if err == nil {
		s.Machine.Log.Printf(kmsg.Info, "boot record: %s: %s (asked by %s)", root, what, who(ask.By, pid))
	}
	return err
}

// record answers with the boot record, or with err where there is one.
func (s *Server) record(err error) *pid1.Reply {
	if err != nil {
		return &pid1.Reply{Error: err.Error()}
	}
	report := bootcount.Report(s.Machine)
	if report == nil {
		return &pid1.Reply{Error: "this machine has no boot record"}
	}
	return &pid1.Reply{Record: report}
}

// Action reads the name of a way down as Request.Power has it.
func Action(name string) (power.Action, error) {
	switch name {
	case pid1.PowerOff:
		return power.Off, nil
	case pid1.PowerReboot:
		return power.Reboot, nil
	case pid1.PowerHalt:
		return power.Halt, nil
	}
	return 0, fmt.Errorf("unknown way down %q", name)
}

// who names the client by what it says and by what the kernel says.
func who(by string, pid int) string {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	name := fmt.Sprintf("process %d", pid)
	if err == nil {
		name += " " + printable.Text(strings.TrimSpace(string(comm)))
	}
	if by == "" {
		return name
	}
	return printable.Text(by) + ", " + name // no line of the console's is of its making
}

// Report gathers a machine's facts; the caller adds services and gate.
func Report(m *machine.Machine) *pid1.Status {
	s := &pid1.Status{
		Version: m.Version, Development: m.Development, SecureBoot: m.SecureBoot, RootHash: m.RootHash,
		Disk: m.Disk, Slot: m.Slot, Entry: m.Entry, MachineID: m.MachineID,
		Degraded: m.Degraded(), Boot: m.Timeline.Boot(), Record: bootcount.Report(m),
	}
	if m.Watchdog != nil {
		s.Watchdog = m.Watchdog.Identity
	}
	s.Ready, s.Good = s.Boot.ReadyUsec != 0, s.Boot.GoodUsec != 0
	return s
}
