package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"usher/internal/sigv4"
)

// What the upstream sees: the exact bytes of the path, our signature, and nothing of the client's.
func TestForwarded(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		upstream, up := startRecorder(t, sealed)
		f := newGateway(t, up, nil)
		f.own(t, "box", account)
		for _, c := range []struct{ method, target, headers, want string }{
			{"GET", "/box/a.txt", "", "/box/a.txt"},
			{"GET", "/a.txt", "Host: box.localhost", "/box/a.txt"},
			{"GET", "/box//a/../b/./c/", "", "/box//a/../b/./c/"},
			{"GET", "/box/a%2Fb%2f%2E%2E%2Fc", "", "/box/a/b/../c"},
			{"GET", "/box/a%252Fb", "", "/box/a%252Fb"},
			{"GET", "/box/%c3%bc+&=;:@$,!*'()?versionId=a%2Bb", "", "/box/%C3%BC%2B%26%3D%3B%3A%40%24%2C%21%2A%27%28%29?versionId=a%2Bb"},
			{"GET", "/box?list-type=2&prefix=a+b%2F%26&x-id=ListObjectsV2", "", "/box?list-type=2&prefix=a%20b%2F%26"},
			{"GET", "/?prefix=x", "Host: box.localhost", "/box?prefix=x"},
			{"DELETE", "/box/a?tagging", "", "/box/a?tagging="},
		} {
			var headers []string
			if c.headers != "" {
				headers = append(headers, c.headers)
			}
			w := f.do(sign(t, "ASIATEMP", c.method, c.target, nil, append(headers, "Range: bytes=0-1", "Accept-Encoding: gzip", "Cookie: c=1",
				"X-Forwarded-For: 1.2.3.4", "x-amz-user-agent: sdk", "x-amz-unknown-power: on", "Te: trailers", "Origin: http://page")...))
			got := upstream.take()
			if w.Code != 200 || len(got) != 1 {
				t.Errorf("%s: %d %s, %d requests", c.target, w.Code, w.Body, len(got))
				continue
			}
			r := got[0]
			if r.target != c.want || r.method != c.method {
				t.Errorf("%s: upstream got %s %s, want %s", c.target, r.method, r.target, c.want)
			}
			for name := range r.header {
				switch name {
				case "Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "Range", "User-Agent", "Content-Length":
				default:
					t.Errorf("%s: upstream got %s: %q", c.target, name, r.header[name])
				}
			}
			verifyUpstream(t, up, r)
		}
	}
}

// verifyUpstream checks the gateway's own signature.
func verifyUpstream(t *testing.T, up Upstream, got received) {
	t.Helper()
	r := &http.Request{Method: got.method, RequestURI: got.target, Host: got.host, Header: got.header}
	claims, err := sigv4.Parse(r, sigv4.Options{Service: "s3", Region: up.Region, Now: time.Now()})
	if err != nil {
		t.Error(err)
		return
	}
	if err := claims.Verify(sigv4.SigningKey(up.SecretAccessKey, claims.Date, claims.Region, claims.Service), claims.PayloadHash); err != nil || claims.AccessKeyID != up.AccessKeyID {
		t.Errorf("upstream signature of %s: %v", got.target, err)
	}
}

