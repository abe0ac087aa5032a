package layout

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// row is a row of the table of docs/image-format.md: number, label, type, size.
var row = regexp.MustCompile("(?m)^\\| (\\d) \\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\|")

// documented are the rows of the document's table, in its order.
func documented(t *testing.T) (rows []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/image-format.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range row.FindAllStringSubmatch(string(text), -1) {
		rows = append(rows, strings.Join(found[1:], " | "))
	}
	return rows
}

// TestDocumentedPlan holds the document's table against the plan, on a disk whose
// slot A holds a version.
func TestDocumentedPlan(t *testing.T) {
	var want []string
	for i, p := range AMD64.Partitions() {
		label, size := p.Label, fmt.Sprintf("%d MiB", p.Size/MiB)
		switch {
		case i+1 == NumUsrA:
			label = SlotLabel("<version>")
		case i+1 == NumVerityA:
			label = VerityLabel("<version>")
		}
		switch {
		case p.Size == 0:
			size = "the rest"
		case p.Size%GiB == 0:
			size = fmt.Sprintf("%d GiB", p.Size/GiB)
		}
		want = append(want, fmt.Sprintf("%d | %s | %s | %s", i+1, label, p.Type, size))
	}
	if diff := cmp.Diff(want, documented(t)); diff != "" {
		t.Errorf("docs/image-format.md has another table than the plan (-plan +document):\n%s", diff)
	}
}

// TestPartitions: each architecture has the same plan but for the types of the slots,
// and nothing in it stands twice that must tell one partition from another.
func TestPartitions(t *testing.T) {
	names, other := map[string]bool{}, ARM64.Partitions()
	for i, p := range AMD64.Partitions() {
		if names[p.Name] || p.Name == "" || p.Kind == "" || p.Label == "" {
			t.Errorf("partition %d is %+v; want a name of its own, a kind and a label", i+1, p)
		}
		names[p.Name] = true
		if p.Size%Alignment != 0 || (p.Size == 0) != (i+1 == NumState) {
			t.Errorf("partition %d has %d bytes", i+1, p.Size)
		}
		p.Type, other[i].Type = "", ""
		if p != other[i] {
			t.Errorf("partition %d is %+v on amd64, %+v on arm64", i+1, p, other[i])
		}
	}
	for _, slot := range Slots() {
		for number, kind := range map[int]string{slot.Usr: AMD64.Usr, slot.Verity: AMD64.UsrVerity} {
			if got := AMD64.Partitions()[number-1].Type; got != kind {
				t.Errorf("slot %s: partition %d has type %s; want %s", slot.Name, number, got, kind)
			}
		}
	}
}
