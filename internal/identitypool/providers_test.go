package identitypool

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity/types"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"

	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/token"
)

// elsewhere plays the identity providers of others: OpenID Connect issuers, one a path, and the APIs of Facebook and
// Amazon, to which an access token is "{application}/{user}".
type elsewhere struct {
	*httptest.Server
	down atomic.Bool
}

func newElsewhere(w *world) *elsewhere {
	e := &elsewhere{}
	answer := func(rw http.ResponseWriter, v any) { json.NewEncoder(rw).Encode(v) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{issuer}/.well-known/openid-configuration", func(rw http.ResponseWriter, r *http.Request) {
		issuer := e.URL + "/" + r.PathValue("issuer")
		answer(rw, map[string]string{"issuer": issuer, "jwks_uri": issuer + "/keys"})
	})
	mux.HandleFunc("GET /{issuer}/keys", func(rw http.ResponseWriter, r *http.Request) {
		rw.Write(token.JWKS(testKey(r.PathValue("issuer")).Public()))
	})
	bearer := func(rw http.ResponseWriter, r *http.Request) (app, user string) {
		app, user, ok := strings.Cut(r.URL.Query().Get("access_token"), "/")
		if !ok {
			http.Error(rw, "invalid token", http.StatusBadRequest)
		}
		return app, user
	}
	mux.HandleFunc("GET /facebook/app", func(rw http.ResponseWriter, r *http.Request) {
		if app, _ := bearer(rw, r); app != "" {
			answer(rw, map[string]string{"id": app})
		}
	})
	mux.HandleFunc("GET /facebook/me", func(rw http.ResponseWriter, r *http.Request) {
		if _, user := bearer(rw, r); user != "" {
			answer(rw, map[string]string{"id": user})
		}
	})
	mux.HandleFunc("GET /amazon/auth/o2/tokeninfo", func(rw http.ResponseWriter, r *http.Request) {
		if app, user := bearer(rw, r); app != "" {
			answer(rw, map[string]any{"iss": "https://www.amazon.com", "aud": app, "user_id": user, "exp": 3000})
		}
	})
	// Twitter verifies the signature; a token of it is the user's id, and its secret is always the same.
	mux.HandleFunc("GET /twitter/1.1/account/verify_credentials.json", func(rw http.ResponseWriter, r *http.Request) {
		given := url.Values{}
		list, ok := strings.CutPrefix(r.Header.Get("Authorization"), "OAuth ")
		for part := range strings.SplitSeq(list, ", ") {
			name, value, _ := strings.Cut(part, "=")
			value, _ = url.PathUnescape(strings.Trim(value, `"`))
			given.Set(name, value)
		}
		signature := given.Get("oauth_signature")
		given.Del("oauth_signature")
		if !ok || given.Get("oauth_consumer_key") != "key" || signature != signOAuth1("GET", e.URL+r.URL.Path, given, "secret", "token-secret") {
			http.Error(rw, "could not authenticate you", http.StatusUnauthorized)
			return
		}
		answer(rw, map[string]string{"id_str": given.Get("oauth_token")})
	})
	e.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if e.down.Load() {
			http.Error(rw, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(rw, r)
	}))
	return e
}

// foreignToken is an ID token of an issuer elsewhere.
func (w *world) foreignToken(issuer, audience, subject string, more map[string]any) string {
	now := w.now().Unix()
	claims := map[string]any{"iss": w.elsewhere.URL + "/" + issuer, "aud": audience, "sub": subject, "iat": now, "exp": now + 600}
	for k, v := range more {
		claims[k] = v
	}
	return w.sign(testKey(issuer), claims)
}

