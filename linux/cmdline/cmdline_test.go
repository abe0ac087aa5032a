package cmdline

import "testing"

func TestGet(t *testing.T) {
	const text = "console=ttyS0,115200 quiet usrhash=abc a.b-c=1 x=\"one two\" \"y=three four\" empty= console=tty0 \x00\n"
	for _, test := range []struct {
		name, want string
		ok         bool
	}{
		{"console", "ttyS0,115200", true},
		{"quiet", "", true},
		{"usrhash", "abc", true},
		{"a.b_c", "1", true},
		{"x", "one two", true},
		{"y", "three four", true},
		{"empty", "", true},
		{"usr", "", false},
		{"", "", false},
	} {
		if got, ok := Parse(text).Get(test.name); got != test.want || ok != test.ok {
			t.Errorf("Get(%q) = %q, %v; want %q, %v", test.name, got, ok, test.want, test.ok)
		}
	}
}

func TestOnce(t *testing.T) {
	for _, test := range []struct {
		text, want string
		ok, fails  bool
	}{
		{"quiet usrhash=aa", "aa", true, false},
		{"quiet", "", false, false},
		{"usrhash=aa usrhash=bb", "", false, true},
		{"usrhash=aa usrhash=aa", "", false, true},
		{"usrhash=aa quiet usrhash", "", false, true},
		{"usrhash=aa \"usrhash=bb\"", "", false, true},
		{"usrhash=aa x=\"usrhash=bb\"", "aa", true, false},
		{"usrhash=aa -- usrhash=bb", "", false, true}, // meant for init, but that is who reads it
	} {
		got, ok, err := Parse(test.text).Once("usrhash")
		if got != test.want || ok != test.ok || (err != nil) != test.fails {
			t.Errorf("Once in %q = %q, %v, %v; want %q, %v, error %v", test.text, got, ok, err, test.want, test.ok, test.fails)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a=b \"c d\"=e f=\"g h", "a")
	f.Fuzz(func(t *testing.T, text, name string) {
		line := Parse(text)
		value, ok, err := line.Once(name)
		if first, found := line.Get(name); err == nil && (found != ok || first != value) {
			t.Errorf("Get(%q) = %q, %v but Once = %q, %v", name, first, found, value, ok)
		}
	})
}
