package userpool

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/awsapi"
)

// The rules of who may call what, for every operation that is served: the developer guide's "Understanding API, OIDC, and
// managed login pages authentication" sorts them into those that are authorized by IAM, by an access token, and not at all.

var admin = as{"admin", "secret"}

// furnished is a pool with everything that inputs of everyOperation name.
func (s *signedServer) furnished(t *testing.T, options ...func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput)) (*testApp, map[string]string) {
	t.Helper()
	app := s.newApp(t, options...)
	app.person(t, "ann", "email", "ann@example.com", "email_verified", "true", "name", "Ann")
	values := map[string]string{"pool": app.pool, "client": app.app, "arn": poolARN(testAccount, app.pool), "secret": app.secret, "hash": aws.ToString(app.hash("ann"))}
	for _, operation := range []string{"CreateGroup", "CreateResourceServer", "CreateIdentityProvider"} {
		input := strings.NewReplacer(`"GroupName":"new"`, `"GroupName":"g"`, `"Identifier":"new"`, `"Identifier":"api"`).Replace(inputOf(t, operation, values))
		if _, err := s.call(t, admin, operation, input); err != nil {
			t.Fatal(err)
		}
	}
	return app, values
}

// state is what a refused request must leave as it was.
func (s *signedServer) state(t *testing.T, values map[string]string) string {
	t.Helper()
	var state []any
	for _, operation := range []string{"DescribeUserPool", "DescribeUserPoolClient", "AdminGetUser", "ListUsers", "ListGroups", "ListUsersInGroup", "ListUserPoolClients",
		"ListResourceServers", "GetUserPoolMfaConfig", "ListTagsForResource", "ListUserPoolClientSecrets"} {
		out, err := s.call(t, admin, operation, inputOf(t, operation, values))
		if err != nil {
			t.Fatal(operation, err)
		}
		state = append(state, out)
	}
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSignedOperations(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		s := ts.signed(t)
		app, values := s.furnished(t, withSecret)
		before := s.state(t, values)
		arn, other := values["arn"], poolARN(testAccount, "eu-central-1_000000000")
		for _, operation := range operations(awsapi.Signed) {
			input := inputOf(t, operation, values)
			refused := func(what string, who as, input, code, message string) {
				t.Helper()
				_, err := s.call(t, who, operation, input)
				wantError(t, operation+", "+what, err, code, message)
			}
			refused("unsigned", as{}, input, "MissingAuthenticationTokenException", "Missing Authentication Token")
			refused("unsigned and void", as{}, "{}", "MissingAuthenticationTokenException", "Missing Authentication Token")
			refused("an unknown key", as{"nobody", "secret"}, input, "UnrecognizedClientException", "The security token included in the request is invalid.")
			refused("a wrong signature", as{"admin", "wrong"}, input, "InvalidSignatureException", "")

			// A policy must allow this operation on this pool, and none may deny it.
			resource := arn
			if !strings.Contains(everyOperation[operation], "{pool}") && !strings.Contains(everyOperation[operation], "{arn}") {
				resource = "*"
			}
			action := "cognito-idp:" + operation
			denied := "User: arn:aws:iam::" + testAccount + ":user/tester is not authorized to perform: " + action + " on resource: " + resource
			for what, statements := range map[string]string{
				"no policy":        `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`,
				"all others":       `{"Effect":"Allow","NotAction":"` + action + `","Resource":"*"}`,
				"on another pool":  `{"Effect":"Allow","Action":"` + action + `","Resource":"` + other + `"}`,
				"on other sources": `{"Effect":"Allow","Action":"` + action + `","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.1"}}}`,
			} {
				s.keys.allow("tester", statements)
				refused(what, as{"tester", "secret"}, input, "AccessDeniedException", denied+" because no identity-based policy allows the "+action+" action")
			}
			s.keys.allow("tester", allowAnything+`,{"Effect":"Deny","Action":"`+action+`","Resource":"`+resource+`"}`)
			refused("denied", as{"tester", "secret"}, input, "AccessDeniedException", denied+" with an explicit deny in an identity-based policy")

			if resource == "*" {
				continue
			}
			// Pools of other accounts are like none, however much the caller may do in his own.
			for _, pool := range []string{app.pool, "eu-central-1_000000000"} {
				values := map[string]string{"pool": pool, "client": app.app, "arn": poolARN(otherAccount, pool), "secret": app.secret}
				refused("a foreign or unknown pool "+pool, as{"stranger", "secret"}, inputOf(t, operation, values), "ResourceNotFoundException", "User pool "+pool+" does not exist.")
			}
			if strings.Contains(everyOperation[operation], "{arn}") {
				refused("the ARN of a foreign pool", as{"stranger", "secret"}, input, "AccessDeniedException", "User: arn:aws:iam::"+otherAccount+":user/stranger is not authorized to perform: "+action+
					" on resource: "+arn+" because no resource-based policy allows the "+action+" action")
			}
		}
		if after := s.state(t, values); after != before {
			t.Errorf("refused requests changed something:\n%s\n%s", before, after)
		}

		// A policy that allows the one operation on the one pool is enough to learn that the pool is not there.
		values["pool"], values["arn"] = "eu-central-1_000000000", other
		for _, operation := range operations(awsapi.Signed) {
			if input := everyOperation[operation]; strings.Contains(input, "{pool}") || strings.Contains(input, "{arn}") {
				s.keys.allow("tester", `{"Effect":"Allow","Action":"cognito-idp:`+operation+`","Resource":"`+other+`"},{"Effect":"Allow","Action":"iam:PassRole","Resource":"*"}`)
				_, err := s.call(t, as{"tester", "secret"}, operation, inputOf(t, operation, values))
				wantError(t, operation+", allowed", err, "ResourceNotFoundException", "User pool eu-central-1_000000000 does not exist.")
			}
		}
	})
}