func TestOtherProviders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		issuer := w.elsewhere.URL + "/corp"
		provider, err := w.iamAdmin.CreateOpenIDConnectProvider(ctx, &sdkiam.CreateOpenIDConnectProviderInput{Url: &issuer, ClientIDList: []string{"app1", "app2"}})
		check(t, err)
		corp := strings.TrimPrefix(issuer, "http://")
		pool := w.newPool(func(in *sdk.CreateIdentityPoolInput) {
			in.OpenIdConnectProviderARNs = []string{*provider.OpenIDConnectProviderArn}
			in.DeveloperProviderName = aws.String("backend")
			in.SupportedLoginProviders = map[string]string{"accounts.google.com": "google-app", "appleid.apple.com": "apple-app", "graph.facebook.com": "1234",
				"www.amazon.com": "amazon-app", "api.twitter.com": "key;secret", "www.digits.com": "key;secret"}
		})
		const prefix = "NotAuthorizedException: "
		const invalid = prefix + "Invalid login token. "
		const unsupported = prefix + "Token is not from a supported provider of this identity pool."
		type claims = map[string]any
		for _, c := range []struct {
			name, key, token string
			amr              []string // what follows authenticated
			want             string
		}{
			{"OIDC", corp, w.foreignToken("corp", "app2", "u1", nil), []string{corp, *provider.OpenIDConnectProviderArn + ":OIDC:u1"}, ""},
			{"OIDC, several audiences and a party", corp, w.foreignToken("corp", "", "u1", claims{"aud": []string{"x", "app1"}, "azp": "app1"}), []string{corp, *provider.OpenIDConnectProviderArn + ":OIDC:u1"}, ""},
			{"OIDC, several audiences", corp, w.foreignToken("corp", "", "u1", claims{"aud": []string{"x", "app1"}}), nil, invalid + "Incorrect token audience"},
			{"OIDC, another party", corp, w.foreignToken("corp", "app1", "u1", claims{"azp": "x"}), nil, invalid + "Incorrect token audience"},
			{"OIDC, another audience", corp, w.foreignToken("corp", "x", "u1", nil), nil, invalid + "Incorrect token audience"},
			{"OIDC, another issuer", corp, w.foreignToken("google", "app1", "u1", nil), nil, invalid + "Issuer doesn't match providerName"},
			{"OIDC, another issuer's key", corp, w.sign(testKey("google"), claims{"iss": issuer, "aud": "app1", "sub": "u1", "exp": w.now().Unix() + 60}), nil, invalid + "Couldn't verify signed token."},
			{"OIDC, expired", corp, w.foreignToken("corp", "app1", "u1", claims{"exp": w.now().Unix() - 301}), nil, invalid + "Token expired: "},
			{"OIDC, expired by a clock that is slow", corp, w.foreignToken("corp", "app1", "u1", claims{"exp": w.now().Unix() - 240}), []string{corp, *provider.OpenIDConnectProviderArn + ":OIDC:u1"}, ""},
			{"OIDC, issued by a clock that is fast", corp, w.foreignToken("corp", "app1", "u1", claims{"iat": w.now().Unix() + 240}), []string{corp, *provider.OpenIDConnectProviderArn + ":OIDC:u1"}, ""},
			{"OIDC, of the future", corp, w.foreignToken("corp", "app1", "u1", claims{"iat": w.now().Unix() + 360}), nil, invalid + "Not a valid OpenId Connect identity token."},
			{"OIDC, no subject", corp, w.foreignToken("corp", "app1", "", nil), nil, invalid + "Missing a required claim: sub"},
			{"OIDC, long subject", corp, w.foreignToken("corp", "app1", strings.Repeat("s", 1025), nil), nil, invalid + "Not a valid OpenId Connect identity token."},
			{"OIDC, of our user pool", corp, w.idToken(people, "u1", nil), nil, invalid + "Issuer doesn't match providerName"},
			{"Google", "accounts.google.com", w.foreignToken("google", "google-app", "u1", nil), []string{"accounts.google.com", "accounts.google.com:google-app:u1"}, ""},
			{"Google, issuer without scheme", "accounts.google.com", w.foreignToken("google", "google-app", "u1", claims{"iss": strings.TrimPrefix(w.elsewhere.URL, "http://") + "/google"}), []string{"accounts.google.com", "accounts.google.com:google-app:u1"}, ""},
			{"Google, another audience, right party", "accounts.google.com", w.foreignToken("google", "android", "u1", claims{"azp": "google-app"}), []string{"accounts.google.com", "accounts.google.com:google-app:u1"}, ""},
			{"Google, another application", "accounts.google.com", w.foreignToken("google", "x", "u1", nil), nil, invalid + "Incorrect token audience"},
			{"Google, token of Apple", "accounts.google.com", w.foreignToken("apple", "google-app", "u1", nil), nil, invalid + "Issuer doesn't match providerName"},
			{"Apple", "appleid.apple.com", w.foreignToken("apple", "apple-app", "u1", nil), []string{"appleid.apple.com", "appleid.apple.com:apple-app:u1"}, ""},
			{"Facebook", "graph.facebook.com", "1234/u1", []string{"graph.facebook.com", "graph.facebook.com:1234:u1"}, ""},
			{"Facebook, another application", "graph.facebook.com", "99/u1", nil, unsupported},
			{"Facebook, no token", "graph.facebook.com", "nonsense", nil, invalid + "Couldn't verify signed token."},
			{"Amazon", "www.amazon.com", "amazon-app/u1", []string{"www.amazon.com", "www.amazon.com:amazon-app:u1"}, ""},
			{"Amazon, another application", "www.amazon.com", "x/u1", nil, unsupported},
			{"Twitter", "api.twitter.com", "u1;token-secret", []string{"api.twitter.com", "api.twitter.com:key:u1"}, ""},
			{"Twitter, another secret", "api.twitter.com", "u1;guessed", nil, invalid + "Couldn't verify signed token."},
			{"Twitter, no secret", "api.twitter.com", "u1", nil, invalid + "Couldn't verify signed token."},
			{"Digits", "www.digits.com", "token;secret", nil, prefix + "Logins of this identity provider are not supported."},
			{"the backend", "backend", "u1", nil, "InvalidParameterException: Please provide a valid public provider"},
		} {
			t.Run(c.name, func(t *testing.T) {
				logins := map[string]string{c.key: c.token}
				out, err := w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: logins})
				if wantError(t, err, c.want); err != nil {
					return
				}
				open, err := w.nobody.GetOpenIdToken(ctx, &sdk.GetOpenIdTokenInput{IdentityId: out.IdentityId, Logins: logins})
				check(t, err)
				if got, want := w.verifyByDiscovery(*open.Token)["amr"], append([]string{"authenticated"}, c.amr...); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("amr %v, want %v", got, want)
				}
				who, err := w.s.LookupUser(ctx, pool, c.key, "u1")
				check(t, err)
				if who.ID != *out.IdentityId || !slices.Contains(who.Logins, Linked{c.amr[0], "u1"}) {
					t.Errorf("looked up %+v", who)
				}
			})
		}
		// A provider that IAM no longer has, and providers that do not answer.
		w.elsewhere.down.Store(true)
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: map[string]string{"graph.facebook.com": "1234/secret-token"}})
		wantError(t, err, "ExternalServiceException: ")
		if cause := (*w.log.last.Load())["cause"]; cause == "" || strings.Contains(cause, "secret-token") {
			t.Errorf("the log gives the cause %q", cause)
		}
		w.elsewhere.Close()
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: map[string]string{"www.amazon.com": "amazon-app/secret-token"}})
		wantError(t, err, "ExternalServiceException: ")
		if cause := (*w.log.last.Load())["cause"]; cause == "" || strings.Contains(cause, "secret-token") {
			t.Errorf("the log gives the cause %q", cause)
		}
		_, err = w.iamAdmin.DeleteOpenIDConnectProvider(ctx, &sdkiam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: provider.OpenIDConnectProviderArn})
		check(t, err)
		_, err = w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: map[string]string{corp: w.foreignToken("corp", "app2", "u1", nil)}})
		wantError(t, err, unsupported)
		_, err = w.admin.CreateIdentityPool(ctx, &sdk.CreateIdentityPoolInput{IdentityPoolName: aws.String("app"), OpenIdConnectProviderARNs: []string{*provider.OpenIDConnectProviderArn}})
		wantError(t, err, "NotAuthorizedException: Identity provider "+*provider.OpenIDConnectProviderArn+" is not valid for account "+w.account)
	})
}

