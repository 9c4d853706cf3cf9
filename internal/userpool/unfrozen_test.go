package userpool

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
)

func unfrozen(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
	p.UserPoolTags = map[string]string{tagUnfrozen: "true"}
}

// made creates a confirmed user as an administrator, without a message.
func (app *testApp) made(t *testing.T, name string, attrs ...string) {
	t.Helper()
	if _, err := app.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, MessageAction: "SUPPRESS", UserAttributes: attributes(attrs...)}); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if _, err := app.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: &name, Password: aws.String(testPassword), Permanent: true}); err != nil {
		t.Fatal(err)
	}
}

func (app *testApp) change(t *testing.T, change FrozenChange) (int, error) {
	t.Helper()
	n, err := app.ChangeFrozen(t.Context(), app.pool, change)
	app.wellNamed(t)
	return n, err
}

// refused fails unless a change is refused and the reason names all of who.
func (app *testApp) refused(t *testing.T, what string, change FrozenChange, who ...string) {
	t.Helper()
	before := app.describe(t)
	_, err := app.change(t, change)
	wantCode(t, what, err, "InvalidParameterException")
	for _, name := range who {
		if err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v does not name %s", what, err, name)
		}
	}
	if after := app.describe(t); fmt.Sprint(*after.LastModifiedDate, after.AliasAttributes, len(after.SchemaAttributes)) != fmt.Sprint(*before.LastModifiedDate, before.AliasAttributes, len(before.SchemaAttributes)) {
		t.Errorf("%s: the pool has changed", what)
	}
}

func (app *testApp) describe(t *testing.T) *types.UserPoolType {
	t.Helper()
	out, err := app.sdk.DescribeUserPool(t.Context(), &cip.DescribeUserPoolInput{UserPoolId: &app.pool})
	if err != nil {
		t.Fatal(err)
	}
	return out.UserPool
}

// wellNamed fails unless every user of the pool is stored under the names that its settings say, and no other.
func (app *testApp) wellNamed(t *testing.T) {
	t.Helper()
	p, err := readPool(t.Context(), app.DB, app.pool)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := db.All[userRow](t.Context(), app.DB, `SELECT `+userColumns+` FROM users u WHERE pool_id = $1`, app.pool)
	if err != nil {
		t.Fatal(err)
	}
	type alias struct{ Kind, Value, Key string }
	var want []string
	for _, row := range rows {
		u := p.user(row)
		if u.Key != p.key(u.Username) {
			t.Errorf("%s is kept under %s", u.Username, u.Key)
		}
		for kind, value := range u.aliases {
			want = append(want, fmt.Sprint(alias{kind, value, u.Key}))
		}
		type found struct{ Email, Preferred string }
		in, err := db.One[found](t.Context(), app.DB, `SELECT COALESCE(email, ''), COALESCE(preferred_username, '') FROM users WHERE pool_id = $1 AND sub = $2`, app.pool, u.Sub)
		if err != nil || in != (found{u.searched[0], u.searched[2]}) {
			t.Errorf("%s is found by %v: %v", u.Username, in, err)
		}
	}
	aliases, err := db.All[alias](t.Context(), app.DB, `SELECT kind, value_key, username_key FROM user_aliases WHERE pool_id = $1`, app.pool)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range aliases {
		got = append(got, fmt.Sprint(a))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("aliases %v, want %v", got, want)
	}
}

