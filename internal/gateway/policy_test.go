package gateway

import (
	"context"
	"strings"
	"testing"

	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/policy"
)

func bucketPolicy(statements string) string {
	return `{"Version":"2012-10-17","Statement":[` + statements + `]}`
}

const (
	toAlice  = `{"Effect":"Allow","Principal":{"AWS":"` + aliceARN + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"}`
	toPublic = `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"}`
)

// The life of a bucket policy and of the block of public access, each step a request: what it answers, and what the authorizer
// is told afterwards by the names of the policies.
func TestBucketPolicy(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		_, up := startRecorder(t, true)
		d := open(db.Schema{Name: "gateway", Files: Schema})
		f := newGateway(t, up, func(c *Config) { c.DB = d })
		f.db = d
		f.own(t, "box", account)
		const blockAll = "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>"
		for _, c := range []struct {
			name, method, target, body string
			status                     int
			want                       string // in the answer
			policy, outside            string // ID of the policy for callers of the account, and of another one
		}{
			{"none yet", "GET", "/box?policy", "", 404, "NoSuchBucketPolicy", "", ""},
			{"no status either", "GET", "/box?policyStatus", "", 404, "NoSuchBucketPolicy", "", ""},
			{"blocked by default", "GET", "/box?publicAccessBlock", "", 200, blockAll, "", ""},
			{"public policy", "PUT", "/box?policy", bucketPolicy(toPublic), 403, "s3:PutBucketPolicy on resource: &quot;arn:aws:s3:::box&quot; because public policies are blocked by the BlockPublicPolicy block public access setting.", "", ""},
			{"no JSON", "PUT", "/box?policy", "<x/>", 400, "Policies must be valid JSON and the first byte must be &apos;{&apos;", "", ""},
			{"no principal", "PUT", "/box?policy", bucketPolicy(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"}`), 400, "Missing required field Principal", "", ""},
			{"unknown user", "PUT", "/box?policy", strings.Replace(bucketPolicy(toAlice), "alice", "mallory", 1), 400, "Invalid principal in policy", "", ""},
			{"another bucket", "PUT", "/box?policy", strings.Replace(bucketPolicy(toAlice), "box", "safe", 1), 400, "Policy has invalid resource", "", ""},
			{"bucket action on objects", "PUT", "/box?policy", strings.Replace(bucketPolicy(toAlice), "GetObject", "ListBucket", 1), 400, "Action does not apply to any resource(s) in statement", "", ""},
			{"too large", "PUT", "/box?policy", bucketPolicy(toAlice) + strings.Repeat(" ", 20<<10), 400, "maximum allowed document size", "", ""},
			{"of a user", "PUT", "/box?policy", bucketPolicy(toAlice), 204, "", "policy of bucket box", "policy of bucket box"},
			{"read", "GET", "/box?policy", "", 200, bucketPolicy(toAlice), "policy of bucket box", "policy of bucket box"},
			{"not public", "GET", "/box?policyStatus", "", 200, "<IsPublic>false</IsPublic>", "policy of bucket box", "policy of bucket box"},
			{"only restricted", "PUT", "/box?publicAccessBlock", "<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>", 200, "", "policy of bucket box", "policy of bucket box"},
			{"public and restricted", "PUT", "/box?policy", bucketPolicy(toPublic), 204, "", "policy of bucket box", "RestrictPublicBuckets: the bucket policy is public"},
			{"nothing blocked", "DELETE", "/box?publicAccessBlock", "", 204, "", "policy of bucket box", "policy of bucket box"},
			{"no configuration", "GET", "/box?publicAccessBlock", "", 404, "NoSuchPublicAccessBlockConfiguration", "policy of bucket box", "policy of bucket box"},
			{"public", "GET", "/box?policyStatus", "", 200, "<IsPublic>true</IsPublic>", "policy of bucket box", "policy of bucket box"},
			{"not XML", "PUT", "/box?publicAccessBlock", "{}", 400, "MalformedXML", "policy of bucket box", "policy of bucket box"},
			{"gone", "DELETE", "/box?policy", "", 204, "", "", ""},
			{"again", "DELETE", "/box?policy", "", 204, "", "", ""},
		} {
			w := f.do(sign(t, "AKIAALICE", c.method, c.target, []byte(c.body)))
			got := strings.ReplaceAll(w.Body.String(), "'", "&apos;")
			if w.Code != c.status || !strings.Contains(got, c.want) {
				t.Errorf("%s: %d %s, want %d %s", c.name, w.Code, got, c.status, c.want)
			}
			for caller, want := range map[string]string{account: c.policy, other: c.outside, "": c.outside} {
				src, err := f.ResourcePolicy(t.Context(), "arn:aws:s3:::box/a", account, caller)
				if err != nil || len(src) > 1 || (len(src) == 0) != (want == "") || len(src) == 1 && src[0].ID != want {
					t.Errorf("%s: the policy for %q is %+v, %v, want %q", c.name, caller, src, err, want)
				}
			}
		}
	})
}

