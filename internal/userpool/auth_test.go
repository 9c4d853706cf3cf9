package userpool

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/token"
)

// verify checks a token against the published keys, with nothing of package token, and returns its header and claims.
func (app *testApp) verify(tb testing.TB, text string) (header, claims map[string]any) {
	tb.Helper()
	resp, err := http.Get(app.url + "/" + app.pool + "/.well-known/jwks.json")
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct {
		Keys []struct{ Alg, E, Kid, Kty, N, Use string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || len(set.Keys) != 2 {
		tb.Fatalf("key set %+v: %v", set, err)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		tb.Fatalf("not a JWT: %s", text)
	}
	decode := func(s string, into any) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err == nil && into != nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	decode(parts[0], &header)
	decode(parts[1], &claims)
	for _, k := range set.Keys {
		if k.Kid == header["kid"] && k.Kty == "RSA" && k.Alg == "RS256" && k.Use == "sig" {
			key := &rsa.PublicKey{N: new(big.Int).SetBytes(decode(k.N, nil)), E: int(new(big.Int).SetBytes(decode(k.E, nil)).Int64())}
			digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
			if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], decode(parts[2], nil)); err != nil {
				tb.Fatal(err)
			}
			return header, claims
		}
	}
	tb.Fatalf("no key %v", header["kid"])
	return nil, nil
}

func TestSignUpToTokens(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		up := app.signUp(t, "alice")
		if up.UserConfirmed || *up.CodeDeliveryDetails.Destination != "a***@e***" || up.CodeDeliveryDetails.DeliveryMedium != "EMAIL" || *up.CodeDeliveryDetails.AttributeName != "email" || up.Session != nil {
			t.Errorf("SignUp answered %+v %+v", up, up.CodeDeliveryDetails)
		}
		_, err := app.password(t, "alice", testPassword)
		wantError(t, "password sign-in before confirmation", err, "UserNotConfirmedException", "User is not confirmed.")
		_, err = app.srp(t, "alice", testPassword)
		wantError(t, "SRP sign-in before confirmation", err, "UserNotConfirmedException", "User is not confirmed.")
		_, err = app.password(t, "alice", newPassword)
		wantError(t, "wrong password before confirmation", err, "NotAuthorizedException", "Incorrect username or password.")

		code := ts.outbox.code(t)
		wrong := "000000"
		if code == wrong {
			wrong = "000001"
		}
		wantError(t, "wrong code", app.confirm(t, "alice", wrong), "CodeMismatchException", "Invalid verification code provided, please try again.")
		if err := app.confirm(t, "alice", code); err != nil {
			t.Fatal(err)
		}
		wantError(t, "second confirmation", app.confirm(t, "alice", code), "NotAuthorizedException", "User cannot be confirmed. Current status is CONFIRMED")
		wantError(t, "confirmation of nobody", app.confirm(t, "bob", code), "UserNotFoundException", "Username/client id combination not found.")

		out, err := app.srp(t, "alice", testPassword)
		if err != nil {
			t.Fatal(err)
		}
		r := out.AuthenticationResult
		if r == nil || *r.TokenType != "Bearer" || r.ExpiresIn != 3600 || r.RefreshToken == nil || r.NewDeviceMetadata != nil || out.Session != nil || out.ChallengeName != "" {
			t.Fatalf("sign-in answered %+v", out)
		}
		now := float64(ts.clock.Now().Unix())
		idHeader, id := app.verify(t, *r.IdToken)
		accessHeader, access := app.verify(t, *r.AccessToken)
		if idHeader["kid"] == accessHeader["kid"] {
			t.Error("both tokens are signed with one key")
		}
		for name, h := range map[string]map[string]any{"id": idHeader, "access": accessHeader} {
			if len(h) != 2 || h["alg"] != "RS256" || len(h["kid"].(string)) != 44 {
				t.Errorf("header of the %s token: %v", name, h)
			}
		}
		want := map[string]any{"sub": *up.UserSub, "iss": ts.url + "/" + app.pool, "aud": app.app, "token_use": "id", "auth_time": now, "iat": now, "exp": now + 3600,
			"cognito:username": "alice", "email": "alice@example.com", "email_verified": true}
		checkClaims(t, "id", id, want, "jti", "origin_jti", "event_id")
		want = map[string]any{"sub": *up.UserSub, "iss": ts.url + "/" + app.pool, "client_id": app.app, "token_use": "access", "scope": "aws.cognito.signin.user.admin",
			"auth_time": now, "iat": now, "exp": now + 3600, "username": "alice"}
		checkClaims(t, "access", access, want, "jti", "origin_jti", "event_id")
		if id["jti"] == access["jti"] || id["origin_jti"] != access["origin_jti"] || id["event_id"] != access["event_id"] {
			t.Errorf("ids of the tokens: %v %v", id, access)
		}
		attrs, err := app.getUser(t, r.AccessToken)
		if err != nil || !maps.Equal(attrs, map[string]string{"sub": *up.UserSub, "email": "alice@example.com", "email_verified": "true"}) {
			t.Errorf("GetUser: %v %v", attrs, err)
		}
	})
}

// checkClaims compares claims; those in any must only be there, as UUIDs.
func checkClaims(t *testing.T, name string, got, want map[string]any, uuids ...string) {
	t.Helper()
	got = maps.Clone(got)
	for _, claim := range uuids {
		if s, _ := got[claim].(string); !isUUID(s) {
			t.Errorf("%s token: %s is %v", name, claim, got[claim])
		}
		delete(got, claim)
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("%s token has %s, want %s", name, a, b)
	}
}

