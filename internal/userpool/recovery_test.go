package userpool

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
	"github.com/aws/smithy-go"
)

func (app *testApp) forgot(tb testing.TB, name string) (*types.CodeDeliveryDetailsType, error) {
	out, err := app.sdk.ForgotPassword(tb.Context(), &cip.ForgotPasswordInput{ClientId: &app.app, SecretHash: app.hash(name), Username: &name})
	if err != nil {
		return nil, err
	}
	return out.CodeDeliveryDetails, nil
}

func (app *testApp) confirmForgot(tb testing.TB, name, code, password string) error {
	_, err := app.sdk.ConfirmForgotPassword(tb.Context(), &cip.ConfirmForgotPasswordInput{ClientId: &app.app, SecretHash: app.hash(name), Username: &name, ConfirmationCode: &code, Password: &password})
	return err
}

func (app *testApp) resend(tb testing.TB, name string) (*types.CodeDeliveryDetailsType, error) {
	out, err := app.sdk.ResendConfirmationCode(tb.Context(), &cip.ResendConfirmationCodeInput{ClientId: &app.app, SecretHash: app.hash(name), Username: &name})
	if err != nil {
		return nil, err
	}
	return out.CodeDeliveryDetails, nil
}

// notCode returns n codes that are not code.
func notCode(code string, n int) []string {
	var wrong []string
	for i := 0; len(wrong) < n; i++ {
		if c := fmt.Sprintf("%06d", i); c != code {
			wrong = append(wrong, c)
		}
	}
	return wrong
}

const (
	mismatch = "Invalid verification code provided, please try again."
	expired  = "Invalid code provided, please request a code again."
	attempts = "Attempt limit exceeded, please try after some time."
)

func TestForgotPassword(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.user(t, "alice")
		details, err := app.forgot(t, "alice")
		if err != nil || *details.Destination != "a***@e***" || details.DeliveryMedium != "EMAIL" || *details.AttributeName != "email" {
			t.Fatalf("%+v %v", details, err)
		}
		message := ts.outbox.sent[0]
		if message.To != "alice@example.com" || message.Medium != "EMAIL" || message.Purpose != "forgot-password" || message.Subject != "Your verification code" || message.PoolID != app.pool || message.Username != "alice" {
			t.Errorf("message %+v", message)
		}
		code := ts.outbox.code(t)
		if message.Body != "Your verification code is "+code+"." {
			t.Errorf("body %q", message.Body)
		}
		wantError(t, "weak password", app.confirmForgot(t, "alice", code, "short"), "InvalidPasswordException", "")
		wantError(t, "wrong code", app.confirmForgot(t, "alice", notCode(code, 1)[0], newPassword), "CodeMismatchException", mismatch)
		app.signIn(t, "alice", testPassword) // until it is replaced
		if err := app.confirmForgot(t, "alice", code, newPassword); err != nil {
			t.Fatal(err)
		}
		wantError(t, "the code again", app.confirmForgot(t, "alice", code, testPassword), "ExpiredCodeException", expired)
		app.signIn(t, "alice", newPassword)
		_, err = app.password(t, "alice", testPassword)
		wantError(t, "old password", err, "NotAuthorizedException", "Incorrect username or password.")

		_, err = app.forgot(t, "nobody")
		wantError(t, "unknown user", err, "UserNotFoundException", "Username/client id combination not found.")
		wantError(t, "unknown user", app.confirmForgot(t, "nobody", "123456", newPassword), "UserNotFoundException", "Username/client id combination not found.")

		// A new code replaces the old one, and each lives for an hour.
		ts.clock.advance(time.Hour)
		app.forgot(t, "alice")
		first := ts.outbox.code(t)
		app.forgot(t, "alice")
		second := ts.outbox.code(t)
		if first != second {
			wantError(t, "replaced code", app.confirmForgot(t, "alice", first, testPassword), "CodeMismatchException", mismatch)
		}
		ts.clock.advance(time.Hour)
		wantError(t, "code after an hour", app.confirmForgot(t, "alice", second, testPassword), "ExpiredCodeException", expired)

		// 20 requests and answers together in an hour.
		ts.clock.advance(time.Hour)
		for i := range 20 {
			var err error
			if i%2 == 0 {
				_, err = app.forgot(t, "alice")
			} else {
				err = app.confirmForgot(t, "alice", "x", testPassword)
			}
			if err != nil && !strings.Contains(err.Error(), "CodeMismatch") {
				t.Fatal(i, err)
			}
		}
		_, err = app.forgot(t, "alice")
		wantError(t, "21st", err, "LimitExceededException", attempts)
		wantError(t, "22nd", app.confirmForgot(t, "alice", "x", testPassword), "LimitExceededException", attempts)
		ts.clock.advance(time.Hour)
		if _, err := app.forgot(t, "alice"); err != nil {
			t.Error(err)
		}

		// Who cannot recover.
		app.signUp(t, "new")
		_, err = app.forgot(t, "new")
		wantError(t, "nothing verified", err, "InvalidParameterException", "Cannot reset password for the user as there is no registered/verified email or phone_number")
		_, err = ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("temporary"), TemporaryPassword: aws.String(testPassword), MessageAction: "SUPPRESS",
			UserAttributes: attributes("email", "t@example.com", "email_verified", "true")})
		if err != nil {
			t.Fatal(err)
		}
		_, err = app.forgot(t, "temporary")
		wantError(t, "temporary password", err, "NotAuthorizedException", "User password cannot be reset in the current state.")
		_, err = ts.sdk.AdminResetUserPassword(t.Context(), &cip.AdminResetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("temporary")})
		wantError(t, "temporary password", err, "NotAuthorizedException", "User password cannot be reset in the current state.")
		if _, err := ts.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: aws.String("alice")}); err != nil {
			t.Fatal(err)
		}
		_, err = app.forgot(t, "alice")
		wantError(t, "disabled", err, "NotAuthorizedException", "User is disabled.")
		wantError(t, "disabled", app.confirmForgot(t, "alice", "123456", newPassword), "NotAuthorizedException", "User is disabled.")
	})
}

