package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/builder/diskfile"
	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/disk/raw"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/printable"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/layout/debugport"
)

// runOptions are the flags of ketch run.
type runOptions struct {
	test       string
	timeout    time.Duration
	memory     cli.Size
	cpus       int
	ports      forwards
	network    string
	serial     string
	disk       cli.Size
	sized      bool // the size was asked for
	fresh      bool
	secureBoot bool
	ssh        bool
	remote     []string // what follows --: the command to run by SSH
	json       bool
	config     string
	build      buildOptions
}

type forwards []qemu.Forward

func (f *forwards) String() string { return "" }

// Type names the flag's value in the help.
func (f *forwards) Type() string { return "HOST:GUEST" }

func (f *forwards) Set(s string) error {
	forward, err := qemu.ParseForward(s)
	*f = append(*f, forward)
	return err
}

// defaultDefinition is what `ketch run` runs when it is told nothing else.
const defaultDefinition = "images/qemu.yaml"

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run [DEFINITION|IMAGE] [-- CMD...]", Short: "Start a machine from an image, in QEMU",
		Args: func(cmd *cobra.Command, args []string) error {
			ours, _ := splitAtDash(cmd, args)
			return cli.Between(0, 1, "one definition or image")(cmd, ours)
		},
		Long: `
The machine gets a copy of the disk, which is kept in IMAGE.machine/ with its
firmware variables, so that /var lasts from one run to the next; a newer image
or --fresh starts over. One machine at a time runs from it. A definition is
built first where that is needed.

With --test the machine is thrown away afterwards: ketch waits for it to boot,
runs CMD in its shell (the image must have the tools layer), prints what CMD
prints and exits with its status. Without it the status is 0 once the machine
was powered off, from inside or by Ctrl-A X.

With --ssh the machine gets a configuration with SSH keys, one made for it and
those in ~/.ssh/id_*.pub, and the line is printed that signs in, once it can be;
with CMD that is done, and ketch exits with the status of CMD. Such a machine is
thrown away afterwards, too.

The machine reaches nothing, and is reached by the ports of this host's loopback
that are forwarded: those that --port names; without --port and --test, each TCP
port that a container image in the image says it serves (EXPOSE), or the next
free one. --network user lets it reach what this host reaches, none leaves out
the network card.

KVM is used where a probe finds that it works, emulation elsewhere; the
environment variable KETCH_ACCEL=kvm or KETCH_ACCEL=tcg decides instead.

With --config the machine gets a configuration, as from a cloud; what ketch config
check says of it is said first. It is given anew at every start.

  ketch run                                  the image of images/qemu.yaml
  ketch run out/qemu/disk.raw --port 8080:8080
  ketch run --config web.yaml --test 'ketchctl status'
  ketch run out/gce/disk.raw --ssh
  ketch run out/gce/disk.raw --ssh -- status --json

Ctrl-A X ends the machine, Ctrl-A C leads to QEMU's monitor and back.`,
	}
	f := cmd.Flags()
	o := runOptions{memory: cli.Size{Bytes: 512 * layout.MiB, Unit: layout.MiB}, disk: cli.Size{Bytes: 8 * layout.GiB}}
	f.StringVar(&o.test, "test", "", "run `CMD` on the machine and exit with its status")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "with --test or a CMD: give up after this `time`")
	f.BoolVar(&o.ssh, "ssh", false, "let SSH into the machine, and print how; with CMD run that")
	f.Var(&o.memory, "memory", "memory of the machine: a `SIZE` as 512M or 1G; MiB without a letter")
	f.IntVar(&o.cpus, "cpus", 2, "`N` processors of the machine")
	f.VarP(&o.ports, "port", "p", "forward a port of this host's loopback: `HOST:GUEST` (repeatable)")
	f.StringVar(&o.network, "network", qemu.NetworkRestricted, "what the machine reaches: `NETWORK` user, restricted or none")
	_ = cmd.RegisterFlagCompletionFunc("network", cobra.FixedCompletions(qemu.Networks(), cobra.ShellCompDirectiveNoFileComp))
	f.BoolVar(&o.json, "json", false, "with --test: print the result, and what CMD prints, as JSON")
	f.StringVar(&o.serial, "serial", "", "with --test: write the console to `FILE`")
	f.Var(&o.disk, "disk-size", "make the machine's disk `SIZE` large, at least: a number with K, M, G or T")
	f.BoolVar(&o.fresh, "fresh", false, "start over: forget the disk and the firmware variables of earlier runs")
	f.BoolVar(&o.secureBoot, "secure-boot", false, "use firmware that checks signatures (the image must enrol its keys)")
	f.StringVar(&o.config, "config", "", "give the machine the configuration in `FILE`")
	o.build.flags(f)
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error {
		o.sized = f.Changed("disk-size")
		args, o.remote = splitAtDash(cmd, args)
		return o.run(ctx, e, args)
	})
	return cmd
}

