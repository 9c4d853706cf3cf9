package awsapi

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// JSONEncoder writes the JSON document of an answer, driven by generated code.
// Members that are nil are left out.
type JSONEncoder struct{ buf []byte }

// Begin opens an object as the next value.
func (e *JSONEncoder) Begin() { e.buf = append(e.buf, '{') }

// End closes the object.
func (e *JSONEncoder) End() { e.buf = append(e.buf, '}') }

// BeginList opens a list as the next value.
func (e *JSONEncoder) BeginList() { e.buf = append(e.buf, '[') }

// EndList closes the list.
func (e *JSONEncoder) EndList() { e.buf = append(e.buf, ']') }

// Next separates an element or member from the one before it.
func (e *JSONEncoder) Next() {
	if c := e.buf[len(e.buf)-1]; c != '{' && c != '[' {
		e.buf = append(e.buf, ',')
	}
}

// Key starts a member with a key that needs no escaping.
func (e *JSONEncoder) Key(name string) {
	e.Next()
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '"', ':')
}

// MapKey starts a member with any key.
func (e *JSONEncoder) MapKey(name string) {
	e.Next()
	e.StringValue(name)
	e.buf = append(e.buf, ':')
}

// String writes a member.
func (e *JSONEncoder) String(name string, s *string) {
	if s != nil {
		e.Key(name)
		e.StringValue(*s)
	}
}

// Int writes a member.
func (e *JSONEncoder) Int(name string, n *int32) {
	if n != nil {
		e.Key(name)
		e.IntValue(*n)
	}
}

// IntOrZero writes a member that is there even when unset: AWS holds it in a primitive type.
func (e *JSONEncoder) IntOrZero(name string, n *int32) {
	e.Key(name)
	if n == nil {
		e.IntValue(0)
		return
	}
	e.IntValue(*n)
}

// Long writes a member.
func (e *JSONEncoder) Long(name string, n *int64) {
	if n != nil {
		e.Key(name)
		e.buf = strconv.AppendInt(e.buf, *n, 10)
	}
}

// Double writes a member.
func (e *JSONEncoder) Double(name string, f *float64) {
	if f != nil && !math.IsNaN(*f) && !math.IsInf(*f, 0) {
		e.Key(name)
		e.buf = strconv.AppendFloat(e.buf, *f, 'g', -1, 64)
	}
}

// Bool writes a member.
func (e *JSONEncoder) Bool(name string, b *bool) {
	if b != nil {
		e.Key(name)
		e.BoolValue(*b)
	}
}

// BoolOrFalse writes a member that is there even when unset: AWS holds it in a primitive type.
func (e *JSONEncoder) BoolOrFalse(name string, b *bool) {
	e.Key(name)
	e.BoolValue(b != nil && *b)
}

// Time writes a member as epoch seconds, to the millisecond.
func (e *JSONEncoder) Time(name string, t *time.Time) {
	if t != nil {
		e.Key(name)
		e.TimeValue(*t)
	}
}

// Blob writes a member as base64.
func (e *JSONEncoder) Blob(name string, b []byte) {
	if b != nil {
		e.Key(name)
		e.BlobValue(b)
	}
}

// Document writes a member that is a JSON value already.
func (e *JSONEncoder) Document(name string, doc json.RawMessage) {
	if doc != nil {
		e.Key(name)
		e.buf = append(e.buf, doc...)
	}
}

// IntValue writes an element.
func (e *JSONEncoder) IntValue(n int32) { e.buf = strconv.AppendInt(e.buf, int64(n), 10) }

// BoolValue writes an element.
func (e *JSONEncoder) BoolValue(b bool) { e.buf = strconv.AppendBool(e.buf, b) }

// BlobValue writes an element.
func (e *JSONEncoder) BlobValue(b []byte) {
	e.buf = append(e.buf, '"')
	e.buf = base64.StdEncoding.AppendEncode(e.buf, b)
	e.buf = append(e.buf, '"')
}

// TimeValue writes an element.
func (e *JSONEncoder) TimeValue(t time.Time) {
	e.buf = appendMillis(e.buf, t.UnixMilli())
}

// appendMillis writes milliseconds as seconds with the fraction that is needed.
func appendMillis(b []byte, ms int64) []byte {
	if ms < 0 {
		b = append(b, '-')
		ms = -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if f := ms % 1000; f != 0 {
		b = append(b, '.', byte('0'+f/100))
		if f %= 100; f != 0 {
			b = append(b, byte('0'+f/10))
			if f %= 10; f != 0 {
				b = append(b, byte('0'+f))
			}
		}
	}
	return b
}

const hexDigits = "0123456789abcdef"

// StringValue writes an element.
func (e *JSONEncoder) StringValue(s string) {
	b := append(e.buf, '"')
	whole := append(b, s...)
	if plain(whole[len(b):]) == len(s) {
		e.buf = append(whole, '"')
		return
	}
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[start:i]...)
				b = append(b, "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	e.buf = append(b, '"')
}

// SortedKeys returns the keys of m in order, so that answers do not vary.
func SortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
