package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresDB is a PostgreSQL database, shared by any number of nodes.
//
// The table changes is the log of invalidated scopes. Its sequence numbers are
// in the order in which transactions became visible: a transaction draws its
// number while it holds an advisory lock, which the server releases only after
// the commit. Who has seen number n has therefore seen all below it.
type postgresDB struct {
	pool   *sql.DB // of connections whose default is to read only
	caches *caches

	mu      sync.Mutex
	seen    int64 // the changes up to this one have been applied to the caches
	running bool  // a wave is under way
	waiting *wave // what callers join now; begins when the one under way has ended
}

// wave is one reading of the change log on behalf of all who asked for it
// before it began.
type wave struct {
	joined bool          // somebody waits for it; guarded by postgresDB.mu
	lead   chan struct{} // holds a token when one of those waiting must run the wave
	done   chan struct{} // closed when err is final
	err    error
}

const (
	// keptChanges is how many changes the log keeps at least. A node that is
	// further behind drops all that its caches hold.
	keptChanges = 16384
	// pruneEvery is the number of changes after which old ones are deleted.
	pruneEvery = 1024
	// changesLock and migrateLock are keys of advisory locks, as is turnLock.
	changesLock = 0x7573686572_01
	migrateLock = 0x7573686572_02
	// turnLock is the key of the advisory lock that every transaction shares,
	// and that a transaction holds alone when it must not fail again.
	turnLock = 0x7573686572_03
	// refreshTimeout bounds a wave, which does not end when its caller gives up.
	refreshTimeout = 10 * time.Second
)

func openPostgres(ctx context.Context, url string, conns int, caches *caches) (*postgresDB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("db: %w", err) // pgx leaves the password out
	}
	if conns <= 0 {
		conns = 16
	}
	// Reads outside of transactions are single statements; they must not take
	// part in the server's bookkeeping for serializable transactions.
	config.RuntimeParams["default_transaction_isolation"] = "read committed"
	config.RuntimeParams["default_transaction_read_only"] = "on"
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "usher"
	}
	p := &postgresDB{pool: stdlib.OpenDB(*config), caches: caches, waiting: newWave()}
	p.pool.SetMaxOpenConns(conns)
	p.pool.SetMaxIdleConns(conns)
	if err := p.check(ctx); err != nil {
		return nil, errors.Join(err, p.pool.Close())
	}
	return p, nil
}

// check refuses servers on which an acknowledged commit can be lost, or text
// mangled.
func (p *postgresDB) check(ctx context.Context) error {
	for _, c := range []struct{ setting, refused, why string }{
		{"fsync", "off", "a crash could lose acknowledged writes"},
		{"full_page_writes", "off", "a crash could corrupt the database"},
		{"synchronous_commit", "off", "a crash could lose acknowledged writes"},
	} {
		var value string
		if err := p.pool.QueryRowContext(ctx, `SELECT current_setting($1)`, c.setting).Scan(&value); err != nil {
			return fmt.Errorf("db: connect to PostgreSQL: %w", err)
		}
		if value == c.refused {
			return fmt.Errorf("db: the PostgreSQL server has %s = %s: %s", c.setting, value, c.why)
		}
	}
	var encoding string
	if err := p.pool.QueryRowContext(ctx, `SELECT current_setting('server_encoding')`).Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("db: the PostgreSQL database has encoding %s, needed is UTF8", encoding)
	}
	return nil
}

func (p *postgresDB) close() error { return p.pool.Close() }

func (p *postgresDB) rows(ctx context.Context, query string, args []any, scan func(scanner) error) error {
	count(ctx, query)
	return postgresQuery(ctx, p.pool, query, args, scan)
}

func (p *postgresDB) tx(ctx context.Context, alone bool, fn func(*Tx) error) (*Tx, error) {
	c, err := p.begin(ctx, alone)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if alone {
		defer giveTurn(ctx, c)
	}
	committed := false
	defer func() { // also when fn panics
		if !committed {
			rollback(ctx, c)
		}
	}()
	tx := &Tx{conn: postgresConn{c}}
	if err := tx.call(fn); err != nil {
		return nil, err
	}
	var seq int64
	if len(tx.scopes) > 0 {
		// Last before the commit, so that nobody waits for the lock for longer
		// than a commit takes, and nobody who holds it waits for anything.
		scopes, err := json.Marshal(tx.scopes)
		if err != nil {
			return nil, err
		}
		if err := c.QueryRowContext(ctx, `
			WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock($1))
			INSERT INTO changes (scopes) SELECT $2::text FROM locked RETURNING seq`,
			int64(changesLock), string(scopes)).Scan(&seq); err != nil {
			return nil, postgresError(ctx, err)
		}
	}
	if _, err := c.ExecContext(ctx, "COMMIT"); err != nil {
		return nil, fmt.Errorf("db: commit: %w", postgresError(ctx, err))
	}
	committed = true
	p.caches.invalidate(tx.scopes)
	if seq > 0 && seq%pruneEvery == 0 {
		// What fails here is deleted the next time.
		postgresConn{c}.exec(ctx, "BEGIN READ WRITE", nil)
		postgresConn{c}.exec(ctx, "DELETE FROM changes WHERE seq <= $1", []any{seq - keptChanges})
		postgresConn{c}.exec(ctx, "COMMIT", nil)
	}
	return tx, nil
}

