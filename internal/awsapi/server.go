package awsapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"usher/internal/ids"
)

// DefaultMaxBody bounds a request's body, in bytes.
const DefaultMaxBody = 3 << 20

// Server answers the AWS API requests of its services.
type Server struct {
	Services      []*Service
	Authenticator Authenticator
	Authorizer    Authorizer
	MaxBody       int64         // bytes; 0 is DefaultMaxBody
	MaxRequests   int           // under way at once; 0 is DefaultMaxRequests
	Log           *slog.Logger  // one record per request; nil logs nothing
	Failed        func(Failure) // is told of each request that was answered with an error; nil: nobody is

	once      sync.Once
	table     []*serviceTable
	admission admission
}

// serviceTable is a service with its operations by name.
type serviceTable struct {
	*Service
	ops map[string]*Operation
}

func (s *Server) init() {
	for _, svc := range s.Services {
		t := &serviceTable{Service: svc, ops: map[string]*Operation{}}
		for i := range svc.Operations {
			t.ops[svc.Operations[i].Name] = &svc.Operations[i]
		}
		s.table = append(s.table, t)
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.MaxBody == 0 {
		s.MaxBody = DefaultMaxBody
	}
	if s.MaxRequests == 0 {
		s.MaxRequests = DefaultMaxRequests
	}
	s.admission = admission{most: s.MaxRequests, of: map[*Operation]int{}}
}

// call is one request on its way through the pipeline.
type call struct {
	*Server
	w  http.ResponseWriter
	r  *http.Request
	id string

	ctx     context.Context
	kind    Kind
	service *serviceTable
	op      *Operation
	body    []byte
	request Request
	record  *record

	places int        // taken of the admission
	begun  *Operation // counted there
}

// ServeHTTP leads one request through the pipeline, writes its answer and its log record.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.once.Do(s.init)
	c := &call{Server: s, w: w, r: r, id: ids.UUID(), record: &record{start: time.Now()}}
	c.ctx = context.WithValue(context.WithValue(r.Context(), recordKey{}, c.record), requestIDKey{}, c.id)
	w.Header().Set("X-Amzn-Requestid", c.id)
	defer c.log()
	defer func() { s.admission.leave(c.places, c.begun) }()
	defer c.recover()
	if r.Method == http.MethodOptions {
		c.preflight()
		return
	}
	c.answer(c.run())
}

// run is the pipeline. A nil Output without error answers an empty body.
func (c *call) run() (Output, error) {
	if err := c.route(); err != nil {
		return nil, err
	}
	if !c.admission.begin(c.op) {
		return nil, ErrThrottling
	}
	c.begun = c.op
	if c.op.Auth == Signed {
		ctx, err := c.Authenticator.Authenticate(c.ctx, c.r, c.body, c.service.Name)
		if err != nil {
			return nil, err
		}
		c.ctx = ctx
	}
	in, err := c.decode()
	if err != nil {
		return nil, err
	}
	if err := c.validate(in); err != nil {
		return nil, err
	}
	switch c.op.Auth {
	case Bearer:
		ctx, err := c.service.Bearer(c.ctx, in.(bearerInput).BearerToken())
		if err != nil {
			return nil, err
		}
		c.ctx = ctx
	case Signed:
		if err := c.authorize(in); err != nil {
			return nil, err
		}
	}
	return c.op.do(c.ctx, in)
}

func (c *call) validate(in Input) error {
	style := c.service.Protocol.Style
	v := NewValidator(style)
	in.Validate(v)
	if style.IAM && v.Missing() != "" && (strings.HasPrefix(c.op.Name, "Get") || strings.HasPrefix(c.op.Name, "Delete")) {
		return errMissingParameter.Msg("The request must contain the parameter %s.", v.Missing())
	}
	return v.Err()
}

