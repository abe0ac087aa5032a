package keys

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/efi/sigdb"
	"github.com/ketch-os/ketch/internal/guid"
	"github.com/ketch-os/ketch/internal/testkit"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// newSet makes keys in a directory of the test's own.
func newSet(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "deep", "keys")
	if err := New(dir, Options{Start: start}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNew(t *testing.T) {
	dir := newSet(t)
	want := map[string]fs.FileMode{
		"PK.key": 0o600, "KEK.key": 0o600, "db.key": 0o600,
		"PK.crt": 0o644, "KEK.crt": 0o644, "db.crt": 0o644,
		"GUID.txt": 0o644, "development": 0o644,
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if mode, ok := want[e.Name()]; !ok || info.Mode() != mode {
			t.Errorf("%s has mode %v; want %v", e.Name(), info.Mode(), mode)
		}
		delete(want, e.Name())
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLoad(t *testing.T) {
	dir := newSet(t)
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Development {
		t.Error("Development = false; want true")
	}
	if s.Owner == (guid.GUID{}) {
		t.Error("Owner is zero")
	}
	if got, want := s.DB.Certificate.Subject.CommonName, "Ketch development db"; got != want {
		t.Errorf("db is called %q; want %q", got, want)
	}
	if got, want := s.PK.Certificate.NotBefore, start.Truncate(time.Second); !got.Equal(want) {
		t.Errorf("valid from %v; want %v", got, want)
	}
	if err := os.Remove(filepath.Join(dir, "development")); err != nil {
		t.Fatal(err)
	}
	if s, err = Load(dir); err != nil || s.Development {
		t.Errorf("without the marker: Development = %v, %v; want false", s.Development, err)
	}
}

func TestNewRefuses(t *testing.T) {
	dir := newSet(t)
	before, err := os.ReadFile(filepath.Join(dir, "db.key"))
	if err != nil {
		t.Fatal(err)
	}
	err = New(dir, Options{Start: start})
	if !errors.Is(err, fs.ErrExist) || hint.Of(err) == "" {
		t.Errorf("New over keys = %v; want %v, with a hint", err, fs.ErrExist)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "db.key")); !bytes.Equal(before, after) {
		t.Error("New changed db.key")
	}
	if err := New(filepath.Join(dir, "db.crt", "x"), Options{Start: start}); err == nil {
		t.Error("New below a file succeeded")
	}
	if err := New(filepath.Join(t.TempDir(), "keys"), Options{}); err == nil {
		t.Error("New without a time succeeded")
	}
}

func TestLoadRefuses(t *testing.T) {
	whole, other := newSet(t), newSet(t)
	from := func(dir, name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, test := range []struct {
		name    string
		file    string
		content []byte // nil: removed
		want    string
	}{
		{"no certificate", "db.crt", nil, "db.crt: file does not exist"},
		{"bad owner", "GUID.txt", []byte("nobody"), `GUID.txt: parse GUID "nobody"`},
		{"empty key", "PK.key", []byte{}, "PK.key: not in PEM form"},
		{"key as certificate", "db.crt", from(whole, "db.key"), `db.crt: holds a PEM block "PRIVATE KEY"`},
		{"two certificates", "db.crt", append(from(whole, "db.crt"), from(whole, "db.crt")...), "db.crt: holds more than one"},
		{"another's key", "db.key", from(other, "db.key"), "db.key is not the key of"},
		{"another's certificate", "KEK.crt", from(other, "KEK.crt"), "KEK.key is not the key of"},
		{"damaged key", "PK.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{0x30, 3, 2, 1, 0}}), "PK.key: "},
		{"damaged certificate", "PK.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}), "PK.crt: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, test.file)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if test.content != nil {
				if err := os.WriteFile(path, test.content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("Load = %v; want error with %q and the path", err, test.want)
			}
		})
	}
}

// A key as OpenSSL wrote it before version 3 is the same key.
func TestReadKeyPKCS1(t *testing.T) {
	dir := newSet(t)
	path := filepath.Join(dir, "db.key")
	want, err := ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(testkit.Tool(t, "openssl"), "rsa", "-traditional", "-in", path, "-out", path).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl rsa: %v: %s", err, out)
	}
	if text, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(text, []byte("-----BEGIN RSA PRIVATE KEY-----")) {
		t.Fatalf("openssl wrote %.40q, %v", text, err)
	}
	if got, err := ReadKey(path); err != nil || !got.Equal(want) {
		t.Errorf("ReadKey = %v; want the same key", err)
	}
	if _, err := Load(dir); err != nil {
		t.Errorf("Load = %v", err)
	}
}

// What cannot sign is refused with the reason and the cure.
func TestReadKeyRefuses(t *testing.T) {
	openssl := testkit.Tool(t, "openssl")
	for _, test := range []struct {
		name       string
		args       []string
		want, cure string
	}{
		{"short", []string{"genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"}, "RSA key of 1024 bits", "ketch keys new"},
		{"short, PKCS #1", []string{"genrsa", "-traditional", "1024"}, "RSA key of 1024 bits", "ketch keys new"},
		{"curve", []string{"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, "is not RSA", "openssl genpkey -algorithm RSA"},
		{"curve, SEC 1", []string{"ecparam", "-genkey", "-noout", "-name", "prime256v1"}, `"EC PRIVATE KEY"`, "openssl genpkey -algorithm RSA"},
		{"encrypted", []string{"genpkey", "-algorithm", "RSA", "-aes256", "-pass", "pass:x"}, "the key is encrypted", "openssl pkey -in "},
		{"encrypted, PKCS #1", []string{"genrsa", "-traditional", "-aes256", "-passout", "pass:x", "2048"}, "the key is encrypted", "openssl pkey -in "},
	} {
		path := filepath.Join(t.TempDir(), "db.key")
		cmd := exec.Command(openssl, test.args...)
		text, err := cmd.Output()
		if err != nil {
			t.Fatalf("openssl %q: %v", test.args, err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = ReadKey(path)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) || !strings.Contains(hint.Of(err), test.cure) {
			t.Errorf("%s: ReadKey = %v, hint %q; want %q and %q", test.name, err, hint.Of(err), test.want, test.cure)
		}
	}
}

// A signer that lives elsewhere is known by its certificate: that is held to the same.
func TestLoadForRefusesAShortKey(t *testing.T) {
	dir := t.TempDir()
	certificate := filepath.Join(dir, "db.crt")
	out, err := exec.Command(testkit.Tool(t, "openssl"), "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=weak",
		"-keyout", filepath.Join(dir, "key"), "-out", certificate).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl req: %v: %s", err, out)
	}
	if _, err := LoadFor(certificate, dir); err == nil || !strings.Contains(err.Error(), "RSA key of 1024 bits") {
		t.Errorf("LoadFor = %v; want that its key is short", err)
	}
}

func TestLoadRefusesOneKeyTwice(t *testing.T) {
	dir := newSet(t)
	for _, suffix := range []string{".key", ".crt"} {
		b, err := os.ReadFile(filepath.Join(dir, "PK"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "db"+suffix), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "the same key as PK.crt") {
		t.Errorf("Load = %v; want an error that names PK.crt", err)
	}
}

func TestLoadHint(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !strings.Contains(hint.Of(err), "ketch keys new") {
		t.Errorf("Load of nothing: %v, hint %q; want one with the command", err, hint.Of(err))
	}
}

func TestExpired(t *testing.T) {
	s, err := Load(newSet(t))
	if err != nil {
		t.Fatal(err)
	}
	each := func(what string) (notes []string) {
		for _, name := range []string{"PK", "KEK", "db"} {
			notes = append(notes, fmt.Sprintf("the certificate of %s (CN=Ketch development %[1]s) %s", name, what))
		}
		return notes
	}
	for _, test := range []struct {
		now  time.Time
		want []string
	}{
		{start.AddDate(1, 0, 0), nil},
		{start.AddDate(30, 0, -31), nil},
		{start.AddDate(30, 0, -29), each("expires on 2056-01-02")},
		{start.AddDate(31, 0, 0), each("expired on 2056-01-02")},
		{start.AddDate(-1, 0, 0), each("is valid only from 2026-01-02")},
	} {
		if got := s.Expired(test.now); !slices.Equal(got, test.want) {
			t.Errorf("Expired(%v) = %q; want %q", test.now, got, test.want)
		}
	}
	if err := os.Remove(filepath.Join(s.dir, "KEK.crt")); err != nil {
		t.Fatal(err)
	}
	if s, err = Load(s.dir); err != nil {
		t.Fatal(err)
	}
	if got := s.Expired(start.AddDate(31, 0, 0)); len(got) != 2 {
		t.Errorf("without KEK.crt: Expired = %q; want two lines", got)
	}
}

func TestEnrolment(t *testing.T) {
	s, err := Load(newSet(t))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	files, err := s.Enrolment(at)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Errorf("%d files; want 3", len(files))
	}
	for v, signer := range map[sigdb.Variable]Pair{sigdb.PK: s.PK, sigdb.KEK: s.PK, sigdb.DB: s.KEK} {
		update, err := sigdb.ParseAuth(files[string(v)+".auth"])
		if err != nil {
			t.Fatal(err)
		}
		if err := update.Verify(v, signer.Certificate); err != nil {
			t.Error(err)
		}
		list, err := sigdb.ParseList(update.Content)
		if err != nil || len(list) != 1 || !list[0].Certificate.Equal(s.pair(v).Certificate) || list[0].Owner != s.Owner {
			t.Errorf("%s.auth holds %v, %v; want the certificate of %s", v, list, err, v)
		}
	}
	again, err := s.Enrolment(at)
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if !bytes.Equal(files[name], again[name]) {
			t.Errorf("%s differs when made again", name)
		}
	}
}

// OpenSSL is what firmware and sbverify use.
func TestOpenSSLTakesThem(t *testing.T) {
	tool, dir := testkit.Tool(t, "openssl"), newSet(t)
	for _, name := range []string{"PK", "KEK", "db"} {
		path := filepath.Join(dir, name)
		for _, args := range [][]string{
			{"pkey", "-in", path + ".key", "-check", "-noout"},
			{"verify", "-x509_strict", "-CAfile", path + ".crt", path + ".crt"},
		} {
			if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
				t.Errorf("openssl %v: %v\n%s", args, err, out)
			}
		}
	}
}

func FuzzReadKey(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n"))
	path := filepath.Join(f.TempDir(), "key")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		ReadKey(path)
	})
}
