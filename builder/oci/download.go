package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// download is a blob on its way from a registry. A connection that breaks or
// falls silent is made anew and goes on where it was (RFC 9110, 14: range
// requests). What arrives is not verified.
type download struct {
	ctx      context.Context
	registry *registry
	blob     v1.Descriptor
	body     io.ReadCloser // nil between two connections
	at       int64         // bytes delivered
	tries    int           // since the last byte
	whole    bool          // the server does not keep to ranges
}

// errRange is an answer to a range request that is none.
var errRange = errors.New("the registry has answered with another range than it was asked for")

// open makes the first connection.
func (r *registry) open(ctx context.Context, blob v1.Descriptor) (*download, error) {
	d := &download{ctx: ctx, registry: r, blob: blob}
	return d, r.patience.retry(ctx, d.connect)
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.readOnce(p)
		if n > 0 {
			d.at, d.tries = d.at+int64(n), 0
			return n, nil // an error comes again
		}
		if err == nil || err == io.EOF && d.at >= d.blob.Size {
			return 0, err
		}
		d.disconnect()
		if answer, ok := errors.AsType[*transport.Error](err); ok && !mayPass(answer) {
			return 0, d.registry.explain(err)
		}
		d.tries++
		if again := d.registry.patience.again(d.ctx, d.tries, err); again != nil {
			if err == io.EOF {
				return 0, io.EOF // the blob itself is too short
			}
			return 0, d.registry.explain(again)
		}
	}
}

func (d *download) readOnce(p []byte) (int, error) {
	if d.body == nil {
		if err := d.connect(); err != nil {
			return 0, err
		}
	}
	return d.body.Read(p)
}

// connect asks for what has not been delivered yet.
func (d *download) connect() error {
	// Without this, net/http would ask for gzip, and the offsets were others.
	header := http.Header{"Accept-Encoding": {"identity"}}
	if d.at > 0 && !d.whole {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.at))
	}
	answer, err := d.registry.get(d.ctx, "blobs", d.blob.Digest.String(), header)
	if err != nil {
		return err
	}
	skip := d.at
	switch answer.StatusCode {
	case http.StatusPartialContent:
		if !d.continues(answer.Header.Get("Content-Range")) {
			err = errRange
		}
		skip = 0
	case http.StatusRequestedRangeNotSatisfiable:
		err = errRange
	}
	if err == nil && skip > 0 {
		_, err = io.CopyN(io.Discard, answer.Body, skip)
	}
	if err != nil {
		d.whole = d.whole || err == errRange
		answer.Body.Close()
		return err
	}
	d.body = answer.Body
	return nil
}

// continues says whether a Content-Range begins where the download is.
func (d *download) continues(header string) bool {
	var first, last, size int64
	if n, err := fmt.Sscanf(header, "bytes %d-%d/%d", &first, &last, &size); err != nil || n != 3 {
		n, err = fmt.Sscanf(header, "bytes %d-%d/*", &first, &last)
		return err == nil && n == 2 && first == d.at
	}
	return first == d.at && (d.blob.Size < 0 || size == d.blob.Size)
}

func (d *download) disconnect() {
	if d.body != nil {
		d.body.Close()
	}
	d.body = nil
}

// Close implements io.Closer.
func (d *download) Close() error {
	d.disconnect()
	return nil
}
