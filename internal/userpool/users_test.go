package userpool

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
)

// options of pools

func aliases(kinds ...types.AliasAttributeType) func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {
	return func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) { p.AliasAttributes = kinds }
}

func usernames(kinds ...types.UsernameAttributeType) func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {
	return func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) { p.UsernameAttributes = kinds }
}

func caseInsensitive(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
	p.UsernameConfiguration = &types.UsernameConfigurationType{CaseSensitive: aws.Bool(false)}
}

// create creates a user without an invitation.
func (app *testApp) create(tb testing.TB, name string, pairs ...string) (*types.UserType, error) {
	out, err := app.sdk.AdminCreateUser(tb.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, MessageAction: "SUPPRESS",
		UserAttributes: attributes(pairs...)})
	if err != nil {
		return nil, err
	}
	return out.User, nil
}

func (app *testApp) mustCreate(tb testing.TB, name string, pairs ...string) *types.UserType {
	tb.Helper()
	u, err := app.create(tb, name, pairs...)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func (app *testApp) adminGet(tb testing.TB, name string) (*cip.AdminGetUserOutput, error) {
	return app.sdk.AdminGetUser(tb.Context(), &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: &name})
}

// usernameOf returns the stored username of the user whom a name means; "" for none.
func (app *testApp) usernameOf(tb testing.TB, name string) string {
	tb.Helper()
	out, err := app.adminGet(tb, name)
	if err != nil {
		wantError(tb, name, err, "UserNotFoundException", "User does not exist.")
		return ""
	}
	return *out.Username
}

func (app *testApp) adminUpdate(tb testing.TB, name string, pairs ...string) error {
	_, err := app.sdk.AdminUpdateUserAttributes(tb.Context(), &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: &name, UserAttributes: attributes(pairs...)})
	return err
}

func TestAdminCreateUser(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		ctx := t.Context()
		u := app.mustCreate(t, "ann", "email", "ann@example.com", "email_verified", "true", "name", "Ann")
		if a := attributeMap(u.Attributes); *u.Username != "ann" || !u.Enabled || u.UserStatus != "FORCE_CHANGE_PASSWORD" ||
			a["email"] != "ann@example.com" || a["email_verified"] != "true" || len(a["sub"]) != 36 || *u.Attributes[0].Name != "sub" {
			t.Errorf("created %+v", u)
		}
		if sent := ts.outbox.take(); len(sent) != 0 {
			t.Errorf("sent %+v", sent)
		}
		got, err := app.adminGet(t, "ann")
		if err != nil || *got.Username != "ann" || attributeMap(got.UserAttributes)["name"] != "Ann" || !got.UserCreateDate.Equal(ts.clock.Now().Truncate(time.Millisecond)) {
			t.Errorf("got %+v, error %v", got, err)
		}
		_, err = app.create(t, "ann")
		wantError(t, "a username that is taken", err, "UsernameExistsException", "User account already exists")
		if app.usernameOf(t, "Ann") != "" {
			t.Error("the pool ignores case")
		}
		if sub := attributeMap(got.UserAttributes)["sub"]; app.usernameOf(t, sub) != "ann" {
			t.Error("not found by sub")
		}

		// Invitations.
		out, err := ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("bob"),
			UserAttributes: attributes("email", "bob@example.com"), DesiredDeliveryMediums: []types.DeliveryMediumType{"EMAIL"}})
		if err != nil {
			t.Fatal(err)
		}
		first := ts.outbox.password(t)
		p, _ := ts.Service.pool(ctx, app.pool)
		if err := p.checkPassword(first); err != nil {
			t.Errorf("the generated password breaks the policy: %v", err)
		}
		ts.clock.advance(time.Hour)
		again, err := ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("bob"), MessageAction: "RESEND",
			DesiredDeliveryMediums: []types.DeliveryMediumType{"EMAIL"}})
		if err != nil {
			t.Fatal(err)
		}
		if second := ts.outbox.password(t); second == first {
			t.Error("invited again with the old password")
		}
		if !again.User.UserLastModifiedDate.After(*out.User.UserLastModifiedDate) {
			t.Error("an invitation does not count as a change")
		}
		invite := func(name, password string, mediums ...types.DeliveryMediumType) error {
			in := &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, DesiredDeliveryMediums: mediums}
			if password != "" {
				in.TemporaryPassword = &password
			}
			_, err := ts.sdk.AdminCreateUser(ctx, in)
			return err
		}
		wantError(t, "no destination", invite("carl", ""), "InvalidParameterException", "")
		wantError(t, "no phone number", invite("carl", testPassword, "SMS"), "InvalidParameterException", "")
		wantError(t, "a weak password", invite("carl", "Short1!"), "InvalidPasswordException", "Password did not conform with policy: Password not long enough")
		if err := invite("carl", testPassword); err != nil {
			t.Errorf("no destination, but a password that the administrator knows: %v", err)
		}
		_, err = ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("none"), MessageAction: "RESEND"})
		wantError(t, "inviting nobody again", err, "UserNotFoundException", "User does not exist.")
		if _, err := ts.sdk.AdminSetUserPassword(ctx, &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("bob"), Password: aws.String(testPassword), Permanent: true}); err != nil {
			t.Fatal(err)
		}
		_, err = ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("bob"), MessageAction: "RESEND"})
		wantError(t, "inviting a confirmed user again", err, "UnsupportedUserStateException", "Resend not possible. bob status is not FORCE_CHANGE_PASSWORD")

		_, err = app.create(t, "dora", "custom:none", "x")
		wantError(t, "an unknown attribute", err, "InvalidParameterException", "Attributes did not conform to the schema: Type for attribute {custom:none} could not be determined")
		_, err = app.create(t, "dora", "email_verified", "true")
		wantError(t, "verifying nothing", err, "InvalidParameterException", "Email is required to verify/un-verify an email")
	})
}

