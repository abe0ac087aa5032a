package qemutests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// visitor signs in to a machine by OpenSSH's client.
type visitor struct {
	m    *machine
	port int
	dir  string // with its key and its known_hosts
	line string // of authorized_keys
}

// newVisitor makes a key for a machine whose port 22 is one of this host.
func newVisitor(t *testing.T, m *machine, port int) *visitor {
	m.t.Helper()
	v := &visitor{m: m, port: port, dir: m.t.TempDir()}
	v.makeKey(t)
	return v
}

func (v *visitor) makeKey(t *testing.T) {
	t.Helper()
	runTool(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a visitor", "-f", filepath.Join(v.dir, "id"))
	line, err := os.ReadFile(filepath.Join(v.dir, "id.pub"))
	if err != nil {
		t.Fatal(err)
	}
	v.line = strings.TrimSpace(string(line))
}

// letIn gives the machine the visitor's key, as its configuration would.
func (v *visitor) letIn(options string) {
	v.m.t.Helper()
	text, err := json.Marshal(access.File{Users: []access.User{{Name: "core", Keys: []string{options + v.line}}}})
	if err != nil {
		v.m.t.Fatal(err)
	}
	v.m.shell(fmt.Sprintf("echo '%s' >%s.new && chmod 600 %s.new && mv %s.new %s", text, layout.AccessFile, layout.AccessFile, layout.AccessFile, layout.AccessFile))
}

// know keeps the host key that the machine's console shows.
func (v *visitor) know() {
	v.m.t.Helper()
	said := v.m.waitLine("sshd: " + layout.SayHostKey + "ssh-ed25519 ")
	_, key, _ := strings.Cut(said, layout.SayHostKey)
	known := fmt.Sprintf("[127.0.0.1]:%d %s\n", v.port, strings.TrimSpace(key))
	if err := os.WriteFile(filepath.Join(v.dir, "known_hosts"), []byte(known), 0o600); err != nil {
		v.m.t.Fatal(err)
	}
}

// options are those of OpenSSH's programs.
func (v *visitor) options() []string {
	return []string{"-F", "none", "-i", filepath.Join(v.dir, "id"), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "UserKnownHostsFile=" + filepath.Join(v.dir, "known_hosts"), "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR",
		"-o", "ConnectTimeout=60"}
}

// ssh runs a command on the machine.
func (v *visitor) ssh(command ...string) (string, error) {
	v.m.t.Helper()
	args := append(v.options(), "-p", strconv.Itoa(v.port), "core@127.0.0.1")
	out, err := exec.CommandContext(v.m.ctx, testkit.Tool(v.m.t, "ssh"), append(args, command...)...).CombinedOutput()
	return string(out), err
}

// TestSignIn: a machine without keys has no SSH server; with one it lets its owner in,
// and asks them who they are by a key that it keeps.
func TestSignIn(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	m, _ := goOn(t, []qemu.Forward{{Host: port, Guest: 22}})
	if got := m.shell("pidof ketch-sshd || echo none"); got != "none" {
		t.Fatalf("there is a server without keys: process %s", got)
	}
	if got := m.shell("netstat -ltn"); strings.Contains(got, ":22 ") {
		t.Errorf("port 22 is open without keys:\n%s", got)
	}
	v := newVisitor(t, m, port)
	v.letIn("")
	v.know()
	status := node.Status{}
	out, err := v.ssh("ketchctl", "status", "--json")
	if err != nil || json.Unmarshal([]byte(out), &status) != nil || status.System == nil {
		t.Fatalf("ketchctl status --json: %v\n%s", err, out)
	}
	for _, s := range status.System.Services {
		if s.Name == "sshd" && s.State != "ready" {
			t.Errorf("the service is %s", s.State)
		}
	}
	listening := []node.Socket{ // the debug image's own: the demo's container
		{Protocol: "tcp", Address: "[::]:22", Program: "ketch-sshd"}, {Protocol: "tcp", Address: "[::]:8080", Program: "server"},
	}
	if diff := cmp.Diff(listening, status.Listening); diff != "" {
		t.Errorf("what listens on the machine (-want +got):\n%s", diff)
	}
	if out, err := v.ssh("-tt", "test -t 0 && echo a terminal; exit 3"); !strings.Contains(out, "a terminal") || !exitedWith(err, 3) {
		t.Errorf("a terminal: %v\n%s", err, out)
	}
	source := filepath.Join(v.dir, "id.pub")
	scp := append(v.options(), "-P", strconv.Itoa(port), source, "core@127.0.0.1:copied")
	runTool(t, "scp", scp...)
	if got := m.shell("cat /var/home/core/copied"); got != v.line {
		t.Errorf("the copy is %q", got)
	}
	if got := m.shell("ketchctl logs sshd"); !strings.Contains(got, "signed in: user core from 10.0.2.2:") || !strings.Contains(got, "with ED25519 SHA256:") {
		t.Errorf("the log does not tell who signed in:\n%s", got)
	}
	if got := m.shell("stat -c '%a' /var/lib/ketch/ssh/host_ed25519 2>/dev/null || ls -l /var/lib/ketch/ssh/host_ed25519"); !strings.Contains(got, "600") && !strings.Contains(got, "-rw-------") {
		t.Errorf("the host key's mode is %s", got)
	}
	// Without keys the server ends, and who is signed in with it.
	m.shell("rm " + layout.AccessFile)
	for deadline := time.Now().Add(bootLimit); m.shell("pidof ketch-sshd || echo none") != "none"; {
		if time.Now().After(deadline) {
			t.Fatal("the server runs on without keys")
		}
	}
	if out, err := v.ssh("true"); err == nil {
		t.Errorf("somebody signed in without keys:\n%s", out)
	}
}

func exitedWith(err error, status int) bool {
	exit, ok := err.(*exec.ExitError)
	return ok && exit.ExitCode() == status
}

// TestProductionImage: one that is shipped, unchanged, takes a key from its
// configuration, and lets its owner in to all that there is: ketchctl. Nothing else
// can be reached.
func TestProductionImage(t *testing.T) {
	t.Parallel()
	s := shippedOn(t, "gce")
	disk := s.overlay(t, makePlatform(t, s.platform))
	port := freePort(t)
	v := &visitor{port: port, dir: t.TempDir()}
	v.makeKey(t)
	config := filepath.Join(v.dir, "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "ketch: 1\nhostname: there\nssh:\n  keys: [%q]\n", v.line), 0o600); err != nil {
		t.Fatal(err)
	}
	o := qemu.Options{Image: disk, Drive: "format=qcow2", Disk: s.devices, Config: config, Ports: []qemu.Forward{{Host: port, Guest: 22}}}
	v.m = boot(t, o)
	v.know()
	status := v.status(t)
	want := []node.Socket{{Protocol: "tcp", Address: "[::]:22", Program: "ketch-sshd"}}
	if diff := cmp.Diff(want, status.Listening); diff != "" {
		t.Errorf("what listens on the machine (-want +got):\n%s", diff)
	}
	if memory := status.System.Boot.Memory; memory != nil {
		t.Logf("memory in use: %d KiB at runtime-ready, %d KiB now", memory.UsedKiB, status.Memory.UsedKiB)
	}
	for command, want := range map[string]string{
		"memory": "anonymous memory of processes", "logs sshd": "signed in: user core from 10.0.2.2", "sh -c id": "this machine has no shell", "status | cat": "there is none here",
	} {
		if out, _ := v.ssh(command); !strings.Contains(out, want) {
			t.Errorf("%s: %q; want %q", command, out, want)
		}
	}
	v.m.waitLine("this is there, Ketch ")
	if out, err := v.ssh("reboot", "--reason", "'a test of it'"); err != nil {
		t.Fatalf("reboot: %v\n%s", err, out)
	}
	v.m.ends(bootLimit)

	v.m = boot(t, o)
	v.m.waitLine("sshd: " + layout.SayHostKey) // it listens; the key is the one that is known
	if out, err := v.ssh("status", "--previous"); err != nil || !strings.Contains(out, "ketchctl reboot by core from 10.0.2.2: a test of it") {
		t.Errorf("the next boot does not tell why: %v\n%s", err, out)
	}
}

// status is what the machine tells who is signed in.
func (v *visitor) status(t *testing.T) *node.Status {
	t.Helper()
	out, err := v.ssh("status", "--json")
	status := &node.Status{}
	if err != nil || json.Unmarshal([]byte(out), status) != nil || status.System == nil {
		t.Fatalf("status --json: %v\n%s", err, out)
	}
	return status
}

// TestKetchRunSSH: ketch run --ssh runs a command on a machine that it has made, and
// ends as that does. The machine's own configuration counts as well.
func TestKetchRunSSH(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "qemu-system-x86_64")
	testkit.Tool(t, "ssh")
	ketch, disk := buildKetch(t), newDisk(t)
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("ketch: 1\nhostname: rehearsed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	takeTurn(t)
	cmd := exec.CommandContext(t.Context(), ketch, "run", disk, "--cpus", "1", "--config", config, "--ssh", "--", "hostname; cat; exit 7")
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = strings.NewReader("said here\n"), &stderr
	out, _ := cmd.Output()
	if status := cmd.ProcessState.ExitCode(); status != 7 || string(out) != "rehearsed\nsaid here\n" {
		t.Errorf("ketch run --ssh: status %d, %q, %q; want 7, and what the command says", status, out, &stderr)
	}
}
