package userpool

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/token"
)

func openSQLite(tb testing.TB) *db.DB {
	return dbtest.Open(tb, dbtest.SQLite(tb), db.Schema{Name: "userpool", Files: Schema})
}

// job is a token to be signed with a pool's key.
type job struct {
	key    *token.KeyPair
	claims map[string]any
}

func (ts *testServer) sign(tb testing.TB, jobs ...job) []string {
	tb.Helper()
	var signed []token.Job
	for _, j := range jobs {
		text, err := json.Marshal(j.claims)
		if err != nil {
			tb.Fatal(err)
		}
		signed = append(signed, token.Job{Key: j.key, Claims: text})
	}
	tokens, err := ts.Signer.Sign(tb.Context(), signed)
	if err != nil {
		tb.Fatal(err)
	}
	return tokens
}

func (app *testApp) refresh(tb testing.TB, token *string) (*types.AuthenticationResultType, error) {
	out, err := app.initiate(tb, "REFRESH_TOKEN_AUTH", map[string]string{"REFRESH_TOKEN": *token})
	if err != nil {
		return nil, err
	}
	return out.AuthenticationResult, nil
}

func TestRefresh(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app, foreign := ts.newApp(t), ts.newApp(t)
		sibling := app.anotherClient(t)
		app.user(t, "alice")
		first := app.signIn(t, "alice", testPassword)
		_, old := app.verify(t, *first.IdToken)
		ts.clock.advance(time.Hour)
		_, err := ts.sdk.AdminUpdateUserAttributes(t.Context(), &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("alice"), UserAttributes: attributes("nickname", "al")})
		if err != nil {
			t.Fatal(err)
		}
		r, err := app.refresh(t, first.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		if r.RefreshToken != nil {
			t.Error("REFRESH_TOKEN_AUTH answered a refresh token")
		}
		_, id := app.verify(t, *r.IdToken)
		now := float64(ts.clock.Now().Unix())
		if id["nickname"] != "al" || id["iat"] != now || id["exp"] != now+3600 || id["jti"] == old["jti"] {
			t.Errorf("refreshed ID token: %v", id)
		}
		for _, claim := range []string{"auth_time", "origin_jti", "event_id"} {
			if id[claim] != old[claim] {
				t.Errorf("%s is %v, was %v", claim, id[claim], old[claim])
			}
		}
		if _, err := app.getUser(t, r.AccessToken); err != nil {
			t.Error(err)
		}
		got, err := ts.sdk.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: first.RefreshToken})
		if err != nil || got.AuthenticationResult.RefreshToken != nil || got.AuthenticationResult.AccessToken == nil {
			t.Error(got, err)
		}
		const invalid = "Invalid Refresh Token"
		_, err = sibling.refresh(t, first.RefreshToken)
		wantError(t, "another client", err, "NotAuthorizedException", invalid)
		_, err = foreign.refresh(t, first.RefreshToken)
		wantError(t, "another pool", err, "NotAuthorizedException", invalid)
		_, err = app.refresh(t, first.AccessToken)
		wantError(t, "access token", err, "NotAuthorizedException", invalid)
		tampered := strings.ToLower(*first.RefreshToken)
		_, err = app.refresh(t, &tampered)
		wantError(t, "tampered", err, "NotAuthorizedException", invalid)
		ts.clock.advance(30*24*time.Hour - time.Hour)
		_, err = app.refresh(t, first.RefreshToken)
		wantError(t, "after 30 days", err, "NotAuthorizedException", "Refresh Token has expired")

		second := app.signIn(t, "alice", testPassword)
		if _, err := ts.sdk.AdminDeleteUser(t.Context(), &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: aws.String("alice")}); err != nil {
			t.Fatal(err)
		}
		_, err = app.refresh(t, second.RefreshToken)
		wantError(t, "deleted user", err, "NotAuthorizedException", invalid)
		_, err = app.getUser(t, second.AccessToken)
		wantError(t, "GetUser of a deleted user", err, "UserNotFoundException", "User does not exist.")
		app.user(t, "alice") // another person of that name
		_, err = app.refresh(t, second.RefreshToken)
		wantError(t, "token of a former user of the name", err, "NotAuthorizedException", invalid)
	})
}

