// Package trigger calls the Lambda functions of user pools through the Invoke operation of the AWS Lambda API, at AWS or at
// any endpoint that serves it.
//
// Whoever may configure a pool chooses the functions that it calls, and the server calls them all with one set of
// credentials. What these credentials may invoke is therefore what the administrators of pools may have invoked: give them
// lambda:InvokeFunction on the functions that are meant for user pools, and nothing else.
package trigger

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"

	"usher/internal/arn"
)

const (
	// answerMost is how long a user pool waits for a function, and attempts how often in all it asks one that does not
	// answer (developer guide, "Customizing user pool workflows with Lambda triggers").
	answerMost = 5 * time.Second
	attempts   = 3

	// payloadMost bounds what a function answers, in bytes. Lambda itself allows 6 MiB; an event is a few KiB.
	payloadMost = 1 << 20

	// messageMost bounds the error message of a function, in bytes, before it is passed on to whoever signs in.
	messageMost = 2 << 10

	// atOnce is how many calls of one function may be under way: one that hangs must not use up the server.
	atOnce = 200
)

// Event is what a function is called with: the envelope that all triggers share (developer guide, "Lambda trigger event").
type Event struct {
	Version       string        `json:"version"`
	TriggerSource string        `json:"triggerSource"`
	Region        string        `json:"region"`
	UserPoolID    string        `json:"userPoolId"`
	UserName      string        `json:"userName"`
	CallerContext CallerContext `json:"callerContext"`
	Request       any           `json:"request"`
	Response      any           `json:"response"`
}

// CallerContext tells a function which app client the call is about.
type CallerContext struct {
	SDKVersion string `json:"awsSdkVersion"`
	ClientID   string `json:"clientId"`
}

// FunctionError is the answer of a function that failed, in its own words.
type FunctionError struct{ Message string }

// Error is the function's message.
func (e *FunctionError) Error() string { return "function failed: " + e.Message }

// InvokeError says why a function could not be called.
type InvokeError struct {
	Name string // the error of the Lambda API, such as AccessDeniedException, or what took its place
	Err  error
}

// Error gives name and cause, for the log.
func (e *InvokeError) Error() string {
	return fmt.Sprintf("invoking a function: %s: %v", e.Name, e.Err)
}

// Unwrap returns the cause.
func (e *InvokeError) Unwrap() error { return e.Err }

// ErrOutput says that what a function returned is not the event with a response.
var ErrOutput = errors.New("function returned something else than its event")

// Invoker calls functions. It is safe for concurrent use.
type Invoker struct {
	client  *lambda.Client
	timeout time.Duration

	mu      sync.Mutex
	running map[string]int // calls under way by function
	lately  map[string]pace
}

// pace is how long the last calls of a function took.
type pace struct {
	took [16]time.Duration
	n    int // calls so far
}

// pacesMost bounds for how many functions that is kept.
const pacesMost = 10_000

// New returns an Invoker that signs with credentials for the Lambda API at endpoint.
func New(endpoint string, credentials aws.CredentialsProvider) *Invoker {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	return &Invoker{
		timeout: answerMost,
		running: map[string]int{},
		lately:  map[string]pace{},
		client: lambda.New(lambda.Options{
			BaseEndpoint: &endpoint, Region: "us-east-1", Credentials: credentials, Retryer: aws.NopRetryer{},
			HTTPClient: &http.Client{
				Transport:     limited{transport},
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			},
		}),
	}
}

// Function returns the ARN of a Lambda function, of a version or of an alias; false if text is none.
func Function(text string) (arn.ARN, bool) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "lambda" || a.Region == "" || a.AccountID == "" {
		return a, false
	}
	name, ok := strings.CutPrefix(a.Resource, "function:")
	return a, ok && name != "" && !strings.ContainsAny(name, "/?#% ")
}