// begin begins a transaction. Connections that turn out to be broken, as all are
// after the server was restarted, are replaced.
//
// A transaction that is to run alone waits until those under way have ended, on
// all nodes, before it takes its snapshot, and those that begin meanwhile wait
// for it. Nobody is then there whom it could conflict with.
func (p *postgresDB) begin(ctx context.Context, alone bool) (*sql.Conn, error) {
	begin := fmt.Sprintf("BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE; SELECT pg_advisory_xact_lock_shared(%d)", int64(turnLock))
	for broken := 0; ; broken++ {
		c, err := p.pool.Conn(ctx)
		if err != nil {
			return nil, postgresError(ctx, err)
		}
		if alone {
			begin = "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"
			_, err = c.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", int64(turnLock)))
		}
		if err == nil {
			_, err = c.ExecContext(ctx, begin)
		}
		if err == nil {
			return c, nil
		}
		c.Raw(func(any) error { return driver.ErrBadConn })
		c.Close()
		if !errors.Is(err, driver.ErrBadConn) || broken > p.pool.Stats().MaxOpenConnections {
			return nil, postgresError(ctx, err)
		}
	}
}

// giveTurn lets others have transactions again after one that ran alone.
func giveTurn(ctx context.Context, c *sql.Conn) {
	end(ctx, c, fmt.Sprintf("SELECT pg_advisory_unlock(%d)", int64(turnLock)))
}

// rollback ends a transaction, or else the connection.
func rollback(ctx context.Context, c *sql.Conn) { end(ctx, c, "ROLLBACK") }

// end gives up what the connection holds, or else the connection.
func end(ctx context.Context, c *sql.Conn, statement string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := c.ExecContext(ctx, statement); err != nil {
		c.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// refresh joins the wave that has not begun yet, and runs it when it is the
// first to be asked. A wave under way is of no use to a newcomer: it may have
// read the log before a change that the newcomer must see.
func (p *postgresDB) refresh(ctx context.Context) error {
	p.mu.Lock()
	w := p.waiting
	w.joined = true
	if !p.running {
		p.running = true
		w.lead <- struct{}{}
	}
	p.mu.Unlock()
	select {
	case <-w.lead:
		return p.run(ctx, w)
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err() // the token stays for another, perhaps one still to come
	}
}

// run runs a wave and passes the lead on. It outlives its caller's context,
// since others wait for it too.
func (p *postgresDB) run(ctx context.Context, w *wave) error {
	p.mu.Lock()
	p.waiting = newWave()
	seen := p.seen
	p.mu.Unlock()

	w.err = errors.New("db: refresh did not return")
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.seen = seen
		close(w.done)
		if p.running = p.waiting.joined; p.running {
			p.waiting.lead <- struct{}{}
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	seen, w.err = p.apply(ctx, seen)
	return w.err
}

func newWave() *wave {
	return &wave{lead: make(chan struct{}, 1), done: make(chan struct{})}
}

type change struct {
	Seq    int64
	Scopes JSON[[]string]
}

// apply applies the changes after seen to the caches and returns the number of
// the last.
func (p *postgresDB) apply(ctx context.Context, seen int64) (int64, error) {
	changes, err := All[change](ctx, p, `SELECT seq, scopes FROM changes WHERE seq > $1 ORDER BY seq`, seen)
	if err != nil || len(changes) == 0 {
		return seen, err
	}
	last := changes[len(changes)-1].Seq
	if last-seen > keptChanges { // some may have been deleted
		p.caches.flush()
		return last, nil
	}
	for _, c := range changes {
		p.caches.invalidate(c.Scopes.V)
	}
	return last, nil
}

// postgresConn is a connection; pgx keeps its prepared statements.
type postgresConn struct{ c *sql.Conn }

func (c postgresConn) query(ctx context.Context, query string, args []any, scan func(scanner) error) error {
	return postgresQuery(ctx, c.c, query, args, scan)
}

func (c postgresConn) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	args, err := values(args)
	if err != nil {
		return nil, err
	}
	res, err := c.c.ExecContext(ctx, query, args...)
	return res, postgresError(ctx, err)
}

func postgresQuery(ctx context.Context, c interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, query string, args []any, scan func(scanner) error) error {
	args, err := values(args)
	if err != nil {
		return err
	}
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return postgresError(ctx, err)
	}
	defer rows.Close()
	if err := scan(rows); err != nil {
		return postgresError(ctx, err)
	}
	if err := rows.Close(); err != nil {
		return postgresError(ctx, err)
	}
	return postgresError(ctx, rows.Err())
}

// values converts arguments as database/sql does for SQLite; pgx would apply
// rules of its own.
func values(args []any) ([]any, error) {
	converted := make([]any, len(args))
	for i, arg := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return nil, fmt.Errorf("db: argument $%d: %w", i+1, err)
		}
		converted[i] = v
	}
	return converted, nil
}