func TestRevokeToken(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		sibling := app.anotherClient(t)
		plain := app.anotherClient(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.EnableTokenRevocation = aws.Bool(false)
		})
		app.user(t, "alice")
		one, two := app.signIn(t, "alice", testPassword), app.signIn(t, "alice", testPassword)
		refreshed, err := app.refresh(t, one.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		revoke := func(a *testApp, token *string) error {
			_, err := ts.sdk.RevokeToken(t.Context(), &cip.RevokeTokenInput{ClientId: &a.app, Token: token})
			return err
		}
		wantError(t, "another client", revoke(sibling, one.RefreshToken), "UnauthorizedException", "")
		wantError(t, "access token", revoke(app, one.AccessToken), "UnsupportedTokenTypeException", "")
		wantError(t, "ID token", revoke(app, one.IdToken), "UnsupportedTokenTypeException", "")
		wantError(t, "client without revocation", revoke(plain, plain.signIn(t, "alice", testPassword).RefreshToken), "UnsupportedOperationException", "")
		_, err = ts.sdk.RevokeToken(t.Context(), &cip.RevokeTokenInput{ClientId: aws.String("nobody"), Token: one.RefreshToken})
		wantError(t, "unknown client", err, "UnauthorizedException", "")
		if err := revoke(app, aws.String("unknown")); err != nil {
			t.Error("unknown token:", err)
		}
		for range 2 {
			if err := revoke(app, one.RefreshToken); err != nil {
				t.Fatal(err)
			}
		}
		_, err = app.refresh(t, one.RefreshToken)
		wantError(t, "revoked refresh token", err, "NotAuthorizedException", "Refresh Token has been revoked")
		for _, token := range []*string{one.AccessToken, refreshed.AccessToken} {
			_, err = app.getUser(t, token)
			wantError(t, "access token of the sign-in", err, "NotAuthorizedException", "Access Token has been revoked")
		}
		if _, err := app.getUser(t, two.AccessToken); err != nil {
			t.Error("another sign-in:", err)
		}
		_, claims := app.verify(t, *one.IdToken)
		sub, origin := claims["sub"].(string), claims["origin_jti"].(string)
		wantCode(t, "CheckSession", ts.CheckSession(t.Context(), app.pool, sub, origin, ts.clock.Now()), "NotAuthorizedException")
		_, claims = app.verify(t, *two.IdToken)
		if err := ts.CheckSession(t.Context(), app.pool, sub, claims["origin_jti"].(string), ts.clock.Now()); err != nil {
			t.Error(err)
		}
	})
}

