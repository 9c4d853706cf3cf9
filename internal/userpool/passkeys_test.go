package userpool

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/document"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
)

const (
	testRP     = "auth.example.com"
	testOrigin = "https://auth.example.com"
)

// setPasskeys sets the pool's WebAuthnConfiguration, and its MFA: with TOTP and SMS, unless it is off.
func (app *testApp) setPasskeys(tb testing.TB, mode types.UserPoolMfaType, c types.WebAuthnConfigurationType) {
	tb.Helper()
	in := &cip.SetUserPoolMfaConfigInput{UserPoolId: &app.pool, MfaConfiguration: mode, WebAuthnConfiguration: &c}
	if mode != "OFF" {
		in.SoftwareTokenMfaConfiguration = &types.SoftwareTokenMfaConfigType{Enabled: true}
		in.SmsMfaConfiguration = &types.SmsMfaConfigType{SmsConfiguration: testSMS}
	}
	if _, err := app.sdk.SetUserPoolMfaConfig(tb.Context(), in); err != nil {
		tb.Fatal(err)
	}
}

// newPasskeyApp is a pool with passwords and passkeys, and the user eve.
func (ts *testServer) newPasskeyApp(tb testing.TB, options ...func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput)) *testApp {
	tb.Helper()
	app := ts.newApp(tb, append([]func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput){choosing("PW")}, options...)...)
	app.setPasskeys(tb, "OFF", types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP)})
	app.person(tb, "eve", "email", "eve@example.com", "phone_number", "+15550001234")
	return app
}

func (app *testApp) startRegistration(tb testing.TB, token *string) (*creationOptions, error) {
	tb.Helper()
	out, err := app.sdk.StartWebAuthnRegistration(tb.Context(), &cip.StartWebAuthnRegistrationInput{AccessToken: token})
	if err != nil {
		return nil, err
	}
	return readOptions[creationOptions](tb, out.CredentialCreationOptions), nil
}

func readOptions[T any](tb testing.TB, doc document.Interface) *T {
	tb.Helper()
	text, err := doc.MarshalSmithyDocument()
	var o T
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return &o
}

func (app *testApp) completeRegistration(tb testing.TB, token *string, credential any) error {
	_, err := app.sdk.CompleteWebAuthnRegistration(tb.Context(), &cip.CompleteWebAuthnRegistrationInput{AccessToken: token, Credential: document.NewLazyDocument(credential)})
	return err
}

