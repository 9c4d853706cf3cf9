package userpool

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"

	"usher/internal/awsapi"
	"usher/internal/db"
)

func TestParseFilter(t *testing.T) {
	for _, test := range []struct {
		text string
		want filter
		err  string // beginning of the message
	}{
		{``, filter{}, ""},
		{`  `, filter{}, ""},
		{`email = "a@b.c"`, filter{"email", false, "a@b.c"}, ""},
		{`email="a@b.c"`, filter{"email", false, "a@b.c"}, ""},
		{` name ^= "A \"quoted\" \\ name" `, filter{"name", true, `A "quoted" \ name`}, ""},
		{`username ^= ""`, filter{"username", true, ""}, ""},
		{`cognito:user_status = "CONFIRMED"`, filter{"cognito:user_status", false, "CONFIRMED"}, ""},
		{`custom:x = "1"`, filter{}, "Invalid search attribute: custom:x"},
		{`address = "1"`, filter{}, "Invalid search attribute: address"},
		{`email`, filter{}, "Error while parsing filter: "},
		{`email "x"`, filter{}, "Error while parsing filter: "},
		{`email ^ "x"`, filter{}, "Error while parsing filter: "},
		{`= "x"`, filter{}, "Error while parsing filter: "},
		{`email = x`, filter{}, "Error while parsing filter: "},
		{`email = "x`, filter{}, "Error while parsing filter: "},
		{`email = "x\`, filter{}, "Error while parsing filter: "},
		{`email = "x" AND name = "y"`, filter{}, "Error while parsing filter: "},
	} {
		got, err := parseFilter(test.text)
		if test.err == "" {
			if err != nil || got != test.want {
				t.Errorf("%s: %+v, error %v", test.text, got, err)
			}
		} else if e, ok := err.(*awsapi.Error); !ok || !strings.HasPrefix(e.Message, test.err) {
			t.Errorf("%s: %v, want %s", test.text, err, test.err)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{`email = "a"`, `name ^= "\"\\"`, `sub="`, `status = "Enabled" x`, "\\\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFilter(text)
		if err != nil || got.attr == "" {
			return
		}
		operator := "="
		if got.prefix {
			operator = "^="
		}
		value := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(got.value)
		again, err := parseFilter(got.attr + operator + `"` + value + `"`)
		if err != nil || again != got {
			t.Errorf("%q is %+v; written anew it is %+v, error %v", text, got, again, err)
		}
	})
}

