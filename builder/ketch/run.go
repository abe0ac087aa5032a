package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/cli"
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
	serial     string
	disk       cli.Size
	fresh      bool
	secureBoot bool
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
		Use: "run [DEFINITION|IMAGE]", Short: "Start a machine from an image, in QEMU",
		Args: cli.Between(0, 1, "one definition or image"),
		Long: `
The machine gets a copy of the disk, which is kept beside the image with its
firmware variables, so that /var lasts from one run to the next; a newer image
or --fresh starts over. A definition is built first where that is needed.

With --test the machine is thrown away afterwards: ketch waits for it to boot,
runs CMD in its shell (the image must have the tools layer), prints what CMD
prints and exits with its status. Without it the status is 0 once the machine
was powered off, from inside or by Ctrl-A X.

  ketch run                                  the image of images/qemu.yaml
  ketch run out/qemu/disk.raw --port 8080:8080
  ketch run --test 'ketchctl status'

Ctrl-A X ends the machine, Ctrl-A C leads to QEMU's monitor and back.`,
	}
	f := cmd.Flags()
	o := runOptions{memory: cli.Size{Bytes: 512 * layout.MiB, Unit: layout.MiB}, disk: cli.Size{Bytes: 8 * layout.GiB}}
	f.StringVar(&o.test, "test", "", "run `CMD` on the machine and exit with its status")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "with --test: give up after this `time`")
	f.Var(&o.memory, "memory", "memory of the machine: a `SIZE` as 512M or 1G; MiB without a letter")
	f.IntVar(&o.cpus, "cpus", 2, "processors of the machine")
	f.Var(&o.ports, "port", "forward a port of this machine's loopback: `HOST:GUEST` (repeatable)")
	f.StringVar(&o.serial, "serial", "", "with --test: write the console to `FILE`")
	f.Var(&o.disk, "disk-size", "grow the machine's disk to `SIZE`: a number with K, M, G or T")
	f.BoolVar(&o.fresh, "fresh", false, "start over: forget the disk and the firmware variables of earlier runs")
	f.BoolVar(&o.secureBoot, "secure-boot", false, "use firmware that checks signatures (the image must enrol its keys)")
	o.build.flags(f)
	cmd.RunE = do(func(ctx context.Context, e *env, args []string) error { return o.run(ctx, e, args) })
	return cmd
}

func (o *runOptions) run(ctx context.Context, e *env, args []string) error {
	what := defaultDefinition
	if len(args) > 0 {
		what = args[0]
	}
	if _, err := qemu.Find(); err != nil {
		return err
	}
	path, err := o.imageOf(ctx, e, what)
	if err != nil {
		return err
	}
	if o.test != "" {
		return o.runTest(ctx, e, path)
	}
	return o.runInteractive(ctx, e, path)
}

// imageOf builds a definition's image; an image stands for itself.
func (o *runOptions) imageOf(ctx context.Context, e *env, what string) (string, error) {
	if strings.HasSuffix(what, ".yaml") {
		// Standard output is the command's alone.
		return o.build.build(ctx, &env{e.stdin, e.stderr, e.stderr}, what)
	}
	if _, err := os.Stat(what); err != nil {
		return "", hint.Add(err, "build an image first: make qemu")
	}
	return what, nil
}

func (o *runOptions) machine() qemu.Options {
	return qemu.Options{Memory: int(o.memory.Bytes / layout.MiB), CPUs: o.cpus, Ports: o.ports, SecureBoot: o.secureBoot}
}

