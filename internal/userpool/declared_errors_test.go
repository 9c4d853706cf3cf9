package userpool

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/awsapi"
	"usher/internal/db"
)

// TestMain fails a run of all tests unless every error that the model declares for an operation has come up, or
// what is unreachable.
func TestMain(m *testing.M) {
	status := m.Run()
	if all := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == ""; status == 0 && all {
		for _, operation := range slices.Sorted(maps.Keys(declared())) {
			for _, code := range declared()[operation] {
				if !observed.seen[operation+" "+code] && unreachable(operation, code) == "" {
					fmt.Printf("no test has %s answer %s\n", operation, code)
					status = 1
				}
			}
		}
	}
	os.Exit(status)
}

// unreachable tells why an operation never answers with an error that the model declares for it; "" if it does.
func unreachable(operation, code string) string {
	is := func(names string) bool { return slices.Contains(strings.Fields(names), operation) }
	signed := func() bool { return slices.Contains(operations(awsapi.Signed), operation) }
	switch code {
	case "InternalErrorException", "InternalServerException":
		return "only for faults of the server"
	case "ForbiddenException":
		return "only a web application firewall in front of the service answers so"
	case "OperationNotEnabledException":
		return "only for replicas in other regions"
	case "InvalidSmsRoleAccessPolicyException", "InvalidSmsRoleTrustRelationshipException", "InvalidEmailRoleAccessPolicyException":
		return "roles for sending are kept and not assumed"
	case "CodeDeliveryFailureException":
		return "messages are delivered by an outbox, with retry"
	case "ConcurrentModificationException":
		return "changes at the same time take turns"
	case "TooManyFailedAttemptsException":
		return "LimitExceededException answers"
	case "UserPoolTaggingException":
		return "tags that cannot be set are invalid parameters"
	case "MFAMethodNotFoundException":
		return "a user without a possible factor is an invalid parameter"
	case "TooManyRequestsException":
		if !is("InitiateAuth AdminInitiateAuth RespondToAuthChallenge AdminRespondToAuthChallenge UpdateUserAttributes AdminUpdateUserAttributes") {
			return "only for more work than the server has room for, as package token tests it, or settings that change meanwhile"
		}
	case "NotAuthorizedException":
		if signed() && !is("AdminInitiateAuth AdminRespondToAuthChallenge AdminConfirmSignUp AdminResetUserPassword") {
			return "AccessDeniedException answers whoever may not"
		}
	case "ResourceNotFoundException":
		if isBearer(operation) && !is("ForgetDevice GetDevice UpdateDeviceStatus RevokeUserSession DeleteWebAuthnCredential") {
			return "a token of a pool or client that is gone is invalid"
		}
	case "UserNotConfirmedException":
		switch {
		case isBearer(operation):
			return "who has signed in never becomes unconfirmed"
		case is("AdminDeleteSoftwareToken AdminSetUserMFAPreference"):
			return "an administrator may, whatever the status of the user"
		case is("ConfirmForgotPassword"):
			return "a user with a verified address becomes confirmed by it"
		}
	case "PasswordResetRequiredException":
		if is("AdminSetUserMFAPreference") {
			return "an administrator may, whatever the status of the user"
		}
	case "UserNotFoundException":
		if is("RespondToAuthChallenge AdminRespondToAuthChallenge GetTokensFromRefreshToken") {
			return "a session or a refresh token of a deleted user is invalid"
		}
	case "LimitExceededException":
		if is("AdminConfirmSignUp AdminResetUserPassword SignUp DeleteUserPoolClientSecret ListUserPoolClientSecrets DeleteWebAuthnCredential ListWebAuthnCredentials") {
			return "nothing limits it"
		}
	case "CodeMismatchException", "ExpiredCodeException":
		switch {
		case is("UpdateUserAttributes"):
			return "it takes no code"
		case is("VerifySoftwareToken"):
			return "EnableSoftwareTokenMFAException answers"
		}
	case "InvalidUserPoolConfigurationException":
		if is("InitiateAuth AdminInitiateAuth RespondToAuthChallenge AdminRespondToAuthChallenge VerifySoftwareToken") {
			return "a missing trigger is an invalid parameter, and so is a missing factor"
		}
	case "UserLambdaValidationException", "UnexpectedLambdaException", "InvalidLambdaResponseException":
		if is("ConfirmDevice") {
			return "it calls no trigger"
		}
	case "FeatureUnavailableInTierException":
		switch {
		case is("InitiateAuth AdminInitiateAuth"):
			return "only for stepping up a sign-in, which is not served"
		case is("CreateUserPoolClient UpdateUserPoolClient"):
			return "every setting of a client is in every tier"
		}
	case "UnsupportedIdentityProviderException":
		return "a provider that the pool does not have is not found"
	case "AliasExistsException":
		if is("AdminDisableProviderForUser") {
			return "it gives nobody an identity"
		}
	case "TierChangeNotAllowedException":
		if is("CreateUserPool") {
			return "a new pool has no other tier before"
		}
	case "PreconditionNotMetException":
		if is("AdminCreateUser CreateUserImportJob") {
			return "it has no precondition; StartUserImportJob asks for those of the import"
		}
	case "UsernameExistsException", "InvalidPasswordException":
		if is("ConfirmDevice") {
			return "it takes no name or password"
		}
	}
	return ""
}

