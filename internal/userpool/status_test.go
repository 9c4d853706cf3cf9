package userpool

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
)

// TestStatusMachine has everything happen to users in every status: to which status it leads, or how it is refused
// (developer guide, "User account status", and what the live service answers).
func TestStatusMachine(t *testing.T) {
	const (
		notNow       = "NotAuthorizedException: User password cannot be reset in the current state."
		noAddress    = "InvalidParameterException: Cannot reset password for the user as there is no registered/verified email or phone_number"
		confirmed    = "InvalidParameterException: User is already confirmed."
		expiredCode  = "ExpiredCodeException: Invalid code provided, please request a code again."
		resetFirst   = "PasswordResetRequiredException: Password reset required for the user"
		confirmFirst = "UserNotConfirmedException: User is not confirmed."
	)
	notUnconfirmed := func(status string) string {
		return "NotAuthorizedException: User cannot be confirmed. Current status is " + status
	}
	noResend := func(name string) string {
		return "UnsupportedUserStateException: Resend not possible. " + name + " status is not FORCE_CHANGE_PASSWORD"
	}
	statuses := []string{"UNCONFIRMED", "CONFIRMED", "FORCE_CHANGE_PASSWORD", "RESET_REQUIRED", "EXTERNAL_PROVIDER"}
	// What an event leads to, by the status before: a status, or an error. "" is the status before.
	table := map[string]map[string]string{
		"ConfirmSignUp":      {"UNCONFIRMED": "CONFIRMED"},
		"AdminConfirmSignUp": {"UNCONFIRMED": "CONFIRMED"},
		"ResendConfirmationCode": {"UNCONFIRMED": "", "CONFIRMED": confirmed, "FORCE_CHANGE_PASSWORD": confirmed, "RESET_REQUIRED": confirmed,
			"EXTERNAL_PROVIDER": confirmed},
		"ForgotPassword":         {"UNCONFIRMED": noAddress, "CONFIRMED": "", "FORCE_CHANGE_PASSWORD": notNow, "RESET_REQUIRED": "", "EXTERNAL_PROVIDER": notNow},
		"ConfirmForgotPassword":  {"UNCONFIRMED": expiredCode, "CONFIRMED": "CONFIRMED", "FORCE_CHANGE_PASSWORD": expiredCode, "RESET_REQUIRED": "CONFIRMED", "EXTERNAL_PROVIDER": expiredCode},
		"AdminResetUserPassword": {"UNCONFIRMED": notNow, "CONFIRMED": "RESET_REQUIRED", "FORCE_CHANGE_PASSWORD": notNow, "RESET_REQUIRED": "RESET_REQUIRED", "EXTERNAL_PROVIDER": notNow},
		"permanent":              {"UNCONFIRMED": "CONFIRMED", "CONFIRMED": "CONFIRMED", "FORCE_CHANGE_PASSWORD": "CONFIRMED", "RESET_REQUIRED": "CONFIRMED", "EXTERNAL_PROVIDER": "CONFIRMED"},
		"temporary": {"UNCONFIRMED": "FORCE_CHANGE_PASSWORD", "CONFIRMED": "FORCE_CHANGE_PASSWORD", "FORCE_CHANGE_PASSWORD": "FORCE_CHANGE_PASSWORD", "RESET_REQUIRED": "FORCE_CHANGE_PASSWORD",
			"EXTERNAL_PROVIDER": "FORCE_CHANGE_PASSWORD"},
		"resend":  {"FORCE_CHANGE_PASSWORD": ""},
		"disable": {"UNCONFIRMED": "", "CONFIRMED": "", "FORCE_CHANGE_PASSWORD": "", "RESET_REQUIRED": "", "EXTERNAL_PROVIDER": ""},
		"enable":  {"UNCONFIRMED": "", "CONFIRMED": "", "FORCE_CHANGE_PASSWORD": "", "RESET_REQUIRED": "", "EXTERNAL_PROVIDER": ""},
		"sign in": {"UNCONFIRMED": confirmFirst, "CONFIRMED": "tokens", "FORCE_CHANGE_PASSWORD": "NEW_PASSWORD_REQUIRED", "RESET_REQUIRED": resetFirst},
	}
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		ctx := t.Context()
		// become makes a user with that status; the status of federated users is set by hand, since none has signed in here.
		become := func(name, status string) {
			t.Helper()
			switch status {
			case "UNCONFIRMED":
				app.signUp(t, name)
			case "FORCE_CHANGE_PASSWORD":
				_, err := ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, TemporaryPassword: aws.String(testPassword),
					UserAttributes: attributes("email", name+"@example.com", "email_verified", "true"), DesiredDeliveryMediums: []types.DeliveryMediumType{"EMAIL"}})
				noError(t, err)
			default:
				app.person(t, name, "email", name+"@example.com", "email_verified", "true")
			}
			switch status {
			case "RESET_REQUIRED":
				noError(t, second(ts.sdk.AdminResetUserPassword(ctx, &cip.AdminResetUserPasswordInput{UserPoolId: &app.pool, Username: &name})))
			case "EXTERNAL_PROVIDER":
				noError(t, ts.DB.Tx(ctx, func(tx *db.Tx) error {
					return second(tx.ExecContext(ctx, `UPDATE users SET status = 'EXTERNAL_PROVIDER', salt = NULL, verifier = NULL, password_set = 0 WHERE pool_id = $1 AND username_key = $2`, app.pool, name))
				}))
			}
		}
		happen := func(event, name, status string) (string, error) {
			user := &name
			switch event {
			case "ConfirmSignUp":
				code := "000000"
				if status == "UNCONFIRMED" {
					code = app.outbox.code(t)
				}
				return "", app.confirm(t, name, code)
			case "AdminConfirmSignUp":
				return "", second(ts.sdk.AdminConfirmSignUp(ctx, &cip.AdminConfirmSignUpInput{UserPoolId: &app.pool, Username: user}))
			case "ResendConfirmationCode":
				return "", second(app.resend(t, name))
			case "ForgotPassword":
				return "", second(app.forgot(t, name))
			case "ConfirmForgotPassword":
				code := "000000"
				if status == "CONFIRMED" || status == "RESET_REQUIRED" {
					app.outbox.take()
					noError(t, second(app.forgot(t, name)))
					code = app.outbox.code(t)
				}
				return "", app.confirmForgot(t, name, code, newPassword)
			case "AdminResetUserPassword":
				return "", second(ts.sdk.AdminResetUserPassword(ctx, &cip.AdminResetUserPasswordInput{UserPoolId: &app.pool, Username: user}))
			case "permanent", "temporary":
				return "", second(ts.sdk.AdminSetUserPassword(ctx, &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: user, Password: aws.String(newPassword), Permanent: event == "permanent"}))
			case "resend":
				return "", second(ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: user, MessageAction: "RESEND", DesiredDeliveryMediums: []types.DeliveryMediumType{"EMAIL"}}))
			case "disable":
				return "", second(ts.sdk.AdminDisableUser(ctx, &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: user}))
			case "enable":
				return "", second(ts.sdk.AdminEnableUser(ctx, &cip.AdminEnableUserInput{UserPoolId: &app.pool, Username: user}))
			}
			out, err := app.password(t, name, testPassword)
			if err != nil {
				return "", err
			}
			if out.AuthenticationResult != nil {
				return "tokens", nil
			}
			return string(out.ChallengeName), nil
		}
		n := 0
		for event, want := range table {
			for _, status := range statuses {
				n++
				name := fmt.Sprint("user", n)
				app.outbox.take()
				become(name, status)
				want, listed := want[status]
				switch {
				case listed:
				case event == "resend":
					want = noResend(name)
				case event == "sign in":
					want = "NotAuthorizedException: Incorrect username or password."
				default:
					want = notUnconfirmed(status)
				}
				got, err := happen(event, name, status)
				after, lookup := app.adminGet(t, name)
				noError(t, lookup)
				switch {
				case err != nil:
					got = errorText(err)
					if string(after.UserStatus) != status {
						t.Errorf("%s of a user who is %s was refused, and made him %s", event, status, after.UserStatus)
					}
				case got == "":
					got = string(after.UserStatus)
				}
				if want == "" {
					want = status
				}
				if got != want || after.Enabled == (event == "disable") {
					t.Errorf("%s of a user who is %s: %s, want %s; enabled %v", event, status, got, want, after.Enabled)
				}
			}
		}
	})
}

