// Package seal keeps secrets unreadable in the database and in texts that clients hold for us.
//
// A [Keyring] holds the installation's key-encryption keys, each with an id. Nothing is encrypted with them directly: each
// purpose has sub-keys of its own, made by HKDF-SHA-256 (RFC 5869), so that what one purpose seals no other can open. A
// [Box] is one purpose. The first key of the ring seals, all of them open: to rotate, put a new key first, and remove an old
// one when nothing sealed with it is needed any more.
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
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

var (
	// ErrUnknownKey says that a text was sealed with a key that is not in the ring.
	ErrUnknownKey = errors.New("seal: sealed with a key that is not in the keyring")
	// ErrNotOpen says that a text is no sealed text of this box with this associated data, or was altered.
	ErrNotOpen = errors.New("seal: not sealed here, or altered")
)

const (
	keySize   = 32
	maxIDSize = 32
	maxKeys   = 64
	version   = 1
)

// Keyring is a list of key-encryption keys; immutable and safe for concurrent use.
type Keyring struct {
	keys  []key
	boxes sync.Map // purpose → *Box
}

type key struct {
	id     string
	secret []byte
}

// Parse reads a keyring: one `id:base64` a line, the key being 32 bytes; the first is the active one. Empty lines and
// lines that begin with # are passed over. An id is 1 to 32 letters, digits, '-', '_' or '.'.
func Parse(text string) (*Keyring, error) {
	ring := &Keyring{}
	seen := map[string]bool{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		id, encoded, _ := strings.Cut(line, ":")
		secret, err := base64.StdEncoding.Strict().DecodeString(encoded)
		switch {
		case err != nil || len(secret) != keySize: // never the line itself: it is a secret
			return nil, fmt.Errorf("seal: line %d: want id:base64 of %d bytes", n, keySize)
		case !validID(id):
			return nil, fmt.Errorf("seal: line %d: the id is not 1 to %d letters, digits, '-', '_' or '.'", n, maxIDSize)
		case seen[id]:
			return nil, fmt.Errorf("seal: line %d: two keys have the id %q", n, id)
		case len(ring.keys) == maxKeys:
			return nil, fmt.Errorf("seal: more than %d keys", maxKeys)
		}
		seen[id] = true
		ring.keys = append(ring.keys, key{id, secret})
	}
	if len(ring.keys) == 0 {
		return nil, errors.New("seal: no key")
	}
	return ring, nil
}

func validID(id string) bool {
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return len(id) >= 1 && len(id) <= maxIDSize
}

// Generate returns the text of a keyring with one new key.
func Generate() string {
	secret := make([]byte, keySize)
	rand.Read(secret)
	id := make([]byte, 4)
	rand.Read(id)
	return fmt.Sprintf("k%x:%s\n", id, base64.StdEncoding.EncodeToString(secret))
}

// Format implements fmt.Formatter, so that no verb prints the keys.
func (r *Keyring) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "seal.Keyring(%s)", r.Active()) }

// Active returns the id of the key that seals.
func (r *Keyring) Active() string { return r.keys[0].id }

// IDs returns the ids of all keys, the active one first.
func (r *Keyring) IDs() []string {
	ids := make([]string, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.id
	}
	return ids
}

// Derive returns n bytes of key material of the key with the id ("" is the active one) that belong to one purpose, for
// uses other than sealing, such as HMAC. The purposes of Derive and Box are apart. It panics when n is over 8160.
func (r *Keyring) Derive(purpose, id string, n int) ([]byte, error) {
	if id == "" {
		id = r.keys[0].id
	}
	for _, k := range r.keys {
		if k.id == id {
			return derive(k.secret, "derive/"+purpose, n), nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownKey, id)
}

func derive(secret []byte, info string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, nil, "usher/"+info, n)
	if err != nil {
		panic(err) // n is out of range
	}
	return out
}

// Box seals and opens texts of one purpose with XChaCha20-Poly1305; safe for concurrent use.
type Box struct {
	aeads map[string]cipher.AEAD
	head  []byte // version, length of the id, id of the active key
	seal  cipher.AEAD
}

// Box returns the box of a purpose; one name is one purpose for ever.
func (r *Keyring) Box(purpose string) *Box {
	if b, ok := r.boxes.Load(purpose); ok {
		return b.(*Box)
	}
	b := &Box{aeads: make(map[string]cipher.AEAD, len(r.keys))}
	for _, k := range r.keys {
		aead, err := chacha20poly1305.NewX(derive(k.secret, "box/"+purpose, chacha20poly1305.KeySize))
		if err != nil {
			panic(err) // the size is right
		}
		b.aeads[k.id] = aead
	}
	active := r.keys[0].id
	b.seal = b.aeads[active]
	b.head = append([]byte{version, byte(len(active))}, active...)
	kept, _ := r.boxes.LoadOrStore(purpose, b)
	return kept.(*Box)
}

// Overhead is how many bytes longer a sealed text is.
func (b *Box) Overhead() int {
	return len(b.head) + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
}

// Seal returns plaintext sealed: version, key id, nonce, ciphertext. ad is bound to it without being in it: Open needs the
// same. Rows bind a secret to their key, so that it cannot be moved to another row.
func (b *Box) Seal(plaintext, ad []byte) []byte {
	head := len(b.head) + chacha20poly1305.NonceSizeX
	out := make([]byte, head, head+len(plaintext)+chacha20poly1305.Overhead)
	copy(out, b.head)
	nonce := out[len(b.head):head]
	rand.Read(nonce)
	return b.seal.Seal(out, nonce, plaintext, b.bind(out[:len(b.head)], ad))
}

// Open returns the plaintext of sealed. The error is ErrUnknownKey or ErrNotOpen.
func (b *Box) Open(sealed, ad []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != version {
		return nil, ErrNotOpen
	}
	head := 2 + int(sealed[1])
	if len(sealed) < head+chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, ErrNotOpen
	}
	aead, ok := b.aeads[string(sealed[2:head])]
	if !ok {
		return nil, ErrUnknownKey
	}
	body := head + chacha20poly1305.NonceSizeX
	plain, err := aead.Open(nil, sealed[head:body], sealed[body:], b.bind(sealed[:head], ad))
	if err != nil {
		return nil, ErrNotOpen
	}
	return plain, nil
}

// bind is the associated data: the head, which has a length of its own, and the caller's.
func (b *Box) bind(head, ad []byte) []byte {
	bound := make([]byte, 0, 64+len(ad))
	return append(append(bound, head...), ad...)
}
