package access

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/agent/access/admit"
	"github.com/ketch-os/ketch/agent/access/hostkey"
	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/internal/testkit"
)

// TestMain lets this program stand for ketchctl.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "stand-in" {
		os.Exit(standIn(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// standIn does what a test asks of it.
func standIn(args []string) int {
	switch {
	case len(args) == 0:
		return 2
	case args[0] == "echo":
		for _, arg := range args[1:] {
			fmt.Printf("[%s]", arg)
		}
		fmt.Println()
	case args[0] == "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case args[0] == "cat":
		io.Copy(os.Stdout, os.Stdin)
	case args[0] == "large":
		size, _ := strconv.Atoi(args[1])
		os.Stdout.Write(bytes.Repeat([]byte("x"), size))
	case args[0] == "fail":
		fmt.Fprintln(os.Stderr, "it failed")
		return 7
	case args[0] == "hang":
		fmt.Println(os.Getpid())
		time.Sleep(time.Hour)
	case args[0] == "prompt":
		fmt.Println("a prompt")
		io.Copy(os.Stdout, os.Stdin)
	}
	return 0
}

// fixture is a server on loopback, and what a client needs to reach it.
type fixture struct {
	*Server
	dir     string
	address string
	port    string

	mu   sync.Mutex
	file access.File
	log  []string
}

// newFixture starts a server; change changes it before that.
func newFixture(t testing.TB, change func(*Server)) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir()}
	key, _, err := hostkey.Load(filepath.Join(f.dir, "host"))
	if err != nil {
		t.Fatal(err)
	}
	limits := admit.Default()
	limits.Burst, limits.Every = 10000, time.Millisecond
	f.Server = &Server{
		Users:   func() (access.File, error) { f.mu.Lock(); defer f.mu.Unlock(); return f.file, nil },
		HostKey: key, Log: f.note, Control: []string{os.Args[0], "stand-in"}, Home: filepath.Join(f.dir, "home"),
		Limits: limits, Now: time.Now,
	}
	if change != nil {
		change(f.Server)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.address = listener.Addr().String()
	_, f.port, _ = net.SplitHostPort(f.address)
	known := fmt.Sprintf("[127.0.0.1]:%s %s", f.port, ssh.MarshalAuthorizedKey(key.PublicKey()))
	if err := os.WriteFile(filepath.Join(f.dir, "known_hosts"), []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return f
}

func (f *fixture) note(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, line)
}

// logged is what has been logged so far.
func (f *fixture) logged() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.log, "\n")
}

// newKey makes a key pair in files as ssh-keygen does, and returns the public line.
func (f *fixture) newKey(t testing.TB, name string) (line string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	line = string(ssh.MarshalAuthorizedKey(key))
	err = errors.Join(os.WriteFile(filepath.Join(f.dir, name), pem.EncodeToMemory(block), 0o600),
		os.WriteFile(filepath.Join(f.dir, name+".pub"), []byte(line), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// allow makes lines the keys of core.
func (f *fixture) allow(lines ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.file.Users = []access.User{{Name: "core", Keys: lines}}
}

// options are those of OpenSSH's programs for a key of the fixture.
func (f *fixture) options(key string) []string {
	return []string{"-F", "none", "-i", filepath.Join(f.dir, key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "UserKnownHostsFile=" + filepath.Join(f.dir, "known_hosts"), "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"}
}

// result is how a program of OpenSSH has ended.
type result struct {
	out, err string
	status   int
}

// run runs one of OpenSSH's programs.
func run(t testing.TB, stdin, tool string, args ...string) result {
	t.Helper()
	cmd := exec.Command(testkit.Tool(t, tool), args...)
	var out, err strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &err
	failed := cmd.Run()
	if exit := new(exec.ExitError); failed != nil && !errors.As(failed, &exit) {
		t.Fatal(failed)
	}
	return result{out.String(), err.String(), cmd.ProcessState.ExitCode()}
}

// ssh runs ssh(1) with a key; the arguments come before and after the host's.
func (f *fixture) ssh(t testing.TB, key, stdin string, before []string, command ...string) result {
	t.Helper()
	args := append(f.options(key), "-p", f.port)
	args = append(append(args, before...), "core@127.0.0.1")
	return run(t, stdin, "ssh", append(args, command...)...)
}

func (r result) String() string {
	return fmt.Sprintf("status %d, out %.300q, err %.300q", r.status, r.out, r.err)
}
