package ushertest_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/saml/samltest"
	"usher/internal/server"
	"usher/internal/ushertest"
)

// claimOf is a claim of a token.
func claimOf(t *testing.T, token, name string) any {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	var claims map[string]any
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims[name]
}

// again starts the server of c anew on the same data, with other settings.
func (c *chain) again(cfg server.Config) {
	c.t.Helper()
	c.Server.Server.Close()
	cfg.Data = c.Data
	s := ushertest.Start(c.t, cfg)
	c.Server, c.admin, c.open = s, ushertest.ClientsFor(s.Admin(c.t)), ushertest.ClientsFor(s.Nobody())
}

func (c *chain) getUser(access string) error {
	_, err := c.open.Users.GetUser(c.ctx, &idp.GetUserInput{AccessToken: &access})
	return err
}

func (c *chain) getID(key, idToken string) (string, error) {
	out, err := c.open.Identities.GetId(c.ctx, &cognitoidentity.GetIdInput{IdentityPoolId: &c.identityPool, Logins: map[string]string{key: idToken}})
	if err != nil {
		return "", err
	}
	return *out.IdentityId, nil
}

func (c *chain) openID(id, key, idToken string) string {
	c.t.Helper()
	return *must(c.open.Identities.GetOpenIdToken(c.ctx, &cognitoidentity.GetOpenIdTokenInput{IdentityId: &id, Logins: map[string]string{key: idToken}}))(c.t).Token
}

// get fetches a page of the server.
func (c *chain) get(path string) string {
	c.t.Helper()
	res := must(http.Get(c.URL + path))(c.t)
	defer res.Body.Close()
	return string(must(io.ReadAll(res.Body))(c.t))
}

func (c *chain) assume(role, token string) (ushertest.Clients, error) {
	out, err := c.open.STS.AssumeRoleWithWebIdentity(c.ctx, &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("me"), WebIdentityToken: &token})
	if err != nil {
		return ushertest.Clients{}, err
	}
	return ushertest.ClientsFor(c.As(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)), nil
}

