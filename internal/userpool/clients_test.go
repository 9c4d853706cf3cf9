package userpool

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
)

func testPool(t *testing.T, in cognitoidp.CreateUserPoolRequest) *pool {
	t.Helper()
	settings, err := poolSettings(&cognitoidp.UpdateUserPoolRequest{
		PoolName: aws.String("p"), AutoVerifiedAttributes: in.AutoVerifiedAttributes, Policies: in.Policies,
		UserAttributeUpdateSettings: in.UserAttributeUpdateSettings,
	}, &mfaSettings{})
	if err != nil {
		t.Fatal(err)
	}
	if err := fixSettings(settings, &in); err != nil {
		t.Fatal(err)
	}
	row := poolRow{ID: "eu-central-1_AbCdEfGhI", AccountID: testAccount, Name: "p"}
	row.Doc.V = *settings
	return row.pool()
}

const minimalClient = `{
	"ClientName": "minimal", "UserPoolId": "eu-central-1_AbCdEfGhI", "RefreshTokenValidity": 30, "TokenValidityUnits": {},
	"AllowedOAuthFlowsUserPoolClient": false, "EnableTokenRevocation": true, "EnablePropagateAdditionalUserContextData": false,
	"AuthSessionValidity": 3
}`

func TestMinimalClient(t *testing.T) {
	p := testPool(t, cognitoidp.CreateUserPoolRequest{})
	settings, err := clientSettings(p, &cognitoidp.UpdateUserPoolClientRequest{ClientName: aws.String("minimal")}, false, "creating")
	if err != nil {
		t.Fatal(err)
	}
	row := clientRow{ID: "c", PoolID: p.ID, Name: "minimal"}
	row.Doc.V = *settings
	c, err := (&Service{}).readClient(p, row)
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, "a minimal client", wireClient(c), minimalClient, "ClientId", "CreationDate", "LastModifiedDate")
	if c.AccessTokenLife != time.Hour || c.IDTokenLife != time.Hour || c.RefreshTokenLife != 30*24*time.Hour || c.SessionLife != 3*time.Minute {
		t.Errorf("tokens live %v, %v, %v, sessions %v", c.AccessTokenLife, c.IDTokenLife, c.RefreshTokenLife, c.SessionLife)
	}
	if !slices.Equal(c.Flows, []string{"ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_CUSTOM_AUTH"}) {
		t.Errorf("flows %v", c.Flows)
	}
}

