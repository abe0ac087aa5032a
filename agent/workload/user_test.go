package workload

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/internal/plainfile"
)

const (
	passwdText = "# users\nroot:x:0:0::/:\nbad:x:y:0::/:\nworse:x:0:y::/:\n:x:7:7::/:\nshort:x:9\napp:x:1000:100::/:\nother:x:1000:7::/:\n-1:x:5:5::/:\n"
	groupText  = "root:x:0:root\nusers:x:100:\nwheel:x:10:root,app\nadm:x:4:app\nagain:x:10:app\nbad:x:-1:app\nshort:x\n"
)

func TestFindUser(t *testing.T) {
	for _, test := range []struct {
		given string
		want  specs.User
		fails string
	}{
		{"", specs.User{AdditionalGids: []uint32{0, 10}}, ""},
		{"root", specs.User{AdditionalGids: []uint32{0, 10}}, ""},
		{"app", specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{100, 10, 4}}, ""},
		{"1000", specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{100, 10, 4}}, ""},
		{"app:", specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{100, 10, 4}}, ""},
		{"app:wheel", specs.User{UID: 1000, GID: 10, AdditionalGids: []uint32{10}}, ""},
		{"app:77", specs.User{UID: 1000, GID: 77, AdditionalGids: []uint32{77}}, ""},
		{":adm", specs.User{GID: 4, AdditionalGids: []uint32{4}}, ""},
		{"4242", specs.User{UID: 4242, AdditionalGids: []uint32{0}}, ""},
		{"4242:4343", specs.User{UID: 4242, GID: 4343, AdditionalGids: []uint32{4343}}, ""},
		{"2147483647", specs.User{UID: math.MaxInt32, AdditionalGids: []uint32{0}}, ""},
		{"-1", specs.User{UID: 5, GID: 5, AdditionalGids: []uint32{5}}, ""},
		{"2147483648", specs.User{}, "user 2147483648"},
		{"0:4294967296", specs.User{}, "group 4294967296"},
		{"nobody", specs.User{}, `no user "nobody"`},
		{"bad", specs.User{}, `no user "bad"`},
		{"worse", specs.User{}, `no user "worse"`},
		{"short", specs.User{}, `no user "short"`},
		{"app:nogroup", specs.User{}, `no group "nogroup"`},
		{"app:wheel:x", specs.User{}, `no group "wheel:x"`},
	} {
		got, err := findUser(test.given, passwdText, groupText)
		if test.fails != "" {
			if err == nil || !strings.Contains(err.Error(), test.fails) {
				t.Errorf("findUser(%q) = %v; want an error with %q", test.given, err, test.fails)
			}
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("findUser(%q): %v (-want +got):\n%s", test.given, err, diff)
		}
	}
}

// TestUserIn: accounts are read where the image has them, over links too, and from
// nothing that a reader would wait at.
func TestUserIn(t *testing.T) {
	image := func(prepare func(etc string) error) string {
		root := t.TempDir()
		etc := filepath.Join(root, "etc")
		if err := errors.Join(os.Mkdir(etc, 0o755), prepare(etc)); err != nil {
			t.Fatal(err)
		}
		return root
	}
	for name, test := range map[string]struct {
		prepare func(etc string) error
		user    string
		uid     uint32
		want    error
	}{
		"none":  {func(string) error { return nil }, "7", 7, nil},
		"files": {func(etc string) error { return os.WriteFile(etc+"/passwd", []byte(passwdText), 0o644) }, "app", 1000, nil},
		"a link": {func(etc string) error {
			return errors.Join(os.WriteFile(etc+"/store", []byte(passwdText), 0o644), os.Symlink("/etc/store", etc+"/passwd"))
		}, "app", 1000, nil},
		"a FIFO for passwd": {func(etc string) error { return unix.Mkfifo(etc+"/passwd", 0o644) }, "app", 0, plainfile.ErrForeign},
		"a FIFO for group":  {func(etc string) error { return unix.Mkfifo(etc+"/group", 0o644) }, "7", 0, plainfile.ErrForeign},
		"too large": {func(etc string) error {
			return errors.Join(os.WriteFile(etc+"/group", nil, 0o644), os.Truncate(etc+"/group", maxAccounts+1))
		}, "7", 0, plainfile.ErrTooLarge},
	} {
		got, err := userIn(image(test.prepare), test.user)
		if got.UID != test.uid || !errors.Is(err, test.want) {
			t.Errorf("%s: userIn = %+v, %v; want uid %d, %v", name, got, err, test.uid, test.want)
		}
	}
}

func FuzzFindUser(f *testing.F) {
	for _, given := range []string{"", "app", "app:wheel", "1000:", "0:0", "a:b:c"} {
		f.Add(given, passwdText, groupText)
	}
	f.Fuzz(func(t *testing.T, given, passwd, group string) {
		user, err := findUser(given, passwd, group)
		if err == nil && (user.UID > maxID || user.GID > maxID || !slices.Contains(user.AdditionalGids, user.GID)) {
			t.Errorf("findUser(%q, %q, %q) = %+v", given, passwd, group, user)
		}
	})
}
