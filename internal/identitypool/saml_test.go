package identitypool

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity/types"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/beevik/etree"

	"usher/internal/saml/samltest"
)

// samlWorld is a world whose identity pool takes the logins of a SAML provider.
type samlWorld struct {
	*world
	idp            *samltest.IdP
	provider, pool string
}

func withSAML(w *world) *samlWorld {
	s := &samlWorld{world: w, idp: samltest.New(w.t, "https://idp.example.org/", 1)}
	s.provider = s.newProvider("corp", s.idp)
	s.pool = w.newPool(func(in *sdk.CreateIdentityPoolInput) {
		in.SamlProviderARNs = []string{s.provider}
		in.DeveloperProviderName = aws.String("backend")
	})
	return s
}

func (s *samlWorld) newProvider(name string, idp *samltest.IdP) string {
	out, err := s.iamAdmin.CreateSAMLProvider(ctx, &sdkiam.CreateSAMLProviderInput{Name: &name, SAMLMetadataDocument: aws.String(idp.Metadata())})
	check(s.t, err)
	return *out.SAMLProviderArn
}

// says is a login by a new response about a person, changed.
func (s *samlWorld) says(nameID string, change func(*samltest.Response)) map[string]string {
	r := s.idp.NewResponse(s.now())
	r.NameID = nameID
	if change != nil {
		change(r)
	}
	return map[string]string{s.provider: s.idp.Encode(s.t, r)}
}

func (s *samlWorld) credentials(id string, logins map[string]string, custom *string) (*sdk.GetCredentialsForIdentityOutput, error) {
	return s.nobody.GetCredentialsForIdentity(ctx, &sdk.GetCredentialsForIdentityInput{IdentityId: &id, Logins: logins, CustomRoleArn: custom})
}

const (
	usedAlready = "NotAuthorizedException: Invalid login token. The assertion of this response has been used already"
	noClassic   = "InvalidParameterException: Basic (classic) flow is not supported with SAML, please use enhanced flow."
)

