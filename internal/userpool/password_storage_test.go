package userpool

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/argon2id"
	"usher/internal/db"
)

// Published vectors: phc-winner-argon2 (test.c), crypt_blowfish (wrapper.c), RFC 7914 section 12, the manual of passlib.
var hashVectors = []struct{ algorithm, hash, password string }{
	{algorithmArgon2id, "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"},
	{algorithmBcrypt, "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	{algorithmScrypt, "16384$8$1$536f6469756d43686c6f72696465$7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887", "pleaseletmein"},
	{algorithmPBKDF2, "$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk", "toomanysecrets"},
}

func TestHashes(t *testing.T) {
	var m argon2id.Memory
	for _, v := range append(hashVectors, struct{ algorithm, hash, password string }{algorithmArgon2id, newHash(&m, testPassword), testPassword}) {
		check, err := parseHash(v.algorithm, v.hash)
		if err != nil || algorithmOf(v.hash) != v.algorithm {
			t.Errorf("%s: %v, taken for %s", v.hash, err, algorithmOf(v.hash))
			continue
		}
		if !check(&m, v.password) || check(&m, v.password+"x") || check(&m, "") {
			t.Errorf("%s: wrong", v.hash)
		}
	}
	for _, c := range []struct{ algorithm, hash string }{
		{algorithmArgon2id, hashVectors[1].hash},
		{algorithmArgon2id, "$argon2id$v=19$m=19457,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
		{algorithmArgon2id, "$argon2id$v=19$m=256,t=3,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
		{algorithmArgon2id, "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
		{algorithmArgon2id, "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
		{algorithmArgon2id, "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"},
		{algorithmBcrypt, "$2a$13$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
		{algorithmBcrypt, "$2z$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
		{algorithmBcrypt, "$2a$05$CCCC"},
		{algorithmScrypt, strings.Replace(hashVectors[2].hash, "16384$", "131072$", 1)},
		{algorithmScrypt, strings.Replace(hashVectors[2].hash, "16384$", "16383$", 1)},
		{algorithmScrypt, strings.Replace(hashVectors[2].hash, "$8$1$", "$9$1$", 1)},
		{algorithmScrypt, strings.Replace(hashVectors[2].hash, "$8$1$", "$8$2$", 1)},
		{algorithmPBKDF2, strings.Replace(hashVectors[3].hash, "29000", "600001", 1)},
		{algorithmPBKDF2, strings.Replace(hashVectors[3].hash, "29000", "0", 1)},
		{algorithmPBKDF2, strings.Replace(hashVectors[3].hash, "sha256", "sha512", 1)},
		{"MD5", "5f4dcc3b5aa765d61d8327deb882cf99"},
	} {
		if _, err := parseHash(c.algorithm, c.hash); err == nil {
			t.Errorf("%s %s: accepted", c.algorithm, c.hash)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	for _, v := range hashVectors {
		f.Add(v.algorithm, v.hash)
	}
	f.Fuzz(func(t *testing.T, algorithm, text string) {
		if _, err := parseHash(algorithm, text); err == nil && algorithmOf(text) != algorithm {
			t.Errorf("%q is taken for %s, not %s", text, algorithmOf(text), algorithm)
		}
	})
}

func BenchmarkArgon2id(b *testing.B) {
	var m argon2id.Memory
	b.ReportAllocs()
	for b.Loop() {
		newHash(&m, testPassword)
	}
}

// TestHashOverload: as many hashes as there are cores are computed at once, and so many wait; whoever comes then is told to
// come again, while sign-ins that need no hash go on.
func TestHashOverload(t *testing.T) {
	ts := newTestServerSQLite(t)
	srpApp, app := ts.newApp(t), ts.newApp(t, storing(storageArgon2id))
	srpApp.user(t, "alice")
	app.user(t, "alice")
	ts.auth.hashing = newHashing(1)
	release, begun := make(chan struct{}), make(chan struct{}, hashQueue)
	var atOnce, most atomic.Int64
	var all sync.WaitGroup
	work := func(*argon2id.Memory) {
		most.Store(max(most.Load(), atOnce.Add(1)))
		begun <- struct{}{}
		<-release
		atOnce.Add(-1)
	}
	for range hashQueue {
		all.Go(func() {
			if err := ts.auth.hashing.do(t.Context(), work); err != nil {
				t.Error(err)
			}
		})
	}
	<-begun
	for ts.auth.hashing.waiting.Load() < hashQueue {
		time.Sleep(time.Millisecond)
	}
	_, err := app.password(t, "alice", testPassword)
	wantError(t, "one too many", err, "TooManyRequestsException", "Too many requests")
	srpApp.signIn(t, "alice", testPassword)
	if _, err := srpApp.srp(t, "alice", testPassword); err != nil {
		t.Errorf("SRP while hashes wait: %v", err)
	}
	close(release)
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d hashes at once on one core", most.Load())
	}
	app.signIn(t, "alice", testPassword)

	m := <-ts.auth.hashing.turns
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ts.auth.hashing.do(gone, func(*argon2id.Memory) { t.Error("computed for nobody") }); !errors.Is(err, context.Canceled) {
		t.Errorf("gave up waiting: %v", err)
	}
	ts.auth.hashing.turns <- m
	if n := ts.auth.hashing.waiting.Load(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

func storing(storage string) func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {
	return func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.UserPoolTags = map[string]string{tagPasswordStorage: storage}
	}
}

// stored tells what is stored of a user's password.
func (app *testApp) stored(t *testing.T, name string) string {
	t.Helper()
	p, err := app.Service.pool(t.Context(), app.pool)
	if err != nil {
		t.Fatal(err)
	}
	u, err := app.findUser(t.Context(), app.DB, p, name)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	if u.Verifier != nil {
		parts = append(parts, "srp")
	}
	if u.Doc.V.Hash != nil {
		text, err := app.openHash(p, u, u.Doc.V.Hash)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(text, ownHash) {
			parts = append(parts, "argon2id")
		} else {
			parts = append(parts, algorithmOf(text))
		}
	}
	return strings.Join(parts, "+")
}

func TestPasswordStorage(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		for _, storage := range []string{storageSRP, storageArgon2id, storageBoth} {
			app := ts.newApp(t, storing(storage), func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
				p.Policies = &types.UserPoolPolicyType{PasswordPolicy: &types.PasswordPolicyType{MinimumLength: aws.Int32(8), PasswordHistorySize: aws.Int32(2)}}
			})
			app.user(t, "alice")
			if got := app.stored(t, "alice"); got != storage {
				t.Errorf("%s: stored %s", storage, got)
			}
			tokens := app.signIn(t, "alice", testPassword)
			_, err := app.password(t, "alice", "wrong")
			wantError(t, storage+": wrong password", err, "NotAuthorizedException", "Incorrect username or password.")
			_, err = app.srp(t, "alice", testPassword)
			if storage == storageArgon2id {
				wantError(t, storage+": SRP", err, "NotAuthorizedException", "Incorrect username or password.")
			} else if err != nil {
				t.Errorf("%s: SRP: %v", storage, err)
			}
			change := func(from, to string) error {
				_, err := ts.sdk.ChangePassword(t.Context(), &cip.ChangePasswordInput{AccessToken: tokens.AccessToken, PreviousPassword: &from, ProposedPassword: &to})
				return err
			}
			wantError(t, storage+": ChangePassword", change("wrong", newPassword), "NotAuthorizedException", "Incorrect username or password.")
			wantError(t, storage+": the same again", change(testPassword, testPassword), "PasswordHistoryPolicyViolationException", "")
			if err := change(testPassword, newPassword); err != nil {
				t.Errorf("%s: %v", storage, err)
			}
			wantError(t, storage+": the one before", change(newPassword, testPassword), "PasswordHistoryPolicyViolationException", "")
			app.signIn(t, "alice", newPassword)
			_, err = app.password(t, "alice", testPassword)
			wantError(t, storage+": old password", err, "NotAuthorizedException", "Incorrect username or password.")
			_, err = app.password(t, "nobody", testPassword)
			wantError(t, storage+": nobody", err, "UserNotFoundException", "User does not exist.")

			// A change of the pool reaches a user when he sends his password.
			for _, next := range []string{storageBoth, storageArgon2id, storageSRP} {
				if _, err := ts.sdk.TagResource(t.Context(), &cip.TagResourceInput{ResourceArn: aws.String(poolARN(testAccount, app.pool)),
					Tags: map[string]string{tagPasswordStorage: next}}); err != nil {
					t.Fatal(err)
				}
				app.password(t, "alice", "wrong")
				before := app.stored(t, "alice")
				app.signIn(t, "alice", newPassword)
				if got := app.stored(t, "alice"); got != next {
					t.Errorf("%s, then %s: stored %s", before, next, got)
				}
				ts.clock.advance(time.Hour) // past any lockout
			}
			if _, err = app.srp(t, "alice", newPassword); err != nil {
				t.Errorf("SRP at the end: %v", err)
			}
		}
		_, err := ts.sdk.CreateUserPool(t.Context(), &cip.CreateUserPoolInput{PoolName: aws.String("x"), UserPoolTags: map[string]string{tagPasswordStorage: "plain"}})
		wantError(t, "unknown storage", err, "InvalidParameterException", "The tag usher:password-storage takes srp, argon2id or srp+argon2id.")
	})
}

// TestForeignHashes signs in with hashes that were not made here, which are replaced at the first plain sign-in.
func TestForeignHashes(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		for _, storage := range []string{storageSRP, storageArgon2id} {
			app := ts.newApp(t, storing(storage))
			p, err := ts.Service.pool(t.Context(), app.pool)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range hashVectors {
				name := strings.ToLower(v.algorithm)
				app.user(t, name)
				_, err := ts.updateUser(t.Context(), p, name, func(_ *db.Tx, u *user) error {
					u.Salt, u.Verifier, u.Doc.V.Hash = nil, nil, ts.sealHash(p, u, v.hash)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				_, err = app.srp(t, name, v.password)
				wantError(t, name+": SRP too early", err, "NotAuthorizedException", "Incorrect username or password.")
				_, err = app.password(t, name, v.password+"x")
				wantError(t, name, err, "NotAuthorizedException", "Incorrect username or password.")
				if got := app.stored(t, name); got != v.algorithm && v.algorithm != algorithmArgon2id {
					t.Errorf("%s: %s before the first sign-in", name, got)
				}
				app.signIn(t, name, v.password)
				if got := app.stored(t, name); got != storage {
					t.Errorf("%s: %s after the first sign-in", name, got)
				}
				app.signIn(t, name, v.password)
				if _, err = app.srp(t, name, v.password); (err == nil) != (storage == storageSRP) {
					t.Errorf("%s: SRP: %v", name, err)
				}
			}
		}
	})
}
