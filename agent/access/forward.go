package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/agent/access/authkey"
	"github.com/ketch-os/ketch/internal/printable"
)

const (
	// dialLimit is how long a forwarded connection may take to come about.
	dialLimit = 15 * time.Second
	// maxListeners is how many ports one connection may have forwarded to it.
	maxListeners = 16
	// firstPort is the first that may be listened on for somebody.
	firstPort = 1024
)

// endpoint is a host and port as the protocol writes them.
type endpoint struct {
	Host string
	Port uint32
}

// String is the endpoint as it is dialled.
func (e endpoint) String() string { return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))) }

// permitted tells whether a list of targets covers an endpoint; none covers all.
func permitted(targets []authkey.Target, e endpoint) bool {
	for _, t := range targets {
		if t.Matches(e.Host, int(e.Port)) {
			return true
		}
	}
	return len(targets) == 0
}

// forward connects the client to somewhere else (RFC 4254, 7.2): ssh -L, -W and -J.
func (c *connection) forward(offered ssh.NewChannel) {
	var asked struct{ To, From endpoint }
	switch {
	case unmarshalEndpoints(offered.ExtraData(), &asked.To, &asked.From) != nil || asked.To.Port == 0 || asked.To.Port > 65535 || asked.To.Host == "":
		offered.Reject(ssh.ConnectionFailed, "the request is not understood")
		return
	case c.may.NoForwarding || !permitted(c.may.PermitOpen, asked.To):
		c.Log(fmt.Sprintf("not forwarded to %s: %s", printable.Text(asked.To.String()), c))
		offered.Reject(ssh.Prohibited, "the key does not permit it")
		return
	}
	dialer := net.Dialer{Timeout: dialLimit}
	to, err := dialer.DialContext(c.ctx, "tcp", asked.To.String())
	if err != nil {
		offered.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	channel, requests, err := offered.Accept()
	if err != nil {
		to.Close()
		return
	}
	c.relay(channel, requests, to.(*net.TCPConn))
}

// unmarshalEndpoints reads two endpoints.
func unmarshalEndpoints(payload []byte, to, from *endpoint) error {
	var both struct {
		ToHost   string
		ToPort   uint32
		FromHost string
		FromPort uint32
	}
	err := ssh.Unmarshal(payload, &both)
	*to, *from = endpoint{both.ToHost, both.ToPort}, endpoint{both.FromHost, both.FromPort}
	return err
}

// relay joins a channel and a TCP connection until both have ended.
func (c *connection) relay(channel ssh.Channel, requests <-chan *ssh.Request, tcp *net.TCPConn) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		ssh.DiscardRequests(requests)
	}()
	join(c.ctx, channel, tcp)
	c.finish(channel, closed)
}

// join passes on what either side says until both have ended, or ctx has. The end of
// what one says is passed on by itself.
func join(ctx context.Context, channel ssh.Channel, tcp *net.TCPConn) {
	stop := context.AfterFunc(ctx, func() { tcp.Close(); channel.Close() })
	defer stop()
	defer tcp.Close()
	defer channel.Close()
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := io.Copy(tcp, channel); err != nil {
			tcp.Close()
		}
		tcp.CloseWrite()
	})
	both.Go(func() {
		if _, err := io.Copy(channel, tcp); err != nil {
			channel.Close()
		}
		channel.CloseWrite()
	})
	both.Wait()
}

// listeners are the ports that are forwarded to a client, by what it asked for.
type listeners struct {
	mu   sync.Mutex
	open map[endpoint][]net.Listener
	over bool // the connection has ended: none is added
}

// add keeps what listens for an endpoint, unless the connection has ended meanwhile.
func (l *listeners) add(asked endpoint, opened []net.Listener) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	if l.open == nil {
		l.open = map[endpoint][]net.Listener{}
	}
	l.open[asked] = opened
	return true
}

