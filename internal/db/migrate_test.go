package db

import "testing"

func TestDialects(t *testing.T) {
	for _, c := range []struct{ script, sqlite, postgres string }{
		{"a TEXT, b INTEGER, c BLOB", "a TEXT, b INTEGER, c BLOB", `a TEXT COLLATE "C", b BIGINT, c BYTEA`},
		{"a REAL, b BOOLEAN, c JSON, d BIGINT", "a REAL, b INTEGER, c TEXT, d BIGINT", "a DOUBLE PRECISION, b BOOLEAN, c JSON, d BIGINT"},
		{") STRICT;", ") STRICT;", ");"},
		{") STRICT, WITHOUT ROWID;", ") STRICT, WITHOUT ROWID;", ");"},
		{") WITHOUT  ROWID , STRICT", ") WITHOUT  ROWID , STRICT", ") "},
		{"ON DELETE RESTRICT", "ON DELETE RESTRICT", "ON DELETE RESTRICT"},
		{"x TEXTUAL, TEXT_, text, MY_JSON", "x TEXTUAL, TEXT_, text, MY_JSON", "x TEXTUAL, TEXT_, text, MY_JSON"},
		{"(CAST(n AS TEXT))", "(CAST(n AS TEXT))", "(CAST(n AS TEXT))"},
		{"'TEXT ''JSON'' STRICT' BLOB", "'TEXT ''JSON'' STRICT' BLOB", "'TEXT ''JSON'' STRICT' BYTEA"},
		{`"JSON" BLOB, "a""BLOB"`, `"JSON" BLOB, "a""BLOB"`, `"JSON" BYTEA, "a""BLOB"`},
		{"-- it's JSON, STRICT\nBLOB", "-- it's JSON, STRICT\nBLOB", "-- it's JSON, STRICT\nBYTEA"},
		{"/* it's JSON\n*/ BLOB", "/* it's JSON\n*/ BLOB", "/* it's JSON\n*/ BYTEA"},
	} {
		if got := forSQLite(c.script); got != c.sqlite {
			t.Errorf("forSQLite(%q) = %q, want %q", c.script, got, c.sqlite)
		}
		if got := forPostgres(c.script); got != c.postgres {
			t.Errorf("forPostgres(%q) = %q, want %q", c.script, got, c.postgres)
		}
	}
}
