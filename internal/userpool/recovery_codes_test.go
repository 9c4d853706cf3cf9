package userpool

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
)

func recoverable(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
	p.UserPoolTags = map[string]string{tagRecoveryCodes: "true"}
}

// ownCodes calls the endpoint of users.
func (ts *testServer) ownCodes(t *testing.T, method, token string) (status int, out struct {
	Codes   []string
	Left    int
	Type    string `json:"__type"`
	Message string
}) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, "/_usher/recovery-codes", nil)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	ts.RecoveryCodes().ServeHTTP(w, req)
	if method != http.MethodOptions {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", w.Header())
	}
	return w.Code, out
}

// withTOTP creates a user with an authenticator app and returns its secret and an access token.
func (app *testApp) withTOTP(t *testing.T, name string) (secret string, token *string) {
	t.Helper()
	app.user(t, name)
	token = app.signIn(t, name, testPassword).AccessToken
	secret = app.enrolTOTP(t, token)
	if err := app.prefer(t, token, "T"); err != nil {
		t.Fatal(err)
	}
	return secret, token
}

// recover signs in with a recovery code.
func (app *testApp) recover(t *testing.T, name, code string) error {
	t.Helper()
	out := app.challenge(t, name, "SOFTWARE_TOKEN_MFA")
	_, err := app.reply(t, name, "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", code)
	return err
}

