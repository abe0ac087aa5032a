package tree

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/hint"
)

func TestWhiteouts(t *testing.T) {
	tree, err := build(t, Policy{}, lists(
		"image one; f a=1; d d; f d/b=1; d d/empty; f e=1; f own=1",
		"image two; f d/c=2; f own=2; w e; f e=2",
		"w a; o d; w own",
		"image three; f d/b=3")...)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range tree.Whiteouts() {
		got = append(got, w.Path+" of "+w.Of.Image+" by "+w.By.String())
	}
	// e and d/b have been replaced since: the file that stayed is not there any more.
	by := "layer 2 of two (sha256:2222)"
	want := []string{"a of one by " + by, "own of one by " + by, "d/empty of one by " + by}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Whiteouts(), -want +got:\n%s", diff)
	}
	checkCount(t, tree)
}

func TestWhiteoutHint(t *testing.T) {
	_, err := build(t, Policy{Overwrites: OverwritesError}, lists("image one; f a=1", "image two; w a")...)
	if hint.Of(err) == "" {
		t.Errorf("a whiteout of another image's file: %v, without a hint", err)
	}
}
