// Package gateway puts Usher's identities in front of an S3-compatible store. A request is verified (Signature
// Version 4, in the header, the query or the body's chunks), taken for exactly one S3 operation, authorised for every
// action and resource that the operation touches, and then sent on to the store, signed with a key that only the
// gateway holds. Bodies stream both ways; what was uploaded becomes visible only when it is what was signed.
//
// The registry of buckets tells whose they are. The store behind is any S3 endpoint, or usher-s3, which StartLocal
// runs as a child.
//
// Source: Amazon S3 API Reference; Service Authorization Reference, "Actions, resources, and condition keys for
// Amazon S3".
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/sigv4"
)

// Credentials looks up who signed a request.
type Credentials interface {
	// SigningKey returns the key that a request with these (unverified) claims must be signed with, derived for its
	// date, region and service, and whose it is. It checks the session token, if there is one. Errors are
	// awsapi.ErrInvalidClientToken (unknown or inactive key, token that is none or belongs to another key),
	// awsapi.ErrExpiredToken, or internal.
	SigningKey(ctx context.Context, claims *sigv4.Request) (key []byte, caller awsapi.Caller, err error)
}

// Authorizer decides whether a caller may do all of targets. The zero Caller is anonymous. The keys of a target are
// those of S3 and those global ones that the request itself tells: aws:SourceIp, aws:SecureTransport, aws:UserAgent,
// aws:referer, aws:RequestedRegion. A denial is awsapi.ErrAccessDenied with the message that explains it.
type Authorizer interface {
	Decide(ctx context.Context, caller awsapi.Caller, targets []awsapi.Target) error
}

// Config is what a gateway needs. All but CORSOrigins must be set.
type Config struct {
	Upstream    Upstream
	DB          *db.DB // with Schema applied
	Credentials Credentials
	Authorizer  Authorizer
	Principals  Principals

	// Region is what requests must be signed for, and where buckets are.
	Region string
	// Hosts are host names, without ports, whose subdomains name buckets: bucket.HOST and bucket.s3.HOST. A request to
	// any other host names its bucket in the path.
	Hosts []string
	// CORSOrigins are the origins whose browsers may call, "*" for any. Without one, preflight requests are refused as
	// S3 does for a bucket without a CORS configuration.
	CORSOrigins []string

	Log *slog.Logger
	Now func() time.Time
}

// Gateway is an http.Handler that serves S3.
type Gateway struct {
	c       Config
	hosts   []string
	store   *store
	buckets *db.Cache[string, *bucketFacts]

	underWay atomic.Int64
}

// mostRequests bounds the requests under way at once; each holds buffers for its stream.
const mostRequests = 2048

// New returns a gateway. It does not contact the upstream.
func New(c Config) (*Gateway, error) {
	if c.DB == nil || c.Credentials == nil || c.Authorizer == nil || c.Principals == nil || c.Log == nil || c.Now == nil || c.Region == "" {
		return nil, errors.New("gateway: configuration is not complete")
	}
	store, err := newStore(c.Upstream, c.Now)
	if err != nil {
		return nil, err
	}
	g := &Gateway{c: c, store: store, buckets: db.NewCache[string, *bucketFacts](c.DB, "gateway buckets", 10000)}
	for _, h := range c.Hosts {
		h = strings.ToLower(h)
		g.hosts = append(g.hosts, h, "s3."+h)
	}
	return g, nil
}

// Close closes idle connections to the upstream.
func (g *Gateway) Close() { g.store.close() }

// VirtualHosted reports whether a request with this Host header names its bucket there.
func (g *Gateway) VirtualHosted(host string) bool { return virtualBucket(host, g.hosts) != "" }

// ServeHTTP serves one request. The target must not have been rewritten: keys may contain "//" and "..".
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{http: r, control: http.NewResponseController(w), method: r.Method, header: r.Header, began: g.c.Now()}
	q.id, q.hostID = requestIDs()
	h := w.Header()
	h["X-Amz-Request-Id"] = []string{q.id}
	h["X-Amz-Id-2"] = []string{q.hostID}
	g.setCORS(h, r)

	out := &answer{ResponseWriter: w, status: http.StatusOK}
	defer g.underWay.Add(-1)
	var err error
	if g.underWay.Add(1) > mostRequests {
		err = awsapi.ErrThrottling
	} else {
		err = g.serve(out, q)
	}
	q.body.release()
	var failed *s3Error
	switch {
	case err == nil:
	case out.started:
		// Too late for an error: the client must see that the answer is cut off.
		g.log(q, out, &s3Error{apiError: apiError{Code: "Aborted", Err: err}})
		panic(http.ErrAbortHandler)
	default:
		failed = g.fail(out, q, err)
	}
	g.log(q, out, failed)
}