var violations = regexp.MustCompile(`^([0-9]+ validation errors|1 validation error) detected: Value .* failed to satisfy constraint: Member must not be null$`)

// TestDeclaredErrors has operations answer with the errors that have one cause in all of them.
func TestDeclaredErrors(t *testing.T) {
	ts := newTestServerSQLite(t)
	s := ts.signed(t)
	_, values := s.furnished(t)
	wants := func(operation, what, input, code, message string) {
		t.Helper()
		if !slices.Contains(declared()[operation], code) {
			return
		}
		_, err := s.call(t, admin, operation, input)
		wantError(t, operation+", "+what, err, code, message)
	}
	wants("AdminDisableProviderForUser", "an unknown user", strings.Replace(inputOf(t, "AdminDisableProviderForUser", values), `"Google","ProviderAttributeName":"Cognito_Subject","ProviderAttributeValue":"1"`,
		`"Cognito","ProviderAttributeName":"Cognito_Subject","ProviderAttributeValue":"nobody"`, 1), "UserNotFoundException", "User does not exist.")
	for operation, input := range everyOperation {
		if operation == "AssociateSoftwareToken" { // whose members are all optional
			wants(operation, "an empty token", `{"AccessToken":""}`, "InvalidParameterException", `1 validation error detected: Value at 'accessToken' failed to satisfy constraint: Member must satisfy regular expression pattern: [A-Za-z0-9-_=.]+`)
		} else {
			_, err := s.call(t, admin, operation, "{}")
			if e, ok := err.(interface{ ErrorMessage() string }); !ok || !violations.MatchString(e.ErrorMessage()) {
				t.Errorf("%s without members: %v", operation, err)
			}
		}
		if !isBearer(operation) && strings.Contains(operation, "Device") {
			wants(operation, "without tracking", inputOf(t, operation, values), "InvalidUserPoolConfigurationException", "Device tracking is not enabled for the user pool.")
		}
		if !strings.Contains(input, "{user}") {
			continue
		}
		values := maps.Clone(values)
		values["user"] = "nobody"
		message := "User does not exist."
		if slices.Contains([]string{"ConfirmSignUp", "ResendConfirmationCode", "ForgotPassword", "ConfirmForgotPassword"}, operation) {
			message = "Username/client id combination not found."
		}
		if operation != "AdminRespondToAuthChallenge" && operation != "RespondToAuthChallenge" {
			wants(operation, "an unknown user", inputOf(t, operation, values), "UserNotFoundException", message)
		}
	}
}

