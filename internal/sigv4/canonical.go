package sigv4

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// target splits the raw request target into path and query. What was signed are the bytes that were sent: a parsed and
// re-encoded URL is not the same.
func target(r *http.Request) (path, query string) {
	t := r.RequestURI
	if t == "" && r.URL != nil { // a request that is still to be sent
		t = r.URL.RequestURI()
	}
	if !strings.HasPrefix(t, "/") { // absolute form, "http://host/path"
		if i := strings.Index(t, "://"); i >= 0 {
			t = t[i+3:]
			if j := strings.IndexAny(t, "/?"); j >= 0 {
				t = t[j:]
			} else {
				t = ""
			}
		}
	}
	path, query, _ = strings.Cut(t, "?")
	return path, query
}

// isTarget says whether net/http found the same path and query in the target of a received request. Services work by
// r.URL: were "http:/?Action=A&x=://host/?Action=B" taken apart in two ways, a signature of B would do A.
func isTarget(r *http.Request, path, query string) bool {
	if r.URL == nil || r.RequestURI == "" {
		return true
	}
	if path != r.URL.Path {
		decoded, err := url.PathUnescape(path)
		if err != nil || decoded != r.URL.Path {
			return false
		}
	}
	return query == r.URL.RawQuery
}

// appendCanonicalRequest sets s.buf to the canonical request.
func (s *scratch) appendCanonicalRequest(q *Request, payloadHash string) {
	path, query := target(q.r)
	b := append(s.buf[:0], q.r.Method...)
	b = append(b, '\n')
	if q.S3() {
		b = appendS3Path(b, path)
	} else {
		b = appendPath(b, path)
	}
	b = append(b, '\n')
	s.buf = b
	s.appendQuery(query, q.Presigned)
	b = append(s.buf, '\n')
	for _, name := range q.SignedHeaders {
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeaderValue(b, q.r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, q.signedHeaders...)
	b = append(b, '\n')
	s.buf = append(b, payloadHash...)
}

// appendS3Path percent-encodes the path once, whatever way the client did. S3 keys may contain "..", "." and "//".
func appendS3Path(b []byte, path string) []byte {
	if path == "" {
		return append(b, '/')
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if d, ok := unhex(path, i); ok {
				c = d
				i += 2
			}
		}
		b = appendEncoded(b, c, true)
	}
	return b
}

// appendPath removes dot segments and empty segments (RFC 3986, section 5.2.4) and percent-encodes the path, which the
// client has encoded already, again.
func appendPath(b []byte, path string) []byte {
	start := len(b)
	rest, more := strings.TrimPrefix(path, "/"), true
	slash := true // the result ends in a slash
	b = append(b, '/')
	for more {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch segment {
		case "", ".":
		case "..":
			b = b[:len(b)-1] // the slash
			for len(b) > start && b[len(b)-1] != '/' {
				b = b[:len(b)-1]
			}
			if len(b) == start {
				b = append(b, '/')
			}
		default:
			for i := 0; i < len(segment); i++ {
				b = appendEncoded(b, segment[i], false)
			}
			b = append(b, '/')
			slash = more
		}
		if segment == "" || segment == "." || segment == ".." {
			slash = true
		}
	}
	if !slash {
		b = b[:len(b)-1]
	}
	return b
}

const upperHex = "0123456789ABCDEF"

// appendEncoded appends a byte as URI encoding has it: unreserved characters of RFC 3986 as they are, all others as %XX.
func appendEncoded(b []byte, c byte, keepSlash bool) []byte {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~', c == '/' && keepSlash:
		return append(b, c)
	}
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

