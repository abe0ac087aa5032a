// Package access is the machine's SSH server (RFC 4251 to 4254): the one door by which
// people reach a machine.
//
//	public keys only    those of layout.AccessFile, read anew for each sign-in
//	a production image  has no shell: what a client asks to run is a command line of
//	                    ketchctl, and a session without one is ketchctl's own prompt
//	a debug image       has one, and whoever signs in gets it
//
// Every user is an administrator of the machine: what ketchctl can do they all can,
// and their names are for the log. What one key may do its line of authorized_keys,
// or its certificate, restricts.
//
// The whole server is one process. To part the side that meets strangers from the one
// that may do something, as OpenSSH does, would gain nothing here: the first decides
// who has signed in, and to have signed in is to be the administrator.
package access

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/agent/access/admit"
	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/internal/printable"
)

const (
	// graceTime is how long a client may take from its connection to being signed in.
	graceTime = 30 * time.Second
	// graceBytes is how much it may send meanwhile.
	graceBytes = 256 << 10
	// maxTries is how many keys a client may offer.
	maxTries = 6
	// keepaliveEvery is how often a client is asked whether it is still there, and
	// keepaliveLimit how long its answer may take.
	keepaliveEvery = 30 * time.Second
	keepaliveLimit = 60 * time.Second
	// maxChannels is how many channels all connections may have open together: sessions
	// and forwarded connections. Of each up to 2 MiB that nobody has read yet is in
	// memory, and the service has 128 MiB with all that it runs.
	maxChannels = 24
	// maxOwnChannels is how many of them one connection may have, and maxSessions how
	// many of its own may be sessions.
	maxOwnChannels = 16
	maxSessions    = 10
	// beginLimit is how long a session may take to say what it is for.
	beginLimit = 10 * time.Second
	// closeLimit is how long a client may take to close a channel that is closed here.
	closeLimit = keepaliveLimit
)

// Server lets people in. All fields but Shell are needed.
type Server struct {
	Users   func() (access.File, error) // who may sign in, now
	HostKey ssh.Signer
	Log     func(line string)
	Control []string // the program that runs command lines, and its first arguments
	Shell   string   // path of a shell; empty on a production image
	Home    string   // directory that holds one for each user
	Limits  admit.Limits
	Now     func() time.Time

	told     told
	channels atomic.Int32 // that are open
}

// Algorithms are what a connection may use. docs/access.md has the reasons.
func Algorithms() ssh.Config {
	return ssh.Config{
		KeyExchanges: []string{ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519},
		Ciphers:      []string{ssh.CipherChaCha20Poly1305, ssh.CipherAES256GCM, ssh.CipherAES128GCM},
		MACs:         []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM}, // named by the protocol; the ciphers have their own
	}
}

// Serve lets people in until ctx ends; their connections end then, too.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	door := admit.New(s.Limits)
	refused, strangers := &quiet{log: s.Log, now: s.Now}, &quiet{log: s.Log, now: s.Now}
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("wait for connections: %w", err)
		case err != nil: // out of descriptors, or the client has gone
			refused.say("wait for connections: " + err.Error())
			backoff.Sleep(ctx, 100*time.Millisecond)
			continue
		}
		from := addressOf(conn)
		visit, err := door.Enter(from, s.Now(), func() { conn.Close() })
		if err != nil {
			refused.say(fmt.Sprintf("not let in from %s: %v", from, err))
			conn.Close()
			continue
		}
		connections.Go(func() {
			defer visit.End()
			s.attend(ctx, conn, visit, strangers)
		})
	}
}

// attend is the life of one connection.
func (s *Server) attend(ctx context.Context, tcp net.Conn, visit *admit.Visit, strangers *quiet) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer tcp.Close()
	stop := context.AfterFunc(ctx, func() { tcp.Close() })
	defer stop()
	guest := &guest{Server: s, from: addressOf(tcp)}
	conn := &bounded{Conn: tcp, left: graceBytes}
	tcp.SetDeadline(time.Now().Add(graceTime))
	signedIn, channels, requests, err := ssh.NewServerConn(conn, guest.config())
	if err != nil {
		if guest.tried() {
			visit.Failed(s.Now())
		}
		if line := fmt.Sprintf("not signed in: %s: %v", guest, plain(err)); guest.tried() {
			s.Log(line)
		} else {
			strangers.say(line)
		}
		return
	}
	conn.release()
	tcp.SetDeadline(time.Time{})
	if err := visit.SignedIn(); err != nil {
		s.Log(fmt.Sprintf("not let in: %s: %v", guest, err))
		return
	}
	began := s.Now()
	c := newConnection(ctx, cancel, guest, signedIn)
	s.Log("signed in: " + c.String())
	c.serve(channels, requests)
	s.Log(fmt.Sprintf("signed out: %s after %v", c, s.Now().Sub(began).Round(time.Second)))
}

// addressOf is the address that a connection comes from.
func addressOf(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.IPv6Unspecified()
}

// plain is what went wrong in a handshake, in one line: part of it is what the
// client has sent.
func plain(err error) string {
	const longest = 200
	var many *ssh.ServerAuthError
	if errors.As(err, &many) {
		return "no key that it has offered is taken"
	}
	text := printable.Text(err.Error())
	return text[:min(len(text), longest)]
}

// bounded is a connection of which only so much is read before it is released.
type bounded struct {
	net.Conn
	mu       sync.Mutex
	left     int
	released bool
}

var errTooMuch = errors.New("it has sent too much before it signed in")

func (b *bounded) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.released {
		b.mu.Unlock()
		return b.Conn.Read(p)
	}
	p = p[:min(len(p), b.left)]
	b.mu.Unlock()
	if len(p) == 0 {
		return 0, errTooMuch
	}
	n, err := b.Conn.Read(p)
	b.mu.Lock()
	b.left -= n
	b.mu.Unlock()
	return n, err
}

func (b *bounded) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released = true
}

// quiet says what repeats itself once in a while: a flood must not wash the log away.
type quiet struct {
	log func(string)
	now func() time.Time

	mu      sync.Mutex
	last    time.Time
	skipped int
}

const quietFor = 10 * time.Second

func (q *quiet) say(line string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if !q.last.IsZero() && now.Sub(q.last) < quietFor {
		q.skipped++
		return
	}
	if q.skipped > 0 {
		line += fmt.Sprintf(" (and %d others before)", q.skipped)
	}
	q.last, q.skipped = now, 0
	q.log(line)
}

// told is what has been said once.
type told struct {
	mu    sync.Mutex
	lines map[string]bool
}

// maxTold bounds what is remembered: after that all of it is said again.
const maxTold = 1000

func (t *told) once(log func(string), line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines[line] {
		return
	}
	if t.lines == nil || len(t.lines) >= maxTold {
		t.lines = map[string]bool{}
	}
	t.lines[line] = true
	log(line)
}
