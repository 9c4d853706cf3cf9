package catalog

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// notActions are signed operations that the service authorization reference does
// not name, with the reason.
var notActions = map[string]string{
	"cognito-idp:AdminListUserSessions":                 "not in the reference yet, as of the version read",
	"cognito-idp:AdminRevokeUserSession":                "not in the reference yet, as of the version read",
	"cognito-idp:DescribeTermsByClient":                 "not in the reference yet, as of the version read",
	"cognito-idp:GetUserPoolClientSessionConfiguration": "not in the reference yet, as of the version read",
	"cognito-idp:GetUserPoolSessionConfiguration":       "not in the reference yet, as of the version read",
	"cognito-idp:SetUserPoolClientSessionConfiguration": "not in the reference yet, as of the version read",
	"cognito-idp:SetUserPoolSessionConfiguration":       "not in the reference yet, as of the version read",
	"iam:AcquireRole":                                   "not in the reference yet, as of the version read",
	"iam:UpdateDelegationRequest":                       "not in the reference yet, as of the version read",
	"sns:PublishBatch":                                  "covered by sns:Publish",
}

// TestOperations checks that each signed operation of the models, served or not, has an action.
func TestOperations(t *testing.T) {
	models, err := filepath.Glob("../../../models/*.model")
	if err != nil || len(models) == 0 {
		t.Fatalf("no models: %v", err)
	}
	operations := map[string]bool{}
	for _, model := range models {
		service := strings.TrimSuffix(filepath.Base(model), ".model")
		if !HasService(service) {
			t.Errorf("no service %s", service)
		}
		before := len(operations)
		for _, operation := range signedOperations(t, model) {
			operations[service+":"+operation] = true
		}
		if len(operations) == before {
			t.Errorf("no operations in %s", model)
		}
	}
	for name := range operations {
		if known := Known(name); known == (notActions[name] != "") {
			t.Errorf("%s: is an action %v, exception %q", name, known, notActions[name])
		}
	}
	for name := range notActions {
		if !operations[name] {
			t.Errorf("%s is not a signed operation", name)
		}
	}
}

func signedOperations(t *testing.T, model string) (signed []string) {
	for _, line := range lines(t, model) {
		head, _, _ := strings.Cut(line, "|")
		if f := strings.Fields(head); len(f) >= 2 && f[0] == "op" && !slices.Contains(f, "open") && !slices.Contains(f, "bearer") {
			signed = append(signed, f[1])
		}
	}
	return signed
}

func lines(t *testing.T, name string) []string {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func TestLookup(t *testing.T) {
	a, ok := Lookup("S3:putobject")
	if !ok || a.Name != "s3:PutObject" || a.Access != Write || !slices.Contains(a.Keys, "s3:x-amz-acl") {
		t.Fatalf("%+v", a)
	}
	if len(a.Resources) != 2 || a.Resources[1].Name != "object" || a.Resources[1].ARN != "arn:${Partition}:s3:::${BucketName}/${ObjectName}" {
		t.Errorf("resources %+v", a.Resources)
	}
	if a, _ := Lookup("cognito-idp:AdminGetUser"); len(a.Resources) != 1 || !a.Resources[0].Required || !slices.Contains(a.ConditionKeys(), "aws:ResourceTag/${TagKey}") {
		t.Errorf("%+v", a)
	}
	if a, _ := Lookup("sts:GetCallerIdentity"); len(a.Resources) != 0 {
		t.Errorf("%+v", a)
	}
	for _, name := range []string{"", "s3", "s3:", "s3:Nothing", "PutObject", "ec2:RunInstances"} {
		if Known(name) {
			t.Errorf("%q is known", name)
		}
	}
	if !HasService("DynamoDB") || HasService("ec2") {
		t.Error("services")
	}
}

func TestTypeOf(t *testing.T) {
	for _, c := range []struct {
		key   string
		want  KeyType
		multi bool
	}{
		{"aws:SourceIp", IPAddress, false},
		{"AWS:sourceip", IPAddress, false},
		{"aws:TagKeys", ArrayOfString, true},
		{"aws:PrincipalTag/team", String, false},
		{"aws:requesttag/A/B", String, false},
		{"aws:PrincipalTag/", "", false},
		{"aws:MultiFactorAuthPresent", Bool, false},
		{"aws:TokenIssueTime", Date, false},
		{"s3:ExistingObjectTag/Team", String, false},
		{"s3:max-keys", Numeric, false},
		{"dynamodb:LeadingKeys", ArrayOfString, true},
		{"sts:TransitiveTagKeys", ArrayOfString, true},
		{"cognito-identity.amazonaws.com:amr", ArrayOfString, true},
		{"cognito-identity.amazonaws.com:aud", String, false},
		{"iam:PolicyARN", ARN, false},
		{"token.actions.acme.ghe.com:actor", String, false},
		{"token.actions..ghe.com:nothing", "", false},
		{"a:none", "", false},
	} {
		got, ok := TypeOf(c.key)
		if got != c.want || ok != (c.want != "") || got.Multivalued() != c.multi {
			t.Errorf("%s: %q, %v", c.key, got, ok)
		}
	}
	for _, key := range GlobalKeys() {
		if _, ok := TypeOf(strings.ReplaceAll(key, "${TagKey}", "x")); !ok {
			t.Errorf("%s has no type", key)
		}
	}
}

// TestComplete checks the whole text: no value of a kind that the constants do not name, each key typed.
func TestComplete(t *testing.T) {
	types := []KeyType{String, ARN, Numeric, Date, Bool, IPAddress, ArrayOfString, ArrayOfARN}
	for key, keyType := range all().keys {
		if !slices.Contains(types, keyType) {
			t.Errorf("%s is %s", key, keyType)
		}
	}
	levels := []Access{List, Read, Write, Tagging, PermissionsManagement}
	for name, a := range all().actions {
		if !slices.Contains(levels, a.Access) {
			t.Errorf("%s is %s", name, a.Access)
		}
		for _, key := range a.ConditionKeys() {
			if _, ok := TypeOf(strings.NewReplacer("${", "", "}", "").Replace(key)); !ok {
				t.Errorf("%s has the key %s without type", name, key)
			}
		}
		for _, r := range a.Resources {
			if strings.Count(r.ARN, ":") < 5 {
				t.Errorf("%s is on %s", name, r.ARN)
			}
		}
	}
	if len(all().actions) < 600 {
		t.Errorf("only %d actions", len(all().actions))
	}
	for _, broken := range []string{"action", "on bucket", "type x", "key x", "service", "service s\naction A Read\non nothing"} {
		if _, err := parse(broken); err == nil {
			t.Errorf("%q is read", broken)
		}
	}
}
