package cli

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a flag for a number of bytes: 512M, 8G.
type Size struct {
	Bytes int64
	// Unit is what a number without a letter counts, in bytes; 0 stands for 1.
	Unit int64
}

// units are the letters behind a number: powers of 1024.
const units = "KMGT"

// String writes a size in the largest unit that it is a whole number of.
func (s *Size) String() string {
	n, letter := s.Bytes, ""
	for _, unit := range units {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, letter = n/1024, string(unit)
	}
	return strconv.FormatInt(n, 10) + letter
}

// Type names the flag's value in the help.
func (s *Size) Type() string { return "SIZE" }

// Set reads a size.
func (s *Size) Set(text string) error {
	n, err := ParseSize(text, max(s.Unit, 1))
	if err == nil {
		s.Bytes = n
	}
	return err
}

// Bytes writes a number of bytes for people: "5.0 MiB", "1.5 GiB".
func Bytes(n int64) string {
	mib := float64(n) / (1 << 20)
	if mib >= 1023.95 { // which one digit shows as 1024.0
		return fmt.Sprintf("%.1f GiB", mib/1024)
	}
	return fmt.Sprintf("%.1f MiB", mib)
}

// ParseSize reads a number with K, M, G or T (powers of 1024); without a letter it
// counts units of unit bytes.
func ParseSize(text string, unit int64) (int64, error) {
	number := text
	if n := len(text); n > 0 {
		if i := strings.IndexByte(units, text[n-1]); i >= 0 {
			number, unit = text[:n-1], 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > 1<<62/unit {
		return 0, fmt.Errorf("%q is not a size: want a number with K, M, G or T", text)
	}
	return int64(n) * unit, nil
}
