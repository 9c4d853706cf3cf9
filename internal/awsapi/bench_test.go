package awsapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"usher/internal/api/cognitoidp"
	"usher/internal/api/sts"
	"usher/internal/awsapi"
)

func ptr[T any](v T) *T { return &v }

const signIn = `{"AuthFlow":"USER_SRP_AUTH","ClientId":"5q2v8m0c4t6j1n3b7k9d2f4h6s","AuthParameters":{"USERNAME":"alice@example.com","SRP_A":"` +
	"8f3c" + `"},"ClientMetadata":{"a":"b"}}`

func BenchmarkInitiateAuthDecode(b *testing.B) {
	body := []byte(strings.Replace(signIn, "8f3c", strings.Repeat("8f3c", 192), 1))
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		d, err := awsapi.NewJSONDecoder(body)
		if err != nil {
			b.Fatal(err)
		}
		var in cognitoidp.InitiateAuthRequest
		in.Decode(&awsapi.Request{JSON: d})
		v := awsapi.NewValidator(cognitoidp.Protocol.Style)
		in.Validate(v)
		if v.Err() != nil || d.Err() != nil {
			b.Fatal(v.Err(), d.Err())
		}
	}
}

// BenchmarkGetUserDecode is a token of the usual length through its pattern.
func BenchmarkGetUserDecode(b *testing.B) {
	body := []byte(`{"AccessToken":"` + strings.Repeat("aB3-_xyz", 128) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		d, err := awsapi.NewJSONDecoder(body)
		if err != nil {
			b.Fatal(err)
		}
		var in cognitoidp.GetUserRequest
		in.Decode(&awsapi.Request{JSON: d})
		v := awsapi.NewValidator(cognitoidp.Protocol.Style)
		in.Validate(v)
		if v.Err() != nil {
			b.Fatal(v.Err())
		}
	}
}

func BenchmarkAuthenticationResultEncode(b *testing.B) {
	out := &cognitoidp.InitiateAuthResponse{
		AuthenticationResult: &cognitoidp.AuthenticationResultType{
			AccessToken: ptr(strings.Repeat("a", 1000)), IdToken: ptr(strings.Repeat("b", 1000)), RefreshToken: ptr(strings.Repeat("c", 600)),
			TokenType: ptr("Bearer"), ExpiresIn: ptr(int32(3600)),
		},
		ChallengeParameters: map[string]string{},
	}
	b.ReportAllocs()
	for b.Loop() {
		var r awsapi.Response
		out.Encode(&r)
	}
}

func BenchmarkAssumeRoleWithWebIdentityDecode(b *testing.B) {
	form := "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fapp&RoleSessionName=web&WebIdentityToken=" + strings.Repeat("aB3-_xyz", 128)
	b.ReportAllocs()
	for b.Loop() {
		q, err := awsapi.ParseForm(form)
		if err != nil {
			b.Fatal(err)
		}
		var in sts.AssumeRoleWithWebIdentityRequest
		in.Decode(&awsapi.Request{Form: q})
		v := awsapi.NewValidator(sts.Protocol.Style)
		in.Validate(v)
		if v.Err() != nil {
			b.Fatal(v.Err())
		}
	}
}

// BenchmarkPipeline is a whole request but for its operation and signature.
func BenchmarkPipeline(b *testing.B) {
	a := &authority{}
	s := &awsapi.Server{
		Services: []*awsapi.Service{{
			Name: "cognito-idp", Protocol: cognitoidp.Protocol,
			Operations: []awsapi.Operation{awsapi.Op("InitiateAuth", "cognito-idp:InitiateAuth", awsapi.Open,
				func(context.Context, *cognitoidp.InitiateAuthRequest) (*cognitoidp.InitiateAuthResponse, error) {
					return &cognitoidp.InitiateAuthResponse{}, nil
				})},
		}},
		Authenticator: a, Authorizer: a,
	}
	header := http.Header{"Content-Type": {jsonType}, "X-Amz-Target": {idp + "InitiateAuth"}}
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/", strings.NewReader(signIn))
		r.Header = header
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
