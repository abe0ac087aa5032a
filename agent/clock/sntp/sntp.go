// Package sntp asks a server what time it is: the client of SNTP (RFC 5905, 14), with
// the packet of its section 7.3, without extension fields and authentication.
//
// An answer must carry the time stamp that the question carried, which is a random
// number: so it comes from the server that was asked, or from somebody who sees the
// question. It must not come from another address (the socket is connected), and it
// must not come late.
package sntp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

// Size is that of a packet in bytes.
const Size = 48

// Packet is the header (RFC 5905, 7.3, figure 8).
type Packet struct {
	LeapVersionMode byte    // 0: two bits of leap indicator, three of version, three of mode
	Stratum         uint8   // 1
	Poll            int8    // 2: log2 of seconds
	Precision       int8    // 3: log2 of seconds
	RootDelay       uint32  // 4: in 1/65536 s
	RootDispersion  uint32  // 8: in 1/65536 s
	ReferenceID     [4]byte // 12: of stratum 0 the kiss code
	Reference       Time    // 16
	Origin          Time    // 24: the client's Transmit
	Receive         Time    // 32
	Transmit        Time    // 40
}

// Time is a time stamp: seconds of its era and their fraction in 1/2^32 (RFC 5905, 6).
type Time uint64

// epoch is when era 0 began: 1900, in Unix time.
const epoch = -2208988800

// After returns the time that a time stamp stands for, of the 136 years that begin
// with pivot: the era is nowhere in the packet, and the second one begins in 2036.
func (t Time) After(pivot time.Time) time.Time {
	seconds := int64(t>>32) + epoch
	const era = 1 << 32
	if behind := pivot.Unix() - seconds; behind > 0 {
		seconds += (behind + era - 1) / era * era
	}
	nanoseconds := (uint64(t&0xffffffff)*1e9 + 1<<31) >> 32
	return time.Unix(seconds, int64(nanoseconds)).UTC()
}

// Stamp is the time stamp of a time.
func Stamp(t time.Time) Time {
	seconds := uint64(t.Unix()-epoch) & 0xffffffff
	fraction := (uint64(t.Nanosecond())<<32 + 1e9/2) / 1e9
	return Time(seconds<<32 + fraction)
}

const (
	version    = 4
	modeClient = 3
	modeServer = 4

	leapUnknown = 3

	// maxStratum is that of a server which is synchronised (RFC 5905, 7.3).
	maxStratum = 15
	// maxDistance is how wrong a server's own time may be (MAXDIST allows 1.5 s, with
	// what is added until it is used).
	maxDistance = time.Second
)

// Question is a packet that asks, with a random number in place of the time: nobody
// needs to know what this machine thinks the time is.
func Question(nonce uint64) []byte {
	out, _ := binary.Append(nil, binary.BigEndian, Packet{LeapVersionMode: version<<3 | modeClient, Transmit: Time(nonce)}) // fixed size
	return out
}

// Kiss is the answer of a server that does not want to be asked (RFC 5905, 7.4).
type Kiss struct{ Code string }

func (k *Kiss) Error() string {
	switch k.Code {
	case "DENY", "RSTR":
		return "the server does not serve this machine (" + k.Code + ")"
	case "RATE":
		return "the server is asked too often (RATE)"
	}
	return fmt.Sprintf("the server sends no time (%q)", k.Code)
}

// Gone tells whether the server is not to be asked again.
func (k *Kiss) Gone() bool { return k.Code == "DENY" || k.Code == "RSTR" }

// Answer is what a server says.
type Answer struct {
	Received, Sent time.Time     // by the server's clock
	Distance       time.Duration // how wrong that may be: half the root delay, and the root dispersion
	Stratum        int
	Leap           int // 1: the day's last minute has 61 seconds, 2: 59
}

// ErrForeign is the error of a packet that answers another question.
var ErrForeign = errors.New("the packet answers no question of ours")

// Parse reads an answer to the question with a nonce. pivot is a time that is past.
func Parse(data []byte, nonce uint64, pivot time.Time) (*Answer, error) {
	if len(data) < Size {
		return nil, fmt.Errorf("packet has %d bytes; want %d", len(data), Size)
	}
	var p Packet
	if err := binary.Read(bytes.NewReader(data[:Size]), binary.BigEndian, &p); err != nil {
		return nil, err
	}
	leap, mode := int(p.LeapVersionMode>>6), p.LeapVersionMode&7
	distance := fixed(p.RootDelay)/2 + fixed(p.RootDispersion)
	switch {
	case mode != modeServer || p.Origin != Time(nonce):
		return nil, ErrForeign
	case p.Stratum == 0:
		return nil, &Kiss{code(p.ReferenceID)}
	case leap == leapUnknown || p.Stratum > maxStratum:
		return nil, errors.New("the server is not synchronised")
	case p.Transmit == 0 || p.Receive == 0:
		return nil, errors.New("the server's time is missing")
	case distance > maxDistance:
		return nil, fmt.Errorf("the server's time may be wrong by %v", distance.Round(time.Millisecond))
	}
	a := &Answer{p.Receive.After(pivot), p.Transmit.After(pivot), distance, int(p.Stratum), leap}
	if a.Sent.Before(a.Received) {
		return nil, errors.New("the server has answered before it was asked")
	}
	return a, nil
}

// fixed is a number of NTP's short format.
func fixed(n uint32) time.Duration { return time.Duration(uint64(n) * 1e9 >> 16) }

// code is a kiss code: four characters, or fewer and zeros.
func code(id [4]byte) string {
	text := make([]byte, 0, len(id))
	for _, b := range id {
		if b > ' ' && b < 0x7f {
			text = append(text, b)
		}
	}
	return string(text)
}

// Sample is what one question has told.
type Sample struct {
	Offset  time.Duration // of this machine's clock: to be added to it
	Delay   time.Duration // there and back
	Wrong   time.Duration // how wrong Offset may be: half of Delay, and the server's Distance
	Stratum int
	Leap    int
}

// limit is how long an answer may take. What takes longer says little of the time.
const limit = 2 * time.Second

// Ask asks the server at an address. nonce is random, pivot a time that is past, and
// now this machine's clock; how long the answer took is measured by the monotonic one.
func Ask(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), address string,
	nonce uint64, pivot time.Time, now func() time.Time) (*Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := dial(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	asked := now()
	if _, err := conn.Write(Question(nonce)); err != nil {
		return nil, err
	}
	buffer := make([]byte, 1024)
	for {
		n, err := conn.Read(buffer)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("no answer within %v", limit)
		}
		if err != nil {
			return nil, err
		}
		came := now()
		answer, err := Parse(buffer[:n], nonce, pivot)
		if errors.Is(err, ErrForeign) || n < Size {
			continue // somebody else's; the right one may come
		}
		if err != nil {
			return nil, err
		}
		return sample(asked, came, answer), nil
	}
}

// sample is RFC 5905, 8: offset ((T2-T1)+(T3-T4))/2, delay (T4-T1)-(T3-T2).
func sample(asked, came time.Time, a *Answer) *Sample {
	took := came.Sub(asked) // monotonic
	delay := max(took-a.Sent.Sub(a.Received), 0)
	middle := asked.Round(0).Add(took / 2)
	server := a.Received.Add(a.Sent.Sub(a.Received) / 2)
	return &Sample{Offset: server.Sub(middle), Delay: delay, Wrong: delay/2 + a.Distance, Stratum: a.Stratum, Leap: a.Leap}
}
