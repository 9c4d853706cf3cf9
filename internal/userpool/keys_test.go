package userpool

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
	"usher/internal/token"
)

// published returns the ids of the keys that the pool publishes.
func (app *testApp) published(t *testing.T) map[string]bool {
	t.Helper()
	res, err := http.Get(app.url + "/" + app.pool + jwksPath)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var doc struct{ Keys []struct{ Kid string } }
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, k := range doc.Keys {
		ids[k.Kid] = true
	}
	return ids
}

func kid(t *testing.T, text *string) string {
	t.Helper()
	u, err := token.Parse(*text)
	if err != nil {
		t.Fatal(err)
	}
	return u.KeyID()
}

func TestRotateKeys(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.AccessTokenValidity, c.IdTokenValidity = aws.Int32(24), aws.Int32(24)
		})
		app.user(t, "alice")
		rotate := func(discard bool) {
			t.Helper()
			if err := ts.RotateKeys(t.Context(), app.pool, discard); err != nil {
				t.Fatal(err)
			}
		}
		sweep := func() {
			t.Helper()
			if err := ts.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		works := func(what string, r *types.AuthenticationResultType) {
			t.Helper()
			if !app.published(t)[kid(t, r.AccessToken)] || !app.published(t)[kid(t, r.IdToken)] {
				t.Errorf("%s: its keys are not published", what)
			}
			if _, err := app.getUser(t, r.AccessToken); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		first := app.signIn(t, "alice", testPassword)
		ts.clock.advance(time.Second)
		rotate(false)
		if n := len(app.published(t)); n != 4 {
			t.Errorf("%d keys published, want 4", n)
		}
		during := app.signIn(t, "alice", testPassword)
		if kid(t, during.AccessToken) != kid(t, first.AccessToken) || kid(t, during.IdToken) != kid(t, first.IdToken) {
			t.Error("new keys sign before others could fetch them")
		}
		ts.clock.advance(keyLead)
		second := app.signIn(t, "alice", testPassword)
		for what, ids := range map[string][2]*string{"access": {first.AccessToken, second.AccessToken}, "id": {first.IdToken, second.IdToken}} {
			if kid(t, ids[0]) == kid(t, ids[1]) {
				t.Errorf("%s token signed with the old key", what)
			}
		}
		sweep()
		works("old tokens", during)
		works("new tokens", second)

		// The old keys rest when their last tokens have expired.
		ts.clock.advance(24 * time.Hour)
		sweep()
		if n := len(app.published(t)); n != 4 {
			t.Errorf("%d keys published, want 4", n)
		}
		ts.clock.advance(10 * time.Minute)
		sweep()
		third := app.signIn(t, "alice", testPassword)
		if n := len(app.published(t)); n != 2 || kid(t, third.AccessToken) != kid(t, second.AccessToken) {
			t.Errorf("%d keys published, want 2", n)
		}
		works("after the sweep", third)

		// A key that became known is not trusted for another moment.
		rotate(false)
		rotate(true)
		if n := len(app.published(t)); n != 2 || app.published(t)[kid(t, third.AccessToken)] {
			t.Errorf("discarded keys are published; %d keys", n)
		}
		fresh := app.signIn(t, "alice", testPassword)
		works("after the discarding", fresh)
		refreshed, err := app.refresh(t, third.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		works("refreshed", refreshed)
		_, err = app.getUser(t, third.AccessToken) // which was used before
		wantError(t, "a token of a discarded key", err, "NotAuthorizedException", "")

		for range maxKeyPairs - 1 {
			rotate(false)
		}
		if err := ts.RotateKeys(t.Context(), app.pool, false); err == nil {
			t.Error("more keys than are published")
		}
		wantCode(t, "unknown pool", ts.RotateKeys(t.Context(), "eu-central-1_nothere", false), "ResourceNotFoundException")
	})
}

func TestScheduledRotation(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		count := func() int {
			t.Helper()
			if err := ts.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			return len(app.published(t))
		}
		ts.clock.advance(400 * 24 * time.Hour)
		if n := count(); n != 2 {
			t.Errorf("%d keys without a schedule", n)
		}
		ts.KeyLife = 30 * 24 * time.Hour
		if n := count(); n != 4 {
			t.Errorf("%d keys when due", n)
		}
		if n := count(); n != 4 {
			t.Errorf("%d keys when not due", n)
		}
		ts.clock.advance(30*24*time.Hour - time.Microsecond)
		if n := count(); n != 2 {
			t.Errorf("%d keys before they are due", n)
		}
		ts.clock.advance(time.Microsecond)
		if n := count(); n != 4 {
			t.Errorf("%d keys when due again", n)
		}
	})
}

// TestKeysOfEarlierPools: pools made when the keys of a pair did not carry the same time go on.
func TestKeysOfEarlierPools(t *testing.T) {
	migration, err := Schema.ReadFile("schema/0009_key_pairs.sql")
	if err != nil {
		t.Fatal(err)
	}
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.user(t, "alice")
		change := func(statement string, args ...any) {
			t.Helper()
			if err := ts.DB.Tx(t.Context(), func(tx *db.Tx) error {
				tx.Invalidate(poolScope(app.pool))
				_, err := tx.ExecContext(t.Context(), statement, args...)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		change(`UPDATE user_pool_keys SET created = created + 7 WHERE pool_id = $1 AND use = $2`, app.pool, useAccess)
		if _, err := ts.readKeys(t.Context(), app.pool); err == nil {
			t.Error("keys of different times are a pair")
		}
		change(string(migration))
		app.signIn(t, "alice", testPassword)
		// Rotated keys are left alone.
		if err := ts.RotateKeys(t.Context(), app.pool, false); err != nil {
			t.Fatal(err)
		}
		before := app.published(t)
		change(string(migration))
		if k, err := ts.readKeys(t.Context(), app.pool); err != nil || len(k.pairs) != 2 || len(before) != 4 {
			t.Errorf("after a rotation: %v %v %v", k, err, before)
		}
	})
}
