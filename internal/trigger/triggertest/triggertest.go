// Package triggertest is a Lambda API for tests: it serves the Invoke operation over HTTP, verifies the signature of every
// request, and runs Go functions.
package triggertest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"usher/internal/sigv4"
)

const (
	accessKeyID = "AKIAIOSFODNN7EXAMPLE"
	secret      = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	region      = "eu-central-1"
)

// ARN is the name of a function of the server.
func ARN(function string) string {
	return "arn:aws:lambda:" + region + ":123456789012:function:" + function
}

// Function handles an event as JSON has it and returns what the function returns. An error is the function's failure.
type Function func(event map[string]any) (any, error)

// Server is a Lambda API. Functions are added with Handle; one that is not there does not exist.
type Server struct {
	URL string

	tb        testing.TB
	mu        sync.Mutex
	functions map[string]Function
	raw       map[string]http.HandlerFunc
	events    []map[string]any
}

// New starts a server that ends with the test.
func New(tb testing.TB) *Server {
	s := &Server{tb: tb, functions: map[string]Function{}, raw: map[string]http.HandlerFunc{}}
	h := httptest.NewServer(s)
	tb.Cleanup(h.Close)
	s.URL = h.URL
	return s
}

// Credentials are those that the server expects.
func (s *Server) Credentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(accessKeyID, secret, "")
}

// Handle adds or replaces a function.
func (s *Server) Handle(name string, f Function) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.functions[name] = f
	delete(s.raw, name)
}

// HandleRaw has the server answer the invocations of a function in h's way.
func (s *Server) HandleRaw(name string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw[name] = h
}

// Events returns the events so far, in the order of their arrival, and forgets them.
func (s *Server) Events() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

// ServeHTTP serves POST /2015-03-31/functions/{name}/invocations (Lambda API reference, Invoke).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.tb.Error(err)
	}
	q, err := sigv4.Parse(r, sigv4.Options{Service: "lambda", Region: region, Now: time.Now()})
	if err == nil {
		err = q.Verify(sigv4.SigningKey(secret, q.Date, q.Region, q.Service), sigv4.PayloadHash(body))
	}
	if err != nil || q.AccessKeyID != accessKeyID {
		refuse(w, http.StatusForbidden, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
		return
	}
	name, ok := strings.CutPrefix(r.URL.EscapedPath(), "/2015-03-31/functions/")
	name, ok2 := strings.CutSuffix(name, "/invocations")
	name, err = url.PathUnescape(name)
	if !ok || !ok2 || err != nil || r.Method != http.MethodPost {
		refuse(w, http.StatusNotFound, "UnknownOperationException", "")
		return
	}
	name = strings.TrimPrefix(name, ARN(""))
	var event, kept map[string]any // the function may change its event
	for _, e := range []*map[string]any{&event, &kept} {
		if err := json.Unmarshal(body, e); err != nil {
			refuse(w, http.StatusBadRequest, "InvalidRequestContentException", err.Error())
			return
		}
	}
	s.mu.Lock()
	s.events = append(s.events, kept)
	f, raw := s.functions[name], s.raw[name]
	s.mu.Unlock()
	switch {
	case raw != nil:
		raw(w, r)
	case f != nil:
		result, err := f(event)
		if err != nil {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			result = map[string]any{"errorMessage": err.Error(), "errorType": "Error", "trace": []string{}}
		}
		if err := json.NewEncoder(w).Encode(result); err != nil {
			s.tb.Error(err)
		}
	default:
		refuse(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+ARN(name))
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Amzn-Errortype", code)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"Type": "User", "Message": message})
}
