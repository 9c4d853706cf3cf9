package userpool

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
)

// who is a user as linking operations name him: provider, attribute and value.
func who(provider, attribute, value string) *types.ProviderUserIdentifierType {
	u := &types.ProviderUserIdentifierType{ProviderName: &provider, ProviderAttributeValue: &value}
	if attribute != "" {
		u.ProviderAttributeName = &attribute
	}
	return u
}

func (app *testApp) linkTo(ctx context.Context, name string, source *types.ProviderUserIdentifierType) error {
	_, err := app.sdk.AdminLinkProviderForUser(ctx, &cip.AdminLinkProviderForUserInput{UserPoolId: &app.pool, DestinationUser: who("Cognito", "", name), SourceUser: source})
	return err
}

func (app *testApp) unlink(tb testing.TB, u *types.ProviderUserIdentifierType) error {
	_, err := app.sdk.AdminDisableProviderForUser(tb.Context(), &cip.AdminDisableProviderForUserInput{UserPoolId: &app.pool, User: u})
	return err
}

func TestLinking(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		server.Handle("post", echo)
		app, ctx := ts.newApp(t, triggers(types.LambdaConfigType{PostAuthentication: function("post")})), t.Context()
		app.mustProvider(t, "Google", "Google", googleDetails)
		app.mustProvider(t, "Saml", "SAML", detailMap{"MetadataFile": metadata(t, ts.clock.Now())}, mapped("email", "mail"))
		app.user(t, "ada")
		app.user(t, "bob")
		ms := ts.clock.Now().UnixMilli()
		if err := app.linkTo(ctx, "ada", who("Google", "Cognito_Subject", "117")); err != nil {
			t.Fatal(err)
		}
		if err := app.linkTo(ctx, "ada", who("Saml", "email", "ada@corp.example")); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(`[{"userId":"117","providerName":"Google","providerType":"Google","issuer":null,"primary":false,"dateCreated":%d},`+
			`{"userId":"ada@corp.example","providerName":"Saml","providerType":"SAML","issuer":"https://idp.example.org","primary":false,"dateCreated":%d}]`, ms, ms)
		u, err := app.adminGet(t, "ada")
		if err != nil || attributeMap(u.UserAttributes)["identities"] != text || u.UserStatus != "CONFIRMED" {
			t.Errorf("AdminGetUser: %v %v", attributeMap(u.UserAttributes), err)
		}
		list, err := ts.sdk.ListUsers(ctx, &cip.ListUsersInput{UserPoolId: &app.pool, AttributesToGet: []string{"identities"}, Filter: aws.String(`username = "ada"`)})
		if err != nil || len(list.Users) != 1 || !reflect.DeepEqual(attributeMap(list.Users[0].Attributes), map[string]string{"identities": text}) {
			t.Errorf("ListUsers: %v %v", list, err)
		}
		server.Events()
		tokens := app.signIn(t, "ada", testPassword) // as before
		if got, err := app.getUser(t, tokens.AccessToken); err != nil || got["identities"] != text {
			t.Errorf("GetUser: %v %v", got, err)
		}
		if got := member(member(server.Events()[0], "request"), "userAttributes")["identities"]; got != text {
			t.Errorf("triggers are told %v", got)
		}
		want := []any{m{"userId": "117", "providerName": "Google", "providerType": "Google", "issuer": nil, "primary": "false", "dateCreated": fmt.Sprint(ms)},
			m{"userId": "ada@corp.example", "providerName": "Saml", "providerType": "SAML", "issuer": "https://idp.example.org", "primary": "false", "dateCreated": fmt.Sprint(ms)}}
		if got := jwtClaims(t, tokens.IdToken)["identities"]; !reflect.DeepEqual(got, want) {
			t.Errorf("ID token: %v", got)
		}
		if got := jwtClaims(t, app.signIn(t, "bob", testPassword).IdToken); got["identities"] != nil {
			t.Errorf("bob: %v", got)
		}
		// A client that may not read identities does not.
		blind := app.anotherClient(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.ReadAttributes = []string{"email"}
		})
		tokens = blind.signIn(t, "ada", testPassword)
		if got, err := blind.getUser(t, tokens.AccessToken); err != nil || got["identities"] != "" || jwtClaims(t, tokens.IdToken)["identities"] != nil {
			t.Errorf("a client that may not: %v %v", got, err)
		}

		app.mustCreate(t, "Google_118", "email", "x@example.com")
		for what, c := range map[string]struct {
			name          string
			source        *types.ProviderUserIdentifierType
			code, message string
		}{
			"unknown user":             {"nobody", who("Google", "Cognito_Subject", "1"), "UserNotFoundException", "User does not exist."},
			"unknown provider":         {"bob", who("Facebook", "Cognito_Subject", "1"), "InvalidParameterException", "The provider Facebook does not exist for User Pool " + app.pool + "."},
			"again":                    {"ada", who("Google", "Cognito_Subject", "117"), "InvalidParameterException", "SourceUser is already linked to DestinationUser"},
			"another's":                {"bob", who("Google", "Cognito_Subject", "117"), "AliasExistsException", ""},
			"a local user":             {"bob", who("Cognito", "Cognito_Subject", "ada"), "InvalidParameterException", "Merging is not currently supported, provide a SourceUser that has not been signed up in order to link"},
			"a user who is there":      {"bob", who("Google", "Cognito_Subject", "118"), "InvalidParameterException", "Merging is not currently supported, provide a SourceUser that has not been signed up in order to link"},
			"social, by attribute":     {"bob", who("Google", "email", "b@example.com"), "InvalidParameterException", ""},
			"SAML, unmapped attribute": {"bob", who("Saml", "name", "Bob"), "InvalidParameterException", ""},
			"no attribute":             {"bob", who("Google", "", "1"), "InvalidParameterException", ""},
			"no value":                 {"bob", who("Google", "Cognito_Subject", ""), "InvalidParameterException", ""},
			"a null character":         {"bob", who("Google", "Cognito_Subject", "\x00"), "InvalidParameterException", ""},
			"a long value":             {"bob", who("Google", "Cognito_Subject", strings.Repeat("x", 2049)), "InvalidParameterException", ""},
		} {
			wantError(t, what, app.linkTo(ctx, c.name, c.source), c.code, c.message)
		}
		_, err = ts.sdk.AdminLinkProviderForUser(ctx, &cip.AdminLinkProviderForUserInput{UserPoolId: &app.pool, DestinationUser: &types.ProviderUserIdentifierType{}, SourceUser: who("Google", "Cognito_Subject", "1")})
		wantError(t, "no destination", err, "InvalidParameterException", "")
		_, err = ts.sdk.AdminLinkProviderForUser(ctx, &cip.AdminLinkProviderForUserInput{UserPoolId: &app.pool, DestinationUser: who("Google", "", "1"), SourceUser: who("Google", "Cognito_Subject", "2")})
		wantError(t, "unknown federated destination", err, "UserNotFoundException", "")
		if _, err = ts.sdk.AdminLinkProviderForUser(ctx, &cip.AdminLinkProviderForUserInput{UserPoolId: &app.pool, DestinationUser: who("Google", "", "117"), SourceUser: who("Saml", "Cognito_Subject", "s")}); err != nil {
			t.Errorf("a destination by its identity: %v", err)
		}
		for i := range 2 {
			if err := app.linkTo(ctx, "ada", who("Saml", "Cognito_Subject", fmt.Sprint("s", i))); err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, "a sixth", app.linkTo(ctx, "ada", who("Saml", "Cognito_Subject", "s9")), "LimitExceededException", "The limit of 5 linked identities is reached.")

		// Unlinking needs what was linked.
		for what, c := range map[string]struct {
			u    *types.ProviderUserIdentifierType
			code string
		}{
			"unknown identity":  {who("Google", "Cognito_Subject", "1"), "UserNotFoundException"},
			"another attribute": {who("Saml", "Cognito_Subject", "ada@corp.example"), "UserNotFoundException"},
			"no attribute":      {who("Google", "", "117"), "InvalidParameterException"},
			"null character":    {who("Google", "Cognito_Subject", "\x00"), "InvalidParameterException"},
			"unknown user":      {who("Cognito", "Cognito_Subject", "nobody"), "UserNotFoundException"},
			"local, attribute":  {who("Cognito", "email", "ada@example.com"), "InvalidParameterException"},
		} {
			wantError(t, what, app.unlink(t, c.u), c.code, "")
		}
		if err := app.unlink(t, who("Google", "Cognito_Subject", "117")); err != nil {
			t.Fatal(err)
		}
		if err := app.unlink(t, who("Saml", "email", "ada@corp.example")); err != nil {
			t.Fatal(err)
		}
		if u, err = app.adminGet(t, "ada"); err != nil {
			t.Fatal(err)
		}
		var left []struct{ UserID string }
		if err := json.Unmarshal([]byte(attributeMap(u.UserAttributes)["identities"]), &left); err != nil || len(left) != 3 {
			t.Errorf("%v %v", left, err)
		}
		if err := app.linkTo(ctx, "bob", who("Google", "Cognito_Subject", "117")); err != nil {
			t.Errorf("somebody else's then: %v", err)
		}

		// A user who is deleted frees his identities.
		if _, err := ts.sdk.AdminDeleteUser(ctx, &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: aws.String("bob")}); err != nil {
			t.Fatal(err)
		}
		if err := app.linkTo(ctx, "ada", who("Google", "Cognito_Subject", "117")); err != nil {
			t.Error(err)
		}

		// Another account's pool.
		other := ts.client(otherAccount)
		_, err = other.AdminLinkProviderForUser(ctx, &cip.AdminLinkProviderForUserInput{UserPoolId: &app.pool, DestinationUser: who("Cognito", "", "ada"), SourceUser: who("Google", "Cognito_Subject", "1")})
		wantError(t, "another account", err, "ResourceNotFoundException", "")
		_, err = other.AdminDisableProviderForUser(ctx, &cip.AdminDisableProviderForUserInput{UserPoolId: &app.pool, User: who("Cognito", "Cognito_Subject", "ada")})
		wantError(t, "another account", err, "ResourceNotFoundException", "")
		_, err = ts.sdk.AdminDisableProviderForUser(ctx, &cip.AdminDisableProviderForUserInput{UserPoolId: aws.String("eu-central-1_a\x00"), User: who("Cognito", "Cognito_Subject", "ada")})
		wantError(t, "an odd pool", err, "ResourceNotFoundException", "")
	})
}

