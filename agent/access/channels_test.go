package access

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/agent/access/admit"
	"github.com/ketch-os/ketch/api/access"
)

// eager is a pipe that is written to without waiting for the reader: both sides of SSH
// begin with a line of their own.
type eager struct {
	net.Conn
	out  chan []byte
	done chan struct{}
	once sync.Once
}

func newEager(conn net.Conn) *eager {
	e := &eager{Conn: conn, out: make(chan []byte, 16), done: make(chan struct{})}
	go func() {
		for {
			select {
			case p := <-e.out:
				conn.Write(p)
			case <-e.done:
				return
			}
		}
	}()
	return e
}

func (e *eager) Write(p []byte) (int, error) {
	select {
	case e.out <- bytes.Clone(p):
		return len(p), nil
	case <-e.done:
		return 0, net.ErrClosed
	}
}

func (e *eager) Close() error {
	e.once.Do(func() { close(e.done) })
	return e.Conn.Close()
}

// inBubble runs a test with a server in time of its own; connect signs somebody in.
func inBubble(t *testing.T, do func(t *testing.T, connect func() ssh.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.NewSignerFromKey(private)
		if err != nil {
			t.Fatal(err)
		}
		file := access.File{Users: []access.User{{Name: "core", Keys: []string{string(ssh.MarshalAuthorizedKey(key.PublicKey()))}}}}
		s := &Server{Users: func() (access.File, error) { return file, nil }, HostKey: key, Log: func(string) {}, Limits: admit.Default(), Now: time.Now}
		ctx, cancel := context.WithCancel(t.Context())
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, l) }()
		do(t, func() ssh.Conn {
			ours, theirs := net.Pipe()
			l.conns <- theirs
			conn, _, requests, err := ssh.NewClientConn(newEager(ours), "pipe", &ssh.ClientConfig{
				User: "core", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(key.PublicKey()),
			})
			if err != nil {
				t.Fatal(err)
			}
			go ssh.DiscardRequests(requests)
			return conn
		})
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if open := s.channels.Load(); open != 0 {
			t.Errorf("%d channels count still", open)
		}
	})
}

// sessions opens sessions until one is refused.
func sessions(t *testing.T, conn ssh.Conn) (open []ssh.Channel) {
	t.Helper()
	for {
		channel, requests, err := conn.OpenChannel("session", nil)
		var refused *ssh.OpenChannelError
		if errors.As(err, &refused) && refused.Reason == ssh.ResourceShortage {
			return open
		}
		if err != nil || len(open) > maxChannels {
			t.Fatalf("session %d: %v", len(open)+1, err)
		}
		go ssh.DiscardRequests(requests)
		open = append(open, channel)
	}
}

// TestChannelsAreBounded: for each connection and for all, and places come back.
func TestChannelsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, connect func() ssh.Conn) {
		conns, total := []ssh.Conn{connect(), connect(), connect()}, 0
		first := sessions(t, conns[0])
		if len(first) != maxSessions {
			t.Errorf("one connection has %d sessions; want %d", len(first), maxSessions)
		}
		for _, conn := range conns[1:] {
			total += len(sessions(t, conn))
		}
		if total += len(first); total != maxChannels {
			t.Errorf("all have %d channels; want %d", total, maxChannels)
		}
		for _, channel := range first {
			channel.Close()
		}
		synctest.Wait()
		if again := len(sessions(t, conns[0])); again != maxSessions {
			t.Errorf("after they were closed there are %d sessions; want %d", again, maxSessions)
		}
	})
}

// TestIdleSession: one that begins nothing is closed, and its place comes back.
func TestIdleSession(t *testing.T) {
	inBubble(t, func(t *testing.T, connect func() ssh.Conn) {
		conn := connect()
		_, requests, err := conn.OpenChannel("session", nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ssh.DiscardRequests(requests)
		if took := time.Since(began); took != beginLimit {
			t.Errorf("it was closed after %v; want %v", took, beginLimit)
		}
	})
}

// deaf is a channel whose client does not close it.
type deaf struct{ ssh.Channel }

func (deaf) Close() error { return nil }

// TestNeverClosed: a client that does not close a channel loses its connection.
func TestNeverClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &connection{}
		c.ctx, c.close = context.WithCancel(t.Context())
		began := time.Now()
		c.finish(deaf{}, make(chan struct{}))
		if took := time.Since(began); took != closeLimit || c.ctx.Err() == nil {
			t.Errorf("after %v the connection has ended with %v; want that after %v", took, c.ctx.Err(), closeLimit)
		}
	})
}
