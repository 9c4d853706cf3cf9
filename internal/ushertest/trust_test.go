package ushertest_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/db/dbtest"
	"usher/internal/server"
	"usher/internal/ushertest"
)

// external is an issuer elsewhere, that this server cannot reach.
type external struct {
	key *rsa.PrivateKey
	kid string
}

func newExternal(t *testing.T, kid string) *external {
	return &external{key: must(rsa.GenerateKey(rand.Reader, 2048))(t), kid: kid}
}

// jwks is its key set; use is the member of that name.
func (e *external) jwks(use string) string {
	b := base64.RawURLEncoding.EncodeToString
	text, _ := json.Marshal(map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": e.kid, "use": use, "n": b(e.key.N.Bytes()), "e": b(big.NewInt(int64(e.key.E)).Bytes())}}})
	return string(text)
}

func (e *external) token(t *testing.T, claims map[string]any) *string {
	b := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	all := map[string]any{"iat": now, "exp": now + 600}
	for k, v := range claims {
		all[k] = v
	}
	body := must(json.Marshal(all))(t)
	text := b([]byte(`{"alg":"RS256","kid":"`+e.kid+`"}`)) + "." + b(body)
	sum := sha256.Sum256([]byte(text))
	sig := must(rsa.SignPKCS1v15(rand.Reader, e.key, crypto.SHA256, sum[:]))(t)
	return aws.String(text + "." + b(sig))
}

// TestTrust: what `usher trust` sets up lets exactly the named subject in, and tells the truth about all others.
func TestTrust(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		admin, open := ushertest.ClientsFor(s.Admin(t)), ushertest.ClientsFor(s.Nobody())
		account := *must(admin.STS.GetCallerIdentity(t.Context(), nil))(t).Account
		const github = "https://token.actions.githubusercontent.com"
		issuer, other := newExternal(t, "k1"), newExternal(t, "k1")
		trust := func(change func(*server.Trust)) ([]server.TrustStep, error) {
			in := server.Trust{Issuer: github, Audience: "sts.amazonaws.com", Subject: "repo:acme/site:ref:refs/heads/main", Role: "deploy",
				Policies: []string{"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}, JWKS: issuer.jwks("sig")}
			if change != nil {
				change(&in)
			}
			return s.Server.Trust(t.Context(), in)
		}
		for want, change := range map[string]func(*server.Trust){
			"more than wildcards":                  func(in *server.Trust) { in.Subject = "*" },
			"Invalid Open ID Connect Provider URL": func(in *server.Trust) { in.Issuer = "http://issuer.example.org" },
			"value for roleName is invalid":        func(in *server.Trust) { in.Role = "a/b" },
			"issuer, audience and role":            func(in *server.Trust) { in.Audience = "" },
			"there is no account":                  func(in *server.Trust) { in.Account = "000000000000" },
			"no key that can verify":               func(in *server.Trust) { in.JWKS = issuer.jwks("enc") },
			"not a JSON object":                    func(in *server.Trust) { in.JWKS = "[]" },
			"there is no policy":                   func(in *server.Trust) { in.Policies = []string{"arn:aws:iam::aws:policy/Nothing"} },
		} {
			if _, err := trust(change); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}

		done := must(trust(nil))(t)
		var commands []string
		for _, step := range done {
			commands = append(commands, step.Command)
		}
		if text := strings.Join(commands, "\n"); !strings.Contains(text, "aws iam create-role --role-name deploy --assume-role-policy-document '{") ||
			!strings.Contains(text, "aws iam attach-role-policy --role-name deploy --policy-arn arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess") {
			t.Errorf("%s", text)
		}
		if _, err := trust(nil); err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Errorf("again: %v", err)
		}
		role := aws.String("arn:aws:iam::" + account + ":role/deploy")
		claims := func(change map[string]any) map[string]any {
			c := map[string]any{"iss": github, "aud": "sts.amazonaws.com", "sub": "repo:acme/site:ref:refs/heads/main"}
			for k, v := range change {
				c[k] = v
			}
			return c
		}
		assume := func(token *string) error {
			_, err := open.STS.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: role, RoleSessionName: aws.String("ci"), WebIdentityToken: token})
			return err
		}
		if err := assume(issuer.token(t, claims(nil))); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name       string
			by         *external
			claims     map[string]any
			code, text string
			explained  string
		}{
			{"another branch", issuer, claims(map[string]any{"sub": "repo:acme/site:ref:refs/heads/evil"}), "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity",
				`StringEquals token.actions.githubusercontent.com:sub ["repo:acme/site:ref:refs/heads/main"] not met: the request has ["repo:acme/site:ref:refs/heads/evil"]`},
			{"another repository", issuer, claims(map[string]any{"sub": "repo:acme/site-2:ref:refs/heads/main"}), "AccessDenied", "", "not met"},
			{"another audience", issuer, claims(map[string]any{"aud": "elsewhere"}), "InvalidIdentityToken", "Incorrect token audience", ""},
			{"another issuer", issuer, claims(map[string]any{"iss": github + "/acme"}), "InvalidIdentityToken", "No OpenIDConnect provider found in your account for " + github + "/acme", ""},
			{"another key of the same name", other, claims(nil), "InvalidIdentityToken", "", ""},
		} {
			err := assume(c.by.token(t, c.claims))
			refused(t, err, c.code, c.text)
			if c.explained == "" {
				continue
			}
			res, _ := errors.AsType[*awshttp.ResponseError](err)
			why := must(s.Server.Explain(t.Context(), res.RequestID))(t)
			if len(why) != 1 || !strings.Contains(why[0].Text, c.explained) {
				t.Errorf("%s is explained as %+v", c.name, why)
			}
		}
		_, err := open.STS.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: aws.String(*role + "s"), RoleSessionName: aws.String("ci"), WebIdentityToken: issuer.token(t, claims(nil))})
		res, _ := errors.AsType[*awshttp.ResponseError](err)
		if why := must(s.Server.Explain(t.Context(), res.RequestID))(t); len(why) != 1 || why[0].Note != "there is no such role" {
			t.Errorf("%+v", why)
		}

		// New keys, from the next token on; the old ones are forgotten even for tokens that were accepted.
		accepted := issuer.token(t, claims(nil))
		if err := assume(accepted); err != nil {
			t.Fatal(err)
		}
		next := newExternal(t, "k2")
		must(trust(func(in *server.Trust) {
			in.JWKS, in.Role, in.Subject = next.jwks("jwt-svid"), "deploy-2", "repo:acme/site:*"
		}))(t)
		refused(t, assume(accepted), "InvalidIdentityToken", "Couldn't retrieve verification key")
		if err := assume(next.token(t, claims(nil))); err != nil {
			t.Error(err)
		}

		// A trust policy on GitHub that does not pin the tenant is refused with the reason.
		for condition, want := range map[string]string{
			`{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com"}}`: "must restrict the shared OIDC provider token.actions.githubusercontent.com by a condition on one of token.actions.githubusercontent.com:sub",
			`{"StringLike":{"token.actions.githubusercontent.com:sub":"*"}}`:                   "must restrict the shared OIDC provider",
			`{"StringNotEquals":{"token.actions.githubusercontent.com:sub":"repo:evil/x"}}`:    "must restrict the shared OIDC provider",
			`{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:acme/*"}}`:         "",
		} {
			policy := document(`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::` + account + `:oidc-provider/token.actions.githubusercontent.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":` + condition + `}`)
			_, err := admin.IAM.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("deploy-2"), PolicyDocument: policy})
			if want == "" && err != nil {
				t.Error(err)
			} else if want != "" {
				refused(t, err, "MalformedPolicyDocument", want)
			}
		}
	})
}

