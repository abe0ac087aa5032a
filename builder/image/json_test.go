package image

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func TestJSON(t *testing.T) {
	for want, v := range map[string]any{
		`{"name":"a","detail":"b","passed":true}`:        Check{Name: "a", Detail: "b"},
		`{"name":"a","error":"bad","passed":false}`:      Check{Name: "a", Err: errors.New("bad"), Error: "bad"},
		`{"name":"a","leftOut":"why","passed":false}`:    Check{Name: "a", LeftOut: "why"},
		`{"name":"usr","detail":"x","tookUsec":1500000}`: Step{Name: "usr", Took: 1500 * time.Millisecond, Detail: "x"},
	} {
		if got, err := json.Marshal(v); string(got) != want || err != nil {
			t.Errorf("JSON of %+v = %s, %v; want %s", v, got, err, want)
		}
	}
}
