package userpool

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
)

func linking(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
	p.VerificationMessageTemplate = &types.VerificationMessageTemplateType{DefaultEmailOption: "CONFIRM_WITH_LINK"}
}

var hrefPattern = regexp.MustCompile(`<a href="([^"]+)">([^<]*)</a>`)

// link returns the link in the only message since the last call, and its words.
func (app *testApp) link(tb testing.TB) (*url.URL, string) {
	tb.Helper()
	sent := app.outbox.take()
	if len(sent) != 1 {
		tb.Fatalf("%d messages: %+v", len(sent), sent)
	}
	found := hrefPattern.FindStringSubmatch(sent[0].Body)
	if found == nil {
		tb.Fatalf("no link in %q", sent[0].Body)
	}
	u, err := url.Parse(html.UnescapeString(found[1]))
	if err != nil || u.Scheme+"://"+u.Host != app.url || u.Path != "/confirmUser" {
		tb.Fatalf("%v %v", u, err)
	}
	return u, found[2]
}

// visit asks for a page: with form nil by GET, or else as a browser posts a form to it.
func (app *testApp) visit(tb testing.TB, method, to string, form url.Values) (int, string, http.Header) {
	tb.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		tb.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return res.StatusCode, string(body), res.Header
}

// press opens a link and presses the button of its page.
func (app *testApp) press(tb testing.TB, u *url.URL) (int, string) {
	tb.Helper()
	status, page, _ := app.visit(tb, "GET", u.String(), nil)
	form := url.Values{}
	for _, field := range regexp.MustCompile(`name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	if status != 200 || len(form) != 3 {
		tb.Fatalf("%d %s", status, page)
	}
	status, page, _ = app.visit(tb, "POST", u.Scheme+"://"+u.Host+u.Path+"?", form)
	return status, page
}

func (app *testApp) status(tb testing.TB, name string) types.UserStatusType {
	tb.Helper()
	u, err := app.adminGet(tb, name)
	if err != nil {
		tb.Fatal(err)
	}
	return u.UserStatus
}

func TestConfirmByLink(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		server.Handle("post", echo)
		app := ts.newApp(t, linking, withSecret, triggers(types.LambdaConfigType{PostConfirmation: function("post")}))
		const name = `a"<&>+ü`
		if _, err := app.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, SecretHash: app.hash(name), Username: aws.String(name), Password: aws.String(testPassword), UserAttributes: attributes("email", "a@example.com")}); err != nil {
			t.Fatal(err)
		}
		u, words := app.link(t)
		if words != "Verify Email" || u.Query().Get("client_id") != app.app || u.Query().Get("user_name") != name || len(u.Query().Get("confirmation_code")) != 6 {
			t.Fatalf("%s: %v", words, u)
		}

		// Who only opens it confirms nothing.
		for _, method := range []string{"HEAD", "GET", "GET"} {
			status, page, h := app.visit(t, method, u.String(), nil)
			if status != 200 || method == "GET" && !strings.Contains(page, "<button>Confirm</button>") {
				t.Errorf("%d %s", status, page)
			}
			for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Content-Type": "text/html; charset=utf-8",
				"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"} {
				if got := h.Get(name); got != want {
					t.Errorf("%s: %q", name, got)
				}
			}
		}
		if got := app.status(t, name); got != "UNCONFIRMED" {
			t.Fatal(got)
		}
		if status, page := app.press(t, u); status != 200 || !strings.Contains(page, "Your registration has been confirmed!") {
			t.Errorf("%d %s", status, page)
		}
		got, err := app.adminGet(t, name)
		if err != nil || got.UserStatus != "CONFIRMED" || attributeMap(got.UserAttributes)["email_verified"] != "true" {
			t.Errorf("%+v %v", got, err)
		}
		if events := server.Events(); len(events) != 1 || events[0]["triggerSource"] != "PostConfirmation_ConfirmSignUp" || member(events[0], "callerContext")["clientId"] != app.app {
			t.Errorf("%v", events)
		}
		if status, page := app.press(t, u); status != 400 || !strings.Contains(page, "User cannot be confirmed. Current status is CONFIRMED") {
			t.Errorf("twice: %d %s", status, page)
		}

		// A new message makes the older link worthless; the code in it is one for ConfirmSignUp, too.
		app.signUp(t, "bob")
		first, _ := app.link(t)
		if _, err := app.resend(t, "bob"); err != nil {
			t.Fatal(err)
		}
		second, _ := app.link(t)
		if status, page := app.press(t, first); status != 400 || !strings.Contains(page, "Invalid verification code provided, please try again.") {
			t.Errorf("an older link: %d %s", status, page)
		}
		if err := app.confirm(t, "bob", second.Query().Get("confirmation_code")); err != nil {
			t.Error(err)
		}

		// Its function may fail; the user stays confirmed.
		server.Handle("post", throws("Later"))
		app.signUp(t, "carl")
		u, _ = app.link(t)
		if status, page := app.press(t, u); status != 400 || !strings.Contains(page, "PostConfirmation failed with error Later.") || app.status(t, "carl") != "CONFIRMED" {
			t.Errorf("%d %s", status, page)
		}
	})
}

