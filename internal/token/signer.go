package token

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"runtime"
	"sync"
)

var (
	// ErrOverloaded: more tokens wait to be signed than the signer takes.
	ErrOverloaded = errors.New("token: too many signatures waiting")
	// ErrClosed: the signer was closed.
	ErrClosed = errors.New("token: signer closed")
)

// Job is a token to be signed.
type Job struct {
	Key    *KeyPair
	Claims []byte // a JSON object
}

// Signer signs tokens in a fixed number of goroutines, so that signing, by far the dearest thing that a sign-in does, never
// takes more than its share. All jobs of one call are a unit: the tokens of one sign-in wait once.
type Signer struct {
	queue chan *unit
	wait  sync.WaitGroup

	mu     sync.RWMutex // held for reading while a unit is put into the queue
	closed bool
}

type unit struct {
	ctx    context.Context
	jobs   []Job
	tokens [][]byte // the parts that are signed, then the tokens
	err    error
	done   chan struct{}
}

// NewSigner starts a signer with GOMAXPROCS goroutines. At most queue calls wait; zero means 128 for each goroutine, about
// 200 ms of work for pairs of tokens.
func NewSigner(queue int) *Signer {
	workers := runtime.GOMAXPROCS(0)
	if queue == 0 {
		queue = 128 * workers
	}
	s := &Signer{queue: make(chan *unit, queue)}
	for range workers {
		s.wait.Go(s.work)
	}
	return s
}

// Sign returns the token of each job. The errors are ErrOverloaded, ErrClosed, those of the context, and internal ones.
func (s *Signer) Sign(ctx context.Context, jobs []Job) ([]string, error) {
	u := &unit{ctx: ctx, jobs: jobs, tokens: make([][]byte, len(jobs)), done: make(chan struct{})}
	for i, j := range jobs {
		b := make([]byte, 0, len(j.Key.header)+base64.RawURLEncoding.EncodedLen(len(j.Claims))+1+base64.RawURLEncoding.EncodedLen(j.Key.private.Size()))
		b = append(b, j.Key.header...)
		u.tokens[i] = base64.RawURLEncoding.AppendEncode(b, j.Claims)
	}
	if err := s.enqueue(u); err != nil {
		return nil, err
	}
	select {
	case <-u.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if u.err != nil {
		return nil, u.err
	}
	tokens := make([]string, len(jobs))
	for i, t := range u.tokens {
		tokens[i] = string(t)
	}
	return tokens, nil
}

// Full reports whether Sign would answer ErrOverloaded at this moment: who is to sign in the end can refuse before he begins.
func (s *Signer) Full() bool { return len(s.queue) == cap(s.queue) }

func (s *Signer) enqueue(u *unit) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	select {
	case s.queue <- u:
		return nil
	default:
		return ErrOverloaded
	}
}

func (s *Signer) work() {
	for u := range s.queue {
		u.sign()
		close(u.done)
	}
}

func (u *unit) sign() {
	for i, j := range u.jobs {
		if u.err = u.ctx.Err(); u.err != nil {
			return // nobody waits any more
		}
		hash, digest := j.Key.digest(u.tokens[i])
		// crypto/rsa verifies what it signed, so that a fault does not give the key away.
		var signature []byte
		if signature, u.err = rsa.SignPKCS1v15(nil, j.Key.private, hash, digest); u.err != nil {
			return
		}
		u.tokens[i] = base64.RawURLEncoding.AppendEncode(append(u.tokens[i], '.'), signature)
	}
}

// digest hashes what is signed, by the key's algorithm.
func (k *KeyPair) digest(input []byte) (crypto.Hash, []byte) {
	hash := algorithms[k.algorithm].hash
	if hash == crypto.SHA256 {
		sum := sha256.Sum256(input)
		return hash, sum[:]
	}
	h := hash.New()
	h.Write(input)
	return hash, h.Sum(nil)
}

// Close lets what waits be signed and refuses the rest.
func (s *Signer) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.queue)
	}
	s.mu.Unlock()
	s.wait.Wait()
}