func (c *call) authorize(in Input) error {
	targets := []Target{{Resource: "*"}}
	if c.service.Targets != nil {
		var err error
		if targets, err = c.service.Targets(c.ctx, c.op.Name, in); err != nil {
			return err
		}
	}
	if len(targets) == 0 {
		return nil // the operation needs no permission, or decides by itself
	}
	for i := range targets {
		if targets[i].Action == "" {
			targets[i].Action = c.op.Action
		}
	}
	return c.Authorizer.Authorize(c.ctx, targets)
}

var (
	errUnknownOperation = &Error{Code: "UnknownOperationException", Status: 400}
	errNotFound         = &Error{Code: "UnknownOperationException", Status: 404}
	errInvalidAction    = &Error{Code: "InvalidAction", Status: 400}
	errMissingAction    = &Error{Code: "MissingAction", Status: 400, Message: "The request is missing an action or a required parameter."}
	errMissingParameter = &Error{Code: "MissingParameter", Status: 400}
)

// kindNone is the protocol of a request that is of none: it gets the XML that
// AWS's front end answers to those.
const kindNone Kind = -1

// route finds protocol, service and operation and reads the body.
func (c *call) route() error {
	media, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	path := c.r.URL.EscapedPath()
	for _, t := range c.table {
		if t.Protocol.Kind == RESTJSON && (path+"/" == t.Protocol.Path || strings.HasPrefix(path, t.Protocol.Path)) {
			c.service = t
			return c.routeREST(path)
		}
	}
	switch {
	case c.r.Method == http.MethodPost && media == "application/x-amz-json-1.1":
		return c.routeJSON()
	case c.r.Header.Get("X-Amz-Target") != "":
		c.kind = kindNone
		return errNotFound
	case c.r.Method == http.MethodPost && media == "application/x-www-form-urlencoded",
		c.r.Method == http.MethodGet && c.r.URL.Query().Has("Action"),
		c.r.Method == http.MethodPost && media == "" && c.r.URL.Query().Has("Action"): // a presigned URL, posted
		return c.routeQuery()
	default:
		c.kind = kindNone
		return errNotFound
	}
}

func (c *call) readBody() error {
	if c.r.ContentLength > c.MaxBody {
		c.w.Header().Set("Connection", "close") // instead of reading what is left
		return ErrRequestTooLarge
	}
	length := c.r.ContentLength
	if length < 0 {
		length = c.MaxBody // it is not said
	}
	var ok bool
	if c.places, ok = c.admission.enter(length); !ok {
		if length > 64<<10 {
			c.w.Header().Set("Connection", "close") // instead of reading the body
		}
		return ErrThrottling
	}
	const usual = 16 << 10 // what a declared length is believed before it has arrived
	var body bytes.Buffer
	body.Grow(int(min(max(c.r.ContentLength, 0), usual)) + bytes.MinRead)
	if _, err := body.ReadFrom(http.MaxBytesReader(c.w, c.r.Body, c.MaxBody)); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return ErrRequestTooLarge
		}
		return errIncompleteBody.With(err)
	}
	c.body = body.Bytes()
	return nil
}

// errIncompleteBody is for clients that hang up; hardly one will read it.
var errIncompleteBody = &Error{Code: "IncompleteBody", Status: 400}

func (c *call) routeJSON() error {
	c.kind = JSON11
	target := c.r.Header.Get("X-Amz-Target")
	dot := max(strings.LastIndexByte(target, '.'), 0)
	prefix, name := target[:dot], strings.TrimPrefix(target[dot:], ".")
	for _, t := range c.table {
		if t.Protocol.Kind == JSON11 && t.Protocol.Target == prefix {
			c.service, c.op = t, t.ops[name]
		}
	}
	if c.op == nil {
		return errUnknownOperation
	}
	return c.readBody()
}

func (c *call) routeQuery() error {
	c.kind = Query
	if err := c.readBody(); err != nil {
		return err
	}
	form := string(c.body)
	if c.r.URL.RawQuery != "" {
		form += "&" + c.r.URL.RawQuery
	}
	node, err := ParseForm(form)
	if err != nil {
		return err
	}
	c.request.Form = node
	name, version := node.Get("Action").StringValue(), node.Get("Version").StringValue()
	for _, t := range c.table {
		if t.Protocol.Kind == Query && t.Protocol.Version == version {
			c.service, c.op = t, t.ops[name]
		}
	}
	if name == "" {
		return errMissingAction
	}
	if version == "" {
		version = "NO_VERSION_SPECIFIED"
	}
	if c.op == nil {
		return errInvalidAction.Msg("Could not find operation %s for version %s", clip(name), clip(version))
	}
	return nil
}

