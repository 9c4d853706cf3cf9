package identitypool

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity/types"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/token"
)

var ctx = context.Background()

// newPool makes an identity pool for users of people and partners, and for guests.
func (w *world) newPool(change func(*sdk.CreateIdentityPoolInput)) string {
	w.t.Helper()
	in := &sdk.CreateIdentityPoolInput{
		IdentityPoolName: aws.String("app"), AllowUnauthenticatedIdentities: true, AllowClassicFlow: aws.Bool(true),
		CognitoIdentityProviders: []types.CognitoIdentityProvider{
			{ProviderName: aws.String(awsName(people)), ClientId: aws.String(client)},
			{ProviderName: aws.String(awsName(partners)), ClientId: aws.String(client), ServerSideTokenCheck: aws.Bool(true)},
		},
	}
	if change != nil {
		change(in)
	}
	out, err := w.admin.CreateIdentityPool(ctx, in)
	check(w.t, err)
	return *out.IdentityPoolId
}

func (w *world) setRoles(poolID string, roles map[string]string, mappings map[string]types.RoleMapping) {
	w.t.Helper()
	_, err := w.admin.SetIdentityPoolRoles(ctx, &sdk.SetIdentityPoolRolesInput{IdentityPoolId: &poolID, Roles: roles, RoleMappings: mappings})
	check(w.t, err)
}

func (w *world) getID(poolID string, logins map[string]string) string {
	w.t.Helper()
	out, err := w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &poolID, Logins: logins})
	check(w.t, err)
	return *out.IdentityId
}

// tokenFor asks for the OpenID token of an identity, the cheapest operation that resolves one.
func (w *world) tokenFor(id string, logins map[string]string) (string, error) {
	out, err := w.nobody.GetOpenIdToken(ctx, &sdk.GetOpenIdTokenInput{IdentityId: &id, Logins: logins})
	if err != nil {
		return "", err
	}
	return *out.IdentityId, nil
}

// both are logins of a user of each user pool.
func (w *world) both(person, partner string) map[string]string {
	return map[string]string{awsName(people): w.idToken(people, person, nil), awsName(partners): w.idToken(partners, partner, nil)}
}

func TestGuests(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		a, b := w.getID(pool, nil), w.getID(pool, nil)
		if a == b {
			t.Errorf("two guests have the identity %s", a)
		}
		if got, err := w.tokenFor(a, nil); got != a {
			t.Errorf("guest %s is answered as %s, %v", a, got, err)
		}
		closed := w.newPool(func(in *sdk.CreateIdentityPoolInput) { in.AllowUnauthenticatedIdentities = false })
		_, err := w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &closed})
		wantError(t, err, "NotAuthorizedException: Unauthenticated access is not supported for this identity pool.")
		_, err = w.tokenFor("us-east-1:00000000-0000-0000-0000-000000000000", nil)
		wantError(t, err, "ResourceNotFoundException: Identity 'us-east-1:00000000-0000-0000-0000-000000000000' not found.")
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: aws.String("us-east-1:00000000-0000-0000-0000-000000000000")})
		wantError(t, err, "ResourceNotFoundException: IdentityPool 'us-east-1:00000000-0000-0000-0000-000000000000' not found.")
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, AccountId: aws.String("999999999999")})
		wantError(t, err, "NotAuthorizedException: ")
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, AccountId: &w.account})
		wantError(t, err, "")
	})
}

func TestLogins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		ann := uuid()
		id := w.getID(pool, w.login(ann))
		for name, logins := range map[string]map[string]string{
			"again":         w.login(ann),
			"by host":       {hostName(people): w.idToken(people, ann, nil)},
			"with a scheme": {"https://" + hostName(people): w.idToken(people, ann, nil)},
			"in China":      {"cognito-idp.us-east-1.amazonaws.com.cn/" + people: w.idToken(people, ann, nil)},
		} {
			if got := w.getID(pool, logins); got != id {
				t.Errorf("%s: identity %s, was %s", name, got, id)
			}
		}
		if got := w.getID(pool, w.login(uuid())); got == id {
			t.Error("two users share an identity")
		}
		if other := w.newPool(nil); w.getID(other, w.login(ann)) == id {
			t.Error("two pools share an identity")
		}
		_, err := w.tokenFor(id, nil)
		wantError(t, err, "NotAuthorizedException: Access to Identity '"+id+"' is forbidden.")
		_, err = w.tokenFor(id, w.login(uuid()))
		wantError(t, err, "NotAuthorizedException: Logins don't match. Please include at least one valid login for this identity or identity pool.")

		// A second login is linked to the first one's identity.
		ben := uuid()
		if got := w.getID(pool, w.both(ann, ben)); got != id {
			t.Errorf("linked to %s, not to %s", got, id)
		}
		partner := map[string]string{awsName(partners): w.idToken(partners, ben, nil)}
		if got := w.getID(pool, partner); got != id {
			t.Errorf("the linked login is of %s, not of %s", got, id)
		}
		// The identity has an account of each provider already.
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: w.both(ann, uuid())})
		wantError(t, err, "ResourceConflictException: Logins are already linked to another account.")
		d, err := w.admin.DescribeIdentity(ctx, &sdk.DescribeIdentityInput{IdentityId: &id})
		check(t, err)
		if want := []string{awsName(partners), awsName(people)}; !slices.Equal(d.Logins, want) {
			t.Errorf("logins %v, want %v", d.Logins, want)
		}

		// Unlinked, it makes an identity of its own at its next sight.
		unlink := func(logins map[string]string, names ...string) error {
			_, err := w.nobody.UnlinkIdentity(ctx, &sdk.UnlinkIdentityInput{IdentityId: &id, Logins: logins, LoginsToRemove: names})
			return err
		}
		wantError(t, unlink(w.login(uuid()), awsName(partners)), "NotAuthorizedException: Logins don't match.")
		wantError(t, unlink(w.login(ann), "nothing"), "InvalidParameterException: Please provide a valid public provider")
		wantError(t, unlink(w.login(ann), hostName(partners)), "")
		if got := w.getID(pool, partner); got == id {
			t.Error("an unlinked login still has the identity")
		}
		wantError(t, unlink(w.login(ann), awsName(people)), "")
		_, err = w.tokenFor(id, nil)
		wantError(t, err, "NotAuthorizedException: Access to Identity '"+id+"' is forbidden.")
		_, err = w.tokenFor(id, w.login(ann))
		wantError(t, err, "NotAuthorizedException: Logins don't match.")
	})
}

