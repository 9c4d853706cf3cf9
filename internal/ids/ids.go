// Package ids makes the identifiers that Usher hands out, each straight from
// crypto/rand and in the form that AWS clients expect. It holds every format in
// one file, so that a form is looked up and changed in one place.
//
// Only AccountOf reads an identifier back. Everything else about an identifier
// (which pool, which user) is looked up, never parsed.
package ids

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
)

const (
	digits     = "0123456789"
	lowerAlnum = "abcdefghijklmnopqrstuvwxyz0123456789"
	upperAlnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	alnum      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	base32hex  = "0123456789abcdefghijklmnopqrstuv"
)

var (
	keyEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)
	rowEncoding = base32.NewEncoding(base32hex).WithPadding(base32.NoPadding)
)

// Account returns an AWS account id: 12 decimal digits. The first is never 0,
// because tools that read it as a number would drop it.
func Account() string {
	return pick("123456789", 1) + pick(digits, 11)
}

// User returns the unique id of an IAM user: "AIDA" and 17 of [A-Z0-9].
func User() string { return "AIDA" + pick(upperAlnum, 17) }

// Role returns the unique id of an IAM role: "AROA" and 17 of [A-Z0-9].
func Role() string { return "AROA" + pick(upperAlnum, 17) }

// Group returns the unique id of an IAM group: "AGPA" and 17 of [A-Z0-9].
func Group() string { return "AGPA" + pick(upperAlnum, 17) }

// Policy returns the unique id of a managed policy: "ANPA" and 17 of [A-Z0-9].
func Policy() string { return "ANPA" + pick(upperAlnum, 17) }

// Organization returns the id of an organization: "o-" and 10 of [a-z0-9].
func Organization() string { return "o-" + pick(lowerAlnum, 10) }

// OrganizationRoot returns the id of an organization's root: "r-" and 4 of [a-z0-9].
func OrganizationRoot() string { return "r-" + pick(lowerAlnum, 4) }

// OrganizationalUnit returns the id of a unit under a root: "ou-", what follows "r-" in the root's id, "-" and 8 of [a-z0-9].
func OrganizationalUnit(root string) string {
	return "ou-" + root[len("r-"):] + "-" + pick(lowerAlnum, 8)
}

// OrganizationPolicy returns the id of a policy of an organization: "p-" and 10 of [a-z0-9].
func OrganizationPolicy() string { return "p-" + pick(lowerAlnum, 10) }

// AccountRequest returns the id of a request for an account: "car-" and 32 of [a-z0-9].
func AccountRequest() string { return "car-" + pick(lowerAlnum, 32) }

// AccessKey returns the id of a long-term access key of account: "AKIA" and 16
// base32 characters that carry the account number (see AccountOf) and 39 random
// bits. The caller stores it under a unique constraint.
func AccessKey(account string) string { return accessKey("AKIA", account) }

// SessionKey returns the id of a temporary access key of account: "ASIA" and 16
// base32 characters as in AccessKey. It is unique only together with its
// session token.
func SessionKey(account string) string { return accessKey("ASIA", account) }

// accessKey packs, from the high bit down, a one, 40 bits of account number and
// 39 random bits, which is where AWS has them too.
func accessKey(prefix, account string) string {
	n, err := strconv.ParseUint(account, 10, 64)
	if err != nil || len(account) != 12 {
		panic("ids: account id is not 12 digits: " + strconv.Quote(account))
	}
	var b [10]byte
	rand.Read(b[:])
	low := binary.BigEndian.Uint64(b[2:]) & (1<<39 - 1)
	binary.BigEndian.PutUint16(b[:], uint16(1<<15|n>>25))
	binary.BigEndian.PutUint64(b[2:], n<<39|low)
	return prefix + keyEncoding.EncodeToString(b[:])
}

