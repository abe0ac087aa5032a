package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/internal/testkit"
)

// softToken makes a token of SoftHSM, which stands for the hardware, with the key of
// a set in it.
func softToken(t *testing.T) (set *Set) {
	t.Helper()
	tool := testkit.Tool(t, "softhsm2-util")
	testkit.Tool(t, "openssl")
	testkit.File(t, "/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so")
	dir, keys := t.TempDir(), newSet(t)
	config := filepath.Join(dir, "softhsm2.conf")
	text := "directories.tokendir = " + dir + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := os.WriteFile(config, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", config)
	for _, args := range [][]string{
		{"--init-token", "--free", "--label", "ketch", "--pin", "1234", "--so-pin", "5678"},
		{"--import", filepath.Join(keys, "db.key"), "--token", "ketch", "--label", "db", "--id", "01", "--pin", "1234"},
	} {
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Fatalf("softhsm2-util %q: %v\n%s", args, err, out)
		}
	}
	set, err := Load(keys)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestToken: what is wrong with a key in a token is said in a sentence, with its own
// cure, and the PIN is not.
func TestToken(t *testing.T) {
	set := softToken(t)
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]struct{ means, cure string }{
		"pkcs11:token=ketch;object=db;type=private?pin-value=1234":               {},
		"pkcs11:token=ketch;object=db;type=private?pin-value=%31234":             {},
		"pkcs11:token=ketch;object=db;type=private?pin-source=file:" + pin:       {},
		"pkcs11:token=ketch;object=db;type=private?pin-value=98765":              {"the PIN is incorrect", curePIN},
		"pkcs11:token=ketch;object=db;type=private?pin-source=file:/nonexistent": {"the file with the PIN cannot be read", curePIN},
		"pkcs11:token=other;object=db;type=private?pin-value=98765":              {"no token is the one", cureToken},
		"pkcs11:token=ketch;object=other;type=private?pin-value=1234":            {"no private key that the URI names", cureObject},
	} {
		key, err := PKCS11(uri)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := key.Sign(t.Context(), program, []byte("message"))
		if want.means == "" {
			local, _ := set.Signer()
			if same, _ := local.Sign(t.Context(), program, []byte("message")); err != nil || string(signature) != string(same) {
				t.Errorf("%s: Sign = %x, %v; want what the key at hand gives", uri, signature, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want.means) || hint.Of(err) != want.cure ||
			strings.Contains(err.Error(), "segmentation") || strings.Contains(err.Error(), "98765") {
			t.Errorf("%s: Sign = %v, hint %q; want %q, hint %q", uri, err, hint.Of(err), want.means, want.cure)
		}
	}
}

// TestPINIsHidden: no argument of a program that signs holds the PIN.
func TestPINIsHidden(t *testing.T) {
	for uri, want := range map[string]string{
		"pkcs11:token=a?pin-value=1234":                       "pkcs11:token=a?" + pinFile,
		"pkcs11:token=a?module-name=m&pin-value=1%3d34&x-y=z": "pkcs11:token=a?module-name=m&" + pinFile + "&x-y=z",
		"pkcs11:token=a?pin-source=file:/run/pin":             "pkcs11:token=a?pin-source=file:/run/pin",
		"pkcs11:token=pin-value=1;object=b":                   "pkcs11:token=pin-value=1;object=b",
	} {
		key, err := PKCS11(uri)
		if err != nil || key.uri != want || key.ShowsPIN() != strings.Contains(want, pinFile) {
			t.Errorf("PKCS11(%s) = %s, %v; want %s", uri, key.uri, err, want)
		}
	}
	for _, uri := range []string{
		"pkcs11:token=a?pin-value=%zz1234",                // not encoded
		"pkcs11:token=a?pin-value=1234&pin-value=1234",    // the second would be handed on
		"pkcs11:token=a;pin-value=1234",                   // not where it belongs
		"pkcs11:pin-value=1234;token=a?pin-value=1234",    // both
		"pkcs11:pin-value=1234;token=a?pin-source=file:x", // instead of where it is looked for
	} {
		if key, err := PKCS11(uri); err == nil || strings.Contains(err.Error(), "1234") {
			t.Errorf("PKCS11(%s) = %v, %v; want an error without the PIN", uri, key, err)
		}
	}
}

func TestDiagnose(t *testing.T) {
	crash := errors.New("signal: segmentation fault")
	for said, want := range map[string]struct{ means, cure string }{
		`Invalid engine "pkcs11"`:                            {"OpenSSL has no engine for it", cureEngine},
		"No PIN code was entered\nprivate key was not found": {"the token wants a PIN", curePIN},
		"something new":                                      {"openssl: signal: segmentation fault: something new", cureEngine},
	} {
		if err := diagnose(crash, said); err.Error() != want.means || hint.Of(err) != want.cure {
			t.Errorf("diagnose(%q) = %v, hint %q; want %+v", said, err, hint.Of(err), want)
		}
	}
	if err := diagnose(fmt.Errorf("exec: %w", exec.ErrNotFound), ""); hint.Of(err) != cureEngine {
		t.Errorf("without OpenSSL: hint %q; want %q", hint.Of(err), cureEngine)
	}
}

// TestCancelledCommandLeavesNothing: what a command has started ends with it, and
// what they have started, too.
func TestCancelledCommandLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fifo := filepath.Join(t.TempDir(), "alive")
	if out, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v: %s", err, out)
	}
	t.Setenv("ALIVE", fifo)
	ended := make(chan error, 1)
	go func() {
		// Three generations hold the FIFO open for writing; the last one says so.
		_, err := Shell(`exec 9>"$ALIVE"; (sh -c 'sleep 600; :' & sh -c 'echo up >&9; sleep 600'; :) | cat`).Sign(ctx, program, nil)
		ended <- err
	}()
	alive, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	word := make([]byte, 3)
	if _, err := alive.Read(word); err != nil || string(word) != "up\n" {
		t.Fatalf("the command says %q, %v", word, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Sign = %v; want that it was cancelled", err)
	}
	// The FIFO is at its end once nobody holds it any more (pipe(7)).
	if n, err := alive.Read(word); n != 0 {
		t.Errorf("after the end somebody writes %q, %v", word[:n], err)
	}
}