func TestUpgradeAndMerge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		// A guest who signs in keeps the identity.
		ann, guest := uuid(), w.getID(pool, nil)
		if got, err := w.tokenFor(guest, w.login(ann)); got != guest {
			t.Fatalf("the guest became %s, %v", got, err)
		}
		if got := w.getID(pool, w.login(ann)); got != guest {
			t.Errorf("the login is of %s, not of the guest", got)
		}
		_, err := w.tokenFor(guest, nil)
		wantError(t, err, "NotAuthorizedException: Access to Identity '"+guest+"' is forbidden.")

		// A guest who signs in as somebody known becomes that one.
		other := w.getID(pool, nil)
		if got, err := w.tokenFor(other, w.login(ann)); got != guest {
			t.Fatalf("answered as %s, %v", got, err)
		}
		_, err = w.tokenFor(other, nil)
		wantError(t, err, "NotAuthorizedException: Access to Identity '"+other+"' is forbidden.")
		if got, err := w.tokenFor(other, w.login(ann)); got != guest {
			t.Errorf("the stale id is answered as %s, %v", got, err)
		}
		_, err = w.tokenFor(other, w.login(uuid()))
		wantError(t, err, "NotAuthorizedException: Logins don't match.")

		// Two identities merge when both logins come at once; the older survives.
		partner := uuid()
		second := w.getID(pool, map[string]string{awsName(partners): w.idToken(partners, partner, nil)})
		if got, err := w.tokenFor(second, w.both(ann, partner)); got != guest {
			t.Fatalf("merged into %s, %v, want %s", got, err, guest)
		}
		if got := w.getID(pool, map[string]string{awsName(partners): w.idToken(partners, partner, nil)}); got != guest {
			t.Errorf("after the merge the second login is of %s", got)
		}
		// Two identities with different accounts of one provider do not merge, and nothing changes.
		third := w.getID(pool, w.both(uuid(), uuid()))
		_, err = w.tokenFor(third, w.both(ann, uuid()))
		wantError(t, err, "NotAuthorizedException: Logins don't match.")
		rival := uuid()
		fourth := w.getID(pool, map[string]string{awsName(partners): w.idToken(partners, rival, nil)})
		_, err = w.tokenFor(fourth, w.both(ann, rival))
		wantError(t, err, "ResourceConflictException: Logins are already linked to another account.")
		if got := w.getID(pool, map[string]string{awsName(partners): w.idToken(partners, rival, nil)}); got != fourth {
			t.Error("a refused merge moved a login")
		}

		list := func(hide bool) (ids []string) {
			var next *string
			for {
				out, err := w.admin.ListIdentities(ctx, &sdk.ListIdentitiesInput{IdentityPoolId: &pool, MaxResults: aws.Int32(2), HideDisabled: hide, NextToken: next})
				check(t, err)
				for _, i := range out.Identities {
					ids = append(ids, *i.IdentityId)
				}
				if next = out.NextToken; next == nil {
					return ids
				}
			}
		}
		all, enabled := []string{guest, other, second, third, fourth}, []string{guest, third, fourth}
		slices.Sort(all)
		slices.Sort(enabled)
		if got := list(false); !slices.Equal(got, all) {
			t.Errorf("all identities %v, want %v", got, all)
		}
		if got := list(true); !slices.Equal(got, enabled) {
			t.Errorf("enabled identities %v, want %v", got, enabled)
		}

		deleted, err := w.admin.DeleteIdentities(ctx, &sdk.DeleteIdentitiesInput{IdentityIdsToDelete: []string{guest, "us-east-1:00000000-0000-0000-0000-000000000000"}})
		check(t, err)
		if len(deleted.UnprocessedIdentityIds) != 0 {
			t.Errorf("unprocessed %v", deleted.UnprocessedIdentityIds)
		}
		_, err = w.admin.DescribeIdentity(ctx, &sdk.DescribeIdentityInput{IdentityId: &guest})
		wantError(t, err, "ResourceNotFoundException: Identity '"+guest+"' not found.")
		if got := w.getID(pool, w.login(ann)); got == guest {
			t.Error("a deleted identity came back")
		}
	})
}

