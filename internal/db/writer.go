package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
)

// writer owns the one SQLite connection that writes. Transactions that arrive
// while it is busy wait in line and then share a BEGIN … COMMIT, and thereby
// one wait for the disk. Within the group each is a savepoint, so that a
// failure undoes only its own. Nobody in the group gets an answer, good or bad,
// before the commit: all may have seen what the others wrote.
type writer struct {
	queue   chan *unit
	closing chan struct{}
	stopped chan struct{}
	caches  *caches

	// Owned by the goroutine that runs loop.
	pool *sql.DB
	conn *sqliteConn
}

const (
	queueLength = 1024 // transactions waiting in line; further ones wait to get in line
	groupSize   = 128  // transactions in one commit
	groupTime   = 5 * time.Millisecond
)

// unit is one transaction on its way through the writer.
type unit struct {
	ctx      context.Context
	fn       func(*Tx) error
	taken    atomic.Bool // by the writer, or by the caller who gave up
	tx       *Tx
	err      error
	panicked *recovered
	done     chan struct{} // closed when tx, err and panicked are final
}

// recovered is a panic of a transaction's function on its way to the caller.
type recovered struct {
	value any
	stack []byte
}

func (r *recovered) String() string {
	return fmt.Sprintf("%v\n\nin a transaction, at\n%s", r.value, r.stack)
}

func newWriter(uri string, caches *caches) (*writer, error) {
	connector, err := sqlite.NewConnector(uri)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	c, err := pool.Conn(context.Background())
	if err != nil {
		pool.Close()
		return nil, err
	}
	var mode string
	if err := c.QueryRowContext(context.Background(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		pool.Close()
		return nil, fmt.Errorf("the journal is in mode %q, needed is wal: %v", mode, err)
	}
	w := &writer{
		queue:   make(chan *unit, queueLength),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		caches:  caches,
		pool:    pool,
		conn:    &sqliteConn{c: c},
	}
	go w.loop()
	return w, nil
}

// do runs fn as one transaction. A caller whose context ends while waiting in
// line leaves it; once the writer has begun, the caller learns the outcome.
func (w *writer) do(ctx context.Context, fn func(*Tx) error) (*Tx, error) {
	u := &unit{ctx: ctx, fn: fn, done: make(chan struct{})}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case w.queue <- u:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-w.closing:
		return nil, ErrClosed
	}
	select {
	case <-u.done:
	case <-ctx.Done():
		if u.taken.CompareAndSwap(false, true) {
			return nil, ctx.Err()
		}
		<-u.done
	case <-w.stopped:
		if u.taken.CompareAndSwap(false, true) {
			return nil, ErrClosed
		}
		<-u.done
	}
	if u.panicked != nil {
		panic(u.panicked)
	}
	return u.tx, u.err
}

func (w *writer) loop() {
	closed := false
	defer func() {
		if closed {
			close(w.stopped)
		} else {
			go w.loop() // a function has ended the goroutine, as testing.T.FailNow does
		}
	}()
	for {
		select {
		case u := <-w.queue:
			w.commit(u)
		case <-w.closing:
			closed = true
			return
		}
	}
}

// commit runs the group that begins with first.
func (w *writer) commit(first *unit) {
	var group []*unit
	var err error
	returned := false
	defer func() {
		if !returned {
			err = errors.New("a function of the group ended its goroutine")
		}
		if err != nil {
			w.exec("ROLLBACK") // fails when SQLite has rolled back by itself
		}
		for _, u := range group {
			if err != nil {
				u.err = fmt.Errorf("db: commit: %w", err)
			}
			close(u.done)
		}
	}()
	began := time.Now()
	err = w.exec("BEGIN IMMEDIATE")
	for u, written := first, false; u != nil; u = w.next(len(group), began) {
		if !u.taken.CompareAndSwap(false, true) {
			continue
		}
		group = append(group, u)
		if err == nil {
			err = w.run(u, written)
		}
		if err != nil {
			break
		}
		written = written || u.err == nil
	}
	returned = true
	if err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		return
	}
	var scopes []string
	for _, u := range group {
		if u.err == nil {
			scopes = append(scopes, u.tx.scopes...)
		}
	}
	w.caches.invalidate(scopes)
}

// next returns the transaction that waits in line, or nil when there is none or
// the group has had enough.
func (w *writer) next(size int, began time.Time) *unit {
	if size >= groupSize || size > 0 && time.Since(began) > groupTime {
		return nil
	}
	select {
	case u := <-w.queue:
		return u
	default:
		return nil
	}
}

// run runs one transaction of a group and undoes it when it fails. Its error is
// that of the group, after which the group cannot be committed. As long as
// nobody in the group has written, the transaction itself serves as savepoint.
func (w *writer) run(u *unit, written bool) error {
	if written {
		if err := w.exec("SAVEPOINT unit"); err != nil {
			return err
		}
	}
	u.tx = &Tx{conn: w.conn}
	func() {
		defer func() {
			if v := recover(); v != nil {
				u.panicked = &recovered{v, debug.Stack()}
				u.err = errors.New("db: panic in a transaction")
			}
		}()
		if u.err = u.ctx.Err(); u.err == nil {
			u.err = u.tx.call(u.fn)
		}
	}()
	switch {
	case u.err == nil && written:
		return w.exec("RELEASE unit")
	case u.err == nil:
		return nil
	case written:
		if err := w.exec("ROLLBACK TO unit"); err != nil {
			return err
		}
		return w.exec("RELEASE unit")
	default:
		w.exec("ROLLBACK") // fails when SQLite has rolled back by itself
		return w.exec("BEGIN IMMEDIATE")
	}
}

func (w *writer) exec(query string) error {
	_, err := w.conn.exec(context.Background(), query, nil)
	return err
}

// close ends the loop after the group under way.
func (w *writer) close() error {
	close(w.closing)
	<-w.stopped
	checkpoint := w.exec("PRAGMA wal_checkpoint(TRUNCATE)") // leaves one file, which is all of the data
	return errors.Join(checkpoint, w.conn.close(), w.pool.Close())
}
