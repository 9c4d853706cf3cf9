package userpool

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
	"usher/internal/saml/samltest"
	"usher/internal/token"
)

type detailMap = map[string]string

const providerSecret = "Very-Secret-Of-The-Provider"

var googleDetails = detailMap{"client_id": "c", "client_secret": providerSecret, "authorize_scopes": "profile email openid"}

// oidcDetails are details of a provider that needs no discovery.
func oidcDetails() detailMap {
	return detailMap{"client_id": "c", "client_secret": providerSecret, "attributes_request_method": "GET", "oidc_issuer": "https://id.example.com", "authorize_scopes": "openid email",
		"authorize_url": "https://id.example.com/authorize", "token_url": "https://id.example.com/token", "attributes_url": "https://id.example.com/userinfo", "jwks_uri": "https://id.example.com/jwks"}
}

func (app *testApp) provider(tb testing.TB, name string, kind types.IdentityProviderTypeType, details detailMap, change ...func(*cip.CreateIdentityProviderInput)) (*types.IdentityProviderType, error) {
	in := &cip.CreateIdentityProviderInput{UserPoolId: &app.pool, ProviderName: &name, ProviderType: kind, ProviderDetails: details}
	for _, c := range change {
		c(in)
	}
	out, err := app.sdk.CreateIdentityProvider(tb.Context(), in)
	if err != nil {
		return nil, err
	}
	return out.IdentityProvider, nil
}

func (app *testApp) mustProvider(tb testing.TB, name string, kind types.IdentityProviderTypeType, details detailMap, change ...func(*cip.CreateIdentityProviderInput)) {
	tb.Helper()
	if _, err := app.provider(tb, name, kind, details, change...); err != nil {
		tb.Fatal(err)
	}
}

func identified(identifiers ...string) func(*cip.CreateIdentityProviderInput) {
	return func(in *cip.CreateIdentityProviderInput) { in.IdpIdentifiers = identifiers }
}

func mapped(pairs ...string) func(*cip.CreateIdentityProviderInput) {
	return func(in *cip.CreateIdentityProviderInput) {
		in.AttributeMapping = detailMap{}
		for i := 0; i < len(pairs); i += 2 {
			in.AttributeMapping[pairs[i]] = pairs[i+1]
		}
	}
}

func with(details detailMap, pairs ...string) detailMap {
	details = maps.Clone(details)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(details, pairs[i])
		} else {
			details[pairs[i]] = pairs[i+1]
		}
	}
	return details
}

// metadata is that of a SAML provider with a certificate that is valid for some years.
func metadata(tb testing.TB, now time.Time) string {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := samlCertificate(key, "idp", now)
	if err != nil {
		tb.Fatal(err)
	}
	return samltest.New(tb, "https://idp.example.org", 0).MetadataWith("", der)
}

