package userpool

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
)

var customWords = m{"smsMessage": "Sms says {####} to {username}", "emailMessage": "<b>{####}</b> for {username}", "emailSubject": "Hello"}

// TestCustomMessage has every operation that sends a message word it: with the source, the client, the metadata and the texts that
// it is to have, and without any effect when the function fails.
func TestCustomMessage(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		app := ts.newApp(t, choosing("PE"), sender, recoveredBy("verified_email"), triggers(types.LambdaConfigType{CustomMessage: function("words")}), func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.AutoVerifiedAttributes = []types.VerifiedAttributeType{"email", "phone_number"}
		})
		server.Handle("words", echo)
		ctx, meta := t.Context(), map[string]string{"app": "1"}
		token := func(name string) *string { return app.signIn(t, name, testPassword).AccessToken }
		for _, name := range []string{"ada", "bob", "carl", "dora"} {
			app.person(t, name, "email", name+"@example.com", "email_verified", "true")
		}
		if _, err := ts.sdk.SignUp(ctx, &cip.SignUpInput{ClientId: &app.app, Username: aws.String("unconfirmed"), Password: aws.String(testPassword), UserAttributes: attributes("email", "u@example.com")}); err != nil {
			t.Fatal(err)
		}
		ada, bob := token("ada"), token("bob")
		setUp := func(name string) { // a second factor
			app.person(t, name, "email", name+"@example.com", "email_verified", "true", "phone_number", "+15550100")
			if _, err := ts.sdk.AdminSetUserMFAPreference(ctx, &cip.AdminSetUserMFAPreferenceInput{UserPoolId: &app.pool, Username: &name, SMSMfaSettings: &types.SMSMfaSettingsType{Enabled: true}, EmailMfaSettings: &types.EmailMfaSettingsType{Enabled: true}}); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for _, c := range []struct {
			source, user string
			client       string // "" for an administrator's
			sms          bool
			meta         bool
			do           func() error
		}{
			{"SignUp", "new", app.app, false, true, func() error {
				n++
				_, err := ts.sdk.SignUp(ctx, &cip.SignUpInput{ClientId: &app.app, Username: aws.String("new" + strings.Repeat("w", n)), Password: aws.String(testPassword), UserAttributes: attributes("email", "new@example.com"), ClientMetadata: meta})
				return err
			}},
			{"SignUp", "new", app.app, true, false, func() error {
				n++
				_, err := ts.sdk.SignUp(ctx, &cip.SignUpInput{ClientId: &app.app, Username: aws.String("new" + strings.Repeat("w", n)), Password: aws.String(testPassword), UserAttributes: attributes("email", "new@example.com", "phone_number", "+15550100")})
				return err
			}},
			{"ResendCode", "unconfirmed", app.app, false, true, func() error {
				_, err := ts.sdk.ResendConfirmationCode(ctx, &cip.ResendConfirmationCodeInput{ClientId: &app.app, Username: aws.String("unconfirmed"), ClientMetadata: meta})
				return err
			}},
			{"AdminCreateUser", "invited", "", false, true, func() error {
				n++
				_, err := ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("invited<" + strings.Repeat("x", n)), TemporaryPassword: aws.String("Temp-Pass1&"), UserAttributes: attributes("email", "i@example.com"),
					ClientMetadata: meta, DesiredDeliveryMediums: []types.DeliveryMediumType{"EMAIL"}})
				return err
			}},
			{"ForgotPassword", "ada", app.app, false, true, func() error {
				_, err := ts.sdk.ForgotPassword(ctx, &cip.ForgotPasswordInput{ClientId: &app.app, Username: aws.String("ada"), ClientMetadata: meta})
				return err
			}},
			{"ForgotPassword", "carl", "", false, true, func() error {
				_, err := ts.sdk.AdminResetUserPassword(ctx, &cip.AdminResetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("carl"), ClientMetadata: meta})
				return err
			}},
			{"UpdateUserAttribute", "bob", app.app, false, true, func() error {
				n++
				_, err := ts.sdk.UpdateUserAttributes(ctx, &cip.UpdateUserAttributesInput{AccessToken: bob, UserAttributes: attributes("email", "bob"+strings.Repeat("b", n)+"@example.com"), ClientMetadata: meta})
				return err
			}},
			{"UpdateUserAttribute", "dora", "", true, true, func() error {
				n++
				_, err := ts.sdk.AdminUpdateUserAttributes(ctx, &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("dora"), UserAttributes: attributes("phone_number", fmt.Sprint("+1555010", 100+n)), ClientMetadata: meta})
				return err
			}},
			{"VerifyUserAttribute", "bob", app.app, false, true, func() error {
				_, err := ts.sdk.GetUserAttributeVerificationCode(ctx, &cip.GetUserAttributeVerificationCodeInput{AccessToken: bob, AttributeName: aws.String("email"), ClientMetadata: meta})
				return err
			}},
			{"Authentication", "ada", app.app, false, false, func() error {
				_, err := app.choose(t, "ada", "EMAIL_OTP")
				return err
			}},
		} {
			server.Events()
			app.outbox.take()
			for failure, want := range map[string]func(error){
				"throws": func(err error) {
					wantError(t, c.source, err, "UserLambdaValidationException", "CustomMessage failed with error No words.")
				},
				"forgets": func(err error) {
					wantError(t, c.source, err, "InvalidLambdaResponseException", "Unrecognizable lambda output")
				},
			} {
				server.Handle("words", throws("No words"))
				if failure == "forgets" {
					server.Handle("words", returns(m{"emailMessage": "No code", "smsMessage": "No code"}))
				}
				want(c.do())
				if sent := app.outbox.take(); len(sent) != 0 {
					t.Errorf("%s: %s, and yet: %+v", c.source, failure, sent)
				}
			}
			server.Events()
			server.Handle("words", returns(customWords))
			if err := c.do(); err != nil {
				t.Errorf("%s: %v", c.source, err)
				continue
			}
			events, sent := server.Events(), app.outbox.take()
			if len(events) != 1 || len(sent) != 1 {
				t.Errorf("%s: %d calls, %d messages: %v %v", c.source, len(events), len(sent), events, sent)
				continue
			}
			e, request := events[0], member(events[0], "request")
			client := c.client
			if client == "" {
				client = "CLIENT_ID_NOT_APPLICABLE"
			}
			if e["triggerSource"] != "CustomMessage_"+c.source || !strings.HasPrefix(e["userName"].(string), c.user) || member(e, "callerContext")["clientId"] != client {
				t.Errorf("%s: event %v", c.source, e)
			}
			wantMeta, wantName := any(nil), any(nil)
			if c.meta {
				wantMeta = m{"app": "1"}
			}
			if c.source == "AdminCreateUser" {
				wantName = "{username}"
			}
			if request["codeParameter"] != "{####}" || !reflect.DeepEqual(request["clientMetadata"], wantMeta) || !reflect.DeepEqual(request["usernameParameter"], wantName) || request["linkParameter"] != nil ||
				!reflect.DeepEqual(e["response"], m{"smsMessage": nil, "emailMessage": nil, "emailSubject": nil}) || len(member(request, "userAttributes")["sub"].(string)) != 36 {
				t.Errorf("%s: request %v response %v", c.source, request, e["response"])
			}
			text := strings.ReplaceAll(sent[0].Body, codePattern.FindString(sent[0].Body), "CODE")
			if c.source == "Authentication" {
				text = strings.ReplaceAll(sent[0].Body, signInCodePattern.FindString(sent[0].Body), "CODE")
			}
			want, subject := "<b>CODE</b> for {username}", "Hello"
			if c.sms {
				want, subject = "Sms says CODE to {username}", ""
			}
			if c.source == "AdminCreateUser" {
				text, want = sent[0].Body, "<b>Temp-Pass1&amp;</b> for invited&lt;"+strings.Repeat("x", n)
			}
			if text != want || sent[0].Subject != subject {
				t.Errorf("%s: %q %q, want %q", c.source, sent[0].Subject, sent[0].Body, want)
			}
		}

		// The attributes are those that an update leads to, and an update that sends nothing asks for nothing.
		server.Events()
		if _, err := ts.sdk.UpdateUserAttributes(ctx, &cip.UpdateUserAttributesInput{AccessToken: ada, UserAttributes: attributes("name", "Ada")}); err != nil || len(server.Events()) != 0 {
			t.Errorf("an update without a message: %v", err)
		}
		if _, err := ts.sdk.UpdateUserAttributes(ctx, &cip.UpdateUserAttributesInput{AccessToken: ada, UserAttributes: attributes("email", "countess@example.com")}); err != nil {
			t.Fatal(err)
		}
		if got := member(member(server.Events()[0], "request"), "userAttributes")["email"]; got != "countess@example.com" {
			t.Errorf("attributes of the event: %v", got)
		}

		// Unset texts are the pool's own.
		server.Handle("words", returns(m{"smsMessage": nil, "emailMessage": "", "emailSubject": "Mine"}))
		app.outbox.take()
		if _, err := app.forgot(t, "dora"); err != nil {
			t.Fatal(err)
		}
		if sent := app.outbox.take(); len(sent) != 1 || sent[0].Subject != "Mine" || !strings.HasPrefix(sent[0].Body, "Your verification code is ") {
			t.Errorf("%+v", sent)
		}

		// The second factor: InitiateAuth passes no metadata on, the answer to a challenge does.
		server.Handle("words", returns(customWords))
		mfa := ts.newApp(t, sender, recoveredBy("verified_email"), triggers(types.LambdaConfigType{CustomMessage: function("words")}))
		mfa.setMFA(t, "OPTIONAL", "SE")
		app = mfa
		setUp("grace")
		server.Events()
		app.outbox.take()
		choice := app.challenge(t, "grace", "SELECT_MFA_TYPE")
		if len(server.Events()) != 0 {
			t.Error("asked before there is anything to send")
		}
		if _, err := ts.sdk.RespondToAuthChallenge(ctx, &cip.RespondToAuthChallengeInput{ClientId: &app.app, ChallengeName: "SELECT_MFA_TYPE", Session: choice.Session,
			ChallengeResponses: map[string]string{"USERNAME": "grace", "ANSWER": "SMS_MFA"}, ClientMetadata: meta}); err != nil {
			t.Fatal(err)
		}
		events := server.Events()
		if len(events) != 1 || events[0]["triggerSource"] != "CustomMessage_Authentication" || !reflect.DeepEqual(member(events[0], "request")["clientMetadata"], m{"app": "1"}) {
			t.Errorf("second factor: %v", events)
		}
		if sent := app.outbox.take(); len(sent) != 1 || !strings.HasPrefix(sent[0].Body, "Sms says ") {
			t.Errorf("%+v", sent)
		}
	})
}

