// Package configure brings a machine's configuration about: it asks the platform, reads
// what it says, and applies it.
//
//	the image       layout.DefaultConfig, what ketch build was given
//	the platform    its SSH keys and host name
//	the user data   what the platform hands on
//
// A later one wins (package config, Merge). What was learnt last is kept on /var, and
// counts where the platform is away or says what is no configuration at all. Nothing is
// waited for where there is no platform.
package configure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ketch-os/ketch/agent/fetch"
	"github.com/ketch-os/ketch/agent/platform"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/internal/compose"
	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/internal/config/userdata"
	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/layout"
)

const (
	// platformLimit is how long workloads wait for a platform that is there and does not
	// answer, when nothing is known of it; keptLimit, when there is what it said last.
	platformLimit = time.Minute
	keptLimit     = 15 * time.Second
	// contentLimit bounds the fetching of what a configuration names.
	contentLimit = 2 * time.Minute
)

// retry is how long it is waited before the platform is asked again.
var (
	soon  = backoff.Pause{First: 200 * time.Millisecond, Last: 2 * time.Second}
	later = backoff.Pause{First: 10 * time.Second, Last: 10 * time.Minute}
)

// The layers, as they are called in Origins.
const (
	layerImage    = "the image"
	layerPlatform = "the platform"
	layerUserData = "the user data"
)

// Machine is a machine that is configured. All of its exported fields are needed.
type Machine struct {
	Host  *platform.Host
	Root  string // "/" but for tests
	Apply func(ctx context.Context, m config.Merged, from config.Fetcher) []error
	// Problem makes an error what is wrong with a subject, nil for nothing any more.
	Problem func(subject string, err error)
	Chance  func() float64

	mu     sync.Mutex
	report node.Config
	found  node.Platform
	// refused are workloads of the configuration with a fault.
	refused []compose.Refused
}

// Configure applies the configuration. known is called once the first has been applied,
// and again after each that is another: so it is when a platform that was away answers.
func (m *Machine) Configure(ctx context.Context, known func()) {
	image := m.imageLayer()
	p, err := platform.Find(m.Host)
	m.Problem("find the platform", err)
	if p == nil {
		m.note(node.Platform{})
		m.bring(ctx, image, nil)
		known()
		return
	}
	kept, err := platform.Kept(m.path(layout.PlatformFacts))
	m.Problem("kept configuration", err)
	limit := platformLimit
	if kept != nil && kept.Platform == p.Name {
		limit = keptLimit
	} else {
		kept = nil // of another machine: a disk that was moved
	}
	if facts, err := m.ask(ctx, p, limit); err == nil {
		m.learn(ctx, image, facts, kept)
		known()
		return
	} else if ctx.Err() == nil {
		m.away(p, kept, err)
		m.bring(ctx, image, kept)
		known()
	}
	for failures := 1; backoff.Sleep(ctx, later.After(failures, m.Chance())); failures++ {
		if facts, err := m.ask(ctx, p, platformLimit); err == nil {
			m.learn(ctx, image, facts, kept)
			known()
			return
		}
	}
}

func (m *Machine) path(name string) string { return strings.TrimSuffix(m.Root, "/") + name }

// ask asks the platform until it answers, for as long as limit.
func (m *Machine) ask(ctx context.Context, p *platform.Platform, limit time.Duration) (*platform.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for failures := 1; ; failures++ {
		facts, err := p.Read(ctx, m.Host)
		if err == nil || !p.Network || fetch.Refused(err) {
			return facts, err
		}
		if !backoff.Sleep(ctx, soon.After(failures, m.Chance())) {
			return nil, err
		}
	}
}

// away notes that the platform does not answer.
func (m *Machine) away(p *platform.Platform, kept *platform.Facts, err error) {
	found := node.Platform{Name: p.Name, Why: p.Why, Error: err.Error()}
	if kept != nil {
		err = fmt.Errorf("%w; what it said last counts", err)
		found.Kept, found.Instance, found.Hostname, found.Keys = true, kept.Instance, kept.Hostname, lines(kept.Keys)
		found.UserData = len(kept.UserData)
	}
	m.note(found)
	m.Problem("platform", err)
}

