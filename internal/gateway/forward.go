package gateway

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"usher/internal/awsapi"
	"usher/internal/sigv4"
)

// forward sends the request on and streams the answer.
func (g *Gateway) forward(w *answer, q *request) error {
	return g.proxy(w, q, nil)
}

// proxy is forward with further headers.
func (g *Gateway) proxy(w *answer, q *request, extra http.Header) error {
	ctx := q.http.Context()
	r := g.store.request(ctx, q.method, q.bucket, q.key, q.params)
	q.copyHeaders(r.Header)
	for name, values := range extra {
		r.Header[name] = values
	}
	payload := g.attach(r, q)
	res, err := g.store.send(r, payload)
	if err != nil {
		if q.body.err != nil {
			return q.body.err
		}
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		return g.refused(q, res)
	}
	if q.body.err != nil { // an answer before the body ended can be no success
		return q.body.err
	}

	if rewritten[q.op.name] && res.StatusCode == http.StatusOK {
		return g.rewrite(w, q, res)
	}
	copyAnswer(w.Header(), res.Header)
	w.WriteHeader(res.StatusCode)
	if q.method == http.MethodHead {
		return nil
	}
	pool := &buffers
	if res.ContentLength > bufferSize {
		pool = &largeBuffers
	}
	buf := pool.Get().(*[]byte)
	defer pool.Put(buf)
	return stream(w, res.Body, *buf)
}

// attach gives the request its body, and says what to sign for it.
func (g *Gateway) attach(r *http.Request, q *request) (payloadHash string) {
	b := q.body
	switch {
	case b.length == 0 || b.small != nil:
		setBody(r, b.small)
		for name, values := range b.trailer() {
			r.Header[name] = values // the value of a trailing checksum is known in time to be a header
		}
		if len(b.small) > 0 && g.store.sealed {
			return sigv4.UnsignedPayload
		}
		return sigv4.PayloadHash(b.small)
	}
	if name := trailerName(q); name != "" {
		t := newTrailing(b, name)
		r.Body, r.ContentLength = t, t.length()
		r.Header["Content-Encoding"] = []string{strings.TrimSuffix("aws-chunked,"+strings.Join(r.Header["Content-Encoding"], ","), ",")}
		r.Header["X-Amz-Trailer"] = []string{name}
		r.Header["X-Amz-Decoded-Content-Length"] = []string{strconv.FormatInt(b.length, 10)}
		return sigv4.StreamingUnsignedTrailer
	}
	r.Body, r.ContentLength = b, b.length
	if h := q.signature; h != nil && !g.store.sealed && len(h.PayloadHash) == 64 {
		return h.PayloadHash
	}
	return sigv4.UnsignedPayload
}

// trailerName is the checksum that the client sends after the body. S3 takes one.
func trailerName(q *request) string {
	if q.signature == nil || !strings.HasSuffix(q.signature.PayloadHash, "-TRAILER") {
		return ""
	}
	name, _, _ := strings.Cut(q.header.Get("X-Amz-Trailer"), ",")
	return strings.ToLower(strings.TrimSpace(name))
}

// trailing writes a body in aws-chunked encoding with an unsigned trailing checksum, so that the upstream keeps the
// checksum with the object. A chunk is written when it is there as a whole, the last one therefore when all is
// verified.
type trailing struct {
	b    *body
	name string
	buf  *[]byte
	out  []byte
	done bool
	err  error
}

const chunk = bufferSize - 512 // with its frame it fits a buffer

func newTrailing(b *body, name string) *trailing {
	return &trailing{b: b, name: name, buf: buffers.Get().(*[]byte)}
}

// checksumSize is the size in bytes of each trailing checksum.
var checksumSize = map[string]int{"x-amz-checksum-crc32": 4, "x-amz-checksum-crc32c": 4, "x-amz-checksum-crc64nvme": 8, "x-amz-checksum-sha1": 20, "x-amz-checksum-sha256": 32}