// forge rewrites the header of a token and signs it with HMAC under secret; nil gives no signature.
func forge(text, header string, secret []byte) string {
	payload := strings.Split(text, ".")[1]
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + payload
	if secret == nil {
		return input + "."
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestRefusedTokens(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		ann := uuid()
		id := w.getID(pool, w.login(ann))
		good := w.idToken(people, ann, nil)
		key := w.users.keys[people]
		der, err := x509.MarshalPKIXPublicKey(key.Public().Key)
		check(t, err)
		public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		now := w.now().Unix()
		hs256 := fmt.Sprintf(`{"kid":%q,"alg":"HS256"}`, key.ID())
		parts := strings.Split(good, ".")
		flip := []byte(parts[2])
		if flip[10]++; flip[10] > 'z' || flip[10] == '[' || flip[10] == '`' || flip[10] == ':' || flip[10] == '.' {
			flip[10] = 'A'
		}
		own, err := w.nobody.GetOpenIdToken(ctx, &sdk.GetOpenIdTokenInput{IdentityId: &id, Logins: w.login(ann)})
		check(t, err)
		const prefix = "NotAuthorizedException: "
		const invalid = prefix + "Invalid login token. "
		for _, c := range []struct{ name, key, token, want string }{
			{"good", awsName(people), good, ""},
			{"of another user pool", awsName(people), w.idToken(partners, ann, nil), invalid + "Issuer doesn't match providerName"},
			{"of another user pool, its key", awsName(partners), w.idToken(people, ann, nil), invalid + "Issuer doesn't match providerName"},
			{"of a user pool that is not configured", awsName(strangers), w.idToken(strangers, ann, nil), prefix + "Token is not from a supported provider of this identity pool."},
			{"of another user pool under this issuer", awsName(people), w.sign(w.users.keys[partners], map[string]any{"iss": publicURL + "/" + people, "aud": client, "sub": ann, "token_use": "id", "exp": now + 60}), invalid + "Couldn't verify signed token."},
			{"signed by another key of this id", awsName(people), w.sign(w.users.keys[partners].As(key.ID(), "JWS", "RS256"), map[string]any{"iss": publicURL + "/" + people, "aud": client, "sub": ann, "token_use": "id", "exp": now + 60}), invalid + "Couldn't verify signed token."},
			{"another algorithm of the key", awsName(people), w.sign(key.As(key.ID(), "JWS", "RS512"), map[string]any{"iss": publicURL + "/" + people, "aud": client, "sub": ann, "token_use": "id", "exp": now + 60}), invalid + "Couldn't verify signed token."},
			{"alg none", awsName(people), forge(good, `{"alg":"none"}`, nil), invalid},
			{"alg none with a signature", awsName(people), forge(good, `{"alg":"none"}`, []byte("x")), invalid},
			{"HS256 with the public key as PEM", awsName(people), forge(good, hs256, public), invalid},
			{"HS256 with the public key as DER", awsName(people), forge(good, hs256, der), invalid},
			{"a changed signature", awsName(people), parts[0] + "." + parts[1] + "." + string(flip), invalid + "Couldn't verify signed token."},
			{"expired", awsName(people), w.idToken(people, ann, map[string]any{"exp": now - 1}), invalid + fmt.Sprintf("Token expired: %d >= ", now-1)},
			{"of the future", awsName(people), w.idToken(people, ann, map[string]any{"iat": now + 3600, "exp": now + 7200}), invalid + "Not a valid OpenId Connect identity token."},
			{"for another client", awsName(people), w.idToken(people, ann, map[string]any{"aud": "client2"}), prefix + "Token is not from a supported provider of this identity pool."},
			{"an access token", awsName(people), w.idToken(people, ann, map[string]any{"aud": nil, "token_use": "access", "client_id": client}), invalid + "Missing a required claim: aud"},
			{"an access token with an audience", awsName(people), w.idToken(people, ann, map[string]any{"token_use": "access"}), invalid + "Not a valid OpenId Connect identity token."},
			{"without a subject", awsName(people), w.idToken(people, ann, map[string]any{"sub": nil}), invalid + "Missing a required claim: sub"},
			{"without an expiry", awsName(people), w.idToken(people, ann, map[string]any{"exp": nil}), invalid + "Missing a required claim: exp"},
			{"not a token", awsName(people), "nonsense", invalid + "Not a valid OpenId Connect identity token."},
			{"our own token", "cognito-identity.amazonaws.com", *own.Token, invalid + "Can't pass in a Cognito token."},
			{"our own token by host", "id.example.org/identity", *own.Token, invalid + "Can't pass in a Cognito token."},
			{"an unknown provider", "accounts.google.com", good, prefix + "Token is not from a supported provider of this identity pool."},
			{"a host that looks like ours", "id.example.org.evil.example/" + people, good, prefix + "Token is not from a supported provider of this identity pool."},
			{"a region that is not the pool's", "cognito-idp.eu-west-1.amazonaws.com/" + people, good, prefix + "Token is not from a supported provider of this identity pool."},
		} {
			_, err := w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: map[string]string{c.key: c.token}})
			if wantError(t, err, c.want); t.Failed() {
				t.Fatalf("token %s", c.name)
			}
			if c.want == "" {
				continue
			}
			// One bad login among good ones fails all.
			logins := map[string]string{c.key: c.token}
			if c.key == awsName(people) {
				logins[awsName(partners)] = w.idToken(partners, ann, nil)
			} else {
				logins[awsName(people)] = good
			}
			if _, err := w.tokenFor(id, logins); err == nil {
				t.Errorf("token %s: accepted beside a good one", c.name)
			}
		}
		bare := w.newPool(func(in *sdk.CreateIdentityPoolInput) { in.CognitoIdentityProviders = nil })
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &bare, Logins: w.login(ann)})
		wantError(t, err, "NotAuthorizedException: Identity pool - "+bare+" does not have identity providers configured.")

		// A remembered token is refused when it expires.
		_, err = w.tokenFor(id, map[string]string{awsName(people): good})
		wantError(t, err, "")
		w.offset.Store(int64(2 * time.Hour))
		_, err = w.tokenFor(id, map[string]string{awsName(people): good})
		wantError(t, err, "NotAuthorizedException: Invalid login token. Token expired: ")
	})
}

func TestServerSideTokenCheck(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		ann := uuid()
		id := w.getID(pool, w.both(ann, ann))
		w.users.ended.Store(&ann)
		_, err := w.tokenFor(id, map[string]string{awsName(partners): w.idToken(partners, ann, nil)})
		wantError(t, err, "NotAuthorizedException: Invalid login token. Token is not valid anymore.")
		_, err = w.tokenFor(id, w.login(ann)) // the client of people asks for no check
		wantError(t, err, "")
	})
}

