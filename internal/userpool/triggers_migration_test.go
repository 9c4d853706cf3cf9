package userpool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
	"usher/internal/trigger/triggertest"
)

const legacyPassword = "weak" // no pool's policy accepts it

// directory is another directory, whose users all have legacyPassword: names that begin with "old".
func directory(extra m) triggertest.Function {
	return func(e map[string]any) (any, error) {
		name := e["userName"].(string)
		password, typed := member(e, "request")["password"]
		if !strings.HasPrefix(name, "old") || typed && password != legacyPassword {
			return e, nil
		}
		email, _, _ := strings.Cut(name, "@")
		response := m{"userAttributes": m{"email": email + "@example.com", "email_verified": "true"}, "finalUserStatus": "CONFIRMED", "messageAction": "SUPPRESS"}
		for k, v := range extra {
			response[k] = v
		}
		e["response"] = response
		return e, nil
	}
}

var migrating = triggers(types.LambdaConfigType{UserMigration: function("migrate")})

func (app *testApp) adminPassword(tb testing.TB, name, password string) (*cip.AdminInitiateAuthOutput, error) {
	return app.sdk.AdminInitiateAuth(tb.Context(), &cip.AdminInitiateAuthInput{UserPoolId: &app.pool, ClientId: &app.app, AuthFlow: "ADMIN_USER_PASSWORD_AUTH",
		AuthParameters: app.with(name, map[string]string{"USERNAME": name, "PASSWORD": password})})
}

func TestMigrationAtSignIn(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		server.Handle("migrate", directory(nil))
		app := ts.newApp(t, choosing("PE"), migrating, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.ExplicitAuthFlows = append(c.ExplicitAuthFlows, "ALLOW_USER_SRP_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH")
		})
		var log bytes.Buffer
		ts.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))

		out, err := ts.sdk.InitiateAuth(t.Context(), &cip.InitiateAuthInput{ClientId: &app.app, AuthFlow: "USER_PASSWORD_AUTH", ClientMetadata: map[string]string{"app": "1"},
			AuthParameters: map[string]string{"USERNAME": "old-ada", "PASSWORD": legacyPassword}})
		if err != nil || out.AuthenticationResult == nil {
			t.Fatal(out, err)
		}
		events := server.Events()
		want := m{"version": "1", "triggerSource": "UserMigration_Authentication", "region": "eu-central-1", "userPoolId": app.pool, "userName": "old-ada",
			"callerContext": m{"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": app.app},
			"request":       m{"password": legacyPassword, "validationData": m{"app": "1"}, "clientMetadata": nil},
			"response":      m{"userAttributes": nil, "finalUserStatus": nil, "messageAction": nil, "desiredDeliveryMediums": nil, "forceAliasCreation": nil, "enableSMSMFA": nil}}
		if len(events) != 1 || !reflect.DeepEqual(events[0], want) {
			t.Errorf("event:\n got %v\nwant %v", events, want)
		}
		u, err := app.adminGet(t, "old-ada")
		if err != nil || u.UserStatus != "CONFIRMED" || attributeMap(u.UserAttributes)["email"] != "old-ada@example.com" || attributeMap(u.UserAttributes)["email_verified"] != "true" {
			t.Errorf("%+v %v", u, err)
		}
		// From then on he is a user like others.
		app.signIn(t, "old-ada", legacyPassword)
		if _, err := app.srp(t, "old-ada", legacyPassword); err != nil {
			t.Error(err)
		}
		_, err = app.password(t, "old-ada", "other")
		wantError(t, "his wrong password", err, "NotAuthorizedException", "Incorrect username or password.")
		if n := len(server.Events()); n != 0 {
			t.Errorf("asked %d times about a user who is there", n)
		}

		if out, err := app.adminPassword(t, "old-bob", legacyPassword); err != nil || out.AuthenticationResult == nil {
			t.Errorf("%+v %v", out, err)
		}
		if out, err := app.choose(t, "old-carl", "PASSWORD", "PASSWORD", legacyPassword); err != nil || out.AuthenticationResult == nil {
			t.Errorf("%+v %v", out, err)
		}
		if got := sources(server.Events()); !slices.Equal(got, []string{"UserMigration_Authentication", "UserMigration_Authentication"}) {
			t.Errorf("%v", got)
		}

		// Never without the password itself.
		_, err = app.srp(t, "old-dora", legacyPassword)
		wantError(t, "SRP", err, "UserNotFoundException", "User does not exist.")
		_, err = app.choose(t, "old-dora", "EMAIL_OTP")
		wantError(t, "a code", err, "UserNotFoundException", "User does not exist.")
		for name, password := range map[string]string{"old dora": legacyPassword, "old-dora": strings.Repeat("x", 257), strings.Repeat("o", 129): legacyPassword} {
			_, err = app.password(t, name, password)
			wantError(t, name, err, "UserNotFoundException", "User does not exist.")
		}
		if n := len(server.Events()); n != 0 {
			t.Errorf("asked %d times", n)
		}

		// Nobody, and failures.
		_, err = app.password(t, "nobody", legacyPassword)
		wantError(t, "nobody", err, "UserNotFoundException", "User does not exist.")
		server.Handle("migrate", throws("Bad password"))
		_, err = app.password(t, "old-erin", legacyPassword)
		wantError(t, "a failure", err, "UserLambdaValidationException", "UserMigration failed with error Bad password.")
		server.HandleRaw("migrate", nil)
		app2 := ts.newApp(t, triggers(types.LambdaConfigType{UserMigration: function("gone")}))
		_, err = app2.password(t, "old-erin", legacyPassword)
		wantError(t, "no function", err, "UnexpectedLambdaException", "UserMigration invocation failed due to error ResourceNotFoundException.")

		// The password is nowhere but in what is stored of every password.
		if strings.Contains(log.String(), legacyPassword) {
			t.Errorf("log: %s", log.String())
		}
		if t.Name() == "TestMigrationAtSignIn/sqlite" {
			wantNowhere(t, ts, legacyPassword)
		}
	})
}

