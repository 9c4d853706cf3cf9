package sts_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"

	apists "usher/internal/api/sts"
	"usher/internal/awsapi"
	"usher/internal/sigv4"
	"usher/internal/sts"
	"usher/internal/token"
)

// benchmarkPost makes requests to STS, without a network.
func benchmarkPost(b *testing.B, w *world, form url.Values, creds *sigv4.Credentials) {
	server := &awsapi.Server{Authenticator: w.gate, Authorizer: w.gate, Services: []*awsapi.Service{
		{Name: "sts", Protocol: apists.Protocol, Operations: apists.Operations(w.sts), Targets: w.sts.Targets}}}
	form.Set("Version", "2011-06-15")
	body := form.Encode()
	template := httptest.NewRequest("POST", "/", nil)
	template.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	template.ContentLength = int64(len(body))
	if creds != nil {
		sigv4.Sign(template, *creds, sigv4.PayloadHash([]byte(body)), time.Now(), "us-east-1", "sts")
	}
	call := func() int {
		r := *template
		r.Body = io.NopCloser(strings.NewReader(body))
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, &r)
		return rec.Code
	}
	if code := call(); code != http.StatusOK {
		b.Fatal(code)
	}
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}

func BenchmarkGetCallerIdentity(b *testing.B) {
	w := start(b, sqlite(b))
	benchmarkPost(b, w, url.Values{"Action": {"GetCallerIdentity"}}, &sigv4.Credentials{AccessKeyID: w.a.AccessKeyID, SecretAccessKey: w.a.SecretAccessKey})
}

// BenchmarkGetCallerIdentityOfSession has the session token to open besides.
func BenchmarkGetCallerIdentityOfSession(b *testing.B) {
	w, id := benchmarkWebIdentity(b)
	c := must(w.sts.AssumeWebIdentity(context.Background(), id))(b)
	benchmarkPost(b, w, url.Values{"Action": {"GetCallerIdentity"}}, &sigv4.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken})
}

func benchmarkWebIdentity(b *testing.B) (*world, sts.WebIdentity) {
	w := start(b, sqlite(b))
	role := w.role(w.key(w.a), "auth", `{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"us-east-1:p"},"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"authenticated"}}}`, "")
	return w, sts.WebIdentity{
		RoleARN: *role, SessionName: "CognitoIdentityCredentials", Provider: sts.IdentityPools, Duration: time.Hour, AccountID: w.a.Account, IdentityID: "us-east-1:id-1",
		Keys: map[string][]string{"cognito-identity.amazonaws.com:aud": {"us-east-1:p"}, "cognito-identity.amazonaws.com:sub": {"us-east-1:id-1"},
			"cognito-identity.amazonaws.com:amr": {"authenticated", "cognito-idp.us-east-1.amazonaws.com/us-east-1_Ab1", "cognito-idp.us-east-1.amazonaws.com/us-east-1_Ab1:CognitoSignIn:0d5e3f0a-3333-4000-8000-000000000003"}},
	}
}

// BenchmarkAssumeWebIdentity is what an identity pool asks for.
func BenchmarkAssumeWebIdentity(b *testing.B) {
	w, id := benchmarkWebIdentity(b)
	b.ReportAllocs()
	for b.Loop() {
		must(w.sts.AssumeWebIdentity(context.Background(), id))(b)
	}
}

// BenchmarkOpenSession is what temporary credentials cost a request beside its signature.
func BenchmarkOpenSession(b *testing.B) {
	w, id := benchmarkWebIdentity(b)
	c := must(w.sts.AssumeWebIdentity(context.Background(), id))(b)
	b.ReportAllocs()
	for b.Loop() {
		must(w.sts.Credential(context.Background(), c.AccessKeyID, c.SessionToken))(b)
	}
}

// BenchmarkAssumeRoleWithWebIdentity verifies the tokens of a user pool: each once, and one again and again.
func BenchmarkAssumeRoleWithWebIdentity(b *testing.B) {
	w := start(b, sqlite(b))
	a := w.key(w.a)
	pool := newIssuer(b)
	const iss = "https://id.example.org/us-east-1_Ab1"
	w.local.set(iss, &sts.LocalIssuer{Kind: sts.UserPoolIssuer, Keys: []token.PublicKey{pool.key.Public()}})
	provider := must(a.IAM.CreateOpenIDConnectProvider(w.ctx(), &sdkiam.CreateOpenIDConnectProviderInput{Url: aws.String(iss), ClientIDList: []string{"app1"}}))(b).OpenIDConnectProviderArn
	role := w.role(a, "app", `{"Effect":"Allow","Principal":{"Federated":"`+*provider+`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"id.example.org/us-east-1_Ab1:aud":"app1"}}}`, "")
	now := time.Now().Unix()
	sign := func(n int) *string {
		return aws.String(pool.sign(b, claims{"iss": iss, "aud": "app1", "sub": "0d5e3f0a-3333-4000-8000-000000000003", "iat": now, "exp": now + 3600, "token_use": "id", "n": n}))
	}
	tokens := make([]*string, 2000)
	b.Run("new", func(b *testing.B) {
		if tokens[0] == nil {
			for i := range tokens {
				tokens[i] = sign(i)
			}
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if i%len(tokens) == 0 { // a server that remembers none of them
				b.StopTimer()
				fresh := *w.sts
				w.sts = must(sts.New(fresh))(b)
				b.StartTimer()
			}
			must(w.sts.AssumeRoleWithWebIdentity(context.Background(), &apists.AssumeRoleWithWebIdentityRequest{RoleArn: role, RoleSessionName: aws.String("s1"), WebIdentityToken: tokens[i%len(tokens)]}))(b)
			i++
		}
	})
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		one := sign(0)
		for b.Loop() {
			must(w.sts.AssumeRoleWithWebIdentity(context.Background(), &apists.AssumeRoleWithWebIdentityRequest{RoleArn: role, RoleSessionName: aws.String("s1"), WebIdentityToken: one}))(b)
		}
	})
	b.Run("handler", func(b *testing.B) {
		benchmarkPost(b, w, url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "RoleArn": {*role}, "RoleSessionName": {"s1"}, "WebIdentityToken": {*sign(0)}}, nil)
	})
}
