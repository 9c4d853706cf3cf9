package db_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"usher/internal/db"
	"usher/internal/db/dbtest"
)

// schema makes a schema of files 0001, 0002 and so on.
func schema(name string, files ...string) db.Schema {
	fsys := fstest.MapFS{}
	for i, text := range files {
		fsys[fmt.Sprintf("schema/%04d_x.sql", i+1)] = &fstest.MapFile{Data: []byte(text)}
	}
	return db.Schema{Name: name, Files: fsys}
}

var items = schema("items", `
	-- A comment; it's not "quoted" TEXT.
	CREATE TABLE items (
		id   TEXT NOT NULL,
		n    INTEGER NOT NULL,
		b    BLOB,
		real REAL,
		flag BOOLEAN NOT NULL DEFAULT FALSE,
		doc  JSON NOT NULL DEFAULT '{"TEXT":"INTEGER"}',
		PRIMARY KEY (id)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE parts (
		item TEXT NOT NULL REFERENCES items ON DELETE CASCADE,
		name TEXT NOT NULL,
		code TEXT,
		alias TEXT,
		UNIQUE (item, name)
	) STRICT;
	CREATE UNIQUE INDEX parts_code ON parts (code);
	CREATE UNIQUE INDEX parts_alias ON parts (upper(alias));
	`)

type item struct {
	ID   string
	N    int64
	B    []byte
	Real *float64
	Flag bool
	Doc  db.JSON[map[string]string]
}

const itemColumns = `id, n, b, real, flag, doc`

