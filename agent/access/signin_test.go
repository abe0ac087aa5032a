package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/internal/testkit"
)

// TestKeys: what a line of authorized_keys says of its key.
func TestKeys(t *testing.T) {
	f := newFixture(t, nil)
	key := f.newKey(t, "id")
	other := f.newKey(t, "other")
	const refused = "Permission denied (publickey)"
	for _, test := range []struct {
		lines  []string
		before []string
		out    string // part of what it says
		status int
		log    string // part of what is logged
	}{
		{[]string{key}, nil, "[x]", 0, "signed in: user core from 127.0.0.1:"},
		{[]string{"# a comment", "", "ssh-ed25519 AAAAgarbage", key}, nil, "[x]", 0, "key 3 of user core is not taken: decode key"},
		{[]string{other}, nil, refused, 255, "not signed in: user core from 127.0.0.1 with ED25519 SHA256:"},
		{nil, nil, refused, 255, "no key that it has offered is taken"},
		{[]string{`command="echo forced" ` + key}, nil, "[forced]", 0, ""},
		{[]string{`command="env" ` + key}, nil, "SSH_ORIGINAL_COMMAND=echo x", 0, ""},
		{[]string{`restrct ` + key}, nil, refused, 255, `option "restrct" is not known here`},
		{[]string{`from="127.0.0.0/8" ` + key}, nil, "[x]", 0, ""},
		{[]string{`from="!127.0.0.1,*" ` + key}, nil, refused, 255, "the key is not good from there"},
		{[]string{`from="10.0.0.0/8" ` + key, key}, nil, "[x]", 0, ""},
		{[]string{`expiry-time="20200101Z" ` + key}, nil, refused, 255, "the key has expired at 2020-01-01T00:00:00Z"},
		{[]string{`expiry-time="29990101Z" ` + key}, nil, "[x]", 0, ""},
		{[]string{`cert-authority ` + key}, nil, refused, 255, ""},
		{[]string{`restrict ` + key}, nil, "[x]", 0, ""},
		{[]string{`restrict ` + key}, []string{"-tt"}, "PTY allocation request failed", 255, ""},
		{[]string{`restrict,pty ` + key}, []string{"-tt"}, "[x]", 0, ""},
		{[]string{key}, []string{"-l", "nobody"}, refused, 255, "user nobody"},
		{[]string{key}, []string{"-o", "PreferredAuthentications=password,keyboard-interactive"}, refused, 255, ""},
	} {
		f.allow(test.lines...)
		from := len(f.logged())
		got := f.ssh(t, "id", "", test.before, "echo", "x")
		if !strings.Contains(got.out+got.err, test.out) || got.status != test.status {
			t.Errorf("with %q %q: %v; want %q and status %d", test.lines, test.before, got, test.out, test.status)
		}
		testkit.Eventually(t, "a line with "+test.log, func() bool { return strings.Contains(f.logged()[from:], test.log) })
	}
}

// TestSameAnswer: who is not known is told what a known user with a wrong key is told.
func TestSameAnswer(t *testing.T) {
	f := newFixture(t, nil)
	f.newKey(t, "id")
	f.allow(f.newKey(t, "other"))
	say := func(user string) string {
		got := f.ssh(t, "id", "", []string{"-o", "LogLevel=DEBUG3", "-l", user}, "echo", "x")
		var said []string
		for line := range strings.Lines(got.err) {
			if strings.Contains(line, "Authentications that can continue") || strings.Contains(line, "receive packet") || strings.Contains(line, "Permission denied") {
				said = append(said, strings.ReplaceAll(line, user, "USER"))
			}
		}
		return strings.Join(said, "")
	}
	if known, unknown := say("core"), say("nobody"); known != unknown || !strings.Contains(known, "Permission denied") {
		t.Errorf("a known user is told\n%sand an unknown one\n%s", known, unknown)
	}
}

