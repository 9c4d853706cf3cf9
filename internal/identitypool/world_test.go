package identitypool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"usher/internal/access"
	iamapi "usher/internal/api/iam"
	stsapi "usher/internal/api/sts"
	"usher/internal/awsapi"
	"usher/internal/awsapi/awstest"
	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/iam"
	"usher/internal/ids"
	"usher/internal/seal"
	"usher/internal/sts"
	"usher/internal/token"
)

const (
	region    = "us-east-1"
	publicURL = "https://id.example.org"
	people    = "us-east-1_People001" // user pools
	partners  = "us-east-1_Partner01"
	strangers = "us-east-1_Strange01" // configured in no identity pool
	client    = "client1"
)

func awsName(userPool string) string  { return "cognito-idp.us-east-1.amazonaws.com/" + userPool }
func hostName(userPool string) string { return "id.example.org/" + userPool }

// world is the identity pools with everything that they need, real but for the user pools, behind HTTP.
type world struct {
	t        testing.TB
	db       *db.DB
	s        *Service
	iam      *iam.Service
	users    *userPools
	account  string
	adminKey *iam.KeyPair
	offset   atomic.Int64 // of the clock
	server   *httptest.Server
	log      *records

	lastFailure atomic.Pointer[awsapi.Failure] // of the service

	// elsewhere are the servers of other identity providers.
	elsewhere *elsewhere

	admin, nobody *sdk.Client
	iamAdmin      *sdkiam.Client
	stsNobody     *sdksts.Client
}

// wantExplained checks what the operator is told about the last call that failed.
func (w *world) wantExplained(want ...string) {
	w.t.Helper()
	for _, line := range want {
		if details := w.lastFailure.Load().Details; !slices.Contains(details, line) {
			w.t.Errorf("explained by %q, without %q", details, line)
		}
	}
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

// each runs a test in a world on SQLite and one on PostgreSQL.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		t.Run(engine.name, func(t *testing.T) { test(t, newWorld(t, engine.url(t))) })
	}
}

func newWorld(t testing.TB, url string) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, users: newUserPools(people, partners, strangers), log: &records{}}
	w.db = dbtest.Open(t, url, db.Schema{Name: "iam", Files: iam.Schema}, db.Schema{Name: "sts", Files: sts.Schema}, db.Schema{Name: "identitypool", Files: Schema})
	keys, err := seal.Parse(seal.Generate())
	check(t, err)
	signer := token.NewSigner(0)
	t.Cleanup(signer.Close)
	w.iam = iam.New(iam.Service{DB: w.db, Box: keys.Box("access-keys"), Now: w.now, AllowLoopbackHTTP: true})
	key, err := w.iam.Bootstrap(ctx)
	check(t, err)
	w.account, w.adminKey = key.Account, key
	issuer, err := sts.New(sts.Service{IAM: w.iam, DB: w.db, Keys: keys, Local: w, IdentityIssuers: []string{"id.example.org/identity"}, SAMLEndpoints: []string{publicURL + "/saml"}, Remote: &token.Remote{}, Now: w.now})
	check(t, err)
	gate := access.New(access.Gate{Identities: issuer, DB: w.db, Now: w.now, MaxSkew: 1000 * time.Hour})
	w.elsewhere = newElsewhere(w)
	t.Cleanup(w.elsewhere.Close)
	w.s, err = New(ctx, Config{DB: w.db, Seal: keys, Signer: signer, Issuer: issuer, UserPools: w.users, Authorizer: gate, OIDC: w.oidc, SAML: issuer, Region: region,
		Remote:    &token.Remote{AllowHTTP: true, Now: w.now},
		Endpoints: Endpoints{Google: w.elsewhere.URL + "/google", Apple: w.elsewhere.URL + "/apple", Facebook: w.elsewhere.URL + "/facebook", Amazon: w.elsewhere.URL + "/amazon", Twitter: w.elsewhere.URL + "/twitter"},
		PublicURL: publicURL, Now: w.now, Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	apis := &awsapi.Server{
		Authenticator: gate, Authorizer: gate, Log: slog.New(w.log), Failed: w.checkDeclared,
		Services: []*awsapi.Service{
			w.s.API(),
			{Name: "iam", Protocol: iamapi.Protocol, Operations: iamapi.Operations(w.iam), Targets: w.iam.Targets},
			{Name: "sts", Protocol: stsapi.Protocol, Operations: stsapi.Operations(issuer), Targets: issuer.Targets},
		},
	}
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		apis.ServeHTTP(rw, r.WithContext(access.WithRequest(r.Context(), r)))
	}))
	t.Cleanup(w.server.Close)
	admin := w.config(key.AccessKeyID, key.SecretAccessKey, "")
	w.admin, w.iamAdmin = sdk.NewFromConfig(admin), sdkiam.NewFromConfig(admin)
	anyone := w.config("", "", "")
	anyone.Credentials = aws.AnonymousCredentials{}
	w.nobody, w.stsNobody = sdk.NewFromConfig(anyone), sdksts.NewFromConfig(anyone)
	return w
}

func (w *world) config(id, secret, session string) aws.Config {
	return aws.Config{Region: region, BaseEndpoint: &w.server.URL, Credentials: credentials.NewStaticCredentialsProvider(id, secret, session),
		HTTPClient: awstest.Client, Retryer: func() aws.Retryer { return aws.NopRetryer{} }}
}