// length is that of the encoded body.
func (t *trailing) length() int64 {
	frame := func(n int64) int64 { return int64(len(strconv.FormatInt(n, 16))) + 2 + n + 2 }
	whole, rest := t.b.length/chunk, t.b.length%chunk
	total := whole * frame(chunk)
	if rest > 0 {
		total += frame(rest)
	}
	return total + int64(len("0\r\n")+len(t.name)+1+base64.StdEncoding.EncodedLen(checksumSize[t.name])+len("\r\n\r\n"))
}

func (t *trailing) Read(p []byte) (int, error) {
	for len(t.out) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		t.next()
	}
	n := copy(p, t.out)
	t.out = t.out[n:]
	return n, nil
}

func (t *trailing) next() {
	if t.done {
		t.err = io.EOF
		return
	}
	buf := *t.buf
	const head = 16
	n, err := io.ReadFull(t.b, buf[head:head+chunk])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		t.err = err
		return
	}
	// An end before all bytes would have been an error of its own.
	end := head + n
	if n > 0 {
		size := strconv.FormatInt(int64(n), 16) + "\r\n"
		start := head - len(size)
		copy(buf[start:], size)
		end += copy(buf[end:], "\r\n")
		t.out = buf[start:end]
	} else {
		t.out = buf[head:head]
	}
	if err != nil {
		t.done = true
		t.out = append(t.out, "0\r\n"...)
		t.out = append(append(append(t.out, t.name...), ':'), t.b.trailer().Get(t.name)...)
		t.out = append(t.out, "\r\n\r\n"...)
	}
}

func (t *trailing) Close() error { return nil }

// single reports whether a header may be given only once. Those of the client's own metadata may be repeated.
func single(name string) bool {
	switch name {
	case "Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Content-Type", "Content-Md5":
		return true
	}
	return strings.HasPrefix(name, "X-Amz-") && !strings.HasPrefix(name, "X-Amz-Meta-") && name != "X-Amz-Trailer" && name != "X-Amz-Object-Attributes"
}

// forwarded are the headers that go to the upstream, besides x-amz-meta-* and x-amz-checksum-*. All others stop here: a
// header that is unknown today may ask for an action of its own tomorrow.
var forwarded = func() map[string]bool {
	names := map[string]bool{}
	for name := range strings.FieldsSeq(`
		Cache-Control Content-Disposition Content-Language Content-Md5 Content-Type Expires
		If-Match If-None-Match If-Modified-Since If-Unmodified-Since Range
		X-Amz-Sdk-Checksum-Algorithm
		X-Amz-Storage-Class X-Amz-Website-Redirect-Location X-Amz-Metadata-Directive
		X-Amz-Server-Side-Encryption X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id X-Amz-Server-Side-Encryption-Bucket-Key-Enabled
		X-Amz-Server-Side-Encryption-Context X-Amz-Server-Side-Encryption-Customer-Algorithm
		X-Amz-Server-Side-Encryption-Customer-Key X-Amz-Server-Side-Encryption-Customer-Key-Md5
		X-Amz-Copy-Source-If-Match X-Amz-Copy-Source-If-None-Match X-Amz-Copy-Source-If-Modified-Since
		X-Amz-Copy-Source-If-Unmodified-Since X-Amz-Copy-Source-Range
		X-Amz-Copy-Source-Server-Side-Encryption-Customer-Algorithm X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key
		X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key-Md5
		X-Amz-Object-Lock-Mode X-Amz-Object-Lock-Retain-Until-Date X-Amz-Object-Lock-Legal-Hold
		X-Amz-If-Match-Last-Modified-Time X-Amz-If-Match-Size X-Amz-Mp-Object-Size
		X-Amz-Object-Attributes X-Amz-Max-Parts X-Amz-Part-Number-Marker`) {
		names[name] = true
	}
	return names
}()

