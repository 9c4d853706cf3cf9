package gateway

import (
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"usher/internal/awsapi"
	"usher/internal/sigv4"
)

// request is one S3 request as it was understood. What is authorised and what is forwarded are both made from bucket,
// key, params and header, never from the raw target, so they cannot differ.
type request struct {
	http    *http.Request
	control *http.ResponseController
	method  string
	bucket  string // "" for the service itself
	key     string // decoded bytes; "" for a bucket
	params  []param
	header  http.Header // of the request, with the headers that a presigned URL carries in its query

	op         *operation
	source     *copySource // CopyObject, UploadPartCopy
	tags       []param     // of the object to be made or tagged
	location   string      // CreateBucket: LocationConstraint
	owner      string      // account of the bucket
	signature  *sigv4.Request
	signingKey []byte
	caller     awsapi.Caller
	targets    []awsapi.Target
	keys       map[string][]string // condition keys that all targets share
	body       *body

	id, hostID string
	began      time.Time
}

// param is a decoded query parameter.
type param struct{ name, value string }

// resource is the ARN of the bucket or object.
func resource(bucket, key string) string {
	if key == "" {
		return "arn:aws:s3:::" + bucket
	}
	return "arn:aws:s3:::" + bucket + "/" + key
}

func (q *request) param(name string) string {
	for i := range q.params {
		if q.params[i].name == name {
			return q.params[i].value
		}
	}
	return ""
}

func (q *request) has(name string) bool {
	for i := range q.params {
		if q.params[i].name == name {
			return true
		}
	}
	return false
}

// address finds bucket and key in the host and the raw path, and the parameters in the raw query.
func (q *request) address(hosts []string) *s3Error {
	path, rawQuery := rawTarget(q.http)
	path, ok := strings.CutPrefix(path, "/")
	if !ok && path != "" {
		return errInvalidURI
	}
	if bucket := virtualBucket(q.http.Host, hosts); bucket != "" {
		q.bucket = bucket
	} else {
		q.bucket, path, ok = strings.Cut(path, "/")
		if q.bucket == "" && ok {
			return errInvalidBucketName.with("BucketName", "")
		}
	}
	if q.bucket != "" && !validBucketName(q.bucket) {
		return errInvalidBucketName.with("BucketName", q.bucket)
	}
	if q.key, ok = unescape(path, false); !ok || !utf8.ValidString(q.key) {
		return errInvalidURI
	}
	if len(q.key) > 1024 {
		return errKeyTooLong
	}
	return q.parseQuery(rawQuery)
}

// rawTarget splits the request target as it was sent.
func rawTarget(r *http.Request) (path, query string) {
	t := r.RequestURI
	if !strings.HasPrefix(t, "/") { // absolute form
		if _, after, found := strings.Cut(t, "://"); found {
			if i := strings.IndexAny(after, "/?"); i >= 0 {
				t = after[i:]
			} else {
				t = "/"
			}
		}
	}
	path, query, _ = strings.Cut(t, "?")
	return path, query
}

// virtualBucket is the bucket that a host names as a subdomain of one of hosts, "" for path-style requests. The longest
// host counts, and a host in the list names no bucket of another.
func virtualBucket(host string, hosts []string) string {
	host = hostname(host)
	bucket, longest := "", 0
	for _, base := range hosts {
		if host == base {
			return ""
		}
		if len(base) > longest && len(host) > len(base)+1 && strings.HasSuffix(host, base) && host[len(host)-len(base)-1] == '.' {
			bucket, longest = host[:len(host)-len(base)-1], len(base)
		}
	}
	return bucket
}

// hostname is a Host header without its port, in lower case.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// parseQuery decodes the parameters and takes out those that authenticate. A presigned URL may carry headers in its
// query, as SDKs write them; those count as headers, of which there must not be a second, different one.
func (q *request) parseQuery(rawQuery string) *s3Error {
	q.header = q.http.Header
	presigned := strings.Contains(rawQuery, "X-Amz-Signature=")
	for rawQuery != "" {
		var pair string
		pair, rawQuery, _ = strings.Cut(rawQuery, "&")
		if pair == "" {
			continue
		}
		n, v, _ := strings.Cut(pair, "=")
		name, ok1 := unescape(n, true)
		value, ok2 := unescape(v, true)
		if !ok1 || !ok2 || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return errInvalidURI
		}
		switch {
		case strings.HasPrefix(name, "X-Amz-") && authParams[name]:
			continue
		case name == "x-id": // names the operation for the reader of a log
			continue
		case presigned && len(name) > 6 && strings.EqualFold(name[:6], "x-amz-"):
			if e := q.hoisted(name, value); e != nil {
				return e
			}
			continue
		}
		if q.has(name) {
			return errInvalidArgument.msg("The query parameter %s is given more than once.", name)
		}
		q.params = append(q.params, param{name, value})
	}
	return nil
}