func TestGlobalSignOut(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.user(t, "alice")
		app.user(t, "bob")
		bob := app.signIn(t, "bob", testPassword)
		signOuts := map[string]func(*types.AuthenticationResultType) error{
			"GlobalSignOut": func(r *types.AuthenticationResultType) error {
				_, err := ts.sdk.GlobalSignOut(t.Context(), &cip.GlobalSignOutInput{AccessToken: r.AccessToken})
				return err
			},
			"AdminUserGlobalSignOut": func(*types.AuthenticationResultType) error {
				_, err := ts.sdk.AdminUserGlobalSignOut(t.Context(), &cip.AdminUserGlobalSignOutInput{UserPoolId: &app.pool, Username: aws.String("alice")})
				return err
			},
		}
		for name, signOut := range signOuts {
			// All in one second, even in one instant: the order counts, not the clock.
			one, two := app.signIn(t, "alice", testPassword), app.signIn(t, "alice", testPassword)
			if err := signOut(one); err != nil {
				t.Fatal(err)
			}
			for _, r := range []*types.AuthenticationResultType{one, two} {
				_, err := app.getUser(t, r.AccessToken)
				wantError(t, name, err, "NotAuthorizedException", "Access Token has been revoked")
				_, err = app.refresh(t, r.RefreshToken)
				wantError(t, name, err, "NotAuthorizedException", "Refresh Token has been revoked")
				_, claims := app.verify(t, *r.IdToken)
				wantCode(t, name, ts.CheckSession(t.Context(), app.pool, claims["sub"].(string), claims["origin_jti"].(string), ts.clock.Now()), "NotAuthorizedException")
			}
			again := app.signIn(t, "alice", testPassword)
			if _, err := app.getUser(t, again.AccessToken); err != nil {
				t.Errorf("%s: sign-in afterwards: %v", name, err)
			}
			if _, err := app.refresh(t, again.RefreshToken); err != nil {
				t.Errorf("%s: refresh afterwards: %v", name, err)
			}
			ts.clock.advance(time.Second)
		}
		if _, err := app.getUser(t, bob.AccessToken); err != nil {
			t.Error("another user:", err)
		}
		_, err := ts.sdk.AdminUserGlobalSignOut(t.Context(), &cip.AdminUserGlobalSignOutInput{UserPoolId: &app.pool, Username: aws.String("nobody")})
		wantError(t, "unknown user", err, "UserNotFoundException", "User does not exist.")
	})
}

func TestRotation(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.ExplicitAuthFlows = []types.ExplicitAuthFlowsType{"ALLOW_USER_PASSWORD_AUTH"}
			c.RefreshTokenRotation = &types.RefreshTokenRotationType{Feature: "ENABLED", RetryGracePeriodSeconds: aws.Int32(10)}
		})
		app.user(t, "alice")
		next := func(token *string) (*types.AuthenticationResultType, error) {
			out, err := ts.sdk.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: token})
			if err != nil {
				return nil, err
			}
			return out.AuthenticationResult, nil
		}
		must := func(token *string) *types.AuthenticationResultType {
			t.Helper()
			r, err := next(token)
			if err != nil || r.RefreshToken == nil || *r.RefreshToken == *token {
				t.Fatalf("%+v %v", r, err)
			}
			return r
		}
		byDefault := app.anotherClient(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.ExplicitAuthFlows = nil
			c.RefreshTokenRotation = &types.RefreshTokenRotationType{Feature: "ENABLED"}
		})
		first := app.signIn(t, "alice", testPassword)
		for _, a := range []*testApp{app, byDefault} {
			_, err := a.refresh(t, first.RefreshToken)
			wantError(t, "REFRESH_TOKEN_AUTH", err, "InvalidParameterException", "Auth flow not enabled for this client")
		}
		second := must(first.RefreshToken)
		ts.clock.advance(9 * time.Second)
		retried := must(first.RefreshToken) // the answer was lost
		third := must(second.RefreshToken)
		must(retried.RefreshToken) // of the same turn as the second, within grace
		ts.clock.advance(10 * time.Second)
		_, err := next(second.RefreshToken)
		wantError(t, "after the grace", err, "RefreshTokenReuseException", "")
		_, err = next(third.RefreshToken)
		wantError(t, "the newest token after a theft", err, "NotAuthorizedException", "Refresh Token has been revoked")
		_, err = app.getUser(t, third.AccessToken)
		wantError(t, "access token after a theft", err, "NotAuthorizedException", "Access Token has been revoked")

		// The family ends when the first token would have.
		last := app.signIn(t, "alice", testPassword).RefreshToken
		for range 3 {
			ts.clock.advance(9 * 24 * time.Hour)
			last = must(last).RefreshToken
		}
		ts.clock.advance(3 * 24 * time.Hour)
		_, err = next(last)
		wantError(t, "after 30 days", err, "NotAuthorizedException", "Refresh Token has expired")
	})
}
