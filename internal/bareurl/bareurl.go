// Package bareurl shows URLs as anybody may read them. A user, a password and a query,
// which may be a signature, let whoever reads a log or a status get what they lead to.
package bareurl

import (
	"errors"
	"net/url"
)

// none is what is shown of a URL that cannot be read: where its password is, is not known.
const none = "a URL that cannot be read"

// Text returns the scheme, host and path of a URL.
func Text(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return none
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// Error returns an error of net/url or net/http with the URL in it shown so. What the
// error wraps stays what it wraps.
func Error(err error) error {
	failed, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	if failed.Op == "parse" { // its reason has parts of the URL in it
		return errors.New(none)
	}
	return &url.Error{Op: failed.Op, URL: Text(failed.URL), Err: Error(failed.Err)}
}
