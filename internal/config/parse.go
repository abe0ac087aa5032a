package config

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ketch-os/ketch/internal/config/strict"
)

// Parse reads a configuration in Ketch's own YAML. What is right in it is returned
// whatever else is wrong.
func Parse(text []byte) (Config, []Problem) {
	d, root, err := strict.YAML(text)
	if err != nil {
		return Config{}, []Problem{strict.ProblemOf(err)}
	}
	var c Config
	d.Decode(root, &c)
	if c.Ketch != Version {
		root.Find("ketch").Problem("want ketch: %d, which tells that this is a configuration of Ketch's own form", Version)
		return Config{}, d.Sorted()
	}
	c.check(root)
	c.keepGood(d.Problems)
	return c, d.Sorted()
}

// check holds the values against what they are for.
func (c *Config) check(root strict.Node) {
	fail := func(path string, err error) {
		if err != nil {
			root.Find(path).Problem("%v", err)
		}
	}
	if c.Hostname != "" {
		fail("hostname", CheckHostname(c.Hostname))
	}
	if p := root.Find("ssh.port"); p.Path == "ssh.port" && !p.Bad() && (c.SSH.Port < 1 || c.SSH.Port > 65535) {
		p.Problem("%s is no port", p.Value)
	}
	for i, u := range c.Users {
		fail(at("users", i, "name"), needed(u.Name, CheckUser))
	}
	seen := make(map[string]bool)
	node := func(n Node, where string) {
		fail(where+".path", needed(n.Path, CheckPath))
		if seen[n.Path] && n.Path != "" {
			fail(where+".path", fmt.Errorf("%s is there twice", n.Path))
		}
		seen[n.Path] = true
	}
	for i, f := range c.Files {
		node(f.Node, at("files", i, ""))
	}
	for i, d := range c.Directories {
		node(d.Node, at("directories", i, ""))
	}
	for i, l := range c.Links {
		node(l.Node, at("links", i, ""))
		fail(at("links", i, "target"), needed(l.Target, CheckTarget))
	}
	for i, a := range c.CertificateAuthorities {
		fail(at("certificate-authorities", i, "name"), needed(a.Name, checkAuthorityName))
		if a.Contents.Source == "" && len(a.Contents.Data) > 0 {
			fail(at("certificate-authorities", i, "contents"), CheckPEM(a.Contents.Data))
		}
	}
}

// needed checks a value unless it is empty: that it is missing has been said.
func needed(value string, check func(string) error) error {
	if value == "" {
		return nil
	}
	return check(value)
}

func at(list string, i int, field string) string {
	where := strict.Join(list, strconv.Itoa(i))
	if field == "" {
		return where
	}
	return strict.Join(where, field)
}

// keepGood drops what has a problem.
func (c *Config) keepGood(problems []Problem) {
	bad := func(path string) bool {
		return slices.ContainsFunc(problems, func(p Problem) bool { return p.Within(path) })
	}
	if bad("hostname") {
		c.Hostname = ""
	}
	if bad("ssh.port") {
		c.SSH.Port = 0
	}
	c.SSH.Keys = strict.Good(c.SSH.Keys, "ssh.keys", problems)
	c.SSH.TrustedUserCAKeys = strict.Good(c.SSH.TrustedUserCAKeys, "ssh.trusted-user-ca-keys", problems)
	c.NTP.Servers = strict.Good(c.NTP.Servers, "ntp.servers", problems)
	var users []User
	for i, u := range c.Users {
		u.Keys = strict.Good(u.Keys, at("users", i, "ssh-keys"), problems)
		if u.Name != "" && !bad(at("users", i, "name")) {
			users = append(users, u)
		}
	}
	c.Users = users
	c.Files = strict.Good(c.Files, "files", problems)
	c.Directories = strict.Good(c.Directories, "directories", problems)
	c.Links = strict.Good(c.Links, "links", problems)
	c.CertificateAuthorities = strict.Good(c.CertificateAuthorities, "certificate-authorities", problems)
}

// roots are the directories that a configuration may write below. The rest of the
// machine is its image's.
var roots = []string{"/etc", "/run", "/var"}

// reserved are what it may not write there: what the machine keeps itself, what has a
// key of its own, and what is read before there is a configuration.
var reserved = map[string]string{
	"/etc/hostname":        "the key hostname is for that",
	"/etc/machine-id":      "it is the machine's own",
	"/etc/mtab":            "it leads to the kernel's own list",
	"/etc/os-release":      "it is the image's",
	"/etc/resolv.conf":     "the machine writes it, from what it learns of the network",
	"/etc/ketch/gate.json": "it is read before there is a configuration; the image brings it",
	"/run/containerd":      "it is containerd's",
	"/run/ketch":           "it is the machine's own",
	"/run/lock":            "it is the machine's own",
	"/var/lib/containerd":  "it is containerd's",
	"/var/lib/ketch":       "it is the machine's own",
	"/var/log/ketch":       "it is the machine's own",
	"/var/run":             "it is written /run",
	"/var/lock":            "it is the machine's own",
}

// CheckPath checks a path that a configuration writes.
func CheckPath(name string) error {
	switch {
	case !strings.HasPrefix(name, "/") || path.Clean(name) != name:
		return fmt.Errorf("%q: want an absolute path, without . and .. in it", name)
	case len(name) > 4095 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("is too long, or holds control characters")
	case !slices.ContainsFunc(roots, func(root string) bool { return below(name, root) && name != root }):
		return fmt.Errorf("%s: a configuration writes below %s only", name, strings.Join(roots, ", "))
	}
	for own, why := range reserved {
		if below(name, own) {
			return fmt.Errorf("%s cannot be written: %s", name, why)
		}
	}
	return nil
}

func below(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// CheckTarget checks what a symbolic link leads to.
func CheckTarget(target string) error {
	if len(target) > 4095 || strings.ContainsFunc(target, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("is too long, or holds control characters")
	}
	return nil
}

func checkAuthorityName(name string) error {
	if !form(name, 64, lower+digits, lower+digits+"._-") {
		return fmt.Errorf("%q: want lower-case letters, digits, hyphens, underscores and dots, at most 64", short(name))
	}
	return nil
}