// register makes a passkey of the user with the access token.
func (app *testApp) register(tb testing.TB, token *string, a *authenticator) {
	tb.Helper()
	options, err := app.startRegistration(tb, token)
	if err == nil {
		err = app.completeRegistration(tb, token, a.create(tb, options))
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// passkey gives a user a passkey.
func (app *testApp) passkey(tb testing.TB, name string) *authenticator {
	tb.Helper()
	a := newAuthenticator(tb, testOrigin)
	app.register(tb, app.signIn(tb, name, testPassword).AccessToken, a)
	return a
}

// askPasskey begins a sign-in with a passkey.
func (app *testApp) askPasskey(tb testing.TB, name string) (*string, *requestOptions) {
	tb.Helper()
	out, err := app.choose(tb, name, "WEB_AUTHN")
	if err != nil || out.ChallengeName != "WEB_AUTHN" || !slices.Equal(out.AvailableChallenges, []types.ChallengeNameType{"WEB_AUTHN"}) || len(out.ChallengeParameters) != 1 {
		tb.Fatalf("%+v %v", out, err)
	}
	return out.Session, parseOptions(tb, out.ChallengeParameters)
}

func parseOptions(tb testing.TB, params map[string]string) *requestOptions {
	tb.Helper()
	var o requestOptions
	if err := json.Unmarshal([]byte(params["CREDENTIAL_REQUEST_OPTIONS"]), &o); err != nil {
		tb.Fatalf("%v: %v", params, err)
	}
	return &o
}

// byPasskey signs in with a passkey.
func (app *testApp) byPasskey(tb testing.TB, name string, a *authenticator) (*cip.RespondToAuthChallengeOutput, error) {
	tb.Helper()
	session, options := app.askPasskey(tb, name)
	return app.reply(tb, name, "WEB_AUTHN", session, "CREDENTIAL", a.get(tb, options))
}

func (app *testApp) passkeys(tb testing.TB, token *string) []types.WebAuthnCredentialDescription {
	tb.Helper()
	out, err := app.sdk.ListWebAuthnCredentials(tb.Context(), &cip.ListWebAuthnCredentialsInput{AccessToken: token})
	if err != nil {
		tb.Fatal(err)
	}
	return out.Credentials
}

// TestPasskeys registers passkeys of both algorithms and goes every way to sign in with them.
func TestPasskeys(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newPasskeyApp(t, withSecret)
		token := app.signIn(t, "eve", testPassword).AccessToken
		raw, err := ts.sdk.StartWebAuthnRegistration(t.Context(), &cip.StartWebAuthnRegistrationInput{AccessToken: token})
		if err != nil {
			t.Fatal(err)
		}
		text, err := raw.CredentialCreationOptions.MarshalSmithyDocument()
		if err != nil {
			t.Fatal(err)
		}
		options := readOptions[creationOptions](t, raw.CredentialCreationOptions)
		user, err := app.getUser(t, token)
		if err != nil || string(options.User.ID) != user["sub"] || options.User.Name != "eve" || options.User.DisplayName != "eve" || options.RP != (creationRP{testRP, testRP}) {
			t.Errorf("%s %v", text, err)
		}
		for _, want := range []string{`"pubKeyCredParams":[{"alg":-7,"type":"public-key"},{"alg":-257,"type":"public-key"}]`, `"timeout":60000`, `"excludeCredentials":[]`,
			`"authenticatorSelection":{"requireResidentKey":true,"residentKey":"required","userVerification":"preferred"}`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %s", text, want)
			}
		}

		es, rs := newAuthenticator(t, testOrigin), newAuthenticator(t, "https://app.auth.example.com")
		es.platform = true
		rs.key, rs.synced, rs.counter = testRSA(), false, 7
		app.register(t, token, es)
		ts.clock.advance(time.Second)
		if options, err = app.startRegistration(t, token); err != nil || len(options.ExcludeCredentials) != 1 || options.ExcludeCredentials[0].ID != b64(es.id) {
			t.Fatalf("%+v %v", options, err)
		}
		if err := app.completeRegistration(t, token, rs.create(t, options)); err != nil {
			t.Fatal(err)
		}
		list := app.passkeys(t, token)
		if len(list) != 2 || *list[0].CredentialId != b64(es.id) || *list[1].CredentialId != b64(rs.id) || *list[0].FriendlyCredentialName != "Platform passkey" ||
			*list[1].FriendlyCredentialName != "Roaming passkey" || *list[0].RelyingPartyId != testRP || *list[1].AuthenticatorAttachment != "cross-platform" ||
			!slices.Equal(list[0].AuthenticatorTransports, []string{"hybrid", "internal"}) || !list[1].CreatedAt.Equal(ts.clock.Now().Truncate(time.Millisecond)) {
			t.Errorf("%+v", list)
		}
		own, err := ts.sdk.GetUserAuthFactors(t.Context(), &cip.GetUserAuthFactorsInput{AccessToken: token})
		if err != nil || !slices.Equal(own.ConfiguredUserAuthFactors, []types.AuthFactorType{"PASSWORD", "WEB_AUTHN"}) {
			t.Errorf("%+v %v", own, err)
		}
		var seen struct{ ConfiguredUserAuthFactors []types.AuthFactorType }
		if failure := app.raw(t, "AdminGetUserAuthFactors", map[string]any{"UserPoolId": app.pool, "Username": "eve"}, &seen); failure != "" || !slices.Equal(seen.ConfiguredUserAuthFactors, own.ConfiguredUserAuthFactors) {
			t.Errorf("%+v %v", seen, failure)
		}

		for _, a := range []*authenticator{es, rs} {
			session, options := app.askPasskey(t, "eve")
			if len(options.AllowCredentials) != 2 || options.AllowCredentials[0].ID != b64(es.id) || options.AllowCredentials[1].ID != b64(rs.id) || options.RPID != testRP ||
				options.UserVerification != "preferred" || len(options.Challenge) != 32 || options.Timeout != 60000 || !slices.Equal(options.AllowCredentials[0].Transports, []string{"hybrid", "internal"}) {
				t.Errorf("%+v", options)
			}
			out, err := app.reply(t, "eve", "WEB_AUTHN", session, "CREDENTIAL", a.get(t, options))
			tokens := wantTokens(t, "preferred", out, err)
			if got, err := app.getUser(t, tokens.AccessToken); err != nil || got["sub"] != user["sub"] {
				t.Errorf("%v %v", got, err)
			}
			// By choice, and by answering instead of choosing.
			for _, challenge := range []types.ChallengeNameType{"SELECT_CHALLENGE", "WEB_AUTHN"} {
				first, err := app.choose(t, "eve", "")
				if err != nil || !slices.Equal(first.AvailableChallenges, []types.ChallengeNameType{"PASSWORD_SRP", "PASSWORD", "WEB_AUTHN"}) {
					t.Fatalf("%+v %v", first, err)
				}
				answer := []string{"ANSWER", "WEB_AUTHN"}
				if challenge == "WEB_AUTHN" {
					answer = nil
				}
				asked, err := app.reply(t, "eve", challenge, first.Session, answer...)
				if err != nil || asked.ChallengeName != "WEB_AUTHN" {
					t.Fatalf("%+v %v", asked, err)
				}
				_, err = app.reply(t, "eve", challenge, first.Session, answer...)
				wantError(t, "choosing twice", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
				out, err := app.reply(t, "eve", "WEB_AUTHN", asked.Session, "CREDENTIAL", a.get(t, parseOptions(t, asked.ChallengeParameters)))
				wantTokens(t, string(challenge), out, err)
			}
		}
		// For an administrator.
		begun, err := ts.sdk.AdminInitiateAuth(t.Context(), &cip.AdminInitiateAuthInput{UserPoolId: &app.pool, ClientId: &app.app, AuthFlow: "USER_AUTH",
			AuthParameters: app.with("eve", map[string]string{"USERNAME": "eve", "PREFERRED_CHALLENGE": "WEB_AUTHN"})})
		if err != nil || begun.ChallengeName != "WEB_AUTHN" {
			t.Fatalf("%+v %v", begun, err)
		}
		done, err := ts.sdk.AdminRespondToAuthChallenge(t.Context(), &cip.AdminRespondToAuthChallengeInput{UserPoolId: &app.pool, ClientId: &app.app, ChallengeName: "WEB_AUTHN", Session: begun.Session,
			ChallengeResponses: app.with("eve", map[string]string{"USERNAME": "eve", "CREDENTIAL": es.get(t, parseOptions(t, begun.ChallengeParameters))})})
		if err != nil || done.AuthenticationResult == nil {
			t.Errorf("%+v %v", done, err)
		}

		// Deleted, one after the other.
		remove := func(id string) error {
			_, err := ts.sdk.DeleteWebAuthnCredential(t.Context(), &cip.DeleteWebAuthnCredentialInput{AccessToken: token, CredentialId: &id})
			return err
		}
		wantError(t, "unknown", remove("unknown"), "ResourceNotFoundException", "")
		session, asked := app.askPasskey(t, "eve")
		if err := remove(b64(es.id)); err != nil {
			t.Fatal(err)
		}
		_, err = app.reply(t, "eve", "WEB_AUTHN", session, "CREDENTIAL", es.get(t, asked))
		wantError(t, "deleted meanwhile", err, "NotAuthorizedException", "Incorrect username or password.")
		wantError(t, "twice", remove(b64(es.id)), "ResourceNotFoundException", "")
		if _, options := app.askPasskey(t, "eve"); len(options.AllowCredentials) != 1 {
			t.Errorf("%+v", options)
		}
		if err := remove(b64(rs.id)); err != nil {
			t.Fatal(err)
		}
		if out, err := app.choose(t, "eve", "WEB_AUTHN"); err != nil || out.ChallengeName != "SELECT_CHALLENGE" || slices.Contains(out.AvailableChallenges, "WEB_AUTHN") {
			t.Errorf("%+v %v", out, err)
		}
		if own, err := ts.sdk.GetUserAuthFactors(t.Context(), &cip.GetUserAuthFactorsInput{AccessToken: token}); err != nil || !slices.Equal(own.ConfiguredUserAuthFactors, []types.AuthFactorType{"PASSWORD"}) {
			t.Errorf("%+v %v", own, err)
		}
	})
}