func TestEnhancedFlow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool, other := w.newPool(nil), w.newPool(nil)
		user := w.role("User", pool, "authenticated", allowAll)
		guest := w.role("Guest", pool, "unauthenticated", allowAll)
		credentials := func(id string, logins map[string]string) (*types.Credentials, error) {
			out, err := w.nobody.GetCredentialsForIdentity(ctx, &sdk.GetCredentialsForIdentityInput{IdentityId: &id, Logins: logins})
			if err != nil {
				return nil, err
			}
			return out.Credentials, nil
		}
		ann := uuid()
		annID, guestID := w.getID(pool, w.login(ann)), w.getID(pool, nil)
		const misconfigured = "InvalidIdentityPoolConfigurationException: Invalid identity pool configuration. Check assigned IAM roles for this pool."
		_, err := credentials(annID, w.login(ann))
		wantError(t, err, misconfigured) // no roles yet
		w.setRoles(pool, map[string]string{"authenticated": user, "unauthenticated": guest}, nil)

		c, err := credentials(annID, w.login(ann))
		check(t, err)
		if life := time.Until(*c.Expiration); life < 59*time.Minute || life > time.Hour {
			t.Errorf("credentials live for %v", life)
		}
		asIAM, asSTS := w.as(c.AccessKeyId, c.SecretKey, c.SessionToken)
		who, err := asSTS.GetCallerIdentity(ctx, &sdksts.GetCallerIdentityInput{})
		check(t, err)
		if want := "arn:aws:sts::" + w.account + ":assumed-role/User/CognitoIdentityCredentials"; *who.Arn != want {
			t.Errorf("caller %s, want %s", *who.Arn, want)
		}
		_, err = asIAM.ListUsers(ctx, &sdkiam.ListUsersInput{})
		wantError(t, err, "")

		// A guest's role may do everything, the guest not.
		c, err = credentials(guestID, nil)
		check(t, err)
		asIAM, _ = w.as(c.AccessKeyId, c.SecretKey, c.SessionToken)
		_, err = asIAM.ListUsers(ctx, &sdkiam.ListUsersInput{})
		wantError(t, err, "AccessDenied: ")
		cfg := w.config(*c.AccessKeyId, *c.SecretKey, *c.SessionToken)
		_, err = sdk.NewFromConfig(cfg).ListIdentityPools(ctx, &sdk.ListIdentityPoolsInput{MaxResults: aws.Int32(1)})
		wantError(t, err, "") // cognito-identity:* is among what guests may

		// The session knows its identity: a policy may depend on it, under both names of the issuer.
		for i, prefix := range []string{"cognito-identity.amazonaws.com", "id.example.org/identity"} {
			own := w.role(fmt.Sprintf("Own%d", i), pool, "authenticated", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*",
				"Condition":{"StringEquals":{"`+prefix+`:sub":"`+annID+`","`+prefix+`:aud":"`+pool+`"},"ForAnyValue:StringEquals":{"`+prefix+`:amr":"`+awsName(people)+":CognitoSignIn:"+ann+`"}}}]}`)
			w.setRoles(pool, map[string]string{"authenticated": own}, nil)
			c, err = credentials(annID, w.login(ann))
			check(t, err)
			asIAM, _ = w.as(c.AccessKeyId, c.SecretKey, c.SessionToken)
			_, err = asIAM.ListUsers(ctx, &sdkiam.ListUsersInput{})
			wantError(t, err, "")
			ben := uuid()
			c, err = credentials(w.getID(pool, w.login(ben)), w.login(ben))
			check(t, err)
			asIAM, _ = w.as(c.AccessKeyId, c.SecretKey, c.SessionToken)
			_, err = asIAM.ListUsers(ctx, &sdkiam.ListUsersInput{})
			wantError(t, err, "AccessDenied: ")
		}

		// Trust policies decide.
		for name, role := range map[string]string{
			"of another pool":     w.role("OtherPool", other, "authenticated", allowAll),
			"of guests":           guest,
			"of another provider": w.role("Partners", pool, awsName(partners), allowAll),
			"that does not exist": "arn:aws:iam::" + w.account + ":role/Nobody",
		} {
			w.setRoles(pool, map[string]string{"authenticated": role}, nil)
			_, err := credentials(annID, w.login(ann))
			if wantError(t, err, misconfigured); t.Failed() {
				t.Fatalf("role %s", name)
			}
			if got := (*w.log.last.Load())["role_refused"]; got != role {
				t.Errorf("role %s: the log names the role %q", name, got)
			}
		}
		w.setRoles(pool, map[string]string{"authenticated": w.role("People", pool, awsName(people), allowAll)}, nil)
		_, err = credentials(annID, w.login(ann))
		wantError(t, err, "")
	})
}

// TestRolesOfOtherAccounts: a role of another account counts if its trust policy names the pool.
func TestRolesOfOtherAccounts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool, another := w.newPool(nil), w.newPool(nil)
		key, err := w.iam.CreateAccount(ctx, "second")
		check(t, err)
		second := sdkiam.NewFromConfig(w.config(key.AccessKeyID, key.SecretAccessKey, ""))
		trusting := func(name, condition string) (string, error) {
			out, err := second.CreateRole(ctx, &sdkiam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
				"Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":` + condition + `}]}`)})
			if err != nil {
				return "", err
			}
			return *out.Role.Arn, nil
		}
		ann := w.login(uuid())
		id := w.getID(pool, ann)
		open, err := w.nobody.GetOpenIdToken(ctx, &sdk.GetOpenIdTokenInput{IdentityId: &id, Logins: ann})
		check(t, err)
		const amr = `"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"authenticated"}`
		const unpinned = "MalformedPolicyDocument: A condition block must be present for the Cognito provider"
		for _, c := range []struct {
			name, condition string
			create          string // error
			ok              bool
		}{
			{"Named", `{"StringEquals":{"cognito-identity.amazonaws.com:aud":"` + pool + `"},` + amr + `}`, "", true},
			{"NamedTwice", `{"StringEquals":{"cognito-identity.amazonaws.com:aud":"` + pool + `","id.example.org/identity:aud":"` + pool + `"}}`, "", true},
			{"Another", `{"StringEquals":{"cognito-identity.amazonaws.com:aud":"` + another + `"}}`, "", false},
			{"AnotherByHost", `{"StringEquals":{"cognito-identity.amazonaws.com:aud":"` + pool + `","id.example.org/identity:aud":"` + another + `"}}`, "", false},
			{"Unnamed", `{` + amr + `}`, unpinned, false},
			{"NamedByHost", `{"StringEquals":{"id.example.org/identity:aud":"` + pool + `"}}`, unpinned, false},
		} {
			role, err := trusting(c.name, c.condition)
			if wantError(t, err, c.create); err != nil {
				continue
			}
			w.setRoles(pool, map[string]string{"authenticated": role}, nil)
			got, err := w.roleOf(id, ann)
			if (err == nil) != c.ok || c.ok && got != c.name {
				t.Errorf("enhanced flow, %s: role %s, %v", c.name, got, err)
			}
			_, err = w.stsNobody.AssumeRoleWithWebIdentity(ctx, &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("me"), WebIdentityToken: open.Token})
			if (err == nil) != c.ok {
				t.Errorf("basic flow, %s: %v", c.name, err)
			}
		}
	})
}

