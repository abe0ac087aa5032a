package licence

import (
	"regexp"
	"strings"
)

// identifier is what a licence or an exception may be called (SPDX 2.3, annex D.2).
var identifier = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*\+?$`)

// Valid tells whether a text is an SPDX licence expression (SPDX 2.3, annex
// D.4). Whether the list has its identifiers is not looked at.
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
	if !isIdentifier(tokens[0]) {
		return nil, false
	}
	if len(tokens) > 2 && tokens[1] == "WITH" && isIdentifier(tokens[2]) {
		return tokens[3:], true
	}
	return tokens[1:], true
}

func isIdentifier(token string) bool {
	return identifier.MatchString(token) && token != "AND" && token != "OR" && token != "WITH"
}