// splitAtDash parts the arguments before -- from those after it.
func splitAtDash(cmd *cobra.Command, args []string) (before, after []string) {
	if at := cmd.ArgsLenAtDash(); at >= 0 {
		return args[:at], args[at:]
	}
	return args, nil
}

func (o *runOptions) run(ctx context.Context, e *env, args []string) error {
	if err := o.check(); err != nil {
		return err
	}
	what := defaultDefinition
	if len(args) > 0 {
		what = args[0]
	}
	if err := o.machine().Check(ctx); err != nil {
		return err
	}
	if err := o.checkConfig(ctx, e); err != nil {
		return err
	}
	path, err := o.imageOf(ctx, e, what)
	if err != nil {
		return err
	}
	switch {
	case o.test != "":
		return o.runTest(ctx, e, path)
	case len(o.remote) > 0:
		return o.runSSH(ctx, e, path)
	}
	return o.runInteractive(ctx, e, path)
}

// check refuses flags that contradict each other.
func (o *runOptions) check() error {
	switch {
	case !slices.Contains(qemu.Networks(), o.network):
		return cli.Usagef("--network %s: want %s", o.network, strings.Join(qemu.Networks(), ", "))
	case o.network == qemu.NetworkNone && len(o.ports) > 0:
		return cli.Usagef("--port: a machine with --network none has no ports")
	case o.json && o.test == "":
		return cli.Usagef("--json: only a run with --test has a result")
	case o.ssh && o.network == qemu.NetworkNone:
		return cli.Usagef("--ssh: a machine with --network none is not reached")
	case o.ssh && o.test != "":
		return cli.Usagef("--ssh or --test: a command goes one way; for SSH: ketch run --ssh -- CMD")
	case o.cpus < 1:
		return cli.Usagef("--cpus %d: a machine has at least one", o.cpus)
	case len(o.remote) > 0 && !o.ssh:
		return cli.Usagef("%q after --: that is for --ssh", o.remote[0])
	case o.memory.Bytes < leastMemory:
		return cli.Usagef("--memory %s: the firmware needs %d MiB", &o.memory, leastMemory/layout.MiB)
	}
	for i, f := range o.ports {
		if slices.ContainsFunc(o.ports[:i], func(other qemu.Forward) bool { return other.Host == f.Host }) {
			return cli.Usagef("--port: port %d of this host is given twice", f.Host)
		}
	}
	return nil
}

// checkConfig says what is wrong with the configuration. The machine takes the rest of it.
func (o *runOptions) checkConfig(ctx context.Context, e *env) error {
	if o.config == "" {
		return nil
	}
	checked, err := checkConfig(ctx, nil, o.config)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	for _, p := range checked.Problems {
		printable.Fprintln(e.stderr, "ketch run: warning:", printable.Text(p.In(o.config)))
	}
	return nil
}

// leastMemory is what OVMF starts with.
const leastMemory = 128 * layout.MiB