func TestAdminUserLife(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		ctx := t.Context()
		app.mustCreate(t, "ann")
		ann := aws.String("ann")
		status := func() string {
			t.Helper()
			out, err := app.adminGet(t, "ann")
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(out.UserStatus, " ", out.Enabled)
		}
		set := func(password string, permanent bool) error {
			_, err := ts.sdk.AdminSetUserPassword(ctx, &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: ann, Password: &password, Permanent: permanent})
			return err
		}
		wantError(t, "a weak password", set("weak", true), "InvalidPasswordException", "Password did not conform with policy: Password not long enough")
		if err := set(testPassword, true); err != nil || status() != "CONFIRMED true" {
			t.Errorf("permanent password: %s, error %v", status(), err)
		}
		app.signIn(t, "ann", testPassword)
		if err := set(newPassword, false); err != nil || status() != "FORCE_CHANGE_PASSWORD true" {
			t.Errorf("temporary password: %s, error %v", status(), err)
		}
		if err := set(newPassword, true); err != nil {
			t.Fatal(err)
		}
		tokens := app.signIn(t, "ann", newPassword)
		if _, err := ts.sdk.AdminDisableUser(ctx, &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: ann}); err != nil || status() != "CONFIRMED false" {
			t.Errorf("disabled: %s, error %v", status(), err)
		}
		_, err := app.password(t, "ann", newPassword)
		wantError(t, "a disabled user signs in", err, "NotAuthorizedException", "User is disabled.")
		if _, err := ts.sdk.AdminEnableUser(ctx, &cip.AdminEnableUserInput{UserPoolId: &app.pool, Username: ann}); err != nil || status() != "CONFIRMED true" {
			t.Errorf("enabled: %s, error %v", status(), err)
		}
		_, err = app.getUser(t, tokens.AccessToken)
		wantError(t, "a token from before", err, "NotAuthorizedException", "Access Token has been revoked")
		app.signIn(t, "ann", newPassword)

		_, err = ts.sdk.AdminConfirmSignUp(ctx, &cip.AdminConfirmSignUpInput{UserPoolId: &app.pool, Username: ann})
		wantError(t, "confirming a confirmed user", err, "NotAuthorizedException", "User cannot be confirmed. Current status is CONFIRMED")
		app.signUp(t, "bob")
		if _, err := ts.sdk.AdminConfirmSignUp(ctx, &cip.AdminConfirmSignUpInput{UserPoolId: &app.pool, Username: aws.String("bob")}); err != nil {
			t.Fatal(err)
		}
		out, err := app.adminGet(t, "bob")
		if err != nil || out.UserStatus != "CONFIRMED" || attributeMap(out.UserAttributes)["email_verified"] == "true" {
			t.Errorf("confirmed by the administrator: %+v, error %v", out, err)
		}

		if _, err := ts.sdk.AdminDeleteUser(ctx, &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: ann}); err != nil {
			t.Fatal(err)
		}
		for name, call := range map[string]func() error{
			"AdminGetUser": func() error { _, err := app.adminGet(t, "ann"); return err },
			"AdminDeleteUser": func() error {
				_, err := ts.sdk.AdminDeleteUser(ctx, &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: ann})
				return err
			},
			"AdminEnableUser": func() error {
				_, err := ts.sdk.AdminEnableUser(ctx, &cip.AdminEnableUserInput{UserPoolId: &app.pool, Username: ann})
				return err
			},
			"AdminDisableUser": func() error {
				_, err := ts.sdk.AdminDisableUser(ctx, &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: ann})
				return err
			},
			"AdminConfirmSignUp": func() error {
				_, err := ts.sdk.AdminConfirmSignUp(ctx, &cip.AdminConfirmSignUpInput{UserPoolId: &app.pool, Username: ann})
				return err
			},
			"AdminSetUserPassword":      func() error { return set(testPassword, true) },
			"AdminUpdateUserAttributes": func() error { return app.adminUpdate(t, "ann", "name", "x") },
			"AdminDeleteUserAttributes": func() error {
				_, err := ts.sdk.AdminDeleteUserAttributes(ctx, &cip.AdminDeleteUserAttributesInput{UserPoolId: &app.pool, Username: ann, UserAttributeNames: []string{"name"}})
				return err
			},
			"AdminListGroupsForUser": func() error {
				_, err := ts.sdk.AdminListGroupsForUser(ctx, &cip.AdminListGroupsForUserInput{UserPoolId: &app.pool, Username: ann})
				return err
			},
		} {
			wantError(t, name+" of a deleted user", call(), "UserNotFoundException", "User does not exist.")
		}
		app.mustCreate(t, "ann") // the name is free again
	})
}