func TestBasicFlow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		ann := uuid()
		id := w.getID(pool, w.login(ann))
		out, err := w.nobody.GetOpenIdToken(ctx, &sdk.GetOpenIdTokenInput{IdentityId: &id, Logins: w.login(ann)})
		check(t, err)

		header, _ := base64.RawURLEncoding.DecodeString(strings.Split(*out.Token, ".")[0])
		if want := `{"kid":"us-east-1-1","typ":"JWS","alg":"RS512"}`; string(header) != want {
			t.Errorf("header %s, want %s", header, want)
		}
		claims := w.verifyByDiscovery(*out.Token)
		want := map[string]any{
			"sub": id, "aud": pool, "iss": publicURL + "/identity",
			"amr": []any{"authenticated", awsName(people), awsName(people) + ":CognitoSignIn:" + ann},
			"https://cognito-identity.amazonaws.com/identity-pool-arn": "arn:aws:cognito-identity:us-east-1:" + w.account + ":identitypool/" + pool,
			"iat": claims["iat"], "exp": claims["exp"],
		}
		if got, want := fmt.Sprint(claims), fmt.Sprint(want); got != want {
			t.Errorf("claims %s, want %s", got, want)
		}
		if life := claims["exp"].(float64) - claims["iat"].(float64); life != 600 {
			t.Errorf("the token lives for %v s", life)
		}

		role := w.role("User", pool, "authenticated", allowAll)
		assume := func(role, text string) error {
			_, err := w.stsNobody.AssumeRoleWithWebIdentity(ctx, &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("me"), WebIdentityToken: &text})
			return err
		}
		wantError(t, assume(role, *out.Token), "")
		guest, err := w.nobody.GetOpenIdToken(ctx, &sdk.GetOpenIdTokenInput{IdentityId: aws.String(w.getID(pool, nil))})
		check(t, err)
		if amr := w.verifyByDiscovery(*guest.Token)["amr"]; fmt.Sprint(amr) != "[unauthenticated]" {
			t.Errorf("amr of a guest %v", amr)
		}
		wantError(t, assume(role, *guest.Token), "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity")
		other := w.newPool(nil)
		wantError(t, assume(w.role("OtherPool", other, "authenticated", allowAll), *out.Token), "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity")

		// The order: a pool without the basic flow changes nothing before it refuses.
		enhanced := w.newPool(func(in *sdk.CreateIdentityPoolInput) { in.AllowClassicFlow = nil })
		g := w.getID(enhanced, nil)
		_, err = w.tokenFor(g, w.login(ann))
		wantError(t, err, "InvalidParameterException: Basic (classic) flow is not enabled, please use enhanced flow.")
		d, err := w.admin.DescribeIdentity(ctx, &sdk.DescribeIdentityInput{IdentityId: &g})
		check(t, err)
		if len(d.Logins) != 0 {
			t.Errorf("the refused call linked %v", d.Logins)
		}
	})
}

// verifyByDiscovery verifies a token as a stranger would, and returns its claims.
func (w *world) verifyByDiscovery(text string) map[string]any {
	w.t.Helper()
	page := func(url string) []byte {
		rec := httptest.NewRecorder()
		w.s.Discovery().ServeHTTP(rec, httptest.NewRequest("GET", url, nil))
		if rec.Code != http.StatusOK || rec.Header().Get("Access-Control-Allow-Origin") != "*" {
			w.t.Fatalf("%s: status %d, headers %v", url, rec.Code, rec.Header())
		}
		return rec.Body.Bytes()
	}
	var discovery struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	check(w.t, json.Unmarshal(page(w.s.IssuerURL()+"/.well-known/openid-configuration"), &discovery))
	if discovery.Issuer != w.s.IssuerURL() {
		w.t.Errorf("issuer %s", discovery.Issuer)
	}
	keys, err := token.ParseJWKS(page(discovery.JWKSURI))
	check(w.t, err)
	if usual := page(w.s.IssuerURL() + "/.well-known/jwks.json"); string(usual) != string(page(discovery.JWKSURI)) {
		w.t.Error("the two key sets differ")
	}
	u, err := token.Parse(text)
	check(w.t, err)
	i := slices.IndexFunc(keys, func(k token.PublicKey) bool { return k.ID == u.KeyID() })
	if i < 0 {
		w.t.Fatalf("no key %q in the key set", u.KeyID())
	}
	verified, err := u.Verify(keys[i])
	check(w.t, err)
	var claims map[string]any
	check(w.t, json.Unmarshal(verified.Raw(), &claims))
	return claims
}