// openImage opens the disk in an image as a raw one, and refuses to make a smaller
// one of it.
func (o *runOptions) openImage(path string) (*os.File, error) {
	f, err := diskfile.Raw(path, o.build.maxSize.Bytes)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd) // of a block device, too
	if err == nil {
		err = errors.Join(limit.Check(size, o.build.maxSize.Bytes, "copy "+path), o.suits(path, size))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// suits tells whether a machine's disk can be made of one of a size.
func (o *runOptions) suits(path string, size int64) error {
	if err := (&raw.Disk{Size: size}).Check(); err != nil {
		return hint.Add(fmt.Errorf("%s: %w", path, err), "an image is what ketch build writes; a definition ends in .yaml")
	}
	if o.sized && o.disk.Bytes < size {
		return cli.Usagef("--disk-size %s: the image has %s", &o.disk, &cli.Size{Bytes: size})
	}
	return nil
}

// imageOf builds a definition's image; an image stands for itself.
func (o *runOptions) imageOf(ctx context.Context, e *env, what string) (string, error) {
	if strings.HasSuffix(what, ".yaml") {
		// Standard output is the command's alone.
		return o.build.build(ctx, &env{e.stdin, e.stderr, e.stderr}, what)
	}
	if _, err := os.Stat(what); err != nil {
		return "", hint.Add(err, "an image is what ketch build writes; a definition ends in .yaml")
	}
	return what, nil
}

func (o *runOptions) machine() qemu.Options {
	return qemu.Options{Memory: int(o.memory.Bytes / layout.MiB), CPUs: o.cpus, Ports: o.ports, Network: o.network, SecureBoot: o.secureBoot, Config: o.config}
}

// runInteractive gives the machine this process's terminal.
func (o *runOptions) runInteractive(ctx context.Context, e *env, path string) (err error) {
	if err := o.portsFree(); err != nil {
		return err
	}
	kept, err := lockMachine(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.release()) }()
	disk, err := o.machineDisk(kept)
	if err != nil {
		return err
	}
	promised, _ := promiseOf(disk) // a disk of somebody else's promises nothing
	if len(o.ports) == 0 && o.network != qemu.NetworkNone {
		o.ports = defaultForwards(promised.ports)
	}
	m := o.machine()
	m.Image, m.Dir = disk, kept.path
	ready := announcement{after: layout.ConsolePrefix + layout.SayGood, text: o.reach(promised)}
	if o.ssh {
		d, err := newDoor(kept.path)
		if err == nil {
			err = d.configure(ctx, &m)
		}
		if err != nil {
			return err
		}
		ready.after, ready.found = hostKey, d.know
		ready.text = "ketch run: " + d.String() + "\r\n" + ready.text
	}
	early := announcement{after: layout.ConsolePrefix + layout.SayVersion, text: sayEnd}
	m.Interactive = &announcer{out: e.stdout, next: []announcement{early, ready}}
	restore := rawTerminal()
	defer restore()
	vm, err := qemu.Start(ctx, m)
	if err != nil {
		return err
	}
	defer vm.Stop() // the lock outlives the machine
	printable.Fprintf(e.stderr, "ketch run: %s, %d MiB, %d processors (%s); Ctrl-A X ends it\r\n", path, o.memory.Bytes/layout.MiB, o.cpus, vm.Accel)
	return vm.Wait(ctx)
}

// portsFree tells whether the ports that were asked for can be had.
func (o *runOptions) portsFree() error {
	for _, f := range o.ports {
		if err := portFree(f.Host); err != nil {
			return hint.Add(err, "give another: --port %d:%d", f.Host+1, f.Guest)
		}
	}
	return nil
}