// wantNowhere looks for a text in every column of the database, SQLite.
func wantNowhere(t *testing.T, ts *testServer, text string) {
	t.Helper()
	type column struct{ Table, Column string }
	columns, err := db.All[column](t.Context(), ts.DB, `SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'`)
	if err != nil || len(columns) < 100 {
		t.Fatal(len(columns), err)
	}
	for _, c := range columns {
		n, err := db.One[int](t.Context(), ts.DB, fmt.Sprintf(`SELECT count(*) FROM "%s" WHERE instr(CAST("%s" AS BLOB), CAST($1 AS BLOB)) > 0`, c.Table, c.Column), text)
		if err != nil || n > 0 {
			t.Errorf("%s.%s: %d %v", c.Table, c.Column, n, err)
		}
	}
}

// TestMigrationAnswers gives what the function answers and what becomes of the sign-in and the user.
func TestMigrationAnswers(t *testing.T) {
	ts := newTestServerSQLite(t)
	server := ts.functions(t)
	plain := ts.newApp(t, migrating)
	required := ts.newApp(t, migrating, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.Schema = []types.SchemaAttributeType{{Name: aws.String("given_name"), Required: aws.Bool(true)}, {Name: aws.String("age"), AttributeDataType: "Number"}}
	})
	mails := ts.newApp(t, migrating, usernames("email"))
	alias := ts.newApp(t, migrating, aliases("email"))
	second := ts.newApp(t, migrating)
	second.setMFA(t, "OPTIONAL", "S")
	alias.person(t, "holder", "email", "old-held@example.com", "email_verified", "true")

	mail := func(pairs ...string) m {
		attributes := m{"email": "x@example.com"}
		for i := 0; i < len(pairs); i += 2 {
			attributes[pairs[i]] = pairs[i+1]
		}
		return attributes
	}
	for i, c := range []struct {
		what          string
		app           *testApp
		name          string // typed; "" for one of the test's own
		answer        m
		code, message string
		status        types.UserStatusType // "": no user
		body          string               // of the message
		attrs         map[string]string
	}{
		{what: "an unverified address", app: plain, answer: m{"userAttributes": mail(), "messageAction": "SUPPRESS"}, status: "CONFIRMED", attrs: map[string]string{"email_verified": "false"}},
		{what: "reset", app: plain, answer: m{"userAttributes": mail(), "finalUserStatus": "RESET_REQUIRED", "messageAction": "SUPPRESS"}, code: "PasswordResetRequiredException", message: "Password reset required for the user", status: "RESET_REQUIRED"},
		{what: "welcome", app: plain, answer: m{"userAttributes": mail(), "desiredDeliveryMediums": []string{"EMAIL"}}, status: "CONFIRMED", body: "Your username is NAME."},
		{what: "welcome where there is an address", app: plain, answer: m{"userAttributes": mail()}, status: "CONFIRMED", body: "Your username is NAME."},
		{what: "welcome by SMS without a phone", app: plain, answer: m{"userAttributes": mail(), "desiredDeliveryMediums": []string{"SMS"}}, code: "UserLambdaValidationException"},
		{what: "no attributes", app: plain, answer: m{"finalUserStatus": "CONFIRMED"}, code: "UserNotFoundException", message: "User does not exist."},
		{what: "an odd status", app: plain, answer: m{"userAttributes": mail(), "finalUserStatus": "ARCHIVED"}, code: "InvalidLambdaResponseException", message: "Unrecognizable lambda output"},
		{what: "an odd action", app: plain, answer: m{"userAttributes": mail(), "messageAction": "RESEND"}, code: "InvalidLambdaResponseException"},
		{what: "a boolean attribute", app: plain, answer: m{"userAttributes": m{"email": "x@example.com", "email_verified": true}}, code: "InvalidLambdaResponseException"},
		{what: "an unknown attribute", app: plain, answer: m{"userAttributes": mail("custom:age", "7")}, code: "UserLambdaValidationException"},
		{what: "a sub", app: plain, answer: m{"userAttributes": mail("sub", "x")}, code: "UserLambdaValidationException"},
		{what: "a flag without a value", app: plain, answer: m{"userAttributes": m{"phone_number_verified": "true"}}, code: "UserLambdaValidationException", message: "UserMigration failed with error Phone Number is required to verify/un-verify a phone number."},
		{what: "a malformed address", app: plain, answer: m{"userAttributes": m{"email": "x"}}, code: "UserLambdaValidationException", message: "UserMigration failed with error Invalid email address format."},
		{what: "a username with a blank", app: plain, answer: m{"userAttributes": mail("username", "a b")}, code: "UserLambdaValidationException", message: "UserMigration failed with error The username is not valid."},
		{what: "MFA where there is none", app: plain, answer: m{"userAttributes": mail("phone_number", "+15550100"), "enableSMSMFA": true}, code: "UserLambdaValidationException"},
		{what: "MFA without a phone", app: second, answer: m{"userAttributes": mail(), "enableSMSMFA": true}, code: "UserLambdaValidationException"},
		{what: "MFA", app: second, answer: m{"userAttributes": mail("phone_number", "+15550100"), "enableSMSMFA": true, "messageAction": "SUPPRESS"}, status: "CONFIRMED", body: "CHALLENGE"},
		{what: "required attribute missing", app: required, answer: m{"userAttributes": mail()}, code: "UserLambdaValidationException"},
		{what: "custom attributes", app: required, answer: m{"userAttributes": mail("given_name", "X", "custom:age", "7"), "messageAction": "SUPPRESS"}, status: "CONFIRMED", attrs: map[string]string{"custom:age": "7"}},
		{what: "the address as username", app: mails, name: "old-a@example.com", answer: m{"userAttributes": m{"name": "A"}, "messageAction": "SUPPRESS"}, status: "CONFIRMED", attrs: map[string]string{"email": "old-a@example.com", "email_verified": "false"}},
		{what: "another address", app: mails, name: "old-b@example.com", answer: m{"userAttributes": mail()}, code: "UserLambdaValidationException"},
		{what: "no address", app: mails, name: "old-b", answer: m{"userAttributes": mail()}, code: "UserLambdaValidationException", message: "UserMigration failed with error Username should be an email."},
		{what: "an alias, with a username", app: alias, name: "old-c@example.com", answer: m{"userAttributes": m{"username": "cat", "email": "old-c@example.com", "email_verified": "true"}, "messageAction": "SUPPRESS"}, status: "CONFIRMED"},
		{what: "an alias, without", app: alias, name: "old-d@example.com", answer: m{"userAttributes": m{"email": "old-d@example.com"}}, code: "UserLambdaValidationException"},
		{what: "another's alias", app: alias, answer: m{"userAttributes": m{"email": "old-held@example.com", "email_verified": "true"}, "messageAction": "SUPPRESS"}, code: "UserLambdaValidationException", message: "UserMigration failed with error An account with the email already exists."},
		{what: "another's alias, moved", app: alias, answer: m{"userAttributes": m{"email": "old-held@example.com", "email_verified": "true"}, "messageAction": "SUPPRESS", "forceAliasCreation": true}, status: "CONFIRMED", attrs: map[string]string{"email_verified": "true"}},
		{what: "another's username", app: alias, answer: m{"userAttributes": mail("username", "holder"), "messageAction": "SUPPRESS"}, code: "UserLambdaValidationException", message: "UserMigration failed with error User already exists."},
	} {
		name := c.name
		if name == "" {
			name = fmt.Sprint("old-", i)
		}
		ts.outbox.take()
		server.Handle("migrate", returns(c.answer))
		out, err := c.app.password(t, name, legacyPassword)
		if c.code != "" {
			wantError(t, c.what, err, c.code, c.message)
		} else if err != nil || out.AuthenticationResult == nil && c.body != "CHALLENGE" {
			t.Errorf("%s: %+v %v", c.what, out, err)
		}
		sent := ts.outbox.take()
		switch {
		case c.body == "CHALLENGE":
			if out.ChallengeName != "SMS_MFA" || len(sent) != 1 {
				t.Errorf("%s: %+v", c.what, out)
			}
		case c.body == "" && len(sent) != 0, c.body != "" && (len(sent) != 1 || sent[0].Body != strings.ReplaceAll(c.body, "NAME", name)):
			t.Errorf("%s: messages %+v, want %q", c.what, sent, c.body)
		}
		u, err := c.app.adminGet(t, name)
		if c.status == "" {
			wantError(t, c.what+": the user", err, "UserNotFoundException", "")
			continue
		}
		if err != nil || u.UserStatus != c.status {
			t.Errorf("%s: the user: %+v %v", c.what, u, err)
			continue
		}
		for attr, value := range c.attrs {
			if got := attributeMap(u.UserAttributes)[attr]; got != value {
				t.Errorf("%s: %s is %q", c.what, attr, got)
			}
		}
	}
	if u, err := alias.adminGet(t, "cat"); err != nil || *u.Username != "cat" {
		t.Errorf("%+v %v", u, err)
	}
	if u, err := alias.adminGet(t, "holder"); err != nil || attributeMap(u.UserAttributes)["email_verified"] != "false" {
		t.Errorf("the former holder: %+v %v", u, err)
	}
}

