package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/listening"
	"github.com/ketch-os/ketch/linux/meminfo"
)

// status gathers what is known of the machine. What cannot be had is a problem
// of the machine, told in the status, not an error of the question.
func (n *Node) status(ctx context.Context) *node.Status {
	s := &node.Status{Workloads: n.workloads.Status(), Links: []node.Link{}, Listening: []node.Socket{}, Images: []node.Image{}}
	s.Hostname, _ = os.Hostname()
	n.mu.Lock()
	for _, p := range n.problems {
		s.Problems = append(s.Problems, p.text)
	}
	n.mu.Unlock()

	limited, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var errs [5]error
	s.System, errs[0] = askInit(limited, layout.InitSocket)
	if m, err := meminfo.Read(os.DirFS("/proc")); err != nil {
		errs[1] = err
	} else {
		s.Memory = pid1.Memory{TotalKiB: m.GivenKiB, AvailableKiB: m.AvailableKiB, UsedKiB: m.UsedKiB()}
	}
	if links, err := n.network.Links(); err != nil {
		errs[2] = err
	} else {
		s.Links = links
	}
	if images, err := n.images.List(limited); err != nil {
		errs[3] = err
	} else {
		s.Images = images
	}
	sockets, err := listening.Read(os.DirFS("/proc"))
	errs[4] = err
	for _, l := range sockets {
		s.Listening = append(s.Listening, node.Socket{Protocol: l.Protocol, Address: l.Address.String(), Program: l.Program})
	}
	for _, err := range errs {
		if err != nil {
			s.Problems = append(s.Problems, err.Error())
		}
	}
	s.Clock = n.clock.Status()
	s.Problems = append(s.Problems, judge(s)...)
	s.Problems = append(s.Problems, n.boundProblems()...)
	s.State = node.Healthy
	if len(s.Problems) > 0 {
		s.State = node.Degraded
	}
	return s
}

// judge lists what is wrong with the parts of a status.
func judge(s *node.Status) []string {
	var problems []string
	if s.System != nil {
		problems = append(problems, s.System.Degraded...)
		for _, service := range s.System.Services {
			if service.State == pid1.StateBackoff || service.State == pid1.StateDegraded {
				problems = append(problems, fmt.Sprintf("service %s: %s", service.Name, join(service.State, service.LastExit)))
			}
		}
	}
	if s.Clock != nil && !s.Clock.Synchronised && s.Clock.Problem != "" {
		problems = append(problems, "clock: "+s.Clock.Problem)
	}
	for _, w := range s.Workloads {
		switch w.State {
		case node.Failed, node.Backoff, node.Unknown:
		default:
			continue
		}
		why := w.Error
		if why == "" && w.Exit != nil {
			why = fmt.Sprintf("exited with status %d", *w.Exit)
		}
		problems = append(problems, fmt.Sprintf("workload %s: %s", w.Name, join(w.State, why)))
	}
	return problems
}

func join(state, why string) string {
	if why == "" {
		return state
	}
	return state + " (" + why + ")"
}

// askInit asks PID 1 for its status.
func askInit(ctx context.Context, socket string) (*pid1.Status, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("ask PID 1: %w", err)
	}
	defer conn.Close()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(askLimit)
	}
	conn.SetDeadline(deadline)
	reply, err := pid1.Exchange(conn, pid1.Request{Do: pid1.DoStatus})
	if err != nil {
		return nil, err
	}
	if reply.Status == nil {
		return nil, errors.New("PID 1 sent no status")
	}
	return reply.Status, nil
}
