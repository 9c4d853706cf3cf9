package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestMalformedCases(t *testing.T) {
	type malformedCase struct{ ID, Call, Document, Message string }
	kinds := map[string]Kind{"CreatePolicy": KindManaged, "PutRolePolicy": KindInline, "CreateRole (trust)": KindTrust}
	for _, c := range readLines[malformedCase](t, "malformed.jsonl") {
		kind, ok := kinds[c.Call]
		if !ok {
			t.Fatalf("%s: unknown call %q", c.ID, c.Call)
		}
		checkMessage(t, kind, c.Document, c.Message)
	}
}

func checkMessage(t *testing.T, kind Kind, document, want string) {
	t.Helper()
	got := ""
	if err := Validate(document, kind); err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("Validate(%s)\n got %q\nwant %q", document, got, want)
	}
}

// In the tables S stands for {"Version":"2012-10-17","Statement":…} around the
// rest, and within it ok is an effect, an action and a resource that are in order.
func expand(short string) string {
	if rest, ok := strings.CutPrefix(short, "S "); ok {
		short = `{"Version":"2012-10-17","Statement":` + rest + `}`
	}
	short = strings.ReplaceAll(short, "ok,", `"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::b",`)
	return strings.ReplaceAll(short, "ok}", `"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::b"}`)
}

const (
	vendorMissing  = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	oneColon       = "Actions/Condition can contain only one colon."
	vendorRegex    = "Resource vendor must be fully qualified and cannot contain regexes."
	noActions      = "Policy statement must contain actions."
	noResources    = "Policy statement must contain resources."
	sidUnique      = "Statement IDs (SID) in a single policy must be unique."
	version        = "Policy document must be version 2012-10-17 or greater."
	iamPathMessage = `IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.`
)

