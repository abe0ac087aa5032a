// Package cloudconfig translates "#cloud-config" to Ketch's own form: the keys of
// cloud-init and of coreos-cloudinit that a machine without packages, shells and units
// can act on.
//
//	hostname, fqdn, prefer_fqdn_over_hostname, preserve_hostname: false
//	ssh_authorized_keys            of the user core
//	users                          name, ssh_authorized_keys; "default" is core
//	write_files                    path, content, encoding, permissions, owner, append: false, defer
//	timezone                       UTC
//	ca_certs (ca-certs)            trusted
//
// Everything else is a problem with its path: runcmd, bootcmd and packages for what
// they are, coreos.update, ntp and others as not supported yet.
package cloudconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/internal/config/strict"
)

// document is the form. Names with a hyphen are older ones for the same.
type document struct {
	Hostname         string              `yaml:"hostname"`
	FQDN             string              `yaml:"fqdn"`
	PreferFQDN       bool                `yaml:"prefer_fqdn_over_hostname"`
	PreserveHostname refuseTrue          `yaml:"preserve_hostname"`
	Keys             []config.Key        `yaml:"ssh_authorized_keys"`
	Users            []user              `yaml:"users"`
	WriteFiles       []file              `yaml:"write_files"`
	Timezone         config.Timezone     `yaml:"timezone"`
	CACerts          caCerts             `yaml:"ca_certs"`
	OldCACerts       caCerts             `yaml:"ca-certs"`
	NTP              ntp                 `yaml:"ntp"`
	CoreOS           coreos              `yaml:"coreos"`
	RunCmd           noShell             `yaml:"runcmd"`
	BootCmd          noShell             `yaml:"bootcmd"`
	Packages         noPackages          `yaml:"packages"`
	PackageUpdate    refuseTrue          `yaml:"package_update"`
	PackageUpgrade   refuseTrue          `yaml:"package_upgrade"`
	Resolv           config.NotSupported `yaml:"resolv_conf"`
	Network          config.NotSupported `yaml:"network"`
	SSHPwauth        refuseTrue          `yaml:"ssh_pwauth"`
}

// coreos are the keys of coreos-cloudinit.
type coreos struct {
	Update config.NotSupported `yaml:"update"`
	Etcd2  config.NotSupported `yaml:"etcd2"`
	Units  noUnits             `yaml:"units"`
}

// user is an entry of users, or the word "default".
type user struct {
	Name string       `yaml:"name" need:"true"`
	Keys []config.Key `yaml:"ssh_authorized_keys"`
	Lock refuseFalse  `yaml:"lock_passwd"` // there are no passwords
}

type userForm user

func (u *user) UnmarshalNode(n strict.Node) {
	if n.Kind == yaml.ScalarNode {
		u.Name = n.Value
	} else {
		n.Decode((*userForm)(u))
	}
	if u.Name == "default" {
		u.Name = config.DefaultUser
	}
	if err := config.CheckUser(u.Name); err != nil && u.Name != "" {
		n.Find("name").Problem("%v", err)
	}
}

type file struct {
	Path        string       `yaml:"path" need:"true"`
	Content     content      `yaml:"content"`
	Encoding    string       `yaml:"encoding"`
	Permissions config.Mode  `yaml:"permissions"`
	Owner       config.Owner `yaml:"owner"`
	Append      refuseTrue   `yaml:"append"`
	Defer       bool         `yaml:"defer"` // users and packages come first there; here there are none
}

// content is text, or bytes that YAML itself carries as base64 (!!binary).
type content string

func (c *content) UnmarshalNode(n strict.Node) {
	text := n.Value
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		n.Problem("want text")
		return
	}
	if n.Tag == "!!binary" {
		contents, err := config.FromBase64(text, false)
		if err != nil {
			n.Problem("%v", err)
		}
		text = string(contents.Data)
	}
	*c = content(text)
}

// ntp names servers; a pool is a name that stands for several.
type ntp struct {
	Enabled refuseOff           `yaml:"enabled"`
	Servers []config.TimeServer `yaml:"servers"`
	Pools   []config.TimeServer `yaml:"pools"`
}

type caCerts struct {
	Trusted        []string   `yaml:"trusted"`
	RemoveDefaults refuseTrue `yaml:"remove_defaults"`
	OldRemove      refuseTrue `yaml:"remove-defaults"`
}

// The forms of values that are refused, with the reason.
type (
	refuseTrue  struct{}
	refuseFalse struct{}
	refuseOff   struct{}
	noShell     struct{}
	noPackages  struct{}
	noUnits     struct{}
)

func (refuseTrue) UnmarshalNode(n strict.Node) {
	if no := false; n.Decode(&no) && no {
		n.Problem("true is not supported")
	}
}

func (refuseFalse) UnmarshalNode(n strict.Node) {
	if yes := true; n.Decode(&yes) && !yes {
		n.Problem("false is not supported: there are no passwords")
	}
}

func (refuseOff) UnmarshalNode(n strict.Node) {
	if yes := true; n.Decode(&yes) && !yes {
		n.Problem("false is not supported: without servers nobody is asked")
	}
}