// TestTriggerErrors: a function that throws, one that cannot be called, and one whose answer is not an event.
func TestTriggerErrors(t *testing.T) {
	ts := newTestServerSQLite(t)
	server := ts.functions(t)
	app := ts.newApp(t, triggers(types.LambdaConfigType{PreSignUp: function("PreSignUp"), PostConfirmation: function("PostConfirmation"), PreAuthentication: function("PreAuthentication"),
		PostAuthentication: function("PostAuthentication"), PreTokenGeneration: function("PreTokenGeneration"), CustomMessage: function("CustomMessage")}))
	calm := func() {
		for _, name := range []string{"PreSignUp", "PostConfirmation", "PreAuthentication", "PostAuthentication", "PreTokenGeneration", "CustomMessage"} {
			server.Handle(name, echo)
		}
	}
	ctx := t.Context()
	temporary := func(name string) { // a user who must choose a password
		if _, err := app.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, MessageAction: "SUPPRESS", TemporaryPassword: aws.String(testPassword)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		operation, trigger string
		prepare            func(name string) (call func() error)
	}{
		{"SignUp", "PreSignUp", func(name string) func() error {
			return func() error {
				return second(app.sdk.SignUp(ctx, &cip.SignUpInput{ClientId: &app.app, Username: &name, Password: aws.String(testPassword)}))
			}
		}},
		{"AdminCreateUser", "PreSignUp", func(name string) func() error {
			return func() error { return second(app.create(t, name)) }
		}},
		{"ConfirmSignUp", "PostConfirmation", func(name string) func() error {
			app.signUp(t, name)
			code := app.outbox.code(t)
			return func() error { return app.confirm(t, name, code) }
		}},
		{"AdminConfirmSignUp", "PostConfirmation", func(name string) func() error {
			app.signUp(t, name)
			return func() error {
				return second(app.sdk.AdminConfirmSignUp(ctx, &cip.AdminConfirmSignUpInput{UserPoolId: &app.pool, Username: &name}))
			}
		}},
		{"ConfirmForgotPassword", "PostConfirmation", func(name string) func() error {
			app.user(t, name)
			if _, err := app.forgot(t, name); err != nil {
				t.Fatal(err)
			}
			code := app.outbox.code(t)
			return func() error { return app.confirmForgot(t, name, code, newPassword) }
		}},
		{"InitiateAuth", "PreAuthentication", func(name string) func() error {
			app.person(t, name)
			return func() error { return second(app.password(t, name, testPassword)) }
		}},
		{"AdminInitiateAuth", "PostAuthentication", func(name string) func() error {
			app.person(t, name)
			return func() error { return second(app.adminPassword(t, name, testPassword)) }
		}},
		{"RespondToAuthChallenge", "PreTokenGeneration", func(name string) func() error {
			temporary(name)
			out, err := app.password(t, name, testPassword)
			if err != nil {
				t.Fatal(err)
			}
			return func() error {
				return second(app.reply(t, name, "NEW_PASSWORD_REQUIRED", out.Session, "NEW_PASSWORD", newPassword))
			}
		}},
		{"AdminRespondToAuthChallenge", "PostAuthentication", func(name string) func() error {
			temporary(name)
			out, err := app.adminPassword(t, name, testPassword)
			if err != nil {
				t.Fatal(err)
			}
			return func() error {
				return app.adminReply(t, name, "NEW_PASSWORD_REQUIRED", out.Session, "NEW_PASSWORD", newPassword)
			}
		}},
		{"GetTokensFromRefreshToken", "PreTokenGeneration", func(name string) func() error {
			app.person(t, name)
			tokens := app.signIn(t, name, testPassword)
			return func() error {
				return second(app.sdk.GetTokensFromRefreshToken(ctx, &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: tokens.RefreshToken}))
			}
		}},
		{"AdminResetUserPassword", "CustomMessage", func(name string) func() error {
			app.user(t, name)
			return func() error {
				return second(app.sdk.AdminResetUserPassword(ctx, &cip.AdminResetUserPasswordInput{UserPoolId: &app.pool, Username: &name}))
			}
		}},
		{"AdminUpdateUserAttributes", "CustomMessage", func(name string) func() error {
			app.person(t, name)
			return func() error { return app.adminUpdate(t, name, "email", "new@example.com") }
		}},
		{"ForgotPassword", "CustomMessage", func(name string) func() error {
			app.user(t, name)
			return func() error { return second(app.forgot(t, name)) }
		}},
		{"ResendConfirmationCode", "CustomMessage", func(name string) func() error {
			app.signUp(t, name)
			return func() error { return second(app.resend(t, name)) }
		}},
		{"GetUserAttributeVerificationCode", "CustomMessage", func(name string) func() error {
			app.user(t, name)
			token := app.signIn(t, name, testPassword).AccessToken
			return func() error {
				return second(app.sdk.GetUserAttributeVerificationCode(ctx, &cip.GetUserAttributeVerificationCodeInput{AccessToken: token, AttributeName: aws.String("email")}))
			}
		}},
		{"UpdateUserAttributes", "CustomMessage", func(name string) func() error {
			app.user(t, name)
			token := app.signIn(t, name, testPassword).AccessToken
			return func() error {
				return second(app.sdk.UpdateUserAttributes(ctx, &cip.UpdateUserAttributesInput{AccessToken: token, UserAttributes: attributes("email", "new@example.com")}))
			}
		}},
	} {
		for i, failure := range []struct {
			code, message string
			fail          func()
		}{
			{"UserLambdaValidationException", c.trigger + " failed with error Not today.", func() { server.Handle(c.trigger, throws("Not today")) }},
			{"UnexpectedLambdaException", c.trigger + " invocation failed due to error AccessDeniedException.", func() {
				server.HandleRaw(c.trigger, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
					w.WriteHeader(http.StatusForbidden)
				})
			}},
			{"InvalidLambdaResponseException", "Unrecognizable lambda output", func() {
				server.HandleRaw(c.trigger, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
			}},
		} {
			calm()
			app.outbox.take()
			call := c.prepare(fmt.Sprint(c.operation, i))
			failure.fail()
			wantError(t, c.operation+", "+c.trigger, call(), failure.code, failure.message)
		}
	}
}