func TestClaims(t *testing.T) {
	ts := newTestServer(t, openSQLite(t))
	app := ts.newApp(t, func(p *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
		p.Schema = []types.SchemaAttributeType{{Name: aws.String("plan"), AttributeDataType: "Number", Mutable: aws.Bool(true)}}
		c.AccessTokenValidity, c.IdTokenValidity = aws.Int32(10), aws.Int32(20)
		c.TokenValidityUnits = &types.TokenValidityUnitsType{AccessToken: "minutes", IdToken: "minutes"}
	})
	narrow := app.anotherClient(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
		c.ReadAttributes = []string{"email"}
		c.EnableTokenRevocation = aws.Bool(false)
	})
	app.user(t, "alice")
	_, err := ts.sdk.AdminUpdateUserAttributes(t.Context(), &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("alice"), UserAttributes: attributes(
		"address", "Here 1", "updated_at", "1700000000", "phone_number", "+4912345678", "custom:plan", "7", "given_name", "Alice")})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []struct {
		name, role string
		precedence int32
	}{{"b", "arn:aws:iam::123456789012:role/b", 2}, {"a", "arn:aws:iam::123456789012:role/a", 1}} {
		if _, err := ts.sdk.CreateGroup(t.Context(), &cip.CreateGroupInput{UserPoolId: &app.pool, GroupName: &g.name, RoleArn: &g.role, Precedence: &g.precedence}); err != nil {
			t.Fatal(err)
		}
		if _, err := ts.sdk.AdminAddUserToGroup(t.Context(), &cip.AdminAddUserToGroupInput{UserPoolId: &app.pool, GroupName: &g.name, Username: aws.String("alice")}); err != nil {
			t.Fatal(err)
		}
	}
	r := app.signIn(t, "alice", testPassword)
	if r.ExpiresIn != 600 {
		t.Errorf("ExpiresIn %d", r.ExpiresIn)
	}
	now := float64(ts.clock.Now().Unix())
	_, id := app.verify(t, *r.IdToken)
	roles := []any{"arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:role/b"}
	checkClaims(t, "id", id, map[string]any{"sub": id["sub"], "iss": ts.url + "/" + app.pool, "aud": app.app, "token_use": "id", "auth_time": now, "iat": now, "exp": now + 1200,
		"cognito:username": "alice", "email": "alice@example.com", "email_verified": true, "phone_number": "+4912345678", "phone_number_verified": false,
		"address": map[string]any{"formatted": "Here 1"}, "updated_at": 1700000000.0, "custom:plan": "7", "given_name": "Alice",
		"cognito:groups": []any{"a", "b"}, "cognito:roles": roles, "cognito:preferred_role": roles[0]}, "jti", "origin_jti", "event_id")
	_, access := app.verify(t, *r.AccessToken)
	if groups, _ := json.Marshal(access["cognito:groups"]); string(groups) != `["a","b"]` || access["cognito:roles"] != nil {
		t.Errorf("access token: %v", access)
	}
	_, id = narrow.verify(t, *narrow.signIn(t, "alice", testPassword).IdToken)
	checkClaims(t, "narrow client's id", id, map[string]any{"sub": id["sub"], "iss": ts.url + "/" + app.pool, "aud": narrow.app, "token_use": "id", "auth_time": now, "iat": now, "exp": now + 3600,
		"cognito:username": "alice", "email": "alice@example.com", "cognito:groups": []any{"a", "b"}, "cognito:roles": roles, "cognito:preferred_role": roles[0]}, "event_id")
}

func TestDiscovery(t *testing.T) {
	ts := newTestServer(t, openSQLite(t))
	app := ts.newApp(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/" + app.pool + "/.well-known/jwks.json", 200},
		{"HEAD", "/" + app.pool + "/.well-known/jwks.json", 200},
		{"OPTIONS", "/" + app.pool + "/.well-known/jwks.json", 204},
		{"GET", "/" + app.pool + "/.well-known/openid-configuration", 200},
		{"POST", "/" + app.pool + "/.well-known/openid-configuration", 405},
		{"GET", "/eu-central-1_nobody/.well-known/jwks.json", 404},
		{"GET", "/.well-known/jwks.json", 404},
		{"GET", "/" + app.pool + "/.well-known/other", 404},
		{"GET", "/x/" + app.pool + "/.well-known/jwks.json", 404},
	} {
		req, _ := http.NewRequest(c.method, ts.url+c.path, nil)
		rec := recorder{header: http.Header{}}
		ts.Discovery().ServeHTTP(&rec, req)
		if rec.status != c.status || rec.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s: %d %v, want %d", c.method, c.path, rec.status, rec.header, c.status)
		}
		if c.status == 200 && (rec.header.Get("Content-Type") != "application/json" || !strings.Contains(rec.header.Get("Cache-Control"), "max-age")) {
			t.Errorf("%s: %v", c.path, rec.header)
		}
	}
	resp, err := http.Get(ts.url + "/" + app.pool + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if doc["issuer"] != ts.url+"/"+app.pool || doc["jwks_uri"] != ts.url+"/"+app.pool+"/.well-known/jwks.json" {
		t.Errorf("configuration: %v", doc)
	}
	for iss, want := range map[string]string{ts.url + "/" + app.pool: app.pool, ts.url: "", ts.url + "/": "", ts.url + "/" + app.pool + "/": "", "https://other.example/" + app.pool: "", ts.url + "//" + app.pool: ""} {
		if got, ok := ts.PoolOfIssuer(iss); got != want || ok != (want != "") {
			t.Errorf("pool of %s: %q %v, want %q", iss, got, ok, want)
		}
	}
	keys, err := ts.VerificationKeys(t.Context(), app.pool)
	if err != nil || len(keys) != 2 {
		t.Errorf("verification keys: %v %v", keys, err)
	}
}

type recorder struct {
	header http.Header
	status int
	n      int
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}
func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(200)
	r.n += len(b)
	return len(b), nil
}

