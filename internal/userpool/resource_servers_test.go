package userpool

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
)

func scopes(names ...string) []types.ResourceServerScopeType {
	var list []types.ResourceServerScopeType
	for _, n := range names {
		list = append(list, types.ResourceServerScopeType{ScopeName: aws.String(n), ScopeDescription: aws.String("to " + n)})
	}
	return list
}

func scopeNames(r *types.ResourceServerType) string {
	var names []string
	for _, s := range r.Scopes {
		names = append(names, *s.ScopeName+"="+*s.ScopeDescription)
	}
	return strings.Join(names, " ")
}

func TestResourceServers(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx, app := t.Context(), ts.newApp(t)
		const api = "https://api.example.com/v1"
		created, err := ts.sdk.CreateResourceServer(ctx, &cip.CreateResourceServerInput{UserPoolId: &app.pool, Identifier: aws.String(api), Name: aws.String("API"), Scopes: scopes("read", "write")})
		if err != nil {
			t.Fatal(err)
		}
		if r := created.ResourceServer; *r.UserPoolId != app.pool || *r.Identifier != api || *r.Name != "API" || scopeNames(r) != "read=to read write=to write" {
			t.Errorf("created %+v", r)
		}
		create := func(identifier string, s ...string) error {
			_, err := ts.sdk.CreateResourceServer(ctx, &cip.CreateResourceServerInput{UserPoolId: &app.pool, Identifier: &identifier, Name: aws.String("x"), Scopes: scopes(s...)})
			return err
		}
		wantError(t, "same identifier", create(api), "InvalidParameterException", api+" already exists in the user pool.")
		wantError(t, "a scope twice", create("twice", "a", "a"), "InvalidParameterException", "The scope a is given more than once.")
		wantError(t, "slash in a scope", create("slash", "a/b"), "InvalidParameterException", "")

		// Clients take the scopes of the pool, and only those.
		update := func(scope string) error {
			_, err := ts.sdk.UpdateUserPoolClient(ctx, &cip.UpdateUserPoolClientInput{UserPoolId: &app.pool, ClientId: &app.app, AllowedOAuthScopes: []string{"openid", scope}})
			return err
		}
		for _, scope := range []string{api + "/read", api + "/write"} {
			if err := update(scope); err != nil {
				t.Errorf("%s: %v", scope, err)
			}
		}
		for _, scope := range []string{api + "/delete", api + "/v1/read", "other/read", api, "/", api + "/"} {
			wantError(t, scope, update(scope), "ScopeDoesNotExistException", "Invalid scope requested: "+scope)
		}
		_, err = ts.sdk.CreateUserPoolClient(ctx, &cip.CreateUserPoolClientInput{UserPoolId: &app.pool, ClientName: aws.String("c"), AllowedOAuthScopes: []string{"other/read"}})
		wantError(t, "new client", err, "ScopeDoesNotExistException", "Invalid scope requested: other/read")

		// An update replaces, and clients keep the name of a scope that is gone.
		updated, err := ts.sdk.UpdateResourceServer(ctx, &cip.UpdateResourceServerInput{UserPoolId: &app.pool, Identifier: aws.String(api), Name: aws.String("API 2"), Scopes: scopes("read")})
		if err != nil || *updated.ResourceServer.Name != "API 2" || scopeNames(updated.ResourceServer) != "read=to read" {
			t.Errorf("updated: %+v %v", updated, err)
		}
		described, err := ts.sdk.DescribeResourceServer(ctx, &cip.DescribeResourceServerInput{UserPoolId: &app.pool, Identifier: aws.String(api)})
		if err != nil || *described.ResourceServer.Name != "API 2" || scopeNames(described.ResourceServer) != "read=to read" {
			t.Errorf("described: %+v %v", described, err)
		}
		c, err := ts.sdk.DescribeUserPoolClient(ctx, &cip.DescribeUserPoolClientInput{UserPoolId: &app.pool, ClientId: &app.app})
		if err != nil || !slices.Contains(c.UserPoolClient.AllowedOAuthScopes, api+"/write") {
			t.Errorf("client afterwards: %+v %v", c, err)
		}
		wantError(t, "scope that is gone", update(api+"/write"), "ScopeDoesNotExistException", "")

		for i := range maxResourceServers - 1 {
			if err := create(fmt.Sprintf("api-%02d", i)); err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, "one too many", create("more"), "LimitExceededException", "")
		wantError(t, "known, and no room", create("api-01"), "InvalidParameterException", "api-01 already exists in the user pool.")
		var names []string
		pages := cip.NewListResourceServersPaginator(ts.sdk, &cip.ListResourceServersInput{UserPoolId: &app.pool, MaxResults: aws.Int32(10)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.ResourceServers {
				names = append(names, *r.Identifier)
			}
		}
		if len(names) != maxResourceServers || !slices.IsSorted(names) || names[0] != "api-00" || names[24] != api {
			t.Errorf("listed %q", names)
		}
		_, err = ts.sdk.ListResourceServers(ctx, &cip.ListResourceServersInput{UserPoolId: &app.pool, NextToken: aws.String("x")})
		wantError(t, "token", err, "InvalidParameterException", "Invalid pagination token")

		remove := func() error {
			_, err := ts.sdk.DeleteResourceServer(ctx, &cip.DeleteResourceServerInput{UserPoolId: &app.pool, Identifier: aws.String(api)})
			return err
		}
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		gone := "Resource server " + api + " does not exist."
		wantError(t, "Delete", remove(), "ResourceNotFoundException", gone)
		_, err = ts.sdk.DescribeResourceServer(ctx, &cip.DescribeResourceServerInput{UserPoolId: &app.pool, Identifier: aws.String(api)})
		wantError(t, "Describe", err, "ResourceNotFoundException", gone)
		_, err = ts.sdk.UpdateResourceServer(ctx, &cip.UpdateResourceServerInput{UserPoolId: &app.pool, Identifier: aws.String(api), Name: aws.String("x")})
		wantError(t, "Update", err, "ResourceNotFoundException", gone)

		// For another account there is no such pool.
		other, id, name := ts.client(otherAccount), aws.String("api-00"), aws.String("x")
		for op, call := range map[string]func() error{
			"Create": func() error {
				_, err := other.CreateResourceServer(ctx, &cip.CreateResourceServerInput{UserPoolId: &app.pool, Identifier: name, Name: name})
				return err
			},
			"Describe": func() error {
				_, err := other.DescribeResourceServer(ctx, &cip.DescribeResourceServerInput{UserPoolId: &app.pool, Identifier: id})
				return err
			},
			"Update": func() error {
				_, err := other.UpdateResourceServer(ctx, &cip.UpdateResourceServerInput{UserPoolId: &app.pool, Identifier: id, Name: name})
				return err
			},
			"Delete": func() error {
				_, err := other.DeleteResourceServer(ctx, &cip.DeleteResourceServerInput{UserPoolId: &app.pool, Identifier: id})
				return err
			},
			"List": func() error {
				_, err := other.ListResourceServers(ctx, &cip.ListResourceServersInput{UserPoolId: &app.pool})
				return err
			},
		} {
			wantError(t, op+" by another account", call(), "ResourceNotFoundException", "User pool "+app.pool+" does not exist.")
		}
	})
}
