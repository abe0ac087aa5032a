package configure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/ketch-os/ketch/agent/fetch"
	"github.com/ketch-os/ketch/agent/platform"
	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/cmdline"
)

// machine is a Machine in a directory, with what it was told.
type machine struct {
	*Machine
	dir      string
	problems map[string]string
	applied  []config.Merged
	at       []time.Duration // when each was applied, since the start
}

func newMachine(dir, userData string) *machine {
	m := &machine{dir: dir, problems: map[string]string{}}
	sys := fstest.MapFS{}
	if userData != "" {
		sys["firmware/qemu_fw_cfg/by_name/opt/org.ketch.config/raw"] = &fstest.MapFile{Data: []byte(userData)}
	}
	begun := time.Now()
	m.Machine = &Machine{
		Host: &platform.Host{Sys: sys, Cmdline: cmdline.Parse(""), Now: time.Now, Volume: noVolume},
		Root: dir,
		Apply: func(_ context.Context, c config.Merged, _ config.Fetcher) []error {
			m.applied, m.at = append(m.applied, c), append(m.at, time.Since(begun))
			return nil
		},
		Problem: func(subject string, err error) {
			delete(m.problems, subject)
			if err != nil {
				m.problems[subject] = err.Error()
			}
		},
		Chance: func() float64 { return 0.5 },
	}
	return m
}

func noVolume(string) (fs.FS, string, error) { return nil, "", fs.ErrNotExist }

// network is what a test's network answers.
type network func() ([]byte, error)

func (n network) Fetch(context.Context, string) ([]byte, error) { return n() }

func (n network) Ask(context.Context, string, string, map[string]string, int) (*fetch.Answer, error) {
	return nil, errors.New("nobody is there")
}

// TestNothing: without a platform nothing is waited for, and nothing is asked for.
func TestNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(root(t), "")
		known := 0
		m.Configure(t.Context(), func() { known++ })
		if known != 1 || len(m.applied) != 1 || m.at[0] != 0 || len(m.problems) > 0 || m.Platform().Name != "" {
			t.Errorf("known %d times, applied %d at %v, problems %v", known, len(m.applied), m.at, m.problems)
		}
	})
}

func TestLayers(t *testing.T) {
	dir := root(t)
	write(t, dir, layout.DefaultConfig, "ketch: 1\nhostname: image\nfiles: [{path: /etc/a}]\n")
	m := newMachine(dir, "ketch: 1\nhostname: mine\nusers: [{name: anna, ssh-keys: [x]}]\ndns: [a]\n")
	m.Configure(t.Context(), func() {})
	got := m.applied[0]
	if got.Hostname != "mine" || len(got.Files) != 1 || len(got.Users) != 1 {
		t.Errorf("applied %+v", got.Config)
	}
	if want := "user data:3:33: users.0.ssh-keys.0: "; !strings.Contains(m.problems["configuration"], want) || !strings.Contains(m.problems["configuration"], "user data:4:6: dns: is not supported yet") {
		t.Errorf("problems %q; want %q", m.problems, want)
	}
	report := m.Config()
	if len(report.Sources) != 2 || len(report.Sources[1].Problems) != 2 || len(report.Values) == 0 || report.Values[0].Origin != layerUserData {
		t.Errorf("report %+v", report)
	}
}

// away is a platform on the network that answers after some requests.
func away(m *machine, failures int32, userData string) {
	asked := new(atomic.Int32)
	m.Host.Cmdline = cmdline.Parse("ketch.config=http://config.example/")
	m.Host.Client = network(func() ([]byte, error) {
		if asked.Add(1) <= failures {
			return nil, errors.New("no route to host")
		}
		return []byte(userData), nil
	})
}

