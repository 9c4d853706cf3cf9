package gateway

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"usher/internal/sigv4"
)

const (
	maxObject   = 5 << 30 // of one PutObject or UploadPart
	maxDocument = 2 << 20
	stalled     = 60 * time.Second // how long a client may send nothing of a body
)

// body is the verified body of a request. A small one has been read as a whole; of a larger one the last byte is
// handed out only when everything before it was found right (sigv4.Body), so that a store which waits for all bytes
// never completes an object that is not the signed one.
type body struct {
	length   int64
	small    []byte // when read
	pooled   *[]byte
	verified *sigv4.Body // nil for anonymous requests
	src      io.Reader
	err      error // why reading failed, if it did
	control  *http.ResponseController
	extended time.Time // when the read deadline was last moved
}

// newBody opens the body, without reading from it yet.
func (q *request) newBody() (*body, error) {
	b := &body{control: q.control}
	if q.signature == nil {
		switch {
		case strings.HasPrefix(q.header.Get("X-Amz-Content-Sha256"), "STREAMING-"):
			return nil, errNotImplemented.with("Header", "x-amz-content-sha256")
		case q.http.ContentLength < 0:
			return nil, errMissingContentLength
		}
		b.length, b.src = q.http.ContentLength, q.http.Body
	} else {
		verified, err := q.signature.Body(q.signingKey)
		if err != nil {
			return nil, err
		}
		b.length, b.verified, b.src = verified.Length(), verified, verified
	}
	return b, nil
}

// openBody prepares the body of an authorised request: it reads a small one, and leaves a large one to be streamed.
// Reading is what makes the server answer "100 Continue".
func (q *request) openBody() error {
	if q.body != nil { // a document, read before
		return nil
	}
	if q.http.ContentLength == 0 && q.signature != nil && (q.signature.PayloadHash == sigv4.EmptyHash || q.signature.PayloadHash == sigv4.UnsignedPayload) {
		q.body = &body{}
		return nil
	}
	b, err := q.newBody()
	if err != nil {
		return err
	}
	q.body = b
	if b.length > bufferSize && q.op.flags&upload == 0 {
		return errEntityTooLarge
	}
	if b.length > maxObject {
		return errEntityTooLarge.with("ProposedSize", strconv.FormatInt(b.length, 10)).with("MaxSizeAllowed", strconv.FormatInt(maxObject, 10))
	}
	if b.length > bufferSize {
		return nil
	}
	b.pooled = buffers.Get().(*[]byte)
	if err := b.readAll((*b.pooled)[:b.length]); err != nil {
		return err
	}
	if q.op.flags&upload == 0 { // verified, and no business of the upstream
		b.release()
		q.body = &body{}
	}
	return nil
}

// readAll reads and verifies the whole body into p, which has its length.
func (b *body) readAll(p []byte) error {
	b.control.SetReadDeadline(time.Now().Add(stalled))
	defer b.control.SetReadDeadline(time.Time{})
	if _, err := io.ReadFull(b.src, p); err != nil {
		return bodyError(err)
	}
	var more [1]byte
	if n, err := b.src.Read(more[:]); n > 0 || err != io.EOF { // an empty body is verified by this read
		if n > 0 {
			err = errIncompleteBody
		}
		return bodyError(err)
	}
	b.small = p
	return nil
}

// bodyError tells the client's failures to send from those of signature and length.
func bodyError(err error) error {
	if _, ok := errors.AsType[*sigv4.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*s3Error](err); ok {
		return err
	}
	return errIncompleteBody.because(err)
}

// Read streams the body. It keeps the error that ended it, since the connection to the upstream reports its own.
func (b *body) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.extended) > stalled/4 {
		b.control.SetReadDeadline(now.Add(stalled))
		b.extended = now
	}
	n, err := b.src.Read(p)
	if err == io.EOF {
		b.control.SetReadDeadline(time.Time{})
	} else if err != nil {
		b.err = bodyError(err)
	}
	return n, err
}

// Close is called by the connection to the upstream; the body belongs to the server.
func (b *body) Close() error { return nil }

func (b *body) release() {
	if b != nil && b.pooled != nil {
		buffers.Put(b.pooled)
		b.pooled, b.small = nil, nil
	}
}

