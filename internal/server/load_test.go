package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/server"
)

// The benchmarks of this file run against usher as a process of its own, over connections, and report what it used.

// app is a pool of a running server with a client for every flow.
type app struct {
	*process
	tb           testing.TB
	pool, client string
	http         *http.Client

	once         sync.Once
	refreshToken string // see refresh
}

const (
	clients  = 16 // that call at the same time, as the figures of docs/performance.md have it
	password = "Password-1!"
)

func serveApp(tb testing.TB, settings ...string) *app {
	tb.Helper()
	a := &app{process: serve(tb, tb.TempDir(), freeAddress(tb), "", settings...), tb: tb,
		http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 4096}}}
	tb.Cleanup(a.http.CloseIdleConnections)
	users := idp.NewFromConfig(a.admin(tb))
	pool, err := users.CreateUserPool(tb.Context(), &idp.CreateUserPoolInput{PoolName: aws.String("load"), AutoVerifiedAttributes: []types.VerifiedAttributeType{"email"}})
	if err != nil {
		tb.Fatal(err)
	}
	client, err := users.CreateUserPoolClient(tb.Context(), &idp.CreateUserPoolClientInput{UserPoolId: pool.UserPool.Id, ClientName: aws.String("app"),
		PreventUserExistenceErrors: types.PreventUserExistenceErrorTypesEnabled,
		ExplicitAuthFlows:          []types.ExplicitAuthFlowsType{"ALLOW_USER_PASSWORD_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}})
	if err != nil {
		tb.Fatal(err)
	}
	a.pool, a.client = *pool.UserPool.Id, *client.UserPoolClient.ClientId
	return a
}

// refusal is an answer that is not 200.
type refusal struct {
	status int
	code   string
}

func (r *refusal) Error() string { return fmt.Sprint(r.status, " ", r.code) }

// call posts an unsigned operation.
func (a *app) call(ctx context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, "POST", a.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+operation)
	res, err := a.http.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		var e struct {
			Type string `json:"__type"`
		}
		json.Unmarshal(text, &e)
		return &refusal{res.StatusCode, e.Type}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// addUser makes a confirmed user with the password.
func (a *app) addUser(name string) {
	a.tb.Helper()
	users := idp.NewFromConfig(a.admin(a.tb))
	if _, err := users.AdminCreateUser(a.tb.Context(), &idp.AdminCreateUserInput{UserPoolId: &a.pool, Username: &name, MessageAction: "SUPPRESS",
		UserAttributes: []types.AttributeType{{Name: aws.String("email"), Value: aws.String(name + "@example.org")}, {Name: aws.String("email_verified"), Value: aws.String("true")}}}); err != nil {
		a.tb.Fatal(err)
	}
	if _, err := users.AdminSetUserPassword(a.tb.Context(), &idp.AdminSetUserPasswordInput{UserPoolId: &a.pool, Username: &name, Password: aws.String(password), Permanent: true}); err != nil {
		a.tb.Fatal(err)
	}
}

type tokens struct {
	AuthenticationResult struct{ AccessToken, RefreshToken string }
}

func (a *app) signIn(name string) (tokens, error) {
	var t tokens
	err := a.call(a.tb.Context(), "InitiateAuth", map[string]any{"AuthFlow": "USER_PASSWORD_AUTH", "ClientId": a.client,
		"AuthParameters": map[string]string{"USERNAME": name, "PASSWORD": password}}, &t)
	return t, err
}

// usage is the processor time that the server has used, and the most memory that it had.
func (a *app) usage() (cpu time.Duration, peak int64) {
	a.tb.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", a.cmd.Process.Pid))
	if err != nil {
		a.tb.Skip("needs /proc: ", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, i := range []int{11, 12} { // user and system, in hundredths of a second
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			a.tb.Fatal(err)
		}
		cpu += time.Duration(n) * 10 * time.Millisecond
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		a.tb.Fatal(err)
	}
	if m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status); m != nil {
		peak, _ = strconv.ParseInt(string(m[1]), 10, 64)
	}
	return cpu, peak << 10
}

// each runs work for 0 to n-1 by the clients.
func (a *app) each(n int, work func(i int) error) {
	a.tb.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := work(i); err != nil {
					a.tb.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if a.tb.Failed() {
		a.tb.FailNow()
	}
}

// BenchmarkServer is operations as a user sees them. Give it a number of rounds: -benchtime 5000x.
func BenchmarkServer(b *testing.B) {
	report := func(b *testing.B, a *app, used time.Duration) {
		_, peak := a.usage()
		b.ReportMetric(float64(used.Microseconds())/float64(b.N), "server-cpu-µs/op")
		b.ReportMetric(float64(peak)/1e6, "peak-MB")
	}
	for name, prepare := range map[string]func(a *app) func(int) error{
		"PasswordSignIn": func(a *app) func(int) error {
			return func(int) error { _, err := a.signIn("ada"); return err }
		},
		"Refresh": func(a *app) func(int) error {
			return a.refresh
		},
		"GetUser": func(a *app) func(int) error {
			t, err := a.signIn("ada")
			if err != nil {
				a.tb.Fatal(err)
			}
			return func(int) error {
				return a.call(a.tb.Context(), "GetUser", map[string]string{"AccessToken": t.AuthenticationResult.AccessToken}, nil)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			a := serveApp(b)
			a.addUser("ada")
			work := prepare(a)
			a.each(10*clients, work)
			before, _ := a.usage()
			b.ResetTimer()
			a.each(b.N, work)
			after, _ := a.usage()
			report(b, a, after-before)
		})
	}
	b.Run("SignUpConfirm", func(b *testing.B) {
		a := serveApp(b)
		a.signUps(0, 500)
		var used time.Duration
		b.ResetTimer()
		for done := 0; done < b.N; {
			n := min(500, b.N-done) // the inbox keeps so many codes and more
			used += a.signUps(1000+done, n)
			done += n
		}
		report(b, a, used)
	})
}

// refresh refreshes the tokens of a sign-in that was done once.
func (a *app) refresh(int) error {
	a.once.Do(func() {
		t, err := a.signIn("ada")
		if err != nil {
			a.tb.Fatal(err)
		}
		a.refreshToken = t.AuthenticationResult.RefreshToken
	})
	return a.call(a.tb.Context(), "InitiateAuth", map[string]any{"AuthFlow": "REFRESH_TOKEN_AUTH", "ClientId": a.client,
		"AuthParameters": map[string]string{"REFRESH_TOKEN": a.refreshToken}}, nil)
}

// signUps signs n users up and confirms them with the codes of their messages. It returns what the server used for that, not
// for the reading of the messages.
func (a *app) signUps(from, n int) time.Duration {
	a.tb.Helper()
	name := func(i int) string { return fmt.Sprintf("user-%d", from+i) }
	start, _ := a.usage()
	a.each(n, func(i int) error {
		return a.call(a.tb.Context(), "SignUp", map[string]any{"ClientId": a.client, "Username": name(i), "Password": password,
			"UserAttributes": []map[string]string{{"Name": "email", "Value": name(i) + "@example.org"}}}, nil)
	})
	signedUp, _ := a.usage()
	kept, err := server.Control{Data: a.data}.Inbox(a.tb.Context(), n)
	if err != nil {
		a.tb.Fatal(err)
	}
	codes := map[string]string{}
	for _, m := range kept {
		codes[m.Username] = regexp.MustCompile(`\d{6}`).FindString(m.Body)
	}
	read, _ := a.usage()
	a.each(n, func(i int) error {
		return a.call(a.tb.Context(), "ConfirmSignUp", map[string]any{"ClientId": a.client, "Username": name(i), "ConfirmationCode": codes[name(i)]}, nil)
	})
	confirmed, _ := a.usage()
	return signedUp - start + confirmed - read
}
