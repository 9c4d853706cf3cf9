package userpool

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/trigger/triggertest"
)

// triggers configures LambdaConfig.
func triggers(c types.LambdaConfigType) func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {
	return func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) { p.LambdaConfig = &c }
}

func function(name string) *string { return aws.String(triggertest.ARN(name)) }

// echo returns its event, as a function does that has nothing to say.
func echo(e map[string]any) (any, error) { return e, nil }

// returns answers with a response.
func returns(response map[string]any) triggertest.Function {
	return func(e map[string]any) (any, error) { e["response"] = response; return e, nil }
}

// throws fails.
func throws(message string) triggertest.Function {
	return func(map[string]any) (any, error) { return nil, errors.New(message) }
}

type m = map[string]any

func sources(events []map[string]any) []string {
	var list []string
	for _, e := range events {
		list = append(list, e["triggerSource"].(string))
	}
	return list
}

// jwtClaims returns the claims of a token, which it does not verify.
func jwtClaims(tb testing.TB, token *string) map[string]any {
	tb.Helper()
	var c map[string]any
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(*token, ".")[1])
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestPreSignUp(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		app := ts.newApp(t, triggers(types.LambdaConfigType{PreSignUp: function("pre"), PostConfirmation: function("post")}))
		server.Handle("post", echo)
		signUp := func(name string, attrs ...string) (*cip.SignUpOutput, error) {
			app.outbox.take()
			server.Events()
			return app.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, Username: &name, Password: aws.String(testPassword), UserAttributes: attributes(attrs...),
				ValidationData: attributes("invitation", "7"), ClientMetadata: map[string]string{"app": "1"}})
		}

		server.Handle("pre", echo)
		out, err := signUp("ada", "email", "ada@example.com")
		if err != nil || out.UserConfirmed || out.CodeDeliveryDetails == nil {
			t.Fatalf("nothing decided: %+v %v", out, err)
		}
		events := server.Events()
		want := m{"version": "1", "triggerSource": "PreSignUp_SignUp", "region": "eu-central-1", "userPoolId": app.pool, "userName": "ada",
			"callerContext": m{"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": app.app},
			"request":       m{"userAttributes": m{"email": "ada@example.com"}, "validationData": m{"invitation": "7"}, "clientMetadata": m{"app": "1"}},
			"response":      m{"autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false}}
		if len(events) != 1 || !reflect.DeepEqual(events[0], want) {
			t.Errorf("event:\n got %v\nwant %v", events, want)
		}
		_, err = signUp("ada", "email", "ada@example.com")
		wantError(t, "taken", err, "UsernameExistsException", "User already exists")
		if n := len(server.Events()); n != 0 {
			t.Errorf("asked %d times about a name that is taken", n)
		}

		server.Handle("pre", returns(m{"autoConfirmUser": true, "autoVerifyEmail": true}))
		out, err = signUp("bob", "email", "bob@example.com")
		if err != nil || !out.UserConfirmed || out.CodeDeliveryDetails != nil || len(app.outbox.take()) != 0 {
			t.Fatalf("confirmed at once: %+v %v", out, err)
		}
		events = server.Events()
		if got := sources(events); !slices.Equal(got, []string{"PreSignUp_SignUp", "PostConfirmation_ConfirmSignUp"}) {
			t.Errorf("triggers of a confirmed sign-up: %v", got)
		}
		if got := member(events[1], "request"); !reflect.DeepEqual(got, m{"clientMetadata": m{"app": "1"}, "userAttributes": m{"sub": *out.UserSub, "email": "bob@example.com", "email_verified": "true", "cognito:user_status": "CONFIRMED"}}) {
			t.Errorf("PostConfirmation is told %v", got)
		}
		app.signIn(t, "bob", testPassword)

		for name, c := range map[string]struct {
			does          triggertest.Function
			code, message string
		}{
			"refused":                  {throws("Not allowed"), "UserLambdaValidationException", "PreSignUp failed with error Not allowed."},
			"verified without a value": {returns(m{"autoVerifyPhone": true}), "InvalidParameterException", ""},
			"nonsense":                 {returns(m{"autoConfirmUser": "yes"}), "InvalidLambdaResponseException", "Unrecognizable lambda output"},
		} {
			server.Handle("pre", c.does)
			_, err := signUp("eve", "email", "eve@example.com")
			wantError(t, name, err, c.code, c.message)
			_, err = ts.sdk.AdminGetUser(t.Context(), &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: aws.String("eve")})
			wantError(t, name+": the user", err, "UserNotFoundException", "")
		}

		// An administrator's user: the answer is not heeded, a refusal is.
		admin := func(name string) error {
			_, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, UserAttributes: attributes("email", name+"@example.com"), MessageAction: "SUPPRESS"})
			return err
		}
		server.Events()
		server.Handle("pre", returns(m{"autoConfirmUser": true}))
		if err := admin("carol"); err != nil {
			t.Fatal(err)
		}
		e := server.Events()[0]
		if e["triggerSource"] != "PreSignUp_AdminCreateUser" || member(e, "callerContext")["clientId"] != "CLIENT_ID_NOT_APPLICABLE" || member(e, "request")["validationData"] != nil {
			t.Errorf("AdminCreateUser: %v", e)
		}
		u, err := ts.sdk.AdminGetUser(t.Context(), &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: aws.String("carol")})
		if err != nil || u.UserStatus != "FORCE_CHANGE_PASSWORD" {
			t.Errorf("%v %v", u, err)
		}
		server.Handle("pre", throws("no"))
		wantError(t, "an administrator refused", admin("dave"), "UserLambdaValidationException", "PreSignUp failed with error no.")
	})
}

