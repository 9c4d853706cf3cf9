package identitypool

import (
	"net/netip"
	"sync"
	"time"

	api "usher/internal/api/cognitoidentity"
)

// guestLimit bounds how many guests a client address may make: each is a row that stays, and anybody may ask for one. An
// address may make a minute's worth at once.
type guestLimit struct {
	perMinute int

	mu      sync.Mutex
	clients map[netip.Prefix]guestBucket
}

// guestBucket is what a client had left, and when.
type guestBucket struct {
	left float64
	at   time.Time
}

const clientsMost = 100_000 // that are remembered; beyond, some of them begin anew

var errRate = api.ErrTooManyRequests.Msg("Rate exceeded")

// take is asked for each new guest. Clients whose address is unknown, the zero Addr, count as one.
func (l *guestLimit) take(client netip.Addr, now time.Time) bool {
	if l.perMinute == 0 {
		return true
	}
	bits := client.BitLen()
	if client.Is6() {
		bits = 64 // what one subscriber has
	}
	key, _ := client.Prefix(bits)
	most := float64(l.perMinute)
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.clients[key]
	if !known {
		if len(l.clients) >= clientsMost {
			l.forget(now)
		}
		b = guestBucket{most, now}
	}
	b.left = min(b.left+most*now.Sub(b.at).Minutes(), most)
	b.at = now
	allowed := b.left >= 1
	if allowed {
		b.left--
	}
	l.clients[key] = b
	return allowed
}

// forget makes room for a tenth, so that it is seldom needed. Clients that have waited for a minute have all that a new one has.
func (l *guestLimit) forget(now time.Time) {
	for key, b := range l.clients {
		if now.Sub(b.at) >= time.Minute {
			delete(l.clients, key)
		}
	}
	for key := range l.clients {
		if len(l.clients) <= clientsMost/10*9 {
			return
		}
		delete(l.clients, key)
	}
}
