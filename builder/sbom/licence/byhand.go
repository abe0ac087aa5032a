package licence

// byHand are licence files that Text and Debian cannot name: several licences in
// one file, each for some of the sources, or the same terms in words of their own.
// A person has read each from beginning to end. It is known by its SHA-256: where
// a new release changes a word, it has to be read again.
var byHand = map[string]Declared{
	// filepath-securejoin 0.7.0, COPYING.md: which files are under which, and both texts.
	"83e36e42b3dacc3d447eca3049848b3e2ff66b6e1768a6a3cf3f27a57079bda4": {Expression: "BSD-3-Clause AND MPL-2.0"},
	// klauspost/compress 1.20.3, LICENSE: gzhttp is under Apache, readahead and filepathx under MIT.
	"0d9e582ee4bff57bf1189c9e514e6da7ce277f9cd3bc2d488b22fbb39a6d87cf": {Expression: "Apache-2.0 AND BSD-3-Clause AND MIT"},
	// go-digest 1.0.0, LICENSE.docs: for its README and CONTRIBUTING.
	"a1d1adec3ba691ef6e377a78bbe9e9e2501f2f4a1723d08857da1ac6564e4fed": {Expression: "CC-BY-SA-4.0"},
	// go-toml 2.4.3, LICENSE: with the project's name above.
	"26844e4b53c5adec04e557fd7dfef281cc0205a7d355626b1c68b778b99e9e7b": {Expression: "MIT"},
	// therootcompany/xz 1.0.1, LICENSE.
	"df8feba9f3469adec9c1c794633af3edb101f09e1641624ff78282f32ea410ea": {Expression: "CC0-1.0"},
	// u-root/cpuid, LICENSE: with a sentence that a fork is under the same.
	"1e5c6c52bb4621e114aaf9a7853ef1cdc6ed52d5c9fe4524b75a30546ee3ce5d": {Expression: "BSD-3-Clause"},
	// ulikunitz/xz 0.5.17, LICENSE: "My name, Ulrich Kunitz, may not be used …".
	"701cbcc144a7c865b072f27547e66ddbf17ac44a3bd21f71149ace02518f107c": {Expression: "BSD-3-Clause"},
	// yaml 2.4.4, LICENSE.libyaml: for the files that were ported from libyaml.
	"a94710b55e03b5285f77d048c5ba61bb9d6ee04a06c0eb90e68821e11b0c707a": {Expression: "MIT"},
	// yaml 3.0.5, LICENSE: what was ported from libyaml is under MIT.
	"d18f6323b71b0b768bb5e9616e36da390fbd39369a81807cca352de4e4e6aa0b": {Expression: "Apache-2.0 AND MIT"},
	// sigs.k8s.io/json, LICENSE: internal/golang is Go's.
	"ef523ecf6292d4b80e02e6003dcbaf386e774efe70e8607ad762b1437d1f383b": {Expression: "Apache-2.0 AND BSD-3-Clause"},
	// sigs.k8s.io/yaml 1.6.0, LICENSE: three, of what it was made from.
	"5dc79da695aea39a47245008a168e3f7d461b686da8bec299fd55fee0393cbcc": {Expression: "Apache-2.0 AND BSD-3-Clause AND MIT"},
	// busybox-static 1.35.0-4, copyright: "version 2 dated June, 1991", and no later one.
	"336d995e819d3a7a3fdbf3f5041c07094f75ee849acb3bb742b7503d45786329": {Expression: "GPL-2.0-only"},
	// libc6 2.36-9+deb12u14, copyright: prose. What it says of single files (resolver,
	// Mach, Inner Net, fdlibm, tests) has no identifier that fits word by word.
	"40c7e1f2118531f038ca22999bd976901254e1bc5cd1b0f0211bdd064c599987": {
		Expression: "BSD-3-Clause AND GPL-2.0-or-later AND ISC AND LGPL-2.1-or-later AND " + glibcOthers,
		Refs:       []Ref{{ID: glibcOthers, Name: "what the copyright file of the GNU C library says of single files"}},
	},
}

const glibcOthers = "LicenseRef-glibc-single-files"

// ByHand says what a person has found in a licence file, by the file's SHA-256 in
// hexadecimal. Its Refs have no text: that is the whole file.
func ByHand(digest string) (Declared, bool) {
	d, ok := byHand[digest]
	return d, ok
}
