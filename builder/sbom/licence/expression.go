package licence

import (
	"regexp"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp/spdxlicenses"
)

// reference is a licence that the list does not have (SPDX 2.3, annex D.2).
var reference = regexp.MustCompile(`^(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+$`)

// Valid tells whether a text is an SPDX licence expression (SPDX 2.3, annex
// D.4) of licences and exceptions that are on the list, written as there.
func Valid(expression string) bool {
	tokens := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(expression))
	rest, ok := operands(tokens, maxDepth)
	return ok && len(rest) == 0
}

// maxDepth bounds parentheses within parentheses.
const maxDepth = 32

// operands reads "A AND B OR C …".
func operands(tokens []string, depth int) (rest []string, ok bool) {
	for {
		if tokens, ok = operand(tokens, depth); !ok {
			return nil, false
		}
		if len(tokens) == 0 || tokens[0] != "AND" && tokens[0] != "OR" {
			return tokens, true
		}
		tokens = tokens[1:]
	}
}

// operand reads a licence, one WITH an exception, or an expression in parentheses.
func operand(tokens []string, depth int) (rest []string, ok bool) {
	if depth == 0 || len(tokens) == 0 {
		return nil, false
	}
	if tokens[0] == "(" {
		rest, ok = operands(tokens[1:], depth-1)
		if !ok || len(rest) == 0 || rest[0] != ")" {
			return nil, false
		}
		return rest[1:], true
	}
	if !isLicence(tokens[0]) {
		return nil, false
	}
	if len(tokens) > 2 && tokens[1] == "WITH" && isException(tokens[2]) {
		return tokens[3:], true
	}
	return tokens[1:], true
}

// isLicence knows licences that are on the list no more, too: packages state them.
// A plus means that later versions do as well.
func isLicence(token string) bool {
	for _, id := range []string{token, strings.TrimSuffix(token, "+")} {
		if on(spdxlicenses.IsActiveLicense, id) || on(spdxlicenses.IsDeprecatedLicense, id) {
			return true
		}
	}
	return reference.MatchString(token)
}

func isException(token string) bool { return on(spdxlicenses.IsException, token) }

// on tells whether an identifier is on a list, written as there: find is about any case.
func on(find func(id string) (bool, string), id string) bool {
	found, listed := find(id)
	return found && listed == id
}
