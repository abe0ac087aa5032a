package apt

import (
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/internal/testkit"
)

// repository makes a Debian repository with one package, and has apt, by way of
// APT_CONFIG, know that repository and no other. It returns the package's file.
func repository(t *testing.T) string {
	t.Helper()
	testkit.Tool(t, "apt-get")
	root := t.TempDir()
	file := filepath.Join(root, "repo/probe_1%3a1.0~rc1_amd64.deb")
	control := "Package: probe\nVersion: 1:1.0~rc1\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.org>\nDescription: probe\n"
	write(t, filepath.Join(root, "probe/DEBIAN/control"), control)
	write(t, filepath.Join(root, "probe/usr/share/probe"), "probe")
	if err := os.Mkdir(filepath.Join(root, "repo"), 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, testkit.Tool(t, "dpkg-deb"), "--root-owner-group", "--build", filepath.Join(root, "probe"), file)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "repo/Packages"), fmt.Sprintf("%sFilename: ./%s\nSize: %d\nMD5sum: %x\nSHA256: %x\n",
		control, filepath.Base(file), len(content), md5.Sum(content), sha256.Sum256(content)))
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "etc/sources.list"), "deb [trusted=yes] copy:"+root+"/repo ./\n")
	write(t, filepath.Join(root, "apt.conf"), fmt.Sprintf(`
Dir::Etc %q; Dir::State %q; Dir::Cache %q; Dir::State::status "/dev/null";
APT::Architecture "amd64"; APT::Sandbox::User "root"; Acquire::Languages "none";
`, root+"/etc", root+"/state", root+"/cache"))
	t.Setenv("APT_CONFIG", filepath.Join(root, "apt.conf"))
	command(t, "apt-get", "-qq", "update")
	return file
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if output, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, output)
	}
}

func TestResolveAndFetch(t *testing.T) {
	original := repository(t)
	a := Apt{Cache: filepath.Join(t.TempDir(), "cache")}
	files, err := a.Resolve(t.Context(), []string{"probe"})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || files[0].Version() != "1:1.0~rc1" || files[0].Package != "probe" {
		t.Fatalf("Resolve = %+v; want probe 1:1.0~rc1", files)
	}
	paths, err := a.Fetch(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	same := func() {
		t.Helper()
		got, err := os.ReadFile(paths[0])
		if err != nil || string(got) != string(want) {
			t.Errorf("Fetch: %s is not the file of the repository (%v)", paths[0], err)
		}
	}
	same()

	// A damaged file in the cache is fetched again.
	if err := os.Truncate(paths[0], 100); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Fetch(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	same()

	// A file that is there is not asked for; one that the index does not vouch for is refused.
	if err := os.WriteFile(original, want[:len(want)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Fetch(t.Context(), files); err != nil {
		t.Errorf("Fetch with a full cache: %v", err)
	}
	if err := os.Remove(paths[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Fetch(t.Context(), files); err == nil {
		t.Error("Fetch of a damaged package: no error")
	}
	left, err := filepath.Glob(filepath.Join(a.Cache, ".fetch-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("Fetch left %q", left)
	}
}

// What apt said is kept; a kept answer that is damaged is asked for again, rather
// than to stand in the way until somebody finds and removes it.
func TestResolveAgain(t *testing.T) {
	repository(t)
	a := Apt{Cache: t.TempDir()}
	want, err := a.Resolve(t.Context(), []string{"probe"})
	if err != nil {
		t.Fatal(err)
	}
	memos, err := filepath.Glob(filepath.Join(a.Cache, "resolved", "*"))
	if err != nil || len(memos) != 1 {
		t.Fatalf("answers kept: %q, %v; want one", memos, err)
	}
	kept, err := os.ReadFile(memos[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"emptied": "", "cut short": string(kept[:len(kept)/2]),
		"another package": strings.ReplaceAll(string(kept), want[0].SHA256, strings.Repeat("0", 64)),
	} {
		write(t, memos[0], content)
		got, err := a.Resolve(t.Context(), []string{"probe"})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("the kept answer %s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestResolveUnknown(t *testing.T) {
	repository(t)
	a := Apt{Cache: t.TempDir()}
	_, err := a.Resolve(t.Context(), []string{"probe", "no-such-package"})
	if err == nil || !strings.Contains(err.Error(), "no-such-package") || !strings.Contains(hint.Of(err), "apt-get update") {
		t.Errorf("Resolve(no-such-package) = %v, hint %q", err, hint.Of(err))
	}
}

func TestNoApt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Apt{Cache: t.TempDir()}.Resolve(t.Context(), []string{"probe"})
	if !errors.Is(err, exec.ErrNotFound) || !strings.Contains(hint.Of(err), "Debian 12") {
		t.Errorf("Resolve without apt-get = %v, hint %q", err, hint.Of(err))
	}
}

func TestParseURIs(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	output := "W: noise\n" +
		"'http://m/pool/libc6_2.36-9%2bdeb12u14_amd64.deb' libc6_2.36-9+deb12u14_amd64.deb 2759320 SHA256:" + hash + "\n" +
		"'http://m/pool/libgmp10_6.2.1_amd64.deb' libgmp10_2%3a6.2.1+dfsg1-1.1_amd64.deb 1 SHA256:" + hash + "\n" +
		"'http://m/pool/old_1_all.deb' old_1_all.deb 1 MD5Sum:00\n"
	files, err := parseURIs([]byte(output), []string{"libgmp10", "libc6"})
	if err != nil {
		t.Fatal(err)
	}
	want := []File{
		{"libgmp10", "libgmp10_2%3a6.2.1+dfsg1-1.1_amd64.deb", hash},
		{"libc6", "libc6_2.36-9+deb12u14_amd64.deb", hash},
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("parseURIs (-want +got):\n%s", diff)
	}
	for i, want := range []string{"2:6.2.1+dfsg1-1.1", "2.36-9+deb12u14"} {
		if got := files[i].Version(); got != want {
			t.Errorf("%s: version %q; want %q", files[i].Name, got, want)
		}
	}
	if _, err := parseURIs([]byte(output), []string{"old"}); err == nil || !strings.Contains(err.Error(), "old") {
		t.Errorf("parseURIs(old) = %v; want an error: no SHA-256", err)
	}
}

// FuzzParseURIs: of what apt prints, a file is taken only with its digest.
func FuzzParseURIs(f *testing.F) {
	f.Add([]byte("'http://deb.example.org/p/probe_1_amd64.deb' probe_1%3a1.0_amd64.deb 712 SHA256:" + strings.Repeat("0", 64) + "\n"))
	f.Add([]byte("Get:1 probe\n'x' y 0 MD5Sum:0\n"))
	f.Fuzz(func(t *testing.T, output []byte) {
		files, err := parseURIs(output, []string{"probe"})
		if err == nil && (len(files) != 1 || files[0].Package != "probe" || len(files[0].SHA256) != 64 || strings.ContainsAny(files[0].Name, "/\n")) {
			t.Errorf("parseURIs(%q) = %+v", output, files)
		}
	})
}
