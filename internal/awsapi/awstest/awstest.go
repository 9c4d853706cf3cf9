// Package awstest helps tests that call a server on this machine with the AWS SDK for Go.
package awstest

import (
	"bytes"
	"io"
	"net/http"
)

// Client is the HTTP client for SDK clients in tests. The SDK closes the body of a request when the head of the answer is
// there. A server on this machine is so fast that net/http may not have seen the body's end by then; it takes the closed
// body for an error and breaks off the connection, and with it an answer that is still on its way. So the body is read
// before the request is sent.
var Client = &http.Client{Transport: whole{http.DefaultTransport}}

type whole struct{ next http.RoundTripper }

func (w whole) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return w.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body.Close()
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return w.next.RoundTrip(r)
}
