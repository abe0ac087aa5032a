// Package fetch gets what lies behind URLs for ketchd: bounded in time and in size, by
// no proxy, and nowhere else than asked. Whoever answers may lie, be slow, or never end.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ketch-os/ketch/internal/bareurl"
	"github.com/ketch-os/ketch/internal/config"
)

const (
	// answerLimit bounds one request, from the connection to the last byte.
	answerLimit = 10 * time.Second
	// fetchLimit bounds a request for the content of a file.
	fetchLimit = time.Minute
	// maxRedirects bounds how often Fetch is sent elsewhere.
	maxRedirects = 5
)

// Answer is an answer with a status of 200.
type Answer struct {
	Header http.Header
	Body   []byte
}

// StatusError is an answer with another status.
type StatusError struct {
	URL    string // as bareurl shows it
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answers %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// NotFound tells whether the answer is that there is no such thing.
func NotFound(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Status == http.StatusNotFound
}

// Refused tells whether somebody answers, but does not give what is asked for: to ask
// again at once is of no use.
func Refused(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Status >= 400 && status.Status < 500 && status.Status != http.StatusTooManyRequests
}

// Unreachable tells whether nobody was reached: there may be a network later.
func Unreachable(err error) bool {
	var connection *net.OpError
	var name *net.DNSError
	return errors.As(err, &connection) || errors.As(err, &name) || errors.Is(err, context.DeadlineExceeded)
}

// Client asks. The zero value trusts the machine's own authorities.
type Client struct {
	// Roots are the authorities that are trusted; nil: those of the machine.
	Roots *x509.CertPool
}

// transport makes connections for one request: nothing is kept.
func (c *Client) transport() *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: answerLimit}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		DisableCompression:     true, // what is compressed is bounded by whoever unpacks it
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Ask sends one request to a service of the platform. It follows no redirect, and takes at
// most limit bytes.
func (c *Client) Ask(ctx context.Context, method, url string, header map[string]string, limit int) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return c.send(ctx, method, url, header, limit, func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse })
}

// Fetch gets the content of a file, as a config.Fetcher does. It may be sent elsewhere,
// but not from https: to http:.
func (c *Client) Fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	answer, err := c.send(ctx, http.MethodGet, url, nil, config.MaxContents, func(next *http.Request, before []*http.Request) error {
		switch {
		case len(before) > maxRedirects:
			return fmt.Errorf("sent elsewhere more than %d times", maxRedirects)
		case next.URL.Scheme != "https" && before[0].URL.Scheme == "https":
			return fmt.Errorf("sent to %s, without TLS", bareurl.Text(next.URL.String()))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

func (c *Client) send(ctx context.Context, method, url string, header map[string]string, limit int, redirect func(*http.Request, []*http.Request) error) (*Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, bareurl.Error(err)
	}
	for key, value := range header {
		request.Header.Set(key, value)
	}
	client := &http.Client{Transport: c.transport(), CheckRedirect: redirect}
	response, err := client.Do(request)
	if err != nil {
		return nil, bareurl.Error(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, &StatusError{bareurl.Text(url), response.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(limit)+1))
	if err == nil && len(body) > limit {
		err = fmt.Errorf("%s: more than %d bytes", bareurl.Text(url), limit)
	}
	if err != nil {
		return nil, err
	}
	return &Answer{response.Header, body}, nil
}

// HTML tells whether an answer is a page for people: what a service of a platform never
// says, and whatever stands in its place does.
func (a *Answer) HTML() bool {
	kind := a.Header.Get("Content-Type")
	return strings.HasPrefix(kind, "text/html") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(string(a.Body[:min(len(a.Body), 64)]))), "<!doctype html")
}
