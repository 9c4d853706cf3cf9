package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The migrator is written here because the libraries bring their own
// connections, which neither the single SQLite writer nor the lock between
// nodes would cover, and expect SQL text of one engine.

// migration is one numbered file of a schema.
type migration struct {
	version int64
	name    string
	text    string
}

func (m migration) sum() string {
	sum := sha256.Sum256([]byte(m.text))
	return hex.EncodeToString(sum[:])
}

// migrations reads the files of a schema in order.
func (s Schema) migrations() ([]migration, error) {
	var all []migration
	err := fs.WalkDir(s.Files, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(file) != ".sql" {
			return err
		}
		number, _, _ := strings.Cut(path.Base(file), "_")
		version, err := strconv.ParseInt(number, 10, 32)
		if err != nil {
			return fmt.Errorf("file %s does not begin with its number, as in 0001_users.sql", file)
		}
		text, err := fs.ReadFile(s.Files, file)
		all = append(all, migration{version, path.Base(file), string(text)})
		return err
	})
	slices.SortFunc(all, func(a, b migration) int { return int(a.version - b.version) })
	for i, m := range all {
		if err == nil && m.version != int64(i+1) {
			err = fmt.Errorf("file %s should have number %d", m.name, i+1)
		}
	}
	return all, err
}

// migrate applies what the database lacks, in the transaction of tx.
func migrate(ctx context.Context, tx *Tx, schemas []Schema, apply func(script string) error) error {
	if err := apply(`CREATE TABLE IF NOT EXISTS migrations (
		service TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, sum TEXT NOT NULL,
		PRIMARY KEY (service, version)) STRICT, WITHOUT ROWID`); err != nil {
		return err
	}
	type applied struct{ Name, Sum string }
	for _, s := range schemas {
		files, err := s.migrations()
		if err != nil {
			return fmt.Errorf("db: schema %s: %w", s.Name, err)
		}
		done, err := All[applied](ctx, tx, `SELECT name, sum FROM migrations WHERE service = $1 ORDER BY version`, s.Name)
		if err != nil {
			return err
		}
		if len(done) > len(files) {
			return fmt.Errorf("db: the database is newer than this version of Usher: %s has been migrated to %s",
				s.Name, done[len(done)-1].Name)
		}
		for i, m := range files {
			if i < len(done) {
				if done[i].Sum != m.sum() {
					return fmt.Errorf("db: schema %s: file %s is not the one that was applied", s.Name, m.name)
				}
				continue
			}
			if err := apply(m.text); err != nil {
				return fmt.Errorf("db: schema %s: file %s: %w", s.Name, m.name, err)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO migrations (service, version, name, sum) VALUES ($1, $2, $3, $4)`,
				s.Name, m.version, m.name, m.sum()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sqliteDB) migrate(ctx context.Context, schemas []Schema) error {
	_, err := s.tx(ctx, false, func(tx *Tx) error {
		c := s.writer.conn
		err := migrate(ctx, tx, schemas, func(script string) error {
			_, err := c.c.ExecContext(context.Background(), forSQLite(script))
			return err
		})
		if err != nil {
			return err
		}
		c.indexes, err = uniqueIndexes(ctx, tx)
		return err
	})
	return err
}

// uniqueIndexes names the unique indexes by the columns they span, in the form
// in which SQLite reports a violation. Those that have no name of their own get
// the name that PostgreSQL gives.
func uniqueIndexes(ctx context.Context, tx *Tx) (map[string]string, error) {
	type index struct{ Table, Name, Origin, Columns string }
	all, err := All[index](ctx, tx, `
		SELECT t.name, i.name, i.origin, (SELECT group_concat(c.name, '_' ORDER BY c.seqno) FROM pragma_index_info(i.name) c)
		FROM sqlite_schema t, pragma_index_list(t.name) i
		WHERE t.type = 'table' AND i."unique" AND NOT EXISTS (SELECT 1 FROM pragma_index_info(i.name) c WHERE c.name IS NULL)`)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, i := range all {
		columns, err := All[string](ctx, tx, `SELECT name FROM pragma_index_info($1) ORDER BY seqno`, i.Name)
		if err != nil {
			return nil, err
		}
		for k := range columns {
			columns[k] = i.Table + "." + columns[k]
		}
		name := i.Name
		switch i.Origin {
		case "pk":
			name = i.Table + "_pkey"
		case "u":
			name = i.Table + "_" + i.Columns + "_key"
		}
		names[strings.Join(columns, ", ")] = name
	}
	return names, nil
}

func (p *postgresDB) migrate(ctx context.Context, schemas []Schema) error {
	c, err := p.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	// Read committed, so that the statements after the lock see what a node
	// that held it has done.
	if _, err := c.ExecContext(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"); err != nil {
		return err
	}
	apply := func(script string) error {
		_, err := c.ExecContext(ctx, forPostgres(script), pgx.QueryExecModeSimpleProtocol)
		return err
	}
	err = func() error {
		if _, err := c.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrateLock)); err != nil {
			return err
		}
		if err := apply(`CREATE TABLE IF NOT EXISTS changes (
			seq INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, scopes TEXT NOT NULL)`); err != nil {
			return err
		}
		if err := migrate(ctx, &Tx{conn: postgresConn{c}}, schemas, apply); err != nil {
			return err
		}
		if err := c.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM changes`).Scan(&p.seen); err != nil {
			return err
		}
		_, err := c.ExecContext(ctx, "COMMIT")
		return err
	}()
	if err != nil {
		rollback(ctx, c)
		return err
	}
	return nil
}

// word matches what forSQLite and forPostgres look at: comments, quoted text
// and quoted names, which stay as they are, and words.
var word = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|,?\s*\bWITHOUT\s+ROWID\b|,?\s*\bSTRICT\b|\bAS\s+TEXT\b|\w+`)

func forSQLite(script string) string {
	return word.ReplaceAllStringFunc(script, func(s string) string {
		switch s {
		case "JSON":
			return "TEXT"
		case "BOOLEAN":
			return "INTEGER"
		}
		return s
	})
}

func forPostgres(script string) string {
	return word.ReplaceAllStringFunc(script, func(s string) string {
		switch s {
		case "INTEGER":
			return "BIGINT"
		case "BLOB":
			return "BYTEA"
		case "REAL":
			return "DOUBLE PRECISION"
		case "TEXT":
			return `TEXT COLLATE "C"`
		}
		if option := strings.TrimLeft(s, ", \t\r\n"); option == "STRICT" || strings.HasPrefix(option, "WITHOUT") && option != "WITHOUT" {
			return ""
		}
		return s
	})
}
