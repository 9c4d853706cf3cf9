package userpool

import (
	"maps"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
)

func TestUpdateUserAttributes(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		before := func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.UserAttributeUpdateSettings = &types.UserAttributeUpdateSettingsType{AttributesRequireVerificationBeforeUpdate: []types.VerifiedAttributeType{"email"}}
		}
		for _, waits := range []bool{false, true} {
			app := ts.newApp(t)
			if waits {
				app = ts.newApp(t, before)
			}
			app.user(t, "alice")
			r := app.signIn(t, "alice", testPassword)
			update := func(pairs ...string) ([]types.CodeDeliveryDetailsType, error) {
				out, err := ts.sdk.UpdateUserAttributes(t.Context(), &cip.UpdateUserAttributesInput{AccessToken: r.AccessToken, UserAttributes: attributes(pairs...)})
				if err != nil {
					return nil, err
				}
				return out.CodeDeliveryDetailsList, nil
			}
			verify := func(attribute, code string) error {
				_, err := ts.sdk.VerifyUserAttribute(t.Context(), &cip.VerifyUserAttributeInput{AccessToken: r.AccessToken, AttributeName: &attribute, Code: &code})
				return err
			}
			ask := func(attribute string) (*types.CodeDeliveryDetailsType, error) {
				out, err := ts.sdk.GetUserAttributeVerificationCode(t.Context(), &cip.GetUserAttributeVerificationCodeInput{AccessToken: r.AccessToken, AttributeName: &attribute})
				if err != nil {
					return nil, err
				}
				return out.CodeDeliveryDetails, nil
			}
			now := func() map[string]string {
				t.Helper()
				attrs, err := app.getUser(t, r.AccessToken)
				if err != nil {
					t.Fatal(err)
				}
				delete(attrs, "sub")
				return attrs
			}
			sent, err := update("nickname", "al", "email", "new@example.org")
			if err != nil || len(sent) != 1 || *sent[0].Destination != "n***@e***" || sent[0].DeliveryMedium != "EMAIL" || *sent[0].AttributeName != "email" {
				t.Fatalf("%v: %+v %v", waits, sent, err)
			}
			if to := ts.outbox.sent[0].To; to != "new@example.org" {
				t.Errorf("code went to %s", to)
			}
			code := ts.outbox.code(t)
			want := map[string]string{"nickname": "al", "email": "new@example.org", "email_verified": "false"}
			if waits {
				want = map[string]string{"nickname": "al", "email": "alice@example.com", "email_verified": "true"}
			}
			if got := now(); !maps.Equal(got, want) {
				t.Errorf("waits %v: %v, want %v", waits, got, want)
			}
			wantError(t, "wrong code", verify("email", notCode(code, 1)[0]), "CodeMismatchException", mismatch)
			wantError(t, "code for another attribute", verify("phone_number", code), "ExpiredCodeException", expired)
			wantError(t, "attribute without codes", verify("nickname", code), "InvalidParameterException", "")
			if err := verify("email", code); err != nil {
				t.Fatal(err)
			}
			if got, want := now(), (map[string]string{"nickname": "al", "email": "new@example.org", "email_verified": "true"}); !maps.Equal(got, want) {
				t.Errorf("waits %v, verified: %v, want %v", waits, got, want)
			}
			wantError(t, "the code again", verify("email", code), "ExpiredCodeException", expired)

			// A code proves the address that it went to, and no other.
			if _, err := update("email", "second@example.org"); err != nil {
				t.Fatal(err)
			}
			code = ts.outbox.code(t)
			if _, err := ts.sdk.AdminUpdateUserAttributes(t.Context(), &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("alice"),
				UserAttributes: attributes("email", "third@example.org", "email_verified", "true")}); err != nil {
				t.Fatal(err)
			}
			ts.outbox.take()
			wantError(t, "code for a former address", verify("email", code), "ExpiredCodeException", expired)

			if _, err := update("phone_number", "+4912345678"); err != nil {
				t.Fatal(err)
			}
			if sent := ts.outbox.take(); len(sent) != 0 {
				t.Errorf("code for an attribute that is not auto-verified: %+v", sent)
			}
			details, err := ask("phone_number")
			if err != nil || details.DeliveryMedium != "SMS" || *details.Destination != "+******5678" {
				t.Fatalf("%+v %v", details, err)
			}
			if m := ts.outbox.sent[0]; m.Medium != "SMS" || m.To != "+4912345678" || m.Subject != "" {
				t.Errorf("message %+v", m)
			}
			if err := verify("phone_number", ts.outbox.code(t)); err != nil {
				t.Error(err)
			}
			if got := now(); got["phone_number_verified"] != "true" {
				t.Errorf("%v", got)
			}
			for range 4 {
				if _, err := ask("phone_number"); err != nil {
					t.Error(err)
				}
			}
			_, err = ask("phone_number")
			wantError(t, "sixth code", err, "LimitExceededException", attempts)
			_, err = ask("nickname")
			wantError(t, "code for a nickname", err, "InvalidParameterException", "")

			_, err = update("email_verified", "true")
			wantError(t, "verified by himself", err, "NotAuthorizedException", "A client attempted to write unauthorized attribute")
			_, err = update("custom:x", "1")
			wantError(t, "unknown attribute", err, "InvalidParameterException", "user.custom:x: Attribute does not exist in the schema.")
			_, err = update("sub", "x")
			if err == nil {
				t.Error("sub was changed")
			}
			if _, err := ts.sdk.DeleteUserAttributes(t.Context(), &cip.DeleteUserAttributesInput{AccessToken: r.AccessToken, UserAttributeNames: []string{"nickname", "phone_number"}}); err != nil {
				t.Fatal(err)
			}
			if got, want := now(), (map[string]string{"email": "third@example.org", "email_verified": "true"}); !maps.Equal(got, want) {
				t.Errorf("after deletion: %v, want %v", got, want)
			}
			_, err = ts.sdk.DeleteUserAttributes(t.Context(), &cip.DeleteUserAttributesInput{AccessToken: r.AccessToken, UserAttributeNames: []string{"email_verified"}})
			wantError(t, "deletion of a mark", err, "NotAuthorizedException", "A client attempted to write unauthorized attribute")
			_, err = ask("phone_number")
			wantError(t, "code without a number", err, "InvalidParameterException", "")
			ts.outbox.take()
			for i := range 6 {
				_, err = update("email", string(rune('a'+i))+"@example.org")
				ts.clock.advance(time.Second)
			}
			wantError(t, "sixth address in an hour", err, "TooManyRequestsException", "")
			ts.outbox.take()
		}
	})
}

