package sntp

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var released = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func TestSize(t *testing.T) {
	if got := binary.Size(Packet{}); got != Size {
		t.Errorf("a packet has %d bytes; want %d", got, Size)
	}
}

// TestTime: time stamps of both eras (RFC 5905, figure 4).
func TestTime(t *testing.T) {
	for text, want := range map[string]Time{
		"2026-11-30T12:00:00Z":           4005028800 << 32,
		"2036-02-07T06:28:15Z":           0xffffffff << 32,
		"2036-02-07T06:28:16Z":           0,
		"2036-02-07T06:28:17.5Z":         1<<32 | 1<<31,
		"2100-01-01T00:00:00Z":           Time(uint64(4102444800+2208988800-1<<32) << 32),
		"2026-11-22T00:00:00.000000001Z": Stamp(released) | 4,
	} {
		when, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Stamp(when); got != want {
			t.Errorf("Stamp(%s) = %#x; want %#x", text, uint64(got), uint64(want))
		}
		if got := want.After(released); !got.Equal(when) {
			t.Errorf("time stamp %#x = %v; want %s", uint64(want), got, text)
		}
	}
	// What was before the pivot is of the era after it.
	if got := Stamp(time.Unix(0, 0)).After(released); got.Year() != 2106 {
		t.Errorf("1970 is read as %v", got)
	}
}

// packet is an answer; change spoils it.
func packet(nonce uint64, at time.Time, change func(*Packet)) []byte {
	p := Packet{
		LeapVersionMode: version<<3 | modeServer, Stratum: 2, RootDelay: 1 << 14, RootDispersion: 1 << 13,
		Origin: Time(nonce), Receive: Stamp(at), Transmit: Stamp(at.Add(time.Millisecond)),
	}
	if change != nil {
		change(&p)
	}
	out, _ := binary.Append(nil, binary.BigEndian, p)
	return out
}

func TestParse(t *testing.T) {
	at := released.Add(time.Hour)
	got, err := Parse(packet(7, at, func(p *Packet) { p.LeapVersionMode |= 1 << 6 }), 7, released)
	want := &Answer{Received: at, Sent: at.Add(time.Millisecond), Distance: 250 * time.Millisecond, Stratum: 2, Leap: 1}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool { d := a.Sub(b); return d < 2 && d > -2 })); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	at := released.Add(time.Hour)
	for want, change := range map[string]func(*Packet){
		"no question of ours":          func(p *Packet) { p.Origin = 8 },
		"answers no question":          func(p *Packet) { p.Origin = 0 },
		"packet answers no question":   func(p *Packet) { p.LeapVersionMode = version<<3 | modeClient },
		"is not synchronised":          func(p *Packet) { p.LeapVersionMode |= 3 << 6 },
		"not synchronised":             func(p *Packet) { p.Stratum = 16 },
		"time is missing":              func(p *Packet) { p.Transmit = 0 },
		"server's time is missing":     func(p *Packet) { p.Receive = 0 },
		"answered before it was asked": func(p *Packet) { p.Transmit = p.Receive - 1<<20 },
		"wrong by 2.125s":              func(p *Packet) { p.RootDispersion = 2 << 16 },
		"wrong by 9h":                  func(p *Packet) { p.RootDelay = 0xffffffff },
		"does not serve this machine":  func(p *Packet) { p.Stratum, p.ReferenceID = 0, [4]byte{'D', 'E', 'N', 'Y'} },
		"asked too often":              func(p *Packet) { p.Stratum, p.ReferenceID = 0, [4]byte{'R', 'A', 'T', 'E'} },
		`sends no time ("X")`:          func(p *Packet) { p.Stratum, p.ReferenceID = 0, [4]byte{'X', 0, 27, 0} },
	} {
		if got, err := Parse(packet(7, at, change), 7, released); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse = %v, %v; want an error with %q", got, err, want)
		}
	}
	if _, err := Parse(packet(7, at, nil)[:47], 7, released); err == nil {
		t.Error("a packet of 47 bytes is taken")
	}
	// A kiss that answers nothing is nobody's.
	if _, err := Parse(packet(8, at, func(p *Packet) { p.Stratum = 0 }), 7, released); !errors.Is(err, ErrForeign) {
		t.Errorf("a kiss for somebody else: %v", err)
	}
}

// answering is a server on loopback that does what it is told with each question.
func answering(t *testing.T, answer func(conn *net.UDPConn, to *net.UDPAddr, nonce uint64)) (address string) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		for b := make([]byte, 100); ; {
			n, from, err := conn.ReadFromUDP(b)
			if err != nil {
				return
			}
			if n == Size && b[0] == 0x23 {
				answer(conn, from, binary.BigEndian.Uint64(b[40:]))
			}
		}
	}()
	return conn.LocalAddr().String()
}

func ask(address string) (*Sample, error) {
	return Ask(context.Background(), new(net.Dialer).DialContext, address, 0x0123456789abcdef, released, time.Now)
}

// TestAsk: the right answer counts, whatever came before it.
func TestAsk(t *testing.T) {
	ahead := 10 * time.Second
	address := answering(t, func(conn *net.UDPConn, to *net.UDPAddr, nonce uint64) {
		conn.WriteToUDP([]byte("garbage"), to)
		conn.WriteToUDP(packet(nonce+1, time.Now(), nil), to)                               // guessed
		conn.WriteToUDP(packet(nonce+1, time.Now(), func(p *Packet) { p.Stratum = 0 }), to) // a forged kiss
		if stranger, err := net.DialUDP("udp", nil, to); err == nil {                       // from another port
			stranger.Write(packet(nonce, time.Now().Add(time.Hour), nil))
			stranger.Close()
		}
		conn.WriteToUDP(packet(nonce, time.Now().Add(ahead), nil), to)
	})
	got, err := ask(address)
	if err != nil {
		t.Fatal(err)
	}
	if off := got.Offset - ahead; off > got.Wrong || off < -got.Wrong || got.Delay < 0 || got.Stratum != 2 {
		t.Errorf("Ask = %+v; want an offset of %v", got, ahead)
	}
}

func TestAskFails(t *testing.T) {
	silent := answering(t, func(*net.UDPConn, *net.UDPAddr, uint64) {})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := Ask(ctx, new(net.Dialer).DialContext, silent, 1, released, time.Now); err == nil {
		t.Error("silence is an answer")
	}
	kissing := answering(t, func(conn *net.UDPConn, to *net.UDPAddr, nonce uint64) {
		conn.WriteToUDP(packet(nonce, time.Now(), func(p *Packet) { p.Stratum, p.ReferenceID = 0, [4]byte{'R', 'S', 'T', 'R'} }), to)
	})
	var kiss *Kiss
	if _, err := ask(kissing); !errors.As(err, &kiss) || !kiss.Gone() {
		t.Errorf("a kiss: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(packet(7, released.Add(time.Hour), nil), uint64(7))
	f.Fuzz(func(t *testing.T, data []byte, nonce uint64) {
		a, err := Parse(data, nonce, released)
		if err != nil {
			return
		}
		if a.Received.Before(released) || a.Sent.Before(a.Received) || a.Distance < 0 || a.Distance > maxDistance || a.Stratum < 1 {
			t.Errorf("Parse(%x) = %+v", data, a)
		}
	})
}
