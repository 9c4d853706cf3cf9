package userpool

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
)

// choosing lets users of a pool choose a first factor: by its first letter, P, E, S or W. With A there are no verifiers of
// passwords.
func choosing(factors string) func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {
	return func(p *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
		policy := &types.SignInPolicyType{}
		for _, f := range factors {
			if f == 'A' {
				p.UserPoolTags = map[string]string{tagPasswordStorage: storageArgon2id}
				continue
			}
			policy.AllowedFirstAuthFactors = append(policy.AllowedFirstAuthFactors, map[rune]types.AuthFactorType{'P': "PASSWORD", 'E': "EMAIL_OTP", 'S': "SMS_OTP", 'W': "WEB_AUTHN"}[f])
		}
		p.Policies = &types.UserPoolPolicyType{SignInPolicy: policy}
		p.SmsConfiguration = testSMS
		c.ExplicitAuthFlows = []types.ExplicitAuthFlowsType{"ALLOW_USER_AUTH", "ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}
	}
}

// choose begins USER_AUTH with what it prefers and other parameters.
func (app *testApp) choose(tb testing.TB, name, preferred string, pairs ...string) (*cip.InitiateAuthOutput, error) {
	params := app.with(name, map[string]string{"USERNAME": name})
	if preferred != "" {
		params["PREFERRED_CHALLENGE"] = preferred
	}
	for i := 0; i < len(pairs); i += 2 {
		params[pairs[i]] = pairs[i+1]
	}
	return app.initiate(tb, "USER_AUTH", params)
}

var signInCodePattern = regexp.MustCompile(`\b[0-9]{8}\b`)

// signInCode returns the code of a first factor in the only message since the last call.
func (app *testApp) signInCode(tb testing.TB, medium string) string {
	tb.Helper()
	sent := app.outbox.take()
	if len(sent) != 1 || sent[0].Medium != medium || sent[0].Purpose != "sign-in" {
		tb.Fatalf("messages: %+v", sent)
	}
	code := signInCodePattern.FindString(sent[0].Body)
	if code == "" {
		tb.Fatalf("no code of 8 digits in %q", sent[0].Body)
	}
	return code
}

// otherCode is a code of the same length.
func otherCode(code string) string { return string('0'+(code[0]-'0'+1)%10) + code[1:] }

// TestFirstFactors begins sign-ins of all kinds of users in all kinds of pools.
func TestFirstFactors(t *testing.T) {
	const all = "PASSWORD_SRP PASSWORD EMAIL_OTP SMS_OTP"
	cases := []struct {
		pool, mfa, user, prefers string
		want                     string // the challenge, and what is available
	}{
		{"P", "", "pe", "", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD"},
		{"PES", "", "pe", "", "SELECT_CHALLENGE " + all},
		{"PES", "", "e", "", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD EMAIL_OTP"},
		{"PES", "", "p", "", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD SMS_OTP"},
		{"PE", "", "pe", "", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD EMAIL_OTP"},
		{"PES", "", "pe", "EMAIL_OTP", "EMAIL_OTP EMAIL_OTP"},
		{"PES", "", "pe", "SMS_OTP", "SMS_OTP SMS_OTP"},
		{"PES", "", "e", "SMS_OTP", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD EMAIL_OTP"},
		{"P", "", "e", "EMAIL_OTP", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD"},
		{"PES", "", "pe", "WEB_AUTHN", "SELECT_CHALLENGE " + all},
		{"PES", "", "pe", "PASSWORD", "tokens"},
		{"P", "", "pe", "PASSWORD_SRP", "PASSWORD_VERIFIER"},
		{"PES", "", "pe", "SOMETHING", "InvalidParameterException"},
		// No password.
		{"PES", "", "n", "", "SELECT_CHALLENGE EMAIL_OTP"},
		{"PES", "", "n", "PASSWORD", "SELECT_CHALLENGE EMAIL_OTP"},
		{"PES", "", "n", "PASSWORD_SRP", "SELECT_CHALLENGE EMAIL_OTP"},
		// A temporary password has to be changed first, a lost one set again.
		{"PES", "", "t", "EMAIL_OTP", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD"},
		{"PES", "", "t", "PASSWORD", "NEW_PASSWORD_REQUIRED"},
		{"PES", "", "r", "EMAIL_OTP", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD"},
		// Not confirmed.
		{"PES", "", "u", "", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD EMAIL_OTP"},
		{"PES", "", "u", "EMAIL_OTP", "EMAIL_OTP EMAIL_OTP"},
		{"PES", "", "u", "PASSWORD", "UserNotConfirmedException"},
		// No verifier for SRP.
		{"PEA", "", "e", "", "SELECT_CHALLENGE PASSWORD EMAIL_OTP"},
		{"PEA", "", "e", "PASSWORD_SRP", "SELECT_CHALLENGE PASSWORD EMAIL_OTP"},
		{"PEA", "", "e", "PASSWORD", "tokens"},
		// MFA.
		{"PES", "OPTIONAL", "pe", "", "SELECT_CHALLENGE " + all},
		{"PES", "OPTIONAL", "m", "", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD"},
		{"PES", "OPTIONAL", "m", "EMAIL_OTP", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD"},
		{"PES", "OPTIONAL", "m", "PASSWORD", "SMS_MFA"},
		{"P", "ON", "pe", "EMAIL_OTP", "SELECT_CHALLENGE PASSWORD_SRP PASSWORD"},
		{"P", "ON", "pe", "PASSWORD", "SMS_MFA"},
	}
	eachEngine(t, func(t *testing.T, ts *testServer) {
		for _, c := range cases {
			name := fmt.Sprintf("pool %s %s, user %s prefers %s", c.pool, c.mfa, c.user, c.prefers)
			app := ts.newApp(t, choosing(c.pool), func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
				p.MfaConfiguration = types.UserPoolMfaType(c.mfa)
			})
			app.enrolFirst(t, c.user)
			out, err := app.choose(t, "eve", c.prefers, "PASSWORD", testPassword, "SRP_A", newSRPClient().publicA())
			got := ""
			switch {
			case err != nil:
				wantError(t, name, err, c.want, "")
				continue
			case out.AuthenticationResult != nil:
				got = "tokens"
			default:
				got = string(out.ChallengeName)
				for _, f := range out.AvailableChallenges {
					got += " " + string(f)
				}
				if (out.Session == nil) != (out.ChallengeName == "PASSWORD_VERIFIER") {
					t.Errorf("%s: session %v", name, out.Session)
				}
			}
			if got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	})
}

// enrolFirst creates the user eve: with a phone number (p), an e-mail address (e), MFA by SMS (m), no password (n), a
// temporary one (t), one to be reset (r), or not confirmed (u).
func (app *testApp) enrolFirst(tb testing.TB, kind string) {
	tb.Helper()
	var attrs []string
	if strings.ContainsAny(kind, "pm") {
		attrs = append(attrs, "phone_number", "+15550001234")
	}
	if strings.ContainsAny(kind, "emntr") {
		attrs = append(attrs, "email", "eve@example.com", "email_verified", "true")
	}
	var err error
	switch in := (&cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("eve"), MessageAction: "SUPPRESS", UserAttributes: attributes(attrs...)}); kind {
	case "u":
		app.signUp(tb, "eve")
	case "n":
		_, err = app.sdk.AdminCreateUser(tb.Context(), in)
	case "t":
		in.TemporaryPassword = aws.String(testPassword)
		_, err = app.sdk.AdminCreateUser(tb.Context(), in)
	default:
		app.person(tb, "eve", attrs...)
	}
	if err == nil && kind == "m" {
		_, err = app.sdk.AdminSetUserMFAPreference(tb.Context(), &cip.AdminSetUserMFAPreferenceInput{UserPoolId: &app.pool, Username: aws.String("eve"), SMSMfaSettings: &types.SMSMfaSettingsType{Enabled: true}})
	}
	if err == nil && kind == "r" {
		_, err = app.sdk.AdminResetUserPassword(tb.Context(), &cip.AdminResetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("eve")})
	}
	if err != nil {
		tb.Fatal(err)
	}
	app.outbox.take()
}

// TestChoices goes every way from SELECT_CHALLENGE to tokens.
func TestChoices(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, choosing("PES"), withSecret)
		app.person(t, "eve", "phone_number", "+15550001234", "email", "eve@example.com")
		for _, c := range []struct{ answer, medium, masked string }{
			{"EMAIL_OTP", "EMAIL", "e***@e***"},
			{"SMS_OTP", "SMS", "+*******1234"},
		} {
			first, err := app.choose(t, "eve", "")
			if err != nil {
				t.Fatal(err)
			}
			_, err = app.reply(t, "eve", "SELECT_CHALLENGE", first.Session, "ANSWER", "WEB_AUTHN")
			wantError(t, "what is not offered", err, "InvalidParameterException", "")
			out, err := app.reply(t, "eve", "SELECT_CHALLENGE", first.Session, "ANSWER", c.answer)
			if err != nil {
				t.Fatal(err)
			}
			if string(out.ChallengeName) != c.answer || out.ChallengeParameters["CODE_DELIVERY_DELIVERY_MEDIUM"] != c.medium || out.ChallengeParameters["CODE_DELIVERY_DESTINATION"] != c.masked || out.ChallengeParameters["USER_ID_FOR_SRP"] != "eve" {
				t.Errorf("%s: %+v", c.answer, out)
			}
			_, err = app.reply(t, "eve", "SELECT_CHALLENGE", first.Session, "ANSWER", c.answer)
			wantError(t, "choosing twice", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
			code := app.signInCode(t, c.medium)
			challenge := types.ChallengeNameType(c.answer)
			_, err = app.reply(t, "eve", challenge, out.Session, c.answer+"_CODE", otherCode(code))
			wantError(t, "wrong code", err, "CodeMismatchException", "Invalid code or auth state for the user.")
			_, err = app.reply(t, "bob", challenge, out.Session, c.answer+"_CODE", code)
			wantError(t, "another user", err, "NotAuthorizedException", "Invalid session for the user.")
			done, err := app.reply(t, "eve", challenge, out.Session, c.answer+"_CODE", code)
			if err != nil || done.AuthenticationResult == nil {
				t.Fatalf("%s: %+v %v", c.answer, done, err)
			}
			_, err = app.reply(t, "eve", challenge, out.Session, c.answer+"_CODE", code)
			wantError(t, "code twice", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
			got, err := app.getUser(t, done.AuthenticationResult.AccessToken)
			if err != nil || got[map[string]string{"EMAIL": "email", "SMS": "phone_number"}[c.medium]+"_verified"] != "true" {
				t.Errorf("user: %v %v", got, err)
			}
		}
		// Passwords: with the choice, after it, and instead of it.
		for _, way := range []string{"with", "after", "instead"} {
			first, err := app.choose(t, "eve", "")
			if err != nil {
				t.Fatal(err)
			}
			session, challenge, answer := first.Session, types.ChallengeNameType("SELECT_CHALLENGE"), []string{"ANSWER", "PASSWORD"}
			if way == "after" {
				out, err := app.reply(t, "eve", challenge, session, answer...)
				if err != nil || out.ChallengeName != "PASSWORD" {
					t.Fatalf("choice: %+v %v", out, err)
				}
				session = out.Session
			}
			if way != "with" {
				challenge, answer = "PASSWORD", nil
			}
			_, err = app.reply(t, "eve", challenge, session, append(answer, "PASSWORD", "wrong")...)
			wantError(t, way, err, "NotAuthorizedException", "Incorrect username or password.")
			out, err := app.reply(t, "eve", challenge, session, append(answer, "PASSWORD", testPassword)...)
			if err != nil || out.AuthenticationResult == nil {
				t.Errorf("password %s the choice: %+v %v", way, out, err)
			}
			_, err = app.reply(t, "eve", challenge, session, append(answer, "PASSWORD", testPassword)...)
			wantError(t, way+", twice", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
		}
		for _, way := range []string{"with", "after", "instead"} {
			first, err := app.choose(t, "eve", "")
			if err != nil {
				t.Fatal(err)
			}
			c := newSRPClient()
			session, challenge, answer := first.Session, types.ChallengeNameType("SELECT_CHALLENGE"), []string{"ANSWER", "PASSWORD_SRP"}
			if way == "after" {
				out, err := app.reply(t, "eve", challenge, session, answer...)
				if err != nil || out.ChallengeName != "PASSWORD_SRP" {
					t.Fatalf("choice: %+v %v", out, err)
				}
				session = out.Session
			}
			if way != "with" {
				challenge, answer = "PASSWORD_SRP", nil
			}
			out, err := app.reply(t, "eve", challenge, session, append(answer, "SRP_A", c.publicA())...)
			if err != nil || out.ChallengeName != "PASSWORD_VERIFIER" {
				t.Fatalf("SRP %s the choice: %+v %v", way, out, err)
			}
			proof := c.answer(t, app.poolName(), testPassword, out.ChallengeParameters, app.clock.Now())
			done, err := app.respond(t, "PASSWORD_VERIFIER", nil, app.with(proof["USERNAME"], proof))
			if err != nil || done.AuthenticationResult == nil {
				t.Errorf("SRP %s the choice: %+v %v", way, done, err)
			}
		}
		// Administrators.
		out, err := app.sdk.AdminInitiateAuth(t.Context(), &cip.AdminInitiateAuthInput{UserPoolId: &app.pool, ClientId: &app.app, AuthFlow: "USER_AUTH",
			AuthParameters: app.with("eve", map[string]string{"USERNAME": "eve", "PREFERRED_CHALLENGE": "EMAIL_OTP"})})
		if err != nil || out.ChallengeName != "EMAIL_OTP" || !slices.Equal(out.AvailableChallenges, []types.ChallengeNameType{"EMAIL_OTP"}) {
			t.Fatalf("administrator: %+v %v", out, err)
		}
		done, err := app.sdk.AdminRespondToAuthChallenge(t.Context(), &cip.AdminRespondToAuthChallengeInput{UserPoolId: &app.pool, ClientId: &app.app, ChallengeName: "EMAIL_OTP", Session: out.Session,
			ChallengeResponses: app.with("eve", map[string]string{"USERNAME": "eve", "EMAIL_OTP_CODE": app.signInCode(t, "EMAIL")})})
		if err != nil || done.AuthenticationResult == nil {
			t.Errorf("administrator: %+v %v", done, err)
		}
	})
}

// TestFirstCodeGuesses tries codes for a user and for a name that nobody has, which must look the same.
func TestFirstCodeGuesses(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, choosing("PE"), hidden)
		app.person(t, "eve", "email", "eve@example.com")
		nobody := ""
		for i := 0; nobody == ""; i++ { // a name that an e-mail address is invented for
			name := fmt.Sprintf("nobody%d", i)
			out, err := app.choose(t, name, "")
			if err != nil || out.ChallengeName != "SELECT_CHALLENGE" || len(out.AvailableChallenges) == 0 {
				t.Fatalf("%+v %v", out, err)
			}
			if again, err := app.choose(t, name, ""); err != nil || !slices.Equal(again.AvailableChallenges, out.AvailableChallenges) {
				t.Errorf("%s: %v, then %v", name, out.AvailableChallenges, again.AvailableChallenges)
			}
			if slices.Contains(out.AvailableChallenges, "EMAIL_OTP") {
				nobody = name
			}
		}
		for _, name := range []string{"eve", nobody} {
			ts.outbox.take()
			for _, preferred := range []string{"PASSWORD", "PASSWORD_SRP"} {
				c := newSRPClient()
				out, err := app.choose(t, name, preferred, "PASSWORD", "wrong", "SRP_A", c.publicA())
				if preferred == "PASSWORD_SRP" && err == nil {
					proof := c.answer(t, app.poolName(), "wrong", out.ChallengeParameters, app.clock.Now())
					_, err = app.respond(t, "PASSWORD_VERIFIER", nil, proof)
				}
				wantError(t, name, err, "NotAuthorizedException", "Incorrect username or password.")
			}
			out, err := app.choose(t, name, "EMAIL_OTP")
			if err != nil || out.ChallengeName != "EMAIL_OTP" || !strings.Contains(out.ChallengeParameters["CODE_DELIVERY_DESTINATION"], "***@") {
				t.Fatalf("%s: %+v %v", name, out, err)
			}
			code := "12345678"
			if name == "eve" {
				code = app.signInCode(t, "EMAIL")
			} else if sent := ts.outbox.take(); len(sent) != 0 {
				t.Errorf("sent to nobody: %+v", sent)
			}
			for range 5 {
				_, err := app.reply(t, name, "EMAIL_OTP", out.Session, "EMAIL_OTP_CODE", otherCode(code))
				wantError(t, name, err, "CodeMismatchException", "Invalid code or auth state for the user.")
			}
			_, err = app.reply(t, name, "EMAIL_OTP", out.Session, "EMAIL_OTP_CODE", code)
			wantError(t, name+" locked out", err, "NotAuthorizedException", "Password attempts exceeded")
			ts.clock.advance(2 * time.Second)
			again, err := app.reply(t, name, "EMAIL_OTP", out.Session, "EMAIL_OTP_CODE", code)
			if name == "eve" && (err != nil || again.AuthenticationResult == nil) {
				t.Errorf("after the lockout: %+v %v", again, err)
			} else if name != "eve" {
				wantError(t, name, err, "CodeMismatchException", "")
			}
			// Messages are bounded too.
			for range 19 {
				if _, err := app.choose(t, name, "EMAIL_OTP"); err != nil {
					t.Fatal(err)
				}
			}
			_, err = app.choose(t, name, "EMAIL_OTP")
			wantError(t, name+", too many codes", err, "TooManyRequestsException", "")
		}
		// Disabled meanwhile: the same again.
		ts.clock.advance(2 * time.Hour)
		ts.outbox.take()
		out, err := app.choose(t, "eve", "EMAIL_OTP")
		if err != nil {
			t.Fatal(err)
		}
		code := app.signInCode(t, "EMAIL")
		if _, err := ts.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: aws.String("eve")}); err != nil {
			t.Fatal(err)
		}
		_, err = app.reply(t, "eve", "EMAIL_OTP", out.Session, "EMAIL_OTP_CODE", code)
		wantError(t, "disabled", err, "CodeMismatchException", "")
	})
}

// TestCodeOutdated answers with the right code when it is worth nothing any more.
func TestCodeOutdated(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, choosing("PES"))
		admin := func(attrs ...string) func() error {
			return func() error {
				_, err := ts.sdk.AdminUpdateUserAttributes(t.Context(), &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("eve"), UserAttributes: attributes(attrs...)})
				return err
			}
		}
		for _, c := range []struct {
			what   string
			change func() error
			code   string
		}{
			{"another address", admin("email", "other@example.com", "email_verified", "true"), "CodeMismatchException"},
			{"no address", admin("email", ""), "CodeMismatchException"},
			{"another password", func() error {
				_, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("eve"), Password: aws.String(newPassword)})
				return err
			}, "NotAuthorizedException"},
			{"MFA", func() error {
				app.setMFA(t, "OPTIONAL", "S")
				_, err := ts.sdk.AdminSetUserMFAPreference(t.Context(), &cip.AdminSetUserMFAPreferenceInput{UserPoolId: &app.pool, Username: aws.String("eve"), SMSMfaSettings: &types.SMSMfaSettingsType{Enabled: true}})
				return err
			}, "CodeMismatchException"},
			{"time", func() error { ts.clock.advance(4 * time.Minute); return nil }, "NotAuthorizedException"},
		} {
			app = ts.newApp(t, choosing("PES"))
			app.person(t, "eve", "email", "eve@example.com", "phone_number", "+15550001234")
			ts.outbox.take()
			out, err := app.choose(t, "eve", "EMAIL_OTP")
			if err != nil {
				t.Fatal(err)
			}
			code := app.signInCode(t, "EMAIL")
			ts.clock.advance(time.Second)
			if err := c.change(); err != nil {
				t.Fatal(err)
			}
			_, err = app.reply(t, "eve", "EMAIL_OTP", out.Session, "EMAIL_OTP_CODE", code)
			wantError(t, c.what, err, c.code, "")
		}
	})
}

