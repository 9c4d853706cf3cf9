// Package srp is the server's side of SRP-6a as Cognito's clients speak it: verifiers made from passwords, the
// PASSWORD_VERIFIER challenge and the check of its answer. Device sign-in is the same with the device's group key in the
// place of the pool name and the device key in the place of the user id.
//
// The group is the 3072-bit one of RFC 5054, with SHA-256. Numbers are hashed as minimal big-endian bytes, with a zero
// byte in front if the top bit is set; they are not padded to the length of N, which is the difference to RFC 5054.
//
//	k = H(N | g)   x = H(salt | H(pool user ":" password))   v = g^x
//	A = g^a        B = k*v + g^b       u = H(A | B)          S = (A * v^u)^b
//	key = HKDF-SHA-256(S, salt u, info "Caldera Derived Key"), 16 bytes
//	proof = HMAC-SHA-256(key, pool user SECRET_BLOCK TIMESTAMP)
//
// On processors with AVX-512 IFMA, arithmetic is this package's own and takes the same time for all numbers (see
// montgomery.go). On others it is math/big's, which does not: powers of g take a regular path (see table.go); in S, b is used
// once and u is public. What remains is timing of single multiplications, far below the noise of a network. An attacker
// on the same processor core, who sees which powers of g are read, is not defended against.
package srp

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"time"
)

const (
	// SaltSize is the length of a salt in bytes.
	SaltSize = 16
	// VerifierSize is the length of a verifier in bytes: a number below N, big-endian.
	VerifierSize = 384
	// StateSize is the length of what Challenge.State returns.
	StateSize = 1 + secretSize + sha256.Size + VerifierSize
	// MaxSkew is how far the timestamp of an answer may be from the server's clock.
	MaxSkew = 5 * time.Minute

	secretSize   = 32 // of b
	stateVersion = 1
)

var (
	// ErrPublicValue: SRP_A is not a number between 1 and N - 1 in hexadecimal.
	ErrPublicValue = errors.New("srp: invalid public value A")
	// ErrVerifier: the verifier is not a number between 1 and N - 1.
	ErrVerifier = errors.New("srp: invalid verifier")
	// ErrSalt: the salt is empty or too long.
	ErrSalt = errors.New("srp: invalid salt")
	// ErrState: the state is not one that Challenge.State returned.
	ErrState = errors.New("srp: invalid state")
	// ErrTimestamp: the timestamp cannot be read, or is too far from now.
	ErrTimestamp = errors.New("srp: invalid timestamp")
	// ErrProof: the password is wrong, or the answer belongs to another challenge.
	ErrProof = errors.New("srp: wrong proof")
)

// The 3072-bit group of RFC 5054, appendix A, but with generator 2 as in RFC 3526, group 15.
var (
	groupN, _ = new(big.Int).SetString(""+
		"FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"+
		"EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"+
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"+
		"83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"+
		"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"+
		"15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7"+
		"ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"+
		"BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF", 16)
	groupG = big.NewInt(2)
	groupK = hash(pad(groupN), pad(groupG))
)

// pad is the form in which numbers are hashed.
func pad(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) == 0 || b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return b
}

func hash(parts ...[]byte) *big.Int {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return new(big.Int).SetBytes(h.Sum(nil))
}

// NewVerifier makes what is stored of a password: a random salt and the verifier. Whoever has the verifier can try
// passwords against it at the cost of one power each, so it must be encrypted at rest.
func NewVerifier(poolName, userID, password string) (salt, verifier []byte) {
	salt = make([]byte, SaltSize)
	rand.Read(salt)
	salt[0] |= 0x80 // no leading zeros, which the hexadecimal form would lose
	return salt, passwordVerifier(poolName, userID, password, salt)
}

func passwordVerifier(poolName, userID, password string, salt []byte) []byte {
	v := powG(privateKey(poolName, userID, password, salt))
	return v.FillBytes(make([]byte, VerifierSize))
}