// TestBearerOperations calls every operation that takes an access token with tokens that are not good for it.
func TestBearerOperations(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		s := ts.signed(t)
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(everyOperation)), func(n string) bool { return !isBearer(n) })
		const (
			notAuthorized = "NotAuthorizedException"
			invalid       = "Invalid Access Token"
			revoked       = "Access Token has been revoked"
		)
		refused := func(what, token, code, message string) {
			t.Helper()
			for _, operation := range names {
				code, message := code, message
				if operation == "AssociateSoftwareToken" && code != notAuthorized { // which declares no other error
					code, message = notAuthorized, invalid
				}
				_, err := s.call(t, as{}, operation, inputOf(t, operation, map[string]string{"token": token}))
				wantError(t, operation+", "+what, err, code, message)
			}
		}
		app, foreign := ts.newApp(t), ts.newApp(t)
		for _, a := range []*testApp{app, foreign} {
			a.person(t, "ann", "email", "ann@example.com", "email_verified", "true")
		}
		r, theirs := app.signIn(t, "ann", testPassword), foreign.signIn(t, "ann", testPassword)
		refused("garbage", "x", notAuthorized, invalid)
		refused("an ID token", *r.IdToken, notAuthorized, invalid)
		refused("a refresh token", *r.RefreshToken, notAuthorized, invalid)
		parts := func(token *string) []string { return strings.Split(*token, ".") }
		refused("claims under the signature of another pool", parts(theirs.AccessToken)[0]+"."+parts(r.AccessToken)[1]+"."+parts(theirs.AccessToken)[2], notAuthorized, invalid)
		refused("no signature", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))+"."+parts(r.AccessToken)[1]+".", notAuthorized, invalid)

		_, access := app.verify(t, *r.AccessToken)
		p, err := ts.Service.pool(t.Context(), app.pool)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ts.Service.pool(t.Context(), foreign.pool)
		if err != nil {
			t.Fatal(err)
		}
		ours, other := p.keys.at(ts.clock.Now()), q.keys.at(ts.clock.Now())
		forged := ts.sign(t, job{other.access, access}, job{ours.id, access}, job{ours.access, withClaim(access, "client_id", foreign.app)}, job{ours.access, withClaim(access, "scope", "openid email phone profile")},
			job{ours.access, withClaim(access, "scope", "api/aws.cognito.signin.user.admin")})
		refused("signed by another pool", forged[0], notAuthorized, invalid)
		refused("signed as an ID token", forged[1], notAuthorized, invalid)
		refused("of a client of another pool", forged[2], notAuthorized, invalid)
		refused("scopes of OpenID Connect", forged[3], notAuthorized, "Access Token does not have required scopes")
		refused("a scope that looks alike", forged[4], notAuthorized, "Access Token does not have required scopes")

		// What ends a sign-in counts in the next request.
		admin := func(user string) (*cip.AdminUserGlobalSignOutInput, *cip.AdminDisableUserInput, *cip.AdminEnableUserInput) {
			return &cip.AdminUserGlobalSignOutInput{UserPoolId: &app.pool, Username: &user}, &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: &user}, &cip.AdminEnableUserInput{UserPoolId: &app.pool, Username: &user}
		}
		signOut, disable, enable := admin("ann")
		good := func(what string, token *string) {
			t.Helper()
			if _, err := app.getUser(t, token); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		another := app.signIn(t, "ann", testPassword)
		noError(t, second(ts.sdk.RevokeToken(t.Context(), &cip.RevokeTokenInput{ClientId: &app.app, Token: r.RefreshToken})))
		refused("after RevokeToken", *r.AccessToken, notAuthorized, revoked)
		good("another sign-in after RevokeToken", another.AccessToken)
		third := app.signIn(t, "ann", testPassword)
		noError(t, second(ts.sdk.GlobalSignOut(t.Context(), &cip.GlobalSignOutInput{AccessToken: third.AccessToken})))
		refused("after GlobalSignOut", *another.AccessToken, notAuthorized, revoked)
		refused("after GlobalSignOut by it", *third.AccessToken, notAuthorized, revoked)
		fourth := app.signIn(t, "ann", testPassword)
		good("a sign-in after GlobalSignOut", fourth.AccessToken)
		noError(t, second(ts.sdk.AdminUserGlobalSignOut(t.Context(), signOut)))
		refused("after AdminUserGlobalSignOut", *fourth.AccessToken, notAuthorized, revoked)
		fifth := app.signIn(t, "ann", testPassword)
		noError(t, second(ts.sdk.AdminDisableUser(t.Context(), disable)))
		refused("of a disabled user", *fifth.AccessToken, notAuthorized, revoked)
		noError(t, second(ts.sdk.AdminEnableUser(t.Context(), enable)))
		refused("of a user who was disabled", *fifth.AccessToken, notAuthorized, revoked)
		sixth := app.signIn(t, "ann", testPassword)
		noError(t, second(ts.sdk.AdminResetUserPassword(t.Context(), &cip.AdminResetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("ann")})))
		refused("of a user who must reset his password", *sixth.AccessToken, "PasswordResetRequiredException", "Password reset required for the user")
		noError(t, second(ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("ann"), Password: aws.String(testPassword), Permanent: true})))
		seventh := app.signIn(t, "ann", testPassword)
		noError(t, second(ts.sdk.AdminDeleteUser(t.Context(), &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: aws.String("ann")})))
		refused("of a deleted user", *seventh.AccessToken, "UserNotFoundException", "User does not exist.")
		app.person(t, "ann")
		refused("of a deleted user whose name is taken again", *seventh.AccessToken, "UserNotFoundException", "User does not exist.")

		third = foreign.signIn(t, "ann", testPassword)
		last := foreign.anotherClient(t)
		eighth := last.signIn(t, "ann", testPassword)
		noError(t, second(ts.sdk.DeleteUserPoolClient(t.Context(), &cip.DeleteUserPoolClientInput{UserPoolId: &foreign.pool, ClientId: &last.app})))
		refused("of a deleted client", *eighth.AccessToken, notAuthorized, invalid)
		noError(t, second(ts.sdk.DeleteUserPool(t.Context(), &cip.DeleteUserPoolInput{UserPoolId: &foreign.pool})))
		refused("of a deleted pool", *third.AccessToken, notAuthorized, invalid)

		ninth := app.signIn(t, "ann", testPassword)
		ts.clock.advance(time.Hour - time.Second)
		good("just before it expires", ninth.AccessToken)
		ts.clock.advance(time.Second)
		refused("expired", *ninth.AccessToken, notAuthorized, "Access Token has expired")
	})
}

