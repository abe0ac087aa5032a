package guid

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestGUID(t *testing.T) {
	const text = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	g := MustParse(strings.ToUpper(text))
	// The bytes that UEFI firmware has for the EFI system partition.
	want := GUID{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}
	if g != want || g.String() != text {
		t.Errorf("Parse(%s) = %x, %s", text, g[:], g)
	}
	hash := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	if got := UUID(hash).String(); got != "00010203-0405-0607-0809-0a0b0c0d0e0f" {
		t.Errorf("UUID(%x) = %s", hash, got)
	}
	for _, bad := range []string{"", text[1:], text + "0", strings.ReplaceAll(text, "-", "0"), strings.Replace(text, "c", "g", 1),
		"111111112-222-3333-4444-123456789abc", "{" + text + "}", "11111111-2222-3333-44441-23456789abc", "11111111-2222-3333-4444-12345678-9abc"} {
		if g, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) = %s; want an error", bad, g)
		}
	}
	out, err := json.Marshal(map[string]GUID{"id": g})
	if err != nil || string(out) != `{"id":"`+text+`"}` {
		t.Errorf("JSON: %s, %v", out, err)
	}
	var back map[string]GUID
	if err := json.Unmarshal(out, &back); err != nil || back["id"] != g {
		t.Errorf("JSON back: %v, %v", back, err)
	}
}

func TestStamp(t *testing.T) {
	ones := [16]byte([]byte(strings.Repeat("\xff", 16)))
	if got, want := UUID(Stamp(ones, 4)).String(), "ffffffff-ffff-4fff-bfff-ffffffffffff"; got != want {
		t.Errorf("Stamp(ones, 4) = %s; want %s", got, want)
	}
	if got, want := UUID(Stamp([16]byte{}, 8)).String(), "00000000-0000-8000-8000-000000000000"; got != want {
		t.Errorf("Stamp(zeros, 8) = %s; want %s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := Parse(text)
		if err == nil && g.String() != strings.ToLower(text) {
			t.Errorf("Parse(%q) = %s", text, g)
		}
	})
}
