// Package ushertest runs a whole Usher inside a test, on a database of its own, and hands out AWS SDK clients that are
// configured for it. Nothing in it is faked.
package ushertest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/awsapi/awstest"
	"usher/internal/db/dbtest"
	"usher/internal/server"
)

// Region of the servers.
const Region = "us-east-1"

// Each runs test against a server on SQLite and one on PostgreSQL.
func Each(t *testing.T, test func(*testing.T, *Server)) {
	t.Run("sqlite", func(t *testing.T) { test(t, New(t, dbtest.SQLite(t))) })
	t.Run("postgres", func(t *testing.T) { test(t, New(t, dbtest.Postgres(t))) })
}

// Server is a running Usher.
type Server struct {
	URL    string
	Data   string
	Server *server.Server
}

// New starts a server on the database that url names; it ends with the test.
func New(t testing.TB, url string) *Server {
	t.Helper()
	return Start(t, server.Config{Database: url, Data: t.TempDir()})
}

// Start starts a server with a configuration; the listener is its own.
func Start(t testing.TB, cfg server.Config) *Server {
	t.Helper()
	h := httptest.NewUnstartedServer(nil)
	cfg.Listen = h.Listener.Addr().String()
	cfg.Region = Region
	if err := cfg.Complete(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("USHER_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := server.New(context.Background(), cfg, cfg.Listen, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	h.Config.Handler = s
	h.Start()
	t.Cleanup(h.Close)
	return &Server{URL: h.URL, Data: cfg.Data, Server: s}
}

// Main is TestMain of a package that runs servers: it builds the local object store and puts it in PATH, where the servers
// find it.
func Main(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "usher-test-")
		if err == nil {
			defer os.RemoveAll(dir)
			err = buildStore(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "building usher-s3:", err)
			return 1
		}
		os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
		return m.Run()
	}())
}

func buildStore(dir string) error {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "usher-s3"), ".")
	cmd.Dir = filepath.Join(strings.TrimSpace(string(root)), "usher-s3")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// Admin is a configuration of the AWS SDK with the key of the user admin.
func (s *Server) Admin(t testing.TB) aws.Config {
	t.Helper()
	cfg := server.Config{Data: s.Data}
	key, secret, err := cfg.ReadCredentials()
	if err != nil {
		t.Fatal(err)
	}
	return s.As(key, secret, "")
}

// As is a configuration of the AWS SDK with other credentials.
func (s *Server) As(accessKeyID, secret, session string) aws.Config {
	return s.config(credentials.NewStaticCredentialsProvider(accessKeyID, secret, session))
}

// Nobody is a configuration of the AWS SDK without credentials.
func (s *Server) Nobody() aws.Config { return s.config(aws.AnonymousCredentials{}) }

func (s *Server) config(p aws.CredentialsProvider) aws.Config {
	return aws.Config{Region: Region, BaseEndpoint: &s.URL, Credentials: p, HTTPClient: awstest.Client, Retryer: func() aws.Retryer { return aws.NopRetryer{} }}
}

// Clients are clients of all services with one configuration.
type Clients struct {
	Users      *cognitoidentityprovider.Client
	Identities *cognitoidentity.Client
	STS        *sts.Client
	IAM        *iam.Client
	S3         *s3.Client
	Orgs       *organizations.Client
}

// ClientsFor makes the clients of a configuration.
func ClientsFor(cfg aws.Config) Clients {
	return Clients{cognitoidentityprovider.NewFromConfig(cfg), cognitoidentity.NewFromConfig(cfg), sts.NewFromConfig(cfg), iam.NewFromConfig(cfg),
		s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }), organizations.NewFromConfig(cfg)}
}
