package fat

import (
	"fmt"
	"strings"
	"testing"
)

func TestShortNames(t *testing.T) {
	for _, test := range []struct {
		long []string
		want []string
	}{
		// Examples of fatgen103.
		{[]string{"The quick brown.fox"}, []string{"THEQUI~1.FOX"}},
		{[]string{"PICKLE.A", "prettybg.big"}, []string{"PICKLE.A", "PRETTYBG.BIG"}},
		{[]string{"NAME.TXT", "name2.txt", "Name3.Txt"}, []string{"NAME.TXT", "NAME2.TXT", "NAME3.TXT"}},
		{[]string{"loader.conf", "loader.configuration"}, []string{"LOADER~1.CON", "LOADER~2.CON"}},
		{[]string{"loader.conf", "LOADER~1.CON"}, []string{"LOADER~2.CON", "LOADER~1.CON"}},
		{[]string{"loader.conf", "loader~1.con"}, []string{"LOADER~2.CON", "LOADER~1.CON"}},
		{[]string{".hidden", "..two"}, []string{"HIDDEN~1", "TWO~1"}},
		{[]string{"two.dots.gz"}, []string{"TWO~1.GZ"}},
		{[]string{"ä.txt", "ö.txt"}, []string{"_~1.TXT", "_~2.TXT"}},
		{[]string{"a+b", "a b", "a=b"}, []string{"A_B~1", "AB~1", "A_B~2"}},
		{[]string{"ketch_0.1.0+3-0.efi"}, []string{"KETCH_~1.EFI"}},
		{[]string{"ABCDEFGHI", "ABCDEFGH"}, []string{"ABCDEF~1", "ABCDEFGH"}},
	} {
		short, err := shortNames(test.long)
		if err != nil {
			t.Error(err)
			continue
		}
		for i, s := range short {
			if got := s.text(0); got != test.want[i] {
				t.Errorf("shortNames(%q)[%d] = %q; want %q", test.long, i, got, test.want[i])
			}
		}
	}
}

func TestShortNamesAreUnique(t *testing.T) {
	var long []string
	for i := range 12000 {
		long = append(long, fmt.Sprintf("kernel %c%05d.conf", 'a'+i%7, i))
	}
	short, err := shortNames(long)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[shortName]string)
	for i, s := range short {
		if other, twice := seen[s]; twice {
			t.Fatalf("%q and %q are both %q", other, long[i], s.text(0))
		}
		seen[s] = long[i]
		if s[6] != '~' && s[5] != '~' && s[4] != '~' && s[3] != '~' && s[2] != '~' {
			t.Fatalf("%q has no numeric tail: %q", long[i], s.text(0))
		}
	}
}

func TestNeedsLong(t *testing.T) {
	for name, want := range map[string]bool{"BOOTX64.EFI": false, "EFI": false, "db.auth": true, "Linux": true, "A B": true, "A.B.C": true} {
		short, err := shortNames([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		if got := needsLong(name, short[0]); got != want {
			t.Errorf("needsLong(%q) = %v; want %v", name, got, want)
		}
	}
}

func TestChecksum(t *testing.T) {
	const want = 0x73
	if got := shortName([]byte("README  TXT")).checksum(); got != want {
		t.Errorf("checksum = %#02x; want %#02x", got, want)
	}
}

func TestLongName(t *testing.T) {
	short := shortName([]byte("LONGNA~1TXT"))
	for n := 1; n <= maxLongUnits; n++ {
		want := strings.Repeat("x", n-1) + "é"
		entries := longEntries(want, short)
		if got, ok := longName(entries, short); !ok || got != want {
			t.Fatalf("longName of %d units = %q, %v", n, got, ok)
		}
		if len(entries) != (n+12)/13 {
			t.Errorf("%d units take %d entries", n, len(entries))
		}
	}
}

// TestLongNameFallback: entries that do not belong together give the short name.
func TestLongNameFallback(t *testing.T) {
	short := shortName([]byte("LONGNA~1TXT"))
	fresh := func() []longEntry { return longEntries("a long name of three entries here.txt", short) }
	for name, entries := range map[string][]longEntry{
		"none":        nil,
		"no last":     fresh()[1:],
		"no first":    fresh()[:2],
		"twice":       append(fresh(), fresh()...),
		"other short": longEntries("a long name", shortName([]byte("OTHER   TXT"))),
		"type":        func() []longEntry { e := fresh(); e[1].Type = 1; return e }(),
		"surrogate":   func() []longEntry { e := fresh(); e[2].Name1[0] = 0xd800; return e }(),
		"slash":       func() []longEntry { e := fresh(); e[2].Name1[0] = '/'; return e }(),
		"empty":       func() []longEntry { e := longEntries("x", short); e[0].Name1[0] = 0; return e }(),
		"too many":    make([]longEntry, 300),
	} {
		if got, ok := longName(entries, short); ok {
			t.Errorf("%s: longName = %q; want none", name, got)
		}
	}
}

func TestShortText(t *testing.T) {
	for _, test := range []struct {
		name  string
		ntRes uint8
		want  string
	}{
		{"NAME    TXT", 0, "NAME.TXT"},
		{"NAME    TXT", ntLowerBase, "name.TXT"},
		{"NAME    TXT", ntLowerBase | ntLowerExt, "name.txt"},
		{"NAME       ", ntLowerExt, "NAME"},
		{"\x05AB        ", 0, "åAB"},
	} {
		if got := shortName([]byte(test.name)).text(test.ntRes); got != test.want {
			t.Errorf("text(%q, %#x) = %q; want %q", test.name, test.ntRes, got, test.want)
		}
	}
}
