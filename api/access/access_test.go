package access

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.json")
	want := File{
		Users:             []User{{Name: "core", Keys: []string{"ssh-ed25519 AAAA one"}}, {Name: "empty"}},
		TrustedUserCAKeys: []string{"ssh-ed25519 AAAA ca"},
		Port:              2222,
	}
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Read after Write (-want +got):\n%s", diff)
	}
}

// TestNobody: the file is there only while somebody may sign in.
func TestNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.json")
	if err := (File{TrustedUserCAKeys: []string{"ssh-ed25519 AAAA"}}).Write(path); err != nil {
		t.Fatal(err)
	}
	for range 2 { // to take away what is not there is no error
		if err := (File{Users: []User{{Name: "core"}}, Port: 22}).Write(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Read = %v; want that the file is not there", err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                 "end of JSON",
		"[]":               "array",
		`{"users":"core"}`: "string",
		`{"port":-1}`:      "port -1",
		`{"port":65536}`:   "port 65536",
		`{"users":[` + strings.Repeat(" ", maxSize): "more than",
	} {
		if _, err := Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Decode(%.20q…) = %v; want %q in it", text, err, want)
		}
	}
}

// TestFingerprint: ssh-keygen -l says the same.
func TestFingerprint(t *testing.T) {
	const line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKLTN1bQRSlIsn3UBXxsKTSVT5LZqYKk5qXkSpmT6M1N anna@home\n"
	path := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(testkit.Tool(t, "ssh-keygen"), "-l", "-f", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Fingerprint([]byte(line)); err != nil || got != strings.Fields(string(said))[1] {
		t.Errorf("Fingerprint = %q, %v; ssh-keygen says %s", got, err, said)
	}
	for _, line := range []string{"", "ssh-ed25519", "ssh-ed25519 !"} {
		if got, err := Fingerprint([]byte(line)); err == nil {
			t.Errorf("Fingerprint(%q) = %q; want an error", line, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"users":[{"name":"core","keys":["ssh-ed25519 AAAA"]}],"port":22}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Decode(text)
		if err == nil && (file.Port < 0 || file.Port > 65535) {
			t.Errorf("Decode(%q) let port %d pass", text, file.Port)
		}
	})
}