// TestOpenOperations: what takes neither signature nor token asks who the client is, where the client has a secret.
func TestOpenOperations(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		s := ts.signed(t)
		app, values := s.furnished(t, withSecret)
		public, _ := s.furnished(t)
		tokens := app.signIn(t, "ann", testPassword)
		values["refresh"] = *tokens.RefreshToken
		with := func(pairs ...string) map[string]string {
			v := map[string]string{}
			for k, old := range values {
				v[k] = old
			}
			for i := 0; i < len(pairs); i += 2 {
				v[pairs[i]] = pairs[i+1]
			}
			return v
		}
		type refusal struct{ code, message string }
		unable := refusal{"NotAuthorizedException", "Unable to verify secret hash for client "}
		missing := refusal{"NotAuthorizedException", "Client " + app.app + " is configured with secret but SECRET_HASH was not received"}
		for _, operation := range operations(awsapi.Open) {
			if isBearer(operation) {
				continue
			}
			wrong, none, given := unable, missing, unable
			unknown := refusal{"ResourceNotFoundException", "User pool client 0000000000000000000000000x does not exist."}
			switch operation {
			case "RevokeToken":
				wrong = refusal{"UnauthorizedException", ""}
				none, given, unknown = wrong, wrong, wrong
			case "GetTokensFromRefreshToken":
				wrong = refusal{"NotAuthorizedException", ""}
				none, given = wrong, wrong
			case "RespondToAuthChallenge":
				// The session, which is no session here, comes before the user, whose name the hash covers.
				wrong = refusal{"NotAuthorizedException", "Invalid session for the user."}
				none, given = wrong, wrong
			}
			for _, c := range []struct {
				what   string
				values map[string]string
				want   refusal
				client string
			}{
				{"an unknown client", with("client", "0000000000000000000000000x"), unknown, ""},
				{"a wrong secret", with("hash", base64.StdEncoding.EncodeToString(make([]byte, 32)), "secret", strings.Repeat("x", 52)), wrong, app.app},
				{"a hash that is none", with("hash", "x", "secret", strings.Repeat("y", 51)), wrong, app.app},
				{"the hash of another name", with("hash", *app.hash("bob"), "secret", strings.Repeat("z", 51)), wrong, app.app},
				{"no secret", with("hash", "", "secret", ""), none, ""},
				{"a secret for a client without", with("client", public.app), given, public.app},
			} {
				want := c.want
				if want == unable {
					want.message += c.client
				}
				_, err := s.call(t, as{}, operation, inputOf(t, operation, c.values))
				wantError(t, operation+", "+c.what, err, want.code, want.message)
			}
			// A signature does not matter, even a wrong one.
			_, with := s.call(t, as{"nobody", "wrong"}, operation, inputOf(t, operation, values))
			if with != nil && (strings.Contains(with.Error(), "Signature") || strings.Contains(with.Error(), "Unrecognized")) {
				t.Errorf("%s, signed: %v", operation, with)
			}
		}
		// Flows that the client does not have.
		bare := app.anotherClient(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.ExplicitAuthFlows = []types.ExplicitAuthFlowsType{"ALLOW_CUSTOM_AUTH"}
		})
		for flow, message := range map[string]string{
			"USER_PASSWORD_AUTH": "USER_PASSWORD_AUTH flow not enabled for this client", "USER_SRP_AUTH": "USER_SRP_AUTH is not enabled for the client.",
			"USER_AUTH": "Auth flow not enabled for this client", "REFRESH_TOKEN_AUTH": "Auth flow not enabled for this client", "REFRESH_TOKEN": "Auth flow not enabled for this client",
			"ADMIN_USER_PASSWORD_AUTH": "Initiate Auth method not supported.", "ADMIN_NO_SRP_AUTH": "Initiate Auth method not supported.",
		} {
			_, err := s.call(t, as{}, "InitiateAuth", `{"ClientId":"`+bare.app+`","AuthFlow":"`+flow+`","AuthParameters":{"USERNAME":"ann","PASSWORD":"`+testPassword+`"}}`)
			wantError(t, "InitiateAuth, "+flow, err, "InvalidParameterException", message)
			if flow == "USER_PASSWORD_AUTH" || strings.HasPrefix(flow, "ADMIN") {
				message = "Auth flow not enabled for this client"
			}
			_, err = s.call(t, admin, "AdminInitiateAuth", `{"UserPoolId":"`+app.pool+`","ClientId":"`+bare.app+`","AuthFlow":"`+flow+`","AuthParameters":{"USERNAME":"ann","PASSWORD":"`+testPassword+`"}}`)
			wantError(t, "AdminInitiateAuth, "+flow, err, "InvalidParameterException", message)
		}
		_, err := s.call(t, admin, "AdminInitiateAuth", `{"UserPoolId":"`+app.pool+`","ClientId":"`+public.app+`","AuthFlow":"USER_SRP_AUTH","AuthParameters":{}}`)
		wantError(t, "a client of another pool", err, "ResourceNotFoundException", "User pool client "+public.app+" does not exist.")
	})
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
