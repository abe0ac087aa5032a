package access

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/agent/access/authkey"
	"github.com/ketch-os/ketch/api/access"
)

// judgeCertificate finds what a certificate may do for a user (PROTOCOL.certkeys of
// OpenSSH). It must name a principal: one without is for every user of every machine.
func (g *guest) judgeCertificate(file access.File, own []*authkey.Key, c *ssh.Certificate) (*right, error) {
	options, principals, err := g.authority(file, own, c.SignatureKey)
	if err == nil {
		err = g.valid(c, principals)
	}
	if err == nil {
		err = g.usable(options)
	}
	if err == nil {
		err = restrict(&options, c)
	}
	if err == nil {
		err = g.usable(options)
	}
	if err != nil {
		g.Log(fmt.Sprintf("not taken: %s: %v", g, err))
		return nil, errNotTaken
	}
	return &right{options, describe(c)}, nil
}

// authority finds who has signed a certificate among those that the user, or the
// machine, trusts, and the principals that count for them.
func (g *guest) authority(file access.File, own []*authkey.Key, signer ssh.PublicKey) (authkey.Options, []string, error) {
	for _, k := range own {
		if k.Authority && authkey.Equal(k.Public, signer) {
			names := k.Principals
			if len(names) == 0 {
				names = []string{g.user}
			}
			return k.Options, names, nil
		}
	}
	if !g.known(file) {
		return authkey.Options{}, nil, errors.New("there is no such user")
	}
	for _, k := range g.readKeys("the trusted authorities", file.TrustedUserCAKeys) {
		switch {
		case !k.Options.None():
			g.told.once(g.Log, "a trusted authority has options, and is not trusted: they belong to cert-authority lines of users")
		case authkey.Equal(k.Public, signer):
			return authkey.Options{}, []string{g.user}, nil
		}
	}
	return authkey.Options{}, nil, errors.New("its authority is not trusted")
}

// valid checks kind, time, principals and signature.
func (g *guest) valid(c *ssh.Certificate, principals []string) error {
	if c.CertType != ssh.UserCert {
		return errors.New("it is no certificate of a user")
	}
	named := slices.IndexFunc(principals, func(p string) bool { return slices.Contains(c.ValidPrincipals, p) })
	if named < 0 {
		return fmt.Errorf("it names none of the principals %q", principals)
	}
	checker := ssh.CertChecker{Clock: g.Now, SupportedCriticalOptions: slices.Collect(maps.Keys(c.CriticalOptions))} // restrict looks at them
	return checker.CheckCert(principals[named], c)
}

// restrict takes from options what a certificate does not grant. A critical option
// that is not known refuses it; an extension that is not known grants nothing.
func restrict(o *authkey.Options, c *ssh.Certificate) error {
	for option, value := range c.CriticalOptions {
		switch option {
		case "force-command":
			if o.Forced && o.Command != value {
				return errors.New("it forces another command than its authority")
			}
			if err := o.Force(value); err != nil {
				return fmt.Errorf("force-command: %w", err)
			}
		case "source-address":
			from, err := authkey.Patterns(value)
			if err != nil {
				return fmt.Errorf("source-address: %w", err)
			}
			if len(o.From) > 0 {
				return errors.New("both it and its authority say from where it is good")
			}
			o.From = from
		default:
			return fmt.Errorf("critical option %.40q is not known", option)
		}
	}
	has := func(extension string) bool { _, ok := c.Extensions[extension]; return ok }
	o.NoPTY = o.NoPTY || !has("permit-pty")
	o.NoForwarding = o.NoForwarding || !has("permit-port-forwarding")
	o.NoTouchRequired = o.NoTouchRequired && has("no-touch-required")
	return nil
}
