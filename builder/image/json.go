package image

import "encoding/json"

// MarshalJSON adds "passed" to what is told of a check. What was left out has not.
func (c Check) MarshalJSON() ([]byte, error) {
	type plain Check
	return json.Marshal(struct {
		plain
		Passed bool `json:"passed"`
	}{plain(c), c.Err == nil && c.LeftOut == ""})
}

// MarshalJSON writes a step's time in microseconds, "tookUsec", as all of Ketch does.
func (s Step) MarshalJSON() ([]byte, error) {
	type plain Step
	return json.Marshal(struct {
		plain
		TookUsec int64 `json:"tookUsec"`
	}{plain(s), s.Took.Microseconds()})
}
