package userpool

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// TestExistenceCannotBeTold asks the same of a user who exists, of one who is disabled and of one who does not exist, and
// compares what comes back and what the server does for it: statements and messages. It is the shape that is compared, of
// headers and body, after what differs for each request is replaced by its kind and length.
func TestExistenceCannotBeTold(t *testing.T) {
	for pool, option := range map[string]func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput){
		"usernames": func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {},
		"addresses": func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.UsernameAttributes = []types.UsernameAttributeType{"email"}
		},
		"aliases": func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.AliasAttributes = []types.AliasAttributeType{"email", "preferred_username"}
		},
		"secret": withSecret,
		"slow hashes": func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.UserPoolTags = map[string]string{tagPasswordStorage: storageArgon2id}
		},
	} {
		t.Run(pool, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, ts *testServer) {
				app := ts.newApp(t, hidden, option)
				names := map[string]string{"exists": "alice", "disabled": "carol", "missing": "heidi"}
				for who, name := range names {
					if pool == "addresses" {
						name += "@example.com"
						names[who] = name
					}
					if who == "missing" {
						continue
					}
					email := name
					if pool != "addresses" {
						email += "@example.com"
					}
					app.outbox.take()
					if _, err := app.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, SecretHash: app.hash(name), Username: &name,
						Password: aws.String(testPassword), UserAttributes: attributes("email", email)}); err != nil {
						t.Fatal(err)
					}
					if err := app.confirm(t, name, app.outbox.code(t)); err != nil {
						t.Fatal(err)
					}
				}
				disabled := names["disabled"]
				if _, err := app.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: &disabled}); err != nil {
					t.Fatal(err)
				}
				told := map[string][]string{}
				for who, name := range names {
					told[who] = app.probe(t, name)
				}
				for who, lines := range told {
					if len(lines) != len(told["missing"]) {
						t.Fatalf("%s: %d answers, a missing user gets %d", who, len(lines), len(told["missing"]))
					}
					for i, line := range lines {
						if want := told["missing"][i]; line != want {
							t.Errorf("%s: %s\na missing user: %s", who, line, want)
						}
					}
				}
			})
		})
	}
}

