package ushertest_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/ids"
	"usher/internal/ushertest"
)

// accounts are two accounts: the first of the server, and another with a bucket.
type accounts struct {
	*ushertest.Server
	t     *testing.T
	a, b  ushertest.Clients // of their administrators
	idA   string
	idB   string
	alice ushertest.Clients // a user of a
}

func newAccounts(t *testing.T, s *ushertest.Server) *accounts {
	key := must(s.Server.CreateAccount(t.Context(), "b"))(t)
	w := &accounts{Server: s, t: t, a: ushertest.ClientsFor(s.Admin(t)), b: ushertest.ClientsFor(s.As(key.AccessKeyID, key.SecretAccessKey, "")), idB: key.Account}
	w.idA = *must(w.a.STS.GetCallerIdentity(t.Context(), nil))(t).Account
	if w.idA == w.idB {
		t.Fatal("the accounts are one")
	}
	w.alice = w.user(w.a, "alice")
	must(w.b.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("shared")}))(t)
	must(w.b.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("shared"), Key: aws.String("a.txt"), Body: bytes.NewReader([]byte("of b"))}))(t)
	return w
}

func (w *accounts) user(admin ushertest.Clients, name string) ushertest.Clients {
	must(admin.IAM.CreateUser(w.t.Context(), &iam.CreateUserInput{UserName: &name}))(w.t)
	key := must(admin.IAM.CreateAccessKey(w.t.Context(), &iam.CreateAccessKeyInput{UserName: &name}))(w.t).AccessKey
	return ushertest.ClientsFor(w.As(*key.AccessKeyId, *key.SecretAccessKey, ""))
}

// allow gives alice exactly these permissions.
func (w *accounts) allow(statements string) {
	w.t.Helper()
	if statements == "" {
		statements = `{"Effect":"Allow","Action":"none:None","Resource":"*"}`
	}
	must(w.a.IAM.PutUserPolicy(w.t.Context(), &iam.PutUserPolicyInput{UserName: aws.String("alice"), PolicyName: aws.String("p"), PolicyDocument: document(statements)}))(w.t)
}

func document(statements string) *string {
	return aws.String(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)
}

// share sets the bucket policy of b's bucket, "" for none.
func (w *accounts) share(statements string) {
	w.t.Helper()
	var err error
	if statements == "" {
		_, err = w.b.S3.DeleteBucketPolicy(w.t.Context(), &s3.DeleteBucketPolicyInput{Bucket: aws.String("shared")})
	} else {
		_, err = w.b.S3.PutBucketPolicy(w.t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String("shared"), Policy: document(statements)})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func readShared(t *testing.T, c ushertest.Clients) error {
	res, err := c.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("shared"), Key: aws.String("a.txt")})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if string(text) != "of b" {
		t.Errorf("read %q", text)
	}
	return err
}

// explained is what the server tells about a denied request.
func (w *accounts) explained(err error) string {
	w.t.Helper()
	var res *awshttp.ResponseError
	id := ""
	if errors.As(err, &res) {
		id = res.RequestID
	}
	if s3err, ok := errors.AsType[interface {
		error
		ServiceRequestID() string
	}](err); id == "" && ok {
		id = s3err.ServiceRequestID()
	}
	list := must(w.Server.Server.Explain(w.t.Context(), id))(w.t)
	if len(list) == 0 {
		w.t.Fatalf("request %q is not explained: %v", id, err)
	}
	return list[0].Caller + " " + list[0].Action + "\n" + list[0].Note + "\n" + list[0].Text
}