// TestConfirmLinkRefusals: guesses are counted as those of ConfirmSignUp are, and answers tell no more than its answers do.
func TestConfirmLinkRefusals(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		for _, hides := range []bool{false, true} {
			options := []func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput){linking}
			unknown := "Username/client id combination not found."
			if hides {
				options, unknown = append(options, hidden), "Invalid code provided, please request a code again."
			}
			app := ts.newApp(t, options...)
			app.outbox.take()
			app.signUp(t, "ada")
			u, _ := app.link(t)
			code := u.Query().Get("confirmation_code")
			post := func(client, user, code string) (int, string) {
				status, page, _ := app.visit(t, "POST", ts.url+"/confirmUser", url.Values{"client_id": {client}, "user_name": {user}, "confirmation_code": {code}})
				return status, page
			}
			for name, c := range map[string]struct{ client, user, code, want string }{
				"unknown client": {"nobody", "ada", code, "Invalid verification code provided"},
				"odd client":     {"\x00", "ada", code, "Invalid verification code provided"},
				"unknown user":   {app.app, "nobody", code, unknown},
				"odd user":       {app.app, "a\x00", code, unknown},
				"nothing":        {"", "", "", "Invalid verification code provided"},
				"wrong code":     {app.app, "ada", otherCode(code), "Invalid verification code provided"},
			} {
				if status, page := post(c.client, c.user, c.code); status != 400 || !strings.Contains(page, c.want) {
					t.Errorf("%s: %d %s", name, status, page)
				}
			}
			for range 14 {
				post(app.app, "ada", otherCode(code))
			}
			if status, page := post(app.app, "ada", code); status != 400 || !strings.Contains(page, "Attempt limit exceeded, please try after some time.") {
				t.Errorf("after 15 guesses: %d %s", status, page)
			}
			wantError(t, "by ConfirmSignUp", app.confirm(t, "ada", code), "LimitExceededException", "")
			ts.clock.advance(time.Hour)
			if status, page := post(app.app, "ada", code); status != 200 {
				t.Errorf("an hour later: %d %s", status, page)
			}
			app.signUp(t, "bob")
			u, _ = app.link(t)
			ts.clock.advance(24 * time.Hour)
			if status, page := app.press(t, u); status != 400 || !strings.Contains(page, "Invalid code provided, please request a code again.") {
				t.Errorf("expired: %d %s", status, page)
			}
		}
		for what, c := range map[string]struct {
			method, to string
			form       url.Values
			status     int
		}{
			"incomplete":     {"GET", "/confirmUser?client_id=x&user_name=y", nil, 400},
			"another method": {"PUT", "/confirmUser", nil, 405},
			"too long":       {"POST", "/confirmUser", url.Values{"user_name": {strings.Repeat("x", linkMost)}}, 400},
		} {
			app := &testApp{testServer: ts}
			if status, page, _ := app.visit(t, c.method, ts.url+c.to, c.form); status != c.status {
				t.Errorf("%s: %d %s", what, status, page)
			}
		}
	})
}

// TestLinkTexts: which messages have a link, and in whose words.
func TestLinkTexts(t *testing.T) {
	ts := newTestServerSQLite(t)
	server := ts.functions(t)
	app := ts.newApp(t, linking, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.VerificationMessageTemplate.EmailMessageByLink = aws.String("Hello\n{##here##} or {##there##}")
		p.VerificationMessageTemplate.EmailSubjectByLink = aws.String("Press")
		p.AutoVerifiedAttributes = []types.VerifiedAttributeType{"email", "phone_number"}
	}, triggers(types.LambdaConfigType{CustomMessage: function("words")}))
	server.Handle("words", echo)
	app.signUp(t, "ada")
	sent := app.outbox.take()
	if links := hrefPattern.FindAllStringSubmatch(sent[0].Body, -1); len(links) != 2 || links[0][2] != "here" || links[1][2] != "there" || sent[0].Subject != "Press" {
		t.Errorf("%+v", sent)
	}
	if got := member(server.Events()[0], "request")["linkParameter"]; got != "{##Click Here##}" {
		t.Errorf("linkParameter: %v", got)
	}
	server.Handle("words", func(e map[string]any) (any, error) {
		r := member(e, "request")
		e["response"] = m{"emailMessage": "Mine: " + r["linkParameter"].(string), "emailSubject": "S"}
		return e, nil
	})
	if _, err := app.resend(t, "ada"); err != nil {
		t.Fatal(err)
	}
	u, words := app.link(t)
	if words != "Click Here" {
		t.Error(words)
	}
	if status, page := app.press(t, u); status != 200 {
		t.Errorf("%d %s", status, page)
	}
	server.Handle("words", returns(m{"emailMessage": "neither"}))
	_, err := app.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, Username: aws.String("eve"), Password: aws.String(testPassword), UserAttributes: attributes("email", "e@example.com")})
	wantError(t, "no link", err, "InvalidLambdaResponseException", "")

	// Everything else is a code: an SMS, a forgotten password.
	server.Handle("words", echo)
	if _, err := app.sdk.SignUp(t.Context(), &cip.SignUpInput{ClientId: &app.app, Username: aws.String("bob"), Password: aws.String(testPassword), UserAttributes: attributes("email", "b@example.com", "phone_number", "+15550100")}); err != nil {
		t.Fatal(err)
	}
	if sent := app.outbox.take(); len(sent) != 1 || !strings.HasPrefix(sent[0].Body, "Your verification code is ") {
		t.Errorf("%+v", sent)
	}
	if _, err := app.forgot(t, "ada"); err != nil {
		t.Fatal(err)
	}
	if sent := app.outbox.take(); len(sent) != 1 || !strings.HasPrefix(sent[0].Body, "Your verification code is ") {
		t.Errorf("%+v", sent)
	}
	for _, e := range server.Events()[1:] {
		if e["triggerSource"] != "CustomMessage_ResendCode" && member(e, "request")["linkParameter"] != nil && e["userName"] != "eve" {
			t.Errorf("%v", e)
		}
	}
}