func privateKey(poolName, userID, password string, salt []byte) *big.Int {
	id := sha256.Sum256([]byte(poolName + userID + ":" + password))
	return hash(pad(new(big.Int).SetBytes(salt)), id[:])
}

// CheckPassword compares a password with a verifier, in constant time once the power is computed.
func CheckPassword(poolName, userID, password string, salt, verifier []byte) bool {
	got := passwordVerifier(poolName, userID, password, salt)
	return subtle.ConstantTimeCompare(got, verifier) == 1
}

// ParseVerifier reads salt and verifier of a device as ConfirmDevice has them, big-endian numbers of any padding, and
// returns the verifier as this package keeps it. The salt is kept as it is.
func ParseVerifier(salt, verifier []byte) ([]byte, error) {
	if len(salt) == 0 || len(salt) > 64 {
		return nil, ErrSalt
	}
	if len(verifier) > VerifierSize+1 {
		return nil, ErrVerifier
	}
	v := new(big.Int).SetBytes(verifier)
	if !inGroup(v) {
		return nil, ErrVerifier
	}
	return v.FillBytes(make([]byte, VerifierSize)), nil
}

// inGroup says whether 0 < n < N.
func inGroup(n *big.Int) bool {
	return n.Sign() > 0 && n.Cmp(groupN) < 0
}

// SaltHex is the SALT parameter of a challenge.
func SaltHex(salt []byte) string {
	return new(big.Int).SetBytes(salt).Text(16)
}

// Challenge is the server's side of one sign-in, between its two steps.
type Challenge struct {
	PublicB string // SRP_B, hexadecimal

	a, b, u *big.Int // A, b and u
}

// NewChallenge answers SRP_A. It takes the same time for every verifier, so a fake one does not stand out.
func NewChallenge(verifier []byte, publicA string) (*Challenge, error) {
	a, err := parseA(publicA)
	if err != nil {
		return nil, err
	}
	v := new(big.Int).SetBytes(verifier)
	if len(verifier) != VerifierSize || !inGroup(v) {
		return nil, ErrVerifier
	}
	for {
		secret := make([]byte, secretSize)
		rand.Read(secret)
		b := new(big.Int).SetBytes(secret)
		publicB := serverPublic(v, powG(b))
		u := hash(pad(a), pad(publicB))
		if b.Sign() == 0 || publicB.Sign() == 0 || u.Sign() == 0 {
			continue // RFC 5054, section 2.5.3 and 2.5.4; does not happen
		}
		return &Challenge{PublicB: publicB.Text(16), a: a, b: b, u: u}, nil
	}
}

func parseA(publicA string) (*big.Int, error) {
	if len(publicA) == 0 || len(publicA) > 2*(VerifierSize+1) || strings.Trim(publicA, "0123456789abcdefABCDEF") != "" {
		return nil, ErrPublicValue
	}
	a, ok := new(big.Int).SetString(publicA, 16)
	if !ok || !inGroup(a) {
		return nil, ErrPublicValue
	}
	return a, nil
}

// serverPublic is B = k*v + g^b mod N.
func serverPublic(v, gb *big.Int) *big.Int {
	n := new(big.Int).Mul(groupK, v)
	n.Add(n, gb)
	return n.Mod(n, groupN)
}

// State returns what Verify needs in the second step. It is secret: the caller seals it into SECRET_BLOCK, together with
// user, client and expiry, and sees to it that it is used once.
func (c *Challenge) State() []byte {
	s := make([]byte, StateSize)
	s[0] = stateVersion
	c.b.FillBytes(s[1 : 1+secretSize])
	c.u.FillBytes(s[1+secretSize : 1+secretSize+sha256.Size])
	c.a.FillBytes(s[1+secretSize+sha256.Size:])
	return s
}

func parseState(s []byte) (*Challenge, error) {
	if len(s) != StateSize || s[0] != stateVersion {
		return nil, ErrState
	}
	s = s[1:]
	return &Challenge{
		b: new(big.Int).SetBytes(s[:secretSize]),
		u: new(big.Int).SetBytes(s[secretSize : secretSize+sha256.Size]),
		a: new(big.Int).SetBytes(s[secretSize+sha256.Size:]),
	}, nil
}

