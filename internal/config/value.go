package config

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/internal/config/strict"
)

// Mode are permissions. Zero asks for the default.
type Mode struct {
	Bits uint32
	Set  bool
}

// UnmarshalNode reads "0644". A number that does not begin with 0 would be decimal to
// some readers and octal to others.
func (m *Mode) UnmarshalNode(n strict.Node) {
	digits := strings.TrimPrefix(n.Value, "0o")
	bits, err := strconv.ParseUint(digits, 8, 12)
	if n.Kind != yaml.ScalarNode || err != nil || digits == "" || n.Value[0] != '0' {
		n.Problem("%q are no permissions: write them in octal, beginning with 0, as 0644", n.Value)
		return
	}
	*m = Mode{uint32(bits), true}
}

// Or is the mode, or another where none is set.
func (m Mode) Or(bits uint32) uint32 {
	if m.Set {
		return m.Bits
	}
	return bits
}

// Schema describes the form as JSON Schema.
func (Mode) Schema() map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "string", "pattern": "^0o?[0-7]{1,4}$"},
		map[string]any{"type": "integer", "minimum": 0, "maximum": 7777}, // how editors read 0644
	}}
}

// Owner is whom a file belongs to; the zero value is root.
type Owner struct{ UID, GID int }

// maxID is the largest user or group ID; the next is -1, "no change" (chown(2)).
const maxID = 1<<32 - 2

// UnmarshalNode reads UID, UID:GID or root.
func (o *Owner) UnmarshalNode(n strict.Node) {
	user, group, both := strings.Cut(n.Value, ":")
	if !both {
		group = user
	}
	uid, err1 := parseID(user)
	gid, err2 := parseID(group)
	if n.Kind != yaml.ScalarNode || errors.Join(err1, err2) != nil {
		n.Problem("%q is no owner: want UID, UID:GID or root; names of users are not known here", n.Value)
		return
	}
	*o = Owner{uid, gid}
}

func parseID(text string) (int, error) {
	if text == "root" {
		return 0, nil
	}
	id, err := strconv.ParseUint(text, 10, 32)
	if err == nil && id > maxID {
		err = strconv.ErrRange
	}
	return int(id), err
}

// Schema describes the form as JSON Schema.
func (Owner) Schema() map[string]any {
	id := "(root|[0-9]+)"
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "string", "pattern": "^" + id + "(:" + id + ")?$"},
		map[string]any{"type": "integer", "minimum": 0, "maximum": maxID},
	}}
}

// Key is a line of authorized_keys (sshd(8), AUTHORIZED_KEYS FILE FORMAT): options,
// which may be missing, type, key in base64, comment.
type Key string

// UnmarshalNode reads and checks a key.
func (k *Key) UnmarshalNode(n strict.Node) {
	line, err := ParseKey(n.Value)
	if n.Kind != yaml.ScalarNode {
		err = errors.New("want a key: TYPE BASE64 COMMENT")
	}
	if err != nil {
		n.Problem("%v", err)
		return
	}
	*k = line
}

// Schema describes the form as JSON Schema.
func (Key) Schema() map[string]any {
	return map[string]any{"type": "string", "pattern": `(^|\s)(` + strings.ReplaceAll(strings.Join(keyTypes, "|"), ".", `\.`) + `) [A-Za-z0-9+/]+=*(\s|$)`}
}

// keyTypes are those of public keys that an SSH server of today takes (RFC 4253, RFC
// 5656, RFC 8709, OpenSSH's PROTOCOL.u2f). An ssh-rsa key signs with SHA-2.
var keyTypes = []string{
	"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
}

// maxKey bounds a line in bytes: an RSA key of 16,384 bits has 2,800.
const maxKey = 16 << 10

