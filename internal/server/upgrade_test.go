package server_test

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/pquerna/otp/totp"
)

// TestEarlierData opens a data folder that a server of November 2026 left, after `usher demo`, with a second account and
// with a user who has TOTP: everybody still signs in, and what was theirs still is.
func TestEarlierData(t *testing.T) {
	const from = "testdata/data-2026-11"
	data := t.TempDir()
	for _, name := range []string{"key", "credentials"} {
		if err := os.WriteFile(filepath.Join(data, name), []byte(readFile(t, filepath.Join(from, name))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packed, err := os.Open(filepath.Join(from, "usher.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	database, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "usher.db"), database, 0o600); err != nil {
		t.Fatal(err)
	}

	p := serve(t, data, freeAddress(t), "")
	ctx, admin := t.Context(), p.admin(t)
	users := idp.NewFromConfig(admin)
	pools, err := users.ListUserPools(ctx, &idp.ListUserPoolsInput{MaxResults: aws.Int32(10)})
	if err != nil || len(pools.UserPools) != 1 {
		t.Fatalf("user pools: %v %v", pools, err)
	}
	pool := *pools.UserPools[0].Id
	clients, err := users.ListUserPoolClients(ctx, &idp.ListUserPoolClientsInput{UserPoolId: &pool})
	if err != nil || len(clients.UserPoolClients) != 1 {
		t.Fatalf("clients: %v %v", clients, err)
	}
	client := clients.UserPoolClients[0].ClientId

	ada, err := users.InitiateAuth(ctx, &idp.InitiateAuthInput{ClientId: client, AuthFlow: "USER_PASSWORD_AUTH",
		AuthParameters: map[string]string{"USERNAME": "ada", "PASSWORD": "Analytical-Engine-1843"}})
	if err != nil {
		t.Fatalf("ada: %v", err)
	}
	groups, err := users.AdminListGroupsForUser(ctx, &idp.AdminListGroupsForUserInput{UserPoolId: &pool, Username: aws.String("ada")})
	if err != nil || len(groups.Groups) != 1 || *groups.Groups[0].GroupName != "admins" {
		t.Errorf("groups of ada: %v %v", groups, err)
	}

	challenge, err := users.InitiateAuth(ctx, &idp.InitiateAuthInput{ClientId: client, AuthFlow: "USER_PASSWORD_AUTH",
		AuthParameters: map[string]string{"USERNAME": "grace", "PASSWORD": "Nanosecond-30cm!"}})
	if err != nil || challenge.ChallengeName != "SOFTWARE_TOKEN_MFA" {
		t.Fatalf("grace: %v %v", challenge, err)
	}
	code, err := totp.GenerateCode("IXKF57CQJSJNCDTLR455IBW26XRDDXAEHGRBHYLOFAJGWJ4JSNZA", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := users.RespondToAuthChallenge(ctx, &idp.RespondToAuthChallengeInput{ClientId: client, ChallengeName: "SOFTWARE_TOKEN_MFA", Session: challenge.Session,
		ChallengeResponses: map[string]string{"USERNAME": "grace", "SOFTWARE_TOKEN_MFA_CODE": code}}); err != nil {
		t.Errorf("grace's code: %v", err)
	}

	identities := cognitoidentity.NewFromConfig(admin)
	identityPools, err := identities.ListIdentityPools(ctx, &cognitoidentity.ListIdentityPoolsInput{MaxResults: aws.Int32(10)})
	if err != nil || len(identityPools.IdentityPools) != 1 {
		t.Fatalf("identity pools: %v %v", identityPools, err)
	}
	logins := map[string]string{"cognito-idp.us-east-1.amazonaws.com/" + pool: *ada.AuthenticationResult.IdToken}
	identity, err := identities.GetId(ctx, &cognitoidentity.GetIdInput{IdentityPoolId: identityPools.IdentityPools[0].IdentityPoolId, Logins: logins})
	if err != nil || *identity.IdentityId != "us-east-1:01a1fe15-a315-7539-f214-b0011d9a7ce3" {
		t.Fatalf("ada's identity is another one: %v %v", identity, err)
	}
	vended, err := identities.GetCredentialsForIdentity(ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: identity.IdentityId, Logins: logins})
	if err != nil {
		t.Fatal(err)
	}
	as := admin
	as.Credentials = aws.CredentialsProviderFunc(func(_ context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: *vended.Credentials.AccessKeyId, SecretAccessKey: *vended.Credentials.SecretKey, SessionToken: *vended.Credentials.SessionToken}, nil
	})
	if _, err := sts.NewFromConfig(as).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err != nil {
		t.Errorf("with ada's credentials: %v", err)
	}
	if roles, err := iam.NewFromConfig(admin).ListRoles(ctx, &iam.ListRolesInput{}); err != nil || len(roles.Roles) == 0 {
		t.Errorf("roles: %v %v", roles, err)
	}
	if out := usher(t, p, "account", "list"); !strings.Contains(out, "916489178602") {
		t.Errorf("accounts: %s", out)
	}
}
