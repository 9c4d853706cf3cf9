package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"modernc.org/sqlite"
)

// sqliteDB is a SQLite database in WAL mode: one connection that writes, owned
// by the writer, and a pool of connections that can only read.
type sqliteDB struct {
	lock   *os.File // held while the database is open
	pool   *sql.DB  // of connections that can only read
	writer *writer

	slots chan struct{} // bounds the readers in use

	mu   sync.Mutex
	idle []*sqliteConn // readers not in use, last used last
}

func openSQLite(path string, readers int, caches *caches) (_ *sqliteDB, err error) {
	if path == "" || path == ":memory:" {
		return nil, errors.New("db: SQLite needs the path of a file, as in sqlite:/var/lib/usher/usher.db")
	}
	if readers <= 0 {
		readers = max(4, 2*runtime.GOMAXPROCS(0))
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// Created here, not by SQLite, for the sake of the mode, which SQLite's
	// other files take over.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}

	s := &sqliteDB{slots: make(chan struct{}, readers)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, fmt.Errorf("db: %s is in use by another process: %w", path, err)
	}
	// FULL makes a commit wait for the disk. The sub-journal that savepoints
	// need stays in memory. The log is copied back to the database file every
	// 16 MiB, not every 4, since pages written many times are copied once.
	s.writer, err = newWriter(sqliteURI(path, "rwc",
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(10000)",
		"temp_store(MEMORY)", "cache_size(-16000)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)"), caches)
	if err != nil {
		return nil, fmt.Errorf("db: open %s: %w", path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	connector, err := sqlite.NewConnector(sqliteURI(path, "ro", "busy_timeout(10000)", "temp_store(MEMORY)", "cache_size(-4000)"))
	if err != nil {
		return nil, err
	}
	s.pool = sql.OpenDB(connector)
	s.pool.SetMaxOpenConns(readers)
	s.pool.SetMaxIdleConns(readers)
	return s, nil
}

// sqliteURI names the file as https://www.sqlite.org/uri.html describes, with
// the safeguards of the driver: SQL cannot corrupt the file (defensive), and a
// double-quoted word is never a string (dqs).
func sqliteURI(path, mode string, pragmas ...string) string {
	q := url.Values{"mode": {mode}, "_defensive": {"1"}, "_dqs": {"0"}, "_error_rc": {"1"}, "_pragma": pragmas}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// lockFile takes a lock that the kernel releases when the process ends, however
// it ends. The file stays.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// syncDir makes the names of new files durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (s *sqliteDB) close() error {
	var errs []error
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.pool != nil {
		for range cap(s.slots) { // wait for the readers in use, and keep new ones out
			s.slots <- struct{}{}
		}
		for _, r := range s.idle {
			errs = append(errs, r.close())
		}
		s.idle = nil
		errs = append(errs, s.pool.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// refresh has nothing to do: the writer has invalidated the caches of the one
// process before it acknowledged a transaction.
func (s *sqliteDB) refresh(context.Context) error { return nil }

func (s *sqliteDB) tx(ctx context.Context, _ bool, fn func(*Tx) error) (*Tx, error) {
	return s.writer.do(ctx, fn)
}

// rows reads outside of transactions. A read that starts after a commit was
// acknowledged sees it, since WAL readers take the newest commit.
func (s *sqliteDB) rows(ctx context.Context, query string, args []any, scan func(scanner) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.writer.closing:
		return ErrClosed
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.slots }()
	r, err := s.reader()
	if err != nil {
		return err
	}
	defer s.release(r)
	count(ctx, query)
	return r.query(ctx, query, args, scan)
}

func (s *sqliteDB) reader() (*sqliteConn, error) {
	s.mu.Lock()
	if n := len(s.idle); n > 0 {
		r := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return r, nil
	}
	s.mu.Unlock()
	c, err := s.pool.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	return &sqliteConn{c: c}, nil
}

func (s *sqliteDB) release(r *sqliteConn) {
	s.mu.Lock()
	s.idle = append(s.idle, r)
	s.mu.Unlock()
}

// sqliteConn is a connection with its prepared statements.
//
// Statements run without the caller's context: to watch it, the driver starts
// a goroutine for each statement, and to honour it, it gives up the connection.
// A statement that has begun therefore runs to its end.
type sqliteConn struct {
	c       *sql.Conn
	stmts   map[string]*sql.Stmt
	indexes map[string]string // unique indexes, see sqliteError
}

// maxStatements bounds the statements prepared on a connection.
const maxStatements = 500

func (c *sqliteConn) prepare(query string) (*sql.Stmt, error) {
	if stmt, ok := c.stmts[query]; ok {
		return stmt, nil
	}
	stmt, err := c.c.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	if c.stmts == nil {
		c.stmts = map[string]*sql.Stmt{}
	}
	if len(c.stmts) == maxStatements {
		for query, stmt := range c.stmts { // any of them
			stmt.Close()
			delete(c.stmts, query)
			break
		}
	}
	c.stmts[query] = stmt
	return stmt, nil
}

func (c *sqliteConn) query(_ context.Context, query string, args []any, scan func(scanner) error) error {
	stmt, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(context.Background(), args...)
	if err != nil {
		return sqliteError(err, c.indexes)
	}
	defer rows.Close()
	if err := scan(rows); err != nil {
		return sqliteError(err, c.indexes)
	}
	return rows.Close()
}

func (c *sqliteConn) exec(_ context.Context, query string, args []any) (sql.Result, error) {
	stmt, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	res, err := stmt.ExecContext(context.Background(), args...)
	if err != nil {
		return nil, sqliteError(err, c.indexes)
	}
	return res, nil
}

func (c *sqliteConn) close() error {
	var errs []error
	for _, stmt := range c.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, c.c.Close())...)
}
