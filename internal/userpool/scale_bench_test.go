package userpool

import (
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"usher/internal/db"
)

// BenchmarkScale runs what users do in a pool of a thousand and in one of a million users in turn, and reports the processor
// time of both and how many times the one is the other: the cost must not grow. The users who act are spread over the pool.
// Filling it takes minutes and 2 GB, and is left out by -short.
func BenchmarkScale(b *testing.B) {
	if testing.Short() {
		b.Skip("takes minutes")
	}
	small, large := newScaledApp(b, 1_000), newScaledApp(b, 1_000_000)
	for _, path := range []struct {
		name  string
		round func(*scaledApp)
	}{
		{"SRPSignIn", func(app *scaledApp) {
			var begun authAnswer
			app.call(b, "InitiateAuth", map[string]any{"AuthFlow": "USER_SRP_AUTH", "ClientId": app.app,
				"AuthParameters": map[string]string{"USERNAME": app.actor(), "SRP_A": app.srp.publicA()}}, &begun)
			app.clientSide(func() {
				begun.ChallengeParameters = app.srp.answer(b, app.poolName(), testPassword, begun.ChallengeParameters, app.clock.Now())
			})
			app.call(b, "RespondToAuthChallenge", map[string]any{"ChallengeName": "PASSWORD_VERIFIER", "ClientId": app.app, "ChallengeResponses": begun.ChallengeParameters}, nil)
		}},
		{"PasswordSignIn", func(app *scaledApp) {
			app.call(b, "InitiateAuth", map[string]any{"AuthFlow": "USER_PASSWORD_AUTH", "ClientId": app.app,
				"AuthParameters": map[string]string{"USERNAME": app.actor(), "PASSWORD": testPassword}}, nil)
		}},
		{"Refresh", func(app *scaledApp) {
			app.call(b, "InitiateAuth", map[string]any{"AuthFlow": "REFRESH_TOKEN_AUTH", "ClientId": app.app,
				"AuthParameters": map[string]string{"REFRESH_TOKEN": app.refresh[app.next()%len(app.refresh)]}}, nil)
		}},
		{"GetUser", func(app *scaledApp) {
			app.call(b, "GetUser", map[string]string{"AccessToken": app.access[app.next()%len(app.access)]}, nil)
		}},
		{"SignUp", func(app *scaledApp) {
			name := fmt.Sprint("new-", time.Now().UnixNano())
			app.call(b, "SignUp", map[string]any{"ClientId": app.app, "Username": name, "Password": testPassword,
				"UserAttributes": []map[string]string{{"Name": "email", "Value": name + "@example.com"}}}, nil)
		}},
		{"ListUsers", func(app *scaledApp) { app.list(b, "") }},
		{"FilterUsername", func(app *scaledApp) { app.list(b, `username = "`+app.actor()+`"`) }},
		{"FilterEmail", func(app *scaledApp) { app.list(b, `email = "`+app.actor()+`@example.com"`) }},
		{"FilterEmailPrefix", func(app *scaledApp) { app.list(b, fmt.Sprintf(`email ^= "user%05d"`, app.n/200)) }},
		{"FilterGivenName", func(app *scaledApp) { app.list(b, `given_name = "Ada"`) }},
		{"FilterStatus", func(app *scaledApp) { app.list(b, `cognito:user_status = "RESET_REQUIRED"`) }},
		{"FilterDisabled", func(app *scaledApp) { app.list(b, `status = "Disabled"`) }},
	} {
		b.Run(path.name, func(b *testing.B) {
			timed := func(app *scaledApp) time.Duration {
				var spare time.Duration
				app.clientSide = func(work func()) {
					start := cpuTime(b)
					work()
					spare += cpuTime(b) - start
				}
				start := cpuTime(b)
				path.round(app)
				return cpuTime(b) - start - spare
			}
			timed(small)
			timed(large)
			var few, many []time.Duration
			for b.Loop() {
				few, many = append(few, timed(small)), append(many, timed(large))
			}
			slices.Sort(few)
			slices.Sort(many)
			one, other := few[len(few)/2], many[len(many)/2]
			b.ReportMetric(float64(one.Microseconds()), "1000-µs")
			b.ReportMetric(float64(other.Microseconds()), "1000000-µs")
			b.ReportMetric(float64(other)/float64(one), "times")
		})
	}
}

// scaledApp is an app with n users, of whom some act.
type scaledApp struct {
	*hotApp
	n, round        int
	srp             *srpClient
	access, refresh []string
}

// actors are so many that they are not all at hand; each is the first of n/actors users.
const actors = 500

func newScaledApp(b *testing.B, n int) *scaledApp {
	app := &scaledApp{hotApp: newHotApp(b), n: n, srp: newSRPClient()}
	app.fillWhole(b, n, n/actors)
	for range 50 {
		out := app.signIn(b, app.actor(), testPassword)
		app.access, app.refresh = append(app.access, *out.AccessToken), append(app.refresh, *out.RefreshToken)
	}
	return app
}

func (app *scaledApp) next() int {
	app.round += 7 // not the neighbour
	return app.round
}

func (app *scaledApp) actor() string {
	return fmt.Sprintf("user%07d", app.next()%actors*(app.n/actors))
}

func (app *scaledApp) list(tb testing.TB, filter string) {
	app.call(tb, "ListUsers", map[string]any{"UserPoolId": app.pool, "Filter": filter}, nil)
}

// fillWhole stores n users as they are in real pools, with a verifier each: of every so many the right one for testPassword.
// Twenty await the reset of their password, twenty are disabled.
func (app *testApp) fillWhole(tb testing.TB, n, every int) {
	tb.Helper()
	ctx := tb.Context()
	p, err := app.Service.pool(ctx, app.pool)
	if err != nil {
		tb.Fatal(err)
	}
	const batch = 5_000
	for from := 0; from < n; from += batch {
		users := make([]*user, 0, batch)
		for i := from; i < min(from+batch, n); i++ {
			values := map[string]string{"email": fmt.Sprintf("user%07d@example.com", i), "email_verified": "true", "given_name": [2]string{"Ada", "Grace"}[i%2]}
			name, sub, err := p.nameUser(fmt.Sprintf("user%07d", i), values)
			if err != nil {
				tb.Fatal(err)
			}
			u := p.newUser(name, sub, "CONFIRMED", values, app.now())
			stored := password{salt: make([]byte, 16), verifier: make([]byte, len(app.decoyVerifier))}
			rand.Read(stored.salt)
			rand.Read(stored.verifier)
			if i%every == 0 {
				if stored, err = app.storePassword(ctx, p, u, testPassword); err != nil {
					tb.Fatal(err)
				}
			}
			u.setPassword(stored, app.now())
			switch i % (n / 20) {
			case 17:
				u.Status = "RESET_REQUIRED"
			case 19:
				u.Enabled = false
			}
			users = append(users, u)
		}
		if err := app.DB.Tx(ctx, func(tx *db.Tx) error {
			for _, u := range users {
				if err := app.insertUser(ctx, tx, p, u, errAdminCreateExists); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			tb.Fatal(err)
		}
	}
}
