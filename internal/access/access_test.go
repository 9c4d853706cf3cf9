package access_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/internal/access"
	"usher/internal/api/cognitoidentity"
	"usher/internal/api/sts"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/policy"
	"usher/internal/sigv4"
)

const account = "111122223333"

var (
	longTerm  = sigv4.Credentials{AccessKeyID: "AKIAALICE", SecretAccessKey: "alice's secret"}
	temporary = sigv4.Credentials{AccessKeyID: "ASIAROLE", SecretAccessKey: "role's secret", SessionToken: "token"}
	epoch     = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
)

// identities is a directory of two: a user and a role session.
type identities struct {
	principals map[string]*access.Principal
	trust      map[string]string

	organizations map[string]access.Organization

	mu   sync.Mutex
	used []string
}

func (i *identities) Credential(_ context.Context, id, session string) (*access.Credential, error) {
	switch {
	case id == longTerm.AccessKeyID && session == "":
		return &access.Credential{Secret: longTerm.SecretAccessKey, Principal: i.principals[id]}, nil
	case id == temporary.AccessKeyID && session == "token":
		return &access.Credential{Secret: temporary.SecretAccessKey, Principal: i.principals[id]}, nil
	case session == "old":
		return nil, awsapi.ErrExpiredToken
	}
	return nil, awsapi.ErrInvalidClientToken
}

func (i *identities) TrustPolicy(_ context.Context, roleARN string) ([]policy.Source, error) {
	if text, ok := i.trust[roleARN]; ok {
		return []policy.Source{{Policy: compile(text)}}, nil
	}
	return nil, nil
}

func (i *identities) Organization(_ context.Context, account string) (access.Organization, error) {
	return i.organizations[account], nil
}

func (i *identities) Used(id, service, region string, at time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.used = append(i.used, id+" "+service+" "+region+" "+at.Format(time.RFC3339))
}

func compile(statements string) *policy.Policy {
	p, err := policy.Parse(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)
	if err != nil {
		panic(err)
	}
	return p
}

func user(statements string) *access.Principal {
	return &access.Principal{
		Principal: policy.Principal{Kind: policy.User, AccountID: account, ARN: "arn:aws:iam::" + account + ":user/alice", ID: "AIDAALICE"},
		Name:      "alice", Tags: map[string]string{"team": "red"}, Identity: []policy.Source{{ID: "inline", Policy: compile(statements)}},
	}
}

func session(statements string) *access.Principal {
	return &access.Principal{
		Principal: policy.Principal{Kind: policy.RoleSession, AccountID: account, ARN: "arn:aws:sts::" + account + ":assumed-role/app/s1",
			ParentARN: "arn:aws:iam::" + account + ":role/x/app", ID: "AROAROLE", SessionName: "s1"},
		Name: "app", Tags: map[string]string{"team": "red", "level": "1"}, Identity: []policy.Source{{ID: "inline", Policy: compile(statements)}},
		Session: &access.Session{
			Name: "s1", Issued: epoch.Add(-time.Hour), Expiry: epoch.Add(time.Hour), Provider: "cognito-identity.amazonaws.com", SourceIdentity: "alice",
			Tags: []access.Tag{{Key: "Team", Value: "blue"}},
			Keys: []access.Key{{Name: "cognito-identity.amazonaws.com:sub", Values: []string{"id-1"}}, {Name: "cognito-identity.amazonaws.com:amr", Values: []string{"authenticated"}}},
		},
	}
}