func TestNewPasswordRequired(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.Schema = []types.SchemaAttributeType{{Name: aws.String("email"), AttributeDataType: "String", Required: aws.Bool(true), Mutable: aws.Bool(true)},
				{Name: aws.String("given_name"), AttributeDataType: "String", Required: aws.Bool(true), Mutable: aws.Bool(true)}}
		})
		create := func(name string) string {
			ts.outbox.take()
			_, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, DesiredDeliveryMediums: []types.DeliveryMediumType{"EMAIL"},
				UserAttributes: attributes("email", name+"@example.com", "email_verified", "true")})
			if err != nil {
				t.Fatal(err)
			}
			return ts.outbox.password(t)
		}
		ways := map[string]func(name, password string) (types.ChallengeNameType, map[string]string, *string, error){
			"SRP": func(name, password string) (types.ChallengeNameType, map[string]string, *string, error) {
				out, err := app.srp(t, name, password)
				if err != nil {
					return "", nil, nil, err
				}
				return out.ChallengeName, out.ChallengeParameters, out.Session, nil
			},
			"password": func(name, password string) (types.ChallengeNameType, map[string]string, *string, error) {
				out, err := app.password(t, name, password)
				if err != nil {
					return "", nil, nil, err
				}
				return out.ChallengeName, out.ChallengeParameters, out.Session, nil
			},
		}
		for way, begin := range ways {
			name := strings.ToLower(way)
			temporary := create(name)
			challenge, params, session, err := begin(name, temporary)
			if err != nil {
				t.Fatal(err)
			}
			if challenge != "NEW_PASSWORD_REQUIRED" || params["USER_ID_FOR_SRP"] != name || params["requiredAttributes"] != `["userAttributes.given_name"]` ||
				params["userAttributes"] != `{"email":"`+name+`@example.com","email_verified":"true"}` || !strings.HasPrefix(aws.ToString(session), "AYABe") || len(*session) > 2048 {
				t.Fatalf("%s: %s %v %v", way, challenge, params, session)
			}
			answer := func(pairs ...string) error {
				responses := map[string]string{"USERNAME": name, "NEW_PASSWORD": newPassword}
				for i := 0; i < len(pairs); i += 2 {
					responses[pairs[i]] = pairs[i+1]
				}
				out, err := app.respond(t, "NEW_PASSWORD_REQUIRED", session, responses)
				if err == nil && out.AuthenticationResult == nil {
					t.Errorf("%s: no tokens: %+v", way, out)
				}
				return err
			}
			wantError(t, way+" without the required attribute", answer(), "InvalidParameterException", "")
			wantError(t, way+" weak password", answer("NEW_PASSWORD", "Aa1!"), "InvalidPasswordException", "Password did not conform with policy: Password not long enough")
			wantError(t, way+" another e-mail address", answer("userAttributes.given_name", "A", "userAttributes.email", "x@example.com"), "NotAuthorizedException", "Cannot modify an already provided email")
			wantError(t, way+" verified by himself", answer("userAttributes.given_name", "A", "userAttributes.email_verified", "true"), "NotAuthorizedException", "A client attempted to write unauthorized attribute")
			wantError(t, way+" for somebody else", answer("userAttributes.given_name", "A", "USERNAME", "eve"), "NotAuthorizedException", "Invalid session for the user.")
			wantError(t, way+" without a name", answer("userAttributes.given_name", "A", "USERNAME", ""), "InvalidParameterException", "Missing required parameter USERNAME")
			if err := answer("userAttributes.given_name", "A"); err != nil {
				t.Fatal(err)
			}
			wantError(t, way+" twice", answer("userAttributes.given_name", "A"), "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
			_, err = app.password(t, name, temporary)
			wantError(t, way+": temporary password afterwards", err, "NotAuthorizedException", "Incorrect username or password.")
			attrs, err := app.getUser(t, app.signIn(t, name, newPassword).AccessToken)
			if err != nil || attrs["given_name"] != "A" || attrs["email_verified"] != "true" {
				t.Errorf("%s: %v %v", way, attrs, err)
			}
		}

		temporary := create("late")
		ts.clock.advance(7*24*time.Hour + time.Second)
		_, err := app.password(t, "late", temporary)
		wantError(t, "expired temporary password", err, "NotAuthorizedException", "Temporary password has expired and must be reset by an administrator.")

		// A session is over when the password it proves is replaced, and when its time is.
		temporary = create("reset")
		out, err := app.password(t, "reset", temporary)
		if err != nil {
			t.Fatal(err)
		}
		ts.clock.advance(time.Second)
		if _, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("reset"), Password: aws.String("Other-Horse3!")}); err != nil {
			t.Fatal(err)
		}
		responses := map[string]string{"USERNAME": "reset", "NEW_PASSWORD": newPassword, "userAttributes.given_name": "A"}
		_, err = app.respond(t, "NEW_PASSWORD_REQUIRED", out.Session, responses)
		wantError(t, "session of a replaced password", err, "NotAuthorizedException", "Invalid session for the user.")
		out, err = app.password(t, "reset", "Other-Horse3!")
		if err != nil {
			t.Fatal(err)
		}
		ts.clock.advance(3 * time.Minute)
		_, err = app.respond(t, "NEW_PASSWORD_REQUIRED", out.Session, responses)
		wantError(t, "session after three minutes", err, "NotAuthorizedException", "Invalid session for the user, session is expired.")
	})
}

func TestSessionsOfOthers(t *testing.T) {
	ts := newTestServer(t, openSQLite(t))
	app, foreign := ts.newApp(t), ts.newApp(t)
	sibling := app.anotherClient(t)
	for _, a := range []*testApp{app, foreign} {
		_, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &a.pool, Username: aws.String("alice"), TemporaryPassword: aws.String(testPassword), MessageAction: "SUPPRESS"})
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := app.password(t, "alice", testPassword)
	if err != nil {
		t.Fatal(err)
	}
	session := *out.Session
	responses := map[string]string{"USERNAME": "alice", "NEW_PASSWORD": newPassword}
	for what, a := range map[string]*testApp{"another client": sibling, "another pool": foreign} {
		_, err := a.respond(t, "NEW_PASSWORD_REQUIRED", &session, responses)
		wantError(t, "session of "+what, err, "NotAuthorizedException", "Invalid session for the user.")
	}
	_, err = app.respond(t, "NEW_PASSWORD_REQUIRED", nil, responses)
	wantError(t, "no session", err, "InvalidParameterException", "Missing required parameter Session")
	_, err = app.respond(t, "SMS_MFA", &session, responses)
	wantError(t, "another challenge", err, "NotAuthorizedException", "Invalid session for the user.")
	for i := range len(session) {
		tampered := []byte(session)
		if tampered[i] == 'A' {
			tampered[i] = 'B'
		} else {
			tampered[i] = 'A'
		}
		_, err := app.respond(t, "NEW_PASSWORD_REQUIRED", aws.String(string(tampered)), responses)
		// The last character may carry bits that mean nothing.
		if i == len(session)-1 && err == nil {
			t.Skip("the last character has no meaning of its own")
		}
		wantError(t, "tampered session", err, "NotAuthorizedException", "Invalid session for the user.")
	}
	if _, err := app.respond(t, "NEW_PASSWORD_REQUIRED", &session, responses); err != nil {
		t.Error(err)
	}
}