func (l *listeners) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, several := range l.open {
		closeEach(several)
	}
	l.open, l.over = nil, true
}

func closeEach(several []net.Listener) {
	for _, one := range several {
		one.Close()
	}
}

// listen waits for connections to forward to the client (RFC 4254, 7.1): ssh -R.
// Whatever address is asked for, it is this machine's own: what the machine offers
// to others is for its configuration to say.
func (c *connection) listen(payload []byte) (reply []byte, ok bool) {
	var asked endpoint
	if ssh.Unmarshal(payload, &asked) != nil || asked.Port > 65535 {
		return nil, false
	}
	if err := c.mayListen(asked); err != nil {
		c.Log(fmt.Sprintf("not listened on %s: %s: %v", printable.Text(asked.String()), c, err))
		return nil, false
	}
	opened, err := loopback(asked.Port)
	if err != nil {
		c.Log(fmt.Sprintf("not listened on %s: %s: %v", printable.Text(asked.String()), c, err))
		return nil, false
	}
	if asked.Port == 0 { // the client is told, and names this port from now on
		asked.Port = uint32(opened[0].Addr().(*net.TCPAddr).Port)
		reply = ssh.Marshal(struct{ Port uint32 }{asked.Port})
	}
	if !c.listeners.add(asked, opened) {
		closeEach(opened)
		return nil, false
	}
	for _, l := range opened {
		c.work.Go(func() { c.accept(l, asked) })
	}
	return reply, true
}

// mayListen tells why a client may not have a port forwarded.
func (c *connection) mayListen(asked endpoint) error {
	c.listeners.mu.Lock()
	defer c.listeners.mu.Unlock()
	_, taken := c.listeners.open[asked]
	switch {
	case c.may.NoForwarding || !permitted(c.may.PermitListen, asked):
		return errors.New("the key does not permit it")
	case asked.Port != 0 && asked.Port < firstPort:
		return fmt.Errorf("ports below %d are the machine's", firstPort)
	case taken:
		return errors.New("it is listened on already")
	case len(c.listeners.open) >= maxListeners:
		return errors.New("too many ports are listened on")
	}
	return nil
}

// loopback listens on a port of this machine's own addresses, IPv6 where there is
// any; 0 is any port.
func loopback(port uint32) ([]net.Listener, error) {
	first, err := net.Listen("tcp", endpoint{"127.0.0.1", port}.String())
	if err != nil {
		return nil, err
	}
	same := uint32(first.Addr().(*net.TCPAddr).Port)
	second, err := net.Listen("tcp", endpoint{"::1", same}.String())
	if err != nil {
		return []net.Listener{first}, nil
	}
	return []net.Listener{first, second}, nil
}

// accept forwards what comes to a port.
func (c *connection) accept(l net.Listener, asked endpoint) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if !c.take() {
			conn.Close()
			continue
		}
		c.work.Go(func() {
			defer c.give()
			c.backward(conn.(*net.TCPConn), asked)
		})
	}
}

// backward passes a connection on to the client.
func (c *connection) backward(conn *net.TCPConn, asked endpoint) {
	from := conn.RemoteAddr().(*net.TCPAddr)
	payload := ssh.Marshal(struct {
		Host     string
		Port     uint32
		FromHost string
		FromPort uint32
	}{asked.Host, asked.Port, from.IP.String(), uint32(from.Port)})
	channel, requests, err := c.conn.OpenChannel("forwarded-tcpip", payload)
	if err != nil {
		conn.Close()
		return
	}
	c.relay(channel, requests, conn)
}

// cancel ends the listening on a port.
func (c *connection) cancel(payload []byte) bool {
	var asked endpoint
	if ssh.Unmarshal(payload, &asked) != nil {
		return false
	}
	c.listeners.mu.Lock()
	defer c.listeners.mu.Unlock()
	several, ok := c.listeners.open[asked]
	closeEach(several)
	delete(c.listeners.open, asked)
	return ok
}
