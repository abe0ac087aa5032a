package ignition

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/coreos/ignition/v2/config/v3_5/types"

	"github.com/ketch-os/ketch/internal/config"
)

// translate makes a configuration of our own of one whose parts have been checked.
func translate(from types.Config) (to config.Config) {
	for _, u := range from.Passwd.Users {
		user := config.User{Name: u.Name}
		for _, key := range u.SSHAuthorizedKeys {
			if line, err := config.ParseKey(string(key)); err == nil {
				user.Keys = append(user.Keys, line)
			}
		}
		to.Users = append(to.Users, user)
	}
	for _, f := range from.Storage.Files {
		if name, is := hostname(f); is {
			to.Hostname = name
			continue
		}
		file := config.File{Node: node(f.Node), Mode: mode(f.Mode)}
		file.Contents, _ = resourceContents(f.Contents)
		to.Files = append(to.Files, file)
	}
	for _, d := range from.Storage.Directories {
		to.Directories = append(to.Directories, config.Directory{Node: node(d.Node), Mode: mode(d.Mode)})
	}
	for _, l := range from.Storage.Links {
		if l.Target != nil {
			to.Links = append(to.Links, config.Link{Node: node(l.Node), Target: *l.Target})
		}
	}
	for _, a := range from.Ignition.Security.TLS.CertificateAuthorities {
		// They have no names there: one of its own for each.
		authority := config.Authority{Name: fmt.Sprintf("ignition-%.8x", sha256.Sum256([]byte(a.Key())))}
		authority.Contents, _ = resourceContents(a)
		to.CertificateAuthorities = append(to.CertificateAuthorities, authority)
	}
	return to
}

// hostname is the host name that a file of a configuration gives the machine: here
// that is how Ignition does it.
func hostname(f types.File) (name string, is bool) {
	if f.Path != "/etc/hostname" {
		return "", false
	}
	contents, err := resourceContents(f.Contents)
	name = strings.TrimSpace(string(contents.Data))
	return name, err == nil && contents.Source == "" && config.CheckHostname(name) == nil
}

func node(n types.Node) config.Node {
	o, _ := owner(n)
	return config.Node{Path: n.Path, Owner: o}
}

func mode(m *int) config.Mode {
	if m == nil {
		return config.Mode{}
	}
	return config.Mode{Bits: uint32(*m), Set: true}
}

// owner is whom a node belongs to. Users but root have no numbers here.
func owner(n types.Node) (config.Owner, error) {
	id := func(number *int, name *string) (int, error) {
		switch {
		case name != nil && *name != "" && *name != "root":
			return 0, fmt.Errorf("%q: names of users and groups but root are not known here: give the id", *name)
		case number != nil:
			return *number, nil
		}
		return 0, nil
	}
	uid, err1 := id(n.User.ID, n.User.Name)
	gid, err2 := id(n.Group.ID, n.Group.Name)
	err := errors.Join(err1, err2)
	if err == nil && (uid < 0 || gid < 0 || uid > 1<<32-2 || gid > 1<<32-2) {
		err = errors.New("an id is out of range")
	}
	return config.Owner{UID: uid, GID: gid}, err
}

// resourceContents is the content that a resource names.
func resourceContents(r types.Resource) (config.Contents, error) {
	if r.Source == nil || *r.Source == "" {
		return config.Contents{}, nil
	}
	hash := ""
	if r.Verification.Hash != nil {
		hash = *r.Verification.Hash
	}
	return config.FromURL(*r.Source, r.Compression != nil && *r.Compression == "gzip", hash)
}
