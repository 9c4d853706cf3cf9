package userpool

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Lockout after failed sign-ins (developer guide, "Lockout behavior for failed sign-in attempts"): after n >= 5 failures
// the next attempt has to wait 2^(n-5) seconds, at most 15 minutes.
const (
	freeFailures = 5
	longestLock  = 15 * time.Minute
)

// lockedUntil returns when the next attempt is allowed after n failures, the last of them at failedAt.
func lockedUntil(n int64, failedAt time.Time) time.Time {
	if n < freeFailures {
		return time.Time{}
	}
	return failedAt.Add(min(time.Second<<min(n-freeFailures, 20), longestLock))
}

// failuresAt returns how many of n failures still count at now: 15 minutes without an attempt after the lock has ended wipe
// them out.
func failuresAt(n int64, failedAt, now time.Time) int64 {
	if n > 0 && now.Sub(lockedUntil(n, failedAt)) >= longestLock && now.Sub(failedAt) >= longestLock {
		return 0
	}
	return n
}

// gate bounds how many password attempts on one name are under way at once. Attempts are counted when they have failed,
// so without it a burst of guesses would be checked before the first of them counts.
type gate struct {
	mu    sync.Mutex
	names map[string]*turn
}

type turn struct {
	slots   chan struct{}
	holders int // in or waiting
}

const attemptsAtOnce = 4

// enter waits for a turn on name. The caller reads the user after it and calls leave when the outcome is recorded.
func (g *gate) enter(ctx context.Context, name string) (leave func(), err error) {
	g.mu.Lock()
	t := g.names[name]
	if t == nil {
		t = &turn{slots: make(chan struct{}, attemptsAtOnce)}
		g.names[name] = t
	}
	t.holders++
	g.mu.Unlock()
	done := func() {
		g.mu.Lock()
		if t.holders--; t.holders == 0 {
			delete(g.names, name)
		}
		g.mu.Unlock()
	}
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots; done() }, nil
	case <-ctx.Done():
		done()
		return nil, ctx.Err()
	}
}

// turns has long computations take turns, one for each core at a time, so that a crowd of them leaves the processor to what
// is quick; package token does the same for signatures.
type turns struct {
	slots   chan struct{}
	waiting atomic.Int64 // or under way
}

// turnQueue is how many computations there are at once for each core: without help from the processor, about 200 ms of work.
const turnQueue = 128

func newTurns(cores int) *turns { return &turns{slots: make(chan struct{}, cores)} }

// do runs a computation in its turn. For who gives up waiting it is not run.
func (t *turns) do(ctx context.Context, compute func()) error {
	defer t.waiting.Add(-1)
	if t.waiting.Add(1) > int64(turnQueue*cap(t.slots)) {
		return errTooManyAtOnce
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
		compute()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