func TestCaseSensitivity(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx := t.Context()
		insensitive, sensitive := FrozenChange{CaseSensitive: new(false)}, FrozenChange{CaseSensitive: new(true)}
		frozen := ts.newApp(t)
		frozen.refused(t, "without the tag", insensitive)
		_, err := ts.ChangeFrozen(ctx, "eu-central-1_Missing00", insensitive)
		wantCode(t, "unknown pool", err, "ResourceNotFoundException")

		app := ts.newApp(t, unfrozen, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.AliasAttributes = []types.AliasAttributeType{"email", "preferred_username"}
		})
		if _, err := ts.sdk.CreateGroup(ctx, &cip.CreateGroupInput{UserPoolId: &app.pool, GroupName: aws.String("staff")}); err != nil {
			t.Fatal(err)
		}
		app.made(t, "Alice", "email", "Alice@example.com", "email_verified", "true")
		app.made(t, "bob", "email", "bob@example.com", "email_verified", "true", "preferred_username", "Robert")
		app.made(t, "carol", "email", "alice@example.com", "email_verified", "true")
		app.made(t, "CAROL")
		app.made(t, "robert")
		if _, err := ts.sdk.AdminAddUserToGroup(ctx, &cip.AdminAddUserToGroupInput{UserPoolId: &app.pool, Username: aws.String("Alice"), GroupName: aws.String("staff")}); err != nil {
			t.Fatal(err)
		}
		app.refused(t, "names that differ in case", insensitive, "carol", "CAROL", "Alice", "bob", "robert", "alice@example.com")
		if _, err := app.password(t, "alice", testPassword); err == nil {
			t.Error("alice signs in as Alice")
		}
		for _, name := range []string{"CAROL", "robert"} {
			if _, err := ts.sdk.AdminDeleteUser(ctx, &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: &name}); err != nil {
				t.Fatal(err)
			}
		}
		app.refused(t, "addresses that differ in case", insensitive, "Alice", "carol")
		if _, err := ts.sdk.AdminUpdateUserAttributes(ctx, &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("carol"),
			UserAttributes: attributes("email", "carol@example.com", "email_verified", "true")}); err != nil {
			t.Fatal(err)
		}
		if n, err := app.change(t, insensitive); err != nil || n != 2 {
			t.Fatalf("%d users changed: %v", n, err)
		}
		for _, name := range []string{"alice", "ALICE", "aLiCe@Example.com", "robert", "BOB"} {
			app.signIn(t, name, testPassword)
		}
		groups, err := ts.sdk.AdminListGroupsForUser(ctx, &cip.AdminListGroupsForUserInput{UserPoolId: &app.pool, Username: aws.String("alice")})
		if err != nil || len(groups.Groups) != 1 {
			t.Errorf("groups %v: %v", groups, err)
		}
		if _, err := app.srp(t, "ALICE", testPassword); err != nil {
			t.Errorf("SRP: %v", err)
		}
		_, err = ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("ALICE"), MessageAction: "SUPPRESS", TemporaryPassword: aws.String(testPassword)})
		wantError(t, "the name in another case", err, "UsernameExistsException", "")
		found, err := ts.sdk.ListUsers(ctx, &cip.ListUsersInput{UserPoolId: &app.pool, Filter: aws.String(`email = "ALICE@EXAMPLE.COM"`)})
		if err != nil || len(found.Users) != 1 || *found.Users[0].Username != "Alice" {
			t.Errorf("found %v: %v", found, err)
		}
		if c := app.describe(t).UsernameConfiguration; c == nil || *c.CaseSensitive {
			t.Errorf("UsernameConfiguration %v", c)
		}
		// And back.
		if n, err := app.change(t, sensitive); err != nil || n != 2 {
			t.Fatalf("%d users changed back: %v", n, err)
		}
		app.signIn(t, "Alice", testPassword)
		app.signIn(t, "Alice@example.com", testPassword)
		_, err = app.password(t, "alice", testPassword)
		wantError(t, "another case", err, "UserNotFoundException", "")
	})
}

func TestAliasesChange(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, unfrozen)
		aliases := func(list ...string) FrozenChange { return FrozenChange{Aliases: &list} }
		app.made(t, "alice", "email", "a@example.com", "email_verified", "true", "preferred_username", "ally")
		app.made(t, "bob", "email", "a@example.com", "email_verified", "true", "preferred_username", "alice")
		app.made(t, "carol", "email", "a@example.com")
		app.made(t, "dave@example.com")
		app.made(t, "erin", "preferred_username", "e@example.com")
		app.refused(t, "no such alias", aliases("name"))
		app.refused(t, "a username like an address", aliases("email"), "dave@example.com")
		app.refused(t, "a preferred username like an address", aliases("email", "preferred_username"), "dave@example.com", "erin")
		app.refused(t, "a preferred username that is another's username", aliases("preferred_username"), "alice", "bob")
		for _, name := range []string{"dave@example.com", "erin"} {
			if _, err := ts.sdk.AdminDeleteUser(t.Context(), &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: &name}); err != nil {
				t.Fatal(err)
			}
		}
		app.refused(t, "one address verified by two", aliases("email"), "alice", "bob", "a@example.com")
		if _, err := ts.sdk.AdminUpdateUserAttributes(t.Context(), &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("bob"),
			UserAttributes: attributes("email", "b@example.com", "email_verified", "true", "preferred_username", "rob")}); err != nil {
			t.Fatal(err)
		}
		if n, err := app.change(t, aliases("email", "preferred_username")); err != nil || n != 2 {
			t.Fatalf("%d users changed: %v", n, err)
		}
		for _, name := range []string{"alice", "a@example.com", "ally", "bob", "b@example.com", "rob"} {
			app.signIn(t, name, testPassword)
		}
		if got := app.describe(t).AliasAttributes; len(got) != 2 {
			t.Errorf("AliasAttributes %v", got)
		}
		if n, err := app.change(t, aliases()); err != nil || n != 2 {
			t.Fatalf("%d users changed: %v", n, err)
		}
		_, err := app.password(t, "a@example.com", testPassword)
		wantError(t, "an alias no more", err, "UserNotFoundException", "")
		app.signIn(t, "alice", testPassword)

		byMail := ts.newApp(t, unfrozen, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.UsernameAttributes = []types.UsernameAttributeType{"email"}
		})
		byMail.refused(t, "aliases beside UsernameAttributes", aliases("email"))
		byMail.made(t, "A@example.com")
		byMail.made(t, "a@example.com")
		byMail.refused(t, "addresses that differ in case", FrozenChange{CaseSensitive: new(false)}, "a@example.com")
	})
}