func (app *testApp) adminInitiate(tb testing.TB, flow types.AuthFlowType, params map[string]string) (*cip.AdminInitiateAuthOutput, error) {
	return app.sdk.AdminInitiateAuth(tb.Context(), &cip.AdminInitiateAuthInput{UserPoolId: &app.pool, ClientId: &app.app, AuthFlow: flow, AuthParameters: params})
}

func (app *testApp) adminReply(tb testing.TB, name string, challenge types.ChallengeNameType, session *string, pairs ...string) error {
	responses := map[string]string{"USERNAME": name}
	for i := 0; i < len(pairs); i += 2 {
		responses[pairs[i]] = pairs[i+1]
	}
	return second(app.sdk.AdminRespondToAuthChallenge(tb.Context(), &cip.AdminRespondToAuthChallengeInput{UserPoolId: &app.pool, ClientId: &app.app, ChallengeName: challenge, Session: session, ChallengeResponses: responses}))
}

// exhaust uses up what the users of the pool may do in this hour of what they have done.
func (app *testApp) exhaust(t *testing.T) {
	t.Helper()
	noError(t, app.DB.Tx(t.Context(), func(tx *db.Tx) error {
		return second(tx.ExecContext(t.Context(), `UPDATE user_rates SET count = 1000 WHERE pool_id = $1`, app.pool))
	}))
}