// TestOAuth1 signs the example of Twitter's documentation ("Creating a signature").
func TestOAuth1(t *testing.T) {
	got := signOAuth1("POST", "https://api.twitter.com/1/statuses/update.json", url.Values{
		"status": {"Hello Ladies + Gentlemen, a signed OAuth request!"}, "include_entities": {"true"}, "oauth_consumer_key": {"xvz1evFS4wEEPTGEFPHBog"},
		"oauth_nonce": {"kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"}, "oauth_signature_method": {"HMAC-SHA1"}, "oauth_timestamp": {"1318622958"},
		"oauth_token": {"370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"}, "oauth_version": {"1.0"},
	}, "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE")
	if want := "tnnArxj06cWHq44gCs1OSKk/jLY="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

// TestSecretsOfApplications: they are sealed where they are stored, also after a change, and told as they were given; those
// that an earlier version has stored are read.
func TestSecretsOfApplications(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		apps := map[string]string{"api.twitter.com": "key;twitter-secret", "www.digits.com": "key;digits-secret", "accounts.google.com": "google-app"}
		pool := w.newPool(func(in *sdk.CreateIdentityPoolInput) { in.SupportedLoginProviders = apps })
		stored := func() string {
			doc, err := db.One[string](ctx, w.db, `SELECT doc FROM identity_pools WHERE id = $1`, pool)
			check(t, err)
			return doc
		}
		wantApps := func() {
			t.Helper()
			d, err := w.admin.DescribeIdentityPool(ctx, &sdk.DescribeIdentityPoolInput{IdentityPoolId: &pool})
			check(t, err)
			if !maps.Equal(d.SupportedLoginProviders, apps) {
				t.Errorf("described as %v", d.SupportedLoginProviders)
			}
		}
		wantApps()
		created := stored()
		w.setRoles(pool, map[string]string{"authenticated": w.role("User", pool, "authenticated", "")}, nil)
		wantApps()
		for _, doc := range []string{created, stored()} {
			if strings.Contains(doc, "-secret") || !strings.Contains(doc, "google-app") {
				t.Errorf("stored as %s", doc)
			}
		}
		check(t, w.db.Tx(ctx, func(tx *db.Tx) error {
			tx.Invalidate(scope(pool))
			_, err := tx.ExecContext(ctx, `UPDATE identity_pools SET doc = $1 WHERE id = $2`,
				fmt.Sprintf(`{"Settings":{"IdentityPoolId":%q,"IdentityPoolName":"app","AllowUnauthenticatedIdentities":true,"AllowClassicFlow":true,
					"SupportedLoginProviders":{"api.twitter.com":"key;twitter-secret","www.digits.com":"key;digits-secret","accounts.google.com":"google-app"}}}`, pool), pool)
			return err
		}))
		wantApps()
	})
}

