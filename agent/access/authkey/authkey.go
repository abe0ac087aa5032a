// Package authkey reads lines of authorized_keys, as sshd(8) of OpenSSH describes
// them under AUTHORIZED_KEYS FILE FORMAT, and says what whoever signs in with such a
// key may do.
//
// An option that is not known refuses its key, and so does one that this system
// cannot keep: environment, tunnel, verify-required. What a key was restricted to
// must never be lost because a word was misspelt. Patterns of from= are addresses,
// networks and wildcards over addresses: names are not looked up, for whoever answers
// for an address says what it is called. DSA and RSA below 2048 bits are refused.
package authkey

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// maxLine is the longest line in bytes: a key of RSA with 16384 bits, and room
	// for options.
	maxLine = 16 << 10
	// minRSA is the shortest RSA key that is taken, in bits.
	minRSA = 2048
)

// Key is one line: a key, and what it is good for.
type Key struct {
	Public  ssh.PublicKey
	Comment string
	Options
}

// Options are what a line says of its key. The zero value restricts nothing.
type Options struct {
	Forced  bool   // Command runs, whatever is asked for
	Command string // "internal-sftp" stands for file transfer
	From    []Pattern
	Expires time.Time // zero: never

	NoPTY           bool
	NoForwarding    bool     // of ports, either way
	PermitOpen      []Target // where connections may be forwarded to; none: anywhere
	PermitListen    []Target // where may be listened for connections to forward; none: anywhere that the server lets
	NoTouchRequired bool     // a hardware key need not have been touched

	Authority  bool     // the key signs certificates, and does not sign in
	Principals []string // names of which a certificate must carry one; none: the user's
}

// None tells whether nothing was said of a key.
func (o Options) None() bool { return reflect.ValueOf(o).IsZero() }

// Parse reads one line. The time zone of times without one is zone. A blank line and
// a comment are ErrNoKey.
func Parse(line string, zone *time.Location) (*Key, error) {
	line = strings.TrimSpace(line)
	switch {
	case line == "" || line[0] == '#':
		return nil, ErrNoKey
	case len(line) > maxLine:
		return nil, fmt.Errorf("line has %d bytes; at most %d are read", len(line), maxLine)
	case strings.ContainsAny(line, "\x00\n\r"):
		return nil, errors.New("there is more than one line")
	}
	key := &Key{}
	first, rest := field(line)
	if !slices.Contains(keyTypes(), first) {
		if err := key.Options.parse(first, zone); err != nil {
			return nil, err
		}
		first, rest = field(rest)
	}
	encoded, comment := field(rest)
	public, err := decode(first, encoded)
	if err != nil {
		return nil, err
	}
	key.Public, key.Comment = public, comment
	return key, nil
}

// ErrNoKey is the error of a line that is blank or a comment.
var ErrNoKey = errors.New("there is no key in this line")

// Algorithms are the signature algorithms that a key may sign in with.
func Algorithms() []string {
	return []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
}

// keyTypes are the names that a key's type may have in a line.
func keyTypes() []string {
	return []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA,
	}
}

// field takes the first field of a line; blanks between double quotes do not end it.
func field(line string) (first, rest string) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quoted && i+1 < len(line) && line[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return line[:i], strings.TrimLeft(line[i:], " \t")
		}
	}
	return line, ""
}

// decode reads a key and checks that it is what it says, and strong enough.
func decode(kind, encoded string) (ssh.PublicKey, error) {
	if !slices.Contains(keyTypes(), kind) {
		return nil, fmt.Errorf("%.40q is no type of key that is taken: want %s", kind, strings.Join(keyTypes(), ", "))
	}
	blob, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("decode key: %w", err)
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("decode key: %w", err)
	}
	if key.Type() != kind {
		return nil, fmt.Errorf("key calls itself %s in the line and %.40q inside", kind, key.Type())
	}
	return key, Strong(key)
}

// Strong returns why a key is too weak to be trusted, nil if it is not.
func Strong(key ssh.PublicKey) error {
	if certificate, ok := key.(*ssh.Certificate); ok {
		return errors.Join(Strong(certificate.Key), Strong(certificate.SignatureKey))
	}
	if !slices.Contains(keyTypes(), key.Type()) {
		return fmt.Errorf("keys of type %.40q are not taken", key.Type())
	}
	holder, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil
	}
	if public, ok := holder.CryptoPublicKey().(*rsa.PublicKey); ok && public.N.BitLen() < minRSA {
		return fmt.Errorf("RSA key has %d bits; at least %d are wanted", public.N.BitLen(), minRSA)
	}
	return nil
}

// Equal tells whether two keys are the same.
func Equal(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }
