package licence

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/internal/testkit"
)

// Licences as people write them.
const (
	mit = `MIT License

Copyright (c) 2014-2026 Some One <some@example.org>
All rights reserved.

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NON-INFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`
	bsd2 = `// Copyright 2009 The Go Authors. All rights reserved.
//
// Redistribution and use in source and binary forms, with or without
// modification, are permitted provided that the following conditions are
// met:
//
//    * Redistributions of source code must retain the above copyright
// notice, this list of conditions and the following disclaimer.
//    * Redistributions in binary form must reproduce the above
// copyright notice, this list of conditions and the following disclaimer
// in the documentation and/or other materials provided with the
// distribution.
`
	bsd3 = bsd2 + `//    * Neither the name of Google Inc. nor the names of its
// contributors may be used to endorse or promote products derived from
// this software without specific prior written permission.
`
	bsdEnd = `//
// THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS
// "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT
// LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR
// A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT
// OWNER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL,
// SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT
// LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE,
// DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY
// THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT
// (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
// OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
`
	isc = `ISC License
Copyright 2012 Dave
Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES
WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF
MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF
OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`
)

func TestText(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"MIT", mit, "MIT"},
		{"MIT with CRLF", strings.ReplaceAll(mit, "\n", "\r\n"), "MIT"},
		{"BSD-2-Clause", bsd2 + bsdEnd, "BSD-2-Clause"},
		{"BSD-3-Clause", bsd3 + bsdEnd, "BSD-3-Clause"},
		{"numbered", strings.ReplaceAll(bsd3+bsdEnd, "   * ", "   1. "), "BSD-3-Clause"},
		{"ISC", isc, "ISC"},
		{"0BSD", strings.Replace(isc, ", provided that the above\ncopyright notice and this permission notice appear in all copies", "", 1), "0BSD"},
		{"two", mit + "\n-----\n\n" + bsd2 + bsdEnd, "BSD-2-Clause AND MIT"},
		{"nothing", "", ""},
		{"only a title", "MIT License\nCopyright 2020 X\n", ""},
		{"one more condition", mit + "\nThe Software shall be used for Good, not Evil.\n", ""},
		{"a preface", "This project is partly licensed as follows.\n" + mit, ""},
		{"four clauses", bsd3 + "// All advertising materials must display an acknowledgement.\n" + bsdEnd, ""},
		{"a long line of names", strings.Replace(mit, "THE\nAUTHORS OR COPYRIGHT HOLDERS BE", strings.Repeat("NAME ", maxGap+1)+"BE", 1), ""},
		{"too long", strings.Repeat("\n", maxText) + mit, ""},
	} {
		if got := Text(test.text); got != test.want {
			t.Errorf("Text of %s = %q; want %q", test.name, got, test.want)
		}
	}
}

// A licence that lacks a word, or has one more, is another licence.
func TestTextCountsWords(t *testing.T) {
	for _, text := range []string{mit, isc, bsd2 + bsdEnd, bsd3 + bsdEnd} {
		all := words(text)
		if Text(strings.Join(all, " ")) == "" {
			t.Fatalf("Text does not know %.100q", text)
		}
		for i, word := range all {
			less := strings.Join(slices.Delete(slices.Clone(all), i, i+1), " ")
			more := strings.Join(slices.Insert(slices.Clone(all), i, "not"), " ")
			if Text(less) != "" && !free(all, i) {
				t.Errorf("Text knows a text without its word %d, %q", i, word)
			}
			if Text(more) != "" && !free(all, i) {
				t.Errorf("Text knows a text with another word before word %d, %q", i, word)
			}
		}
	}
}

// free tells whether a word lies where names may stand, or where a phrase lets it be missing.
func free(all []string, i int) bool {
	near := strings.Join(all[max(0, i-9):min(len(all), i+7)], " ")
	for _, place := range []string{
		"shall", "provided by", "neither the name", "names of its", "may be used to endorse", "and or distribute", "and this permission notice", "without specific prior", "the author", "license",
	} {
		if strings.Contains(near, place) {
			return true
		}
	}
	return false
}

