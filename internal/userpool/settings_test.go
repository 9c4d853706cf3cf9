package userpool

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/notify"
)

// TestMessagesOfPool: messages have the texts and the senders that the pool sets, under either name.
func TestMessagesOfPool(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		for _, texts := range []func(*cip.CreateUserPoolInput){
			func(p *cip.CreateUserPoolInput) {
				p.EmailVerificationSubject, p.EmailVerificationMessage = aws.String("Prove it"), aws.String("mail {####}")
				p.SmsVerificationMessage = aws.String("text {####}")
			},
			func(p *cip.CreateUserPoolInput) {
				p.VerificationMessageTemplate = &types.VerificationMessageTemplateType{EmailSubject: aws.String("Prove it"),
					EmailMessage: aws.String("mail {####}"), SmsMessage: aws.String("text {####}")}
			},
		} {
			app := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
				p.AutoVerifiedAttributes = []types.VerifiedAttributeType{"email", "phone_number"}
				p.EmailConfiguration = &types.EmailConfigurationType{From: aws.String("Us <us@example.com>"), ReplyToEmailAddress: aws.String("reply@example.com")}
				p.AdminCreateUserConfig = &types.AdminCreateUserConfigType{InviteMessageTemplate: &types.MessageTemplateType{
					EmailSubject: aws.String("Welcome"), EmailMessage: aws.String("mail {username} {####}"), SMSMessage: aws.String("text {username} {####}")}}
				p.SmsConfiguration = testSMS
				texts(p)
			})
			ts.outbox.take()
			sent := func() notify.Message {
				t.Helper()
				list := ts.outbox.take()
				if len(list) != 1 {
					t.Fatalf("messages %+v", list)
				}
				return list[0]
			}
			app.signUp(t, "ann")
			if m := sent(); m.Subject != "Prove it" || !codeOnly("mail ", m.Body) || m.From != "Us <us@example.com>" || m.ReplyTo != "reply@example.com" {
				t.Errorf("e-mail %+v", m)
			}
			if _, err := ts.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, Username: aws.String("bob"), Password: aws.String(testPassword),
				UserAttributes: attributes("phone_number", "+15550001234")}); err != nil {
				t.Fatal(err)
			}
			if m := sent(); m.Subject != "" || !codeOnly("text ", m.Body) || m.Medium != "SMS" || m.From != "" {
				t.Errorf("SMS %+v", m)
			}
			for medium, want := range map[types.DeliveryMediumType]string{"EMAIL": "mail carol Temporary-1", "SMS": "text carol Temporary-1"} {
				if _, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("carol"), TemporaryPassword: aws.String("Temporary-1"),
					DesiredDeliveryMediums: []types.DeliveryMediumType{medium}, UserAttributes: attributes("email", "carol@example.com", "phone_number", "+15550001234")}); err != nil {
					t.Fatal(err)
				}
				if m := sent(); m.Body != want || (m.Subject == "Welcome") != (medium == "EMAIL") {
					t.Errorf("invitation by %s: %+v", medium, m)
				}
				if _, err := ts.sdk.AdminDeleteUser(t.Context(), &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: aws.String("carol")}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// codeOnly reports whether a text is a code after a prefix.
func codeOnly(prefix, text string) bool {
	code, ok := strings.CutPrefix(text, prefix)
	return ok && codePattern.FindString(code) == code && code != ""
}