func TestIdentityProviders(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app, ctx := ts.newApp(t), t.Context()
		made, err := app.provider(t, "Google", "Google", googleDetails, mapped("email", "email", "email_verified", "email_verified"), identified("google.example", "g"))
		if err != nil {
			t.Fatal(err)
		}
		want := with(googleDetails, "attributes_url", "https://people.googleapis.com/v1/people/me?personFields=", "attributes_url_add_attributes", "true",
			"authorize_url", "https://accounts.google.com/o/oauth2/v2/auth", "oidc_issuer", "https://accounts.google.com", "token_request_method", "POST", "token_url", "https://www.googleapis.com/oauth2/v4/token")
		if !maps.Equal(made.ProviderDetails, want) || !maps.Equal(made.AttributeMapping, detailMap{"username": "sub", "email": "email", "email_verified": "email_verified"}) ||
			!slices.Equal(made.IdpIdentifiers, []string{"google.example", "g"}) || *made.UserPoolId != app.pool || made.CreationDate == nil {
			t.Errorf("%+v", made)
		}
		described, err := ts.sdk.DescribeIdentityProvider(ctx, &cip.DescribeIdentityProviderInput{UserPoolId: &app.pool, ProviderName: aws.String("Google")})
		if err != nil || !reflect.DeepEqual(described.IdentityProvider, made) {
			t.Errorf("%+v %v", described, err)
		}
		if t.Name() == "TestIdentityProviders/sqlite" {
			wantNowhere(t, ts, providerSecret)
		}
		_, err = app.provider(t, "Google", "Google", googleDetails)
		wantError(t, "twice", err, "DuplicateProviderException", "")
		app.mustProvider(t, "Corp", "OIDC", oidcDetails(), identified("corp.example"))
		_, err = app.provider(t, "Corp2", "OIDC", oidcDetails(), identified("corp.example"))
		wantError(t, "the same identifier", err, "InvalidParameterException", "The identifier corp.example is that of another provider.")

		// identities is an attribute of the pool since the first.
		pool, err := ts.sdk.DescribeUserPool(ctx, &cip.DescribeUserPoolInput{UserPoolId: &app.pool})
		if err != nil || *pool.UserPool.SchemaAttributes[len(pool.UserPool.SchemaAttributes)-1].Name != "identities" || len(pool.UserPool.SchemaAttributes) != 21 {
			t.Errorf("%v %v", pool, err)
		}
		_, err = app.create(t, "ada", "identities", "[]")
		wantError(t, "writing identities", err, "InvalidParameterException", "")

		by, err := ts.sdk.GetIdentityProviderByIdentifier(ctx, &cip.GetIdentityProviderByIdentifierInput{UserPoolId: &app.pool, IdpIdentifier: aws.String("corp.example")})
		if err != nil || *by.IdentityProvider.ProviderName != "Corp" {
			t.Errorf("%+v %v", by, err)
		}
		_, err = ts.sdk.GetIdentityProviderByIdentifier(ctx, &cip.GetIdentityProviderByIdentifierInput{UserPoolId: &app.pool, IdpIdentifier: aws.String("other.example")})
		wantError(t, "unknown identifier", err, "ResourceNotFoundException", "")

		// Each map that is sent is replaced, the others stay.
		ts.clock.advance(time.Minute)
		update := func(in *cip.UpdateIdentityProviderInput) (*types.IdentityProviderType, error) {
			in.UserPoolId, in.ProviderName = &app.pool, aws.String("Corp")
			out, err := ts.sdk.UpdateIdentityProvider(ctx, in)
			if err != nil {
				return nil, err
			}
			return out.IdentityProvider, nil
		}
		got, err := update(&cip.UpdateIdentityProviderInput{AttributeMapping: detailMap{"name": "name"}, IdpIdentifiers: []string{"a", "b"}})
		if err != nil || !maps.Equal(got.AttributeMapping, detailMap{"username": "sub", "name": "name"}) || !slices.Equal(got.IdpIdentifiers, []string{"a", "b"}) || got.ProviderDetails["client_secret"] != providerSecret ||
			!got.LastModifiedDate.After(*got.CreationDate) {
			t.Errorf("%+v %v", got, err)
		}
		got, err = update(&cip.UpdateIdentityProviderInput{ProviderDetails: with(oidcDetails(), "client_secret", "Other-Secret"), IdpIdentifiers: []string{}})
		if err != nil || got.ProviderDetails["client_secret"] != "Other-Secret" || len(got.IdpIdentifiers) != 0 || got.AttributeMapping["name"] != "name" {
			t.Errorf("%+v %v", got, err)
		}
		_, err = update(&cip.UpdateIdentityProviderInput{ProviderDetails: detailMap{"client_id": "x"}})
		wantError(t, "incomplete", err, "InvalidParameterException", "Invalid ProviderDetails: client_secret is required for providers of type OIDC.")
		_, err = update(&cip.UpdateIdentityProviderInput{IdpIdentifiers: []string{"g"}})
		wantError(t, "another's identifier", err, "InvalidParameterException", "")
		_, err = update(&cip.UpdateIdentityProviderInput{AttributeMapping: detailMap{"custom:x": "x"}})
		wantError(t, "unknown attribute", err, "InvalidParameterException", "Invalid AttributeMapping: custom:x is not an attribute that can be mapped.")
		app.mustProvider(t, "Corp2", "OIDC", oidcDetails(), identified("a")) // free again

		// Listing, page by page.
		var names []string
		for token := (*string)(nil); ; {
			page, err := ts.sdk.ListIdentityProviders(ctx, &cip.ListIdentityProvidersInput{UserPoolId: &app.pool, MaxResults: aws.Int32(2), NextToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page.Providers {
				names = append(names, *p.ProviderName+" "+string(p.ProviderType))
			}
			if token = page.NextToken; token == nil {
				break
			}
		}
		if !slices.Equal(names, []string{"Corp OIDC", "Corp2 OIDC", "Google Google"}) {
			t.Errorf("%v", names)
		}

		// Clients name providers that are there.
		client := func(names ...string) error {
			_, err := ts.sdk.UpdateUserPoolClient(ctx, &cip.UpdateUserPoolClientInput{UserPoolId: &app.pool, ClientId: &app.app, SupportedIdentityProviders: names})
			return err
		}
		if err := client("COGNITO", "Google", "Corp"); err != nil {
			t.Error(err)
		}
		wantError(t, "unknown provider", client("COGNITO", "Facebook"), "InvalidParameterException", "The provider Facebook does not exist for User Pool "+app.pool+".")
		_, err = ts.sdk.CreateUserPoolClient(ctx, &cip.CreateUserPoolClientInput{UserPoolId: &app.pool, ClientName: aws.String("x"), SupportedIdentityProviders: []string{"Corp3"}})
		wantError(t, "unknown provider", err, "InvalidParameterException", "The provider Corp3 does not exist for User Pool "+app.pool+".")
		app.mustProvider(t, "Begins", "SAML", detailMap{"MetadataFile": metadata(t, ts.clock.Now()), "IDPInit": "true"})
		if err := client("Begins"); err != nil {
			t.Error(err)
		}
		wantError(t, "IDPInit with others", client("Begins", "COGNITO"), "InvalidParameterException", "")
		wantError(t, "IDPInit with others", client("Begins", "Corp"), "InvalidParameterException", "")

		if _, err := ts.sdk.DeleteIdentityProvider(ctx, &cip.DeleteIdentityProviderInput{UserPoolId: &app.pool, ProviderName: aws.String("Corp2")}); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"describe": func() error {
				_, err := ts.sdk.DescribeIdentityProvider(ctx, &cip.DescribeIdentityProviderInput{UserPoolId: &app.pool, ProviderName: aws.String("Corp2")})
				return err
			}(),
			"delete": func() error {
				_, err := ts.sdk.DeleteIdentityProvider(ctx, &cip.DeleteIdentityProviderInput{UserPoolId: &app.pool, ProviderName: aws.String("Corp2")})
				return err
			}(),
			"update": func() error {
				_, err := ts.sdk.UpdateIdentityProvider(ctx, &cip.UpdateIdentityProviderInput{UserPoolId: &app.pool, ProviderName: aws.String("Corp2")})
				return err
			}(),
			"by identifier": func() error {
				_, err := ts.sdk.GetIdentityProviderByIdentifier(ctx, &cip.GetIdentityProviderByIdentifierInput{UserPoolId: &app.pool, IdpIdentifier: aws.String("a")})
				return err
			}(),
		} {
			wantError(t, what, err, "ResourceNotFoundException", "")
		}

		// Another account's pool is unknown.
		other := ts.client(otherAccount)
		unknown := "User pool " + app.pool + " does not exist."
		_, err = other.CreateIdentityProvider(ctx, &cip.CreateIdentityProviderInput{UserPoolId: &app.pool, ProviderName: aws.String("Google"), ProviderType: "Google", ProviderDetails: googleDetails})
		wantError(t, "create", err, "ResourceNotFoundException", unknown)
		_, err = other.DescribeIdentityProvider(ctx, &cip.DescribeIdentityProviderInput{UserPoolId: &app.pool, ProviderName: aws.String("Google")})
		wantError(t, "describe", err, "ResourceNotFoundException", unknown)
		_, err = other.UpdateIdentityProvider(ctx, &cip.UpdateIdentityProviderInput{UserPoolId: &app.pool, ProviderName: aws.String("Google")})
		wantError(t, "update", err, "ResourceNotFoundException", unknown)
		_, err = other.DeleteIdentityProvider(ctx, &cip.DeleteIdentityProviderInput{UserPoolId: &app.pool, ProviderName: aws.String("Google")})
		wantError(t, "delete", err, "ResourceNotFoundException", unknown)
		_, err = other.ListIdentityProviders(ctx, &cip.ListIdentityProvidersInput{UserPoolId: &app.pool})
		wantError(t, "list", err, "ResourceNotFoundException", unknown)
		_, err = other.GetIdentityProviderByIdentifier(ctx, &cip.GetIdentityProviderByIdentifierInput{UserPoolId: &app.pool, IdpIdentifier: aws.String("g")})
		wantError(t, "by identifier", err, "ResourceNotFoundException", unknown)
		_, err = other.GetSigningCertificate(ctx, &cip.GetSigningCertificateInput{UserPoolId: &app.pool})
		wantError(t, "certificate", err, "ResourceNotFoundException", unknown)

		// What was the pool's goes with it.
		if _, err := ts.sdk.DeleteUserPool(ctx, &cip.DeleteUserPoolInput{UserPoolId: &app.pool}); err != nil {
			t.Fatal(err)
		}
		if err := ts.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"user_pool_identity_providers", "user_pool_provider_identifiers"} {
			if n, err := db.One[int](ctx, ts.DB, `SELECT count(*) FROM `+table+` WHERE pool_id = $1`, app.pool); err != nil || n != 0 {
				t.Errorf("%s: %d %v", table, n, err)
			}
		}
	})
}

