package access

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Fingerprint is that of a public key, a line of authorized_keys without options, as
// ssh-keygen(1) prints it: "SHA256:…".
func Fingerprint(line []byte) (string, error) {
	fields := strings.Fields(string(line))
	if len(fields) < 2 {
		return "", errors.New("there is no public key: want TYPE BASE64")
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return "", fmt.Errorf("decode public key: %w", err)
	}
	sum := sha256.Sum256(blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]), nil
}
