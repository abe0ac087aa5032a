// Package daemon is ketchd: it holds the parts of the agent together.
//
//	network     from the first moment, waited for by nobody
//	clock       set by servers, where the network or others name some
//	API         from the first moment; healthy once containerd answers
//	platform    looked for, and asked for the configuration, from the first moment
//	images      imported when containerd answers, again while that fails
//	workloads   after the configuration, and the first attempt at the images; stopped on
//	            SIGTERM
//
// ketchd may be killed and started again at any time: containers run on and are
// adopted. SIGTERM means that the machine goes down: workloads are stopped.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/agent/api"
	"github.com/ketch-os/ketch/agent/bound"
	"github.com/ketch-os/ketch/agent/clock"
	"github.com/ketch-os/ketch/agent/configure"
	"github.com/ketch-os/ketch/agent/imagestore"
	"github.com/ketch-os/ketch/agent/lastrun"
	"github.com/ketch-os/ketch/agent/logfile"
	"github.com/ketch-os/ketch/agent/memory"
	"github.com/ketch-os/ketch/agent/network"
	"github.com/ketch-os/ketch/agent/platform"
	"github.com/ketch-os/ketch/agent/workload"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/internal/compose"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

const (
	// Namespace is the containerd namespace of the machine's workloads.
	Namespace = "ketch"
	// askLimit bounds one question to containerd.
	askLimit = 2 * time.Second
	// retry is the pause before containerd is asked again.
	retry = 500 * time.Millisecond
	// Memory: collect garbage early, and hard when the heap nears the limit.
	gcPercent   = 50
	memoryLimit = 48 * layout.MiB
)

// imports are the pauses between two attempts to import images.
var imports = backoff.Pause{First: 5 * time.Second, Last: 10 * time.Minute}

// Node is a running ketchd.
type Node struct {
	client    *client.Client
	network   *network.Network
	images    *imagestore.Store
	runtime   *workload.Containerd
	workloads *workload.Supervisor
	meter     *bound.Meter
	disk      *bound.Disk
	clock     *clock.Clock
	machine   *configure.Machine
	streak    lastrun.Streak
	console   io.Writer
	news      chan struct{} // for the console: addresses have changed

	mu       sync.Mutex
	problems []problem // what could not be read or imported
	imported imported  // what became of the last attempt
}

// imported is what became of an attempt to import the images.
type imported struct {
	names []string // the images that the OS image carries, and that were imported
	err   error    // why there are not more
}

// Run is ketchd. It ends, with every workload stopped, when ctx does. After an
// error the process must exit: parts of it may still run.
func Run(ctx context.Context, console io.Writer) error {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	listener, err := api.Listen(layout.KetchdSocket)
	if err != nil {
		return fmt.Errorf("open the API: %w", err)
	}
	defer listener.Close()
	n, err := newNode(console)
	if err != nil {
		return err
	}
	defer n.client.Close()

	// The API and the network outlive the workloads, so they get their own end.
	late, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	server := &api.Server{Ready: n.ready, Status: n.status, Previous: previousRun, Gate: n.gate,
		Platform: n.machine.Platform, Config: n.machine.Config, Memory: memoryTable, Logs: n.workloads.Logs}
	served, worked := make(chan error, 1), make(chan struct{})
	var background sync.WaitGroup
	background.Go(func() { served <- server.Serve(late, listener) })
	background.Go(func() { n.network.Run(late) })
	background.Go(func() { n.workloads.Logs.Keep(late, n.say, n.meter.LogCut) })
	background.Go(func() { n.keepBounds(late) })
	background.Go(func() { n.keepKernelLog(late) })
	background.Go(func() { n.settle(late, n.streak) })
	background.Go(func() { n.clock.Run(late) })
	background.Go(func() { n.greet(ctx) })
	configured := make(chan struct{}, 1)
	background.Go(func() { n.machine.Configure(ctx, func() { n.configured(); notify(configured) }) })
	background.Go(func() { n.work(ctx, layout.ComposeDir, configured, n.importOnce); close(worked) })
	select {
	case err := <-served: // without its API ketchd ends, to be started anew; nothing is stopped
		return err
	case <-worked:
	}
	end()
	background.Wait()
	return <-served
}

