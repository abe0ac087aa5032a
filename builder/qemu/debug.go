package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/ketch-os/ketch/layout/debugport"
)

// debugChannel is the host's end of the debug port.
type debugChannel struct {
	busy sync.Mutex // held through a Run: one command at a time
	mu   sync.Mutex // guards conn against close
	conn net.Conn   // set by the holder of busy
}

// helloEvery is how often the guest is called until it answers.
const helloEvery = 200 * time.Millisecond

// Run runs a command on the machine, which must be a debug image, and returns
// its result. What it prints goes to stdout and stderr as it comes. A machine
// that is still booting is waited for as long as ctx allows.
func (vm *VM) Run(ctx context.Context, command debugport.Command, stdout, stderr io.Writer) (debugport.Result, error) {
	vm.debug.busy.Lock()
	defer vm.debug.busy.Unlock()
	// The end of the machine or of ctx ends the conversation.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { vm.debug.close() })
	defer stop()
	go func() {
		select {
		case <-vm.done:
			cancel(ErrEnded)
		case <-ctx.Done():
		}
	}()
	result, err := vm.debug.run(ctx, vm.socket("debug"), command, stdout, stderr)
	if err != nil {
		vm.debug.hangUp()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return result, fmt.Errorf("run on the machine: %w", err)
	}
	return result, nil
}

// shellSigns are what a shell is for: a line without any is a program and its arguments.
const shellSigns = "|&;<>()$`\\\"'*?[]#~=%{}!\n"

// Shell runs a command line in the machine's shell and returns what it printed.
// A status other than 0 is an error that carries the output.
func (vm *VM) Shell(ctx context.Context, line string) (string, error) {
	var out, errs bytes.Buffer
	command := debugport.Command{Shell: line}
	if !strings.ContainsAny(line, shellSigns) { // a program starts in half the time without a shell
		command = debugport.Command{Args: strings.Fields(line)}
	}
	result, err := vm.Run(ctx, command, &out, &errs)
	switch {
	case err != nil:
		return out.String(), err
	case result.Error != "":
		return out.String(), fmt.Errorf("run %q on the machine: %s", line, result.Error)
	case result.Status != 0:
		return out.String(), fmt.Errorf("run %q on the machine: exit status %d: %s%s", line, result.Status, &out, &errs)
	}
	return out.String(), nil
}

func (d *debugChannel) run(ctx context.Context, socket string, command debugport.Command, stdout, stderr io.Writer) (debugport.Result, error) {
	if d.conn == nil {
		if err := d.greet(ctx, socket); err != nil {
			return debugport.Result{}, err
		}
	}
	if err := debugport.WriteJSON(d.conn, debugport.Run, command); err != nil {
		return debugport.Result{}, err
	}
	for {
		kind, payload, err := debugport.ReadFrame(d.conn)
		if err != nil {
			return debugport.Result{}, err
		}
		switch kind {
		case debugport.Stdout:
			_, err = stdout.Write(payload)
		case debugport.Stderr:
			_, err = stderr.Write(payload)
		case debugport.Exit:
			var result debugport.Result
			return result, json.Unmarshal(payload, &result)
		case debugport.Hello: // a late answer to an earlier call
		default:
			err = fmt.Errorf("unexpected frame %q", kind)
		}
		if err != nil {
			return debugport.Result{}, err
		}
	}
}

// greet connects and calls until the guest answers.
func (d *debugChannel) greet(ctx context.Context, socket string) error {
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err == nil {
			d.set(conn)
			break
		}
		if err := sleep(ctx, helloEvery); err != nil { // QEMU has not made its socket yet
			return err
		}
	}
	answered := make(chan error, 1)
	go func() { answered <- awaitHello(d.conn) }()
	for {
		if err := debugport.WriteFrame(d.conn, debugport.Hello, nil); err != nil {
			return err
		}
		select {
		case err := <-answered:
			return err
		case <-time.After(helloEvery):
		case <-ctx.Done():
			d.conn.Close()
			<-answered
			return ctx.Err()
		}
	}
}

func awaitHello(r io.Reader) error {
	kind, _, err := debugport.ReadFrame(r)
	if err == nil && kind != debugport.Hello {
		return errors.New("the machine's debug port spoke before it was greeted")
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *debugChannel) set(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn = conn
}

// close ends a conversation; any goroutine may call it.
func (d *debugChannel) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		d.conn.Close()
	}
}

// hangUp forgets a connection that failed: the next Run starts anew.
func (d *debugChannel) hangUp() {
	d.close()
	d.set(nil)
}