// runInteractive gives the machine this process's terminal.
func (o *runOptions) runInteractive(ctx context.Context, e *env, path string) error {
	dir := filepath.Join(filepath.Dir(path), "run")
	disk, err := machineDisk(dir, path, o.disk.Bytes, o.fresh)
	if err != nil {
		return err
	}
	m := o.machine()
	m.Image, m.Dir = disk, dir
	m.Interactive = &announcer{out: e.stdout, after: layout.ConsolePrefix + layout.SayGood, text: o.reach()}
	for _, f := range o.ports {
		if err := portFree(f.Host); err != nil {
			return hint.Add(err, "give another: --port %d:%d", f.Host+1, f.Guest)
		}
	}
	restore := rawTerminal()
	defer restore()
	vm, err := qemu.Start(ctx, m)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "ketch run: %s, %d MiB, %d processors (%s); Ctrl-A X ends it\r\n", path, o.memory.Bytes/layout.MiB, o.cpus, vm.Accel)
	return vm.Wait(ctx)
}

// reach tells how to reach the machine.
func (o *runOptions) reach() string {
	var text strings.Builder
	for _, f := range o.ports {
		fmt.Fprintf(&text, "ketch run: http://127.0.0.1:%d/ reaches the machine's port %d\r\n", f.Host, f.Guest)
	}
	text.WriteString("ketch run: Enter gets a shell on the machine, Ctrl-A X ends it\r\n")
	return text.String()
}

// announcer passes a console on, and says something once a certain line has
// come: the firmware clears the screen, so what is said before is not seen.
type announcer struct {
	out         io.Writer
	after, text string
	line        []byte
	said        bool
}

func (a *announcer) Write(p []byte) (int, error) {
	if a.said {
		return a.out.Write(p)
	}
	for i, b := range p {
		a.line = append(a.line, b)
		if b != '\n' {
			continue
		}
		a.said = strings.Contains(string(a.line), a.after)
		a.line = a.line[:0]
		if a.said {
			if _, err := a.out.Write(append(p[:i+1:i+1], a.text...)); err != nil {
				return i, err
			}
			n, err := a.out.Write(p[i+1:])
			return i + 1 + n, err
		}
	}
	return a.out.Write(p)
}

// rawTerminal notes the terminal's state, which QEMU changes, and returns what restores it.
func rawTerminal() (restore func()) {
	fd := int(os.Stdin.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return func() {}
	}
	return func() { _ = term.Restore(fd, state) }
}

func portFree(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("port %d of this host: %w", port, err)
	}
	return l.Close()
}

// machineDisk returns the machine's copy of the image in dir, made anew where
// the image is another than the copy was made from.
func machineDisk(dir, image string, size int64, fresh bool) (string, error) {
	info, err := os.Stat(image)
	if err != nil {
		return "", err
	}
	stamp := fmt.Sprintf("%d bytes, %s\n", info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
	disk, made := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "made-from")
	if old, err := os.ReadFile(made); err == nil && string(old) == stamp && !fresh {
		return disk, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	if err := qemu.Copy(disk, image, size); err != nil {
		return "", err
	}
	return disk, os.WriteFile(made, []byte(stamp), 0o666)
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
	m.Image, m.Dir, m.ExitOnReboot = filepath.Join(dir, "disk.raw"), dir, true
	if err := qemu.Copy(m.Image, path, o.disk.Bytes); err != nil {
		return err
	}
	// A test wants an answer, not a fixed port: the ports asked for are forwarded all the same.
	vm, err := qemu.Start(ctx, m)
	if err != nil {
		return err
	}
	defer vm.Stop()
	if o.serial != "" {
		defer func() {
			err = errors.Join(err, os.WriteFile(o.serial, []byte(vm.Console.String()), 0o666))
		}()
	}
	status, err := o.execute(ctx, e, vm)
	if err != nil {
		fmt.Fprintf(e.stderr, "%s\n", tail(vm.Console.String(), 20))
		return fmt.Errorf("--test: %w", o.explain(err))
	}
	if status != 0 {
		return cli.Status(status)
	}
	return nil
}

func (o *runOptions) execute(ctx context.Context, e *env, vm *qemu.VM) (int, error) {
	if _, err := vm.Console.WaitLine(ctx, layout.ConsolePrefix+layout.SayGood); err != nil {
		return 0, err
	}
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