// TestPasskeyRegistrationRefused makes passkeys that are wrong in one way each.
func TestPasskeyRegistrationRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newPasskeyApp(t)
		app.person(t, "bob", "email", "bob@example.com")
		other := app.anotherClient(t)
		eve, bob, elsewhere := app.signIn(t, "eve", testPassword).AccessToken, app.signIn(t, "bob", testPassword).AccessToken, other.signIn(t, "eve", testPassword).AccessToken
		taken := newAuthenticator(t, testOrigin)
		app.register(t, bob, taken)
		p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		data := func(name string, value any) func(*ceremony) {
			return func(c *ceremony) { c.clientData[name] = value }
		}
		key := func(n int, value any) func(*ceremony) { return func(c *ceremony) { c.publicKey[n] = value } }
		for _, c := range []struct {
			what   string
			mutate func(*ceremony)
			raw    func(map[string]any)
			token  *string
			wait   time.Duration
			code   string
		}{
			{what: "nothing", code: ""},
			{what: "self attestation", mutate: func(c *ceremony) { c.format = "packed" }},
			{what: "wrong self attestation", mutate: func(c *ceremony) {
				c.format, c.signature = "packed", func(s []byte) []byte { s[len(s)-1] ^= 1; return s }
			}, code: "InvalidParameterException"},
			{what: "unknown attestation", mutate: func(c *ceremony) { c.format, c.statement = "mine", map[string]any{"a": 1} }, code: "InvalidParameterException"},
			{what: "none with a statement", mutate: func(c *ceremony) { c.statement = map[string]any{"a": 1} }, code: "InvalidParameterException"},
			{what: "origin of another site", mutate: data("origin", "https://evil.example"), code: "WebAuthnOriginNotAllowedException"},
			{what: "origin that ends like ours", mutate: data("origin", "https://evilauth.example.com"), code: "WebAuthnOriginNotAllowedException"},
			{what: "origin of the parent", mutate: data("origin", "https://example.com"), code: "WebAuthnOriginNotAllowedException"},
			{what: "origin without TLS", mutate: data("origin", "http://auth.example.com"), code: "WebAuthnOriginNotAllowedException"},
			{what: "origin of another port", mutate: data("origin", "https://auth.example.com:8443"), code: "WebAuthnOriginNotAllowedException"},
			{what: "page in a page", mutate: data("crossOrigin", true), code: "InvalidParameterException"},
			{what: "another relying party", mutate: func(c *ceremony) { c.rpID = "example.com" }, code: "WebAuthnRelyingPartyMismatchException"},
			{what: "nobody there", mutate: func(c *ceremony) { c.flags &^= flagPresent }, code: "InvalidParameterException"},
			{what: "backed up, but not to be", mutate: func(c *ceremony) { c.flags &^= flagEligible }, code: "InvalidParameterException"},
			{what: "ceremony of sign-in", mutate: data("type", "webauthn.get"), code: "InvalidParameterException"},
			{what: "challenge of ours, changed", mutate: func(c *ceremony) {
				b := unb64(t, c.clientData["challenge"].(string))
				b[len(b)-1] ^= 1
				c.clientData["challenge"] = b64(b)
			}, code: "WebAuthnChallengeNotFoundException"},
			{what: "challenge made up", mutate: data("challenge", b64(make([]byte, 32))), code: "WebAuthnChallengeNotFoundException"},
			{what: "challenge of nothing", mutate: data("challenge", ""), code: "WebAuthnChallengeNotFoundException"},
			{what: "challenge of eve for bob", token: bob, code: "WebAuthnChallengeNotFoundException"},
			{what: "challenge of another client", token: elsewhere, code: "WebAuthnClientMismatchException"},
			{what: "challenge too old", wait: registrationLife, code: "WebAuthnChallengeNotFoundException"},
			{what: "algorithm ES384", mutate: func(c *ceremony) {
				point, _ := p384.PublicKey.Bytes()
				c.publicKey = map[int]any{1: 2, 3: -35, -1: 2, -2: point[1:49], -3: point[49:]}
			}, code: "WebAuthnCredentialNotSupportedException"},
			{what: "algorithm none", mutate: key(3, 0), code: "WebAuthnCredentialNotSupportedException"},
			{what: "algorithm of another key", mutate: key(3, -257), code: "WebAuthnCredentialNotSupportedException"},
			{what: "point beside the curve", mutate: key(-2, make([]byte, 32)), code: "WebAuthnCredentialNotSupportedException"},
			{what: "short RSA key", mutate: func(c *ceremony) {
				c.publicKey = map[int]any{1: 3, 3: -257, -1: append([]byte{0xff}, make([]byte, 127)...), -2: []byte{1, 0, 1}}
			}, code: "WebAuthnCredentialNotSupportedException"},
			{what: "huge RSA key", mutate: func(c *ceremony) {
				c.publicKey = map[int]any{1: 3, 3: -257, -1: append([]byte{0xff}, make([]byte, 1023)...), -2: []byte{1, 0, 1}}
			}, code: "WebAuthnCredentialNotSupportedException"},
			{what: "type none", raw: func(m map[string]any) { m["type"] = "none" }, code: "WebAuthnCredentialNotSupportedException"},
			{what: "no type", raw: func(m map[string]any) { delete(m, "type") }, code: "WebAuthnCredentialNotSupportedException"},
			{what: "another id", mutate: func(c *ceremony) { c.id = taken.id }, code: "InvalidParameterException"},
			{what: "id of bob's", mutate: func(c *ceremony) { c.id = taken.id }, raw: func(m map[string]any) { m["id"], m["rawId"] = b64(taken.id), b64(taken.id) }, code: "InvalidParameterException"},
			{what: "no response", raw: func(m map[string]any) { delete(m, "response") }, code: "InvalidParameterException"},
			{what: "too long", raw: func(m map[string]any) { m["x"] = strings.Repeat("x", maxCredentialText) }, code: "InvalidParameterException"},
		} {
			options, err := app.startRegistration(t, eve)
			if err != nil {
				t.Fatal(err)
			}
			a := newAuthenticator(t, testOrigin)
			a.mutate, a.mutateRaw = c.mutate, c.raw
			credential := a.create(t, options)
			ts.clock.advance(c.wait)
			if c.token == nil {
				c.token = eve
			}
			err = app.completeRegistration(t, c.token, credential)
			switch {
			case c.code != "":
				wantError(t, c.what, err, c.code, "")
			case err != nil:
				t.Errorf("%s: %v", c.what, err)
			default:
				wantError(t, c.what+", twice", app.completeRegistration(t, c.token, credential), "WebAuthnChallengeNotFoundException", "")
			}
		}
		wantError(t, "no object", app.completeRegistration(t, eve, "text"), "InvalidParameterException", "")
		if n := len(app.passkeys(t, eve)); n != 2 {
			t.Errorf("%d passkeys", n)
		}
		// The pool's settings.
		options, err := app.startRegistration(t, eve)
		if err != nil {
			t.Fatal(err)
		}
		a := newAuthenticator(t, testOrigin)
		a.verifies = false
		credential := a.create(t, options)
		app.setPasskeys(t, "OFF", types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP), UserVerification: "required"})
		wantError(t, "user not verified", app.completeRegistration(t, eve, credential), "WebAuthnCredentialNotSupportedException", "")
		app.setPasskeys(t, "OFF", types.WebAuthnConfigurationType{RelyingPartyId: aws.String("example.com")})
		wantError(t, "relying party changed", app.completeRegistration(t, eve, credential), "WebAuthnRelyingPartyMismatchException", "")
		if out, err := app.choose(t, "eve", "WEB_AUTHN"); err != nil || out.ChallengeName != "SELECT_CHALLENGE" {
			t.Errorf("passkeys of the former relying party: %+v %v", out, err)
		}
		app.setPasskeys(t, "OFF", types.WebAuthnConfigurationType{})
		_, err = app.startRegistration(t, eve)
		wantError(t, "no relying party", err, "WebAuthnConfigurationMissingException", "")
		wantError(t, "no relying party", app.completeRegistration(t, eve, credential), "WebAuthnRelyingPartyMismatchException", "")
		if _, err := ts.sdk.UpdateUserPool(t.Context(), &cip.UpdateUserPoolInput{UserPoolId: &app.pool}); err != nil {
			t.Fatal(err)
		}
		_, err = app.startRegistration(t, eve)
		wantError(t, "not enabled", err, "WebAuthnNotEnabledException", "")
		wantError(t, "not enabled", app.completeRegistration(t, eve, credential), "WebAuthnNotEnabledException", "")
		if n := len(app.passkeys(t, eve)); n != 2 {
			t.Errorf("%d passkeys", n)
		}
		_, err = app.startRegistration(t, aws.String("token"))
		wantError(t, "token", err, "NotAuthorizedException", "Invalid Access Token")
	})
}

