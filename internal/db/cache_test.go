package db_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"usher/internal/db"
	"usher/internal/db/dbtest"
)

// invalidate commits a transaction that only invalidates.
func invalidate(t testing.TB, d *db.DB, scopes ...string) {
	t.Helper()
	if err := d.Tx(context.Background(), func(tx *db.Tx) error { tx.Invalidate(scopes...); return nil }); err != nil {
		t.Error(err)
	}
}

// constant is a load that counts its calls.
func constant(loads *int, v string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { *loads++; return v, nil }
}

func TestCacheKeepsAndInvalidates(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		ctx, d := t.Context(), open()
		c := db.NewCache[string, string](d, "test", 10)
		var a, b int
		get := func() {
			t.Helper()
			for _, k := range []struct {
				key, scope string
				loads      *int
			}{{"a", "A", &a}, {"b", "B", &b}} {
				if v, err := c.Get(ctx, k.key, k.scope, constant(k.loads, k.key)); v != k.key || err != nil {
					t.Errorf("Get(%s) = %q, %v", k.key, v, err)
				}
			}
		}
		get()
		get()
		if a != 1 || b != 1 {
			t.Errorf("%d and %d loads at first", a, b)
		}
		invalidate(t, d, "A", "a", "other\n\x00\xff")
		get()
		get()
		if a != 2 || b != 1 {
			t.Errorf("%d and %d loads after A", a, b)
		}
		failed := errors.New("failed")
		if err := d.Tx(ctx, func(tx *db.Tx) error { tx.Invalidate("A", "B"); return failed }); !errors.Is(err, failed) {
			t.Error(err)
		}
		get()
		if a != 2 || b != 1 {
			t.Errorf("%d and %d loads after a transaction that failed", a, b)
		}
		if got, want := d.CacheStats(), []db.CacheStats{{Name: "test", Entries: 2, Hits: 7, Misses: 3}}; !reflect.DeepEqual(got, want) {
			t.Errorf("stats %+v, want %+v", got, want)
		}
	})
}

func TestCacheDoesNotKeepErrors(t *testing.T) {
	ctx, d := t.Context(), dbtest.Open(t, dbtest.SQLite(t))
	c := db.NewCache[string, *string](d, "test", 10)
	for range 2 {
		if _, err := c.Get(ctx, "k", "s", func(context.Context) (*string, error) { return nil, db.ErrNotFound }); !errors.Is(err, db.ErrNotFound) {
			t.Error(err)
		}
	}
	loads := 0
	for range 2 { // absence, as a value, is kept
		if v, err := c.Get(ctx, "k", "s", func(context.Context) (*string, error) { loads++; return nil, nil }); v != nil || err != nil {
			t.Error(v, err)
		}
	}
	if loads != 1 {
		t.Errorf("%d loads of an absent value", loads)
	}
}

// TestCacheLoadOvertaken invalidates a scope while its value loads: the value
// must not be kept, and whoever asks afterwards must not join the load.
func TestCacheLoadOvertaken(t *testing.T) {
	for _, c := range []struct {
		name              string
		scoped            bool // the load names its scopes itself
		before, after     string
		invalidated       string
		kept, joinedLater bool
	}{
		{"its scope", false, "s", "", "s", false, false},
		{"another scope", false, "s", "", "x", true, true},
		{"named before", true, "s", "", "s", false, false},
		{"named after", true, "", "s", "s", false, false},
		{"one of two", true, "r", "s", "s", false, false},
		{"another scope, but the load might yet name it", true, "s", "t", "x", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, d := t.Context(), dbtest.Open(t, dbtest.SQLite(t))
			cache := db.NewCache[string, int](d, "test", 10)
			var loads atomic.Int64
			began, proceed := make(chan struct{}), make(chan struct{})
			slow := func(ctx context.Context, on func(...string)) (int, error) {
				n := loads.Add(1)
				if n > 1 {
					on("s")
					return int(n), nil
				}
				if c.before != "" {
					on(c.before)
				}
				close(began)
				<-proceed
				if c.after != "" {
					on(c.after)
				}
				return int(n), nil
			}
			get := func() int {
				var v int
				var err error
				if c.scoped {
					v, err = cache.GetScoped(ctx, "k", slow)
				} else {
					v, err = cache.Get(ctx, "k", c.before, func(ctx context.Context) (int, error) {
						return slow(ctx, func(...string) {})
					})
				}
				if err != nil {
					t.Error(err)
				}
				return v
			}
			first, second := make(chan int), make(chan int)
			go func() { first <- get() }()
			<-began
			invalidate(t, d, c.invalidated)
			go func() { second <- get() }()
			if c.joinedLater {
				time.Sleep(10 * time.Millisecond)
				close(proceed)
				if v := <-second; v != 1 {
					t.Errorf("the second caller got load %d", v)
				}
				<-first
			} else {
				if v := <-second; v != 2 {
					t.Errorf("the second caller got load %d", v)
				}
				close(proceed)
				if v := <-first; v != 1 {
					t.Errorf("the first caller got load %d", v)
				}
			}
			want := 2
			if c.joinedLater {
				want = 1
			}
			if c.kept && !c.joinedLater {
				want = 1 // the load of the first caller ended last and may be kept
			}
			if v := get(); v != want {
				t.Errorf("afterwards the cache gives load %d, want %d", v, want)
			}
		})
	}
}