func TestSAML(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := withSAML(w)
		user := "arn:aws:iam::" + w.account + ":saml-provider/corp:SAML:ada"
		w.setRoles(s.pool, map[string]string{"authenticated": w.role("Ada", s.pool, user, "")}, nil)

		// One response serves GetId, again and again, and then credentials, once.
		ada := s.says("ada", nil)
		id := w.getID(s.pool, ada)
		if again := w.getID(s.pool, ada); again != id {
			t.Errorf("identity %s, then %s", id, again)
		}
		if next := w.getID(s.pool, s.says("ada", nil)); next != id {
			t.Errorf("the next response is of %s, not of %s", next, id)
		}
		if other := w.getID(s.pool, s.says("bob", nil)); other == id {
			t.Error("two persons share an identity")
		}
		_, err := w.tokenFor(id, ada)
		wantError(t, err, noClassic)
		out, err := s.credentials(id, ada, nil) // its role trusts amr of exactly this person
		check(t, err)
		if *out.IdentityId != id {
			t.Errorf("credentials are of %s, not of %s", *out.IdentityId, id)
		}
		_, err = s.credentials(id, ada, nil)
		wantError(t, err, usedAlready)
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &s.pool, Logins: ada})
		wantError(t, err, usedAlready)
		_, err = w.nobody.UnlinkIdentity(ctx, &sdk.UnlinkIdentityInput{IdentityId: &id, Logins: ada, LoginsToRemove: []string{s.provider}})
		wantError(t, err, usedAlready)

		// What a refused call was given is not used up: here the role does not trust the person.
		bob := s.says("bob", nil)
		bobID := w.getID(s.pool, bob)
		_, err = s.credentials(bobID, bob, nil)
		wantError(t, err, "InvalidIdentityPoolConfigurationException: ")
		w.setRoles(s.pool, map[string]string{"authenticated": w.role("All", s.pool, "authenticated", "")}, nil)
		_, err = s.credentials(bobID, bob, nil)
		wantError(t, err, "")

		// Many at once: one gets credentials.
		eve := s.says("eve", nil)
		eveID := w.getID(s.pool, eve)
		var got atomic.Int64
		var wait sync.WaitGroup
		for range 16 {
			wait.Go(func() {
				if _, err := s.credentials(eveID, eve, nil); err == nil {
					got.Add(1)
				} else {
					wantError(t, err, usedAlready)
				}
			})
		}
		wait.Wait()
		if got.Load() != 1 {
			t.Errorf("%d of 16 calls with one response got credentials", got.Load())
		}

		// Beside another login it is linked; a backend links it too; it is unlinked again.
		ann := uuid()
		annID := w.getID(s.pool, w.login(ann))
		linked := s.says("ann", nil)
		linked[awsName(people)] = w.idToken(people, ann, nil)
		if got := w.getID(s.pool, linked); got != annID {
			t.Errorf("linked to %s, not to %s", got, annID)
		}
		if got := w.getID(s.pool, s.says("ann", nil)); got != annID {
			t.Errorf("the linked response is of %s, not of %s", got, annID)
		}
		who, err := w.s.LookupUser(ctx, s.pool, s.provider, "ann")
		check(t, err)
		if who.ID != annID || !slices.Contains(who.Logins, Linked{s.provider, "ann"}) {
			t.Errorf("looked up %+v", who)
		}
		_, err = w.nobody.UnlinkIdentity(ctx, &sdk.UnlinkIdentityInput{IdentityId: &annID, Logins: s.says("ann", nil), LoginsToRemove: []string{s.provider}})
		check(t, err)
		if got := w.getID(s.pool, s.says("ann", nil)); got == annID {
			t.Error("an unlinked person still has the identity")
		}
		vouched := s.says("vic", nil)
		vouched["backend"] = "v1"
		open, err := w.admin.GetOpenIdTokenForDeveloperIdentity(ctx, &sdk.GetOpenIdTokenForDeveloperIdentityInput{IdentityPoolId: &s.pool, Logins: vouched})
		check(t, err)
		if got := w.getID(s.pool, s.says("vic", nil)); got != *open.IdentityId {
			t.Errorf("the backend linked %s, the response is of %s", *open.IdentityId, got)
		}
		delete(vouched, "backend")
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &s.pool, Logins: vouched})
		wantError(t, err, usedAlready)

		// What AssumeRoleWithSAML has used up counts for nothing here, and the other way round.
		role := w.trustedRole("Direct", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"`+s.provider+`"},"Action":"sts:AssumeRoleWithSAML"}]}`, "")
		direct := func(r *samltest.Response) {
			r.Attributes["https://aws.amazon.com/SAML/Attributes/Role"] = []string{role + "," + s.provider}
			r.Attributes["https://aws.amazon.com/SAML/Attributes/RoleSessionName"] = []string{"ada"}
		}
		assume := func(logins map[string]string) error {
			_, err := w.stsNobody.AssumeRoleWithSAML(ctx, &sdksts.AssumeRoleWithSAMLInput{RoleArn: &role, PrincipalArn: &s.provider, SAMLAssertion: aws.String(logins[s.provider])})
			return err
		}
		first := s.says("ada", direct)
		check(t, assume(first))
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &s.pool, Logins: first})
		wantError(t, err, usedAlready)
		second := s.says("ada", func(r *samltest.Response) { r.NameID = "ada" })
		_, err = s.credentials(id, second, nil)
		check(t, err)
		wantError(t, assume(second), "InvalidIdentityToken: ")

		// A provider that is gone, and one that never was.
		_, err = w.iamAdmin.DeleteSAMLProvider(ctx, &sdkiam.DeleteSAMLProviderInput{SAMLProviderArn: &s.provider})
		check(t, err)
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &s.pool, Logins: s.says("ada", nil)})
		wantError(t, err, "NotAuthorizedException: Invalid login token. Specified provider doesn't exist")
		_, err = w.admin.CreateIdentityPool(ctx, &sdk.CreateIdentityPoolInput{IdentityPoolName: aws.String("app"), SamlProviderARNs: []string{s.provider}})
		wantError(t, err, "NotAuthorizedException: Identity provider "+s.provider+" is not valid for account "+w.account)
	})
}

// TestSAMLAttacks: what is not the provider's word about this person, for us and now, is nothing.
func TestSAMLAttacks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := withSAML(w)
		thief := samltest.New(t, "https://idp.example.org/", 2)   // says that it is the same
		partner := samltest.New(t, "https://partner.example/", 3) // another provider of the pool
		partnerARN := s.newProvider("partner", partner)
		stranger := samltest.New(t, "https://stranger.example/", 4)
		strangerARN := s.newProvider("stranger", stranger) // of the account, but not of the pool
		pool := w.newPool(func(in *sdk.CreateIdentityPoolInput) { in.SamlProviderARNs = []string{s.provider, partnerARN} })
		ada := w.getID(pool, s.says("ada", nil))
		stamp := func(d time.Duration) string { return w.now().Add(d).UTC().Format("2006-01-02T15:04:05.000Z") }
		by := func(idp *samltest.IdP, change func(*samltest.Response)) string {
			r := idp.NewResponse(w.now())
			r.NameID = "ada"
			if change != nil {
				change(r)
			}
			return idp.Encode(t, r)
		}
		const invalid = "NotAuthorizedException: Invalid login token. "
		for _, c := range []struct{ name, key, response, want string }{
			{"good", s.provider, by(s.idp, nil), ""},
			{"to this server", s.provider, by(s.idp, func(r *samltest.Response) {
				r.Destination, r.Recipient, r.Audiences = publicURL+"/saml", publicURL+"/saml", []string{publicURL + "/saml"}
			}), ""},
			{"unsigned", s.provider, by(s.idp, func(r *samltest.Response) { r.SignAssertion = false }), invalid + "Response signature invalid"},
			{"signed by a thief", s.provider, by(thief, nil), invalid + "Response signature invalid"},
			{"of another provider of the pool", s.provider, by(partner, nil), invalid + "Response signature invalid"},
			{"another provider's key", partnerARN, by(s.idp, nil), invalid + "Response signature invalid"},
			{"another provider's name under its own key", partnerARN, by(partner, func(r *samltest.Response) { r.Issuer = s.idp.EntityID }), invalid + "Issuer not present in specified provider"},
			{"of a provider that the pool has not", strangerARN, by(stranger, nil), "NotAuthorizedException: Token is not from a supported provider of this identity pool."},
			{"old", s.provider, by(s.idp, func(r *samltest.Response) { r.IssueInstant = stamp(-6 * time.Minute) }), invalid + "Token must be redeemed within 5 minutes of issuance"},
			{"expired", s.provider, by(s.idp, func(r *samltest.Response) { r.NotOnOrAfter = stamp(-time.Second) }), invalid + "Token must be redeemed within 5 minutes of issuance"},
			{"of the future", s.provider, by(s.idp, func(r *samltest.Response) { r.NotBefore = stamp(10 * time.Minute) }), invalid + "The response is not valid yet"},
			{"for another audience", s.provider, by(s.idp, func(r *samltest.Response) { r.Audiences = []string{"https://app.example.org"} }), invalid + "Response does not contain the required audience."},
			{"for no audience", s.provider, by(s.idp, func(r *samltest.Response) { r.Audiences = nil }), invalid + "Response does not contain the required audience."},
			{"for another recipient", s.provider, by(s.idp, func(r *samltest.Response) { r.Recipient = "https://app.example.org/saml" }), invalid + "Response does not contain a bearer SubjectConfirmation"},
			{"of a failure", s.provider, by(s.idp, func(r *samltest.Response) { r.Status = "urn:oasis:names:tc:SAML:2.0:status:Responder" }), invalid + "The identity provider reports"},
			{"about nobody", s.provider, by(s.idp, func(r *samltest.Response) { r.NameID = " " }), invalid + "Missing a required claim: NameID"},
			{"about a long name", s.provider, by(s.idp, func(r *samltest.Response) { r.NameID = strings.Repeat("a", 1025) }), invalid + "the NameID is too long"},
			{"wrapped", s.provider, by(s.idp, func(r *samltest.Response) {
				r.Change = func(response *etree.Element) { // an unsigned twin stands before the signed assertion
					for _, el := range response.ChildElements() {
						if el.Tag == "Assertion" {
							twin := el.Copy()
							twin.CreateAttr("ID", samltest.NewID())
							response.InsertChildAt(el.Index(), twin)
						}
					}
				}
			}), invalid + "Invalid SAMLResponse"},
			{"not base64", s.provider, "<Response/>", invalid + "Invalid base64 SAMLResponse"},
			{"not a response", s.provider, "PHNhbWw+", invalid + "Invalid SAMLResponse"},
			{"an ID token", s.provider, w.idToken(people, "ada", nil), invalid + "Invalid base64 SAMLResponse"},
		} {
			t.Run(c.name, func(t *testing.T) {
				logins := map[string]string{c.key: c.response}
				out, err := w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: logins})
				if wantError(t, err, c.want); err == nil && *out.IdentityId != ada {
					t.Errorf("identity %s, want %s", *out.IdentityId, ada)
				}
				if c.want == "" {
					return
				}
				_, err = s.credentials(ada, logins, nil)
				wantError(t, err, c.want)
				logins[awsName(people)] = w.idToken(people, uuid(), nil) // one bad login fails all
				_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: logins})
				wantError(t, err, c.want)
			})
		}
		// The same name at another provider is another person.
		if got := w.getID(pool, map[string]string{partnerARN: by(partner, nil)}); got == ada {
			t.Error("the name at one provider has the identity of another's")
		}
	})
}

// TestSAMLRoles chooses roles by attributes and by the roles that the assertion lists, and makes session tags of attributes.
func TestSAMLRoles(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := withSAML(w)
		plain, sales, boss := w.role("Plain", s.pool, "authenticated", ""), w.role("Sales", s.pool, "authenticated", ""), w.role("Boss", s.pool, "authenticated", "")
		rules := types.RoleMapping{Type: types.RoleMappingTypeRules, AmbiguousRoleResolution: types.AmbiguousRoleResolutionTypeDeny,
			RulesConfiguration: &types.RulesConfigurationType{Rules: []types.MappingRule{
				{Claim: aws.String("dept"), MatchType: types.MappingRuleMatchTypeEquals, Value: aws.String("sales"), RoleARN: &sales}}}}
		byToken := func(r types.AmbiguousRoleResolutionType) *types.RoleMapping {
			return &types.RoleMapping{Type: types.RoleMappingTypeToken, AmbiguousRoleResolution: r}
		}
		pair := func(role string) string { return role + "," + s.provider }
		ambiguous := "NotAuthorizedException: The ambiguous role mapping rules for: " + s.provider + " denied this request."
		for _, c := range []struct {
			name    string
			mapping *types.RoleMapping
			dept    []string
			roles   []string // attribute
			custom  *string
			want    string
		}{
			{"nothing", nil, nil, nil, nil, "Plain"},
			{"one role", nil, nil, []string{pair(sales)}, nil, "Sales"},
			{"one role, in the other order", nil, nil, []string{s.provider + ", " + sales}, nil, "Sales"},
			{"a role of another provider", nil, nil, []string{sales + ",arn:aws:iam::" + w.account + ":saml-provider/other"}, nil, "Plain"},
			{"several roles", nil, nil, []string{pair(sales), pair(boss)}, nil, ambiguous},
			{"several roles, one chosen", nil, nil, []string{pair(sales), pair(boss)}, &boss, "Boss"},
			{"several roles, another chosen", nil, nil, []string{pair(sales), pair(boss)}, &plain, "NotAuthorizedException: Access to Role '" + plain + "' is forbidden."},
			{"no roles, another chosen", nil, nil, nil, &boss, "NotAuthorizedException: Access to Role '" + boss + "' is forbidden."},
			{"by token", byToken(types.AmbiguousRoleResolutionTypeDeny), nil, []string{pair(boss)}, nil, "Boss"},
			{"by token, several", byToken(types.AmbiguousRoleResolutionTypeDeny), nil, []string{pair(sales), pair(boss)}, nil, ambiguous},
			{"by token, none", byToken(types.AmbiguousRoleResolutionTypeAuthenticatedRole), nil, nil, nil, "Plain"},
			{"a rule", &rules, []string{"sales"}, []string{pair(boss)}, nil, "Sales"},
			{"a rule, one of several values", &rules, []string{"art", "sales"}, nil, nil, "Sales"},
			{"no rule", &rules, []string{"art"}, []string{pair(boss)}, nil, ambiguous},
		} {
			t.Run(c.name, func(t *testing.T) {
				mappings := map[string]types.RoleMapping{}
				if c.mapping != nil {
					mappings[s.provider] = *c.mapping
				}
				w.setRoles(s.pool, map[string]string{"authenticated": plain}, mappings)
				logins := s.says("ada", func(r *samltest.Response) {
					if c.dept != nil {
						r.Attributes["dept"] = c.dept
					}
					if c.roles != nil {
						r.Attributes[samlRoles] = c.roles
					}
				})
				out, err := s.credentials(w.getID(s.pool, logins), logins, c.custom)
				if strings.Contains(c.want, ":") {
					wantError(t, err, c.want)
					return
				}
				check(t, err)
				_, asSTS := w.as(out.Credentials.AccessKeyId, out.Credentials.SecretKey, out.Credentials.SessionToken)
				who, err := asSTS.GetCallerIdentity(ctx, &sdksts.GetCallerIdentityInput{})
				check(t, err)
				if role := strings.Split(*who.Arn, "/")[1]; role != c.want {
					t.Errorf("role %s, want %s", role, c.want)
				}
			})
		}

		// The assertion alone names the role: the pool has none.
		bare := w.newPool(func(in *sdk.CreateIdentityPoolInput) { in.SamlProviderARNs = []string{s.provider} })
		logins := s.says("ada", func(r *samltest.Response) {
			r.Attributes[samlRoles] = []string{pair(w.role("Bare", bare, "authenticated", ""))}
		})
		_, err := s.credentials(w.getID(bare, logins), logins, nil)
		wantError(t, err, "")

		// Attributes become session tags; the trust policy must allow it.
		tags := func(in *sdk.SetPrincipalTagAttributeMapInput) {
			in.IdentityPoolId, in.IdentityProviderName = &s.pool, &s.provider
			_, err := w.admin.SetPrincipalTagAttributeMap(ctx, in)
			check(t, err)
		}
		tagging := w.trustedRole("Tagging", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},
			"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"`+s.pool+`"}}}]}`,
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/dept":"sales"}}},
			{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/username":"ada","aws:PrincipalTag/client":"Ada L"}}}]}`)
		may := func(role string, attributes map[string][]string) (users, roles error) {
			w.setRoles(s.pool, map[string]string{"authenticated": role}, nil)
			logins := s.says("ada", func(r *samltest.Response) { r.Attributes = attributes })
			out, err := s.credentials(w.getID(s.pool, logins), logins, nil)
			if err != nil {
				return err, err
			}
			asIAM, _ := w.as(out.Credentials.AccessKeyId, out.Credentials.SecretKey, out.Credentials.SessionToken)
			_, users = asIAM.ListUsers(ctx, &sdkiam.ListUsersInput{})
			_, roles = asIAM.ListRoles(ctx, &sdkiam.ListRolesInput{})
			return users, roles
		}
		tags(&sdk.SetPrincipalTagAttributeMapInput{PrincipalTags: map[string]string{"dept": "https://corp.example/dept"}})
		users, roles := may(tagging, map[string][]string{"https://corp.example/dept": {"sales"}})
		wantError(t, users, "")
		wantError(t, roles, "AccessDenied: ")
		users, _ = may(tagging, map[string][]string{"https://corp.example/dept": {"art"}})
		wantError(t, users, "AccessDenied: ")
		users, _ = may(plain, map[string][]string{"https://corp.example/dept": {"sales"}})
		wantError(t, users, "InvalidIdentityPoolConfigurationException: ")
		tags(&sdk.SetPrincipalTagAttributeMapInput{UseDefaults: aws.Bool(true)})
		users, roles = may(tagging, map[string][]string{samlName: {"Ada L"}})
		wantError(t, users, "AccessDenied: ")
		wantError(t, roles, "")
		got, err := w.admin.GetPrincipalTagAttributeMap(ctx, &sdk.GetPrincipalTagAttributeMapInput{IdentityPoolId: &s.pool, IdentityProviderName: &s.provider})
		check(t, err)
		if fmt.Sprint(got.PrincipalTags) != fmt.Sprint(map[string]string{"username": samlNameID, "client": samlName}) {
			t.Errorf("default tags %v", got.PrincipalTags)
		}
	})
}