// TestProviderDetails checks what each type takes; fills are details that the service adds.
func TestProviderDetails(t *testing.T) {
	ts := newTestServerSQLite(t)
	facebook := detailMap{"client_id": "c", "client_secret": "s", "authorize_scopes": "public_profile,email"}
	amazon := detailMap{"client_id": "c", "client_secret": "s", "authorize_scopes": "profile postal_code"}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := base64.StdEncoding.EncodeToString(der)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaDER, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	apple := detailMap{"client_id": "c", "team_id": "TEAM123456", "key_id": "KEY1234567", "private_key": pkcs8, "authorize_scopes": "email name"}
	saml := detailMap{"MetadataFile": metadata(t, ts.clock.Now())}
	expired := samltest.New(t, "https://idp.example.org", 0)
	for _, c := range []struct {
		name    string
		kind    types.IdentityProviderTypeType
		details detailMap
		fills   detailMap
		refusal string // "" is accepted
	}{
		{"Google", "Google", with(googleDetails, "token_url", "https://www.googleapis.com/oauth2/v4/token"), detailMap{"token_request_method": "POST"}, ""},
		{"Google", "Google", with(googleDetails, "token_url", "https://evil.example"), nil, "token_url is always https://www.googleapis.com/oauth2/v4/token."},
		{"Google", "Google", with(googleDetails, "client_secret", ""), nil, "client_secret is required for providers of type Google."},
		{"Google", "Google", with(googleDetails, "authorize_scopes", "openid everything"), nil, "authorize_scopes has a scope that providers of type Google do not know."},
		{"Google", "Google", with(googleDetails, "authorize_scopes", " "), nil, "authorize_scopes has a scope that providers of type Google do not know."},
		{"Google", "Google", with(googleDetails, "team_id", "x"), nil, "team_id is not a detail of providers of type Google."},
		{"Google", "Google", with(googleDetails, "client_id", strings.Repeat("x", 4097)), nil, "client_id is not valid."},
		{"Google", "Google", with(googleDetails, "client_id", "a\x00"), nil, "client_id is not valid."},
		{"Goggle", "Google", googleDetails, nil, "The provider name of type Google must be Google."},
		{"Facebook", "Facebook", facebook, detailMap{"api_version": "v17.0", "token_url": "https://graph.facebook.com/v17.0/oauth/access_token", "token_request_method": "GET"}, ""},
		{"Facebook", "Facebook", with(facebook, "api_version", "v21.0"), detailMap{"authorize_url": "https://www.facebook.com/v21.0/dialog/oauth"}, ""},
		{"Facebook", "Facebook", with(facebook, "api_version", "../x"), nil, "api_version is not valid."},
		{"LoginWithAmazon", "LoginWithAmazon", amazon, detailMap{"attributes_url": "https://api.amazon.com/user/profile"}, ""},
		{"LoginWithAmazon", "LoginWithAmazon", with(amazon, "authorize_scopes", "email"), nil, "authorize_scopes has a scope that providers of type LoginWithAmazon do not know."},
		{"SignInWithApple", "SignInWithApple", apple, detailMap{"oidc_issuer": "https://appleid.apple.com", "private_key": ""}, ""},
		{"SignInWithApple", "SignInWithApple", with(apple, "private_key", "-----BEGIN PRIVATE KEY-----\n"+pkcs8+"\n-----END PRIVATE KEY-----\n"), detailMap{"private_key": ""}, ""},
		{"SignInWithApple", "SignInWithApple", with(apple, "private_key", "none"), nil, "private_key is not a PKCS #8 key of the curve P-256."},
		{"SignInWithApple", "SignInWithApple", with(apple, "private_key", base64.StdEncoding.EncodeToString(rsaDER)), nil, "private_key is not a PKCS #8 key of the curve P-256."},
		{"SignInWithApple", "SignInWithApple", with(apple, "team_id", "a b"), nil, "team_id is not valid."},
		{"SignInWithApple", "SignInWithApple", with(apple, "key_id", ""), nil, "key_id is required for providers of type SignInWithApple."},
		{"Corp", "OIDC", oidcDetails(), detailMap{"attributes_url_add_attributes": "false"}, ""},
		{"Corp", "OIDC", with(oidcDetails(), "oidc_issuer", "https://id.example.com/"), nil, "oidc_issuer must be an https URL without a slash at the end."},
		{"Corp", "OIDC", with(oidcDetails(), "oidc_issuer", "http://id.example.com"), nil, "oidc_issuer must be an https URL without a slash at the end."},
		{"Corp", "OIDC", with(oidcDetails(), "oidc_issuer", "http://127.0.0.1"), nil, "oidc_issuer must be an https URL without a slash at the end."},
		{"Corp", "OIDC", with(oidcDetails(), "token_url", "ftp://id.example.com/"), nil, "token_url must be an https URL."},
		{"Corp", "OIDC", with(oidcDetails(), "token_url", "https://user:pass@id.example.com/"), nil, "token_url must be an https URL."},
		{"Corp", "OIDC", with(oidcDetails(), "attributes_request_method", "PUT"), nil, "attributes_request_method must be GET or POST."},
		{"Corp", "OIDC", with(oidcDetails(), "authorize_scopes", "email"), nil, "authorize_scopes must include openid."},
		{"Corp", "OIDC", with(oidcDetails(), "oidc_issuer", "https://127.0.0.1:1", "jwks_uri", ""), nil, "Unable to contact well-known endpoint"},
		{"cognito", "OIDC", oidcDetails(), nil, "The provider name cognito is reserved."},
		{"Google", "OIDC", oidcDetails(), nil, "The provider name Google is reserved."},
		{"Corp", "SAML", saml, detailMap{"SSORedirectBindingURI": "https://idp.example.org/sso", "SLORedirectBindingURI": ""}, ""},
		{"Corp", "SAML", with(saml, "IDPSignout", "false", "IDPInit", "true", "RequestSigningAlgorithm", "rsa-sha256", "EncryptedResponses", "false"), nil, ""},
		{"Corp", "SAML", with(saml, "IDPInit", "yes"), nil, "IDPInit must be true or false."},
		{"Corp", "SAML", with(saml, "IDPSignout", "true"), nil, "it has no https SingleLogoutService for HTTP-Redirect."},
		{"Corp", "SAML", with(saml, "IDPSignout", "true", "MetadataFile", strings.Replace(saml["MetadataFile"], "</md:IDPSSODescriptor>",
			`<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example.org/post"/><md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.org/slo"/></md:IDPSSODescriptor>`, 1)),
			detailMap{"SLORedirectBindingURI": "https://idp.example.org/slo"}, ""},
		{"Corp", "SAML", with(saml, "EncryptedResponses", "true"), nil, "EncryptedResponses is not available in this server."},
		{"Corp", "SAML", with(saml, "RequestSigningAlgorithm", "rsa-sha1"), nil, "RequestSigningAlgorithm must be rsa-sha256."},
		{"Corp", "SAML", with(saml, "MetadataURL", "https://idp.example.org/"), nil, "ProviderDetails takes either MetadataURL or MetadataFile."},
		{"Corp", "SAML", detailMap{"IDPInit": "true"}, nil, "ProviderDetails takes either MetadataURL or MetadataFile."},
		{"Corp", "SAML", detailMap{"MetadataFile": "<x/>"}, nil, "The SAML metadata cannot be used: it cannot be read."},
		{"Corp", "SAML", detailMap{"MetadataFile": expired.Metadata()}, nil, "The SAML metadata cannot be used: its certificates have expired."},
		{"Corp", "SAML", detailMap{"MetadataURL": "https://127.0.0.1:1/metadata"}, nil, "Error retrieving metadata from https://127.0.0.1:1/metadata"},
		{"Corp", "SAML", detailMap{"MetadataURL": "file:///etc/passwd"}, nil, "MetadataURL must be an https URL."},
	} {
		app := ts.newApp(t)
		got, err := app.provider(t, c.name, c.kind, c.details)
		if c.refusal != "" {
			wantError(t, c.refusal, err, "InvalidParameterException", "")
			if err != nil && !strings.HasSuffix(err.Error(), c.refusal) {
				t.Errorf("%v, want %s", err, c.refusal)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %v: %v", c.kind, c.details, err)
			continue
		}
		for name, want := range c.fills {
			if got := got.ProviderDetails[name]; got != want {
				t.Errorf("%s: %s is %q, want %q", c.kind, name, got, want)
			}
		}
		// What Describe returns can be sent back.
		if _, err := ts.sdk.UpdateIdentityProvider(t.Context(), &cip.UpdateIdentityProviderInput{UserPoolId: &app.pool, ProviderName: got.ProviderName, ProviderDetails: got.ProviderDetails, AttributeMapping: got.AttributeMapping}); err != nil {
			t.Errorf("%s: sent back: %v", c.kind, err)
		}
	}

	app := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.Schema = []types.SchemaAttributeType{{Name: aws.String("fixed"), AttributeDataType: "String", Mutable: aws.Bool(false)}, {Name: aws.String("own"), AttributeDataType: "String", DeveloperOnlyAttribute: aws.Bool(true)}}
	})
	for i, c := range []struct {
		mapping []string
		ok      bool
	}{
		{[]string{"email", "mail", "custom:fixed", "id", "email_verified", "verified"}, true},
		{[]string{"username", "sub"}, true},
		{[]string{"username", "email"}, false},
		{[]string{"sub", "sub"}, false},
		{[]string{"identities", "x"}, false},
		{[]string{"dev:custom:own", "x"}, false},
		{[]string{"custom:none", "x"}, false},
		{[]string{"email", ""}, false},
		{[]string{"email", "a\x00"}, false},
	} {
		_, err := app.provider(t, fmt.Sprint("Corp", i), "OIDC", oidcDetails(), mapped(c.mapping...))
		if c.ok && err != nil {
			t.Errorf("%v: %v", c.mapping, err)
		} else if !c.ok {
			wantError(t, fmt.Sprint(c.mapping), err, "InvalidParameterException", "")
		}
	}
	_, err = app.provider(t, "Acr", "OIDC", oidcDetails(), func(in *cip.CreateIdentityProviderInput) {})
	if err != nil {
		t.Error(err)
	}
	if _, err := app.provider(t, "a_", "OIDC", oidcDetails()); err == nil {
		t.Error("a name that ends with _")
	}
}