func TestAttributeChange(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx := t.Context()
		app := ts.newApp(t, unfrozen, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.Schema = []types.SchemaAttributeType{{Name: aws.String("note"), AttributeDataType: "String", Mutable: aws.Bool(false)}, {Name: aws.String("level"), AttributeDataType: "Number"}}
		})
		app.made(t, "alice", "name", "Alice", "custom:note", "x", "custom:level", "7")
		app.made(t, "bob", "custom:level", "12")
		attribute := func(c AttributeChange) FrozenChange { return FrozenChange{Attribute: &c} }
		setNote := func(value string) error {
			_, err := ts.sdk.AdminUpdateUserAttributes(ctx, &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("alice"), UserAttributes: attributes("custom:note", value)})
			return err
		}
		wantError(t, "immutable", setNote("y"), "InvalidParameterException", "")
		if _, err := app.change(t, attribute(AttributeChange{Name: "custom:note", Mutable: new(true)})); err != nil {
			t.Fatal(err)
		}
		if err := setNote("longer"); err != nil {
			t.Errorf("mutable: %v", err)
		}
		app.refused(t, "nothing", attribute(AttributeChange{Name: "custom:note"}))
		app.refused(t, "nothing", FrozenChange{})
		app.refused(t, "discarding without removing", attribute(AttributeChange{Name: "custom:note", Discard: true}))
		app.refused(t, "unknown attribute", attribute(AttributeChange{Name: "custom:none", Mutable: new(true)}), "custom:none")
		app.refused(t, "sub", attribute(AttributeChange{Name: "sub", Mutable: new(true)}), "sub")
		app.refused(t, "a required custom attribute", attribute(AttributeChange{Name: "custom:note", Required: new(true)}))
		app.refused(t, "required, and missing", attribute(AttributeChange{Name: "name", Required: new(true)}), "bob")
		app.refused(t, "too long now", attribute(AttributeChange{Name: "custom:note", Max: new("3")}), "alice")
		app.refused(t, "too large now", attribute(AttributeChange{Name: "custom:level", Max: new("10")}), "bob")
		app.refused(t, "no number", attribute(AttributeChange{Name: "custom:level", Max: new("ten")}))
		app.refused(t, "removing a standard attribute", attribute(AttributeChange{Name: "name", Remove: true}))
		app.refused(t, "removing values", attribute(AttributeChange{Name: "custom:note", Remove: true}), "alice")

		// Required: for those who sign up from now on.
		client := app.anotherClient(t, func(_ *cip.CreateUserPoolInput, c *cip.CreateUserPoolClientInput) {
			c.WriteAttributes = []string{"email", "custom:note"}
		})
		if _, err := ts.sdk.AdminUpdateUserAttributes(ctx, &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("bob"), UserAttributes: attributes("name", "Bob")}); err != nil {
			t.Fatal(err)
		}
		app.refused(t, "required, and a client cannot write it", attribute(AttributeChange{Name: "name", Required: new(true)}), client.app)
		app.refused(t, "removed, and a client can write it", attribute(AttributeChange{Name: "custom:note", Remove: true, Discard: true}), client.app)
		if _, err := ts.sdk.DeleteUserPoolClient(ctx, &cip.DeleteUserPoolClientInput{UserPoolId: &app.pool, ClientId: &client.app}); err != nil {
			t.Fatal(err)
		}
		if n, err := app.change(t, attribute(AttributeChange{Name: "name", Required: new(true)})); err != nil || n != 0 {
			t.Fatalf("%d users changed: %v", n, err)
		}
		_, err := ts.sdk.SignUp(ctx, &cip.SignUpInput{ClientId: &app.app, Username: aws.String("carol"), Password: aws.String(testPassword)})
		wantError(t, "without a required attribute", err, "InvalidParameterException", "Attributes did not conform to the schema: name: The attribute name is required\n")
		if _, err := app.change(t, attribute(AttributeChange{Name: "name", Required: new(false)})); err != nil {
			t.Fatal(err)
		}
		if _, err := ts.sdk.SignUp(ctx, &cip.SignUpInput{ClientId: &app.app, Username: aws.String("carol"), Password: aws.String(testPassword)}); err != nil {
			t.Errorf("not required: %v", err)
		}

		// Limits.
		if _, err := app.change(t, attribute(AttributeChange{Name: "custom:level", Min: new("7"), Max: new("12")})); err != nil {
			t.Fatal(err)
		}
		_, err = ts.sdk.AdminUpdateUserAttributes(ctx, &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("alice"), UserAttributes: attributes("custom:level", "13")})
		wantError(t, "beyond the limit", err, "InvalidParameterException", "")

		// Removed with its values, and never seen again.
		if n, err := app.change(t, attribute(AttributeChange{Name: "custom:note", Remove: true, Discard: true})); err != nil || n != 1 {
			t.Fatalf("%d users changed: %v", n, err)
		}
		if _, err := ts.sdk.AddCustomAttributes(ctx, &cip.AddCustomAttributesInput{UserPoolId: &app.pool, CustomAttributes: []types.SchemaAttributeType{{Name: aws.String("note"), AttributeDataType: "String"}}}); err != nil {
			t.Fatal(err)
		}
		u, err := ts.sdk.AdminGetUser(ctx, &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: aws.String("alice")})
		if err != nil {
			t.Fatal(err)
		}
		if got := attributeMap(u.UserAttributes); got["custom:note"] != "" || got["custom:level"] != "7" || got["name"] != "Alice" {
			t.Errorf("attributes %v", got)
		}
	})
}