func TestAliasMovesOnVerification(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.AliasAttributes = []types.AliasAttributeType{"email"}
		})
		app.user(t, "alice")
		app.user(t, "bob")
		byMail := func(want string) {
			t.Helper()
			r := app.signIn(t, "alice@example.com", testPassword)
			if _, claims := app.verify(t, *r.IdToken); claims["cognito:username"] != want {
				t.Errorf("the address signs in %v, want %s", claims["cognito:username"], want)
			}
			out, err := app.srp(t, "alice@example.com", testPassword)
			if err != nil || out.AuthenticationResult == nil {
				t.Errorf("SRP with an alias: %v", err)
			}
		}
		byMail("alice")
		r := app.signIn(t, "bob", testPassword)
		if _, err := ts.sdk.UpdateUserAttributes(t.Context(), &cip.UpdateUserAttributesInput{AccessToken: r.AccessToken, UserAttributes: attributes("email", "alice@example.com")}); err != nil {
			t.Fatal(err)
		}
		code := ts.outbox.code(t)
		byMail("alice")
		if _, err := ts.sdk.VerifyUserAttribute(t.Context(), &cip.VerifyUserAttributeInput{AccessToken: r.AccessToken, AttributeName: aws.String("email"), Code: &code}); err != nil {
			t.Fatal(err)
		}
		byMail("bob")
		attrs, err := app.getUser(t, app.signIn(t, "alice", testPassword).AccessToken)
		if err != nil || attrs["email_verified"] != "false" {
			t.Errorf("former holder: %v %v", attrs, err)
		}

		// Confirmation finds the conflict, unless the new user insists.
		name := "carol"
		if _, err := ts.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, Username: &name, Password: aws.String(testPassword), UserAttributes: attributes("email", "alice@example.com")}); err != nil {
			t.Fatal(err)
		}
		code = ts.outbox.code(t)
		wantError(t, "confirmation of a taken address", app.confirm(t, name, code), "AliasExistsException", "An account with the email already exists.")
		if _, err := ts.sdk.ConfirmSignUp(t.Context(), &cip.ConfirmSignUpInput{ClientId: &app.app, Username: &name, ConfirmationCode: &code, ForceAliasCreation: true}); err != nil {
			t.Fatal(err)
		}
		byMail("carol")
	})
}