// TestAliasURLs changes the public URL: with the former one as an alias its tokens, its login keys, its OIDC providers and
// policies that name it still count, and without it none do.
func TestAliasURLs(t *testing.T) {
	const former, present = "https://old.example.org", "https://id.example.org"
	c := newChain(t, ushertest.Start(t, server.Config{Data: t.TempDir(), PublicURL: former}))
	oldKey, newKey := "old.example.org/"+c.pool, "id.example.org/"+c.pool
	access, idToken := *c.tokens.AccessToken, *c.tokens.IdToken
	if iss := claimOf(t, idToken, "iss"); iss != former+"/"+c.pool {
		t.Fatalf("iss %v", iss)
	}
	id := must(c.getID(oldKey, idToken))(t)
	openID := c.openID(id, oldKey, idToken)
	_, identities, _ := strings.Cut(former, "://")
	byName := c.trusted("byname", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"`+c.identityPool+`","`+identities+`/identity:aud":"`+c.identityPool+`"}}}]}`,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{"StringEquals":{"`+identities+`/identity:sub":"`+id+`"}}}]}`)
	must(c.admin.IAM.CreateOpenIDConnectProvider(c.ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String(former + "/" + c.pool), ClientIDList: []string{c.client}}))(t)
	account := strings.Split(byName, ":")[4]
	direct := c.trusted("direct", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::`+account+`:oidc-provider/`+oldKey+`"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"`+oldKey+`:aud":"`+c.client+`"}}}]}`, "")

	corp := samltest.New(t, "https://idp.example.org/", 1)
	saml := *must(c.admin.IAM.CreateSAMLProvider(c.ctx, &iam.CreateSAMLProviderInput{Name: aws.String("corp"), SAMLMetadataDocument: aws.String(corp.Metadata())}))(t).SAMLProviderArn
	staff := c.trusted("staff", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"`+saml+`"},"Action":"sts:AssumeRoleWithSAML"}]}`, "")
	bySAML := func(address string) error {
		r := corp.NewResponse(time.Now())
		r.Destination, r.Recipient, r.Audiences = address+"/saml", address+"/saml", []string{address + "/saml"}
		r.Attributes["https://aws.amazon.com/SAML/Attributes/Role"] = []string{staff + "," + saml}
		r.Attributes["https://aws.amazon.com/SAML/Attributes/RoleSessionName"] = []string{"ada"}
		_, err := c.open.STS.AssumeRoleWithSAML(c.ctx, &sts.AssumeRoleWithSAMLInput{RoleArn: &staff, PrincipalArn: &saml, SAMLAssertion: aws.String(corp.Encode(t, r))})
		return err
	}

	c.again(server.Config{PublicURL: present, AliasURLs: former + "/, https://other.example.org"})
	fresh := c.signIn(c.client, "ada")
	if iss := claimOf(t, *fresh.IdToken, "iss"); iss != present+"/"+c.pool {
		t.Errorf("iss of a new token %v", iss)
	}
	if iss := claimOf(t, c.openID(id, newKey, *fresh.IdToken), "iss"); iss != present+"/identity" {
		t.Errorf("iss of a new OpenID token %v", iss)
	}
	if err := c.getUser(access); err != nil {
		t.Errorf("a former access token: %v", err)
	}
	for _, token := range []string{idToken, *fresh.IdToken} {
		for _, key := range []string{oldKey, newKey, "other.example.org/" + c.pool, c.provider} {
			if got, err := c.getID(key, token); err != nil || got != id {
				t.Errorf("%s: identity %s, %v, want %s", key, got, err, id)
			}
		}
		must(c.assume(direct, token))(t) // the OIDC provider is registered under the former name
	}
	as := must(c.assume(byName, openID))(t)
	must(as.IAM.ListUsers(c.ctx, &iam.ListUsersInput{}))(t)
	for _, address := range []string{former, present} {
		if err := bySAML(address); err != nil {
			t.Errorf("a SAML response to %s: %v", address, err)
		}
	}
	refused(t, bySAML("https://elsewhere.example.org"), "InvalidIdentityToken", "recipient")
	_, err := c.admin.IAM.CreateOpenIDConnectProvider(c.ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String(former + "/identity"), ClientIDList: []string{"x"}})
	refused(t, err, "InvalidInput", "built in")

	c.again(server.Config{PublicURL: present})
	refused(t, bySAML(former), "InvalidIdentityToken", "recipient")
	refused(t, c.getUser(access), "NotAuthorizedException", "")
	_, err = c.getID(newKey, idToken)
	refused(t, err, "NotAuthorizedException", "Issuer doesn't match providerName")
	_, err = c.getID(oldKey, *fresh.IdToken)
	refused(t, err, "NotAuthorizedException", "Token is not from a supported provider")
	_, err = c.assume(byName, openID)
	refused(t, err, "InvalidIdentityToken", "")
	_, err = c.assume(direct, *fresh.IdToken)
	refused(t, err, "InvalidIdentityToken", "No OpenIDConnect provider found")
}

// TestCompatIssuer: with the setting tokens say that AWS issued them, and such are accepted; without it they are not.
func TestCompatIssuer(t *testing.T) {
	c := newChain(t, ushertest.Start(t, server.Config{Data: t.TempDir(), CompatIssuer: "aws"}))
	if iss := claimOf(t, *c.tokens.IdToken, "iss"); iss != "https://"+c.provider {
		t.Errorf("iss %v", iss)
	}
	if err := c.getUser(*c.tokens.AccessToken); err != nil {
		t.Error(err)
	}
	id := must(c.getID(c.provider, *c.tokens.IdToken))(t)
	openID := c.openID(id, c.provider, *c.tokens.IdToken)
	if iss := claimOf(t, openID, "iss"); iss != "https://cognito-identity.amazonaws.com" {
		t.Errorf("iss of the OpenID token %v", iss)
	}
	role := c.role("basic", "authenticated", c.identityPool, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}]}`)
	as := must(c.assume(role, openID))(t)
	must(as.IAM.ListUsers(c.ctx, &iam.ListUsersInput{}))(t)
	for path, want := range map[string]string{
		"/" + c.pool: `"issuer":"https://` + c.provider + `"`, "/identity": `"jwks_uri":"` + c.URL + `/identity/.well-known/jwks_uri"`,
	} {
		if body := c.get(path + "/.well-known/openid-configuration"); !strings.Contains(body, want) {
			t.Errorf("%s: %s, want %s", path, body, want)
		}
	}

	c.again(server.Config{})
	refused(t, c.getUser(*c.tokens.AccessToken), "NotAuthorizedException", "")
	_, err := c.getID(c.provider, *c.tokens.IdToken)
	refused(t, err, "NotAuthorizedException", "Issuer doesn't match providerName")
	_, err = c.assume(role, openID)
	refused(t, err, "InvalidIdentityToken", "")
}

