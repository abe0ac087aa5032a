// Package hint attaches to an error the advice that cures it. The text of the
// error stays as it was; the command prints the advice on a line of its own.
package hint

import (
	"errors"
	"fmt"
)

// Hinter is an error that knows a cure.
type Hinter interface {
	error
	Hint() string
}

// Error is an error with a cure.
type Error struct {
	Err    error
	Advice string
}

// Error says what went wrong, without the advice.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error that the advice is for.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the advice.
func (e *Error) Hint() string { return e.Advice }

// Add returns err with advice; nil stays nil.
func Add(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Err: err, Advice: fmt.Sprintf(format, args...)}
}

// Else is Add for an error that has no advice of its own, which knows better.
func Else(err error, format string, args ...any) error {
	if Of(err) != "" {
		return err
	}
	return Add(err, format, args...)
}

// Of returns the advice of the outermost error in err's tree that has one, or "".
func Of(err error) string {
	if h, ok := errors.AsType[Hinter](err); ok {
		return h.Hint()
	}
	return ""
}