func TestEmailAsUsername(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, withSecret, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.UsernameAttributes = []types.UsernameAttributeType{"email"}
			p.UsernameConfiguration = &types.UsernameConfigurationType{CaseSensitive: aws.Bool(false)}
		})
		name := "Alice@example.com"
		out, err := ts.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, SecretHash: app.hash(name), Username: &name, Password: aws.String(testPassword)})
		if err != nil {
			t.Fatal(err)
		}
		if err := app.confirm(t, name, ts.outbox.code(t)); err != nil {
			t.Fatal(err)
		}
		for _, typed := range []string{name, "alice@EXAMPLE.com", *out.UserSub} {
			app.signIn(t, typed, testPassword)
			for _, answered := range []string{*out.UserSub, typed} { // clients send either
				c, begun, err := app.startSRP(t, typed)
				if err != nil {
					t.Fatal(err)
				}
				if id := begun.ChallengeParameters["USER_ID_FOR_SRP"]; id != *out.UserSub {
					t.Errorf("USER_ID_FOR_SRP is %s", id)
				}
				answer := c.answer(t, app.poolName(), testPassword, begun.ChallengeParameters, ts.clock.Now())
				answer["USERNAME"] = answered
				if _, err := app.respond(t, "PASSWORD_VERIFIER", nil, app.with(answered, answer)); err != nil {
					t.Errorf("%s, answered as %s: %v", typed, answered, err)
				}
			}
		}
		r := app.signIn(t, name, testPassword)
		_, claims := app.verify(t, *r.IdToken)
		if claims["cognito:username"] != *out.UserSub || claims["sub"] != *out.UserSub || claims["email"] != name {
			t.Errorf("claims %v", claims)
		}
		if _, err := app.initiate(t, "REFRESH_TOKEN_AUTH", app.with(*out.UserSub, map[string]string{"REFRESH_TOKEN": *r.RefreshToken})); err != nil {
			t.Error(err)
		}
	})
}

func TestDeleteUser(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.user(t, "alice")
		r := app.signIn(t, "alice", testPassword)
		if _, err := ts.sdk.DeleteUser(t.Context(), &cip.DeleteUserInput{AccessToken: r.AccessToken}); err != nil {
			t.Fatal(err)
		}
		_, err := ts.sdk.DeleteUser(t.Context(), &cip.DeleteUserInput{AccessToken: r.AccessToken})
		wantError(t, "twice", err, "UserNotFoundException", "User does not exist.")
		_, err = app.password(t, "alice", testPassword)
		wantError(t, "sign-in", err, "UserNotFoundException", "User does not exist.")
		app.user(t, "alice")
		_, err = app.getUser(t, r.AccessToken)
		wantError(t, "token of the former user", err, "UserNotFoundException", "User does not exist.")
	})
}
