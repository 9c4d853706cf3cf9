//lint:file-ignore SA1019 PackedPolicySize is what older clients read

package sts_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"usher/internal/access"
	apiiam "usher/internal/api/iam"
	apists "usher/internal/api/sts"
	"usher/internal/awsapi"
	"usher/internal/awsapi/awstest"
	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/iam"
	"usher/internal/seal"
	"usher/internal/sigv4"
	"usher/internal/sts"
	"usher/internal/token"
)

// world is IAM and STS behind their API, with two accounts and a few issuers of tokens.
type world struct {
	t     testing.TB
	iam   *iam.Service
	db    *db.DB
	sts   *sts.Service
	gate  *access.Gate
	url   string
	ring  *seal.Keyring
	a, b  *iam.KeyPair
	local *localIssuers
	shift atomic.Int64 // of the clock
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.shift.Load())) }

func start(t testing.TB, open func(...db.Schema) *db.DB) *world {
	t.Helper()
	w := node(t, open(db.Schema{Name: "iam", Files: iam.Schema}, db.Schema{Name: "sts", Files: sts.Schema}), must(seal.Parse(seal.Generate()))(t))
	var err error
	if w.a, err = w.iam.Bootstrap(context.Background()); err != nil {
		t.Fatal(err)
	}
	if w.b, err = w.iam.CreateAccount(context.Background(), "b"); err != nil {
		t.Fatal(err)
	}
	return w
}

// node is a server over a database that others may use too.
func node(t testing.TB, d *db.DB, ring *seal.Keyring) *world {
	t.Helper()
	var err error
	w := &world{t: t, db: d, local: &localIssuers{}, ring: ring}
	w.iam = iam.New(iam.Service{DB: d, Box: ring.Box("iam/access-key"), Now: w.now, AllowLoopbackHTTP: true})
	w.sts, err = sts.New(sts.Service{IAM: w.iam, DB: d, Keys: ring, Now: w.now, Local: w.local, IdentityIssuers: []string{"id.example.org/identity"},
		Remote: &token.Remote{AllowHTTP: true, Now: w.now}})
	if err != nil {
		t.Fatal(err)
	}
	w.gate = access.New(access.Gate{Identities: w.sts, DB: d, Now: w.now, Denials: access.NewDenials()})
	server := &awsapi.Server{
		Authenticator: w.gate, Authorizer: w.gate,
		Services: []*awsapi.Service{
			{Name: "iam", Protocol: apiiam.Protocol, Operations: apiiam.Operations(w.iam), Targets: w.iam.Targets},
			{Name: "sts", Protocol: apists.Protocol, Operations: apists.Operations(w.sts), Targets: w.sts.Targets},
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/sts/", w.sts.Discovery("/sts/"))
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		server.ServeHTTP(rw, r.WithContext(access.WithRequest(r.Context(), r)))
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	w.url, w.iam.OutboundURL = web.URL, web.URL+"/sts"
	return w
}

func sqlite(t testing.TB) func(...db.Schema) *db.DB {
	return func(schemas ...db.Schema) *db.DB { return dbtest.Open(t, dbtest.SQLite(t), schemas...) }
}

func each(t *testing.T, test func(w *world, t *testing.T)) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) { test(start(t, open), t) })
}

// caller is somebody with credentials, or nobody.
type caller struct {
	*sdksts.Client
	IAM *sdkiam.Client
}

func (w *world) as(id, secret, session string) caller {
	creds := credentials.NewStaticCredentialsProvider(id, secret, session)
	return caller{
		sdksts.New(sdksts.Options{Region: "eu-west-1", BaseEndpoint: &w.url, RetryMaxAttempts: 1, HTTPClient: awstest.Client, Credentials: creds}),
		sdkiam.New(sdkiam.Options{Region: "eu-west-1", BaseEndpoint: &w.url, RetryMaxAttempts: 1, HTTPClient: awstest.Client, Credentials: creds}),
	}
}

func (w *world) key(k *iam.KeyPair) caller { return w.as(k.AccessKeyID, k.SecretAccessKey, "") }
func (w *world) temp(c *types.Credentials) caller {
	return w.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

func (w *world) nobody() *sdksts.Client {
	return sdksts.New(sdksts.Options{Region: "eu-west-1", BaseEndpoint: &w.url, RetryMaxAttempts: 1, HTTPClient: awstest.Client})
}

// user makes a user with inline policy statements and returns him.
func (w *world) user(account caller, name, statements string) caller {
	w.t.Helper()
	must(account.IAM.CreateUser(w.ctx(), &sdkiam.CreateUserInput{UserName: &name}))(w.t)
	if statements != "" {
		must(account.IAM.PutUserPolicy(w.ctx(), &sdkiam.PutUserPolicyInput{UserName: &name, PolicyName: &name, PolicyDocument: document(statements)}))(w.t)
	}
	k := must(account.IAM.CreateAccessKey(w.ctx(), &sdkiam.CreateAccessKeyInput{UserName: &name}))(w.t).AccessKey
	return w.as(*k.AccessKeyId, *k.SecretAccessKey, "")
}

// role makes a role with a trust policy and inline policy statements, and returns its ARN.
func (w *world) role(account caller, name, trust, statements string) *string {
	w.t.Helper()
	r := must(account.IAM.CreateRole(w.ctx(), &sdkiam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: document(trust)}))(w.t)
	if statements != "" {
		must(account.IAM.PutRolePolicy(w.ctx(), &sdkiam.PutRolePolicyInput{RoleName: &name, PolicyName: &name, PolicyDocument: document(statements)}))(w.t)
	}
	return r.Role.Arn
}

func (w *world) ctx() context.Context { return context.Background() }

func document(statements string) *string {
	return aws.String(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func failure(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return fmt.Sprint(err)
}

const invalidToken = "InvalidClientTokenId: The security token included in the request is invalid."

func TestCallerIdentity(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		admin := w.key(w.a)
		id := must(admin.GetCallerIdentity(w.ctx(), nil))(t)
		if *id.Arn != "arn:aws:iam::"+w.a.Account+":user/admin" || *id.Account != w.a.Account || !strings.HasPrefix(*id.UserId, "AIDA") {
			t.Errorf("%s %s %s", *id.Arn, *id.Account, *id.UserId)
		}
		// It needs no permission and cannot be denied.
		alice := w.user(admin, "alice", `{"Effect":"Deny","Action":"*","Resource":"*"}`)
		must(alice.GetCallerIdentity(w.ctx(), nil))(t)

		if _, err := w.as(w.a.AccessKeyID, "wrong", "").GetCallerIdentity(w.ctx(), nil); !strings.HasPrefix(failure(err), "SignatureDoesNotMatch: The request signature we calculated") {
			t.Error(failure(err))
		}
		if _, err := w.as("AKIAAAAAAAAAAAAAAAAA", "x", "").GetCallerIdentity(w.ctx(), nil); failure(err) != invalidToken {
			t.Error(failure(err))
		}
		info := must(admin.GetAccessKeyInfo(w.ctx(), &sdksts.GetAccessKeyInfoInput{AccessKeyId: &w.b.AccessKeyID}))(t)
		if *info.Account != w.b.Account {
			t.Errorf("account %s", *info.Account)
		}
		w.shift.Store(int64(16 * time.Minute))
		if _, err := admin.GetCallerIdentity(w.ctx(), nil); !strings.HasPrefix(failure(err), "SignatureDoesNotMatch: Signature expired: ") {
			t.Error(failure(err))
		}
	})
}

