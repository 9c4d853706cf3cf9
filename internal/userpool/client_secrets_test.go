package userpool

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
)

func TestClientSecrets(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx, app := t.Context(), ts.newApp(t, withSecret)
		app.user(t, "alice")
		add := func(secret *string) (*cip.AddUserPoolClientSecretOutput, error) {
			return ts.sdk.AddUserPoolClientSecret(ctx, &cip.AddUserPoolClientSecretInput{UserPoolId: &app.pool, ClientId: &app.app, ClientSecret: secret})
		}
		list := func() []string {
			t.Helper()
			out, err := ts.sdk.ListUserPoolClientSecrets(ctx, &cip.ListUserPoolClientSecretsInput{UserPoolId: &app.pool, ClientId: &app.app})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, d := range out.ClientSecrets {
				if d.ClientSecretValue != nil || d.ClientSecretCreateDate == nil {
					t.Errorf("listed %+v", d)
				}
				ids = append(ids, *d.ClientSecretId)
			}
			return ids
		}
		remove := func(id string) error {
			_, err := ts.sdk.DeleteUserPoolClientSecret(ctx, &cip.DeleteUserPoolClientSecretInput{UserPoolId: &app.pool, ClientId: &app.app, ClientSecretId: &id})
			return err
		}
		first := list()
		if len(first) != 1 {
			t.Fatalf("secrets %q", first)
		}
		wantError(t, "the last secret", remove(first[0]), "InvalidParameterException", "The last secret of a client cannot be deleted.")

		out, err := add(nil)
		if err != nil {
			t.Fatal(err)
		}
		second := out.ClientSecretDescriptor
		if len(*second.ClientSecretValue) != 52 || *second.ClientSecretValue == app.secret || *second.ClientSecretId == first[0] {
			t.Errorf("added %+v", second)
		}
		if ids := list(); len(ids) != 2 || ids[0] != first[0] || ids[1] != *second.ClientSecretId {
			t.Errorf("listed %q", ids)
		}
		_, err = add(nil)
		wantError(t, "a third", err, "LimitExceededException", "")
		signsIn := func(secret string) error {
			_, err := (&testApp{testServer: ts, pool: app.pool, app: app.app, secret: secret}).password(t, "alice", testPassword)
			return err
		}
		for _, secret := range []string{app.secret, *second.ClientSecretValue} {
			if err := signsIn(secret); err != nil {
				t.Error(err)
			}
			refresh := app.signIn(t, "alice", testPassword).RefreshToken
			if _, err := ts.sdk.GetTokensFromRefreshToken(ctx, &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, ClientSecret: &secret, RefreshToken: refresh}); err != nil {
				t.Error(err)
			}
		}
		if err := remove(first[0]); err != nil {
			t.Fatal(err)
		}
		wantError(t, "a secret that is gone", remove(first[0]), "ResourceNotFoundException", "Client secret "+first[0]+" does not exist.")
		wantError(t, "sign-in with the first", signsIn(app.secret), "NotAuthorizedException", "Unable to verify secret hash for client "+app.app)
		if err := signsIn(*second.ClientSecretValue); err != nil {
			t.Error(err)
		}

		// A secret of the caller's own is not given back.
		const own = "abcdefghijklmnopqrstuvwxyz_012345"
		out, err = add(aws.String(own))
		if err != nil || out.ClientSecretDescriptor.ClientSecretValue != nil || signsIn(own) != nil {
			t.Errorf("own secret: %+v %v", out, err)
		}
		if err := remove(*out.ClientSecretDescriptor.ClientSecretId); err != nil {
			t.Fatal(err)
		}
		_, err = add(aws.String("short"))
		wantError(t, "a short secret", err, "InvalidParameterException", "")

		// Of those who add a second secret at once, one does.
		var won atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := add(nil); err == nil {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if ids := list(); won.Load() != 1 || len(ids) != 2 {
			t.Errorf("%d added, %d secrets", won.Load(), len(ids))
		}

		public := app.anotherClient(t)
		_, err = ts.sdk.AddUserPoolClientSecret(ctx, &cip.AddUserPoolClientSecretInput{UserPoolId: &app.pool, ClientId: &public.app})
		wantError(t, "public client", err, "InvalidParameterException", "A client that was created without a secret cannot get one.")
		_, err = ts.sdk.ListUserPoolClientSecrets(ctx, &cip.ListUserPoolClientSecretsInput{UserPoolId: &app.pool, ClientId: &app.app, NextToken: aws.String("x")})
		wantError(t, "token", err, "InvalidParameterException", "Invalid pagination token")
		elsewhere := ts.newApp(t)
		for what, c := range map[string]struct {
			sdk          *cip.Client
			pool, client string
			message      string
		}{
			"another account": {ts.client(otherAccount), app.pool, app.app, "User pool " + app.pool + " does not exist."},
			"another pool":    {ts.sdk, elsewhere.pool, app.app, "User pool client " + app.app + " does not exist."},
			"unknown client":  {ts.sdk, app.pool, "nobody", "User pool client nobody does not exist."},
		} {
			_, err := c.sdk.AddUserPoolClientSecret(ctx, &cip.AddUserPoolClientSecretInput{UserPoolId: &c.pool, ClientId: &c.client})
			wantError(t, what+": Add", err, "ResourceNotFoundException", c.message)
			_, err = c.sdk.ListUserPoolClientSecrets(ctx, &cip.ListUserPoolClientSecretsInput{UserPoolId: &c.pool, ClientId: &c.client})
			wantError(t, what+": List", err, "ResourceNotFoundException", c.message)
			_, err = c.sdk.DeleteUserPoolClientSecret(ctx, &cip.DeleteUserPoolClientSecretInput{UserPoolId: &c.pool, ClientId: &c.client, ClientSecretId: second.ClientSecretId})
			wantError(t, what+": Delete", err, "ResourceNotFoundException", c.message)
		}
	})
}
