package userpool

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
)

var importRole = aws.String("arn:aws:iam::" + testAccount + ":role/logs")

func (app *testApp) importJob(t *testing.T) *types.UserImportJobType {
	t.Helper()
	out, err := app.sdk.CreateUserImportJob(t.Context(), &cip.CreateUserImportJobInput{UserPoolId: &app.pool, JobName: aws.String("job"), CloudWatchLogsRoleArn: importRole})
	if err != nil {
		t.Fatal(err)
	}
	return out.UserImportJob
}

// hashJob makes a job for hashes of an algorithm, which the SDK does not know yet.
func (app *testApp) hashJob(t *testing.T, algorithm string) (id, url *string) {
	t.Helper()
	var out struct {
		UserImportJob struct{ JobId, PreSignedUrl, PasswordHashingAlgorithm string }
	}
	if got := app.raw(t, "CreateUserImportJob", map[string]any{"UserPoolId": app.pool, "JobName": "job", "CloudWatchLogsRoleArn": *importRole,
		"PasswordHashingAlgorithm": algorithm}, &out); got != "" || out.UserImportJob.PasswordHashingAlgorithm != algorithm {
		t.Fatalf("%s: %q %+v", algorithm, got, out)
	}
	return &out.UserImportJob.JobId, &out.UserImportJob.PreSignedUrl
}

