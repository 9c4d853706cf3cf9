package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Querier is a *DB or a *Tx.
type Querier interface {
	rows(ctx context.Context, query string, args []any, scan func(scanner) error) error
}

// scanner is the part of *sql.Rows that reads a result.
type scanner interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}

// conn is a connection. Its statements are prepared once each.
type conn interface {
	query(ctx context.Context, query string, args []any, scan func(scanner) error) error
	exec(ctx context.Context, query string, args []any) (sql.Result, error)
}

// One returns the first row of a query, or ErrNotFound.
//
// T is a struct, whose exported fields take the columns by position (fields of
// an embedded struct count as the outer struct's), or one scalar: a string, a
// number, a bool, []byte, or any type whose pointer is a sql.Scanner, such as
// JSON. A column that may be NULL needs a pointer or a sql.Null.
func One[T any](ctx context.Context, q Querier, query string, args ...any) (T, error) {
	var v T
	found := false
	err := q.rows(ctx, query, args, func(rows scanner) error {
		if !rows.Next() {
			return rows.Err()
		}
		found = true
		return rows.Scan(targets(&v, nil)...)
	})
	if err == nil && !found {
		err = ErrNotFound
	}
	return v, err
}

// All returns all rows of a query. T is as for One. The query bounds the number
// of rows.
func All[T any](ctx context.Context, q Querier, query string, args ...any) ([]T, error) {
	var all []T
	err := q.rows(ctx, query, args, func(rows scanner) error {
		var dest []any
		for rows.Next() {
			var v T
			dest = targets(&v, dest[:0])
			if err := rows.Scan(dest...); err != nil {
				return err
			}
			all = append(all, v)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// ExecContext runs a statement that returns no rows.
func (tx *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := tx.usable(); err != nil {
		return nil, err
	}
	count(ctx, query)
	res, err := tx.conn.exec(ctx, query, args)
	if err != nil {
		tx.err = err
	}
	return res, err
}

func (tx *Tx) rows(ctx context.Context, query string, args []any, scan func(scanner) error) error {
	if err := tx.usable(); err != nil {
		return err
	}
	count(ctx, query)
	err := tx.conn.query(ctx, query, args, scan)
	if err != nil {
		tx.err = err
	}
	return err
}

func (tx *Tx) usable() error {
	if tx.over {
		return errors.New("db: transaction used after its function returned")
	}
	if tx.err != nil {
		return fmt.Errorf("db: transaction has failed: %w", tx.err)
	}
	return nil
}

// Changed turns the result of a statement into ErrConflict when it changed no
// row, as in
//
//	err := db.Changed(tx.ExecContext(ctx, `UPDATE … WHERE id = $1 AND rev = $2`, id, rev))
func Changed(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return ErrConflict
	}
	return err
}

// JSON is a value kept as JSON text, in a column of type JSON or TEXT.
type JSON[T any] struct{ V T }

// Value implements driver.Valuer.
func (j JSON[T]) Value() (driver.Value, error) {
	text, err := json.Marshal(j.V)
	return string(text), err
}

// Scan implements sql.Scanner. It replaces the whole value.
func (j *JSON[T]) Scan(src any) error {
	var v T
	var err error
	switch src := src.(type) {
	case string:
		err = json.Unmarshal([]byte(src), &v)
	case []byte:
		err = json.Unmarshal(src, &v)
	default:
		err = fmt.Errorf("db: JSON column holds %T", src)
	}
	j.V = v
	return err
}

// targets appends to dest the pointers that take a row into v.
func targets[T any](v *T, dest []any) []any {
	fields := fieldsOf(reflect.TypeFor[T]())
	if fields == nil {
		return append(dest, v)
	}
	row := reflect.ValueOf(v).Elem()
	for _, index := range fields {
		dest = append(dest, row.FieldByIndex(index).Addr().Interface())
	}
	return dest
}

var fieldCache sync.Map // reflect.Type -> [][]int

// fieldsOf returns the index paths of the fields that take a row's columns, or
// nil for a scalar.
func fieldsOf(t reflect.Type) [][]int {
	if fields, ok := fieldCache.Load(t); ok {
		return fields.([][]int)
	}
	var fields [][]int
	if isRow(t) {
		fields = [][]int{}
		for _, f := range reflect.VisibleFields(t) {
			switch {
			case f.Anonymous && isRow(f.Type): // its fields follow
			case !f.IsExported():
				panic(fmt.Sprintf("db: row type %v has the unexported field %s", t, f.Name))
			case len(f.Index) > 1 && !embedded(t, f.Index): // inside a scalar
			default:
				fields = append(fields, f.Index)
			}
		}
	}
	fieldCache.Store(t, fields)
	return fields
}

// isRow tells a struct of columns from a scalar.
func isRow(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() &&
		!reflect.PointerTo(t).Implements(reflect.TypeFor[sql.Scanner]())
}

// embedded reports whether all structs on the way to the field are rows.
func embedded(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		t = t.Field(i).Type
		if !isRow(t) {
			return false
		}
	}
	return true
}

// Count is how many statements ran under a context made by WithCounter: those
// that begin with SELECT, and all others. BEGIN and COMMIT do not count; a
// function that Tx ran again counts again.
type Count struct{ Reads, Writes int64 }

type counterKey struct{}
type counter struct{ reads, writes atomic.Int64 }

// WithCounter returns a context that counts the statements run under it.
func WithCounter(ctx context.Context) context.Context {
	return context.WithValue(ctx, counterKey{}, &counter{})
}

// Statements returns the statements run so far under a context made by
// WithCounter.
func Statements(ctx context.Context) Count {
	if c, ok := ctx.Value(counterKey{}).(*counter); ok {
		return Count{c.reads.Load(), c.writes.Load()}
	}
	return Count{}
}

func count(ctx context.Context, query string) {
	c, ok := ctx.Value(counterKey{}).(*counter)
	if !ok {
		return
	}
	if query = strings.TrimSpace(query); len(query) >= 6 && strings.EqualFold(query[:6], "SELECT") {
		c.reads.Add(1)
	} else {
		c.writes.Add(1)
	}
}
