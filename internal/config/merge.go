package config

import (
	"slices"
)

// Layer is one of the configurations that a machine has.
type Layer struct {
	Name   string // "the image", "fw_cfg"
	Config Config
}

// Merged is what several layers come to.
type Merged struct {
	Config
	// Origins tells which layer each value is of, by its path: "hostname",
	// "users.core", "files./etc/motd", "workloads.web".
	Origins map[string]string
}

// Merge joins layers. A later one wins: its values replace earlier ones, its files,
// directories and links those of the same path, its workloads and certificate
// authorities those of the same name. Keys add up: nobody whom an earlier layer lets in
// is shut out by a later one.
func Merge(layers ...Layer) Merged {
	m := Merged{Origins: make(map[string]string)}
	for _, l := range layers {
		m.add(l)
	}
	return m
}

func (m *Merged) add(l Layer) {
	c := l.Config
	if c.Hostname != "" {
		m.Hostname, m.Origins["hostname"] = c.Hostname, l.Name
	}
	if c.SSH.Port != 0 {
		m.SSH.Port, m.Origins["ssh.port"] = c.SSH.Port, l.Name
	}
	if c.Timezone != "" {
		m.Timezone, m.Origins["timezone"] = c.Timezone, l.Name
	}
	if len(c.NTP.Servers) > 0 {
		m.NTP, m.Origins["ntp.servers"] = c.NTP, l.Name
	}
	m.addKeys(DefaultUser, c.SSH.Keys, l.Name)
	for _, u := range c.Users {
		m.addKeys(u.Name, u.Keys, l.Name)
	}
	for _, key := range c.SSH.TrustedUserCAKeys {
		if !slices.Contains(m.SSH.TrustedUserCAKeys, key) {
			m.SSH.TrustedUserCAKeys = append(m.SSH.TrustedUserCAKeys, key)
			m.note("ssh.trusted-user-ca-keys", l.Name)
		}
	}
	// A path has one thing: a later link takes the place of an earlier file.
	for _, path := range c.paths() {
		m.Files = slices.DeleteFunc(m.Files, func(f File) bool { return f.Path == path })
		m.Directories = slices.DeleteFunc(m.Directories, func(d Directory) bool { return d.Path == path })
		m.Links = slices.DeleteFunc(m.Links, func(l Link) bool { return l.Path == path })
		m.Origins["files."+path] = l.Name
	}
	m.Files = append(m.Files, c.Files...)
	m.Directories = append(m.Directories, c.Directories...)
	m.Links = append(m.Links, c.Links...)
	for _, a := range c.CertificateAuthorities {
		m.CertificateAuthorities = replace(m.CertificateAuthorities, a, func(other Authority) bool { return other.Name == a.Name })
		m.Origins["certificate-authorities."+a.Name] = l.Name
	}
	for _, w := range c.Workloads {
		m.Workloads = replace(m.Workloads, w, func(other Workload) bool { return other.Name == w.Name })
		m.Origins["workloads."+w.Name] = l.Name
	}
}

// addKeys gives a user keys, and the layers that they come from.
func (m *Merged) addKeys(name string, keys []Key, layer string) {
	i := slices.IndexFunc(m.Users, func(u User) bool { return u.Name == name })
	if i < 0 && len(keys) == 0 && name == DefaultUser {
		return
	}
	if i < 0 {
		i, m.Users = len(m.Users), append(m.Users, User{Name: name})
	}
	for _, key := range keys {
		if !slices.Contains(m.Users[i].Keys, key) {
			m.Users[i].Keys = append(slices.Clip(m.Users[i].Keys), key)
			m.note("users."+name, layer)
		}
	}
}

// note adds a layer to those that a value comes from.
func (m *Merged) note(path, layer string) {
	if before := m.Origins[path]; before == "" {
		m.Origins[path] = layer
	} else if before != layer {
		m.Origins[path] = before + ", " + layer
	}
}

func (c *Config) paths() (list []string) {
	for _, f := range c.Files {
		list = append(list, f.Path)
	}
	for _, d := range c.Directories {
		list = append(list, d.Path)
	}
	for _, l := range c.Links {
		list = append(list, l.Path)
	}
	return list
}

func replace[T any](list []T, with T, same func(T) bool) []T {
	return append(slices.DeleteFunc(list, same), with)
}