func TestValidateManaged(t *testing.T) {
	for _, c := range []struct{ document, want string }{
		{`S {ok}`, ""},
		{`S [{ok}]`, ""},
		{`{"Version":"2012-10-17","Id":"x","Statement":{ok}}`, ""},
		{`S {"Sid":"a","Effect":"Allow","NotAction":"s3:ListBucket","NotResource":"*"}`, ""},
		{`S {"Effect":"Allow","Action":"iam: odd name ","Resource":["arn:aws:s3:::b","*"]}`, ""},
		{`S {"Effect":"Allow","Action":["*","service-prefix:x","s3.s:x"],"Resource":"arn:aws:s33:::b"}`, ""},
		{`S {"Effect":"Allow","Action":"iam:*","Resource":["arn:aws:iam:::user/x","arn:aws:iam::*:*","arn:aws:ec2:us-east-1::x","arn:aws:s3:*:111122223333:accesspoint/x","arn:*:s3:::b","arn:aws:iam*"]}`, vendorRegex},
		{`S {"Effect":"Allow","Action":"iam:*","Resource":["arn:aws:iam:::user/x","arn:aws:iam::*:*","arn:aws:ec2:us-east-1::x","arn:aws:s3:*:111122223333:accesspoint/x","arn:*:s3:::b","arn:aws:iam::*"]}`, ""},
		{`S {ok,"Condition":{}}`, ""},
		{`S {ok,"Condition":{"DateGreaterThan":{},"x":{}}}`, ""},
		{`S {ok,"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"Department"},"ForAnyValue:StringEqualsIfExists":{"a":"b"}}}`, ""},
		{`S {ok,"Condition":{"DateLessThanEquals":{"a":["2019-07-01T13:20:15Z","2016-12-13T21:20:37.593194+00:00","2016-12-13t2:00:00.593194+23","-292275054","2026","2026-02"]}}}`, ""},
		{`S {ok,"Condition":{"NumericEquals":{"a":[10,"-1.5"]},"Bool":{"b":[true,"False","${aws:x}"]},"Null":{"c":false},"IpAddress":{"d":["10.0.0.0/8","::1"]},"BinaryEquals":{"e":"QQ=="}}}`, ""},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}/${aws:PrincipalTag/t, 'none'}/${*}${?}${$}"}`, ""},

		{`no json`, syntaxErrors},
		{``, syntaxErrors},
		{`[]`, syntaxErrors},
		{`"x"`, syntaxErrors},
		{`S {ok} x`, syntaxErrors},
		{`{"Version":"2013-10-17","Statement":{ok}}`, syntaxErrors},
		{`{"Version":2012,"Statement":{ok}}`, syntaxErrors},
		{`{"Version":"2012-10-17"}`, syntaxErrors},
		{`S []`, syntaxErrors},
		{`S ["x"]`, syntaxErrors},
		{`S {}`, syntaxErrors},
		{`{"Version":"2012-10-17","Statement":{ok},"Extra":"x"}`, syntaxErrors},
		{`{"Version":"2012-10-17","statement":{ok}}`, syntaxErrors},
		{`{"Version":"2012-10-17","Version":"2012-10-17","Statement":{ok}}`, syntaxErrors},
		{`S {"Effect":"Deny",ok}`, syntaxErrors},
		{`S {ok,"Extra":"x"}`, syntaxErrors},
		{`{"Version":"2012-10-17","Id":{},"Statement":{ok}}`, syntaxErrors},
		{`S {"Effect":"invalid","Action":"s3:ListBucket","Resource":"*"}`, syntaxErrors},
		{`S {"Effect":true,"Action":"s3:ListBucket","Resource":"*"}`, syntaxErrors},
		{`S {"Action":"s3:ListBucket","Resource":"*"}`, syntaxErrors},
		{`S {"Effect":"Allow","Action":"s3:ListBucket","Resource":{"a":"b"}}`, syntaxErrors},
		{`S {"Effect":"Allow","Action":"s3:ListBucket","Resource":["b",{}]}`, syntaxErrors},
		{`S {"Effect":"Allow","Action":[[]],"Resource":"*"}`, syntaxErrors},
		{`S {"Effect":"Allow","Action":{},"Resource":"*"}`, syntaxErrors},
		{`S {"Effect":"Allow","Action":1,"Resource":"*"}`, syntaxErrors},
		{`S {ok,"NotAction":[]}`, syntaxErrors},
		{`S {ok,"NotResource":"*"}`, syntaxErrors},
		{`S {"Sid":[],ok}`, syntaxErrors},
		{`S {ok,"Condition":[]}`, syntaxErrors},
		{`S {ok,"Condition":"a"}`, syntaxErrors},
		{`S {ok,"Condition":{"a":"b"}}`, syntaxErrors},
		{`S {ok,"Condition":{"DateGreaterThan":[]}}`, syntaxErrors},
		{`S {ok,"Condition":{"DateGreaterThan":{"a":{}}}}`, syntaxErrors},
		{`S {ok,"Condition":{"StringEquals":{"a":null}}}`, syntaxErrors},
		{`S {ok,"Condition":{"StringEquals":{"a":[]}}}`, syntaxErrors},
		{`S {ok,"Condition":{"x":{"a":"1"}}}`, syntaxErrors},
		{`S {ok,"Condition":{"ForAnyValue::StringEquals":{"a":"1"}}}`, syntaxErrors},
		{`S {ok,"Condition":{"NullIfExists":{"a":"true"}}}`, syntaxErrors},
		{`S {ok,"Condition":{"ForAnyValue:Null":{"a":"true"}}}`, syntaxErrors},
		{`S {ok,"Condition":{"Bool":{"a":"maybe"}}}`, syntaxErrors},
		{`S {ok,"Condition":{"StringEquals":{"a":"${aws:username"}}}`, syntaxErrors},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${}"}`, syntaxErrors},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username, none}"}`, syntaxErrors},
		{"S {\"Effect\":\"Allow\",\"Action\":\"s3:*\",\"Resource\":\"arn:aws:s3:::\u20ac\"}", syntaxErrors},

		{`{"Statement":{ok}}`, version},
		{`{"Version":"2008-10-17","Statement":{ok}}`, version},
		{`{"Statement":[{"Sid":"a",ok},{"Sid":"a","Effect":"Allow"}]}`, version},
		{`{"Statement":{"Effect":"denY","Action":"s3:*","Resource":"*"}}`, version},
		{`{"Statement":{ok,"Condition":{"DateGreaterThan":{"a":"x"}}}}`, version},

		{`S {"Effect":"denY","Action":"s3:*","Resource":"*"}`, legacyParsing},
		{`S {"Effect":"allow","Resource":"arn:aws:s3:us-east-1::b"}`, legacyParsing},
		{`S [{"Sid":"a","Effect":"aLLow","Action":"s3:*","Resource":"*"},{"Sid":"a","Effect":"Allow"}]`, legacyParsing},
		{`S {ok,"Condition":{"DateGreaterThan":{"a":"x"}}}`, legacyParsing},
		{`S {"Effect":"Allow","Condition":{"DateGreaterThan":{"a":"x"}}}`, legacyParsing},
		{`S {ok,"Condition":{"DateLessThanEquals":{"a":"234-13"}}}`, legacyParsing},
		{`S {ok,"Condition":{"DateLessThanEquals":{"a":"2026-13-01"}}}`, legacyParsing},
		{`S {ok,"Condition":{"DateLessThanEquals":{"a":"2026-02-30"}}}`, legacyParsing},
		{`S {ok,"Condition":{"DateLessThanEquals":{"a":"2016-12-13t2:00:00.593194+1"}}}`, legacyParsing},
		{`S {ok,"Condition":{"DateLessThanEquals":{"a":"2016-12-13t2:00:00.1999999999+10:59"}}}`, legacyParsing},
		{`S {ok,"Condition":{"DateLessThan":{"a":"9223372036854775808"}}}`, legacyParsing},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:error:s3:::b","Condition":{"DateGreaterThan":{"a":"x"}}}`, legacyParsing},
		{`S {ok,"Condition":{"NumericEquals":{"a":"ten"}}}`, legacyParsing},
		{`S {ok,"Condition":{"NumericEquals":{"a":"${aws:x}"}}}`, legacyParsing},
		{`S {ok,"Condition":{"IpAddress":{"a":"300.0.0.1"}}}`, legacyParsing},
		{`S {ok,"Condition":{"BinaryEquals":{"a":"!"}}}`, legacyParsing},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3::b"}`, legacyParsing},
		{`S {"Effect":"Allow","Resource":"arn:aws:s3::b"}`, legacyParsing},
		{`S {"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3::b"}`, legacyParsing},
		{`S {"Effect":"Allow","NotAction":"s3:*","Resource":"arn:aws::::b"}`, legacyParsing},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws::fdsasf"}`, legacyParsing},

		{`S [{"Sid":"a",ok},{"Sid":"a","Effect":"Allow"}]`, sidUnique},
		{`S [{"Sid":"",ok},{"Sid":"",ok}]`, ""},
		{`S {"Sid":"a b",ok}`, "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"},
		{`S {"Principal":"*",ok}`, "Policy document should not specify a principal."},
		{`S {"NotPrincipal":{"AWS":"111122223333"},ok}`, "Policy document should not specify a principal."},

		{`S {"Effect":"Allow"}`, noActions},
		{`S {"Effect":"Allow","Resource":"*"}`, noActions},
		{`S {"Effect":"Allow","Action":[],"Resource":"*"}`, noActions},
		{`S [{"Effect":"Deny"},{ok}]`, noActions},
		{`S {"Effect":"Allow","Action":"s3:ListBucket"}`, noResources},
		{`S {"Effect":"Allow","Action":"s3:ListBucket","Resource":[]}`, noResources},

		{`S {"Effect":"Allow","Action":"invalid","Resource":"*"}`, vendorMissing},
		{`S {"Effect":"Allow","Action":"invalid"}`, vendorMissing},
		{`S {"Effect":"Allow","NotAction":"","Resource":"*"}`, vendorMissing},
		{`S {"Effect":"Allow","Action":"a a:ListBucket","Resource":"*"}`, "Vendor a a is not valid"},
		{`S {"Effect":"Allow","Action":"*:Get*","Resource":"*"}`, "Vendor * is not valid"},
		{`S {"Effect":"Allow","Action":"s3:List:Bucket","Resource":"*"}`, oneColon},
		{`S [{"Effect":"Allow","Action":"s3s:x","Resource":"*"},{"Effect":"Allow","Action":"s:3s:x","Resource":"*"}]`, oneColon},

		{`S {"Effect":"Allow","Action":"s3:*","Resource":"invalid resource"}`, `Resource invalid resource must be in ARN format or "*".`},
		{`S {"Effect":"Allow","Action":"s:3:x","Resource":"x"}`, `Resource x must be in ARN format or "*".`},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":""}`, `Resource  must be in ARN format or "*".`},
		{`S {"Effect":"Allow","NotAction":"s3:x","Resource":"a:b"}`, `Partition "b" is not valid for resource "arn:b:*:*:*:*".`},
		{`S {"Effect":"Allow","NotAction":"s3:x","Resource":"a:b:c"}`, `Partition "b" is not valid for resource "arn:b:c:*:*:*".`},
		{`S {"Effect":"Allow","NotAction":"s3:x","Resource":"a:b:c:d:e:f:g:h"}`, `Partition "b" is not valid for resource "arn:b:c:d:e:f:g:h".`},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"aws:s3:::b"}`, `Partition "s3" is not valid for resource "arn:s3:::b:*".`},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":["arn:error:s3:::b","arn:error:s3::b"]}`, `Partition "error" is not valid for resource "arn:error:s3:::b".`},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws"}`, vendorRegex},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s*:::b"}`, vendorRegex},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:us-east-1::b"}`, "Resource arn:aws:s3:us-east-1::b can not contain region information."},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:iam:us-east-1::b"}`, "IAM resource arn:aws:iam:us-east-1::b cannot contain region information."},
		{`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:iam:::b"}`, iamPathMessage},
		{`S {"Effect":"Allow","Action":"sts:AssumeRoot","Resource":"arn:aws:iam::111122223333:root"}`, ""},
		{`S {"Effect":"Allow","Action":"sts:AssumeRoot","Resource":"arn:aws:iam::111122223333:roots"}`, iamPathMessage},
	} {
		checkMessage(t, KindManaged, expand(c.document), c.want)
	}
}