// runTest boots a machine for one command.
func (o *runOptions) runTest(ctx context.Context, e *env, path string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "ketch-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := o.machine()
	m.Image, m.Dir, m.ExitOnReboot = filepath.Join(dir, "disk.raw"), dir, !o.secureBoot
	if err := o.copyForTest(m.Image, path); err != nil {
		return err
	}
	// A test wants an answer, not a fixed port: the ports asked for are forwarded all the same.
	vm, err := qemu.Start(ctx, m)
	if err != nil {
		return err
	}
	defer vm.Stop()
	waits(e, "starting a machine from %s (%s)", path, vm.Accel)
	if o.serial != "" {
		defer func() {
			err = errors.Join(err, os.WriteFile(o.serial, []byte(vm.Console.String()), 0o666))
		}()
	}
	start, said := time.Now(), e
	var out, complaints bytes.Buffer
	if o.json {
		said = &env{e.stdin, &out, &complaints}
	}
	status, err := o.execute(ctx, said, vm)
	if err != nil {
		printable.Fprintln(e.stderr, printable.Ours(printable.Lines(tail(vm.Console.String(), 20))))
		return fmt.Errorf("--test: %w", o.explain(err))
	}
	if o.json {
		result := tested{path, status == 0, status, out.String(), complaints.String(), time.Since(start).Microseconds()}
		if err := cli.JSON(e.stdout, result); err != nil {
			return err
		}
	}
	if status != 0 {
		return cli.Status(status)
	}
	return nil
}

// tested is what ketch run --test prints as JSON.
type tested struct {
	Path     string `json:"path"` // the image
	Passed   bool   `json:"passed"`
	Status   int    `json:"status"` // of the command
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr"`
	TookUsec int64  `json:"tookUsec"` // from the machine's start to the command's end
}

// copyForTest makes the machine's disk of an image that must be able to run commands.
func (o *runOptions) copyForTest(disk, path string) error {
	src, err := o.openImage(path)
	if err != nil {
		return err
	}
	if err := errors.Join(qemu.CopyFile(disk, src, o.disk.Bytes), src.Close()); err != nil {
		return err
	}
	// A disk of somebody else's may be able to: the machine will tell.
	if promised, err := promiseOf(disk); err == nil && !promised.debug {
		return hint.Add(fmt.Errorf("--test: %s is no debug image: it has no service that runs commands", path),
			"a definition whose images include the layer tools makes one, as images/qemu.yaml does")
	}
	return nil
}

func (o *runOptions) execute(ctx context.Context, e *env, vm *qemu.VM) (int, error) {
	if o.secureBoot {
		if err := endOnReboot(ctx, vm); err != nil {
			return 0, err
		}
	}
	if _, err := vm.Console.WaitLine(ctx, layout.ConsolePrefix+layout.SayGood); err != nil {
		return 0, err
	}
	waits(e, "the machine is up; running %s", o.test)
	stdin, err := testInput(e.stdin)
	if err != nil {
		return 0, err
	}
	result, err := vm.Run(ctx, debugport.Command{Shell: o.test, Stdin: stdin}, e.stdout, e.stderr)
	if err == nil && result.Error != "" {
		err = errors.New(result.Error)
	}
	return result.Status, err
}

// endOnReboot makes the next reboot the machine's end. On its first start an image
// that enrols its keys resets the machine once it has: that is none. By the time
// PID 1 speaks it is over.
func endOnReboot(ctx context.Context, vm *qemu.VM) error {
	if _, err := vm.Console.WaitLine(ctx, layout.ConsolePrefix+layout.SayVersion); err != nil {
		return err
	}
	return vm.CommandWith(ctx, "set-action", map[string]any{"reboot": "shutdown"})
}

// testInput reads what is piped into ketch; a terminal is left alone.
func testInput(stdin io.Reader) ([]byte, error) {
	f, ok := stdin.(*os.File)
	if !ok {
		return nil, nil
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 && !info.Mode().IsRegular() {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(f, debugport.MaxPayload/2))
}

// explain says which limit a deadline was.
func (o *runOptions) explain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return hint.Add(fmt.Errorf("no answer within %v: %w", o.timeout, err), "the console is above; --timeout gives it longer, --serial FILE keeps all of it")
	}
	return err
}

// tail returns the last n lines of text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