// TestPasskeySignInRefused proves passkeys wrongly, in one way each.
func TestPasskeySignInRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app, foreign := ts.newPasskeyApp(t), ts.newPasskeyApp(t)
		app.person(t, "bob", "email", "bob@example.com")
		eves, bobs, foreigns := app.passkey(t, "eve"), app.passkey(t, "bob"), foreign.passkey(t, "eve")
		data := func(name string, value any) func(*ceremony) {
			return func(c *ceremony) { c.clientData[name] = value }
		}
		const wrong = "NotAuthorizedException: Incorrect username or password."
		for _, c := range []struct {
			what   string
			by     *authenticator
			mutate func(*ceremony)
			raw    func(map[string]any)
			name   string // of the answer
			want   string
		}{
			{what: "nothing"},
			{what: "no user handle", raw: func(m map[string]any) { delete(m["response"].(map[string]any), "userHandle") }},
			{what: "subdomain", mutate: data("origin", "https://www.auth.example.com")},
			{what: "bob's passkey", by: bobs, want: wrong},
			{what: "bob's passkey as eve", by: bobs, raw: func(m map[string]any) { delete(m["response"].(map[string]any), "userHandle") }, want: wrong},
			{what: "eve's id, bob's key", by: bobs, mutate: func(c *ceremony) { c.id = eves.id }, raw: func(m map[string]any) { delete(m["response"].(map[string]any), "userHandle") }, want: wrong},
			{what: "another pool's passkey", by: foreigns, raw: func(m map[string]any) { delete(m["response"].(map[string]any), "userHandle") }, want: wrong},
			{what: "user handle of another", raw: func(m map[string]any) { m["response"].(map[string]any)["userHandle"] = b64([]byte("bob")) }, want: wrong},
			{what: "answer for bob", name: "bob", want: "NotAuthorizedException: Invalid session for the user."},
			{what: "origin of another site", mutate: data("origin", "https://evil.example"), want: wrong},
			{what: "origin without TLS", mutate: data("origin", "http://auth.example.com"), want: wrong},
			{what: "page in a page", mutate: data("crossOrigin", true), want: wrong},
			{what: "another relying party", mutate: func(c *ceremony) { c.rpID = "evil.example" }, want: wrong},
			{what: "another challenge", mutate: data("challenge", b64(make([]byte, 32))), want: wrong},
			{what: "ceremony of registration", mutate: data("type", "webauthn.create"), want: wrong},
			{what: "ceremony none", mutate: data("type", "none"), want: wrong},
			{what: "nobody there", mutate: func(c *ceremony) { c.flags &^= flagPresent }, want: wrong},
			{what: "backup flags changed", mutate: func(c *ceremony) { c.flags &^= flagEligible | flagBackedUp }, want: wrong},
			{what: "signature flipped", mutate: func(c *ceremony) { c.signature = func(s []byte) []byte { s[len(s)-1] ^= 1; return s } }, want: wrong},
			{what: "no signature", mutate: func(c *ceremony) { c.signature = func([]byte) []byte { return nil } }, want: wrong},
			{what: "signature with a tail", mutate: func(c *ceremony) { c.signature = func(s []byte) []byte { return append(s, 0) } }, want: wrong},
			{what: "signature of zeros", mutate: func(c *ceremony) { c.signature = func([]byte) []byte { return []byte{0x30, 6, 2, 1, 0, 2, 1, 0} } }, want: wrong},
			{what: "type none", raw: func(m map[string]any) { m["type"] = "none" }, want: "InvalidParameterException"},
			{what: "two ids", raw: func(m map[string]any) { m["rawId"] = b64(bobs.id) }, want: "InvalidParameterException"},
			{what: "too long", raw: func(m map[string]any) { m["x"] = strings.Repeat("x", maxCredentialText) }, want: "InvalidParameterException"},
		} {
			if c.by == nil {
				c.by = eves
			}
			if c.name == "" {
				c.name = "eve"
			}
			session, options := app.askPasskey(t, "eve")
			c.by.mutate, c.by.mutateRaw = c.mutate, c.raw
			credential := c.by.get(t, options)
			c.by.mutate, c.by.mutateRaw = nil, nil
			out, err := app.reply(t, c.name, "WEB_AUTHN", session, "CREDENTIAL", credential)
			if c.want == "" {
				wantTokens(t, c.what, out, err)
			} else {
				code, message, _ := strings.Cut(c.want, ": ")
				wantError(t, c.what, err, code, message)
			}
			// What was tried once is used up, right or wrong.
			if c.want == "" || c.want == wrong {
				for _, again := range []string{credential, eves.get(t, options)} {
					_, err = app.reply(t, "eve", "WEB_AUTHN", session, "CREDENTIAL", again)
					wantError(t, c.what+", twice", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
				}
			}
		}
		// The session.
		session, options := app.askPasskey(t, "eve")
		right := eves.get(t, options)
		other := app.anotherClient(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.ExplicitAuthFlows = []types.ExplicitAuthFlowsType{"ALLOW_USER_AUTH"}
		})
		_, err := other.reply(t, "eve", "WEB_AUTHN", session, "CREDENTIAL", right)
		wantError(t, "another client", err, "NotAuthorizedException", "Invalid session for the user.")
		_, err = app.reply(t, "eve", "WEB_AUTHN", session)
		wantError(t, "no answer", err, "InvalidParameterException", "Missing required parameter CREDENTIAL")
		_, err = app.reply(t, "eve", "SELECT_CHALLENGE", session, "ANSWER", "PASSWORD", "PASSWORD", testPassword)
		wantError(t, "another challenge", err, "NotAuthorizedException", "Invalid session for the user.")
		session2, _ := app.askPasskey(t, "eve")
		_, err = app.reply(t, "eve", "WEB_AUTHN", session2, "CREDENTIAL", right)
		wantError(t, "answer to another session", err, "NotAuthorizedException", "Incorrect username or password.")
		ts.clock.advance(3 * time.Minute)
		_, err = app.reply(t, "eve", "WEB_AUTHN", session, "CREDENTIAL", right)
		wantError(t, "too late", err, "NotAuthorizedException", "Invalid session for the user, session is expired.")

		// What changes between the challenge and the answer.
		token := app.signIn(t, "eve", testPassword).AccessToken
		do := func(_ any, err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			what   string
			verify bool // by the authenticator
			change func()
			want   string
		}{
			{"verification required", false, func() {
				app.setPasskeys(t, "OFF", types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP), UserVerification: "required"})
			}, wrong},
			{"verification required and given", true, func() {}, ""},
			{"another relying party", true, func() {
				app.setPasskeys(t, "OFF", types.WebAuthnConfigurationType{RelyingPartyId: aws.String("www.auth.example.com")})
			}, wrong},
			{"none", true, func() { app.setPasskeys(t, "OFF", types.WebAuthnConfigurationType{}) }, wrong},
			{"MFA turned on", true, func() {
				app.setPasskeys(t, "OPTIONAL", types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP)})
				do(ts.sdk.SetUserMFAPreference(t.Context(), &cip.SetUserMFAPreferenceInput{AccessToken: token, SMSMfaSettings: &types.SMSMfaSettingsType{Enabled: true}}))
			}, wrong},
			{"disabled", true, func() {
				do(ts.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: aws.String("eve")}))
			}, "NotAuthorizedException: User is disabled."},
			{"another password", true, func() {
				ts.clock.advance(time.Second)
				do(ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("eve"), Password: aws.String(newPassword), Permanent: true}))
			}, "NotAuthorizedException: Invalid session for the user."},
			{"deleted", true, func() {
				do(ts.sdk.AdminDeleteUser(t.Context(), &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: aws.String("eve")}))
			}, "NotAuthorizedException: Invalid session for the user."},
		} {
			session, options := app.askPasskey(t, "eve")
			c.change()
			eves.verifies = c.verify
			out, err := app.reply(t, "eve", "WEB_AUTHN", session, "CREDENTIAL", eves.get(t, options))
			if c.want == "" {
				wantTokens(t, c.what, out, err)
			} else {
				code, message, _ := strings.Cut(c.want, ": ")
				wantError(t, c.what, err, code, message)
			}
			switch c.what {
			case "another relying party", "none":
				app.setPasskeys(t, "OFF", types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP), UserVerification: "required"})
			case "MFA turned on":
				app.setPasskeys(t, "OFF", types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP)})
			case "another password": // a temporary one has to be changed first
				for _, permanent := range []bool{false, true} {
					do(ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("eve"), Password: aws.String(newPassword), Permanent: permanent}))
					if out, err := app.choose(t, "eve", "WEB_AUTHN"); err != nil || (out.ChallengeName == "WEB_AUTHN") != permanent {
						t.Errorf("permanent %v: %+v %v", permanent, out, err)
					}
				}
			case "disabled":
				do(ts.sdk.AdminEnableUser(t.Context(), &cip.AdminEnableUserInput{UserPoolId: &app.pool, Username: aws.String("eve")}))
			}
		}
		rows, err := db.All[string](t.Context(), ts.DB, `SELECT sub FROM user_passkeys WHERE pool_id = $1`, app.pool)
		if err != nil || len(rows) != 1 { // bob's
			t.Errorf("%v %v", rows, err)
		}
	})
}