// copyHeaders copies what the upstream is to know of the request.
func (q *request) copyHeaders(h http.Header) {
	for name, values := range q.header {
		switch {
		case q.op.flags&document != 0 && (digests[name] != nil || name == "X-Amz-Sdk-Checksum-Algorithm"):
			// checked against the document as it was sent, which is written anew
		case q.op.flags&creates == 0 && strings.HasPrefix(name, "X-Amz-Object-Lock-"):
			// was not decided on
		case forwarded[name] || strings.HasPrefix(name, "X-Amz-Meta-") || strings.HasPrefix(name, "X-Amz-Checksum-"):
			h[name] = values
		case name == "Content-Encoding":
			var rest []string
			for v := range strings.SplitSeq(strings.Join(values, ","), ",") {
				if v = strings.TrimSpace(v); v != "" && !strings.EqualFold(v, "aws-chunked") {
					rest = append(rest, v)
				}
			}
			if rest != nil {
				h[name] = []string{strings.Join(rest, ",")}
			}
		}
	}
	if q.op.flags&document != 0 {
		sum := md5.Sum(q.body.small)
		h["Content-Md5"] = []string{base64.StdEncoding.EncodeToString(sum[:])}
	}
	if q.bypassesRetention() {
		h["X-Amz-Bypass-Governance-Retention"] = []string{"true"}
	}
	if q.source != nil {
		h["X-Amz-Copy-Source"] = []string{q.source.header()}
	}
	if q.op.flags&creates != 0 && len(q.tags) > 0 {
		h["X-Amz-Tagging"] = []string{tagHeader(q.tags)}
	}
}

// kept are the headers of an answer that stay on this side: those of the connection, and those that name the upstream.
var kept = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Server": true, "Date": true, "X-Amz-Request-Id": true, "X-Amz-Id-2": true, "Vary": true, "Set-Cookie": true, "Location": true, "Alt-Svc": true,
	"Strict-Transport-Security": true,
}

func copyAnswer(to, from http.Header) {
	for name, values := range from {
		if !kept[name] && !strings.HasPrefix(name, "Access-Control-") {
			to[name] = values
		}
	}
}

// stream copies the answer. A client that takes nothing for a while is left.
func stream(w http.ResponseWriter, src io.Reader, buf []byte) error {
	var control *http.ResponseController
	var extended time.Time
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if n >= bufferSize/2 || control != nil {
				if control == nil {
					control = http.NewResponseController(w)
				}
				if now := time.Now(); now.Sub(extended) > stalled/4 {
					control.SetWriteDeadline(now.Add(stalled))
					extended = now
				}
			}
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			if control != nil {
				control.SetWriteDeadline(time.Time{})
			}
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

// refused turns the upstream's error into ours. That a key is missing is told only to those who may list the bucket.
func (g *Gateway) refused(q *request, res *http.Response) error {
	b, err := readMost(res.Body, 1<<20)
	if err != nil {
		return errUnavailable.because(err)
	}
	e := (&reply{res.StatusCode, res.Header, b}).err()
	if e.Status != http.StatusNotFound || e.Code == "NoSuchUpload" {
		return e
	}
	if e.Code == "NoSuchBucket" {
		return errInternal.because(errors.New("the upstream has no such bucket"))
	}
	bucket, key, owner := q.bucket, q.key, q.owner
	if q.source != nil {
		bucket, key, owner = q.source.bucket, q.source.key, q.source.owner
	} else if q.op.flags&reads == 0 {
		return e
	}
	list := awsapi.Target{Action: "s3:ListBucket", Resource: resource(bucket, ""), Keys: q.commonKeys(), Account: owner}
	if err := g.decide(q, list); err != nil {
		return err
	}
	if e.Code == "NoSuchKey" {
		e = e.with("Key", key)
	}
	return e
}

// rewritten are the operations whose answers name the upstream's owner or address.
var rewritten = map[string]bool{"ListObjects": true, "ListObjectsV2": true, "ListMultipartUploads": true, "ListParts": true, "CompleteMultipartUpload": true}

// rewrite passes an XML answer on with our own owners and location.
func (g *Gateway) rewrite(w *answer, q *request, res *http.Response) error {
	b, err := readMost(res.Body, maxAnswer)
	if err != nil {
		return errUnavailable.because(err)
	}
	if q.op.name == "CompleteMultipartUpload" {
		if bytes.Contains(b, []byte("<Error>")) { // S3 may fail after it has answered 200
			return (&reply{http.StatusInternalServerError, res.Header, b}).err()
		}
		scheme := "http://"
		if q.http.TLS != nil {
			scheme = "https://"
		}
		location := appendEscaped([]byte(scheme+q.http.Host+"/"), q.bucket+"/"+q.key, true)
		if virtualBucket(q.http.Host, g.hosts) != "" {
			location = appendEscaped([]byte(scheme+q.http.Host+"/"), q.key, true)
		}
		b = replaceElement(b, "Location", appendText(nil, string(location)))
	} else {
		owner := appendElement(nil, "ID", canonicalUser(q.owner))
		b = replaceElement(replaceElement(b, "Owner", owner), "Initiator", owner)
	}
	copyAnswer(w.Header(), res.Header)
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(b))}
	w.WriteHeader(http.StatusOK)
	_, err = w.Write(b)
	return err
}

