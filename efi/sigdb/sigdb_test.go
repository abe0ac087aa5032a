package sigdb

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/efi/internal/fixture"
	"github.com/ketch-os/ketch/internal/guid"
	"github.com/ketch-os/ketch/internal/testkit"
)

const ownerText = "11111111-2222-3333-4444-123456789abc"

func owner(t testing.TB) guid.GUID {
	t.Helper()
	g, err := guid.Parse(ownerText)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func at() time.Time { return time.Date(2026, 11, 22, 12, 34, 56, 789, time.UTC) }

func TestRecordSizes(t *testing.T) {
	for _, test := range []struct {
		record any
		want   int
	}{
		{guid.GUID{}, sizeGUID}, {signatureList{}, sizeSignatureList}, {efiTime{}, sizeTime}, {authentication{}, sizeAuthentication},
	} {
		if got := binary.Size(test.record); got != test.want {
			t.Errorf("binary.Size(%T) = %d; want %d", test.record, got, test.want)
		}
	}
}

// TestGUIDs: the bytes that firmware compares, and the text that people read.
func TestGUIDs(t *testing.T) {
	want := []byte{0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc}
	if got := appendRecord(nil, owner(t)); !bytes.Equal(got, want) {
		t.Errorf("%v encodes as %x; want %x", owner(t), got, want)
	}
	for name, g := range map[string]guid.GUID{"X.509": certX509(), "PKCS #7": certPKCS7(), "global": globalVariable(), "security database": imageSecurityDatabase()} {
		if g.IsZero() {
			t.Errorf("%s is zero", name)
		}
	}
}

func TestListLikeEfitools(t *testing.T) {
	tool := testkit.Tool(t, "cert-to-efi-sig-list")
	key := fixture.Key(t, "Test PK", nil)
	_, certFile := key.Files(t)
	out := filepath.Join(t.TempDir(), "esl")
	fixture.Run(t, tool, "-g", ownerText, certFile, out)
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if got := List(owner(t), key.Certificate); !bytes.Equal(got, want) {
		t.Errorf("List = %x; cert-to-efi-sig-list says %x", got, want)
	}
}

func TestAuthLikeEfitools(t *testing.T) {
	tool := testkit.Tool(t, "sign-efi-sig-list")
	key := fixture.Key(t, "Test KEK", nil)
	keyFile, certFile := key.Files(t)
	list := List(owner(t), key.Certificate)
	for _, v := range []Variable{PK, KEK, DB} {
		dir := t.TempDir()
		in, out := fixture.Write(t, filepath.Join(dir, "esl"), list), filepath.Join(dir, "auth")
		fixture.Run(t, tool, "-t", at().Format(time.DateTime), "-k", keyFile, "-c", certFile, string(v), in, out)
		want, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Auth(v, list, at(), key.Key, key.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: Auth = %x; sign-efi-sig-list says %x", v, got, want)
		}
		// The same in two steps: the key may be far away.
		u, err := ParseAuth(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Verify(v, key.Certificate); err != nil {
			t.Error(err)
		}
	}
}

func TestParseList(t *testing.T) {
	a, b := fixture.Key(t, "A", nil), fixture.Key(t, "Another", nil)
	list := List(owner(t), a.Certificate, b.Certificate)
	got, err := ParseList(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !got[0].Certificate.Equal(a.Certificate) || !got[1].Certificate.Equal(b.Certificate) || got[1].Owner != owner(t) {
		t.Errorf("ParseList = %v; want both certificates", got)
	}
	if got, err := ParseList(nil); err != nil || len(got) != 0 {
		t.Errorf("ParseList of nothing = %v, %v; want nothing", got, err)
	}
	le := binary.LittleEndian
	for name, edit := range map[string]func([]byte) []byte{
		"truncated":         func(b []byte) []byte { return b[:len(b)-1] },
		"header only":       func(b []byte) []byte { return b[:27] },
		"type":              func(b []byte) []byte { b[0]++; return b },
		"list size":         func(b []byte) []byte { le.PutUint32(b[16:], 0xffffffff); return b },
		"small list size":   func(b []byte) []byte { le.PutUint32(b[16:], 27); return b },
		"header size":       func(b []byte) []byte { le.PutUint32(b[20:], 1); return b },
		"signature size 0":  func(b []byte) []byte { le.PutUint32(b[24:], 0); return b },
		"signature size 16": func(b []byte) []byte { le.PutUint32(b[24:], 16); return b },
		"certificate":       func(b []byte) []byte { b[44]++; return b },
	} {
		if got, err := ParseList(edit(bytes.Clone(list))); err == nil {
			t.Errorf("%s: ParseList = %v; want an error", name, got)
		}
	}
}

func TestVerifyUpdate(t *testing.T) {
	key, other := fixture.Key(t, "Test KEK", nil), fixture.Key(t, "Other", nil)
	list := List(owner(t), key.Certificate)
	b, err := Auth(DB, list, at(), key.Key, key.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	u, err := ParseAuth(b)
	if err != nil {
		t.Fatal(err)
	}
	if !u.Time.Equal(at().Truncate(time.Second)) || !bytes.Equal(u.Content, list) {
		t.Errorf("Time %v, %d bytes of content; want %v, %d", u.Time, len(u.Content), at(), len(list))
	}
	if err := u.Verify(DB, key.Certificate); err != nil {
		t.Error(err)
	}
	if err := u.Verify(KEK, key.Certificate); err == nil {
		t.Error("an update of db passes for one of KEK")
	}
	if err := u.Verify(DB, other.Certificate); err == nil || !strings.Contains(err.Error(), "unknown certificate") {
		t.Errorf("Verify with another certificate = %v", err)
	}
	for i := range b {
		changed := bytes.Clone(b)
		changed[i] ^= 1
		u, err := ParseAuth(changed)
		if err == nil && u.Verify(DB, key.Certificate) == nil {
			t.Errorf("byte %#x changed: no one notices", i)
		}
	}
}

func TestAuthRefuses(t *testing.T) {
	key, other := fixture.Key(t, "Test KEK", nil), fixture.Key(t, "Other", nil)
	for name, err := range map[string]error{
		"variable": second(Auth("dbx", nil, at(), key.Key, key.Certificate)),
		"year":     second(Auth(DB, nil, at().AddDate(-200, 0, 0), key.Key, key.Certificate)),
		"key":      second(Auth(DB, nil, at(), other.Key, key.Certificate)),
	} {
		if err == nil {
			t.Errorf("%s: Auth = nil; want an error", name)
		}
	}
}

func second(_ []byte, err error) error { return err }

// A time zone must not change what is signed.
func TestAuthTimeZone(t *testing.T) {
	key := fixture.Key(t, "Test KEK", nil)
	a, err := Auth(DB, nil, at(), key.Key, key.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Auth(DB, nil, at().In(time.FixedZone("", 5*3600)), key.Key, key.Certificate)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("another time zone gives another update (%v)", err)
	}
}

func FuzzParseList(f *testing.F) {
	key := fixture.Key(f, "Test db", nil)
	f.Add(List(owner(f), key.Certificate))
	f.Add(List(owner(f), key.Certificate, key.Certificate))
	f.Fuzz(func(t *testing.T, b []byte) {
		signatures, err := ParseList(b)
		if err != nil {
			return
		}
		var again []byte
		for _, s := range signatures {
			again = append(again, List(s.Owner, s.Certificate)...)
		}
		if got, err := ParseList(again); err != nil || len(got) != len(signatures) {
			t.Errorf("ParseList of the same signatures = %v, %v", got, err)
		}
	})
}

func FuzzParseAuth(f *testing.F) {
	key := fixture.Key(f, "Test db", nil)
	b, err := Auth(DB, List(owner(f), key.Certificate), at(), key.Key, key.Certificate)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	want := List(owner(f), key.Certificate)
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := ParseAuth(b)
		if err == nil && u.Verify(DB, key.Certificate) == nil && !bytes.Equal(u.Content, want) {
			t.Error("Verify accepts what was never signed")
		}
	})
}