func TestAdminAttributes(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.UserAttributeUpdateSettings = &types.UserAttributeUpdateSettingsType{AttributesRequireVerificationBeforeUpdate: []types.VerifiedAttributeType{"email"}}
		})
		ctx := t.Context()
		app.mustCreate(t, "ann", "email", "old@example.com", "email_verified", "true", "name", "Ann")
		get := func() map[string]string {
			t.Helper()
			out, err := app.adminGet(t, "ann")
			if err != nil {
				t.Fatal(err)
			}
			return attributeMap(out.UserAttributes)
		}
		if err := app.adminUpdate(t, "ann", "email", "new@example.com", "name", ""); err != nil {
			t.Fatal(err)
		}
		if a := get(); a["email"] != "old@example.com" || a["email_verified"] != "true" || a["name"] != "" {
			t.Errorf("attributes %v", a)
		}
		if sent := ts.outbox.take(); len(sent) != 1 || sent[0].To != "new@example.com" {
			t.Errorf("sent %+v", sent)
		}
		if err := app.adminUpdate(t, "ann", "email", "newer@example.com", "email_verified", "true"); err != nil {
			t.Fatal(err)
		}
		if a := get(); a["email"] != "newer@example.com" || a["email_verified"] != "true" {
			t.Errorf("attributes %v", a)
		}
		if sent := ts.outbox.take(); len(sent) != 0 {
			t.Errorf("sent %+v", sent)
		}
		for i := range 4 {
			if err := app.adminUpdate(t, "ann", "email", fmt.Sprint(i, "@example.com")); err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, "a sixth code within an hour", app.adminUpdate(t, "ann", "email", "x@example.com"), "TooManyRequestsException", "Attempt limit exceeded, please try after some time.")
		wantError(t, "sub", app.adminUpdate(t, "ann", "sub", "x"), "InvalidParameterException", "user.sub: Attribute cannot be updated. (changing an immutable attribute)")
		remove := func(names ...string) error {
			_, err := ts.sdk.AdminDeleteUserAttributes(ctx, &cip.AdminDeleteUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("ann"), UserAttributeNames: names})
			return err
		}
		wantError(t, "deleting sub", remove("sub"), "InvalidParameterException", "")
		wantError(t, "deleting an unknown attribute", remove("custom:x"), "InvalidParameterException", "user.custom:x: Attribute does not exist in the schema.")
		if err := remove("email"); err != nil {
			t.Fatal(err)
		}
		if a := get(); len(a) != 1 {
			t.Errorf("attributes %v, want sub alone", a)
		}
	})
}

func TestPasswordHistory(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.Policies = &types.UserPoolPolicyType{PasswordPolicy: &types.PasswordPolicyType{PasswordHistorySize: aws.Int32(2)}}
		})
		app.mustCreate(t, "ann")
		set := func(password string) error {
			_, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("ann"), Password: &password, Permanent: true})
			return err
		}
		for i, test := range []struct {
			password string
			refused  bool
		}{
			{"password-a", false}, {"password-a", true}, {"password-b", false}, {"password-a", true}, {"password-c", false},
			{"password-b", true}, {"password-a", false},
		} {
			err := set(test.password)
			if test.refused {
				wantError(t, fmt.Sprint(i, test.password), err, "PasswordHistoryPolicyViolationException", "Password has previously been used")
			} else if err != nil {
				t.Errorf("%d %s: %v", i, test.password, err)
			}
		}
	})
}

