package gateway

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"usher/internal/db"
	"usher/internal/db/dbtest"
)

// The registry, on each database. The upstream says what it is told to.
func TestRegistry(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		upstream, up := startRecorder(t, true)
		d := open(db.Schema{Name: "gateway", Files: Schema})
		f := newGateway(t, up, func(c *Config) { c.DB = d })
		has := map[string]bool{"hidden": true}
		upstream.answer = func(w http.ResponseWriter, r *http.Request) {
			name := strings.Trim(r.URL.Path, "/")
			switch {
			case r.Method == "HEAD" && !has[name]:
				w.WriteHeader(404)
			case r.Method == "PUT" && has[name]:
				w.WriteHeader(409)
				w.Write([]byte("<Error><Code>BucketAlreadyOwnedByYou</Code></Error>"))
			case r.Method == "PUT":
				has[name] = true
			case r.Method == "DELETE":
				delete(has, name)
				w.WriteHeader(204)
			}
		}
		for _, c := range []struct {
			key, method, target string
			status              int
			code                string
		}{
			{"AKIAALICE", "HEAD", "/box-1", 404, ""}, // the absence is remembered, and forgotten when it ends
			{"AKIAALICE", "PUT", "/box-1", 200, ""},
			{"AKIAALICE", "HEAD", "/box-1", 200, ""},
			{"AKIAALICE", "PUT", "/box-1", 200, ""},
			{"AKIAOTHER", "PUT", "/box-1", 409, "BucketAlreadyExists"},
			{"AKIAOTHER", "HEAD", "/box-1", 403, ""},
			{"AKIAOTHER", "DELETE", "/box-1", 403, "AccessDenied"},
			{"AKIAALICE", "PUT", "/hidden", 409, "BucketAlreadyExists"},
			{"AKIAALICE", "PUT", "/box.2", 200, ""},
			{"AKIAOTHER", "PUT", "/box-3", 200, ""},
			{"AKIAALICE", "DELETE", "/box-1", 204, ""},
			{"AKIAALICE", "DELETE", "/box-1", 404, "NoSuchBucket"},
			{"AKIAOTHER", "PUT", "/box-1", 200, ""},
		} {
			w := f.do(sign(t, c.key, c.method, c.target, nil))
			if w.Code != c.status || c.code != "" && code(w.Body.String()) != c.code {
				t.Errorf("%s %s %s: %d %s, want %d %s", c.key, c.method, c.target, w.Code, w.Body, c.status, c.code)
			}
		}
		for key, want := range map[string][]string{"AKIAALICE": {"box.2"}, "AKIAOTHER": {"box-1", "box-3"}} {
			text := f.do(sign(t, key, "GET", "/", nil)).Body.String()
			var got []string
			for part := range strings.SplitSeq(text, "<Name>") {
				if name, _, ok := strings.Cut(part, "</Name>"); ok {
					got = append(got, name)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s has %q, want %q", key, got, want)
			}
		}

		// Requests for objects cost no statement once the owner is known.
		ctx := db.WithCounter(t.Context())
		f.do(sign(t, "AKIAOTHER", "GET", "/box-1/k", nil).WithContext(ctx))
		before := db.Statements(ctx)
		if w := f.do(sign(t, "AKIAOTHER", "GET", "/box-1/k", nil).WithContext(ctx)); w.Code != 200 || db.Statements(ctx) != before {
			t.Errorf("%d, statements %v, before %v", w.Code, db.Statements(ctx), before)
		}
	})
}