func newNode(console io.Writer) (*Node, error) {
	if err := os.MkdirAll(layout.LogDir, 0o755); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	// Nothing is connected yet. After an end of containerd the client tries
	// again once a second.
	c, err := client.New(layout.ContainerdSocket, client.WithDefaultNamespace(Namespace), client.WithTimeout(time.Second))
	if err != nil {
		return nil, fmt.Errorf("make containerd client: %w", err)
	}
	n := &Node{client: c, images: &imagestore.Store{Client: c}, console: &lines{w: console}, news: make(chan struct{}, 1)}
	n.network = &network.Network{Resolv: layout.RunDir + "/resolv.conf", Say: n.say, Changed: n.networkChanged}
	image, err := imageInfo()
	n.problem("read version of the OS", err)
	n.clock = clock.System(image.Released, n.say)
	host, err := platform.Here(image.Platform)
	if err != nil {
		return nil, err
	}
	applier := &configure.Applier{
		Root:           "/",
		SetHostname:    func(name string) error { return unix.Sethostname([]byte(name)) },
		SetTimeServers: func(servers []string) { n.clock.Use(clock.Configuration, servers) },
	}
	n.machine = &configure.Machine{Host: host, Root: "/", Apply: applier.Apply, Problem: n.problem, Chance: rand.Float64}
	logs := logfile.Dir(layout.LogDir)
	each := n.boundWorkloads()
	n.streak = n.countBoot()
	n.runtime = &workload.Containerd{
		Client: c, Logs: logs, Version: image.Version, Each: each, Disk: n.disk, HostIDs: n.hostIDs(), Ended: n.meter.Look,
	}
	n.workloads = &workload.Supervisor{
		Runtime: n.runtime,
		Logs:    logs,
		Records: layout.RunDir + "/workloads",
		Console: n.console,
		Say:     n.say,
		Chance:  rand.Float64,
		Hold:    func() time.Duration { return n.streak.Hold() - uptime() },
	}
	return n, nil
}

// configured is called when the machine has found out where it runs, and was told what
// to be.
func (n *Node) configured() {
	n.clock.Use(clock.Platform, clock.OfPlatform(n.machine.Platform().Name))
	notify(n.news)
}

// memoryTable tells where the memory goes.
func memoryTable() (*node.MemoryTable, error) { return memory.Read(os.DirFS("/proc")) }

// notify says that there is something new; it does not wait for who takes it.
func notify(of chan<- struct{}) {
	select {
	case of <- struct{}{}:
	default: // the news before has not been taken yet
	}
}

// work imports the images and runs the workloads of the Compose files in dir until
// ctx ends, also when there is none left to run. The configuration comes first, which
// may bring some of them; one that comes later changes what runs.
func (n *Node) work(ctx context.Context, dir string, configured <-chan struct{}, importOnce func(context.Context) error) {
	var importing sync.WaitGroup
	defer importing.Wait()
	tried := make(chan struct{})
	importing.Go(func() { n.importImages(ctx, importOnce, sync.OnceFunc(func() { close(tried) })) })
	select {
	case <-configured:
	case <-ctx.Done():
		return
	}
	set := n.takeWorkloads(dir)
	select {
	case <-tried:
	case <-ctx.Done():
		return
	}
	if n.runtime != nil { // no workload has started yet, and all that there are are known
		n.problem("make room on "+statePath, n.reclaim(ctx))
	}
	for ctx.Err() == nil {
		set = n.runWorkloads(ctx, dir, set, configured)
	}
}

// runWorkloads runs the workloads until ctx ends or there are others, which it returns.
func (n *Node) runWorkloads(ctx context.Context, dir string, set *compose.Set, configured <-chan struct{}) *compose.Set {
	running, stop := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() { n.workloads.Run(running) })
	defer ended.Wait()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return set
		case <-configured:
		}
		if other := n.loadWorkloads(dir); !reflect.DeepEqual(other, set) {
			n.say("the configuration brings other workloads: those that run are stopped")
			stop()
			ended.Wait()
			return n.takeWorkloads(dir)
		}
	}
}

