package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/awsapi/awstest"
	"usher/internal/db/dbtest"
	"usher/internal/server"
)

// bin is the folder of the real binaries.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "usher-test-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		for _, b := range []struct{ dir, out, pkg string }{{"../..", "usher", "./cmd/usher"}, {"../../usher-s3", "usher-s3", "."}} {
			cmd := exec.Command("go", "build", "-o", filepath.Join(bin, b.out), b.pkg)
			cmd.Dir, cmd.Env = b.dir, append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "building %s: %v: %s\n", b.out, err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// process is a running usher.
type process struct {
	cmd      *exec.Cmd
	endpoint string
	data     string
	log      strings.Builder // to be read after the end of the process
}

// serve starts usher and waits until it answers.
func serve(t testing.TB, data, listen, database string, settings ...string) *process {
	t.Helper()
	p := &process{endpoint: "http://" + strings.Replace(listen, "0.0.0.0", "127.0.0.1", 1), data: data}
	p.cmd = exec.Command(filepath.Join(bin, "usher"), "serve", "--listen", listen, "--data", data)
	if database != "" {
		p.cmd.Args = append(p.cmd.Args, "--database", database)
	}
	p.cmd.Args = append(p.cmd.Args, settings...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	for range 400 {
		if res, err := http.Get(p.endpoint + "/_usher/health"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return p
			}
		}
		time.Sleep(25 * time.Millisecond)
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	t.Fatalf("usher does not answer:\n%s", p.log.String())
	return nil
}

func (p *process) admin(t testing.TB) aws.Config {
	t.Helper()
	cfg := server.Config{Data: p.data}
	key, secret, err := cfg.ReadCredentials()
	if err != nil {
		t.Fatal(err)
	}
	return aws.Config{Region: "us-east-1", BaseEndpoint: &p.endpoint, Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
		HTTPClient: awstest.Client, Retryer: func() aws.Retryer { return aws.NopRetryer{} }}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestKill9 kills the server with SIGKILL under a load of sign-ups: every acknowledged user is there after the restart.
func TestKill9(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { kill9(t, "") })
	t.Run("postgres", func(t *testing.T) { kill9(t, dbtest.Postgres(t)) })
}

func kill9(t *testing.T, database string) {
	ctx := t.Context()
	data, listen := t.TempDir(), freeAddress(t)
	p := serve(t, data, listen, database)
	users := idp.NewFromConfig(p.admin(t))
	pool, err := users.CreateUserPool(ctx, &idp.CreateUserPoolInput{PoolName: aws.String("crash"), AutoVerifiedAttributes: []types.VerifiedAttributeType{"email"}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := users.CreateUserPoolClient(ctx, &idp.CreateUserPoolClientInput{UserPoolId: pool.UserPool.Id, ClientName: aws.String("app"),
		ExplicitAuthFlows: []types.ExplicitAuthFlowsType{"ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"}})
	if err != nil {
		t.Fatal(err)
	}

	var mu sync.Mutex
	acknowledged := map[string]string{} // username to sub
	const enough = 400
	killed := sync.OnceFunc(func() { p.cmd.Process.Kill() }) // SIGKILL
	open := idp.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: &p.endpoint, Credentials: aws.AnonymousCredentials{},
		HTTPClient: awstest.Client, Retryer: func() aws.Retryer { return aws.NopRetryer{} }})
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("user-%d-%d", w, i)
				res, err := open.SignUp(ctx, &idp.SignUpInput{ClientId: client.UserPoolClient.ClientId, Username: &name, Password: aws.String("Password-1!"),
					UserAttributes: []types.AttributeType{{Name: aws.String("email"), Value: aws.String(name + "@example.org")}}})
				if err != nil {
					return
				}
				mu.Lock()
				acknowledged[name] = *res.UserSub
				n := len(acknowledged)
				mu.Unlock()
				if n == enough {
					killed()
				}
			}
		})
	}
	wg.Wait()
	p.cmd.Wait()
	if len(acknowledged) < enough {
		t.Fatalf("the load ended early, with %d users", len(acknowledged))
	}

	p = serve(t, data, listen, database)
	users = idp.NewFromConfig(p.admin(t))
	for name, sub := range acknowledged {
		u, err := users.AdminGetUser(ctx, &idp.AdminGetUserInput{UserPoolId: pool.UserPool.Id, Username: &name})
		if err != nil {
			t.Fatalf("an acknowledged user is gone: %s: %v", name, err)
		}
		if got := attribute(u.UserAttributes, "sub"); got != sub || u.UserStatus != types.UserStatusTypeUnconfirmed {
			t.Fatalf("%s: sub %s status %s, want %s UNCONFIRMED", name, got, u.UserStatus, sub)
		}
	}
	// The restarted server goes on: the last user can be confirmed and signs in.
	for name := range acknowledged {
		if _, err := users.AdminConfirmSignUp(ctx, &idp.AdminConfirmSignUpInput{UserPoolId: pool.UserPool.Id, Username: &name}); err != nil {
			t.Fatal(err)
		}
		if _, err := users.InitiateAuth(ctx, &idp.InitiateAuthInput{ClientId: client.UserPoolClient.ClientId, AuthFlow: types.AuthFlowTypeUserPasswordAuth,
			AuthParameters: map[string]string{"USERNAME": name, "PASSWORD": "Password-1!"}}); err != nil {
			t.Fatal(err)
		}
		break
	}
}

func attribute(list []types.AttributeType, name string) string {
	for _, a := range list {
		if *a.Name == name {
			return *a.Value
		}
	}
	return ""
}

// TestSecondServerIsRefused starts twice on one data folder. The first is not harmed, whatever the database.
func TestSecondServerIsRefused(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { second(t, "") })
	t.Run("postgres", func(t *testing.T) { second(t, dbtest.Postgres(t)) })
}

func second(t *testing.T, database string) {
	p := serve(t, t.TempDir(), freeAddress(t), database)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "usher"), append([]string{"serve", "--listen", freeAddress(t)}, p.cmd.Args[4:]...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "in use by another") {
		t.Fatalf("second server: %v: %s", err, out)
	}
	if out := usher(t, p, "demo"); !strings.Contains(out, "All of it is still there") {
		t.Errorf("the first server: %s", out)
	}
}