// A body goes on with its length, decoded, and with what the client has declared of it.
func TestForwardedBody(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		upstream, up := startRecorder(t, sealed)
		f := newGateway(t, up, nil)
		f.own(t, "box", account)
		srv := httptest.NewServer(f)
		defer srv.Close()
		for _, size := range []int{0, 5, bufferSize, bufferSize + 1, 2*chunk + 1} {
			body := randomBytes(size)
			var crc [4]byte
			binary.BigEndian.PutUint32(crc[:], crc32.ChecksumIEEE(body))
			sum := base64.StdEncoding.EncodeToString(crc[:])
			chunked := slices.Concat([]byte(strconv.FormatInt(int64(size), 16)+"\r\n"), body, []byte("\r\n"))
			if size == 0 {
				chunked = nil
			}
			chunked = append(chunked, "0\r\nx-amz-checksum-crc32:"+sum+"\r\n\r\n"...)
			for _, c := range []struct {
				name    string
				sent    []byte
				headers []string
			}{
				{"plain", body, []string{"x-amz-content-sha256: " + sigv4.PayloadHash(body), "x-amz-checksum-crc32: " + sum}},
				{"unsigned", body, []string{"x-amz-content-sha256: UNSIGNED-PAYLOAD", "Content-Encoding: gzip"}},
				{"trailer", chunked, []string{"x-amz-content-sha256: " + sigv4.StreamingUnsignedTrailer, "x-amz-trailer: x-amz-checksum-crc32",
					"Content-Encoding: aws-chunked, gzip", "x-amz-decoded-content-length: " + strconv.Itoa(size)}},
			} {
				r := sign(t, "AKIAALICE", "PUT", "/box/k", nil, append(c.headers, "Content-Type: text/x", "x-amz-meta-m: 1")...)
				r.RequestURI, r.URL.Scheme, r.URL.Host, r.URL.Path = "", "http", srv.Listener.Addr().String(), "/box/k"
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.sent)), int64(len(c.sent))
				if len(c.sent) == 0 {
					r.Body = http.NoBody
				}
				res, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(res.Body)
				res.Body.Close()
				got := upstream.take()
				name := fmt.Sprintf("%s %d bytes, sealed %v", c.name, size, sealed)
				if res.StatusCode != 200 || len(got) != 1 {
					t.Errorf("%s: %d %s", name, res.StatusCode, text)
					continue
				}
				verifyUpstream(t, up, got[0])
				h := got[0].header
				encoding, data, checksum := h.Get("Content-Encoding"), got[0].body, h.Get("X-Amz-Checksum-Crc32")
				if h.Get("X-Amz-Trailer") != "" {
					if h.Get("X-Amz-Decoded-Content-Length") != strconv.Itoa(size) || h.Get("X-Amz-Content-Sha256") != sigv4.StreamingUnsignedTrailer || h.Get("Content-Length") != strconv.Itoa(len(data)) {
						t.Errorf("%s: headers %v", name, h)
					}
					encoding, _ = strings.CutPrefix(encoding, "aws-chunked")
					encoding = strings.TrimPrefix(encoding, ",")
					data, checksum = dechunk(t, data)
				}
				if !bytes.Equal(data, body) {
					t.Errorf("%s: upstream got %d other bytes", name, len(data))
				}
				if want := map[string]string{"plain": "", "unsigned": "gzip", "trailer": "gzip"}[c.name]; encoding != want {
					t.Errorf("%s: Content-Encoding %q", name, encoding)
				}
				if c.name != "unsigned" && checksum != sum {
					t.Errorf("%s: checksum %q, want %q", name, checksum, sum)
				}
				if h.Get("X-Amz-Meta-M") != "1" || h.Get("Content-Type") != "text/x" {
					t.Errorf("%s: headers %v", name, h)
				}
			}
		}
	}
}

// dechunk reads aws-chunked encoding with a trailing CRC32.
func dechunk(t *testing.T, b []byte) (data []byte, checksum string) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(b))
	for {
		line, err := r.ReadString('\n')
		n, perr := strconv.ParseInt(strings.TrimSuffix(line, "\r\n"), 16, 64)
		if err != nil || perr != nil {
			t.Errorf("chunk header %q: %v", line, err)
			return nil, ""
		}
		if n == 0 {
			break
		}
		part := make([]byte, n+2)
		if _, err := io.ReadFull(r, part); err != nil || string(part[n:]) != "\r\n" {
			t.Errorf("chunk of %d bytes: %v", n, err)
			return nil, ""
		}
		data = append(data, part[:n]...)
	}
	rest, _ := io.ReadAll(r)
	checksum, ok := strings.CutPrefix(strings.TrimSuffix(string(rest), "\r\n\r\n"), "x-amz-checksum-crc32:")
	if !ok {
		t.Errorf("trailer %q", rest)
	}
	return data, checksum
}