// Call invokes the function with that ARN on e and decodes the response of the event that it returns into response, which
// is left as it is where the function says null. Errors are *FunctionError, *InvokeError or wrap ErrOutput.
func (i *Invoker) Call(ctx context.Context, function string, e Event, response any) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return err
	}
	leave, err := i.enter(function)
	if err != nil {
		return err
	}
	defer leave()
	start := time.Now()
	answer, err := i.invoke(ctx, function, payload)
	i.record(function, time.Since(start))
	if err != nil {
		return err
	}
	var event struct {
		Response json.RawMessage `json:"response"`
	}
	if err := json.Unmarshal(answer, &event); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	if event.Response == nil {
		return fmt.Errorf("%w: it has no response", ErrOutput)
	}
	if err := json.Unmarshal(event.Response, response); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	return nil
}

// Pretend takes as long as a call of the function, so that whoever waits for an answer cannot tell whether there was one.
func (i *Invoker) Pretend(ctx context.Context, function string) error {
	i.mu.Lock()
	p := i.lately[function]
	i.mu.Unlock()
	if p.n == 0 {
		return nil
	}
	var any [1]byte
	rand.Read(any[:])
	select {
	case <-time.After(p.took[int(any[0])%min(p.n, len(p.took))]):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (i *Invoker) record(function string, took time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p, known := i.lately[function]
	if !known && len(i.lately) >= pacesMost {
		clear(i.lately)
	}
	p.took[p.n%len(p.took)] = took
	p.n++
	i.lately[function] = p
}

// enter counts a call of function until leave.
func (i *Invoker) enter(function string) (leave func(), err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.running[function] >= atOnce {
		return nil, &InvokeError{Name: "TooManyRequestsException", Err: fmt.Errorf("%d calls of %s are under way", atOnce, function)}
	}
	i.running[function]++
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.running[function]--; i.running[function] == 0 {
			delete(i.running, function)
		}
	}, nil
}

// invoke asks again only a function that did not answer in time.
func (i *Invoker) invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	a, ok := Function(function)
	if !ok {
		return nil, &InvokeError{Name: "InvalidParameterValueException", Err: fmt.Errorf("%q is not the ARN of a function", function)}
	}
	for n := 1; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, i.timeout)
		out, err := i.client.Invoke(attempt, &lambda.InvokeInput{FunctionName: &function, Payload: payload},
			func(o *lambda.Options) { o.Region = a.Region })
		late := attempt.Err() != nil
		cancel()
		switch {
		case err == nil && out.FunctionError != nil:
			return nil, functionError(out.Payload)
		case err == nil:
			return out.Payload, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, errTooLong):
			return nil, fmt.Errorf("%w: %w", ErrOutput, err)
		case !late:
			return nil, &InvokeError{Name: nameOf(err), Err: err}
		case n == attempts:
			return nil, &InvokeError{Name: "Socket timeout while invoking Lambda function", Err: err}
		}
	}
}

// nameOf is what a user pool calls an error of the Lambda API. Whatever is wrong on the way to it is nobody's business who
// signs in.
func nameOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() != "" {
		return api.ErrorCode()
	}
	return "ServiceException"
}

// functionError reads what a function that failed left as its result ("Lambda function errors").
func functionError(payload []byte) *FunctionError {
	var e struct{ ErrorMessage, ErrorType string }
	if err := json.Unmarshal(payload, &e); err != nil || e.ErrorMessage == "" {
		e.ErrorMessage = e.ErrorType
	}
	if e.ErrorMessage == "" {
		e.ErrorMessage = "Unhandled"
	}
	if len(e.ErrorMessage) > messageMost {
		cut := messageMost
		for !utf8.RuneStart(e.ErrorMessage[cut]) {
			cut--
		}
		e.ErrorMessage = e.ErrorMessage[:cut]
	}
	return &FunctionError{Message: e.ErrorMessage}
}

// limited bounds the bodies of answers.
type limited struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &limitedBody{ReadCloser: resp.Body, left: payloadMost}
	}
	return resp, err
}

type limitedBody struct {
	io.ReadCloser
	left int
}

var errTooLong = fmt.Errorf("answer longer than %d bytes", payloadMost)

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}
