package db

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Cache keeps values made from the database in memory, up to a number of
// entries, and drops them exactly when they change. A value is kept under
// scopes, names that its readers and writers agree on, such as "role:"+id:
// whoever changes what a value was made of calls Tx.Invalidate with its scope.
//
// A value got after Refresh contains every change that was acknowledged before
// Refresh was called, on whichever node. Concurrent callers share one load.
//
// Values are shared: nobody may change them. Errors are not kept, so neither is
// ErrNotFound; to keep the absence of a row, load a pointer or an option.
type Cache[K comparable, V any] struct {
	name         string
	max          int
	hits, misses atomic.Int64

	mu      sync.RWMutex
	entries map[K]*entry[K, V]
	scopes  map[string]map[*entry[K, V]]struct{}
	shared  map[K]*load[K, V]        // loads that callers may still join
	loads   map[*load[K, V]]struct{} // all loads under way
	head    *entry[K, V]             // newest; the list is in order of arrival
	tail    *entry[K, V]             // oldest
	hand    *entry[K, V]             // where the search for a victim goes on
}

// entry is a value with its place in the list of entries.
type entry[K comparable, V any] struct {
	key        K
	value      V
	scopes     []string
	used       atomic.Bool // since the hand passed
	prev, next *entry[K, V]
}

// load is a value on its way from the database. Until done is closed, its
// fields belong to the cache's lock.
type load[K comparable, V any] struct {
	key     K
	scopes  []string
	late    bool     // scopes become known while it runs
	changed []string // scopes invalidated since it began, kept when late
	stale   bool     // what it has read may be out of date for those who ask now

	done   chan struct{}
	value  V
	err    error
	failed bool // the caller who ran it went away; others must run it anew
}

// NewCache returns a cache of up to max entries. Its name is for CacheStats.
func NewCache[K comparable, V any](d *DB, name string, max int) *Cache[K, V] {
	c := &Cache[K, V]{
		name:    name,
		max:     max,
		entries: map[K]*entry[K, V]{},
		scopes:  map[string]map[*entry[K, V]]struct{}{},
		shared:  map[K]*load[K, V]{},
		loads:   map[*load[K, V]]struct{}{},
	}
	d.caches.add(c)
	return c
}

// Get returns the value for key, from memory or from load, and keeps it under
// scope. load reads through the DB, never through a Tx, whose writes might be
// undone; ctx is that of one of the callers.
func (c *Cache[K, V]) Get(ctx context.Context, key K, scope string, load func(context.Context) (V, error)) (V, error) {
	if v, ok := c.lookup(key); ok {
		return v, nil
	}
	return c.fetch(ctx, key, false, func(ctx context.Context, on func(...string)) (V, error) {
		on(scope)
		return load(ctx)
	})
}

// GetScoped is Get for a value whose scopes become known while it loads: load
// calls on with each scope that the value depends on.
func (c *Cache[K, V]) GetScoped(ctx context.Context, key K, load func(ctx context.Context, on func(scopes ...string)) (V, error)) (V, error) {
	if v, ok := c.lookup(key); ok {
		return v, nil
	}
	return c.fetch(ctx, key, true, load)
}

