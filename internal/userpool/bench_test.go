package userpool

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"usher/internal/db"
)

// hotPaths are what clients call most, with the statements that each costs: few, and none that writes where nothing
// changes. The outbox, which writes one more for a message, is not the real one here. prepare returns one round.
var hotPaths = []struct {
	name          string
	reads, writes int64
	prepare       func(testing.TB, *hotApp) func()
}{
	{"SRPSignIn", 3, 0, func(tb testing.TB, app *hotApp) func() {
		c := newSRPClient()
		return func() {
			var begun, done authAnswer
			app.call(tb, "InitiateAuth", map[string]any{"AuthFlow": "USER_SRP_AUTH", "ClientId": app.app,
				"AuthParameters": map[string]string{"USERNAME": "alice", "SRP_A": c.publicA()}}, &begun)
			app.clientSide(func() {
				begun.ChallengeParameters = c.answer(tb, app.poolName(), testPassword, begun.ChallengeParameters, app.clock.Now())
			})
			app.call(tb, "RespondToAuthChallenge", map[string]any{"ChallengeName": "PASSWORD_VERIFIER", "ClientId": app.app, "ChallengeResponses": begun.ChallengeParameters}, &done)
			if done.AuthenticationResult.AccessToken == "" {
				tb.Fatal("no tokens")
			}
		}
	}},
	{"PasswordSignIn", 2, 0, func(tb testing.TB, app *hotApp) func() {
		in := map[string]any{"AuthFlow": "USER_PASSWORD_AUTH", "ClientId": app.app, "AuthParameters": map[string]string{"USERNAME": "alice", "PASSWORD": testPassword}}
		return func() { app.call(tb, "InitiateAuth", in, nil) }
	}},
	{"PasskeySignIn", 5, 0, func(tb testing.TB, app *hotApp) func() {
		keyed := &hotApp{testApp: app.newPasskeyApp(tb), ctx: app.ctx}
		a := keyed.passkey(tb, "eve")
		return func() {
			var begun, done authAnswer
			keyed.call(tb, "InitiateAuth", map[string]any{"AuthFlow": "USER_AUTH", "ClientId": keyed.app,
				"AuthParameters": map[string]string{"USERNAME": "eve", "PREFERRED_CHALLENGE": "WEB_AUTHN"}}, &begun)
			answer := map[string]string{"USERNAME": "eve"}
			app.clientSide(func() { answer["CREDENTIAL"] = a.get(tb, parseOptions(tb, begun.ChallengeParameters)) })
			keyed.call(tb, "RespondToAuthChallenge", map[string]any{"ChallengeName": "WEB_AUTHN", "ClientId": keyed.app, "Session": begun.Session, "ChallengeResponses": answer}, &done)
			if done.AuthenticationResult.AccessToken == "" {
				tb.Fatal("no tokens")
			}
		}
	}},
	{"Refresh", 2, 0, func(tb testing.TB, app *hotApp) func() {
		in := map[string]any{"AuthFlow": "REFRESH_TOKEN_AUTH", "ClientId": app.app, "AuthParameters": map[string]string{"REFRESH_TOKEN": *app.signIn(tb, "alice", testPassword).RefreshToken}}
		return func() { app.call(tb, "InitiateAuth", in, nil) }
	}},
	{"GetUser", 1, 0, func(tb testing.TB, app *hotApp) func() {
		in := map[string]string{"AccessToken": *app.signIn(tb, "alice", testPassword).AccessToken}
		return func() { app.call(tb, "GetUser", in, nil) }
	}},
	{"SignUpConfirm", 2, 4, func(tb testing.TB, app *hotApp) func() {
		n := 0
		return func() {
			n++
			name := fmt.Sprintf("user%d", n)
			app.call(tb, "SignUp", map[string]any{"ClientId": app.app, "Username": name, "Password": testPassword,
				"UserAttributes": []map[string]string{{"Name": "email", "Value": name + "@example.com"}}}, nil)
			app.call(tb, "ConfirmSignUp", map[string]any{"ClientId": app.app, "Username": name, "ConfirmationCode": app.outbox.code(tb)}, nil)
		}
	}},
	{"JWKS", 0, 0, func(tb testing.TB, app *hotApp) func() {
		r := httptest.NewRequestWithContext(app.ctx, "GET", "/"+app.pool+jwksPath, nil)
		return func() {
			w := recorder{header: http.Header{}}
			if app.handler.ServeHTTP(&w, r); w.status != http.StatusOK || w.n == 0 {
				tb.Fatal(w.status)
			}
		}
	}},
}

// authAnswer is the part of an answer that the next call needs.
type authAnswer struct {
	Session              string
	ChallengeParameters  map[string]string
	AuthenticationResult struct{ AccessToken string }
}

// hotApp is an app with one user, which is called through the whole pipeline without network.
type hotApp struct {
	*testApp
	ctx        context.Context   // counts statements
	clientSide func(work func()) // does work that is not the server's
}

func newHotApp(tb testing.TB) *hotApp {
	tb.Helper()
	app := &hotApp{testApp: newTestServerSQLite(tb).newApp(tb), ctx: db.WithCounter(tb.Context()), clientSide: func(work func()) { work() }}
	app.user(tb, "alice")
	return app
}

// call posts one operation and reads its answer into out, unless that is nil.
func (app *hotApp) call(tb testing.TB, operation string, in, out any) {
	tb.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		tb.Fatal(err)
	}
	r := httptest.NewRequestWithContext(app.ctx, "POST", "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+operation)
	w := httptest.NewRecorder()
	app.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		tb.Fatalf("%s: %d %s", operation, w.Code, w.Body)
	}
	if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestStatements(t *testing.T) {
	for _, path := range hotPaths {
		app := newHotApp(t)
		round := path.prepare(t, app)
		round() // fills the caches
		before := db.Statements(app.ctx)
		round()
		after := db.Statements(app.ctx)
		if reads, writes := after.Reads-before.Reads, after.Writes-before.Writes; reads != path.reads || writes != path.writes {
			t.Errorf("%s: %d statements that read and %d that write, want %d and %d", path.name, reads, writes, path.reads, path.writes)
		}
	}
}

// BenchmarkHotPaths reports the processor time of the server, which is what matters on a shared machine, beside the
// statements.
func BenchmarkHotPaths(b *testing.B) {
	for _, path := range hotPaths {
		b.Run(path.name, func(b *testing.B) {
			app := newHotApp(b)
			var spare time.Duration // of the client
			app.clientSide = func(work func()) {
				b.StopTimer()
				start := cpuTime(b)
				work()
				spare += cpuTime(b) - start
				b.StartTimer()
			}
			round := path.prepare(b, app)
			round()
			before, start := db.Statements(app.ctx), cpuTime(b)
			spare = 0
			for b.Loop() {
				round()
			}
			used, after, n := cpuTime(b)-start-spare, db.Statements(app.ctx), float64(b.N)
			b.ReportMetric(float64(used.Microseconds())/n, "cpu-µs/op")
			b.ReportMetric(float64(after.Reads-before.Reads)/n, "reads/op")
			b.ReportMetric(float64(after.Writes-before.Writes)/n, "writes/op")
		})
	}
}

// cpuTime is the processor time of this process so far, user and system.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