// TestProviderDocuments has the server ask providers for their documents.
func TestProviderDocuments(t *testing.T) {
	ts := newTestServerSQLite(t)
	var document map[string]any
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			json.NewEncoder(w).Encode(document)
		case "/metadata":
			w.Write([]byte(metadata(t, ts.clock.Now())))
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	document = map[string]any{"issuer": srv.URL, "authorization_endpoint": srv.URL + "/a", "token_endpoint": srv.URL + "/t", "userinfo_endpoint": srv.URL + "/u", "jwks_uri": srv.URL + "/j"}
	details := with(oidcDetails(), "oidc_issuer", srv.URL, "authorize_url", "", "token_url", "", "jwks_uri", "")
	app := ts.newApp(t)
	_, err := app.provider(t, "Corp", "OIDC", details)
	wantError(t, "not on this machine", err, "InvalidParameterException", "")
	_, err = app.provider(t, "Corp", "SAML", detailMap{"MetadataURL": strings.Replace(srv.URL, "http", "https", 1) + "/metadata"})
	wantError(t, "not on this machine", err, "InvalidParameterException", "")

	ts.Remote = &token.Remote{AllowHTTP: true}
	got, err := app.provider(t, "Corp", "OIDC", details)
	if err != nil || got.ProviderDetails["authorize_url"] != srv.URL+"/a" || got.ProviderDetails["token_url"] != srv.URL+"/t" || got.ProviderDetails["jwks_uri"] != srv.URL+"/j" || got.ProviderDetails["attributes_url"] != "https://id.example.com/userinfo" {
		t.Errorf("%+v %v", got, err)
	}
	saml, err := app.provider(t, "Saml", "SAML", detailMap{"MetadataURL": srv.URL + "/metadata"})
	if err != nil || saml.ProviderDetails["SSORedirectBindingURI"] != "https://idp.example.org/sso" || len(saml.AttributeMapping) != 0 {
		t.Errorf("%+v %v", saml, err)
	}
	_, err = app.provider(t, "Saml2", "SAML", detailMap{"MetadataURL": srv.URL + "/none"})
	wantError(t, "no document", err, "InvalidParameterException", "Error retrieving metadata from "+srv.URL+"/none")
	for what, change := range map[string]func(){
		"another issuer":  func() { document["issuer"] = "https://other.example" },
		"no endpoint":     func() { delete(document, "token_endpoint") },
		"an odd endpoint": func() { document["token_endpoint"] = "javascript:x" },
	} {
		former := maps.Clone(document)
		change()
		_, err = app.provider(t, "Corp3", "OIDC", details)
		wantError(t, what, err, "InvalidParameterException", "")
		document = former
	}
}