// A bad hash is found before the upstream has the last byte, and "100 Continue" is said to those alone who may.
func TestUploadIsHeldBack(t *testing.T) {
	upstream, up := startRecorder(t, true)
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	srv := httptest.NewServer(f)
	defer srv.Close()
	body := randomBytes(3 * bufferSize)
	send := func(r *http.Request, body []byte) string {
		t.Helper()
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n", r.RequestURI, r.Host, len(body))
		r.Header.Write(c)
		io.WriteString(c, "\r\n")
		in := bufio.NewReader(c)
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "100") {
			in.ReadString('\n')
			c.Write(body)
			next, _ := in.ReadString('\n')
			return strings.TrimSpace(line) + "|" + strings.TrimSpace(next)
		}
		return strings.TrimSpace(line)
	}
	bad := bytes.Clone(body)
	bad[0] ^= 1
	if got := send(sign(t, "AKIAALICE", "PUT", "/box/k", body), bad); got != "HTTP/1.1 100 Continue|HTTP/1.1 400 Bad Request" {
		t.Errorf("changed body: %s", got)
	}
	time.Sleep(50 * time.Millisecond)
	for _, r := range upstream.take() {
		if r.err == nil || len(r.body) >= len(body) {
			t.Errorf("the upstream got all %d bytes of a changed body", len(r.body))
		}
	}
	f.rules.set("s3:PutObject*")
	if got := send(sign(t, "AKIAALICE", "PUT", "/box/k", body), body); got != "HTTP/1.1 403 Forbidden" {
		t.Errorf("denied: %s", got)
	}
	f.rules.set()
	if got := send(sign(t, "AKIAALICE", "PUT", "/box/k", body), body); got != "HTTP/1.1 100 Continue|HTTP/1.1 200 OK" {
		t.Errorf("allowed: %s", got)
	}
}

// Errors of the upstream are told in our name; those about our own key are not told.
func TestUpstreamErrors(t *testing.T) {
	upstream, up := startRecorder(t, true)
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	for _, c := range []struct {
		status int
		body   string
		want   int
		code   string
		has    string
	}{
		{404, "<Error><Code>NoSuchKey</Code><Message>m</Message><Key>enc</Key><RequestId>theirs</RequestId></Error>", 404, "NoSuchKey", "<Key>k</Key>"},
		{416, "<Error><Code>InvalidRange</Code><Message>m</Message><ActualObjectSize>7</ActualObjectSize><HostId>theirs</HostId></Error>", 416, "InvalidRange", "<ActualObjectSize>7</ActualObjectSize>"},
		{403, "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>UPSTREAMKEY</AWSAccessKeyId><StringToSign>theirs</StringToSign></Error>", 500, "InternalError", ""},
		{403, "<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>UPSTREAMKEY</AWSAccessKeyId></Error>", 500, "InternalError", ""},
		{403, "<Error><Code>AccessDenied</Code><Message>theirs</Message></Error>", 403, "AccessDenied", "Access Denied"},
		{404, "<Error><Code>NoSuchBucket</Code><BucketName>box</BucketName></Error>", 500, "InternalError", ""},
		{503, "<Error><Code>SlowDown</Code><Message>m</Message></Error>", 503, "SlowDown", ""},
		{500, "theirs", 500, "InternalError", ""},
		{502, "<html>theirs</html>", 500, "InternalError", ""},
	} {
		upstream.answer = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", "theirs")
			w.Header().Set("X-Amz-Request-Id", "theirs")
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		}
		w := f.do(sign(t, "AKIAALICE", "GET", "/box/k", nil))
		text := w.Body.String()
		if w.Code != c.want || code(text) != c.code || !strings.Contains(text, c.has) || strings.Contains(text, "theirs") || strings.Contains(text, "UPSTREAMKEY") ||
			!strings.Contains(text, "<Resource>/box/k</Resource><RequestId>"+w.Header().Get("X-Amz-Request-Id")+"</RequestId><HostId>") || w.Header().Get("Server") != "" {
			t.Errorf("%d %s: %d %s %v", c.status, c.body, w.Code, text, w.Header())
		}
	}
	upstream.answer = func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	if w := f.do(sign(t, "AKIAALICE", "PUT", "/box/k", []byte("x"))); w.Code != 503 || code(w.Body.String()) != "ServiceUnavailable" {
		t.Errorf("aborted: %d %s", w.Code, w.Body)
	}
}

