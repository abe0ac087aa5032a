package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Command executes one command of the QEMU Machine Protocol: "system_powerdown"
// presses the power button, "system_reset" the reset button, "inject-nmi" …
func (vm *VM) Command(ctx context.Context, name string) error {
	return vm.CommandWith(ctx, name, nil)
}

// CommandWith executes a command that takes arguments.
func (vm *VM) CommandWith(ctx context.Context, name string, arguments map[string]any) error {
	return vm.ask(ctx, nil, command{name, arguments})
}

// Save writes the state of the machine, but for its disk, to a file, and ends it:
// another one starts from there with Options.State. It must be told of the same
// processors, memory and devices.
func (vm *VM) Save(ctx context.Context, file string) error {
	if err := vm.save(ctx, file); err != nil {
		return fmt.Errorf("save the machine's state to %s: %w", file, err)
	}
	vm.Stop()
	return nil
}

func (vm *VM) save(ctx context.Context, file string) error {
	err := vm.ask(ctx, nil,
		// What the machine changes meanwhile is worth no second round.
		command{"migrate-set-parameters", map[string]any{"max-bandwidth": int64(1) << 40, "downtime-limit": 60_000}},
		command{"migrate", map[string]any{"uri": "exec:cat > " + shellQuote(file)}})
	for err == nil {
		var progress struct {
			Status string `json:"status"`
			Error  string `json:"error-desc"`
		}
		if err = vm.ask(ctx, &progress, command{Execute: "query-migrate"}); err != nil {
			break
		}
		switch progress.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("migrate: %s: %s", progress.Status, progress.Error)
		}
		err = sleep(ctx, 20*time.Millisecond)
	}
	return err
}

// Resumed waits until a machine that was started with Options.State goes on.
func (vm *VM) Resumed(ctx context.Context) error {
	for {
		var machine struct{ Running bool }
		switch err := vm.ask(ctx, &machine, command{Execute: "query-status"}); {
		case err == nil && machine.Running:
			return nil
		case vm.ended():
			return fmt.Errorf("load the machine's state: %w", ErrEnded)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("load the machine's state: %w", err)
		}
	}
}

// WaitEvent waits until QEMU tells of an event, as "WATCHDOG". It talks to one at a
// time: until then, nobody gives it a command.
func (vm *VM) WaitEvent(ctx context.Context, name string) error {
	c, err := vm.converse(ctx)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	defer context.AfterFunc(ctx, func() { c.conn.Close() })()
	for {
		r, err := c.read()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("qmp: wait for %s: %w", name, err)
		}
		if r.Event == name {
			return nil
		}
	}
}

// ask executes commands one after the other and decodes the last one's result.
func (vm *VM) ask(ctx context.Context, result any, commands ...command) error {
	c, err := vm.converse(ctx)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	var answer json.RawMessage
	for _, command := range commands {
		if answer, err = c.execute(command); err != nil {
			return err
		}
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer, result)
}

// conversation is a connection to QEMU's control socket.
type conversation struct {
	conn net.Conn
	in   *json.Decoder
}

// converse begins a conversation, which ends by ctx's deadline at the latest.
func (vm *VM) converse(ctx context.Context) (*conversation, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", vm.socket("qmp"))
	if err != nil {
		return nil, fmt.Errorf("qmp: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	c := &conversation{conn, json.NewDecoder(conn)}
	var greeting map[string]any
	if err = c.in.Decode(&greeting); err != nil {
		err = fmt.Errorf("qmp: greeting: %w", err)
	} else {
		_, err = c.execute(command{Execute: "qmp_capabilities"})
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// command is what QMP calls one (QEMU, docs/interop/qmp-spec.txt, 2.3).
type command struct {
	Execute   string         `json:"execute"`
	Arguments map[string]any `json:"arguments,omitempty"`
}

// reply is what QEMU says: the end of a command, or an event.
type reply struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
}

func (c *conversation) read() (r reply, err error) {
	return r, c.in.Decode(&r)
}

func (c *conversation) execute(what command) (json.RawMessage, error) {
	err := json.NewEncoder(c.conn).Encode(what)
	for err == nil {
		var r reply
		switch r, err = c.read(); {
		case err != nil:
		case r.Error != nil:
			err = errors.New(r.Error.Desc)
		case r.Event == "":
			return r.Return, nil
		}
	}
	return nil, fmt.Errorf("qmp: %s: %w", what.Execute, err)
}
