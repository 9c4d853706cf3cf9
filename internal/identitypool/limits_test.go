package identitypool

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity/types"

	"usher/internal/db"
)

// TestUnset: what is sent empty is not set, and answers do not have it.
func TestUnset(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		w.setRoles(pool, map[string]string{}, map[string]types.RoleMapping{})
		r, err := w.admin.GetIdentityPoolRoles(ctx, &sdk.GetIdentityPoolRolesInput{IdentityPoolId: &pool})
		check(t, err)
		if r.Roles != nil || r.RoleMappings != nil {
			t.Errorf("roles %v, mappings %v", r.Roles, r.RoleMappings)
		}
		_, err = w.admin.UpdateIdentityPool(ctx, &sdk.UpdateIdentityPoolInput{IdentityPoolId: &pool, IdentityPoolName: aws.String("app"), SupportedLoginProviders: map[string]string{},
			CognitoIdentityProviders: []types.CognitoIdentityProvider{}, OpenIdConnectProviderARNs: []string{}, SamlProviderARNs: []string{}})
		check(t, err)
		d, err := w.admin.DescribeIdentityPool(ctx, &sdk.DescribeIdentityPoolInput{IdentityPoolId: &pool})
		check(t, err)
		if d.SupportedLoginProviders != nil || d.CognitoIdentityProviders != nil || d.OpenIdConnectProviderARNs != nil || d.SamlProviderARNs != nil {
			t.Errorf("pool %+v", d)
		}
	})
}