// TestBucketOfAnotherAccount: each leg of cross-account access is needed, and each takes effect at the next request.
func TestBucketOfAnotherAccount(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		w := newAccounts(t, s)
		const mayGet = `{"Sid":"Get","Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::shared/*"}`
		toAlice := `{"Sid":"Alice","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + w.idA + `:user/alice"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::shared/*"}`
		toAccount := `{"Sid":"Account","Effect":"Allow","Principal":{"AWS":"` + w.idA + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::shared/*"}`
		deny := `{"Sid":"Never","Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::shared/*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`
		for _, c := range []struct{ name, identity, bucket, denial, explanation string }{
			{"nothing", "", "", "because no resource-based policy allows the s3:GetObject action", "no resource-based policy allows it"},
			{"identity policy alone", mayGet, "", "because no resource-based policy allows the s3:GetObject action", "no resource-based policy allows it"},
			{"bucket policy alone", "", toAlice, "because no identity-based policy allows the s3:GetObject action", "no identity-based policy allows it"},
			{"both", mayGet, toAlice, "", ""},
			{"the account is named", mayGet, toAccount, "", ""},
			{"an explicit deny", mayGet, toAlice + "," + deny, "with an explicit deny in a resource-based policy", `Bool aws:SecureTransport ["false"] met: the request has ["false"]`},
			{"another object", mayGet, strings.Replace(toAlice, "shared/*", "shared/b.txt", 1), "because no resource-based policy allows the s3:GetObject action", "Allow Alice in resource-based policy arn:aws:s3:::shared (line 1, column 38): Resource does not match"},
		} {
			w.allow(c.identity)
			w.share(c.bucket)
			err := readShared(t, w.alice)
			if c.denial == "" {
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				continue
			}
			refused(t, err, "AccessDenied", c.denial)
			if text := w.explained(err); !strings.Contains(text, c.explanation) || !strings.Contains(text, ":user/alice s3:GetObject") {
				t.Errorf("%s is explained as %s", c.name, text)
			}
		}

		// Within an account the bucket policy is enough.
		bob := w.user(w.b, "bob")
		w.share(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + w.idB + `:user/bob"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::shared/*"}`)
		if err := readShared(t, bob); err != nil {
			t.Errorf("bob of the same account: %v", err)
		}
		// Another account's policies are not for those who may do everything at home.
		_, err := w.a.S3.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String("shared"), Policy: document(toAlice)})
		refused(t, err, "AccessDenied", "because no resource-based policy allows the s3:PutBucketPolicy action")

		// A user who is made anew is not the one who was named.
		w.allow(mayGet)
		w.share(toAlice)
		if err := readShared(t, w.alice); err != nil {
			t.Error(err)
		}
		keys := must(w.a.IAM.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: aws.String("alice")}))(t).AccessKeyMetadata
		must(w.a.IAM.DeleteAccessKey(t.Context(), &iam.DeleteAccessKeyInput{UserName: aws.String("alice"), AccessKeyId: keys[0].AccessKeyId}))(t)
		must(w.a.IAM.DeleteUserPolicy(t.Context(), &iam.DeleteUserPolicyInput{UserName: aws.String("alice"), PolicyName: aws.String("p")}))(t)
		gone := must(w.a.IAM.GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String("alice")}))(t).User
		must(w.a.IAM.DeleteUser(t.Context(), &iam.DeleteUserInput{UserName: aws.String("alice")}))(t)
		w.alice = w.user(w.a, "alice")
		w.allow(mayGet)
		refused(t, readShared(t, w.alice), "AccessDenied", "because no resource-based policy allows")
		shown := *must(w.b.S3.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: aws.String("shared")}))(t).Policy
		if !strings.Contains(shown, `"AWS":"`+*gone.UserId+`"`) {
			t.Errorf("the policy shows %s", shown)
		}
	})
}

