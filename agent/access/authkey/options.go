package authkey

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// option is one name of an options field, and what it does.
type option struct {
	value bool // it has one: name="value"
	once  bool // a second occurrence is an error
	set   func(o *Options, value string, zone *time.Location) error
}

// flag is an option without a value that changes a switch.
func flag(change func(*Options)) option {
	return option{set: func(o *Options, _ string, _ *time.Location) error { change(o); return nil }}
}

// options are those of sshd(8) that can be kept. X11, agent forwarding and user-rc
// do not exist here: what forbids them is kept already, and what allows them only
// takes back a prohibition.
func options() map[string]option {
	nothing := flag(func(*Options) {})
	return map[string]option{
		"agent-forwarding": nothing, "no-agent-forwarding": nothing,
		"x11-forwarding": nothing, "no-x11-forwarding": nothing,
		"user-rc": nothing, "no-user-rc": nothing,
		"restrict":           flag(func(o *Options) { o.NoPTY, o.NoForwarding = true, true }),
		"pty":                flag(func(o *Options) { o.NoPTY = false }),
		"no-pty":             flag(func(o *Options) { o.NoPTY = true }),
		"port-forwarding":    flag(func(o *Options) { o.NoForwarding = false }),
		"no-port-forwarding": flag(func(o *Options) { o.NoForwarding = true }),
		"no-touch-required":  flag(func(o *Options) { o.NoTouchRequired = true }),
		"cert-authority":     flag(func(o *Options) { o.Authority = true }),
		"command":            {value: true, once: true, set: setCommand},
		"from":               {value: true, once: true, set: setFrom},
		"principals":         {value: true, once: true, set: setPrincipals},
		"expiry-time":        {value: true, once: true, set: setExpiry},
		"permitopen":         {value: true, set: addOpen},
		"permitlisten":       {value: true, set: addListen},
	}
}

// parse reads an options field: names and values, joined by commas.
func (o *Options) parse(text string, zone *time.Location) error {
	known, seen := options(), map[string]bool{}
	for rest := text; ; {
		name, value, hasValue, after, err := next(rest)
		if err != nil {
			return err
		}
		lower := strings.ToLower(name)
		is, ok := known[lower]
		switch {
		case !ok:
			return fmt.Errorf("option %.40q is not known here, so its key is not taken", name)
		case is.value && !hasValue:
			return fmt.Errorf("option %s wants a value: %s=\"…\"", lower, lower)
		case !is.value && hasValue:
			return fmt.Errorf("option %s takes no value", lower)
		case is.once && seen[lower]:
			return fmt.Errorf("option %s stands there twice", lower)
		}
		seen[lower] = true
		if err := is.set(o, value, zone); err != nil {
			return fmt.Errorf("option %s: %w", lower, err)
		}
		if after == "" {
			break
		}
		rest = after[1:]
	}
	if len(o.Principals) > 0 && !o.Authority {
		return errors.New("option principals is for a cert-authority")
	}
	return nil
}

// next takes one option off a field. after is empty, or begins with the comma.
func next(text string) (name, value string, hasValue bool, after string, err error) {
	end := strings.IndexAny(text, ",=")
	if end < 0 {
		return text, "", false, "", nil
	}
	if name = text[:end]; text[end] == ',' {
		return name, "", false, text[end:], nil
	}
	value, after, err = unquote(text[end+1:])
	if err != nil {
		return "", "", false, "", fmt.Errorf("option %.40q: %w", name, err)
	}
	return name, value, true, after, nil
}

// unquote reads a value in double quotes, in which \" is a quote.
func unquote(text string) (value, after string, err error) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", errors.New("its value is not in double quotes")
	}
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '"':
			out.WriteByte('"')
			i++
		case text[i] != '"':
			out.WriteByte(text[i])
		case i+1 < len(text) && text[i+1] != ',':
			return "", "", errors.New("something follows the closing quote")
		default:
			return out.String(), text[i+1:], nil
		}
	}
	return "", "", errors.New("its quote is never closed")
}

func setCommand(o *Options, value string, _ *time.Location) error { return o.Force(value) }

// Force has a command run, whatever is asked for. A blank one is an error: it would
// lead to the prompt, or to a shell.
func (o *Options) Force(command string) error {
	if strings.TrimSpace(command) == "" {
		return errors.New("there is no command in it")
	}
	o.Forced, o.Command = true, command
	return nil
}

func setPrincipals(o *Options, value string, _ *time.Location) error {
	for name := range strings.SplitSeq(value, ",") {
		if name == "" {
			return errors.New("a name is empty")
		}
		o.Principals = append(o.Principals, name)
	}
	return nil
}

func setFrom(o *Options, value string, _ *time.Location) (err error) {
	o.From, err = Patterns(value)
	return err
}

// setExpiry reads YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with a Z for UTC.
func setExpiry(o *Options, value string, zone *time.Location) error {
	digits, utc := strings.CutSuffix(value, "Z")
	if utc {
		zone = time.UTC
	}
	for _, form := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(digits) != len(form) {
			continue
		}
		when, err := time.ParseInLocation(form, digits, zone)
		o.Expires = when
		return err
	}
	return fmt.Errorf("%.40q is no time: want YYYYMMDD[HHMM[SS]][Z]", value)
}

// Target is a host and a port of permitopen or permitlisten.
type Target struct {
	Host string // lower case; "*" is any
	Port int    // 0 is any
}

// Matches tells whether a target covers a host and port.
func (t Target) Matches(host string, port int) bool {
	return (t.Host == "*" || t.Host == strings.ToLower(host)) && (t.Port == 0 || t.Port == port)
}

func addOpen(o *Options, value string, _ *time.Location) error {
	target, err := parseTarget(value)
	o.PermitOpen = append(o.PermitOpen, target)
	return err
}

// addListen reads [HOST:]PORT.
func addListen(o *Options, value string, _ *time.Location) error {
	if !strings.Contains(value, ":") {
		value = "*:" + value
	}
	target, err := parseTarget(value)
	o.PermitListen = append(o.PermitListen, target)
	return err
}

func parseTarget(value string) (Target, error) {
	host, port, err := net.SplitHostPort(value)
	if err != nil || host == "" {
		return Target{}, fmt.Errorf("%.40q is no HOST:PORT", value)
	}
	if port == "*" {
		return Target{strings.ToLower(host), 0}, nil
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return Target{}, fmt.Errorf("%.40q is no port", port)
	}
	return Target{strings.ToLower(host), int(number)}, nil
}