func (noShell) UnmarshalNode(n strict.Node) {
	n.Problem("is not supported: the machine has no shell; what runs is a container")
}

func (noPackages) UnmarshalNode(n strict.Node) {
	n.Problem("is not supported: software comes in containers, and with the image")
}

func (noUnits) UnmarshalNode(n strict.Node) {
	n.Problem("is not supported: there is no systemd; what runs is a container")
}

// Parse translates a document, whose first line is "#cloud-config".
func Parse(text []byte) (config.Config, []config.Problem) {
	d, root, err := strict.YAML(text)
	if err != nil {
		return config.Config{}, []config.Problem{strict.ProblemOf(err)}
	}
	d.Unknown = "is not supported"
	var doc document
	d.Decode(root, &doc)
	t := &translation{root: root, d: d}
	return t.translate(&doc), d.Sorted()
}

// translation makes a configuration of a document.
type translation struct {
	root strict.Node
	d    *strict.Decoder
	to   config.Config
}

// good tells whether the value at path is right.
func (t *translation) good(path string) bool {
	return !slices.ContainsFunc(t.d.Problems, func(p config.Problem) bool { return p.Within(path) })
}

// check notes an error of the value at path, and tells whether the value is right.
func (t *translation) check(path string, err error) bool {
	if err != nil {
		t.root.Find(path).Problem("%v", err)
	}
	return t.good(path)
}

func (t *translation) translate(doc *document) config.Config {
	t.hostname(doc)
	t.to.Timezone = doc.Timezone
	t.to.SSH.Keys = strict.Good(doc.Keys, "ssh_authorized_keys", t.d.Problems)
	for i, u := range doc.Users {
		path := fmt.Sprintf("users.%d", i)
		keys := strict.Good(u.Keys, path+".ssh_authorized_keys", t.d.Problems)
		if u.Name != "" && config.CheckUser(u.Name) == nil {
			t.to.Users = append(t.to.Users, config.User{Name: u.Name, Keys: keys})
		}
	}
	for i, f := range doc.WriteFiles {
		t.file(fmt.Sprintf("write_files.%d", i), f)
	}
	t.to.NTP.Servers = append(strict.Good(doc.NTP.Servers, "ntp.servers", t.d.Problems), strict.Good(doc.NTP.Pools, "ntp.pools", t.d.Problems)...)
	t.authorities("ca_certs", doc.CACerts)
	t.authorities("ca-certs", doc.OldCACerts)
	return t.to
}

// hostname takes hostname, or the first label of fqdn, or all of it where that is asked for.
func (t *translation) hostname(doc *document) {
	for path, name := range map[string]string{"hostname": doc.Hostname, "fqdn": doc.FQDN} {
		if name != "" {
			t.check(path, config.CheckHostname(name))
		}
	}
	short, _, _ := strings.Cut(doc.FQDN, ".")
	for _, choice := range []struct {
		path, name string
		take       bool
	}{
		{"fqdn", doc.FQDN, doc.PreferFQDN},
		{"hostname", doc.Hostname, true},
		{"fqdn", short, true},
	} {
		if choice.take && choice.name != "" && t.good(choice.path) {
			t.to.Hostname = choice.name
			return
		}
	}
}

func (t *translation) file(path string, f file) {
	if f.Path == "/etc/hostname" {
		t.check(path+".path", errors.New("the key hostname is for that"))
	} else if f.Path != "" {
		t.check(path+".path", config.CheckPath(f.Path))
	}
	if slices.ContainsFunc(t.to.Files, func(other config.File) bool { return other.Path == f.Path }) {
		t.check(path+".path", fmt.Errorf("%s is there twice", f.Path))
	}
	contents, err := decode(string(f.Content), f.Encoding)
	t.check(path+".content", err)
	if t.good(path) {
		t.to.Files = append(t.to.Files, config.File{Node: config.Node{Path: f.Path, Owner: f.Owner}, Mode: f.Permissions, Contents: contents})
	}
}

// decode reads content in one of the encodings that cloud-init knows.
func decode(text, encoding string) (config.Contents, error) {
	switch encoding {
	case "", "text/plain":
		return config.Contents{Data: []byte(text)}, nil
	case "b64", "base64":
		return config.FromBase64(text, false)
	case "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		return config.FromBase64(text, true)
	case "gz", "gzip":
		data, err := config.Gunzip([]byte(text), config.MaxContents)
		return config.Contents{Data: data}, err
	}
	return config.Contents{}, fmt.Errorf("encoding %q is none of b64, base64, gzip, gz+b64, gzip+base64", encoding)
}

func (t *translation) authorities(path string, certs caCerts) {
	for i, text := range certs.Trusted {
		at := fmt.Sprintf("%s.trusted.%d", path, i)
		if t.check(at, config.CheckPEM([]byte(text))) {
			name := fmt.Sprintf("%s-%d", strings.ReplaceAll(path, "_", "-"), i)
			t.to.CertificateAuthorities = append(t.to.CertificateAuthorities, config.Authority{Name: name, Contents: config.Contents{Data: []byte(text)}})
		}
	}
}