// TestPublicBucket: nobody reads anonymously before the owner has lifted the block and said so by policy.
func TestPublicBucket(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		w := newAccounts(t, s)
		anonymous := func() int {
			res, err := http.Get(s.URL + "/shared/a.txt")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return res.StatusCode
		}
		bucket := aws.String("shared")
		public := document(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::shared/*"}`)
		_, err := w.b.S3.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: public})
		refused(t, err, "AccessDenied", "blocked by the BlockPublicPolicy")
		if got := anonymous(); got != 403 {
			t.Errorf("anonymous: %d", got)
		}
		must(w.b.S3.DeletePublicAccessBlock(t.Context(), &s3.DeletePublicAccessBlockInput{Bucket: bucket}))(t)
		must(w.b.S3.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: public}))(t)
		if got := anonymous(); got != 200 {
			t.Errorf("anonymous, allowed: %d", got)
		}
		if st := must(w.b.S3.GetBucketPolicyStatus(t.Context(), &s3.GetBucketPolicyStatusInput{Bucket: bucket}))(t); !*st.PolicyStatus.IsPublic {
			t.Error("not public")
		}
		must(w.b.S3.PutPublicAccessBlock(t.Context(), &s3.PutPublicAccessBlockInput{Bucket: bucket,
			PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{RestrictPublicBuckets: aws.Bool(true)}}))(t)
		if got := anonymous(); got != 403 {
			t.Errorf("anonymous, restricted: %d", got)
		}
		w.allow(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
		err = readShared(t, w.alice)
		refused(t, err, "AccessDenied", "")
		if text := w.explained(err); !strings.Contains(text, "RestrictPublicBuckets") {
			t.Error(text)
		}
		if err := readShared(t, w.b); err != nil {
			t.Error(err)
		}
	})
}

// TestRoleOfAnotherAccount: trust, permission and external id are each needed; revocation ends sessions at once.
func TestRoleOfAnotherAccount(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		w := newAccounts(t, s)
		role := must(w.b.IAM.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("reader"), AssumeRolePolicyDocument: document(
			`{"Effect":"Allow","Principal":{"AWS":"` + w.idA + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"contract-7"}}}`)}))(t).Role.Arn
		must(w.b.IAM.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("reader"), PolicyName: aws.String("p"),
			PolicyDocument: document(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::shared/*"}`)}))(t)
		assume := func(external string) (ushertest.Clients, error) {
			in := &sts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1")}
			if external != "" {
				in.ExternalId = &external
			}
			out, err := w.alice.STS.AssumeRole(t.Context(), in)
			if err != nil {
				return ushertest.Clients{}, err
			}
			return ushertest.ClientsFor(s.As(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)), nil
		}
		_, err := assume("contract-7")
		refused(t, err, "AccessDenied", "is not authorized to perform: sts:AssumeRole on resource: "+*role)
		if text := w.explained(err); !strings.Contains(text, "no identity-based policy allows it") {
			t.Error(text)
		}
		w.allow(`{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + *role + `"}`)
		_, err = assume("")
		refused(t, err, "AccessDenied", "")
		if text := w.explained(err); !strings.Contains(text, `StringEquals sts:ExternalId ["contract-7"] not met: the request has no such key`) || !strings.Contains(text, "keys not in the request: sts:ExternalId") {
			t.Error(text)
		}
		session := must(assume("contract-7"))(t)
		if err := readShared(t, session); err != nil {
			t.Error(err)
		}

		if err := s.Server.Revoke(t.Context(), "role", *role); err != nil {
			t.Fatal(err)
		}
		refused(t, readShared(t, session), "ExpiredToken", "")
		if err := readShared(t, must(assume("contract-7"))(t)); err != nil {
			t.Errorf("a session after the revocation: %v", err)
		}
		for _, bad := range [][2]string{{"role", *role + "x"}, {"user", *role}, {"role", "*"}, {"role", w.idB}, {"key", "ASIAX"}, {"session", "AKIAX"},
			{"key", "AKIAX"}, {"key", "AKIAIOSFODNN7EXAMPLE"}, {"session", "ASIAIOSFODNN7EXAMPLE"}, {"user", "arn:aws:iam::123:root"}, {"user", "arn:aws:iam::000000000000:root"},
			{"identity", ""}, {"identity", "us-east-1"}, {"identity", "us-east-1:x"}, {"sub", "alice"}, {"sub", ""}, {"sign-in", "x"}, {"everything", "x"}} {
			if err := s.Server.Revoke(t.Context(), bad[0], bad[1]); err == nil {
				t.Errorf("revoked %s", bad)
			}
		}
		for _, good := range [][2]string{{"user", "arn:aws:iam::" + w.idB + ":root"}, {"key", ids.AccessKey(w.idB)}, {"session", ids.SessionKey(w.idB)}, // deleted, as far as it knows
			{"identity", ids.Identity("us-east-1", time.Now())}, {"sub", ids.Sub()}, {"sign-in", ids.UUID()}} {
			if err := s.Server.Revoke(t.Context(), good[0], good[1]); err != nil {
				t.Errorf("%s: %v", good, err)
			}
		}
	})
}