func TestRecoveryOrder(t *testing.T) {
	ts := newTestServer(t, openSQLite(t))
	mechanism := func(names ...string) func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {
		return func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			if names == nil {
				return
			}
			p.AccountRecoverySetting = &types.AccountRecoverySettingType{}
			for i, name := range names {
				p.AccountRecoverySetting.RecoveryMechanisms = append(p.AccountRecoverySetting.RecoveryMechanisms, types.RecoveryOptionType{Name: types.RecoveryOptionNameType(name), Priority: aws.Int32(int32(i + 1))})
			}
		}
	}
	both := attributes("email", "a@example.com", "email_verified", "true", "phone_number", "+4912345678", "phone_number_verified", "true")
	for _, c := range []struct {
		name       string
		mechanisms []string
		attributes []types.AttributeType
		want       string // medium, or the error's message
	}{
		{"default", nil, both, "SMS"},
		{"default, phone unverified", nil, append(both[:3:3], attributes("phone_number_verified", "false")...), "EMAIL"},
		{"e-mail first", []string{"verified_email", "verified_phone_number"}, both, "EMAIL"},
		{"phone first", []string{"verified_phone_number", "verified_email"}, both, "SMS"},
		{"phone only, none", []string{"verified_phone_number"}, both[:2], "Cannot reset password for the user as there is no registered/verified email or phone_number"},
		{"administrator", []string{"admin_only"}, both, "Contact administrator to reset password."},
	} {
		app := ts.newApp(t, mechanism(c.mechanisms...))
		ctx := t.Context()
		_, err := ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("alice"), MessageAction: "SUPPRESS", UserAttributes: c.attributes})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ts.sdk.AdminSetUserPassword(ctx, &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("alice"), Password: aws.String(testPassword), Permanent: true}); err != nil {
			t.Fatal(err)
		}
		details, err := app.forgot(t, "alice")
		switch {
		case err == nil && string(details.DeliveryMedium) != c.want:
			t.Errorf("%s: by %s, want %s", c.name, details.DeliveryMedium, c.want)
		case err != nil && !strings.HasSuffix(err.Error(), c.want):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestChangePassword(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.user(t, "alice")
		r := app.signIn(t, "alice", testPassword)
		change := func(old, proposed string) error {
			_, err := ts.sdk.ChangePassword(t.Context(), &cip.ChangePasswordInput{AccessToken: r.AccessToken, PreviousPassword: &old, ProposedPassword: &proposed})
			return err
		}
		wantError(t, "weak password", change(testPassword, "short"), "InvalidPasswordException", "")
		wantError(t, "wrong password", change(newPassword, newPassword), "NotAuthorizedException", "Incorrect username or password.")
		_, err := ts.sdk.ChangePassword(t.Context(), &cip.ChangePasswordInput{AccessToken: r.AccessToken, ProposedPassword: aws.String(newPassword)})
		wantError(t, "no password", err, "InvalidParameterException", "Missing required parameter PreviousPassword")
		if err := change(testPassword, newPassword); err != nil {
			t.Fatal(err)
		}
		app.signIn(t, "alice", newPassword)
		if _, err := app.srp(t, "alice", newPassword); err != nil {
			t.Error(err)
		}
		_, err = app.password(t, "alice", testPassword)
		wantError(t, "old password", err, "NotAuthorizedException", "Incorrect username or password.")
		if _, err := app.getUser(t, r.AccessToken); err != nil {
			t.Error("token from before the change:", err)
		}
		for range 3 {
			wantError(t, "wrong password", change(testPassword, testPassword), "NotAuthorizedException", "Incorrect username or password.")
		}
		wantError(t, "sixth attempt", change(newPassword, testPassword), "LimitExceededException", attempts)
		ts.clock.advance(59 * time.Minute)
		wantError(t, "within the hour", change(newPassword, testPassword), "LimitExceededException", attempts)
		ts.clock.advance(time.Minute)
		r = app.signIn(t, "alice", newPassword)
		if err := change(newPassword, testPassword); err != nil {
			t.Error(err)
		}
	})
}

