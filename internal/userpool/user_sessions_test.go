package userpool

import (
	"regexp"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// tracked is one session of a list.
type tracked struct {
	SessionId, SessionType, ClientId string
	CreateDate, LastActiveDate       float64
	IsCurrentSession                 *bool
}

// track sets how the pool tracks sessions and returns the type of the error.
func (app *testApp) track(t *testing.T, tracking string, most int) string {
	t.Helper()
	return app.raw(t, "SetUserPoolSessionConfiguration", map[string]any{"UserPoolId": app.pool, "UserSessionTracking": tracking,
		"TokenSession": map[string]any{"MaxPerUser": most}}, &struct{}{})
}

// sessions lists the sessions of a user, for himself or for an administrator.
func (app *testApp) sessions(t *testing.T, operation string, in map[string]any) []tracked {
	t.Helper()
	var out struct{ Sessions []tracked }
	if got := app.raw(t, operation, in, &out); got != "" {
		t.Fatalf("%s: %s", operation, got)
	}
	return out.Sessions
}

func (app *testApp) sessionsOf(t *testing.T, user string) []tracked {
	t.Helper()
	return app.sessions(t, "AdminListUserSessions", map[string]any{"UserPoolId": app.pool, "Username": user})
}

func (app *testApp) sessionID(t *testing.T, token *string) string {
	t.Helper()
	_, claims := app.verify(t, *token)
	id := (&sessionRecord{ID: claims["origin_jti"].(string)}).wireID()
	if !regexp.MustCompile(`^tkn[0-9a-z]{25}$`).MatchString(id) {
		t.Errorf("session id %q", id)
	}
	return id
}

func TestUserSessions(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.user(t, "alice")
		app.user(t, "bob")
		before := app.signIn(t, "alice", testPassword)
		admin := map[string]any{"UserPoolId": app.pool, "Username": "alice"}
		for operation, in := range map[string]map[string]any{
			"AdminListUserSessions":                 admin,
			"AdminRevokeUserSession":                {"UserPoolId": app.pool, "Username": "alice", "SessionId": "x"},
			"ListUserSessions":                      {"AccessToken": *before.AccessToken},
			"RevokeUserSession":                     {"AccessToken": *before.AccessToken, "SessionId": "x"},
			"SetUserPoolClientSessionConfiguration": {"UserPoolId": app.pool, "ClientId": app.app, "SSOSession": map[string]any{"MaxValidityMinutes": 1}},
		} {
			if got := app.raw(t, operation, in, &struct{}{}); got != "InvalidParameterException" {
				t.Errorf("%s without tracking: %q", operation, got)
			}
		}
		if n, err := db.One[int](t.Context(), ts.DB, `SELECT count(*) FROM user_sessions`); err != nil || n != 0 {
			t.Errorf("%d sessions written without tracking, %v", n, err)
		}
		if got := app.track(t, "ENABLED", 3); got != "" {
			t.Fatal(got)
		}

		first := app.signIn(t, "alice", testPassword)
		ts.clock.advance(time.Minute)
		second := app.signIn(t, "alice", testPassword)
		bob := app.signIn(t, "bob", testPassword)
		own := app.sessions(t, "ListUserSessions", map[string]any{"AccessToken": *first.AccessToken})
		if len(own) != 2 || own[0].SessionId != app.sessionID(t, second.AccessToken) || own[1].SessionId != app.sessionID(t, first.AccessToken) {
			t.Fatalf("sessions %+v", own)
		}
		for i, s := range own {
			if s.SessionType != "TOKEN" || s.ClientId != app.app || *s.IsCurrentSession != (i == 1) || s.LastActiveDate < s.CreateDate {
				t.Errorf("session %d: %+v", i, s)
			}
		}
		ts.clock.advance(time.Minute)
		if _, err := app.refresh(t, first.RefreshToken); err != nil {
			t.Fatal(err)
		}
		list := app.sessionsOf(t, "alice")
		if len(list) != 2 || list[0].SessionId != app.sessionID(t, first.AccessToken) || list[0].LastActiveDate-list[0].CreateDate != 120 || list[0].IsCurrentSession != nil {
			t.Errorf("after a refresh: %+v", list)
		}

		// The session that was idle for the longest time makes room.
		third := app.signIn(t, "alice", testPassword)
		fourth := app.signIn(t, "alice", testPassword)
		if list = app.sessionsOf(t, "alice"); len(list) != 3 {
			t.Errorf("%d sessions, want 3", len(list))
		}
		_, err := app.refresh(t, second.RefreshToken)
		wantError(t, "the session that made room", err, "NotAuthorizedException", "Refresh Token has been revoked")
		_, err = app.getUser(t, second.AccessToken)
		wantError(t, "the session that made room", err, "NotAuthorizedException", "Access Token has been revoked")

		revoke := func(token *string, id string) string {
			return app.raw(t, "RevokeUserSession", map[string]any{"AccessToken": *token, "SessionId": id}, &struct{}{})
		}
		for what, c := range map[string]struct {
			token *string
			id    string
			want  string
		}{
			"its own":        {first.AccessToken, app.sessionID(t, first.AccessToken), "InvalidParameterException"},
			"another user's": {first.AccessToken, app.sessionID(t, bob.AccessToken), "ResourceNotFoundException"},
			"unknown":        {first.AccessToken, "x", "ResourceNotFoundException"},
			"ID token":       {first.IdToken, "x", "NotAuthorizedException"},
			"not tracked":    {first.AccessToken, app.sessionID(t, before.AccessToken), "ResourceNotFoundException"},
			"another of his": {first.AccessToken, app.sessionID(t, third.AccessToken), ""},
		} {
			if got := revoke(c.token, c.id); got != c.want {
				t.Errorf("%s: %q, want %q", what, got, c.want)
			}
		}
		_, err = app.getUser(t, third.AccessToken)
		wantError(t, "ended by the user", err, "NotAuthorizedException", "Access Token has been revoked")
		adminRevoke := func(user, id string) string {
			return app.raw(t, "AdminRevokeUserSession", map[string]any{"UserPoolId": app.pool, "Username": user, "SessionId": id, "RevokeAssociatedSessions": "LINKED"}, &struct{}{})
		}
		if got := adminRevoke("bob", app.sessionID(t, fourth.AccessToken)); got != "ResourceNotFoundException" {
			t.Errorf("another user's: %q", got)
		}
		if got := adminRevoke("nobody", "x"); got != "UserNotFoundException" {
			t.Errorf("unknown user: %q", got)
		}
		if got := adminRevoke("alice", app.sessionID(t, fourth.AccessToken)); got != "" {
			t.Error(got)
		}
		_, err = app.refresh(t, fourth.RefreshToken)
		wantError(t, "ended by an administrator", err, "NotAuthorizedException", "Refresh Token has been revoked")
		if list = app.sessionsOf(t, "alice"); len(list) != 1 {
			t.Errorf("sessions %+v", list)
		}

		// Whatever ends a sign-in ends its session.
		fifth := app.signIn(t, "alice", testPassword)
		if _, err := ts.sdk.RevokeToken(t.Context(), &cip.RevokeTokenInput{ClientId: &app.app, Token: fifth.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		if list = app.sessionsOf(t, "alice"); len(list) != 1 {
			t.Errorf("after RevokeToken: %+v", list)
		}
		if _, err := ts.sdk.GlobalSignOut(t.Context(), &cip.GlobalSignOutInput{AccessToken: first.AccessToken}); err != nil {
			t.Fatal(err)
		}
		app.signIn(t, "alice", testPassword)
		if list = app.sessionsOf(t, "alice"); len(list) != 1 || list[0].SessionId == app.sessionID(t, first.IdToken) {
			t.Errorf("after GlobalSignOut: %+v", list)
		}
		ts.clock.advance(30 * 24 * time.Hour)
		if list = app.sessionsOf(t, "alice"); len(list) != 0 {
			t.Errorf("after the refresh tokens: %+v", list)
		}
		if err := ts.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := db.One[int](t.Context(), ts.DB, `SELECT count(*) FROM user_sessions`); err != nil || n != 0 {
			t.Errorf("%d sessions after the sweep, %v", n, err)
		}
		admin["NextToken"] = "x"
		if got := app.raw(t, "AdminListUserSessions", admin, &struct{}{}); got != "InvalidParameterException" {
			t.Errorf("token: %q", got)
		}
	})
}

func TestSessionConfiguration(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		pool := func() (string, int) {
			t.Helper()
			var out struct {
				UserPoolId, UserSessionTracking string
				TokenSession                    struct{ MaxPerUser int }
			}
			if got := app.raw(t, "GetUserPoolSessionConfiguration", map[string]any{"UserPoolId": app.pool}, &out); got != "" || out.UserPoolId != app.pool {
				t.Errorf("%q %+v", got, out)
			}
			return out.UserSessionTracking, out.TokenSession.MaxPerUser
		}
		client := func(client string) (int, string) {
			t.Helper()
			var out struct {
				SSOSession struct{ MaxValidityMinutes int }
			}
			got := app.raw(t, "GetUserPoolClientSessionConfiguration", map[string]any{"UserPoolId": app.pool, "ClientId": client}, &out)
			return out.SSOSession.MaxValidityMinutes, got
		}
		if tracking, most := pool(); tracking != "DISABLED" || most != 20 {
			t.Errorf("by default %s %d", tracking, most)
		}
		if minutes, got := client(app.app); minutes != 60 || got != "" {
			t.Errorf("by default %d minutes, %q", minutes, got)
		}
		if _, got := client("nobody"); got != "ResourceNotFoundException" {
			t.Errorf("unknown client: %q", got)
		}
		for _, most := range []int{0, 101} {
			if got := app.track(t, "ENABLED", most); got != "InvalidParameterException" {
				t.Errorf("%d sessions: %q", most, got)
			}
		}
		if got := app.track(t, "ENABLED", 7); got != "" {
			t.Fatal(got)
		}
		if tracking, most := pool(); tracking != "ENABLED" || most != 7 {
			t.Errorf("%s %d", tracking, most)
		}
		set := func(minutes int) string {
			return app.raw(t, "SetUserPoolClientSessionConfiguration", map[string]any{"UserPoolId": app.pool, "ClientId": app.app,
				"SSOSession": map[string]any{"MaxValidityMinutes": minutes}}, &struct{}{})
		}
		if got := set(0); got != "" {
			t.Error(got)
		}
		if got := set(129601); got != "InvalidParameterException" {
			t.Errorf("more than 90 days: %q", got)
		}
		if minutes, _ := client(app.app); minutes != 0 {
			t.Errorf("%d minutes", minutes)
		}
		lite := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) { p.UserPoolTier = "LITE" })
		if got := lite.track(t, "ENABLED", 7); got != "FeatureUnavailableInTierException" {
			t.Errorf("LITE: %q", got)
		}

		ctx := awsapi.WithCaller(t.Context(), awsapi.Caller{AccountID: otherAccount})
		_, err := ts.GetUserPoolSessionConfiguration(ctx, &cognitoidp.GetUserPoolSessionConfigurationRequest{UserPoolId: &app.pool})
		wantCode(t, "another account", err, "ResourceNotFoundException")
		_, err = ts.SetUserPoolSessionConfiguration(ctx, &cognitoidp.SetUserPoolSessionConfigurationRequest{UserPoolId: &app.pool, UserSessionTracking: aws.String("DISABLED"),
			TokenSession: &cognitoidp.UserPoolTokenSessionConfigType{MaxPerUser: aws.Int32(1)}})
		wantCode(t, "another account", err, "ResourceNotFoundException")
		_, err = ts.GetUserPoolClientSessionConfiguration(ctx, &cognitoidp.GetUserPoolClientSessionConfigurationRequest{UserPoolId: &app.pool, ClientId: &app.app})
		wantCode(t, "another account", err, "ResourceNotFoundException")
		_, err = ts.SetUserPoolClientSessionConfiguration(ctx, &cognitoidp.SetUserPoolClientSessionConfigurationRequest{UserPoolId: &app.pool, ClientId: &app.app,
			SSOSession: &cognitoidp.ClientSSOSessionConfigType{MaxValidityMinutes: aws.Int32(1)}})
		wantCode(t, "another account", err, "ResourceNotFoundException")
		app.user(t, "alice")
		_, err = ts.AdminListUserSessions(ctx, &cognitoidp.AdminListUserSessionsRequest{UserPoolId: &app.pool, Username: aws.String("alice")})
		wantCode(t, "another account", err, "ResourceNotFoundException")
		_, err = ts.AdminRevokeUserSession(ctx, &cognitoidp.AdminRevokeUserSessionRequest{UserPoolId: &app.pool, Username: aws.String("alice"), SessionId: aws.String("x")})
		wantCode(t, "another account", err, "ResourceNotFoundException")
		if tracking, most := pool(); tracking != "ENABLED" || most != 7 {
			t.Errorf("%s %d", tracking, most)
		}
	})
}
