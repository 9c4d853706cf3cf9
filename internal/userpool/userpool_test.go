package userpool

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
	"github.com/aws/smithy-go"

	"usher/internal/awsapi"
	"usher/internal/awsapi/awstest"
	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/notify"
	"usher/internal/seal"
	"usher/internal/token"
)

// testServer is the service behind the real pipeline and the real AWS SDK.
type testServer struct {
	*Service
	tb      testing.TB
	sdk     *cip.Client
	url     string
	handler http.Handler
	clock   *testClock
	outbox  *testOutbox
}

const (
	testAccount  = "123456789012"
	otherAccount = "210987654321"
)

// eachEngine runs a test on a server over SQLite and on one over PostgreSQL.
func eachEngine(t *testing.T, test func(*testing.T, *testServer)) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		test(t, newTestServer(t, open(db.Schema{Name: "userpool", Files: Schema})))
	})
}

func newTestServer(tb testing.TB, d *db.DB) *testServer {
	tb.Helper()
	ring, err := seal.Parse(seal.Generate())
	if err != nil {
		tb.Fatal(err)
	}
	signer := token.NewSigner(0)
	tb.Cleanup(signer.Close)
	srv := httptest.NewUnstartedServer(nil)
	ts := &testServer{tb: tb, clock: &testClock{now: time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)}, outbox: &testOutbox{}, url: "http://" + srv.Listener.Addr().String()}
	ts.Service = New(Service{DB: d, Seal: ring, Signer: signer, Outbox: ts.outbox, Region: "eu-central-1", PublicURL: ts.url, Now: ts.clock.Now, Log: slog.New(slog.DiscardHandler)})
	api := &awsapi.Server{Services: []*awsapi.Service{ts.API()}, Authenticator: testAuthenticator{}, Authorizer: allowAll{}, Log: slog.New(&failOnError{tb: tb})}
	discovery := ts.Discovery()
	links := ts.ConfirmLink()
	ts.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == ConfirmLinkPath {
			if err := d.Refresh(r.Context()); err != nil {
				tb.Error(err)
			}
			links.ServeHTTP(w, r)
			return
		}
		switch r.Method {
		case http.MethodGet:
			discovery.ServeHTTP(w, r)
			return
		case http.MethodPut:
			ts.ImportUpload().ServeHTTP(w, r)
			return
		}
		if err := d.Refresh(r.Context()); err != nil {
			tb.Error(err)
		}
		api.ServeHTTP(w, r)
		checkDeclared(tb, r.Header.Get("X-Amz-Target"), w.Header().Get("X-Amzn-Errortype"))
	})
	srv.Config.Handler = ts.handler
	srv.Start()
	tb.Cleanup(srv.Close)
	ts.sdk = ts.client(testAccount)
	return ts
}

// client returns an SDK client that signs for an account.
func (ts *testServer) client(account string) *cip.Client {
	return cip.New(cip.Options{Region: "eu-central-1", BaseEndpoint: aws.String(ts.url), RetryMaxAttempts: 1, HTTPClient: awstest.Client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: account, SecretAccessKey: "secret"}, nil
		})})
}

// testAuthenticator takes the account from the access key of the signature, which it does not check.
type testAuthenticator struct{}

func (testAuthenticator) Authenticate(ctx context.Context, r *http.Request, _ []byte, _ string) (context.Context, error) {
	_, rest, ok := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	account, _, _ := strings.Cut(rest, "/")
	if !ok {
		return nil, awsapi.ErrMissingAuthentication
	}
	return awsapi.WithCaller(ctx, awsapi.Caller{AccountID: account, ARN: "arn:aws:iam::" + account + ":user/test"}), nil
}

type allowAll struct{}

func (allowAll) Authorize(context.Context, []awsapi.Target) error { return nil }

// failOnError fails the test when an internal error is logged.
type failOnError struct {
	slog.Handler
	tb testing.TB
}

func (f *failOnError) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (f *failOnError) Handle(_ context.Context, r slog.Record) error {
	var text strings.Builder
	r.Attrs(func(a slog.Attr) bool { text.WriteString(" " + a.String()); return true })
	f.tb.Errorf("logged: %s%s", r.Message, text.String())
	return nil
}

type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// testOutbox keeps the messages of committed transactions.
type testOutbox struct {
	mu     sync.Mutex
	sent   []notify.Message
	decoys int
}

func (o *testOutbox) Enqueue(_ context.Context, tx *db.Tx, m notify.Message) error {
	tx.AfterCommit(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if m.Decoy {
			o.decoys++
			return
		}
		o.sent = append(o.sent, m)
	})
	return nil
}

