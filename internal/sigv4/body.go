package sigv4

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	minChunk      = 8192 // every chunk but the last
	maxLine       = 1024 // of a chunk header or a trailing header
	trailerSigned = "x-amz-trailer-signature"
)

// Body is the body of a verified S3 request, decoded and checked while it is read. The last byte is handed out only
// after all signatures, the length, the trailing headers and the checksums were found right: what is copied from a
// Body to a place that waits for Length bytes never becomes complete if the body is not the signed one.
//
// Errors of Read are *Error, or those of the connection.
type Body struct {
	src     *bufio.Reader
	chunked bool // aws-chunked encoding
	signed  bool // chunk by chunk
	length  int64
	left    int64 // of length, still to be returned
	err     error // sticky

	// Whole payload, not chunked.
	sum  hash.Hash // nil if unsigned
	want string

	// Chunk signatures.
	key      []byte
	prefix   string // "date \n scope \n"
	previous string

	chunkLeft int64 // of the current chunk
	chunkSize int64 // of the current chunk, 0 before the first
	chunkSig  string
	chunkSum  hash.Hash

	declared []string // names in X-Amz-Trailer
	sums     map[string]hash.Hash
	trailer  http.Header
}

// Body wraps the body of an S3 request after Verify has succeeded with the same key. The length must be declared:
// X-Amz-Decoded-Content-Length for a body in aws-chunked encoding, Content-Length otherwise.
func (q *Request) Body(signingKey []byte) (*Body, error) {
	b := &Body{length: q.r.ContentLength}
	switch q.PayloadHash {
	case UnsignedPayload:
	case StreamingPayload:
		b.chunked, b.signed = true, true
	case StreamingPayloadTrailer:
		b.chunked, b.signed = true, true
		b.declared = trailerNames(q.r.Header)
	case StreamingUnsignedTrailer:
		b.chunked = true
		b.declared = trailerNames(q.r.Header)
	default:
		b.sum, b.want = sha256.New(), q.PayloadHash
	}
	if b.chunked {
		n, err := strconv.ParseUint(first(q.r.Header["X-Amz-Decoded-Content-Length"]), 10, 62)
		if err != nil {
			return nil, fail(MissingLength, "You must provide the x-amz-decoded-content-length HTTP header.")
		}
		b.length = int64(n)
	}
	if b.length < 0 {
		return nil, fail(MissingLength, "You must provide the Content-Length HTTP header.")
	}
	if b.signed {
		b.key, b.chunkSum = signingKey, sha256.New()
		b.prefix = q.timestamp + "\n" + string(q.appendScope(nil)) + "\n"
		b.previous = q.signature
	}
	if q.PayloadHash == StreamingPayloadTrailer || q.PayloadHash == StreamingUnsignedTrailer {
		if len(b.declared) == 0 {
			return nil, fail(Trailer, "The x-amz-trailer header is missing.")
		}
		b.sums = make(map[string]hash.Hash)
		for _, name := range b.declared {
			newSum, ok := checksums[name]
			if !ok || b.sums[name] != nil {
				return nil, fail(Trailer, "The value specified in the x-amz-trailer header is not supported")
			}
			b.sums[name] = newSum()
		}
	}
	b.left = b.length
	src := io.Reader(q.r.Body)
	if q.r.Body == nil {
		src = http.NoBody
	}
	b.src = bufio.NewReaderSize(src, 4096)
	return b, nil
}

func trailerNames(h http.Header) (names []string) {
	for _, v := range h["X-Amz-Trailer"] {
		for name := range strings.SplitSeq(v, ",") {
			names = append(names, strings.ToLower(strings.TrimSpace(name)))
		}
	}
	return names
}

// checksums are the trailing checksums that S3 knows, by header. CRC values are big-endian.
var checksums = map[string]func() hash.Hash{
	"x-amz-checksum-crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"x-amz-checksum-crc32c":    func() hash.Hash { return crc32.New(castagnoli) },
	"x-amz-checksum-crc64nvme": func() hash.Hash { return crc64.New(nvme) },
	"x-amz-checksum-sha1":      sha1.New,
	"x-amz-checksum-sha256":    sha256.New,
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	nvme       = crc64.MakeTable(0x9a6c9329ac4bc9b5) // NVM Express Base Specification, reversed polynomial
)