// learn takes what the platform says, and keeps it. User data that is no configuration
// does not replace one that is known.
func (m *Machine) learn(ctx context.Context, image config.Layer, facts, kept *platform.Facts) {
	m.note(node.Platform{
		Name: facts.Platform, Why: facts.Why, Source: facts.Source, Instance: facts.Instance, Hostname: facts.Hostname,
		Keys: lines(facts.Keys), UserData: len(facts.UserData), Problems: facts.Problems,
	})
	var problems []error
	for _, p := range facts.Problems {
		problems = append(problems, errors.New(p))
	}
	m.Problem("platform", errors.Join(problems...))
	used := *facts
	if kept != nil && kept.Instance == facts.Instance {
		now, before := userdata.Parse(ctx, facts.UserData, nil), userdata.Parse(ctx, kept.UserData, nil)
		if !now.Usable() && before.Usable() {
			m.Problem("user data", fmt.Errorf("is no configuration: %w; the last one that was counts", now.Problems[0]))
			used.UserData = kept.UserData
		}
	}
	m.bring(ctx, image, &used)
	m.Problem("keep configuration", platform.Keep(m.path(layout.PlatformFacts), &used))
}

// imageLayer is the configuration that the image brings.
func (m *Machine) imageLayer() config.Layer {
	layer := config.Layer{Name: layerImage}
	text, err := plainfile.Read(m.path(layout.DefaultConfig), userdata.MaxSize)
	if err != nil {
		return layer // none, as a rule
	}
	result := userdata.Parse(context.Background(), text, nil)
	m.Problem("configuration of the image", joined(result.Problems, layout.DefaultConfig))
	m.source(node.ConfigSource{Name: layerImage, Kind: result.Kind, Problems: told(result.Problems)})
	layer.Config = result.Config
	return layer
}

// bring applies the layers that there are; facts may be nil.
func (m *Machine) bring(ctx context.Context, image config.Layer, facts *platform.Facts) {
	ctx, cancel := context.WithTimeout(ctx, contentLimit)
	defer cancel()
	from := patient{m.Host.Client, m.Chance}
	layers := []config.Layer{image}
	if facts != nil {
		layers = append(layers, config.Layer{Name: layerPlatform, Config: config.Config{Hostname: facts.Hostname, SSH: config.SSH{Keys: facts.Keys}}})
		result := userdata.Parse(ctx, facts.UserData, from)
		m.Problem("configuration", joined(result.Problems, "user data"))
		m.source(node.ConfigSource{Name: layerUserData, Kind: result.Kind, Problems: told(result.Problems)})
		layers = append(layers, config.Layer{Name: layerUserData, Config: result.Config})
	}
	merged := config.Merge(layers...)
	errs := m.Apply(ctx, merged, from)
	m.Problem("apply the configuration", errors.Join(errs...))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = nil
	for _, w := range merged.Workloads {
		m.refused = append(m.refused, w.Refused...)
	}
	m.report.Values = values(merged)
	m.report.Errors = nil
	for _, err := range errs {
		m.report.Errors = append(m.report.Errors, err.Error())
	}
}

// patient fetches what a configuration names as soon as there is a network: a
// configuration may be there long before.
type patient struct {
	config.Fetcher
	chance func() float64
}

func (p patient) Fetch(ctx context.Context, url string) ([]byte, error) {
	for failures := 1; ; failures++ {
		data, err := p.Fetcher.Fetch(ctx, url)
		if err == nil || !fetch.Unreachable(err) || !backoff.Sleep(ctx, soon.After(failures, p.chance())) {
			return data, err
		}
	}
}

// joined is the problems as one error, for the status.
func joined(problems []config.Problem, source string) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, errors.New(p.In(source)))
	}
	return errors.Join(errs...)
}

// told is the problems in the words of the API.
func told(problems []config.Problem) (list []node.ConfigProblem) {
	for _, p := range problems {
		list = append(list, node.ConfigProblem(p))
	}
	return list
}

func (m *Machine) note(found node.Platform) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.found = found
}

// source notes what one of the sources came to, in the place of what it came to before.
func (m *Machine) source(s node.ConfigSource) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Sources = slices.DeleteFunc(slices.Clone(m.report.Sources), func(other node.ConfigSource) bool { return other.Name == s.Name })
	m.report.Sources = append(m.report.Sources, s)
}

// Platform tells what was found.
func (m *Machine) Platform() *node.Platform {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := m.found
	return &found
}

// Config tells what the configuration came to.
func (m *Machine) Config() *node.Config {
	m.mu.Lock()
	defer m.mu.Unlock()
	report := m.report
	return &report
}

// Refused are the workloads of the configuration that cannot be run.
func (m *Machine) Refused() []compose.Refused {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}
