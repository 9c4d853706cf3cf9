package sigv4

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	suiteKeyID  = "AKIDEXAMPLE"
	suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	docsSecret  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

func at(timestamp string) time.Time {
	t, err := time.Parse(timeFormat, timestamp)
	if err != nil {
		panic(err)
	}
	return t
}

// received reads a request as a server would, but takes the target as it is: the suite has cases that net/http refuses.
func received(raw string) *http.Request {
	head, body, _ := strings.Cut(raw, "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	r := &http.Request{
		Method:        method,
		RequestURI:    strings.TrimSuffix(rest, " HTTP/1.1"),
		Header:        http.Header{},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "host":
			r.Host = strings.TrimSpace(value)
		case "content-length":
			r.ContentLength, _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		default:
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return r
}

func verify(r *http.Request, secret string, opts Options, payloadHash string) error {
	q, err := Parse(r, opts)
	if err != nil {
		return err
	}
	if q.S3() {
		payloadHash = q.PayloadHash
	}
	return q.Verify(SigningKey(secret, q.Date, q.Region, q.Service), payloadHash)
}

func kindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}

func TestSuite(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(string(data), "\n-- ")[1:]
	if len(cases) < 35 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		name, text, _ := strings.Cut(c, " --\n")
		t.Run(name, func(t *testing.T) {
			request, canonical, _ := strings.Cut(text, "\n== canonical ==\n")
			_, body, _ := strings.Cut(request, "\n\n")
			opts := Options{Service: "service", Region: "us-east-1", Now: at("20150830T123600Z")}
			q, err := Parse(received(request), opts)
			if err != nil {
				t.Fatal(err)
			}
			key := SigningKey(suiteSecret, q.Date, q.Region, q.Service)
			if err := q.Verify(key, PayloadHash([]byte(body))); err != nil {
				t.Errorf("%v\n%s", err, err.(*Error).CanonicalRequest)
			}
			key[0] ^= 1
			err = q.Verify(key, PayloadHash([]byte(body)))
			if kindOf(err) != Mismatch {
				t.Fatalf("with another key: %v", err)
			}
			if got := err.(*Error).CanonicalRequest; canonical != "" && got != strings.TrimSuffix(canonical, "\n") {
				t.Errorf("canonical request\n%s\nwant\n%s", got, canonical)
			}
		})
	}
}

const docsAuth = "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders="
const docsHead = "\nHost: examplebucket.s3.amazonaws.com\nx-amz-date: 20130524T000000Z\n"