// Length is the length in bytes of what Read returns in all.
func (b *Body) Length() int64 {
	return b.length
}

// Trailer returns the trailing headers, once Read has returned io.EOF.
func (b *Body) Trailer() http.Header {
	return b.trailer
}

// Close does nothing: the server owns the body.
func (b *Body) Close() error {
	return nil
}

func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.read(p)
	if err != nil {
		b.err = err
	}
	return n, err
}

func (b *Body) read(p []byte) (int, error) {
	if b.left == 0 {
		if err := b.finish(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	if b.left > 1 {
		p = p[:min(int64(len(p)), b.left-1)]
		n, err := b.data(p)
		b.left -= int64(n)
		return n, err
	}
	var last [1]byte
	n, err := b.data(last[:])
	if err != nil || n == 0 {
		return 0, err
	}
	if err := b.finish(); err != nil {
		return 0, err
	}
	b.left = 0
	b.err = io.EOF
	p[0] = last[0]
	return 1, nil
}

// data reads payload bytes, at least one, and adds them to all sums.
func (b *Body) data(p []byte) (int, error) {
	if b.chunked {
		for b.chunkLeft == 0 {
			if err := b.nextChunk(); err != nil {
				return 0, err
			}
			if b.chunkSize == 0 {
				return 0, shortBody
			}
		}
		p = p[:min(int64(len(p)), b.chunkLeft)]
	}
	n, err := b.src.Read(p)
	if n > 0 {
		err = nil
	} else if err == io.EOF {
		err = shortBody
	}
	p = p[:n]
	switch {
	case b.sum != nil:
		b.sum.Write(p)
	case b.signed:
		b.chunkSum.Write(p)
	}
	for _, sum := range b.sums {
		sum.Write(p)
	}
	if b.chunked {
		b.chunkLeft -= int64(n)
	}
	return n, err
}

var (
	shortBody error = fail(IncompleteBody, "You did not provide the number of bytes specified by the Content-Length HTTP header")
	badChunk  error = fail(IncompleteBody, "The request body is not in aws-chunked encoding")
)

// nextChunk ends the current chunk and reads the header of the next, "size;chunk-signature=signature" or "size".
func (b *Body) nextChunk() error {
	if err := b.endChunk(); err != nil {
		return err
	}
	line, err := b.line()
	if err != nil {
		return err
	}
	digits, extension, found := bytes.Cut(line, []byte(";"))
	if found != b.signed {
		return badChunk
	}
	if b.signed {
		signature, ok := bytes.CutPrefix(extension, []byte("chunk-signature="))
		if !ok {
			return badChunk
		}
		b.chunkSig = string(signature)
	}
	if len(digits) == 0 || len(digits) > 15 {
		return badChunk
	}
	size, err := strconv.ParseUint(string(digits), 16, 62)
	if err != nil {
		return badChunk
	}
	if size > 0 && b.chunkSize > 0 && b.chunkSize < minChunk {
		return fail(ChunkSize, "Only the last chunk is allowed to have a size less than 8192 bytes")
	}
	b.chunkSize = int64(size)
	if b.chunkSize > b.left {
		return fail(IncompleteBody, "The request body has more bytes than the x-amz-decoded-content-length HTTP header says")
	}
	b.chunkLeft = b.chunkSize
	return nil
}

// endChunk reads the line end after the data of a chunk and verifies its signature.
func (b *Body) endChunk() error {
	if b.chunkSize == 0 {
		return nil // before the first
	}
	line, err := b.line()
	if err != nil {
		return err
	}
	if len(line) > 0 {
		return badChunk
	}
	return b.verifyChunk()
}

// verifyChunk checks "AWS4-HMAC-SHA256-PAYLOAD \n date \n scope \n previous \n sha256("") \n sha256(chunk)".
func (b *Body) verifyChunk() error {
	if !b.signed {
		return nil
	}
	var sum [sha256.Size]byte
	err := b.check(algorithm+"-PAYLOAD\n"+b.prefix+b.previous+"\n"+EmptyHash+"\n"+hex.EncodeToString(b.chunkSum.Sum(sum[:0])), b.chunkSig)
	b.chunkSum.Reset()
	return err
}

func (b *Body) check(stringToSign, signature string) error {
	if !CheckSignature(b.key, []byte(stringToSign), signature) {
		return &Error{Kind: Mismatch, StringToSign: stringToSign,
			Message: "The request signature we calculated does not match the signature you provided. Check your key and signing method."}
	}
	b.previous = signature
	return nil
}

// finish reads what follows the payload and compares everything.
func (b *Body) finish() error {
	if !b.chunked {
		if err := b.end(); err != nil {
			return err
		}
		if b.sum != nil && !hmac.Equal([]byte(hex.EncodeToString(b.sum.Sum(nil))), []byte(b.want)) {
			return fail(PayloadMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.")
		}
		return nil
	}
	left := b.left
	b.left = 0 // any further data is too much
	defer func() { b.left = left }()
	if err := b.nextChunk(); err != nil {
		return err
	}
	if b.chunkSize != 0 {
		return badChunk
	}
	if err := b.verifyChunk(); err != nil {
		return err
	}
	if err := b.readTrailer(); err != nil {
		return err
	}
	return b.end()
}

// readTrailer reads "name:value" lines up to an empty one. In the signed form the signature comes last; some clients
// put an empty line before it, as the S3 documentation shows.
func (b *Body) readTrailer() error {
	malformed := func(message string) error { return fail(Trailer, "%s", message) }
	b.trailer = make(http.Header)
	var block []byte
	for signature, blank := "", false; ; {
		line, err := b.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			if !b.signed || len(b.declared) == 0 || signature != "" {
				break
			}
			if blank {
				return malformed("The trailer signature is missing.")
			}
			blank = true
			continue
		}
		n, v, found := bytes.Cut(line, []byte(":"))
		name, value := strings.ToLower(string(n)), strings.TrimSpace(string(v))
		switch {
		case !found || signature != "" || len(b.declared) == 0:
			return malformed("The request contained trailing data that was not well-formed or did not conform to our published schema.")
		case name == trailerSigned && b.signed:
			signature = value
			sum := sha256.Sum256(block)
			if err := b.check(algorithm+"-TRAILER\n"+b.prefix+b.previous+"\n"+hex.EncodeToString(sum[:]), signature); err != nil {
				return err
			}
		case blank || b.sums[name] == nil || b.trailer.Get(name) != "":
			return malformed("The request contained a trailing header that is not declared in x-amz-trailer.")
		default:
			b.trailer.Set(name, value)
			block = append(append(append(append(block, name...), ':'), value...), '\n')
		}
	}
	for _, name := range b.declared {
		value := b.trailer.Get(name)
		if value == "" {
			return malformed("The trailing header " + name + " is missing.")
		}
		got := base64.StdEncoding.EncodeToString(b.sums[name].Sum(nil))
		if !hmac.Equal([]byte(got), []byte(value)) {
			return fail(BadDigest, "The %s you specified did not match the calculated checksum.",
				strings.ToUpper(strings.TrimPrefix(name, "x-amz-checksum-")))
		}
	}
	return nil
}

// end makes sure that nothing follows.
func (b *Body) end() error {
	_, err := b.src.ReadByte()
	switch {
	case err == nil:
		return fail(IncompleteBody, "The request body is longer than declared")
	case err != io.EOF:
		return err
	}
	return nil
}

// line reads a line of bounded length, without its end.
func (b *Body) line() ([]byte, error) {
	line, err := b.src.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine:
		return nil, badChunk
	case err == io.EOF:
		return nil, shortBody
	case err != nil:
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}