// replaceElement replaces what is within each element of that name. Text cannot hold a tag, since "<" is escaped there.
func replaceElement(b []byte, name string, content []byte) []byte {
	open, end := []byte("<"+name+">"), []byte("</"+name+">")
	if !bytes.Contains(b, open) {
		return b
	}
	out := make([]byte, 0, len(b)+256)
	for {
		i := bytes.Index(b, open)
		if i < 0 {
			break
		}
		j := bytes.Index(b[i:], end)
		if j < 0 {
			break
		}
		out = append(append(append(append(out, b[:i]...), open...), content...), end...)
		b = b[i+j+len(end):]
	}
	return append(out, b...)
}

// copyObject copies with the source's tags only if the caller may read and write them, as S3 does: without the
// permission an untagged source is copied, and a tagged one refused.
func (g *Gateway) copyObject(w *answer, q *request) error {
	directive := q.header.Get("X-Amz-Tagging-Directive")
	switch directive {
	case "REPLACE":
		return g.proxy(w, q, http.Header{"X-Amz-Tagging-Directive": {directive}})
	case "", "COPY":
	default:
		return errInvalidArgument.msg("Unknown tagging directive.").with("ArgumentName", "x-amz-tagging-directive").with("ArgumentValue", directive)
	}
	if len(q.tags) > 0 {
		return errInvalidArgument.msg("The x-amz-tagging header is not allowed unless the tagging directive is REPLACE.").with("ArgumentName", "x-amz-tagging")
	}
	read := "s3:GetObjectTagging"
	var version []param
	if q.source.version != "" {
		read, version = "s3:GetObjectVersionTagging", []param{{"versionId", q.source.version}}
	}
	write := q.targets[0]
	write.Action = "s3:PutObjectTagging"
	ctx := q.http.Context()
	targets := g.withTags([]awsapi.Target{q.sourceTarget(read)}, q.source.bucket, q.source.key, q.source.version)
	targets = append(targets, g.withTags([]awsapi.Target{write}, q.bucket, q.key, "")...)
	denied := g.c.Authorizer.Decide(ctx, q.caller, targets)
	if denied == nil {
		return g.proxy(w, q, http.Header{"X-Amz-Tagging-Directive": {"COPY"}})
	}
	if !errors.Is(denied, awsapi.ErrAccessDenied) {
		return denied
	}
	res, err := g.ask(ctx, http.MethodGet, q.source.bucket, q.source.key, append([]param{{"tagging", ""}}, version...), nil, nil)
	if err != nil {
		return err
	}
	if res.status == http.StatusOK && bytes.Contains(res.body, []byte("<Tag>")) {
		return denied
	}
	return g.proxy(w, q, http.Header{"X-Amz-Tagging-Directive": {"REPLACE"}})
}