// TestUploadedKeys: a provider whose keys were uploaded is not asked for them, and what they verify counts for its account
// alone.
func TestUploadedKeys(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	real := w.s.OIDC
	w.s.OIDC = func(ctx context.Context, account, issuer string) (*OIDCProvider, error) {
		if account == w.account && issuer == "https://offline.example.com" {
			return &OIDCProvider{ARN: "arn:aws:iam::" + account + ":oidc-provider/offline.example.com", URL: issuer, ClientIDs: []string{"app"}, Keys: []token.PublicKey{testKey("offline").Public()}}, nil
		}
		return real(ctx, account, issuer)
	}
	pool := w.newPool(func(in *sdk.CreateIdentityPoolInput) {
		in.OpenIdConnectProviderARNs = []string{"arn:aws:iam::" + w.account + ":oidc-provider/offline.example.com"}
	})
	_, err := w.admin.CreateIdentityPool(ctx, &sdk.CreateIdentityPoolInput{IdentityPoolName: aws.String("app"), DeveloperProviderName: aws.String("offline.example.com"),
		OpenIdConnectProviderARNs: []string{"arn:aws:iam::" + w.account + ":oidc-provider/offline.example.com"}})
	wantError(t, err, "InvalidParameterException: Please provide a valid developer provider") // tokens of one would count as the other's
	claims := map[string]any{"iss": "https://offline.example.com", "aud": "app", "sub": "u1", "exp": w.now().Unix() + 60}
	for name, want := range map[string]string{"offline": "", "corp": "NotAuthorizedException: Invalid login token. Couldn't verify signed token."} {
		_, err := w.nobody.GetId(ctx, &sdk.GetIdInput{IdentityPoolId: &pool, Logins: map[string]string{"offline.example.com": w.sign(testKey(name), claims)}})
		wantError(t, err, want)
	}
	good := w.sign(testKey("offline"), claims)
	if _, err := w.s.foreign.Verify(good, w.now(), func(*token.Unverified) (token.PublicKey, error) { return token.PublicKey{}, token.ErrKeyNotFound }); err == nil {
		t.Error("the token is remembered for all accounts")
	}
}

