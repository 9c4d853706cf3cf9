package sts

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"usher/internal/access"
	"usher/internal/policy"
)

// A session token is the sealed payload of everything that a later request needs, so that temporary credentials work
// without a table. The access key id is the associated data: a token opens with its own id only.
//
// The payload is a version byte and fields: a number, a length, the bytes. Numbers are never given a new meaning; a
// payload with an unknown number or version does not open.
const (
	tokenVersion = 1

	// maxToken bounds a token in characters: AWS documents 4096 bytes.
	maxToken = 4096
	// maxGrants bounds session policies and tags as packed in the token; PackedPolicySize is a percentage of it.
	maxGrants = 2400
	// maxLifetime is more seconds than any session lasts.
	maxLifetime = 1 << 20
	// deflateAbove is the size from which session policies and tags are compressed.
	deflateAbove = 256
)

const (
	fieldSeed = iota + 1
	fieldSecretKey
	fieldAccount
	fieldKind
	fieldID
	fieldName
	fieldIssued
	fieldLifetime
	fieldChained
	fieldMFA
	fieldProvider
	fieldKey
	fieldSource
	fieldGrants
	fieldDeflated
	fieldIdentity
	fieldIdentitySubject
	fieldUserSub
	fieldOriginJTI
	fieldParent
	fieldPadding
	fieldEpoch
	fieldAssumedRoot
	fieldDelegated
)

const (
	grantPolicy = iota + 1
	grantARN
	grantTag
	grantTransitiveTag
)

var errToken = errors.New("sts: malformed session token")

// kinds are the kinds of principals by the numbers that tokens have for them.
var kinds = [...]policy.PrincipalKind{1: policy.Root, 2: policy.User, 3: policy.RoleSession, 4: policy.FederatedUser}

// bearer is whom a token speaks for: the part of access.Principal that does not come from IAM.
type bearer struct {
	seed      []byte // the secret access key is derived from it,
	secretKey string // by the key of the keyring with this id
	kind      policy.PrincipalKind
	account   string
	id        string // of the user or role; the account id for root
	epoch     int64  // how many revocations there had been when it was issued
	session   access.Session
}

const seedSize = 16

// appendPayload encodes b and returns how many bytes session policies and tags take.
func appendPayload(dst []byte, b *bearer) (payload []byte, grants int) {
	s := &b.session
	dst = append(dst, tokenVersion)
	dst = appendField(dst, fieldSeed, b.seed)
	dst = appendField(dst, fieldSecretKey, b.secretKey)
	account, _ := strconv.ParseUint(b.account, 10, 64)
	dst = appendNumber(dst, fieldAccount, account)
	dst = appendNumber(dst, fieldKind, uint64(slices.Index(kinds[:], b.kind)))
	if b.id != b.account {
		dst = appendField(dst, fieldID, b.id)
	}
	dst = appendText(dst, fieldName, s.Name)
	dst = appendNumber(dst, fieldIssued, uint64(s.Issued.Unix()))
	dst = appendNumber(dst, fieldLifetime, uint64(s.Expiry.Unix()-s.Issued.Unix()))
	if s.Chained {
		dst = appendField(dst, fieldChained, "")
	}
	if s.AssumedRoot {
		dst = appendField(dst, fieldAssumedRoot, "")
	}
	if s.Delegated {
		dst = appendField(dst, fieldDelegated, "")
	}
	if !s.MFATime.IsZero() {
		dst = appendNumber(dst, fieldMFA, uint64(s.MFATime.Unix()))
	}
	dst = appendText(dst, fieldProvider, s.Provider)
	// Names share the provider as their prefix, and values of amr repeat one another's beginnings.
	var buf []byte
	for _, k := range s.Keys {
		buf = appendShared(buf[:0], s.Provider, k.Name)
		last := s.Provider
		for _, v := range k.Values {
			buf = appendShared(buf, last, v)
			last = v
		}
		dst = appendField(dst, fieldKey, buf)
	}
	dst = appendText(dst, fieldSource, s.SourceIdentity)
	if s.IdentityID != "" && s.IdentityID == subject(s) { // the rule
		dst = appendField(dst, fieldIdentitySubject, "")
	} else {
		dst = appendText(dst, fieldIdentity, s.IdentityID)
	}
	dst = appendText(dst, fieldUserSub, s.UserSub)
	dst = appendText(dst, fieldOriginJTI, s.OriginJTI)
	dst = appendText(dst, fieldParent, s.ParentKey)
	if b.epoch > 0 {
		dst = appendNumber(dst, fieldEpoch, uint64(b.epoch))
	}

	if g := appendGrants(nil, s); len(g) > deflateAbove {
		if len(s.Tags) == 0 {
			g = policies.deflate(g)
		} else {
			g = deflate(g) // tags differ from user to user
		}
		grants = len(g)
		dst = appendField(dst, fieldDeflated, g)
	} else if len(g) > 0 {
		grants = len(g)
		dst = appendField(dst, fieldGrants, g)
	}
	return dst, grants
}

