package userpool

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
	"usher/internal/trigger"
	"usher/internal/trigger/triggertest"
)

// functions starts a Lambda API and has the service call it.
func (ts *testServer) functions(tb testing.TB) *triggertest.Server {
	server := triggertest.New(tb)
	ts.Triggers = trigger.New(server.URL, server.Credentials())
	return server
}

func member(e map[string]any, name string) map[string]any { return e[name].(map[string]any) }

// riddle are the three functions of a sign-in that asks for a secret word, three times at most.
func riddle(server *triggertest.Server) {
	server.Handle("define", func(e map[string]any) (any, error) {
		session := member(e, "request")["session"].([]any)
		response := member(e, "response")
		last := map[string]any{}
		if len(session) > 0 {
			last = session[len(session)-1].(map[string]any)
		}
		switch {
		case last["challengeName"] == "SRP_A":
			response["challengeName"] = "PASSWORD_VERIFIER"
		case last["challengeName"] == "CUSTOM_CHALLENGE" && last["challengeResult"] == true:
			response["issueTokens"] = true
		case len(session) >= 3:
			response["failAuthentication"] = true
		default:
			response["challengeName"] = "CUSTOM_CHALLENGE"
		}
		return e, nil
	})
	server.Handle("create", func(e map[string]any) (any, error) {
		n := len(member(e, "request")["session"].([]any))
		e["response"] = map[string]any{
			"publicChallengeParameters":  map[string]string{"question": "the word?", "USERNAME": "somebody else"},
			"privateChallengeParameters": map[string]string{"word": "sesame"},
			"challengeMetadata":          fmt.Sprint("try ", n),
		}
		return e, nil
	})
	server.Handle("verify", func(e map[string]any) (any, error) {
		request := member(e, "request")
		member(e, "response")["answerCorrect"] = member(request, "privateChallengeParameters")["word"] == request["challengeAnswer"]
		return e, nil
	})
}

// withFunctions configures the triggers of custom authentication.
func withFunctions(p *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
	p.LambdaConfig = &types.LambdaConfigType{DefineAuthChallenge: aws.String(triggertest.ARN("define")),
		CreateAuthChallenge: aws.String(triggertest.ARN("create")), VerifyAuthChallengeResponse: aws.String(triggertest.ARN("verify"))}
	c.ExplicitAuthFlows = append(c.ExplicitAuthFlows, "ALLOW_CUSTOM_AUTH")
}

func (app *testApp) custom(tb testing.TB, name string) (*cip.InitiateAuthOutput, error) {
	return app.initiate(tb, "CUSTOM_AUTH", app.with(name, map[string]string{"USERNAME": name}))
}

func (app *testApp) answer(tb testing.TB, session *string, name, answer string) (*cip.RespondToAuthChallengeOutput, error) {
	return app.respond(tb, "CUSTOM_CHALLENGE", session, app.with(name, map[string]string{"USERNAME": name, "ANSWER": answer}))
}

func TestCustomAuth(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		riddle(server)
		for name, options := range map[string][]func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput){
			"public client":        {withFunctions},
			"client with secret":   {withFunctions, withSecret},
			"client that conceals": {withFunctions, hidden},
		} {
			app := ts.newApp(t, options...)
			app.user(t, "ada")
			first, err := app.custom(t, "ada")
			if err != nil {
				t.Fatal(name, err)
			}
			if first.ChallengeName != "CUSTOM_CHALLENGE" || !maps.Equal(first.ChallengeParameters, map[string]string{"question": "the word?", "USERNAME": "ada"}) {
				t.Errorf("%s: %s %v", name, first.ChallengeName, first.ChallengeParameters)
			}
			second, err := app.answer(t, first.Session, "ada", "abracadabra")
			if err != nil || second.ChallengeName != "CUSTOM_CHALLENGE" || *second.Session == *first.Session {
				t.Fatalf("%s: after a wrong answer: %+v %v", name, second, err)
			}
			_, err = app.answer(t, first.Session, "ada", "sesame")
			wantError(t, name+": session used twice", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
			done, err := app.answer(t, second.Session, "ada", "sesame")
			if err != nil || done.AuthenticationResult == nil {
				t.Fatalf("%s: after the right answer: %+v %v", name, done, err)
			}
			if got, err := app.getUser(t, done.AuthenticationResult.AccessToken); err != nil || got["email"] != "ada@example.com" {
				t.Errorf("%s: the user of the tokens: %v %v", name, got, err)
			}
			_, err = app.answer(t, second.Session, "ada", "sesame")
			wantError(t, name+": session used after tokens", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
		}
	})
}