func TestConfirmationCodes(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.signUp(t, "alice")
		code := ts.outbox.code(t)
		for _, wrong := range notCode(code, 15) {
			wantError(t, "wrong code", app.confirm(t, "alice", wrong), "CodeMismatchException", mismatch)
		}
		wantError(t, "right code after 15 wrong ones", app.confirm(t, "alice", code), "LimitExceededException", attempts)
		if _, err := app.resend(t, "alice"); err != nil { // a new code does not buy new tries
			t.Fatal(err)
		}
		code = ts.outbox.code(t)
		wantError(t, "right new code", app.confirm(t, "alice", code), "LimitExceededException", attempts)
		ts.clock.advance(time.Hour)
		if err := app.confirm(t, "alice", code); err != nil {
			t.Error(err)
		}
		_, err := app.resend(t, "alice")
		wantError(t, "resend to a confirmed user", err, "InvalidParameterException", "User is already confirmed.")

		app.signUp(t, "bob")
		code = ts.outbox.code(t)
		ts.clock.advance(24 * time.Hour)
		wantError(t, "code after a day", app.confirm(t, "bob", code), "ExpiredCodeException", expired)
		for range 5 {
			details, err := app.resend(t, "bob")
			if err != nil || *details.Destination != "b***@e***" {
				t.Fatal(details, err)
			}
			code = ts.outbox.code(t)
		}
		_, err = app.resend(t, "bob")
		wantError(t, "sixth resend", err, "LimitExceededException", attempts)
		if err := app.confirm(t, "bob", code); err != nil {
			t.Error(err)
		}
		_, err = app.resend(t, "nobody")
		wantError(t, "resend to nobody", err, "UserNotFoundException", "Username/client id combination not found.")

		silent := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) { p.AutoVerifiedAttributes = nil })
		if out := silent.signUp(t, "carol"); out.CodeDeliveryDetails != nil || len(ts.outbox.take()) != 0 {
			t.Errorf("pool without verification sent a code: %+v", out.CodeDeliveryDetails)
		}
		_, err = silent.resend(t, "carol")
		wantError(t, "resend without verification", err, "InvalidParameterException", "Cannot resend codes. Auto verification not turned on.")
	})
}