// start puts a Gate before two services that speak different protocols and do nothing.
func start(t testing.TB, ids *identities) (*access.Gate, string) {
	gate := access.New(access.Gate{Identities: ids, DB: dbtest.Open(t, dbtest.SQLite(t)), Now: func() time.Time { return epoch }, Denials: access.NewDenials()})
	server := httptest.NewServer(&awsapi.Server{
		Authenticator: gate, Authorizer: gate,
		Services: []*awsapi.Service{
			{Name: "sts", Protocol: sts.Protocol, Operations: []awsapi.Operation{
				awsapi.Op("GetCallerIdentity", "sts:GetCallerIdentity", awsapi.Signed, func(ctx context.Context, _ *sts.GetCallerIdentityRequest) (*sts.GetCallerIdentityResponse, error) {
					c, _ := awsapi.CallerFrom(ctx)
					return &sts.GetCallerIdentityResponse{Arn: &c.ARN, UserId: &c.UserID, Account: &c.AccountID}, nil
				}),
			}},
			{Name: "cognito-identity", Protocol: cognitoidentity.Protocol, Operations: []awsapi.Operation{
				awsapi.Op("ListIdentityPools", "cognito-identity:ListIdentityPools", awsapi.Signed, func(context.Context, *cognitoidentity.ListIdentityPoolsInput) (*cognitoidentity.ListIdentityPoolsResponse, error) {
					return &cognitoidentity.ListIdentityPoolsResponse{}, nil
				}),
			}},
		},
	})
	t.Cleanup(server.Close)
	return gate, server.URL
}

// query and json are requests in two protocols, not signed yet.
func query(url string) (*http.Request, string) {
	const body = "Action=GetCallerIdentity&Version=2011-06-15"
	r, _ := http.NewRequest("POST", url+"/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, body
}

func json(url string) (*http.Request, string) {
	const body = `{"MaxResults":1}`
	r, _ := http.NewRequest("POST", url+"/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService.ListIdentityPools")
	return r, body
}

func send(t testing.TB, r *http.Request) (status int, body, requestID string) {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text), res.Header.Get("X-Amzn-Requestid")
}