// TestTimesOfSettings: passwords, sessions and tokens last as long as the settings say, no longer and no shorter.
func TestTimesOfSettings(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		client := func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.AuthSessionValidity = aws.Int32(10)
			c.RefreshTokenValidity, c.TokenValidityUnits = 2, &types.TokenValidityUnitsType{RefreshToken: "hours"}
		}
		for name, days := range map[string]func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput){
			"TemporaryPasswordValidityDays": func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
				p.Policies = &types.UserPoolPolicyType{PasswordPolicy: &types.PasswordPolicyType{MinimumLength: aws.Int32(8), TemporaryPasswordValidityDays: 2}}
			},
			"UnusedAccountValidityDays": func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
				p.AdminCreateUserConfig = &types.AdminCreateUserConfigType{UnusedAccountValidityDays: 2}
			},
		} {
			app := ts.newApp(t, client, days)
			if _, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("ann"), TemporaryPassword: aws.String(testPassword), MessageAction: "SUPPRESS"}); err != nil {
				t.Fatal(err)
			}
			ts.clock.advance(48*time.Hour - time.Second)
			answer := func(session *string) error {
				_, err := app.reply(t, "ann", "NEW_PASSWORD_REQUIRED", session, "NEW_PASSWORD", newPassword)
				return err
			}
			out := app.challenge(t, "ann", "NEW_PASSWORD_REQUIRED")
			ts.clock.advance(10*time.Minute + time.Second)
			wantError(t, name+": a session of ten minutes", answer(out.Session), "NotAuthorizedException", "Invalid session for the user, session is expired.")
			_, err := app.password(t, "ann", testPassword)
			wantError(t, name+": a password of two days", err, "NotAuthorizedException", "Temporary password has expired and must be reset by an administrator.")
			if _, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("ann"), TemporaryPassword: aws.String(testPassword), MessageAction: "RESEND"}); err != nil {
				t.Fatal(err)
			}
			out = app.challenge(t, "ann", "NEW_PASSWORD_REQUIRED")
			ts.clock.advance(10*time.Minute - time.Second)
			if err := answer(out.Session); err != nil {
				t.Errorf("%s: within ten minutes: %v", name, err)
			}
			tokens := app.signIn(t, "ann", newPassword)
			ts.clock.advance(2*time.Hour - time.Second)
			if _, err := app.refresh(t, tokens.RefreshToken); err != nil {
				t.Errorf("%s: within two hours: %v", name, err)
			}
			ts.clock.advance(time.Second)
			_, err = app.refresh(t, tokens.RefreshToken)
			wantError(t, name+": after two hours", err, "NotAuthorizedException", "Refresh Token has expired")
		}
	})
}

// TestTiers: a tier does not go while what it alone has is in use.
func TestTiers(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, sender)
		update := func(tier types.UserPoolTierType, more ...func(*cip.UpdateUserPoolInput)) error {
			in := &cip.UpdateUserPoolInput{UserPoolId: &app.pool, UserPoolTier: tier, EmailConfiguration: &types.EmailConfigurationType{
				EmailSendingAccount: "DEVELOPER", SourceArn: aws.String("arn:aws:ses:eu-central-1:123456789012:identity/example.com")}}
			for _, m := range more {
				m(in)
			}
			_, err := ts.sdk.UpdateUserPool(t.Context(), in)
			return err
		}
		if got := app.track(t, "ENABLED", 3); got != "" {
			t.Fatal(got)
		}
		wantError(t, "tracked sessions", update("LITE"), "TierChangeNotAllowedException", "The tier cannot be changed to LITE while the user pool uses user session tracking.")
		if got := app.track(t, "DISABLED", 3); got != "" {
			t.Fatal(got)
		}
		app.setMFA(t, "OPTIONAL", "E")
		wantError(t, "MFA by e-mail", update("LITE"), "TierChangeNotAllowedException", "The tier cannot be changed to LITE while the user pool uses e-mail MFA.")
		app.setMFA(t, "OFF", "")
		if got := app.raw(t, "SetUserPoolMfaConfig", map[string]any{"UserPoolId": app.pool, "WebAuthnConfiguration": map[string]any{"RelyingPartyId": "example.com", "UserVerification": "preferred"}}, &struct{}{}); got != "" {
			t.Fatal(got)
		}
		wantError(t, "passkeys", update("LITE"), "TierChangeNotAllowedException", "The tier cannot be changed to LITE while the user pool uses passkeys.")
		app.setMFA(t, "OFF", "")
		history := func(in *cip.UpdateUserPoolInput) {
			in.Policies = &types.UserPoolPolicyType{PasswordPolicy: &types.PasswordPolicyType{MinimumLength: aws.Int32(8), PasswordHistorySize: aws.Int32(2)}}
		}
		wantError(t, "history", update("LITE", history), "FeatureUnavailableInTierException", "")
		if err := update("LITE"); err != nil {
			t.Errorf("nothing in the way: %v", err)
		}
		if got := app.track(t, "ENABLED", 3); got != "FeatureUnavailableInTierException" {
			t.Errorf("tracking on LITE: %s", got)
		}
		if err := update("PLUS", history); err != nil {
			t.Errorf("to PLUS: %v", err)
		}
	})
}
