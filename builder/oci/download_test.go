package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/hint"
)

// clock is one that does not move by itself.
type clock struct {
	mu     sync.Mutex
	next   int
	armed  map[int]func()
	pauses []time.Duration
}

func (c *clock) patience() patience {
	c.armed = map[int]func(){}
	return patience{pause: c.pause, after: c.after}
}

func (c *clock) pause(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pauses = append(c.pauses, d)
	return ctx.Err()
}

func (c *clock) after(_ time.Duration, late func()) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.next
	c.next++
	c.armed[id] = late
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.armed, id)
	}
}

// late lets the limit of everybody who waits pass.
func (c *clock) late() {
	c.mu.Lock()
	var all []func()
	for id, late := range c.armed {
		all = append(all, late)
		delete(c.armed, id)
	}
	c.mu.Unlock()
	for _, late := range all {
		late()
	}
}

// silence keeps a client waiting until it gives up. It may not have come to wait
// yet: its limit passes again and again.
func (c *clock) silence(r *http.Request) {
	for {
		c.late()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// faulty is a registry of one image that does what it is told with requests for
// one blob or manifest.
type faulty struct {
	*clock
	blobs  blobs
	root   v1.Descriptor
	target v1.Hash
	answer func(f *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int)
	mu     sync.Mutex
	ranges []string // that were asked for of the target, "" for all of it
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if name == "v1" {
		name = f.root.Digest.String()
	}
	digest, err := v1.NewHash(name)
	data, ok := f.blobs[digest]
	switch {
	case r.URL.Path == "/v2/":
	case err != nil || !ok:
		http.NotFound(w, r)
	case digest == f.target:
		f.mu.Lock()
		f.ranges = append(f.ranges, r.Header.Get("Range"))
		n := len(f.ranges)
		f.mu.Unlock()
		f.answer(f, w, r, data, n)
	default:
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Write(data)
	}
}

// half sends the first half of what was asked for.
func half(w http.ResponseWriter, r *http.Request, data []byte) {
	from := 0
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
	}
	data = data[from:]
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	w.Write(data[:len(data)/2])
	w.(http.Flusher).Flush()
}

// good sends what was asked for.
func good(w http.ResponseWriter, r *http.Request, data []byte) {
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
}

// all sends everything, whatever was asked for.
func all(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.Write(data)
}

func drop() { panic(http.ErrAbortHandler) }

// status answers with a status n times, and then well.
func status(code, times int) func(*faulty, http.ResponseWriter, *http.Request, []byte, int) {
	return func(_ *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
		if n <= times {
			w.WriteHeader(code)
			return
		}
		good(w, r, data)
	}
}

func TestFaultyRegistries(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(f *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int)
		asked  int    // how often, 0: not checked
		err    string // "": the pull succeeds
		hint   string
		// resumed: the last request is for a range.
		resumed bool
	}{
		{name: "drops twice", asked: 3, resumed: true, answer: func(_ *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
			if n < 3 {
				half(w, r, data)
				drop()
			}
			good(w, r, data)
		}},
		{name: "drops before it answers", asked: 2, answer: func(_ *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
			if n == 1 {
				drop()
			}
			good(w, r, data)
		}},
		{name: "drops, and ignores ranges", asked: 2, answer: func(_ *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
			if n == 1 {
				half(w, r, data)
				drop()
			}
			all(w, data)
		}},
		{name: "drops at the same place, for ever", asked: maxTries, err: "unexpected EOF (tried 6 times)",
			answer: func(_ *faulty, w http.ResponseWriter, r *http.Request, data []byte, _ int) {
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				w.Write(data[:len(data)/2])
				w.(http.Flusher).Flush()
				drop()
			}},
		{name: "drops, and answers with another range", asked: 3, answer: func(_ *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
			switch {
			case n == 1:
				half(w, r, data)
				drop()
			case r.Header.Get("Range") != "":
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 7-%d/%d", len(data)-1, len(data)))
				w.WriteHeader(http.StatusPartialContent)
				w.Write(data[7:])
			default:
				all(w, data)
			}
		}},
		{name: "drops, and knows no such range", asked: 3, answer: func(_ *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
			switch {
			case n == 1:
				half(w, r, data)
				drop()
			case r.Header.Get("Range") != "":
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			default:
				all(w, data)
			}
		}},
		{name: "drops, and goes on with another content", err: "digest is sha256:", hint: "damaged",
			answer: func(_ *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
				if n == 1 {
					half(w, r, data)
					drop()
				}
				changed := []byte(string(data))
				changed[len(changed)-1] ^= 1
				good(w, r, changed)
			}},
		{name: "falls silent in the middle", answer: func(f *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
			if n == 1 {
				half(w, r, data)
				f.silence(r)
				return
			}
			good(w, r, data)
		}},
		{name: "falls silent at once", answer: func(f *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
			if n == 1 {
				f.silence(r)
				return
			}
			good(w, r, data)
		}},
		{name: "falls silent for ever", err: "nothing has come for 30s (tried 6 times)", hint: "fell silent",
			answer: func(f *faulty, _ http.ResponseWriter, r *http.Request, _ []byte, _ int) {
				f.silence(r)
			}},
		{name: "is busy", asked: 3, answer: status(http.StatusServiceUnavailable, 2)},
		{name: "asks for patience", asked: 2, answer: status(http.StatusTooManyRequests, 1)},
		{name: "is broken", asked: maxTries, err: "500", answer: status(http.StatusInternalServerError, 1000)},
		{name: "has no such blob", asked: 1, err: "404", hint: "has no such image", answer: status(http.StatusNotFound, 1000)},
		{name: "wants a password", asked: 1, err: "403", hint: "docker login", answer: status(http.StatusForbidden, 1000)},
		{name: "ends early, for ever", err: "ends after", answer: func(_ *faulty, w http.ResponseWriter, _ *http.Request, data []byte, _ int) {
			all(w, data[:len(data)-1])
		}},
		{name: "sends too much", asked: 1, err: "longer than the", answer: func(_ *faulty, w http.ResponseWriter, _ *http.Request, data []byte, _ int) {
			all(w, append([]byte(string(data)), 0))
		}},
		{name: "sends a page", asked: 1, err: "longer than the", answer: func(_ *faulty, w http.ResponseWriter, _ *http.Request, data []byte, _ int) {
			all(w, []byte("<html>"+strings.Repeat(" ", len(data))))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &faulty{clock: &clock{}, blobs: blobs{}, answer: tt.answer}
			data := tarOf(t, "a", 300_000)
			layers := []stored{{"application/vnd.oci.image.layer.v1.tar", data, data, nil}}
			f.root, f.target = f.blobs.image(t, layers, nil), digestOf(data)
			got, err := f.pull(t)
			if tt.err != "" {
				checkError(t, tt.name, err, tt.err, tt.hint)
			} else if err != nil {
				t.Fatal(err)
			} else {
				checkContents(t, got, layers)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if tt.asked != 0 && len(f.ranges) != tt.asked {
				t.Errorf("asked %d times: %q; want %d", len(f.ranges), f.ranges, tt.asked)
			}
			if tt.resumed && f.ranges[len(f.ranges)-1] == "" {
				t.Errorf("asked for the ranges %q; want the last to go on where the others ended", f.ranges)
			}
		})
	}
}

// pull pulls the image over HTTP.
func (f *faulty) pull(t *testing.T) ([][]byte, error) {
	t.Helper()
	server := httptest.NewServer(f)
	defer server.Close()
	defer server.CloseClientConnections()
	host := strings.TrimPrefix(server.URL, "http://")
	c := &Client{patience: f.patience(), Transport: &http.Transport{}}
	return pull(t, c, newCache(t), reference(t, host+"/a:v1", ""))
}

// TestFaultyManifests has the same faults where a document is asked for.
func TestFaultyManifests(t *testing.T) {
	layers := threeLayers(t)[:1]
	for name, answer := range map[string]func(f *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int){
		"drops": func(_ *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
			if n%2 == 1 {
				half(w, r, data)
				drop()
			}
			good(w, r, data)
		},
		"is busy": status(http.StatusBadGateway, 2),
		"falls silent": func(f *faulty, w http.ResponseWriter, r *http.Request, data []byte, n int) {
			if n == 1 {
				half(w, r, data)
				f.silence(r)
				return
			}
			good(w, r, data)
		},
	} {
		f := &faulty{clock: &clock{}, blobs: blobs{}, answer: answer}
		f.root = f.blobs.image(t, layers, nil)
		f.target = f.root.Digest
		got, err := f.pull(t)
		if err != nil {
			t.Errorf("a registry that %s: %v", name, err)
			continue
		}
		checkContents(t, got, layers)
	}
}

// TestPauses grow, and end with the context.
func TestPauses(t *testing.T) {
	c := &clock{}
	p := c.patience()
	tries := 0
	err := p.retry(t.Context(), func() error { tries++; return errIdle })
	if !errors.Is(err, errIdle) || tries != maxTries || len(c.pauses) != maxTries-1 {
		t.Errorf("retry = %v after %d tries and pauses of %v; want %d tries", err, tries, c.pauses, maxTries)
	}
	for i, pause := range c.pauses {
		if least, most := pauses.After(i+1, 0), pauses.After(i+1, 1); pause < least || pause > most {
			t.Errorf("pause %d is %v; want %v to %v", i+1, pause, least, most)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	tries = 0
	err = p.retry(ctx, func() error { tries++; cancel(); return errIdle })
	if !errors.Is(err, context.Canceled) || tries != 1 {
		t.Errorf("cancelled: %v after %d tries; want one", err, tries)
	}
}

// TestRedirects go anywhere but from the internet to an address of our own network.
func TestRedirects(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		refused  bool
	}{
		{"https://registry.example/a", "https://blobs.example/b", false},
		{"https://registry.example/a", "https://198.51.100.7/b", false},
		{"https://registry.example/a", "http://169.254.169.254/latest", true},
		{"https://registry.example/a", "https://10.0.0.1/b", true},
		{"https://registry.example/a", "https://[::1]/b", true},
		{"https://10.0.0.1/a", "https://10.0.0.1/b", false},
	} {
		from, to := request(t, tt.from), request(t, tt.to)
		err := checkRedirect(to, []*http.Request{from})
		if (err != nil) != tt.refused || tt.refused && hint.Of(err) == "" {
			t.Errorf("redirect from %s to %s: %v, hint %q; want refused %v", tt.from, tt.to, err, hint.Of(err), tt.refused)
		}
	}
}

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