func TestAliases(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, aliases("email", "phone_number", "preferred_username"))
		ctx := t.Context()
		_, err := app.create(t, "ann@example.com")
		wantError(t, "a username like an address", err, "InvalidParameterException", "Username cannot be of email format, since user pool is configured for email alias.")
		_, err = app.create(t, "+4930123456")
		wantError(t, "a username like a number", err, "InvalidParameterException", "")

		app.mustCreate(t, "ann", "email", "x@example.com", "email_verified", "true", "preferred_username", "annie")
		app.mustCreate(t, "bob", "email", "x@example.com")
		for name, want := range map[string]string{"x@example.com": "ann", "annie": "ann", "bob": "bob", "X@example.com": "", "+4930123456": ""} {
			if got := app.usernameOf(t, name); got != want {
				t.Errorf("%s means %q, want %q", name, got, want)
			}
		}
		wantError(t, "verifying an alias of another", app.adminUpdate(t, "bob", "email_verified", "true"), "AliasExistsException", "An account with the email already exists.")
		wantError(t, "a preferred username of another", app.adminUpdate(t, "bob", "preferred_username", "annie"), "AliasExistsException", "")
		wantError(t, "a preferred username that is a username", app.adminUpdate(t, "bob", "preferred_username", "ann"), "AliasExistsException", "")
		_, err = app.create(t, "annie")
		wantError(t, "a username that is a preferred username", err, "UsernameExistsException", "User account already exists")
		_, err = app.create(t, "carl", "email", "x@example.com", "email_verified", "true")
		wantError(t, "a verified alias of another", err, "AliasExistsException", "An account with the email already exists.")
		if app.usernameOf(t, "carl") != "" {
			t.Error("a user was left behind by a creation that failed")
		}

		// The alias moves when it is forced to, and its former holder is not verified any more.
		if _, err := ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("carl"), MessageAction: "SUPPRESS",
			ForceAliasCreation: true, UserAttributes: attributes("email", "x@example.com", "email_verified", "true")}); err != nil {
			t.Fatal(err)
		}
		if got := app.usernameOf(t, "x@example.com"); got != "carl" {
			t.Errorf("the address means %q", got)
		}
		if out, err := app.adminGet(t, "ann"); err != nil || attributeMap(out.UserAttributes)["email_verified"] != "false" {
			t.Errorf("the former holder is %+v, error %v", out, err)
		}
		// An alias ends with its value, its verification, and its user.
		if err := app.adminUpdate(t, "carl", "email", "y@example.com", "email_verified", "true"); err != nil {
			t.Fatal(err)
		}
		if app.usernameOf(t, "x@example.com") != "" || app.usernameOf(t, "y@example.com") != "carl" {
			t.Error("the alias did not follow the value")
		}
		if err := app.adminUpdate(t, "carl", "email_verified", "false"); err != nil {
			t.Fatal(err)
		}
		if app.usernameOf(t, "y@example.com") != "" {
			t.Error("an address that is not verified is an alias")
		}
		if _, err := ts.sdk.AdminDeleteUser(ctx, &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: aws.String("annie")}); err != nil {
			t.Fatal(err)
		}
		if n, err := db.One[int](ctx, ts.DB, `SELECT count(*) FROM user_aliases`); err != nil || n != 0 {
			t.Errorf("%d aliases are left, error %v", n, err)
		}
		app.mustCreate(t, "annie")
	})
}