// Answer is what a client answers to a PASSWORD_VERIFIER or DEVICE_PASSWORD_VERIFIER challenge.
type Answer struct {
	PoolName    string // the pool id after "_"; for devices the device group key
	UserID      string // USER_ID_FOR_SRP; for devices the device key
	SecretBlock []byte // PASSWORD_CLAIM_SECRET_BLOCK, decoded
	Timestamp   string // TIMESTAMP
	Signature   string // PASSWORD_CLAIM_SIGNATURE, base64
}

// Verify checks the answer to the challenge that state belongs to. The errors are ErrState, ErrVerifier, ErrTimestamp and
// ErrProof.
func Verify(state, verifier []byte, answer Answer, now time.Time) error {
	c, err := parseState(state)
	if err != nil {
		return err
	}
	if len(verifier) != VerifierSize {
		return ErrVerifier
	}
	if err := checkTimestamp(answer.Timestamp, now); err != nil {
		return err
	}
	want := proof(sessionKey(c.a, new(big.Int).SetBytes(verifier), c.u, c.b), answer)
	got, err := base64.StdEncoding.DecodeString(answer.Signature)
	if err != nil || !hmac.Equal(got, want) {
		return ErrProof
	}
	return nil
}

// sessionKey derives the key from S = (A * v^u)^b mod N.
func sessionKey(a, v, u, b *big.Int) []byte {
	s := shared(a, v, u, b)
	key, err := hkdf.Key(sha256.New, pad(s), pad(u), "Caldera Derived Key", 16)
	if err != nil {
		panic(err) // only for lengths that HKDF cannot make
	}
	return key
}

// shared is S.
func shared(a, v, u, b *big.Int) *big.Int {
	if hasIFMA {
		return sharedElement(a, v, u, b)
	}
	s := new(big.Int).Exp(v, u, groupN)
	s.Mul(s, a)
	s.Mod(s, groupN)
	return s.Exp(s, b, groupN)
}

func proof(key []byte, answer Answer) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(answer.PoolName))
	m.Write([]byte(answer.UserID))
	m.Write(answer.SecretBlock)
	m.Write([]byte(answer.Timestamp))
	return m.Sum(nil)
}

// checkTimestamp reads "EEE MMM d HH:mm:ss UTC yyyy" in English; the day may be padded with a blank or a zero.
func checkTimestamp(s string, now time.Time) error {
	if len(s) > 32 {
		return ErrTimestamp
	}
	t, err := time.Parse("Mon Jan _2 15:04:05 UTC 2006", s)
	if err != nil || t.Sub(now).Abs() > MaxSkew {
		return ErrTimestamp
	}
	return nil
}

// Fake stands for a user who does not exist.
type Fake struct {
	Salt     []byte
	Verifier []byte
	ID       [16]byte // for a made-up USER_ID_FOR_SRP
}

// NewFake makes the same user each time for the same key, pool and name, so that a challenge does not tell whether the
// user exists (RFC 5054, section 2.5.1.3). No password is known for it.
func NewFake(key []byte, poolID, username string) Fake {
	info := "srp fake user\x00" + poolID + "\x00" + username // pool ids have no zero byte
	random, err := hkdf.Key(sha256.New, key, nil, info, SaltSize+16+VerifierSize)
	if err != nil {
		panic(err) // only for lengths that HKDF cannot make
	}
	f := Fake{Salt: random[:SaltSize:SaltSize]}
	f.Salt[0] |= 0x80
	copy(f.ID[:], random[SaltSize:])
	// A square, because powers of g are squares.
	v := new(big.Int).SetBytes(random[SaltSize+16:])
	v.Mul(v, v)
	v.Mod(v, groupN)
	f.Verifier = v.FillBytes(make([]byte, VerifierSize))
	return f
}
