package gateway

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"usher/internal/sigv4"
)

// Upstream is the S3-compatible store behind the gateway. Buckets are addressed in the path.
type Upstream struct {
	// URL is http:// or https:// and a host, without a path.
	URL string
	// Socket is the path of a unix socket to connect to instead of the URL's host.
	Socket string

	AccessKeyID, SecretAccessKey string
	// Region to sign for.
	Region string

	// OpaqueKeys says that the store takes keys for strings of bytes, as S3 does. Many stores resolve them as paths,
	// where one object answers to several keys and a policy on one of them does not hold for the others; so without
	// this, keys with an empty, "." or ".." segment are refused.
	OpaqueKeys bool
}

// store is the client of the upstream.
type store struct {
	base        url.URL
	credentials sigv4.Credentials
	keys        *sigv4.KeyCache // of today, and at midnight of yesterday
	region      string
	client      *http.Transport
	plain       *plain // nil if the way is encrypted
	now         func() time.Time
	sealed      bool // the way to the store cannot be read or changed: TLS or a unix socket
}

func newStore(u Upstream, now func() time.Time) (*store, error) {
	base, err := url.Parse(u.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || strings.Trim(base.Path, "/") != "" || base.RawQuery != "" || base.User != nil {
		return nil, fmt.Errorf("gateway: the upstream must be http:// or https:// and a host, not %q", u.URL)
	}
	if u.AccessKeyID == "" || u.SecretAccessKey == "" || u.Region == "" {
		return nil, errors.New("gateway: the upstream needs an access key, a secret key and a region")
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	dial := dialer.DialContext
	if u.Socket != "" {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", u.Socket)
		}
	}
	s := &store{
		base:        url.URL{Scheme: base.Scheme, Host: base.Host},
		credentials: sigv4.Credentials{AccessKeyID: u.AccessKeyID, SecretAccessKey: u.SecretAccessKey},
		keys:        sigv4.NewKeyCache(2),
		region:      u.Region,
		sealed:      base.Scheme == "https" || u.Socket != "",
		now:         now,
		client: &http.Transport{
			DialContext:           dial,
			MaxIdleConns:          1024,
			MaxIdleConnsPerHost:   1024,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 10 * time.Minute, // completing a large multipart upload takes minutes
			DisableCompression:    true,
			ReadBufferSize:        8 << 10,
			WriteBufferSize:       64 << 10,
		},
	}
	if base.Scheme == "http" {
		address := base.Host
		if base.Port() == "" {
			address = net.JoinHostPort(base.Hostname(), "80")
		}
		s.plain = &plain{dial: func(ctx context.Context) (net.Conn, error) { return dial(ctx, "tcp", address) }}
	}
	return s, nil
}

func (s *store) close() {
	s.client.CloseIdleConnections()
	if s.plain != nil {
		s.plain.closeIdle()
	}
}

// request makes a request for the bucket and key, still to be signed. The path is made from the decoded bytes.
func (s *store) request(ctx context.Context, method, bucket, key string, params []param) *http.Request {
	u := s.base
	u.Path = "/" + bucket
	if key != "" {
		u.Path += "/" + key
		if escaped := appendEscaped(make([]byte, 0, len(u.Path)+16), u.Path, true); len(escaped) != len(u.Path) {
			u.RawPath = string(escaped)
		}
	}
	if len(params) > 0 {
		var query []byte
		for i, p := range params {
			if i > 0 {
				query = append(query, '&')
			}
			query = append(appendEscaped(query, p.name, false), '=')
			query = appendEscaped(query, p.value, false)
		}
		u.RawQuery = string(query)
	}
	r := &http.Request{Method: method, URL: &u, Host: u.Host, Header: make(http.Header, 12), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	r.Header["User-Agent"] = userAgent
	return r.WithContext(ctx)
}

var userAgent = []string{"usher"}

// send signs and sends. payloadHash is a hash or one of the constants of package sigv4.
func (s *store) send(r *http.Request, payloadHash string) (*http.Response, error) {
	s.keys.Sign(r, s.credentials, payloadHash, s.now(), s.region, "s3")
	trip := s.client.RoundTrip
	if s.plain != nil && r.ContentLength == 0 && repeatable(r.Method) {
		trip = s.plain.roundTrip
	}
	res, err := trip(r)
	if err != nil {
		return nil, errUnavailable.because(err)
	}
	return res, nil
}

func repeatable(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodDelete
}

func setBody(r *http.Request, b []byte) {
	r.ContentLength = int64(len(b))
	r.Body, r.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
	if len(b) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(b))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	}
}