// fill stores n users in one transaction, without passwords.
func (app *testApp) fill(tb testing.TB, n int, describe func(i int) (name string, values map[string]string)) {
	tb.Helper()
	p, err := app.Service.pool(tb.Context(), app.pool)
	if err != nil {
		tb.Fatal(err)
	}
	err = app.DB.Tx(tb.Context(), func(tx *db.Tx) error {
		for i := range n {
			name, values := describe(i)
			username, sub, err := p.nameUser(name, values)
			if err != nil {
				return err
			}
			if err := app.insertUser(tb.Context(), tx, p, p.newUser(username, sub, "CONFIRMED", values, app.now()), errAdminCreateExists); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// list returns the usernames that a filter finds, page by page.
func (app *testApp) list(tb testing.TB, filter string, limit int32) []string {
	tb.Helper()
	var names []string
	in := &cip.ListUsersInput{UserPoolId: &app.pool, Filter: &filter}
	if limit > 0 {
		in.Limit = &limit
	}
	pages := cip.NewListUsersPaginator(app.sdk, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		for _, u := range page.Users {
			names = append(names, *u.Username)
		}
	}
	return names
}

func TestListUsersFilters(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		ctx := t.Context()
		ann := app.mustCreate(t, "ann", "email", "ann@example.com", "name", "Ann Lee", "given_name", "Ann", "family_name", "Lee", "phone_number", "+491", "preferred_username", "annie")
		app.mustCreate(t, "Anton", "email", "anton@example.com", "name", "Anton \"Toni\" Berg", "phone_number", "+492")
		app.mustCreate(t, "bob", "email", "bob@example.org", "family_name", "Lee")
		app.signUp(t, "carl")
		if _, err := ts.sdk.AdminSetUserPassword(ctx, &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("bob"), Password: aws.String(testPassword), Permanent: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := ts.sdk.AdminDisableUser(ctx, &cip.AdminDisableUserInput{UserPoolId: &app.pool, Username: aws.String("bob")}); err != nil {
			t.Fatal(err)
		}
		sub := *ann.Attributes[0].Value
		for _, test := range []struct{ filter, want string }{
			{``, "Anton ann bob carl"},
			{`username = "ann"`, "ann"},
			{`username = "ANN"`, ""},
			{`username ^= "an"`, "ann"},
			{`username ^= ""`, "Anton ann bob carl"},
			{`sub = "` + sub + `"`, "ann"},
			{`sub ^= "` + sub[:20] + `"`, "ann"},
			{`email = "ann@example.com"`, "ann"},
			{`email = "Ann@example.com"`, ""},
			{`email ^= "an"`, "ann Anton"},
			{`email ^= ""`, "ann Anton bob carl"},
			{`email ^= "%"`, ""},
			{`phone_number = "+492"`, "Anton"},
			{`phone_number ^= "+49"`, "ann Anton"},
			{`name = "Anton \"Toni\" Berg"`, "Anton"},
			{`name ^= "Ann"`, "ann"},
			{`given_name = "Ann"`, "ann"},
			{`family_name = "Lee"`, "ann bob"},
			{`family_name ^= "L"`, "ann bob"},
			{`preferred_username = "annie"`, "ann"},
			{`cognito:user_status = "confirmed"`, "bob"},
			{`cognito:user_status = "FORCE_CHANGE_PASSWORD"`, "Anton ann"},
			{`cognito:user_status ^= "un"`, "carl"},
			{`cognito:user_status ^= ""`, "Anton ann bob carl"},
			{`cognito:user_status = "NONE"`, ""},
			{`status = "Enabled"`, "Anton ann carl"},
			{`status = "Disabled"`, "bob"},
			{`status = "disabled"`, ""},
			{`status ^= ""`, "Anton ann bob carl"},
			{`name = "' OR 1=1 --"`, ""},
		} {
			for _, limit := range []int32{0, 1} {
				if got := strings.Join(app.list(t, test.filter, limit), " "); got != test.want {
					t.Errorf("%s, %d a page: %s, want %s", test.filter, limit, got, test.want)
				}
			}
		}
		_, err := ts.sdk.ListUsers(ctx, &cip.ListUsersInput{UserPoolId: &app.pool, Filter: aws.String(`custom:x = "1"`)})
		wantError(t, "an attribute that is not searched", err, "InvalidParameterException", "Invalid search attribute: custom:x")

		out, err := ts.sdk.ListUsers(ctx, &cip.ListUsersInput{UserPoolId: &app.pool, Filter: aws.String(`username = "ann"`), AttributesToGet: []string{"email", "sub"}})
		if err != nil || len(out.Users) != 1 || len(out.Users[0].Attributes) != 2 {
			t.Errorf("attributes to get: %+v, error %v", out, err)
		}
		_, err = ts.sdk.ListUsers(ctx, &cip.ListUsersInput{UserPoolId: &app.pool, AttributesToGet: []string{"custom:none"}})
		wantError(t, "an unknown attribute to get", err, "InvalidParameterException", "One or more requested attributes do not exist.")

		// A token belongs to its listing.
		first, err := ts.sdk.ListUsers(ctx, &cip.ListUsersInput{UserPoolId: &app.pool, Limit: aws.Int32(1)})
		if err != nil || first.PaginationToken == nil {
			t.Fatal(first, err)
		}
		_, err = ts.sdk.ListUsers(ctx, &cip.ListUsersInput{UserPoolId: &app.pool, Limit: aws.Int32(1), PaginationToken: first.PaginationToken, Filter: aws.String(`status = "Enabled"`)})
		wantError(t, "a token of another listing", err, "InvalidParameterException", "Invalid pagination token")
	})
}

// TestListUsersPages lists while users come and go: whoever is there all the time is listed once.
func TestListUsersPages(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		const n = 1000
		app := ts.newApp(t)
		app.fill(t, n, func(i int) (string, map[string]string) {
			return fmt.Sprintf("user%04d", i), map[string]string{"name": fmt.Sprint("Name ", i%7), "email": fmt.Sprintf("%d@example.com", i)}
		})
		added := 0
		for filter, want := range map[string]int{``: n, `email ^= ""`: n, `name = "Name 3"`: 143, `name ^= "Name"`: n, `cognito:user_status = "CONFIRMED"`: n} {
			seen := map[string]int{}
			in := &cip.ListUsersInput{UserPoolId: &app.pool, Filter: aws.String(filter)}
			pages := cip.NewListUsersPaginator(ts.sdk, in)
			for i := 0; pages.HasMorePages(); i++ {
				page, err := pages.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if len(page.Users) > 60 {
					t.Fatalf("%d users on a page", len(page.Users))
				}
				for _, u := range page.Users {
					seen[*u.Username]++
				}
				// Others come before, between and after.
				for _, at := range []string{"aaa", "user0500", "zzz"} {
					added++
					name := fmt.Sprintf("%s-%d", at, added)
					app.fill(t, 1, func(int) (string, map[string]string) { return name, map[string]string{} })
					if i%2 == 0 {
						if _, err := ts.sdk.AdminDeleteUser(t.Context(), &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: &name}); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			stayed := 0
			for name, times := range seen {
				if times != 1 {
					t.Errorf("%s: %s is listed %d times", filter, name, times)
				}
				if strings.HasPrefix(name, "user") && len(name) == len("user0000") {
					stayed++
				}
			}
			if stayed != want {
				t.Errorf("%s: %d users, want %d", filter, stayed, want)
			}
		}
	})
}

// TestEstimate: the number of users of a large pool is counted once a minute, that of others each time.
func TestEstimate(t *testing.T) {
	ts := newTestServerSQLite(t)
	large, small := ts.newApp(t), ts.newApp(t)
	number := func(app *testApp) int32 {
		t.Helper()
		out, err := ts.sdk.DescribeUserPool(t.Context(), &cip.DescribeUserPoolInput{UserPoolId: &app.pool})
		if err != nil {
			t.Fatal(err)
		}
		return out.UserPool.EstimatedNumberOfUsers
	}
	add := func(app *testApp, prefix string, n int) {
		app.fill(t, n, func(i int) (string, map[string]string) { return fmt.Sprint(prefix, i), map[string]string{} })
	}
	add(large, "user", countedAlways+1)
	add(small, "user", 3)
	for range 2 {
		if n := number(large); n != countedAlways+1 {
			t.Errorf("large pool: %d", n)
		}
	}
	add(large, "more", 5)
	add(small, "more", 5)
	if l, s := number(large), number(small); l != countedAlways+1 || s != 8 {
		t.Errorf("at once: %d and %d", l, s)
	}
	ts.clock.advance(estimateLife)
	if n := number(large); n != countedAlways+6 {
		t.Errorf("after a minute: %d", n)
	}
}

// TestPlans checks that SQLite finds users by an index: those of each filter, in order, and those who sign in, by whichever
// name; and what belongs to them.
func TestPlans(t *testing.T) {
	ts := newTestServerSQLite(t)
	app := ts.newApp(t, aliases("email", "phone_number", "preferred_username"), hidden)
	app.fill(t, 200, func(i int) (string, map[string]string) {
		return fmt.Sprint("user", i), map[string]string{"name": "N", "email": fmt.Sprintf("%d@example.com", i)}
	})
	p, err := ts.Service.pool(t.Context(), app.pool)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what, query string, args ...any) {
		t.Helper()
		type step struct {
			ID, Parent, Unused int
			Detail             string
		}
		steps, err := db.All[step](t.Context(), ts.DB, `EXPLAIN QUERY PLAN `+query, args...)
		if err != nil {
			t.Fatal(what, ": ", err)
		}
		found, subqueries := false, map[string]int{} // these are of a row or two
		for _, s := range steps {
			if name, ok := strings.CutPrefix(s.Detail, "CO-ROUTINE "); ok {
				subqueries[name]++
			}
			found = found || strings.HasPrefix(s.Detail, "SEARCH")
			table, scan := strings.CutPrefix(s.Detail, "SCAN ")
			if scan {
				subqueries[table]--
			}
			if scan && table != "CONSTANT ROW" && subqueries[table] < 0 || strings.Contains(s.Detail, "TEMP B-TREE") && !strings.HasSuffix(query, "LIMIT 1") {
				t.Errorf("%s: %s", what, s.Detail)
			}
		}
		if !found {
			t.Errorf("%s: no index in %+v", what, steps)
		}
	}
	for _, text := range []string{``, `username = "x"`, `username ^= "x"`, `sub = "x"`, `sub ^= "x"`, `email = "x"`, `email ^= "x"`, `phone_number = "x"`, `phone_number ^= "x"`,
		`preferred_username = "x"`, `preferred_username ^= "x"`, `name = "x"`, `name ^= "x"`, `given_name = "x"`, `given_name ^= "x"`, `family_name = "x"`, `family_name ^= "x"`,
		`cognito:user_status = "UNCONFIRMED"`, `cognito:user_status = "CONFIRMED"`, `status = "Disabled"`, `status = "Enabled"`} {
		f, err := parseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		page, _ := ts.openPage(nil, nil)
		where, order, args, _ := p.find(f, page)
		check(text, `SELECT `+listColumns+` FROM users u WHERE `+where+` ORDER BY `+order+` LIMIT 61`, args...)
	}
	c, _, err := ts.Service.client(t.Context(), app.app)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"user7", "7@example.com", "+15551234567", "11111111-2222-4333-8444-555555555555"} {
		query, args := p.userByName(name)
		check(name, query, args...)
		for what, query := range map[string]string{" asking": query, " signing in": c.admitted(query)} {
			query, args := ts.Service.orFailures(p, p.invent(name), query, args)
			check(name+what, query, args...)
		}
	}
	check("sub", userBySub, p.ID, "x")
	check("session", userOfSession, p.ID, "x", "y")
}

func BenchmarkListUsers(b *testing.B) {
	ts := newTestServerSQLite(b)
	app := ts.newApp(b)
	app.fill(b, 10_000, func(i int) (string, map[string]string) {
		return fmt.Sprint("user", i), map[string]string{"name": "N", "email": fmt.Sprintf("%d@example.com", i)}
	})
	ctx := b.Context()
	p, err := ts.Service.pool(ctx, app.pool)
	if err != nil {
		b.Fatal(err)
	}
	for _, text := range []string{``, `email ^= "99"`} {
		f, _ := parseFilter(text)
		b.Run(fmt.Sprintf("filter=%s", text), func(b *testing.B) {
			for b.Loop() {
				page, _ := ts.openPage(nil, nil)
				where, order, args, _ := p.find(f, page)
				rows, err := db.All[userRow](ctx, ts.DB, `SELECT `+listColumns+` FROM users u WHERE `+where+` ORDER BY `+order+` LIMIT 61`, args...)
				if err != nil || len(rows) == 0 {
					b.Fatal(len(rows), err)
				}
			}
		})
	}
}

func BenchmarkFindUser(b *testing.B) {
	ts := newTestServerSQLite(b)
	app := ts.newApp(b, aliases("email"))
	app.fill(b, 10_000, func(i int) (string, map[string]string) {
		return fmt.Sprint("user", i), map[string]string{"email": fmt.Sprintf("%d@example.com", i), "email_verified": "true"}
	})
	p, err := ts.Service.pool(b.Context(), app.pool)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"user77", "77@example.com"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := ts.findUser(b.Context(), ts.DB, p, name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