func TestTextOfFiles(t *testing.T) {
	for name, want := range map[string]string{
		"../../../LICENSE":                      "Apache-2.0",
		"/usr/share/common-licenses/Apache-2.0": "Apache-2.0",
		"/usr/share/common-licenses/MPL-2.0":    "MPL-2.0",
		"/usr/share/common-licenses/BSD":        "BSD-3-Clause",
		"/usr/share/common-licenses/GPL-2":      "",
		"/usr/share/common-licenses/LGPL-2.1":   "",
		"/usr/share/common-licenses/MPL-1.1":    "",
		"/usr/share/common-licenses/Artistic":   "",
		"/usr/share/doc/libjansson4/copyright":  "",
	} {
		testkit.File(t, name)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := Text(string(text)); got != want {
			t.Errorf("Text of %s = %q; want %q", name, got, want)
		}
	}
	apache, err := os.ReadFile("../../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(apache), "irrevocable", "revocable", 1)
	if got := Text(changed); got != "" || changed == string(apache) {
		t.Errorf("Text of a changed Apache licence = %q; want none", got)
	}
}

func TestModule(t *testing.T) {
	for _, test := range []struct {
		name  string
		files fstest.MapFS
		want  Files
	}{
		{"one", fstest.MapFS{"LICENSE": {Data: []byte(mit)}, "README": {Data: []byte("x")}}, Files{Licence: "MIT"}},
		{"lower case, suffix", fstest.MapFS{"license.md": {Data: []byte(isc)}}, Files{Licence: "ISC"}},
		{"two", fstest.MapFS{"LICENSE": {Data: []byte(mit)}, "GO_LICENSE": {Data: []byte(bsd3 + bsdEnd)}}, Files{Licence: "BSD-3-Clause AND MIT"}},
		{"one unknown", fstest.MapFS{"LICENSE": {Data: []byte(mit)}, "COPYING": {Data: []byte("x\n")}}, Files{SHA256: map[string]string{
			"LICENSE": sum(mit), "COPYING": sum("x\n")}}},
		{"none", fstest.MapFS{"doc/LICENSE": {Data: []byte(mit)}}, Files{SHA256: map[string]string{}}},
	} {
		got, err := Module(test.files)
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("Module of %s: %v (-want +got):\n%s", test.name, err, diff)
		}
	}
}

// TestByHand: what people have noted is a valid expression, of a whole SHA-256.
func TestByHand(t *testing.T) {
	for digest, d := range byHand {
		if len(digest) != 64 || !Valid(d.Expression) {
			t.Errorf("%s: %q", digest, d.Expression)
		}
		for _, ref := range d.Refs {
			if !strings.Contains(d.Expression, ref.ID) {
				t.Errorf("%s: %q does not use %s", digest, d.Expression, ref.ID)
			}
		}
	}
	if _, ok := ByHand(sum("x")); ok {
		t.Error("ByHand of a text that nobody has read is not empty")
	}
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

func TestValid(t *testing.T) {
	for _, good := range []string{"MIT", "MIT AND ISC", "(MIT OR ISC) AND GPL-2.0-only WITH Linux-syscall-note", "((Zlib))", "GPL-2.0+", "Apache-2.0+", "LicenseRef-x-12ab.3"} {
		if !Valid(good) {
			t.Errorf("Valid(%q) = false", good)
		}
	}
	for _, bad := range []string{"", "MIT AND", "AND", "(MIT", "MIT)", "MIT ISC", "MIT WITH", "a_b", "mit", "GPLv2+", "ASL", "MIT WITH MIT", "Linux-syscall-note", "LicenseRef-", "MIT and ISC", "()", strings.Repeat("(", 99) + "A" + strings.Repeat(")", 99)} {
		if Valid(bad) {
			t.Errorf("Valid(%q) = true", bad)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add(mit)
	f.Add(bsd3 + bsdEnd)
	f.Add(isc + mit)
	f.Fuzz(func(t *testing.T, text string) {
		if got := Text(text); got != "" && !Valid(got) {
			t.Fatalf("Text(%q) = %q, no expression", text, got)
		}
	})
}