// TestAssumeRole: who may assume what, one case a line.
// TestPresignedURL: a presigned call may be made with GET or with POST, which then has no body.
func TestPresignedURL(t *testing.T) {
	w := start(t, sqlite(t))
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r := must(http.NewRequest(method, w.url+"/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil))(t)
		url, _, err := v4.NewSigner().PresignHTTP(w.ctx(), aws.Credentials{AccessKeyID: w.a.AccessKeyID, SecretAccessKey: w.a.SecretAccessKey}, r, sigv4.EmptyHash, "sts", "eu-west-1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			url, want string
			status    int
		}{
			{url, ":user/admin</Arn>", 200},
			{url + "0", "SignatureDoesNotMatch", 403},
			{strings.Replace(url, "X-Amz-Expires=60", "X-Amz-Expires=61", 1), "SignatureDoesNotMatch", 403},
		} {
			res := must(http.DefaultClient.Do(must(http.NewRequest(method, c.url, nil))(t)))(t)
			body := must(io.ReadAll(res.Body))(t)
			res.Body.Close()
			if res.StatusCode != c.status || !strings.Contains(string(body), c.want) {
				t.Errorf("%s: %d %s, want %d %s", method, res.StatusCode, body, c.status, c.want)
			}
		}
	}
}

func TestAssumeRole(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		a, b := w.key(w.a), w.key(w.b)
		mayAssume := `{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"*"}`
		callers := map[string]caller{
			"a:plain": w.user(a, "plain", ""),
			"a:able":  w.user(a, "able", mayAssume),
			"a:deny":  w.user(a, "deny", mayAssume+`,{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"*"}`),
			"b:plain": w.user(b, "plain", ""),
			"b:able":  w.user(b, "able", mayAssume),
			"root":    w.key(must(w.iam.RootKey(w.ctx(), w.a.Account))(t)),
		}
		arn := func(account *iam.KeyPair, name string) string { return "arn:aws:iam::" + account.Account + ":" + name }
		trust := func(principal string) string {
			return `{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":["sts:AssumeRole","sts:TagSession"]}`
		}
		roles := map[string]*string{
			"user":     w.role(a, "user", trust(arn(w.a, "user/plain")), ""),
			"account":  w.role(a, "account", trust(w.a.Account), ""),
			"other":    w.role(a, "other", trust(arn(w.b, "root")), ""),
			"otheruse": w.role(a, "otheruser", trust(arn(w.b, "user/plain")), ""),
			"external": w.role(a, "external", `{"Effect":"Allow","Principal":{"AWS":"`+w.b.Account+`"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"Example987"}}}`, ""),
			"notrust":  w.role(a, "notrust", `{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}`, ""),
			"denied":   w.role(a, "denied", trust(arn(w.a, "user/plain"))+`,{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringNotLike":{"sts:RoleSessionName":"job-*"}}}`, ""),
			"missing":  aws.String(arn(w.a, "role/missing")),
			"path":     aws.String(arn(w.a, "role/x/account")),
		}
		for _, c := range []struct {
			who, role, external string
			ok                  bool
		}{
			{"a:plain", "user", "", true}, // named himself: needs no identity policy
			{"a:able", "user", "", false},
			{"a:plain", "account", "", false}, // delegated, and no identity policy
			{"a:able", "account", "", true},
			{"a:deny", "account", "", false},
			{"b:able", "account", "", false},
			{"b:able", "other", "", true},
			{"b:plain", "other", "", false},
			{"a:able", "other", "", false},
			{"b:plain", "otheruse", "", false}, // another account needs both sides
			{"b:able", "external", "Example987", true},
			{"b:able", "external", "example987", false},
			{"b:able", "external", "", false},
			{"a:able", "notrust", "", false},
			{"a:plain", "denied", "", false},
			{"a:able", "missing", "", false},
			{"a:able", "path", "", false},
			{"root", "account", "", false},
		} {
			in := &sdksts.AssumeRoleInput{RoleArn: roles[c.role], RoleSessionName: aws.String("s1")}
			if c.external != "" {
				in.ExternalId = &c.external
			}
			out, err := callers[c.who].AssumeRole(w.ctx(), in)
			if (err == nil) != c.ok {
				t.Errorf("%s assumes %s with %q: %v", c.who, c.role, c.external, failure(err))
			}
			if err != nil && !strings.HasPrefix(failure(err), "AccessDenied: ") {
				t.Errorf("%s assumes %s: %v", c.who, c.role, failure(err))
			}
			if err != nil {
				continue
			}
			id := must(w.temp(out.Credentials).GetCallerIdentity(w.ctx(), nil))(t)
			if *id.Arn != *out.AssumedRoleUser.Arn || *id.UserId != *out.AssumedRoleUser.AssumedRoleId || *id.Account != w.a.Account || out.PackedPolicySize != nil {
				t.Errorf("%s, %s, %s; %+v", *id.Arn, *id.UserId, *id.Account, out.AssumedRoleUser)
			}
			if _, name, _ := strings.Cut(*roles[c.role], "role/"); *id.Arn != "arn:aws:sts::"+w.a.Account+":assumed-role/"+name+"/s1" {
				t.Errorf("ARN %s", *id.Arn)
			}
		}
		_, err := callers["a:able"].AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: roles["missing"], RoleSessionName: aws.String("s1")})
		if want := "AccessDenied: User: " + arn(w.a, "user/able") + " is not authorized to perform: sts:AssumeRole on resource: " + *roles["missing"]; failure(err) != want {
			t.Errorf("%s\nwant %s", failure(err), want)
		}
		if _, err := callers["root"].AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: roles["account"], RoleSessionName: aws.String("s1")}); failure(err) != "AccessDenied: Roles may not be assumed by root accounts." {
			t.Error(failure(err))
		}
	})
}

