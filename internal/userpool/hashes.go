package userpool

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"

	"usher/internal/argon2id"
)

// Slow hashes of passwords: our own Argon2id, and those that users bring along when they are imported.

// ownHash begins every hash that is made here: Argon2id with 19 MiB, two passes and one lane (OWASP Password Storage Cheat
// Sheet).
const ownHash = "$argon2id$v=19$m=19456,t=2,p=1$"

// Limits of the work that an imported hash may ask for ("Importing users into user pools from a CSV file").
const (
	mostBcryptCost  = 12
	mostScryptN     = 65536
	mostScryptR     = 8
	mostArgonMemory = 19456 // KiB
	mostArgonTime   = 2
	mostPBKDF2      = 600_000
	mostHashBytes   = 64 // of a salt or hash
)

// Values of PasswordHashingAlgorithmType.
const (
	algorithmArgon2id = "ARGON2ID"
	algorithmBcrypt   = "BCRYPT"
	algorithmScrypt   = "SCRYPT"
	algorithmPBKDF2   = "PBKDF2_SHA256"
)

var errHashForm = errors.New("not a hash in the form of the algorithm, or one that costs more than is allowed")

// hashCheck reports whether a password is the one of a hash.
type hashCheck func(m *argon2id.Memory, plain string) bool

// parseHash reads a hash of one of the algorithms of PasswordHashingAlgorithmType.
func parseHash(algorithm, text string) (hashCheck, error) {
	if len(text) > 512 {
		return nil, errHashForm
	}
	switch algorithm {
	case algorithmArgon2id:
		return parseArgon2id(text)
	case algorithmBcrypt:
		return parseBcrypt(text)
	case algorithmScrypt:
		return parseScrypt(text)
	case algorithmPBKDF2:
		return parsePBKDF2(text)
	}
	return nil, errHashForm
}

// parseArgon2id reads $argon2id$v=19$m=MEMORY,t=TIME,p=1$SALT$HASH.
func parseArgon2id(text string) (hashCheck, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return nil, errHashForm
	}
	var memory, time uint32
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d", &memory, &time); err != nil || n != 2 || parts[3] != fmt.Sprintf("m=%d,t=%d,p=1", memory, time) {
		return nil, errHashForm
	}
	if memory < 8 || memory > mostArgonMemory || time < 1 || time > mostArgonTime {
		return nil, errHashForm
	}
	salt, hash, err := saltAndHash(base64.RawStdEncoding.Strict().DecodeString, parts[4], parts[5])
	if err != nil {
		return nil, err
	}
	return func(m *argon2id.Memory, plain string) bool {
		return subtle.ConstantTimeCompare(m.Key([]byte(plain), salt, time, memory, uint32(len(hash))), hash) == 1
	}, nil
}

// parseBcrypt reads $2b$COST$ and 53 characters; 2a, 2x and 2y too.
func parseBcrypt(text string) (hashCheck, error) {
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || len(text) != 60 || cost > mostBcryptCost || !strings.Contains("abxy", text[2:3]) {
		return nil, errHashForm
	}
	return func(_ *argon2id.Memory, plain string) bool {
		return bcrypt.CompareHashAndPassword([]byte(text), []byte(plain)) == nil
	}, nil
}

// parseScrypt reads N$r$p$SALT$HASH, the last two in hexadecimal.
func parseScrypt(text string) (hashCheck, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 {
		return nil, errHashForm
	}
	n, err1 := strconv.Atoi(parts[0])
	r, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil || n < 2 || n > mostScryptN || n&(n-1) != 0 || r < 1 || r > mostScryptR || parts[2] != "1" {
		return nil, errHashForm
	}
	salt, hash, err := saltAndHash(hex.DecodeString, parts[3], parts[4])
	if err != nil {
		return nil, err
	}
	return func(_ *argon2id.Memory, plain string) bool {
		key, err := scrypt.Key([]byte(plain), salt, n, r, 1, len(hash))
		return err == nil && subtle.ConstantTimeCompare(key, hash) == 1
	}, nil
}

// parsePBKDF2 reads $pbkdf2-sha256$ITERATIONS$SALT$HASH, in base64 without padding and with "." for "+".
func parsePBKDF2(text string) (hashCheck, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "pbkdf2-sha256" {
		return nil, errHashForm
	}
	iterations, err := strconv.Atoi(parts[2])
	if err != nil || iterations < 1 || iterations > mostPBKDF2 {
		return nil, errHashForm
	}
	salt, hash, err := saltAndHash(func(s string) ([]byte, error) {
		return base64.RawStdEncoding.DecodeString(strings.ReplaceAll(s, ".", "+"))
	}, parts[3], parts[4])
	if err != nil {
		return nil, err
	}
	return func(_ *argon2id.Memory, plain string) bool {
		key, err := pbkdf2.Key(sha256.New, plain, salt, iterations, len(hash))
		return err == nil && subtle.ConstantTimeCompare(key, hash) == 1
	}, nil
}

// saltAndHash decodes the two, which must have some length.
func saltAndHash(decode func(string) ([]byte, error), saltText, hashText string) (salt, hash []byte, err error) {
	salt, err1 := decode(saltText)
	hash, err2 := decode(hashText)
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > mostHashBytes || len(hash) < 16 || len(hash) > mostHashBytes {
		return nil, nil, errHashForm
	}
	return salt, hash, nil
}

// algorithmOf returns the algorithm of a hash that was accepted.
func algorithmOf(text string) string {
	switch {
	case strings.HasPrefix(text, "$argon2id$"):
		return algorithmArgon2id
	case strings.HasPrefix(text, "$pbkdf2-sha256$"):
		return algorithmPBKDF2
	case strings.HasPrefix(text, "$2"):
		return algorithmBcrypt
	}
	return algorithmScrypt
}

// newHash returns our own hash of a password.
func newHash(m *argon2id.Memory, plain string) string {
	salt := make([]byte, 16)
	rand.Read(salt)
	encode := base64.RawStdEncoding.EncodeToString
	return ownHash + encode(salt) + "$" + encode(m.Key([]byte(plain), salt, mostArgonTime, mostArgonMemory, 32))
}

// hashing bounds the computations of slow hashes: as many as there are cores are under way, each in memory that the next one
// uses again, and so many wait for their turn. More are refused at once, since they would only end after their callers have
// given up.
type hashing struct {
	turns   chan *argon2id.Memory
	waiting atomic.Int64 // or under way
}

// hashQueue is how many computations there are at once for each core: about a second's.
const hashQueue = 50

func newHashing(cores int) *hashing {
	h := &hashing{turns: make(chan *argon2id.Memory, cores)}
	for range cores {
		h.turns <- new(argon2id.Memory)
	}
	return h
}

// do runs a computation in its turn. Who gives up waiting is not computed for.
func (h *hashing) do(ctx context.Context, compute func(*argon2id.Memory)) error {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > int64(hashQueue*cap(h.turns)) {
		return errTooManyAtOnce
	}
	select {
	case m := <-h.turns:
		defer func() { h.turns <- m }()
		compute(m)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
