package token

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Claims are the members of a JSON object. Names are compared byte by byte, and no object in it, at any depth, has a name
// twice. The zero value has no claims.
type Claims struct {
	raw     []byte
	members []member
	keyID   string
}

// KeyID is the id of the key that a VerifiedCache verified the claims with. A cached token outlives the withdrawal of its key
// for whoever does not compare.
func (c Claims) KeyID() string { return c.keyID }

type member struct {
	name  string
	value json.RawMessage
}

// maxDepth bounds the nesting of claims.
const maxDepth = 32

// parseObject reads a JSON object. The error is ErrMalformed.
func parseObject(data []byte) (Claims, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return Claims{}, ErrMalformed
	}
	s := scanner{data: data}
	s.space()
	if s.data[s.at] != '{' {
		return Claims{}, ErrMalformed
	}
	members := s.object(0)
	if s.bad {
		return Claims{}, ErrMalformed
	}
	return Claims{raw: data, members: members}, nil
}

// scanner walks over JSON whose syntax is known to be right, and looks for names that are given twice.
type scanner struct {
	data []byte
	at   int
	bad  bool
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) object(depth int) []member {
	if depth > maxDepth {
		s.bad = true
		return nil
	}
	members := make([]member, 0, 8)
	s.at++ // {
	for !s.bad {
		s.space()
		switch s.data[s.at] {
		case '}':
			s.at++
			s.bad = s.bad || repeated(members)
			return members
		case ',':
			s.at++
			continue
		}
		name := unquote(s.stringToken())
		s.space()
		s.at++ // :
		s.space()
		start := s.at
		s.value(depth)
		members = append(members, member{name, s.data[start:s.at:s.at]})
	}
	return nil
}

// repeated finds a name that occurs twice; few names are compared one by one.
func repeated(members []member) bool {
	if len(members) <= 32 {
		for i := range members {
			for j := range i {
				if members[i].name == members[j].name {
					return true
				}
			}
		}
		return false
	}
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		if seen[m.name] {
			return true
		}
		seen[m.name] = true
	}
	return false
}

func (s *scanner) value(depth int) {
	switch s.data[s.at] {
	case '{':
		s.object(depth + 1)
	case '[':
		if depth >= maxDepth {
			s.bad = true
			return
		}
		s.at++
		for !s.bad {
			s.space()
			switch s.data[s.at] {
			case ']':
				s.at++
				return
			case ',':
				s.at++
			default:
				s.value(depth + 1)
			}
		}
	case '"':
		s.stringToken()
	default: // a number or a word
		for s.at < len(s.data) && bytes.IndexByte([]byte(" \t\r\n,]}"), s.data[s.at]) < 0 {
			s.at++
		}
	}
}

func (s *scanner) stringToken() []byte {
	start := s.at
	for s.at++; s.data[s.at] != '"'; s.at++ {
		if s.data[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
	return s.data[start:s.at]
}

func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return "" // the syntax is known to be right
	}
	return s
}

// Raw is the object as it was signed.
func (c Claims) Raw() json.RawMessage {
	return c.raw
}

// Get returns the value of a claim as it was signed.
func (c Claims) Get(name string) (json.RawMessage, bool) {
	for i := range c.members {
		if c.members[i].name == name {
			return c.members[i].value, true
		}
	}
	return nil, false
}

// Names are the names of all claims, in the order of the token.
func (c Claims) Names() []string {
	names := make([]string, len(c.members))
	for i, m := range c.members {
		names[i] = m.name
	}
	return names
}

// String returns a claim that is a string.
func (c Claims) String(name string) (string, bool) {
	v, _ := c.Get(name)
	if len(v) == 0 || v[0] != '"' {
		return "", false
	}
	return unquote(v), true
}

// Int returns a claim that is an integer, written without fraction and exponent as AWS demands of times.
func (c Claims) Int(name string) (int64, bool) {
	v, _ := c.Get(name)
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil
}

// Strings returns a claim that is a string or an array of strings, such as aud.
func (c Claims) Strings(name string) ([]string, bool) {
	if s, ok := c.String(name); ok {
		return []string{s}, true
	}
	v, _ := c.Get(name)
	if len(v) == 0 || v[0] != '[' {
		return nil, false
	}
	var values []*string
	if json.Unmarshal(v, &values) != nil {
		return nil, false
	}
	list := make([]string, len(values))
	for i, s := range values {
		if s == nil {
			return nil, false
		}
		list[i] = *s
	}
	return list, true
}