// TestAway: a platform that does not answer is waited for, within limits; what it said
// last counts meanwhile; and it is asked again.
func TestAway(t *testing.T) {
	for _, test := range []struct {
		name     string
		kept     string
		failures int32
		wait     time.Duration // until something is applied, at most
		first    string        // host name that is applied first
		last     string
	}{
		{"answers late", "", 5, 10 * time.Second, "new", "new"},
		{"away, nothing known", "", 100, platformLimit + time.Second, "", "new"},
		{"away, and it has answered once", "old", 100, keptLimit + time.Second, "old", "new"},
	} {
		dir := root(t)
		synctest.Test(t, func(t *testing.T) {
			if test.kept != "" {
				facts := &platform.Facts{Platform: "metal", UserData: []byte("ketch: 1\nhostname: " + test.kept)}
				if err := platform.Keep(filepath.Join(dir, layout.PlatformFacts), facts); err != nil {
					t.Fatal(err)
				}
			}
			m := newMachine(dir, "")
			away(m, test.failures, "ketch: 1\nhostname: new")
			known := 0
			m.Configure(t.Context(), func() { known++ })
			if m.at[0] > test.wait || m.applied[0].Hostname != test.first {
				t.Errorf("%s: after %v host name %q; want within %v %q", test.name, m.at[0], m.applied[0].Hostname, test.wait, test.first)
			}
			if last := m.applied[len(m.applied)-1]; last.Hostname != test.last || known != len(m.applied) {
				t.Errorf("%s: in the end %q, known %d times; want %q, %d times", test.name, last.Hostname, known, test.last, len(m.applied))
			}
			if len(m.problems) > 0 {
				t.Errorf("%s: problems in the end: %v", test.name, m.problems)
			}
		})
	}
}

// TestLateNetwork: what a configuration names is fetched once there is a network, and
// given up in time where there is none.
func TestLateNetwork(t *testing.T) {
	dir := root(t)
	for _, test := range []struct {
		failures int
		want     string // a problem
		within   time.Duration
	}{
		{3, "", 10 * time.Second},
		{1 << 30, "no route to host", contentLimit + time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(dir, `{"ignition": {"version": "3.0.0", "config": {"merge": [{"source": "https://example.com/more.ign"}]}}}`)
			asked := 0
			m.Host.Client = network(func() ([]byte, error) {
				if asked++; asked <= test.failures {
					return nil, &net.OpError{Op: "dial", Err: errors.New("no route to host")}
				}
				return []byte(`{"ignition": {"version": "3.0.0"}}`), nil
			})
			m.Configure(t.Context(), func() {})
			if got := m.problems["configuration"]; !strings.Contains(got, test.want) || test.want == "" && got != "" || m.at[0] > test.within {
				t.Errorf("after %v problems %q; want within %v %q", m.at[0], got, test.within, test.want)
			}
		})
	}
}

// TestEnd: an end while the platform is waited for is an end.
func TestEnd(t *testing.T) {
	dir := root(t)
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(dir, "")
		away(m, 1<<30, "")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		m.Configure(ctx, func() { t.Error("something is known") })
	})
}

// TestUnusable: a page of an error does not replace a configuration that was good.
func TestUnusable(t *testing.T) {
	dir := root(t)
	good := newMachine(dir, "ketch: 1\nhostname: good")
	good.Configure(t.Context(), func() {})
	for _, text := range []string{"<html>", "#!/bin/sh\n"} {
		m := newMachine(dir, text)
		m.Configure(t.Context(), func() {})
		if m.applied[0].Hostname != "good" || !strings.Contains(m.problems["user data"], "; the last one that was counts") {
			t.Errorf("%q: host name %q, problems %v", text, m.applied[0].Hostname, m.problems)
		}
	}
	m := newMachine(dir, "ketch: 1\nhostname: other")
	m.Configure(t.Context(), func() {})
	if m.applied[0].Hostname != "other" {
		t.Errorf("host name %q; want the new one", m.applied[0].Hostname)
	}
	write(t, dir, layout.PlatformFacts, "damaged")
	m = newMachine(dir, "<html>")
	m.Configure(t.Context(), func() {})
	if !strings.Contains(m.problems["kept configuration"], "it was damaged") || !strings.Contains(m.problems["configuration"], "an HTML or XML page") {
		t.Errorf("problems %v", m.problems)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(fmt.Errorf("write %s: %w", name, err))
	}
}
