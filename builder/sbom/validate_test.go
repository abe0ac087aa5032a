package sbom

import (
	"crypto/sha1"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/sbom/licence"
)

// validate holds a document against what SPDX 2.3 demands; the numbers are its clauses.
func validate(t *testing.T, d *Document) {
	t.Helper()
	v := validator{t, d, map[string]bool{}, map[string]bool{"NONE": true, noAssertion: true}}
	v.head()
	v.elements()
	v.relationships()
}

type validator struct {
	*testing.T
	*Document
	ids      map[string]bool
	licences map[string]bool
}

func (v validator) require(ok bool, clause, format string, args ...any) {
	v.Helper()
	if !ok {
		v.Errorf("SPDX 2.3, %s: %s", clause, fmt.Sprintf(format, args...))
	}
}

func (v validator) head() {
	v.require(v.SPDXVersion == "SPDX-2.3", "6.1", "version %q", v.SPDXVersion)
	v.require(v.DataLicense == "CC0-1.0", "6.2", "data licence %q", v.DataLicense)
	v.require(v.SPDXID == "SPDXRef-DOCUMENT", "6.3", "identifier %q", v.SPDXID)
	v.require(v.Document.Name != "", "6.4", "no name")
	namespace, err := url.Parse(v.DocumentNamespace)
	v.require(err == nil && namespace.IsAbs() && namespace.Fragment == "", "6.5", "namespace %q", v.DocumentNamespace)
	for _, creator := range v.CreationInfo.Creators {
		v.require(regexp.MustCompile(`^(Person|Organization|Tool): .`).MatchString(creator), "6.8", "creator %q", creator)
	}
	v.require(len(v.CreationInfo.Creators) > 0, "6.8", "no creator")
	created, err := v.CreationInfo.Created.MarshalText()
	v.require(err == nil && regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).Match(created), "6.9", "created %s", created)
}

var identifierForm = regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)

func (v validator) identify(id string) {
	v.require(identifierForm.MatchString(id) && !v.ids[id], "7.2, 8.2", "identifier %q", id)
	v.ids[id] = true
}

func (v validator) elements() {
	for _, l := range v.ExtractedLicences {
		v.require(regexp.MustCompile(`^LicenseRef-[A-Za-z0-9.-]+$`).MatchString(l.ID) && !v.licences[l.ID], "10.1", "identifier %q", l.ID)
		v.require(l.Text != "" && l.Name != "", "10.2", "%s has no text or name", l.ID)
		v.licences[l.ID] = true
	}
	v.identify(documentID)
	for _, p := range v.Packages {
		v.identify(p.SPDXID)
		v.require(p.Name != "", "7.1", "%s has no name", p.SPDXID)
		v.require(p.DownloadLocation != "", "7.7", "%s has no download location", p.SPDXID)
		v.expression(p)
		for _, sum := range p.Checksums {
			v.require(sum.Algorithm == "SHA256" && len(sum.Value) == 64, "7.10", "%s has the checksum %v", p.SPDXID, sum)
		}
		for _, ref := range p.ExternalRefs {
			v.require(ref.Category == "PACKAGE-MANAGER" && ref.Type == "purl" && strings.HasPrefix(ref.Locator, "pkg:") && !strings.ContainsAny(ref.Locator, " \t"), "7.21", "%+v", ref)
		}
		v.require(slices.Contains([]string{"", "CONTAINER", "OPERATING-SYSTEM"}, p.Purpose), "7.24", "purpose %q", p.Purpose)
	}
	for _, f := range v.Files {
		v.identify(f.SPDXID)
		v.require(strings.HasPrefix(f.Name, "./"), "8.1", "name %q", f.Name)
		v.require(f.Checksums[0].Algorithm == "SHA1" && len(f.Checksums[0].Value) == 40, "8.4", "%s: %v", f.Name, f.Checksums)
		v.require(f.Checksums[1].Algorithm == "SHA256" && len(f.Checksums[1].Value) == 64, "8.4", "%s: %v", f.Name, f.Checksums)
	}
}

func (v validator) expression(p *Package) {
	if v.licences[p.LicenceDeclared] {
		return
	}
	v.require(licence.Valid(p.LicenceDeclared), "annex D", "%s declares %q", p.SPDXID, p.LicenceDeclared)
	for _, word := range strings.FieldsFunc(p.LicenceDeclared, func(r rune) bool { return strings.ContainsRune("() ", r) }) {
		v.require(!strings.HasPrefix(word, "LicenseRef-") || v.licences[word], "10.1", "%s declares %s, which is not defined", p.SPDXID, word)
	}
}

func (v validator) relationships() {
	seen, owners, sums := map[Relationship]bool{}, map[string]int{}, map[string][]string{}
	for _, r := range v.Relationships {
		v.require(v.ids[r.Element] && v.ids[r.Related], "11.1", "%+v: no such element", *r)
		v.require(slices.Contains([]string{Describes, Contains, GeneratedFrom, StaticLink}, r.Type), "11.1", "%+v: type", *r)
		v.require(!seen[*r], "11.1", "%+v stands there twice", *r)
		seen[*r] = true
		if i := slices.IndexFunc(v.Files, func(f *File) bool { return f.SPDXID == r.Related }); i >= 0 && r.Type == Contains {
			owners[r.Related]++
			sums[r.Element] = append(sums[r.Element], v.Files[i].Checksums[0].Value)
		}
	}
	v.require(slices.ContainsFunc(v.Relationships, func(r *Relationship) bool { return r.Element == documentID && r.Type == Describes }), "11.1", "the document describes nothing")
	for _, f := range v.Files {
		v.require(owners[f.SPDXID] == 1, "11.1", "%s is in %d packages", f.Name, owners[f.SPDXID])
	}
	for _, p := range v.Packages {
		if !p.FilesAnalyzed {
			v.require(sums[p.SPDXID] == nil && p.Verification == nil, "7.8", "%s has files and says that it was not analysed", p.SPDXID)
			continue
		}
		slices.Sort(sums[p.SPDXID])
		want := fmt.Sprintf("%x", sha1.Sum([]byte(strings.Join(sums[p.SPDXID], ""))))
		v.require(p.Verification != nil && p.Verification.Value == want, "7.9", "%s has the verification code %v; want %s", p.SPDXID, p.Verification, want)
	}
}
