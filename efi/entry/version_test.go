package entry

import (
	"math/rand"
	"os/exec"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

// The examples are those of UAPI.10, then our own.
func TestCompare(t *testing.T) {
	for _, test := range []struct {
		a    string
		want string
		b    string
	}{
		{"11", "==", "11"},
		{"systemd-123", "==", "systemd-123"},
		{"bar-123", "<", "foo-123"},
		{"123a", ">", "123"},
		{"123.a", ">", "123"},
		{"123.a", "<", "123.b"},
		{"123a", ">", "123.a"},
		{"11α", "==", "11β"},
		{"B", "<", "a"},
		{"", "<", "0"},
		{"0.", ">", "0"},
		{"0.0", ">", "0"},
		{"0", ">", "~"},
		{"", ">", "~"},
		{"1_", "==", "1"},
		{"_1", "==", "1"},
		{"1_", "<", "1.2"},
		{"1_2_3", ">", "1.3.3"},
		{"1+", "==", "1"},
		{"+1", "==", "1"},
		{"1+", "<", "1.2"},
		{"1+2+3", ">", "1.3.3"},

		{"1.0~rc1", "<", "1.0"},
		{"1.0", "<", "1.0-1"},
		{"1.0-1", "<", "1.0^1"},
		{"1.0^1", "<", "1.0.1"},
		{"1.9", "<", "1.10"},
		{"1.010", "==", "1.10"},
		{"1.a", "<", "1.1"},
		{"0", ">", "a"},    // UAPI.10: older
		{"-_1", "<", "-1"}, // UAPI.10: equal
		{"1.0.0a", ">", "1.0.0"},
		{"99999999999999999999999999998", "<", "99999999999999999999999999999"},
		{"9", "<", "99999999999999999999999999999"},
		{"0.1.0", "<", "0.1.1"},
		{"ketch_0.1.0", "<", "ketch_0.2.0"},
		{"~~", ">", "~"}, // UAPI.10: older
		{"1~~a", "<", "1~a"},
	} {
		if got := symbol(Compare(test.a, test.b)); got != test.want {
			t.Errorf("Compare(%q, %q): %s; want %s", test.a, test.b, got, test.want)
		}
		if got, want := Compare(test.b, test.a), -Compare(test.a, test.b); got != want {
			t.Errorf("Compare(%q, %q) = %d; want %d", test.b, test.a, got, want)
		}
	}
}

// systemd-analyze has the code that systemd-boot has.
func TestCompareLikeSystemd(t *testing.T) {
	tool := testkit.Tool(t, "systemd-analyze")
	random := rand.New(rand.NewSource(1))
	version := func() string { // not empty: systemd-analyze quotes that
		const alphabet = "0011239aabBz~-^..+_"
		b := make([]byte, 1+random.Intn(7))
		for i := range b {
			b[i] = alphabet[random.Intn(len(alphabet))]
		}
		return string(b)
	}
	for range 250 {
		a, b := version(), version()
		out, _ := exec.Command(tool, "compare-versions", "--", a, b).CombinedOutput() // exit status: the result
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSuffix(string(out), "\n"), a))
		if len(fields) == 0 {
			t.Fatalf("systemd-analyze compare-versions %q %q: %s", a, b, out)
		}
		if got := symbol(Compare(a, b)); got != fields[0] {
			t.Errorf("Compare(%q, %q): %s; systemd says %s", a, b, got, fields[0])
		}
	}
}

func symbol(order int) string {
	return []string{"<", "==", ">"}[order+1]
}

func FuzzCompare(f *testing.F) {
	f.Add("1.0", "1.0-1", "1.0~rc")
	f.Add("", "~", "^.")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if Compare(a, a) != 0 {
			t.Errorf("Compare(%q, itself) != 0", a)
		}
		if Compare(a, b) != -Compare(b, a) {
			t.Errorf("Compare(%q, %q) depends on the order", a, b)
		}
		if Compare(a, b) > 0 && Compare(b, c) > 0 && Compare(a, c) <= 0 {
			t.Errorf("Compare: %q > %q > %q, but not the ends", a, b, c)
		}
	})
}