// TestCustomMessageAnswers checks what texts are taken.
func TestCustomMessageAnswers(t *testing.T) {
	ts := newTestServerSQLite(t)
	server := ts.functions(t)
	app := ts.newApp(t, triggers(types.LambdaConfigType{CustomMessage: function("words")}))
	server.Handle("words", echo)
	app.user(t, "ada")
	for _, c := range []struct {
		name   string
		answer any
		ok     bool
	}{
		{"nothing", m{}, true},
		{"null", nil, true},
		{"a list", []int{1}, false},
		{"a number", m{"emailMessage": 1}, false},
		{"the longest", m{"emailMessage": "{####}" + strings.Repeat("é", 19_994), "emailSubject": strings.Repeat("é", 140), "smsMessage": "{####}" + strings.Repeat("é", 134)}, true},
		{"too long a mail", m{"emailMessage": "{####}" + strings.Repeat("x", 19_995)}, false},
		{"too long a subject", m{"emailSubject": strings.Repeat("x", 141)}, false},
		{"too long an SMS", m{"smsMessage": "{####}" + strings.Repeat("x", 135)}, false},
		{"no code in the mail", m{"emailMessage": "###"}, false},
		{"no code in the SMS", m{"smsMessage": "####"}, false},
		{"a link where codes are sent", m{"emailMessage": "{##Click Here##}"}, false},
		{"a subject of two lines", m{"emailSubject": "Hello\r\nBcc: eve@example.com"}, false},
		{"a null character", m{"emailMessage": "{####}\x00"}, false},
	} {
		ts.clock.advance(time.Hour)
		server.Handle("words", func(e map[string]any) (any, error) { e["response"] = c.answer; return e, nil })
		_, err := app.forgot(t, "ada")
		if c.ok && err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !c.ok {
			wantError(t, c.name, err, "InvalidLambdaResponseException", "Unrecognizable lambda output")
		}
	}

	// An invitation must say who and, to one who has a password, with what; to another the name will do.
	invite := func(name, password string) error {
		in := &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, UserAttributes: attributes("email", "i@example.com"), DesiredDeliveryMediums: []types.DeliveryMediumType{"EMAIL"}}
		if password != "" {
			in.TemporaryPassword = &password
		}
		_, err := ts.sdk.AdminCreateUser(t.Context(), in)
		return err
	}
	server.Handle("words", returns(m{"emailMessage": "{####}"}))
	wantError(t, "no name", invite("ben", newPassword), "InvalidLambdaResponseException", "")
	server.Handle("words", returns(m{"emailMessage": "{username}"}))
	wantError(t, "no password", invite("ben", newPassword), "InvalidLambdaResponseException", "")
	app = ts.newApp(t, choosing("PE"), triggers(types.LambdaConfigType{CustomMessage: function("words")}))
	app.outbox.take()
	if err := invite("ben", ""); err != nil {
		t.Fatal(err)
	}
	if sent := app.outbox.take(); len(sent) != 1 || sent[0].Body != "ben" {
		t.Errorf("%+v", sent)
	}
}