func TestCacheSharesLoads(t *testing.T) {
	d := dbtest.Open(t, dbtest.SQLite(t))
	c := db.NewCache[string, int](d, "test", 10)
	synctest.Test(t, func(t *testing.T) {
		var loads atomic.Int64
		slow := func(ctx context.Context) (int, error) {
			n := int(loads.Add(1))
			select {
			case <-time.After(time.Second):
				return n, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		var wg sync.WaitGroup
		// The first goes away while it loads: another loads for the rest.
		first, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := c.Get(first, "k", "s", slow); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		for range 20 {
			wg.Go(func() {
				if v, err := c.Get(t.Context(), "k", "s", slow); v != 2 || err != nil {
					t.Error(v, err)
				}
			})
		}
		// One who waits goes away too.
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := c.Get(ctx, "k", "s", slow); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		time.Sleep(2 * time.Millisecond)
		cancel()
		wg.Wait()
		if loads.Load() != 2 {
			t.Errorf("%d loads", loads.Load())
		}
		// A load that panics does not hold up others.
		func() {
			defer func() { recover() }()
			c.Get(t.Context(), "p", "s", func(context.Context) (int, error) { panic("boom") })
		}()
		if v, err := c.Get(t.Context(), "p", "s", func(context.Context) (int, error) { return 7, nil }); v != 7 || err != nil {
			t.Error(v, err)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	ctx, d := t.Context(), dbtest.Open(t, dbtest.SQLite(t))
	const max = 10
	c := db.NewCache[int, int](d, "test", max)
	loads := map[int]int{}
	get := func(k int) {
		t.Helper()
		v, err := c.Get(ctx, k, fmt.Sprint("scope ", k%7), func(context.Context) (int, error) { loads[k]++; return k, nil })
		if v != k || err != nil {
			t.Fatalf("Get(%d) = %d, %v", k, v, err)
		}
		if n := d.CacheStats()[0].Entries; n > max {
			t.Fatalf("%d entries", n)
		}
	}
	// Keys in use stay while others pass by once.
	for k := range 1000 {
		for hot := range 4 {
			get(-1 - hot)
		}
		get(k)
	}
	for hot := range 4 {
		if n := loads[-1-hot]; n > 2 {
			t.Errorf("a key in use was loaded %d times", n)
		}
	}
	// Drops anywhere in the list keep it in order.
	for range 2000 {
		get(rand.N(30))
		if rand.N(10) == 0 {
			invalidate(t, d, fmt.Sprint("scope ", rand.N(7)))
		}
	}
	for s := range 7 {
		invalidate(t, d, fmt.Sprint("scope ", s), fmt.Sprint("scope ", -s))
	}
	if n := d.CacheStats()[0].Entries; n != 0 {
		t.Errorf("%d entries left after all scopes were invalidated", n)
	}
}

// TestCacheIsCurrent has nodes write counters and read them through their
// caches. A request that refreshes must never see less than what had been
// acknowledged, on any node, before it began.
func TestCacheIsCurrent(t *testing.T) {
	for _, engine := range []struct {
		name  string
		url   func(testing.TB) string
		nodes int
	}{{"sqlite", dbtest.SQLite, 1}, {"postgres", dbtest.Postgres, 2}} {
		t.Run(engine.name, func(t *testing.T) {
			url := engine.url(t)
			const keys = 3
			var acked [keys]atomic.Int64
			var nodes []*db.DB
			var caches []*db.Cache[int, int64]
			for range engine.nodes {
				d := dbtest.Open(t, url, items)
				nodes = append(nodes, d)
				caches = append(caches, db.NewCache[int, int64](d, "test", keys))
			}
			ctx := t.Context()
			if err := nodes[0].Tx(ctx, func(tx *db.Tx) error {
				var errs []error
				for k := range keys {
					errs = append(errs, insert(ctx, tx, fmt.Sprint(k), 0))
				}
				return errors.Join(errs...)
			}); err != nil {
				t.Fatal(err)
			}
			stop := time.Now().Add(time.Second)
			var reads, writes atomic.Int64
			var wg sync.WaitGroup
			for w := range keys { // one writer for each key
				d := nodes[w%len(nodes)]
				wg.Go(func() {
					for n := int64(1); time.Now().Before(stop); n++ {
						if err := d.Tx(ctx, func(tx *db.Tx) error {
							tx.Invalidate(fmt.Sprint("item ", w))
							return db.Changed(tx.ExecContext(ctx, `UPDATE items SET n = $1 WHERE id = $2`, n, fmt.Sprint(w)))
						}); err != nil {
							t.Error(err)
							return
						}
						acked[w].Store(n)
						writes.Add(1)
					}
				})
			}
			for r := range 6 {
				d, cache := nodes[r%len(nodes)], caches[r%len(nodes)]
				wg.Go(func() {
					for time.Now().Before(stop) {
						k := rand.N(keys)
						least := acked[k].Load()
						if err := d.Refresh(ctx); err != nil {
							t.Error(err)
							return
						}
						load := func(ctx context.Context) (int64, error) {
							return db.One[int64](ctx, d, `SELECT n FROM items WHERE id = $1`, fmt.Sprint(k))
						}
						scope := fmt.Sprint("item ", k)
						var got int64
						var err error
						if r%2 == 0 {
							got, err = cache.Get(ctx, k, scope, load)
						} else {
							got, err = cache.GetScoped(ctx, k, func(ctx context.Context, on func(...string)) (int64, error) {
								defer on(scope)
								return load(ctx)
							})
						}
						if err != nil || got < least {
							t.Errorf("key %d: got %d, %v after %d was acknowledged", k, got, err, least)
							return
						}
						reads.Add(1)
					}
				})
			}
			wg.Wait()
			t.Logf("%d reads, %d writes, caches %+v", reads.Load(), writes.Load(), nodes[0].CacheStats())
		})
	}
}

// TestRefreshFarBehind has one node sleep while another writes more changes
// than the log keeps.
func TestRefreshFarBehind(t *testing.T) {
	url := dbtest.Postgres(t)
	a, b := dbtest.Open(t, url), dbtest.Open(t, url)
	c := db.NewCache[string, string](b, "test", 10)
	loads := 0
	get := func(want int) {
		t.Helper()
		if _, err := c.Get(t.Context(), "k", "seldom", constant(&loads, "v")); err != nil || loads != want {
			t.Errorf("%d loads, %v, want %d", loads, err, want)
		}
	}
	refresh := func() {
		t.Helper()
		if err := b.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
	get(1)
	invalidate(t, a, "other")
	refresh()
	get(1)
	// As if 40,000 transactions had committed; the next that ends on a multiple
	// of 1024 deletes the oldest.
	if err := a.Tx(t.Context(), func(tx *db.Tx) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO changes (scopes) SELECT '["other"]' FROM generate_series(1, 40000)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for range 1024 {
		invalidate(t, a, "other")
	}
	if n, err := db.One[int](t.Context(), a, `SELECT count(*) FROM changes`); n < 16384 || n > 16384+1024 || err != nil {
		t.Errorf("the log has %d rows, %v", n, err)
	}
	refresh()
	get(2)
	refresh()
	get(2)
}

// TestRefreshCoalesces checks that callers at the same time share statements,
// and that one who gives up does not hold up the others.
func TestRefreshCoalesces(t *testing.T) {
	d := dbtest.Open(t, dbtest.Postgres(t))
	ctx := db.WithCounter(t.Context())
	const callers, rounds = 64, 20
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range rounds {
				impatient, cancel := context.WithTimeout(ctx, rand.N(2*time.Millisecond))
				d.Refresh(impatient)
				cancel()
				if err := d.Refresh(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	n := db.Statements(ctx).Reads
	t.Logf("%d statements for %d calls", n, 2*callers*rounds)
	if n == 0 || n > callers*rounds {
		t.Errorf("%d statements for %d calls", n, 2*callers*rounds)
	}
}

// TestRefreshedOnce: within the request that was refreshed, refreshing again costs nothing.
func TestRefreshedOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		d := open()
		cost := func(ctx context.Context) db.Count {
			t.Helper()
			ctx = db.WithCounter(ctx)
			if err := d.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			return db.Statements(ctx)
		}
		var once db.Count
		if d.Shared() {
			once.Reads = 1
		}
		if got := cost(t.Context()); got != once {
			t.Errorf("the first costs %+v", got)
		}
		ctx, err := d.Refreshed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := cost(ctx); got != (db.Count{}) {
			t.Errorf("another in the same request costs %+v", got)
		}
	})
}