// TestPasswordless signs users up and creates them without a password.
func TestPasswordless(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		events := ts.functions(t)
		for _, name := range []string{"pre", "post", "before"} {
			events.Handle(name, echo)
		}
		app := ts.newApp(t, choosing("PE"), triggers(types.LambdaConfigType{PreSignUp: function("pre"), PostConfirmation: function("post"), PreAuthentication: function("before")}))
		signUp := func(name string, attrs ...string) (*cip.SignUpOutput, error) {
			return ts.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, Username: &name, UserAttributes: attributes(attrs...)})
		}
		_, err := signUp("nowhere")
		wantError(t, "no way to sign in", err, "InvalidParameterException", "Missing required parameter Password")
		out, err := signUp("eve", "email", "eve@example.com")
		if err != nil || out.Session == nil || out.UserConfirmed {
			t.Fatalf("%+v %v", out, err)
		}
		code := ts.outbox.code(t)

		// Over ConfirmSignUp, without a second code.
		confirmed, err := ts.sdk.ConfirmSignUp(t.Context(), &cip.ConfirmSignUpInput{ClientId: &app.app, Username: aws.String("eve"), ConfirmationCode: &code, Session: out.Session})
		if err != nil || confirmed.Session == nil {
			t.Fatalf("%+v %v", confirmed, err)
		}
		start := func(name string, session *string) (*cip.InitiateAuthOutput, error) {
			return ts.sdk.InitiateAuth(t.Context(), &cip.InitiateAuthInput{ClientId: &app.app, AuthFlow: "USER_AUTH", Session: session, AuthParameters: map[string]string{"USERNAME": name}})
		}
		_, err = start("eve", out.Session)
		wantError(t, "the session of SignUp", err, "NotAuthorizedException", "Invalid session for the user.")
		_, err = app.reply(t, "eve", "EMAIL_OTP", confirmed.Session, "EMAIL_OTP_CODE", code)
		wantError(t, "as a challenge", err, "NotAuthorizedException", "Invalid session for the user.")
		// It signs in nobody else.
		if _, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("victim"), UserAttributes: attributes("email", "victim@example.com"), MessageAction: "SUPPRESS"}); err != nil {
			t.Fatal(err)
		}
		_, err = start("victim", confirmed.Session)
		wantError(t, "as another user", err, "NotAuthorizedException", "Invalid session for the user.")
		events.Events()
		in, err := start("eve", confirmed.Session)
		if err != nil || in.AuthenticationResult == nil {
			t.Fatalf("%+v %v", in, err)
		}
		if got := sources(events.Events()); !slices.Equal(got, []string{"PreAuthentication_Authentication"}) {
			t.Errorf("triggers: %v", got)
		}
		_, err = start("eve", confirmed.Session)
		wantError(t, "twice", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
		if sent := ts.outbox.take(); len(sent) != 0 {
			t.Errorf("a second code: %+v", sent)
		}
		factors, err := ts.sdk.GetUserAuthFactors(t.Context(), &cip.GetUserAuthFactorsInput{AccessToken: in.AuthenticationResult.AccessToken})
		if err != nil || !slices.Equal(factors.ConfiguredUserAuthFactors, []types.AuthFactorType{"EMAIL_OTP"}) {
			t.Errorf("factors: %+v %v", factors, err)
		}
		_, err = app.password(t, "eve", testPassword)
		wantError(t, "no password", err, "NotAuthorizedException", "Incorrect username or password.")

		// By a code of EMAIL_OTP, which confirms too.
		if _, err := signUp("bob", "email", "bob@example.com"); err != nil {
			t.Fatal(err)
		}
		ts.outbox.take()
		events.Events()
		first, err := app.choose(t, "bob", "EMAIL_OTP")
		if err != nil {
			t.Fatal(err)
		}
		done, err := app.reply(t, "bob", "EMAIL_OTP", first.Session, "EMAIL_OTP_CODE", app.signInCode(t, "EMAIL"))
		if err != nil || done.AuthenticationResult == nil {
			t.Fatalf("%+v %v", done, err)
		}
		if got := sources(events.Events()); !slices.Equal(got, []string{"PreAuthentication_Authentication", "PostConfirmation_ConfirmSignUp"}) {
			t.Errorf("triggers: %v", got)
		}
		bob, err := ts.sdk.AdminGetUser(t.Context(), &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: aws.String("bob")})
		if err != nil || bob.UserStatus != "CONFIRMED" || attributeMap(bob.UserAttributes)["email_verified"] != "true" {
			t.Errorf("%+v %v", bob, err)
		}

		// A session of another's sign-up, and one that has expired. A client that brings none has the code, which is enough.
		other, err := signUp("mallory", "email", "mallory@example.com")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name    string
			session func(own *string) *string
		}{
			{"carol", func(*string) *string { return other.Session }},
			{"dave", func(own *string) *string { ts.clock.advance(4 * time.Minute); return own }},
		} {
			ts.outbox.take()
			out, err := signUp(c.name, "email", c.name+"@example.com")
			if err != nil {
				t.Fatal(err)
			}
			confirmed, err := ts.sdk.ConfirmSignUp(t.Context(), &cip.ConfirmSignUpInput{ClientId: &app.app, Username: &c.name, ConfirmationCode: aws.String(ts.outbox.code(t)), Session: c.session(out.Session)})
			if err != nil || confirmed.Session != nil {
				t.Errorf("%s: %+v %v", c.name, confirmed, err)
			}
		}

		ts.outbox.take()
		if _, err := signUp("erin", "email", "erin@example.com"); err != nil {
			t.Fatal(err)
		}
		confirmed, err = ts.sdk.ConfirmSignUp(t.Context(), &cip.ConfirmSignUpInput{ClientId: &app.app, Username: aws.String("erin"), ConfirmationCode: aws.String(ts.outbox.code(t))})
		if err != nil || confirmed.Session == nil {
			t.Fatalf("without the session of the sign-up: %+v %v", confirmed, err)
		}
		if in, err := start("erin", confirmed.Session); err != nil || in.AuthenticationResult == nil {
			t.Errorf("without the session of the sign-up: %+v %v", in, err)
		}

		// Created by an administrator.
		ts.outbox.take()
		made, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("frank"), UserAttributes: attributes("email", "frank@example.com")})
		if err != nil || made.User.UserStatus != "CONFIRMED" {
			t.Fatalf("%+v %v", made, err)
		}
		if sent := ts.outbox.take(); len(sent) != 1 || sent[0].Body != "Your username is frank." {
			t.Errorf("invitation: %+v", sent)
		}
		if first, err = app.choose(t, "frank", "EMAIL_OTP"); err != nil {
			t.Fatal(err)
		}
		if done, err := app.reply(t, "frank", "EMAIL_OTP", first.Session, "EMAIL_OTP_CODE", app.signInCode(t, "EMAIL")); err != nil || done.AuthenticationResult == nil {
			t.Errorf("%+v %v", done, err)
		}
	})
}

