package limit

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestBudget(t *testing.T) {
	var out bytes.Buffer
	b := New(4, "write tree.tar")
	one, two := b.Writer(&out), b.Writer(&out)
	for _, w := range []struct {
		to   int
		text string
	}{{0, "ab"}, {1, "cd"}, {0, ""}} {
		if _, err := []interface{ Write([]byte) (int, error) }{one, two}[w.to].Write([]byte(w.text)); err != nil {
			t.Errorf("Write(%q) = %v", w.text, err)
		}
	}
	_, err := two.Write([]byte("e"))
	var large *Error
	if !errors.As(err, &large) || large.Max != 4 || large.Hint() == "" || !strings.Contains(err.Error(), "write tree.tar: it becomes larger than 4 bytes") {
		t.Errorf("Write beyond the bound = %v; want an error that names it", err)
	}
	if out.String() != "abcd" {
		t.Errorf("%q was written; want abcd", &out)
	}
}

func TestCheck(t *testing.T) {
	if err := Check(4, 4, ""); err != nil {
		t.Errorf("Check(4, 4) = %v", err)
	}
	if err := Check(5, 4, ""); err == nil || err.Error() != "it becomes larger than 4 bytes" {
		t.Errorf("Check(5, 4) = %v", err)
	}
}