func (c *call) routeREST(path string) error {
	c.kind = RESTJSON
	for i := range c.service.Operations {
		if values, ok := matchRoute(c.service.Operations[i].Route, c.r.Method, path); ok {
			c.op = &c.service.Operations[i]
			c.request.Path = values
			c.request.Params = c.r.URL.Query()
			c.request.Header = c.r.Header
			return c.readBody()
		}
	}
	return errNotFound
}

// decode reads the input in the service's protocol.
func (c *call) decode() (Input, error) {
	in := c.op.input()
	req := &c.request
	switch {
	case c.kind == JSON11, c.kind == RESTJSON && len(c.body) > 0:
		d, err := NewJSONDecoder(c.body)
		if err != nil {
			return nil, err
		}
		req.JSON = d
	}
	in.Decode(req)
	switch {
	case req.err != nil:
		return nil, req.err
	case req.JSON != nil && req.JSON.Err() != nil:
		return nil, req.JSON.Err()
	case c.kind == Query && req.Form.Err() != nil:
		return nil, req.Form.Err()
	}
	return in, nil
}

// recover answers a panic as an internal error.
func (c *call) recover() {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	c.answer(nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
}

// answer writes the output or the error. Headers are out at the end of it, so a
// panic inside of it is left to the HTTP server.
func (c *call) answer(out Output, err error) {
	w := responses.Get().(*Response)
	defer w.release()
	w.Header = c.w.Header()
	w.Status = http.StatusOK
	if c.service == nil && c.kind != Query || c.service != nil && c.service.Protocol.CORS {
		w.Header.Set("Access-Control-Allow-Origin", "*")
		w.Header.Set("Access-Control-Expose-Headers", "x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date")
	}
	if err != nil {
		e := c.kind.fit(err)
		c.record.err = e
		c.writeError(w, e)
	} else {
		c.writeOutput(w, out)
	}
	body := w.bytes(c.kind)
	w.Header.Set("Content-Length", strconv.Itoa(len(body)))
	c.record.status = w.Status
	c.w.WriteHeader(w.Status)
	c.w.Write(body)
}

var responses = sync.Pool{New: func() any { return new(Response) }}

// release gives the response back for reuse, unless it has grown big.
func (w *Response) release() {
	if cap(w.JSON.buf)+cap(w.XML.buf) > 64<<10 {
		return
	}
	*w = Response{JSON: JSONEncoder{w.JSON.buf[:0]}, XML: XMLEncoder{w.XML.buf[:0]}}
	responses.Put(w)
}

func (w *Response) bytes(k Kind) []byte {
	if k == JSON11 || k == RESTJSON {
		return w.JSON.buf
	}
	return w.XML.buf
}

// preflight answers the question of a browser whether a page of another origin
// may call. It may: requests carry their authority in themselves, never in
// cookies.
func (c *call) preflight() {
	h := c.w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	asked := c.r.Header.Get("Access-Control-Request-Headers")
	if asked == "" || len(asked) > 2048 || strings.ContainsFunc(asked, notHeaderList) {
		asked = "authorization,cache-control,content-type,x-amz-content-sha256,x-amz-date,x-amz-security-token,x-amz-target,x-amz-user-agent,amz-sdk-invocation-id,amz-sdk-request"
	}
	h.Set("Access-Control-Allow-Headers", asked)
	h.Set("Access-Control-Expose-Headers", "x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date")
	h.Set("Access-Control-Max-Age", "172800")
	c.record.status = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
}

func notHeaderList(r rune) bool {
	return r != '-' && r != '_' && r != ',' && r != ' ' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
