package awsapi

import (
	"errors"
	"fmt"
)

// Error is an error that is sent to the caller. Every other error is internal:
// logged, and answered as InternalErrorException or its like.
type Error struct {
	Code    string // as on the wire: the exception's name, or the shorter code of Query services
	Status  int    // HTTP status
	Message string
	Fault   bool           // the server's fault: Query answers say Receiver
	Members map[string]any // further members of the exception, for JSON services
	Err     error          // the cause: logged, never sent
}

// Error gives code, message and cause, for the log.
func (e *Error) Error() string {
	s := e.Code
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is reports whether target is an Error of the same code, so that
// errors.Is(err, cognitoidp.ErrUserNotFound) holds for any message.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Msg returns a copy with a message, formatted as by fmt.Sprintf.
func (e *Error) Msg(format string, args ...any) *Error {
	c := *e
	c.Message = fmt.Sprintf(format, args...)
	return &c
}

// With returns a copy with a cause.
func (e *Error) With(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// Member returns a copy with a further member of the exception.
func (e *Error) Member(name string, value any) *Error {
	c := *e
	c.Members = map[string]any{name: value}
	for k, v := range e.Members {
		if k != name {
			c.Members[k] = v
		}
	}
	return &c
}

// Errors of authentication and authorization, and of the wire. No model has
// them; their codes, statuses and, where Message is empty, their texts differ by
// protocol and are put in by it (AWS documentation, Common Errors).
var (
	ErrMissingAuthentication = &Error{Code: "MissingAuthenticationToken"}
	ErrInvalidClientToken    = &Error{Code: "InvalidClientTokenId"} // unknown or inactive key, bad session token
	ErrIncompleteSignature   = &Error{Code: "IncompleteSignature"}
	ErrSignatureDoesNotMatch = &Error{Code: "SignatureDoesNotMatch"}
	ErrExpiredToken          = &Error{Code: "ExpiredToken"}
	ErrAccessDenied          = &Error{Code: "AccessDenied"}
	ErrThrottling            = &Error{Code: "Throttling"}
	ErrInternal              = &Error{Code: "InternalFailure", Fault: true}
	ErrRequestTooLarge       = &Error{Code: "RequestEntityTooLarge"}
)

// wording is an unmodeled error in one protocol.
type wording struct {
	code    string
	status  int
	message string
}

const invalidToken = "The security token included in the request is invalid."

var wordings = map[string]map[Kind]wording{
	"MissingAuthenticationToken": {
		JSON11:   {"MissingAuthenticationTokenException", 400, "Missing Authentication Token"},
		Query:    {"MissingAuthenticationToken", 403, "Request is missing Authentication Token"},
		RESTJSON: {"MissingAuthenticationTokenException", 403, "Missing Authentication Token"},
	},
	"InvalidClientTokenId": {
		JSON11:   {"UnrecognizedClientException", 400, invalidToken},
		Query:    {"InvalidClientTokenId", 403, invalidToken},
		RESTJSON: {"UnrecognizedClientException", 403, invalidToken},
	},
	"IncompleteSignature": {
		JSON11:   {"IncompleteSignatureException", 400, ""},
		Query:    {"IncompleteSignature", 400, ""},
		RESTJSON: {"IncompleteSignatureException", 403, ""},
	},
	"SignatureDoesNotMatch": {
		JSON11:   {"InvalidSignatureException", 400, signatureMismatch},
		Query:    {"SignatureDoesNotMatch", 403, signatureMismatch},
		RESTJSON: {"InvalidSignatureException", 403, signatureMismatch},
	},
	"ExpiredToken": {
		JSON11:   {"ExpiredTokenException", 400, expiredToken},
		Query:    {"ExpiredToken", 403, expiredToken},
		RESTJSON: {"ExpiredTokenException", 403, expiredToken},
	},
	"AccessDenied": {
		JSON11:   {"AccessDeniedException", 400, ""},
		Query:    {"AccessDenied", 403, ""},
		RESTJSON: {"AccessDeniedException", 403, ""},
	},
	"Throttling": {
		JSON11:   {"TooManyRequestsException", 400, "Rate exceeded"},
		Query:    {"Throttling", 400, "Rate exceeded"},
		RESTJSON: {"TooManyRequestsException", 429, "Rate exceeded"},
	},
	"InternalFailure": {
		JSON11:   {"InternalErrorException", 500, internalFailure},
		Query:    {"InternalFailure", 500, internalFailure},
		RESTJSON: {"InternalErrorException", 500, internalFailure},
	},
	"RequestEntityTooLarge": {
		JSON11:   {"RequestEntityTooLargeException", 413, tooLarge},
		Query:    {"RequestEntityTooLarge", 413, tooLarge},
		RESTJSON: {"RequestEntityTooLargeException", 413, tooLarge},
	},
}

const (
	signatureMismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	expiredToken      = "The security token included in the request is expired"
	internalFailure   = "The request processing has failed because of an unknown error, exception or failure."
	tooLarge          = "The request body is larger than this server accepts."
)

// fit returns err as this protocol sends it: errors that are not an *Error are
// internal, and unmodeled ones get the protocol's code, status and text.
func (k Kind) fit(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = ErrInternal.With(err)
	}
	if e.Status != 0 {
		return e
	}
	c := *e
	w, ok := wordings[e.Code][k]
	if !ok {
		w, ok = wordings[e.Code][Query]
	}
	if !ok {
		w = wording{code: e.Code, status: 400}
	}
	c.Code, c.Status = w.code, w.status
	if c.Message == "" {
		c.Message = w.message
	}
	return &c
}
