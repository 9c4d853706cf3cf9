package awsapi

import "encoding/binary"

// plain returns the length of the prefix of b that stands in a JSON string for
// itself: printable ASCII without quote and backslash. It looks at eight bytes
// at a time, since tokens are most of what is sent and answered.
func plain(b []byte) int {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		// The high bit of a byte is set in w if it is no ASCII, in the
		// differences if it is below ' ', a quote, a backslash.
		if (w|(w-' '*ones)|((w^'"'*ones)-ones)|((w^'\\'*ones)-ones))&high != 0 {
			break
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] < 0x80 && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// No model comes near these: how deep a request is nested, and of how many
// values it is. Three bytes of an empty structure take hundreds when decoded.
const (
	maxJSONDepth  = 256
	maxJSONValues = 20000
)

// validJSON reports whether b is one JSON value (RFC 8259) within the limits. Whether strings are UTF-8 is not looked at.
func validJSON(b []byte) bool {
	s := jsonScan{b: b}
	return s.value(0) && s.next() == 0 && s.pos == len(b)
}

type jsonScan struct {
	b      []byte
	pos    int
	values int
}

// next skips white space and returns the byte that follows, 0 at the end.
func (s *jsonScan) next() byte {
	for s.pos < len(s.b) {
		switch c := s.b[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// eat passes over c if it follows.
func (s *jsonScan) eat(c byte) bool {
	if s.pos < len(s.b) && s.b[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *jsonScan) value(depth int) bool {
	if s.values++; depth > maxJSONDepth || s.values > maxJSONValues {
		return false
	}
	switch c := s.next(); c {
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"':
		return s.string()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

func (s *jsonScan) object(depth int) bool {
	s.pos++
	if s.next(); s.eat('}') {
		return true
	}
	for {
		if s.next() != '"' || !s.string() {
			return false
		}
		if s.next(); !s.eat(':') || !s.value(depth+1) {
			return false
		}
		if s.next(); s.eat('}') {
			return true
		}
		if !s.eat(',') {
			return false
		}
	}
}

func (s *jsonScan) array(depth int) bool {
	s.pos++
	if s.next(); s.eat(']') {
		return true
	}
	for {
		if !s.value(depth + 1) {
			return false
		}
		if s.next(); s.eat(']') {
			return true
		}
		if !s.eat(',') {
			return false
		}
	}
}

func (s *jsonScan) string() bool {
	s.pos++
	for {
		s.pos += plain(s.b[s.pos:])
		if s.pos == len(s.b) {
			return false
		}
		switch c := s.b[s.pos]; {
		case c == '"':
			s.pos++
			return true
		case c == '\\':
			if !s.escape() {
				return false
			}
		case c < ' ':
			return false
		default:
			s.pos++
		}
	}
}

func (s *jsonScan) escape() bool {
	s.pos++
	if s.pos == len(s.b) {
		return false
	}
	c := s.b[s.pos]
	s.pos++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if s.pos == len(s.b) {
				return false
			}
			if h := s.b[s.pos]; (h < '0' || h > '9') && (h < 'a' || h > 'f') && (h < 'A' || h > 'F') {
				return false
			}
			s.pos++
		}
		return true
	}
	return false
}

func (s *jsonScan) literal(word string) bool {
	if len(s.b)-s.pos < len(word) || string(s.b[s.pos:s.pos+len(word)]) != word {
		return false
	}
	s.pos += len(word)
	return true
}

func (s *jsonScan) digits() bool {
	start := s.pos
	for s.pos < len(s.b) && s.b[s.pos] >= '0' && s.b[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

func (s *jsonScan) number() bool {
	s.eat('-')
	if !s.eat('0') && !s.digits() {
		return false
	}
	if s.eat('.') && !s.digits() {
		return false
	}
	if s.eat('e') || s.eat('E') {
		if !s.eat('+') {
			s.eat('-')
		}
		return s.digits()
	}
	return true
}