func (w *world) oidc(ctx context.Context, account, issuer string) (*OIDCProvider, error) {
	p, err := w.iam.OIDCProvider(ctx, account, issuer)
	return (*OIDCProvider)(p), err
}

// LocalIssuer implements sts.LocalIssuers.
func (w *world) LocalIssuer(ctx context.Context, iss string) (sts.LocalIssuer, bool, error) {
	if iss != w.s.IssuerURL() {
		return sts.LocalIssuer{}, false, nil
	}
	keys, err := w.s.VerificationKeys(ctx)
	return sts.LocalIssuer{Kind: sts.IdentityPoolIssuer, Keys: keys}, true, err
}

// userPools are user pools with a key each, and sessions that can be ended.
type userPools struct {
	keys  map[string]*token.KeyPair
	ended atomic.Pointer[string] // sub whose sessions are over
}

var errSessionOver = &awsapi.Error{Code: "NotAuthorizedException", Status: 400, Message: "Access Token has been revoked"}

func newUserPools(ids ...string) *userPools {
	u := &userPools{keys: map[string]*token.KeyPair{}}
	for _, id := range ids {
		u.keys[id] = testKey(id)
	}
	return u
}

// testKeys are made once, since that takes long.
var testKeys = map[string]*token.KeyPair{}

func testKey(name string) *token.KeyPair {
	if testKeys[name] == nil {
		key, err := token.NewKeyPair()
		if err != nil {
			panic(err)
		}
		testKeys[name] = key
	}
	return testKeys[name]
}

func (u *userPools) Issuer(poolID string) string { return publicURL + "/" + poolID }

func (u *userPools) PoolOfIssuer(issuer string) (string, bool) {
	id, ok := strings.CutPrefix(issuer, publicURL+"/")
	return id, ok && u.keys[id] != nil
}

func (u *userPools) VerificationKeys(_ context.Context, id string) ([]token.PublicKey, error) {
	if u.keys[id] == nil {
		return nil, errors.New("no such user pool")
	}
	return []token.PublicKey{u.keys[id].Public()}, nil
}

func (u *userPools) CheckSession(_ context.Context, _, sub, _ string, _ time.Time) error {
	if over := u.ended.Load(); over != nil && *over == sub {
		return errSessionOver
	}
	return nil
}

// idToken is an ID token of a user of a user pool. Claims change or, being nil, take away what it says.
func (w *world) idToken(userPool, sub string, claims map[string]any) string {
	now := w.now().Unix()
	all := map[string]any{
		"iss": publicURL + "/" + userPool, "aud": client, "sub": sub, "token_use": "id", "iat": now, "exp": now + 3600,
		"origin_jti": "origin-" + sub, "auth_time": now, "cognito:username": sub,
	}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return w.sign(w.users.keys[userPool], all)
}

func (w *world) sign(key *token.KeyPair, claims map[string]any) string {
	w.t.Helper()
	text, err := json.Marshal(claims)
	check(w.t, err)
	signed, err := w.s.Signer.Sign(context.Background(), []token.Job{{Key: key, Claims: text}})
	check(w.t, err)
	return signed[0]
}

// login is a Logins map of one user of the user pool people.
func (w *world) login(sub string) map[string]string {
	return map[string]string{awsName(people): w.idToken(people, sub, nil)}
}

// role makes a role that trusts the identity pool for identities of a kind: authenticated, unauthenticated, or a provider.
func (w *world) role(name, poolID, amr, policy string) string {
	return w.trustedRole(name, fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"%s"},
		"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"%s"}}}]}`, poolID, amr), policy)
}

func (w *world) trustedRole(name, trust, policy string) string {
	w.t.Helper()
	ctx := context.Background()
	out, err := w.iamAdmin.CreateRole(ctx, &sdkiam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	check(w.t, err)
	if policy != "" {
		_, err = w.iamAdmin.PutRolePolicy(ctx, &sdkiam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("it"), PolicyDocument: &policy})
		check(w.t, err)
	}
	return *out.Role.Arn
}

const allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// as are clients with credentials of an identity.
func (w *world) as(id, secret, session *string) (*sdkiam.Client, *sdksts.Client) {
	cfg := w.config(*id, *secret, *session)
	return sdkiam.NewFromConfig(cfg), sdksts.NewFromConfig(cfg)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks the code and the beginning of the message of an AWS error; "" wants none.
func wantError(t testing.TB, err error, want string) {
	t.Helper()
	got := ""
	var e smithy.APIError
	if errors.As(err, &e) {
		got = e.ErrorCode() + ": " + e.ErrorMessage()
	} else if err != nil {
		got = err.Error()
	}
	if got != want && (want == "" || !strings.HasPrefix(got, want)) {
		t.Errorf("error %q, want %q", got, want)
	}
}

// records keeps the attributes of the last log record.
type records struct {
	last atomic.Pointer[map[string]string]
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, rec slog.Record) error {
	m := map[string]string{}
	rec.Attrs(func(a slog.Attr) bool { m[a.Key] = a.Value.String(); return true })
	r.last.Store(&m)
	return nil
}

// uuid is the form of what AWS calls sub.
func uuid() string { return ids.UUID() }

func (w *world) count(query string) (int64, error) {
	return db.One[int64](context.Background(), w.db, query)
}