// TestAssumeRoleErrors: AWS's words.
func TestAssumeRoleErrors(t *testing.T) {
	w := start(t, sqlite(t))
	a := w.key(w.a)
	role := w.role(a, "app", `{"Effect":"Allow","Principal":{"AWS":"`+w.a.Account+`"},"Action":["sts:AssumeRole","sts:TagSession"]}`, "")
	name := aws.String("s1")
	tag := func(k string) types.Tag { return types.Tag{Key: &k, Value: aws.String("v")} }
	long := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:` + strings.Repeat("x", 2000) + `","Resource":"*"}}`
	for _, c := range []struct {
		in   sdksts.AssumeRoleInput
		want string
	}{
		{sdksts.AssumeRoleInput{RoleArn: aws.String("nothing-valid-in-here"), RoleSessionName: name}, "ValidationError: nothing-valid-in-here is invalid"},
		{sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("Session1:2")}, `ValidationError: 1 validation error detected: Value 'Session1:2' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`},
		{sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: name, Tags: []types.Tag{tag("a")}, TransitiveTagKeys: []string{"b"}}, "InvalidParameterValue: The specified transitive tag key must be included in the requested tags."},
		{sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: name, Tags: []types.Tag{tag("a"), tag("A")}}, "InvalidParameterValue: Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: name, DurationSeconds: aws.Int32(7200)}, "ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: name, Policy: aws.String("{}")}, "MalformedPolicyDocument: Syntax errors in policy."},
		{sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: name, Policy: &long}, "PackedPolicyTooLarge: Packed policy consumes 102% of allotted space, please use smaller policy."},
		{sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: name, PolicyArns: []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/None")}}}, "MalformedPolicyDocument: Policy arn:aws:iam::aws:policy/None does not exist or is not attachable."},
		{sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: name, SerialNumber: aws.String("arn:aws:iam::1:mfa/x")}, "AccessDenied: MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."},
		{sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: name, SerialNumber: aws.String("arn:aws:iam::1:mfa/x"), TokenCode: aws.String("123456")}, "AccessDenied: MultiFactorAuthentication failed, unable to validate MFA code. Please verify your MFA serial number is valid and associated with this user."},
		{sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: name, SourceIdentity: aws.String("alice")}, "AccessDenied: User: arn:aws:iam::" + w.a.Account + ":user/admin is not authorized to perform: sts:SetSourceIdentity on resource: " + *role},
	} {
		if _, err := a.AssumeRole(w.ctx(), &c.in); failure(err) != c.want {
			t.Errorf("%s\nwant %s", failure(err), c.want)
		}
	}
}

// TestSession: what a session may do is what role, boundary and session policies all allow, as they are now.
func TestSession(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		a := w.key(w.a)
		role := w.role(a, "app", `{"Effect":"Allow","Principal":{"AWS":"`+w.a.Account+`"},"Action":["sts:AssumeRole"]}`,
			`{"Effect":"Allow","Action":["iam:List*","iam:Get*"],"Resource":"*"}`)
		assume := func(policy *string, arns ...string) caller {
			in := &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1"), Policy: policy}
			for _, p := range arns {
				in.PolicyArns = append(in.PolicyArns, types.PolicyDescriptorType{Arn: &p})
			}
			out := must(a.AssumeRole(w.ctx(), in))(t)
			if (policy != nil || len(arns) > 0) && (out.PackedPolicySize == nil || *out.PackedPolicySize < 1) {
				t.Errorf("packed size %v", out.PackedPolicySize)
			}
			return w.temp(out.Credentials)
		}
		list := func(c caller) string { _, err := c.IAM.ListUsers(w.ctx(), nil); return failure(err) }
		denied := func(c caller, why string) {
			t.Helper()
			if got := list(c); !strings.HasPrefix(got, "AccessDenied: User: arn:aws:sts::") || !strings.HasSuffix(got, why) {
				t.Errorf("%s, want %s", got, why)
			}
		}
		own := must(a.IAM.CreatePolicy(w.ctx(), &sdkiam.CreatePolicyInput{PolicyName: aws.String("own"), PolicyDocument: document(`{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}`)}))(t).Policy.Arn

		plain := assume(nil)
		s3 := assume(document(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`))
		union := assume(document(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
		denying := assume(document(`{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"iam:ListUsers","Resource":"*"}`))
		managed := assume(nil, *own)
		for name, c := range map[string]caller{"plain": plain, "union": union, "managed": managed} {
			if got := list(c); got != "<nil>" {
				t.Errorf("%s: %s", name, got)
			}
		}
		denied(s3, "because no session policy allows the iam:ListUsers action")
		denied(denying, "with an explicit deny in a session policy")
		must(a.IAM.DeletePolicy(w.ctx(), &sdkiam.DeletePolicyInput{PolicyArn: own}))(t)
		denied(managed, "because no session policy allows the iam:ListUsers action")

		must(a.IAM.PutRolePermissionsBoundary(w.ctx(), &sdkiam.PutRolePermissionsBoundaryInput{RoleName: aws.String("app"), PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/AmazonS3FullAccess")}))(t)
		denied(plain, "because no permissions boundary allows the iam:ListUsers action")
		must(a.IAM.DeleteRolePermissionsBoundary(w.ctx(), &sdkiam.DeleteRolePermissionsBoundaryInput{RoleName: aws.String("app")}))(t)

		// Revoking older sessions.
		time.Sleep(1100 * time.Millisecond) // issue times are in seconds
		revoke := `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"` + w.now().UTC().Format(time.RFC3339) + `"}}}`
		must(a.IAM.PutRolePolicy(w.ctx(), &sdkiam.PutRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("AWSRevokeOlderSessions"), PolicyDocument: document(revoke)}))(t)
		denied(plain, "with an explicit deny in an identity-based policy")
		if got := list(assume(nil)); got != "<nil>" {
			t.Errorf("a new session: %s", got)
		}

		fresh := assume(nil)
		for _, p := range []string{"app", "AWSRevokeOlderSessions"} {
			must(a.IAM.DeleteRolePolicy(w.ctx(), &sdkiam.DeleteRolePolicyInput{RoleName: aws.String("app"), PolicyName: &p}))(t)
		}
		denied(fresh, "because no identity-based policy allows the iam:ListUsers action")
		must(a.IAM.DeleteRole(w.ctx(), &sdkiam.DeleteRoleInput{RoleName: aws.String("app")}))(t)
		if got := list(fresh); got != invalidToken {
			t.Errorf("after the role was deleted: %s", got)
		}
		w.role(a, "app", `{"Effect":"Allow","Principal":{"AWS":"`+w.a.Account+`"},"Action":["sts:AssumeRole"]}`, `{"Effect":"Allow","Action":"*","Resource":"*"}`)
		if got := list(fresh); got != invalidToken {
			t.Errorf("after the role was made anew: %s", got)
		}
	})
}

// TestRevocationOnAnotherNode: what one node has acknowledged counts for the next request on any.
func TestRevocationOnAnotherNode(t *testing.T) {
	url := dbtest.Postgres(t)
	one := start(t, func(s ...db.Schema) *db.DB { return dbtest.Open(t, url, s...) })
	two := node(t, dbtest.Open(t, url, db.Schema{Name: "iam", Files: iam.Schema}, db.Schema{Name: "sts", Files: sts.Schema}), one.ring)
	a := one.key(one.a)
	role := one.role(a, "app", `{"Effect":"Allow","Principal":{"AWS":"`+one.a.Account+`"},"Action":"sts:AssumeRole"}`, `{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}`)
	creds := must(a.AssumeRole(one.ctx(), &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1")}))(t).Credentials
	s := two.temp(creds)
	for range 20 {
		must(s.IAM.ListUsers(one.ctx(), nil))(t)
		must(a.IAM.DeleteRolePolicy(one.ctx(), &sdkiam.DeleteRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("app")}))(t)
		if _, err := s.IAM.ListUsers(one.ctx(), nil); !strings.HasPrefix(failure(err), "AccessDenied") {
			t.Fatalf("the other node still allows: %s", failure(err))
		}
		must(a.IAM.PutRolePolicy(one.ctx(), &sdkiam.PutRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("app"), PolicyDocument: document(`{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}`)}))(t)
	}
	must(a.IAM.DeleteRolePolicy(one.ctx(), &sdkiam.DeleteRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("app")}))(t)
	must(a.IAM.DeleteRole(one.ctx(), &sdkiam.DeleteRoleInput{RoleName: aws.String("app")}))(t)
	if _, err := s.GetCallerIdentity(one.ctx(), nil); failure(err) != invalidToken {
		t.Errorf("after the role was deleted: %s", failure(err))
	}
	other := two.key(one.b)
	must(other.GetCallerIdentity(one.ctx(), nil))(t)
	must(one.key(one.b).IAM.UpdateAccessKey(one.ctx(), &sdkiam.UpdateAccessKeyInput{AccessKeyId: &one.b.AccessKeyID, Status: iamtypes.StatusTypeInactive}))(t)
	if _, err := other.GetCallerIdentity(one.ctx(), nil); failure(err) != invalidToken {
		t.Errorf("with an inactive key: %s", failure(err))
	}
}

// TestTrustFollowsTheUser: a user who is deleted and made anew is not the one who was trusted.
func TestTrustFollowsTheUser(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		a := w.key(w.a)
		alice := w.user(a, "alice", "")
		role := w.role(a, "app", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+w.a.Account+`:user/alice"},"Action":"sts:AssumeRole"}`, "")
		in := &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1")}
		must(alice.AssumeRole(w.ctx(), in))(t)
		key := must(alice.GetCallerIdentity(w.ctx(), nil))(t)
		keys := must(a.IAM.ListAccessKeys(w.ctx(), &sdkiam.ListAccessKeysInput{UserName: aws.String("alice")}))(t).AccessKeyMetadata
		must(a.IAM.DeleteAccessKey(w.ctx(), &sdkiam.DeleteAccessKeyInput{UserName: aws.String("alice"), AccessKeyId: keys[0].AccessKeyId}))(t)
		must(a.IAM.DeleteUser(w.ctx(), &sdkiam.DeleteUserInput{UserName: aws.String("alice")}))(t)
		again := w.user(a, "alice", "")
		if id := must(again.GetCallerIdentity(w.ctx(), nil))(t); *id.Arn != *key.Arn || *id.UserId == *key.UserId {
			t.Fatalf("%s %s", *id.Arn, *id.UserId)
		}
		if _, err := again.AssumeRole(w.ctx(), in); !strings.HasPrefix(failure(err), "AccessDenied") {
			t.Errorf("the new alice: %v", failure(err))
		}
	})
}