// authParams are the query parameters of Signature Version 4.
var authParams = map[string]bool{
	"X-Amz-Algorithm": true, "X-Amz-Credential": true, "X-Amz-Date": true, "X-Amz-Expires": true,
	"X-Amz-SignedHeaders": true, "X-Amz-Signature": true, "X-Amz-Security-Token": true, "X-Amz-Content-Sha256": true,
}

func (q *request) hoisted(name, value string) *s3Error {
	name = http.CanonicalHeaderKey(name)
	if authParams[name] || strings.ContainsAny(value, "\r\n\x00") || !validHeaderName(name) {
		return errInvalidArgument.msg("The query parameter %s is not valid.", name)
	}
	switch have := q.header[name]; {
	case len(have) == 1 && have[0] == value:
	case len(have) > 0:
		return errInvalidArgument.msg("%s is given more than once.", name)
	default:
		if len(q.header) == len(q.http.Header) {
			q.header = q.http.Header.Clone()
		}
		q.header[name] = []string{value}
	}
	return nil
}

func validHeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return s != ""
}

// unescape decodes percent-encoding. In queries a plus is a space.
func unescape(s string, query bool) (string, bool) {
	i := 0
	for i < len(s) && s[i] != '%' && !(query && s[i] == '+') {
		i++
	}
	if i == len(s) {
		return s, true
	}
	b := make([]byte, i, len(s))
	copy(b, s)
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return "", false
			}
			b = append(b, hexDigit(s[i+1])<<4|hexDigit(s[i+2]))
			i += 2
		case c == '+' && query:
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// appendEscaped percent-encodes everything but the unreserved characters of RFC 3986, and the slash in paths.
func appendEscaped(b []byte, s string, path bool) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' || c == '/' && path {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// validBucketName checks the rules for general purpose buckets (Amazon S3 User Guide, "General purpose bucket naming
// rules").
func validBucketName(s string) bool {
	if len(s) < 3 || len(s) > 63 || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '-' || c == '.':
			if i == 0 || i == len(s)-1 {
				return false
			}
		default:
			return false
		}
	}
	return net.ParseIP(s) == nil
}

// creatableBucketName excludes the names that S3 keeps for itself.
func creatableBucketName(s string) bool {
	for _, p := range [...]string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(s, p) {
			return false
		}
	}
	for _, p := range [...]string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(s, p) {
			return false
		}
	}
	return validBucketName(s)
}

// copySource is a parsed x-amz-copy-source.
type copySource struct {
	bucket, key, version string
	owner                string
}

// parseCopySource reads "[/]bucket/key[?versionId=id]", percent-encoded. It is encoded anew for the upstream, since not
// every reader decodes before it splits.
func parseCopySource(value string) (*copySource, *s3Error) {
	invalid := errInvalidArgument.msg("Copy Source must mention the source bucket and key: sourcebucket/sourcekey").
		with("ArgumentName", "x-amz-copy-source").with("ArgumentValue", value)
	path, query, hasQuery := strings.Cut(value, "?")
	decoded, ok := unescape(strings.TrimPrefix(path, "/"), true)
	if !ok {
		return nil, invalid
	}
	s := &copySource{}
	s.bucket, s.key, _ = strings.Cut(strings.TrimPrefix(decoded, "/"), "/")
	if hasQuery {
		version, found := strings.CutPrefix(query, "versionId=")
		if s.version, ok = unescape(version, true); !ok || !found || s.version == "" || strings.Contains(version, "&") {
			return nil, invalid
		}
	}
	// A key with such a text would name a version to a reader that decodes first.
	if !validBucketName(s.bucket) || s.key == "" || len(s.key) > 1024 || !utf8.ValidString(decoded) ||
		strings.Contains(s.key, "?versionId=") {
		return nil, invalid
	}
	return s, nil
}

// header is the source as it is sent to the upstream.
func (s *copySource) header() string {
	b := appendEscaped(nil, s.bucket+"/"+s.key, true)
	if s.version != "" {
		b = appendEscaped(append(b, "?versionId="...), s.version, false)
	}
	return string(b)
}
