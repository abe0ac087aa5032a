package config

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/ketch-os/ketch/internal/bareurl"
	"github.com/ketch-os/ketch/internal/config/strict"
)

// MaxContents bounds what is in a file, in bytes, after unpacking.
const MaxContents = 4 << 20

// Contents is what is in a file. Either Data holds it, or it is still to be fetched
// from Source.
type Contents struct {
	Data   []byte
	Source string // http or https
	Gzip   bool   // what Source gives is compressed
	Hash   string // of it as it comes: "sha256-…" or "sha512-…" in hexadecimal digits; empty: not checked
}

// contentsForm is the long form of Contents. It is for the decoder alone.
type contentsForm struct {
	Text   *string `yaml:"text" doc:"The content itself."`
	Base64 *string `yaml:"base64" doc:"The content in base64; blanks and line ends do not count."`
	Source *string `yaml:"source" doc:"Where it is: a data:, https: or http: URL. http: needs a digest."`
	Gzip   bool    `yaml:"gzip" doc:"Whether base64 or source is compressed by gzip."`
	SHA256 string  `yaml:"sha256" doc:"SHA-256 of what source gives, 64 hexadecimal digits."`
}

// UnmarshalNode reads text, or the long form.
func (c *Contents) UnmarshalNode(n strict.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		c.Data = []byte(n.Value)
		return
	}
	var form contentsForm
	decoded := n.Decode(&form)
	if !decoded {
		return
	}
	given := 0
	for _, way := range []*string{form.Text, form.Base64, form.Source} {
		if way != nil {
			given++
		}
	}
	var err error
	switch {
	case given != 1:
		err = errors.New("want one of text, base64 and source")
	case form.Text != nil && form.Gzip:
		err = errors.New("gzip: text is not compressed")
	case form.Source == nil && form.SHA256 != "":
		err = errors.New("sha256: is for what source gives")
	case form.Source != nil && form.SHA256 == "" && strings.HasPrefix(*form.Source, "http:"):
		err = errors.New("sha256: is missing: what comes by http: may be anybody's")
	case form.Text != nil:
		c.Data = []byte(*form.Text)
	case form.Base64 != nil:
		*c, err = FromBase64(*form.Base64, form.Gzip)
	default:
		hash := ""
		if form.SHA256 != "" {
			hash = "sha256-" + form.SHA256
		}
		*c, err = FromURL(*form.Source, form.Gzip, hash)
	}
	if err != nil {
		n.Problem("%v", err)
	}
}

// FromBase64 is content in base64.
func FromBase64(text string, compressed bool) (Contents, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return Contents{}, errors.New("is not in base64, or is cut off")
	}
	return take(data, compressed, "")
}

// FromURL is the content at a URL: of a data URL at once, of http and https later. hash
// is of the content as it comes; empty: it is not checked.
func FromURL(source string, compressed bool, hash string) (Contents, error) {
	if err := checkHash(hash); err != nil {
		return Contents{}, err
	}
	if rest, ok := strings.CutPrefix(source, "data:"); ok {
		data, err := dataURL(rest)
		if err != nil {
			return Contents{}, err
		}
		return take(data, compressed, hash)
	}
	return Contents{Source: source, Gzip: compressed, Hash: hash}, checkURL(source)
}

func checkURL(source string) error {
	u, err := url.Parse(source)
	switch {
	case err != nil:
		return errors.New("is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q: want a data:, https: or http: URL", short(bareurl.Text(source)))
	case u.Host == "" || u.User != nil:
		return fmt.Errorf("%q: want a host, and no password", short(bareurl.Text(source)))
	}
	return nil
}

// dataURL decodes what follows "data:" (RFC 2397): [TYPE][;base64],DATA.
func dataURL(rest string) ([]byte, error) {
	kind, text, ok := strings.Cut(rest, ",")
	if !ok {
		return nil, errors.New("a data URL has a comma before its data")
	}
	text, err := url.PathUnescape(text)
	if err != nil {
		return nil, fmt.Errorf("data URL: %w", err)
	}
	if !strings.HasSuffix(kind, ";base64") {
		return []byte(text), nil
	}
	text = strings.TrimRight(text, "=") // which may be missing
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		data, err = base64.RawURLEncoding.DecodeString(text)
	}
	if err != nil {
		return nil, errors.New("data URL: is not in base64, or is cut off")
	}
	return data, nil
}

func take(data []byte, compressed bool, hash string) (Contents, error) {
	data, err := Unpack(data, compressed, hash)
	return Contents{Data: data}, err
}

// Unpack checks the digest of content, and decompresses it.
func Unpack(data []byte, compressed bool, hash string) ([]byte, error) {
	if err := verify(data, hash); err != nil {
		return nil, err
	}
	if compressed {
		return Gunzip(data, MaxContents)
	}
	if len(data) > MaxContents {
		return nil, fmt.Errorf("more than %d bytes", MaxContents)
	}
	return data, nil
}

// Gunzip decompresses data to at most limit bytes.
func Gunzip(data []byte, limit int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, errors.New("is not compressed by gzip")
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("gzip: cut off or damaged: %w", err)
	case len(out) > limit:
		return nil, fmt.Errorf("gzip: unpacks to more than %d bytes", limit)
	}
	return out, nil
}

func checkHash(hash string) error {
	if hash == "" {
		return nil
	}
	function, digits, _ := strings.Cut(hash, "-")
	sum, err := hex.DecodeString(digits)
	switch {
	case err == nil && function == "sha256" && len(sum) == sha256.Size:
	case err == nil && function == "sha512" && len(sum) == sha512.Size:
	default:
		return fmt.Errorf("%q is no digest: want 64 hexadecimal digits of SHA-256, or 128 of SHA-512", short(hash))
	}
	return nil
}

func verify(data []byte, hash string) error {
	function, want, _ := strings.Cut(hash, "-")
	got := ""
	switch function {
	case "":
		return nil
	case "sha256":
		got = fmt.Sprintf("%x", sha256.Sum256(data))
	case "sha512":
		got = fmt.Sprintf("%x", sha512.Sum512(data))
	default:
		return fmt.Errorf("%q: no such digest", short(hash))
	}
	if !strings.EqualFold(got, want) {
		return fmt.Errorf("the content is another: its %s is %s, not %s", function, got, strings.ToLower(want))
	}
	return nil
}

// Schema describes the form as JSON Schema.
func (Contents) Schema() map[string]any {
	return map[string]any{"anyOf": []any{map[string]any{"type": "string"}, map[string]any{"type": "number"}, structSchema[contentsForm]()}}
}