// TestChaining: tags, source identity and duration along a chain of roles.
func TestChaining(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		a := w.key(w.a)
		trust := `{"Effect":"Allow","Principal":{"AWS":"` + w.a.Account + `"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}`
		may := `{"Effect":"Allow","Action":"sts:*","Resource":"*"}`
		first, second := w.role(a, "first", trust, may), w.role(a, "second", trust, may+`,{"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws:PrincipalTag/who}-${aws:PrincipalTag/team}"}`)
		must(a.IAM.TagRole(w.ctx(), &sdkiam.TagRoleInput{RoleName: aws.String("second"), Tags: iamTags("who", "role", "team", "x")}))(t)
		must(a.IAM.UpdateRole(w.ctx(), &sdkiam.UpdateRoleInput{RoleName: aws.String("second"), MaxSessionDuration: aws.Int32(43200)}))(t)
		must(a.IAM.CreateUser(w.ctx(), &sdkiam.CreateUserInput{UserName: aws.String("alice-x")}))(t)

		out := must(a.AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: first, RoleSessionName: aws.String("one"), SourceIdentity: aws.String("alice"),
			Tags: stsTags("Who", "alice", "team", "passing"), TransitiveTagKeys: []string{"Who"}}))(t)
		if *out.SourceIdentity != "alice" || out.PackedPolicySize == nil {
			t.Errorf("%+v", out)
		}
		one := w.temp(out.Credentials)
		chain := func(in sdksts.AssumeRoleInput) (*sdksts.AssumeRoleOutput, error) {
			in.RoleArn, in.RoleSessionName = second, aws.String("two")
			return one.AssumeRole(w.ctx(), &in)
		}
		out2 := must(chain(sdksts.AssumeRoleInput{}))(t)
		if *out2.SourceIdentity != "alice" {
			t.Errorf("source identity %v", out2.SourceIdentity)
		}
		// The transitive tag overrides the role's, the other does not travel.
		must(w.temp(out2.Credentials).IAM.GetUser(w.ctx(), &sdkiam.GetUserInput{UserName: aws.String("alice-x")}))(t)
		for want, in := range map[string]sdksts.AssumeRoleInput{
			"InvalidParameterValue: One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.": {Tags: stsTags("WHO", "mallory")},
			"ValidationError: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.":                                   {DurationSeconds: aws.Int32(3601)},
		} {
			if _, err := chain(in); failure(err) != want {
				t.Errorf("%s\nwant %s", failure(err), want)
			}
		}
		if _, err := chain(sdksts.AssumeRoleInput{SourceIdentity: aws.String("mallory")}); !strings.HasPrefix(failure(err), "AccessDenied: User: arn:aws:sts::") {
			t.Errorf("another source identity: %s", failure(err))
		}
		must(a.AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: second, RoleSessionName: aws.String("long"), DurationSeconds: aws.Int32(43200)}))(t)
		for _, name := range []string{"GetSessionToken", "GetFederationToken"} {
			var err error
			if name == "GetSessionToken" {
				_, err = one.GetSessionToken(w.ctx(), nil)
			} else {
				_, err = one.GetFederationToken(w.ctx(), &sdksts.GetFederationTokenInput{Name: aws.String("fed")})
			}
			if failure(err) != "AccessDenied: Cannot call "+name+" with session credentials" {
				t.Error(failure(err))
			}
		}
	})
}

func iamTags(kv ...string) (tags []iamtypes.Tag) {
	for i := 0; i < len(kv); i += 2 {
		tags = append(tags, iamtypes.Tag{Key: &kv[i], Value: &kv[i+1]})
	}
	return tags
}

func stsTags(kv ...string) (tags []types.Tag) {
	for i := 0; i < len(kv); i += 2 {
		tags = append(tags, types.Tag{Key: &kv[i], Value: &kv[i+1]})
	}
	return tags
}