// enqueued is how many messages were given so far, those for nobody included, if nothing was taken.
func (o *testOutbox) enqueued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sent) + o.decoys
}

// take returns the messages so far and forgets them.
func (o *testOutbox) take() []notify.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	sent := o.sent
	o.sent = nil
	return sent
}

var (
	codePattern     = regexp.MustCompile(`[0-9]{6}`)
	passwordPattern = regexp.MustCompile(`temporary password is (\S+)\.`)
)

// code returns the code of the only message sent since the last call.
func (o *testOutbox) code(tb testing.TB) string {
	tb.Helper()
	sent := o.take()
	if len(sent) != 1 {
		tb.Fatalf("%d messages, want 1: %+v", len(sent), sent)
	}
	return codePattern.FindString(sent[0].Body)
}

// password returns the temporary password of the only message sent since the last call.
func (o *testOutbox) password(tb testing.TB) string {
	tb.Helper()
	sent := o.take()
	if len(sent) != 1 {
		tb.Fatalf("%d messages, want 1: %+v", len(sent), sent)
	}
	return html.UnescapeString(passwordPattern.FindStringSubmatch(sent[0].Body)[1])
}

const (
	testPassword = "Correct-Horse1!"
	newPassword  = "Battery-Staple2?"
)

// testApp is a pool with an app client.
type testApp struct {
	*testServer
	pool   string
	app    string // client id
	secret string
}