func put(t *testing.T, url, text string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func (app *testApp) start(t *testing.T, id *string) error {
	_, err := app.sdk.StartUserImportJob(t.Context(), &cip.StartUserImportJobInput{UserPoolId: &app.pool, JobId: id})
	return err
}

// ended waits for the end of a job.
func (app *testApp) ended(t *testing.T, id *string) *types.UserImportJobType {
	t.Helper()
	for range 2000 {
		out, err := app.sdk.DescribeUserImportJob(t.Context(), &cip.DescribeUserImportJobInput{UserPoolId: &app.pool, JobId: id})
		if err != nil {
			t.Fatal(err)
		}
		if j := out.UserImportJob; j.CompletionDate != nil {
			return j
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the job does not end")
	return nil
}

// csv returns a file with the pool's columns and rows that name the columns they fill, in pairs.
func (app *testApp) csv(t *testing.T, rows ...[]string) string {
	t.Helper()
	out, err := app.sdk.GetCSVHeader(t.Context(), &cip.GetCSVHeaderInput{UserPoolId: &app.pool})
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{strings.Join(out.CSVHeader, ",")}
	for _, row := range rows {
		fields := make([]string, len(out.CSVHeader))
		for i := 0; i < len(row); i += 2 {
			fields[slices.Index(out.CSVHeader, row[i])] = strings.ReplaceAll(row[i+1], ",", `\,`)
		}
		lines = append(lines, strings.Join(fields, ","))
	}
	return strings.Join(lines, "\r\n") + "\n"
}

func verifiedMail(name string, more ...string) []string {
	return append([]string{columnUsername, name, "email", name + "@example.com", "email_verified", "TRUE"}, more...)
}

func TestImport(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx, app := t.Context(), ts.newApp(t)
		app.user(t, "taken")
		app.outbox.take()
		j := app.importJob(t)
		if j.Status != "Created" || *j.UserPoolId != app.pool || !strings.HasPrefix(*j.JobId, "import-") || *j.JobName != "job" || *j.CloudWatchLogsRoleArn != *importRole || j.CompletionDate != nil {
			t.Errorf("created %+v", j)
		}
		wantError(t, "without a file", app.start(t, j.JobId), "PreconditionNotMetException", "The CSV file of the import job has not been uploaded.")
		if got := put(t, *j.PreSignedUrl, app.csv(t, verifiedMail("first"))); got != http.StatusOK {
			t.Fatal(got)
		}
		// Another upload replaces the first.
		file := app.csv(t,
			verifiedMail("plain", "birthdate", "02/28/1990", "name", "Doe, John", "phone_number", "+15550001234"),
			verifiedMail("taken"),
			[]string{columnUsername, "unverified", "email", "u@example.com"},
			[]string{columnUsername, "", "email", "u@example.com", "email_verified", "TRUE"},
			verifiedMail("two words"),
			verifiedMail("european", "birthdate", "28/02/1990"),
			verifiedMail("wrongphone", "phone_number", "123"),
			verifiedMail("factor", columnMFA, "TRUE"),
			verifiedMail("hash", columnHash, hashVectors[0].hash),
			verifiedMail("nofactor", columnMFA, "FALSE"),
		) + "too,few,fields\n"
		if got := put(t, *j.PreSignedUrl, file); got != http.StatusOK {
			t.Fatal(got)
		}
		if err := app.start(t, j.JobId); err != nil {
			t.Fatal(err)
		}
		done := app.ended(t, j.JobId)
		if done.Status != "Succeeded" || done.ImportedUsers != 2 || done.SkippedUsers != 1 || done.FailedUsers != 8 || done.StartDate == nil || done.PreSignedUrl != nil {
			t.Errorf("%+v, imported %d, skipped %d, failed %d", done, done.ImportedUsers, done.SkippedUsers, done.FailedUsers)
		}
		u, err := ts.sdk.AdminGetUser(ctx, &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: aws.String("plain")})
		if err != nil {
			t.Fatal(err)
		}
		if a := attributeMap(u.UserAttributes); u.UserStatus != "RESET_REQUIRED" || a["birthdate"] != "1990-02-28" || a["name"] != "Doe, John" || a["email_verified"] != "true" || a["phone_number"] != "+15550001234" {
			t.Errorf("%s %v", u.UserStatus, a)
		}
		if sent := app.outbox.take(); len(sent) != 0 {
			t.Errorf("messages %+v", sent)
		}
		_, err = app.password(t, "plain", testPassword)
		wantError(t, "imported without a hash", err, "PasswordResetRequiredException", "")
		wantError(t, "a job that has ended", app.start(t, j.JobId), "PreconditionNotMetException", "The import job is in the state Succeeded.")
		if got := put(t, *j.PreSignedUrl, file); got != http.StatusConflict {
			t.Errorf("upload to a job that has ended: %d", got)
		}
		if n, err := db.One[int](ctx, ts.DB, `SELECT count(*) FROM user_import_files`); err != nil || n != 0 {
			t.Errorf("%d pieces are left, %v", n, err)
		}

		// Headers that are not the pool's.
		for what, header := range map[string]string{"empty": "\n", "a column less": strings.Replace(app.csv(t), "nickname,", "", 1), "a column more": "x," + app.csv(t), "a column twice": "name," + app.csv(t)} {
			bad := app.importJob(t)
			put(t, *bad.PreSignedUrl, header)
			if err := app.start(t, bad.JobId); err != nil {
				t.Fatal(err)
			}
			if done := app.ended(t, bad.JobId); done.Status != "Failed" || aws.ToString(done.CompletionMessage) == "" {
				t.Errorf("%s: %+v", what, done)
			}
		}

		// What is allowed to whom.
		for what, url := range map[string]string{"no permission": ts.url + importPath, "garbage": ts.url + importPath + "AAAA", "of something else": ts.url + importPath + ts.sealRefreshToken(&pool{ID: app.pool}, grant{})} {
			if got := put(t, url, file); got != http.StatusForbidden {
				t.Errorf("%s: %d", what, got)
			}
		}
		late := app.importJob(t)
		ts.clock.advance(importURLLife)
		if got := put(t, *late.PreSignedUrl, file); got != http.StatusForbidden {
			t.Errorf("late upload: %d", got)
		}
		ts.clock.advance(importJobLife)
		wantError(t, "expired", app.start(t, late.JobId), "PreconditionNotMetException", "The import job is in the state Expired.")
		if err := ts.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if got := app.ended(t, late.JobId); got.Status != "Expired" {
			t.Errorf("expired: %+v", got)
		}
		unverified := ts.newApp(t, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) { p.AutoVerifiedAttributes = nil })
		wantError(t, "pool that verifies nothing", unverified.start(t, unverified.importJob(t).JobId), "PreconditionNotMetException", errImportNoVerified.Message)

		var listed []string
		var next *string
		for {
			out, err := ts.sdk.ListUserImportJobs(ctx, &cip.ListUserImportJobsInput{UserPoolId: &app.pool, MaxResults: aws.Int32(2), PaginationToken: next})
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range out.UserImportJobs {
				listed = append(listed, *j.JobId)
			}
			if next = out.PaginationToken; next == nil {
				break
			}
		}
		if len(listed) != 6 || !slices.Contains(listed, *j.JobId) {
			t.Errorf("listed %q", listed)
		}
		other := ts.client(otherAccount)
		for op, call := range map[string]func(sdk *cip.Client, id *string) error{
			"GetCSVHeader": func(sdk *cip.Client, _ *string) error {
				_, err := sdk.GetCSVHeader(ctx, &cip.GetCSVHeaderInput{UserPoolId: &app.pool})
				return err
			},
			"CreateUserImportJob": func(sdk *cip.Client, _ *string) error {
				_, err := sdk.CreateUserImportJob(ctx, &cip.CreateUserImportJobInput{UserPoolId: &app.pool, JobName: aws.String("x"), CloudWatchLogsRoleArn: importRole})
				return err
			},
			"DescribeUserImportJob": func(sdk *cip.Client, id *string) error {
				_, err := sdk.DescribeUserImportJob(ctx, &cip.DescribeUserImportJobInput{UserPoolId: &app.pool, JobId: id})
				return err
			},
			"ListUserImportJobs": func(sdk *cip.Client, _ *string) error {
				_, err := sdk.ListUserImportJobs(ctx, &cip.ListUserImportJobsInput{UserPoolId: &app.pool, MaxResults: aws.Int32(1)})
				return err
			},
			"StartUserImportJob": func(sdk *cip.Client, id *string) error {
				_, err := sdk.StartUserImportJob(ctx, &cip.StartUserImportJobInput{UserPoolId: &app.pool, JobId: id})
				return err
			},
			"StopUserImportJob": func(sdk *cip.Client, id *string) error {
				_, err := sdk.StopUserImportJob(ctx, &cip.StopUserImportJobInput{UserPoolId: &app.pool, JobId: id})
				return err
			},
		} {
			wantError(t, op+" by another account", call(other, j.JobId), "ResourceNotFoundException", "User pool "+app.pool+" does not exist.")
			if err := call(ts.sdk, aws.String("import-nothere")); strings.Contains(op, "ribe") || strings.HasPrefix(op, "St") {
				wantError(t, op+" of no job", err, "ResourceNotFoundException", "User import job import-nothere does not exist.")
			}
		}
	})
}