// TestAuthenticationErrors: each fault in the words of each protocol.
func TestAuthenticationErrors(t *testing.T) {
	_, url := start(t, &identities{principals: map[string]*access.Principal{
		longTerm.AccessKeyID: user(`{"Effect":"Allow","Action":"*","Resource":"*"}`), temporary.AccessKeyID: session(`{"Effect":"Allow","Action":"*","Resource":"*"}`)}})
	sign := func(creds sigv4.Credentials, at time.Time) func(*http.Request, string, string) {
		return func(r *http.Request, body, service string) {
			sigv4.Sign(r, creds, sigv4.PayloadHash([]byte(body)), at, "us-east-1", service)
		}
	}
	for _, c := range []struct {
		what        string
		sign        func(r *http.Request, body, service string)
		queryStatus int
		query       string
		jsonStatus  int
		json        string
	}{
		{"signed", sign(longTerm, epoch), 200, "user/alice", 200, "{"},
		{"by a session", sign(temporary, epoch), 200, "assumed-role/app/s1", 200, "{"},
		{"not signed", func(*http.Request, string, string) {}, 403, "<Code>MissingAuthenticationToken</Code><Message>Request is missing Authentication Token<", 400, `MissingAuthenticationTokenException","message":"Missing Authentication Token"`},
		{"unknown key", sign(sigv4.Credentials{AccessKeyID: "AKIAMALLORY", SecretAccessKey: "x"}, epoch), 403, "<Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.<", 400, `UnrecognizedClientException","message":"The security token included in the request is invalid."`},
		{"foreign session token", sign(sigv4.Credentials{AccessKeyID: temporary.AccessKeyID, SecretAccessKey: temporary.SecretAccessKey, SessionToken: "x"}, epoch), 403, "<Code>InvalidClientTokenId</Code>", 400, "UnrecognizedClientException"},
		{"expired session", sign(sigv4.Credentials{AccessKeyID: temporary.AccessKeyID, SecretAccessKey: temporary.SecretAccessKey, SessionToken: "old"}, epoch), 403, "<Code>ExpiredToken</Code><Message>The security token included in the request is expired<", 400, `ExpiredTokenException","message":"The security token included in the request is expired"`},
		{"wrong secret", sign(sigv4.Credentials{AccessKeyID: longTerm.AccessKeyID, SecretAccessKey: "x"}, epoch), 403, "<Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match", 400, `InvalidSignatureException","message":"The request signature we calculated does not match`},
		{"too late", sign(longTerm, epoch.Add(-16*time.Minute)), 403, "<Code>SignatureDoesNotMatch</Code><Message>Signature expired: 20261121T094400Z is now earlier than 20261121T094500Z (20261121T100000Z - 15 min.)<", 400, "InvalidSignatureException"},
		{"too early", sign(longTerm, epoch.Add(16*time.Minute)), 403, "<Code>SignatureDoesNotMatch</Code><Message>Signature not yet current: 20261121T101600Z is still later than 20261121T101500Z (20261121T100000Z + 15 min.)<", 400, "InvalidSignatureException"},
		{"for another service", func(r *http.Request, body, _ string) {
			sigv4.Sign(r, longTerm, sigv4.PayloadHash([]byte(body)), epoch, "us-east-1", "sns")
		}, 403, "<Code>SignatureDoesNotMatch</Code><Message>Credential should be scoped to correct service: &#39;sts&#39;.<", 400, "Credential should be scoped to correct service: 'cognito-identity'."},
		{"over another body", func(r *http.Request, body, service string) {
			sigv4.Sign(r, longTerm, sigv4.PayloadHash([]byte(body+" ")), epoch, "us-east-1", service)
		}, 403, "<Code>SignatureDoesNotMatch</Code>", 400, "InvalidSignatureException"},
		{"over no body", func(r *http.Request, _, service string) {
			r.Header.Set("X-Amz-Content-Sha256", sigv4.UnsignedPayload)
			sigv4.Sign(r, longTerm, sigv4.UnsignedPayload, epoch, "us-east-1", service)
		}, 403, "<Code>SignatureDoesNotMatch</Code>", 400, "InvalidSignatureException"},
		{"malformed", func(r *http.Request, _, _ string) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x") }, 400, "<Code>IncompleteSignature</Code>", 400, "IncompleteSignatureException"},
		{"another scheme", func(r *http.Request, _, _ string) { r.Header.Set("Authorization", "Bearer x") }, 400, "<Code>IncompleteSignature</Code>", 400, "IncompleteSignatureException"},
	} {
		t.Run(c.what, func(t *testing.T) {
			r, body := query(url)
			c.sign(r, body, "sts")
			if status, got, _ := send(t, r); status != c.queryStatus || !strings.Contains(strings.ReplaceAll(got, "'", "&#39;"), c.query) {
				t.Errorf("%d %s\nwant %d %s", status, got, c.queryStatus, c.query)
			}
			r, body = json(url)
			c.sign(r, body, "cognito-identity")
			if status, got, _ := send(t, r); status != c.jsonStatus || !strings.Contains(got, c.json) {
				t.Errorf("%d %s\nwant %d %s", status, got, c.jsonStatus, c.json)
			}
		})
	}
}

// TestGlobalKeys: each condition key of the request and the caller has its value.
func TestGlobalKeys(t *testing.T) {
	ids := &identities{principals: map[string]*access.Principal{}, organizations: map[string]access.Organization{account: {ID: "o-1", Path: "o-1/r-1/"}}}
	_, url := start(t, ids)
	for _, c := range []struct {
		by               sigv4.Credentials
		who              func(string) *access.Principal
		operator, condit string
		ok               bool
	}{
		{longTerm, user, "StringEquals", `"aws:PrincipalArn":"arn:aws:iam::111122223333:user/alice"`, true},
		{longTerm, user, "StringEquals", `"aws:PrincipalAccount":"111122223333"`, true},
		{longTerm, user, "StringEquals", `"aws:PrincipalType":"User"`, true},
		{longTerm, user, "StringEquals", `"aws:userid":"AIDAALICE"`, true},
		{longTerm, user, "StringEquals", `"aws:username":"alice"`, true},
		{longTerm, user, "StringEquals", `"aws:PrincipalTag/Team":"red"`, true},
		{longTerm, user, "StringEquals", `"aws:RequestedRegion":"us-east-1"`, true},
		{longTerm, user, "StringEquals", `"aws:ResourceAccount":"111122223333"`, true},
		{longTerm, user, "StringEquals", `"aws:ResourceOrgID":"o-1"`, true},
		{longTerm, user, "ForAnyValue:StringEquals", `"aws:ResourceOrgPaths":"o-1/r-1/"`, true},
		{longTerm, user, "Null", `"aws:PrincipalOrgID":"true","aws:PrincipalOrgPaths":"true"`, true},
		{longTerm, user, "StringLike", `"aws:UserAgent":"test/*"`, true},
		{longTerm, user, "StringEquals", `"aws:referer":"https://example.com/"`, true},
		{longTerm, user, "IpAddress", `"aws:SourceIp":"127.0.0.0/8"`, true},
		{longTerm, user, "IpAddress", `"aws:SourceIp":"10.0.0.0/8"`, false},
		{longTerm, user, "Bool", `"aws:SecureTransport":"false"`, true},
		{longTerm, user, "Bool", `"aws:SecureTransport":"true"`, false},
		{longTerm, user, "Bool", `"aws:ViaAWSService":"false"`, true},
		{longTerm, user, "DateEquals", `"aws:CurrentTime":"2026-11-21T10:00:00Z"`, true},
		{longTerm, user, "NumericEquals", `"aws:EpochTime":"1795255200"`, true},
		{longTerm, user, "Null", `"aws:TokenIssueTime":"true","aws:MultiFactorAuthPresent":"true","aws:FederatedProvider":"true"`, true},
		{temporary, session, "StringEquals", `"aws:PrincipalArn":"arn:aws:iam::111122223333:role/x/app"`, true},
		{temporary, session, "StringEquals", `"aws:PrincipalType":"AssumedRole"`, true},
		{temporary, session, "StringEquals", `"aws:userid":"AROAROLE:s1"`, true},
		{temporary, session, "Null", `"aws:username":"true"`, true},
		{temporary, session, "StringEquals", `"aws:PrincipalTag/team":"blue","aws:PrincipalTag/level":"1"`, true}, // the session's over the role's
		{temporary, session, "StringEquals", `"aws:PrincipalTag/team":"red"`, false},
		{temporary, session, "DateEquals", `"aws:TokenIssueTime":"2026-11-21T09:00:00Z"`, true},
		{temporary, session, "Bool", `"aws:MultiFactorAuthPresent":"false"`, true},
		{temporary, session, "StringEquals", `"aws:FederatedProvider":"cognito-identity.amazonaws.com","aws:SourceIdentity":"alice"`, true},
		{temporary, session, "StringEquals", `"cognito-identity.amazonaws.com:sub":"id-1"`, true},
		{temporary, session, "ForAnyValue:StringEquals", `"cognito-identity.amazonaws.com:amr":"authenticated"`, true},
		{temporary, session, "StringEquals", `"cognito-identity.amazonaws.com:amr":"authenticated"`, false}, // multivalued
	} {
		ids.principals[c.by.AccessKeyID] = c.who(`{"Effect":"Allow","Action":"cognito-identity:*","Resource":"*","Condition":{"` + c.operator + `":{` + c.condit + `}}}`)
		r, body := json(url)
		r.Header.Set("User-Agent", "test/1")
		r.Header.Set("Referer", "https://example.com/")
		sigv4.Sign(r, c.by, sigv4.PayloadHash([]byte(body)), epoch, "us-east-1", "cognito-identity")
		status, got, _ := send(t, r)
		if (status == 200) != c.ok {
			t.Errorf("%s %s: %d %s", c.operator, c.condit, status, got)
		}
	}
}

func TestDenialCanBeExplained(t *testing.T) {
	gate, url := start(t, &identities{principals: map[string]*access.Principal{
		longTerm.AccessKeyID: user(`{"Sid":"Mine","Effect":"Allow","Action":"cognito-identity:List*","Resource":"*","Condition":{"StringEquals":{"aws:username":"bob"}}}`)}})
	r, body := json(url)
	sigv4.Sign(r, longTerm, sigv4.PayloadHash([]byte(body)), epoch, "us-east-1", "cognito-identity")
	status, got, id := send(t, r)
	want := `"User: arn:aws:iam::111122223333:user/alice is not authorized to perform: cognito-identity:ListIdentityPools on resource: * because no identity-based policy allows the cognito-identity:ListIdentityPools action"`
	if status != 400 || !strings.Contains(got, want) {
		t.Errorf("%d %s", status, got)
	}
	why := gate.Denials.Explain(id)
	if len(why) != 1 || why[0].Request.Action != "cognito-identity:ListIdentityPools" || !why[0].At.Equal(epoch) || len(why[0].Explanation.Statements) != 1 {
		t.Fatalf("%+v", why)
	}
	s := why[0].Explanation.Statements[0]
	if s.Statement.Sid != "Mine" || s.Failed != policy.ConditionElement || fmt.Sprint(s.Conditions[0].Got) != "[alice]" {
		t.Errorf("%+v", s)
	}
	if gate.Denials.Explain("another") != nil || gate.Denials.Explain("") != nil {
		t.Error("explained a request that was none")
	}
}

// TestBatchKeepsOtherDenials: a batch of many objects does not push out the denials of others.
func TestBatchKeepsOtherDenials(t *testing.T) {
	denials := access.NewDenials()
	deny := func(id string) {
		denials.Add(awsapi.WithRequestID(t.Context(), id), epoch, policy.Request{Action: "s3:DeleteObject", Context: &policy.Context{}}, policy.Policies{}, "")
	}
	deny("one")
	for range 5000 {
		deny("batch")
	}
	if n := len(denials.Explain("one")); n != 1 {
		t.Errorf("%d denials are left of the single request", n)
	}
	if n := len(denials.Explain("batch")); n < 1 || n > 10 {
		t.Errorf("%d denials are kept of the batch", n)
	}
}

// bucketPolicies are the policies of buckets that others own.
type bucketPolicies map[string]string

func (b bucketPolicies) ResourcePolicy(_ context.Context, resource, owner, _ string) ([]policy.Source, error) {
	bucket, _, _ := strings.Cut(strings.TrimPrefix(resource, "arn:aws:s3:::"), "/")
	if text, ok := b[bucket]; ok && owner == "444455556666" {
		return []policy.Source{{ID: bucket, Type: "resource", Policy: compile(text)}}, nil
	}
	return nil, nil
}

// TestResourcePolicies: across accounts both sides must allow, within one either does; anonymous callers need the resource's.
func TestResourcePolicies(t *testing.T) {
	const (
		get    = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`
		alice  = `{"Effect":"Allow","Principal":{"AWS":"AIDAALICE"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"}`
		all    = `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"}`
		nobody = `{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/secret"}`
	)
	for _, c := range []struct {
		name, identity, bucket, owner string
		anonymous, ok                 bool
	}{
		{"identity alone, another account", get, "", "444455556666", false, false},
		{"bucket alone, another account", `{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}`, alice, "444455556666", false, false},
		{"both", get, alice, "444455556666", false, true},
		{"both, but denied", get, alice + "," + nobody, "444455556666", false, false},
		{"everyone is somebody", get, all, "444455556666", false, true},
		{"anonymous", get, all, "444455556666", true, true},
		{"anonymous without policy", get, "", "444455556666", true, false},
		{"anonymous, another named", get, alice, "444455556666", true, false},
		{"a policy of another owner's bucket", get, nobody, account, false, true},
	} {
		gate, _ := start(t, &identities{principals: map[string]*access.Principal{longTerm.AccessKeyID: user(c.identity)}})
		if c.bucket != "" {
			gate.Resources = bucketPolicies{"box": c.bucket}
		}
		var caller awsapi.Caller
		if !c.anonymous {
			r := httptest.NewRequest("GET", "/box/secret", nil)
			sigv4.Sign(r, longTerm, sigv4.EmptyHash, epoch, "us-east-1", "s3")
			claims, err := sigv4.Parse(r, sigv4.Options{Service: "s3", Now: epoch})
			if err != nil {
				t.Fatal(err)
			}
			if _, caller, err = gate.SigningKey(t.Context(), claims); err != nil {
				t.Fatal(err)
			}
		}
		err := gate.Decide(t.Context(), caller, []awsapi.Target{{Action: "s3:GetObject", Resource: "arn:aws:s3:::box/secret", Account: c.owner}})
		if (err == nil) != c.ok || err != nil && !errors.Is(err, awsapi.ErrAccessDenied) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestGatewayDoor: the S3 gateway asks for the key first and decides after it has verified.
func TestGatewayDoor(t *testing.T) {
	ids := &identities{principals: map[string]*access.Principal{
		longTerm.AccessKeyID: user(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/${aws:username}/*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}`)}}
	gate, _ := start(t, ids)
	r := httptest.NewRequest("GET", "/box/alice/a", nil)
	sigv4.Sign(r, longTerm, sigv4.EmptyHash, epoch, "us-east-1", "s3")
	claims, err := sigv4.Parse(r, sigv4.Options{Service: "s3", Now: epoch})
	if err != nil {
		t.Fatal(err)
	}
	key, caller, err := gate.SigningKey(t.Context(), claims)
	if err != nil || claims.Verify(key, claims.PayloadHash) != nil {
		t.Fatalf("%v", err)
	}
	if len(ids.used) != 0 {
		t.Errorf("counts as used before it was verified: %v", ids.used)
	}
	target := func(object, ip string) []awsapi.Target {
		return []awsapi.Target{{Action: "s3:GetObject", Resource: "arn:aws:s3:::box/" + object, Account: account, Keys: map[string][]string{"aws:SourceIp": {ip}}}}
	}
	for _, c := range []struct {
		caller  awsapi.Caller
		targets []awsapi.Target
		ok      bool
	}{
		{caller, target("alice/a", "192.0.2.1"), true},
		{caller, target("alice/a", "198.51.100.1"), false},
		{caller, target("bob/a", "192.0.2.1"), false},
		{caller, append(target("alice/a", "192.0.2.1"), target("bob/a", "192.0.2.1")...), false},
		{awsapi.Caller{}, target("alice/a", "192.0.2.1"), false},                                    // anonymous
		{awsapi.Caller{ARN: caller.ARN, AccountID: account}, target("alice/a", "192.0.2.1"), false}, // not from here
	} {
		err := gate.Decide(t.Context(), c.caller, c.targets)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, awsapi.ErrAccessDenied) {
			t.Errorf("%s %v: %v", c.caller.ARN, c.targets, err)
		}
	}
	if len(ids.used) == 0 || ids.used[0] != "AKIAALICE s3 us-east-1 2026-11-21T10:00:00Z" {
		t.Errorf("used: %v", ids.used)
	}
}

// TestTamperedRequests: nothing that was signed may change on the way.
// TestRegion: a request must be signed for the server's region, or policies on aws:RequestedRegion would be the caller's to
// choose. IAM and STS also take us-east-1.
func TestRegion(t *testing.T) {
	gate, url := start(t, &identities{principals: map[string]*access.Principal{longTerm.AccessKeyID: user(`{"Effect":"Allow","Action":"*","Resource":"*"}`)}})
	gate.Region = "eu-central-1"
	for _, c := range []struct {
		request         func(string) (*http.Request, string)
		service, region string
		status          int
	}{
		{query, "sts", "eu-central-1", 200}, {query, "sts", "us-east-1", 200}, {query, "sts", "eu-west-1", 403},
		{json, "cognito-identity", "eu-central-1", 200}, {json, "cognito-identity", "us-east-1", 400},
	} {
		r, body := c.request(url)
		sigv4.Sign(r, longTerm, sigv4.PayloadHash([]byte(body)), epoch, c.region, c.service)
		status, text, _ := send(t, r)
		if status != c.status || status != 200 && !strings.Contains(text, "Credential should be scoped to a valid region") {
			t.Errorf("%s signed for %s: %d %s", c.service, c.region, status, text)
		}
	}
}

// TestMoreKeys: keys that cost something are looked for once, and only if a policy comes to ask for one. If that fails, the
// policy denies, in a Deny as in an Allow.
func TestMoreKeys(t *testing.T) {
	deny := `{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/secret":"yes","s3:ExistingObjectTag/level":"1"}}}`
	unless := `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringNotEquals":{"s3:ExistingObjectTag/secret":"yes"}}}`
	elsewhere := `{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:PutObject","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/secret":"yes"}}}`
	none, secret := map[string][]string{}, map[string][]string{"s3:ExistingObjectTag/secret": {"yes"}, "s3:ExistingObjectTag/level": {"1"}}
	broken := errors.New("the store is down")
	for name, c := range map[string]struct {
		statements string
		keys       map[string][]string
		err        error
		allowed    bool
		calls      int
	}{
		"deny, untagged":          {deny, none, nil, true, 1},
		"deny, tagged":            {deny, secret, nil, false, 1},
		"deny, not to be found":   {deny, nil, broken, false, 1},
		"unless, untagged":        {unless, none, nil, true, 1},
		"unless, tagged":          {unless, secret, nil, false, 1},
		"unless, not to be found": {unless, nil, broken, false, 1},
		"of another action":       {elsewhere, nil, broken, true, 0},
	} {
		statements := c.statements
		gate, _ := start(t, &identities{principals: map[string]*access.Principal{longTerm.AccessKeyID: user(statements)}})
		r := httptest.NewRequest("GET", "/box/a", nil)
		sigv4.Sign(r, longTerm, sigv4.EmptyHash, epoch, "us-east-1", "s3")
		claims, err := sigv4.Parse(r, sigv4.Options{Service: "s3", Now: epoch})
		if err != nil {
			t.Fatal(err)
		}
		_, caller, err := gate.SigningKey(t.Context(), claims)
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		more := &awsapi.MoreKeys{Prefix: "s3:ExistingObjectTag/", Find: func(context.Context) (map[string][]string, error) {
			calls++
			return c.keys, c.err
		}}
		err = gate.Decide(t.Context(), caller, []awsapi.Target{{Action: "s3:GetObject", Resource: "arn:aws:s3:::box/a", Account: account, More: more}})
		if c.allowed != (err == nil) || err != nil && !errors.Is(err, awsapi.ErrAccessDenied) || calls != c.calls {
			t.Errorf("%s: %v, looked for %d times", name, err, calls)
		}
		if c.err != nil && c.calls > 0 && !strings.Contains(fmt.Sprint(errors.Unwrap(err)), "the store is down") {
			t.Errorf("%s: the cause is lost: %v", name, errors.Unwrap(err))
		}
	}
}

func TestTamperedRequests(t *testing.T) {
	_, url := start(t, &identities{principals: map[string]*access.Principal{longTerm.AccessKeyID: user(`{"Effect":"Allow","Action":"*","Resource":"*"}`)}})
	for what, change := range map[string]func(*http.Request){
		"body": func(r *http.Request) {
			r.Body = io.NopCloser(bytes.NewReader([]byte("Action=GetCallerIdentity&Version=2011-06-15&X=1")))
			r.ContentLength = 47
		},
		"query": func(r *http.Request) { r.URL.RawQuery = "x=1" },
		"path":  func(r *http.Request) { r.URL.Path = "/x" },
		"header": func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		},
		"host":  func(r *http.Request) { r.Host = "sts.example.com" },
		"token": func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "token") },
	} {
		r, body := query(url)
		sigv4.Sign(r, longTerm, sigv4.PayloadHash([]byte(body)), epoch, "us-east-1", "sts")
		change(r)
		if status, got, _ := send(t, r); status != 403 && status != 400 {
			t.Errorf("%s changed: %d %s", what, status, got)
		}
	}
}

// TestTrustPolicyDecides: for roles, the identity policy alone is not enough.
func TestTrustPolicyDecides(t *testing.T) {
	role := "arn:aws:iam::" + account + ":role/app"
	ids := &identities{
		principals: map[string]*access.Principal{longTerm.AccessKeyID: user(`{"Effect":"Allow","Action":"*","Resource":"*"}`)},
		trust:      map[string]string{role: `{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}`},
	}
	gate, _ := start(t, ids)
	r := httptest.NewRequest("POST", "/", nil)
	sigv4.Sign(r, longTerm, sigv4.EmptyHash, epoch, "us-east-1", "sts")
	ctx, err := gate.Authenticate(db.WithCounter(t.Context()), r, nil, "sts")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		action, role string
		ok           bool
	}{{"sts:AssumeRole", role, true}, {"sts:TagSession", role, false}, {"sts:AssumeRole", role + "2", false}, {"iam:GetRole", role + "2", true}} {
		if err := gate.Authorize(ctx, []awsapi.Target{{Action: c.action, Resource: c.role}}); (err == nil) != c.ok {
			t.Errorf("%s on %s: %v", c.action, c.role, err)
		}
	}
	if err := gate.Authorize(t.Context(), []awsapi.Target{{Action: "iam:GetRole", Resource: role}}); !errors.Is(err, awsapi.ErrMissingAuthentication) {
		t.Errorf("without a caller: %v", err)
	}
	if n := db.Statements(ctx); n != (db.Count{}) {
		t.Errorf("statements: %+v", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	for name, statements := range map[string]string{
		"admin":     `{"Effect":"Allow","Action":"*","Resource":"*"}`,
		"member":    `{"Effect":"Allow","Action":"*","Resource":"*"}`,
		"condition": `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/private/${cognito-identity.amazonaws.com:sub}/*"}`,
	} {
		b.Run(name, func(b *testing.B) {
			who := session(statements)
			if name == "member" { // root, unit and account, with a policy each
				level := []policy.Source{{Policy: compile(`{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"organizations:*","Resource":"*"}`)}}
				who.Organization, who.ServiceControl = access.Organization{ID: "o-1", Path: "o-1/r-1/ou-1/"}, [][]policy.Source{level, level, level}
			}
			gate, _ := start(b, &identities{principals: map[string]*access.Principal{temporary.AccessKeyID: who}})
			r := httptest.NewRequest("GET", "/", nil)
			sigv4.Sign(r, temporary, sigv4.EmptyHash, epoch, "us-east-1", "s3")
			claims, _ := sigv4.Parse(r, sigv4.Options{Now: epoch})
			_, caller, err := gate.SigningKey(b.Context(), claims)
			if err != nil {
				b.Fatal(err)
			}
			targets := []awsapi.Target{{Action: "s3:GetObject", Resource: "arn:aws:s3:::box/private/id-1/a", Account: account, Keys: map[string][]string{"aws:SourceIp": {"192.0.2.1"}}}}
			b.ReportAllocs()
			for b.Loop() {
				if err := gate.Decide(b.Context(), caller, targets); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
