package tarfile

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// Keys of extended header records (POSIX.1-2001, "pax Extended Header"; GNU and star's own).
const (
	keyPath        = "path"
	keyLink        = "linkpath"
	keySize        = "size"
	keyUID         = "uid"
	keyGID         = "gid"
	keyMtime       = "mtime"
	prefixXattr    = "SCHILY.xattr."
	prefixSparse   = "GNU.sparse."
	keySparseMajor = prefixSparse + "major"
	keySparseMinor = prefixSparse + "minor"
	keySparseName  = prefixSparse + "name"
	keySparseSize  = prefixSparse + "size"     // 0.0, 0.1
	keySparseReal  = prefixSparse + "realsize" // 1.0
	keySparseMap   = prefixSparse + "map"      // 0.1
	keySparseCount = prefixSparse + "numblocks"
	keySparseFrom  = prefixSparse + "offset"   // 0.0: repeated, with numbytes
	keySparseBytes = prefixSparse + "numbytes" // 0.0
)

// parseRecords reads the data of an extended header: "LENGTH KEY=VALUE\n", where
// the length counts the whole record. The last record of a key counts. The
// repeated offset and numbytes of sparse format 0.0 are joined into the map of 0.1.
func parseRecords(data []byte) (map[string]string, error) {
	records := map[string]string{}
	var sparse []string
	for len(data) > 0 {
		key, value, rest, err := cutRecord(data)
		if err != nil {
			return nil, err
		}
		data = rest
		switch key {
		case keySparseFrom, keySparseBytes:
			if (key == keySparseFrom) != (len(sparse)%2 == 0) {
				return nil, errors.New("sparse map: offset and numbytes do not alternate")
			}
			sparse = append(sparse, value)
		default:
			records[key] = value
		}
	}
	if len(sparse) > 0 {
		records[keySparseMap] = strings.Join(sparse, ",")
	}
	return records, nil
}

// cutRecord takes the first record off data.
func cutRecord(data []byte) (key, value string, rest []byte, err error) {
	bad := fmt.Errorf("malformed extended header record %.40q", data)
	digits, _, ok := bytes.Cut(data, []byte(" "))
	if !ok {
		return "", "", nil, bad
	}
	n, err := strconv.ParseUint(string(digits), 10, 31)
	if err != nil || int(n) > len(data) || int(n) < len(digits)+len(" k=\n") || data[n-1] != '\n' {
		return "", "", nil, bad
	}
	k, v, ok := bytes.Cut(data[len(digits)+1:n-1], []byte("="))
	if !ok || len(k) == 0 || bytes.IndexByte(k, 0) >= 0 {
		return "", "", nil, bad
	}
	return string(k), string(v), data[n:], nil
}

// global takes in the records of a header that holds for all later entries.
func (r *Reader) global(data []byte) error {
	records, err := parseRecords(data)
	if err != nil {
		return err
	}
	for key := range records {
		switch {
		case key == keyPath, key == keyLink, key == keySize,
			strings.HasPrefix(key, prefixXattr), strings.HasPrefix(key, prefixSparse):
			return fmt.Errorf("global header sets %s of every file", key)
		case key != keyUID && key != keyGID && key != keyMtime:
			delete(records, key)
		}
	}
	maps.Copy(r.globals, records)
	return nil
}

// apply lets the records of an extended header override the header's fields. A
// record without a value leaves the field alone.
func (e *Entry) apply(records map[string]string) error {
	for key, value := range records {
		if value == "" && !strings.HasPrefix(key, prefixXattr) {
			continue
		}
		if err := e.set(key, value); err != nil {
			return fmt.Errorf("extended header record %s=%.40q: %w", key, value, err)
		}
	}
	return nil
}

func (e *Entry) set(key, value string) (err error) {
	switch key {
	case keyPath:
		e.Name, err = value, noZero(value)
	case keyLink:
		e.Link, err = value, noZero(value)
	case keySize:
		e.Size, err = parseDecimal(value)
	case keyUID:
		e.UID, err = parseDecimal(value)
	case keyGID:
		e.GID, err = parseDecimal(value)
	case keyMtime:
		e.Mtime, err = parseTime(value)
	default:
		if name, ok := strings.CutPrefix(key, prefixXattr); ok {
			e.setXattr(name, value)
		}
	}
	return err
}

func (e *Entry) setXattr(name, value string) {
	if e.Xattrs == nil {
		e.Xattrs = map[string]string{}
	}
	e.Xattrs[name] = value
}

func noZero(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return errors.New("zero byte")
	}
	return nil
}

func parseDecimal(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, errors.New("not a decimal number")
	}
	return int64(n), nil
}

// parseTime reads seconds since 1970 with an optional fraction. What is finer
// than a nanosecond is cut off.
func parseTime(s string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.Trim(fraction, "0123456789") != "" {
		return time.Time{}, errors.New("not a time")
	}
	fraction = (fraction + "000000000")[:9]
	nanoseconds, err := strconv.ParseInt(fraction, 10, 64)
	if strings.HasPrefix(whole, "-") {
		nanoseconds = -nanoseconds
	}
	return time.Unix(seconds, nanoseconds), err
}