// TestCustomAuthEvents compares what the functions are told, member for member.
func TestCustomAuthEvents(t *testing.T) {
	ts := newTestServerSQLite(t)
	server := ts.functions(t)
	riddle(server)
	app := ts.newApp(t, withFunctions)
	app.user(t, "ada")
	u, err := ts.sdk.AdminGetUser(t.Context(), &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: aws.String("ada")})
	if err != nil {
		t.Fatal(err)
	}
	first, err := app.sdk.InitiateAuth(t.Context(), &cip.InitiateAuthInput{AuthFlow: "CUSTOM_AUTH", ClientId: &app.app,
		AuthParameters: map[string]string{"USERNAME": "ada"}, ClientMetadata: map[string]string{"not": "passed on"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.sdk.RespondToAuthChallenge(t.Context(), &cip.RespondToAuthChallengeInput{ClientId: &app.app, ChallengeName: "CUSTOM_CHALLENGE", Session: first.Session,
		ChallengeResponses: map[string]string{"USERNAME": "ada", "ANSWER": "sesame"}, ClientMetadata: map[string]string{"app": "1"}}); err != nil {
		t.Fatal(err)
	}
	attributes := map[string]any{"sub": attributeMap(u.UserAttributes)["sub"], "email": "ada@example.com", "email_verified": "true", "cognito:user_status": "CONFIRMED"}
	event := func(source string, request, response map[string]any) map[string]any {
		request["userAttributes"] = attributes
		return map[string]any{"version": "1", "triggerSource": source, "region": "eu-central-1", "userPoolId": app.pool, "userName": "ada",
			"callerContext": map[string]any{"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": app.app}, "request": request, "response": response}
	}
	noDefinition := m{"challengeName": nil, "issueTokens": nil, "failAuthentication": nil}
	want := []map[string]any{
		event("DefineAuthChallenge_Authentication", m{"session": []any{}}, noDefinition),
		event("CreateAuthChallenge_Authentication", m{"session": []any{}, "challengeName": "CUSTOM_CHALLENGE"},
			m{"publicChallengeParameters": nil, "privateChallengeParameters": nil, "challengeMetadata": nil}),
		event("VerifyAuthChallengeResponse_Authentication", m{"privateChallengeParameters": m{"word": "sesame"}, "challengeAnswer": "sesame", "clientMetadata": m{"app": "1"}},
			m{"answerCorrect": nil}),
		event("DefineAuthChallenge_Authentication", m{"clientMetadata": m{"app": "1"},
			"session": []any{m{"challengeName": "CUSTOM_CHALLENGE", "challengeResult": true, "challengeMetadata": "try 0"}}}, noDefinition),
	}
	for i, got := range server.Events() {
		if i >= len(want) || !reflect.DeepEqual(got, want[i]) {
			t.Errorf("event %d:\n got %v\nwant %v", i, got, want[min(i, len(want)-1)])
		}
	}
}

// TestCustomAuthHides: for a client that conceals who exists, unknown and disabled users meet the same challenges, and get
// no tokens even for the right answer.
func TestCustomAuthHides(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		riddle(server)
		app := ts.newApp(t, withFunctions, hidden)
		app.user(t, "ada")
		app.user(t, "eve")
		if _, err := ts.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: aws.String("eve")}); err != nil {
			t.Fatal(err)
		}
		var shapes []string
		for _, name := range []string{"ada", "eve", "nobody"} {
			server.Events()
			first, err := app.custom(t, name)
			if err != nil {
				t.Fatal(name, err)
			}
			shape := fmt.Sprint(first.ChallengeName, slices.Sorted(maps.Keys(first.ChallengeParameters)), first.ChallengeParameters["USERNAME"] == name, len(*first.Session) < 600)
			second, err := app.answer(t, first.Session, name, "wrong")
			if err != nil {
				t.Fatal(name, err)
			}
			shapes = append(shapes, shape+fmt.Sprint(second.ChallengeName))
			_, err = app.answer(t, second.Session, name, "sesame")
			events := server.Events()
			for _, e := range events {
				if member(e, "request")["userNotFound"] != (name != "ada") {
					t.Errorf("%s: userNotFound is %v in %v", name, member(e, "request")["userNotFound"], e["triggerSource"])
				}
			}
			if len(events) != 7 {
				t.Errorf("%s: %d calls", name, len(events))
			}
			if name == "ada" {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			wantError(t, name+" with the right answer", err, "NotAuthorizedException", "Incorrect username or password.")
		}
		if shapes[0] != shapes[1] || shapes[1] != shapes[2] {
			t.Errorf("answers tell who exists: %q", shapes)
		}

		open := app.anotherClient(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.ExplicitAuthFlows = []types.ExplicitAuthFlowsType{"ALLOW_CUSTOM_AUTH"}
		})
		_, err := open.custom(t, "nobody")
		wantError(t, "unknown user", err, "UserNotFoundException", "User does not exist.")
		_, err = open.custom(t, "eve")
		wantError(t, "disabled user", err, "NotAuthorizedException", "User is disabled.")
	})
}

