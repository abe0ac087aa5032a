package hint

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// cure is an error that knows a cure by itself.
type cure struct{ error }

func (cure) Hint() string { return "inner" }

func TestOf(t *testing.T) {
	own := cure{io.EOF}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"none", io.EOF, ""},
		{"added", Add(io.EOF, "try %d", 1), "try 1"},
		{"wrapped", fmt.Errorf("read: %w", Add(io.EOF, "try")), "try"},
		{"joined", errors.Join(io.ErrClosedPipe, Add(io.EOF, "try")), "try"},
		{"the error's own", fmt.Errorf("read: %w", own), "inner"},
		{"the outermost counts", Add(fmt.Errorf("read: %w", own), "outer"), "outer"},
		{"else, where there is none", Else(io.EOF, "try"), "try"},
		{"else, where there is one", Else(fmt.Errorf("read: %w", own), "outer"), "inner"},
		{"added to nothing", Add(nil, "try"), ""},
	}
	for _, tt := range tests {
		if got := Of(tt.err); got != tt.want {
			t.Errorf("%s: Of = %q; want %q", tt.name, got, tt.want)
		}
	}
	err := Add(io.EOF, "try")
	if err.Error() != "EOF" || !errors.Is(err, io.EOF) {
		t.Errorf("Add(EOF) = %v; want the same text, and EOF inside", err)
	}
}
