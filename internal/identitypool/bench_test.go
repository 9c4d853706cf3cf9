package identitypool

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/db/dbtest"
)

// Benchmarks call the operations in Go: what HTTP, JSON and the SDK cost is awsapi's to measure. Each reports its
// statements per call, those of PostgreSQL's Refresh not counted.

func benchWorld(b *testing.B) (w *world, pool string) {
	w = newWorld(b, dbtest.SQLite(b))
	pool = w.newPool(nil)
	w.setRoles(pool, map[string]string{"authenticated": w.role("User", pool, "authenticated", ""), "unauthenticated": w.role("Guest", pool, "unauthenticated", "")}, nil)
	return w, pool
}

func measure(b *testing.B, parallel bool, call func(context.Context) error) {
	b.Helper()
	check(b, call(context.Background())) // fills the caches
	ctx := db.WithCounter(context.Background())
	check(b, call(ctx))
	n := db.Statements(ctx)
	b.ReportAllocs()
	if parallel { // writers share commits
		b.SetParallelism(64)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := call(context.Background()); err != nil {
					b.Error(err)
				}
			}
		})
	} else {
		for b.Loop() {
			check(b, call(context.Background()))
		}
	}
	b.ReportMetric(float64(n.Reads), "reads/op")
	b.ReportMetric(float64(n.Writes), "writes/op")
}

func BenchmarkGetId(b *testing.B) {
	w, pool := benchWorld(b)
	b.Run("guest", func(b *testing.B) {
		measure(b, true, func(ctx context.Context) error {
			_, err := w.s.GetId(ctx, &api.GetIdInput{IdentityPoolId: &pool})
			return err
		})
	})
	b.Run("known", func(b *testing.B) {
		in := &api.GetIdInput{IdentityPoolId: &pool, Logins: w.login(uuid())}
		measure(b, false, func(ctx context.Context) error {
			_, err := w.s.GetId(ctx, in)
			return err
		})
	})
	b.Run("new", func(b *testing.B) { // with the making and verifying of its token
		measure(b, true, func(ctx context.Context) error {
			_, err := w.s.GetId(ctx, &api.GetIdInput{IdentityPoolId: &pool, Logins: w.login(uuid())})
			return err
		})
	})
}

func BenchmarkGetCredentialsForIdentity(b *testing.B) {
	w, pool := benchWorld(b)
	for name, logins := range map[string]map[string]string{"guest": nil, "authenticated": w.login(uuid())} {
		id := w.getID(pool, logins)
		b.Run(name, func(b *testing.B) {
			measure(b, false, func(ctx context.Context) error {
				_, err := w.s.GetCredentialsForIdentity(ctx, &api.GetCredentialsForIdentityInput{IdentityId: &id, Logins: logins})
				return err
			})
		})
	}
}

func BenchmarkGetOpenIdToken(b *testing.B) {
	w, pool := benchWorld(b)
	logins := w.login(uuid())
	id := w.getID(pool, logins)
	measure(b, false, func(ctx context.Context) error {
		_, err := w.s.GetOpenIdToken(ctx, &api.GetOpenIdTokenInput{IdentityId: &id, Logins: logins})
		return err
	})
}

// BenchmarkServed is what a client does at its start, GetId and GetCredentialsForIdentity, as the server sees it: HTTP
// requests without the network.
func BenchmarkServed(b *testing.B) {
	w, pool := benchWorld(b)
	post := func(operation string, in any) []byte {
		body, err := json.Marshal(in)
		check(b, err)
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService."+operation)
		rec := httptest.NewRecorder()
		w.server.Config.Handler.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK {
			b.Fatalf("%s: %s", operation, rec.Body)
		}
		return rec.Body.Bytes()
	}
	for name, logins := range map[string]map[string]string{"guest": nil, "authenticated": w.login(uuid())} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var id api.GetIdResponse
				check(b, json.Unmarshal(post("GetId", map[string]any{"IdentityPoolId": pool, "Logins": logins}), &id))
				post("GetCredentialsForIdentity", map[string]any{"IdentityId": id.IdentityId, "Logins": logins})
			}
		})
	}
}

// BenchmarkManyIdentities fills a pool with as many users' identities as the environment variable USHER_BENCH_IDENTITIES says
// (20,000 without it), and reports how fast they are made, found and listed, how large they are and how long the pool
// takes to delete. Logins are not verified: that costs the same in a pool of any size.
func BenchmarkManyIdentities(b *testing.B) {
	n := 20_000
	if text := os.Getenv("USHER_BENCH_IDENTITIES"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		check(b, err)
	}
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		b.Run(engine.name, func(b *testing.B) {
			url := engine.url(b)
			w := newWorld(b, url)
			poolID := w.newPool(nil)
			p, err := w.s.pool(ctx, poolID)
			check(b, err)
			subjects := make([]string, n)
			for i := range subjects {
				subjects[i] = uuid()
			}
			loginOf := func(i int) []login { return []login{{provider: people, subject: subjects[i], name: awsName(people)}} }
			empty := w.size(url)

			start := time.Now()
			var next atomic.Int64
			var wait sync.WaitGroup
			for range 64 {
				wait.Go(func() {
					for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
						if _, err := w.s.resolve(context.Background(), p, nil, loginOf(i)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wait.Wait()
			b.ReportMetric(float64(n)/time.Since(start).Seconds(), "made/s")
			b.ReportMetric(float64(w.size(url)-empty)/float64(n), "B/identity")

			check(b, w.db.Tx(ctx, func(tx *db.Tx) error { // as PostgreSQL does by itself within minutes
				_, err := tx.ExecContext(ctx, `ANALYZE identity_logins`)
				return err
			}))
			var ids []string
			each := func(unit string, times int, do func(i int)) {
				start := time.Now()
				for i := range times {
					do(i)
				}
				b.ReportMetric(float64(time.Since(start).Microseconds())/float64(times), unit)
			}
			each("µs/login-found", 2000, func(int) {
				id, err := w.s.resolve(ctx, p, nil, loginOf(rand.IntN(n)))
				check(b, err)
				ids = append(ids, id)
			})
			each("µs/identity-found", 2000, func(i int) {
				_, err := w.s.identity(ctx, w.db, ids[i])
				check(b, err)
			})
			caller := awsapi.WithCaller(ctx, awsapi.Caller{AccountID: w.account})
			token := pageToken(ids[0], "identities/"+poolID)
			each("µs/page-of-60", 100, func(int) {
				out, err := w.s.ListIdentities(caller, &api.ListIdentitiesInput{IdentityPoolId: &poolID, MaxResults: aws.Int32(60), NextToken: token})
				check(b, err)
				if token = out.NextToken; token == nil {
					token = pageToken(ids[0], "identities/"+poolID)
				}
			})
			each("µs/purge-pool", 1, func(int) {
				_, err := w.admin.DeleteIdentityPool(ctx, &sdk.DeleteIdentityPoolInput{IdentityPoolId: &poolID})
				check(b, err)
				check(b, w.s.Sweep(ctx))
			})
			b.ReportMetric(0, "ns/op") // all is measured above, once
		})
	}
}

// size is how many bytes the database takes.
func (w *world) size(url string) int64 {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		files, err := filepath.Glob(path + "*")
		check(w.t, err)
		var size int64
		for _, f := range files {
			info, err := os.Stat(f)
			check(w.t, err)
			size += info.Size()
		}
		return size
	}
	n, err := w.count(`SELECT SUM(pg_total_relation_size(oid)) FROM pg_class WHERE relname IN ('identities', 'identity_logins')
		AND relnamespace = current_schema()::regnamespace`)
	check(w.t, err)
	return n
}