func TestPostConfirmation(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		app := ts.newApp(t, triggers(types.LambdaConfigType{PostConfirmation: function("post")}))
		server.Handle("post", throws("later"))
		app.signUp(t, "ada")
		wantError(t, "confirmed, but", app.confirm(t, "ada", app.outbox.code(t)), "UserLambdaValidationException", "PostConfirmation failed with error later.")
		app.signIn(t, "ada", testPassword) // all the same

		server.Handle("post", echo)
		server.Events()
		if _, err := app.sdk.ForgotPassword(t.Context(), &cip.ForgotPasswordInput{ClientId: &app.app, Username: aws.String("ada")}); err != nil {
			t.Fatal(err)
		}
		if _, err := app.sdk.ConfirmForgotPassword(t.Context(), &cip.ConfirmForgotPasswordInput{ClientId: &app.app, Username: aws.String("ada"), ConfirmationCode: aws.String(app.outbox.code(t)),
			Password: aws.String(newPassword), ClientMetadata: map[string]string{"app": "1"}}); err != nil {
			t.Fatal(err)
		}
		app.signUp(t, "bob")
		if _, err := ts.sdk.AdminConfirmSignUp(t.Context(), &cip.AdminConfirmSignUpInput{UserPoolId: &app.pool, Username: aws.String("bob")}); err != nil {
			t.Fatal(err)
		}
		app.confirm(t, "bob", "000000") // fails
		events := server.Events()
		if got := sources(events); !slices.Equal(got, []string{"PostConfirmation_ConfirmForgotPassword", "PostConfirmation_ConfirmSignUp"}) {
			t.Fatalf("triggers: %v", got)
		}
		if member(events[0], "request")["clientMetadata"].(m)["app"] != "1" || member(events[1], "callerContext")["clientId"] != "CLIENT_ID_NOT_APPLICABLE" || events[1]["userName"] != "bob" {
			t.Errorf("events: %v", events)
		}
	})
}