// ParseKey checks a line of authorized_keys, and returns it without blanks around it.
func ParseKey(text string) (Key, error) {
	line := strings.TrimSpace(text)
	switch {
	case line == "":
		return "", errors.New("is empty; want a key: TYPE BASE64 COMMENT")
	case len(line) > maxKey:
		return "", fmt.Errorf("%d characters are no key", len(line))
	case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return "", errors.New("holds control characters or several lines; a key is one line")
	}
	words := strings.Fields(afterOptions(line))
	if len(words) < 2 || !slices.Contains(keyTypes, words[0]) {
		return "", fmt.Errorf("%q is no public key: want TYPE BASE64 COMMENT, with a type such as ssh-ed25519", short(line))
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return "", fmt.Errorf("%q: the key is not in base64, or is cut off", short(line))
	}
	// The blob begins with the type again, after its length (RFC 4253, 6.6).
	if len(blob) < 4 || uint64(binary.BigEndian.Uint32(blob))+4 >= uint64(len(blob)) || string(blob[4:4+binary.BigEndian.Uint32(blob)]) != words[0] {
		return "", fmt.Errorf("%q: the key is cut off, or is not of the type that it says", short(line))
	}
	return Key(line), nil
}

// afterOptions is what follows the options of a line. Blanks in double quotes do not
// end them.
func afterOptions(line string) string {
	if slices.Contains(keyTypes, strings.Fields(line)[0]) {
		return line
	}
	quoted := false
	for i, r := range line {
		switch {
		case r == '"' && (i == 0 || line[i-1] != '\\'):
			quoted = !quoted
		case !quoted && (r == ' ' || r == '\t'):
			return line[i:]
		}
	}
	return ""
}

func short(text string) string {
	if len(text) > 40 {
		return strings.ToValidUTF8(text[:40], "") + "…"
	}
	return text
}

// Timezone is the machine's time zone, which is UTC.
type Timezone string

// UnmarshalNode reads the name of a time zone.
func (z *Timezone) UnmarshalNode(n strict.Node) {
	if !UTC(n.Value) {
		n.Problem("%q is not supported yet: machines keep UTC", n.Value)
		return
	}
	*z = "UTC"
}

// UTC tells whether a time zone is that.
func UTC(name string) bool {
	return slices.Contains([]string{"UTC", "Etc/UTC", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal"}, name)
}

// Schema describes the form as JSON Schema.
func (Timezone) Schema() map[string]any { return map[string]any{"enum": []any{"UTC", "Etc/UTC"}} }

// TimeServer is a server of NTP: HOST or HOST:PORT.
type TimeServer string

// UnmarshalNode reads and checks the name of a server.
func (s *TimeServer) UnmarshalNode(n strict.Node) {
	if n.Kind != yaml.ScalarNode || !isServer(n.Value) {
		n.Problem("%q is no server: want HOST or HOST:PORT", short(n.Value))
		return
	}
	*s = TimeServer(n.Value)
}

// isServer tells whether text is a name or an IP address, with a port or without.
func isServer(text string) bool {
	host := text
	if name, port, err := net.SplitHostPort(text); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
		host = name
	}
	if _, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		return true
	}
	return len(host) <= 253 && !slices.ContainsFunc(strings.Split(host, "."), func(label string) bool { return CheckHostname(label) != nil })
}

// Schema describes the form as JSON Schema.
func (TimeServer) Schema() map[string]any {
	return map[string]any{"type": "string", "pattern": `^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?$|^[0-9a-fA-F.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$`}
}

// NotSupported has the place of a key that nothing acts on yet.
type NotSupported struct{}

// UnmarshalNode refuses every value.
func (NotSupported) UnmarshalNode(n strict.Node) { n.Problem("is not supported yet") }

// Schema describes the form as JSON Schema: no value fits.
func (NotSupported) Schema() map[string]any { return map[string]any{"not": map[string]any{}} }

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	digits = "0123456789"
)

// form tells whether a name has at most so many characters, all of them, and the first
// in particular, of some.
func form(name string, most int, first, all string) bool {
	return name != "" && len(name) <= most && strings.IndexByte(first, name[0]) >= 0 && strings.Trim(name, all) == ""
}

// CheckUser checks the name of a user.
func CheckUser(name string) error {
	if !form(name, 32, lower+"_", lower+digits+"_-") {
		return fmt.Errorf("%q is no name of a user: want lower-case letters, digits, hyphens and underscores, at most 32", short(name))
	}
	return nil
}

// CheckHostname checks a host name, by RFC 1123, 2.1, and what sethostname(2) takes.
func CheckHostname(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
	if len(name) > 64 {
		return fmt.Errorf("%q has over 64 characters", short(name))
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, letters) != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%q is no host name: want letters, digits and hyphens, joined by dots", name)
		}
	}
	return nil
}
