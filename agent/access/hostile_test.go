package access

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ketch-os/ketch/agent/access/admit"
	"github.com/ketch-os/ketch/agent/access/hostkey"
	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/internal/testkit"
)

// pipes is a listener whose connections a test hands in.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlow: who says nothing, or little, is sent away when the time is over. It runs
// in time of its own.
func TestSlow(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		key, _, err := hostkey.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		s := &Server{Users: func() (access.File, error) { return access.File{}, nil }, HostKey: key,
			Log: func(line string) { fmt.Fprintln(&log, line) }, Limits: admit.Default(), Now: time.Now}
		ctx, cancel := context.WithCancel(t.Context())
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, l) }()
		for name, say := range map[string]func(net.Conn){
			"nothing":        func(net.Conn) {},
			"half a version": func(c net.Conn) { io.WriteString(c, "SSH-2.0-half") },
			"HTTP":           func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
			"version 1":      func(c net.Conn) { io.WriteString(c, "SSH-1.5-old\r\n") },
			"a byte a second": func(c net.Conn) {
				for _, b := range []byte(strings.Repeat("SSH-2.0-slow", 100)) {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			},
		} {
			ours, theirs := net.Pipe()
			l.conns <- theirs
			began := time.Now()
			var saying sync.WaitGroup
			saying.Go(func() { say(ours) })
			io.Copy(io.Discard, ours)
			if took := time.Since(began); took > graceTime+time.Second {
				t.Errorf("%s: sent away after %v; want %v", name, took, graceTime)
			}
			ours.Close()
			saying.Wait()
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if log.Len() == 0 {
			t.Error("the log does not tell")
		}
	})
}

// packet is an SSH packet before encryption (RFC 4253, 6).
func packet(payload []byte) []byte {
	padding := 8 - (5+len(payload))%8
	if padding < 4 {
		padding += 8
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding))
	return append(append(append(out, byte(padding)), payload...), make([]byte, padding)...)
}

// TestHostileBytes: whatever is sent, the connection ends and the server goes on.
func TestHostileBytes(t *testing.T) {
	f := one(t, nil)
	random := make([]byte, 4096)
	source := rand.NewChaCha8([32]byte{})
	source.Read(random)
	hello := []byte("SSH-2.0-x\r\n")
	ignore := packet(append([]byte{2}, make([]byte, 30000)...))
	for name, bytes := range map[string][]byte{
		"random":              random,
		"zeros":               make([]byte, 4096),
		"endless version":     bytes.Repeat([]byte("x"), 1<<20),
		"many lines":          bytes.Repeat([]byte("line\r\n"), 1<<18),
		"random after it":     append(bytes.Clone(hello), random...),
		"huge packet":         append(bytes.Clone(hello), 0x7f, 0xff, 0xff, 0xff, 4),
		"negative packet":     append(bytes.Clone(hello), 0xff, 0xff, 0xff, 0xff, 4),
		"empty packet":        append(bytes.Clone(hello), 0, 0, 0, 0, 0),
		"endless ignores":     append(bytes.Clone(hello), bytes.Repeat(ignore, 40)...),
		"key exchange broken": append(bytes.Clone(hello), packet(append([]byte{20}, random[:300]...))...),
		"early channel":       append(bytes.Clone(hello), packet([]byte{90, 0, 0, 0, 7, 's', 'e', 's', 's', 'i', 'o', 'n'})...),
	} {
		conn, err := net.Dial("tcp", f.address)
		if err != nil {
			t.Fatal(err)
		}
		go conn.Write(bytes)
		// The server hangs up, long before its time is over.
		conn.SetReadDeadline(time.Now().Add(graceTime - 5*time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) || err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: the connection is open still", name)
		}
		conn.Close()
	}
	if got := f.ssh(t, "id", "", nil, "echo", "x"); got.out != "[x]\n" {
		t.Errorf("after all that: %v", got)
	}
}

// TestThousand: a thousand connections that only stand there keep nobody out.
func TestThousand(t *testing.T) {
	f := one(t, nil)
	var open []net.Conn
	defer func() {
		for _, conn := range open {
			conn.Close()
		}
	}()
	for i := range 1000 {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i%200), 1)}}
		conn, err := dialer.Dial("tcp", f.address)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	if got := f.ssh(t, "id", "", nil, "echo", "x"); got.out != "[x]\n" {
		t.Errorf("with a thousand at the door: %v", got)
	}
}

// TestFlood: one address that comes ever again is sent away, another is not.
func TestFlood(t *testing.T) {
	f := one(t, func(s *Server) { s.Limits = admit.Default() })
	for range 200 {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, 9, 9)}}
		if conn, err := dialer.Dial("tcp", f.address); err == nil {
			conn.Close()
		}
	}
	testkit.Eventually(t, "the log tells", func() bool { return strings.Contains(f.logged(), "not let in from 127.9.9.9: ") })
	if lines := strings.Count(f.logged(), "\n"); lines > 20 {
		t.Errorf("the flood made %d lines in the log", lines)
	}
	if got := f.ssh(t, "id", "", nil, "echo", "x"); got.out != "[x]\n" {
		t.Errorf("from another address: %v", got)
	}
}

// TestTooManyKeys: a client that offers many is told so.
func TestTooManyKeys(t *testing.T) {
	f := newFixture(t, nil)
	var before []string
	for i := range 2 * maxTries {
		name := fmt.Sprint("key", i)
		f.newKey(t, name)
		before = append(before, "-i", f.dir+"/"+name)
	}
	f.allow(f.newKey(t, "id"))
	args := append([]string{"-o", "LogLevel=ERROR"}, before...)
	args = append(args, f.options("key0")...)
	got := run(t, "", "ssh", append(args, "-p", f.port, "core@127.0.0.1", "echo", "x")...)
	if got.status != 255 || !strings.Contains(got.err, "oo many authentication failures") {
		t.Errorf("%v; want too many authentication failures", got)
	}
}
