// Package seal keeps secrets at rest and state that travels through clients
// unreadable and unforgeable under key-encryption keys that the operator holds.
//
// A Keyring has one active key, which seals, and any number of older ones,
// which still open: to rotate, put a new line on top of the key file and
// remove the old one when nothing sealed under it is needed any more. Every
// use has its own purpose and thereby its own sub-key, so that what was sealed
// for one purpose never opens for another.
package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	version   = 1
	keySize   = 32
	nonceSize = chacha20poly1305.NonceSizeX
	maxKeys   = 64
	maxKeyID  = 32
)

// ErrInvalid says that a sealed value was not made by this Box with the same
// associated data, or was altered since.
var ErrInvalid = errors.New("seal: invalid")

// UnknownKeyError says that a value names a key that is not in the Keyring. The
// name comes from the value and is not authenticated.
type UnknownKeyError struct{ KeyID string }

func (e *UnknownKeyError) Error() string { return fmt.Sprintf("seal: no key %q", e.KeyID) }

// Keyring is a list of key-encryption keys. It is safe for concurrent use and
// prints without its keys.
type Keyring struct {
	keys []key // the active one first
}

type key struct {
	id     string
	secret []byte
}

// Generate returns the text of a Keyring with one new key.
func Generate() string {
	var id [5]byte
	var secret [keySize]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	return fmt.Sprintf("%x:%s\n", id, base64.StdEncoding.EncodeToString(secret[:]))
}

// Parse reads a Keyring from text, the content of a file or of an environment
// variable: a line "id:key" for each key, the active one first. An id is up to
// 32 of [A-Za-z0-9._-]; a key is the base64 of 32 random bytes. Empty lines and
// lines that begin with # are skipped. Errors name lines, never keys.
func Parse(text string) (*Keyring, error) {
	k := &Keyring{}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		id, encoded, _ := strings.Cut(line, ":")
		if !validKeyID(id) {
			return nil, fmt.Errorf("seal: line %d: a key's id is 1 to %d of A-Z a-z 0-9 . _ -", n+1, maxKeyID)
		}
		if k.find(id) != nil {
			return nil, fmt.Errorf("seal: line %d: there is a key %s already", n+1, id)
		}
		secret, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || len(secret) != keySize || strings.Count(string(secret), string(secret[:1])) == keySize {
			return nil, fmt.Errorf("seal: line %d: a key is the base64 of %d random bytes", n+1, keySize)
		}
		if k.keys = append(k.keys, key{id, secret}); len(k.keys) > maxKeys {
			return nil, fmt.Errorf("seal: more than %d keys", maxKeys)
		}
	}
	if len(k.keys) == 0 {
		return nil, errors.New("seal: no key")
	}
	return k, nil
}

func validKeyID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return 0 < len(id) && len(id) <= maxKeyID
}

func (k *Keyring) find(id string) *key {
	for i := range k.keys {
		if k.keys[i].id == id {
			return &k.keys[i]
		}
	}
	return nil
}

// Format implements fmt.Formatter, so that no verb prints the keys.
func (k *Keyring) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "seal.Keyring(%s)", k.ActiveKey()) }

// ActiveKey returns the id of the key that seals.
func (k *Keyring) ActiveKey() string { return k.keys[0].id }

// KeyIDs returns the ids of all keys, the active one first.
func (k *Keyring) KeyIDs() []string {
	ids := make([]string, len(k.keys))
	for i := range k.keys {
		ids[i] = k.keys[i].id
	}
	return ids
}

// Derive returns n bytes (at most 8160) for a purpose from the active key, for
// uses other than a Box, such as an HMAC key. What is made with them must
// either not outlive the key's time as the active one or carry ActiveKey, for
// DeriveFrom.
func (k *Keyring) Derive(purpose string, n int) []byte { return k.keys[0].derive("key", purpose, n) }

// DeriveFrom is Derive from the key with the given id, active or not. Its error
// is an *UnknownKeyError.
func (k *Keyring) DeriveFrom(keyID, purpose string, n int) ([]byte, error) {
	key := k.find(keyID)
	if key == nil {
		return nil, &UnknownKeyError{keyID}
	}
	return key.derive("key", purpose, n), nil
}

// derive is HKDF-SHA-256 (RFC 5869) without salt, since keys are random. The
// use keeps the sub-keys of boxes apart from those that Derive gives away.
func (k *key) derive(use, purpose string, n int) []byte {
	sub, err := hkdf.Key(sha256.New, k.secret, nil, fmt.Sprintf("usher seal v%d %s %s", version, use, purpose), n)
	if err != nil {
		panic(err) // n is out of range: a mistake in the program
	}
	return sub
}

// Box seals and opens values of one purpose with XChaCha20-Poly1305. It is safe
// for concurrent use; make it once.
type Box struct {
	header []byte // of what it seals
	active cipher.AEAD
	aeads  map[string]cipher.AEAD // by key id
}

// Box returns the box for a purpose. Purposes are constants of the program,
// such as "userpool srp verifier".
func (k *Keyring) Box(purpose string) *Box {
	b := &Box{
		header: append([]byte{version, byte(len(k.ActiveKey()))}, k.ActiveKey()...),
		aeads:  make(map[string]cipher.AEAD, len(k.keys)),
	}
	for i := range k.keys {
		aead, err := chacha20poly1305.NewX(k.keys[i].derive("box", purpose, chacha20poly1305.KeySize))
		if err != nil {
			panic(err) // the key has the right size
		}
		b.aeads[k.keys[i].id] = aead
	}
	b.active = b.aeads[k.ActiveKey()]
	return b
}

// Seal returns plaintext sealed under the active key: one byte of version, the
// key's id after one byte of length, a random nonce of 24 bytes, and the
// ciphertext, which is 16 bytes longer than the plaintext. Only who passes the
// same associated data can open it; use it to tie a value to its place, such
// as the id of its row.
func (b *Box) Seal(plaintext, ad []byte) []byte {
	n := len(b.header)
	sealed := make([]byte, n+nonceSize, n+nonceSize+len(plaintext)+b.active.Overhead())
	copy(sealed, b.header)
	rand.Read(sealed[n:])
	return b.active.Seal(sealed, sealed[n:], plaintext, ad)
}

// Open returns the plaintext of a sealed value. Its error is ErrInvalid or an
// *UnknownKeyError.
func (b *Box) Open(sealed, ad []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != version || len(sealed) < 2+int(sealed[1])+nonceSize {
		return nil, ErrInvalid
	}
	id, rest := sealed[2:2+int(sealed[1])], sealed[2+int(sealed[1]):]
	aead, ok := b.aeads[string(id)]
	if !ok {
		return nil, &UnknownKeyError{string(id)}
	}
	plaintext, err := aead.Open(nil, rest[:nonceSize], rest[nonceSize:], ad)
	if err != nil {
		return nil, ErrInvalid
	}
	return plaintext, nil
}
