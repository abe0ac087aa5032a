package sbom

import "testing"

// The examples of the purl specification, as far as they are of our types.
func TestPURL(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{debURL("debian", "curl", "7.50.3-1", "i386"), "pkg:deb/debian/curl@7.50.3-1?arch=i386"},
		{debURL("debian", "attr", "1:2.4.47-2+b2", "amd64"), "pkg:deb/debian/attr@1:2.4.47-2%2Bb2?arch=amd64"},
		{debURL("debian", "libstdc++6", "12~rc1", "amd64"), "pkg:deb/debian/libstdc%2B%2B6@12~rc1?arch=amd64"},
		{golangURL("google.golang.org/genproto", "v0.0.0-20260825221802-da73d73af1c5"), "pkg:golang/google.golang.org/genproto@v0.0.0-20260825221802-da73d73af1c5"},
		{golangURL("github.com/Microsoft/hcsshim", "v0.15.0-rc.4"), "pkg:golang/github.com/microsoft/hcsshim@v0.15.0-rc.4"},
		{golangURL("github.com/a/b", "v2.0.0+incompatible"), "pkg:golang/github.com/a/b@v2.0.0%2Bincompatible"},
		{golangURL("ketch", ""), "pkg:golang/ketch"},
		{ociURL("registry.example:5000/team/App:1.2", "sha256:12ab"), "pkg:oci/app@sha256:12ab?repository_url=registry.example:5000%2Fteam%2FApp"},
		{ociURL("debian@sha256:12ab", "sha256:12ab"), "pkg:oci/debian@sha256:12ab?repository_url=debian"},
		{ociURL("oci:../out/layers:base", "sha256:12ab"), ""},
		{ociURL("archive:app.tar", "sha256:12ab"), ""},
	} {
		if test.got != test.want {
			t.Errorf("package URL %s; want %s", test.got, test.want)
		}
	}
}
