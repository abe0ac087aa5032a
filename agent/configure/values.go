package configure

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/internal/config"
)

// values describes what was applied, in the order of docs/configuration.md. What is in
// files stays there: it may be secret.
func values(m config.Merged) (list []node.ConfigValue) {
	add := func(path, value string) {
		list = append(list, node.ConfigValue{Path: path, Value: value, Origin: m.Origins[path]})
	}
	if m.Hostname != "" {
		add("hostname", m.Hostname)
	}
	if m.Timezone != "" {
		add("timezone", string(m.Timezone))
	}
	if m.SSH.Port != 0 {
		add("ssh.port", fmt.Sprint(m.SSH.Port))
	}
	if keys := m.SSH.TrustedUserCAKeys; len(keys) > 0 {
		add("ssh.trusted-user-ca-keys", strings.Join(lines(keys), "; "))
	}
	if servers := timeServers(m); len(servers) > 0 {
		add("ntp.servers", strings.Join(servers, "; "))
	}
	for _, u := range m.Users {
		add("users."+u.Name, strings.Join(lines(u.Keys), "; "))
	}
	for _, d := range m.Directories {
		add("files."+d.Path, fmt.Sprintf("directory, %04o", d.Mode.Or(defaultDirectory)))
	}
	for _, f := range m.Files {
		add("files."+f.Path, fmt.Sprintf("file, %04o, %s", f.Mode.Or(defaultFile), content(f.Contents)))
	}
	for _, l := range m.Links {
		add("files."+l.Path, "link to "+l.Target)
	}
	for _, a := range m.CertificateAuthorities {
		add("certificate-authorities."+a.Name, content(a.Contents))
	}
	for _, w := range m.Workloads {
		value := fmt.Sprintf("%d bytes", len(w.Text))
		if len(w.Refused) > 0 {
			value = "refused"
		}
		add("workloads."+w.Name, value)
	}
	return list
}

func content(c config.Contents) string {
	if c.Source != "" {
		return c.Source
	}
	return fmt.Sprintf("%d bytes, sha256:%.12x", len(c.Data), sha256.Sum256(c.Data))
}

func lines(keys []config.Key) (list []string) {
	for _, key := range keys {
		list = append(list, string(key))
	}
	return list
}