func TestAuthenticationTriggers(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		config := triggers(types.LambdaConfigType{PreAuthentication: function("pre"), PostAuthentication: function("post")})
		app := ts.newApp(t, config, hidden)
		app.user(t, "ada")
		server.Handle("pre", echo)
		server.Handle("post", echo)
		both := []string{"PreAuthentication_Authentication", "PostAuthentication_Authentication"}
		tokens := app.signIn(t, "ada", testPassword)
		if got := sources(server.Events()); !slices.Equal(got, both) {
			t.Errorf("password: %v", got)
		}
		if _, err := app.srp(t, "ada", testPassword); err != nil {
			t.Fatal(err)
		}
		if got := sources(server.Events()); !slices.Equal(got, both) {
			t.Errorf("SRP: %v", got)
		}
		app.password(t, "ada", "Wrong-Password1!")
		if got := sources(server.Events()); !slices.Equal(got, both[:1]) {
			t.Errorf("wrong password: %v", got)
		}
		if _, err := app.initiate(t, "REFRESH_TOKEN_AUTH", map[string]string{"REFRESH_TOKEN": *tokens.RefreshToken}); err != nil || len(server.Events()) != 0 {
			t.Errorf("refresh calls them: %v", err)
		}
		if _, err := app.sdk.InitiateAuth(t.Context(), &cip.InitiateAuthInput{AuthFlow: "USER_PASSWORD_AUTH", ClientId: &app.app, ClientMetadata: map[string]string{"app": "1"},
			AuthParameters: map[string]string{"USERNAME": "ada", "PASSWORD": testPassword}}); err != nil {
			t.Fatal(err)
		}
		events := server.Events()
		pre, post := member(events[0], "request"), member(events[1], "request")
		if !reflect.DeepEqual(pre["validationData"], m{"app": "1"}) || pre["userNotFound"] != false || pre["userAttributes"].(m)["email"] != "ada@example.com" {
			t.Errorf("PreAuthentication is told %v", pre)
		}
		if post["clientMetadata"] != nil || post["newDeviceUsed"] != false || post["userAttributes"].(m)["cognito:user_status"] != "CONFIRMED" {
			t.Errorf("PostAuthentication is told %v", post)
		}
		_, err := app.password(t, "nobody", testPassword)
		wantError(t, "unknown", err, "NotAuthorizedException", "Incorrect username or password.")
		if events := server.Events(); len(events) != 1 || member(events[0], "request")["userNotFound"] != true {
			t.Errorf("an unknown user: %v", events)
		}
		server.Handle("pre", throws("Not from there"))
		for _, password := range []string{testPassword, "Wrong-Password1!"} {
			_, err := app.password(t, "ada", password)
			wantError(t, "denied before", err, "UserLambdaValidationException", "PreAuthentication failed with error Not from there.")
		}
		server.Handle("pre", echo)
		server.Handle("post", throws("Not now"))
		_, err = app.password(t, "ada", testPassword)
		wantError(t, "denied after", err, "UserLambdaValidationException", "PostAuthentication failed with error Not now.")
		server.Handle("post", func(e map[string]any) (any, error) {
			_, err := ts.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: aws.String("ada")})
			return e, err
		})
		_, err = app.password(t, "ada", testPassword)
		wantError(t, "disabled by the function", err, "NotAuthorizedException", "User is disabled.")
	})
}

