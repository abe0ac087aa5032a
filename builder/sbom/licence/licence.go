// Package licence names licences in the terms of SPDX (specification 2.3, annex
// D; the list of licences at spdx.org/licenses).
//
// It knows two sources. Text looks at the text of a licence file and names it
// only if the file says that licence, whole, and nothing else. Debian reads a
// machine-readable copyright file, in which people have named the licences.
//
// Both would rather say nothing than something wrong. Left out: similarity,
// guesses by a file's name, and licences that none of our dependencies has.
package licence

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

// maxText bounds the text that is looked at, in bytes: the longest licence
// known here has 17 KiB.
const maxText = 64 << 10

// Text names the licence of a text as an SPDX expression. Several licences in
// one text become "A AND B". It returns "" where the text has anything in it
// besides titles, copyright lines and licences that are known word by word.
func Text(text string) string {
	if len(text) > maxText {
		return ""
	}
	rest := words(text)
	var found []string
	for _, l := range licences {
		if remaining, ok := l.take(rest); ok {
			rest = remaining
			found = append(found, l.id)
		}
	}
	for _, r := range remarks {
		rest, _ = known{begins: r}.take(rest)
	}
	if slices.ContainsFunc(rest, func(word string) bool { return word != taken }) {
		return ""
	}
	slices.Sort(found)
	return strings.Join(slices.Compact(found), " AND ")
}

// known is a licence by its words.
type known struct {
	id     string
	begins phrase
	// ends and digest are of an exact text: from begins to ends the words, with
	// a blank between two, have this SHA-256. Without them begins is all of it.
	ends   phrase
	digest string
}

// taken stands for words that have been recognized.
const taken = "|"

// take puts one word, taken, in place of each occurrence of the licence.
func (l known) take(words []string) (rest []string, found bool) {
	for at := 0; at < len(words); {
		if n := l.match(words[at:]); n > 0 {
			rest, found = append(rest, taken), true
			at += n
			continue
		}
		rest = append(rest, words[at])
		at++
	}
	return rest, found
}

// match returns how many words at the start of words the licence takes, 0 if it is not there.
func (l known) match(words []string) int {
	n := l.begins.match(words)
	if n == 0 || l.ends == nil {
		return n
	}
	for ; n < len(words); n++ {
		if end := l.ends.match(words[n:]); end > 0 {
			sum := sha256.Sum256([]byte(strings.Join(words[:n+end], " ")))
			if hex.EncodeToString(sum[:]) == l.digest {
				return n + end
			}
		}
	}
	return 0
}

// phrase is words to match. In it "a/b" is one of two words, "a?" a word that
// may be missing, and "…" the names of people: one to twenty words.
type phrase []string

func parsePhrase(text string) phrase { return strings.Fields(text) }

// maxGap is how many words "…" may stand for.
const maxGap = 20

// match returns how many words at the start of words the phrase takes, 0 if it does not match.
func (p phrase) match(words []string) int {
	n := 0
	for i, want := range p {
		if want == "…" {
			return p.matchGap(i, n, words)
		}
		want, optional := strings.CutSuffix(want, "?")
		switch {
		case n < len(words) && is(want, words[n]):
			n++
		case !optional:
			return 0
		}
	}
	return n
}

// matchGap matches the phrase from its gap at p[i] on; n words come before it.
func (p phrase) matchGap(i, n int, words []string) int {
	for gap := 1; gap <= maxGap && n+gap < len(words); gap++ {
		if rest := p[i+1:].match(words[n+gap:]); rest > 0 {
			return n + gap + rest
		}
	}
	return 0
}

func is(want, word string) bool {
	for {
		one, rest, more := strings.Cut(want, "/")
		if one == word || !more {
			return one == word
		}
		want = rest
	}
}

// What the words of a text leave out, and what makes them alike.
var (
	copyrightLine = regexp.MustCompile(`(?m)^\W*(?:portions )?(?:copyrights?[ \t:,]*(?:(?:by )?(?:\(c\)|©|\W?[12]\d\d\d)|[[{]yyyy|(?:by |the )?[\w. -]+ (?:authors|contributors)\W*$)|\(c\)|©|all rights reserved).*$`)
	bullet        = regexp.MustCompile(`(?m)^[ \t]*(?:[*•-]+|\(?(?:[a-z]{1,3}|[0-9.]+)[.)]|[0-9]+\.[0-9]+)(?:[ \t]+|$)`)
	comment       = regexp.MustCompile(`(?m)^[ \t]*(?://|#|;|/\*+|\*/|>)+`)
	rule          = regexp.MustCompile(`[-=_*~]{3,}`)
	alike         = strings.NewReplacer("\r\n", "\n", "|", " ", "https:", "http:", "'", "", "’", "", "‘", "", `"`, "", "“", "", "”", "", "`", "")
	inWord        = regexp.MustCompile(`(\w)-(\w)`)
	noWord        = regexp.MustCompile(`[^a-z0-9]+`)
)

// words reduces a text to its words in lower case. Punctuation, the numbers and
// bullets of lists, and copyright lines are gone (SPDX 2.3, annex C: licence
// matching guidelines).
func words(text string) []string {
	text = alike.Replace(strings.ToLower(text))
	text = comment.ReplaceAllString(text, "")
	text = rule.ReplaceAllString(text, "\n")
	text = bullet.ReplaceAllString(text, "")
	text = copyrightLine.ReplaceAllString(text, " ")
	text = inWord.ReplaceAllString(text, "$1$2")
	return strings.Fields(noWord.ReplaceAllString(text, " "))
}
