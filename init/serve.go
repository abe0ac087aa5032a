package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"ketch/init/control"
	"ketch/init/down"
	"ketch/init/gate"
	"ketch/init/machine"
	"ketch/init/service"
	"ketch/init/system"
	"ketch/init/timeline"
	"ketch/layout"
	"ketch/layout/status"
	"ketch/linux/power"
)

// run boots stage two and serves until something ends it: an order, or an error
// that fatal decides on.
func (s *running) run(signals <-chan os.Signal) (down.Order, error) {
	if err := s.boot(); err != nil {
		return down.Order{}, err
	}
	s.m.Save()
	order := s.serve(signals)
	close(s.ended)
	return order, order.Fatal
}

// serve is the loop of the running system. The watchdog is fed here and nowhere
// else: it shows that PID 1 still answers.
func (s *running) serve(signals <-chan os.Signal) down.Order {
	feed := time.NewTicker(machine.FeedEvery)
	hour := time.NewTicker(time.Hour)
	for {
		s.m.Feed()
		select {
		case order := <-s.orders:
			return order
		case got := <-signals:
			if order, ok := meaning(got); ok {
				return order
			}
		case <-hour.C:
			if err := system.StampClock(); err != nil {
				s.warn(err)
			}
		case <-feed.C:
		}
	}
}

// watch follows the boot from the first service to the health gate.
func (s *running) watch() {
	deadline := time.Now().Add(gate.Deadline)
	select {
	case <-s.services.Ready(service.Containerd):
		s.runtimeReady()
	case <-s.ended:
		return
	case <-time.After(gate.Deadline): // the gate will say so
	}
	began := timeline.Now()
	err := s.gate.Wait(time.Until(deadline), s.ended)
	s.m.Timeline.Add(status.StageGate, "health gate", began, err)
	switch {
	case errors.Is(err, gate.ErrStopped):
	case err != nil:
		s.m.Save()
		s.orders <- down.Order{Action: power.Reboot, Fatal: fmt.Errorf("health gate: %w", err)}
	default:
		s.good()
	}
}

// runtimeReady notes the moment that boot times are measured by, and the memory
// in use then.
func (s *running) runtimeReady() {
	now := timeline.Now()
	s.m.Say("%s%.1f s", layout.SayRuntimeReady, now.Seconds())
	memory, err := readMemory("/proc/meminfo")
	if err != nil {
		s.warn(err)
	}
	s.m.Timeline.Change(func(b *status.Boot) { b.ReadyUsec, b.Memory = now.Microseconds(), memory })
	s.m.Save()
}

// good: the boot has passed; the boot loader is told.
func (s *running) good() {
	if err := gate.Bless(s.m); err != nil {
		s.m.Degrade("%v", err)
	}
	now := timeline.Now()
	s.m.Timeline.Change(func(b *status.Boot) { b.GoodUsec = now.Microseconds() })
	s.m.Say("%s%.1f s", layout.SayGood, now.Seconds())
	s.m.Save()
}

// status answers a client of the control socket.
func (s *running) status(lines int) *status.Status {
	report := control.Report(s.m)
	report.Uptime = timeline.Now().Seconds()
	report.Services = s.services.Status(lines)
	report.Gate = s.gate.Report()
	return report
}

// readMemory reads what of memory is in use.
func readMemory(path string) (*status.Memory, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read memory in use: %w", err)
	}
	defer f.Close()
	return parseMemory(f)
}

// parseMemory reads lines as "MemTotal:  491692 kB" (proc_meminfo(5)).
func parseMemory(r io.Reader) (*status.Memory, error) {
	var m status.Memory
	wanted := map[string]*int64{"MemTotal": &m.TotalKiB, "MemAvailable": &m.AvailableKiB}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		to := wanted[name]
		if to == nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, " kB")), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read memory in use: %w", err)
		}
		*to = n
		delete(wanted, name)
	}
	if len(wanted) > 0 {
		return nil, errors.Join(errors.New("read memory in use: the kernel tells too little"), lines.Err())
	}
	m.UsedKiB = m.TotalKiB - m.AvailableKiB
	return &m, nil
}