// TestCustomAuthPassword: the password by SRP comes first, then the custom challenge.
func TestCustomAuthPassword(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		riddle(server)
		app := ts.newApp(t, withFunctions)
		app.user(t, "ada")
		start := func() (*srpClient, *cip.InitiateAuthOutput) {
			c := newSRPClient()
			out, err := app.initiate(t, "CUSTOM_AUTH", map[string]string{"USERNAME": "ada", "CHALLENGE_NAME": "SRP_A", "SRP_A": c.publicA()})
			if err != nil {
				t.Fatal(err)
			}
			if out.ChallengeName != "PASSWORD_VERIFIER" || out.Session == nil {
				t.Fatalf("challenge %s, session %v", out.ChallengeName, out.Session)
			}
			return c, out
		}
		for _, withSession := range []bool{true, false} { // clients that drop it get as far
			c, out := start()
			server.Events()
			if !withSession {
				out.Session = nil
			}
			answer := c.answer(t, app.poolName(), testPassword, out.ChallengeParameters, ts.clock.Now())
			next, err := app.respond(t, "PASSWORD_VERIFIER", out.Session, answer)
			if err != nil || next.ChallengeName != "CUSTOM_CHALLENGE" {
				t.Fatalf("after the password: %+v %v", next, err)
			}
			history := member(server.Events()[0], "request")["session"]
			if want := []any{map[string]any{"challengeName": "SRP_A", "challengeResult": true}, map[string]any{"challengeName": "PASSWORD_VERIFIER", "challengeResult": true}}; !reflect.DeepEqual(history, want) {
				t.Errorf("history: %v", history)
			}
			done, err := app.answer(t, next.Session, "ada", "sesame")
			if err != nil || done.AuthenticationResult == nil {
				t.Fatalf("after the word: %+v %v", done, err)
			}
			_, err = app.respond(t, "PASSWORD_VERIFIER", out.Session, answer)
			wantError(t, "proof used twice", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
		}
		for n := range freeFailures {
			c, out := start()
			_, err := app.respond(t, "PASSWORD_VERIFIER", out.Session, c.answer(t, app.poolName(), "Wrong-Password1!", out.ChallengeParameters, ts.clock.Now()))
			wantError(t, fmt.Sprint("wrong password ", n), err, "NotAuthorizedException", "Incorrect username or password.")
		}
		_, err := app.custom(t, "ada")
		wantError(t, "locked out", err, "NotAuthorizedException", "Password attempts exceeded")
		ts.clock.advance(time.Hour)
		_, err = app.initiate(t, "CUSTOM_AUTH", map[string]string{"USERNAME": "ada", "CHALLENGE_NAME": "SRP_A"})
		wantError(t, "without SRP_A", err, "InvalidParameterException", "Missing required parameter SRP_A")
		_, err = app.initiate(t, "CUSTOM_AUTH", map[string]string{"USERNAME": "ada", "CHALLENGE_NAME": "SRP_A", "SRP_A": "0"})
		wantError(t, "zero SRP_A", err, "InvalidParameterException", "Invalid SRP_A value.")
	})
}