func TestRecoveryCodes(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx := t.Context()
		app := ts.newApp(t, recoverable)
		app.user(t, "bob")
		_, err := ts.IssueRecoveryCodes(ctx, app.pool, "bob")
		wantCode(t, "codes while MFA is off", err, "InvalidParameterException")
		app.setMFA(t, "OPTIONAL", "TS")
		_, err = ts.IssueRecoveryCodes(ctx, app.pool, "bob")
		wantCode(t, "codes without a second factor", err, "InvalidParameterException")
		_, err = ts.IssueRecoveryCodes(ctx, app.pool, "nobody")
		wantCode(t, "codes of nobody", err, "UserNotFoundException")

		_, token := app.withTOTP(t, "alice")
		if status, _ := ts.ownCodes(t, http.MethodOptions, ""); status != http.StatusOK {
			t.Errorf("preflight: %d", status)
		}
		if status, out := ts.ownCodes(t, http.MethodPost, ""); status != 400 || out.Type != "NotAuthorizedException" {
			t.Errorf("without a token: %d %+v", status, out)
		}
		if status, out := ts.ownCodes(t, http.MethodPost, *token+"x"); status != 400 || out.Type != "NotAuthorizedException" {
			t.Errorf("with a wrong token: %d %+v", status, out)
		}
		_, first := ts.ownCodes(t, http.MethodPost, *token)
		_, issued := ts.ownCodes(t, http.MethodPost, *token)
		codes, seen := issued.Codes, map[string]bool{}
		for _, c := range codes {
			if seen[c] = true; len(c) != 19 || strings.Count(c, "-") != 3 {
				t.Errorf("code %q", c)
			}
		}
		if len(codes) != recoveryCodes || len(seen) != recoveryCodes {
			t.Fatalf("codes %q", codes)
		}
		wantError(t, "replaced code", app.recover(t, "alice", first.Codes[0]), "CodeMismatchException", "")
		wantError(t, "wrong code", app.recover(t, "alice", "0000-0000-0000-0000"), "CodeMismatchException", "")
		if err := app.recover(t, "alice", codes[0]); err != nil {
			t.Errorf("recovery code: %v", err)
		}
		wantError(t, "used code", app.recover(t, "alice", codes[0]), "CodeMismatchException", "")
		written := strings.NewReplacer("-", " ", "0", "O", "1", "l").Replace(strings.ToUpper(codes[1]))
		if err := app.recover(t, "alice", written); err != nil {
			t.Errorf("recovery code as written by hand %q: %v", written, err)
		}
		if _, out := ts.ownCodes(t, http.MethodGet, *token); out.Left != recoveryCodes-2 {
			t.Errorf("%+v left", out)
		}

		// They are guessed at no faster than other codes.
		for range freeFailures {
			wantError(t, "guess", app.recover(t, "alice", "0000-0000-0000-0000"), "CodeMismatchException", "")
		}
		wantError(t, "right code in the lockout", app.recover(t, "alice", codes[2]), "NotAuthorizedException", "Password attempts exceeded")
		ts.clock.advance(time.Minute)

		// In place of a code by SMS, too.
		if _, err := ts.sdk.AdminUpdateUserAttributes(ctx, &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("alice"),
			UserAttributes: attributes("phone_number", "+15550001234", "phone_number_verified", "true")}); err != nil {
			t.Fatal(err)
		}
		if err := app.prefer(t, token, "S"); err != nil {
			t.Fatal(err)
		}
		out := app.challenge(t, "alice", "SMS_MFA")
		reply, err := app.reply(t, "alice", "SMS_MFA", out.Session, "SMS_MFA_CODE", codes[3])
		wantTokens(t, "recovery code in place of SMS", reply, err)
		_, err = app.reply(t, "alice", "SMS_MFA", out.Session, "SMS_MFA_CODE", codes[4])
		wantError(t, "session again", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")

		// Nothing stored is a code, and those of others are of no use.
		stored, err := db.All[[]byte](ctx, ts.DB, `SELECT hash FROM user_recovery_codes WHERE pool_id = $1`, app.pool)
		if err != nil || len(stored) != recoveryCodes-3 {
			t.Errorf("%d stored: %v", len(stored), err)
		}
		for _, hash := range stored {
			for _, code := range codes {
				if plain := strings.ReplaceAll(code, "-", ""); len(hash) != 32 || strings.Contains(string(hash), plain) {
					t.Errorf("stored %q", hash)
				}
			}
		}
		_, carol := app.withTOTP(t, "carol")
		wantError(t, "code of another user", app.recover(t, "carol", codes[5]), "CodeMismatchException", "")

		// Soon after a sign-in only, and not too often.
		_, again := ts.ownCodes(t, http.MethodPost, *carol)
		for range 4 {
			ts.ownCodes(t, http.MethodPost, *carol)
		}
		if _, out := ts.ownCodes(t, http.MethodPost, *carol); len(again.Codes) != recoveryCodes || out.Type != "LimitExceededException" {
			t.Errorf("too often: %+v, %+v", again, out)
		}
		ts.clock.advance(16 * time.Minute)
		if _, out := ts.ownCodes(t, http.MethodPost, *token); out.Type != "NotAuthorizedException" {
			t.Errorf("long after the sign-in: %+v", out)
		}

		// Who turns off his second factors has no codes, also after he turns one on again.
		for _, off := range []func() error{
			func() error { return app.prefer(t, token, "-s-t") },
			func() error {
				_, err := ts.sdk.AdminSetUserMFAPreference(ctx, &cip.AdminSetUserMFAPreferenceInput{UserPoolId: &app.pool, Username: aws.String("alice"),
					SoftwareTokenMfaSettings: &types.SoftwareTokenMfaSettingsType{Enabled: false}, SMSMfaSettings: &types.SMSMfaSettingsType{Enabled: false}})
				return err
			},
			func() error {
				if got := app.raw(t, "AdminDeleteSoftwareToken", map[string]any{"UserPoolId": app.pool, "Username": "alice"}, &struct{}{}); got != "" {
					return fmt.Errorf("AdminDeleteSoftwareToken: %s", got)
				}
				return nil
			},
		} {
			if err := app.prefer(t, token, "-sT"); err != nil {
				t.Fatal(err)
			}
			codes, err := ts.IssueRecoveryCodes(ctx, app.pool, "alice")
			if err != nil {
				t.Fatal(err)
			}
			if err := off(); err != nil {
				t.Fatal(err)
			}
			n, err := db.One[int](ctx, ts.DB, `SELECT count(*) FROM user_recovery_codes WHERE pool_id = $1 AND sub <> $2`, app.pool, app.sub(t, "carol"))
			if err != nil || n != 0 || len(codes) != recoveryCodes {
				t.Errorf("%d codes left: %v", n, err)
			}
		}

		// Without the tag none is taken.
		codes, err = ts.IssueRecoveryCodes(ctx, app.pool, "carol")
		if err != nil {
			t.Fatal(err)
		}
		p, err := ts.Service.pool(ctx, app.pool)
		if err != nil {
			t.Fatal(err)
		}
		arn := poolARN(p.AccountID, p.ID)
		_, err = ts.sdk.TagResource(ctx, &cip.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{tagRecoveryCodes: "yes"}})
		wantError(t, "tag", err, "InvalidParameterException", "The tag usher:recovery-codes takes true.")
		if _, err := ts.sdk.UntagResource(ctx, &cip.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{tagRecoveryCodes}}); err != nil {
			t.Fatal(err)
		}
		wantError(t, "code without the tag", app.recover(t, "carol", codes[0]), "CodeMismatchException", "")
		_, err = ts.IssueRecoveryCodes(ctx, app.pool, "carol")
		wantCode(t, "codes without the tag", err, "InvalidParameterException")
	})
}

