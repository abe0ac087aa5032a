package daemon

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ketch-os/ketch/agent/logfile"
	"github.com/ketch-os/ketch/agent/workload"
	"github.com/ketch-os/ketch/internal/compose"
)

// TestWorkGoesOn: ketchd does not end because nothing is left to run. PID 1 would
// start it again for ever, and the machine would have no API.
func TestWorkGoesOn(t *testing.T) {
	const oneShot = "services: {a: {image: demo, network_mode: host}, b: {image: demo, network_mode: host, restart: on-failure}}"
	const refused = "services: {a: {image: demo, network_mode: host, ports: ['80:80']}}"
	for _, test := range []struct {
		name     string
		files    map[string]string // none: not even a directory
		imported error
	}{
		{"no workload at all", nil, nil},
		{"an empty directory", map[string]string{}, nil},
		{"one-shot services only", map[string]string{"a.yaml": oneShot}, nil},
		{"refused files only", map[string]string{"a.yaml": refused, "b.yaml": "services: {"}, nil},
		{"no workload, and an image that cannot be imported", nil, errors.New("no space")},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "compose")
			if test.files != nil {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for name, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			logs, records := t.TempDir(), t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				n := &Node{console: io.Discard, workloads: &workload.Supervisor{
					Runtime: endsAtOnce{}, Logs: logfile.Dir(logs), Records: records,
					Say: func(string) {}, Chance: func() float64 { return 0.5 },
				}}
				ctx, cancel := context.WithCancel(t.Context())
				configured := make(chan struct{}, 1)
				configured <- struct{}{}
				var worked sync.WaitGroup
				ended := make(chan struct{})
				worked.Go(func() {
					n.work(ctx, dir, configured, func(context.Context) error { return test.imported })
					close(ended)
				})
				select {
				case <-ended:
					t.Error("work has ended; want it to go on until it is told to end")
				case <-time.After(time.Hour):
				}
				cancel()
				worked.Wait()
			})
		})
	}
}

// endsAtOnce is a runtime whose processes end as soon as they have started, with
// status 0.
type endsAtOnce struct{}

func (endsAtOnce) Adopt(context.Context, compose.Service) (workload.Task, error) { return nil, nil }
func (endsAtOnce) Start(context.Context, compose.Service) (workload.Task, error) {
	return endsAtOnce{}, nil
}
func (endsAtOnce) Prune(context.Context, map[string]bool) error { return nil }
func (endsAtOnce) PID() int                                     { return 42 }
func (endsAtOnce) Wait(context.Context) (uint32, error)         { return 0, nil }
func (endsAtOnce) Stop(context.Context, time.Duration) error    { return nil }

// runs is a runtime whose containers run until they are told to stop. It counts the
// starts of each.
type runs struct {
	mu     sync.Mutex
	starts map[string]int
}

func (r *runs) Adopt(context.Context, compose.Service) (workload.Task, error) { return nil, nil }
func (r *runs) Prune(context.Context, map[string]bool) error                  { return nil }
func (r *runs) Start(_ context.Context, s compose.Service) (workload.Task, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starts[s.Name]++
	return &running{make(chan struct{})}, nil
}

type running struct{ stopped chan struct{} }

func (t *running) PID() int { return 42 }
func (t *running) Wait(ctx context.Context) (uint32, error) {
	select {
	case <-t.stopped:
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
func (t *running) Stop(context.Context, time.Duration) error { close(t.stopped); return nil }

// TestLateConfiguration: nothing runs before the configuration is known; one that comes
// later starts what it brings, and one that changes nothing stops nothing.
func TestLateConfiguration(t *testing.T) {
	dir, logs, records := t.TempDir(), t.TempDir(), t.TempDir()
	put := func(name string) {
		text := "services: {a: {image: demo, network_mode: host, restart: always}}"
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := &runs{starts: map[string]int{}}
		n := &Node{console: io.Discard, workloads: &workload.Supervisor{
			Runtime: r, Logs: logfile.Dir(logs), Records: records, Say: func(string) {}, Chance: func() float64 { return 0.5 },
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var worked sync.WaitGroup
		configured := make(chan struct{}, 1)
		worked.Go(func() { n.work(ctx, dir, configured, func(context.Context) error { return nil }) })
		for _, step := range []struct {
			what string
			do   func()
			want map[string]int
		}{
			{"before the configuration", func() { put("one") }, map[string]int{}},
			{"with the configuration", func() { notify(configured) }, map[string]int{"one-a": 1}},
			{"with the same once more", func() { notify(configured) }, map[string]int{"one-a": 1}},
			{"with another", func() { put("two"); notify(configured) }, map[string]int{"one-a": 2, "two-a": 1}},
		} {
			step.do()
			time.Sleep(time.Minute)
			r.mu.Lock()
			if !maps.Equal(r.starts, step.want) {
				t.Errorf("%s: starts %v; want %v", step.what, r.starts, step.want)
			}
			r.mu.Unlock()
		}
		cancel()
		worked.Wait()
	})
}