func TestRoleMappings(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		arn := func(name string) string { return "arn:aws:iam::" + w.account + ":role/" + name }
		for _, name := range []string{"Default", "Sales", "Legal"} {
			w.role(name, pool, "authenticated", "")
		}
		rule := func(claim string, match types.MappingRuleMatchType, value, role string) types.MappingRule {
			return types.MappingRule{Claim: &claim, MatchType: match, Value: &value, RoleARN: aws.String(arn(role))}
		}
		byRules := func(resolution types.AmbiguousRoleResolutionType, rules ...types.MappingRule) map[string]types.RoleMapping {
			return map[string]types.RoleMapping{awsName(people) + ":" + client: {Type: types.RoleMappingTypeRules, AmbiguousRoleResolution: resolution,
				RulesConfiguration: &types.RulesConfigurationType{Rules: rules}}}
		}
		byToken := func(resolution types.AmbiguousRoleResolutionType) map[string]types.RoleMapping {
			return map[string]types.RoleMapping{hostName(people) + ":" + client: {Type: types.RoleMappingTypeToken, AmbiguousRoleResolution: resolution}}
		}
		const deny, fallback = types.AmbiguousRoleResolutionTypeDeny, types.AmbiguousRoleResolutionTypeAuthenticatedRole
		denied := "NotAuthorizedException: The ambiguous role mapping rules for: " + awsName(people) + ":" + client + " denied this request."
		deniedHost := "NotAuthorizedException: The ambiguous role mapping rules for: " + hostName(people) + ":" + client + " denied this request."
		forbidden := func(role string) string {
			return "NotAuthorizedException: Access to Role '" + arn(role) + "' is forbidden."
		}
		type claims = map[string]any
		const equals, contains, starts, differs = types.MappingRuleMatchTypeEquals, types.MappingRuleMatchTypeContains, types.MappingRuleMatchTypeStartsWith, types.MappingRuleMatchTypeNotEqual
		for _, c := range []struct {
			name     string
			mappings map[string]types.RoleMapping
			claims   claims
			custom   string
			want     string // a role or an error
		}{
			{"no mapping", nil, nil, "", "Default"},
			{"no mapping, custom role", nil, nil, "Sales", forbidden("Sales")},
			{"no mapping, custom role is the pool's", nil, nil, "Default", "Default"},
			{"equals", byRules(deny, rule("custom:dept", equals, "sales", "Sales")), claims{"custom:dept": "sales"}, "", "Sales"},
			{"equals is case-sensitive", byRules(deny, rule("custom:dept", equals, "sales", "Sales")), claims{"custom:dept": "Sales"}, "", denied},
			{"the first rule wins", byRules(deny, rule("custom:dept", starts, "sa", "Sales"), rule("custom:dept", equals, "sales", "Legal")), claims{"custom:dept": "sales"}, "", "Sales"},
			{"contains", byRules(deny, rule("custom:dept", contains, "ale", "Sales")), claims{"custom:dept": "sales"}, "", "Sales"},
			{"starts with", byRules(deny, rule("custom:dept", starts, "ale", "Sales")), claims{"custom:dept": "sales"}, "", denied},
			{"not equal", byRules(deny, rule("custom:dept", differs, "legal", "Sales")), claims{"custom:dept": "sales"}, "", "Sales"},
			{"not equal, but equal", byRules(deny, rule("custom:dept", differs, "sales", "Sales")), claims{"custom:dept": "sales"}, "", denied},
			{"not equal, claim absent", byRules(deny, rule("custom:dept", differs, "legal", "Sales")), nil, "", denied},
			{"a group", byRules(deny, rule("cognito:groups", equals, "legal", "Legal")), claims{"cognito:groups": []string{"sales", "legal"}}, "", "Legal"},
			{"a truth value", byRules(deny, rule("email_verified", equals, "true", "Legal")), claims{"email_verified": true}, "", "Legal"},
			{"an asterisk is no wildcard", byRules(deny, rule("custom:dept", equals, "s*", "Sales")), claims{"custom:dept": "sales"}, "", denied},
			{"no rule matches, the pool's role", byRules(fallback, rule("custom:dept", equals, "sales", "Sales")), nil, "", "Default"},
			{"custom role of a later rule", byRules(deny, rule("custom:dept", equals, "sales", "Sales"), rule("custom:dept", equals, "sales", "Legal")), claims{"custom:dept": "sales"}, "Legal", "Legal"},
			{"custom role of no rule that matches", byRules(deny, rule("custom:dept", equals, "legal", "Legal")), claims{"custom:dept": "sales"}, "Legal", denied},
			{"custom role of no rule, the pool's is another", byRules(fallback, rule("custom:dept", equals, "legal", "Legal")), claims{"custom:dept": "sales"}, "Legal", forbidden("Legal")},
			{"preferred role", byToken(deny), claims{"cognito:roles": []string{arn("Sales"), arn("Legal")}, "cognito:preferred_role": arn("Legal")}, "", "Legal"},
			{"one role", byToken(deny), claims{"cognito:roles": []string{arn("Sales")}}, "", "Sales"},
			{"roles without preference", byToken(deny), claims{"cognito:roles": []string{arn("Sales"), arn("Legal")}}, "", deniedHost},
			{"roles without preference, the pool's role", byToken(fallback), claims{"cognito:roles": []string{arn("Sales"), arn("Legal")}}, "", "Default"},
			{"no roles", byToken(deny), nil, "", deniedHost},
			{"custom role among the roles", byToken(deny), claims{"cognito:roles": []string{arn("Sales"), arn("Legal")}, "cognito:preferred_role": arn("Legal")}, "Sales", "Sales"},
			{"custom role among the roles in one string", byToken(deny), claims{"cognito:roles": arn("Sales") + "," + arn("Legal")}, "Sales", "Sales"},
			{"custom role among the roles in one string with spaces", byToken(deny), claims{"cognito:roles": arn("Sales") + ", " + arn("Legal")}, "Legal", "Legal"},
			{"custom role not among the roles", byToken(fallback), claims{"cognito:roles": []string{arn("Sales")}}, "Legal", forbidden("Legal")},
		} {
			t.Run(c.name, func(t *testing.T) {
				w.setRoles(pool, map[string]string{"authenticated": arn("Default")}, c.mappings)
				sub := uuid()
				logins := map[string]string{awsName(people): w.idToken(people, sub, c.claims)}
				in := &sdk.GetCredentialsForIdentityInput{IdentityId: aws.String(w.getID(pool, logins)), Logins: logins}
				if c.custom != "" {
					in.CustomRoleArn = aws.String(arn(c.custom))
				}
				out, err := w.nobody.GetCredentialsForIdentity(ctx, in)
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
	})
}

func TestPools(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(func(in *sdk.CreateIdentityPoolInput) {
			in.IdentityPoolTags = map[string]string{"team": "a"}
			in.SupportedLoginProviders = map[string]string{"accounts.google.com": "google-client"}
			in.DeveloperProviderName = aws.String("login.mycompany.app")
		})
		d, err := w.admin.DescribeIdentityPool(ctx, &sdk.DescribeIdentityPoolInput{IdentityPoolId: &pool})
		check(t, err)
		if *d.IdentityPoolName != "app" || *d.DeveloperProviderName != "login.mycompany.app" || d.IdentityPoolTags["team"] != "a" || len(d.CognitoIdentityProviders) != 2 ||
			*d.CognitoIdentityProviders[0].ProviderName != awsName(people) || *d.CognitoIdentityProviders[0].ServerSideTokenCheck {
			t.Errorf("pool %+v", d)
		}
		resource := "arn:aws:cognito-identity:us-east-1:" + w.account + ":identitypool/" + pool
		_, err = w.admin.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: &resource, Tags: map[string]string{"stage": "test"}})
		check(t, err)
		_, err = w.admin.UntagResource(ctx, &sdk.UntagResourceInput{ResourceArn: &resource, TagKeys: []string{"team"}})
		check(t, err)
		tags, err := w.admin.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: &resource})
		check(t, err)
		if !maps.Equal(tags.Tags, map[string]string{"stage": "test"}) {
			t.Errorf("tags %v", tags.Tags)
		}
		// An update replaces: what it leaves out returns to its default.
		update := &sdk.UpdateIdentityPoolInput{IdentityPoolId: &pool, IdentityPoolName: aws.String("app2")}
		_, err = w.admin.UpdateIdentityPool(ctx, update)
		wantError(t, err, "InvalidParameterException: ") // the developer provider name is fixed
		update.DeveloperProviderName = aws.String("login.mycompany.app")
		u, err := w.admin.UpdateIdentityPool(ctx, update)
		check(t, err)
		if *u.IdentityPoolName != "app2" || u.AllowUnauthenticatedIdentities || len(u.CognitoIdentityProviders) != 0 || len(u.SupportedLoginProviders) != 0 || u.IdentityPoolTags["stage"] != "test" {
			t.Errorf("updated pool %+v", u)
		}
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool})
		wantError(t, err, "NotAuthorizedException: Unauthenticated access is not supported for this identity pool.")

		for name, change := range map[string]func(*sdk.CreateIdentityPoolInput){
			"NotAuthorizedException: Identity provider arn:aws:iam::999999999999:oidc-provider/example.com is not valid for account " + w.account: func(in *sdk.CreateIdentityPoolInput) {
				in.OpenIdConnectProviderARNs = []string{"arn:aws:iam::999999999999:oidc-provider/example.com"}
			},
			"ValidationException: 1 validation error detected: Value 'no/good' at 'identityPoolName' failed to satisfy constraint: Member must satisfy regular expression pattern: ": func(in *sdk.CreateIdentityPoolInput) {
				in.IdentityPoolName = aws.String("no/good")
			},
			"InvalidParameterException: Please provide a valid developer provider": func(in *sdk.CreateIdentityPoolInput) {
				in.DeveloperProviderName = aws.String("unauthenticated")
			},
			"InvalidParameterException: Please provide a valid public provider": func(in *sdk.CreateIdentityPoolInput) {
				in.SupportedLoginProviders = map[string]string{"login.example.com": "x"}
			},
			"InvalidParameterException: Duplicate Cognito Identity Provider " + hostName(people): func(in *sdk.CreateIdentityPoolInput) {
				in.CognitoIdentityProviders = []types.CognitoIdentityProvider{
					{ProviderName: aws.String(awsName(people)), ClientId: aws.String(client)}, {ProviderName: aws.String(hostName(people)), ClientId: aws.String(client)}}
			},
			"InvalidParameterException: Invalid Cognito Identity Provider": func(in *sdk.CreateIdentityPoolInput) {
				in.CognitoIdentityProviders = []types.CognitoIdentityProvider{{ProviderName: aws.String("example.com/x"), ClientId: aws.String(client)}}
			},
		} {
			in := &sdk.CreateIdentityPoolInput{IdentityPoolName: aws.String("app")}
			change(in)
			_, err := w.admin.CreateIdentityPool(ctx, in)
			wantError(t, err, name)
		}

		var ids []string
		for p := sdk.NewListIdentityPoolsPaginator(w.admin, &sdk.ListIdentityPoolsInput{MaxResults: aws.Int32(1)}); p.HasMorePages(); {
			out, err := p.NextPage(ctx)
			check(t, err)
			for _, i := range out.IdentityPools {
				ids = append(ids, *i.IdentityPoolId)
			}
		}
		if !slices.Equal(ids, []string{pool}) {
			t.Errorf("pools %v", ids)
		}
		_, err = w.admin.ListIdentityPools(ctx, &sdk.ListIdentityPoolsInput{MaxResults: aws.Int32(1), NextToken: aws.String("bm9uc2Vuc2U")})
		wantError(t, err, "InvalidParameterException: ")

		// Another account knows nothing of it.
		key, err := w.iam.CreateAccount(ctx, "second")
		check(t, err)
		second := sdk.NewFromConfig(w.config(key.AccessKeyID, key.SecretAccessKey, ""))
		_, err = second.DescribeIdentityPool(ctx, &sdk.DescribeIdentityPoolInput{IdentityPoolId: &pool})
		wantError(t, err, "AccessDeniedException: ")
		ours := w.newPool(nil)
		id := w.getID(ours, nil)
		_, err = second.DescribeIdentity(ctx, &sdk.DescribeIdentityInput{IdentityId: &id})
		wantError(t, err, "ResourceNotFoundException: Identity '"+id+"' not found.")
		out, err := second.DeleteIdentities(ctx, &sdk.DeleteIdentitiesInput{IdentityIdsToDelete: []string{id}})
		check(t, err)
		if len(out.UnprocessedIdentityIds) != 1 || out.UnprocessedIdentityIds[0].ErrorCode != types.ErrorCodeAccessDenied {
			t.Errorf("unprocessed %v", out.UnprocessedIdentityIds)
		}
		_, err = w.tokenFor(id, nil)
		wantError(t, err, "")

		_, err = w.admin.DeleteIdentityPool(ctx, &sdk.DeleteIdentityPoolInput{IdentityPoolId: &ours})
		check(t, err)
		_, err = w.tokenFor(id, nil)
		wantError(t, err, "ResourceNotFoundException: ")
		_, err = w.admin.DescribeIdentityPool(ctx, &sdk.DescribeIdentityPoolInput{IdentityPoolId: &ours})
		wantError(t, err, "ResourceNotFoundException: IdentityPool '"+ours+"' not found.")
		_, err = w.admin.DescribeIdentity(ctx, &sdk.DescribeIdentityInput{IdentityId: &id})
		wantError(t, err, "ResourceNotFoundException: Identity '"+id+"' not found.")
	})
}