func (app *testApp) sub(t *testing.T, name string) string {
	t.Helper()
	u, err := app.sdk.AdminGetUser(t.Context(), &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: &name})
	if err != nil {
		t.Fatal(err)
	}
	return attributeMap(u.UserAttributes)["sub"]
}

// TestRecoveryCodeOnce: of many that send one code at once, each in a sign-in of his own, one gets in.
func TestRecoveryCodeOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, recoverable)
		app.setMFA(t, "OPTIONAL", "T")
		app.withTOTP(t, "alice")
		codes, err := ts.IssueRecoveryCodes(t.Context(), app.pool, "alice")
		if err != nil {
			t.Fatal(err)
		}
		sessions := make([]*string, 64)
		for i := range sessions {
			sessions[i] = app.challenge(t, "alice", "SOFTWARE_TOKEN_MFA").Session
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		seen := map[string]int{}
		for _, session := range sessions {
			all.Go(func() {
				in := map[string]any{"ChallengeName": "SOFTWARE_TOKEN_MFA", "ClientId": app.app, "Session": *session,
					"ChallengeResponses": map[string]string{"USERNAME": "alice", "SOFTWARE_TOKEN_MFA_CODE": codes[0]}}
				failure := app.raw(t, "RespondToAuthChallenge", in, &struct{}{})
				mu.Lock()
				defer mu.Unlock()
				seen[failure]++
			})
		}
		all.Wait()
		if seen[""] != 1 || seen["CodeMismatchException"] != freeFailures || len(seen) != 3 {
			t.Errorf("outcomes %v", seen)
		}
	})
}

// TestRecoveryCodeForm: codes are recognised however they are written, and codes of other kinds are not.
func TestRecoveryCodeForm(t *testing.T) {
	p := &pool{}
	p.Settings.UserPoolTags = map[string]string{tagRecoveryCodes: "true"}
	if _, ok := p.recoveryCode("0123-4567-89ab-cdef"); ok {
		t.Error("taken while MFA is off")
	}
	p.Settings.MfaConfiguration = aws.String("ON")
	for _, c := range []struct{ answer, want string }{
		{"0123-4567-89ab-cdef", "0123456789abcdef"},
		{"OI23 4567 89AB CDEF", "0123456789abcdef"},
		{"0L23456789abcdef", "0123456789abcdef"},
		{"123456", ""},
		{"12345678", ""},
		{"0123-4567-89ab-cdef0", ""},
		{strings.Repeat("-", 40) + "0123456789abcdef", ""},
		{"", ""},
	} {
		if got, ok := p.recoveryCode(c.answer); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%q: %q %v", c.answer, got, ok)
		}
	}
}