// TestPasskeyRestart: what one process has remembered in memory, its successor cannot know.
func TestPasskeyRestart(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newPasskeyApp(t)
		a := app.passkey(t, "eve")
		session, options := app.askPasskey(t, "eve")
		ts.initAuth()
		out, err := app.reply(t, "eve", "WEB_AUTHN", session, "CREDENTIAL", a.get(t, options))
		if ts.DB.Shared() {
			wantTokens(t, "answer after a restart", out, err)
			return
		}
		wantError(t, "answer after a restart", err, "NotAuthorizedException", "Invalid session for the user.")
	})
}

// TestPasskeyCounter signs in with an authenticator that counts, and with its copy.
func TestPasskeyCounter(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newPasskeyApp(t)
		a := newAuthenticator(t, testOrigin)
		a.counter = 5
		app.register(t, app.signIn(t, "eve", testPassword).AccessToken, a)
		copied := *a
		for range 2 {
			out, err := app.byPasskey(t, "eve", a)
			wantTokens(t, "counts", out, err)
		}
		for range 2 { // 6 and 7, which were there before
			_, err := app.byPasskey(t, "eve", &copied)
			wantError(t, "copy", err, "NotAuthorizedException", "Incorrect username or password.")
		}
		copied.counter = 0
		_, err := app.byPasskey(t, "eve", &copied)
		wantError(t, "copy that does not count", err, "NotAuthorizedException", "")
		out, err := app.byPasskey(t, "eve", a)
		wantTokens(t, "the original", out, err)
	})
}

// TestPasskeyMFA signs in where a second factor is needed.
func TestPasskeyMFA(t *testing.T) {
	for _, c := range []struct {
		mode  types.UserPoolMfaType
		multi bool // FactorConfiguration
		sms   bool // the user has turned SMS on
		on    bool // and passkeys
		want  string
	}{
		{"OFF", false, false, false, "preferred"},
		{"OFF", true, false, false, "preferred"},
		{"OPTIONAL", false, false, false, "preferred"},
		{"OPTIONAL", true, false, false, "preferred"},
		{"OPTIONAL", false, true, false, "not offered"},
		{"OPTIONAL", true, true, false, "not offered"},
		{"OPTIONAL", true, true, true, "required"},
		{"ON", true, true, false, "not offered"},
		{"ON", true, true, true, "required"},
		{"ON", true, false, true, "required"}, // SMS is asked of everybody who has a number
	} {
		name := fmt.Sprintf("%+v", c)
		ts := newTestServerSQLite(t)
		app := ts.newPasskeyApp(t)
		a := app.passkey(t, "eve")
		config := types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP), FactorConfiguration: "SINGLE_FACTOR"}
		if c.multi {
			config.FactorConfiguration = "MULTI_FACTOR_WITH_USER_VERIFICATION"
		}
		app.setPasskeys(t, c.mode, config)
		in := &cip.AdminSetUserMFAPreferenceInput{UserPoolId: &app.pool, Username: aws.String("eve")}
		if c.sms {
			in.SMSMfaSettings = &types.SMSMfaSettingsType{Enabled: true}
		}
		if c.on {
			in.WebAuthnMfaSettings = &types.WebAuthnMfaSettingsType{Enabled: true}
		}
		if _, err := ts.sdk.AdminSetUserMFAPreference(t.Context(), in); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out, err := app.choose(t, "eve", "WEB_AUTHN")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c.want == "not offered" {
			if out.ChallengeName != "SELECT_CHALLENGE" || slices.Contains(out.AvailableChallenges, "WEB_AUTHN") {
				t.Errorf("%s: %+v", name, out)
			}
			continue
		}
		if out.ChallengeName != "WEB_AUTHN" || parseOptions(t, out.ChallengeParameters).UserVerification != c.want {
			t.Errorf("%s: %+v", name, out)
			continue
		}
		a.verifies = false
		_, err = app.byPasskey(t, "eve", a)
		if c.want == "required" {
			wantError(t, name+", not verified", err, "NotAuthorizedException", "Incorrect username or password.")
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		a.verifies = true
		done, err := app.byPasskey(t, "eve", a)
		wantTokens(t, name, done, err)
		// The password alone still needs the other factor.
		if by, err := app.password(t, "eve", testPassword); err != nil || (by.ChallengeName == "SMS_MFA") != (c.want == "required") {
			t.Errorf("%s: %+v %v", name, by, err)
		}
	}
}

