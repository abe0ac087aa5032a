package pid1

// Record is what PID 1 knows of this machine's boots: the boot record
// (docs/boot-record.md), as it was last written.
type Record struct {
	Why        string            `json:"why"` // why the boot loader took the entry that was booted
	Generation uint64            `json:"generation"`
	Floor      string            `json:"floor,omitempty"` // no older version may be installed
	Versions   []RecordedVersion `json:"versions"`        // the running one, those that are expected, then the latest started first
}

// RecordedVersion is what became of a version on this machine.
type RecordedVersion struct {
	Version  string `json:"version"`
	RootHash string `json:"rootHash"`
	Entry    string `json:"entry"`              // ID of its boot entry, without counter and suffix
	Running  bool   `json:"running,omitempty"`  // now
	LastGood bool   `json:"lastGood,omitempty"` // the one that was good last
	Failed   bool   `json:"failed,omitempty"`   // it has failed too often, or was revoked, and is not booted by itself any more
	Revoked  bool   `json:"revoked,omitempty"`  // its slot is given to another version: see DoRevoke
	Starts   uint32 `json:"starts"`             // ever
	Goods    uint32 `json:"goods"`              // starts that became good
	Attempts uint32 `json:"attempts"`           // starts since it was last good
	Tries    uint32 `json:"tries"`              // attempts that may fail: see DoExpect
	GoodAt   string `json:"goodAt,omitempty"`   // RFC 3339: when it was last good
	FailedAt string `json:"failedAt,omitempty"` // RFC 3339: when Words was noted
	Words    string `json:"words,omitempty"`    // why the last start that failed did
}
