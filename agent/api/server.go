// Package api is ketchd's side of the language that package api/node describes.
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

	"github.com/ketch-os/ketch/agent/logfile"
	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/api/pid1"
)

// socketMode: root and the group of the socket may ask.
const socketMode = 0o660

// Server answers requests.
type Server struct {
	Ready  func(ctx context.Context) error
	Status func(ctx context.Context) *node.Status
	// Previous tells how the run before this one ended.
	Previous func() (*pid1.Previous, error)
	// Gate tells how the checks of the health gate stand that ketchd looks after.
	Gate func(ctx context.Context) *pid1.GateAnswer
	// Platform tells where the machine runs, Config what it was told to be.
	Platform func() *node.Platform
	Config   func() *node.Config
	// Memory tells where the memory goes.
	Memory func() (*node.MemoryTable, error)
	Logs   logfile.Dir
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
	crowd := newCrowd(listener)
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		ConnState:         crowd.changed,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the following of logs
	}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		ended <- server.Shutdown(limited)
	})
	err := server.Serve(crowd)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the API: %w", err)
	}
	return <-ended
}

// log answers with a log, as it was written.
func (s *Server) log(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
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

func refuse(w http.ResponseWriter, status int, message, hint string) {
	reply(w, status, &node.Error{Message: message, Advice: hint})
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