// TestPasskeyMFASettings sets what may not be.
func TestPasskeyMFASettings(t *testing.T) {
	ts := newTestServerSQLite(t)
	app := ts.newPasskeyApp(t)
	token := app.signIn(t, "eve", testPassword).AccessToken
	multi := types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP), FactorConfiguration: "MULTI_FACTOR_WITH_USER_VERIFICATION", UserVerification: "required"}
	prefer := func(sms, passkey bool) error {
		_, err := ts.sdk.SetUserMFAPreference(t.Context(), &cip.SetUserMFAPreferenceInput{AccessToken: token, SMSMfaSettings: &types.SMSMfaSettingsType{Enabled: sms}, WebAuthnMfaSettings: &types.WebAuthnMfaSettingsType{Enabled: passkey}})
		return err
	}
	app.setPasskeys(t, "OPTIONAL", types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP)})
	wantError(t, "single factor", prefer(true, true), "InvalidParameterException", errPasskeyMFAOff.Message)
	app.setPasskeys(t, "OPTIONAL", multi)
	wantError(t, "no other factor", prefer(false, true), "InvalidParameterException", errPasskeyMFAAlone.Message)
	for _, passkey := range []bool{true, false, true} {
		if err := prefer(true, passkey); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ts.sdk.GetUser(t.Context(), &cip.GetUserInput{AccessToken: token})
	if err != nil || !slices.Equal(got.UserMFASettingList, []string{"SMS_MFA"}) {
		t.Errorf("%+v %v", got, err)
	}
	// Passkeys go with the last other factor.
	if _, err := ts.sdk.SetUserMFAPreference(t.Context(), &cip.SetUserMFAPreferenceInput{AccessToken: token, SMSMfaSettings: &types.SMSMfaSettingsType{}}); err != nil {
		t.Fatal(err)
	}
	if u, err := ts.userBySub(t.Context(), ts.DB, mustPool(t, ts, app.pool), *attribute(got.UserAttributes, "sub")); err != nil || u.mfa().Passkey {
		t.Errorf("%+v %v", u, err)
	}
	config, err := ts.sdk.GetUserPoolMfaConfig(t.Context(), &cip.GetUserPoolMfaConfigInput{UserPoolId: &app.pool})
	if err != nil || *config.WebAuthnConfiguration.RelyingPartyId != testRP || config.WebAuthnConfiguration.FactorConfiguration != multi.FactorConfiguration || config.WebAuthnConfiguration.UserVerification != "required" {
		t.Errorf("%+v %v", config, err)
	}
	set := func(mode types.UserPoolMfaType, c *types.WebAuthnConfigurationType) error {
		in := &cip.SetUserPoolMfaConfigInput{UserPoolId: &app.pool, MfaConfiguration: mode, WebAuthnConfiguration: c}
		if mode != "OFF" {
			in.SoftwareTokenMfaConfiguration = &types.SoftwareTokenMfaConfigType{Enabled: true}
		}
		_, err := ts.sdk.SetUserPoolMfaConfig(t.Context(), in)
		return err
	}
	if err := set("ON", &multi); err != nil {
		t.Error(err)
	}
	wantError(t, "required without MULTI_FACTOR", set("ON", &types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP)}), "InvalidParameterException", errMFAPasskeys.Message)
	wantError(t, "required without anything", set("ON", nil), "InvalidParameterException", errMFAPasskeys.Message)
	for _, id := range []string{"com", "co.uk", "github.io", "example", "EXAMPLE.com", "https://example.com", "example.com:8080", "example.com/", "127.0.0.1", "[::1]", "-a.com", "a..com", ".com", "a.com.", "exämple.com"} {
		wantError(t, id, set("OFF", &types.WebAuthnConfigurationType{RelyingPartyId: &id}), "InvalidParameterException", errRelyingPartyID.Message)
	}
	for _, id := range []string{"localhost", "example.com", "a.b.example.co.uk", "shop.github.io", "intranet.corp", "xn--exmple-cua.com"} {
		if err := set("OFF", &types.WebAuthnConfigurationType{RelyingPartyId: &id}); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	wantError(t, "value", set("OFF", &types.WebAuthnConfigurationType{UserVerification: "discouraged"}), "InvalidParameterException", "")
	lite, err := ts.sdk.CreateUserPool(t.Context(), &cip.CreateUserPoolInput{PoolName: aws.String("lite"), UserPoolTier: "LITE"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ts.sdk.SetUserPoolMfaConfig(t.Context(), &cip.SetUserPoolMfaConfigInput{UserPoolId: lite.UserPool.Id, WebAuthnConfiguration: &multi})
	wantError(t, "tier", err, "FeatureUnavailableInTierException", "")
}

func mustPool(tb testing.TB, ts *testServer, id string) *pool {
	tb.Helper()
	p, err := ts.Service.pool(tb.Context(), id)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func attribute(list []types.AttributeType, name string) *string {
	return aws.String(attributeMap(list)[name])
}

func TestPasskeyOrigins(t *testing.T) {
	ts := newTestServerSQLite(t)
	android := "android:apk-key-hash:" + b64(make([]byte, 32))
	for _, c := range []struct {
		rp, tag, origin string
		allowed         bool
	}{
		{testRP, "", "https://auth.example.com", true},
		{testRP, "", "https://www.auth.example.com", true},
		{testRP, "", "https://example.com", false},
		{testRP, "", "https://auth.example.com.evil.example", false},
		{testRP, "", "https://auth.example.com:8443", false},
		{testRP, "", "https://auth.example.com:443", false}, // no browser writes it so
		{testRP, "", "https://auth.example.com/", false},
		{testRP, "", "https://x@auth.example.com", false},
		{testRP, "", "http://auth.example.com", false},
		{testRP, "", "http://localhost", false},
		{testRP, "", "null", false},
		{testRP, "", "", false},
		{testRP, "", android, false},
		{testRP, "https://auth.example.com:8443 https://shop.example http://localhost:3000 " + android, "https://auth.example.com:8443", true},
		{testRP, "https://auth.example.com:8443 https://shop.example http://localhost:3000 " + android, "https://shop.example", true},
		{testRP, "https://auth.example.com:8443 https://shop.example http://localhost:3000 " + android, "http://localhost:3000", true},
		{testRP, "https://auth.example.com:8443 https://shop.example http://localhost:3000 " + android, android, true},
		{testRP, "https://auth.example.com:8443 https://shop.example http://localhost:3000 " + android, "http://localhost:3001", false},
		{testRP, "https://shop.example", "https://www.shop.example", false},
		{"localhost", "", "http://localhost", true},
		{"localhost", "", "http://localhost:5173", true},
		{"localhost", "", "https://app.localhost:5173", true},
		{"localhost", "", "http://127.0.0.1:5173", false},
		{"localhost", "", "http://evil.example", false},
		{"localhost", "", "http://localhost:99999", false},
		{"localhost", "", "http://localhost:", false},
		{"localhost", "", "ftp://localhost", false},
	} {
		rp := relyingParty{c.rp, strings.Fields(c.tag)}
		if got := rp.allows(c.origin); got != c.allowed {
			t.Errorf("%s, tag %q: %s: %v", c.rp, c.tag, c.origin, got)
		}
		if err := checkPasskeyOrigins(map[string]string{tagPasskeyOrigins: c.tag}); err != nil {
			t.Errorf("%q: %v", c.tag, err)
		}
	}
	for _, tag := range []string{"http://example.com", "example.com", "*", "https://*.example.com", "https://example.com/path", "https://example.com http://other.example", "android:apk-key-hash:short", "null"} {
		_, err := ts.sdk.CreateUserPool(t.Context(), &cip.CreateUserPoolInput{PoolName: aws.String("test"), UserPoolTags: map[string]string{tagPasskeyOrigins: tag}})
		wantError(t, tag, err, "InvalidParameterException", errPasskeyOrigins.Message)
	}
}

// TestPasskeyHidden: a name that nobody has looks like one of somebody with a passkey.
func TestPasskeyHidden(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newPasskeyApp(t, hidden)
		a := app.passkey(t, "eve")
		with, without := "", ""
		for i := 0; with == "" || without == ""; i++ {
			name := fmt.Sprintf("nobody%d", i)
			out, err := app.choose(t, name, "")
			if err != nil || out.ChallengeName != "SELECT_CHALLENGE" || len(out.AvailableChallenges) == 0 {
				t.Fatalf("%+v %v", out, err)
			}
			if slices.Contains(out.AvailableChallenges, "WEB_AUTHN") {
				with = name
			} else {
				without = name
			}
		}
		session, asked := app.askPasskey(t, with)
		_, again := app.askPasskey(t, with)
		if len(asked.AllowCredentials) != 1 || asked.AllowCredentials[0].ID != again.AllowCredentials[0].ID || asked.Challenge.String() == again.Challenge.String() || asked.RPID != testRP {
			t.Errorf("%+v %+v", asked, again)
		}
		realSession, realOptions := app.askPasskey(t, "eve")
		if d := len(*session) - len(*realSession); d < -40 || d > 40 {
			t.Errorf("sessions of %d and %d", len(*session), len(*realSession))
		}
		fake := newAuthenticator(t, testOrigin)
		fake.id = unb64(t, asked.AllowCredentials[0].ID)
		_, err := app.reply(t, with, "WEB_AUTHN", session, "CREDENTIAL", fake.get(t, asked))
		fake.id = a.id
		_, realErr := app.reply(t, "eve", "WEB_AUTHN", realSession, "CREDENTIAL", fake.get(t, realOptions))
		wantError(t, "nobody", err, "NotAuthorizedException", "Incorrect username or password.")
		wantError(t, "eve", realErr, "NotAuthorizedException", "Incorrect username or password.")
		if out, err := app.choose(t, without, "WEB_AUTHN"); err != nil || out.ChallengeName != "SELECT_CHALLENGE" {
			t.Errorf("%+v %v", out, err)
		}
		// Disabled, and gone.
		realSession, realOptions = app.askPasskey(t, "eve")
		if _, err := ts.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: aws.String("eve")}); err != nil {
			t.Fatal(err)
		}
		_, err = app.reply(t, "eve", "WEB_AUTHN", realSession, "CREDENTIAL", a.get(t, realOptions))
		wantError(t, "disabled", err, "NotAuthorizedException", "Incorrect username or password.")
	})
}

