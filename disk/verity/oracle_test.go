package verity

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/internal/testkit"
)

const testUUID = "01234567-89ab-cdef-fedc-ba9876543210" // testParams.UUID

var rootHashLine = regexp.MustCompile(`(?m)^Root hash:\s*([0-9a-f]{64})$`)

// format runs veritysetup over a file and returns the hash device and the root hash.
func format(t testing.TB, data string, salt []byte) (device []byte, root string) {
	t.Helper()
	hash := filepath.Join(t.TempDir(), "hash")
	cmd := exec.Command(testkit.Tool(t, "veritysetup"), "format", "--uuid", testUUID, "--salt", saltArg(salt), data, hash)
	out, err := cmd.CombinedOutput()
	found := rootHashLine.FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	device, err = os.ReadFile(hash)
	if err != nil {
		t.Fatal(err)
	}
	return device, string(found[1])
}

func saltArg(salt []byte) string {
	if len(salt) == 0 {
		return "-"
	}
	return hex.EncodeToString(salt)
}

// TestAgainstVeritysetup wants the very bytes that veritysetup writes, and
// veritysetup's own word on them.
func TestAgainstVeritysetup(t *testing.T) {
	for _, blocks := range []int{1, 2, 127, 128, 129, 1000, 128*128 - 1, 128 * 128, 128*128 + 1} {
		for _, salt := range [][]byte{nil, {7}, testParams.Salt, bytes.Repeat([]byte{9}, MaxSalt)} {
			if blocks > 1000 && (len(salt) == 1 || len(salt) == MaxSalt) { // 64 MiB each
				continue
			}
			t.Run(fmt.Sprintf("%d blocks, salt of %d", blocks, len(salt)), func(t *testing.T) {
				compareWithVeritysetup(t, pattern(blocks), salt)
			})
		}
	}
}

func compareWithVeritysetup(t *testing.T, data, salt []byte) {
	path := writeFile(t, "data", data)
	want, wantRoot := format(t, path, salt)
	got, root := build(t, data, Params{UUID: testParams.UUID, Salt: salt})
	if hex.EncodeToString(root[:]) != wantRoot {
		t.Errorf("root hash %x; want %s", root, wantRoot)
	}
	// For a single data block veritysetup leaves the hash device at 512 bytes.
	for len(want) < BlockSize {
		want = append(want, 0)
	}
	if !bytes.Equal(got.data, want) {
		t.Errorf("hash device of %d bytes differs from veritysetup's of %d", len(got.data), len(want))
	}
	if err := Verify(bytes.NewReader(data), bytes.NewReader(want), root); err != nil {
		t.Errorf("Verify(veritysetup's device) = %v", err)
	}
	hash := writeFile(t, "hash", got.data)
	cmd := exec.Command(testkit.Tool(t, "veritysetup"), "verify", path, hash, hex.EncodeToString(root[:]))
	// It prints some mismatches and exits with success: its words count too.
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%v: %v\n%s", cmd, err, out)
	}
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMain also serves BenchmarkAgainstVeritysetup: with VERITY_DATA set the
// test binary is a program that builds one hash device.
func TestMain(m *testing.M) {
	if path := os.Getenv("VERITY_DATA"); path != "" {
		if err := buildFile(path, os.Getenv("VERITY_HASH"), os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func buildFile(dataPath, hashPath string, out io.Writer) error {
	data, err := os.Open(dataPath)
	if err != nil {
		return err
	}
	defer data.Close()
	info, err := data.Stat()
	if err != nil {
		return err
	}
	hash, err := os.Create(hashPath)
	if err != nil {
		return err
	}
	root, err := Build(data, info.Size(), testParams, hash)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%x\n", root)
	return hash.Close()
}

const benchmarkSize = 512 << 20

// BenchmarkAgainstVeritysetup times both as whole processes over the same file
// and reports how many times faster Build is. On a machine that is busy with
// other things the processor time per byte tells more.
func BenchmarkAgainstVeritysetup(b *testing.B) {
	tool, path := testkit.Tool(b, "veritysetup"), randomFile(b)
	hash := filepath.Join(b.TempDir(), "hash")
	var ours, theirs cost
	for b.Loop() {
		theirs.run(b, exec.Command(tool, "format", "--uuid", testUUID, "--salt", saltArg(testParams.Salt), path, hash))
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "VERITY_DATA="+path, "VERITY_HASH="+hash)
		ours.run(b, cmd)
	}
	megabytes := float64(b.N) * benchmarkSize / 1e6
	b.ReportMetric(theirs.wall.Seconds()/ours.wall.Seconds(), "×veritysetup")
	b.ReportMetric(theirs.cpu.Seconds()/ours.cpu.Seconds(), "×veritysetup-a-core")
	b.ReportMetric(megabytes/ours.wall.Seconds(), "MB/s")
	b.ReportMetric(megabytes/theirs.wall.Seconds(), "veritysetup-MB/s")
}

// cost is what running processes has taken.
type cost struct{ wall, cpu time.Duration }

func (c *cost) run(b *testing.B, cmd *exec.Cmd) {
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	c.wall += time.Since(start)
	c.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// randomFile writes benchmarkSize bytes that no zero-block trick can help with.
func randomFile(b *testing.B) string {
	f, err := os.Create(filepath.Join(b.TempDir(), "data"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{}), benchmarkSize); err != nil {
		b.Fatal(err)
	}
	return f.Name()
}

type discard struct{}

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func BenchmarkBuild(b *testing.B) {
	f, err := os.Open(randomFile(b))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.SetBytes(benchmarkSize)
	for b.Loop() {
		if _, err := Build(f, benchmarkSize, testParams, discard{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	data := pattern(128 << 20 / BlockSize)
	hash, root := build(b, data, testParams)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := Verify(bytes.NewReader(data), hash, root); err != nil {
			b.Fatal(err)
		}
	}
}