func TestSRPAttacks(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app, foreign := ts.newApp(t), ts.newApp(t)
		sibling := app.anotherClient(t)
		app.user(t, "alice")
		app.user(t, "mallory")
		foreign.user(t, "alice")
		const wrongPassword, invalid = "Incorrect username or password.", "Invalid session for the user."

		_, err := app.srp(t, "alice", newPassword)
		wantError(t, "wrong password", err, "NotAuthorizedException", wrongPassword)

		begin := func() (map[string]string, map[string]string) {
			c, out, err := app.startSRP(t, "alice")
			if err != nil {
				t.Fatal(err)
			}
			return out.ChallengeParameters, c.answer(t, app.poolName(), testPassword, out.ChallengeParameters, ts.clock.Now())
		}
		respond := func(a *testApp, answer map[string]string) error {
			_, err := a.respond(t, "PASSWORD_VERIFIER", nil, answer)
			return err
		}
		_, answer := begin()
		wantError(t, "another client", respond(sibling, answer), "NotAuthorizedException", invalid)
		wantError(t, "another pool", respond(foreign, answer), "NotAuthorizedException", invalid)
		if err := respond(app, answer); err != nil {
			t.Fatal(err)
		}
		wantError(t, "replay", respond(app, answer), "NotAuthorizedException", "Invalid session for the user, session can only be used once.")

		params, answer := begin()
		block, err := base64.StdEncoding.DecodeString(params["SECRET_BLOCK"])
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(block); i += 7 { // version, key id, nonce, ciphertext, tag
			tampered := slices.Clone(block)
			tampered[i] ^= 1
			a := maps.Clone(answer)
			a["PASSWORD_CLAIM_SECRET_BLOCK"] = base64.StdEncoding.EncodeToString(tampered)
			wantError(t, "tampered secret block", respond(app, a), "NotAuthorizedException", invalid)
		}
		for what, edit := range map[string]func(map[string]string){
			"truncated block": func(a map[string]string) {
				a["PASSWORD_CLAIM_SECRET_BLOCK"] = base64.StdEncoding.EncodeToString(block[:len(block)-1])
			},
			"no block":      func(a map[string]string) { a["PASSWORD_CLAIM_SECRET_BLOCK"] = "AA==" },
			"not base64":    func(a map[string]string) { a["PASSWORD_CLAIM_SECRET_BLOCK"] = "%%%%" },
			"somebody else": func(a map[string]string) { a["USERNAME"] = "mallory" },
			"nobody":        func(a map[string]string) { a["USERNAME"] = "nobody" },
		} {
			a := maps.Clone(answer)
			edit(a)
			wantError(t, what, respond(app, a), "NotAuthorizedException", invalid)
		}
		for _, name := range []string{"USERNAME", "PASSWORD_CLAIM_SECRET_BLOCK", "PASSWORD_CLAIM_SIGNATURE", "TIMESTAMP"} {
			a := maps.Clone(answer)
			delete(a, name)
			wantError(t, "without "+name, respond(app, a), "InvalidParameterException", "Missing required parameter "+name)
		}
		// A block that was answered wrongly is used up, so that guesses cost a round trip each.
		a := maps.Clone(answer)
		a["PASSWORD_CLAIM_SIGNATURE"] = base64.StdEncoding.EncodeToString(make([]byte, 32))
		wantError(t, "zero signature", respond(app, a), "NotAuthorizedException", wrongPassword)
		wantError(t, "right answer after a wrong one", respond(app, answer), "NotAuthorizedException", "Invalid session for the user, session can only be used once.")

		_, answer = begin()
		ts.clock.advance(3 * time.Minute)
		wantError(t, "expired block", respond(app, answer), "NotAuthorizedException", "Invalid session for the user, session is expired.")
		c, out, err := app.startSRP(t, "alice")
		if err != nil {
			t.Fatal(err)
		}
		old := c.answer(t, app.poolName(), testPassword, out.ChallengeParameters, ts.clock.Now().Add(-6*time.Minute))
		wantError(t, "old timestamp", respond(app, old), "NotAuthorizedException", wrongPassword)

		for what, publicA := range map[string]string{"zero": "0", "N": srpN.Text(16), "2N": new(big.Int).Lsh(srpN, 1).Text(16), "no number": "xyz"} {
			_, err := app.initiate(t, "USER_SRP_AUTH", map[string]string{"USERNAME": "alice", "SRP_A": publicA})
			wantError(t, "SRP_A "+what, err, "InvalidParameterException", "")
		}
	})
}

