package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/ketch-os/ketch/internal/backoff"
)

// How long a registry is borne with.
const (
	// idleLimit is how long a connection may be silent.
	idleLimit = 30 * time.Second
	// maxTries is how often a request is made that gets no further. The pauses
	// between them add up to some fifteen seconds.
	maxTries = 6
)

// pauses are those between two tries.
var pauses = backoff.Pause{First: 500 * time.Millisecond, Last: time.Minute}

// errIdle is a connection on which nothing has come for idleLimit.
var errIdle = fmt.Errorf("nothing has come for %v", idleLimit)

// patience is how a client waits. Tests have clocks of their own.
type patience struct {
	pause func(context.Context, time.Duration) error // nil: by the clock
	after func(time.Duration, func()) (stop func())  // nil: time.AfterFunc
}

// retry makes a request until it succeeds, fails for good, or has failed too often.
func (p patience) retry(ctx context.Context, request func() error) error {
	for tries := 1; ; tries++ {
		err := request()
		if err == nil || !mayPass(err) {
			return err
		}
		if err := p.again(ctx, tries, err); err != nil {
			return err
		}
	}
}

// again waits before the next try, twice as long as before the last, or returns
// the error if there is to be none.
func (p patience) again(ctx context.Context, tries int, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if tries >= maxTries {
		return fmt.Errorf("%w (tried %d times)", err, tries)
	}
	length := pauses.After(tries, rand.Float64())
	if p.pause != nil {
		return p.pause(ctx, length)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(length):
		return nil
	}
}

// watch calls late unless it is stopped within the limit for silence.
func (p patience) watch(late func()) (stop func()) {
	if p.after != nil {
		return p.after(idleLimit, late)
	}
	timer := time.AfterFunc(idleLimit, late)
	return func() { timer.Stop() }
}

// mayPass says whether the same request may succeed later.
func mayPass(err error) bool {
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		return slices.Contains([]int{
			http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		}, answer.StatusCode)
	}
	if errors.Is(err, syscall.ECONNREFUSED) || isTLS(err) {
		return false
	}
	for _, passing := range []error{errIdle, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, passing) {
			return true
		}
	}
	network, ok := errors.AsType[net.Error](err)
	return ok && network.Timeout()
}

// impatient is a transport that gives a connection up on which nothing comes:
// no answer to a request, or no more of its body.
type impatient struct {
	next     http.RoundTripper
	patience patience
}

// RoundTrip implements http.RoundTripper.
func (t impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := t.patience.watch(func() { cancel(errIdle) })
	answer, err := t.next.RoundTrip(r.WithContext(ctx))
	stop()
	if err != nil {
		err = idle(ctx, err)
		cancel(nil)
		return nil, err
	}
	answer.Body = &watchedBody{answer.Body, t.patience, ctx, cancel}
	return answer, nil
}

// idle names the silence as the cause of an error, if it is.
func idle(ctx context.Context, err error) error {
	if err != nil && err != io.EOF && context.Cause(ctx) == errIdle {
		return errIdle
	}
	return err
}

// watchedBody is the body of an answer, each read of which is watched.
type watchedBody struct {
	body     io.ReadCloser
	patience patience
	ctx      context.Context // of the request
	cancel   context.CancelCauseFunc
}

func (b *watchedBody) Read(p []byte) (int, error) {
	stop := b.patience.watch(func() { b.cancel(errIdle) })
	n, err := b.body.Read(p)
	stop()
	return n, idle(b.ctx, err)
}

// Close ends the request.
func (b *watchedBody) Close() error {
	err := b.body.Close()
	b.cancel(nil)
	return err
}