func TestSignUpRefusals(t *testing.T) {
	ts := newTestServer(t, openSQLite(t))
	app := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.Schema = []types.SchemaAttributeType{{Name: aws.String("name"), AttributeDataType: "String", Required: aws.Bool(true), Mutable: aws.Bool(true)}}
	})
	narrow := app.anotherClient(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
		c.WriteAttributes = []string{"email", "name"}
	})
	closed := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.AdminCreateUserConfig = &types.AdminCreateUserConfigType{AllowAdminCreateUserOnly: true}
	})
	full := attributes("name", "A", "email", "a@example.com")
	for _, c := range []struct {
		what          string
		app           *testApp
		name          string
		password      *string
		attributes    []types.AttributeType
		code, message string
	}{
		{"closed pool", closed, "alice", aws.String(testPassword), nil, "NotAuthorizedException", "SignUp is not permitted for this user pool"},
		{"weak password", app, "alice", aws.String("Short1!"), full, "InvalidPasswordException", "Password did not conform with policy: Password not long enough"},
		{"no password", app, "alice", nil, full, "InvalidParameterException", ""},
		{"required attribute", app, "alice", aws.String(testPassword), full[1:], "InvalidParameterException", ""},
		{"unknown attribute", app, "alice", aws.String(testPassword), append(full[:2:2], attributes("custom:x", "1")...), "NotAuthorizedException", ""},
		{"verified by himself", app, "alice", aws.String(testPassword), append(full[:2:2], attributes("email_verified", "true")...), "NotAuthorizedException", "A client attempted to write unauthorized attribute"},
		{"sub", app, "alice", aws.String(testPassword), append(full[:2:2], attributes("sub", "x")...), "NotAuthorizedException", "A client attempted to write unauthorized attribute"},
		{"not writable", narrow, "alice", aws.String(testPassword), append(full[:2:2], attributes("nickname", "x")...), "NotAuthorizedException", "A client attempted to write unauthorized attribute"},
		{"bad address", app, "alice", aws.String(testPassword), attributes("name", "A", "email", "nowhere"), "InvalidParameterException", "Invalid email address format."},
		{"blank in the name", app, "a b", aws.String(testPassword), full, "InvalidParameterException", ""},
	} {
		_, err := ts.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &c.app.app, Username: &c.name, Password: c.password, UserAttributes: c.attributes})
		if c.what == "unknown attribute" {
			if err == nil {
				t.Error("unknown attribute accepted")
			}
			continue
		}
		wantError(t, c.what, err, c.code, c.message)
	}
	preferred := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.AliasAttributes = []types.AliasAttributeType{"preferred_username"}
	})
	_, err := ts.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &preferred.app, Username: aws.String("alice"), Password: aws.String(testPassword), UserAttributes: attributes("preferred_username", "al")})
	wantError(t, "alias before confirmation", err, "InvalidParameterException", "")
	if sent := ts.outbox.take(); len(sent) != 0 {
		t.Errorf("refused sign-ups sent %+v", sent)
	}
}

