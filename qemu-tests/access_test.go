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
	runTool(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a visitor", "-f", filepath.Join(v.dir, "id"))
	line, err := os.ReadFile(filepath.Join(v.dir, "id.pub"))
	if err != nil {
		m.t.Fatal(err)
	}
	v.line = strings.TrimSpace(string(line))
	return v
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
