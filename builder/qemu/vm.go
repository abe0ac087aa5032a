package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/ketch-os/ketch/builder/cache"
)

// VM is a running machine. It belongs to whoever started it: call Wait or Stop.
type VM struct {
	// Console holds everything the serial console printed so far. It is nil where Options.Interactive is not.
	Console *Console
	Accel   string

	cmd  *exec.Cmd
	done chan struct{}
	err  error
	// runtime holds the sockets. The path of a Unix socket has at most 107
	// bytes, so it is always a short one of our own.
	runtime string
	debug   debugChannel
}

// Start starts the machine and returns at once.
func Start(ctx context.Context, o Options) (vm *VM, err error) {
	o = o.withDefaults()
	program, err := Find()
	if err != nil {
		return nil, err
	}
	vm = &VM{done: make(chan struct{})}
	if vm.Accel, err = o.accel(ctx); err != nil {
		return nil, err
	}
	if vm.runtime, err = os.MkdirTemp("", "ketch-vm-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			vm.cleanUp()
		}
	}()
	if o.Dir == "" {
		o.Dir = vm.runtime
	}
	var fw firmware
	variables := filepath.Join(o.Dir, VariablesFile)
	if o.Kernel == "" {
		if fw, err = findFirmware(o.SecureBoot); err != nil {
			return nil, err
		}
		if err = prepareVariables(variables, o.Variables, fw.variables); err != nil {
			return nil, err
		}
	}
	vm.cmd = exec.CommandContext(ctx, program, o.arguments(vm, fw, variables)...)
	vm.cmd.Cancel = func() error { return vm.cmd.Process.Signal(syscall.SIGTERM) }
	vm.cmd.WaitDelay = stopTimeout
	vm.connect(o.Interactive)
	started := make(chan error)
	go vm.live(started)
	if err = <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return vm, nil
}

// Check finds out, before anything is written, what this host lacks for the machine.
func (o Options) Check(ctx context.Context) error {
	if _, err := Find(); err != nil {
		return err
	}
	if o.Kernel == "" {
		if _, err := findFirmware(o.SecureBoot); err != nil {
			return err
		}
	}
	_, err := o.accel(ctx)
	return err
}

// accel is the acceleration asked for, or what this host has.
func (o Options) accel(ctx context.Context) (string, error) {
	if o.Accel != "" {
		return o.Accel, nil
	}
	kept, err := cache.Dir()
	if err != nil {
		kept = filepath.Join(os.TempDir(), "ketch") // what is known of this host can be found out again
	}
	accel, _, err := Acceleration(ctx, kept)
	return accel, err
}

// prepareVariables makes the machine's own firmware variables, unless it has some.
func prepareVariables(path, from, empty string) error {
	if exists(path) {
		return nil
	}
	if from == "" {
		from = empty
	}
	return copyFile(path, from)
}

func (vm *VM) connect(interactive io.Writer) {
	// A machine whose starter dies must not linger: it would keep its disk locked.
	vm.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if interactive != nil {
		vm.cmd.Stdin, vm.cmd.Stdout, vm.cmd.Stderr = os.Stdin, interactive, os.Stderr
		return
	}
	vm.Console = newConsole()
	vm.cmd.Stdout, vm.cmd.Stderr = vm.Console, vm.Console
	vm.cmd.SysProcAttr.Setpgid = true // what the terminal sends to the starter is not for it
}

// live starts QEMU and waits for its end, all on one thread: PR_SET_PDEATHSIG is
// about the thread that started a process, not about the program (prctl(2)).
func (vm *VM) live(started chan<- error) {
	runtime.LockOSThread()
	err := vm.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	vm.err = vm.cmd.Wait()
	if vm.Console != nil {
		vm.Console.close()
	}
	vm.debug.close()
	close(vm.done)
}

// Done is closed when the machine has ended.
func (vm *VM) Done() <-chan struct{} { return vm.done }

func (vm *VM) ended() bool {
	select {
	case <-vm.done:
		return true
	default:
		return false
	}
}

// Wait waits for the machine to end: by its own power-off, by a reboot where
// Options.ExitOnReboot, or by Stop.
func (vm *VM) Wait(ctx context.Context) error {
	select {
	case <-vm.done:
		vm.cleanUp()
		return vm.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop cuts the machine's power and waits until it is gone.
func (vm *VM) Stop() {
	_ = vm.cmd.Process.Kill()
	<-vm.done
	vm.cleanUp()
}

// ProcessorTime is how much processor time a machine that has ended took.
func (vm *VM) ProcessorTime() time.Duration {
	<-vm.done
	return vm.cmd.ProcessState.UserTime() + vm.cmd.ProcessState.SystemTime()
}

func (vm *VM) cleanUp() { os.RemoveAll(vm.runtime) }

func (vm *VM) socket(name string) string { return filepath.Join(vm.runtime, name) }

// Console records what a serial console prints. It is safe for concurrent use.
type Console struct {
	mu     sync.Mutex
	text   []byte
	more   chan struct{} // closed and replaced at every write
	closed bool
	tee    io.Writer
}

func newConsole() *Console { return &Console{more: make(chan struct{})} }

// Write appends to the record.
func (c *Console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, p...)
	close(c.more)
	c.more = make(chan struct{})
	if c.tee != nil {
		_, _ = c.tee.Write(p)
	}
	return len(p), nil
}

// Tee copies what has been and will be printed to w.
func (c *Console) Tee(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = w.Write(c.text)
	c.tee = w
}

func (c *Console) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	close(c.more)
	c.more = make(chan struct{})
}

// String is everything printed so far.
func (c *Console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// ErrEnded is returned when the machine ended before it printed what was waited for.
var ErrEnded = errors.New("the machine ended")

// WaitFor waits until match finds something in what the console printed and returns it.
func (c *Console) WaitFor(ctx context.Context, match func(text string) (string, bool)) (string, error) {
	for {
		c.mu.Lock()
		text, more, closed := string(c.text), c.more, c.closed
		c.mu.Unlock()
		if found, ok := match(text); ok {
			return found, nil
		}
		if closed {
			return "", ErrEnded
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// WaitLine waits for a whole line that contains part, and returns it.
func (c *Console) WaitLine(ctx context.Context, part string) (string, error) {
	line, err := c.WaitFor(ctx, func(text string) (string, bool) { return lineWith(text, part) })
	if err != nil {
		return "", fmt.Errorf("wait for %q on the console: %w", part, err)
	}
	return line, nil
}

// Limit is a context that ends after d, for waiting.
func Limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}