func TestPurge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		kept, gone := w.newPool(nil), w.newPool(nil)
		ann := w.login(uuid())
		id := w.getID(kept, ann)
		for range purgedAtOnce + 1 {
			_, err := w.s.GetId(ctx, &api.GetIdInput{IdentityPoolId: &gone})
			check(t, err)
		}
		w.getID(gone, ann)
		_, err := w.admin.DeleteIdentityPool(ctx, &sdk.DeleteIdentityPoolInput{IdentityPoolId: &gone})
		check(t, err)
		check(t, w.s.Sweep(ctx))
		if n, err := w.count(`SELECT COUNT(*) FROM identities`); n != 1 || err != nil {
			t.Errorf("%d identities are left, %v", n, err)
		}
		if n, err := w.count(`SELECT COUNT(*) FROM identity_logins`); n != 1 || err != nil {
			t.Errorf("%d logins are left, %v", n, err)
		}
		if got := w.getID(kept, ann); got != id {
			t.Errorf("the other pool lost %s", id)
		}
		w.offset.Store(int64(purgeAfter))
		check(t, w.s.Sweep(ctx))
		if n, err := w.count(`SELECT COUNT(*) FROM identity_purges`); n != 0 || err != nil {
			t.Errorf("%d purges are left, %v", n, err)
		}
	})
}

