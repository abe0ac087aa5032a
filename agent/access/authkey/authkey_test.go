package authkey

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

// line is a key in the form of authorized_keys, without a line end.
func line(t testing.TB, public any) string {
	t.Helper()
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func ed25519Line(t testing.TB) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return line(t, public)
}

func TestOptions(t *testing.T) {
	key := ed25519Line(t)
	zone := time.FixedZone("", 2*3600)
	for options, want := range map[string]Options{
		"":                                           {},
		"restrict":                                   {NoPTY: true, NoForwarding: true},
		"RESTRICT,pty":                               {NoForwarding: true},
		"pty,restrict":                               {NoPTY: true, NoForwarding: true},
		"no-pty,no-user-rc":                          {NoPTY: true},
		"no-port-forwarding":                         {NoForwarding: true},
		"no-agent-forwarding":                        {},
		"no-X11-forwarding":                          {},
		"no-touch-required":                          {NoTouchRequired: true},
		`command="status --json"`:                    {Forced: true, Command: "status --json"},
		`command="say \"a, b\" \ c",no-pty`:          {Forced: true, Command: `say "a, b" \ c`, NoPTY: true},
		`permitopen="DB.example:5432"`:               {PermitOpen: []Target{{"db.example", 5432}}},
		`permitopen="[::1]:*",permitopen="*:80"`:     {PermitOpen: []Target{{"::1", 0}, {"*", 80}}},
		`permitlisten="8080",permitlisten="lo:9"`:    {PermitListen: []Target{{"*", 8080}, {"lo", 9}}},
		`expiry-time="20270102"`:                     {Expires: time.Date(2027, 1, 2, 0, 0, 0, 0, zone)},
		`expiry-time="202701020304"`:                 {Expires: time.Date(2027, 1, 2, 3, 4, 0, 0, zone)},
		`expiry-time="20270102030405Z"`:              {Expires: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)},
		`cert-authority,principals="admin,operator"`: {Authority: true, Principals: []string{"admin", "operator"}},
	} {
		got, err := Parse(strings.TrimSpace(options+" "+key+" a comment"), zone)
		if err != nil {
			t.Errorf("Parse(%s) = %v", options, err)
			continue
		}
		if diff := cmp.Diff(want, got.Options); diff != "" {
			t.Errorf("options of %s (-want +got):\n%s", options, diff)
		}
		if got.Comment != "a comment" || got.Public.Type() != ssh.KeyAlgoED25519 {
			t.Errorf("Parse(%s) = key %s with comment %q", options, got.Public.Type(), got.Comment)
		}
	}
}

