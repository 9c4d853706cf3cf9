package token

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// maxRemembered is how long a token is remembered at most, in seconds. Then its key is asked for again, and one that the
// issuer has withdrawn is noticed.
const maxRemembered = 15 * 60

// VerifiedCache remembers tokens that were verified, by their SHA-256, for a quarter of an hour or until they expire. It is
// safe for concurrent use.
type VerifiedCache struct {
	size int

	mu      sync.Mutex
	removed uint64 // calls of RemoveKey
	entries map[[sha256.Size]byte]*list.Element
	recent  *list.List // of *verified, the last used in front
}

type verified struct {
	id      [sha256.Size]byte
	keyID   string
	claims  Claims
	expires int64 // of this entry, seconds since 1970
}

// NewVerifiedCache returns a cache of at most size tokens.
func NewVerifiedCache(size int) *VerifiedCache {
	return &VerifiedCache{size: max(size, 1), entries: make(map[[sha256.Size]byte]*list.Element), recent: list.New()}
}

// Verify returns the claims of a token whose signature is right and which has not expired. key finds the key; it is asked
// only for tokens that are not remembered, and must choose by issuer and key id. Everything else about the claims is
// the caller's to check, each time, and that the key is still one of the issuer's.
func (c *VerifiedCache) Verify(token string, now time.Time, key func(*Unverified) (PublicKey, error)) (Claims, error) {
	if len(token) > MaxSize {
		return Claims{}, ErrMalformed
	}
	id := sha256.Sum256([]byte(token))
	claims, removed, ok := c.get(id, now.Unix())
	if ok {
		return claims, nil
	}
	u, err := Parse(token)
	if err != nil {
		return Claims{}, err
	}
	k, err := key(u)
	if err != nil {
		return Claims{}, err
	}
	if claims, err = u.Verify(k); err != nil {
		return Claims{}, err
	}
	if err := claims.CheckExpiry(now, 0); err != nil {
		return Claims{}, err
	}
	claims.keyID = k.ID
	expires, _ := claims.Int("exp")
	c.put(&verified{id: id, keyID: k.ID, claims: claims, expires: min(expires, now.Unix()+maxRemembered)}, removed)
	return claims, nil
}

func (c *VerifiedCache) get(id [sha256.Size]byte, now int64) (claims Claims, removed uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[id]
	if !ok {
		return Claims{}, c.removed, false
	}
	v := e.Value.(*verified)
	if now >= v.expires {
		c.remove(e)
		return Claims{}, c.removed, false
	}
	c.recent.MoveToFront(e)
	return v.claims, c.removed, true
}

// put remembers a token, unless a key was removed since it was looked for: it may have been this token's.
func (c *VerifiedCache) put(v *verified, removed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[v.id]; ok || removed != c.removed {
		return
	}
	c.entries[v.id] = c.recent.PushFront(v)
	if c.recent.Len() > c.size {
		c.remove(c.recent.Back())
	}
}

func (c *VerifiedCache) remove(e *list.Element) {
	c.recent.Remove(e)
	delete(c.entries, e.Value.(*verified).id)
}

// RemoveKey forgets all tokens that were verified with a key, because it is no longer in use.
func (c *VerifiedCache) RemoveKey(keyID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed++
	for e := c.recent.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*verified).keyID == keyID {
			c.remove(e)
		}
		e = next
	}
}
