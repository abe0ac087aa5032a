package entry

import (
	"cmp"
	"strings"
)

// Compare compares two versions, or names that contain them, by UAPI.10, Version
// Format: negative when a is older, positive when it is newer, 0 when they count
// as equal, which different strings may do ("1_2" and "1+2").
//
// Where systemd differs from the letter of UAPI.10, so does Compare, since it is
// systemd-boot that decides what boots: "1.a" is older than "1.0" (no digits are
// less than any number, not 0), and after a separator the steps go on with the
// next one instead of starting over, which tells only in strings like "~~".
func Compare(a, b string) int {
	for {
		var order int
		a, b = strings.TrimLeftFunc(a, skipped), strings.TrimLeftFunc(b, skipped)
		if order, a, b = separator(a, b, "~"); order != 0 {
			return order
		}
		if a == "" || b == "" {
			return cmp.Compare(len(a), len(b))
		}
		for _, s := range []string{"-", "^", "."} {
			if order, a, b = separator(a, b, s); order != 0 {
				return order
			}
		}
		if order, a, b = segment(a, b); order != 0 {
			return order
		}
	}
}

// separator takes s off both; a string that is alone in starting with it is older.
func separator(a, b, s string) (order int, restA, restB string) {
	restA, inA := strings.CutPrefix(a, s)
	restB, inB := strings.CutPrefix(b, s)
	switch {
	case inA && !inB:
		return -1, restA, restB
	case inB && !inA:
		return 1, restA, restB
	}
	return 0, restA, restB
}

// segment takes the leading numbers, or else the leading letters, off both.
func segment(a, b string) (order int, restA, restB string) {
	numberA, restA := cut(a, digit)
	numberB, restB := cut(b, digit)
	if numberA != "" || numberB != "" {
		return numbers(numberA, numberB), restA, restB
	}
	wordA, restA := cut(a, letter)
	wordB, restB := cut(b, letter)
	return cmp.Compare(wordA, wordB), restA, restB
}

// numbers compares two numbers of any length.
func numbers(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(a), len(b))
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// cut splits s where its first run of characters of the class ends.
func cut(s string, class func(rune) bool) (run, rest string) {
	rest = strings.TrimLeftFunc(s, class)
	return s[:len(s)-len(rest)], rest
}

func skipped(r rune) bool {
	return !digit(r) && !letter(r) && !strings.ContainsRune("~-^.", r)
}
func digit(r rune) bool  { return '0' <= r && r <= '9' }
func letter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
