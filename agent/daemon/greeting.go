package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/internal/backoff"
	"github.com/ketch-os/ketch/internal/plainfile"
	"github.com/ketch-os/ketch/layout"
)

const (
	// settle is how long something must be so to be told: a machine that is busy for a
	// moment is not unwell.
	settle = 3 * time.Second
	// greetEvery is how often is looked whether there is something new.
	greetEvery = time.Minute
	// maxHostKey is how large the file of the public host key may be, in bytes.
	maxHostKey = 4 << 10
	// startLimit is how long the first word waits for the boot to be decided on.
	startLimit = 2 * time.Minute
)

// greet tells on the console who the machine is and how it is reached, once its boot
// has been decided on, and again when that has changed: nobody types there, but people
// look at it.
func (n *Node) greet(ctx context.Context) {
	n.decided(ctx)
	for before := []string(nil); ctx.Err() == nil; {
		now := n.greeting(ctx)
		for !slices.Equal(now, before) && backoff.Sleep(ctx, settle) {
			again := n.greeting(ctx)
			if !slices.Equal(now, again) {
				now = again
				continue
			}
			for _, line := range now {
				n.say(line)
			}
			before = now
		}
		select {
		case <-ctx.Done():
		case <-n.news:
		case <-time.After(greetEvery):
		}
	}
}

// decided waits until PID 1 has decided on the boot, or long enough.
func (n *Node) decided(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for backoff.Sleep(limited, settle) {
		if s, err := askInit(limited, layout.InitSocket); err == nil && s.GateOutcome != "" {
			return
		}
	}
}

// greeting is what there is to tell now.
func (n *Node) greeting(ctx context.Context) []string {
	host, _ := os.Hostname()
	key, _ := plainfile.Read(layout.SSHHostKey, maxHostKey) // none yet, or no server
	fingerprint, _ := access.Fingerprint(key)
	file, _ := access.Read(layout.AccessFile)
	return greeting(host, n.status(ctx), file, fingerprint)
}

// greeting is what is told.
func greeting(host string, s *node.Status, file access.File, fingerprint string) (lines []string) {
	name := "this is " + host
	if s.System != nil {
		name += ", Ketch " + s.System.Version
	}
	lines = append(lines, name+": "+s.State)
	reached := ""
	for _, l := range s.Links {
		if len(l.Addresses) == 0 {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s has %s", l.Name, strings.Join(l.Addresses, " ")))
		if address := routable(l.Addresses); reached == "" {
			reached = address
		}
	}
	if !file.Anybody() || reached == "" {
		return lines
	}
	login := fmt.Sprintf("ssh %s@%s", user(file), reached)
	if file.Port != 0 && file.Port != access.DefaultPort {
		login += fmt.Sprintf(" -p %d", file.Port)
	}
	if fingerprint != "" {
		login += ", host key " + fingerprint
	}
	return append(lines, login)
}

// routable is the first address that reaches beyond the link, without its mask, or "".
func routable(addresses []string) string {
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a); err == nil && !p.Addr().IsLinkLocalUnicast() {
			return p.Addr().String()
		}
	}
	return ""
}

// user is one who may sign in.
func user(file access.File) string {
	for _, u := range file.Users {
		if len(u.Keys) > 0 {
			return u.Name
		}
	}
	return access.DefaultUser
}