// TestErrorsOfAdminSignIn: administrators who sign users in get the same errors as users.
func TestErrorsOfAdminSignIn(t *testing.T) {
	ts := newTestServerSQLite(t)
	app := ts.newApp(t, sender, aliases("preferred_username"), func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.Policies = &types.UserPoolPolicyType{PasswordPolicy: &types.PasswordPolicyType{PasswordHistorySize: aws.Int32(3), RequireNumbers: true}}
	})
	ctx := t.Context()
	app.person(t, "ann", "preferred_username", "taken", "email", "ann@example.com")
	app.signUp(t, "una")
	app.person(t, "rex", "email", "rex@example.com", "email_verified", "true")
	noError(t, second(app.sdk.AdminResetUserPassword(ctx, &cip.AdminResetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("rex")})))

	srp := func(name, password string) error {
		c := newSRPClient()
		out, err := app.adminInitiate(t, "USER_SRP_AUTH", map[string]string{"USERNAME": name, "SRP_A": c.publicA()})
		if err != nil {
			return err
		}
		var pairs []string
		for k, v := range c.answer(t, app.poolName(), password, out.ChallengeParameters, ts.clock.Now()) {
			pairs = append(pairs, k, v)
		}
		return app.adminReply(t, name, "PASSWORD_VERIFIER", nil, pairs...)
	}
	for _, c := range []struct{ name, password, code, message string }{
		{"ann", newPassword, "NotAuthorizedException", "Incorrect username or password."},
		{"una", testPassword, "UserNotConfirmedException", "User is not confirmed."},
		{"rex", testPassword, "PasswordResetRequiredException", "Password reset required for the user"},
	} {
		wantError(t, c.name, second(app.adminPassword(t, c.name, c.password)), c.code, c.message)
		wantError(t, c.name+" by SRP", srp(c.name, c.password), c.code, c.message)
	}

	// Stepping up is refused, not ignored.
	choosing := app.anotherClient(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
		c.ExplicitAuthFlows = []types.ExplicitAuthFlowsType{"ALLOW_USER_AUTH"}
	})
	for _, name := range []string{"TARGET_ACR_VALUES", "MAX_AGE"} {
		params := map[string]string{"USERNAME": "ann", "PREFERRED_CHALLENGE": "PASSWORD", "PASSWORD": testPassword, name: "1"}
		wantError(t, name, second(choosing.initiate(t, "USER_AUTH", params)), "UnsupportedOperationException", errStepUp.Message)
		wantError(t, name, second(choosing.adminInitiate(t, "USER_AUTH", params)), "UnsupportedOperationException", errStepUp.Message)
	}

	// NEW_PASSWORD_REQUIRED.
	app.mustCreate(t, "new")
	noError(t, second(app.sdk.AdminSetUserPassword(ctx, &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("new"), Password: aws.String(testPassword)})))
	begun, err := app.adminPassword(t, "new", testPassword)
	noError(t, err)
	for _, c := range []struct {
		code, message string
		pairs         []string
	}{
		{"InvalidPasswordException", "Password did not conform with policy: Password must have numeric characters", []string{"NEW_PASSWORD", "numberless"}},
		{"PasswordHistoryPolicyViolationException", "Password has previously been used", []string{"NEW_PASSWORD", testPassword}},
		{"AliasExistsException", "An account with the preferred_username already exists.", []string{"NEW_PASSWORD", newPassword, "userAttributes.preferred_username", "taken"}},
	} {
		wantError(t, "new password", app.adminReply(t, "new", "NEW_PASSWORD_REQUIRED", begun.Session, c.pairs...), c.code, c.message)
		wantError(t, "new password", second(app.reply(t, "new", "NEW_PASSWORD_REQUIRED", begun.Session, c.pairs...)), c.code, c.message)
	}

	// Second factors.
	app.setMFA(t, "OPTIONAL", "TES")
	token := app.signIn(t, "ann", testPassword).AccessToken
	secret := app.enrolTOTP(t, token)
	noError(t, app.prefer(t, token, "T"))
	begun, err = app.adminPassword(t, "ann", testPassword)
	noError(t, err)
	code := app.totpCode(t, secret, 0)
	again, err := app.adminPassword(t, "ann", testPassword)
	noError(t, err)
	noError(t, app.adminReply(t, "ann", "SOFTWARE_TOKEN_MFA", again.Session, "SOFTWARE_TOKEN_MFA_CODE", code))
	wantError(t, "a used code", app.adminReply(t, "ann", "SOFTWARE_TOKEN_MFA", begun.Session, "SOFTWARE_TOKEN_MFA_CODE", code), "ExpiredCodeException", "Your software token has already been used once.")
	wantError(t, "a wrong code", app.adminReply(t, "ann", "SOFTWARE_TOKEN_MFA", begun.Session, "SOFTWARE_TOKEN_MFA_CODE", app.totpCode(t, secret, 100)), "CodeMismatchException", "Invalid code received for user")
	const gone = "Software token MFA not found for the user."
	if got := app.raw(t, "AdminDeleteSoftwareToken", m{"UserPoolId": app.pool, "Username": "ann"}, &struct{}{}); got != "" {
		t.Fatal(got)
	}
	wantError(t, "the app is deleted", app.adminReply(t, "ann", "SOFTWARE_TOKEN_MFA", begun.Session, "SOFTWARE_TOKEN_MFA_CODE", code), "SoftwareTokenMFANotFoundException", gone)
	wantError(t, "the app is deleted", second(app.reply(t, "ann", "SOFTWARE_TOKEN_MFA", begun.Session, "SOFTWARE_TOKEN_MFA_CODE", code)), "SoftwareTokenMFANotFoundException", gone)

	app.enrolTOTP(t, token)
	noError(t, app.prefer(t, token, "E"))
	noError(t, second(app.adminPassword(t, "ann", testPassword)))
	noError(t, app.prefer(t, token, "et"))
	choice, err := app.adminPassword(t, "ann", testPassword)
	noError(t, err)
	app.exhaust(t)
	tooMany := func(what string, err error) {
		t.Helper()
		wantError(t, what, err, "TooManyRequestsException", "Attempt limit exceeded, please try after some time.")
	}
	tooMany("choosing e-mail", app.adminReply(t, "ann", "SELECT_MFA_TYPE", choice.Session, "ANSWER", "EMAIL_OTP"))
	tooMany("choosing e-mail", second(app.reply(t, "ann", "SELECT_MFA_TYPE", choice.Session, "ANSWER", "EMAIL_OTP")))
	noError(t, app.prefer(t, token, "E"))
	tooMany("a code by e-mail", second(app.adminPassword(t, "ann", testPassword)))
	tooMany("a code by e-mail", second(app.password(t, "ann", testPassword)))
}