// TestLimits: what is as long as it may be is taken, and one more is refused with the error that AWS has for it.
func TestLimits(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(func(in *sdk.CreateIdentityPoolInput) {
			in.DeveloperProviderName = aws.String("backend")
			in.SupportedLoginProviders = map[string]string{"graph.facebook.com": "1234"}
		})
		arn := "arn:aws:cognito-identity:us-east-1:" + w.account + ":identitypool/" + pool
		role := w.role("User", pool, "authenticated", "")
		many := func(n int, format string) map[string]string {
			m := map[string]string{}
			for i := range n {
				m[fmt.Sprintf(format, i)] = "x"
			}
			return m
		}
		setRoles := func(key string, m types.RoleMapping) error {
			_, err := w.admin.SetIdentityPoolRoles(ctx, &sdk.SetIdentityPoolRolesInput{IdentityPoolId: &pool, Roles: map[string]string{"authenticated": role},
				RoleMappings: map[string]types.RoleMapping{key: m}})
			return err
		}
		rules := func(n int) types.RoleMapping {
			m := types.RoleMapping{Type: types.RoleMappingTypeRules, AmbiguousRoleResolution: types.AmbiguousRoleResolutionTypeDeny, RulesConfiguration: &types.RulesConfigurationType{}}
			for range n {
				m.RulesConfiguration.Rules = append(m.RulesConfiguration.Rules, types.MappingRule{Claim: aws.String("a"), MatchType: types.MappingRuleMatchTypeEquals, Value: aws.String("b"), RoleARN: &role})
			}
			return m
		}
		tagMap := func(tags map[string]string) error {
			_, err := w.admin.SetPrincipalTagAttributeMap(ctx, &sdk.SetPrincipalTagAttributeMapInput{IdentityPoolId: &pool, IdentityProviderName: aws.String(awsName(people)), PrincipalTags: tags})
			return err
		}
		create := func(change func(*sdk.CreateIdentityPoolInput)) error {
			in := &sdk.CreateIdentityPoolInput{IdentityPoolName: aws.String("app")}
			change(in)
			_, err := w.admin.CreateIdentityPool(ctx, in)
			return err
		}
		developer := func(in sdk.GetOpenIdTokenForDeveloperIdentityInput) error {
			in.IdentityPoolId = &pool
			if in.Logins == nil {
				in.Logins = map[string]string{"backend": "u1"}
			}
			_, err := w.admin.GetOpenIdTokenForDeveloperIdentity(ctx, &in)
			return err
		}
		tagged := func(n int, format string) error {
			_, err := w.admin.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: &arn, Tags: many(n, format)})
			return err
		}
		update := func(change func(*sdk.UpdateIdentityPoolInput)) error {
			in := &sdk.UpdateIdentityPoolInput{IdentityPoolId: &pool, IdentityPoolName: aws.String("app"), AllowUnauthenticatedIdentities: true, AllowClassicFlow: aws.Bool(true),
				DeveloperProviderName: aws.String("backend"), SupportedLoginProviders: map[string]string{"graph.facebook.com": "1234"},
				CognitoIdentityProviders: []types.CognitoIdentityProvider{{ProviderName: aws.String(awsName(people)), ClientId: aws.String(client)}}}
			change(in)
			_, err := w.admin.UpdateIdentityPool(ctx, in)
			return err
		}
		listTags := func(arn string) error {
			_, err := w.admin.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: &arn})
			return err
		}
		listFrom := func(token *string) error {
			_, err := w.admin.ListIdentities(ctx, &sdk.ListIdentitiesInput{IdentityPoolId: &pool, MaxResults: aws.Int32(1), NextToken: token})
			return err
		}
		id := w.getID(pool, w.login(uuid()))
		const (
			invalid    = "InvalidParameterException: "
			validation = "ValidationException: 1 validation error detected: "
			notFound   = "ResourceNotFoundException: Resource 'arn:"
			identifier = invalid + "The developer user identifier must have 1 to 1024 bytes."
		)
		for _, c := range []struct {
			name string
			err  error
			want string
		}{
			{"25 rules", setRoles(awsName(people)+":"+client, rules(25)), ""},
			{"26 rules", setRoles(awsName(people)+":"+client, rules(26)), invalid + "At most 25 rules"},
			{"no rules", setRoles(awsName(people)+":"+client, types.RoleMapping{Type: types.RoleMappingTypeRules, AmbiguousRoleResolution: types.AmbiguousRoleResolutionTypeDeny}), invalid + "RulesConfiguration is required"},
			{"no resolution", setRoles(awsName(people)+":"+client, types.RoleMapping{Type: types.RoleMappingTypeToken}), invalid + "AmbiguousRoleResolution is required"},
			{"a mapping of a user pool without a client", setRoles(awsName(people), rules(1)), invalid + awsName(people) + " is not a valid RoleMapping ProviderName or is not a configured provider."},
			{"a mapping of another client", setRoles(awsName(people)+":other", rules(1)), invalid + awsName(people) + ":other is not a valid RoleMapping ProviderName"},
			{"a mapping of another user pool", setRoles(awsName("us-east-1_other")+":"+client, rules(1)), invalid + awsName("us-east-1_other")},
			{"a mapping of a provider that the pool has not", setRoles("accounts.google.com", rules(1)), invalid + "accounts.google.com is not a valid RoleMapping ProviderName"},
			{"a mapping of the developer provider", setRoles("backend", rules(1)), invalid + "backend is not a valid RoleMapping ProviderName"},
			{"a mapping of a provider", setRoles("graph.facebook.com", rules(1)), ""},
			{"a mapping by the host's name", setRoles(hostName(people)+":"+client, rules(1)), ""},
			{"a mapping in two spellings", func() error {
				_, err := w.admin.SetIdentityPoolRoles(ctx, &sdk.SetIdentityPoolRolesInput{IdentityPoolId: &pool, Roles: map[string]string{"authenticated": role},
					RoleMappings: map[string]types.RoleMapping{awsName(people) + ":" + client: rules(1), hostName(people) + ":" + client: rules(2)}})
				return err
			}(), invalid + "The role mappings of "},
			{"a role that is none", func() error {
				_, err := w.admin.SetIdentityPoolRoles(ctx, &sdk.SetIdentityPoolRolesInput{IdentityPoolId: &pool, Roles: map[string]string{"authenticated": "arn:aws:iam::123456789012:user/x"}})
				return err
			}(), invalid + "Invalid role ARN"},
			{"roles for others", func() error {
				_, err := w.admin.SetIdentityPoolRoles(ctx, &sdk.SetIdentityPoolRolesInput{IdentityPoolId: &pool, Roles: map[string]string{"administrator": role}})
				return err
			}(), validation},
			{"11 mappings", func() error {
				in := &sdk.SetIdentityPoolRolesInput{IdentityPoolId: &pool, Roles: map[string]string{"authenticated": role}, RoleMappings: map[string]types.RoleMapping{}}
				for i := range 11 {
					in.RoleMappings[fmt.Sprint("p", i)] = types.RoleMapping{Type: types.RoleMappingTypeToken, AmbiguousRoleResolution: types.AmbiguousRoleResolutionTypeDeny}
				}
				_, err := w.admin.SetIdentityPoolRoles(ctx, in)
				return err
			}(), validation},
			{"a map of 460 bytes", tagMap(map[string]string{strings.Repeat("t", 128): strings.Repeat("c", 256), strings.Repeat("u", 70): "claims"}), ""},
			{"a map of 461 bytes", tagMap(map[string]string{strings.Repeat("t", 128): strings.Repeat("c", 256), strings.Repeat("u", 71): "claims"}), invalid + "Principal tags and their claims may have at most 460 bytes."},
			{"a tag of 129 characters", tagMap(map[string]string{strings.Repeat("t", 129): "c"}), validation},
			{"51 tags in a map", tagMap(many(51, "t%d")), validation},
			{"a tag of AWS's", tagMap(map[string]string{"aws:x": "c"}), invalid + "Invalid principal tag aws:x"},
			{"one tag twice", tagMap(map[string]string{"dept": "c", "Dept": "d"}), invalid + "Invalid principal tag"},
			{"a name of 129 characters", create(func(in *sdk.CreateIdentityPoolInput) { in.IdentityPoolName = aws.String(strings.Repeat("n", 129)) }), validation},
			{"50 tags of a pool", create(func(in *sdk.CreateIdentityPoolInput) { in.IdentityPoolTags = many(50, "t%d") }), ""},
			{"51 tags of a pool", create(func(in *sdk.CreateIdentityPoolInput) { in.IdentityPoolTags = many(51, "t%d") }), invalid + "A resource may have at most 50 tags."},
			{"50 tags", tagged(50, "t%d"), ""},
			{"another", tagged(1, "u%d"), invalid + "A resource may have at most 50 tags."},
			{"one of them again", tagged(1, "t%d"), ""},
			{"a tag key of AWS's", tagged(1, "aws:t%d"), invalid + "Tag keys may not begin with aws:."},
			{"the tags of another account's resource", listTags(strings.Replace(arn, w.account, "999999999999", 1)), notFound},
			{"the tags of another region's resource", listTags(strings.Replace(arn, ":us-east-1:", ":eu-west-1:", 1)), notFound},
			{"the tags of what is no resource", listTags("arn:aws:iam::" + w.account + ":role/User"), notFound},
			{"the tags of a resource with a zero byte", listTags(arn + "\x00"), notFound},
			{"a principal tag twice", developer(sdk.GetOpenIdTokenForDeveloperIdentityInput{PrincipalTags: map[string]string{"dept": "a", "Dept": "b"}}), invalid + "Invalid principal tag dept: "},
			{"a principal tag of AWS's", developer(sdk.GetOpenIdTokenForDeveloperIdentityInput{PrincipalTags: map[string]string{"aws:x": "a"}}), invalid + "Invalid principal tag aws:x: "},
			{"an identifier with a zero byte", developer(sdk.GetOpenIdTokenForDeveloperIdentityInput{Logins: map[string]string{"backend": "a\x00"}}), identifier},
			{"an identifier with a zero byte, looked up", func() error {
				_, err := w.admin.LookupDeveloperIdentity(ctx, &sdk.LookupDeveloperIdentityInput{IdentityPoolId: &pool, DeveloperUserIdentifier: aws.String("a\x00")})
				return err
			}(), identifier},
			{"an identifier with a zero byte, merged", func() error {
				_, err := w.admin.MergeDeveloperIdentities(ctx, &sdk.MergeDeveloperIdentitiesInput{IdentityPoolId: &pool, DeveloperProviderName: aws.String("backend"), SourceUserIdentifier: aws.String("a\x00"), DestinationUserIdentifier: aws.String("b")})
				return err
			}(), identifier},
			{"an identifier with a zero byte, unlinked", func() error {
				_, err := w.admin.UnlinkDeveloperIdentity(ctx, &sdk.UnlinkDeveloperIdentityInput{IdentityPoolId: &pool, DeveloperProviderName: aws.String("backend"), IdentityId: &id, DeveloperUserIdentifier: aws.String("a\x00")})
				return err
			}(), identifier},
			{"a page after a zero byte", listFrom(pageToken("\x00", "identities/"+pool)), invalid + "Invalid pagination token."},
			{"a page after what is no text", listFrom(pageToken("\xff", "identities/"+pool)), invalid + "Invalid pagination token."},
			{"a token for a day", developer(sdk.GetOpenIdTokenForDeveloperIdentityInput{TokenDuration: aws.Int64(86400)}), ""},
			{"a token for longer", developer(sdk.GetOpenIdTokenForDeveloperIdentityInput{TokenDuration: aws.Int64(86401)}), validation},
			{"a token for no time", developer(sdk.GetOpenIdTokenForDeveloperIdentityInput{TokenDuration: aws.Int64(0)}), validation},
			{"an identifier of 1024 bytes", developer(sdk.GetOpenIdTokenForDeveloperIdentityInput{Logins: map[string]string{"backend": strings.Repeat("u", 1024)}}), ""},
			{"an identifier of 1025 bytes", developer(sdk.GetOpenIdTokenForDeveloperIdentityInput{Logins: map[string]string{"backend": strings.Repeat("u", 1025)}}), invalid + "The developer user identifier must have 1 to 1024 bytes."},
			{"a principal tag of 257 characters", developer(sdk.GetOpenIdTokenForDeveloperIdentityInput{PrincipalTags: map[string]string{"t": strings.Repeat("v", 257)}}), validation},
			{"11 logins", func() error {
				_, err := w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: many(11, "p%d")})
				return err
			}(), validation},
			{"61 identities", func() error {
				_, err := w.admin.DeleteIdentities(ctx, &sdk.DeleteIdentitiesInput{IdentityIdsToDelete: make([]string, 61)})
				return err
			}(), "ValidationException: "},
			{"a page of 61", func() error {
				_, err := w.admin.ListIdentities(ctx, &sdk.ListIdentitiesInput{IdentityPoolId: &pool, MaxResults: aws.Int32(61)})
				return err
			}(), validation},
			{"a page of another list", func() error {
				_, err := w.admin.ListIdentities(ctx, &sdk.ListIdentitiesInput{IdentityPoolId: &pool, MaxResults: aws.Int32(1), NextToken: pageToken("", "pools/"+w.account)})
				return err
			}(), invalid + "Invalid pagination token."},
			{"another developer provider, merging", func() error {
				_, err := w.admin.MergeDeveloperIdentities(ctx, &sdk.MergeDeveloperIdentitiesInput{IdentityPoolId: &pool, DeveloperProviderName: aws.String("x"), SourceUserIdentifier: aws.String("a"), DestinationUserIdentifier: aws.String("b")})
				return err
			}(), invalid + "Please provide a valid developer provider"},
			{"another developer provider, unlinking", func() error {
				_, err := w.admin.UnlinkDeveloperIdentity(ctx, &sdk.UnlinkDeveloperIdentityInput{IdentityPoolId: &pool, DeveloperProviderName: aws.String("x"), IdentityId: &id, DeveloperUserIdentifier: aws.String("a")})
				return err
			}(), invalid + "Please provide a valid developer provider"},
			{"1001 providers", update(func(in *sdk.UpdateIdentityPoolInput) {
				for i := range providersMost {
					in.CognitoIdentityProviders = append(in.CognitoIdentityProviders, types.CognitoIdentityProvider{ProviderName: aws.String(awsName(people)), ClientId: aws.String(fmt.Sprint("c", i))})
				}
			}), "LimitExceededException: An identity pool may have at most 1000 identity providers."},
		} {
			t.Run(c.name, func(t *testing.T) { wantError(t, c.err, c.want) })
		}

		// The operations that take logins answer alike.
		ann := uuid()
		annID := w.getID(pool, w.login(ann))
		twice := map[string]string{awsName(people): w.idToken(people, ann, nil), hostName(people): w.idToken(people, ann, nil)}
		rival := w.both(ann, uuid())
		conflict := map[string]string{awsName(partners): rival[awsName(partners)]}
		rivalID := w.getID(pool, conflict) // who then shows ann's login as well, whose partner is another
		w.getID(pool, w.both(ann, uuid()))
		facebook := map[string]string{"graph.facebook.com": "1234/u1"}
		w.elsewhere.down.Store(true)
		for _, c := range []struct {
			name   string
			id     string
			logins map[string]string
			want   string
		}{
			{"two logins of one provider", annID, twice, invalid + "Two logins are for one provider."},
			{"logins of two who cannot be one", rivalID, rival, "ResourceConflictException: Logins are already linked to another account."},
			{"a provider that does not answer", annID, facebook, "ExternalServiceException: The identity provider cannot be reached."},
		} {
			_, err := w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: c.logins})
			wantError(t, err, c.want)
			_, err = w.nobody.GetOpenIdToken(ctx, &sdk.GetOpenIdTokenInput{IdentityId: &c.id, Logins: c.logins})
			wantError(t, err, c.want)
			_, err = w.nobody.GetCredentialsForIdentity(ctx, &sdk.GetCredentialsForIdentityInput{IdentityId: &c.id, Logins: c.logins})
			wantError(t, err, c.want)
			if !strings.HasPrefix(c.want, "ResourceConflict") {
				_, err = w.nobody.UnlinkIdentity(ctx, &sdk.UnlinkIdentityInput{IdentityId: &c.id, Logins: c.logins, LoginsToRemove: []string{awsName(people)}})
				wantError(t, err, c.want)
			}
		}

		// An account may have a thousand pools.
		n, err := w.count(`SELECT COUNT(*) FROM identity_pools`)
		check(t, err)
		check(t, w.db.Tx(ctx, func(tx *db.Tx) error {
			for i := range poolsMost - int(n) - 1 {
				if _, err := tx.ExecContext(ctx, `INSERT INTO identity_pools (id, account_id, name, created, modified, rev, doc) VALUES ($1, $2, 'x', 0, 0, 1, '{}')`, fmt.Sprint("x:", i), w.account); err != nil {
					return err
				}
			}
			return nil
		}))
		wantError(t, create(func(*sdk.CreateIdentityPoolInput) {}), "")
		wantError(t, create(func(*sdk.CreateIdentityPoolInput) {}), "LimitExceededException: You have reached the limit of 1000 identity pools for this account.")
	})
}
