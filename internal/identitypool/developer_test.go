package identitypool

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
)

// roleOf is the name of the role that an identity gets.
func (w *world) roleOf(id string, logins map[string]string) (string, error) {
	out, err := w.nobody.GetCredentialsForIdentity(ctx, &sdk.GetCredentialsForIdentityInput{IdentityId: &id, Logins: logins})
	if err != nil {
		return "", err
	}
	_, asSTS := w.as(out.Credentials.AccessKeyId, out.Credentials.SecretKey, out.Credentials.SessionToken)
	who, err := asSTS.GetCallerIdentity(ctx, &sdksts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return strings.Split(*who.Arn, "/")[1], nil
}

const backend = "login.mycompany.app"

func withBackend(in *sdk.CreateIdentityPoolInput) { in.DeveloperProviderName = aws.String(backend) }

func TestDeveloperIdentities(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(withBackend)
		type input = sdk.GetOpenIdTokenForDeveloperIdentityInput
		vouch := func(user string, change func(*input)) (id, text string, err error) {
			in := &input{IdentityPoolId: &pool, Logins: map[string]string{backend: user}}
			if change != nil {
				change(in)
			}
			out, err := w.admin.GetOpenIdTokenForDeveloperIdentity(ctx, in)
			if err != nil {
				return "", "", err
			}
			return *out.IdentityId, *out.Token, nil
		}
		on := func(id string) func(*input) { return func(in *input) { in.IdentityId = &id } }
		id, text, err := vouch("ann", nil)
		check(t, err)
		claims := w.verifyByDiscovery(text)
		if claims["exp"].(float64)-claims["iat"].(float64) != 900 || claims["sub"] != id || claims["aud"] != pool ||
			fmt.Sprint(claims["amr"]) != fmt.Sprint([]string{"authenticated", backend, backend + ":" + pool + ":ann"}) {
			t.Errorf("claims %v", claims)
		}
		if again, _, err := vouch("ann", nil); again != id || err != nil {
			t.Errorf("the second call gives %s, %v", again, err)
		}
		_, text2, err := vouch("ann", func(in *input) { in.TokenDuration = aws.Int64(86400) })
		check(t, err)
		if c := w.verifyByDiscovery(text2); c["exp"].(float64)-c["iat"].(float64) != 86400 {
			t.Errorf("the token lives for %v s", c["exp"].(float64)-c["iat"].(float64))
		}
		_, _, err = vouch("ann", func(in *input) { in.TokenDuration = aws.Int64(86401) })
		wantError(t, err, "ValidationException: 1 validation error detected: Value '86401' at 'tokenDuration' failed to satisfy constraint: ")
		_, _, err = vouch("ann", func(in *input) { in.Logins = map[string]string{"other": "ann"} })
		wantError(t, err, "InvalidParameterException: Please provide a valid developer provider")
		_, _, err = vouch(strings.Repeat("a", 1025), nil)
		wantError(t, err, "InvalidParameterException: ")
		_, _, err = vouch("ann", on(w.getID(w.newPool(nil), nil)))
		wantError(t, err, "ResourceNotFoundException: ")

		// Guests and users of public providers are linked, strangers are not.
		guest := w.getID(pool, nil)
		if got, _, err := vouch("ben", on(guest)); got != guest {
			t.Errorf("the guest became %s, %v", got, err)
		}
		_, _, err = vouch("ben", on(id))
		wantError(t, err, "DeveloperUserAlreadyRegisteredException: ")
		_, _, err = vouch("cem", on(id))
		wantError(t, err, "NotAuthorizedException: Logins don't match.")
		sub := uuid()
		person := w.getID(pool, w.login(sub))
		if got, _, err := vouch("dan", func(in *input) { maps.Copy(in.Logins, w.login(sub)) }); got != person {
			t.Errorf("linked to %s, %v, want %s", got, err, person)
		}
		if got, _, err := vouch("dan2", func(in *input) { maps.Copy(in.Logins, w.login(sub)); in.IdentityId = &person }); got != person {
			t.Errorf("a second identifier is linked to %s, %v", got, err)
		}

		lookup := func(change func(*sdk.LookupDeveloperIdentityInput)) (*sdk.LookupDeveloperIdentityOutput, error) {
			in := &sdk.LookupDeveloperIdentityInput{IdentityPoolId: &pool}
			change(in)
			return w.admin.LookupDeveloperIdentity(ctx, in)
		}
		out, err := lookup(func(in *sdk.LookupDeveloperIdentityInput) { in.DeveloperUserIdentifier = aws.String("dan2") })
		check(t, err)
		if *out.IdentityId != person {
			t.Errorf("dan2 is %s", *out.IdentityId)
		}
		out, err = lookup(func(in *sdk.LookupDeveloperIdentityInput) { in.IdentityId, in.MaxResults = &person, aws.Int32(1) })
		check(t, err)
		next, err := lookup(func(in *sdk.LookupDeveloperIdentityInput) {
			in.IdentityId, in.MaxResults, in.NextToken = &person, aws.Int32(1), out.NextToken
		})
		check(t, err)
		if got := append(out.DeveloperUserIdentifierList, next.DeveloperUserIdentifierList...); !slices.Equal(got, []string{"dan", "dan2"}) || next.NextToken != nil {
			t.Errorf("identifiers %v", got)
		}
		_, err = lookup(func(in *sdk.LookupDeveloperIdentityInput) {
			in.IdentityId, in.DeveloperUserIdentifier = &person, aws.String("dan")
		})
		wantError(t, err, "")
		_, err = lookup(func(in *sdk.LookupDeveloperIdentityInput) {
			in.IdentityId, in.DeveloperUserIdentifier = &person, aws.String("ann")
		})
		wantError(t, err, "ResourceConflictException: ")
		w.wantExplained("the developer user identifier is of identity " + id)
		_, err = w.admin.UnlinkDeveloperIdentity(ctx, &sdk.UnlinkDeveloperIdentityInput{IdentityPoolId: &pool, IdentityId: &person, DeveloperProviderName: aws.String(backend), DeveloperUserIdentifier: aws.String("ann")})
		wantError(t, err, "ResourceConflictException: ")
		w.wantExplained("the developer user identifier is of identity " + id)
		_, err = lookup(func(in *sdk.LookupDeveloperIdentityInput) {})
		wantError(t, err, "InvalidParameterException: ")
		_, err = lookup(func(in *sdk.LookupDeveloperIdentityInput) { in.DeveloperUserIdentifier = aws.String("nobody") })
		wantError(t, err, "ResourceNotFoundException: ")

		// The token is traded for credentials, and accepted nowhere else.
		w.setRoles(pool, map[string]string{"authenticated": w.role("User", pool, backend, ""), "unauthenticated": w.role("Guest", pool, "unauthenticated", "")}, nil)
		for _, name := range []string{"cognito-identity.amazonaws.com", "cognito-identity.us-east-1.amazonaws.com", "cognito-identity.cn-north-1.amazonaws.com.cn", "id.example.org/identity"} {
			role, err := w.roleOf(id, map[string]string{name: text})
			if role != "User" {
				t.Errorf("under %s: role %s, %v", name, role, err)
			}
		}
		own := map[string]string{"cognito-identity.amazonaws.com": text}
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: own})
		wantError(t, err, "NotAuthorizedException: Invalid login token. Can't pass in a Cognito token.")
		_, err = w.tokenFor(id, own)
		wantError(t, err, "NotAuthorizedException: Invalid login token. Can't pass in a Cognito token.")
		_, err = w.roleOf(person, own)
		wantError(t, err, "NotAuthorizedException: Logins don't match.")
		other := w.newPool(withBackend)
		stranger, err := w.admin.GetOpenIdTokenForDeveloperIdentity(ctx, &input{IdentityPoolId: &other, Logins: map[string]string{backend: "ann"}})
		check(t, err)
		_, err = w.roleOf(id, map[string]string{"cognito-identity.amazonaws.com": *stranger.Token})
		wantError(t, err, "NotAuthorizedException: Invalid login token. Incorrect token audience")
		for name, in := range map[string]*sdk.GetOpenIdTokenInput{ // tokens of the basic flow prove nothing
			"a guest": {IdentityId: aws.String(w.getID(pool, nil))}, "a user": {IdentityId: &person, Logins: w.login(sub)},
		} {
			basic, err := w.nobody.GetOpenIdToken(ctx, in)
			check(t, err)
			_, err = w.roleOf(*basic.IdentityId, map[string]string{"cognito-identity.amazonaws.com": *basic.Token})
			if wantError(t, err, "NotAuthorizedException: Invalid login token. Not a token of a developer authenticated identity."); t.Failed() {
				t.Fatalf("token of %s", name)
			}
		}
		// With the token of a public provider beside it, that one is linked.
		google := uuid()
		_, err = w.roleOf(id, map[string]string{"cognito-identity.amazonaws.com": text, awsName(people): w.idToken(people, google, nil)})
		check(t, err)
		if got := w.getID(pool, w.login(google)); got != id {
			t.Errorf("the public login is of %s, not of %s", got, id)
		}

		// Merging keeps the destination, however old; the token for the other now means it.
		newer, _, err := vouch("eva", nil)
		check(t, err)
		merge := func(from, to string) (string, error) {
			out, err := w.admin.MergeDeveloperIdentities(ctx, &sdk.MergeDeveloperIdentitiesInput{IdentityPoolId: &pool, DeveloperProviderName: aws.String(backend),
				SourceUserIdentifier: &from, DestinationUserIdentifier: &to})
			if err != nil {
				return "", err
			}
			return *out.IdentityId, nil
		}
		if got, err := merge("ann", "eva"); got != newer {
			t.Errorf("merged into %s, %v, want %s", got, err, newer)
		}
		if got, _, err := vouch("ann", nil); got != newer {
			t.Errorf("after the merge ann is %s, %v", got, err)
		}
		if role, err := w.roleOf(id, own); role != "User" {
			t.Errorf("the stale token of the stale identity: role %s, %v", role, err)
		}
		_, err = merge("dan", "eva")
		wantError(t, err, "ResourceConflictException: Logins are already linked to another account.") // both have a user of people
		w.wantExplained("identity "+person+" is a user's", "identity "+newer+" is a user's", `  its login is "dan" of `+backend, `  its login is "eva" of `+backend)
		_, err = merge("nobody", "eva")
		wantError(t, err, "ResourceNotFoundException: ")

		unlink := func(id, user string) error {
			_, err := w.admin.UnlinkDeveloperIdentity(ctx, &sdk.UnlinkDeveloperIdentityInput{IdentityPoolId: &pool, IdentityId: &id,
				DeveloperProviderName: aws.String(backend), DeveloperUserIdentifier: &user})
			return err
		}
		wantError(t, unlink(person, "eva"), "ResourceConflictException: ")
		wantError(t, unlink(newer, "nobody"), "ResourceNotFoundException: ")
		wantError(t, unlink(newer, "eva"), "")
		if got, _, err := vouch("eva", nil); got == newer || err != nil {
			t.Errorf("unlinked eva is %s, %v", got, err)
		}
		w.offset.Store(int64(16 * time.Minute))
		_, err = w.roleOf(id, own)
		wantError(t, err, "NotAuthorizedException: Invalid login token. Token expired: ")
		w.checkInvariants(t)
	})
}

