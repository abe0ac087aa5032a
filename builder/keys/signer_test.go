package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/internal/testkit"
)

const program = "EFI/BOOT/BOOTX64.EFI"

// TestSigners lets each kind of signer sign the same message.
func TestSigners(t *testing.T) {
	testkit.Tool(t, "openssl")
	dir := newSet(t)
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	local, err := s.Signer()
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("what is to be signed")
	want, err := local.Sign(t.Context(), program, message)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(message)
	if err := rsa.VerifyPKCS1v15(s.DB.Certificate.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], want); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, SignatureFile(program)), want, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KEY", filepath.Join(dir, "db.key"))
	for name, signer := range map[string]interface {
		Sign(context.Context, string, []byte) ([]byte, error)
	}{
		"command":    Shell(`test "$KETCH_SIGN_NAME" = ` + program + ` && openssl dgst -sha256 -sign "$KEY"`),
		"signatures": Signatures{dir},
	} {
		if got, err := signer.Sign(t.Context(), program, message); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: Sign = %x, %v; want what the key at hand gives", name, got, err)
		}
	}
}

func TestCommandFails(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		ctx     context.Context
		command Command
		want    string
	}{
		{t.Context(), Shell("echo the token is locked >&2; exit 4"), "exit status 4: the token is locked"},
		{t.Context(), Shell("cat >/dev/null"), "no signature"},
		{t.Context(), Command{Args: []string{"/nonexistent/signer"}}, "no such file"},
		{t.Context(), Command{Args: []string{"false"}, Hint: "try another"}, "exit status 1"},
		{cancelled, Shell("sleep 10"), "canceled"},
	} {
		_, err := test.command.Sign(test.ctx, program, []byte("x"))
		if err == nil || !strings.Contains(err.Error(), test.want) || hint.Of(err) != test.command.Hint {
			t.Errorf("%q: Sign = %v, hint %q; want %q, hint %q", test.command.Args, err, hint.Of(err), test.want, test.command.Hint)
		}
	}
}

// What a signer complains of at length is cut to its end, where the reason stands.
func TestCommandComplainsAtLength(t *testing.T) {
	_, err := Shell("yes | head -n 9999 >&2; echo the reason >&2; exit 1").Sign(t.Context(), program, nil)
	if err == nil || len(err.Error()) > maxComplaint+100 || !strings.HasSuffix(err.Error(), "the reason") {
		t.Errorf("an error of %d bytes; want at most %d, with the reason", len(err.Error()), maxComplaint+100)
	}
}

// TestLoadWithout takes files away that a build does not need.
func TestLoadWithout(t *testing.T) {
	dir := newSet(t)
	for _, name := range []string{"PK.key", "PK.crt", "KEK.key", "KEK.crt", "GUID.txt"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Signer(); err != nil {
		t.Error(err)
	}
	if _, err := s.Enrolment(start); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "PK.crt") || hint.Of(err) == "" {
		t.Errorf("Enrolment = %v; want one that names PK.crt, with a hint", err)
	}
	if err := os.Remove(filepath.Join(dir, "db.key")); err != nil {
		t.Fatal(err)
	}
	if s, err = Load(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Signer(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "db.key") || !strings.Contains(hint.Of(err), "--sign-with") {
		t.Errorf("Signer = %v, hint %q; want one that names db.key, with a hint", err, hint.Of(err))
	}
}

func TestLoadFor(t *testing.T) {
	dir, other := newSet(t), newSet(t)
	certificate := filepath.Join(other, "db.crt")
	for name, test := range map[string]struct {
		dir         string
		development bool
	}{"with a directory": {dir, true}, "without": {filepath.Join(dir, "none"), false}} {
		s, err := LoadFor(certificate, test.dir)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Load(other)
		if err != nil {
			t.Fatal(err)
		}
		if !s.DB.Certificate.Equal(want.DB.Certificate) || s.DB.Key != nil || s.Development != test.development {
			t.Errorf("%s: LoadFor: certificate %s, key %v, development %v", name, s.DB.Certificate.Subject, s.DB.Key, s.Development)
		}
	}
	for _, test := range []struct{ certificate, want string }{
		{filepath.Join(dir, "none"), "no such file"},
		{filepath.Join(dir, "db.key"), `holds a PEM block "PRIVATE KEY"`},
		{filepath.Join(dir, "PK.crt"), "the same key as PK.crt"},
	} {
		if _, err := LoadFor(test.certificate, dir); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("LoadFor(%s) = %v; want %q", test.certificate, err, test.want)
		}
	}
}

// TestWriteAuth makes the enrolment files where the keys are and uses them where
// they are not.
func TestWriteAuth(t *testing.T) {
	dir := newSet(t)
	if _, err := WriteAuth(dir, start); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PK.key", "KEK.key", "db.key", "GUID.txt"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.Enrolment(start.AddDate(1, 0, 0))
	if err != nil || len(files) != 3 {
		t.Fatalf("Enrolment = %d files, %v; want 3", len(files), err)
	}
	for name, content := range files {
		if want, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(content, want) {
			t.Errorf("%s is not the file of the directory: %v", name, err)
		}
	}
	if err := s.CheckEnrolment(files[DBAuth]); err != nil {
		t.Error(err)
	}
	if err := s.CheckEnrolment(files["KEK.auth"]); err == nil {
		t.Error("CheckEnrolment takes what enrols another certificate")
	}
	if _, err := WriteAuth(dir, start); err == nil {
		t.Error("WriteAuth used the files that it is to make anew")
	}
}

// TestEnrolmentRefuses changes one .auth file of a set.
func TestEnrolmentRefuses(t *testing.T) {
	dir, other := newSet(t), newSet(t)
	for _, d := range []string{dir, other} {
		if _, err := WriteAuth(d, start); err != nil {
			t.Fatal(err)
		}
	}
	read := func(dir, name string) []byte {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	for _, test := range []struct {
		name, file string
		content    []byte
		want       string
	}{
		{"missing", "db.auth", nil, "db.auth: file does not exist"},
		{"another set's", "PK.auth", read(other, "PK.auth"), "PK.auth: verify update of variable PK"},
		{"another variable's", "db.auth", read(dir, "KEK.auth"), "db.auth: verify update of variable db"},
		{"damaged", "KEK.auth", []byte("no update"), "KEK.auth: parse signed update"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := filepath.Join(t.TempDir(), "keys")
			if err := os.CopyFS(changed, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(changed, test.file)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if test.content != nil {
				if err := os.WriteFile(path, test.content, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Load(changed)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Enrolment(start); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Enrolment = %v; want %q", err, test.want)
			}
		})
	}
}
