package ushertest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	identitytypes "github.com/aws/aws-sdk-go-v2/service/cognitoidentity/types"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"usher/internal/ushertest"
)

func TestMain(m *testing.M) { ushertest.Main(m) }

// chain is what the tests of the chain have in common: a user pool with a signed-in user, and an identity pool with roles.
type chain struct {
	*ushertest.Server
	t            *testing.T
	ctx          context.Context
	admin, open  ushertest.Clients
	pool, client string
	provider     string
	identityPool string
	tokens       *types.AuthenticationResultType
}

const password = "Analytical-1843"

// newChain signs ada up, confirms her with the code that was sent to her, and signs her in.
func newChain(t *testing.T, s *ushertest.Server) *chain {
	c := &chain{Server: s, t: t, ctx: t.Context(), admin: ushertest.ClientsFor(s.Admin(t)), open: ushertest.ClientsFor(s.Nobody())}
	c.pool, c.client = c.newPool("people")
	c.provider = "cognito-idp." + ushertest.Region + ".amazonaws.com/" + c.pool
	c.signUp(c.client, "ada")
	c.tokens = c.signIn(c.client, "ada")

	pool := must(c.admin.Identities.CreateIdentityPool(c.ctx, &cognitoidentity.CreateIdentityPoolInput{IdentityPoolName: aws.String("app"),
		AllowUnauthenticatedIdentities: true, AllowClassicFlow: aws.Bool(true),
		CognitoIdentityProviders: []identitytypes.CognitoIdentityProvider{{ProviderName: &c.provider, ClientId: &c.client}}}))(t)
	c.identityPool = *pool.IdentityPoolId
	c.setRoles(map[string]string{
		"authenticated": c.role("user", "authenticated", c.identityPool, `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::data/private/${cognito-identity.amazonaws.com:sub}/*"}]}`),
		"unauthenticated": c.role("guest", "unauthenticated", c.identityPool, `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":["s3:GetObject","iam:*"],"Resource":["arn:aws:s3:::data/public/*","arn:aws:iam::*:*"]}]}`),
	})
	must(c.admin.S3.CreateBucket(c.ctx, &s3.CreateBucketInput{Bucket: aws.String("data")}))(t)
	c.put(c.admin, "public/hello.txt", "hello")
	c.put(c.admin, "private/other/secret.txt", "secret")
	return c
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// refused checks the error code, and that the message has the text.
func refused(t *testing.T, err error, code, text string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), text) {
		t.Errorf("got %v, want %s: …%s…", err, code, text)
	}
}

func (c *chain) newPool(name string) (pool, client string) {
	c.t.Helper()
	p := must(c.admin.Users.CreateUserPool(c.ctx, &idp.CreateUserPoolInput{PoolName: &name, AutoVerifiedAttributes: []types.VerifiedAttributeType{"email"}}))(c.t)
	a := must(c.admin.Users.CreateUserPoolClient(c.ctx, &idp.CreateUserPoolClientInput{UserPoolId: p.UserPool.Id, ClientName: aws.String("app"),
		ExplicitAuthFlows: []types.ExplicitAuthFlowsType{"ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}}))(c.t)
	return *p.UserPool.Id, *a.UserPoolClient.ClientId
}

var digits = regexp.MustCompile(`\b\d{6}\b`)

func (c *chain) signUp(client, name string) {
	c.t.Helper()
	must(c.open.Users.SignUp(c.ctx, &idp.SignUpInput{ClientId: &client, Username: &name, Password: aws.String(password),
		UserAttributes: []types.AttributeType{{Name: aws.String("email"), Value: aws.String(name + "@example.org")}}}))(c.t)
	kept := must(c.Server.Server.Inbox(c.ctx, 1))(c.t)
	must(c.open.Users.ConfirmSignUp(c.ctx, &idp.ConfirmSignUpInput{ClientId: &client, Username: &name,
		ConfirmationCode: aws.String(digits.FindString(kept[0].Body))}))(c.t)
}

func (c *chain) signIn(client, name string) *types.AuthenticationResultType {
	c.t.Helper()
	return must(c.open.Users.InitiateAuth(c.ctx, &idp.InitiateAuthInput{ClientId: &client, AuthFlow: types.AuthFlowTypeUserPasswordAuth,
		AuthParameters: map[string]string{"USERNAME": name, "PASSWORD": password}}))(c.t).AuthenticationResult
}

func (c *chain) role(name, amr, pool, policy string) string {
	c.t.Helper()
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"%s"},
		"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"%s"}}}]}`, pool, amr)
	return c.trusted(name, trust, policy)
}

func (c *chain) trusted(name, trust, policy string) string {
	c.t.Helper()
	r := must(c.admin.IAM.CreateRole(c.ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust}))(c.t)
	if policy != "" {
		must(c.admin.IAM.PutRolePolicy(c.ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("data"), PolicyDocument: &policy}))(c.t)
	}
	return *r.Role.Arn
}

func (c *chain) setRoles(roles map[string]string) {
	c.t.Helper()
	must(c.admin.Identities.SetIdentityPoolRoles(c.ctx, &cognitoidentity.SetIdentityPoolRolesInput{IdentityPoolId: &c.identityPool, Roles: roles}))(c.t)
}

func (c *chain) put(as ushertest.Clients, key, text string) {
	c.t.Helper()
	must(as.S3.PutObject(c.ctx, &s3.PutObjectInput{Bucket: aws.String("data"), Key: &key, Body: strings.NewReader(text)}))(c.t)
}

func get(ctx context.Context, as ushertest.Clients, key string) (string, error) {
	res, err := as.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("data"), Key: &key})
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

