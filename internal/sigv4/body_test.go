package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// put is a verified S3 request with a body, as after Verify.
func put(payload, signature, body string, length int, header ...string) *Request {
	r := &http.Request{Method: "PUT", Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	if length >= 0 {
		r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(length))
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return &Request{r: r, AccessKeyID: "AKIAIOSFODNN7EXAMPLE", Date: "20130524", Region: "us-east-1", Service: "s3",
		PayloadHash: payload, signature: signature, timestamp: "20130524T000000Z"}
}

func docsKey() []byte {
	return SigningKey(docsSecret, "20130524", "us-east-1", "s3")
}

// The example of "Signature calculations for the Authorization header: transferring payload in multiple chunks".
const chunkedRequest = "PUT /examplebucket/chunkObject.txt HTTP/1.1\nHost: s3.amazonaws.com\nx-amz-date: 20130524T000000Z\n" +
	"x-amz-storage-class: REDUCED_REDUNDANCY\nx-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\nContent-Encoding: aws-chunked\n" +
	"x-amz-decoded-content-length: 66560\nContent-Length: 66824\n" + docsAuth +
	"content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class," +
	"Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"

const (
	seed        = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
	trailerSeed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
)

var (
	chunked = "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + strings.Repeat("a", 65536) +
		"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + strings.Repeat("a", 1024) +
		"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	// The example with trailing headers, with and without the empty line that the documentation shows.
	chunkedTrailer = "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" + strings.Repeat("a", 65536) +
		"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" + strings.Repeat("a", 1024) +
		"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n" +
		"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
	chunkedTrailerDocs = strings.Replace(chunkedTrailer, "sOO8/Q==\r\n", "sOO8/Q==\n\r\n", 1)

	unsignedTrailer = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
)

func TestChunkedExample(t *testing.T) {
	r := received(chunkedRequest)
	r.Body = io.NopCloser(strings.NewReader(chunked))
	if r.ContentLength != int64(len(chunked)) {
		t.Fatalf("body of %d bytes", len(chunked))
	}
	q, err := Parse(r, Options{Now: at("20130524T000000Z")})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Verify(docsKey(), q.PayloadHash); err != nil {
		t.Fatal(err, err.(*Error).CanonicalRequest)
	}
	b, err := q.Body(docsKey())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(b)
	if err != nil || string(got) != strings.Repeat("a", 66560) || b.Length() != 66560 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestBody(t *testing.T) {
	hello := sha256.Sum256([]byte("hello"))
	helloHash := hex.EncodeToString(hello[:])
	crc32c := []string{"X-Amz-Trailer", "x-amz-checksum-crc32c"}
	crc32 := []string{"X-Amz-Trailer", "x-amz-checksum-crc32"}
	edit := func(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }
	trailer := func(name, value string) string { return "5\r\nhello\r\n0\r\n" + name + ":" + value + "\r\n\r\n" }
	cases := []struct {
		name   string
		req    *Request
		length int // when all is well
		want   Kind
	}{
		{"hash", put(helloHash, "", "hello", -1), 5, 0},
		{"hash of nothing", put(EmptyHash, "", "", -1), 0, 0},
		{"wrong hash", put(helloHash, "", "jello", -1), 0, PayloadMismatch},
		{"wrong hash of nothing", put(helloHash, "", "", -1), 0, PayloadMismatch},
		{"unsigned", put(UnsignedPayload, "", "hello", -1), 5, 0},

		{"signed", put(StreamingPayload, seed, chunked, 66560), 66560, 0},
		{"signed, empty", put(StreamingPayload, seed, signedChunks(seed, nil), 0), 0, 0},
		{"signed, one", put(StreamingPayload, seed, signedChunks(seed, []string{"x"}), 1), 1, 0},
		{"signed, small chunk before the last", put(StreamingPayload, seed, signedChunks(seed, []string{strings.Repeat("x", 8191), "x"}), 8192), 0, ChunkSize},
		{"signed, smallest chunk", put(StreamingPayload, seed, signedChunks(seed, []string{strings.Repeat("x", 8192), "x"}), 8193), 8193, 0},
		{"wrong seed", put(StreamingPayload, trailerSeed, chunked, 66560), 0, Mismatch},
		{"data changed", put(StreamingPayload, seed, edit(chunked, "aa\r\n400", "ab\r\n400"), 66560), 0, Mismatch},
		{"last data changed", put(StreamingPayload, seed, edit(chunked, "aa\r\n0;", "ab\r\n0;"), 66560), 0, Mismatch},
		{"end signature changed", put(StreamingPayload, seed, edit(chunked, "b6c6", "b6c7"), 66560), 0, Mismatch},
		{"chunk left out", put(StreamingPayload, seed, chunked[:strings.Index(chunked, "400;")]+chunked[strings.Index(chunked, "0;chunk-signature=b6"):], 65536), 0, Mismatch},
		{"too few declared", put(StreamingPayload, seed, chunked, 66559), 0, IncompleteBody},
		{"too many declared", put(StreamingPayload, seed, chunked, 66561), 0, IncompleteBody},
		{"cut", put(StreamingPayload, seed, chunked[:60000], 66560), 0, IncompleteBody},
		{"cut at the end", put(StreamingPayload, seed, chunked[:len(chunked)-2], 66560), 0, IncompleteBody},
		{"more after the end", put(StreamingPayload, seed, chunked+"x", 66560), 0, IncompleteBody},
		{"unsigned chunk", put(StreamingPayload, seed, "5\r\nhello\r\n0\r\n\r\n", 5), 0, IncompleteBody},
		{"wrong extension", put(StreamingPayload, seed, edit(chunked, "chunk-signature", "chunk"), 66560), 0, IncompleteBody},
		{"long header", put(StreamingPayload, seed, "1;chunk-signature="+strings.Repeat("0", 9000), 1), 0, IncompleteBody},
		{"huge size", put(StreamingPayload, seed, "ffffffffffffffff;chunk-signature="+seed+"\r\n", 9), 0, IncompleteBody},
		{"negative size", put(StreamingPayload, seed, "-1;chunk-signature="+seed+"\r\n", 9), 0, IncompleteBody},
		{"trailer without leave", put(StreamingPayload, seed, edit(chunked, "9df9\r\n\r\n", "9df9\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"), 66560), 0, Trailer},

		{"signed trailer", put(StreamingPayloadTrailer, trailerSeed, chunkedTrailer, 66560, crc32c...), 66560, 0},
		{"signed trailer as documented", put(StreamingPayloadTrailer, trailerSeed, chunkedTrailerDocs, 66560, crc32c...), 66560, 0},
		{"trailer changed", put(StreamingPayloadTrailer, trailerSeed, edit(chunkedTrailer, "sOO8", "sOO9"), 66560, crc32c...), 0, Mismatch},
		{"trailer signature changed", put(StreamingPayloadTrailer, trailerSeed, edit(chunkedTrailer, "d81f", "d81e"), 66560, crc32c...), 0, Mismatch},
		{"trailer signature missing", put(StreamingPayloadTrailer, trailerSeed, edit(chunkedTrailer, "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n", "\r\n"), 66560, crc32c...), 0, Trailer},
		{"trailers missing", put(StreamingPayloadTrailer, trailerSeed, chunkedTrailer[:strings.Index(chunkedTrailer, "x-amz-checksum")]+"\r\n", 66560, crc32c...), 0, IncompleteBody},
		{"trailer after its signature", put(StreamingPayloadTrailer, trailerSeed, edit(chunkedTrailer, "e435\r\n", "e435\r\nx-amz-checksum-crc32c:AAAA\r\n"), 66560, crc32c...), 0, Trailer},

		{"crc32", put(StreamingUnsignedTrailer, "", unsignedTrailer, 5, crc32...), 5, 0},
		{"crc32, upper case", put(StreamingUnsignedTrailer, "", trailer("X-Amz-Checksum-CRC32", " NhCmhg=="), 5, crc32...), 5, 0},
		{"crc32c", put(StreamingUnsignedTrailer, "", trailer("x-amz-checksum-crc32c", "mnG7TA=="), 5, crc32c...), 5, 0},
		{"crc64nvme", put(StreamingUnsignedTrailer, "", trailer("x-amz-checksum-crc64nvme", "M3eFcAZSQlc="), 5, "X-Amz-Trailer", "x-amz-checksum-crc64nvme"), 5, 0},
		{"sha1", put(StreamingUnsignedTrailer, "", trailer("x-amz-checksum-sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00="), 5, "X-Amz-Trailer", "x-amz-checksum-sha1"), 5, 0},
		{"sha256", put(StreamingUnsignedTrailer, "", trailer("x-amz-checksum-sha256", base64.StdEncoding.EncodeToString(hello[:])), 5, "X-Amz-Trailer", "x-amz-checksum-sha256"), 5, 0},
		{"crc32 of nothing", put(StreamingUnsignedTrailer, "", "0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", 0, crc32...), 0, 0},
		{"crc32 wrong", put(StreamingUnsignedTrailer, "", trailer("x-amz-checksum-crc32", "NhCmhw=="), 5, crc32...), 0, BadDigest},
		{"data and crc32 differ", put(StreamingUnsignedTrailer, "", edit(unsignedTrailer, "hello", "jello"), 5, crc32...), 0, BadDigest},
		{"other trailer", put(StreamingUnsignedTrailer, "", trailer("x-amz-checksum-sha1", "x"), 5, crc32...), 0, Trailer},
		{"no trailer", put(StreamingUnsignedTrailer, "", "5\r\nhello\r\n0\r\n\r\n", 5, crc32...), 0, Trailer},
		{"trailer without colon", put(StreamingUnsignedTrailer, "", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32\r\n\r\n", 5, crc32...), 0, Trailer},
		{"trailer twice", put(StreamingUnsignedTrailer, "", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", 5, crc32...), 0, Trailer},
		{"data without line end", put(StreamingUnsignedTrailer, "", "5\r\nhello0\r\n", 5, crc32...), 0, IncompleteBody},
	}
	for _, c := range cases {
		for _, style := range []string{"all", "one byte", "half", "data with error"} {
			raw, _ := io.ReadAll(c.req.r.Body)
			c.req.r.Body = io.NopCloser(bytes.NewReader(raw))
			var in io.Reader = bytes.NewReader(raw)
			switch style {
			case "one byte":
				if len(raw) > 10000 {
					in = iotest.HalfReader(in)
				} else {
					in = iotest.OneByteReader(in)
				}
			case "half":
				in = iotest.HalfReader(in)
			case "data with error":
				in = iotest.DataErrReader(in)
			}
			req := *c.req
			r := *c.req.r
			r.Body = io.NopCloser(in)
			req.r = &r
			b, err := req.Body(docsKey())
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			got, err := io.ReadAll(b)
			if kindOf(err) != c.want || (c.want == 0) != (err == nil) {
				t.Errorf("%s, %s: %v %v after %d bytes, want %v", c.name, style, kindOf(err), err, len(got), c.want)
				continue
			}
			if err == nil && len(got) != c.length {
				t.Errorf("%s, %s: %d bytes", c.name, style, len(got))
			}
			if err != nil && b.Length() > 0 && int64(len(got)) >= b.Length() {
				t.Errorf("%s, %s: the whole of a bad body was handed out", c.name, style)
			}
			if _, again := b.Read(make([]byte, 1)); err != nil && again != err || err == nil && again != io.EOF {
				t.Errorf("%s, %s: then %v", c.name, style, again)
			}
			if err == nil && len(b.declared) > 0 && b.Trailer().Get(b.declared[0]) == "" {
				t.Errorf("%s: trailer %v", c.name, b.Trailer())
			}
		}
	}
}

// signedChunks encodes a body as a client does.
func signedChunks(previous string, chunks []string) string {
	var out strings.Builder
	for _, c := range append(chunks, "") {
		previous = hex.EncodeToString(mac(docsKey(), "AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"+
			previous+"\n"+EmptyHash+"\n"+PayloadHash([]byte(c))))
		fmt.Fprintf(&out, "%x;chunk-signature=%s\r\n%s\r\n", len(c), previous, c)
	}
	return out.String()
}

func TestBodyDeclaration(t *testing.T) {
	unknown := put(UnsignedPayload, "", "", -1)
	unknown.r.ContentLength = -1
	for _, c := range []struct {
		name string
		req  *Request
		want Kind
	}{
		{"length unknown", unknown, MissingLength},
		{"decoded length missing", put(StreamingPayload, seed, chunked, -1), MissingLength},
		{"decoded length no number", put(StreamingPayload, seed, chunked, -1, "X-Amz-Decoded-Content-Length", "-5"), MissingLength},
		{"no trailer", put(StreamingUnsignedTrailer, "", "", 0), Trailer},
		{"unknown trailer", put(StreamingUnsignedTrailer, "", "", 0, "X-Amz-Trailer", "x-amz-meta-a"), Trailer},
		{"trailer twice", put(StreamingUnsignedTrailer, "", "", 0, "X-Amz-Trailer", "x-amz-checksum-crc32,x-amz-checksum-crc32"), Trailer},
	} {
		if _, err := c.req.Body(docsKey()); kindOf(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestBodyConnectionError(t *testing.T) {
	broken := errors.New("connection reset")
	req := put(UnsignedPayload, "", "hello", -1)
	req.r.Body = io.NopCloser(io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(broken)))
	b, _ := req.Body(nil)
	if _, err := io.ReadAll(b); err != broken {
		t.Errorf("%v", err)
	}
}

func TestCRC64NVME(t *testing.T) {
	// The check value of CRC-64/NVME.
	if got := crc64.Checksum([]byte("123456789"), nvme); got != 0xae8b14860a799888 {
		t.Errorf("%x", got)
	}
}

func FuzzBody(f *testing.F) {
	f.Add(chunkedTrailer[:200]+chunkedTrailer[65500:], 5, byte(1))
	f.Add(unsignedTrailer, 5, byte(2))
	f.Add(signedChunks(seed, []string{"x"}), 1, byte(0))
	f.Fuzz(func(t *testing.T, body string, length int, kind byte) {
		payload := []string{StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer}[kind%3]
		b, err := put(payload, seed, body, length, "X-Amz-Trailer", "x-amz-checksum-crc32").Body(docsKey())
		if err != nil {
			return
		}
		got, err := io.ReadAll(b)
		if err == nil && int64(len(got)) != b.Length() || err != nil && b.Length() > 0 && int64(len(got)) >= b.Length() {
			t.Fatalf("%d bytes of %d, %v", len(got), b.Length(), err)
		}
		if err != nil && kindOf(err) == 0 {
			t.Fatalf("error without kind: %v", err)
		}
	})
}

func BenchmarkBody(b *testing.B) {
	for name, payload := range map[string]string{"hash": PayloadHash([]byte(strings.Repeat("a", 1<<20))), "chunked": StreamingPayload} {
		b.Run(name, func(b *testing.B) {
			data := strings.Repeat("a", 1<<20)
			body, length := data, -1
			if payload == StreamingPayload {
				body, length = signedChunks(seed, []string{data[:1<<19], data[1<<19:]}), 1<<20
			}
			key := docsKey()
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				r, err := put(payload, seed, body, length).Body(key)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
