package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// script plays a server: each call takes the next of its answers, the last one
// repeats. What happens is written down with the time.
type script struct {
	begin   time.Time
	answers []error
	lease   Lease
	events  []string
}

func (s *script) note(format string, args ...any) {
	at := time.Since(s.begin).Round(time.Second)
	s.events = append(s.events, fmt.Sprintf("%v ", at)+fmt.Sprintf(format, args...))
}

func (s *script) answer() (lease, error) {
	err := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	if err != nil {
		return lease{}, err
	}
	granted := s.lease
	return lease{Lease: &granted}, nil
}

func (s *script) Request(context.Context) (lease, error) {
	s.note("request")
	return s.answer()
}

func (s *script) Renew(_ context.Context, _ lease, any bool) (lease, error) {
	if any {
		s.note("rebind")
	} else {
		s.note("renew")
	}
	return s.answer()
}

func (s *script) Set(*Lease) error { return nil }

func (s *script) Clear() error {
	s.note("clear")
	return nil
}

func TestClient(t *testing.T) {
	silence := errors.New("no answer")
	nak := &nclient4.ErrNak{Nak: &dhcpv4.DHCPv4{}}
	for _, test := range []struct {
		name    string
		answers []error
		limit   time.Duration
		want    []string
	}{
		{"renews at half", []error{nil}, 3700 * time.Second, []string{"0s request", "30m0s renew", "1h0m0s renew"}},
		{"asks more often, then anyone, then starts over", append(append([]error{nil}, slices.Repeat([]error{silence}, 10)...), nil), 3610 * time.Second, []string{
			"0s request", "30m0s renew", "41m15s renew", "46m53s renew", "49m41s renew", "51m6s renew", "52m6s renew", // to 52m30s
			"52m30s rebind", "56m15s rebind", "58m8s rebind", "59m8s rebind", "1h0m0s clear", "1h0m0s request"}},
		{"refused", []error{nil, nak, nil}, 1900 * time.Second, []string{"0s request", "30m0s renew", "30m0s clear", "30m0s request"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{begin: time.Now(), answers: test.answers, lease: Lease{
					Address: netip.MustParsePrefix("192.0.2.10/24"), Renew: 30 * time.Minute, Rebind: 3150 * time.Second, Expire: time.Hour}}
				ctx, cancel := context.WithTimeout(t.Context(), test.limit)
				defer cancel()
				(&client{dhcp: s, link: s, changed: func(*Lease, error) {}}).run(ctx)
				if diff := cmp.Diff(test.want, s.events); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestClientRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{begin: time.Now(), answers: []error{errors.New("no answer")}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		failures := 0
		(&client{dhcp: s, link: s, changed: func(*Lease, error) { failures++ }}).run(ctx)
		// 0.5 s, 1 s, 2 s, … 32 s, then every 45 to 75 s
		if failures < 50 || failures > 90 {
			t.Errorf("%d requests in an hour without an answer; want 50 to 90", failures)
		}
	})
}