// TestPasskeyRaces answers one challenge many times at once.
func TestPasskeyRaces(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newPasskeyApp(t)
		token := app.signIn(t, "eve", testPassword).AccessToken
		options, err := app.startRegistration(t, token)
		if err != nil {
			t.Fatal(err)
		}
		at := func(what string, refusal string, do func(i int) error) {
			var wg sync.WaitGroup
			errs := make([]error, 16)
			for i := range errs {
				wg.Go(func() { errs[i] = do(i) })
			}
			wg.Wait()
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
				} else {
					wantError(t, what, err, refusal, "")
				}
			}
			if won != 1 {
				t.Errorf("%s: %d", what, won)
			}
		}
		made := make([]*authenticator, 16)
		credentials := make([]map[string]any, 16)
		for i := range made {
			made[i] = newAuthenticator(t, testOrigin)
			credentials[i] = made[i].create(t, options)
		}
		at("registered", "WebAuthnChallengeNotFoundException", func(i int) error { return app.completeRegistration(t, token, credentials[i]) })
		list := app.passkeys(t, token)
		if len(list) != 1 {
			t.Fatalf("%d passkeys", len(list))
		}
		winner := made[slices.IndexFunc(made, func(a *authenticator) bool { return b64(a.id) == *list[0].CredentialId })]
		session, asked := app.askPasskey(t, "eve")
		answer := winner.get(t, asked)
		at("signed in", "NotAuthorizedException", func(int) error {
			_, err := app.reply(t, "eve", "WEB_AUTHN", session, "CREDENTIAL", answer)
			return err
		})
	})
}