// TestImportHashes imports users with the hashes of each algorithm, who then sign in.
func TestImportHashes(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		for _, v := range hashVectors {
			name := strings.ToLower(v.algorithm)
			id, url := app.hashJob(t, v.algorithm)
			put(t, *url, app.csv(t, verifiedMail(name, columnHash, v.hash), verifiedMail(name+"-reset"), verifiedMail(name+"-bad", columnHash, "x")))
			if err := app.start(t, id); err != nil {
				t.Fatal(err)
			}
			if done := app.ended(t, id); done.ImportedUsers != 2 || done.FailedUsers != 1 {
				t.Errorf("%s: %+v", name, done)
			}
			_, err := app.srp(t, name, v.password)
			wantError(t, name+": SRP too early", err, "NotAuthorizedException", "Incorrect username or password.")
			app.signIn(t, name, v.password)
			if got := app.stored(t, name); got != storageSRP {
				t.Errorf("%s: stored %s", name, got)
			}
			if _, err = app.srp(t, name, v.password); err != nil {
				t.Errorf("%s: SRP: %v", name, err)
			}
			_, err = app.password(t, name+"-reset", v.password)
			wantError(t, name+" without a hash", err, "PasswordResetRequiredException", "")
		}
		// A job with an algorithm needs the column.
		id, url := app.hashJob(t, algorithmBcrypt)
		put(t, *url, strings.Replace(app.csv(t), ","+columnHash, "", 1))
		if err := app.start(t, id); err != nil {
			t.Fatal(err)
		}
		if done := app.ended(t, id); done.Status != "Failed" {
			t.Errorf("%+v", done)
		}
	})
}