// An answer that breaks off must look broken to the client.
func TestBrokenAnswer(t *testing.T) {
	upstream, up := startRecorder(t, true)
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	upstream.answer = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100000")
		w.Write(make([]byte, 50000))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	srv := httptest.NewServer(f)
	defer srv.Close()
	r := sign(t, "AKIAALICE", "GET", "/box/k", nil)
	r.RequestURI, r.URL.Scheme, r.URL.Host, r.URL.Path = "", "http", srv.Listener.Addr().String(), "/box/k"
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("read %d bytes without an error", len(b))
	}
}

// A client that goes away takes its request to the upstream with it, and a connection that the upstream has closed is
// replaced without the client noticing.
func TestUpstreamConnections(t *testing.T) {
	upstream, up := startRecorder(t, true)
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	waiting, gone := make(chan struct{}), make(chan struct{})
	upstream.answer = func(w http.ResponseWriter, r *http.Request) {
		close(waiting)
		<-r.Context().Done()
		close(gone)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() { done <- f.do(sign(t, "AKIAALICE", "GET", "/box/k", nil).WithContext(ctx)).Code }()
	select {
	case <-waiting:
	case status := <-done:
		t.Fatalf("answered %d before the upstream was asked", status)
	}
	cancel()
	if status := <-done; status != 503 {
		t.Errorf("cancelled: %d", status)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the upstream is still at work")
	}

	closes := false
	upstream.answer = func(w http.ResponseWriter, r *http.Request) {
		if closes {
			w.Header().Set("Connection", "close")
		}
		io.WriteString(w, "content")
	}
	get := func() {
		t.Helper()
		if w := f.do(sign(t, "AKIAALICE", "GET", "/box/k", nil)); w.Code != 200 || w.Body.String() != "content" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	get()
	p := f.store.plain
	if len(p.idle) != 1 {
		t.Fatalf("%d idle connections", len(p.idle))
	}
	p.idle[0].Conn.Close() // as seen from here after the upstream has
	get()
	closes = true
	get()
	if len(p.idle) != 0 {
		t.Errorf("a connection that the upstream ends was kept")
	}
	closes = false
	get()
	first := p.idle[0]
	if f.do(sign(t, "AKIAALICE", "HEAD", "/box/k", nil)); len(p.idle) != 1 || p.idle[0] != first {
		t.Error("HEAD did not keep the connection")
	}
}

// A body where none belongs is verified and stays here.
func TestBodyWithoutUse(t *testing.T) {
	upstream, up := startRecorder(t, true)
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	if w := f.do(sign(t, "AKIAALICE", "GET", "/box/k", []byte("GET /box/other HTTP/1.1\r\n\r\n"))); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := upstream.take(); len(got) != 1 || len(got[0].body) != 0 {
		t.Errorf("upstream got %v", got)
	}
	r := sign(t, "AKIAALICE", "DELETE", "/box/k", []byte("some"))
	r.Body = io.NopCloser(strings.NewReader("same"))
	if w := f.do(r); w.Code != 400 || len(upstream.take()) != 0 {
		t.Errorf("other body: %d", w.Code)
	}
}

func TestCORS(t *testing.T) {
	upstream, up := startRecorder(t, true)
	ask := func(f *fixture, origin string) *httptest.ResponseRecorder {
		headers := []string{"Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: authorization,x-amz-date"}
		if origin != "" {
			headers = append(headers, "Origin: "+origin)
		}
		return f.do(sign(t, "", "OPTIONS", "/box/k", nil, headers...))
	}
	closed := newGateway(t, up, nil)
	if w := ask(closed, "https://app.example"); w.Code != 403 || code(w.Body.String()) != "AccessForbidden" || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without configuration: %d %s", w.Code, w.Body)
	}
	open := newGateway(t, up, func(c *Config) { c.CORSOrigins = []string{"https://app.example"} })
	open.own(t, "box", account)
	w := ask(open, "https://app.example")
	if h := w.Header(); w.Code != 200 || h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Allow-Headers") != "authorization,x-amz-date" || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("allowed origin: %d %v", w.Code, h)
	}
	if w := ask(open, "https://evil.example"); w.Code != 403 {
		t.Errorf("other origin: %d", w.Code)
	}
	if w := ask(open, ""); w.Code != 400 {
		t.Errorf("no origin: %d", w.Code)
	}
	upstream.answer = func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Access-Control-Allow-Origin", "*") }
	w = open.do(sign(t, "AKIAALICE", "GET", "/box/k", nil, "Origin: https://app.example"))
	if h := w.Header(); h.Get("Access-Control-Allow-Origin") != "https://app.example" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "ETag") {
		t.Errorf("answer: %v", h)
	}
	w = open.do(sign(t, "AKIAALICE", "GET", "/box/k", nil, "Origin: https://evil.example"))
	if h := w.Header(); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("answer to another origin: %v", h)
	}
}