// TestPreTokenGeneration gives what the function returns and what becomes of the claims: a nil claim is absent.
func TestPreTokenGeneration(t *testing.T) {
	ts := newTestServerSQLite(t)
	server := ts.functions(t)
	apps := map[string]*testApp{}
	for _, version := range []types.PreTokenGenerationLambdaVersionType{"V1_0", "V2_0", "V3_0"} {
		app := ts.newApp(t, triggers(types.LambdaConfigType{PreTokenGenerationConfig: &types.PreTokenGenerationVersionConfigType{LambdaArn: function("tokens"), LambdaVersion: version}}))
		apps[string(version)] = app
		server.Handle("tokens", echo)
		app.user(t, "ada")
		for _, g := range []string{"staff", "board"} {
			if _, err := ts.sdk.CreateGroup(t.Context(), &cip.CreateGroupInput{UserPoolId: &app.pool, GroupName: &g, RoleArn: aws.String("arn:aws:iam::123456789012:role/" + g)}); err != nil {
				t.Fatal(err)
			}
			if _, err := ts.sdk.AdminAddUserToGroup(t.Context(), &cip.AdminAddUserToGroupInput{UserPoolId: &app.pool, GroupName: &g, Username: aws.String("ada")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	v1 := func(details m) m { return m{"claimsOverrideDetails": details} }
	v2 := func(details m) m { return m{"claimsAndScopeOverrideDetails": details} }
	add := func(claims m) m { return m{"claimsToAddOrOverride": claims} }
	const role = "arn:aws:iam::123456789012:role/other"
	noGroups := m{"cognito:groups": nil, "cognito:roles": nil, "cognito:preferred_role": nil}
	for _, c := range []struct {
		name, version string
		response      any
		id, access    m      // what they are to have
		code          string // the error
	}{
		{name: "nothing", version: "V1_0", response: v1(nil), id: m{"email": "ada@example.com", "tier": nil}},
		{name: "claims", version: "V1_0", response: v1(m{"claimsToAddOrOverride": m{"tier": "gold", "email": "x@example.com"}, "claimsToSuppress": []string{"email_verified"}}),
			id: m{"tier": "gold", "email": "x@example.com", "email_verified": nil}, access: m{"tier": nil}},
		{name: "suppressed and added", version: "V1_0", response: v1(m{"claimsToAddOrOverride": m{"tier": "gold"}, "claimsToSuppress": []string{"tier"}}), id: m{"tier": nil}},
		{name: "groups", version: "V1_0", response: v1(m{"groupOverrideDetails": m{"groupsToOverride": []string{"x"}, "iamRolesToOverride": []string{role}, "preferredRole": role}}),
			id: m{"cognito:groups": []any{"x"}, "cognito:roles": []any{role}, "cognito:preferred_role": role}, access: m{"cognito:groups": []any{"x"}, "cognito:roles": nil}},
		{name: "no groups", version: "V1_0", response: v1(m{"groupOverrideDetails": nil}), id: noGroups, access: noGroups},
		{name: "empty groups", version: "V2_0", response: v2(m{"groupOverrideDetails": m{}}), id: noGroups, access: noGroups},
		{name: "groups suppressed", version: "V2_0", response: v2(m{"idTokenGeneration": m{"claimsToSuppress": []string{"cognito:groups"}}}), id: noGroups},
		{name: "number in the first version", version: "V1_0", response: v1(add(m{"n": 1})), code: "InvalidLambdaResponseException"},
		{name: "both tokens", version: "V2_0", response: v2(m{"idTokenGeneration": add(m{"n": 12345678901234567, "list": []any{"a"}, "o": m{"b": true}}), "accessTokenGeneration": add(m{"tier": "gold"})}),
			id: m{"n": 12345678901234567.0, "list": []any{"a"}, "o": m{"b": true}, "tier": nil}, access: m{"tier": "gold", "n": nil}},
		{name: "third version", version: "V3_0", response: v2(m{"accessTokenGeneration": add(m{"tier": "gold"})}), access: m{"tier": "gold"}},
		{name: "scopes", version: "V2_0", response: v2(m{"accessTokenGeneration": m{"scopesToAdd": []string{"api/read", "api/write"}, "scopesToSuppress": []string{"api/write", scopeSignedIn}}}),
			access: m{"scope": "api/read"}},
		{name: "scope with a space", version: "V2_0", response: v2(m{"accessTokenGeneration": m{"scopesToAdd": []string{"a b"}}}), code: "InvalidLambdaResponseException"},
		{name: "complex e-mail verification", version: "V2_0", response: v2(m{"idTokenGeneration": add(m{"email_verified": m{}})}), code: "InvalidLambdaResponseException"},
		{name: "too much", version: "V2_0", response: v2(m{"idTokenGeneration": add(m{"x": strings.Repeat("x", customClaimsMost)})}), code: "InvalidLambdaResponseException"},
		{name: "fixed claims", version: "V2_0", response: v2(m{"idTokenGeneration": m{"claimsToAddOrOverride": m{"sub": "x", "iss": "x", "aud": "x", "token_use": "access", "cognito:username": "root", "cognito:groups": []string{"root"}, "dev:x": "x"},
			"claimsToSuppress": []string{"sub", "exp", "cognito:username"}}, "accessTokenGeneration": m{"claimsToAddOrOverride": m{"sub": "x", "username": "root", "scope": "root", "aud": "x", "client_id": "x", "cognito:groups": []string{"root"}}, "claimsToSuppress": []string{"jti", "scope"}}}),
			id:     m{"token_use": "id", "cognito:username": "ada", "cognito:groups": []any{"board", "staff"}, "dev:x": nil},
			access: m{"username": "ada", "scope": scopeSignedIn, "aud": nil, "cognito:groups": []any{"board", "staff"}}},
		{name: "not an object", version: "V2_0", response: []int{}, code: "InvalidLambdaResponseException"},
	} {
		app := apps[c.version]
		server.Handle("tokens", func(e map[string]any) (any, error) { e["response"] = c.response; return e, nil })
		out, err := app.password(t, "ada", testPassword)
		if c.code != "" {
			wantError(t, c.name, err, c.code, "Unrecognizable lambda output")
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		id, access := jwtClaims(t, out.AuthenticationResult.IdToken), jwtClaims(t, out.AuthenticationResult.AccessToken)
		for _, check := range []struct{ got, want m }{{id, c.id}, {access, c.access}} {
			for name, want := range check.want {
				if got := check.got[name]; !reflect.DeepEqual(sorted(got), sorted(want)) {
					t.Errorf("%s: %s of the %s token is %v, want %v", c.name, name, check.got["token_use"], got, want)
				}
			}
			if sub := check.got["sub"].(string); len(sub) != 36 || check.got["exp"] == nil || check.got["jti"] == nil || !strings.HasSuffix(check.got["iss"].(string), app.pool) {
				t.Errorf("%s: %v", c.name, check.got)
			}
		}
	}

	// aud may be given to the access token, if it is the client.
	app := apps["V2_0"]
	server.Handle("tokens", returns(v2(m{"accessTokenGeneration": add(m{"aud": app.app})})))
	server.Events()
	tokens := app.signIn(t, "ada", testPassword)
	if got := jwtClaims(t, tokens.AccessToken)["aud"]; got != app.app {
		t.Errorf("aud: %v", got)
	}
	e := server.Events()[0]
	request := member(e, "request")
	groups := member(request, "groupConfiguration")
	if e["version"] != "2" || e["triggerSource"] != "TokenGeneration_Authentication" || !reflect.DeepEqual(request["scopes"], []any{scopeSignedIn}) ||
		!reflect.DeepEqual(sorted(groups["groupsToOverride"]), []any{"board", "staff"}) || len(groups["iamRolesToOverride"].([]any)) != 2 || !reflect.DeepEqual(e["response"], v2(nil)) && e["response"].(m)["claimsAndScopeOverrideDetails"] != nil {
		t.Errorf("event: %v", e)
	}
	if _, err := app.initiate(t, "REFRESH_TOKEN_AUTH", map[string]string{"REFRESH_TOKEN": *tokens.RefreshToken}); err != nil {
		t.Fatal(err)
	}
	if _, err := app.sdk.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: tokens.RefreshToken, ClientMetadata: map[string]string{"app": "1"}}); err != nil {
		t.Fatal(err)
	}
	events := server.Events()
	if got := sources(events); !slices.Equal(got, []string{"TokenGeneration_RefreshTokens", "TokenGeneration_RefreshTokens"}) || !reflect.DeepEqual(member(events[1], "request")["clientMetadata"], m{"app": "1"}) {
		t.Errorf("refresh: %v", events)
	}
	if _, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("ada"), Password: aws.String(newPassword)}); err != nil {
		t.Fatal(err)
	}
	out, err := app.password(t, "ada", newPassword)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.respond(t, "NEW_PASSWORD_REQUIRED", out.Session, map[string]string{"USERNAME": "ada", "NEW_PASSWORD": testPassword}); err != nil {
		t.Fatal(err)
	}
	if got := sources(server.Events()); !slices.Equal(got, []string{"TokenGeneration_NewPasswordChallenge"}) {
		t.Errorf("new password: %v", got)
	}
}

// sorted is a list of strings in order, or anything else as it is.
func sorted(v any) any {
	list, ok := v.([]any)
	if !ok {
		return v
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return list
}

func TestPreTokenSettings(t *testing.T) {
	ts := newTestServerSQLite(t)
	ts.functions(t)
	v := func(name string, version types.PreTokenGenerationLambdaVersionType) *types.PreTokenGenerationVersionConfigType {
		return &types.PreTokenGenerationVersionConfigType{LambdaArn: function(name), LambdaVersion: version}
	}
	for name, c := range map[string]struct {
		config types.LambdaConfigType
		tier   types.UserPoolTierType
		code   string
	}{
		"older name":            {types.LambdaConfigType{PreTokenGeneration: function("f")}, "", ""},
		"both, equal":           {types.LambdaConfigType{PreTokenGeneration: function("f"), PreTokenGenerationConfig: v("f", "V1_0")}, "", ""},
		"both, different":       {types.LambdaConfigType{PreTokenGeneration: function("f"), PreTokenGenerationConfig: v("g", "V1_0")}, "", "InvalidParameterException"},
		"first version, lite":   {types.LambdaConfigType{PreTokenGenerationConfig: v("f", "V1_0")}, "LITE", ""},
		"second version, lite":  {types.LambdaConfigType{PreTokenGenerationConfig: v("f", "V2_0")}, "LITE", "FeatureUnavailableInTierException"},
		"no function in config": {types.LambdaConfigType{PreTokenGenerationConfig: &types.PreTokenGenerationVersionConfigType{LambdaArn: aws.String("arn:aws:sns:eu-central-1:123456789012:topic"), LambdaVersion: "V1_0"}}, "", "InvalidParameterException"},
	} {
		_, err := ts.sdk.CreateUserPool(t.Context(), &cip.CreateUserPoolInput{PoolName: aws.String("p"), LambdaConfig: &c.config, UserPoolTier: c.tier})
		if c.code == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if c.code != "" {
			wantError(t, name, err, c.code, "")
		}
	}
}

// TestRefusedRefresh: a function that fails does not use up a refresh token that is good for one use.
func TestRefusedRefresh(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		app := ts.newApp(t, triggers(types.LambdaConfigType{PreTokenGeneration: function("tokens")}), func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.ExplicitAuthFlows = []types.ExplicitAuthFlowsType{"ALLOW_USER_PASSWORD_AUTH"}
			c.RefreshTokenRotation = &types.RefreshTokenRotationType{Feature: "ENABLED", RetryGracePeriodSeconds: aws.Int32(0)}
		})
		server.Handle("tokens", echo)
		app.user(t, "ada")
		token := app.signIn(t, "ada", testPassword).RefreshToken
		refresh := func() error {
			_, err := app.sdk.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: token})
			return err
		}
		server.Handle("tokens", throws("no"))
		wantError(t, "refused", refresh(), "UserLambdaValidationException", "PreTokenGeneration failed with error no.")
		server.Handle("tokens", echo)
		if err := refresh(); err != nil {
			t.Error(err)
		}
		wantError(t, "used twice", refresh(), "RefreshTokenReuseException", "")
	})
}
