package ushertest_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"

	"usher/internal/db/dbtest"
	"usher/internal/ushertest"
)

// TestPassRoleToUserPools: who may make groups cannot give them a role that he may not pass.
func TestPassRoleToUserPools(t *testing.T) {
	w := newAccounts(t, ushertest.New(t, dbtest.SQLite(t)))
	pool := must(w.a.Users.CreateUserPool(t.Context(), &cognitoidentityprovider.CreateUserPoolInput{PoolName: aws.String("p")}))(t).UserPool.Id
	role := aws.String("arn:aws:iam::" + w.idA + ":role/powerful")
	create := func(name string, role *string) error {
		_, err := w.alice.Users.CreateGroup(t.Context(), &cognitoidentityprovider.CreateGroupInput{UserPoolId: pool, GroupName: &name, RoleArn: role})
		return err
	}
	const groups = `{"Effect":"Allow","Action":"cognito-idp:CreateGroup","Resource":"*"}`
	pass := func(to, service string) string {
		return groups + `,{"Effect":"Allow","Action":"iam:PassRole","Resource":"` + to + `","Condition":{"StringEquals":{"iam:PassedToService":"` + service + `"}}}`
	}
	for i, c := range []struct {
		statements string
		role       *string
		allowed    bool
	}{
		{groups, nil, true},
		{groups, role, false},
		{pass("arn:aws:iam::*:role/weak", "cognito-idp.amazonaws.com"), role, false},
		{pass("*", "lambda.amazonaws.com"), role, false},
		{pass(*role, "cognito-idp.amazonaws.com"), role, true},
	} {
		w.allow(c.statements)
		err := create(string(rune('a'+i)), c.role)
		if c.allowed != (err == nil) || err != nil && !strings.Contains(err.Error(), "is not authorized to perform: iam:PassRole on resource: "+*role) {
			t.Errorf("%s: %v", c.statements, err)
		}
	}
}