// TestSharedIssuers: an installation adds issuers of its own.
func TestSharedIssuers(t *testing.T) {
	s := ushertest.Start(t, server.Config{Data: t.TempDir(), SharedIssuers: "login.example.org, gitlab.example.org=namespace_id+project_id"})
	admin := ushertest.ClientsFor(s.Admin(t))
	account := *must(admin.STS.GetCallerIdentity(t.Context(), nil))(t).Account
	for i, c := range []struct{ issuer, condition, want string }{
		{"login.example.org", `{"StringEquals":{"login.example.org:aud":"a"}}`, "one of login.example.org:sub"},
		{"login.example.org", `{"StringEquals":{"login.example.org:sub":"a"}}`, ""},
		{"gitlab.example.org", `{"StringEquals":{"gitlab.example.org:sub":"a"}}`, "one of gitlab.example.org:namespace_id, gitlab.example.org:project_id"},
		{"gitlab.example.org", `{"StringEquals":{"gitlab.example.org:project_id":"7"}}`, ""},
		{"gitlab.com", `{"StringEquals":{"gitlab.com:aud":"a"}}`, "must restrict the shared OIDC provider"},
		{"own.example.org", `{"StringEquals":{"own.example.org:aud":"a"}}`, ""},
	} {
		_, err := admin.IAM.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("role-" + string(rune('a'+i))), AssumeRolePolicyDocument: document(
			`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::` + account + `:oidc-provider/` + c.issuer + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":` + c.condition + `}`)})
		if c.want == "" && err != nil {
			t.Errorf("%s %s: %v", c.issuer, c.condition, err)
		} else if c.want != "" {
			refused(t, err, "MalformedPolicyDocument", c.want)
		}
	}
}

// TestClaimsOfIssuers: trust policies test the further claims of issuers of which AWS knows them, and of no others.
func TestClaimsOfIssuers(t *testing.T) {
	s := ushertest.New(t, dbtest.SQLite(t))
	admin, open := ushertest.ClientsFor(s.Admin(t)), ushertest.ClientsFor(s.Nobody())
	account := *must(admin.STS.GetCallerIdentity(t.Context(), nil))(t).Account
	issuer := newExternal(t, "k1")
	for i, c := range []struct {
		issuer, claim string
		value         any
		known         bool
	}{
		{"token.actions.githubusercontent.com", "repository", "acme/site", true},
		{"token.actions.githubusercontent.com", "event_name", "push", false},
		{"token.actions.githubusercontent.com/acme", "job_workflow_ref", "acme/ci/.github/workflows/x.yml@refs/heads/main", true},
		{"token.actions.acme.ghe.com", "environment", "production", true},
		{"gitlab.com", "project_id", "22", true},
		{"gitlab.com", "project_id", 22, true},
		{"gitlab.example.org", "project_id", "22", false},
		{"agent.buildkite.com", "pipeline_slug", "release", true},
		{"oidc.circleci.com/org/0f1e", "oidc.circleci.com/project-id", "p-1", true},
		{"oidc.circleci.com/org/0f1e", "oidc.circleci.com/vcs-ref", "main", false},
		{"idp.example.org", "email", "a@example.org", false},
	} {
		role := "r" + strconv.Itoa(i)
		must(s.Server.Trust(t.Context(), server.Trust{Issuer: "https://" + c.issuer, Audience: "app", Subject: "s-1", Role: role, JWKS: issuer.jwks("sig")}))(t)
		must(admin.IAM.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: document(
			`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::` + account + `:oidc-provider/` + c.issuer + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"` +
				c.issuer + `:sub":"s-1","` + c.issuer + `:` + c.claim + `":"` + fmt.Sprint(c.value) + `"}}}`)}))(t)
		for _, given := range []any{c.value, "other", nil} {
			claims := map[string]any{"iss": "https://" + c.issuer, "aud": "app", "sub": "s-1"}
			if given != nil {
				claims[c.claim] = given
			}
			_, err := open.STS.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: aws.String("arn:aws:iam::" + account + ":role/" + role), RoleSessionName: aws.String("ci"), WebIdentityToken: issuer.token(t, claims)})
			if want := c.known && given == c.value; want != (err == nil) {
				t.Errorf("%s %s %v, given %v: %v", c.issuer, c.claim, c.value, given, err)
			} else if err != nil {
				refused(t, err, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
			}
		}
	}
}
