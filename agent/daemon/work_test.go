package daemon

import (
	"context"
	"errors"
	"io"
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