// probe asks about a name in every way that needs no proof of being it, twice, and describes each answer.
func (app *testApp) probe(t *testing.T, name string) (told []string) {
	t.Helper()
	app.outbox.take()
	ask := func(operation string, in map[string]any) (answer authAnswer) {
		t.Helper()
		body, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		ctx := db.WithCounter(t.Context())
		r := httptest.NewRequestWithContext(ctx, "POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+operation)
		w := httptest.NewRecorder()
		before := app.outbox.enqueued()
		app.handler.ServeHTTP(w, r)
		n := db.Statements(ctx)
		told = append(told, fmt.Sprintf("%s: %d %s %s; %d reads, %d writes, %d messages", operation, w.Code, headers(w.Header()), shape(t, w.Body.Bytes(), name),
			n.Reads, n.Writes, app.outbox.enqueued()-before))
		if w.Code == http.StatusOK {
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
		}
		return answer
	}
	named := func(more map[string]any) map[string]any {
		in := map[string]any{"ClientId": app.app, "Username": name}
		if h := app.hash(name); h != nil {
			in["SecretHash"] = *h
		}
		maps.Copy(in, more)
		return in
	}
	initiate := func(flow string, params map[string]string) map[string]any {
		params["USERNAME"] = name
		return map[string]any{"AuthFlow": flow, "ClientId": app.app, "AuthParameters": app.with(name, params)}
	}
	c := newSRPClient()
	for range 2 {
		begun := ask("InitiateAuth", initiate("USER_SRP_AUTH", map[string]string{"SRP_A": c.publicA()}))
		answer := c.answer(t, app.poolName(), newPassword, begun.ChallengeParameters, app.clock.Now())
		respond := map[string]any{"ChallengeName": "PASSWORD_VERIFIER", "ClientId": app.app, "ChallengeResponses": app.with(answer["USERNAME"], answer)}
		ask("RespondToAuthChallenge", respond)
		ask("RespondToAuthChallenge", respond) // the block is used up
		ask("InitiateAuth", initiate("USER_PASSWORD_AUTH", map[string]string{"PASSWORD": newPassword}))
	}
	for range 2 {
		ask("ConfirmForgotPassword", named(map[string]any{"ConfirmationCode": "nocode", "Password": newPassword}))
		ask("ForgotPassword", named(nil))
		ask("ConfirmForgotPassword", named(map[string]any{"ConfirmationCode": "nocode", "Password": newPassword}))
	}
	for range 2 {
		ask("ConfirmSignUp", named(map[string]any{"ConfirmationCode": "nocode"}))
		ask("ResendConfirmationCode", named(nil))
		ask("ConfirmSignUp", named(map[string]any{"ConfirmationCode": "nocode"}))
	}
	for range 2 { // locked out: five failures
		ask("InitiateAuth", initiate("USER_PASSWORD_AUTH", map[string]string{"PASSWORD": newPassword}))
	}
	ask("InitiateAuth", initiate("USER_SRP_AUTH", map[string]string{"SRP_A": c.publicA()}))
	return told
}

// headers lists the headers of an answer, without what each answer has of its own.
func headers(h http.Header) string {
	var list []string
	for name, values := range h {
		switch name {
		case "X-Amzn-Requestid", "Date", "Content-Length": // the length is that of the body, which is compared
			list = append(list, name)
		default:
			list = append(list, name+"="+strings.Join(values, ","))
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

var kindsOfText = []struct {
	kind    string
	pattern *regexp.Regexp
	exact   bool // of a length that is always the same
}{
	{"uuid", regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`), true},
	{"salt", regexp.MustCompile(`^[0-9a-f]{32}$`), true},
	{"SRP_B", regexp.MustCompile(`^[0-9a-f]{740,768}$`), false},
	{"masked address", regexp.MustCompile(`^[a-z]\*\*\*@[a-z]\*\*\*$`), true},
	{"sealed", regexp.MustCompile(`^[A-Za-z0-9+/_=-]{60,}$`), true},
}

// shape is a body with its texts replaced by what they are.
func shape(t *testing.T, body []byte, name string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	var replace func(any) any
	replace = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				v[key] = replace(value)
			}
		case []any:
			for i, value := range v {
				v[i] = replace(value)
			}
		case string:
			if v == name {
				return "the name"
			}
			for _, k := range kindsOfText {
				switch {
				case k.pattern.MatchString(v) && k.exact:
					return fmt.Sprintf("%s of %d", k.kind, len(v))
				case k.pattern.MatchString(v):
					return k.kind
				}
			}
		}
		return v
	}
	text, err := json.Marshal(replace(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestExistenceByDestination: where codes are said to go does not tell who exists, by one operation that names his own address
// and another that names an invented one.
func TestExistenceByDestination(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, hidden)
		app.user(t, "confirmed")
		app.signUp(t, "unconfirmed")
		app.mustCreate(t, "invited", "email", "i@example.com", "email_verified", "true")
		app.mustCreate(t, "unverified", "email", "u@example.com")
		app.mustCreate(t, "verified-phone", "email", "v@example.com", "phone_number", "+15550001234", "phone_number_verified", "true")
		for _, name := range []string{"unverified", "verified-phone"} {
			if _, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: &name, Password: aws.String(testPassword), Permanent: true}); err != nil {
				t.Fatal(err)
			}
		}
		app.user(t, "disabled")
		app.signUp(t, "never")
		for _, name := range []string{"disabled", "never"} {
			if _, err := ts.sdk.AdminDisableUser(t.Context(), &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: &name}); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"confirmed", "unconfirmed", "invited", "unverified", "verified-phone", "disabled", "never", "missing"} {
			forgot, err := app.sdk.ForgotPassword(t.Context(), &cip.ForgotPasswordInput{ClientId: &app.app, Username: &name})
			if err != nil {
				t.Fatal(err)
			}
			resent, err := app.sdk.ResendConfirmationCode(t.Context(), &cip.ResendConfirmationCodeInput{ClientId: &app.app, Username: &name})
			if err != nil {
				t.Fatal(err)
			}
			if a, b := forgot.CodeDeliveryDetails, resent.CodeDeliveryDetails; *a.Destination != *b.Destination || a.DeliveryMedium != b.DeliveryMedium || *a.AttributeName != *b.AttributeName {
				t.Errorf("%s: %s %s for a password, %s %s for a confirmation", name, a.DeliveryMedium, *a.Destination, b.DeliveryMedium, *b.Destination)
			}
		}
	})
}

// TestExistenceBySession: the length of a session does not tell who exists.
func TestExistenceBySession(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, hidden, choosing("PE"))
		app.user(t, "alice")
		app.mustCreate(t, "carol")
		lengths := map[string]map[int]bool{}
		for _, name := range []string{"alice", "carol", "heidi", "peggy", "trent", "wendy"} {
			for _, preferred := range []string{"", "EMAIL_OTP"} {
				out, err := app.choose(t, name, preferred)
				if err != nil {
					t.Fatal(err)
				}
				challenge := string(out.ChallengeName)
				if lengths[challenge] == nil {
					lengths[challenge] = map[int]bool{}
				}
				lengths[challenge][len(*out.Session)] = true
			}
		}
		if len(lengths["SELECT_CHALLENGE"]) != 1 || len(lengths["EMAIL_OTP"]) != 1 {
			t.Errorf("lengths of sessions: %v", lengths)
		}
	})
}

// TestEvenly: answers that could tell by their time who exists do not leave as soon as they are made.
func TestEvenly(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, hidden)
		app.user(t, "alice")
		for _, name := range []string{"alice", "heidi"} {
			for operation, call := range map[string]func() error{
				"InitiateAuth":           func() error { _, err := app.password(t, name, "Another-1!"); return err },
				"RespondToAuthChallenge": func() error { _, err := app.srp(t, name, "Another-1!"); return err },
				"ForgotPassword":         func() error { _, err := app.forgot(t, name); return err },
				"ConfirmForgotPassword":  func() error { return app.confirmForgot(t, name, "000000", testPassword) },
				"ConfirmSignUp":          func() error { return app.confirm(t, name, "000000") },
				"ResendConfirmationCode": func() error {
					_, err := app.sdk.ResendConfirmationCode(t.Context(), &cip.ResendConfirmationCodeInput{ClientId: &app.app, Username: &name})
					return err
				},
			} {
				begun := time.Now()
				err := call()
				if took := time.Since(begun); took < evenStep {
					t.Errorf("%s of %s: %v after %v", operation, name, err, took)
				}
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := ts.ForgotPassword(ctx, &cognitoidp.ForgotPasswordRequest{ClientId: &app.app, Username: aws.String("alice")}); err == nil {
			t.Error("a caller who has gone was answered")
		}
	})
}