// TestErrorsOfAttributes: names to sign in with that others have, and guesses.
func TestErrorsOfAttributes(t *testing.T) {
	ts := newTestServerSQLite(t)
	ctx := t.Context()
	app := ts.newApp(t, usernames("email"), func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.UserAttributeUpdateSettings = &types.UserAttributeUpdateSettingsType{AttributesRequireVerificationBeforeUpdate: []types.VerifiedAttributeType{"email"}}
	})
	app.person(t, "ann@example.com")
	token := app.signIn(t, "ann@example.com", testPassword).AccessToken
	update := func(app *testApp, token *string, pairs ...string) error {
		return second(app.sdk.UpdateUserAttributes(ctx, &cip.UpdateUserAttributesInput{AccessToken: token, UserAttributes: attributes(pairs...)}))
	}
	verify := func(code string) error {
		return second(app.sdk.VerifyUserAttribute(ctx, &cip.VerifyUserAttributeInput{AccessToken: token, AttributeName: aws.String("email"), Code: &code}))
	}
	noError(t, update(app, token, "email", "new@example.com"))
	code := app.outbox.code(t)
	app.person(t, "new@example.com") // faster
	wantError(t, "an address that another took meanwhile", verify(code), "AliasExistsException", "An account with the email already exists.")
	wantError(t, "a wrong code", verify(wrongCode(code)), "CodeMismatchException", "")
	app.exhaust(t)
	wantError(t, "one guess more", verify(code), "LimitExceededException", "Attempt limit exceeded, please try after some time.")

	named := ts.newApp(t, aliases("preferred_username"))
	named.person(t, "ann", "preferred_username", "taken")
	named.person(t, "bob")
	wantError(t, "a preferred name that another has", update(named, named.signIn(t, "bob", testPassword).AccessToken, "preferred_username", "taken"), "AliasExistsException", "An account with the preferred_username already exists.")
}

