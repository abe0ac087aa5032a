// Package gatefile reads layout.GateFile: a machine's own conditions for a good
// boot, beside those that every machine has. It is JSON, because PID 1 knows no
// YAML:
//
//	{
//	  "deadline": "2m",
//	  "checks": [
//	    {"name": "database", "command": ["/usr/bin/db-check", "--quick"]},
//	    {"name": "front page", "http": "http://127.0.0.1:8080/", "status": 200}
//	  ]
//	}
//
// PID 1 runs the commands, ketchd sends the requests: both read the file. Anything
// unknown in it is refused, and then no boot is good. The builder reads the file of
// an image, too, so that a mistake in it is found there.
package gatefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultDeadline is how long a boot may take to become good.
	DefaultDeadline = 5 * time.Minute
	// MinDeadline and MaxDeadline bound what a file may ask for.
	MinDeadline = 10 * time.Second
	MaxDeadline = time.Hour

	maxFile   = 64 << 10 // bytes
	maxChecks = 32
	maxName   = 64 // bytes
)

// File is the content of a gate file.
type File struct {
	Deadline Duration `json:"deadline"` // from the start of the services
	Checks   []Check  `json:"checks"`
}

// Check is one condition: a command that exits with status 0, or a request that
// is answered.
type Check struct {
	Name    string   `json:"name"`
	Command []string `json:"command,omitempty"` // the path of the program first
	HTTP    string   `json:"http,omitempty"`    // "http://HOST[:PORT]/…"
	Status  int      `json:"status,omitempty"`  // of the answer; 0: 200
}

// Duration is a time.Duration that is written as "2m30s".
type Duration time.Duration

// UnmarshalText reads a duration in time.ParseDuration's notation.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Read reads the file at path. One that does not exist asks for nothing.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &File{Deadline: Duration(DefaultDeadline)}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	file, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// Parse reads a gate file. The errors name the check and the field.
func Parse(text []byte) (*File, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("it has more than %d bytes", maxFile)
	}
	file := &File{Deadline: Duration(DefaultDeadline)}
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(file); err != nil {
		return nil, atLine(text, err)
	}
	if _, err := in.Token(); err != io.EOF {
		return nil, errors.New("there is more after the end of the object")
	}
	return file, file.validate()
}

// atLine adds the line to an error of package json, where it can be told.
func atLine(text []byte, err error) error {
	offset := int64(-1)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = syntax.Offset
	}
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = kind.Offset
	}
	if _, key, ok := strings.Cut(err.Error(), "unknown field "); ok {
		offset = int64(bytes.Index(text, []byte(key)))
	}
	if offset < 0 || offset > int64(len(text)) {
		return err
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(text[:offset], []byte("\n")), err)
}

func (f *File) validate() error {
	if d := time.Duration(f.Deadline); d < MinDeadline || d > MaxDeadline {
		return fmt.Errorf("deadline: %v is not between %v and %v", d, MinDeadline, MaxDeadline)
	}
	if len(f.Checks) > maxChecks {
		return fmt.Errorf("checks: %d are more than %d", len(f.Checks), maxChecks)
	}
	names := make(map[string]bool)
	for i, c := range f.Checks {
		if err := c.validate(); err != nil {
			return fmt.Errorf("checks[%d].%w", i, err)
		}
		if names[c.Name] {
			return fmt.Errorf("checks[%d].name: %q is there twice", i, c.Name)
		}
		names[c.Name] = true
	}
	return nil
}

func (c Check) validate() error {
	switch {
	case c.Name == "" || len(c.Name) > maxName || !printable(c.Name):
		return fmt.Errorf("name: %q is not a name of 1 to %d characters", c.Name, maxName)
	case (c.HTTP == "") == (len(c.Command) == 0):
		return errors.New("command: a check has either a command or http")
	case c.HTTP == "" && c.Status != 0:
		return errors.New("status: only http has one")
	case c.HTTP == "" && !strings.HasPrefix(c.Command[0], "/"):
		return fmt.Errorf("command: %q is not the path of a program", c.Command[0])
	case c.HTTP != "" && !validURL(c.HTTP):
		return fmt.Errorf("http: %q is not http://HOST[:PORT]/…", c.HTTP)
	case c.Status != 0 && (c.Status < 200 || c.Status > 599):
		return fmt.Errorf("status: %d is not the status of an answer", c.Status)
	}
	return nil
}

// validURL takes a narrow view of RFC 3986: package net/url knows more, but PID 1
// has no other use for it.
func validURL(text string) bool {
	rest, ok := strings.CutPrefix(text, "http://")
	authority, path, _ := strings.Cut(rest, "/")
	if !ok || strings.ContainsAny(path, " \"#%<>\\^`{|}") || !printable(path) {
		return false
	}
	if after, ok := strings.CutPrefix(authority, "[::1]"); ok && (after == "" || after[0] == ':') {
		authority = "localhost" + after // the one IPv6 address that is of use here
	}
	host, port, _ := strings.Cut(authority, ":")
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
	_, err := strconv.ParseUint(port, 10, 16)
	return strings.Trim(host, letters) == "" && host != "" && (port == "" || err == nil)
}

// printable tells whether text is ASCII without control characters.
func printable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