func TestFlowsOfClient(t *testing.T) {
	ts := newTestServer(t, openSQLite(t))
	flows := func(list ...types.ExplicitAuthFlowsType) func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {
		return func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) { c.ExplicitAuthFlows = list }
	}
	app := ts.newApp(t, flows())
	app.user(t, "alice")
	const named, other, older, admin = "USER_PASSWORD_AUTH flow not enabled for this client", "Auth flow not enabled for this client", "USER_SRP_AUTH is not enabled for the client.", "Initiate Auth method not supported."
	clients := map[string]*testApp{
		"default":   app,
		"srp only":  app.anotherClient(t, flows("ALLOW_USER_SRP_AUTH")),
		"password":  app.anotherClient(t, flows("ALLOW_USER_PASSWORD_AUTH")),
		"admin":     app.anotherClient(t, flows("ALLOW_ADMIN_USER_PASSWORD_AUTH")),
		"old admin": app.anotherClient(t, flows("ADMIN_NO_SRP_AUTH")),
		"old plain": app.anotherClient(t, flows("USER_PASSWORD_AUTH")),
	}
	params := map[string]string{"USERNAME": "alice", "PASSWORD": testPassword, "SRP_A": newSRPClient().publicA(), "REFRESH_TOKEN": "x"}
	for _, c := range []struct {
		client  string
		flow    types.AuthFlowType
		admin   bool
		message string // "" for success
	}{
		{"default", "USER_SRP_AUTH", false, ""},
		{"default", "USER_SRP_AUTH", true, ""},
		{"default", "USER_PASSWORD_AUTH", false, named},
		{"default", "REFRESH_TOKEN_AUTH", false, "Invalid Refresh Token"},
		{"default", "REFRESH_TOKEN", false, "Invalid Refresh Token"},
		{"default", "ADMIN_USER_PASSWORD_AUTH", true, other},
		{"default", "CUSTOM_AUTH", false, "Custom auth lambda trigger is not configured for the user pool."},
		{"default", "USER_AUTH", false, other},
		{"srp only", "USER_SRP_AUTH", false, ""},
		{"srp only", "REFRESH_TOKEN_AUTH", false, other},
		{"srp only", "CUSTOM_AUTH", false, other},
		{"password", "USER_PASSWORD_AUTH", false, ""},
		{"password", "USER_PASSWORD_AUTH", true, other},
		{"password", "USER_SRP_AUTH", false, older},
		{"password", "ADMIN_USER_PASSWORD_AUTH", true, other},
		{"admin", "ADMIN_USER_PASSWORD_AUTH", true, ""},
		{"admin", "ADMIN_NO_SRP_AUTH", true, ""},
		{"admin", "ADMIN_USER_PASSWORD_AUTH", false, admin},
		{"admin", "ADMIN_NO_SRP_AUTH", false, admin},
		{"old admin", "ADMIN_NO_SRP_AUTH", true, ""},
		{"old admin", "USER_SRP_AUTH", false, ""},
		{"old admin", "USER_PASSWORD_AUTH", false, named},
		{"old plain", "USER_PASSWORD_AUTH", false, ""},
	} {
		var err error
		if a := clients[c.client]; c.admin {
			_, err = ts.sdk.AdminInitiateAuth(t.Context(), &cip.AdminInitiateAuthInput{UserPoolId: &a.pool, ClientId: &a.app, AuthFlow: c.flow, AuthParameters: params})
		} else {
			_, err = a.initiate(t, c.flow, params)
		}
		switch {
		case c.message == "" && err != nil:
			t.Errorf("%s, %s: %v", c.client, c.flow, err)
		case c.message != "":
			code := "InvalidParameterException"
			if c.message == "Invalid Refresh Token" {
				code = "NotAuthorizedException"
			}
			wantError(t, c.client+", "+string(c.flow), err, code, c.message)
		}
	}
	for _, c := range []struct {
		flow    types.AuthFlowType
		params  map[string]string
		missing string
	}{
		{"USER_PASSWORD_AUTH", map[string]string{"PASSWORD": "x"}, "USERNAME"},
		{"USER_PASSWORD_AUTH", map[string]string{"USERNAME": "x"}, "PASSWORD"},
		{"USER_PASSWORD_AUTH", nil, "USERNAME"},
	} {
		_, err := clients["password"].initiate(t, c.flow, c.params)
		wantError(t, "no "+c.missing, err, "InvalidParameterException", "Missing required parameter "+c.missing)
	}
	_, err := app.initiate(t, "USER_SRP_AUTH", map[string]string{"USERNAME": "alice"})
	wantError(t, "no SRP_A", err, "InvalidParameterException", "Missing required parameter SRP_A")
	_, err = ts.sdk.InitiateAuth(t.Context(), &cip.InitiateAuthInput{AuthFlow: "USER_SRP_AUTH", ClientId: aws.String("nobody"), AuthParameters: params})
	wantError(t, "unknown client", err, "ResourceNotFoundException", "User pool client nobody does not exist.")
	elsewhere := ts.newApp(t)
	_, err = ts.sdk.AdminInitiateAuth(t.Context(), &cip.AdminInitiateAuthInput{UserPoolId: &elsewhere.pool, ClientId: &app.app, AuthFlow: "USER_SRP_AUTH", AuthParameters: params})
	wantError(t, "client of another pool", err, "ResourceNotFoundException", "User pool client "+app.app+" does not exist.")
	_, err = ts.client(otherAccount).AdminInitiateAuth(t.Context(), &cip.AdminInitiateAuthInput{UserPoolId: &app.pool, ClientId: &app.app, AuthFlow: "USER_SRP_AUTH", AuthParameters: params})
	wantError(t, "pool of another account", err, "ResourceNotFoundException", "User pool "+app.pool+" does not exist.")
}

func TestAdminSignIn(t *testing.T) {
	ts := newTestServer(t, openSQLite(t))
	app := ts.newApp(t)
	_, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("alice"), TemporaryPassword: aws.String(testPassword), MessageAction: "SUPPRESS"})
	if err != nil {
		t.Fatal(err)
	}
	c := newSRPClient()
	begun, err := ts.sdk.AdminInitiateAuth(t.Context(), &cip.AdminInitiateAuthInput{UserPoolId: &app.pool, ClientId: &app.app, AuthFlow: "USER_SRP_AUTH",
		AuthParameters: map[string]string{"USERNAME": "alice", "SRP_A": c.publicA()}})
	if err != nil {
		t.Fatal(err)
	}
	step, err := ts.sdk.AdminRespondToAuthChallenge(t.Context(), &cip.AdminRespondToAuthChallengeInput{UserPoolId: &app.pool, ClientId: &app.app, ChallengeName: "PASSWORD_VERIFIER",
		ChallengeResponses: c.answer(t, app.poolName(), testPassword, begun.ChallengeParameters, ts.clock.Now())})
	if err != nil || step.ChallengeName != "NEW_PASSWORD_REQUIRED" {
		t.Fatal(step, err)
	}
	done, err := ts.sdk.AdminRespondToAuthChallenge(t.Context(), &cip.AdminRespondToAuthChallengeInput{UserPoolId: &app.pool, ClientId: &app.app, ChallengeName: "NEW_PASSWORD_REQUIRED",
		Session: step.Session, ChallengeResponses: map[string]string{"USERNAME": "alice", "NEW_PASSWORD": newPassword}})
	if err != nil || done.AuthenticationResult == nil {
		t.Fatal(done, err)
	}
	out, err := ts.sdk.AdminInitiateAuth(t.Context(), &cip.AdminInitiateAuthInput{UserPoolId: &app.pool, ClientId: &app.app, AuthFlow: "ADMIN_USER_PASSWORD_AUTH",
		AuthParameters: map[string]string{"USERNAME": "alice", "PASSWORD": newPassword}})
	if err != nil || out.AuthenticationResult == nil {
		t.Fatal(out, err)
	}
	_, err = ts.client(otherAccount).AdminRespondToAuthChallenge(t.Context(), &cip.AdminRespondToAuthChallengeInput{UserPoolId: &app.pool, ClientId: &app.app, ChallengeName: "NEW_PASSWORD_REQUIRED",
		Session: step.Session, ChallengeResponses: map[string]string{"USERNAME": "alice", "NEW_PASSWORD": newPassword}})
	wantError(t, "another account", err, "ResourceNotFoundException", "User pool "+app.pool+" does not exist.")
}

