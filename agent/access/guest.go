package access

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/agent/access/authkey"
	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/internal/printable"
)

// guest is somebody at the door, with what they have shown so far.
type guest struct {
	*Server
	from    netip.Addr
	user    string
	offered []string // fingerprints
}

func (g *guest) String() string {
	if !g.tried() {
		return fmt.Sprintf("somebody from %s", g.from)
	}
	return fmt.Sprintf("user %s from %s with %s", name(g.user), g.from, strings.Join(g.offered, ", "))
}

// tried tells whether a key has been offered: who only looks has not failed.
func (g *guest) tried() bool { return len(g.offered) > 0 }

// name shows a name that a client has sent.
func name(user string) string {
	const longest = 64
	return printable.Name(user[:min(len(user), longest)])
}

// config is what is asked of a client. Keys are the one way in; who is not known
// gets the same answers in the same order as who is.
func (g *guest) config() *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		Config:                  Algorithms(),
		PublicKeyAuthAlgorithms: authkey.Algorithms(),
		MaxAuthTries:            maxTries,
		ServerVersion:           "SSH-2.0-Ketch",
		PublicKeyCallback:       g.ask,
	}
	c.AddHostKey(g.HostKey)
	return c
}

// right is what somebody who has signed in may do, and by what.
type right struct {
	authkey.Options
	by string // the key, for the log
}

// rightKey is where a right is kept in ssh.Permissions.
type rightKey struct{}

var errNotTaken = errors.New("the key is not taken")

// ask tells whether a user may sign in with a key. The signature is checked after that.
func (g *guest) ask(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	g.user = conn.User()
	if print := describe(key); !slices.Contains(g.offered, print) && len(g.offered) < maxTries {
		g.offered = append(g.offered, print)
	}
	file, err := g.Users()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.Log("error: " + printable.Text(err.Error()))
	}
	if err != nil {
		return nil, errNotTaken
	}
	may, err := g.judge(file, key)
	if err != nil {
		return nil, err
	}
	permissions := &ssh.Permissions{ExtraData: map[any]any{rightKey{}: may}}
	if may.NoTouchRequired {
		permissions.Extensions = map[string]string{"no-touch-required": ""}
	}
	return permissions, nil
}

// judge finds what a key may do for a user.
func (g *guest) judge(file access.File, key ssh.PublicKey) (*right, error) {
	if err := authkey.Strong(key); err != nil {
		return nil, err
	}
	own := g.keysOf(file)
	if certificate, ok := key.(*ssh.Certificate); ok {
		return g.judgeCertificate(file, own, certificate)
	}
	for _, k := range own {
		if k.Authority || !authkey.Equal(k.Public, key) {
			continue
		}
		if err := g.usable(k.Options); err != nil {
			g.Log(fmt.Sprintf("not taken: %s: %v", g, err))
			continue // the same key may stand there twice
		}
		return &right{k.Options, describe(key)}, nil
	}
	return nil, errNotTaken
}

// usable tells why a key that is known does not count here and now.
func (g *guest) usable(o authkey.Options) error {
	switch {
	case !o.Expires.IsZero() && !g.Now().Before(o.Expires):
		return fmt.Errorf("the key has expired at %s", o.Expires.UTC().Format(time.RFC3339))
	case !authkey.Allowed(o.From, g.from):
		return errors.New("the key is not good from there")
	}
	return nil
}

// keysOf reads the keys of the user. Those of all others are read as well: how long
// it takes tells nothing of whether there is such a user.
func (g *guest) keysOf(file access.File) (own []*authkey.Key) {
	for _, u := range file.Users {
		keys := g.readKeys("user "+name(u.Name), u.Keys)
		if u.Name == g.user {
			own = append(own, keys...)
		}
	}
	return own
}

// readKeys reads lines. One that is not understood costs its own key alone.
func (g *guest) readKeys(whose string, lines []string) (keys []*authkey.Key) {
	for i, line := range lines {
		key, err := authkey.Parse(line, time.Local)
		switch {
		case err == nil:
			keys = append(keys, key)
		case !errors.Is(err, authkey.ErrNoKey):
			g.told.once(g.Log, fmt.Sprintf("key %d of %s is not taken: %s", i+1, whose, printable.Text(err.Error())))
		}
	}
	return keys
}

// known tells whether there is such a user.
func (g *guest) known(file access.File) bool {
	return g.user == access.DefaultUser || slices.ContainsFunc(file.Users, func(u access.User) bool { return u.Name == g.user })
}

// describe names a key for the log.
func describe(key ssh.PublicKey) string {
	if certificate, ok := key.(*ssh.Certificate); ok {
		return fmt.Sprintf("%s certificate %s serial %d of CA %s", kind(certificate.Key), name(certificate.KeyId), certificate.Serial,
			ssh.FingerprintSHA256(certificate.SignatureKey))
	}
	return kind(key) + " " + ssh.FingerprintSHA256(key)
}

// kind is the type of a key as ssh-keygen(1) names it.
func kind(key ssh.PublicKey) string {
	switch key.Type() {
	case ssh.KeyAlgoED25519:
		return "ED25519"
	case ssh.KeyAlgoRSA:
		return "RSA"
	case ssh.KeyAlgoSKED25519:
		return "ED25519-SK"
	case ssh.KeyAlgoSKECDSA256:
		return "ECDSA-SK"
	}
	return "ECDSA"
}