// TestSigningCertificate: the key stays, its certificate is renewed each year.
func TestSigningCertificate(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		certificate := func() *x509.Certificate {
			out, err := ts.sdk.GetSigningCertificate(t.Context(), &cip.GetSigningCertificateInput{UserPoolId: &app.pool})
			if err != nil {
				t.Fatal(err)
			}
			der, err := base64.StdEncoding.DecodeString(*out.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		first := certificate()
		if err := first.CheckSignature(first.SignatureAlgorithm, first.RawTBSCertificate, first.Signature); err != nil {
			t.Error(err)
		}
		if first.Subject.CommonName != app.pool || first.NotAfter.Before(ts.clock.Now().AddDate(9, 11, 0)) || first.NotBefore.After(ts.clock.Now()) {
			t.Errorf("%+v", first)
		}
		if !certificate().Equal(first) {
			t.Error("another one at once")
		}
		ts.clock.advance(366 * 24 * time.Hour)
		second := certificate()
		if second.Equal(first) || !first.PublicKey.(*rsa.PublicKey).Equal(second.PublicKey) {
			t.Error("not another certificate of the same key")
		}
		other := ts.newApp(t)
		app = other
		if third := certificate(); third.PublicKey.(*rsa.PublicKey).Equal(first.PublicKey) {
			t.Error("the key of another pool")
		}
	})
}