func TestUsernameAttributes(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, usernames("email"), caseInsensitive)
		u := app.mustCreate(t, "Ann@Example.com")
		a := attributeMap(u.Attributes)
		if *u.Username != a["sub"] || a["email"] != "Ann@Example.com" || a["email_verified"] == "true" {
			t.Errorf("created %+v", u)
		}
		for _, name := range []string{"ann@example.com", "ANN@EXAMPLE.COM", a["sub"]} {
			if got := app.usernameOf(t, name); got != a["sub"] {
				t.Errorf("%s means %q", name, got)
			}
		}
		_, err := app.create(t, "ann@EXAMPLE.com")
		wantError(t, "an address that is taken", err, "UsernameExistsException", "An account with the given email already exists.")
		_, err = app.create(t, "bob")
		wantError(t, "a username that is no address", err, "InvalidParameterException", "Username should be an email.")
		_, err = app.create(t, "bob@example.com", "email", "carl@example.com")
		wantError(t, "two addresses", err, "InvalidParameterException", "")
		bob := app.mustCreate(t, "bob@example.com")
		wantError(t, "moving to a taken address", app.adminUpdate(t, *bob.Username, "email", "ann@example.com", "email_verified", "true"), "AliasExistsException", "An account with the email already exists.")

		phones := ts.newApp(t, usernames("email", "phone_number"))
		_, err = phones.create(t, "bob")
		wantError(t, "neither", err, "InvalidParameterException", "Username should be either an email or a phone number.")
		phones.mustCreate(t, "+4930123456")
		_, err = phones.create(t, "x@example.com", "phone_number", "+4930123456")
		wantError(t, "a number that is taken", err, "UsernameExistsException", "An account with the given phone_number already exists.")
		only := ts.newApp(t, usernames("phone_number"))
		_, err = only.create(t, "x@example.com")
		wantError(t, "no number", err, "InvalidParameterException", "Username should be a phone number.")
	})
}

func TestCaseInsensitive(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, caseInsensitive)
		app.mustCreate(t, "Ännchen")
		if got := app.usernameOf(t, "äNNCHEN"); got != "Ännchen" {
			t.Errorf("found %q", got)
		}
		_, err := app.create(t, "ännchen")
		wantError(t, "a username in another case", err, "UsernameExistsException", "User account already exists")
	})
}

// winners runs n calls at once, tells how many succeed, and fails if one fails otherwise than with code.
func winners(t *testing.T, n int, code string, call func(ctx context.Context, i int) error) int {
	t.Helper()
	var won atomic.Int64
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if err := call(t.Context(), i); err == nil {
				won.Add(1)
			} else {
				wantError(t, "the loser of a race", err, code, "")
			}
		})
	}
	group.Wait()
	return int(won.Load())
}

func TestAdminRaces(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, aliases("email"))
		create := func(ctx context.Context, name string, pairs ...string) error {
			_, err := ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, MessageAction: "SUPPRESS",
				TemporaryPassword: aws.String(testPassword), UserAttributes: attributes(pairs...)})
			return err
		}
		if n := winners(t, 64, "UsernameExistsException", func(ctx context.Context, _ int) error { return create(ctx, "ann") }); n != 1 {
			t.Errorf("%d of 64 created one username", n)
		}
		if n := winners(t, 64, "AliasExistsException", func(ctx context.Context, i int) error {
			return create(ctx, fmt.Sprint("user", i), "email", "x@example.com", "email_verified", "true")
		}); n != 1 {
			t.Errorf("%d of 64 took one alias", n)
		}
		if n, err := db.One[int](t.Context(), ts.DB, `SELECT count(*) FROM users WHERE pool_id = $1`, app.pool); err != nil || n != 2 {
			t.Errorf("%d users, error %v", n, err)
		}
		// Changes of different attributes of one user are not lost.
		names := []string{"name", "given_name", "family_name", "nickname", "profile", "website", "locale", "zoneinfo"}
		if n := winners(t, len(names), "", func(_ context.Context, i int) error { return app.adminUpdate(t, "ann", names[i], "x") }); n != len(names) {
			t.Errorf("%d of %d changes", n, len(names))
		}
		out, err := app.adminGet(t, "ann")
		if err != nil || len(out.UserAttributes) != len(names)+1 {
			t.Errorf("attributes %v, error %v", attributeMap(out.UserAttributes), err)
		}
		if n := winners(t, 8, "GroupExistsException", func(ctx context.Context, _ int) error {
			_, err := ts.sdk.CreateGroup(ctx, &cip.CreateGroupInput{UserPoolId: &app.pool, GroupName: aws.String("g")})
			return err
		}); n != 1 {
			t.Errorf("%d of 8 created one group", n)
		}
	})
}

func TestFindUserStatements(t *testing.T) {
	ts := newTestServerSQLite(t)
	app := ts.newApp(t, aliases("email", "preferred_username"))
	app.mustCreate(t, "ann", "email", "x@example.com", "email_verified", "true")
	p, err := ts.Service.pool(t.Context(), app.pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ann", "x@example.com", strings.Repeat("0", 8) + "-0000-0000-0000-000000000000"} {
		ctx := db.WithCounter(t.Context())
		_, _ = ts.findUser(ctx, ts.DB, p, name)
		if n := db.Statements(ctx); n.Reads != 1 || n.Writes != 0 {
			t.Errorf("finding %s takes %+v statements", name, n)
		}
	}
}