// TestMappingsOfProviders chooses roles by the providers that have no app client, and among several logins.
func TestMappingsOfProviders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(func(in *sdk.CreateIdentityPoolInput) {
			in.SupportedLoginProviders = map[string]string{"accounts.google.com": "google-app", "www.amazon.com": "amazon-app"}
		})
		plain, google, amazon := w.role("Plain", pool, "authenticated", ""), w.role("Google", pool, "authenticated", ""), w.role("Amazon", pool, "authenticated", "")
		rules := func(claim, value, role string, resolution types.AmbiguousRoleResolutionType) types.RoleMapping {
			return types.RoleMapping{Type: types.RoleMappingTypeRules, AmbiguousRoleResolution: resolution,
				RulesConfiguration: &types.RulesConfigurationType{Rules: []types.MappingRule{{Claim: &claim, MatchType: types.MappingRuleMatchTypeEquals, Value: &value, RoleARN: &role}}}}
		}
		w.setRoles(pool, map[string]string{"authenticated": plain}, map[string]types.RoleMapping{
			"accounts.google.com": rules("hd", "example.com", google, types.AmbiguousRoleResolutionTypeAuthenticatedRole),
			"www.amazon.com":      rules("sub", "u1", amazon, types.AmbiguousRoleResolutionTypeDeny),
		})
		staff := map[string]any{"hd": "example.com"}
		for _, c := range []struct {
			name   string
			logins map[string]string
			want   string
		}{
			{"a claim", map[string]string{"accounts.google.com": w.foreignToken("google", "google-app", "g1", staff)}, "Google"},
			{"none", map[string]string{"accounts.google.com": w.foreignToken("google", "google-app", "g2", nil)}, "Plain"},
			{"the subject", map[string]string{"www.amazon.com": "amazon-app/u1"}, "Amazon"},
			{"denied", map[string]string{"www.amazon.com": "amazon-app/u2"}, "NotAuthorizedException: The ambiguous role mapping rules for: www.amazon.com denied this request."},
			{"the first that names one", map[string]string{"accounts.google.com": w.foreignToken("google", "google-app", "g1", staff), "www.amazon.com": "amazon-app/u3"}, "Google"},
			{"the second names one", map[string]string{"accounts.google.com": w.foreignToken("google", "google-app", "g4", nil), "www.amazon.com": "amazon-app/u1"}, "Amazon"},
			{"one denies", map[string]string{"accounts.google.com": w.foreignToken("google", "google-app", "g5", nil), "www.amazon.com": "amazon-app/u5"}, "NotAuthorizedException: The ambiguous role mapping rules for: www.amazon.com denied this request."},
		} {
			id := w.getID(pool, c.logins)
			role, err := w.roleOf(id, c.logins)
			if strings.Contains(c.want, ":") {
				wantError(t, err, c.want)
			} else if err != nil || role != c.want {
				t.Errorf("%s: role %s, %v, want %s", c.name, role, err, c.want)
			}
		}
	})
}
