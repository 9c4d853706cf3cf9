package userpool

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
)

// export returns the file of a pool's users and what is said of them.
func (app *testApp) export(t *testing.T, algorithm string) (file string, hashes int, leftOut, refused map[string]string) {
	t.Helper()
	leftOut, refused = map[string]string{}, map[string]string{}
	for after := ""; ; {
		page, err := app.ExportUsers(t.Context(), app.pool, algorithm, after)
		if err != nil {
			t.Fatal(err)
		}
		if file == "" {
			file = page.Header + "\n"
		}
		for _, row := range page.Rows {
			file += row + "\n"
		}
		for _, n := range page.LeftOut {
			leftOut[n.Username] = n.Why
		}
		for _, n := range page.Refused {
			refused[n.Username] = n.Why
		}
		hashes += page.Hashes
		if after = page.Next; after == "" {
			return file, hashes, leftOut, refused
		}
	}
}

// imports runs an import job on a file.
func (app *testApp) imports(t *testing.T, algorithm, file string) *types.UserImportJobType {
	t.Helper()
	id, url := app.hashJob(t, algorithm)
	if got := put(t, *url, file); got != http.StatusOK {
		t.Fatal(got)
	}
	if err := app.start(t, id); err != nil {
		t.Fatal(err)
	}
	return app.ended(t, id)
}

