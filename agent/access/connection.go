package access

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// connection is somebody who has signed in.
type connection struct {
	*guest
	ctx   context.Context // ends with the connection
	close context.CancelFunc
	conn  *ssh.ServerConn
	may   *right

	slots     chan struct{} // one for each channel
	noMore    atomic.Bool   // sessions: the client has said so
	listeners listeners
	work      sync.WaitGroup
}

func newConnection(ctx context.Context, close context.CancelFunc, g *guest, conn *ssh.ServerConn) *connection {
	may := conn.Permissions.ExtraData[rightKey{}].(*right)
	return &connection{guest: g, ctx: ctx, close: close, conn: conn, may: may, slots: make(chan struct{}, maxChannels)}
}

func (c *connection) String() string {
	return fmt.Sprintf("user %s from %s with %s", name(c.user), c.conn.RemoteAddr(), c.may.by)
}

// serve answers a connection until its end.
func (c *connection) serve(channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	defer c.work.Wait()
	defer c.listeners.closeAll()
	defer c.close()
	c.work.Go(func() { c.global(requests) })
	c.work.Go(c.keepAlive)
	for offered := range channels {
		select {
		case c.slots <- struct{}{}:
		default:
			offered.Reject(ssh.ResourceShortage, "too many channels are open")
			continue
		}
		c.work.Go(func() {
			defer func() { <-c.slots }()
			c.open(offered)
		})
	}
}

// open serves one channel.
func (c *connection) open(offered ssh.NewChannel) {
	switch kind := offered.ChannelType(); kind {
	case "session":
		if c.noMore.Load() {
			offered.Reject(ssh.Prohibited, "the client has said that there are no more sessions")
			return
		}
		c.session(offered)
	case "direct-tcpip":
		c.forward(offered)
	default:
		offered.Reject(ssh.UnknownChannelType, "there are no channels of this type here")
	}
}

// global answers requests of the connection (RFC 4254, 4).
func (c *connection) global(requests <-chan *ssh.Request) {
	for r := range requests {
		ok, payload := false, []byte(nil)
		switch r.Type {
		case "tcpip-forward":
			payload, ok = c.listen(r.Payload)
		case "cancel-tcpip-forward":
			ok = c.cancel(r.Payload)
		case "no-more-sessions@openssh.com":
			c.noMore.Store(true)
		}
		if r.WantReply {
			r.Reply(ok, payload) // any answer will do for a keepalive
		}
	}
}

// keepAlive ends a connection whose client does not answer any more.
func (c *connection) keepAlive() {
	for every := time.NewTicker(keepaliveEvery); ; {
		select {
		case <-c.ctx.Done():
			return
		case <-every.C:
		}
		late := time.AfterFunc(keepaliveLimit, func() {
			c.Log(fmt.Sprintf("no answer for %v: %s", keepaliveLimit, c))
			c.close()
		})
		_, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil)
		late.Stop()
		if err != nil {
			return
		}
	}
}

// local is the address of this machine that the client has connected to.
func (c *connection) local() net.Addr { return c.conn.LocalAddr() }