func TestMigrationForgotPassword(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		app := ts.newApp(t, triggers(types.LambdaConfigType{UserMigration: function("migrate"), CustomMessage: function("words")}))
		server.Handle("migrate", directory(nil))
		server.Handle("words", returns(customWords))
		out, err := ts.sdk.ForgotPassword(t.Context(), &cip.ForgotPasswordInput{ClientId: &app.app, Username: aws.String("old-ada"), ClientMetadata: map[string]string{"app": "1"}})
		if err != nil || aws.ToString(out.CodeDeliveryDetails.Destination) != "o***@e***" {
			t.Fatal(out, err)
		}
		events := server.Events()
		if got := sources(events); !slices.Equal(got, []string{"UserMigration_ForgotPassword", "CustomMessage_ForgotPassword"}) {
			t.Fatal(got)
		}
		if got := member(events[0], "request"); !reflect.DeepEqual(got, m{"validationData": nil, "clientMetadata": m{"app": "1"}}) {
			t.Errorf("request: %v", got)
		}
		u, err := app.adminGet(t, "old-ada")
		if err != nil || u.UserStatus != "RESET_REQUIRED" || member(member(events[1], "request"), "userAttributes")["sub"] != attributeMap(u.UserAttributes)["sub"] {
			t.Errorf("%+v %v %v", u, err, events[1])
		}
		sent := app.outbox.take()
		if len(sent) != 1 || !strings.HasPrefix(sent[0].Body, "<b>") {
			t.Fatalf("%+v", sent)
		}
		_, err = app.password(t, "old-ada", legacyPassword)
		wantError(t, "before the new password", err, "PasswordResetRequiredException", "")
		if err := app.confirmForgot(t, "old-ada", codePattern.FindString(sent[0].Body), newPassword); err != nil {
			t.Fatal(err)
		}
		app.signIn(t, "old-ada", newPassword)

		// Nobody, a failure, and a user whom no code can reach: none leaves anything behind.
		server.Events()
		_, err = app.forgot(t, "nobody")
		wantError(t, "nobody", err, "UserNotFoundException", "Username/client id combination not found.")
		server.Handle("migrate", throws("Down"))
		_, err = app.forgot(t, "old-bob")
		wantError(t, "a failure", err, "UserLambdaValidationException", "UserMigration failed with error Down.")
		server.Handle("migrate", directory(m{"userAttributes": m{"email": "b@example.com"}}))
		_, err = app.forgot(t, "old-bob")
		wantError(t, "nowhere to send the code", err, "InvalidParameterException", "")
		_, err = app.adminGet(t, "old-bob")
		wantError(t, "the user", err, "UserNotFoundException", "")

		// The function does not serve to try names without end.
		server.Handle("migrate", directory(nil))
		for range 25 {
			app.forgot(t, "somebody")
		}
		server.Events()
		_, err = app.forgot(t, "somebody")
		wantError(t, "limit", err, "LimitExceededException", "Attempt limit exceeded, please try after some time.")
		if n := len(server.Events()); n != 0 {
			t.Errorf("asked %d times beyond the limit", n)
		}
	})
}