// TestExport: what is exported can be imported, and is the same then.
func TestExport(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx := t.Context()
		schema := func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.Schema = []types.SchemaAttributeType{{Name: aws.String("flag"), AttributeDataType: "Boolean"}, {Name: aws.String("note"), AttributeDataType: "String"}}
		}
		app, to := ts.newApp(t, storing(storageBoth), schema), ts.newApp(t, schema)
		create := func(name string, more ...string) {
			t.Helper()
			_, err := ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, MessageAction: "SUPPRESS", TemporaryPassword: aws.String(testPassword),
				UserAttributes: attributes(append([]string{"email", name + "@example.com", "email_verified", "true"}, more...)...)})
			if err != nil {
				t.Fatal(err)
			}
		}
		permanent := func(name string) {
			t.Helper()
			_, err := ts.sdk.AdminSetUserPassword(ctx, &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: &name, Password: aws.String(testPassword), Permanent: true})
			if err != nil {
				t.Fatal(err)
			}
		}
		create("alice", "name", `Doe, A\,B "x"`, "birthdate", "1990-02-28", "custom:flag", "true", "custom:note", "1,2", "phone_number", "+15550001234", "updated_at", "1700000000")
		permanent("alice")
		create("temporary")
		create("disabled")
		if _, err := ts.sdk.AdminDisableUser(ctx, &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: aws.String("disabled")}); err != nil {
			t.Fatal(err)
		}
		create("lines", "custom:note", "one\ntwo")
		create("backslash", "custom:note", `at the end\`)
		create("unverified", "email_verified", "false")
		app.outbox.take()

		file, hashes, leftOut, refused := app.export(t, algorithmArgon2id)
		if hashes != 1 || len(leftOut) != 3 || leftOut["disabled"] == "" || leftOut["lines"] == "" || leftOut["backslash"] == "" || len(refused) != 1 || refused["unverified"] == "" {
			t.Errorf("%d hashes, left out %v, refused %v", hashes, leftOut, refused)
		}
		if strings.Count(file, "$argon2id$") != 1 || strings.Contains(file, testPassword) {
			t.Error("passwords in the file")
		}
		j := to.imports(t, algorithmArgon2id, file)
		if j.Status != "Succeeded" || j.ImportedUsers != 2 || j.SkippedUsers != 0 || j.FailedUsers != 1 {
			t.Errorf("%s: %d imported, %d skipped, %d failed", j.Status, j.ImportedUsers, j.SkippedUsers, j.FailedUsers)
		}
		for name, status := range map[string]types.UserStatusType{"alice": "CONFIRMED", "temporary": "RESET_REQUIRED"} {
			before, err := ts.sdk.AdminGetUser(ctx, &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: &name})
			if err != nil {
				t.Fatal(err)
			}
			after, err := ts.sdk.AdminGetUser(ctx, &cip.AdminGetUserInput{UserPoolId: &to.pool, Username: &name})
			if err != nil {
				t.Fatal(err)
			}
			was, is := attributeMap(before.UserAttributes), attributeMap(after.UserAttributes)
			delete(was, "sub")
			delete(is, "sub")
			if fmt.Sprint(was) != fmt.Sprint(is) || after.UserStatus != status {
				t.Errorf("%s: %s %v, was %v", name, after.UserStatus, is, was)
			}
		}
		_, err := to.password(t, "alice", "wrong")
		wantError(t, "wrong password", err, "NotAuthorizedException", "Incorrect username or password.")
		to.signIn(t, "alice", testPassword)
		if _, err := to.srp(t, "alice", testPassword); err != nil {
			t.Errorf("SRP after the hash was upgraded: %v", err)
		}
		_, err = to.password(t, "temporary", testPassword)
		wantError(t, "a temporary password is not made permanent", err, "PasswordResetRequiredException", "")

		// Where no hashes are kept users are exported without; foreign ones are when they are asked for.
		if _, hashes, _, _ := to.export(t, algorithmArgon2id); hashes != 0 {
			t.Errorf("%d hashes of a pool that keeps verifiers", hashes)
		}
		foreign := ts.newApp(t)
		row := foreign.csv(t, verifiedMail("bob", columnHash, hashVectors[1].hash))
		foreign.imports(t, algorithmBcrypt, row)
		if file, hashes, _, _ := foreign.export(t, algorithmBcrypt); hashes != 1 || !strings.Contains(file, hashVectors[1].hash) {
			t.Errorf("bcrypt: %d hashes in %s", hashes, file)
		}
		if _, hashes, _, _ := foreign.export(t, algorithmArgon2id); hashes != 0 {
			t.Errorf("%d hashes of another algorithm", hashes)
		}
		p, err := ts.Service.pool(ctx, app.pool)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ts.updateUser(ctx, p, "alice", func(_ *db.Tx, u *user) error { u.Doc.V.Hash = []byte("garbage"); return nil }); err != nil {
			t.Fatal(err)
		}
		if page, err := ts.ExportUsers(ctx, app.pool, algorithmArgon2id, ""); err == nil {
			t.Errorf("a hash that cannot be opened is passed over: %+v", page)
		}
		_, err = ts.ExportUsers(ctx, app.pool, "MD5", "")
		wantCode(t, "unknown algorithm", err, "InvalidParameterException")
		_, err = ts.ExportUsers(ctx, "eu-central-1_Missing00", algorithmArgon2id, "")
		wantCode(t, "unknown pool", err, "ResourceNotFoundException")
	})
}

// TestExportUnreadable: a hash that cannot be read ends the export, it does not leave an empty row.
func TestExportUnreadable(t *testing.T) {
	ts := newTestServerSQLite(t)
	app := ts.newApp(t, storing(storageArgon2id))
	app.user(t, "ada")
	if _, err := ts.updateUser(t.Context(), must(ts.pool(t.Context(), app.pool)), "ada", func(_ *db.Tx, u *user) error {
		u.Doc.V.Hash = []byte("not sealed")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if page, err := ts.ExportUsers(t.Context(), app.pool, algorithmArgon2id, ""); err == nil {
		t.Errorf("%+v", page)
	}
}

// TestExportByMail: where users are named by their addresses so are they in the file, and SMS factors are kept.
func TestExportByMail(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		options := func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.UsernameAttributes = []types.UsernameAttributeType{"email"}
			p.SmsConfiguration = &types.SmsConfigurationType{SnsCallerArn: aws.String("arn:aws:iam::123456789012:role/sms")}
			p.MfaConfiguration = "OPTIONAL"
		}
		app, to := ts.newApp(t, storing(storageArgon2id), options), ts.newApp(t, options)
		for _, name := range []string{"a@example.com", "b@example.com"} {
			if _, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, MessageAction: "SUPPRESS",
				UserAttributes: attributes("email_verified", "true", "phone_number", "+15550001234")}); err != nil {
				t.Fatal(err)
			}
			if _, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: &name, Password: aws.String(testPassword), Permanent: true}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ts.sdk.AdminSetUserMFAPreference(t.Context(), &cip.AdminSetUserMFAPreferenceInput{UserPoolId: &app.pool, Username: aws.String("b@example.com"),
			SMSMfaSettings: &types.SMSMfaSettingsType{Enabled: true, PreferredMfa: true}}); err != nil {
			t.Fatal(err)
		}
		file, hashes, leftOut, refused := app.export(t, algorithmArgon2id)
		if hashes != 2 || len(leftOut)+len(refused) != 0 {
			t.Errorf("%d hashes, left out %v, refused %v", hashes, leftOut, refused)
		}
		if j := to.imports(t, algorithmArgon2id, file); j.ImportedUsers != 2 {
			t.Errorf("%+v", j)
		}
		to.signIn(t, "a@example.com", testPassword)
		to.challenge(t, "b@example.com", "SMS_MFA")
	})
}

// TestExportPages: a large pool is exported in pages, each user once.
func TestExportPages(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		p, err := ts.Service.pool(t.Context(), app.pool)
		if err != nil {
			t.Fatal(err)
		}
		const users = exportPage + 3
		var want []string
		for i := range users {
			want = append(want, fmt.Sprintf("user%05d", i))
		}
		err = ts.DB.Tx(t.Context(), func(tx *db.Tx) error {
			for i, name := range want {
				u := p.newUser(name, fmt.Sprintf("00000000-0000-4000-8000-%012d", i), "CONFIRMED", map[string]string{"email": name + "@example.com", "email_verified": "true"}, 1)
				if err := ts.insertUser(t.Context(), tx, p, u, errSignUpExists); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		file, _, _, _ := app.export(t, algorithmArgon2id)
		var got []string
		header := importHeader(p)
		for i, line := range strings.Split(strings.TrimSpace(file), "\n") {
			if i > 0 {
				got = append(got, strings.Split(line, ",")[slices.Index(header, columnUsername)])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d users, from %s to %s", len(got), got[0], got[len(got)-1])
		}
	})
}

// FuzzExportRow: fields that the form of the file can hold are read back the same.
func FuzzExportRow(f *testing.F) {
	f.Add("a", "b,c")
	f.Add(`a\`, `\,`)
	f.Fuzz(func(t *testing.T, a, b string) {
		row := strings.ReplaceAll(a, ",", `\,`) + "," + strings.ReplaceAll(b, ",", `\,`)
		fields := splitImportRow(row)
		if strings.TrimSpace(a) == a && strings.TrimSpace(b) == b && !strings.HasSuffix(a, `\`) && !slices.Equal(fields, []string{a, b}) {
			t.Errorf("%q %q: read back as %q", a, b, fields)
		}
	})
}