// TestImportInterrupted has a node leave a job, which is then stopped or taken up.
func TestImportInterrupted(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx, app := t.Context(), ts.newApp(t)
		left := func() *types.UserImportJobType {
			t.Helper()
			j := app.importJob(t)
			put(t, *j.PreSignedUrl, app.csv(t, verifiedMail("one"+(*j.JobId)[7:]), verifiedMail("two"+(*j.JobId)[7:])))
			// Its node has counted the first row.
			err := ts.DB.Tx(ctx, func(tx *db.Tx) error {
				_, err := tx.ExecContext(ctx, `UPDATE user_import_jobs SET status = 'InProgress', line = 1, imported = 1, lease = $2 WHERE id = $1`,
					*j.JobId, ts.now()+importLease.Microseconds())
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return j
		}
		j := left()
		wantError(t, "another job", app.start(t, app.ready(t)), "PreconditionNotMetException", "Another import job of the user pool is in progress.")
		_, err := ts.sdk.UpdateUserPool(ctx, &cip.UpdateUserPoolInput{UserPoolId: &app.pool})
		wantError(t, "UpdateUserPool", err, "UserImportInProgressException", "")
		_, err = ts.sdk.DeleteUserPool(ctx, &cip.DeleteUserPoolInput{UserPoolId: &app.pool})
		wantError(t, "DeleteUserPool", err, "UserImportInProgressException", "")
		_, err = ts.sdk.AddCustomAttributes(ctx, &cip.AddCustomAttributesInput{UserPoolId: &app.pool, CustomAttributes: []types.SchemaAttributeType{{Name: aws.String("x"), AttributeDataType: "String"}}})
		wantError(t, "AddCustomAttributes", err, "UserImportInProgressException", "")
		ts.takeUpImport(ctx, app.pool, *j.JobId) // has it to itself still: nothing happens
		out, err := ts.sdk.StopUserImportJob(ctx, &cip.StopUserImportJobInput{UserPoolId: &app.pool, JobId: j.JobId})
		if err != nil || out.UserImportJob.Status != "Stopped" || out.UserImportJob.ImportedUsers != 1 {
			t.Errorf("stopped: %+v %v", out, err)
		}
		_, err = ts.sdk.StopUserImportJob(ctx, &cip.StopUserImportJobInput{UserPoolId: &app.pool, JobId: j.JobId})
		wantError(t, "stopped twice", err, "PreconditionNotMetException", "The import job is in the state Stopped.")

		j = left()
		ts.clock.advance(importLease)
		if err := ts.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if done := app.ended(t, j.JobId); done.Status != "Succeeded" || done.ImportedUsers != 2 {
			t.Errorf("taken up: %+v", done)
		}
		_, err = ts.sdk.AdminGetUser(ctx, &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: aws.String("one" + (*j.JobId)[7:])})
		wantError(t, "the row that was counted", err, "UserNotFoundException", "")
	})
}

// ready makes a job with a file.
func (app *testApp) ready(t *testing.T) *string {
	t.Helper()
	j := app.importJob(t)
	put(t, *j.PreSignedUrl, app.csv(t))
	return j.JobId
}

func TestImportTooLarge(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		j := app.importJob(t)
		put(t, *j.PreSignedUrl, app.csv(t, verifiedMail("alice", "name", strings.Repeat("x", 4*mostImportRow))))
		if err := app.start(t, j.JobId); err != nil {
			t.Fatal(err)
		}
		if done := app.ended(t, j.JobId); done.Status != "Failed" || done.ImportedUsers != 0 {
			t.Errorf("long row: %+v", done)
		}
		if testing.Short() {
			return
		}
		large := app.importJob(t)
		if got := put(t, *large.PreSignedUrl, strings.Repeat("x", mostImportBytes+1)); got != http.StatusRequestEntityTooLarge {
			t.Errorf("large file: %d", got)
		}
		wantError(t, "large file", app.start(t, large.JobId), "PreconditionNotMetException", errImportNoFile.Message)
	})
}

func FuzzImportRow(f *testing.F) {
	f.Add(`a,b\,c, d ,\`)
	f.Fuzz(func(t *testing.T, text string) {
		fields := splitImportRow(text)
		for i := range fields {
			if fields[i] != strings.TrimSpace(fields[i]) {
				t.Errorf("%q is not trimmed", fields[i])
			}
		}
		if n := strings.Count(text, ",") - strings.Count(text, `\,`) + 1; n != len(fields) {
			t.Errorf("%d fields, want %d", len(fields), n)
		}
	})
}
