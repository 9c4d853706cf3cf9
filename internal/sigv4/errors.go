package sigv4

import (
	"fmt"
	"time"
)

// Kind says why a signed request was refused. It names the cause; which error code, status and text the caller sends
// depends on the protocol of the service.
type Kind uint8

const (
	// Missing: the request carries no signature at all.
	Missing Kind = iota + 1
	// Ambiguous: the request carries both an Authorization header and query authentication.
	Ambiguous
	// Unsupported: another mechanism, such as Signature Version 2 or the asymmetric SigV4a.
	Unsupported
	// Incomplete: the Authorization header is malformed or lacks a part. Message lists what is missing.
	Incomplete
	// IncompleteQuery: the same for query authentication.
	IncompleteQuery
	// WrongTerminator, WrongService, WrongRegion and WrongDate: a part of the credential scope is not the expected one.
	WrongTerminator
	WrongService
	WrongRegion
	WrongDate
	// Skewed: the time of the request is too far from the server's.
	Skewed
	// Expired: the presigned request was valid once.
	Expired
	// NotSigned: headers that must be signed are not; Headers names them.
	NotSigned
	// Mismatch: the signature is not the expected one. CanonicalRequest and StringToSign are set.
	Mismatch
	// PayloadMismatch: the body does not have the SHA-256 that was signed.
	PayloadMismatch
	// PayloadKind: the value of X-Amz-Content-Sha256 is none that is known.
	PayloadKind
	// MissingLength: the length of the (decoded) body was not declared.
	MissingLength
	// IncompleteBody: the body is shorter or longer than declared, or its chunks are malformed.
	IncompleteBody
	// ChunkSize: a chunk other than the last is smaller than 8 KiB.
	ChunkSize
	// Trailer: the trailing headers are malformed, or not the declared ones.
	Trailer
	// BadDigest: a trailing checksum does not fit the body.
	BadDigest
)

var kindNames = [...]string{"", "Missing", "Ambiguous", "Unsupported", "Incomplete", "IncompleteQuery", "WrongTerminator", "WrongService",
	"WrongRegion", "WrongDate", "Skewed", "Expired", "NotSigned", "Mismatch", "PayloadMismatch", "PayloadKind", "MissingLength",
	"IncompleteBody", "ChunkSize", "Trailer", "BadDigest"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Error is the only error type of this package. Message is the text that AWS's services outside S3 send for the cause;
// the other fields carry what S3 sends as elements of its own.
type Error struct {
	Kind    Kind
	Message string

	Expected string   // WrongService, WrongRegion: what the scope should say
	Actual   string   // what it says
	Headers  []string // NotSigned: lower-case names

	RequestTime time.Time     // Skewed, Expired: when the request was signed
	ServerTime  time.Time     // Skewed, Expired
	MaxSkew     time.Duration // Skewed
	Expires     time.Duration // Expired: lifetime of the presigned request

	CanonicalRequest string // Mismatch, but for chunks
	StringToSign     string // Mismatch
}

func (e *Error) Error() string {
	return e.Message
}

func fail(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}
