package config

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ketch-os/ketch/internal/bareurl"
)

// Fetcher gets what a URL of http or https leads to, at most MaxContents bytes of it.
type Fetcher interface {
	Fetch(ctx context.Context, url string) ([]byte, error)
}

// ErrNotFetched is the error of Load where there is no Fetcher.
var ErrNotFetched = errors.New("is not fetched here")

// Load returns the content, and fetches it where that is needed. from may be nil.
func (c Contents) Load(ctx context.Context, from Fetcher) ([]byte, error) {
	if c.Source == "" {
		return c.Data, nil
	}
	if from == nil {
		return nil, fmt.Errorf("%s: %w", bareurl.Text(c.Source), ErrNotFetched)
	}
	data, err := from.Fetch(ctx, c.Source)
	if err == nil {
		data, err = Unpack(data, c.Gzip, c.Hash)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", bareurl.Text(c.Source), err)
	}
	return data, nil
}

// Remote are the contents of a configuration that are still to be fetched.
func (c *Config) Remote() (list []Contents) {
	for _, f := range c.Files {
		list = append(list, f.Contents)
	}
	for _, a := range c.CertificateAuthorities {
		list = append(list, a.Contents)
	}
	return slices.DeleteFunc(list, func(c Contents) bool { return c.Source == "" })
}
