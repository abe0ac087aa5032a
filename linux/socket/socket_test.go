package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ketch-os/ketch/internal/testkit"
)

func TestListenAndDial(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 2 { // the second time over the leftover of the first
		l, err := Listen(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the socket: %v, %v; want 0600", info.Mode(), err)
		}
		echoed := make(chan error, 1)
		go func() { echoed <- echo(l) }()
		// Package net is the oracle for the other side.
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte("ahoy"))
		answer := make([]byte, 4)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "ahoy" {
			t.Errorf("echo = %q, %v; want ahoy", answer, err)
		}
		conn.Close()
		if err := <-echoed; err != nil {
			t.Error(err)
		}
		l.Close()
	}
}

func echo(l *Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if pid, err := Peer(conn); err != nil || pid != os.Getpid() {
		return errors.Join(errors.New("the peer is not this process"), err)
	}
	_, err = io.Copy(conn, conn)
	return err
}

func TestCloseEndsAccept(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "s"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	time.Sleep(10 * time.Millisecond)
	l.Close()
	if err := testkit.Receive(t, "the end of Accept after Close", ended); err == nil {
		t.Error("Accept on a closed listener = nil; want an error")
	}
}

func TestDialHasADeadline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if _, err := Dial(path, time.Second); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Dial of no socket = %v; want not exist", err)
	}
	silent, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	conn, err := Dial(path, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read from a silent server = %v; want a deadline exceeded", err)
	}
}
