package authenticode

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/efi/internal/fixture"
	"github.com/ketch-os/ketch/efi/pe"
	"github.com/ketch-os/ketch/efi/pkcs7"
	"github.com/ketch-os/ketch/internal/testkit"
)

func small() []byte { return fixture.Image([]byte("code"), []byte("tail")) }

func signed(t testing.TB, image []byte, key *fixture.Pair) []byte {
	t.Helper()
	b, err := Sign(image, key.Key, key.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSignVerify(t *testing.T) {
	key, image := fixture.Key(t, "Test db", nil), small()
	before := bytes.Clone(image)
	b := signed(t, image, key)
	if !bytes.Equal(image, before) {
		t.Error("Sign changed its input")
	}
	if err := Verify(b, key.Certificate); err != nil {
		t.Error(err)
	}
	if err := Canonical(b); err != nil {
		t.Error(err)
	}
	if again := signed(t, image, key); !bytes.Equal(b, again) {
		t.Error("Sign gives other bytes the second time")
	}
}

func TestVerifySays(t *testing.T) {
	key, other := fixture.Key(t, "Test db", nil), fixture.Key(t, "Somebody", nil)
	b := signed(t, small(), key)
	changed := bytes.Clone(b)
	changed[0x400] ^= 1
	namesake := fixture.Key(t, "Test db", nil)
	for _, test := range []struct {
		name    string
		image   []byte
		trusted []*x509.Certificate
		want    string
	}{
		{"unsigned", small(), []*x509.Certificate{key.Certificate}, "image is not signed"},
		{"changed", changed, []*x509.Certificate{key.Certificate}, "image was changed after it was signed: its digest is "},
		{"unknown", b, []*x509.Certificate{other.Certificate}, `signed by unknown certificate "CN=Test db"`},
		{"namesake", b, []*x509.Certificate{namesake.Certificate}, `signed by unknown certificate "CN=Test db"`},
		{"no one trusted", b, nil, `signed by unknown certificate "CN=Test db"`},
		{"no image", nil, nil, "no MZ header"},
	} {
		if err := Verify(test.image, test.trusted...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Verify = %v; want error with %q", test.name, err, test.want)
		}
	}
	if err := Verify(small(), key.Certificate); !errors.Is(err, ErrUnsigned) {
		t.Errorf("Verify of an unsigned image = %v; want %v", err, ErrUnsigned)
	}
	if err := Verify(changed, key.Certificate); !errors.Is(err, ErrDigest) {
		t.Errorf("Verify of a changed image = %v; want %v", err, ErrDigest)
	}
	var unknown *pkcs7.UnknownSignerError
	if err := Verify(b, other.Certificate); !errors.As(err, &unknown) || !unknown.Signer.Equal(key.Certificate) {
		t.Errorf("Verify with another's certificate = %v; want that the signer is unknown", err)
	}
}

func TestTwoSignatures(t *testing.T) {
	one, two, three := fixture.Key(t, "One", nil), fixture.Key(t, "Two", nil), fixture.Key(t, "Three", nil)
	b := signed(t, signed(t, small(), one), two)
	for _, key := range []*fixture.Pair{one, two} {
		if err := Verify(b, key.Certificate); err != nil {
			t.Error(err)
		}
	}
	if err := Canonical(b); err != nil {
		t.Error(err)
	}
	signers, err := Signers(b)
	if err != nil || len(signers) != 2 || !signers[0].Equal(one.Certificate) || !signers[1].Equal(two.Certificate) {
		t.Errorf("Signers = %v, %v; want One and Two", signers, err)
	}
	err = Verify(b, three.Certificate)
	for _, want := range []string{`signature 1: signed by unknown certificate "CN=One"`, `signature 2: signed by unknown certificate "CN=Two"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Verify = %v; want error with %q", err, want)
		}
	}
}

// db may hold the certificate of who issued the signer's.
func TestIssuedSigner(t *testing.T) {
	root := fixture.Key(t, "Root", nil)
	signer := fixture.Key(t, "Signer", root)
	b := signed(t, small(), signer)
	if err := Verify(b, root.Certificate); err != nil {
		t.Error(err)
	}
	if err := Verify(b, signer.Certificate); err != nil {
		t.Error(err)
	}
	if err := Verify(signed(t, small(), root), signer.Certificate); err == nil {
		t.Error("a certificate is trusted because of one that it issued")
	}
}

// Whatever single bit is changed, Verify or Canonical notices.
func TestEveryByteIsCovered(t *testing.T) {
	key := fixture.Key(t, "Test db", nil)
	b := signed(t, small(), key)
	for i := range b {
		changed := bytes.Clone(b)
		changed[i] ^= 1 << (i % 8)
		if Verify(changed, key.Certificate) == nil && Canonical(changed) == nil {
			t.Errorf("byte %#x of %#x changed: no one notices", i, len(b))
		}
	}
	for _, changed := range [][]byte{b[:len(b)-8], b[:len(b)-1], append(bytes.Clone(b), 0), append(bytes.Clone(b), make([]byte, 8)...)} {
		if Verify(changed, key.Certificate) == nil && Canonical(changed) == nil {
			t.Errorf("%d bytes instead of %d: no one notices", len(changed), len(b))
		}
	}
}

// What Authenticode covers, Verify alone must notice.
func TestVerifyNoticesContent(t *testing.T) {
	key := fixture.Key(t, "Test db", nil)
	b := signed(t, small(), key)
	for i := range 0x600 + 8 {
		excluded := i >= 64+88 && i < 64+92 || i >= 64+136+32 && i < 64+136+40
		changed := bytes.Clone(b)
		changed[i] ^= 0x80
		if err := Verify(changed, key.Certificate); err == nil && !excluded {
			t.Errorf("byte %#x changed: Verify does not notice", i)
		}
	}
}

func TestCanonicalRefuses(t *testing.T) {
	key := fixture.Key(t, "Test db", nil)
	b := signed(t, small(), key)
	checksum := bytes.Clone(b)
	checksum[64+88]++
	entries := func(change func(*pe.Certificate)) []byte {
		m, err := pe.Open(b)
		if err != nil {
			t.Fatal(err)
		}
		table, err := m.Certificates()
		if err != nil {
			t.Fatal(err)
		}
		change(&table[0])
		if err := m.SetCertificates(table...); err != nil {
			t.Fatal(err)
		}
		return m.Bytes()
	}
	for name, image := range map[string][]byte{
		"checksum": checksum,
		"revision": entries(func(c *pe.Certificate) { c.Revision = 0x100 }),
		"type":     entries(func(c *pe.Certificate) { c.Type = 1 }),
		"tail":     entries(func(c *pe.Certificate) { c.Data = append(bytes.Clone(c.Data), 0) }),
		"unsigned": small(),
	} {
		if err := Canonical(image); err == nil {
			t.Errorf("%s: Canonical = nil; want an error", name)
		}
	}
	if err := Verify(checksum, key.Certificate); err != nil {
		t.Errorf("Verify looks at the checksum: %v", err)
	}
	if err := Canonical(checksum); !errors.Is(err, ErrNotCanonical) {
		t.Errorf("Canonical = %v; want %v", err, ErrNotCanonical)
	}
}

// token stands for a key that lives in an HSM, and may misbehave.
type token struct {
	*rsa.PrivateKey
	bad bool
}

func (k token) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	b, err := k.PrivateKey.Sign(random, digest, o)
	if k.bad {
		b[0] ^= 1
	}
	return b, err
}

func TestSignKeys(t *testing.T) {
	key, other := fixture.Key(t, "Test db", nil), fixture.Key(t, "Other", nil)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		key  crypto.Signer
		want string
	}{
		{"token", token{key.Key, false}, ""},
		{"bad token", token{key.Key, true}, "bad signature"},
		{"other key", other.Key, `not the one of certificate "CN=Test db"`},
		{"not RSA", curve, "is not RSA"},
	} {
		_, err := Sign(small(), test.key, key.Certificate)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Sign = %v; want %q", test.name, err, test.want)
		}
	}
}

// systemd's loader has data behind its last section; its stub has none of our sections yet.
func programs(t *testing.T) map[string][]byte {
	return map[string][]byte{
		"loader": fixture.Systemd(t, fixture.Loader),
		"stub":   fixture.Systemd(t, fixture.Stub),
		"ours":   small(),
	}
}

func TestSbverifyTakesOurs(t *testing.T) {
	tool := testkit.Tool(t, "sbverify")
	key, other := fixture.Key(t, "Test db", nil), fixture.Key(t, "Other", nil)
	_, certFile := key.Files(t)
	_, otherFile := other.Files(t)
	for name, image := range programs(t) {
		path := fixture.Write(t, filepath.Join(t.TempDir(), name), signed(t, image, key))
		fixture.Run(t, tool, "--cert", certFile, path)
		if out := fixture.Run(t, tool, "--list", path); !strings.Contains(out, "/CN=Test db") {
			t.Errorf("%s: sbverify --list:\n%s", name, out)
		}
		twice := fixture.Write(t, path, signed(t, signed(t, image, other), key))
		fixture.Run(t, tool, "--cert", certFile, twice)
		fixture.Run(t, tool, "--cert", otherFile, twice)
	}
}

func TestOsslsigncodeTakesOurs(t *testing.T) {
	tool := testkit.Tool(t, "osslsigncode")
	key := fixture.Key(t, "Test db", nil)
	_, certFile := key.Files(t)
	for name, image := range programs(t) {
		path := fixture.Write(t, filepath.Join(t.TempDir(), name), signed(t, image, key))
		out := fixture.Run(t, tool, "verify", "-CAfile", certFile, "-in", path)
		if !strings.Contains(out, "Signature verification: ok") {
			t.Errorf("%s: osslsigncode verify:\n%s", name, out)
		}
		digests := map[string]string{}
		for line := range strings.Lines(out) {
			if name, value, found := strings.Cut(line, ":"); found {
				digests[strings.TrimSpace(name)] = strings.TrimSpace(value)
			}
		}
		if current := digests["Current message digest"]; current == "" || current != digests["Calculated message digest"] {
			t.Errorf("%s: osslsigncode verify:\n%s", name, out)
		}
		if strings.Contains(out, "invalid PE checksum") {
			t.Errorf("%s: osslsigncode verify:\n%s", name, out)
		}
	}
}

// TestEntryHoldsTheSignatureAlone reads the certificate table by the length of its
// entry, as UEFI 2.10, 32.2.4 lays it out, and has a parser of DER that takes
// nothing behind a value. Names of several lengths make signatures of several.
func TestEntryHoldsTheSignatureAlone(t *testing.T) {
	padded := 0
	for _, name := range []string{"db", "db 1", "db 12", "db 123"} {
		key := fixture.Key(t, name, nil)
		file := signed(t, small(), key)
		peHeader := binary.LittleEndian.Uint32(file[60:])
		directory := file[peHeader+24+112+4*8:] // optional header of PE32+, entry 4
		start, size := binary.LittleEndian.Uint32(directory), binary.LittleEndian.Uint32(directory[4:])
		length := binary.LittleEndian.Uint32(file[start:])
		var value asn1.RawValue
		rest, err := asn1.Unmarshal(file[start+8:start+length], &value)
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: the entry of %d bytes holds %d behind the signature, %v", name, length, len(rest), err)
		}
		if size%8 != 0 || size != (length+7)/8*8 || int(start+size) != len(file) {
			t.Errorf("%s: table of %d bytes at %d in %d, entry of %d", name, size, start, len(file), length)
		}
		if length%8 != 0 {
			padded++
		}
		_, certFile := key.Files(t)
		path := fixture.Write(t, filepath.Join(t.TempDir(), "image"), file)
		fixture.Run(t, testkit.Tool(t, "sbverify"), "--cert", certFile, path)
		if out := fixture.Run(t, testkit.Tool(t, "osslsigncode"), "verify", "-CAfile", certFile, "-in", path); !strings.Contains(out, "Signature verification: ok") {
			t.Errorf("%s: osslsigncode verify:\n%s", name, out)
		}
	}
	if padded == 0 {
		t.Error("no signature needed padding: the test has lost its point")
	}
}

func TestVerifyTakesTheirs(t *testing.T) {
	key, other := fixture.Key(t, "Test db", nil), fixture.Key(t, "Other", nil)
	keyFile, certFile := key.Files(t)
	for _, tool := range []string{"sbsign", "osslsigncode"} {
		t.Run(tool, func(t *testing.T) {
			program := testkit.Tool(t, tool)
			for name, image := range programs(t) {
				dir := t.TempDir()
				in, out := fixture.Write(t, filepath.Join(dir, name), image), filepath.Join(dir, "out")
				if tool == "sbsign" {
					fixture.Run(t, program, "--key", keyFile, "--cert", certFile, "--output", out, in)
				} else {
					fixture.Run(t, program, "sign", "-h", "sha256", "-key", keyFile, "-certs", certFile, "-in", in, "-out", out)
				}
				b, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				if err := Verify(b, key.Certificate); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if err := Verify(b, other.Certificate); err == nil {
					t.Errorf("%s: Verify with another certificate = nil", name)
				}
				if err := Canonical(b); err == nil {
					t.Errorf("%s: Canonical = nil; its signature is not like ours", name)
				}
				// Ours beside theirs.
				if err := Verify(signed(t, b, other), other.Certificate); err != nil {
					t.Errorf("%s: second signature: %v", name, err)
				}
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	key := fixture.Key(f, "Test db", nil)
	b := signed(f, small(), key)
	f.Add(b)
	f.Add(small())
	m, err := pe.Open(b)
	if err != nil {
		f.Fatal(err)
	}
	want, err := m.Digest()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		canonical := Canonical(b)
		if Verify(b, key.Certificate) != nil {
			return
		}
		m, err := pe.Open(b)
		if err != nil {
			t.Fatal(err)
		}
		if digest, err := m.Digest(); err != nil || digest != want {
			t.Errorf("Verify accepts an image that was never signed (canonical: %v)", canonical)
		}
	})
}

// The signature alone, without an image around it to get right first.
func FuzzSignature(f *testing.F) {
	key := fixture.Key(f, "Test db", nil)
	m, err := pe.Open(signed(f, small(), key))
	if err != nil {
		f.Fatal(err)
	}
	table, err := m.Certificates()
	if err != nil {
		f.Fatal(err)
	}
	digest, err := m.Digest()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(table[0].Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		entry := pe.Certificate{Revision: 0x200, Type: 2, Data: data}
		if verifyEntry(entry, digest, []*x509.Certificate{key.Certificate}) != nil {
			return
		}
		if _, err := rebuild(entry, digest); err != nil && !errors.Is(err, ErrNotCanonical) {
			t.Errorf("verified, but %v", err)
		}
	})
}

// TestAttach signs with OpenSSL, which knows nothing but the message.
func TestAttach(t *testing.T) {
	tool := testkit.Tool(t, "openssl")
	key, other := fixture.Key(t, "Test db", nil), fixture.Key(t, "Somebody", nil)
	private := filepath.Join(t.TempDir(), "key")
	der, err := x509.MarshalPKCS8PrivateKey(key.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(private, der, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, image := range programs(t) {
		message, err := Message(image)
		if err != nil {
			t.Fatal(err)
		}
		openssl := exec.Command(tool, "dgst", "-sha256", "-sign", private, "-keyform", "DER")
		openssl.Stdin = bytes.NewReader(message)
		signature, err := openssl.Output()
		if err != nil {
			t.Fatalf("%v: %v", openssl, err)
		}
		got, err := Attach(image, signature, key.Certificate)
		if err != nil || !bytes.Equal(got, signed(t, image, key)) {
			t.Errorf("%s: Attach differs from Sign: %v", name, err)
		}
		if _, err := Attach(image, signature, other.Certificate); err == nil || !strings.Contains(err.Error(), `by the key of certificate "CN=Somebody"`) {
			t.Errorf("%s: Attach with another certificate = %v", name, err)
		}
		for _, bad := range [][]byte{nil, signature[1:], message} {
			if _, err := Attach(image, bad, key.Certificate); err == nil || !strings.Contains(err.Error(), "bad signature") {
				t.Errorf("%s: Attach of a signature of %d bytes = %v", name, len(bad), err)
			}
		}
	}
	if _, err := Message([]byte("no program")); err == nil {
		t.Error("Message of something else than a PE image succeeds")
	}
}
