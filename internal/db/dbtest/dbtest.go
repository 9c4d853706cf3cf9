// Package dbtest gives tests fresh databases on both engines.
//
// SQLite databases live in the test's temporary directory. PostgreSQL
// databases are schemas, dropped after the test, of the database that the
// environment variable USHER_TEST_POSTGRES names by URL; where it is not set,
// the tests that need it are skipped and say so.
package dbtest

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"usher/internal/db"
	"usher/internal/ids"
)

// Each runs test as two subtests, sqlite and postgres. Each call of open gives
// a fresh database with the tables of schemas.
func Each(t *testing.T, test func(t *testing.T, open func(schemas ...db.Schema) *db.DB)) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", SQLite}, {"postgres", Postgres}} {
		t.Run(engine.name, func(t *testing.T) {
			test(t, func(schemas ...db.Schema) *db.DB { return Open(t, engine.url(t), schemas...) })
		})
	}
}

// Open opens the database that url names and closes it after the test.
func Open(t testing.TB, url string, schemas ...db.Schema) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), db.Config{URL: url, Schemas: schemas})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	})
	return d
}

// SQLite returns the URL of a new SQLite database.
func SQLite(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "usher.db")
}

// Postgres returns the URL of a new, empty schema of the PostgreSQL test
// database. Several handles may be opened on it, as several nodes would. Call
// it before Open, so that the schema is dropped after the handles are closed.
func Postgres(t testing.TB) string {
	t.Helper()
	base := os.Getenv("USHER_TEST_POSTGRES")
	if base == "" {
		t.Skip("not run on PostgreSQL: USHER_TEST_POSTGRES is not set")
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal("USHER_TEST_POSTGRES is not a URL")
	}
	server, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	schema := "test_" + ids.Client()
	if _, err := server.Exec("CREATE SCHEMA " + schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := server.Exec("DROP SCHEMA " + schema + " CASCADE"); err != nil {
			t.Errorf("dropping the schema of the test: %v", err)
		}
		server.Close()
	})
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}
