package identitypool

import (
	"context"
	"testing"

	api "usher/internal/api/cognitoidentity"
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