// AccountOf returns the account id that an access key id carries. It reports
// false for anything that AccessKey and SessionKey cannot have made, which
// needs no lookup to be refused.
func AccountOf(accessKeyID string) (account string, ok bool) {
	if len(accessKeyID) != 20 || accessKeyID[:4] != "AKIA" && accessKeyID[:4] != "ASIA" {
		return "", false
	}
	var b [10]byte
	if n, err := keyEncoding.Decode(b[:], []byte(accessKeyID[4:])); err != nil || n != len(b) {
		return "", false // n is short where the decoder skipped line ends
	}
	high := binary.BigEndian.Uint16(b[:])
	n := uint64(high&^(1<<15))<<25 | binary.BigEndian.Uint64(b[2:])>>39
	if high&(1<<15) == 0 || n > 999_999_999_999 {
		return "", false
	}
	var a [12]byte
	for i := len(a) - 1; i >= 0; i-- {
		a[i] = '0' + byte(n%10)
		n /= 10
	}
	return string(a[:]), true
}

// SecretKey returns a secret access key: 40 characters of the base64 alphabet,
// 240 random bits.
func SecretKey() string {
	var b [30]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// UserPool returns a user pool id: "{region}_" and 9 of [A-Za-z0-9].
func UserPool(region string) string { return region + "_" + pick(alnum, 9) }

// Client returns an app client id: 26 of [0-9a-v], 130 random bits.
func Client() string { return pick(base32hex, 26) }

// ClientSecret returns an app client secret: 52 of [0-9a-v], 260 random bits.
func ClientSecret() string { return pick(base32hex, 52) }

// Sub returns the immutable id of a user-pool user: a version 4 UUID.
func Sub() string { return UUID() }

// IdentityPool returns an identity pool id: "{region}:{uuid}".
func IdentityPool(region string) string { return region + ":" + UUID() }

// Identity returns an identity id: "{region}:{uuid}". The UUID is in the
// time-ordered form of RFC 9562 section 5.7 but for the variant: 48 bits of now
// in milliseconds, the version, and 76 random bits, since the id of a guest is
// a secret. Identities that are made at about the same time are neighbours in
// an index.
func Identity(region string, now time.Time) string {
	var b [16]byte
	rand.Read(b[6:])
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(b[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(ms))
	b[6] = b[6]&0x0f | 0x70
	return region + ":" + format(b)
}

// UUID returns a version 4 UUID (RFC 9562 section 5.4) in lower case: the form
// of request ids, event ids and token ids.
func UUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return format(b)
}

// format writes a UUID in lower case.
func format(b [16]byte) string {
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// Row returns a key for a row of a table that grows fast: 26 of [0-9a-v], 8
// bytes of now in nanoseconds and 8 random bytes. Keys of later times sort
// later, so that new rows land on the same pages of the index.
func Row(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixNano()))
	rand.Read(b[8:])
	return rowEncoding.EncodeToString(b[:])
}

// Code returns a confirmation code: 6 decimal digits, all million equally likely.
func Code() string { return pick(digits, 6) }

// RecoveryCodeLength is how many symbols a recovery code has, apart from the hyphens.
const RecoveryCodeLength = 16

// RecoveryCode returns a code that a user writes down, 80 bits in groups of four: xxxx-xxxx-xxxx-xxxx.
func RecoveryCode() string {
	s := pick("0123456789abcdefghjkmnpqrstvwxyz", RecoveryCodeLength)
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}

// SignInCode returns a one-time code of eight digits, as users sign in with instead of a
// password.
func SignInCode() string { return pick(digits, 8) }

// pick returns n characters of alphabet, each equally likely: a random byte
// that falls beyond the last whole multiple of the alphabet's length is drawn
// again.
func pick(alphabet string, n int) string {
	limit := 256 - 256%len(alphabet)
	s := make([]byte, 0, n)
	var random [64]byte
	for len(s) < n {
		rand.Read(random[:])
		for _, b := range random {
			if int(b) < limit && len(s) < n {
				s = append(s, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(s)
}