func TestSecretHash(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, withSecret)
		public := app.anotherClient(t)
		app.user(t, "alice")
		app.signIn(t, "alice", testPassword)
		if _, err := app.srp(t, "alice", testPassword); err != nil {
			t.Error(err)
		}
		unable, missing := "Unable to verify secret hash for client "+app.app, "Client "+app.app+" is configured with secret but SECRET_HASH was not received"
		_, err := app.initiate(t, "USER_PASSWORD_AUTH", map[string]string{"USERNAME": "alice", "PASSWORD": testPassword})
		wantError(t, "no hash", err, "NotAuthorizedException", missing)
		for what, hash := range map[string]string{"garbage": "!", "for another name": *app.hash("bob"), "cut": (*app.hash("alice"))[:20]} {
			_, err = app.initiate(t, "USER_PASSWORD_AUTH", map[string]string{"USERNAME": "alice", "PASSWORD": testPassword, "SECRET_HASH": hash})
			wantError(t, "hash "+what, err, "NotAuthorizedException", unable)
		}
		c, out, err := app.startSRP(t, "alice")
		if err != nil {
			t.Fatal(err)
		}
		_, err = app.respond(t, "PASSWORD_VERIFIER", nil, c.answer(t, app.poolName(), testPassword, out.ChallengeParameters, ts.clock.Now()))
		wantError(t, "answer without hash", err, "NotAuthorizedException", missing)
		_, err = public.initiate(t, "USER_PASSWORD_AUTH", map[string]string{"USERNAME": "alice", "PASSWORD": testPassword, "SECRET_HASH": *app.hash("alice")})
		wantError(t, "hash to a public client", err, "NotAuthorizedException", "Unable to verify secret hash for client "+public.app)

		name := "bob"
		_, err = app.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, Username: &name, Password: aws.String(testPassword)})
		wantError(t, "SignUp", err, "NotAuthorizedException", missing)
		_, err = app.sdk.ConfirmSignUp(t.Context(), &cip.ConfirmSignUpInput{ClientId: &app.app, Username: &name, ConfirmationCode: &name})
		wantError(t, "ConfirmSignUp of nobody", err, "NotAuthorizedException", missing)
		name = "alice"
		_, err = app.sdk.ConfirmSignUp(t.Context(), &cip.ConfirmSignUpInput{ClientId: &app.app, Username: &name, ConfirmationCode: &name})
		wantError(t, "ConfirmSignUp", err, "NotAuthorizedException", missing)
		_, err = app.sdk.ForgotPassword(t.Context(), &cip.ForgotPasswordInput{ClientId: &app.app, Username: &name})
		wantError(t, "ForgotPassword", err, "NotAuthorizedException", missing)
		_, err = app.sdk.ConfirmForgotPassword(t.Context(), &cip.ConfirmForgotPasswordInput{ClientId: &app.app, Username: &name, ConfirmationCode: &name, Password: aws.String(newPassword)})
		wantError(t, "ConfirmForgotPassword", err, "NotAuthorizedException", missing)
		_, err = app.sdk.ResendConfirmationCode(t.Context(), &cip.ResendConfirmationCodeInput{ClientId: &app.app, Username: &name})
		wantError(t, "ResendConfirmationCode", err, "NotAuthorizedException", missing)

		refresh := app.signIn(t, "alice", testPassword).RefreshToken
		_, err = app.initiate(t, "REFRESH_TOKEN_AUTH", map[string]string{"REFRESH_TOKEN": *refresh})
		wantError(t, "refresh without hash", err, "NotAuthorizedException", missing)
		_, err = app.initiate(t, "REFRESH_TOKEN_AUTH", map[string]string{"REFRESH_TOKEN": *refresh, "SECRET_HASH": *app.hash("bob")})
		wantError(t, "refresh with another's hash", err, "NotAuthorizedException", "SecretHash does not match for the client: "+app.app)
		if _, err := app.initiate(t, "REFRESH_TOKEN_AUTH", app.with("alice", map[string]string{"REFRESH_TOKEN": *refresh})); err != nil {
			t.Error(err)
		}
		_, err = ts.sdk.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: refresh})
		wantError(t, "GetTokensFromRefreshToken without secret", err, "NotAuthorizedException", "")
		_, err = ts.sdk.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: refresh, ClientSecret: aws.String(strings.Repeat("x", 30))})
		wantError(t, "GetTokensFromRefreshToken with a wrong secret", err, "NotAuthorizedException", "")
		if _, err = ts.sdk.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: refresh, ClientSecret: &app.secret}); err != nil {
			t.Error(err)
		}
		_, err = ts.sdk.RevokeToken(t.Context(), &cip.RevokeTokenInput{ClientId: &app.app, Token: refresh})
		wantError(t, "RevokeToken without secret", err, "UnauthorizedException", "")
		if _, err = ts.sdk.RevokeToken(t.Context(), &cip.RevokeTokenInput{ClientId: &app.app, Token: refresh, ClientSecret: &app.secret}); err != nil {
			t.Error(err)
		}
	})
}