func unhex(s string, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	hi, ok1 := hexDigit(s[i+1])
	lo, ok2 := hexDigit(s[i+2])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// param is one query parameter: offsets of its encoded name and value in scratch.enc.
type param struct{ name, value, end int }

// appendQuery appends the parameters, encoded anew and sorted by name and value. A plus sign means a blank, as it does
// to whoever reads the parameters afterwards: were it signed as a plus, "+" could be exchanged for "%2B" on the way.
func (s *scratch) appendQuery(query string, presigned bool) {
	s.query, s.enc = s.query[:0], s.enc[:0]
	for len(query) > 0 {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if presigned && name == "X-Amz-Signature" {
			continue
		}
		p := param{name: len(s.enc)}
		s.enc = appendQueryPart(s.enc, name)
		p.value = len(s.enc)
		s.enc = appendQueryPart(s.enc, value)
		p.end = len(s.enc)
		s.query = append(s.query, p)
	}
	enc := s.enc
	slices.SortStableFunc(s.query, func(a, b param) int {
		return cmp.Or(
			slices.Compare(enc[a.name:a.value], enc[b.name:b.value]),
			slices.Compare(enc[a.value:a.end], enc[b.value:b.end]))
	})
	for i, p := range s.query {
		if i > 0 {
			s.buf = append(s.buf, '&')
		}
		s.buf = append(s.buf, enc[p.name:p.value]...)
		s.buf = append(s.buf, '=')
		s.buf = append(s.buf, enc[p.value:p.end]...)
	}
}

func appendQueryPart(b []byte, part string) []byte {
	for i := 0; i < len(part); i++ {
		c := part[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if d, ok := unhex(part, i); ok {
				c = d
				i += 2
			}
		}
		b = appendEncoded(b, c, false)
	}
	return b
}

// appendHeaderValue appends the values of a header, trimmed, blanks folded, joined by commas in the order received.
// net/http keeps some headers outside the map.
func appendHeaderValue(b []byte, r *http.Request, name string) []byte {
	switch name {
	case "host":
		host := r.Host
		if host == "" && r.URL != nil {
			host = r.URL.Host
		}
		return appendFolded(b, host)
	case "content-length":
		if r.ContentLength >= 0 {
			b = strconv.AppendInt(b, r.ContentLength, 10)
		}
		return b
	case "transfer-encoding":
		return appendFolded(b, strings.Join(r.TransferEncoding, ","))
	}
	for i, v := range r.Header[headerKey(name)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFolded(b, v)
	}
	return b
}

func appendFolded(b []byte, v string) []byte {
	blank := false
	start := len(b)
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case ' ', '\t', '\r', '\n':
			blank = true
		default:
			if blank && len(b) > start {
				b = append(b, ' ')
			}
			blank = false
			b = append(b, c)
		}
	}
	return b
}

// headerKeys and lowerNames spare an allocation for each header that clients usually sign.
var headerKeys, lowerNames = func() (map[string]string, map[string]string) {
	keys, names := make(map[string]string), make(map[string]string)
	for _, name := range []string{
		"accept", "accept-encoding", "amz-sdk-invocation-id", "amz-sdk-request", "content-encoding", "content-language", "content-md5", "content-type",
		"date", "expect", "if-match", "if-none-match", "range", "user-agent", "x-amz-acl", "x-amz-checksum-algorithm", "x-amz-checksum-crc32",
		"x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme", "x-amz-checksum-mode", "x-amz-checksum-sha1", "x-amz-checksum-sha256",
		"x-amz-content-sha256", "x-amz-copy-source", "x-amz-date", "x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm",
		"x-amz-security-token", "x-amz-storage-class", "x-amz-tagging", "x-amz-target", "x-amz-trailer", "x-amz-user-agent",
	} {
		key := http.CanonicalHeaderKey(name)
		keys[name], names[key] = key, name
	}
	return keys, names
}()

func headerKey(name string) string {
	if key, ok := headerKeys[name]; ok {
		return key
	}
	return http.CanonicalHeaderKey(name)
}

func lowerName(key string) string {
	if name, ok := lowerNames[key]; ok {
		return name
	}
	return strings.ToLower(key)
}
