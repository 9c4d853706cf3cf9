// Package awsapi is the AWS wire: it takes HTTP requests apart in the JSON 1.1,
// Query and REST-JSON protocols, leads each through one pipeline of
// authentication, validation and authorization to the operation that a service
// offers, and writes the answer or the error as AWS does.
//
// What the services look like comes from the packages that cmd/awsgen
// generates; who signed a request and what they may do is asked through
// Authenticator and Authorizer.
package awsapi

import (
	"context"
	"net/http"
	"net/url"
)

// Auth tells how an operation knows its caller.
type Auth int

const (
	// Signed operations take a SigV4 signature and are authorized by policy.
	Signed Auth = iota
	// Bearer operations take a user's access token in the member AccessToken.
	Bearer
	// Open operations take neither; a signature that is present is ignored.
	Open
)

// Caller is who signed a request.
type Caller struct {
	AccountID   string
	ARN         string
	UserID      string // unique id as in GetCallerIdentity: AIDA…, or AROA…:session
	AccessKeyID string
	Session     any // what the authenticator keeps for the authorizer
}

type callerKey struct{}

// WithCaller returns a context in which CallerFrom finds c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns who signed the request; false if it is not signed.
func CallerFrom(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}

// Target is one action on one resource that a request needs permission for.
type Target struct {
	Action   string              // "" is the operation's own
	Resource string              // ARN, or "*"
	Keys     map[string][]string // condition keys beside the global ones
	Account  string              // owner of the resource; "" is the caller's account
	More     *MoreKeys           // condition keys that cost something to find; nil: there are none
}

// MoreKeys are condition keys that are looked for only if a policy asks for one of them.
type MoreKeys struct {
	Prefix string // of their names
	// Find returns those that there are. It may be called after the request, when the decision is explained. Its failure
	// denies.
	Find func(context.Context) (map[string][]string, error)
}

// Authenticator verifies the SigV4 signature of a request, in the header or
// presigned, made for service (the signing name). It returns a context with the
// Caller; errors are made by AuthError.
type Authenticator interface {
	Authenticate(ctx context.Context, r *http.Request, body []byte, service string) (context.Context, error)
}

// Authorizer decides whether the caller may do all of targets. The error of a
// denial is ErrAccessDenied with the message that explains it.
type Authorizer interface {
	Authorize(ctx context.Context, targets []Target) error
}

// Service is one AWS service as it is served.
type Service struct {
	Name       string    // signing name, such as "cognito-idp"
	Protocol   *Protocol // the generated package's
	Operations []Operation

	// Targets returns what a Signed input touches; each must be allowed. Without
	// it the operation's action on "*" must be.
	Targets func(ctx context.Context, op string, in any) ([]Target, error)

	// Bearer verifies the access token of a Bearer operation and returns the
	// context that the operation gets.
	Bearer func(ctx context.Context, token string) (context.Context, error)
}

// Kind is a wire protocol.
type Kind int

const (
	JSON11   Kind = iota // POST / with X-Amz-Target
	Query                // form parameters in, XML out
	RESTJSON             // method and path
)

// Protocol is how a service speaks; the values are generated.
type Protocol struct {
	Kind      Kind
	Version   string // API version: the Version parameter of Query
	Target    string // prefix of X-Amz-Target, without the dot
	Namespace string // xmlns of Query answers
	Path      string // RESTJSON: what all of its paths begin with
	Style     ValidationStyle
	CORS      bool // called by browsers
}

// Input is a decoded request.
type Input interface {
	Decode(*Request)
	Validate(*Validator)
}

// Output is an answer to encode.
type Output interface {
	Encode(*Response)
}

// bearerInput is implemented by inputs of Bearer operations.
type bearerInput interface{ BearerToken() string }

// Request is what an Input decodes itself from: the part that its service's protocol uses.
type Request struct {
	JSON   *JSONDecoder
	Form   *FormNode
	Path   map[string]string // RESTJSON: values of the path's placeholders
	Params url.Values        // RESTJSON: query string
	Header http.Header
	Body   []byte
	err    error
}

// Response is what an Output encodes itself to.
type Response struct {
	JSON   JSONEncoder
	XML    XMLEncoder
	Header http.Header
	Status int // 0 is 200
	Body   []byte
}

// Operation is one operation that a service serves. Generated code makes it with Op or OpNoOutput.
type Operation struct {
	Name   string // "CreateUserPool"
	Action string // "cognito-idp:CreateUserPool"
	Auth   Auth
	Route  string // RESTJSON: method and path, "GET /identitypools/{IdentityPoolId}"

	input func() Input
	do    func(context.Context, Input) (Output, error) // a nil Output answers an empty body
}

// Op is an operation with an input and an output.
func Op[In, Out any, I interface {
	*In
	Input
}, O interface {
	*Out
	Output
}](name, action string, auth Auth, do func(context.Context, *In) (*Out, error)) Operation {
	return Operation{
		Name: name, Action: action, Auth: auth,
		input: func() Input { return I(new(In)) },
		do: func(ctx context.Context, in Input) (Output, error) {
			out, err := do(ctx, (*In)(in.(I)))
			if err != nil {
				return nil, err
			}
			if out == nil {
				out = new(Out)
			}
			return O(out), nil
		},
	}
}

// OpNoOutput is an operation that answers with an empty body.
func OpNoOutput[In any, I interface {
	*In
	Input
}](name, action string, auth Auth, do func(context.Context, *In) error) Operation {
	return Operation{
		Name: name, Action: action, Auth: auth,
		input: func() Input { return I(new(In)) },
		do: func(ctx context.Context, in Input) (Output, error) {
			return nil, do(ctx, (*In)(in.(I)))
		},
	}
}

// On returns the operation bound to a method and path.
func (o Operation) On(route string) Operation {
	o.Route = route
	return o
}

// NewInput returns an empty input of the operation, to be filled by Decode.
func (o Operation) NewInput() Input { return o.input() }
