package ushertest_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"usher/internal/db/dbtest"
	"usher/internal/seal"
	"usher/internal/server"
	"usher/internal/ushertest"
)

// TestExplainOnAnotherNode: a denial that one node answered is explained by any.
func TestExplainOnAnotherNode(t *testing.T) {
	url, key := dbtest.Postgres(t), seal.Generate()
	one := ushertest.Start(t, server.Config{Database: url, Key: key, Data: t.TempDir()})
	two := ushertest.Start(t, server.Config{Database: url, Key: key, Data: t.TempDir()})
	admin := ushertest.ClientsFor(one.Admin(t))
	must(admin.IAM.CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("alice")}))(t)
	must(admin.IAM.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: aws.String("alice"), PolicyName: aws.String("p"), PolicyDocument: document(
		`{"Sid":"Lab","Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{"StringEquals":{"aws:UserAgent":"lab"},"StringNotEquals":{"aws:Sourcelp":"10.0.0.1"}}}`)}))(t)
	k := must(admin.IAM.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("alice")}))(t).AccessKey
	for _, answers := range []*ushertest.Server{one, two} {
		_, err := ushertest.ClientsFor(answers.As(*k.AccessKeyId, *k.SecretAccessKey, "")).IAM.ListUsers(t.Context(), nil)
		var res *awshttp.ResponseError
		if !errors.As(err, &res) || !strings.Contains(err.Error(), "AccessDenied") {
			t.Fatal(err)
		}
		for _, asked := range []*ushertest.Server{one, two, two, one} {
			why := must(asked.Server.Explain(t.Context(), res.RequestID))(t)
			if len(why) != 1 || !strings.HasSuffix(why[0].Caller, ":user/alice") || why[0].Action != "iam:ListUsers" || time.Since(why[0].At) > time.Minute ||
				!strings.Contains(why[0].Text, "Allow Lab in identity-based policy p") || !strings.Contains(why[0].Text, `StringEquals aws:UserAgent ["lab"] not met`) ||
				!strings.Contains(why[0].Text, "no such condition key is known: aws:Sourcelp") {
				t.Errorf("explained as %+v", why)
			}
		}
	}
	for _, id := range []string{"never", "", "x' OR ''='", strings.Repeat("x", 200)} {
		if why := must(two.Server.Explain(t.Context(), id))(t); len(why) != 0 {
			t.Errorf("%q: %+v", id, why)
		}
	}
}