// TestCustomMessageLimits: names that are taken, users without a message to come and limits that are used up reach no function;
// nor do names that nobody has, which take as long all the same.
func TestCustomMessageLimits(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		app := ts.newApp(t, hidden, triggers(types.LambdaConfigType{CustomMessage: function("words")}))
		const pause = 150 * time.Millisecond
		server.Handle("words", func(e map[string]any) (any, error) { time.Sleep(pause); return e, nil })
		app.user(t, "ada")
		server.Events()
		_, err := app.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, Username: aws.String("ada"), Password: aws.String(testPassword), UserAttributes: attributes("email", "x@example.com")})
		wantError(t, "taken", err, "UsernameExistsException", "User already exists")
		_, err = app.create(t, "ada", "email", "x@example.com")
		wantError(t, "taken", err, "UsernameExistsException", "User account already exists")
		start := time.Now()
		if _, err := app.forgot(t, "nobody"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < pause {
			t.Errorf("an unknown name is told apart by %v", took)
		}
		if events := server.Events(); len(events) != 0 {
			t.Errorf("calls: %v", events)
		}
		// A function that fails tells nothing either.
		server.Handle("words", throws("No words"))
		app.outbox.take()
		for _, name := range []string{"ada", "nobody"} {
			if to, err := app.forgot(t, name); err != nil || to == nil {
				t.Errorf("%s: %v %v", name, to, err)
			}
		}
		if sent := app.outbox.take(); len(sent) != 0 {
			t.Errorf("%+v", sent)
		}
		server.Handle("words", echo)
		app.signUp(t, "bob")
		for range 5 {
			if _, err := app.resend(t, "bob"); err != nil {
				t.Fatal(err)
			}
		}
		server.Events()
		_, err = app.resend(t, "bob")
		wantError(t, "limit", err, "LimitExceededException", "Attempt limit exceeded, please try after some time.")
		if events := server.Events(); len(events) != 0 {
			t.Errorf("calls beyond the limit: %v", events)
		}
	})
}