// TestDisableLocal takes the password of a user, whom no way leads back to one but an administrator.
func TestDisableLocal(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.user(t, "ada")
		if err := app.unlink(t, who("Cognito", "Cognito_Subject", "ada")); err != nil {
			t.Fatal(err)
		}
		_, err := app.password(t, "ada", testPassword)
		wantError(t, "password", err, "NotAuthorizedException", "Incorrect username or password.")
		_, err = app.srp(t, "ada", testPassword)
		wantError(t, "SRP", err, "NotAuthorizedException", "Incorrect username or password.")
		_, err = app.forgot(t, "ada")
		wantError(t, "forgotten", err, "NotAuthorizedException", "User password cannot be reset in the current state.")
		if got := app.status(t, "ada"); got != "EXTERNAL_PROVIDER" {
			t.Error(got)
		}
		if _, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("ada"), Password: aws.String(newPassword), Permanent: true}); err != nil {
			t.Fatal(err)
		}
		app.signIn(t, "ada", newPassword)
	})
}

// TestLinkImmutable: a user with an immutable attribute of the pool's own cannot be linked to.
func TestLinkImmutable(t *testing.T) {
	ts := newTestServerSQLite(t)
	app := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.Schema = []types.SchemaAttributeType{{Name: aws.String("id"), AttributeDataType: "String", Mutable: aws.Bool(false)}}
	})
	app.mustProvider(t, "Google", "Google", googleDetails)
	app.mustCreate(t, "ada", "email", "ada@example.com", "custom:id", "7")
	app.mustCreate(t, "bob", "email", "bob@example.com")
	wantError(t, "immutable", app.linkTo(t.Context(), "ada", who("Google", "Cognito_Subject", "1")), "InvalidParameterException", "DestinationUser has the immutable attribute custom:id.")
	if err := app.linkTo(t.Context(), "bob", who("Google", "Cognito_Subject", "1")); err != nil {
		t.Error(err)
	}
}

// TestLinkRace: of those who want one identity for their users one gets it, and his user alone has it.
func TestLinkRace(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.mustProvider(t, "Google", "Google", googleDetails)
		var names []string
		for i := range 8 {
			names = append(names, fmt.Sprint("user", i))
			app.mustCreate(t, names[i], "email", names[i]+"@example.com")
		}
		if won := winners(t, len(names), "AliasExistsException", func(ctx context.Context, i int) error {
			return app.linkTo(ctx, names[i], who("Google", "Cognito_Subject", "1"))
		}); won != 1 {
			t.Errorf("%d links", won)
		}
		holders := slices.DeleteFunc(names, func(name string) bool {
			return attributeMap(must(app.adminGet(t, name)).UserAttributes)["identities"] == ""
		})
		rows, err := db.One[int](t.Context(), ts.DB, `SELECT count(*) FROM user_identities`)
		if err != nil || rows != 1 || len(holders) != 1 {
			t.Errorf("%v have it, %d rows, %v", holders, rows, err)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