// TestRefused: what is not understood costs the key.
func TestRefused(t *testing.T) {
	key := ed25519Line(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, encoded, _ := strings.Cut(line(t, &curve.PublicKey), " ")
	for text, want := range map[string]string{
		"restrct " + key:                                       `option "restrct" is not known`,
		"restrict, " + key:                                     `option "" is not known`,
		",restrict " + key:                                     `option "" is not known`,
		`environment="A=b" ` + key:                             "not known here",
		"verify-required " + key:                               "not known here",
		`tunnel="0" ` + key:                                    "not known here",
		"command=status " + key:                                "not in double quotes",
		`command="status ` + key:                               "never closed",
		`command="a"b ` + key:                                  "follows the closing quote",
		`command="a",command="b" ` + key:                       "twice",
		`command="" ` + key:                                    "no command in it",
		"command=\" \t\" " + key:                               "no command in it",
		`cert-authority,command="" ` + key:                     "no command in it",
		"command " + key:                                       "wants a value",
		`restrict="yes" ` + key:                                "takes no value",
		`from="" ` + key:                                       "a pattern is empty",
		`from="10.0.0.0/8,host.example" ` + key:                "names are not looked up",
		`from="10.0.0.1/8" ` + key:                             "beyond its mask",
		`from="10.0.0.0/99" ` + key:                            "prefix",
		`from="*,!::ffff:10.0.0.0/104" ` + key:                 "IPv4 address in IPv6",
		`from="*,!2001:0db8:*" ` + key:                         "never written",
		`from="*,!2001:db8:00??:*" ` + key:                     "never written",
		`from="*,!::ffff:10.*" ` + key:                         "never written",
		`from="*,!2001:db8::10.*" ` + key:                      "never written",
		`from="*,!10.01.*" ` + key:                             "never written",
		`from="2001:0db8:*" ` + key:                            "never written",
		`from="*,!2001:db8:0:0:*" ` + key:                      "never written",
		`from="1.2.3" ` + key:                                  "1.2.3",
		`permitopen="host" ` + key:                             "no HOST:PORT",
		`permitopen=":80" ` + key:                              "no HOST:PORT",
		`permitopen="h:0" ` + key:                              "no port",
		`permitopen="h:65536" ` + key:                          "no port",
		`permitlisten="x" ` + key:                              "no port",
		`expiry-time="2027" ` + key:                            "no time",
		`expiry-time="20271345" ` + key:                        "out of range",
		`principals="a" ` + key:                                "for a cert-authority",
		`cert-authority,principals="a,," ` + key:               "a name is empty",
		"ssh-ed25519":                                          "decode key",
		"ssh-ed25519 AAAA":                                     "decode key",
		"ssh-ed25519 " + encoded:                               "calls itself",
		"ssh-dss AAAA":                                         `"ssh-dss" is not known`,
		"restrict ssh-dss AAAA":                                "no type of key that is taken",
		"restrict restrict " + key:                             "no type of key that is taken",
		line(t, &weak.PublicKey):                               "1024 bits",
		key + "\nssh-ed25519 AAAA":                             "more than one line",
		`command="` + strings.Repeat("a", 20<<10) + `" ` + key: "at most",
	} {
		if got, err := Parse(text, time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.60s) = %v, %v; want an error with %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "   ", "# ssh-ed25519 AAAA"} {
		if _, err := Parse(text, time.UTC); !errors.Is(err, ErrNoKey) {
			t.Errorf("Parse(%q) = %v; want ErrNoKey", text, err)
		}
	}
}

func TestAllowed(t *testing.T) {
	for _, test := range []struct {
		list, address string
		want          bool
	}{
		{"10.0.0.0/8", "10.1.2.3", true},
		{"10.0.0.0/8", "::ffff:10.1.2.3", true},
		{"10.0.0.0/8", "11.1.2.3", false},
		{"10.0.0.0/8,!10.9.0.0/16", "10.9.0.1", false},
		{"!10.9.0.0/16,10.0.0.0/8", "10.8.0.1", true},
		{"!10.9.0.0/16", "10.8.0.1", false}, // nothing but exclusions lets nobody pass
		{"192.168.*.?", "192.168.100.7", true},
		{"192.168.*.?", "192.168.100.77", false},
		{"*", "2001:db8::1", true},
		{"2001:DB8:*", "2001:db8::1", true},
		{"2001:db8::/32", "2001:db8::1", true},
		{"fe80::1", "fe80::1%eth0", true},
		{"*,!2001:db8:0:1:*", "2001:db8:0:1::5", false},
		{"*,!10.0.*", "10.0.1.5", false},
		{"*,!2001:0db8::1", "2001:db8::1", false},
		{"*,!::ffff:10.9.0.1", "10.9.0.1", false},
		{"::1", "127.0.0.1", false},
	} {
		patterns, err := Patterns(test.list)
		if err != nil {
			t.Fatal(err)
		}
		if got := Allowed(patterns, netip.MustParseAddr(test.address)); got != test.want {
			t.Errorf("Allowed(%s, %s) = %v; want %v", test.list, test.address, got, test.want)
		}
	}
	if !Allowed(nil, netip.MustParseAddr("192.0.2.1")) {
		t.Error("no list at all lets nobody pass")
	}
}

// FuzzParse: whatever is parsed stands for one key, and a line with options that
// are not understood never becomes a key without them.
func FuzzParse(f *testing.F) {
	key := ed25519Line(f)
	for _, options := range []string{"", "restrict,pty ", `command="a \" b",no-pty `, `from="!10.0.0.0/8,*" `, `permitopen="[::1]:80" `} {
		f.Add(options + key + " comment")
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text, time.UTC)
		if err != nil {
			return
		}
		theirs, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
		if err != nil || len(rest) > 0 {
			t.Fatalf("Parse takes %q; x/crypto says %v, and leaves %q", text, err, rest)
		}
		if !Equal(got.Public, theirs) {
			t.Fatalf("Parse(%q) has another key than x/crypto", text)
		}
		if cmp.Equal(got.Options, Options{}) && strings.Contains(strings.Join(options, ","), "restrict") && !strings.Contains(text, "pty") {
			t.Fatalf("Parse(%q) has lost its options %q", text, options)
		}
	})
}

func FuzzWildcard(f *testing.F) {
	f.Add("192.168.*", "192.168.1.1")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if wildcard(pattern, text) && strings.Trim(pattern, "*?") == pattern && pattern != text && !strings.ContainsAny(pattern, "*?") {
			t.Errorf("%q matches %q without a wildcard", pattern, text)
		}
		if !wildcard("*"+text+"*", "x"+text) && !strings.ContainsAny(text, "*?") {
			t.Errorf("*%q* does not match what holds it", text)
		}
	})
}