// serve is the path of every request.
func (g *Gateway) serve(w *answer, q *request) error {
	ctx := q.http.Context()
	if err := q.address(g.hosts); err != nil {
		return err
	}
	if q.method == http.MethodOptions {
		return g.preflight(w, q)
	}
	if err := g.authenticate(ctx, q); err != nil {
		return err
	}
	op, err := q.operation()
	if err != nil {
		return err
	}
	q.op = op
	if err := g.understand(ctx, q); err != nil {
		return err
	}
	q.decide()
	g.withTags(q.targets, q.bucket, q.key, q.param("versionId"))
	if s := q.source; s != nil {
		g.withTags(q.targets[len(q.targets)-1:], s.bucket, s.key, s.version)
	}
	if op.flags&manyTargets == 0 {
		if err := g.decide(q, q.targets...); err != nil {
			return err
		}
	}
	if op.serve == nil {
		return errOperationMissing
	}
	if err := q.refuseACL(); err != nil {
		return err
	}
	if err := q.openBody(); err != nil {
		return err
	}
	return op.serve(g, w, q)
}

// decide asks whether the caller may do all of targets. A denial is kept under the id of the request.
func (g *Gateway) decide(q *request, targets ...awsapi.Target) error {
	return g.c.Authorizer.Decide(awsapi.WithRequestID(q.http.Context(), q.id), q.caller, targets)
}

// authenticate verifies the signature. A request without one is anonymous.
func (g *Gateway) authenticate(ctx context.Context, q *request) error {
	claims, err := sigv4.Parse(q.http, sigv4.Options{Service: "s3", Region: g.c.Region, Now: q.began})
	if e, ok := errors.AsType[*sigv4.Error](err); ok {
		if e.Kind == sigv4.Missing {
			return nil
		}
		return signatureError(e, presigned(q), false)
	} else if err != nil {
		return err
	}
	q.signature = claims
	key, caller, err := g.c.Credentials.SigningKey(ctx, claims)
	if errors.Is(err, awsapi.ErrInvalidClientToken) {
		// An unknown key must not be told from a wrong signature by the time it takes.
		_ = claims.Verify(unknownKey[:], claims.PayloadHash)
	}
	if err != nil {
		return err
	}
	if err := claims.Verify(key, claims.PayloadHash); err != nil {
		return err
	}
	q.signingKey, q.caller = key, caller
	return nil
}

var unknownKey [32]byte

// presigned is a stand-in for the claims of a presigned request that could not be parsed.
func presigned(q *request) *sigv4.Request {
	return &sigv4.Request{Presigned: len(q.http.Header["Authorization"]) == 0}
}

// understand finds out whose the resources are, and reads what the decision depends on.
func (g *Gateway) understand(ctx context.Context, q *request) error {
	for name, values := range q.header {
		if len(values) > 1 && single(name) {
			return errInvalidArgument.msg("The header %s is given more than once.", strings.ToLower(name))
		}
	}
	if q.signature == nil && q.op.on == object {
		for _, p := range q.params {
			if strings.HasPrefix(p.name, "response-") {
				return errInvalidRequest.msg("Request specific response headers cannot be used for anonymous GET requests.")
			}
		}
	}
	if q.key != "" && !g.c.Upstream.OpaqueKeys && !plainKey(q.key) {
		return errInvalidURI
	}
	if q.bucket != "" && q.op.name != "CreateBucket" {
		var err error
		if q.owner, err = g.bucketOwner(ctx, q.bucket, q.header.Get("X-Amz-Expected-Bucket-Owner")); err != nil {
			return err
		}
	} else {
		q.owner = q.caller.AccountID
	}
	if q.op.flags&copies != 0 {
		source, e := parseCopySource(q.header.Get("X-Amz-Copy-Source"))
		if e != nil {
			return e
		}
		if !g.c.Upstream.OpaqueKeys && !plainKey(source.key) {
			return errInvalidURI
		}
		var err error
		if source.owner, err = g.bucketOwner(ctx, source.bucket, q.header.Get("X-Amz-Source-Expected-Bucket-Owner")); err != nil {
			return err
		}
		q.source = source
	}
	if q.op.flags&creates != 0 {
		if err := q.readTagHeader(); err != nil {
			return err
		}
	}
	if q.op.flags&document != 0 {
		return g.readDocument(q)
	}
	return nil
}

func (g *Gateway) bucketOwner(ctx context.Context, bucket, expected string) (string, error) {
	owner, err := g.owner(ctx, bucket)
	if err != nil {
		return "", err
	}
	if owner == "" {
		return "", errNoSuchBucket.with("BucketName", bucket)
	}
	if expected != "" && expected != owner {
		return "", errAccessDenied
	}
	return owner, nil
}