// TestRefreshRaces: many use one refresh token at once. Within the time of grace all go on with the same successor; without
// grace one does, the others are thieves, and the sign-in is over for all.
func TestRefreshRaces(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		for _, grace := range []int32{0, 10} {
			app := ts.newApp(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
				c.ExplicitAuthFlows = []types.ExplicitAuthFlowsType{"ALLOW_USER_PASSWORD_AUTH"}
				c.RefreshTokenRotation = &types.RefreshTokenRotationType{Feature: "ENABLED", RetryGracePeriodSeconds: &grace}
			})
			app.person(t, "ann")
			token := app.signIn(t, "ann", testPassword).RefreshToken
			refresh := func(token *string) (*string, error) {
				out, err := ts.sdk.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: token})
				if err != nil {
					return nil, err
				}
				return out.AuthenticationResult.RefreshToken, nil
			}
			next := make(chan *string, 16)
			results := make(chan error, 16)
			for range 16 {
				go func() {
					successor, err := refresh(token)
					if err == nil {
						next <- successor
					}
					results <- err
				}()
			}
			for range 16 {
				if err := <-results; err != nil {
					switch text := errorText(err); {
					case grace == 0 && (text == "RefreshTokenReuseException: Refresh token has been reused." || text == "NotAuthorizedException: Refresh Token has been revoked"):
					default:
						t.Errorf("grace %d: %s", grace, text)
					}
				}
			}
			close(next)
			var last *string
			won := 0
			for last = range next {
				won++
			}
			if want := map[int32]int{0: 1, 10: 16}[grace]; won != want {
				t.Errorf("grace %d: %d of 16 got tokens, want %d", grace, won, want)
			}
			_, err := refresh(last)
			if grace == 0 {
				wantError(t, "after the theft", err, "NotAuthorizedException", "Refresh Token has been revoked")
			} else if err != nil {
				t.Errorf("the successor: %v", err)
			}
		}
	})
}

