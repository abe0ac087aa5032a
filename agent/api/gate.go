package api

import (
	"context"
	"net/http"

	"ketch/layout/status"
)

// gate answers PID 1's health gate. A check that does not hold is no error: the
// answer says which and why.
func (s *Server) gate(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, s.Gate(r.Context()))
}

// Gate returns the checks of the health gate that ketchd looks after.
func (c *Client) Gate(ctx context.Context) (*status.GateAnswer, error) {
	return decode[status.GateAnswer](c.get(ctx, "/v1/gate", nil))
}
