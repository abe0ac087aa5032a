package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/ketch-os/ketch/api/node"
)

// route is one thing that can be asked.
type route struct {
	method, path string
	// doc is the answer, as the table of docs/api.md has it.
	doc    string
	handle func(*Server, http.ResponseWriter, *http.Request)
}

// routes are all of them.
func routes() []route {
	return []route{
		{http.MethodGet, "/v1/health",
			"200 `{\"ready\": true}` when containerd says that it serves (asked for at most 2 s), else 503", (*Server).health},
		{http.MethodGet, "/v1/status",
			"200, the status below; what cannot be had is a problem in it, not an error", (*Server).status},
		{http.MethodGet, "/v1/previous",
			"200: how the run before this one ended, below", (*Server).previous},
		{http.MethodGet, "/v1/gate",
			"200 `{\"checks\": [{\"name\", \"passed\", \"reason\"?}]}`: the checks of PID 1's health gate that ketchd looks after " +
				"(`docs/boot.md`), as they stand now; within 5 s", (*Server).gate},
		{http.MethodGet, "/v1/platform",
			"200: where the machine runs, how that was found, and what it is told there, below", (*Server).platform},
		{http.MethodGet, "/v1/config",
			"200: the configuration that counts, what each value comes from, and what is wrong with it, below", (*Server).config},
		{http.MethodGet, "/v1/memory",
			"200: where the memory goes, as `docs/memory.md` explains: `givenKiB`, `availableKiB`, `usedKiB`, `rows` (`name`, `kib`, `note`?), " +
				"`processes` (`pid`, `name`, `anonKiB`, `fileKiB`)", (*Server).memory},
		{http.MethodGet, "/v1/logs",
			"200 `{\"logs\": [{\"name\", \"bytes\", \"modified\"}], \"limit\"}`: which logs there are; with `name`, the log of that name, below",
			(*Server).logs},
	}
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range routes() {
		mux.HandleFunc(route.method+" "+route.path, func(w http.ResponseWriter, r *http.Request) { route.handle(s, w, r) })
	}
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

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, s.Status(r.Context()))
}

func (s *Server) memory(w http.ResponseWriter, _ *http.Request) {
	table, err := s.Memory()
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error(), "")
		return
	}
	reply(w, http.StatusOK, table)
}

func (s *Server) previous(w http.ResponseWriter, _ *http.Request) {
	previous, err := s.Previous()
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error(), "")
		return
	}
	reply(w, http.StatusOK, previous)
}

// gate answers PID 1's health gate. A check that does not hold is no error: the
// answer says which and why.
func (s *Server) gate(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, s.Gate(r.Context()))
}

func (s *Server) platform(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, s.Platform())
}

func (s *Server) config(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, s.Config())
}

// logs tells which logs there are, or answers with one.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("name") {
		s.log(w, r)
		return
	}
	logs, err := s.Logs.Logs()
	limit, errLimit := s.Logs.Total()
	if err := errors.Join(err, errLimit); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error(), "")
		return
	}
	reply(w, http.StatusOK, &node.LogList{Logs: logs, Limit: limit})
}
