package ushertest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"usher/internal/awsapi/awstest"
	"usher/internal/db/dbtest"
	"usher/internal/server"
	"usher/internal/ushertest"
)

// proxy adds to each request what a reverse proxy tells about it.
type proxy struct{ client, proto string }

func (p proxy) Do(r *http.Request) (*http.Response, error) {
	if p.client != "" {
		r.Header.Set("X-Forwarded-For", p.client)
		r.Header.Set("X-Forwarded-Proto", p.proto)
	}
	return awstest.Client.Do(r)
}

// TestBehindProxy: policies on aws:SourceIp and aws:SecureTransport are about the client, if the proxy is trusted, for the APIs
// as for S3.
func TestBehindProxy(t *testing.T) {
	for _, trusted := range []string{"127.0.0.1", "10.0.0.0/8"} {
		s := ushertest.Start(t, server.Config{Database: dbtest.SQLite(t), Data: t.TempDir(), TrustedProxies: trusted})
		admin := ushertest.ClientsFor(s.Admin(t))
		must(admin.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("box")}))(t)
		must(admin.IAM.CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("alice")}))(t)
		must(admin.IAM.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: aws.String("alice"), PolicyName: aws.String("p"), PolicyDocument: document(
			`{"Effect":"Allow","Action":["iam:ListUsers","s3:ListBucket"],"Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"},"Bool":{"aws:SecureTransport":"true"}}}`)}))(t)
		k := must(admin.IAM.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("alice")}))(t).AccessKey
		for _, c := range []struct {
			proxy
			allowed bool
		}{
			{proxy{"203.0.113.9", "https"}, true},
			{proxy{"203.0.113.9", "http"}, false},
			{proxy{"198.51.100.1", "https"}, false},
			{proxy{"203.0.113.9, 198.51.100.1", "https"}, false},
			{proxy{"", ""}, false},
		} {
			cfg := s.As(*k.AccessKeyId, *k.SecretAccessKey, "")
			cfg.HTTPClient = c.proxy
			alice := ushertest.ClientsFor(cfg)
			_, errIAM := alice.IAM.ListUsers(t.Context(), nil)
			_, errS3 := alice.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("box")})
			for _, err := range []error{errIAM, errS3} {
				want := c.allowed && trusted == "127.0.0.1"
				if want != (err == nil) || err != nil && !strings.Contains(err.Error(), "AccessDenied") {
					t.Errorf("trusting %s, %+v: %v", trusted, c.proxy, err)
				}
			}
		}
	}
}

// TestGuestsBehindProxy: guests are counted by the same address; behind a proxy that is not trusted all clients are one.
func TestGuestsBehindProxy(t *testing.T) {
	for _, trusted := range []string{"127.0.0.1", "10.0.0.0/8"} {
		s := ushertest.Start(t, server.Config{Database: dbtest.SQLite(t), Data: t.TempDir(), TrustedProxies: trusted, GuestsPerMinute: "1"})
		pool := must(ushertest.ClientsFor(s.Admin(t)).Identities.CreateIdentityPool(t.Context(), &cognitoidentity.CreateIdentityPoolInput{
			IdentityPoolName: aws.String("app"), AllowUnauthenticatedIdentities: true}))(t)
		for i, c := range []struct {
			client  string
			allowed bool
		}{
			{"203.0.113.1", true}, {"203.0.113.1", false}, {"203.0.113.2", trusted == "127.0.0.1"}, {"203.0.113.3, 203.0.113.2", false},
		} {
			cfg := s.As("", "", "")
			cfg.Credentials, cfg.HTTPClient, cfg.RetryMaxAttempts = aws.AnonymousCredentials{}, proxy{c.client, "https"}, 1
			_, err := ushertest.ClientsFor(cfg).Identities.GetId(t.Context(), &cognitoidentity.GetIdInput{IdentityPoolId: pool.IdentityPoolId})
			if c.allowed != (err == nil) || err != nil && !strings.Contains(err.Error(), "TooManyRequestsException") {
				t.Errorf("trusting %s, guest %d of %s: %v", trusted, i, c.client, err)
			}
		}
	}
}