func (c *chain) logins() map[string]string { return map[string]string{c.provider: *c.tokens.IdToken} }

// credentials goes through GetId and GetCredentialsForIdentity.
func (c *chain) credentials(logins map[string]string) (ushertest.Clients, string, *identitytypes.Credentials) {
	c.t.Helper()
	id := must(c.open.Identities.GetId(c.ctx, &cognitoidentity.GetIdInput{IdentityPoolId: &c.identityPool, Logins: logins}))(c.t)
	got := must(c.open.Identities.GetCredentialsForIdentity(c.ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: id.IdentityId, Logins: logins}))(c.t)
	return ushertest.ClientsFor(c.As(*got.Credentials.AccessKeyId, *got.Credentials.SecretKey, *got.Credentials.SessionToken)), *got.IdentityId, got.Credentials
}

// TestChain is the whole story on both databases: from sign-up to exactly the objects that a role allows.
func TestChain(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		c := newChain(t, s)
		ada, identity, _ := c.credentials(c.logins())
		mine := "private/" + identity + "/mine.txt"
		c.put(ada, mine, "mine")
		if text := must(get(c.ctx, ada, mine))(t); text != "mine" {
			t.Errorf("read %q", text)
		}
		_, err := get(c.ctx, ada, "private/other/secret.txt")
		refused(t, err, "AccessDenied", "because no identity-based policy allows the s3:GetObject action")
		_, err = ada.S3.ListBuckets(c.ctx, &s3.ListBucketsInput{})
		refused(t, err, "AccessDenied", "s3:ListAllMyBuckets")
		_, err = ada.Users.ListUsers(c.ctx, &idp.ListUsersInput{UserPoolId: &c.pool})
		refused(t, err, "AccessDeniedException", "is not authorized to perform: cognito-idp:ListUsers on resource: arn:aws:cognito-idp:us-east-1:")

		guest, guestID, _ := c.credentials(nil)
		if text := must(get(c.ctx, guest, "public/hello.txt"))(t); text != "hello" {
			t.Errorf("read %q", text)
		}
		_, err = get(c.ctx, guest, mine)
		refused(t, err, "AccessDenied", "")
		// The guest's role allows iam:*, but the session policies of guests do not.
		_, err = guest.IAM.ListUsers(c.ctx, &iam.ListUsersInput{})
		refused(t, err, "AccessDenied", "because no session policy allows the iam:ListUsers action")

		// A guest who signs in as a known user becomes that user.
		got := must(c.open.Identities.GetCredentialsForIdentity(c.ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: &guestID, Logins: c.logins()}))(t)
		if *got.IdentityId != identity {
			t.Errorf("the guest became %s, want %s", *got.IdentityId, identity)
		}

		// The basic flow and the user pool as an OIDC provider lead to the same role.
		token := must(c.open.Identities.GetOpenIdToken(c.ctx, &cognitoidentity.GetOpenIdTokenInput{IdentityId: &identity, Logins: c.logins()}))(t)
		account := *must(c.admin.STS.GetCallerIdentity(c.ctx, &sts.GetCallerIdentityInput{}))(t).Account
		assume := func(role, token string) (ushertest.Clients, error) {
			res, err := c.open.STS.AssumeRoleWithWebIdentity(c.ctx, &sts.AssumeRoleWithWebIdentityInput{
				RoleArn: aws.String("arn:aws:iam::" + account + ":role/" + role), RoleSessionName: aws.String("web"), WebIdentityToken: &token})
			if err != nil {
				return ushertest.Clients{}, err
			}
			return ushertest.ClientsFor(c.As(*res.Credentials.AccessKeyId, *res.Credentials.SecretAccessKey, *res.Credentials.SessionToken)), nil
		}
		web := must(assume("user", *token.Token))(t)
		if text := must(get(c.ctx, web, mine))(t); text != "mine" {
			t.Errorf("read %q", text)
		}
		_, err = assume("guest", *token.Token)
		refused(t, err, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
		_, err = assume("user", *c.tokens.IdToken)
		refused(t, err, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for "+s.URL+"/"+c.pool)
		provider := must(c.admin.IAM.CreateOpenIDConnectProvider(c.ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String(s.URL + "/" + c.pool), ClientIDList: []string{c.client}}))(t)
		host := strings.TrimPrefix(s.URL, "http://") + "/" + c.pool
		trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"%s"},"Action":"sts:AssumeRoleWithWebIdentity",
			"Condition":{"StringEquals":{"%s:aud":"%s"}}}]}`, *provider.OpenIDConnectProviderArn, host, c.client)
		must(c.admin.IAM.CreateRole(c.ctx, &iam.CreateRoleInput{RoleName: aws.String("direct"), AssumeRolePolicyDocument: &trust}))(t)
		if _, err := assume("direct", *c.tokens.IdToken); err != nil {
			t.Errorf("the user pool as an OIDC provider: %v", err)
		}
		_, err = assume("direct", *c.tokens.AccessToken)
		refused(t, err, "InvalidIdentityToken", "")
	})
}

// TestChainAttacks: tokens and credentials that are almost right.
func TestChainAttacks(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		c := newChain(t, s)
		ada, identity, creds := c.credentials(c.logins())
		_, _, others := c.credentials(nil)
		otherPool, otherClient := c.newPool("others")
		c.signUp(otherClient, "eve")
		eve := *c.signIn(otherClient, "eve").IdToken

		id := *c.tokens.IdToken
		parts := strings.Split(id, ".")
		encode := func(v any) string { b, _ := json.Marshal(v); return base64.RawURLEncoding.EncodeToString(b) }
		for _, attack := range []struct{ name, key, token, want string }{
			{"token of another pool", c.provider, eve, "Issuer doesn't match providerName"},
			{"another pool's key", "cognito-idp.us-east-1.amazonaws.com/" + otherPool, eve, "Token is not from a supported provider"},
			{"alg none", c.provider, encode(map[string]string{"alg": "none"}) + "." + parts[1] + ".", ""},
			{"alg none with a signature", c.provider, encode(map[string]string{"alg": "none"}) + "." + parts[1] + "." + parts[2], ""},
			{"altered claims", c.provider, parts[0] + "." + encode(map[string]string{"sub": "x"}) + "." + parts[2], ""},
			{"access token", c.provider, *c.tokens.AccessToken, "Missing a required claim: aud"},
			{"no token", c.provider, "x", ""},
			{"the identity service's own name", "cognito-identity.amazonaws.com", id, "Invalid login token"},
		} {
			_, err := c.open.Identities.GetCredentialsForIdentity(c.ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: &identity, Logins: map[string]string{attack.key: attack.token}})
			t.Run(attack.name, func(t *testing.T) { refused(t, err, "NotAuthorizedException", attack.want) })
		}
		_, err := c.open.Identities.GetCredentialsForIdentity(c.ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: &identity})
		refused(t, err, "NotAuthorizedException", "Access to Identity '"+identity+"' is forbidden.")

		// A role whose trust policy names another identity pool.
		c.setRoles(map[string]string{"authenticated": c.role("foreign", "authenticated", "us-east-1:00000000-0000-0000-0000-000000000000", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)})
		_, err = c.open.Identities.GetCredentialsForIdentity(c.ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: &identity, Logins: c.logins()})
		refused(t, err, "InvalidIdentityPoolConfigurationException", "Check assigned IAM roles for this pool")

		// Credentials with one bit flipped anywhere in the session token, and parts of other credentials.
		whoami := func(key, secret, token string) error {
			_, err := ushertest.ClientsFor(s.As(key, secret, token)).STS.GetCallerIdentity(c.ctx, &sts.GetCallerIdentityInput{})
			return err
		}
		token := []byte(*creds.SessionToken)
		for i := 0; i < len(token); i += 7 {
			flipped := bytes.Clone(token)
			if flipped[i] ^= 1; flipped[i] == '=' || flipped[i] == '\n' {
				continue
			}
			if err := whoami(*creds.AccessKeyId, *creds.SecretKey, string(flipped)); err == nil {
				t.Errorf("byte %d of the session token flipped: accepted", i)
			}
		}
		refused(t, whoami(*others.AccessKeyId, *others.SecretKey, *creds.SessionToken), "InvalidClientTokenId", "")
		refused(t, whoami(*creds.AccessKeyId, *others.SecretKey, *creds.SessionToken), "SignatureDoesNotMatch", "")
		refused(t, whoami(*creds.AccessKeyId, *creds.SecretKey, ""), "InvalidClientTokenId", "")

		// A signature over another body.
		signed := make(chan *http.Request, 1)
		cfg := s.Admin(t)
		cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			signed <- r.Clone(context.Background())
			return nil, errors.New("kept back")
		})}
		ushertest.ClientsFor(cfg).Users.DescribeUserPool(c.ctx, &idp.DescribeUserPoolInput{UserPoolId: &c.pool})
		r := <-signed
		send := func(body string) (int, string) {
			r := r.Clone(c.ctx)
			r.RequestURI, r.Body, r.ContentLength = "", io.NopCloser(strings.NewReader(body)), int64(len(body))
			res := must(http.DefaultClient.Do(r))(t)
			defer res.Body.Close()
			text, _ := io.ReadAll(res.Body)
			return res.StatusCode, string(text)
		}
		if status, text := send(`{"UserPoolId":"` + c.pool + `"}`); status != 200 {
			t.Errorf("as signed: %d %s", status, text)
		}
		if status, text := send(`{"UserPoolId":"` + otherPool + `"}`); status != 400 || !strings.Contains(text, "InvalidSignatureException") {
			t.Errorf("another body under the same signature: %d %s", status, text)
		}

		// Deleting the role ends its sessions at once.
		must(c.admin.IAM.DeleteRolePolicy(c.ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("user"), PolicyName: aws.String("data")}))(t)
		_, err = get(c.ctx, ada, "private/"+identity+"/x")
		refused(t, err, "AccessDenied", "")
		must(c.admin.IAM.DeleteRole(c.ctx, &iam.DeleteRoleInput{RoleName: aws.String("user")}))(t)
		refused(t, whoami(*creds.AccessKeyId, *creds.SecretKey, *creds.SessionToken), "InvalidClientTokenId", "")
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestOutboundIdentity: the account vouches for its principals to others, by a token that a discovery document and its keys verify.
func TestOutboundIdentity(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		ctx, admin := t.Context(), ushertest.ClientsFor(s.Admin(t))
		issuer := *must(admin.IAM.EnableOutboundWebIdentityFederation(ctx, &iam.EnableOutboundWebIdentityFederationInput{}))(t).IssuerIdentifier
		token := *must(admin.STS.GetWebIdentityToken(ctx, &sts.GetWebIdentityTokenInput{Audience: []string{"partner"}, SigningAlgorithm: aws.String("RS256")}))(t).WebIdentityToken
		var discovery struct {
			Issuer string `json:"issuer"`
			JWKS   string `json:"jwks_uri"`
		}
		fetch := func(url string) []byte {
			res := must(http.Get(url))(t)
			defer res.Body.Close()
			body := must(io.ReadAll(res.Body))(t)
			if res.StatusCode != 200 {
				t.Fatalf("%s: %d %s", url, res.StatusCode, body)
			}
			return body
		}
		if err := json.Unmarshal(fetch(issuer+"/.well-known/openid-configuration"), &discovery); err != nil || discovery.Issuer != issuer {
			t.Fatalf("discovery: %+v %v", discovery, err)
		}
		var claims struct{ Iss, Aud, Sub string }
		payload := must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1]))(t)
		if err := json.Unmarshal(payload, &claims); err != nil || claims.Iss != issuer || claims.Aud != "partner" || !strings.HasSuffix(claims.Sub, ":user/admin") {
			t.Errorf("claims %s: %v", payload, err)
		}
		header := must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0]))(t)
		var h struct{ Kid string }
		if err := json.Unmarshal(header, &h); err != nil || !strings.Contains(string(fetch(discovery.JWKS)), `"`+h.Kid+`"`) {
			t.Errorf("the key of the token (%s) is not published: %v", header, err)
		}
	})
}