// newApp creates a pool that verifies e-mail, and a client with the usual flows; the options change what is asked for.
func (ts *testServer) newApp(tb testing.TB, options ...func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput)) *testApp {
	tb.Helper()
	pool := &cip.CreateUserPoolInput{PoolName: aws.String("test"), AutoVerifiedAttributes: []types.VerifiedAttributeType{"email"}}
	client := &cip.CreateUserPoolClientInput{ClientName: aws.String("app"), ExplicitAuthFlows: []types.ExplicitAuthFlowsType{
		"ALLOW_USER_SRP_AUTH", "ALLOW_USER_PASSWORD_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}}
	for _, o := range options {
		o(pool, client)
	}
	p, err := ts.sdk.CreateUserPool(tb.Context(), pool)
	if err != nil {
		tb.Fatal(err)
	}
	client.UserPoolId = p.UserPool.Id
	c, err := ts.sdk.CreateUserPoolClient(tb.Context(), client)
	if err != nil {
		tb.Fatal(err)
	}
	return &testApp{testServer: ts, pool: *p.UserPool.Id, app: *c.UserPoolClient.ClientId, secret: aws.ToString(c.UserPoolClient.ClientSecret)}
}

func hidden(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
	c.PreventUserExistenceErrors = "ENABLED"
}

func withSecret(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
	c.GenerateSecret = true
}

// anotherClient creates a second client of the pool.
func (app *testApp) anotherClient(tb testing.TB, options ...func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput)) *testApp {
	tb.Helper()
	client := &cip.CreateUserPoolClientInput{ClientName: aws.String("other"), UserPoolId: &app.pool, ExplicitAuthFlows: []types.ExplicitAuthFlowsType{
		"ALLOW_USER_SRP_AUTH", "ALLOW_USER_PASSWORD_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}}
	for _, o := range options {
		o(&cip.CreateUserPoolInput{}, client)
	}
	c, err := app.sdk.CreateUserPoolClient(tb.Context(), client)
	if err != nil {
		tb.Fatal(err)
	}
	return &testApp{testServer: app.testServer, pool: app.pool, app: *c.UserPoolClient.ClientId, secret: aws.ToString(c.UserPoolClient.ClientSecret)}
}

// hash is the SECRET_HASH for a name; nil for a public client.
func (app *testApp) hash(name string) *string {
	if app.secret == "" {
		return nil
	}
	h := hmac.New(sha256.New, []byte(app.secret))
	h.Write([]byte(name + app.app))
	return aws.String(base64.StdEncoding.EncodeToString(h.Sum(nil)))
}

// with adds SECRET_HASH to parameters where the client has a secret.
func (app *testApp) with(name string, params map[string]string) map[string]string {
	if h := app.hash(name); h != nil {
		params["SECRET_HASH"] = *h
	}
	return params
}

func (app *testApp) poolName() string {
	_, name, _ := strings.Cut(app.pool, "_")
	return name
}

func attributes(pairs ...string) []types.AttributeType {
	var list []types.AttributeType
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, types.AttributeType{Name: &pairs[i], Value: &pairs[i+1]})
	}
	return list
}

// signUp signs up a user with an e-mail address.
func (app *testApp) signUp(tb testing.TB, name string) *cip.SignUpOutput {
	tb.Helper()
	out, err := app.sdk.SignUp(tb.Context(), &cip.SignUpInput{ClientId: &app.app, SecretHash: app.hash(name), Username: &name,
		Password: aws.String(testPassword), UserAttributes: attributes("email", name+"@example.com")})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func (app *testApp) confirm(tb testing.TB, name, code string) error {
	_, err := app.sdk.ConfirmSignUp(tb.Context(), &cip.ConfirmSignUpInput{ClientId: &app.app, SecretHash: app.hash(name), Username: &name, ConfirmationCode: &code})
	return err
}

// user signs up a user and confirms him.
func (app *testApp) user(tb testing.TB, name string) {
	tb.Helper()
	app.outbox.take()
	app.signUp(tb, name)
	if err := app.confirm(tb, name, app.outbox.code(tb)); err != nil {
		tb.Fatal(err)
	}
}

func (app *testApp) initiate(tb testing.TB, flow types.AuthFlowType, params map[string]string) (*cip.InitiateAuthOutput, error) {
	return app.sdk.InitiateAuth(tb.Context(), &cip.InitiateAuthInput{AuthFlow: flow, ClientId: &app.app, AuthParameters: params})
}

func (app *testApp) respond(tb testing.TB, challenge types.ChallengeNameType, session *string, responses map[string]string) (*cip.RespondToAuthChallengeOutput, error) {
	return app.sdk.RespondToAuthChallenge(tb.Context(), &cip.RespondToAuthChallengeInput{ClientId: &app.app, ChallengeName: challenge, Session: session, ChallengeResponses: responses})
}

// password signs in by USER_PASSWORD_AUTH.
func (app *testApp) password(tb testing.TB, name, password string) (*cip.InitiateAuthOutput, error) {
	return app.initiate(tb, "USER_PASSWORD_AUTH", app.with(name, map[string]string{"USERNAME": name, "PASSWORD": password}))
}

// signIn signs in by USER_PASSWORD_AUTH and returns the tokens.
func (app *testApp) signIn(tb testing.TB, name, password string) *types.AuthenticationResultType {
	tb.Helper()
	out, err := app.password(tb, name, password)
	if err != nil {
		tb.Fatal(err)
	}
	if out.AuthenticationResult == nil {
		tb.Fatalf("challenge %s instead of tokens", out.ChallengeName)
	}
	return out.AuthenticationResult
}

// startSRP returns the challenge of USER_SRP_AUTH and the client that can answer it.
func (app *testApp) startSRP(tb testing.TB, name string) (*srpClient, *cip.InitiateAuthOutput, error) {
	c := newSRPClient()
	out, err := app.initiate(tb, "USER_SRP_AUTH", app.with(name, map[string]string{"USERNAME": name, "SRP_A": c.publicA()}))
	return c, out, err
}

// srp signs in by USER_SRP_AUTH.
func (app *testApp) srp(tb testing.TB, name, password string) (*cip.RespondToAuthChallengeOutput, error) {
	tb.Helper()
	c, out, err := app.startSRP(tb, name)
	if err != nil {
		return nil, err
	}
	if out.ChallengeName != "PASSWORD_VERIFIER" || out.Session != nil {
		tb.Fatalf("challenge %s, session %v", out.ChallengeName, out.Session)
	}
	answer := c.answer(tb, app.poolName(), password, out.ChallengeParameters, app.clock.Now())
	return app.respond(tb, "PASSWORD_VERIFIER", nil, app.with(answer["USERNAME"], answer))
}

func (app *testApp) getUser(tb testing.TB, accessToken *string) (map[string]string, error) {
	out, err := app.sdk.GetUser(tb.Context(), &cip.GetUserInput{AccessToken: accessToken})
	if err != nil {
		return nil, err
	}
	return attributeMap(out.UserAttributes), nil
}

func attributeMap(list []types.AttributeType) map[string]string {
	m := map[string]string{}
	for _, a := range list {
		m[*a.Name] = aws.ToString(a.Value)
	}
	return m
}

// wantError fails unless err is the AWS error with that code and, unless it is "", message.
func wantError(tb testing.TB, what string, err error, code, message string) {
	tb.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		tb.Errorf("%s: %v, want %s", what, err, code)
		return
	}
	if e.ErrorCode() != code || message != "" && e.ErrorMessage() != message {
		tb.Errorf("%s: %s: %s, want %s: %s", what, e.ErrorCode(), e.ErrorMessage(), code, message)
	}
}

// wantCode is wantError for errors that have not gone over the wire.
func wantCode(tb testing.TB, what string, err error, code string) {
	tb.Helper()
	if e, ok := errors.AsType[*awsapi.Error](err); !ok || e.Code != code {
		tb.Errorf("%s: %v, want %s", what, err, code)
	}
}
