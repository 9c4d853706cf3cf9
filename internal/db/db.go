// Package db keeps Usher's data in SQLite or PostgreSQL behind one SQL text.
//
// Each service owns its tables, its schema files and its queries, and writes
// SQL that both engines understand, with $n arguments. The package adds what
// database/sql lacks: transactions that are serializable and run again on
// conflict, one durable commit shared by concurrent SQLite writers, prepared
// statements kept per connection, rows read into structs, migrations, and
// caches that are invalidated exactly, on every node.
//
// What a Tx has acknowledged is durable and is seen by every read that begins
// afterwards.
package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

var (
	// ErrNotFound says that a query that must return a row returned none.
	ErrNotFound = errors.New("db: no such row")
	// ErrConflict says that somebody else changed a row first. A function that
	// returns it to Tx is run again.
	ErrConflict = errors.New("db: changed by somebody else")
	// ErrClosed says that the database was closed.
	ErrClosed = errors.New("db: closed")
)

// Config says which database to open.
type Config struct {
	// URL names the database: "sqlite:PATH", whose file is created when it is
	// missing, or "postgres://user:password@host/name".
	URL string
	// Schemas are the tables of the services. Open brings each up to date.
	Schemas []Schema
	// MaxConns bounds the connections: on SQLite those that read (default: two
	// for each processor, at least 4), on PostgreSQL all (default: 16).
	MaxConns int
}

// Schema is the tables of one service: numbered files "0001_name.sql", found
// anywhere in Files, that are applied once each in the order of their numbers.
// A file that has been released is never edited; a change is a new file.
//
// Schema files are written for SQLite and use the column types TEXT, INTEGER,
// REAL, BLOB, BOOLEAN and JSON. On PostgreSQL, INTEGER becomes BIGINT, BLOB
// BYTEA, REAL DOUBLE PRECISION, text columns compare by code point (COLLATE
// "C") as they do in SQLite, and STRICT and WITHOUT ROWID are dropped. On
// SQLite, JSON is kept as TEXT and BOOLEAN as INTEGER.
type Schema struct {
	Name  string // of the service, as recorded in the table of migrations
	Files fs.FS
}

// DB is an open database. It is a Querier that sees every acknowledged write.
type DB struct {
	store     store
	caches    caches
	closeOnce sync.Once
}

// store is what differs between the two engines.
type store interface {
	Querier
	// tx runs fn once and commits. After an error nothing has happened, unless
	// the connection broke during the commit.
	// tx runs fn in a transaction; alone, if it is to be the only one.
	tx(ctx context.Context, alone bool, fn func(*Tx) error) (*Tx, error)
	refresh(ctx context.Context) error
	migrate(ctx context.Context, schemas []Schema) error
	close() error
}

// Open opens the database and applies the migrations that it lacks. It refuses
// a database that a newer version has migrated, a SQLite file that another
// process has open, and a PostgreSQL server that acknowledges commits before
// they are durable.
func Open(ctx context.Context, c Config) (*DB, error) {
	d := &DB{}
	scheme, path, _ := strings.Cut(c.URL, ":")
	var err error
	switch scheme {
	case "sqlite":
		d.store, err = openSQLite(path, c.MaxConns, &d.caches)
	case "postgres", "postgresql":
		d.store, err = openPostgres(ctx, c.URL, c.MaxConns, &d.caches)
	default:
		return nil, fmt.Errorf("db: database URL must begin with sqlite: or postgres://, not %q", scheme)
	}
	if err != nil {
		return nil, err
	}
	if err := d.store.migrate(ctx, c.Schemas); err != nil {
		return nil, errors.Join(err, d.store.close())
	}
	return d, nil
}

// Close waits for the transactions and reads under way and closes the database.
// Closing again does nothing.
func (d *DB) Close() (err error) {
	d.closeOnce.Do(func() { err = d.store.close() })
	return err
}

// Refresh applies to this node's caches every change that any node had
// acknowledged before Refresh was called. Each request calls it once, before
// its first use of a Cache. It costs one statement on PostgreSQL and nothing
// on SQLite, where there is one node. In a context of Refreshed it has
// happened.
func (d *DB) Refresh(ctx context.Context) error {
	if ctx.Value(refreshedKey{}) == d {
		return nil
	}
	return d.store.refresh(ctx)
}

// Refreshed calls Refresh and returns the context of the request that it was
// for, in which those who would call it again find it done.
func (d *DB) Refreshed(ctx context.Context) (context.Context, error) {
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	return context.WithValue(ctx, refreshedKey{}, d), nil
}

type refreshedKey struct{}

// Shared reports whether other processes may use the database at the same
// time. A SQLite file is one process's own.
func (d *DB) Shared() bool {
	_, own := d.store.(*sqliteDB)
	return !own
}

func (d *DB) rows(ctx context.Context, query string, args []any, scan func(scanner) error) error {
	return d.store.rows(ctx, query, args, scan)
}

// maxAttempts bounds how often Tx runs a function. With the pauses between, it
// gives up after about a second.
const maxAttempts = 20

// patience is how many attempts Tx makes before it makes one alone. PostgreSQL
// tells transactions that touch one page of an index like those that touch one
// row, so that on small tables many that have nothing to do with each other
// conflict, again and again.
const patience = 2

// Tx runs fn in a serializable transaction and returns nil once its writes are
// durable. Any error of fn undoes them and is returned as it is.
//
// fn may run more than once: Tx runs it again when it returns ErrConflict and
// when PostgreSQL could not serialize it. It must therefore have no effect
// except through tx and variables that it sets anew each time. It should be
// short, since on SQLite writers take turns, and must not call Tx, which on
// SQLite would wait for itself.
//
// A statement that fails ends the transaction on both engines: later
// statements fail as well, and so does Tx. To tolerate a row that is there
// already, write ON CONFLICT and look at the result's RowsAffected.
func (d *DB) Tx(ctx context.Context, fn func(tx *Tx) error) error {
	for attempt := 1; ; attempt++ {
		tx, err := d.store.tx(ctx, attempt > patience, fn)
		switch {
		case err == nil:
			for _, f := range tx.after {
				f()
			}
			return nil
		case !errors.Is(err, ErrConflict) && !unserializable(err):
			return err
		case attempt == maxAttempts:
			return fmt.Errorf("%w in each of %d attempts: %w", ErrConflict, attempt, err)
		}
		pause := time.Millisecond << min(attempt-1, 6)
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Tx is a transaction under way. It is a Querier that sees its own writes. It
// belongs to the function that was given it, and to one goroutine.
type Tx struct {
	conn   conn
	over   bool  // the function has returned
	err    error // of the first statement that failed
	scopes []string
	after  []func()
}

// Invalidate makes caches on every node drop what they hold under each scope,
// before the transaction is acknowledged. See Cache.
func (tx *Tx) Invalidate(scopes ...string) { tx.scopes = append(tx.scopes, scopes...) }

// AfterCommit has f called once, after the transaction is durable and before
// Tx returns. It is not called for attempts that fail.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// call runs fn and returns why the transaction must not be committed.
func (tx *Tx) call(fn func(*Tx) error) error {
	defer func() { tx.over = true }()
	err := fn(tx)
	if tx.err != nil && (err == nil || unserializable(tx.err)) {
		return tx.err
	}
	return err
}