func insert(ctx context.Context, tx *db.Tx, id string, n int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO items (id, n) VALUES ($1, $2)`, id, n)
	return err
}

func ids(t *testing.T, d *db.DB) string {
	t.Helper()
	all, err := db.All[string](t.Context(), d, `SELECT id FROM items ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestRows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		ctx, d := t.Context(), open(items)
		f := 1.5
		want := item{"a", -1 << 62, []byte{0, 255}, &f, true, db.JSON[map[string]string]{V: map[string]string{"k": "v <&> é"}}}
		plain := item{ID: "b", Doc: db.JSON[map[string]string]{V: map[string]string{"TEXT": "INTEGER"}}}
		err := d.Tx(ctx, func(tx *db.Tx) error {
			if _, err := tx.ExecContext(ctx, `INSERT INTO items (`+itemColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
				want.ID, want.N, want.B, want.Real, want.Flag, want.Doc); err != nil {
				return err
			}
			if err := insert(ctx, tx, "b", 0); err != nil {
				return err
			}
			got, err := db.One[item](ctx, tx, `SELECT `+itemColumns+` FROM items WHERE id = $1`, "a")
			if !reflect.DeepEqual(got, want) {
				t.Errorf("inside: got %+v, want %+v", got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		all, err := db.All[item](ctx, d, `SELECT `+itemColumns+` FROM items ORDER BY id`)
		if err != nil || !reflect.DeepEqual(all, []item{want, plain}) {
			t.Errorf("All = %+v, %v", all, err)
		}
		type embedded struct {
			item
			Twice int
		}
		e, err := db.One[embedded](ctx, d, `SELECT `+itemColumns+`, n / $2 FROM items WHERE id = $1`, "a", 2)
		if err != nil || !reflect.DeepEqual(e, embedded{want, -1 << 61}) {
			t.Errorf("One of an embedded row = %+v, %v", e, err)
		}
		// $1 twice and out of order is one argument; ->> reads a document.
		if s, err := db.One[string](ctx, d, `SELECT doc->>$2 FROM items WHERE id = $1 AND $1 <> 'x'`, "a", "k"); s != "v <&> é" || err != nil {
			t.Errorf("doc->>k = %q, %v", s, err)
		}
		if v, err := db.One[sql.Null[[]byte]](ctx, d, `SELECT b FROM items WHERE id = 'b'`); v.Valid || err != nil {
			t.Errorf("NULL = %v, %v", v, err)
		}
		if _, err := db.One[item](ctx, d, `SELECT `+itemColumns+` FROM items WHERE id = $1`, "z"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("One of a missing row: %v", err)
		}
		if all, err := db.All[int](ctx, d, `SELECT n FROM items WHERE id = $1`, "z"); len(all) != 0 || err != nil {
			t.Errorf("All of nothing = %v, %v", all, err)
		}
		if _, err := db.One[int](ctx, d, `SELECT id FROM items WHERE id = 'a'`); err == nil {
			t.Error("text was read as a number")
		}
		if _, err := db.One[int](ctx, d, `SELECT nonsense`); err == nil {
			t.Error("a wrong query has no error")
		}
		if _, err := db.One[string](ctx, d, `INSERT INTO items (id, n) VALUES ('w', 1) RETURNING id`); err == nil {
			t.Error("a write outside of a transaction succeeded")
		}
		if got := ids(t, d); got != "a b" {
			t.Errorf("items are %q", got)
		}
	})
}

func TestTextOrderIsByCodePoint(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		ctx, d := t.Context(), open(items)
		if err := d.Tx(ctx, func(tx *db.Tx) error {
			for _, id := range []string{"b", "B", "a", "A", "ä", "_", "-", "~"} {
				if err := insert(ctx, tx, id, 0); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got := ids(t, d); got != "- A B _ a b ~ ä" {
			t.Errorf("order is %q", got)
		}
	})
}

func TestTxFailures(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		ctx, d := t.Context(), open(items)
		mine := errors.New("mine")
		after := false
		err := d.Tx(ctx, func(tx *db.Tx) error {
			tx.AfterCommit(func() { after = true })
			return errors.Join(insert(ctx, tx, "a", 1), mine)
		})
		if !errors.Is(err, mine) || after || ids(t, d) != "" {
			t.Errorf("own error: %v, after commit %v, items %q", err, after, ids(t, d))
		}

		err = d.Tx(ctx, func(tx *db.Tx) error {
			insert(ctx, tx, "a", 1)
			insert(ctx, tx, "a", 2) // fails, unheeded
			insert(ctx, tx, "b", 3)
			return nil
		})
		if !db.IsUnique(err) || ids(t, d) != "" {
			t.Errorf("unheeded failure: %v, items %q", err, ids(t, d))
		}

		var leaked *db.Tx
		if err := d.Tx(ctx, func(tx *db.Tx) error { leaked = tx; return nil }); err != nil {
			t.Error(err)
		}
		if insert(ctx, leaked, "leak", 1) == nil {
			t.Error("a transaction works after its function returned")
		}

		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "boom") {
					t.Errorf("recovered %v", v)
				}
			}()
			d.Tx(ctx, func(tx *db.Tx) error { insert(ctx, tx, "p", 1); panic("boom") })
			t.Error("the panic was swallowed")
		}()
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if err := d.Tx(cancelled, func(tx *db.Tx) error { return insert(ctx, tx, "c", 1) }); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before it began: %v", err)
		}
		if err := d.Tx(ctx, func(tx *db.Tx) error { return insert(ctx, tx, "ok", 1) }); err != nil {
			t.Errorf("after the failures: %v", err)
		}
		if got := ids(t, d); got != "ok" {
			t.Errorf("items are %q", got)
		}
	})
}

