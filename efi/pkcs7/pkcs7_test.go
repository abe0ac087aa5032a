package pkcs7

import (
	"bytes"
	"encoding/asn1"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/efi/internal/fixture"
	"github.com/ketch-os/ketch/internal/testkit"
)

// custom is a type of content that is not plain data.
func custom() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4} }

var element = []byte{0x30, 3, 2, 1, 42} // SEQUENCE { INTEGER 42 }

func attached(t testing.TB, key *fixture.Pair) *SignedData {
	t.Helper()
	s, err := New(custom(), element, key.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sign(nil, key.Key); err != nil {
		t.Fatal(err)
	}
	return s
}

func detached(t testing.TB, key *fixture.Pair, message string) *SignedData {
	t.Helper()
	s, err := New(TypeData(), nil, key.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sign([]byte(message), key.Key); err != nil {
		t.Fatal(err)
	}
	return s
}

// reread encodes and parses.
func reread(t testing.TB, s *SignedData) *SignedData {
	t.Helper()
	b, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	c, err := again.Marshal()
	if err != nil || !bytes.Equal(b, c) {
		t.Errorf("Marshal of what Parse returned differs (%v)", err)
	}
	return again
}

func TestAttached(t *testing.T) {
	key := fixture.Key(t, "Signer", nil)
	s := reread(t, attached(t, key))
	if !s.Type.Equal(custom()) || !bytes.Equal(s.Content, element) {
		t.Errorf("content %v %x; want %v %x", s.Type, s.Content, custom(), element)
	}
	if err := s.Verify(nil, key.Certificate); err != nil {
		t.Error(err)
	}
}

func TestDetached(t *testing.T) {
	key := fixture.Key(t, "Signer", nil)
	s := reread(t, detached(t, key, "message"))
	if err := s.Verify([]byte("message"), key.Certificate); err != nil {
		t.Error(err)
	}
	if err := s.Verify([]byte("another"), key.Certificate); err == nil || !strings.Contains(err.Error(), `signature was not made by "CN=Signer"`) {
		t.Errorf("Verify of another message = %v; want that the signature is not for it", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	key, other := fixture.Key(t, "Signer", nil), fixture.Key(t, "Other", nil)
	for _, test := range []struct {
		name string
		edit func(*SignedData)
		want string
	}{
		{"content", func(s *SignedData) { s.Content = []byte{0x30, 3, 2, 1, 43} }, "signed attributes are for other content"},
		{"no content", func(s *SignedData) { s.Content = nil }, "signed content: not one DER element"},
		{"type", func(s *SignedData) { s.Type = asn1.ObjectIdentifier{1, 2, 3} }, "signed attributes are for content type"},
		{"attributes of other content", func(s *SignedData) {
			s.Content = []byte{0x30, 3, 2, 1, 43}
			s.attributes = encodeAttributes(custom(), [32]byte{})
		}, "signed attributes are for other content"},
		{"no attributes", func(s *SignedData) { s.attributes = nil }, "no content type, or no SHA-256 message digest"},
		{"attributes twice", func(s *SignedData) { s.attributes = append(bytes.Clone(s.attributes), s.attributes...) }, "malformed content type"},
		{"attributes with a tail", func(s *SignedData) { s.attributes = append(bytes.Clone(s.attributes), 0) }, "signed attributes: malformed"},
		{"signature", func(s *SignedData) { s.signature = bytes.Clone(s.signature); s.signature[9] ^= 1 }, "signature was not made by"},
		{"plain data with attributes", func(s *SignedData) { s.Type = TypeData() }, "plain data must be detached"},
		{"no certificate", func(s *SignedData) { s.Certificates = nil }, "does not carry its signer's certificate"},
		{"other certificate", func(s *SignedData) { s.Certificates[0] = other.Certificate }, "does not carry its signer's certificate"},
	} {
		s := attached(t, key)
		test.edit(s)
		if err := s.Verify(nil, key.Certificate, other.Certificate); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Verify = %v; want error with %q", test.name, err, test.want)
		}
	}
}

// A signer may bring the certificates that link it to a trusted one, in any order.
func TestChain(t *testing.T) {
	root := fixture.Key(t, "Root", nil)
	middle := fixture.Key(t, "Middle", root)
	signer := fixture.Key(t, "Signer", middle)
	stranger := fixture.Key(t, "Root", nil)
	s := attached(t, signer)
	if err := s.Verify(nil, root.Certificate); err == nil {
		t.Error("Verify without the middle certificate = nil")
	}
	s.Certificates = append(s.Certificates, stranger.Certificate, root.Certificate, middle.Certificate)
	s = reread(t, s)
	if err := s.Verify(nil, root.Certificate); err != nil {
		t.Error(err)
	}
	if err := s.Verify(nil, stranger.Certificate); err == nil {
		t.Error("Verify with a root of the same name = nil")
	}
}

func TestParseRefuses(t *testing.T) {
	b, err := attached(t, fixture.Key(t, "Signer", nil)).MarshalContentInfo()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseContentInfo(b); err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if _, err := ParseContentInfo(b[:n]); err == nil {
			t.Errorf("ParseContentInfo of the first %d bytes succeeded", n)
		}
	}
	for tail, ok := range map[string]bool{"\x00": true, "\x00\x00\x00\x00\x00\x00\x00": true, "\x00\x00\x00\x00\x00\x00\x00\x00": false, "\x00\x01": false, "\x01": false} {
		if _, err := ParseContentInfo(append(bytes.Clone(b), tail...)); (err == nil) != ok {
			t.Errorf("ParseContentInfo with %q behind it = %v; want success: %v", tail, err, ok)
		}
	}
	if _, err := Parse(b); err == nil {
		t.Error("Parse of a ContentInfo succeeded")
	}
}

func TestOpenSSLTakesOurs(t *testing.T) {
	tool := testkit.Tool(t, "openssl")
	key := fixture.Key(t, "Signer", nil)
	_, certFile := key.Files(t)
	b, err := detached(t, key, "message").MarshalContentInfo()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in, content := fixture.Write(t, filepath.Join(dir, "in"), b), fixture.Write(t, filepath.Join(dir, "content"), []byte("message"))
	for _, command := range []string{"smime", "cms"} {
		out := fixture.Run(t, tool, command, "-verify", "-binary", "-inform", "DER", "-in", in, "-content", content, "-CAfile", certFile, "-purpose", "any", "-out", "/dev/null")
		if !strings.Contains(strings.ToLower(out), "verification successful") {
			t.Errorf("openssl %s -verify: %s", command, out)
		}
	}
}

func TestWeTakeOpenSSLs(t *testing.T) {
	tool := testkit.Tool(t, "openssl")
	key := fixture.Key(t, "Signer", nil)
	keyFile, certFile := key.Files(t)
	dir := t.TempDir()
	content, out := fixture.Write(t, filepath.Join(dir, "content"), []byte("message")), filepath.Join(dir, "out")
	fixture.Run(t, tool, "smime", "-sign", "-binary", "-noattr", "-md", "sha256", "-outform", "DER", "-signer", certFile, "-inkey", keyFile, "-in", content, "-out", out)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseContentInfo(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify([]byte("message"), key.Certificate); err != nil {
		t.Error(err)
	}
	ours, err := detached(t, key, "message").MarshalContentInfo()
	if err != nil || !bytes.Equal(ours, b) {
		t.Errorf("ours differs from OpenSSL's (%v)", err)
	}
}

func FuzzParse(f *testing.F) {
	key := fixture.Key(f, "Signer", nil)
	for _, s := range []*SignedData{attached(f, key), detached(f, key, "message")} {
		b, err := s.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		reread(t, s)
		if s.Verify([]byte("another message"), key.Certificate) == nil && !bytes.Equal(s.Content, element) {
			t.Error("Verify accepts what was never signed")
		}
	})
}