// TestUpstreamSTS has the credentials of an identity pool come from another Usher, which finds the keys by discovery.
func TestUpstreamSTS(t *testing.T) {
	c := newChain(t, ushertest.Start(t, server.Config{Data: t.TempDir()}))
	other := ushertest.Start(t, server.Config{Data: t.TempDir()})
	there := ushertest.ClientsFor(other.Admin(t))
	c.again(server.Config{UpstreamSTS: c.identityPool + "=" + other.URL})
	issuer := c.URL + "/identity"
	provider := *must(there.IAM.CreateOpenIDConnectProvider(c.ctx, &iam.CreateOpenIDConnectProviderInput{Url: &issuer, ClientIDList: []string{c.identityPool}}))(t).OpenIDConnectProviderArn
	name := strings.TrimPrefix(issuer, "http://")
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + provider + `"},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"` + name + `:aud":"` + c.identityPool + `"},"ForAnyValue:StringLike":{"` + name + `:amr":"authenticated"}}}]}`
	role := *must(there.IAM.CreateRole(c.ctx, &iam.CreateRoleInput{RoleName: aws.String("there"), AssumeRolePolicyDocument: &trust}))(t).Role.Arn
	c.setRoles(map[string]string{"authenticated": role, "unauthenticated": role})
	logins := map[string]string{c.provider: *c.signIn(c.client, "ada").IdToken}
	id := must(c.open.Identities.GetId(c.ctx, &cognitoidentity.GetIdInput{IdentityPoolId: &c.identityPool, Logins: logins}))(t).IdentityId
	out := must(c.open.Identities.GetCredentialsForIdentity(c.ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: id, Logins: logins}))(t)
	as := ushertest.ClientsFor(other.As(*out.Credentials.AccessKeyId, *out.Credentials.SecretKey, *out.Credentials.SessionToken))
	who := must(as.STS.GetCallerIdentity(c.ctx, nil))(t)
	if want := strings.Replace(strings.Replace(role, ":iam:", ":sts:", 1), ":role/there", ":assumed-role/there/CognitoIdentityCredentials", 1); *who.Arn != want {
		t.Errorf("caller %s, want %s", *who.Arn, want)
	}
	guest := must(c.open.Identities.GetId(c.ctx, &cognitoidentity.GetIdInput{IdentityPoolId: &c.identityPool}))(t).IdentityId
	_, err := c.open.Identities.GetCredentialsForIdentity(c.ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: guest})
	refused(t, err, "InvalidIdentityPoolConfigurationException", "") // the trust policy over there wants a user
}

// TestProviderURLs: identity pools and STS ask a public provider where the settings say.
func TestProviderURLs(t *testing.T) {
	amazon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/auth/o2/tokeninfo" && r.FormValue("access_token") == "good" {
			w.Write([]byte(`{"iss":"https://www.amazon.com","aud":"app","app_id":"app","user_id":"u1","exp":3000}`))
			return
		}
		http.Error(w, "no", http.StatusBadRequest)
	}))
	defer amazon.Close()
	c := newChain(t, ushertest.Start(t, server.Config{Data: t.TempDir(), ProviderURLs: "amazon=" + amazon.URL + "/"}))
	pool := must(c.admin.Identities.CreateIdentityPool(c.ctx, &cognitoidentity.CreateIdentityPoolInput{IdentityPoolName: aws.String("shop"),
		SupportedLoginProviders: map[string]string{"www.amazon.com": "app"}}))(t)
	login := func(token string) error {
		_, err := c.open.Identities.GetId(c.ctx, &cognitoidentity.GetIdInput{IdentityPoolId: pool.IdentityPoolId, Logins: map[string]string{"www.amazon.com": token}})
		return err
	}
	if err := login("good"); err != nil {
		t.Error(err)
	}
	refused(t, login("bad"), "NotAuthorizedException", "")
	role := c.trusted("shopper", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"www.amazon.com"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"www.amazon.com:app_id":"app"}}}]}`, "")
	_, err := c.open.STS.AssumeRoleWithWebIdentity(c.ctx, &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("me"),
		WebIdentityToken: aws.String("good"), ProviderId: aws.String("www.amazon.com")})
	if err != nil {
		t.Error(err)
	}
}
