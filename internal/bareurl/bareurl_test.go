package bareurl

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for raw, want := range map[string]string{
		"https://example.com/a%2Fb":                      "https://example.com/a%2Fb",
		"https://bob:hunter2@example.com:8443/f?sig=x#y": "https://example.com:8443/f",
		"http://bob@[2001:db8::1]/":                      "http://[2001:db8::1]/",
		"https://bob:hunter2@example.com:port/":          none,
		"bob:hunter2":                                    none,
		"":                                               "",
	} {
		if got := Text(raw); got != want {
			t.Errorf("Text(%q) = %q; want %q", raw, got, want)
		}
	}
}

func TestError(t *testing.T) {
	const secret = "http://bob:hunter2@example.com:x/?hunter2"
	_, unreadable := http.NewRequest(http.MethodGet, secret, nil)
	for _, test := range []struct {
		err  error
		want string
	}{
		{io.EOF, "EOF"},
		{&url.Error{Op: "Get", URL: "http://bob:hunter2@h/f?hunter2", Err: io.EOF}, `Get "http://h/f": EOF`},
		{fmt.Errorf("try: %w", &url.Error{Op: "Get", URL: "http://h/f?hunter2", Err: io.EOF}), `Get "http://h/f": EOF`},
		{unreadable, none},
	} {
		got := Error(test.err)
		if got.Error() != test.want || strings.Contains(got.Error(), "hunter2") {
			t.Errorf("Error(%v) = %v; want %s", test.err, got, test.want)
		}
		if errors.Is(test.err, io.EOF) != errors.Is(got, io.EOF) {
			t.Errorf("Error(%v) wraps something else: %v", test.err, got)
		}
	}
	if Error(nil) != nil {
		t.Error("Error of no error is one")
	}
}