func TestHiddenExistence(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, hidden)
		app.user(t, "alice")
		app.user(t, "disabled")
		app.signUp(t, "unconfirmed")
		if _, err := ts.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: aws.String("disabled")}); err != nil {
			t.Fatal(err)
		}
		names := []string{"alice", "disabled", "unconfirmed", "nobody"}
		const wrong = "Incorrect username or password."
		lengths := map[string]int{}
		for _, name := range names {
			_, err := app.password(t, name, newPassword)
			wantError(t, name+" by password", err, "NotAuthorizedException", wrong)
			_, err = app.srp(t, name, newPassword)
			wantError(t, name+" by SRP", err, "NotAuthorizedException", wrong)
			_, one, err := app.startSRP(t, name)
			if err != nil {
				t.Fatal(err)
			}
			_, two, err := app.startSRP(t, name)
			if err != nil {
				t.Fatal(err)
			}
			a, b := one.ChallengeParameters, two.ChallengeParameters
			if a["SALT"] != b["SALT"] || a["USER_ID_FOR_SRP"] != b["USER_ID_FOR_SRP"] || a["USER_ID_FOR_SRP"] != name || a["SRP_B"] == b["SRP_B"] || a["SECRET_BLOCK"] == b["SECRET_BLOCK"] {
				t.Errorf("%s: challenges %v %v", name, a, b)
			}
			if len(a) != 5 || len(a["SALT"]) != 32 {
				t.Errorf("%s: %v", name, a)
			}
			lengths[name] = len(a["SECRET_BLOCK"])
			if one.Session != nil {
				t.Error("session with SRP")
			}
		}
		if lengths["alice"] != lengths["nobody"] || lengths["disabled"] != lengths["nobody"] {
			t.Errorf("lengths of secret blocks: %v", lengths)
		}

		for _, name := range names {
			wantError(t, name+": reset without a code", app.confirmForgot(t, name, "123456", newPassword), "ExpiredCodeException", expired)
			details, err := app.forgot(t, name)
			if err != nil || details.DeliveryMedium != "EMAIL" || *details.AttributeName != "email" || len(*details.Destination) != len("a***@e***") {
				t.Fatalf("%s: ForgotPassword %+v %v", name, details, err)
			}
			again, err := app.forgot(t, name)
			if err != nil || *again.Destination != *details.Destination {
				t.Errorf("%s: %v, then %v", name, details, again)
			}
			wantError(t, name+": wrong code", app.confirmForgot(t, name, "x", newPassword), "CodeMismatchException", mismatch)
			for n := 4; n < 20; n++ {
				app.forgot(t, name)
			}
			_, err = app.forgot(t, name)
			wantError(t, name+": too often", err, "LimitExceededException", attempts)
		}
		ts.outbox.take()
		for _, name := range []string{"alice", "nobody"} { // confirmed and unknown
			wantError(t, name+": confirmation", app.confirm(t, name, "123456"), "ExpiredCodeException", expired)
			for range 5 {
				if _, err := app.resend(t, name); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			_, err := app.resend(t, name)
			wantError(t, name+": too often", err, "LimitExceededException", attempts)
			for range 14 {
				wantError(t, name+": confirmation", app.confirm(t, name, "x"), "CodeMismatchException", mismatch)
			}
			wantError(t, name+": confirmation", app.confirm(t, name, "x"), "LimitExceededException", attempts)
		}
		if sent := ts.outbox.take(); len(sent) != 0 {
			t.Errorf("messages for nobody: %+v", sent)
		}
		// Names with the form of an address answer with that address.
		details, err := app.forgot(t, "someone@elsewhere.org")
		if err != nil || *details.Destination != "s***@e***" {
			t.Errorf("%+v %v", details, err)
		}

		loud := app.anotherClient(t)
		_, err = loud.password(t, "nobody", newPassword)
		wantError(t, "client that tells", err, "UserNotFoundException", "User does not exist.")
		_, err = loud.srp(t, "nobody", newPassword)
		wantError(t, "client that tells, SRP", err, "UserNotFoundException", "User does not exist.")
		_, err = loud.password(t, "disabled", testPassword)
		wantError(t, "client that tells, disabled", err, "NotAuthorizedException", "User is disabled.")
	})
}

// errorText is the code and the message of an AWS error.
func errorText(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return err.Error()
}

// A burst of guesses gets no more of them checked than the lockout allows, and some that were under way.
func TestBurstOfGuesses(t *testing.T) {
	ts := newTestServer(t, openSQLite(t))
	app := ts.newApp(t)
	app.user(t, "alice")
	var wait sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for range 64 {
		wait.Go(func() {
			_, err := app.password(t, "alice", newPassword)
			mu.Lock()
			defer mu.Unlock()
			answers[errorText(err)]++
		})
	}
	wait.Wait()
	if n := answers["NotAuthorizedException: Incorrect username or password."]; n < freeFailures || n > freeFailures+attemptsAtOnce-1 || n+answers["NotAuthorizedException: Password attempts exceeded"] != 64 {
		t.Errorf("answers %v", answers)
	}
	if len(ts.auth.attempts.names) != 0 {
		t.Errorf("%d turns left over", len(ts.auth.attempts.names))
	}
}