// TestUserSessions: GetSessionToken and GetFederationToken.
func TestUserSessions(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		a := w.key(w.a)
		role := w.role(a, "app", `{"Effect":"Allow","Principal":{"AWS":"`+w.a.Account+`"},"Action":"sts:AssumeRole"}`, "")
		out := must(a.GetSessionToken(w.ctx(), &sdksts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)}))(t)
		s := w.temp(out.Credentials)
		if id := must(s.GetCallerIdentity(w.ctx(), nil))(t); *id.Arn != "arn:aws:iam::"+w.a.Account+":user/admin" {
			t.Errorf("ARN %s", *id.Arn)
		}
		must(s.AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1"), DurationSeconds: aws.Int32(3600)}))(t)
		if _, err := s.IAM.ListUsers(w.ctx(), nil); failure(err) != invalidToken {
			t.Errorf("IAM without MFA: %s", failure(err))
		}
		w.shift.Store(int64(15 * time.Minute))
		if code := w.post(t, sigv4.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}, w.now()); code != "ExpiredToken" {
			t.Errorf("after its time: %s", code)
		}
		w.shift.Store(0)

		root := w.key(must(w.iam.RootKey(w.ctx(), w.a.Account))(t))
		rs := must(root.GetSessionToken(w.ctx(), &sdksts.GetSessionTokenInput{DurationSeconds: aws.Int32(36000)}))(t).Credentials
		if left := time.Until(*rs.Expiration); left > time.Hour {
			t.Errorf("a session of root lasts %v", left)
		}

		alice := w.user(a, "alice", `{"Effect":"Allow","Action":["sts:GetFederationToken","s3:*","sts:GetAccessKeyInfo"],"Resource":"*"}`)
		fed := must(alice.GetFederationToken(w.ctx(), &sdksts.GetFederationTokenInput{Name: aws.String("Bob"), Policy: document(`{"Effect":"Allow","Action":"*","Resource":"*"}`)}))(t)
		if *fed.FederatedUser.FederatedUserId != w.a.Account+":Bob" || *fed.FederatedUser.Arn != "arn:aws:sts::"+w.a.Account+":federated-user/Bob" || fed.PackedPolicySize == nil {
			t.Errorf("%+v", fed)
		}
		f := w.temp(fed.Credentials)
		if id := must(f.GetCallerIdentity(w.ctx(), nil))(t); *id.UserId != w.a.Account+":Bob" || *id.Arn != *fed.FederatedUser.Arn {
			t.Errorf("%+v", id)
		}
		if _, err := f.GetAccessKeyInfo(w.ctx(), &sdksts.GetAccessKeyInfoInput{AccessKeyId: &w.a.AccessKeyID}); failure(err) != invalidToken {
			t.Errorf("STS by a federated user: %s", failure(err))
		}
		if _, err := f.IAM.ListUsers(w.ctx(), nil); failure(err) != invalidToken {
			t.Errorf("IAM by a federated user: %s", failure(err))
		}
		if fed := must(alice.GetFederationToken(w.ctx(), &sdksts.GetFederationTokenInput{Name: aws.String("Bob")}))(t); *fed.PackedPolicySize != 0 {
			t.Errorf("packed size %d", *fed.PackedPolicySize)
		}
	})
}

// post calls GetCallerIdentity, signed at a time of its own, and returns the code of the error.
func (w *world) post(t testing.TB, creds sigv4.Credentials, at time.Time) string {
	t.Helper()
	const body = "Action=GetCallerIdentity&Version=2011-06-15"
	r := must(http.NewRequest("POST", w.url+"/", strings.NewReader(body)))(t)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sigv4.Sign(r, creds, sigv4.PayloadHash([]byte(body)), at, "eu-west-1", "sts")
	res := must(http.DefaultClient.Do(r))(t)
	defer res.Body.Close()
	answer := string(must(io.ReadAll(res.Body))(t))
	_, answer, _ = strings.Cut(answer, "<Code>")
	code, _, _ := strings.Cut(answer, "</Code>")
	return code
}

// TestTokenIsBound: no bit of a session token may change, and it works with its own key id and secret only.
func TestTokenIsBound(t *testing.T) {
	w := start(t, sqlite(t))
	a := w.key(w.a)
	role := w.role(a, "app", `{"Effect":"Allow","Principal":{"AWS":"`+w.a.Account+`"},"Action":"sts:AssumeRole"}`, "")
	assume := func() *types.Credentials {
		return must(a.AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1")}))(t).Credentials
	}
	one, two := assume(), assume()
	try := func(id, secret, session string) string {
		_, err := w.as(id, secret, session).GetCallerIdentity(w.ctx(), nil)
		return failure(err)
	}
	if got := try(*one.AccessKeyId, *one.SecretAccessKey, *one.SessionToken); got != "<nil>" {
		t.Fatal(got)
	}
	for what, got := range map[string]string{
		"another id":     try(*two.AccessKeyId, *one.SecretAccessKey, *one.SessionToken),
		"another token":  try(*one.AccessKeyId, *one.SecretAccessKey, *two.SessionToken),
		"no token":       try(*one.AccessKeyId, *one.SecretAccessKey, ""),
		"a long-term id": try(w.a.AccessKeyID, w.a.SecretAccessKey, *one.SessionToken),
		"a cut token":    try(*one.AccessKeyId, *one.SecretAccessKey, (*one.SessionToken)[:40]),
		"a longer token": try(*one.AccessKeyId, *one.SecretAccessKey, *one.SessionToken+"AAAA"),
		"no base64":      try(*one.AccessKeyId, *one.SecretAccessKey, "!"+*one.SessionToken),
	} {
		if got != invalidToken {
			t.Errorf("%s: %s", what, got)
		}
	}
	if got := try(*one.AccessKeyId, *two.SecretAccessKey, *one.SessionToken); !strings.HasPrefix(got, "SignatureDoesNotMatch") {
		t.Errorf("another secret: %s", got)
	}
	raw, err := base64.StdEncoding.DecodeString(*one.SessionToken)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			if _, err := w.sts.Credential(w.ctx(), *one.AccessKeyId, base64.StdEncoding.EncodeToString(raw)); !errors.Is(err, awsapi.ErrInvalidClientToken) {
				t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
			}
			raw[i] ^= 1 << bit
		}
	}
	w.shift.Store(int64(time.Hour))
	if _, err := w.sts.Credential(w.ctx(), *one.AccessKeyId, *one.SessionToken); !errors.Is(err, awsapi.ErrExpiredToken) {
		t.Errorf("after an hour: %v", err)
	}
}

