package userpool

import (
	"testing"

	"usher/internal/db"
	"usher/internal/db/dbtest"
)

// newTestServerSQLite is for tests of what has nothing to do with the database.
func newTestServerSQLite(tb testing.TB) *testServer {
	return newTestServer(tb, dbtest.Open(tb, dbtest.SQLite(tb), db.Schema{Name: "userpool", Files: Schema}))
}