func TestRaces(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		race := func(n int, do func(i int) error) (won int, errs map[string]int) {
			var wait sync.WaitGroup
			var mu sync.Mutex
			errs = map[string]int{}
			for i := range n {
				wait.Go(func() {
					err := do(i)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						won++
					} else {
						errs[errorText(err)]++
					}
				})
			}
			wait.Wait()
			return won, errs
		}
		const n = 64
		name := "alice"
		won, errs := race(n, func(int) error {
			_, err := ts.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, Username: &name, Password: aws.String(testPassword), UserAttributes: attributes("email", "alice@example.com")})
			return err
		})
		if won != 1 || errs["UsernameExistsException: User already exists"] != n-1 {
			t.Errorf("%d of %d sign-ups of one name won: %v", won, n, errs)
		}
		code := ts.outbox.code(t) // of the one that won
		won, errs = race(n, func(int) error { return app.confirm(t, name, code) })
		if won != 1 || errs["NotAuthorizedException: User cannot be confirmed. Current status is CONFIRMED"] != n-1 {
			t.Errorf("%d of %d confirmations with one code won: %v", won, n, errs)
		}
		app.signUp(t, "bob")
		code = ts.outbox.code(t)
		wrong := notCode(code, n)
		won, errs = race(n, func(i int) error { return app.confirm(t, "bob", wrong[i]) })
		if won != 0 || errs["CodeMismatchException: "+mismatch] != 15 || errs["LimitExceededException: "+attempts] != n-15 {
			t.Errorf("guesses at one code: %d won, %v", won, errs)
		}
		if _, err := app.forgot(t, name); err != nil {
			t.Fatal(err)
		}
		code = ts.outbox.code(t)
		won, errs = race(16, func(int) error { return app.confirmForgot(t, name, code, newPassword) })
		if won != 1 || errs["ExpiredCodeException: "+expired] != 15 {
			t.Errorf("%d resets with one code won: %v", won, errs)
		}

		// One answer to NEW_PASSWORD_REQUIRED, one answer to a secret block.
		if _, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("carol"), TemporaryPassword: aws.String(testPassword), MessageAction: "SUPPRESS"}); err != nil {
			t.Fatal(err)
		}
		out, err := app.password(t, "carol", testPassword)
		if err != nil {
			t.Fatal(err)
		}
		won, errs = race(16, func(int) error {
			_, err := app.respond(t, "NEW_PASSWORD_REQUIRED", out.Session, map[string]string{"USERNAME": "carol", "NEW_PASSWORD": newPassword})
			return err
		})
		if won != 1 || errs["NotAuthorizedException: Invalid session for the user, session can only be used once."] != 15 {
			t.Errorf("%d answers to one session won: %v", won, errs)
		}
		c, begun, err := app.startSRP(t, "carol")
		if err != nil {
			t.Fatal(err)
		}
		answer := c.answer(t, app.poolName(), newPassword, begun.ChallengeParameters, ts.clock.Now())
		won, errs = race(16, func(int) error { _, err := app.respond(t, "PASSWORD_VERIFIER", nil, answer); return err })
		if won != 1 || errs["NotAuthorizedException: Invalid session for the user, session can only be used once."] != 15 {
			t.Errorf("%d answers to one secret block won: %v", won, errs)
		}
	})
}

// Who has no code learns nothing of former passwords.
func TestHistoryNeedsCode(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.Policies = &types.UserPoolPolicyType{PasswordPolicy: &types.PasswordPolicyType{MinimumLength: aws.Int32(8), PasswordHistorySize: aws.Int32(3)}}
		})
		app.user(t, "alice")
		if _, err := app.forgot(t, "alice"); err != nil {
			t.Fatal(err)
		}
		code := ts.outbox.code(t)
		for _, password := range []string{testPassword, newPassword} {
			wantError(t, "wrong code", app.confirmForgot(t, "alice", notCode(code, 1)[0], password), "CodeMismatchException", mismatch)
		}
		wantError(t, "used password", app.confirmForgot(t, "alice", code, testPassword), "PasswordHistoryPolicyViolationException", "")
		if err := app.confirmForgot(t, "alice", code, newPassword); err != nil {
			t.Error("the code was lost with the refused password:", err)
		}
	})
}