// TestMigrationHides: a client that hides who exists learns from no answer, nor from its time, who is in the pool and who is elsewhere.
func TestMigrationHides(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		app := ts.newApp(t, hidden, migrating)
		app.user(t, "here")
		const pause = 100 * time.Millisecond
		slow := func(f triggertest.Function) triggertest.Function {
			return func(e map[string]any) (any, error) { time.Sleep(pause); return f(e) }
		}
		for what, f := range map[string]triggertest.Function{"answers": directory(nil), "fails": throws("No such user"), "answers nonsense": returns(m{"userAttributes": m{"email": "x"}})} {
			server.Handle("migrate", slow(f))
			for _, name := range []string{"nobody-" + what[len(what)-2:], "here"} {
				start := time.Now()
				_, err := app.password(t, name, "Wrong-Password1!")
				wantError(t, what+": "+name, err, "NotAuthorizedException", "Incorrect username or password.")
				if took := time.Since(start); took < pause {
					t.Errorf("%s: %s is told by %v", what, name, took)
				}
				start = time.Now()
				if _, err := app.forgot(t, name); err != nil {
					t.Errorf("%s: %s: %v", what, name, err)
				}
				if took := time.Since(start); took < pause {
					t.Errorf("%s: forgotten, %s is told by %v", what, name, took)
				}
			}
		}
		server.Handle("migrate", directory(nil))
		app.signIn(t, "old-ada", legacyPassword)
	})
}

