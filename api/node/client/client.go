// Package client asks ketchd over its socket: see package node for the words.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
)

// maxAnswer bounds an answer in JSON, in bytes.
const maxAnswer = 16 << 20

// Client asks a ketchd.
type Client struct {
	Socket string // path
	http   *http.Client
}

// New returns a client of the ketchd that listens on a socket.
func New(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{socket, &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Health returns nil when ketchd can do its work.
func (c *Client) Health(ctx context.Context) error {
	body, err := c.get(ctx, "/v1/health", nil)
	if err == nil {
		err = body.Close()
	}
	return err
}

// Status returns the machine's status.
func (c *Client) Status(ctx context.Context) (*node.Status, error) {
	return decode[node.Status](c.get(ctx, "/v1/status", nil))
}

// Previous tells how the run before this one ended.
func (c *Client) Previous(ctx context.Context) (*pid1.Previous, error) {
	return decode[pid1.Previous](c.get(ctx, "/v1/previous", nil))
}

// Platform tells where the machine runs.
func (c *Client) Platform(ctx context.Context) (*node.Platform, error) {
	return decode[node.Platform](c.get(ctx, "/v1/platform", nil))
}

// Config tells what the machine was told to be.
func (c *Client) Config(ctx context.Context) (*node.Config, error) {
	return decode[node.Config](c.get(ctx, "/v1/config", nil))
}

// Memory tells where the machine's memory goes.
func (c *Client) Memory(ctx context.Context) (*node.MemoryTable, error) {
	return decode[node.MemoryTable](c.get(ctx, "/v1/memory", nil))
}

// LogList lists the logs.
func (c *Client) LogList(ctx context.Context) (*node.LogList, error) {
	return decode[node.LogList](c.get(ctx, "/v1/logs", nil))
}

// decode reads an answer in JSON.
func decode[T any](body io.ReadCloser, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	defer body.Close()
	value := new(T)
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(value); err != nil {
		return nil, fmt.Errorf("decode ketchd's answer: %w", err)
	}
	return value, nil
}

// Logs copies a log to w: its last lines, or all of it when lines is negative.
// With follow it goes on until ctx ends, which is no error.
func (c *Client) Logs(ctx context.Context, w io.Writer, name string, lines int, follow bool) error {
	query := url.Values{"name": {name}, "follow": {strconv.FormatBool(follow)}}
	if lines >= 0 {
		query.Set("lines", strconv.Itoa(lines))
	}
	body, err := c.get(ctx, "/v1/logs", query)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(w, body); err != nil && ctx.Err() == nil {
		return fmt.Errorf("read log of %s: %w", name, err)
	}
	return nil
}

// get asks, and turns every answer but 200 into an error, an *node.Error if it is
// one of ketchd's.
func (c *Client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	address := url.URL{Scheme: "http", Host: "ketch", Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var refused node.Error
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&refused); err != nil || refused.Message == "" {
		return nil, fmt.Errorf("ketchd answered %s", answer.Status)
	}
	return nil, &refused
}

func (c *Client) unreachable(err error) error {
	var cause *net.OpError
	if !errors.As(err, &cause) {
		return err
	}
	hint := ""
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		hint = "ketchd runs on Ketch machines only; its own log is /var/log/ketch/ketchd.log"
	case errors.Is(err, fs.ErrPermission):
		hint = "be root, or in the group of the socket"
	}
	return &node.Error{Message: fmt.Sprintf("connect to ketchd at %s: %v", c.Socket, cause.Err), Advice: hint}
}

// Gate returns the checks of the health gate that ketchd looks after.
func (c *Client) Gate(ctx context.Context) (*pid1.GateAnswer, error) {
	return decode[pid1.GateAnswer](c.get(ctx, "/v1/gate", nil))
}
