package awsapi

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// JSONDecoder reads one JSON document of a request, driven by generated code.
// The document is checked for well-formedness when the decoder is made, so
// what remains are type errors; the first one sticks, ends every loop and is
// worded as AWS words it.
type JSONDecoder struct {
	buf  []byte
	pos  int
	name []byte
	err  error
}

// errSerialization is AWS's answer to a body that cannot be read: no message
// when it is not JSON, or one that names the mismatch when it is of another type.
var errSerialization = &Error{Code: "SerializationException", Status: 400}

// NewJSONDecoder returns a decoder of body, which must be one JSON object in
// UTF-8; anything else is a SerializationException.
func NewJSONDecoder(body []byte) (*JSONDecoder, error) {
	if !validJSON(body) || !utf8.Valid(body) {
		return nil, errSerialization
	}
	d := &JSONDecoder{buf: body}
	switch d.peek() {
	case '{':
		return d, nil
	case '[':
		return nil, errSerialization.Msg("Start of list found where not expected")
	}
	return nil, errSerialization
}

// Err returns the first type error met.
func (d *JSONDecoder) Err() error { return d.err }

// peek skips white space and returns the byte that follows, 0 at the end.
func (d *JSONDecoder) peek() byte {
	for d.pos < len(d.buf) {
		switch c := d.buf[d.pos]; c {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

func (d *JSONDecoder) fail(text string) {
	if d.err == nil {
		d.err = errSerialization.Msg("%s", text)
	}
}

// Null consumes a null and reports whether there was one.
func (d *JSONDecoder) Null() bool {
	if d.peek() == 'n' {
		d.pos += len("null")
		return true
	}
	return false
}

const (
	listUnexpected   = "Start of list found where not expected"
	objectUnexpected = "Start of structure or map found where not expected."
)

// Object opens a structure or map; it is false for null and after an error.
func (d *JSONDecoder) Object() bool {
	if d.err != nil {
		return false
	}
	switch d.peek() {
	case '{':
		d.pos++
		return true
	case 'n':
		d.pos += len("null")
	case '[':
		d.fail(listUnexpected)
	default:
		d.fail("Expected null")
	}
	return false
}

// Member moves to the next member of the open object, whose key is then Name.
func (d *JSONDecoder) Member() bool {
	if d.err != nil {
		return false
	}
	c := d.peek()
	if c == ',' {
		d.pos++
		c = d.peek()
	}
	if c != '"' {
		d.pos++ // the closing brace
		return false
	}
	d.name = d.str()
	d.peek()
	d.pos++ // the colon
	return true
}

// Name returns the key of the current member; it is valid until the next call of Member.
func (d *JSONDecoder) Name() []byte { return d.name }

// Array opens a list; it is false for null and after an error.
func (d *JSONDecoder) Array() bool {
	if d.err != nil {
		return false
	}
	switch d.peek() {
	case '[':
		d.pos++
		return true
	case 'n':
		d.pos += len("null")
	case '{':
		d.fail(objectUnexpected)
	default:
		d.fail("Expected list or null")
	}
	return false
}

// Element moves to the next element of the open list, skipping nulls.
func (d *JSONDecoder) Element() bool {
	for d.err == nil {
		switch d.peek() {
		case ',':
			d.pos++
		case ']':
			d.pos++
			return false
		case 'n':
			d.pos += len("null")
		default:
			return true
		}
	}
	return false
}

// str reads the string that starts at pos. The result may point into the document.
func (d *JSONDecoder) str() []byte {
	start := d.pos
	d.pos++
	escaped := false
	for {
		d.pos += plain(d.buf[d.pos:])
		switch d.buf[d.pos] {
		case '"':
			d.pos++
			if !escaped {
				return d.buf[start+1 : d.pos-1]
			}
			var s string
			if err := json.Unmarshal(d.buf[start:d.pos], &s); err != nil {
				d.fail("")
			}
			return []byte(s)
		case '\\':
			escaped = true
			d.pos += 2
		default:
			d.pos++
		}
	}
}

// scalar reads the literal or number at pos.
func (d *JSONDecoder) scalar() []byte {
	start := d.pos
	for d.pos < len(d.buf) {
		switch d.buf[d.pos] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return d.buf[start:d.pos]
		}
		d.pos++
	}
	return d.buf[start:d.pos]
}

// mismatch words the error for a value of the wrong type.
func (d *JSONDecoder) mismatch(c byte, want string) {
	switch c {
	case '[':
		d.fail(listUnexpected)
	case '{':
		d.fail(objectUnexpected)
	case '"':
		d.fail("STRING_VALUE can not be converted to " + want)
	case 't':
		d.fail("TRUE_VALUE can not be converted to " + want)
	case 'f':
		d.fail("FALSE_VALUE can not be converted to " + want)
	default:
		d.fail("NUMBER_VALUE can not be converted to " + want)
	}
}

// String reads a string; nil for null.
func (d *JSONDecoder) String() *string {
	if d.err != nil || d.Null() {
		return nil
	}
	s := d.StringValue()
	return &s
}

// StringValue reads a string that is not null.
func (d *JSONDecoder) StringValue() string {
	if d.err != nil {
		return ""
	}
	if c := d.peek(); c != '"' {
		d.mismatch(c, "a String")
		return ""
	}
	return string(d.str())
}

func (d *JSONDecoder) number(want string) (float64, []byte, bool) {
	if d.err != nil || d.Null() {
		return 0, nil, false
	}
	c := d.peek()
	if c != '-' && (c < '0' || c > '9') {
		d.mismatch(c, want)
		return 0, nil, false
	}
	lit := d.scalar()
	f, _ := strconv.ParseFloat(string(lit), 64) // out of range gives an infinity, which the callers clamp
	return f, lit, true
}

// Int reads a 32-bit integer. A fraction is cut off, and a number out of range
// becomes the nearest one in range, to fail a range constraint rather than here.
func (d *JSONDecoder) Int() *int32 {
	f, _, ok := d.number("an Integer")
	if !ok {
		return nil
	}
	n := int32(max(math.MinInt32, min(math.MaxInt32, f)))
	return &n
}

// IntValue is Int for a number that is not null.
func (d *JSONDecoder) IntValue() int32 {
	if n := d.Int(); n != nil {
		return *n
	}
	return 0
}

// Long reads a 64-bit integer, with the rules of Int.
func (d *JSONDecoder) Long() *int64 {
	f, lit, ok := d.number("a Long")
	if !ok {
		return nil
	}
	n, err := strconv.ParseInt(string(lit), 10, 64)
	if err != nil {
		switch {
		case f >= math.MaxInt64:
			n = math.MaxInt64
		case f <= math.MinInt64:
			n = math.MinInt64
		default:
			n = int64(f)
		}
	}
	return &n
}

// Double reads a floating-point number.
func (d *JSONDecoder) Double() *float64 {
	f, _, ok := d.number("a Double")
	if !ok {
		return nil
	}
	return &f
}

// Bool reads a boolean; nil for null.
func (d *JSONDecoder) Bool() *bool {
	if d.err != nil || d.Null() {
		return nil
	}
	c := d.peek()
	if c != 't' && c != 'f' {
		d.mismatch(c, "a Boolean")
		return nil
	}
	d.scalar()
	b := c == 't'
	return &b
}

// Time reads epoch seconds, to the millisecond.
func (d *JSONDecoder) Time() *time.Time {
	f, _, ok := d.number("a Timestamp")
	if !ok {
		return nil
	}
	if math.Abs(f) > 1e11 { // beyond the year 5138: no date that anybody means
		d.fail("")
		return nil
	}
	t := time.UnixMilli(int64(math.Round(f * 1000))).UTC()
	return &t
}

// Blob reads base64.
func (d *JSONDecoder) Blob() []byte {
	if d.err != nil || d.Null() {
		return nil
	}
	if c := d.peek(); c != '"' {
		d.mismatch(c, "a Blob")
		return nil
	}
	b, err := base64.StdEncoding.AppendDecode([]byte{}, d.str())
	if err != nil {
		d.fail("")
		return nil
	}
	return b
}

// Document reads any JSON value as it stands; nil for null.
func (d *JSONDecoder) Document() json.RawMessage {
	if d.err != nil || d.Null() {
		return nil
	}
	d.peek()
	start := d.pos
	d.Skip()
	return append(json.RawMessage(nil), d.buf[start:d.pos]...)
}

// Skip passes over a value.
func (d *JSONDecoder) Skip() {
	depth := 0
	for d.err == nil {
		switch c := d.peek(); c {
		case '"':
			d.pos++
			for d.buf[d.pos] != '"' {
				if d.buf[d.pos] == '\\' {
					d.pos++
				}
				d.pos++
			}
			d.pos++
		case '{', '[':
			depth++
			d.pos++
		case '}', ']':
			depth--
			d.pos++
		case ',', ':':
			d.pos++
			continue
		default:
			d.scalar()
		}
		if depth == 0 {
			return
		}
	}
}
