package db_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"usher/internal/db"
	"usher/internal/db/dbtest"
	idgen "usher/internal/ids"
)

var benchSchema = schema("bench", `
	CREATE TABLE users (
		pool TEXT NOT NULL, name TEXT NOT NULL, rev INTEGER NOT NULL, verifier BLOB NOT NULL, doc JSON NOT NULL,
		PRIMARY KEY (pool, name)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE sessions (id TEXT NOT NULL PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
	`)

type benchUser struct {
	Rev      int64
	Verifier []byte
	Doc      db.JSON[map[string]string]
}

// each runs a benchmark on both engines.
func each(b *testing.B, bench func(b *testing.B, d *db.DB)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, dbtest.Open(b, dbtest.SQLite(b), benchSchema)) })
	b.Run("postgres", func(b *testing.B) {
		if os.Getenv("USHER_TEST_POSTGRES") == "" {
			b.Skip("USHER_TEST_POSTGRES is not set")
		}
		bench(b, dbtest.Open(b, dbtest.Postgres(b), benchSchema))
	})
}

const benchUsers = 20_000

func userName(i int) string { return fmt.Sprintf("user-%06d@example.com", i) }

// fill adds users of about 900 bytes.
func fill(b *testing.B, d *db.DB) {
	b.Helper()
	ctx := context.Background()
	doc := db.JSON[map[string]string]{V: map[string]string{"email": "user@example.com", "filler": fmt.Sprintf("%0350d", 0)}}
	for begin := 0; begin < benchUsers; begin += 1000 {
		if err := d.Tx(ctx, func(tx *db.Tx) error {
			for i := range 1000 {
				if _, err := tx.ExecContext(ctx, `INSERT INTO users VALUES ($1, $2, 1, $3, $4)`,
					"eu-central-1_abcdefghi", userName(begin+i), make([]byte, 384), doc); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
}

func readUser(b *testing.B, d *db.DB) {
	_, err := db.One[benchUser](context.Background(), d, `SELECT rev, verifier, doc FROM users WHERE pool = $1 AND name = $2`,
		"eu-central-1_abcdefghi", userName(rand.N(benchUsers)))
	if err != nil {
		b.Error(err)
	}
}

func BenchmarkPointRead(b *testing.B) {
	each(b, func(b *testing.B, d *db.DB) {
		fill(b, d)
		b.ReportAllocs()
		for b.Loop() {
			readUser(b, d)
		}
	})
}

func BenchmarkPointReadParallel(b *testing.B) {
	each(b, func(b *testing.B, d *db.DB) {
		fill(b, d)
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				readUser(b, d)
			}
		})
	})
}

func BenchmarkPointReadScalar(b *testing.B) {
	each(b, func(b *testing.B, d *db.DB) {
		fill(b, d)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := db.One[int64](context.Background(), d, `SELECT rev FROM users WHERE pool = $1 AND name = $2`,
				"eu-central-1_abcdefghi", "user-000007@example.com"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPointReadWhileWriting reads while another goroutine commits.
func BenchmarkPointReadWhileWriting(b *testing.B) {
	each(b, func(b *testing.B, d *db.DB) {
		fill(b, d)
		var stop atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			for !stop.Load() {
				writeSession(b, d)
			}
		}()
		for b.Loop() {
			readUser(b, d)
		}
		stop.Store(true)
		<-done
	})
}

func writeSession(b *testing.B, d *db.DB) {
	ctx := context.Background()
	data := make([]byte, 500)
	if err := d.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sessions VALUES ($1, $2)`, idgen.Row(time.Now()), data)
		return err
	}); err != nil {
		b.Error(err)
	}
}

func BenchmarkLoneCommit(b *testing.B) {
	each(b, func(b *testing.B, d *db.DB) {
		b.ReportAllocs()
		for b.Loop() {
			writeSession(b, d)
		}
	})
}

// BenchmarkCommit64 has 64 writers, each of which waits for its commit.
func BenchmarkCommit64(b *testing.B) {
	each(b, func(b *testing.B, d *db.DB) {
		b.ReportAllocs()
		b.SetParallelism(32) // times GOMAXPROCS, 2 here
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				writeSession(b, d)
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	})
}

func BenchmarkCacheHit(b *testing.B) {
	d := dbtest.Open(b, dbtest.SQLite(b))
	c := db.NewCache[string, int](d, "bench", 1000)
	ctx := context.Background()
	load := func(context.Context) (int, error) { return 1, nil }
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Get(ctx, "key", "scope", load)
		}
	})
}

func BenchmarkRefresh(b *testing.B) {
	each(b, func(b *testing.B, d *db.DB) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := d.Refresh(context.Background()); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
