package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/layout"
)

// sshFigures measures what a machine with an SSH server takes: until its owner can sign
// in, on the first boot, and of memory, with and without a key.
func sshFigures(ctx context.Context, path string) ([]Figure, error) {
	dir, err := os.MkdirTemp("", "ketch-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	config := filepath.Join(dir, "config.yaml")
	if err := writeKey(config); err != nil {
		return nil, err
	}
	o, err := unpackUKI(path, dir)
	if err != nil {
		return nil, err
	}
	o.Config = config
	var reachable float64
	err = booted(ctx, path, *o, func(ctx context.Context, vm *qemu.VM) error {
		reachable, err = stamp(ctx, vm, layout.SayHostKey+"ssh-")
		return err
	})
	if err != nil {
		return nil, err
	}
	without, err := measureMemory(ctx, path, qemu.Options{})
	if err != nil {
		return nil, err
	}
	with, err := measureMemory(ctx, path, qemu.Options{Config: config})
	if err != nil {
		return nil, err
	}
	return []Figure{
		{"kernel start to reachable by SSH", reachable, "s", "", "icount, first boot: makes the host key"},
		{"memory at runtime-ready, with a key in the configuration", with.ready() - without.ready(), "MiB", "≤ 10 more", "against none"},
		{"memory, idle, with a key in the configuration", with.idle() - without.idle(), "MiB", "≤ 10 more", "against none"},
	}, nil
}

// writeKey writes a configuration with a key whose other half nobody has.
func writeKey(path string) error {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Appendf(nil, "ketch: 1\nssh:\n  keys:\n    - %s", ssh.MarshalAuthorizedKey(key)), 0o600)
}
