package api

import "net/http"

// gate answers PID 1's health gate. A check that does not hold is no error: the
// answer says which and why.
func (s *Server) gate(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, s.Gate(r.Context()))
}
