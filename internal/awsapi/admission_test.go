package awsapi_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"usher/internal/api/cognitoidp"
	"usher/internal/api/sts"
	"usher/internal/awsapi"
)

// TestAdmission: more requests than the server takes are refused in the form of their protocol, one operation cannot take
// all places, and places are given back whatever becomes of a request.
func TestAdmission(t *testing.T) {
	const most = 8
	began, release := make(chan struct{}), make(chan struct{})
	hold := func() {
		began <- struct{}{}
		<-release
	}
	s := &awsapi.Server{MaxRequests: most, MaxBody: 1 << 20, Authenticator: &authority{}, Authorizer: &authority{}, Services: []*awsapi.Service{
		{Name: "cognito-idp", Protocol: cognitoidp.Protocol, Operations: []awsapi.Operation{
			awsapi.Op("InitiateAuth", "cognito-idp:InitiateAuth", awsapi.Open, func(context.Context, *cognitoidp.InitiateAuthRequest) (*cognitoidp.InitiateAuthResponse, error) {
				hold()
				panic("a place is given back after a panic too")
			}),
			awsapi.OpNoOutput("DeleteUser", "cognito-idp:DeleteUser", awsapi.Bearer, func(context.Context, *cognitoidp.DeleteUserRequest) error { return nil }),
		}, Bearer: func(ctx context.Context, _ string) (context.Context, error) { return ctx, nil }},
		{Name: "sts", Protocol: sts.Protocol, Operations: []awsapi.Operation{
			awsapi.Op("AssumeRoleWithWebIdentity", "sts:AssumeRoleWithWebIdentity", awsapi.Open, func(context.Context, *sts.AssumeRoleWithWebIdentityRequest) (*sts.AssumeRoleWithWebIdentityResponse, error) {
				hold()
				return nil, sts.ErrInvalidIdentityToken.Msg("no")
			}),
		}},
	}}
	dear := func() (int, string) {
		status, _, body := send(s, "POST", "/", jsonType, idp+"InitiateAuth", "", `{"AuthFlow":"USER_PASSWORD_AUTH","ClientId":"1"}`)
		return status, body
	}
	cheap := func() (int, string) {
		status, _, body := send(s, "POST", "/", jsonType, idp+"DeleteUser", "", `{"AccessToken":"a.b.c"}`)
		return status, body
	}
	query := func() (int, string) {
		status, _, body := send(s, "POST", "/", formType, "", "", "Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=ss&WebIdentityToken=abcdef"+stsForm)
		return status, body
	}
	const refused = `{"__type":"TooManyRequestsException","message":"Rate exceeded"}`
	for range 3 { // places do not get lost
		var wg sync.WaitGroup
		start := func(n int, request func() (int, string)) {
			for range n {
				wg.Go(func() { request() })
				<-began
			}
		}
		start(most/2, dear)
		if status, body := dear(); status != 400 || body != refused {
			t.Errorf("an operation that has half of the places: %d %s", status, body)
		}
		if status, body := cheap(); status != 200 {
			t.Errorf("another operation: %d %s", status, body)
		}
		start(most/2, query)
		if status, body := cheap(); status != 400 || body != refused {
			t.Errorf("no place is left: %d %s", status, body)
		}
		if status, body := query(); status != 400 || !strings.Contains(body, "<Code>Throttling</Code><Message>Rate exceeded</Message>") {
			t.Errorf("no place is left, Query: %d %s", status, body)
		}
		for range most {
			release <- struct{}{}
		}
		wg.Wait()
		if status, body := cheap(); status != 200 {
			t.Errorf("all have left: %d %s", status, body)
		}
		// Big bodies, and those whose size is not said, are many.
		start(most/2, dear)
		big := `{"AccessToken":"` + strings.Repeat("a", 900<<10) + `"}`
		if status, h, body := send(s, "POST", "/", jsonType, idp+"DeleteUser", "", big); status != 200 {
			t.Errorf("a big body that fits: %d %v %s", status, h, body)
		}
		start(2, query)
		if status, h, body := send(s, "POST", "/", jsonType, idp+"DeleteUser", "", big); status != 400 || body != refused || h.Get("Connection") != "close" {
			t.Errorf("a big body: %d %v %s", status, h, body)
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader(`{"AccessToken":"a.b.c"}`))
		r.ContentLength = -1
		r.Header.Set("Content-Type", jsonType)
		r.Header.Set("X-Amz-Target", idp+"DeleteUser")
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != 400 || w.Body.String() != refused {
			t.Errorf("a body of unknown size: %d %s", w.Code, w.Body)
		}
		for range most/2 + 2 {
			release <- struct{}{}
		}
		wg.Wait()
	}
}
