// Package sigv4 verifies and makes AWS Signature Version 4 signatures: in the Authorization header, in the query of a
// presigned request and in the chunks of an aws-chunked body. It stores nothing and knows no error codes of services.
//
// A verifier parses the request, looks the access key up, and verifies:
//
//	req, err := sigv4.Parse(r, sigv4.Options{Service: "sts", Now: now})
//	key := cache.Key(req.AccessKeyID, secret, req.Date, req.Region, req.Service)
//	err = req.Verify(key, sigv4.PayloadHash(body))
//
// Source: "Signature Version 4 signing process" in the IAM User Guide, and "Authenticating Requests (AWS Signature
// Version 4)" in the Amazon S3 API Reference.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"

	// DefaultMaxSkew is how far the clocks of client and server may be apart.
	DefaultMaxSkew = 15 * time.Minute
	// MaxExpires is the longest life of a presigned request.
	MaxExpires = 7 * 24 * time.Hour
)

// Values of X-Amz-Content-Sha256 other than a hash.
const (
	UnsignedPayload          = "UNSIGNED-PAYLOAD"
	StreamingPayload         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingPayloadTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// EmptyHash is the SHA-256 of the empty body.
const EmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Options are what the server expects of a request.
type Options struct {
	Service string        // service the credential must be scoped to; empty accepts any
	Region  string        // region the credential must be scoped to; empty accepts any
	Now     time.Time     // server time
	MaxSkew time.Duration // zero: DefaultMaxSkew
}

// Request is the signature of a request, parsed but not verified: until Verify returns nil, every field is a claim.
type Request struct {
	AccessKeyID  string
	Date         string // of the scope, yyyymmdd
	Region       string
	Service      string
	Time         time.Time     // when it was signed
	Presigned    bool          // signed in the query
	Expires      time.Duration // lifetime of a presigned request
	SessionToken string        // empty for long-term keys
	// PayloadHash is what the request declares about its body. For S3 it is what Verify takes: a lower-case hexadecimal
	// SHA-256 or one of the constants. Elsewhere it is the X-Amz-Content-Sha256 header, possibly empty.
	PayloadHash   string
	SignedHeaders []string // lower case, sorted

	r             *http.Request
	signature     string
	signedHeaders string
	timestamp     string
}

// S3 says whether the request is signed for S3, whose rules for paths, headers and bodies differ from all other services.
func (q *Request) S3() bool {
	return isS3(q.Service)
}

func isS3(service string) bool {
	return service == "s3" || service == "s3express"
}

// Scope returns the service and region that the credential of a request is scoped to, without checking anything: enough
// to route it to the service that will parse it.
func Scope(r *http.Request) (service, region string, ok bool) {
	credential := ""
	if h := r.Header.Get("Authorization"); h != "" {
		_, after, found := strings.Cut(h, "Credential=")
		if !found {
			return "", "", false
		}
		credential, _, _ = strings.Cut(after, ",")
		credential = strings.TrimSpace(credential)
	} else if _, rawQuery := target(r); strings.Contains(rawQuery, "X-Amz-Credential=") {
		for pair := range strings.SplitSeq(rawQuery, "&") {
			if v, found := strings.CutPrefix(pair, "X-Amz-Credential="); found {
				credential, _ = url.QueryUnescape(v)
				break
			}
		}
	}
	parts := strings.Split(credential, "/")
	if len(parts) != 5 {
		return "", "", false
	}
	return parts[3], parts[2], true
}

// Parse reads the signature of a request and checks everything that needs no key: form, algorithm, scope, time, and that
// the headers which must be signed are named as signed. Every error is an *Error.
//
// Parse keeps r: its target, headers and host must not change before Verify.
func Parse(r *http.Request, opts Options) (*Request, error) {
	if opts.MaxSkew == 0 {
		opts.MaxSkew = DefaultMaxSkew
	}
	q := &Request{r: r}
	path, rawQuery := target(r)
	if !isTarget(r, path, rawQuery) {
		return nil, fail(Incomplete, "The request target is not valid.")
	}
	inHeader, inQuery := len(r.Header["Authorization"]) > 0, hasQueryAuth(rawQuery)
	var credential string
	var err error
	switch {
	case inHeader && inQuery:
		return nil, fail(Ambiguous, "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified")
	case inHeader:
		credential, err = q.parseHeader()
	case inQuery:
		credential, err = q.parseQuery(rawQuery)
	default:
		return nil, fail(Missing, "Request is missing Authentication Token")
	}
	if err != nil {
		return nil, err
	}
	if err := q.parseSignedHeaders(); err != nil {
		return nil, err
	}
	if err := q.parseCredential(credential, opts); err != nil {
		return nil, err
	}
	if err := q.checkTime(opts); err != nil {
		return nil, err
	}
	if err := q.checkSignedHeaders(); err != nil {
		return nil, err
	}
	if err := q.parsePayload(); err != nil {
		return nil, err
	}
	return q, nil
}

// hasQueryAuth finds query authentication of either version without decoding the query.
func hasQueryAuth(rawQuery string) bool {
	for len(rawQuery) > 0 {
		var pair string
		pair, rawQuery, _ = strings.Cut(rawQuery, "&")
		name, _, _ := strings.Cut(pair, "=")
		switch name {
		case "X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential", "AWSAccessKeyId":
			return true
		}
	}
	return false
}

// parseHeader reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…", parts in any order.
func (q *Request) parseHeader() (credential string, err error) {
	values := q.r.Header["Authorization"]
	if len(values) > 1 {
		return "", fail(Incomplete, "Only one Authorization header is allowed.")
	}
	header := values[0]
	scheme, rest, _ := strings.Cut(header, " ")
	if scheme != algorithm {
		return "", fail(Unsupported, "Unsupported AWS 'algorithm': '%s'.", clip(scheme))
	}
	var haveCredential, haveSignature, haveSigned bool
	for len(rest) > 0 {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, found := strings.Cut(part, "=")
		if !found {
			return "", fail(Incomplete, "'%s' not a valid key=value pair (missing equal-sign) in Authorization header: %s.", clip(part), hashed(header))
		}
		var again bool
		switch name {
		case "Credential":
			again, haveCredential, credential = haveCredential, true, value
		case "Signature":
			again, haveSignature, q.signature = haveSignature, true, value
		case "SignedHeaders":
			again, haveSigned, q.signedHeaders = haveSigned, true, value
		default:
			return "", fail(Incomplete, "'%s' is not a valid parameter of the Authorization header: %s.", clip(name), hashed(header))
		}
		if again {
			return "", fail(Incomplete, "Authorization header has more than one '%s' parameter. %s", name, hashed(header))
		}
	}
	q.timestamp, q.Time = headerTime(q.r.Header)

	var missing strings.Builder
	for _, p := range []struct {
		name  string
		empty bool
	}{{"Credential", credential == ""}, {"Signature", q.signature == ""}, {"SignedHeaders", q.signedHeaders == ""}} {
		if p.empty {
			missing.WriteString("Authorization header requires '" + p.name + "' parameter. ")
		}
	}
	if q.timestamp == "" {
		if d := first(q.r.Header["X-Amz-Date"]); d != "" {
			missing.WriteString("Date must be in ISO-8601 'basic format'. Got '" + clip(d) + "'. See http://en.wikipedia.org/wiki/ISO_8601 ")
		} else {
			missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
		}
	}
	if missing.Len() > 0 {
		return "", fail(Incomplete, "%s%s", missing.String(), hashed(header))
	}
	q.SessionToken = first(q.r.Header["X-Amz-Security-Token"])
	return credential, nil
}

// headerTime is the time of a request that is signed in its header: X-Amz-Date or else Date. It returns "" if there is
// none, or none that can be read.
func headerTime(h http.Header) (string, time.Time) {
	if v := first(h["X-Amz-Date"]); v != "" {
		t, ok := parseTimestamp(v)
		if !ok {
			return "", time.Time{}
		}
		return v, t
	}
	v := first(h["Date"])
	t, ok := parseTimestamp(v)
	if !ok {
		var err error
		if t, err = http.ParseTime(v); err != nil {
			return "", time.Time{}
		}
	}
	t = t.UTC()
	return t.Format(timeFormat), t
}

func parseTimestamp(s string) (time.Time, bool) {
	if len(s) != len(timeFormat) {
		return time.Time{}, false
	}
	t, err := time.Parse(timeFormat, s)
	return t, err == nil
}

// parseQuery reads the X-Amz-* parameters of a presigned request.
func (q *Request) parseQuery(rawQuery string) (credential string, err error) {
	q.Presigned = true
	var alg, expires string
	fields := []struct {
		name     string
		to       *string
		required bool // everywhere; S3 requires X-Amz-Expires too
		seen     bool
	}{
		{name: "X-Amz-Algorithm", to: &alg, required: true},
		{name: "X-Amz-Credential", to: &credential, required: true},
		{name: "X-Amz-Signature", to: &q.signature, required: true},
		{name: "X-Amz-Date", to: &q.timestamp, required: true},
		{name: "X-Amz-SignedHeaders", to: &q.signedHeaders, required: true},
		{name: "X-Amz-Expires", to: &expires},
		{name: "X-Amz-Security-Token", to: &q.SessionToken},
	}
	version2 := false
	for len(rawQuery) > 0 {
		var pair string
		pair, rawQuery, _ = strings.Cut(rawQuery, "&")
		name, value, _ := strings.Cut(pair, "=")
		version2 = version2 || name == "AWSAccessKeyId"
		if !strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		for i := range fields {
			f := &fields[i]
			if f.name != name {
				continue
			}
			if f.seen {
				return "", fail(IncompleteQuery, "The query parameter %s is given more than once.", name)
			}
			f.seen = true
			if *f.to, err = url.QueryUnescape(value); err != nil {
				return "", fail(IncompleteQuery, "The query parameter %s is not percent-encoded correctly.", name)
			}
		}
	}
	if alg != algorithm && (alg != "" || version2) {
		return "", fail(Unsupported, "Unsupported AWS 'algorithm': '%s'.", clip(alg))
	}
	// The service decides whether X-Amz-Expires is required; its place in the credential is checked properly later.
	scope := strings.Split(credential, "/")
	s3 := len(scope) == 5 && isS3(scope[3])
	for _, f := range fields {
		if *f.to == "" && (f.required || s3 && f.name == "X-Amz-Expires") {
			return "", fail(IncompleteQuery, "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
		}
	}
	var ok bool
	if q.Time, ok = parseTimestamp(q.timestamp); !ok {
		return "", fail(IncompleteQuery, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
	}
	if expires != "" {
		n, err := strconv.ParseInt(expires, 10, 64)
		switch {
		case err != nil:
			return "", fail(IncompleteQuery, "X-Amz-Expires should be a number")
		case n < 0:
			return "", fail(IncompleteQuery, "X-Amz-Expires must be non-negative")
		case n == 0:
			return "", fail(IncompleteQuery, "X-Amz-Expires must be greater than zero")
		case n > int64(MaxExpires/time.Second):
			return "", fail(IncompleteQuery, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
		}
		q.Expires = time.Duration(n) * time.Second
	}
	return credential, nil
}

// malformed is the kind of error for the place where the signature stands.
func (q *Request) malformed() Kind {
	if q.Presigned {
		return IncompleteQuery
	}
	return Incomplete
}

// parseSignedHeaders reads "a;b;c": lower case, in order, each name once.
func (q *Request) parseSignedHeaders() error {
	names := make([]string, 0, 1+strings.Count(q.signedHeaders, ";"))
	rest, more := q.signedHeaders, true
	for more {
		var name string
		name, rest, more = strings.Cut(rest, ";")
		if !isLowerToken(name) || len(names) > 0 && names[len(names)-1] >= name {
			return fail(q.malformed(), "SignedHeaders must be lower-case header names in order, separated by semicolons.")
		}
		names = append(names, name)
	}
	q.SignedHeaders = names
	return nil
}

func isLowerToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// parseCredential reads "key id/yyyymmdd/region/service/aws4_request" and checks the scope.
func (q *Request) parseCredential(credential string, opts Options) error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[0] == "" || len(parts[0]) > 128 {
		return fail(q.malformed(), "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", clip(credential))
	}
	q.AccessKeyID, q.Date, q.Region, q.Service = parts[0], parts[1], parts[2], parts[3]
	switch {
	case parts[4] != terminator:
		return &Error{Kind: WrongTerminator, Expected: terminator, Actual: clip(parts[4]),
			Message: "Credential should be scoped with a valid terminator: 'aws4_request', not '" + clip(parts[4]) + "'."}
	case q.Service == "" || opts.Service != "" && q.Service != opts.Service:
		return &Error{Kind: WrongService, Expected: opts.Service, Actual: clip(q.Service),
			Message: "Credential should be scoped to correct service: '" + opts.Service + "'."}
	case q.Region == "" || opts.Region != "" && q.Region != opts.Region:
		return &Error{Kind: WrongRegion, Expected: opts.Region, Actual: clip(q.Region),
			Message: "Credential should be scoped to a valid region."}
	case q.Date != q.timestamp[:8]:
		return &Error{Kind: WrongDate, Expected: q.timestamp[:8], Actual: clip(q.Date),
			Message: "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
				clip(q.Date) + "' != '" + q.timestamp[:8] + "', from '" + q.timestamp + "'."}
	}
	return nil
}

// checkTime refuses what was signed too long ago or in the future.
func (q *Request) checkTime(opts Options) error {
	earliest, latest := opts.Now.Add(-opts.MaxSkew), opts.Now.Add(opts.MaxSkew)
	// X-Amz-Expires is optional outside S3; without it, a presigned request lives as long as one signed in its header.
	expires := q.Presigned && q.Expires > 0
	e := &Error{RequestTime: q.Time, ServerTime: opts.Now, MaxSkew: opts.MaxSkew, Expires: q.Expires}
	at := func(t time.Time) string { return t.UTC().Format(timeFormat) }
	minutes := strconv.FormatFloat(opts.MaxSkew.Minutes(), 'f', -1, 64)
	switch {
	case q.Time.After(latest):
		e.Kind = Skewed
		e.Message = "Signature not yet current: " + q.timestamp + " is still later than " + at(latest) + " (" + at(opts.Now) + " + " + minutes + " min.)"
	case expires && opts.Now.After(q.Time.Add(q.Expires)):
		e.Kind = Expired
		e.Message = "Signature expired: " + at(q.Time.Add(q.Expires)) + " is now earlier than " + at(opts.Now)
	case !expires && q.Time.Before(earliest):
		e.Kind = Skewed
		e.Message = "Signature expired: " + q.timestamp + " is now earlier than " + at(earliest) + " (" + at(opts.Now) + " - " + minutes + " min.)"
	default:
		return nil
	}
	return e
}

// maxUnsigned bounds how many headers an error names.
const maxUnsigned = 20

// checkSignedHeaders refuses a request with headers that could be changed on the way though they decide what it does:
// the host, the operation of a JSON service, and for S3 everything named x-amz-*.
func (q *Request) checkSignedHeaders() error {
	var unsigned []string
	if !q.signs("host") {
		unsigned = append(unsigned, "host")
	}
	if q.S3() {
		for key := range q.r.Header {
			if !strings.HasPrefix(key, "X-Amz-") {
				continue
			}
			// The hash of a presigned request's body counts only if it is signed; unsigned, it is ignored.
			if name := lowerName(key); !q.signs(name) && !(q.Presigned && name == "x-amz-content-sha256") {
				unsigned = append(unsigned, name)
			}
		}
	} else if len(q.r.Header["X-Amz-Target"]) > 0 && !q.signs("x-amz-target") {
		unsigned = append(unsigned, "x-amz-target")
	}
	if len(unsigned) == 0 {
		return nil
	}
	slices.Sort(unsigned)
	unsigned = unsigned[:min(len(unsigned), maxUnsigned)]
	for i := range unsigned {
		unsigned[i] = clip(unsigned[i])
	}
	return &Error{Kind: NotSigned, Headers: unsigned,
		Message: "'" + strings.Join(unsigned, "', '") + "' must be a 'SignedHeader' in the AWS Authorization."}
}

func (q *Request) signs(name string) bool {
	_, found := slices.BinarySearch(q.SignedHeaders, name)
	return found
}

// parsePayload finds what an S3 request declares about its body.
func (q *Request) parsePayload() error {
	values := q.r.Header["X-Amz-Content-Sha256"]
	if len(values) > 1 {
		return fail(PayloadKind, "Only one x-amz-content-sha256 header is allowed.")
	}
	q.PayloadHash = first(values)
	if q.Presigned && !q.signs("x-amz-content-sha256") {
		q.PayloadHash = ""
	}
	if !q.S3() {
		return nil
	}
	switch q.PayloadHash {
	case "":
		if !q.Presigned {
			return fail(PayloadKind, "Missing required header for this request: x-amz-content-sha256")
		}
		q.PayloadHash = UnsignedPayload
	case UnsignedPayload, StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer:
	default:
		if !isHash(q.PayloadHash) {
			return fail(PayloadKind, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.")
		}
	}
	return nil
}

func isHash(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// scratch is the memory of one verification.
type scratch struct {
	buf   []byte
	query []param
	enc   []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{buf: make([]byte, 0, 2048)} }}

// Verify compares the signature with the one that signingKey makes, in constant time. payloadHash is, outside S3,
// the PayloadHash of the body as received; for S3 it is q.PayloadHash, and the body must then be read through q.Body.
func (q *Request) Verify(signingKey []byte, payloadHash string) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)

	s.appendCanonicalRequest(q, payloadHash)
	n := len(s.buf)
	digest := sha256.Sum256(s.buf)
	s.buf = append(s.buf, algorithm+"\n"...)
	s.buf = append(s.buf, q.timestamp...)
	s.buf = append(s.buf, '\n')
	s.buf = q.appendScope(s.buf)
	s.buf = append(s.buf, '\n')
	s.buf = hex.AppendEncode(s.buf, digest[:])

	if !CheckSignature(signingKey, s.buf[n:], q.signature) {
		return &Error{
			Kind:             Mismatch,
			Message:          "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
			CanonicalRequest: string(s.buf[:n]),
			StringToSign:     string(s.buf[n:]),
		}
	}
	return nil
}

// SignatureProvided is the signature as sent.
func (q *Request) SignatureProvided() string {
	return q.signature
}

func (q *Request) appendScope(b []byte) []byte {
	return appendScope(b, q.Date, q.Region, q.Service)
}

func appendScope(b []byte, date, region, service string) []byte {
	b = append(b, date...)
	b = append(b, '/')
	b = append(b, region...)
	b = append(b, '/')
	b = append(b, service...)
	return append(b, "/"+terminator...)
}

// CheckSignature compares a signature in lower-case hexadecimal with the one of stringToSign, in constant time. For S3
// POST forms stringToSign is the policy field as sent.
func CheckSignature(signingKey, stringToSign []byte, signature string) bool {
	var sum [sha256.Size]byte
	var want [2 * sha256.Size]byte
	m := hmac.New(sha256.New, signingKey)
	m.Write(stringToSign)
	hex.Encode(want[:], m.Sum(sum[:0]))
	return subtle.ConstantTimeCompare(want[:], []byte(signature)) == 1
}

// PayloadHash is the SHA-256 of a whole body as a canonical request has it.
func PayloadHash(body []byte) string {
	if len(body) == 0 {
		return EmptyHash
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// clip bounds what an error message repeats of the request.
func clip(s string) string {
	if len(s) > 256 {
		s = s[:256]
	}
	return strings.ToValidUTF8(s, "?")
}

func hashed(header string) string {
	sum := sha256.Sum256([]byte(header))
	return "(Hashed with SHA-256 and encoded with Base64) Authorization=" + base64.StdEncoding.EncodeToString(sum[:])
}
