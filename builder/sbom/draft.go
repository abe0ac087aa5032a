package sbom

import (
	"crypto/sha1"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ketch-os/ketch/builder/sbom/inventory"
	"github.com/ketch-os/ketch/builder/tree"
)

// draft is a document in the making.
type draft struct {
	Source
	layers   []layer
	root     *Package
	packages map[string]*Package // by what they are: kind, name, version
	ids      map[string]bool     // SPDX identifiers taken
	files    []*File
	relation map[Relationship]bool
	licences map[string]Extracted          // by identifier
	modules  map[string]inventory.Module   // by "path@version"
	owners   map[*tree.Node]*Package       // of files
	programs map[string]*inventory.Program // by path
	licence  licences
}

func newDraft(s Source, layers []layer) *draft {
	d := &draft{
		Source: s, layers: layers,
		packages: map[string]*Package{}, ids: map[string]bool{}, relation: map[Relationship]bool{},
		licences: map[string]Extracted{}, modules: map[string]inventory.Module{},
		owners: map[*tree.Node]*Package{}, programs: map[string]*inventory.Program{},
	}
	d.licence = licences{d.Tree, d.licences, map[string]declared{}}
	for _, l := range layers {
		for _, m := range l.Modules {
			d.modules[m.Path+"@"+m.Version] = m
		}
		for i := range l.Go {
			d.programs[l.Go[i].Path] = &l.Go[i]
		}
	}
	d.root = d.add("image", &Package{Name: s.Name, Version: s.Version, Purpose: "OPERATING-SYSTEM", LicenceDeclared: noAssertion})
	d.relate(documentID, Describes, d.root.SPDXID)
	return d
}

// nested are the files that layers say have programs in them: container images.
func (d *draft) nested() map[string]bool {
	archives := map[string]bool{}
	for name := range d.programs {
		if archive, _, found := strings.Cut(name, ":"); found {
			archives[archive] = true
		}
	}
	return archives
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// add adds a package unless it is there: kind, name and version say which it is.
func (d *draft) add(kind string, p *Package) *Package {
	key := kind + "\n" + p.Name + "\n" + p.Version
	if there := d.packages[key]; there != nil {
		return there
	}
	p.Name, p.Version = fileName(p.Name), fileName(p.Version)
	p.SPDXID = d.id(kind + "-" + p.Name + "-" + p.Version)
	p.DownloadLocation = noAssertion
	d.packages[key] = p
	return p
}

// id makes an identifier of a name (3.2: letters, digits, dots and hyphens).
func (d *draft) id(name string) string {
	base := "SPDXRef-" + strings.Trim(notInID.ReplaceAllString(name, "-"), "-")
	id := base
	for n := 2; d.ids[id]; n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	d.ids[id] = true
	return id
}

func (d *draft) relate(element, kind, related string) {
	d.relation[Relationship{element, kind, related}] = true
}

// component adds a package that the image itself has.
func (d *draft) component(kind string, p *Package) *Package {
	p = d.add(kind, p)
	d.relate(d.root.SPDXID, Contains, p.SPDXID)
	return p
}

// addImages adds the container images that the image was made of.
func (d *draft) addImages() {
	for _, image := range d.Images {
		d.relate(d.root.SPDXID, GeneratedFrom, d.image(image).SPDXID)
	}
}

func (d *draft) image(i Image) *Package {
	return d.add("oci", &Package{
		Name: i.Ref, Version: i.Digest, Purpose: container, LicenceDeclared: noAssertion, ExternalRefs: purl(ociURL(i.Ref, i.Digest)),
	})
}

func purl(url string) []ExternalRef {
	if url == "" {
		return nil
	}
	return []ExternalRef{{"PACKAGE-MANAGER", "purl", url}}
}

// finish sorts everything and adds what depends on all of it.
func (d *draft) finish() *Document {
	doc := &Document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: documentID, Name: strings.TrimSpace(d.Name + " " + d.Version),
		CreationInfo: CreationInfo{d.Released.UTC().Truncate(time.Second), []string{"Tool: ketch"}},
		Packages:     slices.SortedFunc(maps.Values(d.packages), func(a, b *Package) int { return strings.Compare(a.SPDXID, b.SPDXID) }),
		Files:        d.files,
	}
	for _, id := range slices.Sorted(maps.Keys(d.licences)) {
		doc.ExtractedLicences = append(doc.ExtractedLicences, d.licences[id])
	}
	for r := range d.relation {
		doc.Relationships = append(doc.Relationships, &r)
	}
	slices.SortFunc(doc.Relationships, func(a, b *Relationship) int {
		return strings.Compare(a.Element+" "+a.Type+" "+a.Related, b.Element+" "+b.Type+" "+b.Related)
	})
	doc.verify()
	return doc
}

// verify gives each package with files the verification code over them (7.9):
// SHA-1 of their SHA-1 digests, sorted.
func (d *Document) verify() {
	sums := map[string]string{}
	for _, f := range d.Files {
		sums[f.SPDXID] = f.Checksums[0].Value
	}
	of := map[string][]string{}
	for _, r := range d.Relationships {
		if sum := sums[r.Related]; sum != "" && r.Type == Contains {
			of[r.Element] = append(of[r.Element], sum)
		}
	}
	for _, p := range d.Packages {
		if sums := of[p.SPDXID]; sums != nil {
			slices.Sort(sums)
			p.FilesAnalyzed = true
			p.Verification = &Verification{fmt.Sprintf("%x", sha1.Sum([]byte(strings.Join(sums, ""))))}
		}
	}
}