// TestErrorsOfSettings: what a tier does not have, and OAuth flows that exclude each other.
func TestErrorsOfSettings(t *testing.T) {
	ts := newTestServerSQLite(t)
	ctx := t.Context()
	app := ts.newApp(t, sender)
	lite := func(change func(*cip.UpdateUserPoolInput)) error {
		in := &cip.UpdateUserPoolInput{UserPoolId: &app.pool, UserPoolTier: "LITE"}
		change(in)
		return second(app.sdk.UpdateUserPool(ctx, in))
	}
	history := func(in *cip.UpdateUserPoolInput) {
		in.Policies = &types.UserPoolPolicyType{PasswordPolicy: &types.PasswordPolicyType{MinimumLength: aws.Int32(8), PasswordHistorySize: aws.Int32(1)}}
	}
	wantError(t, "history in LITE", lite(history), "FeatureUnavailableInTierException", "Password history is not available in the user pool's tier.")
	app.setMFA(t, "OPTIONAL", "E")
	wantError(t, "to LITE with email MFA", lite(func(*cip.UpdateUserPoolInput) {}), "TierChangeNotAllowedException", errTierChange("e-mail MFA").Message)
	app.setMFA(t, "OPTIONAL", "T")
	if got := app.track(t, "ENABLED", 5); got != "" {
		t.Fatal(got)
	}
	wantError(t, "to LITE with tracked sessions", lite(func(*cip.UpdateUserPoolInput) {}), "TierChangeNotAllowedException", errTierChange("user session tracking").Message)
	if got := app.track(t, "DISABLED", 5); got != "" {
		t.Fatal(got)
	}
	noError(t, lite(func(*cip.UpdateUserPoolInput) {}))
	noError(t, lite(func(*cip.UpdateUserPoolInput) {}))
	if got := app.raw(t, "SetUserPoolClientSessionConfiguration", m{"UserPoolId": app.pool, "ClientId": app.app, "SSOSession": m{"MaxValidityMinutes": 60}}, &struct{}{}); got != "FeatureUnavailableInTierException" {
		t.Errorf("sessions of clients in LITE: %q", got)
	}

	const mixed = "client_credentials flow can not be selected along with code flow or implicit flow."
	const public = "client_credentials flow can not be selected if client does not have a client secret."
	for _, c := range []struct {
		message string
		flows   []types.OAuthFlowType
	}{{mixed, []types.OAuthFlowType{"code", "client_credentials"}}, {public, []types.OAuthFlowType{"client_credentials"}}} {
		wantError(t, "a new client", second(app.sdk.CreateUserPoolClient(ctx, &cip.CreateUserPoolClientInput{UserPoolId: &app.pool, ClientName: aws.String("c"), GenerateSecret: c.message == mixed,
			AllowedOAuthFlowsUserPoolClient: true, AllowedOAuthFlows: c.flows, AllowedOAuthScopes: []string{"openid"}, CallbackURLs: []string{"https://example.com/"}})), "InvalidOAuthFlowException", c.message)
		wantError(t, "an old client", second(app.sdk.UpdateUserPoolClient(ctx, &cip.UpdateUserPoolClientInput{UserPoolId: &app.pool, ClientId: &app.app,
			AllowedOAuthFlowsUserPoolClient: true, AllowedOAuthFlows: c.flows, AllowedOAuthScopes: []string{"openid"}, CallbackURLs: []string{"https://example.com/"}})), "InvalidOAuthFlowException", "")
	}
}