// TestReadAnew: a change of the file counts for the next sign-in.
func TestReadAnew(t *testing.T) {
	f := newFixture(t, nil)
	path := filepath.Join(t.TempDir(), "access.json")
	key := f.newKey(t, "id")
	f.Users = func() (access.File, error) { return access.Read(path) }
	inner := newFixture(t, func(s *Server) { s.Users = f.Users })
	inner.dir = filepath.Dir(filepath.Join(inner.dir, "known_hosts"))
	for _, name := range []string{"id", "id.pub"} {
		text, err := os.ReadFile(filepath.Join(f.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(inner.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	try := func(want int) {
		t.Helper()
		if got := inner.ssh(t, "id", "", nil, "echo", "x"); got.status != want {
			t.Errorf("%v; want status %d", got, want)
		}
	}
	try(255) // no file
	write := func(f access.File) {
		t.Helper()
		if err := f.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	write(access.File{Users: []access.User{{Name: "core", Keys: []string{key}}}})
	try(0)
	if err := os.WriteFile(path, []byte(`{"users":`), 0o600); err != nil { // torn: lets nobody in
		t.Fatal(err)
	}
	try(255)
	if !strings.Contains(inner.logged(), "error: decode keys") {
		t.Errorf("the log does not tell: %s", inner.logged())
	}
	write(access.File{})
	try(255)
}

// TestAlgorithms: what is modern is taken, and the rest is not.
func TestAlgorithms(t *testing.T) {
	f := one(t, nil)
	for _, kex := range Algorithms().KeyExchanges {
		for _, cipher := range Algorithms().Ciphers {
			client, err := f.client(t, ssh.Config{KeyExchanges: []string{kex}, Ciphers: []string{cipher}})
			if err != nil {
				t.Errorf("%s with %s: %v", kex, cipher, err)
				continue
			}
			client.Close()
		}
	}
	all := []ssh.Algorithms{ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()}
	for _, of := range all {
		for _, kex := range of.KeyExchanges {
			if strings.HasPrefix(kex, "mlkem") || strings.HasPrefix(kex, "curve25519") {
				continue
			}
			if client, err := f.client(t, ssh.Config{KeyExchanges: []string{kex}}); err == nil {
				client.Close()
				t.Errorf("key exchange %s is taken", kex)
			}
		}
		for _, cipher := range of.Ciphers {
			if strings.Contains(cipher, "gcm") || strings.Contains(cipher, "poly1305") {
				continue
			}
			if client, err := f.client(t, ssh.Config{Ciphers: []string{cipher}}); err == nil {
				client.Close()
				t.Errorf("cipher %s is taken", cipher)
			}
		}
	}
}

// TestKeyTypes: each type of key that people have signs in, and short ones do not.
func TestKeyTypes(t *testing.T) {
	f := newFixture(t, nil)
	for _, test := range []struct {
		kind, bits string
		want       int
	}{{"ed25519", "256", 0}, {"ecdsa", "256", 0}, {"ecdsa", "384", 0}, {"ecdsa", "521", 0}, {"rsa", "2048", 0}, {"rsa", "1024", 255}} {
		name := "key-" + test.kind + test.bits
		if made := run(t, "", "ssh-keygen", "-q", "-t", test.kind, "-b", test.bits, "-N", "", "-f", filepath.Join(f.dir, name)); made.status != 0 {
			t.Fatal(made)
		}
		line, err := os.ReadFile(filepath.Join(f.dir, name+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		f.allow(strings.TrimSpace(string(line)))
		if got := f.ssh(t, name, "", nil, "echo", "x"); got.status != test.want {
			t.Errorf("%s %s: %v; want status %d", test.kind, test.bits, got, test.want)
		}
	}
}

// TestCertificates: those that ssh-keygen signs.
func TestCertificates(t *testing.T) {
	f := newFixture(t, nil)
	f.newKey(t, "id")
	authority, stranger := f.newKey(t, "ca"), f.newKey(t, "stranger")
	_ = stranger
	trusted := func(lines ...string) access.File { return access.File{TrustedUserCAKeys: lines} }
	own := func(line string) access.File {
		return access.File{Users: []access.User{{Name: "core", Keys: []string{line}}}}
	}
	for name, test := range map[string]struct {
		file   access.File
		sign   []string // arguments of ssh-keygen
		by     string
		before []string
		out    string
		status int
	}{
		"good":                    {trusted(authority), []string{"-n", "core"}, "ca", nil, "[x]", 0},
		"several principals":      {trusted(authority), []string{"-n", "admin,core"}, "ca", nil, "[x]", 0},
		"another principal":       {trusted(authority), []string{"-n", "admin"}, "ca", nil, "denied", 255},
		"no principal":            {trusted(authority), nil, "ca", nil, "denied", 255},
		"a stranger's":            {trusted(authority), []string{"-n", "core"}, "stranger", nil, "denied", 255},
		"nobody is trusted":       {trusted(), []string{"-n", "core"}, "ca", nil, "denied", 255},
		"malformed beside good":   {trusted("ssh-ed25519 AAAA", authority), []string{"-n", "core"}, "ca", nil, "[x]", 0},
		"authority with options":  {trusted("restrict " + authority), []string{"-n", "core"}, "ca", nil, "denied", 255},
		"over":                    {trusted(authority), []string{"-n", "core", "-V", "20200101:20200102"}, "ca", nil, "denied", 255},
		"not yet":                 {trusted(authority), []string{"-n", "core", "-V", "29990101:29990102"}, "ca", nil, "denied", 255},
		"a host's":                {trusted(authority), []string{"-n", "core", "-h"}, "ca", nil, "denied", 255},
		"forced":                  {trusted(authority), []string{"-n", "core", "-O", "force-command=echo forced"}, "ca", nil, "[forced]", 0},
		"from here":               {trusted(authority), []string{"-n", "core", "-O", "source-address=127.0.0.0/8"}, "ca", nil, "[x]", 0},
		"from elsewhere":          {trusted(authority), []string{"-n", "core", "-O", "source-address=10.0.0.0/8"}, "ca", nil, "denied", 255},
		"unknown critical option": {trusted(authority), []string{"-n", "core", "-O", "critical:unheard@of=1"}, "ca", nil, "denied", 255},
		"unknown extension":       {trusted(authority), []string{"-n", "core", "-O", "extension:unheard@of=1"}, "ca", nil, "[x]", 0},
		"no extension":            {trusted(authority), []string{"-n", "core", "-O", "clear"}, "ca", []string{"-tt"}, "PTY allocation request failed", 255},
		"unknown user":            {trusted(authority), []string{"-n", "nobody"}, "ca", []string{"-l", "nobody"}, "denied", 255},
		"user of the file": {access.File{Users: []access.User{{Name: "eve"}}, TrustedUserCAKeys: []string{authority}},
			[]string{"-n", "eve"}, "ca", []string{"-l", "eve"}, "[x]", 0},
		"own authority":         {own("cert-authority " + authority), []string{"-n", "core"}, "ca", nil, "[x]", 0},
		"own, with principals":  {own(`cert-authority,principals="admin" ` + authority), []string{"-n", "admin"}, "ca", nil, "[x]", 0},
		"own, without its own":  {own(`cert-authority,principals="admin" ` + authority), []string{"-n", "core"}, "ca", nil, "denied", 255},
		"own, forced":           {own(`cert-authority,command="echo its" ` + authority), []string{"-n", "core"}, "ca", nil, "[its]", 0},
		"forced to nothing":     {trusted(authority), []string{"-n", "core", "-O", "force-command= "}, "ca", nil, "denied", 255},
		"own, forced otherwise": {own(`cert-authority,command="echo its" ` + authority), []string{"-n", "core", "-O", "force-command=echo x"}, "ca", nil, "denied", 255},
		"own, a key but no CA":  {own(authority), []string{"-n", "core"}, "ca", nil, "denied", 255},
		"own, from elsewhere":   {own(`cert-authority,from="10.0.0.0/8" ` + authority), []string{"-n", "core"}, "ca", nil, "denied", 255},
	} {
		f.mu.Lock()
		f.file = test.file
		f.mu.Unlock()
		os.Remove(filepath.Join(f.dir, "id-cert.pub"))
		args := append([]string{"-q", "-s", filepath.Join(f.dir, test.by), "-I", "a test", "-z", "42"}, test.sign...)
		if made := run(t, "", "ssh-keygen", append(args, filepath.Join(f.dir, "id.pub"))...); made.status != 0 {
			t.Fatalf("%s: %v", name, made)
		}
		got := f.ssh(t, "id", "", test.before, "echo", "x")
		if got.status != test.status || !strings.Contains(got.out+got.err, test.out) {
			t.Errorf("%s: %v; want status %d and %q\n%s", name, got, test.status, test.out, f.logged())
		}
	}
	if want := `ED25519 certificate a test serial 42 of CA SHA256:`; !strings.Contains(f.logged(), want) {
		t.Errorf("the log does not name the certificate: %q", want)
	}
}