// TestMigrationGuesses: guesses at passwords of the other directory are locked out like others.
func TestMigrationGuesses(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		server.Handle("migrate", directory(nil))
		for _, app := range []*testApp{ts.newApp(t, migrating), ts.newApp(t, migrating, hidden)} {
			for range 5 {
				app.password(t, "old-ada", "guess")
			}
			server.Events()
			_, err := app.password(t, "old-ada", legacyPassword)
			wantError(t, "locked out", err, "NotAuthorizedException", "Password attempts exceeded")
			if n := len(server.Events()); n != 0 {
				t.Errorf("asked %d times", n)
			}
			ts.clock.advance(2 * time.Second)
			app.signIn(t, "old-ada", legacyPassword)
		}
	})
}

// TestMigrationRaces: of sign-ins that bring the same user at once one stores him, and all succeed.
func TestMigrationRaces(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		server.Handle("migrate", func(e map[string]any) (any, error) { time.Sleep(20 * time.Millisecond); return directory(nil)(e) })
		for _, kind := range []func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput){func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {}, usernames("email")} {
			app := ts.newApp(t, migrating, kind)
			const name = "old-ada@example.com"
			subs := make([]string, 16)
			if won := winners(t, len(subs), "", func(ctx context.Context, i int) error {
				out, err := app.sdk.InitiateAuth(ctx, &cip.InitiateAuthInput{ClientId: &app.app, AuthFlow: "USER_PASSWORD_AUTH", AuthParameters: map[string]string{"USERNAME": name, "PASSWORD": legacyPassword}})
				if err != nil {
					return err
				}
				if out.AuthenticationResult == nil {
					return errors.New("no tokens")
				}
				subs[i] = jwtClaims(t, out.AuthenticationResult.IdToken)["sub"].(string)
				return nil
			}); won != len(subs) {
				t.Errorf("%d of %d signed in", won, len(subs))
			}
			if len(slices.Compact(subs)) != 1 {
				t.Errorf("different users: %v", subs)
			}
			if won := winners(t, 8, "", func(ctx context.Context, _ int) error {
				_, err := app.sdk.ForgotPassword(ctx, &cip.ForgotPasswordInput{ClientId: &app.app, Username: aws.String("old-bob@example.com")})
				return err
			}); won != 8 {
				t.Errorf("%d of 8 got a code", won)
			}
			users, err := ts.sdk.ListUsers(t.Context(), &cip.ListUsersInput{UserPoolId: &app.pool})
			if err != nil || len(users.Users) != 2 {
				t.Errorf("%d users, %v", len(users.Users), err)
			}
		}
	})
}