func TestStatus(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		secretive := app.anotherClient(t, hidden)
		app.user(t, "alice")
		tokens := app.signIn(t, "alice", testPassword)
		both := func(what, password, code, message, hiddenMessage string) {
			t.Helper()
			for a, m := range map[*testApp]string{app: message, secretive: hiddenMessage} {
				c := code
				if m == "Incorrect username or password." {
					c = "NotAuthorizedException"
				}
				_, err := a.password(t, "alice", password)
				wantError(t, what+", password", err, c, m)
				_, err = a.srp(t, "alice", password)
				wantError(t, what+", SRP", err, c, m)
			}
		}
		reset := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		alice := aws.String("alice")
		_, err := ts.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: alice})
		reset(err)
		both("disabled", testPassword, "NotAuthorizedException", "User is disabled.", "Incorrect username or password.")
		_, err = app.getUser(t, tokens.AccessToken)
		wantError(t, "GetUser of a disabled user", err, "NotAuthorizedException", "Access Token has been revoked")
		_, err = app.initiate(t, "REFRESH_TOKEN_AUTH", map[string]string{"REFRESH_TOKEN": *tokens.RefreshToken})
		wantError(t, "refresh of a disabled user", err, "NotAuthorizedException", "User is disabled.")
		_, err = ts.sdk.AdminEnableUser(t.Context(), &cip.AdminEnableUserInput{UserPoolId: &app.pool, Username: alice})
		reset(err)
		_, err = app.initiate(t, "REFRESH_TOKEN_AUTH", map[string]string{"REFRESH_TOKEN": *tokens.RefreshToken})
		wantError(t, "refresh from before the user was disabled", err, "NotAuthorizedException", "Refresh Token has been revoked")
		tokens = app.signIn(t, "alice", testPassword)

		ts.outbox.take()
		_, err = ts.sdk.AdminResetUserPassword(t.Context(), &cip.AdminResetUserPasswordInput{UserPoolId: &app.pool, Username: alice})
		reset(err)
		code := ts.outbox.code(t)
		both("reset", testPassword, "PasswordResetRequiredException", "Password reset required for the user", "Password reset required for the user")
		both("reset, wrong password", newPassword, "PasswordResetRequiredException", "Password reset required for the user", "Incorrect username or password.")
		_, err = app.getUser(t, tokens.AccessToken)
		wantError(t, "GetUser of a user to be reset", err, "PasswordResetRequiredException", "")
		_, err = ts.sdk.ConfirmForgotPassword(t.Context(), &cip.ConfirmForgotPasswordInput{ClientId: &app.app, Username: alice, ConfirmationCode: &code, Password: aws.String(newPassword)})
		reset(err)
		app.signIn(t, "alice", newPassword)
		if _, err := app.getUser(t, tokens.AccessToken); err != nil {
			t.Error("token from before the reset:", err)
		}
		_, err = app.password(t, "alice", testPassword)
		wantError(t, "old password", err, "NotAuthorizedException", "Incorrect username or password.")
	})
}

func TestLockoutOfSignIn(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		secretive := app.anotherClient(t, hidden)
		app.user(t, "alice")
		app.user(t, "bob")
		const wrong, locked = "Incorrect username or password.", "Password attempts exceeded"
		// A user who exists and one who does not, by password and by SRP, are locked out alike.
		for _, c := range []struct {
			name string
			app  *testApp
			try  func(a *testApp, name, password string) error
		}{
			{"alice", app, func(a *testApp, name, password string) error { _, err := a.password(t, name, password); return err }},
			{"bob", secretive, func(a *testApp, name, password string) error { _, err := a.srp(t, name, password); return err }},
			{"nobody", secretive, func(a *testApp, name, password string) error { _, err := a.password(t, name, password); return err }},
			{"noone", secretive, func(a *testApp, name, password string) error { _, err := a.srp(t, name, password); return err }},
		} {
			for n := 1; n <= 5; n++ {
				wantError(t, c.name, c.try(c.app, c.name, newPassword), "NotAuthorizedException", wrong)
			}
			for wait := time.Second; wait <= 4*time.Second; wait *= 2 {
				wantError(t, c.name+" locked out", c.try(c.app, c.name, testPassword), "NotAuthorizedException", locked)
				ts.clock.advance(wait - time.Millisecond)
				wantError(t, c.name+" locked out to the end", c.try(c.app, c.name, testPassword), "NotAuthorizedException", locked)
				ts.clock.advance(time.Millisecond)
				wantError(t, c.name+" after the lock", c.try(c.app, c.name, newPassword), "NotAuthorizedException", wrong)
			}
			ts.clock.advance(8 * time.Second)
			if err := c.try(c.app, c.name, testPassword); strings.HasPrefix(c.name, "no") {
				wantError(t, c.name, err, "NotAuthorizedException", wrong)
			} else if err != nil {
				t.Errorf("%s after the lock: %v", c.name, err)
			} else {
				for range 5 { // success has wiped out the failures
					wantError(t, c.name, c.try(c.app, c.name, newPassword), "NotAuthorizedException", wrong)
				}
				wantError(t, c.name+" locked out anew", c.try(c.app, c.name, testPassword), "NotAuthorizedException", locked)
			}
			ts.clock.advance(31 * time.Minute)
			for range 5 {
				wantError(t, c.name+" after a long time", c.try(c.app, c.name, newPassword), "NotAuthorizedException", wrong)
			}
		}
		// An administrator's new password ends a lockout.
		_, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("alice"), Password: aws.String(newPassword), Permanent: true})
		if err != nil {
			t.Fatal(err)
		}
		app.signIn(t, "alice", newPassword)
	})
}

