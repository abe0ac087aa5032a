package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/agent/access/admit"
	"github.com/ketch-os/ketch/agent/access/hostkey"
	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/capability"
)

const (
	// Memory: collect garbage early, and hard when the heap nears the limit.
	gcPercent   = 50
	memoryLimit = 48 * layout.MiB
	// portEvery is how often is looked whether another port is wanted.
	portEvery = 5 * time.Second

	shell    = "/usr/bin/sh" // on a debug image
	ketchctl = "/usr/bin/ketchctl"
	homes    = "/var/home"
)

// Run is the server of this machine. It ends when ctx does, or when the file of keys
// names another port: PID 1 starts it anew.
func Run(ctx context.Context, console, log io.Writer) error {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	key, note, err := hostkey.Load(layout.SSHDir)
	if err != nil {
		return err
	}
	port, err := wantedPort(access.DefaultPort)
	if err != nil { // it lets nobody in, and may be mended
		fmt.Fprintln(log, "error:", err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("listen for SSH: %w", err)
	}
	s := &Server{
		Users:   func() (access.File, error) { return access.Read(layout.AccessFile) },
		HostKey: key, Log: (&lines{w: log}).line,
		Control: []string{ketchctl}, Home: homes, Limits: admit.Default(), Now: time.Now,
	}
	if _, err := os.Stat(shell); err == nil {
		s.Shell = shell
	} else if err := capability.Keep(unix.CAP_NET_BIND_SERVICE); err != nil { // a shell of root's wants them all
		return fmt.Errorf("give up capabilities: %w", err)
	}
	introduce(console, key, note)
	ctx, cancel := context.WithCancelCause(ctx)
	go watchPort(ctx, cancel, port)
	if err := s.Serve(ctx, listener); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// introduce says on the console by which key the machine is known: as a person
// compares it, and as ssh(1) keeps it in known_hosts.
func introduce(console io.Writer, key ssh.Signer, note string) {
	if note != "" {
		fmt.Fprintln(console, "WARNING:", note)
	}
	fmt.Fprintf(console, "%s%s (%s)\n", layout.SayHostKey, ssh.FingerprintSHA256(key.PublicKey()), kind(key.PublicKey()))
	fmt.Fprintf(console, "%s%s", layout.SayHostKey, ssh.MarshalAuthorizedKey(key.PublicKey()))
}

// wantedPort is the port that the file of keys names. A file that cannot be read, or
// has just gone, names the present one.
func wantedPort(present int) (int, error) {
	file, err := access.Read(layout.AccessFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return present, nil
	case err != nil:
		return present, err
	}
	return cmp.Or(file.Port, access.DefaultPort), nil
}

// watchPort ends the server when another port is wanted.
func watchPort(ctx context.Context, end context.CancelCauseFunc, present int) {
	for backoff.Sleep(ctx, portEvery) {
		if port, err := wantedPort(present); err == nil && port != present {
			end(fmt.Errorf("port %d is wanted instead of %d", port, present))
			return
		}
	}
}

// lines is a log that several write to, a line at a time.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "%s %s\n", time.Now().UTC().Format(time.RFC3339), text)
}
