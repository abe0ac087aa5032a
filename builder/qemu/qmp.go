package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
)

// Command executes one command of the QEMU Machine Protocol: "system_powerdown"
// presses the power button, "system_reset" the reset button, "inject-nmi" …
func (vm *VM) Command(ctx context.Context, name string) error {
	return vm.CommandWith(ctx, name, nil)
}

// CommandWith executes a command that takes arguments.
func (vm *VM) CommandWith(ctx context.Context, name string, arguments map[string]any) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", vm.socket("qmp"))
	if err != nil {
		return fmt.Errorf("qmp: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	var greeting map[string]any
	if err := in.Decode(&greeting); err != nil {
		return fmt.Errorf("qmp: greeting: %w", err)
	}
	for _, command := range []command{{Execute: "qmp_capabilities"}, {name, arguments}} {
		if err := execute(in, out, command); err != nil {
			return fmt.Errorf("qmp: %s: %w", command.Execute, err)
		}
	}
	return nil
}

// command is what QMP calls one (QEMU, docs/interop/qmp-spec.txt, 2.3).
type command struct {
	Execute   string         `json:"execute"`
	Arguments map[string]any `json:"arguments,omitempty"`
}

func execute(in *json.Decoder, out *json.Encoder, order command) error {
	if err := out.Encode(order); err != nil {
		return err
	}
	for {
		var reply struct {
			Return any `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
			Event string `json:"event"`
		}
		if err := in.Decode(&reply); err != nil {
			return err
		}
		switch {
		case reply.Error != nil:
			return errors.New(reply.Error.Desc)
		case reply.Event == "":
			return nil
		}
	}
}
