package access

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/internal/testkit"
)

// answering is a TCP server that sends back what it gets, in capital letters.
func answering(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				text, _ := io.ReadAll(conn) // until the other side has said all
				io.WriteString(conn, strings.ToUpper(string(text)))
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func TestLocalForwarding(t *testing.T) {
	f := newFixture(t, nil)
	key, port := f.newKey(t, "id"), answering(t)
	for options, want := range map[string]result{
		"":                                     {out: "SAID"},
		"restrict,pty ":                        {status: 255},
		"no-port-forwarding ":                  {status: 255},
		"restrict,port-forwarding ":            {out: "SAID"},
		`permitopen="127.0.0.1:` + port + `" `: {out: "SAID"},
		`permitopen="127.0.0.1:1" `:            {status: 255},
		`permitopen="*:*" `:                    {out: "SAID"},
	} {
		f.allow(options + key)
		got := f.ssh(t, "id", "said", []string{"-W", "127.0.0.1:" + port})
		if got.out != want.out || got.status != want.status {
			t.Errorf("%s: %v; want %v", options, got, want)
		}
	}
	f.allow(key)
	for _, nowhere := range []string{"127.0.0.1:1", "no.such.host.invalid:80"} {
		if got := f.ssh(t, "id", "said", []string{"-W", nowhere}); got.status != 255 || got.out != "" {
			t.Errorf("-W %s: %v", nowhere, got)
		}
	}
}

// TestJump: a machine is the way to another (ssh -J).
func TestJump(t *testing.T) {
	first, second := one(t, nil), one(t, nil)
	known := ""
	for _, f := range []*fixture{first, second} {
		text, err := os.ReadFile(filepath.Join(f.dir, "known_hosts"))
		if err != nil {
			t.Fatal(err)
		}
		known += string(text)
	}
	config := fmt.Sprintf(`Host *
  User core
  HostName 127.0.0.1
  IdentitiesOnly yes
  IdentityAgent none
  BatchMode yes
  UserKnownHostsFile %s
Host first
  Port %s
  IdentityFile %s/id
Host second
  Port %s
  IdentityFile %s/id
`, filepath.Join(first.dir, "both"), first.port, first.dir, second.port, second.dir)
	for name, text := range map[string]string{"both": known, "config": config} {
		if err := os.WriteFile(filepath.Join(first.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := run(t, "", "ssh", "-F", filepath.Join(first.dir, "config"), "-J", "first", "second", "echo", "there")
	if got.out != "[there]\n" || got.status != 0 {
		t.Errorf("ssh -J: %v", got)
	}
}

func TestRemoteForwarding(t *testing.T) {
	f := one(t, nil)
	client := f.dial(t)
	l, err := client.Listen("tcp", "0.0.0.0:0") // whatever is asked for, it is loopback
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "from the client")
			conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); string(text) != "from the client" || err != nil {
		t.Errorf("through the forwarded port: %q, %v", text, err)
	}
	for _, address := range foreign(t) {
		if conn, err := net.Dial("tcp", net.JoinHostPort(address, port)); err == nil {
			conn.Close()
			t.Errorf("the port is open on %s", address)
		}
	}
	if _, err := client.Listen("tcp", "127.0.0.1:80"); err == nil {
		t.Error("a port of the machine's is listened on")
	}
	l.Close()
	testkit.Eventually(t, "the port is closed", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

// foreign are this host's addresses that are no loopback.
func foreign(t *testing.T) (list []string) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if ip := a.(*net.IPNet).IP; !ip.IsLoopback() && ip.To4() != nil {
			list = append(list, ip.String())
		}
	}
	return list
}

// TestListenersEnd: a forwarded port is closed with its connection.
func TestListenersEnd(t *testing.T) {
	f := one(t, nil)
	client, err := f.client(t, ssh.Config{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := client.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	client.Close()
	testkit.Eventually(t, "the port is closed", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

func TestPermitListen(t *testing.T) {
	f := newFixture(t, nil)
	key := f.newKey(t, "id")
	for options, want := range map[string]bool{"": true, "restrict ": false, `permitlisten="1" `: false, `permitlisten="localhost:*" `: true} {
		f.allow(options + key)
		client, err := f.client(t, ssh.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ok, _, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(endpoint{"localhost", 0}))
		client.Close()
		if ok != want || err != nil {
			t.Errorf("with %q: %v, %v; want %v", options, ok, err, want)
		}
	}
}

// TestListenAfterEnd: a request that is answered when the connection has ended already
// leaves nothing open.
func TestListenAfterEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := endpoint{"localhost", uint32(l.Addr().(*net.TCPAddr).Port)}
	l.Close()
	c := &connection{may: &right{}}
	c.listeners.closeAll()
	if _, ok := c.listen(ssh.Marshal(asked)); ok {
		t.Error("a port is forwarded to a client that has gone")
	}
	if conn, err := net.Dial("tcp", endpoint{"127.0.0.1", asked.Port}.String()); err == nil {
		conn.Close()
		t.Error("the port is open")
	}
}