func TestSignInPolicy(t *testing.T) {
	ts := newTestServerSQLite(t)
	for _, c := range []struct {
		factors, tier string
		sms           bool
		code          string
	}{
		{"PES", "", true, ""},
		{"PE", "PLUS", false, ""},
		{"P", "LITE", false, ""},
		{"PE", "LITE", false, "FeatureUnavailableInTierException"},
		{"PS", "", false, "InvalidParameterException"},
		{"E", "", false, "InvalidParameterException"},
		{"W", "", false, "InvalidParameterException"},
		{"PW", "", false, ""},
		{"PW", "LITE", false, "FeatureUnavailableInTierException"},
	} {
		in := &cip.CreateUserPoolInput{PoolName: aws.String("test"), UserPoolTier: types.UserPoolTierType(c.tier)}
		choosing(c.factors)(in, &cip.CreateUserPoolClientInput{})
		if !c.sms {
			in.SmsConfiguration = nil
		}
		out, err := ts.sdk.CreateUserPool(t.Context(), in)
		switch {
		case c.code != "":
			wantError(t, c.factors, err, c.code, "")
		case err != nil:
			t.Errorf("%s: %v", c.factors, err)
		case !slices.Equal(out.UserPool.Policies.SignInPolicy.AllowedFirstAuthFactors, in.Policies.SignInPolicy.AllowedFirstAuthFactors):
			t.Errorf("%s: %v", c.factors, out.UserPool.Policies.SignInPolicy)
		}
	}
}