// TestCustomAuthFunctions gives functions that fail, say nonsense or cannot be called.
func TestCustomAuthFunctions(t *testing.T) {
	ts := newTestServerSQLite(t)
	server := ts.functions(t)
	app := ts.newApp(t, withFunctions)
	app.user(t, "ada")
	respond := func(response map[string]any) triggertest.Function {
		return func(e map[string]any) (any, error) { e["response"] = response; return e, nil }
	}
	for _, c := range []struct {
		name, function string
		does           triggertest.Function // nil: the function is not there
		code, message  string
	}{
		{"define throws", "define", func(m) (any, error) { return nil, errors.New("Not today") }, "UserLambdaValidationException", "DefineAuthChallenge failed with error Not today."},
		{"create throws", "create", func(m) (any, error) { return nil, errors.New("no") }, "UserLambdaValidationException", "CreateAuthChallenge failed with error no."},
		{"verify throws", "verify", func(m) (any, error) { return nil, errors.New("no") }, "UserLambdaValidationException", "VerifyAuthChallengeResponse failed with error no."},
		{"define says nothing", "define", respond(m{}), "InvalidLambdaResponseException", "Unrecognizable lambda output"},
		{"define returns null", "define", func(m) (any, error) { return nil, nil }, "InvalidLambdaResponseException", "Unrecognizable lambda output"},
		{"define is wrong in type", "define", respond(m{"issueTokens": "true"}), "InvalidLambdaResponseException", "Unrecognizable lambda output"},
		{"define names no challenge", "define", respond(m{"challengeName": "RIDDLE"}), "InvalidLambdaResponseException", ""},
		{"define wants a password without SRP_A", "define", respond(m{"challengeName": "PASSWORD_VERIFIER"}), "InvalidLambdaResponseException", ""},
		{"define fails", "define", respond(m{"failAuthentication": true}), "NotAuthorizedException", "Incorrect username or password."},
		{"define fails and issues", "define", respond(m{"failAuthentication": true, "issueTokens": true}), "NotAuthorizedException", "Incorrect username or password."},
		{"define does not end", "define", respond(m{"challengeName": "CUSTOM_CHALLENGE"}), "NotAuthorizedException", "Incorrect username or password."},
		{"create returns a number", "create", respond(m{"publicChallengeParameters": m{"n": 1}}), "InvalidLambdaResponseException", ""},
		{"create keeps too much", "create", respond(m{"privateChallengeParameters": m{"n": strings.Repeat("x", customStateMax)}}), "InvalidLambdaResponseException", ""},
		{"verify says yes in words", "verify", respond(m{"answerCorrect": "yes"}), "InvalidLambdaResponseException", ""},
		{"verify says nothing", "verify", respond(m{"answerCorrect": nil}), "NotAuthorizedException", ""},
		{"no define", "define", nil, "UnexpectedLambdaException", "DefineAuthChallenge invocation failed due to error ResourceNotFoundException."},
		{"no verify", "verify", nil, "UnexpectedLambdaException", "VerifyAuthChallengeResponse invocation failed due to error ResourceNotFoundException."},
	} {
		riddle(server)
		server.Handle(c.function, c.does)
		out, err := app.custom(t, "ada")
		var session *string
		if err == nil {
			session = out.Session
		}
		for n := 0; err == nil && n <= customSteps+1; n++ {
			answer := "wrong"
			if c.function == "verify" {
				answer = "sesame"
			}
			var next *cip.RespondToAuthChallengeOutput
			if next, err = app.answer(t, session, "ada", answer); err == nil {
				if next.AuthenticationResult != nil {
					t.Errorf("%s: tokens", c.name)
					break
				}
				session = next.Session
			}
		}
		wantError(t, c.name, err, c.code, c.message)
		if c.name == "verify throws" {
			riddle(server)
			_, err := app.answer(t, session, "ada", "sesame")
			wantError(t, "a session that an error ended", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
		}
	}
}

func TestCustomAuthRefusals(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		riddle(server)
		app, other := ts.newApp(t, withFunctions), ts.newApp(t, withFunctions)
		app.user(t, "ada")
		app.user(t, "bob")
		other.user(t, "ada")
		begin := func() *string {
			out, err := app.custom(t, "ada")
			if err != nil {
				t.Fatal(err)
			}
			return out.Session
		}
		_, err := app.initiate(t, "CUSTOM_AUTH", nil)
		wantError(t, "no name", err, "InvalidParameterException", "Missing required parameter USERNAME")
		_, err = app.respond(t, "CUSTOM_CHALLENGE", begin(), map[string]string{"USERNAME": "ada"})
		wantError(t, "no answer", err, "InvalidParameterException", "Missing required parameter ANSWER")
		_, err = app.answer(t, nil, "ada", "sesame")
		wantError(t, "no session", err, "InvalidParameterException", "Missing required parameter Session")
		_, err = app.answer(t, begin(), "bob", "sesame")
		wantError(t, "another user", err, "NotAuthorizedException", "Invalid session for the user.")
		_, err = other.answer(t, begin(), "ada", "sesame")
		wantError(t, "another pool", err, "NotAuthorizedException", "Invalid session for the user.")
		_, err = app.respond(t, "NEW_PASSWORD_REQUIRED", begin(), map[string]string{"USERNAME": "ada", "NEW_PASSWORD": newPassword})
		wantError(t, "another challenge", err, "NotAuthorizedException", "Invalid session for the user.")

		session := begin()
		if _, err := app.answer(t, session, "bob", "sesame"); err == nil {
			t.Error("another user answers")
		}
		if out, err := app.answer(t, session, "ada", "sesame"); err != nil || out.AuthenticationResult == nil {
			t.Errorf("a stranger's try has used up the session: %v", err)
		}

		session = begin()
		ts.clock.advance(time.Second)
		if _, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("ada"), Password: aws.String(newPassword), Permanent: true}); err != nil {
			t.Fatal(err)
		}
		_, err = app.answer(t, session, "ada", "sesame")
		wantError(t, "another password meanwhile", err, "NotAuthorizedException", "Invalid session for the user.")

		session = begin()
		ts.clock.advance(3*time.Minute + time.Second)
		_, err = app.answer(t, session, "ada", "sesame")
		wantError(t, "after three minutes", err, "NotAuthorizedException", "Invalid session for the user, session is expired.")
		if err := ts.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err := db.One[int64](t.Context(), ts.DB, `SELECT COUNT(*) FROM custom_sign_ins`); err != nil || left != 0 {
			t.Errorf("%d sign-ins left: %v", left, err)
		}

		session = begin()
		if _, err := ts.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: aws.String("ada")}); err != nil {
			t.Fatal(err)
		}
		_, err = app.answer(t, session, "ada", "sesame")
		wantError(t, "disabled meanwhile", err, "NotAuthorizedException", "User is disabled.")

		app.signUp(t, "new")
		out, err := app.custom(t, "new")
		if err != nil {
			t.Fatal(err)
		}
		_, err = app.answer(t, out.Session, "new", "sesame")
		wantError(t, "not confirmed", err, "UserNotConfirmedException", "User is not confirmed.")

		plain := ts.newApp(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) { c.ExplicitAuthFlows = nil })
		plain.user(t, "ada")
		_, err = plain.custom(t, "ada")
		wantError(t, "no functions", err, "InvalidParameterException", "Custom auth lambda trigger is not configured for the user pool.")
	})
}