// trailer is the trailing checksum, once all was read.
func (b *body) trailer() http.Header {
	if b.verified == nil {
		return nil
	}
	return b.verified.Trailer()
}

// readDocument reads and checks the XML document that the decision depends on.
func (g *Gateway) readDocument(q *request) error {
	b, err := q.newBody()
	if err != nil {
		return err
	}
	if b.length > maxDocument {
		return errEntityTooLarge
	}
	if err := b.readAll(make([]byte, b.length)); err != nil {
		return err
	}
	for name, values := range q.header {
		sum, ok := digests[name]
		if !ok {
			continue
		}
		h := sum()
		h.Write(b.small)
		if got := base64.StdEncoding.EncodeToString(h.Sum(nil)); got != values[0] {
			return s3err(400, "BadDigest", "The "+strings.TrimPrefix(name, "X-Amz-Checksum-")+" you specified did not match the calculated checksum.")
		}
	}
	q.body = b
	switch q.op.name {
	case "CreateBucket":
		q.location, err = readLocation(b.small)
	case "PutObjectTagging":
		err = q.readTagging()
	}
	return err
}

// digests are the headers by which a client declares what it sent.
var digests = map[string]func() hash.Hash{
	"Content-Md5":              md5.New,
	"X-Amz-Checksum-Crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"X-Amz-Checksum-Crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"X-Amz-Checksum-Crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) }, // NVM Express Base Specification
	"X-Amz-Checksum-Sha1":      sha1.New,
	"X-Amz-Checksum-Sha256":    sha256.New,
}

// tagging is the document of PutObjectTagging.
type tagging struct {
	XMLName xml.Name `xml:"Tagging"`
	Tags    []struct {
		Key   string
		Value string
	} `xml:"TagSet>Tag"`
}

// readTagging reads the tags of PutObjectTagging and puts the document in the one form that can be read one way only.
func (q *request) readTagging() error {
	var in tagging
	if err := xml.Unmarshal(q.body.small, &in); err != nil {
		return errMalformedXML
	}
	var tags []param
	for _, t := range in.Tags {
		tags = append(tags, param{t.Key, t.Value})
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	b := append([]byte(xmlHeader), `<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>`...)
	for _, t := range tags {
		b = append(b, "<Tag>"...)
		b = appendElement(appendElement(b, "Key", t.name), "Value", t.value)
		b = append(b, "</Tag>"...)
	}
	q.body.small = append(b, "</TagSet></Tagging>"...)
	q.body.length = int64(len(q.body.small))
	q.tags = tags
	return nil
}

// checkTags: at most ten, each key once (Amazon S3 User Guide, "Categorizing your objects using tags").
func checkTags(tags []param) error {
	if len(tags) > 10 {
		return s3err(400, "BadRequest", "Object tags cannot be greater than 10")
	}
	for i, t := range tags {
		if t.name == "" || len(t.name) > 128*4 || len(t.value) > 256*4 {
			return errInvalidTag.with("TagKey", t.name)
		}
		for _, other := range tags[:i] {
			if other.name == t.name {
				return errInvalidTag.msg("Cannot provide multiple Tags with the same key").with("TagKey", t.name)
			}
		}
	}
	return nil
}

// readTagHeader reads x-amz-tagging, which has the form of a query, and writes it anew.
func (q *request) readTagHeader() error {
	header := q.header.Get("X-Amz-Tagging")
	if header == "" {
		return nil
	}
	var tags []param
	for pair := range strings.SplitSeq(header, "&") {
		n, v, _ := strings.Cut(pair, "=")
		name, ok1 := unescape(n, true)
		value, ok2 := unescape(v, true)
		if !ok1 || !ok2 {
			return errInvalidArgument.msg("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.").with("ArgumentName", "x-amz-tagging")
		}
		tags = append(tags, param{name, value})
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	q.tags = tags
	return nil
}

// tagHeader is the x-amz-tagging header for the upstream.
func tagHeader(tags []param) string {
	var b []byte
	for i, t := range tags {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendEscaped(append(appendEscaped(b, t.name, false), '='), t.value, false)
	}
	return string(b)
}