func TestAccessTokenAttacks(t *testing.T) {
	ts := newTestServer(t, openSQLite(t))
	app, foreign := ts.newApp(t), ts.newApp(t)
	app.user(t, "alice")
	foreign.user(t, "alice")
	r, other := app.signIn(t, "alice", testPassword), foreign.signIn(t, "alice", testPassword)
	_, access := app.verify(t, *r.AccessToken)
	header, _ := app.verify(t, *r.AccessToken)
	idHeader, _ := app.verify(t, *r.IdToken)
	p, err := ts.Service.pool(t.Context(), app.pool)
	if err != nil {
		t.Fatal(err)
	}
	keys := p.keys.at(ts.clock.Now())
	encode := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	part := func(token string, i int) string { return strings.Split(token, ".")[i] }
	mac := func(key []byte, input string) string {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(input))
		return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}
	public := keys.access.Public().Key.(*rsa.PublicKey)
	der, _ := x509.MarshalPKIXPublicKey(public)
	hs := encode(map[string]any{"alg": "HS256", "kid": header["kid"]}) + "." + part(*r.AccessToken, 1)
	none := encode(map[string]any{"alg": "none", "kid": header["kid"]}) + "." + part(*r.AccessToken, 1) + "."
	promoted := maps.Clone(access)
	promoted["username"] = "admin"
	asAccess := maps.Clone(access)
	signedByID := encode(map[string]any{"alg": "RS256", "kid": idHeader["kid"]}) + "." + encode(asAccess)
	for what, token := range map[string]string{
		"ID token":                       *r.IdToken,
		"refresh token":                  *r.RefreshToken,
		"garbage":                        "x",
		"three dots":                     "...",
		"alg none":                       none,
		"alg None":                       encode(map[string]any{"alg": "None", "kid": header["kid"]}) + "." + part(*r.AccessToken, 1) + ".",
		"HS256 with the public key, PEM": hs + "." + mac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), hs),
		"HS256 with the public key, DER": hs + "." + mac(der, hs),
		"HS256 with the modulus":         hs + "." + mac(public.N.Bytes(), hs),
		"other claims":                   part(*r.AccessToken, 0) + "." + encode(promoted) + "." + part(*r.AccessToken, 2),
		"signature of the ID token":      part(*r.IdToken, 0) + "." + part(*r.AccessToken, 1) + "." + part(*r.IdToken, 2),
		"foreign kid and signature":      part(*other.AccessToken, 0) + "." + part(*r.AccessToken, 1) + "." + part(*other.AccessToken, 2),
		"foreign token with our kid":     part(*r.AccessToken, 0) + "." + part(*other.AccessToken, 1) + "." + part(*other.AccessToken, 2),
		"access claims signed by nobody": signedByID + "." + part(*r.IdToken, 2),
		"another embedded key":           encode(map[string]any{"alg": "RS256", "kid": header["kid"], "jwk": map[string]string{"kty": "RSA"}}) + "." + part(*r.AccessToken, 1) + "." + part(*r.AccessToken, 2),
	} {
		_, err := app.getUser(t, &token)
		wantError(t, what, err, "NotAuthorizedException", "Invalid Access Token")
	}
	// One signed with the pool's key for ID tokens, and all right otherwise.
	jobs := []job{{keys.id, access}, {keys.access, withClaim(access, "token_use", "id")}, {keys.access, withClaim(access, "client_id", foreign.app)},
		{keys.access, withClaim(access, "client_id", "nobody")}, {keys.access, withClaim(access, "iss", foreign.url+"/"+foreign.pool)}, {keys.access, withClaim(access, "iss", "https://evil.example/"+app.pool)}}
	for i, token := range ts.sign(t, jobs...) {
		_, err := app.getUser(t, &token)
		wantError(t, "signed by us "+string(rune('0'+i)), err, "NotAuthorizedException", "Invalid Access Token")
	}
	token := ts.sign(t, job{keys.access, withClaim(access, "scope", "openid email")})[0]
	_, err = app.getUser(t, &token)
	wantError(t, "other scopes", err, "NotAuthorizedException", "Access Token does not have required scopes")
	token = ts.sign(t, job{keys.access, withClaim(access, "sub", "34c84488-e0e1-40ae-92ee-991ad1a898c8")})[0]
	_, err = app.getUser(t, &token)
	wantError(t, "unknown user", err, "UserNotFoundException", "User does not exist.")

	if _, err := app.getUser(t, r.AccessToken); err != nil {
		t.Fatal(err)
	}
	ts.clock.advance(time.Hour)
	_, err = app.getUser(t, r.AccessToken)
	wantError(t, "expired and remembered", err, "NotAuthorizedException", "Access Token has expired")
	_, err = foreign.getUser(t, other.AccessToken)
	wantError(t, "expired", err, "NotAuthorizedException", "Access Token has expired")
}

func withClaim(claims map[string]any, name string, value any) map[string]any {
	c := maps.Clone(claims)
	c[name] = value
	return c
}

// TestSignerFull: while as many sign-ins wait for their tokens as may, another one is refused before it begins.
func TestSignerFull(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.user(t, "alice")
		out := app.signIn(t, "alice", testPassword)
		key, err := token.NewKeyPair()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		endless := make([]token.Job, 20_000)
		for i := range endless {
			endless[i] = token.Job{Key: key, Claims: []byte("{}")}
		}
		for range runtime.GOMAXPROCS(0) {
			wait.Go(func() { ts.Signer.Sign(ctx, endless) })
		}
		for deadline := time.Now().Add(10 * time.Second); !ts.Signer.Full() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			for range 16 {
				wait.Go(func() { ts.Signer.Sign(ctx, endless[:1]) })
			}
		}
		_, err = app.password(t, "alice", "not "+testPassword) // not even looked at
		wantError(t, "password", err, "TooManyRequestsException", "Too many requests")
		_, err = app.refresh(t, out.RefreshToken)
		wantError(t, "refresh", err, "TooManyRequestsException", "Too many requests")
		_, err = app.sdk.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: out.RefreshToken})
		wantError(t, "GetTokensFromRefreshToken", err, "TooManyRequestsException", "Too many requests")
		cancel()
		wait.Wait()
		for ts.Signer.Full() {
			time.Sleep(time.Millisecond)
		}
		app.signIn(t, "alice", testPassword)
	})
}
