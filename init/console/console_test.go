package console

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTerminal(t *testing.T) {
	for active, want := range map[string]string{
		"tty0 ttyS0\n": "/dev/ttyS0", "ttyS0\n": "/dev/ttyS0", "ttyS0 tty0\n": "/dev/tty1", "\n": "",
	} {
		sys := fstest.MapFS{"class/tty/console/active": {Data: []byte(active)}}
		if got := terminal(sys); got != want {
			t.Errorf("terminal with %q = %q; want %q", active, got, want)
		}
	}
	if got := terminal(fstest.MapFS{}); got != "" {
		t.Errorf("terminal without a console = %q; want none", got)
	}
}

func TestOfferWaits(t *testing.T) {
	var out bytes.Buffer
	err := Offer(strings.NewReader("no newline"), &out, "/no/such/shell")
	if err == nil || !strings.Contains(err.Error(), "wait for Enter") || !strings.Contains(out.String(), "press Enter") {
		t.Errorf("Offer without Enter = %v, %q; want it to wait", err, out.String())
	}
}
