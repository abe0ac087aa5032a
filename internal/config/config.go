// Package config is what a machine is told to be: its configuration, in the one form
// that everything else is translated to, and that form as YAML.
//
//	strict       YAML and JSON with a path, line and column for every problem
//	config       Config; Parse reads Ketch's own YAML, Schema describes it
//	ignition     Ignition 3.0 to 3.5
//	cloudconfig  #cloud-config
//	userdata     the door: tells the kinds apart, unpacks gzip and MIME
//
// The builder checks a configuration with it, and ketchd reads one with it: what the
// one accepts, the other does. Nothing here reads a file, asks a network or changes a
// machine.
//
// A key that nothing acts on is a problem, never ignored. A problem costs what it is
// about: an entry of a list, a key of a user, one value. The rest counts.
package config

import (
	"github.com/ketch-os/ketch/internal/config/strict"
)

// Problem is one thing that is wrong with a configuration.
type Problem = strict.Problem

// DefaultUser is whom the keys belong to that a platform or a configuration gives
// without a name.
const DefaultUser = "core"

// Version is the version of Ketch's own form.
const Version = 1

// Config is a configuration. The zero value asks for nothing. Its tags are Ketch's own
// YAML: Schema and docs/configuration.md tell the same.
type Config struct {
	Ketch    int    `yaml:"ketch" doc:"Version of this form: 1. It tells a configuration from other files."`
	Hostname string `yaml:"hostname" doc:"The machine's name: letters, digits, hyphens and dots, at most 64 characters (RFC 1123)."`

	SSH   SSH    `yaml:"ssh" doc:"Who may sign in as core, and where."`
	Users []User `yaml:"users" doc:"Further names that may be signed in as. An entry with a bad key keeps its good ones."`

	Files       []File      `yaml:"files" doc:"Files to write. Those below /etc and /run at every boot, those below /var once."`
	Directories []Directory `yaml:"directories" doc:"Directories to make, before files and links."`
	Links       []Link      `yaml:"links" doc:"Symbolic links to make, after the files."`

	CertificateAuthorities []Authority `yaml:"certificate-authorities" doc:"Certificate authorities to trust, besides those of the image."`

	Workloads Workloads `yaml:"workloads" doc:"What the machine runs: a Compose file for each project."`

	Timezone   Timezone     `yaml:"timezone" doc:"The machine keeps UTC; nothing else is supported yet."`
	NTP        NTP          `yaml:"ntp" doc:"Who is asked for the time."`
	DNS        NotSupported `yaml:"dns" doc:"Name servers and search domains."`
	Network    NotSupported `yaml:"network" doc:"Links, addresses and routes, as netplan writes them."`
	Registries NotSupported `yaml:"registries" doc:"Mirrors and credentials of container registries."`
	Update     NotSupported `yaml:"update" doc:"Group, server and reboot strategy of updates."`
	Proxy      NotSupported `yaml:"proxy" doc:"Proxies for what the machine fetches."`
}

// NTP is about the clock.
type NTP struct {
	Servers []TimeServer `yaml:"servers" doc:"Servers of NTP: HOST or HOST:PORT."`
}

// SSH is about the SSH server.
type SSH struct {
	Keys              []Key `yaml:"keys" doc:"Keys that may sign in as core, as lines of authorized_keys."`
	TrustedUserCAKeys []Key `yaml:"trusted-user-ca-keys" doc:"Keys whose certificates are accepted (sshd_config, TrustedUserCAKeys)."`
	Port              int   `yaml:"port" doc:"TCP port of the server; 22 unless it says otherwise." min:"1" max:"65535"`
}

// User is a name that may be signed in as.
type User struct {
	Name string `yaml:"name" need:"true" doc:"Lower-case letters, digits, hyphens and underscores, at most 32."`
	Keys []Key  `yaml:"ssh-keys" doc:"Keys that may sign in, as lines of authorized_keys."`
}

// Node is what files, directories and links have in common.
type Node struct {
	Path  string `yaml:"path" need:"true" doc:"Where: an absolute path below /etc, /run or /var."`
	Owner Owner  `yaml:"owner" doc:"UID or UID:GID, or root, which is the default."`
}

// File is a file to write.
type File struct {
	Node     `yaml:",inline"`
	Mode     Mode     `yaml:"mode" doc:"Permissions, in octal: 0644, which is the default."`
	Contents Contents `yaml:"contents" doc:"What is in it: text, or one of text, base64 and source. Without, the file is empty."`
	Once     *bool    `yaml:"once" doc:"Whether the file is left alone once it is there: true below /var, false elsewhere."`
}

// Directory is a directory to make.
type Directory struct {
	Node `yaml:",inline"`
	Mode Mode `yaml:"mode" doc:"Permissions, in octal: 0755, which is the default."`
}

// Link is a symbolic link to make.
type Link struct {
	Node   `yaml:",inline"`
	Target string `yaml:"target" need:"true" doc:"What it leads to."`
}

// Authority is a certificate authority.
type Authority struct {
	Name     string   `yaml:"name" need:"true" doc:"Lower-case letters, digits, hyphens, underscores and dots: it becomes the name of a file."`
	Contents Contents `yaml:"contents" need:"true" doc:"One or several certificates in PEM."`
}
