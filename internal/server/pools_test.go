package server_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
)

// TestPoolCommands runs what operators do to user pools against a real server.
func TestPoolCommands(t *testing.T) {
	ctx := t.Context()
	p := serve(t, t.TempDir(), freeAddress(t), "")
	sdk := idp.NewFromConfig(p.admin(t))
	created, err := sdk.CreateUserPool(ctx, &idp.CreateUserPoolInput{PoolName: aws.String("people"), AutoVerifiedAttributes: []types.VerifiedAttributeType{"email"},
		UserPoolTags: map[string]string{"usher:password-storage": "srp+argon2id"}})
	if err != nil {
		t.Fatal(err)
	}
	pool := *created.UserPool.Id
	_, err = sdk.AdminCreateUser(ctx, &idp.AdminCreateUserInput{UserPoolId: &pool, Username: aws.String("ada"), MessageAction: "SUPPRESS",
		UserAttributes: []types.AttributeType{{Name: aws.String("email"), Value: aws.String("ada@example.org")}, {Name: aws.String("email_verified"), Value: aws.String("true")}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sdk.AdminSetUserPassword(ctx, &idp.AdminSetUserPasswordInput{UserPoolId: &pool, Username: aws.String("ada"), Password: aws.String("Analytical-1843"), Permanent: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sdk.SetUserPoolMfaConfig(ctx, &idp.SetUserPoolMfaConfigInput{UserPoolId: &pool, MfaConfiguration: "OPTIONAL",
		SmsMfaConfiguration: &types.SmsMfaConfigType{SmsConfiguration: &types.SmsConfigurationType{SnsCallerArn: aws.String("arn:aws:iam::123456789012:role/sms")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := sdk.TagResource(ctx, &idp.TagResourceInput{ResourceArn: created.UserPool.Arn, Tags: map[string]string{"usher:recovery-codes": "true"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := sdk.AdminUpdateUserAttributes(ctx, &idp.AdminUpdateUserAttributesInput{UserPoolId: &pool, Username: aws.String("ada"),
		UserAttributes: []types.AttributeType{{Name: aws.String("phone_number"), Value: aws.String("+15550001234")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := sdk.AdminSetUserMFAPreference(ctx, &idp.AdminSetUserMFAPreferenceInput{UserPoolId: &pool, Username: aws.String("ada"),
		SMSMfaSettings: &types.SMSMfaSettingsType{Enabled: true, PreferredMfa: true}}); err != nil {
		t.Fatal(err)
	}
	if out := usher(t, p, "pool", "recovery-codes", pool, "ada"); !regexp.MustCompile(`^(([0-9a-z]{4}-){3}[0-9a-z]{4}\n){10}$`).MatchString(out) {
		t.Errorf("pool recovery-codes: %q", out)
	}
	if res, err := http.Post(p.endpoint+"/_usher/recovery-codes", "", nil); err != nil || res.StatusCode != 400 {
		t.Errorf("recovery codes without a token: %v %v", res, err)
	}

	if _, err := sdk.TagResource(ctx, &idp.TagResourceInput{ResourceArn: created.UserPool.Arn, Tags: map[string]string{"usher:unfrozen": "true"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"set", pool, "--case-sensitive=false", "--aliases", "email"}, "changed, and with it what is stored of 1 users\n"},
		{[]string{"attribute", pool, "email", "--required"}, "changed, and with it what is stored of 0 users\n"},
	} {
		if out := usher(t, p, append([]string{"pool"}, c.args...)...); out != c.want {
			t.Errorf("pool %v: %s", c.args, out)
		}
	}
	if changed, err := sdk.DescribeUserPool(ctx, &idp.DescribeUserPoolInput{UserPoolId: &pool}); err != nil || *changed.UserPool.UsernameConfiguration.CaseSensitive || len(changed.UserPool.AliasAttributes) != 1 {
		t.Errorf("%+v %v", changed, err)
	}

	file := filepath.Join(t.TempDir(), "users.csv")
	if out := usher(t, p, "pool", "export", pool, "--out", file); !strings.Contains(out, "1 users, 1 of them with the hash of a password; 0 left out\n") {
		t.Errorf("pool export: %s", out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	lines := strings.Split(readFile(t, file), "\n")
	if len(lines) != 3 || !strings.HasSuffix(lines[0], ",cognito:username,password_hash") || !strings.Contains(lines[1], `,ada,$argon2id$v=19$m=19456\,t=2\,p=1$`) || lines[2] != "" {
		t.Errorf("%q", lines)
	}
	if out := usher(t, p, "pool", "export", pool, "--out", "-"); !strings.HasPrefix(out, lines[0]+"\n"+lines[1]+"\n") {
		t.Errorf("pool export to standard output: %s", out)
	}
}
