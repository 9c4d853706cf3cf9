package ushertest_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/server"
	"usher/internal/ushertest"
)

// TestSignOutEndsSessions: with the setting, whatever ends a sign-in ends the temporary credentials that it led to, and no
// others; without it they live on, as on AWS.
func TestSignOutEndsSessions(t *testing.T) {
	for _, on := range []bool{true, false} {
		c := newChain(t, ushertest.Start(t, server.Config{Data: t.TempDir(), SignOutEndsSessions: on}))
		c.signUp(c.client, "eve")
		others := c.signIn(c.client, "eve")
		admin := func(do func(pool, user *string) error) func() error {
			return func() error { return do(&c.pool, aws.String("ada")) }
		}
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"RevokeToken", func() error {
				_, err := c.open.Users.RevokeToken(c.ctx, &idp.RevokeTokenInput{ClientId: &c.client, Token: c.tokens.RefreshToken})
				return err
			}},
			{"GlobalSignOut", func() error {
				_, err := c.open.Users.GlobalSignOut(c.ctx, &idp.GlobalSignOutInput{AccessToken: c.tokens.AccessToken})
				return err
			}},
			{"AdminUserGlobalSignOut", admin(func(pool, user *string) error {
				_, err := c.admin.Users.AdminUserGlobalSignOut(c.ctx, &idp.AdminUserGlobalSignOutInput{UserPoolId: pool, Username: user})
				return err
			})},
			{"AdminDisableUser", admin(func(pool, user *string) error {
				_, err := c.admin.Users.AdminDisableUser(c.ctx, &idp.AdminDisableUserInput{UserPoolId: pool, Username: user})
				if err == nil {
					_, err = c.admin.Users.AdminEnableUser(c.ctx, &idp.AdminEnableUserInput{UserPoolId: pool, Username: user})
				}
				return err
			})},
			{"AdminDeleteUser", admin(func(pool, user *string) error {
				_, err := c.admin.Users.AdminDeleteUser(c.ctx, &idp.AdminDeleteUserInput{UserPoolId: pool, Username: user})
				return err
			})},
		} {
			c.tokens = c.signIn(c.client, "ada")
			ada, _, _ := c.credentials(c.logins())
			guest, _, _ := c.credentials(nil)
			eve, _, _ := c.credentials(map[string]string{c.provider: *others.IdToken})
			if err := step.do(); err != nil {
				t.Fatal(step.name, err)
			}
			_, err := ada.STS.GetCallerIdentity(c.ctx, &sts.GetCallerIdentityInput{})
			if on {
				refused(t, err, "ExpiredToken", "")
			} else if err != nil {
				t.Errorf("%s without the setting: %v", step.name, err)
			}
			for name, other := range map[string]ushertest.Clients{"a guest": guest, "another user": eve, "the administrator": c.admin} {
				if _, err := other.STS.GetCallerIdentity(c.ctx, &sts.GetCallerIdentityInput{}); err != nil {
					t.Errorf("%s of one user: %s: %v", step.name, name, err)
				}
			}
		}
	}
}
