package node

// Platform is the answer to GET /v1/platform: where the machine runs.
type Platform struct {
	Name     string   `json:"name"`             // empty: on none that is known
	Why      string   `json:"why,omitempty"`    // how it was found
	Source   string   `json:"source,omitempty"` // where it was asked
	Kept     bool     `json:"kept,omitempty"`   // it does not answer: this is what it said last
	Instance string   `json:"instance,omitempty"`
	Hostname string   `json:"hostname,omitempty"`
	Keys     []string `json:"keys,omitempty"`     // lines of authorized_keys
	UserData int      `json:"userData,omitempty"` // bytes
	Problems []string `json:"problems,omitempty"` // what it said that is of no use
	Error    string   `json:"error,omitempty"`    // why it could not be asked
}

// Config is the answer to GET /v1/config: what the machine was told to be.
type Config struct {
	Sources []ConfigSource `json:"sources,omitempty"` // in the order in which they count: the last wins
	Values  []ConfigValue  `json:"values,omitempty"`
	Errors  []string       `json:"errors,omitempty"` // what could not be applied
}

// ConfigSource is one of the configurations that a machine has.
type ConfigSource struct {
	Name     string          `json:"name"` // "the image", "the user data"
	Kind     string          `json:"kind"` // ketch, ignition, cloud-config, multipart; none, script and unknown are no configuration
	Problems []ConfigProblem `json:"problems,omitempty"`
}

// ConfigProblem is one thing that is wrong with a configuration.
type ConfigProblem struct {
	Source string `json:"source,omitempty"` // which part of it, or which document that it names
	Path   string `json:"path,omitempty"`   // "files.0.mode"
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Text   string `json:"text"`
}

// ConfigValue is a value that counts. Of a file there is no more than its size and digest.
type ConfigValue struct {
	Path   string `json:"path"` // "hostname", "users.core", "files./etc/motd", "workloads.web"
	Value  string `json:"value"`
	Origin string `json:"origin"` // the sources that it comes from
}
