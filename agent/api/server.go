// Package api is how programs on the machine speak to ketchd: HTTP/1.1 with
// JSON over the Unix socket layout.KetchdSocket, mode 0660.
//
//	GET /v1/health                  200 when containerd answers, else 503
//	GET /v1/status                  200, a Status
//	GET /v1/previous                200, a status.Previous: how the run before this one ended
//	GET /v1/logs                    200, a LogList: which logs there are
//	GET /v1/gate                    200, a status.GateAnswer: the checks of PID 1's health gate
//	                                that ketchd looks after, as they stand now
//	GET /v1/logs?name=NAME          200, text/plain: the log, as it was written
//	    &lines=N                    only its last N lines
//	    &follow=true                goes on until the client hangs up
//
// A workload that fails makes the status degraded, not the health check fail:
// ketchd is ready when it can do its work.
//
// A request that cannot be answered gets a status of 4xx or 5xx and an Error.
// New fields may appear in answers at any time; what is here keeps its meaning
// as long as the path begins with /v1.
//
// Server and Client are the two sides; a program in another language needs
// nothing of them:
//
//	curl --unix-socket /run/ketch/ketchd.sock http://ketch/v1/status
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ketch/agent/logfile"
	"ketch/layout/status"
)

// socketMode: root and the group of the socket may ask.
const socketMode = 0o660

// Server answers requests.
type Server struct {
	Ready  func(ctx context.Context) error
	Status func(ctx context.Context) *Status
	// Previous tells how the run before this one ended.
	Previous func() (*status.Previous, error)
	// Gate tells how the checks of the health gate stand that ketchd looks after.
	Gate func(ctx context.Context) *status.GateAnswer
	Logs logfile.Dir
}

// Listen opens the socket at path, in the place of one that an earlier process left.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// The mode is set before the name exists, and again without the umask.
	config := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) (err error) {
		controlErr := socket.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), socketMode) })
		return errors.Join(controlErr, err)
	}}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// Serve answers the requests that come to listener until ctx ends; open ones
// have a second to finish.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the following of logs
	}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		ended <- server.Shutdown(limited)
	})
	err := server.Serve(listener)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the API: %w", err)
	}
	return <-ended
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/health", s.health)
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, s.Status(r.Context()))
	})
	mux.HandleFunc("GET /v1/previous", s.previous)
	mux.HandleFunc("GET /v1/gate", s.gate)
	mux.HandleFunc("GET /v1/logs", s.logs)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path), "")
	})
	return mux
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if err := s.Ready(r.Context()); err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error(), "")
		return
	}
	reply(w, http.StatusOK, struct {
		Ready bool `json:"ready"`
	}{true})
}

func (s *Server) previous(w http.ResponseWriter, _ *http.Request) {
	previous, err := s.Previous()
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error(), "")
		return
	}
	reply(w, http.StatusOK, previous)
}

// listLogs tells which logs there are.
func (s *Server) listLogs(w http.ResponseWriter) {
	logs, err := s.Logs.Logs()
	limit, errLimit := s.Logs.Total()
	if err := errors.Join(err, errLimit); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error(), "")
		return
	}
	reply(w, http.StatusOK, &LogList{Logs: logs, Limit: limit})
}

func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
	if !r.URL.Query().Has("name") {
		s.listLogs(w)
		return
	}
	lines, follow := -1, false
	var err error
	if text := r.FormValue("lines"); text != "" {
		if lines, err = strconv.Atoi(text); err != nil || lines < 0 {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("lines=%q is not a number of lines", text), "")
			return
		}
	}
	if text := r.FormValue("follow"); text != "" {
		if follow, err = strconv.ParseBool(text); err != nil {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("follow=%q is neither true nor false", text), "")
			return
		}
	}
	if _, err := s.Logs.Path(name); err != nil {
		refuse(w, http.StatusBadRequest, err.Error(), s.knownLogs())
		return
	}
	out := &answer{w: w, control: http.NewResponseController(w)}
	switch err := s.Logs.Read(r.Context(), out, name, lines, follow); {
	case errors.Is(err, fs.ErrNotExist):
		refuse(w, http.StatusNotFound, fmt.Sprintf("there is no log of %s", name), s.knownLogs())
	case err != nil && !out.begun:
		refuse(w, http.StatusInternalServerError, err.Error(), "")
	case err != nil:
		panic(http.ErrAbortHandler) // the client must not take the part for the whole
	default:
		out.begin()
	}
}

// knownLogs is the hint for a name that is none.
func (s *Server) knownLogs() string {
	names, err := s.Logs.Names()
	if err != nil || len(names) == 0 {
		return "there are no logs yet"
	}
	return "there are logs of " + strings.Join(names, ", ")
}

// answer sends each piece on at once, and the header before the first.
type answer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (a *answer) begin() {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		a.w.Header().Set("X-Content-Type-Options", "nosniff")
		a.w.WriteHeader(http.StatusOK)
	}
}

func (a *answer) Write(data []byte) (int, error) {
	a.begin()
	n, err := a.w.Write(data)
	if err == nil {
		err = a.control.Flush()
	}
	return n, err
}

// Error is the answer to a request that could not be answered.
type Error struct {
	Message string `json:"error"`
	Hint    string `json:"hint,omitempty"` // the cure, where it is known
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

func refuse(w http.ResponseWriter, status int, message, hint string) {
	reply(w, status, &Error{message, hint})
}

func reply(w http.ResponseWriter, status int, value any) {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"encode answer"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, string(text)+"\n")
}