// TestChangeAndSignUp: users who sign up, and change their names, while the settings change are named as the settings say in the end.
func TestChangeAndSignUp(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx := t.Context()
		app := ts.newApp(t, unfrozen, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.AliasAttributes = []types.AliasAttributeType{"preferred_username"}
		})
		app.made(t, "Alice")

		// What was prepared before a change is not written after it.
		stale, err := ts.Service.pool(ctx, app.pool)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := app.change(t, FrozenChange{CaseSensitive: new(false)}); err != nil {
			t.Fatal(err)
		}
		u := stale.newUser("BOB", "00000000-0000-4000-8000-000000000001", "CONFIRMED", nil, 1)
		err = ts.DB.Tx(ctx, func(tx *db.Tx) error { return ts.insertUser(ctx, tx, stale, u, errSignUpExists) })
		wantCode(t, "user made under the former settings", err, "TooManyRequestsException")
		_, err = ts.updateUser(ctx, stale, "alice", func(_ *db.Tx, u *user) error { u.set("preferred_username", "Ally"); return nil })
		wantCode(t, "user changed under the former settings", err, "TooManyRequestsException")
		app.wellNamed(t)
		err = ts.DB.Tx(ctx, func(tx *db.Tx) error { return sameEpoch(ctx, tx, stale) })
		wantCode(t, "client made under the former settings", err, "TooManyRequestsException")

		seen := map[string]int{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 64 {
			name := fmt.Sprintf("user%d", i/2)
			if i%2 == 0 {
				name = strings.ToUpper(name)
			}
			all.Go(func() {
				in := map[string]any{"ClientId": app.app, "Username": name, "Password": testPassword}
				failure := "TooManyRequestsException"
				for range 10 { // as clients do
					if failure = app.raw(t, "SignUp", in, &struct{}{}); failure != "TooManyRequestsException" {
						break
					}
				}
				mu.Lock()
				defer mu.Unlock()
				seen[failure]++
			})
			if i%16 == 7 {
				all.Go(func() {
					sensitive := i%32 == 7
					_, err := ts.ChangeFrozen(ctx, app.pool, FrozenChange{CaseSensitive: &sensitive})
					if err != nil && !strings.Contains(err.Error(), "users would have one name") {
						t.Errorf("change: %v", err)
					}
				})
			}
		}
		all.Wait()
		app.wellNamed(t)
		if seen[""] < 32 || seen[""]+seen["UsernameExistsException"] != 64 {
			t.Errorf("outcomes %v", seen)
		}
	})
}