// TestPasskeyLimit registers as many as there may be, and pages through them.
func TestPasskeyLimit(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newPasskeyApp(t)
		token := app.signIn(t, "eve", testPassword).AccessToken
		last, err := app.startRegistration(t, token)
		if err != nil {
			t.Fatal(err)
		}
		for range maxPasskeys {
			app.register(t, token, newAuthenticator(t, testOrigin))
		}
		_, err = app.startRegistration(t, token)
		wantError(t, "one more", err, "LimitExceededException", "")
		wantError(t, "one more, begun before", app.completeRegistration(t, token, newAuthenticator(t, testOrigin).create(t, last)), "LimitExceededException", "")
		var ids []string
		var next *string
		for pages := 1; ; pages++ {
			out, err := ts.sdk.ListWebAuthnCredentials(t.Context(), &cip.ListWebAuthnCredentialsInput{AccessToken: token, MaxResults: aws.Int32(6), NextToken: next})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range out.Credentials {
				ids = append(ids, *c.CredentialId)
			}
			if next = out.NextToken; next == nil {
				if pages != 4 {
					t.Errorf("%d pages", pages)
				}
				break
			}
		}
		if sorted := slices.Compact(slices.Sorted(slices.Values(ids))); len(sorted) != maxPasskeys {
			t.Errorf("%d passkeys listed", len(sorted))
		}
		_, err = ts.sdk.ListWebAuthnCredentials(t.Context(), &cip.ListWebAuthnCredentialsInput{AccessToken: token, MaxResults: aws.Int32(21)})
		wantError(t, "too many", err, "InvalidParameterException", "")
		_, err = ts.sdk.ListWebAuthnCredentials(t.Context(), &cip.ListWebAuthnCredentialsInput{AccessToken: token, NextToken: aws.String("x")})
		wantError(t, "token", err, "InvalidParameterException", "")
		// Whoever writes to the database alone cannot make another's passkey eve's.
		a := newAuthenticator(t, testOrigin)
		app.person(t, "bob", "email", "bob@example.com")
		app.register(t, app.signIn(t, "bob", testPassword).AccessToken, a)
		if err := ts.DB.Tx(t.Context(), func(tx *db.Tx) error {
			return db.Changed(tx.ExecContext(t.Context(), `UPDATE user_passkeys SET public_key = (SELECT public_key FROM user_passkeys WHERE credential_id = $1) WHERE credential_id = $2`, b64(a.id), ids[0]))
		}); err != nil {
			t.Fatal(err)
		}
		p := mustPool(t, ts, app.pool)
		sub, err := db.One[string](t.Context(), ts.DB, `SELECT sub FROM user_passkeys WHERE credential_id = $1`, ids[0])
		if err != nil {
			t.Fatal(err)
		}
		in := signIn{Service: ts.Service, pool: p}
		if _, err := in.findPasskey(t.Context(), &user{userRow: userRow{Sub: sub}}, ids[0]); err == nil || errors.Is(err, db.ErrNotFound) {
			t.Errorf("key of another: %v", err)
		}
		// They go with their user, and with the pool.
		if _, err := ts.sdk.DeleteUser(t.Context(), &cip.DeleteUserInput{AccessToken: token}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{1, 0} {
			n, err := db.One[int](t.Context(), ts.DB, `SELECT count(*) FROM user_passkeys`)
			if err != nil || n != want {
				t.Errorf("%d passkeys left, want %d: %v", n, want, err)
			}
			if _, err := ts.sdk.DeleteUserPool(t.Context(), &cip.DeleteUserPoolInput{UserPoolId: &app.pool}); err != nil && want == 1 {
				t.Fatal(err)
			}
			if err := ts.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzPasskeyCreation: nothing but what an authenticator made for the challenge is a passkey.
func FuzzPasskeyCreation(f *testing.F) {
	a := newAuthenticator(f, testOrigin)
	challenge := make([]byte, 32)
	text, err := json.Marshal(a.create(f, &creationOptions{RP: creationRP{testRP, testRP}, Challenge: challenge}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	rp := relyingParty{id: testRP}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCreation(text)
		if err != nil {
			return
		}
		k, err := rp.checkCreation(c, b64(challenge), true)
		if err == nil && (k.ID != b64(c.RawID) || checkPasskeyKey(k.PublicKey) != nil || !c.Response.AttestationObject.AuthData.Flags.HasUserVerified()) {
			t.Errorf("accepted: %+v", k)
		}
	})
}

// FuzzPasskeyAssertion: no text proves a key that has signed nothing.
func FuzzPasskeyAssertion(f *testing.F) {
	a := newAuthenticator(f, testOrigin)
	options := &requestOptions{Challenge: make([]byte, 32), RPID: testRP}
	f.Add(a.get(f, options))
	rp := relyingParty{id: testRP}
	f.Fuzz(func(t *testing.T, text string) {
		assertion, err := parseAssertion(text)
		if err != nil {
			return
		}
		if rp.checkAssertion(assertion, &passkey{RelyingParty: testRP, PublicKey: nobodysPasskey(), BackupEligible: true}, "sub", options.Challenge.String(), false) == nil {
			t.Error("accepted")
		}
	})
}

// TestPasskeyDevice: a passkey proves the user, and a device that is named proves itself, too.
func TestPasskeyDevice(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newPasskeyApp(t, tracking(false, false))
		first := app.signIn(t, "eve", testPassword)
		a := newAuthenticator(t, testOrigin)
		app.register(t, first.AccessToken, a)
		d := newDevice(t, first)
		if _, err := app.confirmDevice(t, first.AccessToken, d); err != nil {
			t.Fatal(err)
		}
		out, err := app.byPasskey(t, "eve", a)
		if err != nil || out.AuthenticationResult == nil || out.AuthenticationResult.NewDeviceMetadata == nil {
			t.Fatalf("on a new device: %+v %v", out, err)
		}
		begun, err := app.choose(t, "eve", "WEB_AUTHN", "DEVICE_KEY", d.key)
		if err != nil {
			t.Fatal(err)
		}
		out, err = app.reply(t, "eve", "WEB_AUTHN", begun.Session, "CREDENTIAL", a.get(t, parseOptions(t, begun.ChallengeParameters)))
		if err != nil || out.ChallengeName != "DEVICE_SRP_AUTH" {
			t.Fatalf("on a remembered device: %+v %v", out, err)
		}
		out, err = app.device(t, "eve", d, out.Session)
		wantTokens(t, "on a remembered device", out, err)
	})
}

// TestPasskeyFormerRelyingParty: a passkey is good for the relying party that it was made for, whatever it signs.
func TestPasskeyFormerRelyingParty(t *testing.T) {
	ts := newTestServerSQLite(t)
	app := ts.newPasskeyApp(t)
	former := app.passkey(t, "eve")
	app.setPasskeys(t, "OFF", types.WebAuthnConfigurationType{RelyingPartyId: aws.String("example.com")})
	token := app.signIn(t, "eve", testPassword).AccessToken
	if options, err := app.startRegistration(t, token); err != nil || len(options.ExcludeCredentials) != 0 {
		t.Errorf("%+v %v", options, err)
	}
	current := app.passkey(t, "eve")
	_, err := app.byPasskey(t, "eve", former)
	wantError(t, "former", err, "NotAuthorizedException", "Incorrect username or password.")
	out, err := app.byPasskey(t, "eve", current)
	wantTokens(t, "current", out, err)
	if list := app.passkeys(t, token); len(list) != 2 || *list[0].RelyingPartyId == *list[1].RelyingPartyId {
		t.Errorf("%+v", list)
	}
	app.setPasskeys(t, "OFF", types.WebAuthnConfigurationType{RelyingPartyId: aws.String(testRP)})
	out, err = app.byPasskey(t, "eve", former)
	wantTokens(t, "former, which is the current one again", out, err)
}