// TestCustomAuthRace: of many answers to one challenge, one is checked.
func TestCustomAuthRace(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		riddle(server)
		app := ts.newApp(t, withFunctions)
		app.user(t, "ada")
		out, err := app.custom(t, "ada")
		if err != nil {
			t.Fatal(err)
		}
		server.Events()
		var wg sync.WaitGroup
		for n := range 16 {
			wg.Go(func() { app.answer(t, out.Session, "ada", fmt.Sprint("guess ", n)) })
		}
		wg.Wait()
		checked := 0
		for _, e := range server.Events() {
			if e["triggerSource"] == "VerifyAuthChallengeResponse_Authentication" {
				checked++
			}
		}
		if checked != 1 {
			t.Errorf("%d guesses were checked", checked)
		}
	})
}

func TestTriggerSettings(t *testing.T) {
	ts := newTestServerSQLite(t)
	f := aws.String(triggertest.ARN("f"))
	create := func(c *types.LambdaConfigType) (*cip.CreateUserPoolOutput, error) {
		return ts.sdk.CreateUserPool(t.Context(), &cip.CreateUserPoolInput{PoolName: aws.String("p"), LambdaConfig: c})
	}
	if _, err := create(&types.LambdaConfigType{}); err != nil {
		t.Error(err)
	}
	_, err := create(&types.LambdaConfigType{DefineAuthChallenge: f})
	wantError(t, "no Lambda API", err, "InvalidParameterException", "")

	ts.functions(t)
	out, err := create(&types.LambdaConfigType{DefineAuthChallenge: f})
	if err != nil || aws.ToString(out.UserPool.LambdaConfig.DefineAuthChallenge) != *f {
		t.Fatal(out, err)
	}
	_, err = create(&types.LambdaConfigType{CreateAuthChallenge: aws.String("arn:aws:sns:eu-central-1:123456789012:topic")})
	wantError(t, "no function", err, "InvalidParameterException", "")
	for name, c := range unservedTriggers() {
		_, err := create(c)
		wantError(t, name, err, "InvalidParameterException", "")
	}
	update := func(c *types.LambdaConfigType) error {
		_, err := ts.sdk.UpdateUserPool(t.Context(), &cip.UpdateUserPoolInput{UserPoolId: out.UserPool.Id, LambdaConfig: c})
		return err
	}
	wantError(t, "update to no function", update(&types.LambdaConfigType{CreateAuthChallenge: aws.String("arn:aws:sns:eu-central-1:123456789012:topic")}), "InvalidParameterException", "")
	if err := update(nil); err != nil {
		t.Fatal(err)
	}
	got, err := ts.sdk.DescribeUserPool(t.Context(), &cip.DescribeUserPoolInput{UserPoolId: out.UserPool.Id})
	if err != nil || got.UserPool.LambdaConfig.DefineAuthChallenge != nil {
		t.Errorf("an update without LambdaConfig keeps it: %v %v", got.UserPool.LambdaConfig, err)
	}
}

// unservedTriggers are configurations that are refused although there is a Lambda API.
func unservedTriggers() map[string]*types.LambdaConfigType {
	f := aws.String(triggertest.ARN("f"))
	return map[string]*types.LambdaConfigType{
		"custom sender": {CustomEmailSender: &types.CustomEmailLambdaVersionConfigType{LambdaArn: f, LambdaVersion: "V1_0"}, KMSKeyID: aws.String("arn:aws:kms:eu-central-1:123456789012:key/1")},
		"federation":    {InboundFederation: &types.InboundFederationLambdaType{LambdaArn: f, LambdaVersion: "V1_0"}},
	}
}
