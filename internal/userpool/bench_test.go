package userpool

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"usher/internal/db"
	"usher/internal/srp"
	"usher/internal/token"
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
	{"ListUsers", 1, 0, func(tb testing.TB, app *hotApp) func() {
		app.fill(tb, 100, func(i int) (string, map[string]string) {
			return fmt.Sprint("user", i), map[string]string{"name": "N", "email": fmt.Sprintf("%d@example.com", i)}
		})
		in := map[string]any{"UserPoolId": app.pool}
		return func() { app.call(tb, "ListUsers", in, nil) }
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
	r.Header.Set("Authorization", "Credential="+testAccount+"/") // for signed operations; see testAuthenticator
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

// BenchmarkSRPShare runs sign-ins by SRP and, in between, nothing but their cryptography: the powers and hashes of both steps,
// the two signatures, and the boxes that are sealed and opened. It reports how many times the sum the whole costs.
func BenchmarkSRPShare(b *testing.B) {
	app := newHotApp(b)
	var spare time.Duration // of the client
	app.clientSide = func(work func()) {
		start := cpuTime(b)
		work()
		spare += cpuTime(b) - start
	}
	round := hotPaths[0].prepare(b, app)
	round()

	p, err := app.Service.pool(app.ctx, app.pool)
	if err != nil {
		b.Fatal(err)
	}
	c := newSRPClient()
	salt, verifier := srp.NewVerifier(p.name(), "alice", testPassword)
	sealed := app.verifiers.Seal(verifier, []byte("owner"))
	claims := bytes.Repeat([]byte("x"), 600)
	refreshToken := bytes.Repeat([]byte("x"), 300)
	stamp := app.clock.Now().UTC().Format("Mon Jan 2 15:04:05 UTC 2006")
	cryptography := func() {
		opened, err := app.verifiers.Open(sealed, []byte("owner"))
		if err != nil {
			b.Fatal(err)
		}
		challenge, err := srp.NewChallenge(opened, c.publicA())
		if err != nil {
			b.Fatal(err)
		}
		block := app.verifiers.Seal(challenge.State(), nil)
		state, err := app.verifiers.Open(block, nil)
		if err != nil {
			b.Fatal(err)
		}
		var answer map[string]string
		app.clientSide(func() {
			answer = c.answer(b, app.poolName(), testPassword, map[string]string{"SALT": srp.SaltHex(salt), "SRP_B": challenge.PublicB,
				"SECRET_BLOCK": base64.StdEncoding.EncodeToString(block), "USER_ID_FOR_SRP": "alice"}, app.clock.Now())
		})
		opened, _ = app.verifiers.Open(sealed, []byte("owner"))
		if err := srp.Verify(state, opened, srp.Answer{PoolName: p.name(), UserID: "alice", SecretBlock: block, Timestamp: stamp, Signature: answer["PASSWORD_CLAIM_SIGNATURE"]}, app.clock.Now()); err != nil {
			b.Fatal(err)
		}
		if _, err := app.Signer.Sign(app.ctx, []token.Job{{Key: p.keys.pairs[0].id, Claims: claims}, {Key: p.keys.pairs[0].access, Claims: claims}}); err != nil {
			b.Fatal(err)
		}
		app.verifiers.Seal(refreshToken, nil)
	}
	cryptography()
	var whole, sum time.Duration
	timed := func(work func()) time.Duration {
		spare = 0
		start := cpuTime(b)
		work()
		return cpuTime(b) - start - spare
	}
	for b.Loop() {
		whole += timed(round)
		sum += timed(cryptography)
	}
	b.ReportMetric(float64(whole.Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(sum.Microseconds())/float64(b.N), "cryptography-µs/op")
	b.ReportMetric(float64(whole)/float64(sum), "times")
}

// cpuTime is the processor time of this process so far, user and system.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
