// Package userdata is the door through which a configuration comes: it tells the kinds
// apart, and unpacks what clouds let people pack.
//
//	gzip                 unpacked, once
//	MIME multipart       each part on its own, in order (cloud-init's format)
//	#cloud-config        package cloudconfig
//	{                    Ignition: package ignition
//	ketch: 1             Ketch's own YAML: package config
//	#!                   refused: there is no shell that would run it
//
// What is none of these is refused as a whole: most often it is the page of an error.
package userdata

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"

	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/internal/config/cloudconfig"
	"github.com/ketch-os/ketch/internal/config/ignition"
	"github.com/ketch-os/ketch/internal/config/strict"
)

// The kinds of configuration.
const (
	None        = "none" // nothing but blanks
	Ketch       = "ketch"
	Ignition    = "ignition"
	CloudConfig = "cloud-config"
	Multipart   = "multipart"
	Script      = "script"
	Unknown     = "unknown"
)

const (
	// MaxSize bounds what comes, in bytes, packed or unpacked. It is that of one document
	// with room for the headers and the base64 of MIME.
	MaxSize = 2 * strict.MaxSize
	// maxParts bounds the parts of a MIME message.
	maxParts = 32
)

// Result is what a configuration comes to.
type Result struct {
	Kind     string
	Config   config.Config
	Problems []config.Problem
	// LeftOut are URLs of parts that were not looked at, for want of a Fetcher.
	LeftOut []string
}

// Usable tells whether it is a configuration at all. What is none replaces nothing that
// a machine has.
func (r Result) Usable() bool {
	return r.Kind != Unknown && r.Kind != Script
}

// Detect tells what kind text is, once unpacked.
func Detect(text []byte) string {
	begin := bytes.TrimLeft(text, " \t\r\n")
	first, _, _ := bytes.Cut(begin, []byte("\n"))
	line := strings.TrimSpace(string(first))
	switch {
	case len(begin) == 0:
		return None
	case line == "#cloud-config":
		return CloudConfig
	case strings.HasPrefix(line, "#!"):
		return Script
	case begin[0] == '{' && bytes.Contains(begin, []byte(`"ignition"`)):
		return Ignition
	case isMultipart(begin):
		return Multipart
	case hasKetch(text):
		return Ketch
	}
	return Unknown
}

// hasKetch tells whether a line is the key that Ketch's own YAML has, whatever its value.
func hasKetch(text []byte) bool {
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("ketch:")) {
			return true
		}
	}
	return false
}

func isMultipart(text []byte) bool {
	message, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return false
	}
	kind, _, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	return err == nil && strings.HasPrefix(kind, "multipart/")
}

// Parse reads a configuration of any kind. from gets what it names elsewhere; it may be nil.
func Parse(ctx context.Context, text []byte, from config.Fetcher) Result {
	return parse(ctx, text, from, true)
}

func parse(ctx context.Context, text []byte, from config.Fetcher, outer bool) Result {
	if len(text) > MaxSize {
		return refuse(Unknown, "%d bytes are over the limit of %d", len(text), MaxSize)
	}
	if bytes.HasPrefix(text, []byte{0x1f, 0x8b}) { // RFC 1952, 2.3.1
		unpacked, err := config.Gunzip(text, MaxSize)
		if err != nil {
			return refuse(Unknown, "%v", err)
		}
		text = unpacked
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	kind := Detect(text)
	result := Result{Kind: kind}
	switch kind {
	case None:
	case Ketch:
		result.Config, result.Problems = config.Parse(text)
	case CloudConfig:
		result.Config, result.Problems = cloudconfig.Parse(text)
	case Ignition:
		read := ignition.Parse(ctx, text, from)
		result.Config, result.Problems, result.LeftOut = read.Config, read.Problems, read.LeftOut
	case Multipart:
		if !outer {
			return refuse(Unknown, "a part of a MIME message is a MIME message itself")
		}
		return parts(ctx, text, from)
	case Script:
		return refuse(Script, "a script (#!) cannot be run: the machine has no shell; what runs is a container, see workloads")
	default:
		return refuse(Unknown, "%s", unknownText(text))
	}
	return result
}

func refuse(kind, format string, args ...any) Result {
	return Result{Kind: kind, Problems: []config.Problem{{Text: fmt.Sprintf(format, args...)}}}
}

// unknownText says what text is not, and what it looks like.
func unknownText(text []byte) string {
	begin := strings.ToLower(string(bytes.TrimSpace(text[:min(len(text), 512)])))
	what := ""
	switch {
	case strings.HasPrefix(begin, "<"):
		what = "an HTML or XML page; "
	case strings.HasPrefix(begin, "#include"), strings.HasPrefix(begin, "#part-handler"), strings.HasPrefix(begin, "## template"), strings.HasPrefix(begin, "#cloud-boothook"), strings.HasPrefix(begin, "#upstart-job"):
		what = "a form of cloud-init that is not supported; "
	case strings.HasPrefix(begin, "variant:"), strings.Contains(begin, "\nvariant:"):
		what = "Butane, which the program butane turns into Ignition; "
	}
	return what + "want Ketch's YAML (with ketch: 1), Ignition 3 or #cloud-config"
}

// parts reads a MIME message, each part on its own. A part that is nothing to us costs
// itself alone; later ones win.
func parts(ctx context.Context, text []byte, from config.Fetcher) Result {
	all := Result{Kind: Multipart}
	message, err := mail.ReadMessage(bytes.NewReader(bytes.TrimLeft(text, " \t\r\n")))
	if err != nil {
		return refuse(Unknown, "MIME: %v", err)
	}
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return refuse(Unknown, "MIME: %v", err)
	}
	reader := multipart.NewReader(message.Body, params["boundary"])
	var layers []config.Layer
	for number := 1; ; number++ {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && number > maxParts {
			err = fmt.Errorf("more than %d parts", maxParts)
		}
		if err != nil {
			all.Problems = append(all.Problems, config.Problem{Text: fmt.Sprintf("MIME: %v", err)})
			break
		}
		name := fmt.Sprintf("part %d", number)
		result := onePart(ctx, part, from)
		for _, p := range result.Problems {
			if p.Source == "" {
				p.Source = name
			}
			all.Problems = append(all.Problems, p)
		}
		all.LeftOut = append(all.LeftOut, result.LeftOut...)
		layers = append(layers, config.Layer{Name: name, Config: result.Config})
	}
	all.Config = config.Merge(layers...).Config
	return all
}

func onePart(ctx context.Context, part *multipart.Part, from config.Fetcher) Result {
	var body io.Reader = part
	switch encoding := strings.ToLower(part.Header.Get("Content-Transfer-Encoding")); encoding {
	case "", "7bit", "8bit", "binary":
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, part)
	default:
		return refuse(Unknown, "Content-Transfer-Encoding: %q is not supported: want base64 or 8bit", encoding)
	}
	text, err := io.ReadAll(io.LimitReader(body, MaxSize+1))
	if err != nil {
		return refuse(Unknown, "%v", err)
	}
	return parse(ctx, text, from, false)
}