func TestConstraint(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		ctx, d := t.Context(), open(items)
		if err := d.Tx(ctx, func(tx *db.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO parts VALUES ('a', 'n', 'c', 'x')`)
			return errors.Join(insert(ctx, tx, "a", 1), insert(ctx, tx, "b", 1), err)
		}); err == nil || db.IsUnique(err) {
			t.Errorf("missing parent: %v", err)
		}
		if err := d.Tx(ctx, func(tx *db.Tx) error {
			err := errors.Join(insert(ctx, tx, "a", 1), insert(ctx, tx, "b", 1))
			_, err2 := tx.ExecContext(ctx, `INSERT INTO parts VALUES ('a', 'n', 'c', 'x')`)
			return errors.Join(err, err2)
		}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ statement, constraint string }{
			{`INSERT INTO items (id, n) VALUES ('a', 1)`, "items_pkey"},
			{`UPDATE items SET id = 'a' WHERE id = 'b'`, "items_pkey"},
			{`INSERT INTO parts VALUES ('a', 'n', 'd', 'y')`, "parts_item_name_key"},
			{`INSERT INTO parts VALUES ('b', 'm', 'c', 'y')`, "parts_code"},
			{`INSERT INTO parts VALUES ('b', 'N', 'd', 'X')`, "parts_alias"},
			{`INSERT INTO parts VALUES ('z', 'z', 'z', 'z')`, ""}, // foreign key
			{`INSERT INTO items (id) VALUES ('z')`, ""},           // not null
			{`INSERT INTO nothing VALUES (1)`, ""},
		} {
			err := d.Tx(ctx, func(tx *db.Tx) error {
				_, err := tx.ExecContext(ctx, c.statement)
				return err
			})
			if err == nil || db.Constraint(err) != c.constraint || db.IsUnique(err) != (c.constraint != "") {
				t.Errorf("%s: constraint %q of %v, want %q", c.statement, db.Constraint(err), err, c.constraint)
			}
			// The same by a query.
			err = d.Tx(ctx, func(tx *db.Tx) error {
				_, err := db.One[int](ctx, tx, c.statement+` RETURNING 1`)
				return err
			})
			if err == nil || db.Constraint(err) != c.constraint {
				t.Errorf("%s RETURNING: constraint %q of %v, want %q", c.statement, db.Constraint(err), err, c.constraint)
			}
		}
		if err := d.Tx(ctx, func(tx *db.Tx) error {
			if err := db.Changed(tx.ExecContext(ctx, `INSERT INTO items (id, n) VALUES ('a', 1) ON CONFLICT DO NOTHING`)); !errors.Is(err, db.ErrConflict) {
				t.Errorf("insert of what is there: %v", err)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := d.Tx(ctx, func(tx *db.Tx) error {
			return db.Changed(tx.ExecContext(ctx, `DELETE FROM items WHERE id = 'a'`))
		}); err != nil {
			t.Error(err)
		}
		if n, err := db.One[int](ctx, d, `SELECT count(*) FROM parts`); n != 0 || err != nil {
			t.Errorf("%d parts are left, %v", n, err)
		}
	})
}

func TestRunsAgainOnConflict(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		ctx, d := t.Context(), open(items)
		runs, afters := 0, 0
		err := d.Tx(ctx, func(tx *db.Tx) error {
			runs++
			tx.AfterCommit(func() { afters++ })
			if err := insert(ctx, tx, "a", int64(runs)); err != nil {
				return err
			}
			if runs < 3 {
				return fmt.Errorf("wrapped: %w", db.ErrConflict)
			}
			return nil
		})
		if n, _ := db.One[int](ctx, d, `SELECT n FROM items`); err != nil || runs != 3 || afters != 1 || n != 3 {
			t.Errorf("%v after %d runs, %d hooks, n = %d", err, runs, afters, n)
		}
		runs = 0
		err = d.Tx(ctx, func(tx *db.Tx) error { runs++; return db.ErrConflict })
		if !errors.Is(err, db.ErrConflict) || runs != 20 {
			t.Errorf("endless conflict: %v after %d runs", err, runs)
		}
	})
}

// TestSerializable has writers add to one row by reading and writing, and move
// amounts between rows while readers inside transactions check the sum.
func TestSerializable(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		ctx, d := t.Context(), open(items)
		if err := d.Tx(ctx, func(tx *db.Tx) error {
			return errors.Join(insert(ctx, tx, "a", 500), insert(ctx, tx, "b", 500))
		}); err != nil {
			t.Fatal(err)
		}
		get := func(tx *db.Tx, id string) (int, error) {
			return db.One[int](ctx, tx, `SELECT n FROM items WHERE id = $1`, id)
		}
		var moves atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 25 {
					err := d.Tx(ctx, func(tx *db.Tx) error {
						a, err1 := get(tx, "a")
						b, err2 := get(tx, "b")
						if err := errors.Join(err1, err2); err != nil {
							return err
						}
						if a+b != 1000 {
							return fmt.Errorf("the sum is %d", a+b)
						}
						_, err1 = tx.ExecContext(ctx, `UPDATE items SET n = $1 WHERE id = 'a'`, a-1)
						_, err2 = tx.ExecContext(ctx, `UPDATE items SET n = $1 WHERE id = 'b'`, b+1)
						return errors.Join(err1, err2)
					})
					switch {
					case err == nil:
						moves.Add(1)
					case !errors.Is(err, db.ErrConflict): // PostgreSQL may give up
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		b, err := db.One[int64](ctx, d, `SELECT n FROM items WHERE id = 'b'`)
		if err != nil || b != 500+moves.Load() || moves.Load() == 0 {
			t.Errorf("b = %d after %d moves, %v", b, moves.Load(), err)
		}
	})
}

// TestGroupCommit mixes transactions that succeed, fail, panic, break a
// constraint, end their goroutine and are cancelled, and checks that each has
// exactly the effect that its caller was told.
// TestRunsAloneInTheEnd: a transaction that conflicts with another in every attempt, as PostgreSQL sees it, gets to run
// without others.
func TestRunsAloneInTheEnd(t *testing.T) {
	url := dbtest.Postgres(t)
	d, other := dbtest.Open(t, url, items), dbtest.Open(t, url, items)
	insert := func(tx *db.Tx, id string) error {
		if _, err := db.One[int64](t.Context(), tx, `SELECT count(*) FROM items`); err != nil {
			return err
		}
		_, err := tx.ExecContext(t.Context(), `INSERT INTO items (id, n) VALUES ($1, 1)`, id)
		return err
	}
	attempts := 0
	var wait sync.WaitGroup
	err := d.Tx(t.Context(), func(tx *db.Tx) error {
		attempts++
		if err := insert(tx, "a"); err != nil {
			return err
		}
		done := make(chan error, 1)
		wait.Go(func() {
			done <- other.Tx(t.Context(), func(tx *db.Tx) error { return insert(tx, fmt.Sprint("b", attempts)) })
		})
		select {
		case err := <-done:
			return err
		case <-time.After(300 * time.Millisecond): // it has to wait
			return nil
		}
	})
	wait.Wait()
	if err != nil || attempts < 2 {
		t.Errorf("after %d attempts: %v", attempts, err)
	}
	if n, err := db.One[int](t.Context(), d, `SELECT count(*) FROM items`); err != nil || n != attempts+1 {
		t.Errorf("%d rows after %d attempts, error %v", n, attempts, err)
	}
}

func TestGroupCommit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		ctx, d := t.Context(), open(items)
		if err := d.Tx(ctx, func(tx *db.Tx) error { return insert(ctx, tx, "taken", 0) }); err != nil {
			t.Fatal(err)
		}
		mine := errors.New("mine")
		var mu sync.Mutex
		var want []string
		unsure := map[string]bool{}
		var hooks atomic.Int64
		var wg sync.WaitGroup
		for w := range 32 {
			wg.Go(func() {
				for i := range 30 {
					id := fmt.Sprintf("%02d-%02d", w, i)
					kind := rand.N(6)
					ctx := ctx
					if kind == 4 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, rand.N(2*time.Millisecond))
						defer cancel()
					}
					err := func() (err error) {
						defer func() {
							if v := recover(); v != nil {
								err = mine
							}
						}()
						return d.Tx(ctx, func(tx *db.Tx) error {
							tx.AfterCommit(func() { hooks.Add(1) })
							if err := insert(ctx, tx, id, int64(kind)); err != nil {
								return err
							}
							switch kind {
							case 1:
								return mine
							case 2:
								panic(mine)
							case 3:
								return insert(ctx, tx, "taken", 1)
							}
							return nil
						})
					}()
					mu.Lock()
					switch {
					case err == nil && (kind == 0 || kind >= 4):
						want = append(want, id)
					case kind == 4 && errors.Is(err, context.Canceled), kind == 4 && errors.Is(err, context.DeadlineExceeded):
						unsure[id] = true
					case (kind == 1 || kind == 2) && errors.Is(err, mine), kind == 3 && db.Constraint(err) == "items_pkey":
					default:
						t.Errorf("%s, kind %d: %v", id, kind, err)
					}
					mu.Unlock()
					if err == nil { // a read after the acknowledgement sees it
						if _, err := db.One[int](t.Context(), d, `SELECT n FROM items WHERE id = $1`, id); err != nil {
							t.Errorf("%s was acknowledged: %v", id, err)
						}
					}
				}
			})
		}
		wg.Wait()
		got := map[string]bool{}
		for _, id := range strings.Fields(ids(t, d)) {
			got[id] = true
		}
		delete(got, "taken")
		for _, id := range want {
			if !got[id] {
				t.Errorf("%s is missing", id)
			}
			delete(got, id)
		}
		for id := range got {
			if !unsure[id] { // the context may end while PostgreSQL commits
				t.Errorf("%s should not be there", id)
			}
		}
		if hooks.Load() != int64(len(want)) {
			t.Errorf("%d hooks ran for %d commits", hooks.Load(), len(want))
		}
	})
}

// TestFunctionEndsItsGoroutine covers t.FailNow inside a transaction.
func TestFunctionEndsItsGoroutine(t *testing.T) {
	ctx, d := t.Context(), dbtest.Open(t, dbtest.SQLite(t), items)
	err := d.Tx(ctx, func(tx *db.Tx) error {
		insert(ctx, tx, "a", 1)
		(&testing.T{}).SkipNow() // runtime.Goexit
		return nil
	})
	if err == nil {
		t.Error("no error")
	}
	if err := d.Tx(ctx, func(tx *db.Tx) error { return insert(ctx, tx, "b", 1) }); err != nil {
		t.Error(err)
	}
	if got := ids(t, d); got != "b" {
		t.Errorf("items are %q", got)
	}
}

// TestWaitingInLine covers callers that give up, and Close, while the writer is
// busy with a slow transaction.
func TestWaitingInLine(t *testing.T) {
	ctx := t.Context()
	d, err := db.Open(ctx, db.Config{URL: dbtest.SQLite(t), Schemas: []db.Schema{items}})
	if err != nil {
		t.Fatal(err)
	}
	busy, release := make(chan struct{}), make(chan struct{})
	slow := make(chan error)
	go func() {
		slow <- d.Tx(ctx, func(tx *db.Tx) error {
			close(busy)
			<-release
			return insert(ctx, tx, "slow", 1)
		})
	}()
	<-busy
	impatient, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := d.Tx(impatient, func(tx *db.Tx) error { return insert(ctx, tx, "impatient", 1) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("gave up in line: %v", err)
	}
	closed := make(chan error)
	go func() { closed <- d.Close() }()
	inLine := make(chan error)
	go func() { inLine <- d.Tx(ctx, func(tx *db.Tx) error { return insert(ctx, tx, "in line", 1) }) }()
	time.Sleep(10 * time.Millisecond)
	close(release)
	if err := <-inLine; err != nil && !errors.Is(err, db.ErrClosed) {
		t.Errorf("in line when closed: %v", err)
	}
	if err := <-slow; err != nil {
		t.Errorf("under way when closed: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := db.One[int](ctx, d, `SELECT 1`); !errors.Is(err, db.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if err := d.Tx(ctx, func(*db.Tx) error { return nil }); !errors.Is(err, db.ErrClosed) {
		t.Errorf("transaction after close: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestStatements(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		d := open(items)
		ctx := db.WithCounter(t.Context())
		db.All[string](ctx, d, `
			SELECT id FROM items`)
		d.Tx(ctx, func(tx *db.Tx) error {
			db.All[string](ctx, tx, `SELECT id FROM items`)
			db.One[string](ctx, tx, `INSERT INTO items (id, n) VALUES ('x', 1) RETURNING id`)
			return insert(ctx, tx, "a", 1)
		})
		db.All[string](t.Context(), d, `SELECT id FROM items`) // does not count
		if got, want := db.Statements(ctx), (db.Count{Reads: 2, Writes: 2}); got != want {
			t.Errorf("Statements = %+v, want %+v", got, want)
		}
		if got := db.Statements(t.Context()); got != (db.Count{}) {
			t.Errorf("without counter: %+v", got)
		}
	})
}

func TestMigrations(t *testing.T) {
	first, second := `CREATE TABLE a (x TEXT);`, `ALTER TABLE a ADD COLUMN y INTEGER; INSERT INTO a VALUES ('from 0002', 2);`
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		t.Run(engine.name, func(t *testing.T) {
			url := engine.url(t)
			for _, c := range []struct {
				name    string
				schemas []db.Schema
				err     string
			}{
				{"first", []db.Schema{schema("s", first)}, ""},
				{"again", []db.Schema{schema("s", first)}, ""},
				{"edited", []db.Schema{schema("s", first+" ")}, "0001_x.sql is not the one that was applied"},
				{"second fails", []db.Schema{schema("s", first, second, `CREATE TABLE a (x TEXT)`)}, "0003_x.sql"},
				{"second", []db.Schema{schema("s", first, second)}, ""}, // not in part by the case before
				{"another service", []db.Schema{schema("s", first, second), schema("t", `CREATE TABLE b (x TEXT)`)}, ""},
				{"older binary", []db.Schema{schema("s", first)}, "newer than this version"},
				{"gap", []db.Schema{{Name: "u", Files: fstest.MapFS{"0002_x.sql": {}}}}, "should have number 1"},
				{"no number", []db.Schema{{Name: "u", Files: fstest.MapFS{"x.sql": {}}}}, "does not begin with its number"},
			} {
				d, err := db.Open(t.Context(), db.Config{URL: url, Schemas: c.schemas})
				if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
					t.Fatalf("%s: %v, want %q", c.name, err, c.err)
				}
				if err == nil {
					if err := d.Close(); err != nil {
						t.Error(err)
					}
				}
			}
			d := dbtest.Open(t, url, schema("s", first, second))
			if x, err := db.All[string](t.Context(), d, `SELECT x FROM a`); err != nil || !reflect.DeepEqual(x, []string{"from 0002"}) {
				t.Errorf("a holds %q, %v", x, err)
			}
		})
	}
}

func TestMigrationsByNodesAtOnce(t *testing.T) {
	url := dbtest.Postgres(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			d, err := db.Open(t.Context(), db.Config{URL: url, Schemas: []db.Schema{items}})
			if err != nil {
				t.Error(err)
				return
			}
			d.Close()
		})
	}
	wg.Wait()
}

func TestOpenErrors(t *testing.T) {
	for _, url := range []string{"", "usher.db", "mysql://x", "sqlite:", "sqlite::memory:", "sqlite:/proc/nothing/x.db",
		"postgres://u:secret@127.0.0.1:1/x?connect_timeout=1", "postgres://u:secret@127.0.0.1:port/x"} {
		d, err := db.Open(t.Context(), db.Config{URL: url})
		if err == nil {
			d.Close()
			t.Errorf("%q was opened", url)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

func TestSQLiteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a directory #1?", "100% ü.db")
	d := dbtest.Open(t, "sqlite:"+path, items)
	if err := d.Tx(t.Context(), func(tx *db.Tx) error { return insert(t.Context(), tx, "a", 1) }); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, d); got != "a" {
		t.Errorf("items are %q", got)
	}
	names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if len(names) < 2 {
		t.Errorf("files: %q", names)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, link} {
		second, err := db.Open(t.Context(), db.Config{URL: "sqlite:" + path})
		if err == nil {
			second.Close()
			t.Errorf("%s was opened twice", path)
		} else if !strings.Contains(err.Error(), "in use by another process") {
			t.Error(err)
		}
	}
}

// TestKilled kills a process that writes, and looks for every write that the
// process has reported as acknowledged.
func TestKilled(t *testing.T) {
	if path := os.Getenv("USHER_TEST_KILLED"); path != "" {
		writeUntilKilled(path)
	}
	url := dbtest.SQLite(t)
	for round := range 3 {
		child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), "USHER_TEST_KILLED="+url)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var acked []string
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			acked = append(acked, lines.Text())
			if len(acked) == 1 {
				time.AfterFunc(time.Duration(100+100*round)*time.Millisecond, func() { child.Process.Signal(syscall.SIGKILL) })
			}
		}
		child.Wait()

		d, err := db.Open(t.Context(), db.Config{URL: url, Schemas: []db.Schema{items}})
		if err != nil {
			t.Fatal(err)
		}
		all, err := db.All[string](t.Context(), d, `SELECT id FROM items`)
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]bool{}
		for _, id := range all {
			there[id] = true
		}
		lost := 0
		for _, id := range acked {
			if !there[id] {
				lost++
			}
		}
		if lost > 0 || len(acked) < 100 {
			t.Errorf("%d of %d acknowledged rows are lost", lost, len(acked))
		}
		if check, err := db.One[string](t.Context(), d, `PRAGMA integrity_check`); check != "ok" || err != nil {
			t.Errorf("integrity check: %s, %v", check, err)
		}
		t.Logf("%d acknowledged, %d there", len(acked), len(all))
		d.Close()
	}
}

func writeUntilKilled(url string) {
	ctx := context.Background()
	d, err := db.Open(ctx, db.Config{URL: url, Schemas: []db.Schema{items}})
	if err != nil {
		panic(err)
	}
	for w := range 16 {
		go func() {
			for i := 0; ; i++ {
				id := strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(w) + "-" + strconv.Itoa(i)
				if err := d.Tx(ctx, func(tx *db.Tx) error { return insert(ctx, tx, id, 1) }); err != nil {
					panic(err)
				}
				os.Stdout.WriteString(id + "\n") // one write, so lines stay whole
			}
		}()
	}
	select {}
}
