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
	for _, command := range []string{"qmp_capabilities", name} {
		if err := execute(in, out, command); err != nil {
			return fmt.Errorf("qmp: %s: %w", command, err)
		}
	}
	return nil
}

func execute(in *json.Decoder, out *json.Encoder, command string) error {
	if err := out.Encode(map[string]string{"execute": command}); err != nil {
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