// TestTokenSize: a client may ask for a long token, to try what it takes.
func TestTokenSize(t *testing.T) {
	w := start(t, sqlite(t))
	a := w.key(w.a)
	for _, n := range []int32{0, 100, 300, 301, 302, 303, 500, 4093, 4096} {
		out := must(a.GetSessionToken(w.ctx(), &sdksts.GetSessionTokenInput{MinimumSessionTokenSize: &n}))(t)
		size := len(*out.Credentials.SessionToken)
		if size < int(n) || size > max(int(n)+8, 300) || int(*out.SessionTokenSize) != size || int(*out.SessionTokenUtilization) != (100*size+4095)/4096 {
			t.Errorf("asked for %d: %d, said %d, %d%%", n, size, *out.SessionTokenSize, *out.SessionTokenUtilization)
		}
		must(w.temp(out.Credentials).GetCallerIdentity(w.ctx(), nil))(t)
	}
	role := w.role(a, "app", `{"Effect":"Allow","Principal":{"AWS":"`+w.a.Account+`"},"Action":["sts:AssumeRole","sts:TagSession"]}`, "")
	var tags []types.Tag
	for i := range 50 {
		tags = append(tags, stsTags(fmt.Sprintf("key-%d", i), fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i)}))+fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i), 1})))...)
	}
	_, err := a.AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1"), Tags: tags})
	if got := failure(err); !strings.HasPrefix(got, "PackedPolicyTooLarge: Packed size of session tags consumes 1") || !strings.HasSuffix(got, "% of allotted space.") {
		t.Error(got)
	}
}

// localIssuers are issuers of "this server".
type localIssuers struct {
	mu   sync.Mutex
	list map[string]sts.LocalIssuer
}

func (l *localIssuers) LocalIssuer(_ context.Context, iss string) (sts.LocalIssuer, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.list[iss]
	return i, ok, nil
}

func (l *localIssuers) set(iss string, i *sts.LocalIssuer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.list == nil {
		l.list = map[string]sts.LocalIssuer{}
	}
	if delete(l.list, iss); i != nil {
		l.list[iss] = *i
	}
}

type claims = map[string]any

// issuer signs tokens.
type issuer struct {
	key    *token.KeyPair
	signer *token.Signer
}

var signer = sync.OnceValue(func() *token.Signer { return token.NewSigner(0) })

func newIssuer(t testing.TB) issuer {
	t.Helper()
	return issuer{must(token.NewKeyPair())(t), signer()}
}

func (i issuer) sign(t testing.TB, c claims) string {
	t.Helper()
	text := must(json.Marshal(c))(t)
	return must(i.signer.Sign(context.Background(), []token.Job{{Key: i.key, Claims: text}}))(t)[0]
}

// forge makes a token with a header of its own, signed by HMAC with key, or not at all.
func forge(t testing.TB, header string, c claims, key []byte) string {
	enc := base64.RawURLEncoding
	input := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString(must(json.Marshal(c))(t))
	if key == nil {
		return input + "."
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte(input))
	return input + "." + enc.EncodeToString(m.Sum(nil))
}

// with returns base changed: a nil value removes a claim.
func with(base claims, kv ...any) claims {
	c := claims{}
	for k, v := range base {
		c[k] = v
	}
	for i := 0; i < len(kv); i += 2 {
		if c[kv[i].(string)] = kv[i+1]; kv[i+1] == nil {
			delete(c, kv[i].(string))
		}
	}
	return c
}