// reply is a small answer of the upstream, read as a whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ask sends a small request of the gateway's own and reads the answer.
func (g *Gateway) ask(ctx context.Context, method, bucket, key string, params []param, header http.Header, body []byte) (*reply, error) {
	r := g.store.request(ctx, method, bucket, key, params)
	for name, values := range header {
		r.Header[name] = values
	}
	setBody(r, body)
	res, err := g.store.send(r, sigv4.PayloadHash(body))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := readMost(res.Body, maxAnswer)
	if err != nil {
		return nil, errUnavailable.because(err)
	}
	return &reply{res.StatusCode, res.Header, b}, nil
}

// maxAnswer bounds the answers that are read as a whole: listings of 1000 keys of 1024 bytes, encoded, stay below.
const maxAnswer = 16 << 20

func readMost(r io.Reader, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(b)) > most {
		err = errors.New("answer is too long")
	}
	return b, err
}

// upstreamError is an error document.
type upstreamError struct {
	XMLName  xml.Name `xml:"Error"`
	Elements []struct {
		XMLName xml.Name
		Text    string `xml:",chardata"`
	} `xml:",any"`
}

func (r *reply) code() string {
	e := r.err()
	return e.Code
}

// err is the upstream's error as ours. Complaints about the gateway's own signature are no business of the client.
func (r *reply) err() *s3Error {
	var doc upstreamError
	e := s3err(r.status, "", "")
	if xml.Unmarshal(r.body, &doc) == nil {
		for _, el := range doc.Elements {
			switch name := el.XMLName.Local; name {
			case "Code":
				e.Code = el.Text
			case "Message":
				e.Message = el.Text
			case "Resource", "RequestId", "HostId", "Key", "BucketName":
			default:
				if len(el.Text) <= 1024 {
					e.elements = append(e.elements, param{name, el.Text})
				}
			}
		}
	}
	switch {
	case privateCodes[e.Code], r.status == http.StatusUnauthorized:
		return errInternal.because(fmt.Errorf("upstream answered %d %s: %s", r.status, e.Code, e.Message))
	case e.Code == "" && r.status == http.StatusNotFound:
		return errNoSuchKey
	case e.Code == "" && r.status == http.StatusPreconditionFailed:
		return s3err(r.status, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	case e.Code == "" && r.status == http.StatusForbidden, e.Code == "AccessDenied":
		return errAccessDenied.because(fmt.Errorf("upstream answered %d %s: %s", r.status, e.Code, e.Message))
	case e.Code == "" && r.status/100 == 4:
		return s3err(r.status, "BadRequest", http.StatusText(r.status))
	case e.Code == "" || r.status/100 == 5 && e.Code == "InternalError":
		return errInternal.because(fmt.Errorf("upstream answered %d", r.status))
	}
	return e
}

// privateCodes are errors that concern the upstream's own access key.
var privateCodes = map[string]bool{
	"SignatureDoesNotMatch": true, "InvalidAccessKeyId": true, "RequestTimeTooSkewed": true, "AuthorizationHeaderMalformed": true,
	"InvalidToken": true, "ExpiredToken": true, "AuthorizationQueryParametersError": true, "AccountProblem": true, "InvalidSecurity": true,
	"NotSignedUp": true, "AllAccessDisabled": true, "XAmzContentSHA256Mismatch": true, "MissingSecurityHeader": true,
}