// TestBucketPolicyNamesIDs: a policy means the user who bore the name when it was saved.
func TestBucketPolicyNamesIDs(t *testing.T) {
	_, up := startRecorder(t, true)
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	if w := f.do(sign(t, "AKIAALICE", "PUT", "/box?policy", []byte(bucketPolicy(toAlice)))); w.Code != 204 {
		t.Fatal(w.Code, w.Body)
	}
	src, err := f.ResourcePolicy(t.Context(), "arn:aws:s3:::box/a", account, other)
	if err != nil || len(src) != 1 {
		t.Fatal(src, err)
	}
	for id, want := range map[string]bool{"AIDAALICE": true, "AIDAIMPOSTOR": false} {
		d := policy.Decide(&policy.Request{
			Principal: policy.Principal{Kind: policy.User, AccountID: account, ARN: aliceARN, ID: id},
			Action:    "s3:GetObject", Resource: "arn:aws:s3:::box/a", ResourceAccount: account,
		}, &policy.Policies{Resource: src})
		if d.Allowed != want {
			t.Errorf("%s: %+v", id, d)
		}
	}
	// Whose bucket it is not, is not bound by it.
	if src, err := f.ResourcePolicy(t.Context(), "arn:aws:s3:::box", other, other); src != nil || err != nil {
		t.Error(src, err)
	}
}

// TestBucketPolicyIsTheOwners: callers of another account are refused even when they are allowed.
func TestBucketPolicyIsTheOwners(t *testing.T) {
	_, up := startRecorder(t, true)
	f := newGateway(t, up, func(c *Config) { c.Authorizer = generous{} })
	f.own(t, "box", account)
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		for _, key := range []string{"AKIAOTHER", ""} {
			w := f.do(sign(t, key, method, "/box?policy", []byte(bucketPolicy(toAlice))))
			if w.Code != 405 || code(w.Body.String()) != "MethodNotAllowed" {
				t.Errorf("%s by %q: %d %s", method, key, w.Code, w.Body)
			}
		}
	}
}

func TestIsPublic(t *testing.T) {
	with := func(condition string) string {
		return strings.TrimSuffix(toPublic, "}") + `,"Condition":` + condition + `}`
	}
	for statement, want := range map[string]bool{
		toPublic:                 true,
		toAlice:                  false,
		toAlice + "," + toPublic: true,
		strings.Replace(toPublic, `"*"`, `{"AWS":["*","`+account+`"]}`, 1):      true,
		strings.Replace(toPublic, "Allow", "Deny", 1):                           false,
		with(`{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","2001:db8::/32"]}}`): false,
		with(`{"IpAddress":{"aws:SourceIp":"10.0.0.0/7"}}`):                     true,
		with(`{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}`):                      true,
		with(`{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`):                true,
		with(`{"IpAddressIfExists":{"aws:SourceIp":"192.0.2.0/24"}}`):           true,
		with(`{"StringEquals":{"aws:PrincipalAccount":"` + other + `"}}`):       false,
		with(`{"StringLike":{"aws:PrincipalArn":"arn:aws:iam::*"}}`):            true,
		with(`{"StringNotEquals":{"aws:PrincipalAccount":"` + other + `"}}`):    true,
		with(`{"ForAllValues:StringEquals":{"aws:PrincipalOrgID":"o-1"}}`):      true,
		with(`{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`):                   false,
		with(`{"StringEquals":{"aws:userid":"${aws:userid}"}}`):                 true,
		with(`{"StringEquals":{"aws:Referer":"https://example.org/"}}`):         true,
		with(`{"Bool":{"aws:SecureTransport":"true"}}`):                         true,
	} {
		p, err := policy.Parse(bucketPolicy(statement))
		if err != nil {
			t.Fatal(statement, err)
		}
		if got := isPublic(p); got != want {
			t.Errorf("%s: public %v", statement, got)
		}
	}
}

// generous allows everything.
type generous struct{}

func (generous) Decide(context.Context, awsapi.Caller, []awsapi.Target) error { return nil }
