package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Document is an SPDX document (SPDX 2.3, JSON). Its fields are in the order of
// the specification's chapters 6 to 11; only those in use are here.
type Document struct {
	SPDXVersion       string          `json:"spdxVersion"`
	DataLicense       string          `json:"dataLicense"`
	SPDXID            string          `json:"SPDXID"`
	Name              string          `json:"name"`
	DocumentNamespace string          `json:"documentNamespace"`
	CreationInfo      CreationInfo    `json:"creationInfo"`
	Packages          []*Package      `json:"packages"`
	Files             []*File         `json:"files,omitempty"`
	ExtractedLicences []Extracted     `json:"hasExtractedLicensingInfos,omitempty"`
	Relationships     []*Relationship `json:"relationships"`
}

// CreationInfo says when and by what a document was made.
type CreationInfo struct {
	Created  time.Time `json:"created"`
	Creators []string  `json:"creators"`
}

// Package is a component: a Debian package, a Go module, a kernel, an image.
type Package struct {
	Name             string        `json:"name"`
	SPDXID           string        `json:"SPDXID"`
	Version          string        `json:"versionInfo,omitempty"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	Verification     *Verification `json:"packageVerificationCode,omitempty"`
	Checksums        []Checksum    `json:"checksums,omitempty"`
	SourceInfo       string        `json:"sourceInfo,omitempty"`
	LicenceDeclared  string        `json:"licenseDeclared"`
	LicenceComments  string        `json:"licenseComments,omitempty"`
	Comment          string        `json:"comment,omitempty"`
	ExternalRefs     []ExternalRef `json:"externalRefs,omitempty"`
	Purpose          string        `json:"primaryPackagePurpose,omitempty"`
}

// Verification is the digest of a package's files (7.9).
type Verification struct {
	Value string `json:"packageVerificationCodeValue"`
}

// Checksum is a digest in hex.
type Checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

// ExternalRef is a package URL.
type ExternalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// File is a program or a library.
type File struct {
	Name      string     `json:"fileName"` // "./usr/bin/runc"
	SPDXID    string     `json:"SPDXID"`
	Types     []string   `json:"fileTypes"`
	Checksums []Checksum `json:"checksums"`
}

// Extracted is a licence that SPDX does not list.
type Extracted struct {
	ID   string `json:"licenseId"`
	Text string `json:"extractedText"`
	Name string `json:"name"`
}

// Relationship is "Element Type Related".
type Relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// Relationships in use.
const (
	Describes     = "DESCRIBES"
	Contains      = "CONTAINS"
	GeneratedFrom = "GENERATED_FROM"
	StaticLink    = "STATIC_LINK"
)

const (
	documentID  = "SPDXRef-DOCUMENT"
	noAssertion = "NOASSERTION"
	container   = "CONTAINER" // the purpose of a container image
)

// PURL returns the package URL of a package, or "".
func (p *Package) PURL() string {
	for _, ref := range p.ExternalRefs {
		if ref.Type == "purl" {
			return ref.Locator
		}
	}
	return ""
}

// Kind is the type of the package URL ("deb", "golang", "npm", …), "oci" of a
// container image, and "" of the image as a whole.
func (p *Package) Kind() string {
	kind, _, found := strings.Cut(strings.TrimPrefix(p.PURL(), "pkg:"), "/")
	switch {
	case found:
		return kind
	case p.Purpose == container:
		return "oci"
	}
	return ""
}

// Encode returns the document as JSON. Its namespace derives from all the rest.
func (d *Document) Encode() ([]byte, error) {
	unnamed := *d
	unnamed.DocumentNamespace = ""
	content, err := unnamed.marshal()
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(content)
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // a UUID of version 8 (RFC 9562, 5.8)
	d.DocumentNamespace = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
	return d.marshal()
}

func (d *Document) marshal() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(d)
	return out.Bytes(), err
}

// Parse reads a document that Encode has written.
func Parse(data []byte) (*Document, error) {
	var d Document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	if d.SPDXVersion != "SPDX-2.3" {
		return nil, fmt.Errorf("bill of materials: version %q, want SPDX-2.3", d.SPDXVersion)
	}
	if slices.Contains(d.Packages, nil) || slices.Contains(d.Files, nil) || slices.Contains(d.Relationships, nil) {
		return nil, errors.New("bill of materials: null in a list")
	}
	return &d, nil
}

// Summary counts what a document lists: "23 Debian packages, 120 Go modules, 35
// programs and libraries".
func (d *Document) Summary() string {
	count := map[string]int{}
	for _, p := range d.Packages {
		count[p.Kind()]++
	}
	text := fmt.Sprintf("%d Debian packages, %d Go modules", count["deb"], count["golang"])
	for _, kind := range []struct{ name, what string }{
		{"apk", "Alpine packages"}, {"rpm", "RPM packages"}, {"npm", "npm packages"}, {"pypi", "Python packages"}, {"maven", "Java artefacts"},
	} {
		if n := count[kind.name]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, kind.what)
		}
	}
	return fmt.Sprintf("%s, %d programs and libraries", text, len(d.Files))
}

// Owners tells the package of each file: "./" and its path → SPDX identifier.
func (d *Document) Owners() map[string]string {
	names := map[string]string{}
	for _, f := range d.Files {
		names[f.SPDXID] = filePath(f.Name)
	}
	owners := map[string]string{}
	for _, r := range d.Relationships {
		if name := names[r.Related]; name != "" && r.Type == Contains {
			owners[name] = r.Element
		}
	}
	return owners
}
