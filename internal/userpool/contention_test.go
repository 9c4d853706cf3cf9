package userpool

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
)

// TestContention: transactions of different users do not get in each other's way, and those of one user wait for each other
// without a failure that a client would see.
func TestContention(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, aliases("email"))
		app.mustGroup(t, "g")
		app.mustCreate(t, "shared", "email", "shared@example.com", "email_verified", "true")
		if _, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("shared"), Password: aws.String(testPassword), Permanent: true}); err != nil {
			t.Fatal(err)
		}
		var serial atomic.Int64
		lives := func() error { return app.live(t, fmt.Sprint("user", serial.Add(1))) }
		attrs := []string{"name", "given_name", "family_name", "nickname"}
		one := func() error {
			n := serial.Add(1)
			if err := app.adminUpdate(t, "shared", attrs[n%4], fmt.Sprint(n)); err != nil {
				return err
			}
			if _, err := app.password(t, "shared", testPassword); err != nil {
				return err
			}
			_, err := ts.sdk.AdminUserGlobalSignOut(t.Context(), &cip.AdminUserGlobalSignOutInput{UserPoolId: &app.pool, Username: aws.String("shared")})
			return err
		}
		for name, do := range map[string]func() error{"different users": lives, "one user": one} {
			t.Run(name, func(t *testing.T) {
				var wait sync.WaitGroup
				for range 16 {
					wait.Go(func() {
						for range 8 {
							if err := do(); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				wait.Wait()
			})
		}
	})
}

// live is the life of a user, from sign-up to deletion.
func (app *testApp) live(t *testing.T, name string) error {
	ctx := t.Context()
	if _, err := app.sdk.SignUp(ctx, &cip.SignUpInput{ClientId: &app.app, Username: &name, Password: aws.String(testPassword), UserAttributes: attributes("email", name+"@example.com")}); err != nil {
		return err
	}
	if err := app.confirm(t, name, app.outbox.codeFor(t, name)); err != nil {
		return err
	}
	out, err := app.password(t, name, testPassword)
	if err != nil {
		return err
	}
	token := out.AuthenticationResult.AccessToken
	if _, err := app.sdk.UpdateUserAttributes(ctx, &cip.UpdateUserAttributesInput{AccessToken: token, UserAttributes: attributes("name", "x")}); err != nil {
		return err
	}
	if _, err := app.sdk.AdminAddUserToGroup(ctx, &cip.AdminAddUserToGroupInput{UserPoolId: &app.pool, Username: &name, GroupName: aws.String("g")}); err != nil {
		return err
	}
	if _, err := app.sdk.GetUserAttributeVerificationCode(ctx, &cip.GetUserAttributeVerificationCodeInput{AccessToken: token, AttributeName: aws.String("email")}); err != nil {
		return err
	}
	if _, err := app.sdk.VerifyUserAttribute(ctx, &cip.VerifyUserAttributeInput{AccessToken: token, AttributeName: aws.String("email"), Code: aws.String(app.outbox.codeFor(t, name))}); err != nil {
		return err
	}
	if _, err := app.sdk.RevokeToken(ctx, &cip.RevokeTokenInput{ClientId: &app.app, Token: out.AuthenticationResult.RefreshToken}); err != nil {
		return err
	}
	_, err = app.sdk.AdminDeleteUser(ctx, &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: &name})
	return err
}

// codeFor returns the code that was sent to a user last.
func (o *testOutbox) codeFor(tb testing.TB, name string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := len(o.sent) - 1; i >= 0; i-- {
		if o.sent[i].Username == name {
			code := codePattern.FindString(o.sent[i].Body)
			o.sent = append(o.sent[:i], o.sent[i+1:]...)
			return code
		}
	}
	tb.Errorf("no code for %s", name)
	return ""
}

func (app *testApp) mustGroup(tb testing.TB, name string) {
	if _, err := app.sdk.CreateGroup(tb.Context(), &cip.CreateGroupInput{UserPoolId: &app.pool, GroupName: &name}); err != nil {
		tb.Fatal(err)
	}
}