func TestLoginsMost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(withBackend)
		id := ""
		link := func(user string) error {
			logins := w.login("everybody")
			logins[backend] = user
			out, err := w.admin.GetOpenIdTokenForDeveloperIdentity(ctx, &sdk.GetOpenIdTokenForDeveloperIdentityInput{IdentityPoolId: &pool, Logins: logins})
			if err == nil && id != "" && *out.IdentityId != id {
				t.Errorf("%s is %s, not %s", user, *out.IdentityId, id)
			} else if err == nil {
				id = *out.IdentityId
			}
			return err
		}
		for n := range loginsMost - 1 {
			check(t, link(fmt.Sprint("user", n)))
		}
		wantError(t, link("one more"), "ResourceConflictException: ")
	})
}

func TestPrincipalTags(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(func(in *sdk.CreateIdentityPoolInput) {
			withBackend(in)
			in.SupportedLoginProviders = map[string]string{"www.amazon.com": "amazon-app"}
		})
		set := func(provider string, defaults bool, tags map[string]string) error {
			_, err := w.admin.SetPrincipalTagAttributeMap(ctx, &sdk.SetPrincipalTagAttributeMapInput{IdentityPoolId: &pool, IdentityProviderName: &provider, UseDefaults: &defaults, PrincipalTags: tags})
			return err
		}
		trust := func(action string) string {
			return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":` + action + `,
				"Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"` + pool + `"}}}]}`
		}
		const mayIf = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"cognito-identity:ListIdentityPools","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/department":"legal"}}}]}`
		plain := w.trustedRole("Plain", trust(`"sts:AssumeRoleWithWebIdentity"`), mayIf)
		tagged := w.trustedRole("Tagged", trust(`["sts:AssumeRoleWithWebIdentity","sts:TagSession"]`), mayIf)
		w.setRoles(pool, map[string]string{"authenticated": tagged}, nil)
		use := func(logins map[string]string, id string) error {
			out, err := w.nobody.GetCredentialsForIdentity(ctx, &sdk.GetCredentialsForIdentityInput{IdentityId: &id, Logins: logins})
			if err != nil {
				return err
			}
			c := out.Credentials
			_, err = sdk.NewFromConfig(w.config(*c.AccessKeyId, *c.SecretKey, *c.SessionToken)).ListIdentityPools(ctx, &sdk.ListIdentityPoolsInput{MaxResults: aws.Int32(1)})
			return err
		}
		lawyer := map[string]string{awsName(people): w.idToken(people, uuid(), map[string]any{"custom:dept": "legal"})}
		seller := map[string]string{awsName(people): w.idToken(people, uuid(), map[string]any{"custom:dept": "sales"})}
		nobody := w.login(uuid())
		lawyerID, sellerID, nobodyID := w.getID(pool, lawyer), w.getID(pool, seller), w.getID(pool, nobody)
		wantError(t, use(lawyer, lawyerID), "AccessDeniedException: ")
		check(t, set(hostName(people), false, map[string]string{"department": "custom:dept", "absent": "custom:none"}))
		wantError(t, use(lawyer, lawyerID), "")
		wantError(t, use(seller, sellerID), "AccessDeniedException: ")
		wantError(t, use(nobody, nobodyID), "AccessDeniedException: ")

		got, err := w.admin.GetPrincipalTagAttributeMap(ctx, &sdk.GetPrincipalTagAttributeMapInput{IdentityPoolId: &pool, IdentityProviderName: aws.String(awsName(people))})
		check(t, err)
		if *got.UseDefaults || got.PrincipalTags["department"] != "custom:dept" || *got.IdentityProviderName != hostName(people) {
			t.Errorf("map %+v", got)
		}
		open, err := w.nobody.GetOpenIdToken(ctx, &sdk.GetOpenIdTokenInput{IdentityId: &lawyerID, Logins: lawyer})
		check(t, err)
		if tags := w.verifyByDiscovery(*open.Token)["https://aws.amazon.com/tags"]; fmt.Sprint(tags) != "map[principal_tags:map[department:[legal]]]" {
			t.Errorf("tags of the token %v", tags)
		}
		assume := func(role string) error {
			_, err := w.stsNobody.AssumeRoleWithWebIdentity(ctx, &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("me"), WebIdentityToken: open.Token})
			return err
		}
		wantError(t, assume(tagged), "")
		wantError(t, assume(plain), "AccessDenied: ")
		w.setRoles(pool, map[string]string{"authenticated": plain}, nil)
		wantError(t, use(lawyer, lawyerID), "InvalidIdentityPoolConfigurationException: ")
		wantError(t, use(nobody, nobodyID), "AccessDeniedException: ") // without tags the role needs no permission to pass any

		// Defaults, by provider.
		for provider, want := range map[string]map[string]string{
			awsName(partners): {"username": "sub", "client": "aud"}, "www.amazon.com": {"username": "user_id", "client": "aud"},
		} {
			check(t, set(provider, true, nil))
			got, err := w.admin.GetPrincipalTagAttributeMap(ctx, &sdk.GetPrincipalTagAttributeMapInput{IdentityPoolId: &pool, IdentityProviderName: &provider})
			check(t, err)
			if !*got.UseDefaults || !maps.Equal(got.PrincipalTags, want) {
				t.Errorf("defaults of %s: %+v", provider, got)
			}
		}
		amazon := map[string]string{"www.amazon.com": "amazon-app/u1"}
		open, err = w.nobody.GetOpenIdToken(ctx, &sdk.GetOpenIdTokenInput{IdentityId: aws.String(w.getID(pool, amazon)), Logins: amazon})
		check(t, err)
		if tags := w.verifyByDiscovery(*open.Token)["https://aws.amazon.com/tags"]; fmt.Sprint(tags) != "map[principal_tags:map[client:[amazon-app] username:[u1]]]" {
			t.Errorf("default tags %v", tags)
		}

		// A backend passes tags in its call, and they reach the session.
		dev, err := w.admin.GetOpenIdTokenForDeveloperIdentity(ctx, &sdk.GetOpenIdTokenForDeveloperIdentityInput{IdentityPoolId: &pool,
			Logins: map[string]string{backend: "ann"}, PrincipalTags: map[string]string{"department": "legal"}})
		check(t, err)
		w.setRoles(pool, map[string]string{"authenticated": tagged}, nil)
		wantError(t, use(map[string]string{"cognito-identity.amazonaws.com": *dev.Token}, *dev.IdentityId), "")

		for name, err := range map[string]error{
			"ResourceNotFoundException: ":    set("accounts.google.com", true, nil),
			"InvalidParameterException: ":    set(awsName(people), false, map[string]string{"aws:x": "sub"}),
			"InvalidParameterException: I":   set(awsName(people), false, map[string]string{"a": "sub", "A": "aud"}),
			"InvalidParameterException: P":   set(awsName(people), false, map[string]string{"a": strings.Repeat("c", 256), "b": strings.Repeat("c", 203)}),
			"ValidationException: 1 validat": set(awsName(people), false, map[string]string{"a": strings.Repeat("c", 257)}),
		} {
			wantError(t, err, name)
		}
		check(t, set(awsName(people), false, nil))
		w.setRoles(pool, map[string]string{"authenticated": plain}, nil)
		wantError(t, use(lawyer, lawyerID), "AccessDeniedException: ") // no tags any more
	})
}