// The worked examples of "Authenticating Requests" in the Amazon S3 API Reference.
var s3Examples = []struct{ name, request string }{
	{"GET object", "GET /test.txt HTTP/1.1" + docsHead + "Range: bytes=0-9\nx-amz-content-sha256:" + EmptyHash + "\n" +
		docsAuth + "host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
	{"PUT object", "PUT /test%24file.text HTTP/1.1" + docsHead + "Date: Fri, 24 May 2013 00:00:00 GMT\nx-amz-storage-class: REDUCED_REDUNDANCY\n" +
		"x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n" +
		docsAuth + "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
	{"PUT object, path as typed", "PUT /test$file.text HTTP/1.1" + docsHead + "Date: Fri, 24 May 2013 00:00:00 GMT\nx-amz-storage-class: REDUCED_REDUNDANCY\n" +
		"x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n" +
		docsAuth + "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
	{"GET lifecycle", "GET /?lifecycle HTTP/1.1" + docsHead + "x-amz-content-sha256:" + EmptyHash + "\n" +
		docsAuth + "host;x-amz-content-sha256;x-amz-date,Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
	{"list objects", "GET /?max-keys=2&prefix=J HTTP/1.1" + docsHead + "x-amz-content-sha256:" + EmptyHash + "\n" +
		docsAuth + "host;x-amz-content-sha256;x-amz-date,Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	{"presigned", "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404" +
		" HTTP/1.1\nHost: examplebucket.s3.amazonaws.com\n"},
}

func TestS3Examples(t *testing.T) {
	opts := Options{Service: "s3", Region: "us-east-1", Now: at("20130524T000500Z")}
	for _, c := range s3Examples {
		if err := verify(received(c.request), docsSecret, opts, ""); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := verify(received(c.request), suiteSecret, opts, ""); kindOf(err) != Mismatch {
			t.Errorf("%s with another secret: %v", c.name, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	const (
		cred  = "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
		sig   = "Signature=0000000000000000000000000000000000000000000000000000000000000000"
		query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE/20150830/us-east-1/s3/aws4_request&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
		date  = "\nX-Amz-Date: 20150830T123600Z"
		host  = ", SignedHeaders=host, "
	)
	header := func(auth, more string) string {
		return "GET / HTTP/1.1\nHost: h\nAuthorization: " + auth + more + "\n"
	}
	presigned := func(q string) string { return "GET /?" + q + " HTTP/1.1\nHost: h\n" }
	s3 := strings.ReplaceAll("AWS4-HMAC-SHA256 "+cred+host+sig, "/service/", "/s3/")
	now := at("20150830T123600Z")
	cases := []struct {
		name    string
		request string
		want    Kind
		message string // part of it
	}{
		{"anonymous", "GET / HTTP/1.1\nHost: h\n", Missing, "missing Authentication Token"},
		{"both", "GET /?" + query + " HTTP/1.1\nHost: h\nAuthorization: AWS4-HMAC-SHA256 " + cred + "\n", Ambiguous, "Only one auth mechanism"},
		{"version 2", header("AWS AKID:c2ln", date), Unsupported, "'AWS'"},
		{"version 2 query", presigned("AWSAccessKeyId=a&Signature=b&Expires=1"), Unsupported, ""},
		{"SigV4a", header("AWS4-ECDSA-P256-SHA256 "+cred+host+sig, date), Unsupported, "AWS4-ECDSA-P256-SHA256"},
		{"SigV4a query", presigned(strings.Replace(query, "HMAC", "ECDSA-P256", 1)), Unsupported, ""},
		{"bearer", header("Bearer abc", date), Unsupported, "'Bearer'"},
		{"empty", header("AWS4-HMAC-SHA256", ""), Incomplete, "'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."},
		{"no signature", header("AWS4-HMAC-SHA256 "+cred+", SignedHeaders=host", date), Incomplete, "requires 'Signature' parameter"},
		{"no equal sign", header("AWS4-HMAC-SHA256 "+cred+", x", date), Incomplete, "missing equal-sign"},
		{"unknown parameter", header("AWS4-HMAC-SHA256 "+cred+host+sig+", X=y", date), Incomplete, "'X'"},
		{"twice", header("AWS4-HMAC-SHA256 "+cred+host+sig+", "+sig, date), Incomplete, "more than one"},
		{"two headers", header("AWS4-HMAC-SHA256 "+cred+host+sig, date+"\nAuthorization: x"), Incomplete, "Only one"},
		{"bad date", header("AWS4-HMAC-SHA256 "+cred+host+sig, "\nX-Amz-Date: today"), Incomplete, "ISO-8601"},
		{"bad date does not fall back", header("AWS4-HMAC-SHA256 "+cred+host+sig, "\nX-Amz-Date: x\nDate: Sun, 30 Aug 2015 12:36:00 GMT"), Incomplete, "ISO-8601"},
		{"Date header", header("AWS4-HMAC-SHA256 "+cred+host+sig, "\nDate: Sun, 30 Aug 2015 12:36:00 GMT"), 0, ""},
		{"four parts", header("AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/service"+host+sig, date), Incomplete, "exactly 5"},
		{"no key id", header("AWS4-HMAC-SHA256 Credential=/20150830/us-east-1/service/aws4_request"+host+sig, date), Incomplete, "exactly 5"},
		{"terminator", header("AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/service/aws5"+host+sig, date), WrongTerminator, "'aws4_request', not 'aws5'."},
		{"service", header("AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/sts/aws4_request"+host+sig, date), WrongService, "correct service: 'service'."},
		{"region", header("AWS4-HMAC-SHA256 Credential=a/20150830/eu-west-1/service/aws4_request"+host+sig, date), WrongRegion, "valid region"},
		{"date", header("AWS4-HMAC-SHA256 Credential=a/20150829/us-east-1/service/aws4_request"+host+sig, date), WrongDate, "'20150829' != '20150830', from '20150830T123600Z'."},
		{"past", header("AWS4-HMAC-SHA256 "+cred+host+sig, "\nX-Amz-Date: 20150830T122059Z"), Skewed, "Signature expired: 20150830T122059Z is now earlier than 20150830T122100Z (20150830T123600Z - 15 min.)"},
		{"just not past", header("AWS4-HMAC-SHA256 "+cred+host+sig, "\nX-Amz-Date: 20150830T122100Z"), 0, ""},
		{"future", header("AWS4-HMAC-SHA256 "+cred+host+sig, "\nX-Amz-Date: 20150830T125101Z"), Skewed, "Signature not yet current: 20150830T125101Z is still later than 20150830T125100Z (20150830T123600Z + 15 min.)"},
		{"host unsigned", header("AWS4-HMAC-SHA256 "+cred+", SignedHeaders=x-amz-date, "+sig, date), NotSigned, "'host'"},
		{"signed upper case", header("AWS4-HMAC-SHA256 "+cred+", SignedHeaders=Host, "+sig, date), Incomplete, "lower-case"},
		{"signed out of order", header("AWS4-HMAC-SHA256 "+cred+", SignedHeaders=host;date, "+sig, date), Incomplete, "in order"},
		{"signed twice", header("AWS4-HMAC-SHA256 "+cred+", SignedHeaders=host;host, "+sig, date), Incomplete, "in order"},
		{"signed empty name", header("AWS4-HMAC-SHA256 "+cred+", SignedHeaders=host;, "+sig, date), Incomplete, ""},
		{"target unsigned", header("AWS4-HMAC-SHA256 "+cred+host+sig, date+"\nX-Amz-Target: T.Op"), NotSigned, "'x-amz-target'"},
		{"s3 x-amz-* unsigned", header(s3, date+"\nX-Amz-Acl: public-read\nX-Amz-Content-Sha256: "+EmptyHash), NotSigned, "'x-amz-acl', 'x-amz-content-sha256', 'x-amz-date'"},
		{"s3 no payload", header(s3, "\nDate: 20150830T123600Z"), PayloadKind, "x-amz-content-sha256"},
		{"s3 bad payload", header(strings.Replace(s3, "host", "host;x-amz-content-sha256", 1), "\nDate: 20150830T123600Z\nX-Amz-Content-Sha256: STREAMING-X"), PayloadKind, ""},
		{"presigned incomplete", presigned(query + "&X-Amz-Date=20150830T123600Z"), IncompleteQuery, "and X-Amz-Expires parameters"},
		{"presigned repeated", presigned(query + "&X-Amz-Date=20150830T123600Z&X-Amz-Expires=1&X-Amz-Expires=9"), IncompleteQuery, "more than once"},
		{"presigned zero", presigned(query + "&X-Amz-Date=20150830T123600Z&X-Amz-Expires=0"), IncompleteQuery, "greater"},
		{"presigned negative", presigned(query + "&X-Amz-Date=20150830T123600Z&X-Amz-Expires=-1"), IncompleteQuery, "non-negative"},
		{"presigned number", presigned(query + "&X-Amz-Date=20150830T123600Z&X-Amz-Expires=1h"), IncompleteQuery, "number"},
		{"presigned too long", presigned(query + "&X-Amz-Date=20150830T123600Z&X-Amz-Expires=604801"), IncompleteQuery, "604800"},
		{"presigned longest", presigned(query + "&X-Amz-Date=20150830T123600Z&X-Amz-Expires=604800"), 0, ""},
		{"presigned bad escape", presigned(query + "&X-Amz-Date=%zz&X-Amz-Expires=1"), IncompleteQuery, "percent-encoded"},
		{"presigned bad date", presigned(query + "&X-Amz-Date=2015-08-30&X-Amz-Expires=60"), IncompleteQuery, "ISO8601"},
		{"presigned expired", presigned(query + "&X-Amz-Date=20150830T123500Z&X-Amz-Expires=59"), Expired, ""},
		{"presigned valid", presigned(query + "&X-Amz-Date=20150830T123500Z&X-Amz-Expires=60"), 0, ""},
		{"presigned future", presigned(query + "&X-Amz-Date=20150830T125101Z&X-Amz-Expires=60"), Skewed, ""},
		{"presigned unsigned header", "GET /?" + query + "&X-Amz-Date=20150830T123500Z&X-Amz-Expires=60 HTTP/1.1\nHost: h\nX-Amz-Acl: public-read\n", NotSigned, "x-amz-acl"},
		{"presigned elsewhere, old", presigned(strings.Replace(query, "/s3/", "/sts/", 1) + "&X-Amz-Date=20150830T122059Z"), Skewed, ""},
		{"presigned elsewhere", presigned(strings.Replace(query, "/s3/", "/sts/", 1) + "&X-Amz-Date=20150830T122100Z"), 0, ""},
	}
	for _, c := range cases {
		opts := Options{Now: now}
		if strings.Contains(c.name, "region") || c.name == "service" {
			opts.Service, opts.Region = "service", "us-east-1"
		}
		_, err := Parse(received(c.request), opts)
		if kindOf(err) != c.want || (c.want == 0) != (err == nil) {
			t.Errorf("%s: %v %v, want %v", c.name, kindOf(err), err, c.want)
		} else if err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: message %q lacks %q", c.name, err, c.message)
		}
	}
}

func TestPresignedPayloadHash(t *testing.T) {
	base := "PUT /k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A/20150830/r/s3/aws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-Signature=00&X-Amz-SignedHeaders="
	for signed, want := range map[string]string{"host": UnsignedPayload, "host%3Bx-amz-content-sha256": EmptyHash} {
		q, err := Parse(received(base+signed+" HTTP/1.1\nHost: h\nX-Amz-Content-Sha256: "+EmptyHash+"\n"), Options{Now: at("20150830T123600Z")})
		if err != nil || q.PayloadHash != want {
			t.Errorf("SignedHeaders=%s: %v %v", signed, q, err)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct{ raw, s3, other string }{
		{"", "/", "/"},
		{"/", "/", "/"},
		{"/a/b", "/a/b", "/a/b"},
		{"/a/b/", "/a/b/", "/a/b/"},
		{"/a%20b", "/a%20b", "/a%2520b"},
		{"/a%2fb", "/a/b", "/a%252fb"},
		{"/a%c3%a9", "/a%C3%A9", "/a%25c3%25a9"},
		{"/é", "/%C3%A9", "/%C3%A9"},
		{"/a+b:c", "/a%2Bb%3Ac", "/a%2Bb%3Ac"},
		{"/a%zz%2", "/a%25zz%252", "/a%25zz%252"},
		{"/a/../b", "/a/../b", "/b"},
		{"/a//b/./c/..", "/a//b/./c/..", "/a/b/"},
		{"/..", "/..", "/"},
		{"/../../a", "/../../a", "/a"},
		{"/a/b/../..", "/a/b/../..", "/"},
		{"//", "//", "/"},
		{"/...", "/...", "/..."},
	} {
		if got := string(appendS3Path(nil, c.raw)); got != c.s3 {
			t.Errorf("S3 path of %q = %q, want %q", c.raw, got, c.s3)
		}
		if got := string(appendPath([]byte("GET\n"), c.raw)); got != "GET\n"+c.other {
			t.Errorf("path of %q = %q, want %q", c.raw, got, c.other)
		}
	}
}

func TestQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"":                  "",
		"acl":               "acl=",
		"b=2&a=1":           "a=1&b=2",
		"a=2&a=1":           "a=1&a=2",
		"a=%2b&a=+":         "a=%20&a=%2B",
		"a=b=c":             "a=b%3Dc",
		"&&a":               "a=",
		"a-b=1&a=2":         "a=2&a-b=1",
		"X-Amz-Signature=1": "X-Amz-Signature=1",
		"%61=%7e%zz":        "a=~%25zz",
	} {
		s := &scratch{}
		s.appendQuery(raw, false)
		if string(s.buf) != want {
			t.Errorf("query %q = %q, want %q", raw, s.buf, want)
		}
	}
}

func TestTarget(t *testing.T) {
	for uri, want := range map[string][2]string{
		"/a?b=c?d":           {"/a", "b=c?d"},
		"http://h:80/a%2F?x": {"/a%2F", "x"},
		"http://h":           {"", ""},
		"http://h?x":         {"", "x"},
		"/http://h/a":        {"/http://h/a", ""},
		"*":                  {"*", ""},
	} {
		path, query := target(&http.Request{RequestURI: uri})
		if [2]string{path, query} != want {
			t.Errorf("target(%q) = %q %q", uri, path, query)
		}
	}
}

func TestScope(t *testing.T) {
	for _, c := range []struct{ request, service, region string }{
		{s3Examples[0].request, "s3", "us-east-1"},
		{s3Examples[5].request, "s3", "us-east-1"},
		{"GET / HTTP/1.1\nAuthorization: AWS4-HMAC-SHA256 SignedHeaders=host, Credential=a/b/eu-west-1/sts/aws4_request\n", "sts", "eu-west-1"},
		{"GET / HTTP/1.1\nAuthorization: Bearer x\n", "", ""},
		{"GET / HTTP/1.1\n", "", ""},
	} {
		service, region, ok := Scope(received(c.request))
		if service != c.service || region != c.region || ok != (c.service != "") {
			t.Errorf("Scope = %q %q %v, want %q %q", service, region, ok, c.service, c.region)
		}
	}
}

// TestSDK verifies what the AWS SDK for Go signs, through a real connection, and that no part of it can be changed.
func TestSDK(t *testing.T) {
	const secret, token = "secret", "token//+="
	now := at("20260304T050607Z")
	creds := aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: secret, SessionToken: token}
	var change func(*http.Request)
	var got error
	var parsed *Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if change != nil {
			change(r)
		}
		opts := Options{Now: now}
		if parsed, got = Parse(r, opts); got == nil {
			got = verify(r, secret, opts, PayloadHash(body))
		}
	}))
	defer server.Close()

	cases := []struct{ name, service, method, target, body string }{
		{"get", "execute-api", "GET", "/", ""},
		{"escaped", "execute-api", "GET", "/a%20b/%E1%88%B4/x%2Fy/a+b;c=d,@!$&'()*", ""},
		{"query", "execute-api", "GET", "/?b=1&a=%20x&a=%2B&B=&c", ""},
		{"post", "sts", "POST", "/", "Action=GetCallerIdentity&Version=2011-06-15"},
		{"s3 get", "s3", "GET", "/bucket/a//b/../c%20d/%C3%A9?list-type=2&prefix=a%2Fb", ""},
		{"s3 put", "s3", "PUT", "/bucket/key%2B%24", "hello"},
	}
	attacks := []struct {
		name   string
		change func(*http.Request)
		want   Kind
	}{
		{"method", func(r *http.Request) { r.Method = "DELETE" }, Mismatch},
		{"path", func(r *http.Request) { retarget(r, "/x"+r.RequestURI) }, Mismatch},
		{"query", func(r *http.Request) { retarget(r, r.RequestURI+"&acl") }, Mismatch},
		{"path that services see", func(r *http.Request) { r.URL.Path = "/x" + r.URL.Path }, Incomplete},
		{"query that services see", func(r *http.Request) { r.URL.RawQuery += "&acl" }, Incomplete},
		{"host", func(r *http.Request) { r.Host = "evil" }, Mismatch},
		{"signed header", func(r *http.Request) { r.Header.Set("X-Test", "b") }, Mismatch},
		{"header added", func(r *http.Request) { r.Header.Add("X-Test", "c") }, Mismatch},
	}
	for _, c := range cases {
		for _, presign := range []bool{false, true} {
			send := func() {
				t.Helper()
				req, err := http.NewRequest(c.method, server.URL, strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				path, query, _ := strings.Cut(c.target, "?")
				req.URL.Path, err = url.PathUnescape(path)
				if err != nil {
					t.Fatal(err)
				}
				req.URL.RawPath, req.URL.RawQuery = path, query
				req.Header.Set("X-Test", " a  b ")
				hash := PayloadHash([]byte(c.body))
				signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.service == "s3" })
				if presign {
					hash := hash
					if c.service == "s3" {
						hash = UnsignedPayload
					}
					q := req.URL.Query()
					q.Set("X-Amz-Expires", "300")
					req.URL.RawQuery = q.Encode()
					uri, headers, err := signer.PresignHTTP(context.Background(), creds, req, hash, c.service, "eu-central-1", now)
					if err != nil {
						t.Fatal(err)
					}
					signed, err := http.NewRequest(c.method, uri, strings.NewReader(c.body))
					if err != nil {
						t.Fatal(err)
					}
					signed.Header = headers
					signed.Header.Del("Content-Length")
					req = signed
				} else {
					if c.service == "s3" {
						req.Header.Set("X-Amz-Content-Sha256", hash)
					}
					if err := signer.SignHTTP(context.Background(), creds, req, hash, c.service, "eu-central-1", now); err != nil {
						t.Fatal(err)
					}
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			name := c.name
			if presign {
				name += " presigned"
			}
			change = nil
			send()
			if got != nil {
				t.Errorf("%s: %v\n%+v", name, got, got)
				continue
			}
			if parsed.SessionToken != token || parsed.Presigned != presign || !parsed.Time.Equal(now) || parsed.Service != c.service ||
				parsed.Region != "eu-central-1" || parsed.AccessKeyID != creds.AccessKeyID || presign && parsed.Expires != 5*time.Minute {
				t.Errorf("%s: parsed %+v", name, parsed)
			}
			for _, a := range attacks {
				if strings.HasPrefix(a.name, "query") && !strings.Contains(c.target, "?") && !presign {
					continue // "&" would belong to the path
				}
				change = a.change
				if send(); kindOf(got) != a.want {
					t.Errorf("%s, attack on %s: %v", name, a.name, got)
				}
			}
		}
	}
}

func retarget(r *http.Request, target string) {
	r.RequestURI = target
	r.URL, _ = url.ParseRequestURI(target)
}

// TestSignWithKeptKey: the same signature as without, also after midnight and with another secret.
func TestSignWithKeptKey(t *testing.T) {
	keys := NewKeyCache(2)
	for _, stamp := range []string{"20260304T050607Z", "20260304T050608Z", "20260305T000000Z", "20260304T235959Z"} {
		for _, secret := range []string{"secret", "other"} {
			plain, _ := http.NewRequest("GET", "http://example.com/a", nil)
			kept := plain.Clone(plain.Context())
			Sign(plain, Credentials{"AKIA", secret, ""}, EmptyHash, at(stamp), "us-east-1", "s3")
			keys.Sign(kept, Credentials{"AKIA", secret, ""}, EmptyHash, at(stamp), "us-east-1", "s3")
			if a, b := plain.Header.Get("Authorization"), kept.Header.Get("Authorization"); a != b {
				t.Errorf("%s %s: %s\nwant %s", stamp, secret, b, a)
			}
		}
	}
}

func TestSign(t *testing.T) {
	now := at("20260304T050607Z")
	for _, service := range []string{"s3", "sts", "dynamodb"} {
		for _, token := range []string{"", "token"} {
			body := "some body"
			req, _ := http.NewRequest("PUT", "http://example.com:8080/a%20b/../c?x=1&a=%2F&z", strings.NewReader(body))
			req.Header.Set("Content-Type", "text/plain")
			req.Header.Set("X-Amz-Target", "T.Op")
			req.Header.Set("Range", "bytes=0-1")
			req.Header.Set("Authorization", "stale")
			req.Header.Set("X-Amz-Security-Token", "stale")
			Sign(req, Credentials{"AKIA", "secret", token}, PayloadHash([]byte(body)), now, "us-east-1", service)

			var sent bytes.Buffer
			if err := req.Write(&sent); err != nil {
				t.Fatal(err)
			}
			raw := strings.ReplaceAll(sent.String(), "\r\n", "\n")
			q, err := Parse(received(raw), Options{Service: service, Region: "us-east-1", Now: now})
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Verify(SigningKey("secret", q.Date, q.Region, q.Service), PayloadHash([]byte(body))); err != nil {
				t.Errorf("%s: %v", service, err)
			}
			if q.SessionToken != token || !q.signs("content-type") || !q.signs("x-amz-target") {
				t.Errorf("%s: %+v", service, q)
			}
		}
	}
}

func TestKeyCache(t *testing.T) {
	// "Deriving a signing key" in the IAM User Guide.
	const want = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
	c := NewKeyCache(2)
	get := func(date string) string {
		return hex.EncodeToString(c.Key("AKIDEXAMPLE", suiteSecret, date, "us-east-1", "iam"))
	}
	for range 2 {
		if got := get("20150830"); got != want {
			t.Fatalf("key %s", got)
		}
	}
	if c.Key("AKIDEXAMPLE", suiteSecret+"u", "20150830", "s-east-1", "iam")[0] == c.Key("AKIDEXAMPLE", suiteSecret, "20150830", "us-east-1", "iam")[0] {
		t.Error("parts run into each other")
	}
	for _, date := range []string{"20150831", "20150901", "20150830", "20150901"} {
		get(date)
		if len(c.entries) > 2 || c.recent.Len() > 2 {
			t.Fatal("not bounded")
		}
	}
	if got := get("20150830"); got != want {
		t.Fatalf("key after eviction %s", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range s3Examples {
		f.Add(c.request)
	}
	f.Add("POST /a/%2e%2E//?x HTTP/1.1\nHost: h\nX-Amz-Date: 20150830T123600Z\nAuthorization: AWS4-HMAC-SHA256 Credential=a/20150830/r/sts/aws4_request, SignedHeaders=host;x-a, Signature=0\n")
	f.Fuzz(func(t *testing.T, raw string) {
		r := received(raw)
		Scope(r)
		q, err := Parse(r, Options{Now: at("20130524T000500Z")})
		if err != nil {
			if kindOf(err) == 0 || err.Error() == "" {
				t.Fatalf("error without kind: %v", err)
			}
			return
		}
		if q.AccessKeyID == "" || q.Region == "" || q.Service == "" || len(q.Date) != 8 || !q.signs("host") {
			t.Fatalf("parsed %+v", q)
		}
		err = q.Verify(SigningKey("x", q.Date, q.Region, q.Service), EmptyHash)
		if kindOf(err) != Mismatch {
			t.Fatalf("verified: %v", err)
		}
	})
}

func benchmarkRequest() *http.Request {
	body := "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fdemo&RoleSessionName=session-1"
	r := received("POST / HTTP/1.1\nHost: sts.us-east-1.amazonaws.com\nContent-Type: application/x-www-form-urlencoded\n" +
		"User-Agent: aws-sdk-go-v2/1.47.6\nX-Amz-Security-Token: " + strings.Repeat("t", 800) + "\n\n" + body)
	err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: "ASIAEXAMPLEEXAMPLE12", SecretAccessKey: "secret", SessionToken: strings.Repeat("t", 800)},
		withURL(r), PayloadHash([]byte(body)), "sts", "us-east-1", at("20260304T050607Z"))
	if err != nil {
		panic(err)
	}
	return r
}

func withURL(r *http.Request) *http.Request {
	r.URL = &url.URL{Scheme: "https", Host: r.Host, Path: "/"}
	return r
}

func BenchmarkVerify(b *testing.B) {
	for _, cached := range []bool{true, false} {
		b.Run(map[bool]string{true: "cached", false: "derived"}[cached], func(b *testing.B) {
			r := benchmarkRequest()
			body, _ := io.ReadAll(r.Body)
			cache := NewKeyCache(100)
			opts := Options{Service: "sts", Region: "us-east-1", Now: at("20260304T050607Z")}
			b.ReportAllocs()
			for b.Loop() {
				q, err := Parse(r, opts)
				if err != nil {
					b.Fatal(err)
				}
				var key []byte
				if cached {
					key = cache.Key(q.AccessKeyID, "secret", q.Date, q.Region, q.Service)
				} else {
					key = SigningKey("secret", q.Date, q.Region, q.Service)
				}
				if err := q.Verify(key, PayloadHash(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	req, _ := http.NewRequest("GET", "http://bucket.s3.amazonaws.com/a/b/c?x=1", nil)
	keys := NewKeyCache(2)
	for name, sign := range map[string]func(*http.Request, Credentials, string, time.Time, string, string){"derived": Sign, "kept": keys.Sign} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sign(req, Credentials{"AKIA", "secret", ""}, UnsignedPayload, at("20260304T050607Z"), "us-east-1", "s3")
			}
		})
	}
}
