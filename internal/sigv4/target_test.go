package sigv4

import (
	"bufio"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestTargetsReadInOneWay sends request targets that two readers could split differently. A request whose signature
// covers other bytes than net/http makes the URL of, by which services work, must not be accepted.
func TestTargetsReadInOneWay(t *testing.T) {
	now := at("20260301T120000Z")
	const presigned = "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=AKIDEXAMPLE%2F20260301%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date=20260301T120000Z" +
		"&X-Amz-Expires=900&X-Amz-SignedHeaders=host"
	key := SigningKey("secret", "20260301", "us-east-1", "sts")
	for _, c := range []struct {
		target string // %s is the query of a presigned GetCallerIdentity
		ok     bool
	}{
		{"/?%s", true},
		{"http://sts.example.com/?%s", true},
		{"http://sts.example.com?%s", true},
		{"http:/?Action=GetSessionToken&Version=2011-06-15&x=://sts.example.com/?%s", false},
		{"http:/secret?x=://sts.example.com/?%s", false},
		{"http:?Action=GetSessionToken&x=://sts.example.com/?%s", false},
		{"sts:x?Action=GetSessionToken&x=://sts.example.com/?%s", false},
		{"http://sts.example.com?Action=GetSessionToken&x=/?%s", false},
		{"http://a://sts.example.com/?%s", false},
	} {
		query := presigned + "&X-Amz-Signature=" + presign(t, presigned, key)
		raw := "GET " + strings.Replace(c.target, "%s", query, 1) + " HTTP/1.1\r\nHost: sts.example.com\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			if c.ok {
				t.Errorf("%s: %v", c.target, err)
			}
			continue
		}
		q, err := Parse(r, Options{Service: "sts", Now: now})
		if err == nil {
			err = q.Verify(key, EmptyHash)
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: accepted %v, path %q, query %q: %v", c.target, err == nil, r.URL.Path, r.URL.RawQuery, err)
		}
	}
}

// presign signs a GET of / on sts.example.com with that query.
func presign(t *testing.T, query string, key []byte) string {
	t.Helper()
	r := received("GET /?" + query + "&X-Amz-Signature=x HTTP/1.1\nHost: sts.example.com\n\n")
	q, err := Parse(r, Options{Now: at("20260301T120000Z")})
	if err != nil {
		t.Fatal(err)
	}
	e, ok := errors.AsType[*Error](q.Verify(key, EmptyHash))
	if !ok {
		t.Fatal("a made-up signature was accepted")
	}
	return hex.EncodeToString(mac(key, e.StringToSign))
}

// TestUnsignedHeadersAreBounded: an error does not repeat all headers of a request.
func TestUnsignedHeadersAreBounded(t *testing.T) {
	r := received("GET / HTTP/1.1\nHost: h\nX-Amz-Date: 20260301T120000Z\n\n")
	var names []string
	for i := range 20_000 {
		r.Header.Set("X-Amz-"+strconv.Itoa(i), "")
		names = append(names, "a"+strconv.Itoa(100_000+i))
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260301/us-east-1/s3/aws4_request, SignedHeaders="+
		strings.Join(names, ";")+";host, Signature=x")
	_, err := Parse(r, Options{Now: at("20260301T120000Z")})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != NotSigned {
		t.Fatal(err)
	}
	if len(e.Message) > 6000 || len(e.Headers) > 100 {
		t.Errorf("a message of %d bytes and %d headers", len(e.Message), len(e.Headers))
	}
}