func TestWebIdentity(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		a, b := w.key(w.a), w.key(w.b)
		pool, other := newIssuer(t), newIssuer(t)
		const iss, otherIss = "https://id.example.org/us-east-1_Ab1", "https://id.example.org/us-east-1_Cd2"
		w.local.set(iss, &sts.LocalIssuer{Kind: sts.UserPoolIssuer, Keys: []token.PublicKey{pool.key.Public()}})
		w.local.set(otherIss, &sts.LocalIssuer{Kind: sts.UserPoolIssuer, Keys: []token.PublicKey{other.key.Public()}})
		provider := must(a.IAM.CreateOpenIDConnectProvider(w.ctx(), &sdkiam.CreateOpenIDConnectProviderInput{Url: aws.String(iss), ClientIDList: []string{"app1", "app2"}}))(t).OpenIDConnectProviderArn
		federated := func(aud string) string {
			return `{"Effect":"Allow","Principal":{"Federated":"` + *provider + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"id.example.org/us-east-1_Ab1:aud":"` + aud + `"}}}`
		}
		role := w.role(a, "app", federated("app1"), `{"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${id.example.org/us-east-1_Ab1:sub}"}`)
		elsewhere := w.role(b, "app", `{"Effect":"Allow","Principal":{"Federated":"`+*provider+`"},"Action":"sts:AssumeRoleWithWebIdentity"}`, "")
		everybody := w.role(a, "everybody", `{"Effect":"Allow","Principal":"*","Action":["sts:AssumeRole","sts:AssumeRoleWithWebIdentity"]}`, "")

		now := time.Now().Unix()
		good := claims{"iss": iss, "aud": "app1", "sub": "subject-1", "iat": now, "exp": now + 3600, "token_use": "id", "origin_jti": "o"}
		publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(pool.key.Public().Key))(t)})
		kid := pool.key.ID()

		assume := func(role *string, token string) (*sdksts.AssumeRoleWithWebIdentityOutput, error) {
			return w.nobody().AssumeRoleWithWebIdentity(w.ctx(), &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: role, RoleSessionName: aws.String("web"), WebIdentityToken: &token})
		}
		for range 2 { // verified, then remembered
			out := must(assume(role, pool.sign(t, good)))(t)
			if *out.SubjectFromWebIdentityToken != "subject-1" || *out.Audience != "app1" || *out.Provider != iss || *out.AssumedRoleUser.Arn != "arn:aws:sts::"+w.a.Account+":assumed-role/app/web" {
				t.Errorf("%+v", out)
			}
			if _, err := w.temp(out.Credentials).IAM.GetUser(w.ctx(), &sdkiam.GetUserInput{UserName: aws.String("subject-1")}); !strings.HasPrefix(failure(err), "NoSuchEntity") {
				t.Errorf("the session has no :sub: %s", failure(err))
			}
			if _, err := w.temp(out.Credentials).IAM.GetUser(w.ctx(), &sdkiam.GetUserInput{UserName: aws.String("subject-2")}); !strings.HasPrefix(failure(err), "AccessDenied") {
				t.Errorf("the session of another :sub: %s", failure(err))
			}
		}
		const notAuthorized = "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"
		const notJWT = "InvalidIdentityToken: The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
		const noKey = "InvalidIdentityToken: Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
		const rejectedTags = "IDPRejectedClaim: The tags claim of the ID Token is not valid"
		const rejectedSource = `IDPRejectedClaim: Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`
		for _, c := range []struct {
			what  string
			role  *string
			token string
			want  string
		}{
			{"another issuer's key", role, other.sign(t, good), noKey},
			{"another pool", role, other.sign(t, with(good, "iss", otherIss)), "InvalidIdentityToken: No OpenIDConnect provider found in your account for " + otherIss},
			{"no signature", role, forge(t, `{"alg":"none"}`, good, nil), notJWT},
			{"no signature, with a key id", role, forge(t, `{"alg":"none","kid":"`+kid+`"}`, good, []byte("x")), notJWT},
			{"HMAC with the public key", role, forge(t, `{"alg":"HS256","kid":"`+kid+`"}`, good, publicPEM), notJWT},
			{"HMAC called RS256", role, forge(t, `{"alg":"RS256","kid":"`+kid+`"}`, good, publicPEM), "InvalidIdentityToken: The signature of the provided ID Token is invalid"},
			{"expired", role, pool.sign(t, with(good, "exp", now-10)), ""},
			{"of the future", role, pool.sign(t, with(good, "iat", now+900)), "InvalidIdentityToken: The ID Token provided is not valid yet"},
			{"not before", role, pool.sign(t, with(good, "nbf", now+900)), "InvalidIdentityToken: The ID Token provided is not valid yet"},
			{"wrong audience", role, pool.sign(t, with(good, "aud", "app3")), "InvalidIdentityToken: Incorrect token audience"},
			{"audience of another client", role, pool.sign(t, with(good, "aud", "app2")), notAuthorized},
			{"azp of another client", role, pool.sign(t, with(good, "azp", "app2")), notAuthorized},
			{"azp that is not listed", role, pool.sign(t, with(good, "azp", "app3")), "InvalidIdentityToken: Incorrect token audience"},
			{"two audiences", role, pool.sign(t, with(good, "aud", []string{"app1", "app2"})), "InvalidIdentityToken: Token audience contains more than one audience while authorized party is not present"},
			{"an access token", role, pool.sign(t, with(good, "aud", nil)), "InvalidIdentityToken: Missing a required claim: aud."},
			{"no subject", role, pool.sign(t, with(good, "sub", nil)), "InvalidIdentityToken: Missing a required claim: sub."},
			{"no issue time", role, pool.sign(t, with(good, "iat", nil)), "InvalidIdentityToken: Missing a required claim: iat."},
			{"no expiry", role, pool.sign(t, with(good, "exp", nil)), "InvalidIdentityToken: Missing a required claim: exp."},
			{"no issuer", role, pool.sign(t, with(good, "iss", nil)), "InvalidIdentityToken: Missing a required claim: iss."},
			{"not a token", role, "abcd", notJWT},
			{"no such role", aws.String("arn:aws:iam::" + w.a.Account + ":role/none"), pool.sign(t, good), notAuthorized},
			{"a role of another account", elsewhere, pool.sign(t, good), "InvalidIdentityToken: No OpenIDConnect provider found in your account for " + iss},
			{"a role that trusts everybody", everybody, pool.sign(t, good), notAuthorized},
			{"tags without permission", role, pool.sign(t, with(good, "https://aws.amazon.com/tags", claims{"principal_tags": claims{"a": []string{"b"}}})), notAuthorized},
			{"tags of the wrong shape", role, pool.sign(t, with(good, "https://aws.amazon.com/tags", claims{"principal_tags": claims{"a": []string{"b", "c"}}})), rejectedTags},
			{"a tag's key of other characters", role, pool.sign(t, with(good, "https://aws.amazon.com/tags", claims{"principal_tags": claims{"a*": []string{"b"}}})), rejectedTags},
			{"a tag's value of other characters", role, pool.sign(t, with(good, "https://aws.amazon.com/tags", claims{"principal_tags": claims{"a": []string{"b\n"}}})), rejectedTags},
			{"a tag in a claim of its own, without permission", role, pool.sign(t, with(good, "https://aws.amazon.com/tags/principal_tags/a", "b")), notAuthorized},
			{"a tag of two values in a claim of its own", role, pool.sign(t, with(good, "https://aws.amazon.com/tags/principal_tags/a", []string{"b", "c"})), rejectedTags},
			{"a tag that is no text", role, pool.sign(t, with(good, "https://aws.amazon.com/tags/principal_tags/a", 1)), rejectedTags},
			{"a transitive tag that is none", role, pool.sign(t, with(good, "https://aws.amazon.com/tags/transitive_tag_keys", []string{"a"})), "InvalidParameterValue: The specified transitive tag key must be included in the requested tags."},
			{"a source identity that is no text", role, pool.sign(t, with(good, "https://aws.amazon.com/source_identity", 5)), rejectedSource},
			{"a source identity of other characters", role, pool.sign(t, with(good, "https://aws.amazon.com/source_identity", "a b")), rejectedSource},
			{"an ARN that is none", aws.String("nothing-valid-in-here"), pool.sign(t, good), "ValidationError: nothing-valid-in-here is invalid"},
		} {
			_, err := assume(c.role, c.token)
			if c.what == "expired" {
				if !strings.HasPrefix(failure(err), "ExpiredTokenException: Token expired: current date/time ") || !strings.HasSuffix(failure(err), fmt.Sprint(" must be before the expiration date/time ", now-10)) {
					t.Error(failure(err))
				}
			} else if failure(err) != c.want {
				t.Errorf("%s: %s\nwant %s", c.what, failure(err), c.want)
			}
		}

		// A pool that is deleted ends tokens that are remembered; so does taking the client off the provider's list.
		remembered := pool.sign(t, good)
		must(assume(role, remembered))(t)
		must(a.IAM.RemoveClientIDFromOpenIDConnectProvider(w.ctx(), &sdkiam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: provider, ClientID: aws.String("app1")}))(t)
		if _, err := assume(role, remembered); failure(err) != "InvalidIdentityToken: Incorrect token audience" {
			t.Error(failure(err))
		}
		must(a.IAM.AddClientIDToOpenIDConnectProvider(w.ctx(), &sdkiam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: provider, ClientID: aws.String("app1")}))(t)
		must(assume(role, remembered))(t)
		w.local.set(iss, nil)
		if _, err := assume(role, remembered); failure(err) != noKey {
			t.Errorf("after the pool was deleted: %s", failure(err))
		}
	})
}

// TestRemoteIssuer: keys by discovery, over the network.
func TestRemoteIssuer(t *testing.T) {
	w := start(t, sqlite(t))
	a := w.key(w.a)
	idp := newIssuer(t)
	var fetched atomic.Int32
	var base string
	web := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/realm/.well-known/openid-configuration":
			fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":%q}`, base, base+"/keys")
		case "/realm/keys":
			fetched.Add(1)
			rw.Write(token.JWKS(idp.key.Public()))
		default:
			http.NotFound(rw, r)
		}
	}))
	defer web.Close()
	base = web.URL + "/realm"
	provider := must(a.IAM.CreateOpenIDConnectProvider(w.ctx(), &sdkiam.CreateOpenIDConnectProviderInput{Url: &base, ClientIDList: []string{"app1"}}))(t).OpenIDConnectProviderArn
	role := w.role(a, "app", `{"Effect":"Allow","Principal":{"Federated":"`+*provider+`"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.1"}}}`, `{"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::*:user/${aws:PrincipalTag/team}"}`)
	now := time.Now().Unix()
	good := claims{"iss": base, "aud": []string{"app1"}, "sub": "s-1", "iat": now, "exp": now + 600, "https://aws.amazon.com/tags": claims{"principal_tags": claims{"team": []string{"red"}}}}
	flat := with(good, "https://aws.amazon.com/tags", nil) // the same in claims that are no objects
	flat["https://aws.amazon.com/tags/principal_tags/team"], flat["https://aws.amazon.com/tags/transitive_tag_keys"] = "red", []string{"team"}
	for i, c := range []claims{with(good, "jti", 1), with(good, "jti", 1), with(good, "jti", 2), flat} {
		text := idp.sign(t, c)
		out := must(w.nobody().AssumeRoleWithWebIdentity(w.ctx(), &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: role, RoleSessionName: aws.String("web"), WebIdentityToken: &text}))(t)
		if _, err := w.temp(out.Credentials).IAM.GetUser(w.ctx(), &sdkiam.GetUserInput{UserName: aws.String("red")}); !strings.HasPrefix(failure(err), "NoSuchEntity") {
			t.Errorf("%d: tag of the token: %s", i, failure(err))
		}
		if _, err := w.temp(out.Credentials).IAM.GetUser(w.ctx(), &sdkiam.GetUserInput{UserName: aws.String("blue")}); !strings.HasPrefix(failure(err), "AccessDenied") {
			t.Errorf("%d: another tag: %s", i, failure(err))
		}
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("keys fetched %d times", n)
	}
	must(a.IAM.UpdateOpenIDConnectProviderThumbprint(w.ctx(), &sdkiam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: provider, ThumbprintList: []string{strings.Repeat("a", 40)}}))(t)
	text := idp.sign(t, good)
	must(w.nobody().AssumeRoleWithWebIdentity(w.ctx(), &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: role, RoleSessionName: aws.String("web"), WebIdentityToken: &text}))(t)
}

