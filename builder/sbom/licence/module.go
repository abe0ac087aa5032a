package licence

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// Files is what the licence files of a source tree say.
type Files struct {
	Licence string            `json:"licence,omitempty"` // SPDX expression; "" where a file is not known by its text
	SHA256  map[string]string `json:"sha256,omitempty"`  // of the files, where there is no expression
}

// fileName is what a licence file may be called, at the root of a Go module.
var fileName = regexp.MustCompile(`(?i)^(?:un)?(?:licen[sc]e|copying)|licen[sc]e$`)

// Module reads the licence files in the root of a Go module. All of them must be known.
func Module(root fs.FS) (Files, error) {
	var found []string
	f := Files{SHA256: map[string]string{}}
	names, err := fs.ReadDir(root, ".")
	if err != nil {
		return f, fmt.Errorf("read licence: %w", err)
	}
	for _, entry := range names {
		if !entry.Type().IsRegular() || !fileName.MatchString(entry.Name()) {
			continue
		}
		text, digest, err := readText(root, entry.Name())
		if err != nil {
			return f, fmt.Errorf("read licence: %w", err)
		}
		expression := Text(text)
		if read, ok := ByHand(digest); ok {
			expression = read.Expression
		}
		found, f.SHA256[entry.Name()] = append(found, expression), digest
	}
	if len(found) == 0 || slices.Contains(found, "") {
		return f, nil
	}
	return Files{Licence: All(found)}, nil
}

// readText reads a file as far as Text would look at it, and digests all of it.
func readText(root fs.FS, name string) (text, digest string, err error) {
	file, err := root.Open(name)
	if err != nil {
		return "", "", err
	}
	defer file.Close()
	hash := sha256.New()
	data, err := io.ReadAll(io.LimitReader(io.TeeReader(file, hash), maxText+1))
	if err != nil {
		return "", "", err
	}
	_, err = io.Copy(hash, file)
	return string(data), hex.EncodeToString(hash.Sum(nil)), err
}

// All joins expressions that all hold: sorted, each once.
func All(expressions []string) string {
	var terms []string
	for _, e := range expressions {
		terms = append(terms, conjuncts(e)...)
	}
	slices.Sort(terms)
	terms = slices.Compact(terms)
	for i, term := range terms {
		if strings.Contains(term, " OR ") && len(terms) > 1 && term[0] != '(' {
			terms[i] = "(" + term + ")"
		}
	}
	return strings.Join(terms, " AND ")
}

// conjuncts splits an expression that is a plain "A AND B".
func conjuncts(expression string) []string {
	if strings.ContainsAny(expression, "(") || strings.Contains(expression, " OR ") {
		return []string{expression}
	}
	return strings.Split(expression, " AND ")
}
