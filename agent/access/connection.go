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

	channels  atomic.Int32 // that are open
	sessions  atomic.Int32 // of them
	noMore    atomic.Bool  // sessions: the client has said so
	listeners listeners
	work      sync.WaitGroup
}

func newConnection(ctx context.Context, close context.CancelFunc, g *guest, conn *ssh.ServerConn) *connection {
	may := conn.Permissions.ExtraData[rightKey{}].(*right)
	return &connection{guest: g, ctx: ctx, close: close, conn: conn, may: may}
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
		if !c.take() {
			offered.Reject(ssh.ResourceShortage, "too many channels are open")
			continue
		}
		c.work.Go(func() {
			defer c.give()
			c.open(offered)
		})
	}
}

// take takes a place for a channel, of the connection's and of all.
func (c *connection) take() bool {
	if !within(&c.channels, maxOwnChannels) {
		return false
	}
	if !within(&c.Server.channels, maxChannels) {
		c.channels.Add(-1)
		return false
	}
	return true
}

// give gives back what take took, once the channel takes no memory any more.
func (c *connection) give() {
	c.Server.channels.Add(-1)
	c.channels.Add(-1)
}

// within counts one more, unless there are so many already.
func within(count *atomic.Int32, limit int32) bool {
	if count.Add(1) <= limit {
		return true
	}
	count.Add(-1)
	return false
}

// finish closes a channel and waits until the client has closed it, too: until then
// there is memory for what it sends. A client that never does loses the connection.
func (c *connection) finish(channel ssh.Channel, closed <-chan struct{}) {
	channel.Close()
	select {
	case <-closed:
	case <-c.ctx.Done():
	case <-time.After(closeLimit):
		c.close()
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
		if !within(&c.sessions, maxSessions) {
			offered.Reject(ssh.ResourceShortage, "too many sessions are open")
			return
		}
		defer c.sessions.Add(-1)
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
