package cli

import (
	"strings"
	"testing"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0.0 MiB", 5 << 20: "5.0 MiB", 1023 << 20: "1023.0 MiB", 1<<30 - 1: "1.0 GiB", 1 << 30: "1.0 GiB", 3 << 29: "1.5 GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q; want %q", n, got, want)
		}
	}
}

// FuzzParseSize: a size is never negative, and reads the same when it is shown and
// read again.
func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"", "0", "512", "1K", "64M", "8G", "4T", "-1", "1.5G", "9223372036854775807", "8388608T", "1GB"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseSize(text, 1)
		if err != nil {
			return
		}
		if n < 0 || strings.ContainsAny(text, "-+. ") {
			t.Errorf("ParseSize(%q) = %d", text, n)
		}
		shown := (&Size{Bytes: n, Unit: 1}).String()
		if again, err := ParseSize(shown, 1); err != nil || again != n {
			t.Errorf("ParseSize(%q) = %d, shown as %s, which is %d, %v", text, n, shown, again, err)
		}
	})
}