// takeWorkloads reads the Compose files. The health gate wants to know which workloads
// are essential.
func (n *Node) takeWorkloads(dir string) *compose.Set {
	set := n.loadWorkloads(dir)
	n.workloads.Take(set)
	debug.FreeOSMemory() // what reading them took is not needed again
	return set
}

// loadWorkloads reads the Compose files, and adds what the configuration could not bring.
func (n *Node) loadWorkloads(dir string) *compose.Set {
	set := compose.Load(dir)
	n.problem("read Compose files", set.Err())
	if n.machine != nil {
		set.Refused = append(set.Refused, n.machine.Refused()...)
	}
	return set
}

// importImages imports what the OS image carries, and tries again, ever more
// rarely, as long as some of it cannot be imported. tried is called after each
// attempt: workloads whose images are there need not wait for the others.
func (n *Node) importImages(ctx context.Context, attempt func(context.Context) error, tried func()) {
	for failures := 1; ; failures++ {
		err := attempt(ctx)
		for errdefs.IsUnavailable(err) { // PID 1 starts containerd again
			if !backoff.Sleep(ctx, retry) {
				return
			}
			err = attempt(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		n.problem("import images", err)
		tried()
		if err == nil || !backoff.Sleep(ctx, imports.After(failures, backoff.Even)) {
			return
		}
	}
}

// importOnce imports the images if containerd answers.
func (n *Node) importOnce(ctx context.Context) error {
	if err := n.ready(ctx); err != nil {
		return errors.Join(errdefs.ErrUnavailable, err)
	}
	names, err := n.images.Import(ctx, layout.ImagesDir)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.imported = imported{names, err}
	return err
}

// ready tells whether ketchd can do its work: containerd must answer.
func (n *Node) ready(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	serving, err := n.client.IsServing(limited)
	if err != nil {
		return fmt.Errorf("ask containerd: %w", err)
	}
	if !serving {
		return errors.New("containerd is not serving yet")
	}
	return nil
}

// say prints a short line on the console.
func (n *Node) say(what string) { fmt.Fprintln(n.console, what) }

// problem is a line of the status that says what is wrong with a subject.
type problem struct{ subject, text string }

// problem makes err what is wrong with a subject, nil for nothing any more: a line
// for each error that was joined, said on the console when it is new.
func (n *Node) problem(subject string, err error) {
	n.mu.Lock()
	before := n.problems
	n.problems = slices.DeleteFunc(slices.Clone(before), func(p problem) bool { return p.subject == subject })
	var news []problem
	for _, err := range apart(err) {
		p := problem{subject, strings.ReplaceAll(fmt.Sprintf("%s: %v", subject, err), "\n", "; ")}
		n.problems = append(n.problems, p)
		if !slices.Contains(before, p) {
			news = append(news, p)
		}
	}
	n.mu.Unlock()
	for _, p := range news {
		n.say("error: " + p.text)
	}
}

// apart takes joined errors apart.
func apart(err error) (errs []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return slices.DeleteFunc([]error{err}, func(err error) bool { return err == nil })
	}
	for _, err := range joined.Unwrap() {
		errs = append(errs, apart(err)...)
	}
	return errs
}

// imageInfo is what the running OS image says of itself; where it cannot be read, as
// little as can be: the clock has no floor but 1970 then.
func imageInfo() (*release.Info, error) {
	info, _, err := release.ReadInfo(os.DirFS("/usr"))
	if err != nil {
		return &release.Info{Released: time.Unix(0, 0)}, err
	}
	return info, nil
}

// networkChanged tells the clock and the console of addresses and time servers.
func (n *Node) networkChanged(timeServers []string) {
	n.clock.Use(clock.DHCP, timeServers)
	n.clock.Wake()
	select {
	case n.news <- struct{}{}:
	default:
	}
}

// lines is a console that several write to, a line at a time.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(line)
}