// plainKey reports whether no reader of paths would take the key for another one.
func plainKey(key string) bool {
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return key[0] != '/' && !strings.Contains(key, "//")
}

// refuseACL refuses access control lists: buckets are BucketOwnerEnforced, as on AWS since April 2023.
func (q *request) refuseACL() error {
	if q.op.flags&creates == 0 {
		return nil
	}
	acl := q.header.Get("X-Amz-Acl")
	if acl != "" && acl != "private" && acl != "bucket-owner-full-control" || acl == "" && q.asksForACL() {
		return errACLNotSupported
	}
	for name := range q.header {
		if strings.HasPrefix(name, "X-Amz-Grant-") {
			return errACLNotSupported
		}
	}
	return nil
}

// requestIDs makes the two ids by which S3 names a request: 16 characters and a longer one.
func requestIDs() (id, hostID string) {
	var b [67]byte
	rand.Read(b[:])
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var text [16]byte
	for i := range text {
		text[i] = alphabet[b[i]&31]
	}
	return string(text[:]), base64.StdEncoding.EncodeToString(b[16:])
}

// answer notes what was answered.
type answer struct {
	http.ResponseWriter
	status  int
	bytes   int64
	started bool
}

func (a *answer) WriteHeader(status int) {
	a.ResponseWriter.WriteHeader(status)
	if status >= 200 && !a.started {
		a.status, a.started = status, true
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.started = true
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// log writes the one record of the request. Keys of objects may be personal data; they are left to the store's owner to
// log, the bucket is enough to find a request.
func (g *Gateway) log(q *request, a *answer, failed *s3Error) {
	level := slog.LevelInfo
	if failed != nil && failed.Status >= 500 && failed.Status != http.StatusNotImplemented || failed != nil && failed.Status == 0 {
		level = slog.LevelError
	}
	ctx := q.http.Context()
	if !g.c.Log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 14)
	attrs = append(attrs, slog.String("request_id", q.id), slog.String("method", q.method), slog.Int("status", a.status),
		slog.Int64("bytes", a.bytes), slog.Duration("duration", g.c.Now().Sub(q.began)))
	if q.op != nil {
		attrs = append(attrs, slog.String("operation", q.op.name), slog.String("action", q.op.action))
	}
	if q.bucket != "" {
		attrs = append(attrs, slog.String("bucket", q.bucket))
	}
	if q.caller.ARN != "" {
		attrs = append(attrs, slog.String("caller", q.caller.ARN))
	}
	if q.body != nil && q.body.length > 0 {
		attrs = append(attrs, slog.Int64("received", q.body.length))
	}
	if failed != nil {
		attrs = append(attrs, slog.String("code", failed.Code))
		if failed.Err != nil {
			attrs = append(attrs, slog.String("error", failed.Err.Error()))
		}
	}
	g.c.Log.LogAttrs(ctx, level, "s3", attrs...)
}

// Browsers.

// setCORS lets pages of the configured origins read answers.
func (g *Gateway) setCORS(h http.Header, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" || len(g.c.CORSOrigins) == 0 {
		return
	}
	h.Add("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
	if !g.allowsOrigin(origin) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "ETag, Content-Range, Accept-Ranges, Content-Disposition, x-amz-request-id, x-amz-id-2, x-amz-version-id, x-amz-delete-marker, x-amz-bucket-region, x-amz-checksum-crc32, x-amz-checksum-crc32c, x-amz-checksum-crc64nvme, x-amz-checksum-sha1, x-amz-checksum-sha256, x-amz-meta-*")
}

func (g *Gateway) allowsOrigin(origin string) bool {
	for _, o := range g.c.CORSOrigins {
		if o == "*" || strings.EqualFold(o, origin) {
			return true
		}
	}
	return false
}

// preflight answers a browser's question before its request. It carries no signature.
func (g *Gateway) preflight(w http.ResponseWriter, q *request) error {
	origin, method := q.header.Get("Origin"), q.header.Get("Access-Control-Request-Method")
	if origin == "" {
		return errCORSRequest
	}
	if method == "" {
		return errCORSRequest.msg("Invalid Access-Control-Request-Method: null")
	}
	if !g.allowsOrigin(origin) {
		return errCORSDisabled.with("Method", method).with("ResourceType", q.resourceType())
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete:
	default:
		return errCORSDisabled.msg("CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.")
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, PUT, POST, DELETE, HEAD")
	if names := q.header.Get("Access-Control-Request-Headers"); names != "" {
		h.Set("Access-Control-Allow-Headers", names)
	}
	h.Set("Access-Control-Max-Age", "3000")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

// buffers are for bodies; largeBuffers for answers that do not fit one, where the number of turns between the
// processes counts.
var (
	buffers      = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, 4*bufferSize); return &b }}
)

const bufferSize = 64 << 10
