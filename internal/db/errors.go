package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// violation is the failure of a statement that broke a unique constraint.
type violation struct {
	constraint string
	err        error
}

func (v *violation) Error() string { return v.err.Error() }
func (v *violation) Unwrap() error { return v.err }

// IsUnique reports whether err is the violation of a unique constraint, a
// unique index or a primary key.
func IsUnique(err error) bool { return Constraint(err) != "" }

// Constraint returns the name of the unique constraint that a statement broke,
// the same on both engines, or "" for any other error: the name of the index
// for CREATE UNIQUE INDEX, "table_pkey" for a primary key, and
// "table_column_column_key" for a UNIQUE clause, which is not to be named.
func Constraint(err error) string {
	if v, ok := errors.AsType[*violation](err); ok {
		return v.constraint
	}
	return ""
}

// postgresError marks violations of unique constraints, and what comes of a
// connection that pgx gave up because its context ended.
func postgresError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	ended := ctx.Err()
	if deadline, ok := ctx.Deadline(); ended == nil && ok && !time.Now().Before(deadline) {
		ended = context.DeadlineExceeded // the network was told before the context's own timer ran
	}
	if ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w", ended, err)
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "23505" {
		return &violation{e.ConstraintName, err}
	}
	return err
}

// unserializable reports whether PostgreSQL undid a transaction for the sake of
// another, so that it may be tried again.
func unserializable(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

// sqliteError marks violations of unique constraints. indexes are the names of
// the unique indexes by the columns that SQLite's message lists.
func sqliteError(err error, indexes map[string]string) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	// "constraint failed: UNIQUE constraint failed: users.pool_id, users.name (2067)"
	// or "… failed: index 'users_name' (2067)" for an index over an expression.
	_, columns, _ := strings.Cut(e.Error(), " constraint failed: ")
	columns, _, _ = strings.Cut(columns, " (")
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		table, _, _ := strings.Cut(columns, ".")
		return &violation{table + "_pkey", err}
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE:
		if name, ok := strings.CutPrefix(columns, "index '"); ok {
			return &violation{strings.TrimSuffix(name, "'"), err}
		}
		if name, ok := indexes[columns]; ok {
			return &violation{name, err}
		}
		return &violation{columns, err}
	}
	return err
}
