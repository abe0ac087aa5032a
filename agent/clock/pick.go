package clock

import (
	"cmp"
	"slices"
	"time"

	"github.com/ketch-os/ketch/agent/clock/sntp"
)

// reading is a sample and the server that it is of.
type reading struct {
	server string
	*sntp.Sample
}

// edge is one end of what a reading says the offset may be.
type edge struct {
	at    time.Duration
	enter int // 1 at the lower end, -1 at the upper
}

// least is the least that a reading counts as wrong: clocks and networks of one
// machine room are no better than that.
const least = time.Millisecond

// pick returns the readings that agree: each says that the offset lies in an interval,
// and the interval that most of them share decides (Marzullo's algorithm; RFC 5905,
// 11.2.1, with falsetickers found the same way). More than half must share it: nil
// when they do not, and then none is believed.
func pick(all []reading) (agree []reading) {
	var edges []edge
	for _, r := range all {
		wrong := max(r.Wrong, least)
		edges = append(edges, edge{r.Offset - wrong, 1}, edge{r.Offset + wrong, -1})
	}
	slices.SortStableFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.at, b.at), b.enter-a.enter) // what only touches, shares
	})
	depth, best, from, to := 0, 0, time.Duration(0), time.Duration(0)
	for i, e := range edges {
		depth += e.enter
		if e.enter > 0 && depth > best {
			best, from, to = depth, e.at, edges[i+1].at
		}
	}
	if 2*best <= len(all) {
		return nil
	}
	for _, r := range all {
		if wrong := max(r.Wrong, least); r.Offset-wrong <= to && r.Offset+wrong >= from {
			agree = append(agree, r)
		}
	}
	return agree
}

// combine is the offset that readings which agree stand for: each counts the more the
// less it may be wrong. wrong is how wrong the best of them may be.
func combine(agree []reading) (offset, wrong time.Duration) {
	weights, sum := 0.0, 0.0
	for i, r := range agree {
		w := max(r.Wrong, least)
		if i == 0 || w < wrong {
			wrong = w
		}
		weight := 1 / w.Seconds()
		weights += weight
		sum += weight * r.Offset.Seconds()
	}
	return time.Duration(sum / weights * float64(time.Second)), wrong
}
