package compose

import "testing"

func TestParseRestart(t *testing.T) {
	for text, want := range map[string]Restart{
		"": {Never, 0}, "no": {Never, 0}, "always": {Always, 0}, "unless-stopped": {UnlessStopped, 0},
		"on-failure": {OnFailure, 0}, "on-failure:5": {OnFailure, 5},
	} {
		if got, err := ParseRestart(text); got != want || err != nil {
			t.Errorf("ParseRestart(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yes", "on-failure:", "on-failure:0", "on-failure:x", "always:3", "no:1", ":3"} {
		if got, err := ParseRestart(text); err == nil {
			t.Errorf("ParseRestart(%q) = %v; want an error", text, got)
		}
	}
}
