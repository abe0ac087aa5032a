package entry

import (
	"math/rand"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for file, want := range map[string]Name{
		"ketch_1.0.efi":                    {ID: "ketch_1.0"},
		"ketch_1.0+3-0.efi":                {ID: "ketch_1.0", Counted: true, Left: 3},
		"ketch_1.0+0-3.efi":                {ID: "ketch_1.0", Counted: true, Done: 3},
		"ketch_1.0+5.efi":                  {ID: "ketch_1.0", Counted: true, Left: 5},
		"ketch_1.0+09-01.efi":              {ID: "ketch_1.0", Counted: true, Left: 9, Done: 1},
		"ketch_1.0-rc1+git5+2-1.efi":       {ID: "ketch_1.0-rc1+git5", Counted: true, Left: 2, Done: 1},
		"ketch_1.0+git5.efi":               {ID: "ketch_1.0+git5"},
		"a.efi.efi":                        {ID: "a.efi"},
		"x+999999999-0.efi":                {ID: "x", Counted: true, Left: 999999999},
		strings.Repeat("x", 251) + ".efi":  {ID: strings.Repeat("x", 251)},
		"ketch_1.0+1+b.efi":                {ID: "ketch_1.0+1+b"},
		"ketch_2026.11.22+build.7+3-0.efi": {ID: "ketch_2026.11.22+build.7", Counted: true, Left: 3},
	} {
		got, err := Parse(file)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", file, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for file, want := range map[string]string{
		"":                                "does not end in .efi",
		"ketch_1.0":                       "does not end in .efi",
		"ketch_1.0+3-0.conf":              "does not end in .efi",
		"ketch_1.0+3-0.EFI":               "does not end in .efi",
		"ketch_1.0+3-0.efi.tmp":           "does not end in .efi",
		".efi":                            "no ID",
		"+3-0.efi":                        "no ID",
		".hidden.efi":                     "starts with a dot",
		"a/b.efi":                         "character other than",
		"a b.efi":                         "character other than",
		"ä.efi":                           "character other than",
		"a\x00.efi":                       "character other than",
		"a+.efi":                          "malformed counter +",
		"a+3-.efi":                        "malformed counter +3-",
		"a+-3.efi":                        "malformed counter +-3",
		"a+3-0-1.efi":                     "malformed counter +3-0-1",
		"a+3x.efi":                        "malformed counter +3x",
		"a+3-x.efi":                       "malformed counter +3-x",
		"a+.3.efi":                        "malformed counter +.3",
		"a+1000000000-0.efi":              "malformed counter",
		"a+3-0+2-1.efi":                   "itself ends like a counter",
		"a+3+2-1.efi":                     "itself ends like a counter",
		strings.Repeat("x", 252) + ".efi": "longer than 255",
	} {
		if got, err := Parse(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %+v, %v; want error with %q", file, got, err, want)
		}
	}
}

func TestFile(t *testing.T) {
	for _, test := range []struct {
		name Name
		want string
	}{
		{Name{ID: "ketch_1.0", Counted: true, Left: 3}, "ketch_1.0+3-0.efi"},
		{Name{ID: "ketch_1.0", Counted: true, Left: 2, Done: 1}, "ketch_1.0+2-1.efi"},
		{Name{ID: "ketch_1.0", Counted: true, Done: 3}, "ketch_1.0+0-3.efi"},
		{Name{ID: "ketch_1.0", Counted: true, Left: 10}, "ketch_1.0+10-00.efi"},
		{Name{ID: "ketch_1.0", Counted: true, Left: 9, Done: 1}, "ketch_1.0+09-01.efi"},
		{Name{ID: "ketch_1.0", Counted: true, Left: 2, Done: 1}.Good(), "ketch_1.0.efi"},
		{Name{ID: "ketch_1.0"}.Failed(3), "ketch_1.0+0-3.efi"},
	} {
		if got := test.name.File(); got != test.want {
			t.Errorf("%+v.File() = %q; want %q", test.name, got, test.want)
		}
	}
}

// A try must not change the length of the name, whatever the number of tries.
func TestFileKeepsItsWidth(t *testing.T) {
	for tries := 1; tries < 120; tries++ {
		width := len(Name{ID: "x", Counted: true, Left: tries}.File())
		for done := 0; done <= tries; done++ {
			n := Name{ID: "x", Counted: true, Left: tries - done, Done: done}
			if got := len(n.File()); got != width {
				t.Fatalf("%d of %d tries: %q has %d characters; want %d", done, tries, n.File(), got, width)
			}
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	for _, n := range []Name{
		{}, {ID: "a", Left: 1}, {ID: "a", Done: 1}, {ID: "a", Counted: true, Left: -1},
		{ID: "a", Counted: true, Done: 1e9}, {ID: "a+3"}, {ID: "a+"}, {ID: "a/b"},
		{ID: strings.Repeat("x", 250), Counted: true, Left: 3},
	} {
		if err := n.Validate(); err == nil {
			t.Errorf("%+v.Validate() = nil; want an error", n)
		}
	}
}

func TestOrder(t *testing.T) {
	want := []string{
		"ketch_2.0+1-2.efi",
		"ketch_1.10.efi",
		"ketch_1.9-rc2.efi",
		"ketch_1.9+3-0.efi",
		"ketch_1.9+2-1.efi",
		"ketch_1.9.efi",
		"ketch_1.0.efi",
		"ketch_3.0+0-3.efi",
		"ketch_2.1+0-3.efi",
	}
	names := make([]Name, len(want))
	for i, file := range want {
		var err error
		if names[i], err = Parse(file); err != nil {
			t.Fatal(err)
		}
	}
	rand.New(rand.NewSource(1)).Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	slices.SortFunc(names, Order)
	for i, n := range names {
		if n.File() != want[i] {
			t.Errorf("entry %d is %s; want %s", i, n.File(), want[i])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"ketch_1.0+3-0.efi", "a.efi", "a+1.efi", "a+b+01-00.efi", "+3-0.efi"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		n, err := Parse(file)
		if err != nil {
			return
		}
		for _, n := range []Name{n, n.Good()} {
			if n.Validate() != nil {
				continue // a longer counter than the file's can pass the limit
			}
			if again, err := Parse(n.File()); err != nil || again != n {
				t.Errorf("Parse(%q) = %+v, %v; want %+v", n.File(), again, err, n)
			}
		}
	})
}