// TestClientSettings gives settings as JSON; text is part of the message, "" means that they are accepted.
func TestClientSettings(t *testing.T) {
	p := testPool(t, cognitoidp.CreateUserPoolRequest{Schema: []cognitoidp.SchemaAttributeType{
		{Name: new("email"), Required: new(true)}, {Name: new("x"), AttributeDataType: new("String")},
		{Name: new("d"), AttributeDataType: new("String"), DeveloperOnlyAttribute: new(true)}}})
	for _, test := range []struct{ in, code, text string }{
		{`{"AccessTokenValidity":5,"TokenValidityUnits":{"AccessToken":"minutes"}}`, "", ""},
		{`{"AccessTokenValidity":4,"TokenValidityUnits":{"AccessToken":"minutes"}}`, "InvalidParameterException", "Invalid range for token validity."},
		{`{"AccessTokenValidity":24}`, "", ""},
		{`{"AccessTokenValidity":25}`, "InvalidParameterException", "Invalid range for token validity."},
		{`{"IdTokenValidity":299,"TokenValidityUnits":{"IdToken":"seconds"}}`, "InvalidParameterException", "Invalid range for token validity."},
		{`{"RefreshTokenValidity":3650}`, "", ""},
		{`{"RefreshTokenValidity":3651}`, "InvalidParameterException", "Invalid range for token validity."},
		{`{"RefreshTokenValidity":0}`, "", ""},
		{`{"RefreshTokenValidity":60,"TokenValidityUnits":{"RefreshToken":"minutes"}}`, "", ""},
		{`{"RefreshTokenValidity":59,"TokenValidityUnits":{"RefreshToken":"minutes"}}`, "InvalidParameterException", "Invalid range for token validity."},
		{`{"RefreshTokenValidity":1,"TokenValidityUnits":{"RefreshToken":"hours"},"IdTokenValidity":2}`, "InvalidParameterException", "Invalid range for token validity."},
		{`{"ExplicitAuthFlows":["ADMIN_NO_SRP_AUTH","ALLOW_USER_SRP_AUTH"]}`, "InvalidParameterException", "legacy"},
		{`{"ExplicitAuthFlows":["ADMIN_NO_SRP_AUTH","USER_PASSWORD_AUTH"]}`, "", ""},
		{`{"ExplicitAuthFlows":["ALLOW_CLIENT_TOKEN_AUTH"]}`, "InvalidParameterException", "ALLOW_CLIENT_TOKEN_AUTH"},
		{`{"ExplicitAuthFlows":["ALLOW_USER_SRP_AUTH","ALLOW_CLIENT_TOKEN_AUTH"]}`, "InvalidParameterException", "must be the only auth flow"},
		{`{"ExplicitAuthFlows":["ALLOW_REFRESH_TOKEN_AUTH"],"RefreshTokenRotation":{"Feature":"ENABLED"}}`, "InvalidParameterException", "rotation"},
		{`{"ExplicitAuthFlows":["ALLOW_USER_SRP_AUTH"],"RefreshTokenRotation":{"Feature":"ENABLED","RetryGracePeriodSeconds":10}}`, "", ""},
		{`{"ReadAttributes":["email","custom:x","email_verified"]}`, "", ""},
		{`{"ReadAttributes":["custom:y"]}`, "InvalidParameterException", "Invalid read attributes specified while creating a client"},
		{`{"ReadAttributes":["dev:custom:d"]}`, "InvalidParameterException", "Invalid read attributes"},
		{`{"WriteAttributes":["email","custom:x"]}`, "", ""},
		{`{"WriteAttributes":["custom:x"]}`, "InvalidParameterException", "Invalid write attributes specified while creating a client"},
		{`{"WriteAttributes":["email","email_verified"]}`, "InvalidParameterException", "Invalid write attributes"},
		{`{"WriteAttributes":["email","sub"]}`, "InvalidParameterException", "Invalid write attributes"},
		{`{"SupportedIdentityProviders":["COGNITO"]}`, "", ""},
		{`{"AllowedOAuthFlowsUserPoolClient":true}`, "InvalidParameterException", "AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth flows."},
		{`{"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthFlows":["code"],"AllowedOAuthScopes":["openid"]}`, "InvalidParameterException", "CallbackURLs"},
		{`{"AllowedOAuthFlowsUserPoolClient":true,"AllowedOAuthFlows":["code"],"AllowedOAuthScopes":["openid"],"CallbackURLs":["https://example.com/"],"DefaultRedirectURI":"https://example.com/"}`, "", ""},
		{`{"AllowedOAuthFlows":["code","client_credentials"]}`, "InvalidOAuthFlowException", "client_credentials flow can not be selected along with code flow or implicit flow."},
		{`{"AllowedOAuthFlows":["client_credentials"]}`, "InvalidOAuthFlowException", "client_credentials flow can not be selected if client does not have a client secret."},
		{`{"AllowedOAuthScopes":["read"]}`, "ScopeDoesNotExistException", "read"},
		{`{"DefaultRedirectURI":"https://example.com/"}`, "InvalidParameterException", "DefaultRedirectURI"},
		{`{"CallbackURLs":["http://localhost:3000/cb","http://127.0.0.1/","http://[::1]:1/","myapp://done"]}`, "", ""},
		{`{"CallbackURLs":["http://example.com/"]}`, "InvalidParameterException", "not a valid redirect URI"},
		{`{"CallbackURLs":["https://example.com/#x"]}`, "InvalidParameterException", "not a valid redirect URI"},
		{`{"CallbackURLs":["/relative"]}`, "InvalidParameterException", "not a valid redirect URI"},
		{`{"LogoutURLs":["javascript:alert(1)"]}`, "InvalidParameterException", "not a valid redirect URI"},
		{`{"EnablePropagateAdditionalUserContextData":true}`, "InvalidParameterException", "requires a client secret"},
	} {
		var in cognitoidp.UpdateUserPoolClientRequest
		if err := json.Unmarshal([]byte(test.in), &in); err != nil {
			t.Fatal(err)
		}
		_, err := clientSettings(p, &in, false, "creating")
		if test.code == "" {
			if err != nil {
				t.Errorf("%s: %v", test.in, err)
			}
			continue
		}
		e, ok := err.(*awsapi.Error)
		if !ok || e.Code != test.code || !strings.Contains(e.Message, test.text) {
			t.Errorf("%s: %v, want %s: …%s…", test.in, err, test.code, test.text)
		}
	}
}

