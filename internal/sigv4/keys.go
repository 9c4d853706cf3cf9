package sigv4

import (
	"container/list"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// SigningKey derives the key of one day, region and service from a secret access key.
func SigningKey(secret, date, region, service string) []byte {
	key := mac([]byte("AWS4"+secret), date)
	key = mac(key, region)
	key = mac(key, service)
	return mac(key, terminator)
}

func mac(key []byte, message string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(message))
	return m.Sum(nil)
}

// KeyCache keeps the signing keys used last. An entry is found by a hash over the secret among the rest, so that a
// changed secret can never meet the key of the old one. It is safe for concurrent use.
type KeyCache struct {
	size int

	mu      sync.Mutex
	entries map[[sha256.Size]byte]*list.Element
	recent  *list.List // of *cachedKey, the last used in front
}

type cachedKey struct {
	id  [sha256.Size]byte
	key []byte
}

// NewKeyCache returns a cache of at most size keys.
func NewKeyCache(size int) *KeyCache {
	return &KeyCache{size: max(size, 1), entries: make(map[[sha256.Size]byte]*list.Element), recent: list.New()}
}

// Key is SigningKey, remembered. The caller must not change the key.
func (c *KeyCache) Key(accessKeyID, secret, date, region, service string) []byte {
	var room [256]byte
	b := room[:0]
	for _, part := range [...]string{accessKeyID, secret, date, region, service} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	id := sha256.Sum256(b)

	c.mu.Lock()
	if e, ok := c.entries[id]; ok {
		c.recent.MoveToFront(e)
		key := e.Value.(*cachedKey).key
		c.mu.Unlock()
		return key
	}
	c.mu.Unlock()

	key := SigningKey(secret, date, region, service)

	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[id]; ok {
		return key
	}
	c.entries[id] = c.recent.PushFront(&cachedKey{id, key})
	if c.recent.Len() > c.size {
		last := c.recent.Back()
		c.recent.Remove(last)
		delete(c.entries, last.Value.(*cachedKey).id)
	}
	return key
}