// One record for each request, without keys, tokens, signatures or names of objects.
func TestLog(t *testing.T) {
	_, up := startRecorder(t, true)
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	f.do(sign(t, "ASIATEMP", "PUT", "/box/private-name", []byte("some-content")))
	f.do(sign(t, "ASIATEMP", "GET", "/box?acl", nil))
	log := f.log.String()
	if n := strings.Count(log, "msg=s3"); n != 2 {
		t.Errorf("%d records", n)
	}
	for _, want := range []string{"operation=PutObject", "action=s3:PutObject", "bucket=box", "status=200", "received=12", "caller=arn:aws:iam::111122223333:user/ASIATEMP", "status=501 ", "code=NotImplemented", "request_id="} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %s: %s", want, log)
		}
	}
	for _, secret := range []string{"the-token", "temp-secret", "upstream-secret", "Signature", "private-name", "some-content"} {
		if strings.Contains(log, secret) {
			t.Errorf("log holds %s", secret)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, c := range mapping {
		f.Add(c.target, "box.localhost", "/box/a?versionId=1")
	}
	f.Fuzz(func(t *testing.T, target, host, source string) {
		if strings.ContainsAny(target, " \r\n") {
			return
		}
		q := &request{http: &http.Request{Method: "GET", RequestURI: target, Host: host, Header: http.Header{}}, method: "GET"}
		if q.address([]string{"localhost", "s3.localhost"}) == nil {
			// What goes to the upstream reads as the same bucket, key and parameters.
			s := &store{}
			r := s.request(t.Context(), "GET", q.bucket, q.key, q.params)
			again := &request{http: &http.Request{Method: "GET", RequestURI: r.URL.RequestURI(), Header: http.Header{}}, method: "GET"}
			if q.bucket == "" {
				return
			}
			if err := again.address(nil); err != nil || again.bucket != q.bucket || again.key != q.key || !slices.Equal(again.params, slices.DeleteFunc(slices.Clone(q.params), func(p param) bool { return p.name == "" })) && !slices.Equal(again.params, q.params) {
				t.Errorf("%q: %q %q %v became %q: %q %q %v (%v)", target, q.bucket, q.key, q.params, r.URL.RequestURI(), again.bucket, again.key, again.params, err)
			}
		}
		if s, err := parseCopySource(source); err == nil {
			again, err := parseCopySource(s.header())
			if err != nil || *again != *s {
				t.Errorf("%q: %+v became %q: %+v", source, s, s.header(), again)
			}
		}
	})
}
