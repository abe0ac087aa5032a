package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/config/userdata"
	"github.com/ketch-os/ketch/internal/words"
)

// TestDoor: the machine is told of keys that sign in, in a configuration that it
// takes, and the line that is printed uses the right one.
func TestDoor(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	const mine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLTN1bQRSlIsn3UBXxsKTSVT5LZqYKk5qXkSpmT6M1N anna@home"
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"id_ed25519.pub": mine + "\n", "id_rsa.pub": "garbage\n", "id_ed25519": "secret\n"} {
		if err := os.WriteFile(filepath.Join(home, ".ssh", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := newDoor(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := newDoor(dir)
	if err != nil || !slices.Equal(d.keys, again.keys) {
		t.Errorf("a second door has other keys: %q and %q, %v", d.keys, again.keys, err)
	}
	if len(d.keys) != 2 || d.keys[1] != mine {
		t.Errorf("keys = %q; want one of its own, and %q", d.keys, mine)
	}
	given := filepath.Join(dir, "given")
	if err := os.WriteFile(given, []byte("ketch: 1\nhostname: web\nssh: {port: 2200, keys: [\""+mine+"\"]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]struct {
		port int
		host string
	}{"": {22, ""}, given: {2200, "web"}} {
		m := qemu.Options{Config: file}
		if err := d.configure(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
		if want := []qemu.Forward{{Host: d.port, Guest: want.port}}; !slices.Equal(m.Ports, want) {
			t.Errorf("ports = %v; want %v", m.Ports, want)
		}
		text, err := os.ReadFile(m.Config)
		if err != nil {
			t.Fatal(err)
		}
		got := userdata.Parse(t.Context(), text, nil)
		if keys := fmt.Sprint(got.Config.SSH.Keys, got.Config.Users); len(got.Problems) > 0 || !strings.Contains(keys, d.keys[0]) || !strings.Contains(keys, mine) || got.Config.Hostname != want.host {
			t.Errorf("with %q the machine takes %+v, and says %v", file, got.Config, got.Problems)
		}
	}

	if err := d.know("[    3.1] sshd: host key " + d.keys[0] + "\r\n"); err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(d.known())
	if err != nil {
		t.Fatal(err)
	}
	if _, hosts, key, _, _, err := ssh.ParseKnownHosts(known); err != nil || len(hosts) != 1 || string(ssh.MarshalAuthorizedKey(key)) != d.keys[0]+"\n" {
		t.Errorf("known_hosts = %q, %v", known, err)
	}
	if args, err := words.Split(d.String()); err != nil || !slices.Equal(args, d.command()) {
		t.Errorf("the line %s is not the command %q", d, d.command())
	}
}