// subject is the identity id among the condition keys of an identity pool.
func subject(s *access.Session) string {
	for _, k := range s.Keys {
		if k.Name == IdentityPools+":sub" && len(k.Values) == 1 {
			return k.Values[0]
		}
	}
	return ""
}

func appendGrants(dst []byte, s *access.Session) []byte {
	dst = appendText(dst, grantPolicy, s.Policy)
	for _, arn := range s.PolicyARNs {
		dst = appendField(dst, grantARN, arn)
	}
	for _, t := range s.Tags {
		number := byte(grantTag)
		if t.Transitive {
			number = grantTransitiveTag
		}
		dst = append(dst, number)
		dst = binary.AppendUvarint(dst, uint64(uvarintLen(len(t.Key))+len(t.Key)+len(t.Value)))
		dst = binary.AppendUvarint(dst, uint64(len(t.Key)))
		dst = append(dst, t.Key...)
		dst = append(dst, t.Value...)
	}
	return dst
}

// parsePayload is the inverse of appendPayload. The strings of b share one copy of the payload.
func parsePayload(payload []byte) (*bearer, error) {
	text := string(payload)
	if len(text) == 0 || text[0] != tokenVersion {
		return nil, errToken
	}
	b := &bearer{}
	s := &b.session
	var lifetime uint64
	err := eachField(text[1:], func(number byte, v string) (err error) {
		var n uint64
		switch number {
		case fieldSeed:
			b.seed = []byte(v)
		case fieldSecretKey:
			b.secretKey = v
		case fieldAccount:
			n, err = number64(v)
			b.account = accountID(n)
		case fieldKind:
			n, err = number64(v)
			if n < uint64(len(kinds)) {
				b.kind = kinds[n]
			}
		case fieldID:
			b.id = v
		case fieldName:
			s.Name = v
		case fieldIssued:
			s.Issued, err = unixTime(v)
		case fieldLifetime:
			lifetime, err = number64(v)
		case fieldChained:
			s.Chained = true
		case fieldAssumedRoot:
			s.AssumedRoot = true
		case fieldDelegated:
			s.Delegated = true
		case fieldMFA:
			s.MFATime, err = unixTime(v)
		case fieldProvider:
			s.Provider = v
		case fieldKey:
			var k access.Key
			k, err = parseKey(s.Provider, v)
			s.Keys = append(s.Keys, k)
		case fieldSource:
			s.SourceIdentity = v
		case fieldIdentity:
			s.IdentityID = v
		case fieldIdentitySubject:
			s.IdentityID = subject(s)
		case fieldUserSub:
			s.UserSub = v
		case fieldOriginJTI:
			s.OriginJTI = v
		case fieldParent:
			s.ParentKey = v
		case fieldGrants:
			err = parseGrants(s, v)
		case fieldDeflated:
			if v, err = inflate(v); err == nil {
				err = parseGrants(s, v)
			}
		case fieldEpoch:
			n, err = number64(v)
			b.epoch = int64(min(n, math.MaxInt64))
		case fieldPadding:
		default:
			err = errToken
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if b.id == "" {
		b.id = b.account
	}
	if s.Issued.IsZero() || lifetime > maxLifetime {
		return nil, errToken
	}
	s.Expiry = s.Issued.Add(time.Duration(lifetime) * time.Second)
	if s.AssumedRoot && (b.kind != policy.Root || len(s.PolicyARNs) != 1) {
		return nil, errToken
	}
	if s.Delegated && s.Policy == "" {
		return nil, errToken
	}
	if len(b.seed) != seedSize || b.account == "" || b.kind == policy.Anonymous {
		return nil, errToken
	}
	return b, nil
}

func parseKey(provider, v string) (access.Key, error) {
	name, v, err := cutShared(provider, v)
	k := access.Key{Name: name}
	for last := provider; err == nil && v != ""; {
		last, v, err = cutShared(last, v)
		k.Values = append(k.Values, last)
	}
	return k, err
}

func parseGrants(s *access.Session, text string) error {
	return eachField(text, func(number byte, v string) error {
		switch number {
		case grantPolicy:
			s.Policy = v
		case grantARN:
			s.PolicyARNs = append(s.PolicyARNs, v)
		case grantTag, grantTransitiveTag:
			n, rest, err := cutUvarint(v)
			if err != nil || n > uint64(len(rest)) {
				return errToken
			}
			s.Tags = append(s.Tags, access.Tag{Key: rest[:n], Value: rest[n:], Transitive: number == grantTransitiveTag})
		default:
			return errToken
		}
		return nil
	})
}

func appendField[T string | []byte](dst []byte, number byte, v T) []byte {
	dst = append(dst, number)
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

// appendText leaves out what is empty.
func appendText(dst []byte, number byte, v string) []byte {
	if v == "" {
		return dst
	}
	return appendField(dst, number, v)
}

func appendNumber(dst []byte, number byte, n uint64) []byte {
	dst = append(dst, number, byte(uvarintLen(int(n))))
	return binary.AppendUvarint(dst, n)
}

func uvarintLen(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func eachField(text string, do func(number byte, v string) error) error {
	for text != "" {
		number := text[0]
		n, rest, err := cutUvarint(text[1:])
		if err != nil || n > uint64(len(rest)) {
			return errToken
		}
		if err := do(number, rest[:n]); err != nil {
			return err
		}
		text = rest[n:]
	}
	return nil
}

// appendShared writes v as the length of the beginning that it shares with before, and the rest.
func appendShared(dst []byte, before, v string) []byte {
	n := 0
	for n < len(before) && n < len(v) && before[n] == v[n] {
		n++
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = binary.AppendUvarint(dst, uint64(len(v)-n))
	return append(dst, v[n:]...)
}

func cutShared(before, text string) (v, rest string, err error) {
	n, text, err := cutUvarint(text)
	if err != nil || n > uint64(len(before)) {
		return "", "", errToken
	}
	m, text, err := cutUvarint(text)
	if err != nil || m > uint64(len(text)) {
		return "", "", errToken
	}
	return before[:n] + text[:m], text[m:], nil
}

func cutUvarint(text string) (uint64, string, error) {
	var n uint64
	for i := 0; i < len(text) && i < 9; i++ {
		n |= uint64(text[i]&0x7f) << (7 * i)
		if text[i] < 0x80 {
			return n, text[i+1:], nil
		}
	}
	return 0, "", errToken
}

func number64(v string) (uint64, error) {
	n, rest, err := cutUvarint(v)
	if rest != "" {
		err = errToken
	}
	return n, err
}

func unixTime(v string) (time.Time, error) {
	n, err := number64(v)
	if n > 1<<40 {
		err = errToken
	}
	return time.Unix(int64(n), 0).UTC(), err
}

func accountID(n uint64) string {
	text := strconv.FormatUint(n, 10)
	if len(text) > 12 {
		return ""
	}
	return strings.Repeat("0", 12-len(text)) + text
}

// phrases primes the compression of session policies. Changing it needs a new field number.
const phrases = `"Condition":{"StringEquals":{"aws:PrincipalTag/` +
	`"ForAnyValue:StringLike":"Principal":"NotAction":"NotResource":"Deny""dynamodb:*""kinesis:*""sqs:*""sns:*""lambda:*"` +
	`"cognito-identity:*""cognito-sync:*""s3:GetObject","s3:PutObject","s3:DeleteObject","s3:ListBucket"` +
	`arn:aws:iam::aws:policy/"Resource":["arn:aws:s3:::${cognito-identity.amazonaws.com:sub}/*"]` +
	`{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow","Action":["s3:*"],"Resource":"*"}]}`

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriterDict(nil, 6, []byte(phrases))
	if err != nil {
		panic(err)
	}
	return w
}}

func deflate(data []byte) []byte {
	var out bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&out)
	w.Write(data) // a bytes.Buffer takes everything
	w.Close()
	return out.Bytes()
}

// deflated remembers compressed session policies: an application passes the same ones again and again, and so do identity
// pools for their guests.
type deflated struct {
	mu   sync.Mutex
	made map[string][]byte
}

// mostDeflated is how many are remembered, of some KiB each.
const mostDeflated = 256

var policies = deflated{made: map[string][]byte{}}

// deflate is the function deflate. The result is shared.
func (d *deflated) deflate(data []byte) []byte {
	d.mu.Lock()
	made, ok := d.made[string(data)]
	d.mu.Unlock()
	if ok {
		return made
	}
	made = deflate(data)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.made) >= mostDeflated {
		clear(d.made)
	}
	d.made[string(data)] = made
	return made
}

// maxInflated bounds what a token may hold uncompressed: policies of 2048 characters, ten ARNs and fifty tags.
const maxInflated = 64 << 10

func inflate(data string) (string, error) {
	r := flate.NewReaderDict(strings.NewReader(data), []byte(phrases))
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err != nil || len(text) > maxInflated {
		return "", errToken
	}
	return string(text), nil
}

// tokenEncoding is standard base64, as in AWS's own tokens. Strict, so that no two texts are the same token.
var tokenEncoding = base64.StdEncoding.Strict()
