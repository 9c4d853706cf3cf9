package ushertest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity/types"

	"usher/internal/ushertest"
)

// explained is all that the operator is told about a failed call.
func (c *chain) explained(err error) string {
	c.t.Helper()
	var res *awshttp.ResponseError
	if !errors.As(err, &res) {
		c.t.Fatalf("no answer: %v", err)
	}
	var lines []string
	for _, d := range must(c.Server.Server.Explain(c.ctx, res.RequestID))(c.t) {
		lines = append(lines, d.Action, d.Note, d.Text)
	}
	return strings.Join(lines, "\n")
}

// TestExplainIdentityPools: of each way in which a call of an identity pool fails for lack of right or configuration, the
// operator learns which login, mapping, rule, trust statement or tag it was, though the client does not.
func TestExplainIdentityPools(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		c := newChain(t, s)
		ada, mallory := c.logins(), map[string]string{}
		c.signUp(c.client, "mallory")
		mallory[c.provider] = *c.signIn(c.client, "mallory").IdToken
		sub := claimOf(t, *c.tokens.IdToken, "sub").(string)
		id := must(c.getID(c.provider, *c.tokens.IdToken))(t)
		guest := *must(c.open.Identities.GetId(c.ctx, &cognitoidentity.GetIdInput{IdentityPoolId: &c.identityPool}))(t).IdentityId
		user := c.role("plain", "authenticated", c.identityPool, "")
		elsewhere := c.role("elsewhere", "authenticated", "us-east-1:00000000-0000-0000-0000-000000000000", "")
		network := c.trusted("network", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},
			"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"`+c.identityPool+`"},"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}]}`, "")
		tagged := c.trusted("tagged", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},
			"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"`+c.identityPool+`","aws:RequestTag/dept":"sales"}}}]}`, "")
		credentials := func(id string, logins map[string]string, custom string) error {
			in := &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: &id, Logins: logins}
			if custom != "" {
				in.CustomRoleArn = &custom
			}
			_, err := c.open.Identities.GetCredentialsForIdentity(c.ctx, in)
			return err
		}
		roles := func(role string, mapping *types.RoleMapping) {
			t.Helper()
			in := &cognitoidentity.SetIdentityPoolRolesInput{IdentityPoolId: &c.identityPool, Roles: map[string]string{}}
			if role != "" {
				in.Roles["authenticated"] = role
			}
			if mapping != nil {
				in.RoleMappings = map[string]types.RoleMapping{c.provider + ":" + c.client: *mapping}
			}
			must(c.admin.Identities.SetIdentityPoolRoles(c.ctx, in))(t)
		}
		tags := func(tags map[string]string) {
			t.Helper()
			must(c.admin.Identities.SetPrincipalTagAttributeMap(c.ctx, &cognitoidentity.SetPrincipalTagAttributeMapInput{IdentityPoolId: &c.identityPool,
				IdentityProviderName: &c.provider, PrincipalTags: tags}))(t)
		}
		rules := &types.RoleMapping{Type: types.RoleMappingTypeRules, AmbiguousRoleResolution: types.AmbiguousRoleResolutionTypeDeny,
			RulesConfiguration: &types.RulesConfigurationType{Rules: []types.MappingRule{
				{Claim: aws.String("email"), MatchType: types.MappingRuleMatchTypeStartsWith, Value: aws.String("boss@"), RoleARN: &elsewhere},
				{Claim: aws.String("custom:dept"), MatchType: types.MappingRuleMatchTypeEquals, Value: aws.String("art"), RoleARN: &user},
				{Claim: aws.String("email_verified"), MatchType: types.MappingRuleMatchTypeEquals, Value: aws.String("true"), RoleARN: &user}}}}
		byToken := &types.RoleMapping{Type: types.RoleMappingTypeToken, AmbiguousRoleResolution: types.AmbiguousRoleResolutionTypeDeny}
		noRule := &types.RoleMapping{Type: rules.Type, AmbiguousRoleResolution: rules.AmbiguousRoleResolution,
			RulesConfiguration: &types.RulesConfigurationType{Rules: rules.RulesConfiguration.Rules[:2]}}

		for _, step := range []struct {
			name  string
			setup func()
			call  func() error
			want  []string
		}{
			{"a login of nobody's pool", nil, func() error {
				_, err := c.getID("cognito-idp.us-east-1.amazonaws.com/us-east-1_Elsewhere", "x")
				return err
			}, []string{"GetId", `the login with the key "cognito-idp.us-east-1.amazonaws.com/us-east-1_Elsewhere" was refused`, "the pool has no provider", `the providers of the pool are ["` + c.provider + `"]`}},
			{"an access token", nil, func() error { _, err := c.getID(c.provider, *c.tokens.AccessToken); return err },
				[]string{"Missing a required claim: aud", `the login with the key "` + c.provider + `" was refused`}},
			{"a stranger's login", nil, func() error { return credentials(id, mallory, "") },
				[]string{"identity " + id + " is a user's", `its login is "` + sub + `" of ` + c.provider, "is of no identity yet"}},
			{"an unlinking with a stranger's login", nil, func() error {
				_, err := c.open.Identities.UnlinkIdentity(c.ctx, &cognitoidentity.UnlinkIdentityInput{IdentityId: &id, Logins: mallory, LoginsToRemove: []string{c.provider}})
				return err
			}, []string{"identity " + id + " is a user's", "is of no identity yet"}},
			{"an unlinking of a provider that the pool has not", nil, func() error {
				_, err := c.open.Identities.UnlinkIdentity(c.ctx, &cognitoidentity.UnlinkIdentityInput{IdentityId: &id, Logins: ada, LoginsToRemove: []string{"accounts.google.com"}})
				return err
			}, []string{`the login to remove is of "accounts.google.com"; the providers of the pool are ["` + c.provider + `"]`}},
			{"a user without login", nil, func() error { return credentials(id, nil, "") }, []string{"identity " + id + " is a user's"}},
			{"no role", func() { roles("", nil) }, func() error { return credentials(id, ada, "") },
				[]string{"the pool has no role for authenticated identities", "the pool has no role mapping for it", "the pool's role for users: none"}},
			{"no role for guests", nil, func() error { return credentials(guest, nil, "") }, []string{"the pool's role for guests: none"}},
			{"no rule", func() { roles(user, noRule) }, func() error { return credentials(id, ada, "") },
				[]string{"none of the 2 rules matches", `rule 1 wants email StartsWith "boss@"; the login has ["ada@example.org"]`, `rule 2 wants custom:dept Equals "art"; the login has no such claim`}},
			{"no rule for the custom role", func() { roles(user, rules) }, func() error { return credentials(id, ada, elsewhere) },
				[]string{`rule 3 wants email_verified Equals "true"; the login has ["true"]: the rule matches, but its role ` + user + ` is not the CustomRoleArn`, "CustomRoleArn is " + elsewhere}},
			{"no role in the token", func() { roles(user, byToken) }, func() error { return credentials(id, ada, "") },
				[]string{"role mapping of " + c.provider + ":" + c.client + ": by Token, else Deny", "it lists no roles"}},
			{"another role than the token's", nil, func() error { return credentials(id, ada, elsewhere) }, []string{"does not list this CustomRoleArn"}},
			{"a trust statement", func() { roles(elsewhere, nil) }, func() error { return credentials(id, ada, "") },
				[]string{"role_refused=" + elsewhere, "sts:AssumeRoleWithWebIdentity", `StringEquals cognito-identity.amazonaws.com:aud ["us-east-1:00000000-0000-0000-0000-000000000000"] not met: the request has ["` + c.identityPool + `"]`}},
			{"a trust statement about the network, which is the service's", func() { roles(network, nil) }, func() error { return credentials(id, ada, "") },
				[]string{`IpAddress aws:SourceIp ["203.0.113.0/24"] not met: the request has ["127.0.0.1"]`}},
			{"tags that the trust policy does not allow", func() { roles(user, nil); tags(map[string]string{"dept": "email"}) }, func() error { return credentials(id, ada, "") },
				[]string{"sts:TagSession", `principal tag dept, from email of ` + c.provider + `, is "ada@example.org"`}},
			{"a tag with another value", func() { roles(tagged, nil) }, func() error { return credentials(id, ada, "") },
				[]string{`StringEquals aws:RequestTag/dept ["sales"] not met: the request has ["ada@example.org"]`}},
			{"a tag without claim", func() { tags(map[string]string{"dept": "custom:dept"}) }, func() error { return credentials(id, ada, "") },
				[]string{"principal tag dept is missing: the login of " + c.provider + " has no custom:dept", "StringEquals aws:RequestTag/dept"}},
		} {
			if step.setup != nil {
				step.setup()
			}
			err := step.call()
			if err == nil {
				t.Errorf("%s: not refused", step.name)
				continue
			}
			text := c.explained(err)
			for _, want := range step.want {
				if !strings.Contains(text, want) {
					t.Errorf("%s: is explained without %q:\n%s", step.name, want, text)
				}
			}
			if strings.Contains(text, *c.tokens.IdToken) || strings.Contains(text, *c.tokens.AccessToken) {
				t.Errorf("%s: the explanation holds a token", step.name)
			}
		}

		// Who is who.
		found := must(s.Server.IdentityOf(c.ctx, c.identityPool, c.pool, "ada"))(t)
		if found.ID != id || len(found.Logins) != 1 || found.Usernames[sub] != "ada" {
			t.Errorf("found %+v", found)
		}
		if bySub := must(s.Server.IdentityOf(c.ctx, c.identityPool, c.provider, sub))(t); bySub.ID != id {
			t.Errorf("found %+v", bySub)
		}
		if i := must(s.Server.Identity(c.ctx, guest))(t); !i.Guest || i.State != "is a guest's" {
			t.Errorf("the guest is %+v", i)
		}
		if _, err := s.Server.IdentityOf(c.ctx, c.identityPool, c.pool, "mallory"); err == nil {
			t.Error("mallory, who was refused, has an identity")
		}
	})
}
