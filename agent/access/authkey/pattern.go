package authkey

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Pattern is one item of a list of addresses: an address, a network, or an address
// with the wildcards * and ? (ssh_config(5), PATTERNS).
type Pattern struct {
	Not     bool // it excludes what it matches
	network netip.Prefix
	wild    string // empty: network counts
}

// Patterns reads a list, joined by commas.
func Patterns(list string) (patterns []Pattern, err error) {
	for item := range strings.SplitSeq(list, ",") {
		p, err := pattern(strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

func pattern(item string) (p Pattern, err error) {
	item, p.Not = strings.CutPrefix(item, "!")
	switch {
	case item == "":
		return p, errors.New("a pattern is empty")
	case strings.Contains(item, "/"):
		p.network, err = network(item)
		return p, err
	case strings.Trim(item, "0123456789abcdefABCDEF.:*?") != "":
		return p, fmt.Errorf("%.60q is no address, network or wildcard: names are not looked up", item)
	case strings.ContainsAny(item, "*?"):
		p.wild = strings.ToLower(item)
		return p, writable(p.wild)
	}
	address, err := netip.ParseAddr(item)
	if err != nil {
		return p, err
	}
	address = address.Unmap()
	p.network = netip.PrefixFrom(address, address.BitLen())
	return p, nil
}

// network reads one. Addresses are compared without their IPv4-in-IPv6 form, so a
// network in that form would match nothing, and exclude nothing.
func network(item string) (netip.Prefix, error) {
	n, err := netip.ParsePrefix(item)
	switch {
	case err != nil:
		return n, err
	case n.Addr().Is4In6():
		return n, fmt.Errorf("%s is an IPv4 address in IPv6: write it as IPv4", item)
	case n != n.Masked():
		return n, fmt.Errorf("%s has bits beyond its mask", item)
	}
	return n, nil
}

// writable tells why no address is written as a wildcard has it. Addresses are
// compared in the form of RFC 5952: no part has leading zeros, parts of zero in a row
// are "::", and no IPv6 address has dots. What matches nothing would exclude nothing.
func writable(wild string) error {
	parts := strings.FieldsFunc(wild, func(r rune) bool { return r == ':' || r == '.' })
	zeros := slices.ContainsFunc(parts, func(part string) bool { return len(part) > 1 && part[0] == '0' })
	mixed := strings.Contains(wild, ":") && strings.Contains(wild, ".")
	if zeros || mixed || strings.Contains(":"+wild+":", ":0:0:") {
		return fmt.Errorf("addresses are never written as %.60q: want neither leading zeros, nor 0:0 for ::, nor IPv4 in IPv6", wild)
	}
	return nil
}

// matches tells whether an address is the pattern's, its Not aside.
func (p Pattern) matches(address netip.Addr) bool {
	if p.wild != "" {
		return wildcard(p.wild, address.String())
	}
	return p.network.Contains(address)
}

// Allowed tells whether a list lets an address pass: one pattern matches it, and
// none that excludes. An empty list lets every address pass.
func Allowed(patterns []Pattern, address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	allowed := len(patterns) == 0
	for _, p := range patterns {
		if !p.matches(address) {
			continue
		}
		if p.Not {
			return false
		}
		allowed = true
	}
	return allowed
}

// wildcard matches a text with * for any part and ? for any character. It looks back
// to the last * only, so its time is bounded by the product of the lengths.
func wildcard(pattern, text string) bool {
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