func TestClients(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx := t.Context()
		app := ts.newApp(t, withSecret)
		if !regexp.MustCompile(`^[0-9a-v]{26}$`).MatchString(app.app) || !regexp.MustCompile(`^[0-9a-v]{52}$`).MatchString(app.secret) {
			t.Errorf("client id %s, secret %s", app.app, app.secret)
		}
		described, err := ts.sdk.DescribeUserPoolClient(ctx, &cip.DescribeUserPoolClientInput{UserPoolId: &app.pool, ClientId: &app.app})
		if err != nil || *described.UserPoolClient.ClientSecret != app.secret {
			t.Fatalf("described %+v, error %v", described, err)
		}
		_, err = ts.sdk.CreateUserPoolClient(ctx, &cip.CreateUserPoolClientInput{UserPoolId: &app.pool, ClientName: aws.String("c"), GenerateSecret: true, ClientSecret: aws.String(strings.Repeat("s", 24))})
		wantError(t, "two secrets", err, "InvalidParameterException", "")
		_, err = ts.sdk.CreateUserPoolClient(ctx, &cip.CreateUserPoolClientInput{UserPoolId: &app.pool, ClientName: aws.String("c"), GenerateSecret: true, ExplicitAuthFlows: []types.ExplicitAuthFlowsType{"ALLOW_CLIENT_TOKEN_AUTH"}})
		wantError(t, "tokens for the client itself", err, "InvalidParameterException", "ALLOW_CLIENT_TOKEN_AUTH is not available in this server.")
		own, err := ts.sdk.CreateUserPoolClient(ctx, &cip.CreateUserPoolClientInput{UserPoolId: &app.pool, ClientName: aws.String("c"), ClientSecret: aws.String(strings.Repeat("s", 24))})
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := ts.Service.client(ctx, *own.UserPoolClient.ClientId)
		if err != nil || len(c.Secrets) != 1 || c.Secrets[0] != strings.Repeat("s", 24) {
			t.Fatalf("client %+v, error %v", c, err)
		}

		// An update resets what it does not name, but neither name nor secret, and is seen at once.
		if _, err := ts.sdk.UpdateUserPoolClient(ctx, &cip.UpdateUserPoolClientInput{UserPoolId: &app.pool, ClientId: &app.app, PreventUserExistenceErrors: "ENABLED"}); err != nil {
			t.Fatal(err)
		}
		updated, err := ts.sdk.UpdateUserPoolClient(ctx, &cip.UpdateUserPoolClientInput{UserPoolId: &app.pool, ClientId: &app.app, ReadAttributes: []string{"email"}})
		if err != nil {
			t.Fatal(err)
		}
		if u := updated.UserPoolClient; *u.ClientName != "app" || *u.ClientSecret != app.secret || u.ExplicitAuthFlows != nil || u.PreventUserExistenceErrors != "" {
			t.Errorf("updated %+v", u)
		}
		if c, _, err := ts.Service.client(ctx, app.app); err != nil || c.readable("name") || !c.readable("email") || !c.readable("sub") || !c.writable("name") {
			t.Errorf("client %+v, error %v", c, err)
		}

		var names []string
		list := cip.NewListUserPoolClientsPaginator(ts.sdk, &cip.ListUserPoolClientsInput{UserPoolId: &app.pool, MaxResults: aws.Int32(1)})
		for list.HasMorePages() {
			page, err := list.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.UserPoolClients {
				names = append(names, *c.ClientName)
			}
		}
		if slices.Sort(names); !slices.Equal(names, []string{"app", "c"}) {
			t.Errorf("clients %v", names)
		}

		other := ts.newApp(t)
		_, err = ts.sdk.DescribeUserPoolClient(ctx, &cip.DescribeUserPoolClientInput{UserPoolId: &other.pool, ClientId: &app.app})
		wantError(t, "a client of another pool", err, "ResourceNotFoundException", "User pool client "+app.app+" does not exist.")
		_, err = ts.sdk.DeleteUserPoolClient(ctx, &cip.DeleteUserPoolClientInput{UserPoolId: &other.pool, ClientId: &app.app})
		wantError(t, "deleting a client of another pool", err, "ResourceNotFoundException", "")
		if _, err = ts.sdk.DeleteUserPoolClient(ctx, &cip.DeleteUserPoolClientInput{UserPoolId: &app.pool, ClientId: &app.app}); err != nil {
			t.Fatal(err)
		}
		_, err = ts.sdk.UpdateUserPoolClient(ctx, &cip.UpdateUserPoolClientInput{UserPoolId: &app.pool, ClientId: &app.app})
		wantError(t, "a deleted client", err, "ResourceNotFoundException", "User pool client "+app.app+" does not exist.")
		if _, _, err := ts.Service.client(ctx, app.app); err == nil {
			t.Error("a deleted client is still in memory")
		}
		if _, err := ts.sdk.DeleteUserPool(ctx, &cip.DeleteUserPoolInput{UserPoolId: &app.pool}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ts.Service.client(ctx, *own.UserPoolClient.ClientId); err == nil {
			t.Error("a client of a deleted pool is still there")
		}
	})
}
