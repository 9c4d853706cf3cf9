package awsapi

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"
)

// XMLEncoder writes the XML document of an AWS Query answer, driven by
// generated code. Members that are nil are left out.
type XMLEncoder struct{ buf []byte }

// Open writes a start tag.
func (e *XMLEncoder) Open(name string) {
	e.buf = append(e.buf, '<')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '>')
}

// Close writes an end tag.
func (e *XMLEncoder) Close(name string) {
	e.buf = append(e.buf, '<', '/')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '>')
}

// String writes a member.
func (e *XMLEncoder) String(name string, s *string) {
	if s != nil {
		e.StringValue(name, *s)
	}
}

// URLEncoded writes a member percent-encoded (RFC 3986), as IAM writes policy documents.
func (e *XMLEncoder) URLEncoded(name string, s *string) {
	if s == nil {
		return
	}
	e.Open(name)
	for i := 0; i < len(*s); i++ {
		c := (*s)[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			e.buf = append(e.buf, c)
		} else {
			e.buf = append(e.buf, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		}
	}
	e.Close(name)
}

// Int writes a member.
func (e *XMLEncoder) Int(name string, n *int32) {
	if n != nil {
		e.IntValue(name, *n)
	}
}

// Long writes a member.
func (e *XMLEncoder) Long(name string, n *int64) {
	if n != nil {
		e.Open(name)
		e.buf = strconv.AppendInt(e.buf, *n, 10)
		e.Close(name)
	}
}

// Double writes a member.
func (e *XMLEncoder) Double(name string, f *float64) {
	if f != nil {
		e.Open(name)
		e.buf = strconv.AppendFloat(e.buf, *f, 'g', -1, 64)
		e.Close(name)
	}
}

// Bool writes a member.
func (e *XMLEncoder) Bool(name string, b *bool) {
	if b != nil {
		e.BoolValue(name, *b)
	}
}

// Time writes a member in ISO 8601, with milliseconds if there are any.
func (e *XMLEncoder) Time(name string, t *time.Time) {
	if t != nil {
		e.TimeValue(name, *t)
	}
}

// Blob writes a member as base64.
func (e *XMLEncoder) Blob(name string, b []byte) {
	if b != nil {
		e.BlobValue(name, b)
	}
}

// StringValue writes an element.
func (e *XMLEncoder) StringValue(name, s string) {
	e.Open(name)
	e.buf = appendXMLText(e.buf, s)
	e.Close(name)
}

// IntValue writes an element.
func (e *XMLEncoder) IntValue(name string, n int32) {
	e.Open(name)
	e.buf = strconv.AppendInt(e.buf, int64(n), 10)
	e.Close(name)
}

// BoolValue writes an element.
func (e *XMLEncoder) BoolValue(name string, b bool) {
	e.Open(name)
	e.buf = strconv.AppendBool(e.buf, b)
	e.Close(name)
}

// TimeValue writes an element. The services of this protocol give whole seconds.
func (e *XMLEncoder) TimeValue(name string, t time.Time) {
	e.Open(name)
	e.buf = t.UTC().AppendFormat(e.buf, "2006-01-02T15:04:05Z")
	e.Close(name)
}

// BlobValue writes an element.
func (e *XMLEncoder) BlobValue(name string, b []byte) {
	e.Open(name)
	e.buf = base64.StdEncoding.AppendEncode(e.buf, b)
	e.Close(name)
}

// appendXMLText escapes s. What XML cannot hold at all becomes U+FFFD.
func appendXMLText(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		n := 1
		rep := ""
		switch {
		case c == '&':
			rep = "&amp;"
		case c == '<':
			rep = "&lt;"
		case c == '>':
			rep = "&gt;"
		case c == '"':
			rep = "&quot;"
		case c == '\r':
			rep = "&#xD;"
		case c < ' ' && c != '\t' && c != '\n':
			rep = "\uFFFD"
		case c >= utf8.RuneSelf:
			var r rune
			r, n = utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 || r == 0xFFFE || r == 0xFFFF {
				rep = "\uFFFD"
			}
		}
		if rep != "" {
			b = append(b, s[start:i]...)
			b = append(b, rep...)
			start = i + n
		}
		i += n
	}
	return append(b, s[start:]...)
}
