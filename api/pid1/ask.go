package pid1

import (
	"fmt"
	"io"
)

// What an update asks PID 1, over a connection to its socket. by names who asks.

// AskRecord returns the boot record.
func AskRecord(conn io.ReadWriter) (*Record, error) {
	return askRecord(conn, Request{Do: DoRecord})
}

// Revoke makes the boot record forget that a version is good, and its tries: see
// DoRevoke. It returns the record as it is then.
func Revoke(conn io.ReadWriter, rootHash, by string) (*Record, error) {
	return askRecord(conn, Request{Do: DoRevoke, RootHash: rootHash, By: by})
}

// Expect makes the boot record know a version that is about to be installed: see
// DoExpect. It returns the record as it is then.
func Expect(conn io.ReadWriter, version, rootHash string, tries int, by string) (*Record, error) {
	return askRecord(conn, Request{Do: DoExpect, Version: version, RootHash: rootHash, Tries: tries, By: by})
}

func askRecord(conn io.ReadWriter, ask Request) (*Record, error) {
	reply, err := Exchange(conn, ask)
	if err != nil {
		return nil, err
	}
	if reply.Record == nil {
		return nil, fmt.Errorf("PID 1 answers %s without a record", ask.Do)
	}
	return reply.Record, nil
}
