package keys

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/builder/hint"
)

// Token signs with a key in a PKCS #11 token, by OpenSSL and its engine for them.
type Token struct {
	uri string // of the key (RFC 7512)
	pin []byte // what stood in the URI as pin-value; nil where it had none
}

// pinFile is where OpenSSL finds a PIN that came with the URI: in the first file
// that it gets besides the standard ones. Its arguments can be read by everybody
// on the machine (proc_pid_cmdline(5)).
const pinFile = "pin-source=file:/proc/self/fd/3"

// PKCS11 returns the key that a URI names. A PIN comes with the URI, as
// pin-source=file:PATH or pin-value=PIN, or OpenSSL asks for it on the terminal.
func PKCS11(uri string) (Token, error) {
	path, query, _ := strings.Cut(uri, "?")
	attributes := strings.Split(query, "&")
	isPIN := func(a string) bool { return strings.HasPrefix(a, "pin-value=") }
	if slices.ContainsFunc(strings.Split(strings.TrimPrefix(path, "pkcs11:"), ";"), isPIN) {
		return Token{}, errors.New("the pin-value of the pkcs11: URI stands before the ? (RFC 7512, 2.3)")
	}
	at := slices.IndexFunc(attributes, isPIN)
	if at < 0 {
		return Token{uri: uri}, nil
	}
	if slices.ContainsFunc(attributes[at+1:], isPIN) {
		return Token{}, errors.New("the pkcs11: URI has two pin-values")
	}
	pin, err := url.PathUnescape(strings.TrimPrefix(attributes[at], "pin-value="))
	if err != nil {
		return Token{}, errors.New("the pin-value of the pkcs11: URI is not percent-encoded (RFC 7512, 2.3)")
	}
	attributes[at] = pinFile
	return Token{uri: path + "?" + strings.Join(attributes, "&"), pin: []byte(pin)}, nil
}

// ShowsPIN tells whether the URI itself holds the PIN: then the process list shows it
// as an argument of this program.
func (k Token) ShowsPIN() bool { return k.pin != nil }

// Sign implements image.Signer.
func (k Token) Sign(ctx context.Context, name string, message []byte) ([]byte, error) {
	var open []*os.File
	if k.pin != nil {
		f, err := hidden(k.pin)
		if err != nil {
			return nil, fmt.Errorf("hand the PIN to OpenSSL: %w", err)
		}
		defer f.Close()
		open = append(open, f)
	}
	command := Command{Args: []string{"openssl", "dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine", "-sign", k.uri}}
	signature, said, err := command.run(ctx, name, message, open...)
	if err == nil || ctx.Err() != nil {
		return signature, err
	}
	return nil, fmt.Errorf("key in a PKCS #11 token: %w", diagnose(err, said))
}

// hidden is a file in memory that has no name.
func hidden(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("pin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "pin")
	if _, err := f.Write(content); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// complaint is something that OpenSSL, its engine or a token says, what that
// means, and what cures it.
type complaint struct{ says, means, cure string }

const (
	cureEngine = "a pkcs11: key needs OpenSSL and its engine: sudo apt-get install -y openssl libengine-pkcs11-openssl; see docs/signing.md"
	curePIN    = "add the PIN to the URI: ?pin-source=file:FILE, where FILE holds the PIN and no line feed"
	cureToken  = "list the tokens: pkcs11-tool --module MODULE --list-token-slots; name the module in PKCS11_MODULE_PATH if p11-kit does not know it"
	cureObject = "list the token's keys: pkcs11-tool --module MODULE --token-label TOKEN --login --list-objects; the URI names one as object=NAME;type=private"
)

// complaints lists those that are known, the more telling ones first: every
// failure ends in one that the key was not found.
func complaints() []complaint {
	return []complaint{
		{"nvalid engine", "OpenSSL has no engine for it", cureEngine},
		{"could not load the shared library", "OpenSSL cannot load its engine for it", cureEngine},
		{"Could not open file", "the file with the PIN cannot be read", curePIN},
		{"PIN incorrect", "the token says that the PIN is incorrect", curePIN},
		{"PIN locked", "the token says that the PIN is locked", "it was given wrong too often: unlock it with the security officer's PIN"},
		{"No PIN code was entered", "the token wants a PIN", curePIN},
		{"No matching initialized token", "no token is the one that the URI names", cureToken},
		{"not a valid PKCS#11 URI", "OpenSSL's engine does not understand the URI", cureObject},
		{"private key was not found", "the token has no private key that the URI names", cureObject},
	}
}

// diagnose makes an error of how OpenSSL has ended and what it said. Its engine
// ends in a segmentation fault whenever it has found no key, so how it has ended says
// nothing where what it said is known.
func diagnose(err error, said string) error {
	if errors.Is(err, exec.ErrNotFound) {
		return hint.Add(err, "%s", cureEngine)
	}
	for _, c := range complaints() {
		if strings.Contains(said, c.says) {
			return hint.Add(errors.New(c.means), "%s", c.cure)
		}
	}
	return hint.Add(fmt.Errorf("openssl: %w: %s", err, said), "%s", cureEngine)
}
