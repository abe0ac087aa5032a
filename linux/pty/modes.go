package pty

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Modes are the modes of a terminal by their number in SSH (RFC 4254, 8).
type Modes map[byte]uint32

const (
	modeEnd  = 0   // TTY_OP_END
	modeNone = 160 // from here on arguments have no known size
)

// ParseModes reads encoded modes. Numbers that this system does not know are kept
// and mean nothing.
func ParseModes(encoded []byte) (Modes, error) {
	modes := Modes{}
	for len(encoded) > 0 {
		number := encoded[0]
		if number == modeEnd || number >= modeNone {
			return modes, nil
		}
		if len(encoded) < 5 {
			return nil, errors.New("the modes of the terminal break off")
		}
		modes[number] = binary.BigEndian.Uint32(encoded[1:])
		encoded = encoded[5:]
	}
	return modes, nil
}

// characters are the modes that are special characters, by their place in c_cc.
// There is no VDSUSP, VFLUSH, VSTATUS and VSWTCH in Linux.
func characters() map[byte]int {
	return map[byte]int{
		1: unix.VINTR, 2: unix.VQUIT, 3: unix.VERASE, 4: unix.VKILL, 5: unix.VEOF, 6: unix.VEOL, 7: unix.VEOL2,
		8: unix.VSTART, 9: unix.VSTOP, 10: unix.VSUSP, 12: unix.VREPRINT, 13: unix.VWERASE, 14: unix.VLNEXT, 18: unix.VDISCARD,
	}
}

// flags are the modes that are switched on and off, by the word of termios that they
// lie in: c_iflag, c_lflag, c_oflag, c_cflag.
func flags() [4]map[byte]uint32 {
	return [4]map[byte]uint32{
		{30: unix.IGNPAR, 31: unix.PARMRK, 32: unix.INPCK, 33: unix.ISTRIP, 34: unix.INLCR, 35: unix.IGNCR, 36: unix.ICRNL,
			37: unix.IUCLC, 38: unix.IXON, 39: unix.IXANY, 40: unix.IXOFF, 41: unix.IMAXBEL, 42: unix.IUTF8},
		{50: unix.ISIG, 51: unix.ICANON, 52: unix.XCASE, 53: unix.ECHO, 54: unix.ECHOE, 55: unix.ECHOK, 56: unix.ECHONL,
			57: unix.NOFLSH, 58: unix.TOSTOP, 59: unix.IEXTEN, 60: unix.ECHOCTL, 61: unix.ECHOKE, 62: unix.PENDIN},
		{70: unix.OPOST, 71: unix.OLCUC, 72: unix.ONLCR, 73: unix.OCRNL, 74: unix.ONOCR, 75: unix.ONLRET},
		{92: unix.PARENB, 93: unix.PARODD},
	}
}

// noCharacter is how a client says that it has none (RFC 4254, 8); Linux says 0.
const noCharacter = 255

// apply changes a termios. Speeds and the size of characters mean nothing here.
func (m Modes) apply(t *unix.Termios) {
	for number, place := range characters() {
		switch value, ok := m[number]; {
		case ok && value == noCharacter:
			t.Cc[place] = 0
		case ok:
			t.Cc[place] = byte(value)
		}
	}
	words := [4]*uint32{&t.Iflag, &t.Lflag, &t.Oflag, &t.Cflag}
	for i, known := range flags() {
		for number, bits := range known {
			switch value, ok := m[number]; {
			case ok && value != 0:
				*words[i] |= bits
			case ok:
				*words[i] &^= bits
			}
		}
	}
}