func TestPassRole(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		role := w.role("User", pool, "authenticated", "")
		_, err := w.iamAdmin.CreateUser(ctx, &sdkiam.CreateUserInput{UserName: aws.String("op")})
		check(t, err)
		key, err := w.iamAdmin.CreateAccessKey(ctx, &sdkiam.CreateAccessKeyInput{UserName: aws.String("op")})
		check(t, err)
		op := sdk.NewFromConfig(w.config(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, ""))
		allow := func(statements string) {
			_, err := w.iamAdmin.PutUserPolicy(ctx, &sdkiam.PutUserPolicyInput{UserName: aws.String("op"), PolicyName: aws.String("it"),
				PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)})
			check(t, err)
		}
		set := func() error {
			_, err := op.SetIdentityPoolRoles(ctx, &sdk.SetIdentityPoolRolesInput{IdentityPoolId: &pool, Roles: map[string]string{"authenticated": role}})
			return err
		}
		const setRoles = `{"Effect":"Allow","Action":"cognito-identity:SetIdentityPoolRoles","Resource":"*"}`
		allow(`{"Effect":"Allow","Action":"iam:PassRole","Resource":"*"}`)
		wantError(t, set(), "AccessDeniedException: User: arn:aws:iam::"+w.account+":user/op is not authorized to perform: cognito-identity:SetIdentityPoolRoles on resource: *")
		allow(setRoles)
		wantError(t, set(), "NotAuthorizedException: Access to Role '"+role+"' is forbidden.")
		allow(setRoles + `,{"Effect":"Allow","Action":"iam:PassRole","Resource":"` + role + `","Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}}`)
		wantError(t, set(), "NotAuthorizedException: Access to Role '"+role+"' is forbidden.")
		allow(setRoles + `,{"Effect":"Allow","Action":"iam:PassRole","Resource":"` + role + `","Condition":{"StringEquals":{"iam:PassedToService":"cognito-identity.amazonaws.com"}}}`)
		wantError(t, set(), "")

		// Permissions by pool, for operations whose resource is not the pool.
		other := w.newPool(nil)
		mine, theirs := w.getID(pool, nil), w.getID(other, nil)
		allow(`{"Effect":"Allow","Action":["cognito-identity:DescribeIdentity","cognito-identity:DeleteIdentities"],"Resource":"*",
			"Condition":{"StringEquals":{"cognito-identity:IdentityPoolArn":"arn:aws:cognito-identity:us-east-1:` + w.account + `:identitypool/` + pool + `"}}}`)
		_, err = op.DescribeIdentity(ctx, &sdk.DescribeIdentityInput{IdentityId: &mine})
		wantError(t, err, "")
		_, err = op.DescribeIdentity(ctx, &sdk.DescribeIdentityInput{IdentityId: &theirs})
		wantError(t, err, "AccessDeniedException: ")
		out, err := op.DeleteIdentities(ctx, &sdk.DeleteIdentitiesInput{IdentityIdsToDelete: []string{mine, theirs}})
		check(t, err)
		if len(out.UnprocessedIdentityIds) != 1 || *out.UnprocessedIdentityIds[0].IdentityId != theirs {
			t.Errorf("unprocessed %v", out.UnprocessedIdentityIds)
		}
		_, err = op.DeleteIdentities(ctx, &sdk.DeleteIdentitiesInput{IdentityIdsToDelete: []string{theirs}})
		wantError(t, err, "AccessDeniedException: ")
		allow(`{"Effect":"Allow","Action":"cognito-identity:ListIdentities","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"a"}}}`)
		_, err = op.ListIdentities(ctx, &sdk.ListIdentitiesInput{IdentityPoolId: &pool, MaxResults: aws.Int32(1)})
		wantError(t, err, "AccessDeniedException: ")
	})
}

// TestRaces has many do at once what must be done once.
func TestRaces(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		together := func(n int, do func(i int) string) map[string]int {
			var wait sync.WaitGroup
			got := make([]string, n)
			for i := range n {
				wait.Go(func() { got[i] = do(i) })
			}
			wait.Wait()
			count := map[string]int{}
			for _, id := range got {
				count[id]++
			}
			return count
		}
		one := func(what string, count map[string]int) string {
			t.Helper()
			if len(count) != 1 || count[""] > 0 {
				t.Errorf("%s: answers %v", what, count)
			}
			for id := range count {
				return id
			}
			return ""
		}
		in := &sdk.GetIdInput{IdentityPoolId: &pool, Logins: w.login(uuid())}
		one("64 GetId of one new login", together(64, func(int) string {
			out, err := w.nobody.GetId(ctx, in)
			if err != nil {
				t.Error(err)
				return ""
			}
			return *out.IdentityId
		}))

		// Guests of one person sign in at once: all become the same.
		ann := w.login(uuid())
		guests := make([]string, 16)
		for i := range guests {
			guests[i] = w.getID(pool, nil)
		}
		signIn := func(id string, logins map[string]string) string {
			got, err := w.tokenFor(id, logins)
			if err != nil {
				t.Error(err)
			}
			return got
		}
		survivor := one("16 guests become one user", together(len(guests), func(i int) string {
			signIn(guests[i], ann)
			return signIn(guests[i], ann) // what the first call answered may have been merged since
		}))
		if got := w.getID(pool, ann); got != survivor {
			t.Errorf("the user has %s, the guests became %s", got, survivor)
		}

		// Two identities are merged from both sides.
		person, partner := uuid(), uuid()
		logins := w.both(person, partner)
		a := w.getID(pool, map[string]string{awsName(people): logins[awsName(people)]})
		b := w.getID(pool, map[string]string{awsName(partners): logins[awsName(partners)]})
		if got := one("merge from both sides", together(16, func(i int) string { return signIn([]string{a, b}[i%2], logins) })); got != a {
			t.Errorf("merged into %s, the older is %s", got, a)
		}

		// Many sign in at once, each with a guest's identity: half are new, half known, some with a second login.
		const crowd = 64
		users, asked := make([]map[string]string, crowd), make([]string, crowd)
		for i := range crowd {
			users[i], asked[i] = w.login(uuid()), w.getID(pool, nil)
			if i%2 == 0 {
				w.getID(pool, users[i])
			}
			if i%3 == 0 {
				users[i][awsName(partners)] = w.idToken(partners, uuid(), nil)
			}
		}
		if count := together(crowd, func(i int) string { return signIn(asked[i], users[i]) }); len(count) != crowd || count[""] > 0 {
			t.Errorf("%d users sign in, and have %d identities", crowd, len(count))
		}
		w.checkInvariants(t)
	})
}

// checkInvariants checks what must always hold in the database.
func (w *world) checkInvariants(t *testing.T) {
	t.Helper()
	for _, c := range []struct{ what, query string }{
		{"logins of disabled identities", `SELECT COUNT(*) FROM identity_logins l JOIN identities i ON i.id = l.identity_id WHERE NOT i.enabled`},
		{"logins of no identity", `SELECT COUNT(*) FROM identity_logins l LEFT JOIN identities i ON i.id = l.identity_id WHERE i.id IS NULL`},
		{"logins of guests", `SELECT COUNT(*) FROM identity_logins l JOIN identities i ON i.id = l.identity_id WHERE NOT i.authenticated`},
		{"logins in another pool than their identity", `SELECT COUNT(*) FROM identity_logins l JOIN identities i ON i.id = l.identity_id WHERE l.pool_id <> i.pool_id`},
		{"disabled identities that are merged into none, or enabled ones into some", `SELECT COUNT(*) FROM identities WHERE enabled = (merged_into <> '')`},
		{"identities merged into ones of other pools", `SELECT COUNT(*) FROM identities a JOIN identities b ON b.id = a.merged_into WHERE a.pool_id <> b.pool_id`},
	} {
		n, err := w.count(c.query)
		check(t, err)
		if n != 0 {
			t.Errorf("%d %s", n, c.what)
		}
	}
}