func TestValidateOtherKinds(t *testing.T) {
	const trustUser = `"Effect":"Allow","Principal":{"AWS":"111122223333"},`
	const bucket = `"Effect":"Allow","Principal":"*",`
	const stsOnly = "AssumeRole policy may only specify STS AssumeRole actions."
	const github = `"Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"},"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity"`
	const githubRefused = "The trust policy must restrict the shared OIDC provider token.actions.githubusercontent.com by a condition on one of " +
		"token.actions.githubusercontent.com:sub, token.actions.githubusercontent.com:job_workflow_ref, token.actions.githubusercontent.com:repository, " +
		"token.actions.githubusercontent.com:repository_id, token.actions.githubusercontent.com:repository_owner_id, token.actions.githubusercontent.com:enterprise_id"
	const pattern = "; a pattern must begin with what names you there, such as repo:OWNER/"
	for _, c := range []struct {
		kind           Kind
		document, want string
	}{
		{KindInline, `{"Statement":{ok}}`, ""},
		{KindInline, `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${"}}`, ""},
		{KindSession, `{"Statement":{ok}}`, ""},
		{KindSession, `x`, syntaxErrors},

		{KindTrust, `S {` + trustUser + `"Action":"sts:AssumeRole"}`, ""},
		{KindTrust, `{"Version":"2008-10-17","Statement":{` + trustUser + `"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity","sts:*"]}}`, ""},
		{KindTrust, `S {"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}`, ""},
		{KindTrust, `S {"Effect":"Allow","Principal":{"Service":["lambda.amazonaws.com","x.us-east-1.amazonaws.com"]},"Action":"sts:AssumeRole"}`, ""},
		{KindTrust, `S {"Effect":"Allow","Principal":{"AWS":["AROAEXAMPLEEXAMPLE123","arn:aws:sts::111122223333:assumed-role/a/b","arn:aws:iam::111122223333:root"]},"Action":"sts:AssumeRole"}`, ""},
		{KindTrust, `S {"Effect":"Allow","Principal":{"Federated":["arn:aws:iam::111122223333:saml-provider/x"]},"Action":"sts:AssumeRoleWithSAML"}`, ""},
		{KindTrust, `nope`, "This policy contains invalid Json"},
		{KindTrust, `{"Version":"2012-10-17"}`, "Could not parse the policy: Statement is empty!"},
		{KindTrust, `S []`, "Could not parse the policy: Statement is empty!"},
		{KindTrust, `S {` + trustUser + `"Action":"sts:AssumeRole","Resources":"*"}`, "Unknown field Resources"},
		{KindTrust, `S {` + trustUser + `"Action":"sts:AssumeRole","NotResource":"*"}`, "Has prohibited field NotResource"},
		{KindTrust, `S {"Principal":"*","Action":"sts:AssumeRole"}`, "Missing required field Effect"},
		{KindTrust, `S {"Effect":"Allow","Action":"sts:AssumeRole"}`, "Missing required field Principal"},
		{KindTrust, `S {` + trustUser + `"Condition":{}}`, "Missing required field Action"},
		{KindTrust, `S {"Effect":"Allow","Principal":"111122223333","Action":"sts:AssumeRole"}`, "Principal must be a JSON object."},
		{KindTrust, `S {` + trustUser + `"Action":"sts:GetCallerIdentity"}`, stsOnly},
		{KindTrust, `S {` + trustUser + `"Action":"s3:GetObject"}`, stsOnly},
		{KindTrust, `S {` + trustUser + `"Action":"*"}`, stsOnly},
		{KindTrust, `S [{"Sid":"a",` + trustUser + `"Action":"sts:AssumeRole"},{"Sid":"a",` + trustUser + `"Action":"sts:AssumeRole"}]`, "The Statement Ids in the policy are not unique"},
		{KindTrust, `S {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/*"},"Action":"sts:AssumeRole"}`, `Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:user/*"`},
		{KindTrust, `S {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:group/g"},"Action":"sts:AssumeRole"}`, `Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:group/g"`},
		{KindTrust, `S {"Effect":"Allow","Principal":{"Service":"nope"},"Action":"sts:AssumeRole"}`, `Invalid principal in policy: "SERVICE":"nope"`},
		{KindTrust, `S {"Effect":"Allow","Principal":{"Federated":"idp.example.com"},"Action":"sts:AssumeRoleWithWebIdentity"}`, `Invalid principal in policy: "FEDERATED":"idp.example.com"`},
		{KindTrust, `S {"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:amr":"x"}}}`, "A condition block must be present for the Cognito provider"},
		{KindTrust, `S {"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"x"}}}`, ""},
		{KindTrust, `S {` + github + `}`, githubRefused},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"*"}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":["repo:o/r:*","?*"]}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:*"}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"r*"}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"*:*"}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:*/site:ref:refs/heads/main"}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:?*"}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"${token.actions.githubusercontent.com:sub}"}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:${token.actions.githubusercontent.com:repository}:*"}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"*o/r:*"}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringEquals":{"token.actions.githubusercontent.com:sub":"${token.actions.githubusercontent.com:sub}"}}}`, githubRefused},
		{KindTrust, `S {` + github + `,"Condition":{"StringEquals":{"token.actions.githubusercontent.com:sub":""}}}`, githubRefused},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:repository":"*/site"}}}`, githubRefused + pattern},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":["repo:o/*","job_workflow_ref:o/r/.github/workflows/x.yml@*"]}}}`, ""},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:o*"}}}`, ""},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:repository":"o/*"}}}`, ""},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:o/r:ref:refs/heads/main"}}}`, ""},
		{KindTrust, `S {` + github + `,"Condition":{"StringEqualsIfExists":{"token.actions.githubusercontent.com:sub":"repo:o/r"}}}`, githubRefused},
		{KindTrust, `S {` + github + `,"Condition":{"ForAllValues:StringEquals":{"token.actions.githubusercontent.com:sub":"repo:o/r"}}}`, githubRefused},
		{KindTrust, `S {` + github + `,"Condition":{"StringNotLike":{"token.actions.githubusercontent.com:sub":"repo:o/r"}}}`, githubRefused},
		{KindTrust, `S {` + github + `,"Condition":{"StringLike":{"token.actions.githubusercontent.com:SUB":"repo:o/r:*"}}}`, ""},

		{KindBucket, `S {` + bucket + `"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`, ""},
		{KindBucket, `S {` + bucket + `"Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]}`, ""},
		{KindBucket, `S {"Effect":"Deny","NotPrincipal":{"AWS":"111122223333"},"Action":"s3:*","Resource":"arn:aws:s3:::b"}`, ""},
		{KindBucket, `S {"Effect":"Allow","NotPrincipal":{"AWS":"111122223333"},"Action":"s3:*","Resource":"arn:aws:s3:::b"}`, "Allow with NotPrincipal is not allowed."},
		{KindBucket, `[]`, "Policies must be valid JSON and the first byte must be '{'"},
		{KindBucket, `S {ok}`, "Missing required field Principal"},
		{KindBucket, `S {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/*"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`, "Invalid principal in policy"},
		{KindBucket, `S {` + bucket + `"Action":"s3:GetObject","Resource":"arn:aws:s3:::b"}`, "Action does not apply to any resource(s) in statement"},
		{KindBucket, `S {` + bucket + `"Action":"s3:ListBucket","Resource":"arn:aws:s3:::b/*"}`, "Action does not apply to any resource(s) in statement"},
		{KindBucket, `S {` + bucket + `"Action":"s3:GetObject","Resource":"arn:aws:s3:::c/*"}`, "Policy has invalid resource"},
		{KindBucket, `S {` + bucket + `"Action":"iam:GetUser","Resource":"arn:aws:s3:::b/*"}`, "Policy has invalid action"},
		{KindBucket, `S {` + bucket + `"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringEqual":{"aws:x":"1"}}}`, "Invalid Condition type : StringEqual"},
		{KindBucket, `S {` + bucket + `"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"NotIpAddress":{"aws:Sourcelp":"10.0.0.0/8"}}}`, "Policy has an invalid condition key"},
		{KindBucket, `S {` + bucket + `"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringLike":{"s3:ExistingObjectTag/a":"b","AWS:principaltag/team":"x","id.example.org/pool:sub":"y"}}}`, ""},
		{KindResource, `S {"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"sns:Publish","Resource":"arn:aws:sns:us-east-1:111122223333:t"}`, ""},
		{KindRCP, `S {` + bucket + `"Action":"*","Resource":"*"}`, ""},
	} {
		got := ""
		if err := (Rules{Bucket: "b"}).Validate(expand(c.document), c.kind); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("Validate(%s)\n got %q\nwant %q", expand(c.document), got, c.want)
		}
	}
}

func TestValidateSize(t *testing.T) {
	pad := func(n int) string {
		frame := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"a:b":"x"}}}}`
		return strings.Replace(frame, `"x"`, `"`+strings.Repeat("x", n-len(frame)+1)+`"`, 1)
	}
	if err := Validate(pad(2048)+strings.Repeat(" ", 500), KindTrust); err != nil {
		t.Errorf("white space counted: %v", err)
	}
	var large *TooLarge
	if err := Validate(pad(2049), KindTrust); !errors.As(err, &large) || large.Message != "Cannot exceed quota for ACLSizePerRole: 2048" {
		t.Errorf("2049 characters: %v", err)
	}
	if err := (Rules{TrustPolicySize: 4096}).Validate(pad(4096), KindTrust); err != nil {
		t.Errorf("raised quota: %v", err)
	}
	managed := expand(`S {"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::` + strings.Repeat("x", 6144) + `"}`)
	checkMessage(t, KindManaged, managed, "Cannot exceed quota for PolicySize: 6144")
}

func TestReplacePrincipals(t *testing.T) {
	const text = `{"Statement": [{"Effect":"Allow", "Principal": {"AWS": ["arn:aws:iam::111122223333:role/a", "*"], "Service":"x.amazonaws.com"}, "Action":"sts:AssumeRole"},
		{"Effect":"Deny","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::111122223333:role/a"}}]}`
	got, err := ReplacePrincipals(text, func(kind, value string) (string, error) {
		if kind == "AWS" && value != "*" {
			return "AROA1", nil
		}
		return value, nil
	})
	if want := strings.ReplaceAll(text, "arn:aws:iam::111122223333:role/a", "AROA1"); err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := ReplacePrincipals(text, func(kind, value string) (string, error) {
		return "", InvalidPrincipal(kind, value, 0)
	}); err == nil || err.Error() != `Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:role/a"` {
		t.Errorf("refusal: %v", err)
	}
}
