package gateway

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"usher/internal/awsapi"
	"usher/internal/sigv4"
)

// s3Error is an error as S3 sends it: unlike other services it has elements of its own beside code and message.
type s3Error struct {
	apiError
	elements []param
}

type apiError = awsapi.Error

func (e *s3Error) Error() string { return e.apiError.Error() }

// msg returns a copy with a message.
func (e *s3Error) msg(format string, args ...any) *s3Error {
	c := *e
	c.Message = fmt.Sprintf(format, args...)
	return &c
}

// with returns a copy with a further element.
func (e *s3Error) with(name, value string) *s3Error {
	c := *e
	c.elements = append(c.elements[:len(c.elements):len(c.elements)], param{name, value})
	return &c
}

// because returns a copy with a cause, for the log.
func (e *s3Error) because(err error) *s3Error {
	c := *e
	c.Err = err
	return &c
}

func s3err(status int, code, message string) *s3Error {
	return &s3Error{apiError: apiError{Code: code, Status: status, Message: message}}
}

// Errors of S3 (Amazon S3 API Reference, "Error responses").
var (
	errAccessDenied         = s3err(403, "AccessDenied", "Access Denied")
	errACLNotSupported      = s3err(400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	errBucketACL            = s3err(400, "InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
	errBucketExists         = s3err(409, "BucketAlreadyExists", "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.")
	errBucketOwned          = s3err(409, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.")
	errCORSDisabled         = s3err(403, "AccessForbidden", "CORSResponse: CORS is not enabled for this bucket.")
	errCORSRequest          = s3err(400, "BadRequest", "Insufficient information. Origin request header needed.")
	errEntityTooLarge       = s3err(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
	errIncompleteBody       = s3err(400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
	errInternal             = s3err(500, "InternalError", "We encountered an internal error. Please try again.")
	errInvalidAccessKeyID   = s3err(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
	errInvalidArgument      = s3err(400, "InvalidArgument", "Invalid Argument")
	errInvalidBucketName    = s3err(400, "InvalidBucketName", "The specified bucket is not valid.")
	errInvalidRequest       = s3err(400, "InvalidRequest", "Invalid Request")
	errInvalidTag           = s3err(400, "InvalidTag", "The tag provided was not a valid tag. This error can occur if the tag did not pass input validation.")
	errInvalidToken         = s3err(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
	errExpiredToken         = s3err(400, "ExpiredToken", "The provided token has expired.")
	errInvalidURI           = s3err(400, "InvalidURI", "Couldn't parse the specified URI.")
	errKeyTooLong           = s3err(400, "KeyTooLongError", "Your key is too long")
	errLocation             = s3err(400, "IllegalLocationConstraintException", "")
	errMalformedPolicy      = s3err(400, "MalformedPolicy", "Policy is not valid.")
	errMalformedXML         = s3err(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	errMethodNotAllowed     = s3err(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	errMissingContentLength = s3err(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	errNoSuchBucket         = s3err(404, "NoSuchBucket", "The specified bucket does not exist")
	errNoSuchAccessBlock    = s3err(404, "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
	errNoSuchBucketPolicy   = s3err(404, "NoSuchBucketPolicy", "The bucket policy does not exist")
	errNoSuchKey            = s3err(404, "NoSuchKey", "The specified key does not exist.")
	errNoSuchUpload         = s3err(404, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.")
	errNotImplemented       = s3err(501, "NotImplemented", "A header or query you provided requests functionality that is not implemented.")
	errOperationMissing     = s3err(501, "NotImplemented", "The requested operation is not implemented.")
	errUnavailable          = s3err(503, "ServiceUnavailable", "Service is unable to handle request.")
)

// signatureError says in S3's words why a signature or a signed body was refused. known is true once the access key
// was found, so that details go to its holder alone.
func signatureError(e *sigv4.Error, q *sigv4.Request, known bool) *s3Error {
	malformed := func(message string) *s3Error { return s3err(400, "AuthorizationHeaderMalformed", message) }
	if q != nil && q.Presigned {
		malformed = func(message string) *s3Error {
			return s3err(400, "AuthorizationQueryParametersError", message)
		}
	}
	iso := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
	switch e.Kind {
	case sigv4.Ambiguous:
		return errInvalidArgument.msg("%s", e.Message).with("ArgumentName", "Authorization")
	case sigv4.Unsupported:
		return errInvalidRequest.msg("The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
	case sigv4.Incomplete:
		return s3err(400, "AuthorizationHeaderMalformed", "The authorization header is malformed; "+e.Message)
	case sigv4.IncompleteQuery:
		return s3err(400, "AuthorizationQueryParametersError", e.Message)
	case sigv4.WrongRegion:
		return malformed("The authorization header is malformed; the region '"+e.Actual+"' is wrong; expecting '"+e.Expected+"'").with("Region", e.Expected)
	case sigv4.WrongService:
		return malformed("The authorization header is malformed; incorrect service \"" + e.Actual + "\". This endpoint belongs to \"s3\".")
	case sigv4.WrongTerminator:
		return malformed("The authorization header is malformed; incorrect terminal \"" + e.Actual + "\". This endpoint uses \"aws4_request\".")
	case sigv4.WrongDate:
		return malformed("The authorization header is malformed; Invalid credential date \"" + e.Actual + "\". This date is not the same as X-Amz-Date: \"" + e.Expected + "\".")
	case sigv4.Skewed:
		return s3err(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.").
			with("RequestTime", e.RequestTime.UTC().Format("20060102T150405Z")).with("ServerTime", iso(e.ServerTime)).
			with("MaxAllowedSkewMilliseconds", strconv.FormatInt(e.MaxSkew.Milliseconds(), 10))
	case sigv4.Expired:
		return errAccessDenied.msg("Request has expired").
			with("X-Amz-Expires", strconv.Itoa(int(e.Expires.Seconds()))).
			with("Expires", iso(e.RequestTime.Add(e.Expires))).with("ServerTime", iso(e.ServerTime))
	case sigv4.NotSigned:
		return errAccessDenied.msg("There were headers present in the request which were not signed").
			with("HeadersNotSigned", strings.Join(e.Headers, ", "))
	case sigv4.Mismatch:
		err := s3err(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.")
		if !known || q == nil {
			return err
		}
		err = err.with("AWSAccessKeyId", q.AccessKeyID).with("StringToSign", e.StringToSign).
			with("SignatureProvided", q.SignatureProvided()).with("StringToSignBytes", spacedHex(e.StringToSign))
		if e.CanonicalRequest != "" {
			err = err.with("CanonicalRequest", e.CanonicalRequest).with("CanonicalRequestBytes", spacedHex(e.CanonicalRequest))
		}
		return err
	case sigv4.PayloadMismatch:
		return s3err(400, "XAmzContentSHA256Mismatch", e.Message)
	case sigv4.PayloadKind:
		return errInvalidArgument.msg("%s", e.Message).with("ArgumentName", "x-amz-content-sha256")
	case sigv4.MissingLength:
		return errMissingContentLength.msg("%s", e.Message)
	case sigv4.IncompleteBody:
		return errIncompleteBody.msg("%s", e.Message)
	case sigv4.ChunkSize:
		return s3err(403, "InvalidChunkSizeError", e.Message)
	case sigv4.Trailer:
		return s3err(400, "MalformedTrailerError", e.Message)
	case sigv4.BadDigest:
		return s3err(400, "BadDigest", e.Message)
	}
	return errAccessDenied.because(e)
}

func spacedHex(s string) string {
	b := make([]byte, 0, 3*len(s))
	for i := range len(s) {
		if i > 0 {
			b = append(b, ' ')
		}
		b = hex.AppendEncode(b, []byte{s[i]})
	}
	return string(b)
}

// asS3 turns any error into the one that is sent. What is no error of the API is internal.
func (q *request) asS3(err error) *s3Error {
	if e, ok := errors.AsType[*s3Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*sigv4.Error](err); ok {
		return signatureError(e, q.signature, true)
	}
	if e, ok := errors.AsType[*awsapi.Error](err); ok {
		switch {
		case errors.Is(e, awsapi.ErrAccessDenied):
			denied := errAccessDenied
			if e.Message != "" && q.caller.ARN != "" {
				denied = denied.msg("%s", e.Message)
			}
			return denied.because(e.Err)
		case errors.Is(e, awsapi.ErrInvalidClientToken):
			if q.signature != nil && q.signature.SessionToken != "" {
				return errInvalidToken.because(e.Err)
			}
			if q.signature != nil {
				return errInvalidAccessKeyID.with("AWSAccessKeyId", q.signature.AccessKeyID).because(e.Err)
			}
			return errInvalidAccessKeyID.because(e.Err)
		case errors.Is(e, awsapi.ErrExpiredToken):
			return errExpiredToken.because(e.Err)
		case errors.Is(e, awsapi.ErrThrottling):
			return s3err(503, "SlowDown", "Please reduce your request rate.")
		}
	}
	return errInternal.because(err)
}

// fail answers with an error.
func (g *Gateway) fail(w http.ResponseWriter, q *request, err error) *s3Error {
	e := q.asS3(err)
	h := w.Header()
	for _, name := range [...]string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Content-Range", "Cache-Control", "Content-Disposition", "Content-Language", "Expires"} {
		delete(h, name)
	}
	if q.method == http.MethodHead || e.Status == http.StatusNotModified {
		w.WriteHeader(e.Status)
		return e
	}
	b := append(make([]byte, 0, 512), xmlHeader...)
	b = append(b, "<Error>"...)
	b = appendElement(b, "Code", e.Code)
	b = appendElement(b, "Message", e.Message)
	for _, p := range e.elements {
		b = appendElement(b, p.name, p.value)
	}
	b = appendElement(b, "Resource", q.path())
	b = appendElement(b, "RequestId", q.id)
	b = appendElement(b, "HostId", q.hostID)
	b = append(b, "</Error>"...)
	writeXML(w, e.Status, b)
	return e
}

// path is the resource as error answers name it.
func (q *request) path() string {
	if q.key == "" {
		return "/" + q.bucket
	}
	return "/" + q.bucket + "/" + q.key
}

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

func writeXML(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = xmlType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body)
}

var xmlType = []string{"application/xml"}

func appendElement(b []byte, name, text string) []byte {
	b = append(append(append(b, '<'), name...), '>')
	b = appendText(b, text)
	return append(append(append(b, "</"...), name...), '>')
}

// appendText escapes text for XML 1.0. Characters that XML cannot carry become U+FFFD.
func appendText(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '"':
			b = append(b, "&quot;"...)
		case r == '\r':
			b = append(b, "&#13;"...)
		case r == '\n' || r == '\t' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000:
			b = append(b, string(r)...)
		default:
			b = append(b, "\uFFFD"...)
		}
	}
	return b
}