func (c *Cache[K, V]) lookup(key K) (v V, ok bool) {
	c.mu.RLock()
	e, ok := c.entries[key]
	c.mu.RUnlock()
	if !ok {
		return v, false
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	c.hits.Add(1)
	return e.value, true
}

// fetch joins the load of key that is under way, or starts one.
func (c *Cache[K, V]) fetch(ctx context.Context, key K, late bool, f func(context.Context, func(...string)) (V, error)) (V, error) {
	for {
		c.mu.Lock()
		if e, ok := c.entries[key]; ok {
			c.mu.Unlock()
			return e.value, nil
		}
		l, ok := c.shared[key]
		if !ok {
			l = &load[K, V]{key: key, late: late, done: make(chan struct{})}
			c.shared[key] = l
			c.loads[l] = struct{}{}
			c.mu.Unlock()
			c.misses.Add(1)
			return c.run(ctx, l, f)
		}
		c.mu.Unlock()
		select {
		case <-l.done:
		case <-ctx.Done():
			var zero V
			return zero, ctx.Err()
		}
		if !l.failed {
			return l.value, l.err
		}
	}
}

// run loads a value and keeps it, unless one of its scopes was invalidated
// meanwhile: then it may be older than the invalidation, and goes only to those
// who asked before that.
func (c *Cache[K, V]) run(ctx context.Context, l *load[K, V], f func(context.Context, func(...string)) (V, error)) (V, error) {
	l.failed = true // unless f returns
	defer func() {
		c.mu.Lock()
		delete(c.loads, l)
		if c.shared[l.key] == l {
			delete(c.shared, l.key)
		}
		if !l.failed && l.err == nil && !l.stale && !overlap(l.scopes, l.changed) {
			c.keep(l)
		}
		c.mu.Unlock()
		close(l.done)
	}()
	v, err := f(ctx, func(scopes ...string) {
		c.mu.Lock()
		l.scopes = append(l.scopes, scopes...)
		c.mu.Unlock()
	})
	l.value, l.err, l.failed = v, err, err != nil && ctx.Err() != nil
	return v, err
}

// keep adds a loaded value and makes room for it.
func (c *Cache[K, V]) keep(l *load[K, V]) {
	if old, ok := c.entries[l.key]; ok {
		c.drop(old)
	}
	for len(c.entries) >= c.max {
		c.drop(c.victim())
	}
	e := &entry[K, V]{key: l.key, value: l.value, scopes: l.scopes, next: c.head}
	if c.head != nil {
		c.head.prev = e
	} else {
		c.tail = e
	}
	c.head = e
	c.entries[l.key] = e
	for _, scope := range l.scopes {
		if c.scopes[scope] == nil {
			c.scopes[scope] = map[*entry[K, V]]struct{}{}
		}
		c.scopes[scope][e] = struct{}{}
	}
}

// victim picks the entry to make room: the SIEVE algorithm (Zhang et al., NSDI
// 2024). A hand goes from the oldest entry to the newest, again and again, and
// stops at the first that was not used since it last passed.
func (c *Cache[K, V]) victim() *entry[K, V] {
	e := c.hand
	for {
		if e == nil {
			e = c.tail
		}
		if !e.used.Swap(false) {
			c.hand = e
			return e
		}
		e = e.prev
	}
}

func (c *Cache[K, V]) drop(e *entry[K, V]) {
	delete(c.entries, e.key)
	for _, scope := range e.scopes {
		delete(c.scopes[scope], e)
		if len(c.scopes[scope]) == 0 {
			delete(c.scopes, scope)
		}
	}
	if c.hand == e {
		c.hand = e.prev
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		c.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		c.tail = e.prev
	}
}

func (c *Cache[K, V]) invalidate(scopes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, scope := range scopes {
		for e := range c.scopes[scope] {
			c.drop(e)
		}
	}
	for l := range c.loads {
		switch {
		case overlap(l.scopes, scopes):
			l.stale = true
		case l.late:
			l.changed = append(l.changed, scopes...)
		case len(l.scopes) == 0: // has just begun
			l.stale = true
		default:
			continue
		}
		// Those who ask from now on may not join.
		if c.shared[l.key] == l {
			delete(c.shared, l.key)
		}
	}
}

func (c *Cache[K, V]) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	clear(c.scopes)
	clear(c.shared)
	for l := range c.loads {
		l.stale = true
	}
	c.head, c.tail, c.hand = nil, nil, nil
}

func (c *Cache[K, V]) stats() CacheStats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return CacheStats{c.name, int64(len(c.entries)), c.hits.Load(), c.misses.Load()}
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// CacheStats describes a cache: its entries now, and how often it was asked
// for what it had and what it had not.
type CacheStats struct {
	Name                  string
	Entries, Hits, Misses int64
}

// CacheStats returns the state of each cache, in order of creation.
func (d *DB) CacheStats() []CacheStats {
	var all []CacheStats
	for _, c := range d.caches.all() {
		all = append(all, c.stats())
	}
	return all
}

// caches are all caches over one database.
type caches struct {
	mu   sync.RWMutex
	list []anyCache
}

// anyCache is a Cache of any type.
type anyCache interface {
	invalidate(scopes []string)
	flush()
	stats() CacheStats
}

func (cs *caches) add(c anyCache) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.list = append(slices.Clip(cs.list), c)
}

func (cs *caches) all() []anyCache {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	return cs.list
}

func (cs *caches) invalidate(scopes []string) {
	if len(scopes) == 0 {
		return
	}
	for _, c := range cs.all() {
		c.invalidate(scopes)
	}
}

func (cs *caches) flush() {
	for _, c := range cs.all() {
		c.flush()
	}
}
