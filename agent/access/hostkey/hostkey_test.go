package hostkey

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/agent/access/authkey"
	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

func load(t *testing.T, dir string) (ssh.Signer, string) {
	t.Helper()
	key, note, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return key, note
}

func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ssh")
	first, note := load(t, dir)
	again, _ := load(t, dir)
	if note != "" || !authkey.Equal(first.PublicKey(), again.PublicKey()) {
		t.Errorf("the second load has another key, or the first a note (%q)", note)
	}
	for name, want := range map[string]os.FileMode{File: 0o600, File + ".pub": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want mode %o", name, info, err, want)
		}
	}
	public, err := os.ReadFile(filepath.Join(dir, File+".pub"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := access.Fingerprint(public); err != nil || got != ssh.FingerprintSHA256(first.PublicKey()) {
		t.Errorf("its fingerprint is %q, %v", got, err)
	}
	if filepath.Base(layout.SSHHostKey) != File+".pub" {
		t.Errorf("others look for it at %s", layout.SSHHostKey)
	}
}

// TestUnreadable: a key that a power cut or a disk has spoilt costs its name, not the
// machine.
func TestUnreadable(t *testing.T) {
	for name, spoil := range map[string]func(text []byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"zeros":     func(text []byte) []byte { return make([]byte, len(text)) },
		"truncated": func(text []byte) []byte { return text[:len(text)/2] },
	} {
		dir := t.TempDir()
		first, _ := load(t, dir)
		path := filepath.Join(dir, File)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, spoil(text), 0o600); err != nil {
			t.Fatal(err)
		}
		second, note := load(t, dir)
		if note == "" || authkey.Equal(first.PublicKey(), second.PublicKey()) {
			t.Errorf("%s: note %q", name, note)
		}
		if third, note := load(t, dir); note != "" || !authkey.Equal(second.PublicKey(), third.PublicKey()) {
			t.Errorf("%s: the new key is not kept (%q)", name, note)
		}
		if _, err := os.Stat(path + ".unreadable"); err != nil {
			t.Errorf("%s: the old one is not put aside: %v", name, err)
		}
	}
}

// TestOddFiles: whatever has the names of the keys, the machine has one, and nothing
// waits. A large file of zeros is no key, either.
func TestOddFiles(t *testing.T) {
	testkit.EachOdd(t, func(t *testing.T, _ string, make func(path string)) {
		dir := t.TempDir()
		make(filepath.Join(dir, File))
		make(filepath.Join(dir, File+".pub"))
		make(filepath.Join(dir, File+".unreadable"))
		first, note := load(t, dir)
		if again, _ := load(t, dir); note == "" || !authkey.Equal(first.PublicKey(), again.PublicKey()) {
			t.Errorf("the key is not kept, or there is no note (%q)", note)
		}
		public, err := os.ReadFile(filepath.Join(dir, File+".pub"))
		if print, wrong := access.Fingerprint(public); err != nil || wrong != nil || print != ssh.FingerprintSHA256(first.PublicKey()) {
			t.Errorf("Fingerprint = %q, %v, %v", print, err, wrong)
		}
	})
}

// TestPublicUnwritable: a public key that cannot be kept costs a note, not the machine.
// The directory's path is so long that no stand-in's name fits.
func TestPublicUnwritable(t *testing.T) {
	short := t.TempDir()
	first, _ := load(t, short)
	text, err := os.ReadFile(filepath.Join(short, File))
	if err != nil {
		t.Fatal(err)
	}
	const longest = 4095 // PATH_MAX without its zero byte
	dir := t.TempDir()
	for room := longest - len("/"+File+".pub") - len(dir); room > 1; room = longest - len("/"+File+".pub") - len(dir) {
		dir += "/" + strings.Repeat("d", min(room-1, 200))
	}
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, File), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	key, note := load(t, dir)
	if !authkey.Equal(first.PublicKey(), key.PublicKey()) || !strings.Contains(note, "keep public host key") {
		t.Errorf("note %q; want the same key, and why the public one is not kept", note)
	}
}

// TestKeygen: OpenSSH reads the private key, and sees the same public one.
func TestKeygen(t *testing.T) {
	tool := testkit.Tool(t, "ssh-keygen")
	dir := t.TempDir()
	load(t, dir)
	out, err := exec.Command(tool, "-y", "-f", filepath.Join(dir, File)).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen -y: %v: %s", err, out)
	}
	public, err := os.ReadFile(filepath.Join(dir, File+".pub"))
	if err != nil || strings.TrimSpace(string(out)) != strings.TrimSpace(string(public)) {
		t.Errorf("ssh-keygen says %q; the file says %q, %v", out, public, err)
	}
}

// FuzzParse: whatever a disk has made of the key, it is one of Ed25519 or none.
func FuzzParse(f *testing.F) {
	dir := f.TempDir()
	if _, _, err := Load(dir); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := parse(text); err == nil && key.PublicKey().Type() != ssh.KeyAlgoED25519 {
			t.Errorf("parse takes a key of type %s", key.PublicKey().Type())
		}
	})
}