// TestIdentityPool: tokens of this server's identity pools, and the same without a token.
func TestIdentityPool(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		a, b := w.key(w.a), w.key(w.b)
		ids := newIssuer(t)
		const iss, pool = "https://id.example.org/identity", "us-east-1:7e0f3f0a-0000-4000-8000-000000000001"
		w.local.set(iss, &sts.LocalIssuer{Kind: sts.IdentityPoolIssuer, Keys: []token.PublicKey{ids.key.Public()}})
		trust := func(aud, amr string) string {
			return `{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],
				"Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"` + aud + `"},"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"` + amr + `"}}}`
		}
		data := `{"Effect":"Allow","Action":"iam:GetUser","Resource":["arn:aws:iam::*:user/${cognito-identity.amazonaws.com:sub}","arn:aws:iam::*:user/x-${id.example.org/identity:aud}"]}`
		role := w.role(a, "auth", trust(pool, "authenticated"), data)
		guest := w.role(a, "guest", trust(pool, "unauthenticated"), "")
		wrong := w.role(a, "wrong", trust("us-east-1:other", "authenticated"), "")
		crossed := w.role(b, "crossed", trust(pool, "authenticated"), "")
		loose := w.role(b, "loose", `{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringLike":{"cognito-identity.amazonaws.com:aud":"us-east-1:*"}}}`, "")

		now := time.Now().Unix()
		good := claims{"iss": iss, "aud": pool, "sub": "us-east-1:id-1", "amr": []string{"authenticated", "p", "p:CognitoSignIn:s"}, "iat": now, "exp": now + 600,
			"https://cognito-identity.amazonaws.com/identity-pool-arn": "arn:aws:cognito-identity:us-east-1:" + w.a.Account + ":identitypool/" + pool}
		for _, c := range []struct {
			what string
			role *string
			ok   bool
		}{{"its role", role, true}, {"the guests' role", guest, false}, {"another pool's role", wrong, false}, {"a role of another account that names the pool", crossed, true}, {"a role of another account that does not", loose, false}} {
			text := ids.sign(t, good)
			out, err := w.nobody().AssumeRoleWithWebIdentity(w.ctx(), &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: c.role, RoleSessionName: aws.String("web"), WebIdentityToken: &text})
			if (err == nil) != c.ok {
				t.Errorf("%s: %v", c.what, failure(err))
			}
			_, err2 := w.sts.AssumeWebIdentity(w.ctx(), sts.WebIdentity{RoleARN: *c.role, SessionName: "CognitoIdentityCredentials", Provider: sts.IdentityPools, Duration: time.Hour, AccountID: w.a.Account,
				Keys: map[string][]string{"cognito-identity.amazonaws.com:aud": {pool}, "cognito-identity.amazonaws.com:sub": {"us-east-1:id-1"}, "cognito-identity.amazonaws.com:amr": {"authenticated"}}})
			if (err2 == nil) != c.ok {
				t.Errorf("%s, without a token: %v", c.what, err2)
			}
			if c.what != "its role" || err != nil {
				continue
			}
			if *out.Provider != "cognito-identity.amazonaws.com" || *out.Audience != pool || *out.SubjectFromWebIdentityToken != "us-east-1:id-1" {
				t.Errorf("%+v", out)
			}
			p := must(w.sts.Credential(w.ctx(), *out.Credentials.AccessKeyId, *out.Credentials.SessionToken))(t).Principal
			if p.Session.IdentityID != "us-east-1:id-1" || p.Session.Provider != "cognito-identity.amazonaws.com" || fmt.Sprint(p.Session.Keys) !=
				"[{cognito-identity.amazonaws.com:aud ["+pool+"]} {cognito-identity.amazonaws.com:sub [us-east-1:id-1]} {cognito-identity.amazonaws.com:amr [authenticated p p:CognitoSignIn:s]}"+
					" {id.example.org/identity:aud ["+pool+"]} {id.example.org/identity:sub [us-east-1:id-1]} {id.example.org/identity:amr [authenticated p p:CognitoSignIn:s]}]" {
				t.Errorf("%+v", p.Session)
			}
		}
	})
}

// TestHotPathsReadNoDatabase counts the statements of what every request and every session costs.
func TestHotPathsReadNoDatabase(t *testing.T) {
	w := start(t, sqlite(t))
	a := w.key(w.a)
	ids := newIssuer(t)
	const iss = "https://id.example.org/identity"
	w.local.set(iss, &sts.LocalIssuer{Kind: sts.IdentityPoolIssuer, Keys: []token.PublicKey{ids.key.Public()}})
	role := w.role(a, "auth", `{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"us-east-1:p"}}}`, "")
	now := time.Now().Unix()
	text := ids.sign(t, claims{"iss": iss, "aud": "us-east-1:p", "sub": "us-east-1:id-1", "iat": now, "exp": now + 600,
		"https://cognito-identity.amazonaws.com/identity-pool-arn": "arn:aws:cognito-identity:us-east-1:" + w.a.Account + ":identitypool/us-east-1:p"})
	ctx := db.WithCounter(context.Background())
	run := func() {
		out := must(w.sts.AssumeRoleWithWebIdentity(ctx, &apists.AssumeRoleWithWebIdentityRequest{RoleArn: role, RoleSessionName: aws.String("web"), WebIdentityToken: &text}))(t)
		must(w.sts.Credential(ctx, *out.Credentials.AccessKeyId, *out.Credentials.SessionToken))(t)
		must(w.sts.Credential(ctx, w.a.AccessKeyID, ""))(t)
	}
	run()
	before := db.Statements(ctx)
	run()
	if after := db.Statements(ctx); after != before {
		t.Errorf("statements: %+v, then %+v", before, after)
	}
}
