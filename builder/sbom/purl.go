package sbom

import (
	"fmt"
	"strings"

	"github.com/ketch-os/ketch/builder/sbom/language"
)

// Package URLs (the purl specification; types deb, apk, rpm, golang, oci, npm, pypi, maven).

func debURL(distribution, name, version, architecture string) string {
	return "pkg:deb/" + escape(distribution) + "/" + escape(name) + "@" + escape(version) + "?arch=" + escape(architecture)
}

func apkURL(distribution, name, version, architecture string) string {
	return "pkg:apk/" + escape(distribution) + "/" + escape(name) + "@" + escape(version) + "?arch=" + escape(architecture)
}

// rpmURL has the epoch beside the version.
func rpmURL(distribution string, p installed) string {
	epoch, version := "", p.Version
	if p.epoch > 0 {
		epoch = fmt.Sprintf("&epoch=%d", p.epoch)
		_, version, _ = strings.Cut(version, ":")
	}
	return "pkg:rpm/" + escape(distribution) + "/" + escape(p.Name) + "@" + escape(version) + "?arch=" + escape(p.Architecture) + epoch
}

// languageURL is that of a package of npm, Python or Maven.
func languageURL(p language.Package) string {
	url := "pkg:" + p.Kind + "/"
	if p.Group != "" {
		url += escape(p.Group) + "/"
	}
	return url + escape(p.Name) + "@" + escape(p.Version)
}

func golangURL(path, version string) string {
	parts := strings.Split(strings.ToLower(path), "/")
	for i := range parts {
		parts[i] = escape(parts[i])
	}
	url := "pkg:golang/" + strings.Join(parts, "/")
	if version != "" {
		url += "@" + escape(version)
	}
	return url
}

// ociURL is "" for a reference that is no registry's.
func ociURL(ref, digest string) string {
	if strings.HasPrefix(ref, "oci:") || strings.HasPrefix(ref, "archive:") {
		return ""
	}
	repository, _, _ := strings.Cut(ref, "@")
	if slash := strings.LastIndex(repository, "/"); strings.Contains(repository[slash+1:], ":") {
		repository = repository[:strings.LastIndex(repository, ":")]
	}
	name := strings.ToLower(repository[strings.LastIndex(repository, "/")+1:])
	return "pkg:oci/" + escape(name) + "@" + escape(digest) + "?repository_url=" + escape(repository)
}

// escape percent-encodes what a package URL does not carry as it is.
func escape(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', strings.IndexByte("-._~:", b) >= 0:
			out.WriteByte(b)
		default:
			fmt.Fprintf(&out, "%%%02X", b)
		}
	}
	return out.String()
}