// TestSignUpRaces: one address is the name of one user, however many sign up with it at once.
func TestSignUpRaces(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, usernames("email"), caseInsensitive)
		if n := winners(t, 64, "UsernameExistsException", func(ctx context.Context, i int) error {
			name := []string{"ann@example.com", "Ann@Example.com"}[i%2]
			return second(ts.sdk.SignUp(ctx, &cip.SignUpInput{ClientId: &app.app, Username: &name, Password: aws.String(testPassword)}))
		}); n != 1 {
			t.Errorf("%d of 64 signed up with one address", n)
		}
		if sent := app.outbox.take(); len(sent) != 1 {
			t.Errorf("%d messages", len(sent))
		}
		aliased := ts.newApp(t, aliases("email"))
		codes := make([]string, 64)
		for i := range codes {
			name := fmt.Sprint("user", i)
			noError(t, second(ts.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &aliased.app, Username: &name, Password: aws.String(testPassword), UserAttributes: attributes("email", "same@example.com")})))
			codes[i] = ts.outbox.code(t)
		}
		if n := winners(t, 64, "AliasExistsException", func(_ context.Context, i int) error { return aliased.confirm(t, fmt.Sprint("user", i), codes[i]) }); n != 1 {
			t.Errorf("%d of 64 verified one address", n)
		}
	})
}
