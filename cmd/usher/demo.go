package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	identitytypes "github.com/aws/aws-sdk-go-v2/service/cognitoidentity/types"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	idptypes "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/server"
)

// player plays the demo; the first error ends it.
type player struct {
	ctx context.Context
	out io.Writer
	cfg server.Config
	err error
	n   int
}

// step says what happens next, prints the AWS CLI command that does the same and does it.
func (p *player) step(what, command string, do func() (string, error)) {
	if p.err != nil {
		return
	}
	p.n++
	fmt.Fprintf(p.out, "\n%d. %s\n   $ aws %s\n", p.n, what, command)
	result, err := do()
	if err != nil {
		p.err = fmt.Errorf("step %d: %w", p.n, err)
		return
	}
	for line := range strings.Lines(result) {
		fmt.Fprintf(p.out, "   %s\n", strings.TrimRight(line, "\n"))
	}
}

func (p *player) config(provider aws.CredentialsProvider) aws.Config {
	return aws.Config{Region: p.cfg.Region, Credentials: provider, BaseEndpoint: aws.String(p.cfg.Endpoint())}
}

// demo plays the whole story: sign-up, tokens, temporary credentials of a role, and exactly the objects that the role allows.
func demo(ctx context.Context, cfg server.Config, out io.Writer) error {
	key, secret, err := cfg.ReadCredentials()
	if err != nil {
		return err
	}
	p := &player{ctx: ctx, out: out, cfg: cfg}
	admin := p.config(credentials.NewStaticCredentialsProvider(key, secret, ""))
	nobody := p.config(aws.AnonymousCredentials{})
	var (
		users, usersOpen       = cognitoidentityprovider.NewFromConfig(admin), cognitoidentityprovider.NewFromConfig(nobody)
		identities, identOpen  = cognitoidentity.NewFromConfig(admin), cognitoidentity.NewFromConfig(nobody)
		roles                  = iam.NewFromConfig(admin)
		pool, client, identity string
		identityPool, roleARN  string
		idToken, provider      string
		session                *identitytypes.Credentials
		tag                    = fmt.Sprint(time.Now().UnixMilli())
		bucket, roleName       = "demo-" + tag, "demo-" + tag
		password               = "Analytical-Engine-1843"
	)
	objects := func(c aws.Config) *s3.Client {
		return s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
	}

	p.step("A user pool: who may sign in.", "cognito-idp create-user-pool --pool-name demo --auto-verified-attributes email", func() (string, error) {
		res, err := users.CreateUserPool(ctx, &cognitoidentityprovider.CreateUserPoolInput{PoolName: aws.String("demo"),
			AutoVerifiedAttributes: []idptypes.VerifiedAttributeType{idptypes.VerifiedAttributeTypeEmail}})
		if err != nil {
			return "", err
		}
		pool = *res.UserPool.Id
		provider = "cognito-idp." + cfg.Region + ".amazonaws.com/" + pool
		return pool, nil
	})
	p.step("An app client of it.", "cognito-idp create-user-pool-client --user-pool-id "+pool+" --client-name app --explicit-auth-flows ALLOW_USER_PASSWORD_AUTH ALLOW_REFRESH_TOKEN_AUTH", func() (string, error) {
		res, err := users.CreateUserPoolClient(ctx, &cognitoidentityprovider.CreateUserPoolClientInput{UserPoolId: &pool, ClientName: aws.String("app"),
			ExplicitAuthFlows: []idptypes.ExplicitAuthFlowsType{idptypes.ExplicitAuthFlowsTypeAllowUserPasswordAuth, idptypes.ExplicitAuthFlowsTypeAllowRefreshTokenAuth}})
		if err != nil {
			return "", err
		}
		client = *res.UserPoolClient.ClientId
		return client, nil
	})
	p.step("Ada signs up; a code goes to her address.", "cognito-idp sign-up --client-id "+client+" --username ada --password "+password+" --user-attributes Name=email,Value=ada@example.org", func() (string, error) {
		res, err := usersOpen.SignUp(ctx, &cognitoidentityprovider.SignUpInput{ClientId: &client, Username: aws.String("ada"), Password: &password,
			UserAttributes: []idptypes.AttributeType{{Name: aws.String("email"), Value: aws.String("ada@example.org")}}})
		if err != nil {
			return "", err
		}
		if res.CodeDeliveryDetails == nil {
			return "", errors.New("no code was sent")
		}
		return "sent to " + *res.CodeDeliveryDetails.Destination, nil
	})
	code := ""
	if p.err == nil {
		code, p.err = newestCode(ctx, cfg, pool)
	}
	if code != "" {
		p.step("She confirms with the code (`usher inbox` shows it).", "cognito-idp confirm-sign-up --client-id "+client+" --username ada --confirmation-code "+code, func() (string, error) {
			_, err := usersOpen.ConfirmSignUp(ctx, &cognitoidentityprovider.ConfirmSignUpInput{ClientId: &client, Username: aws.String("ada"), ConfirmationCode: &code})
			return "confirmed", err
		})
	} else {
		p.step("The code went out by mail; the administrator confirms her instead.", "cognito-idp admin-confirm-sign-up --user-pool-id "+pool+" --username ada", func() (string, error) {
			_, err := users.AdminConfirmSignUp(ctx, &cognitoidentityprovider.AdminConfirmSignUpInput{UserPoolId: &pool, Username: aws.String("ada")})
			return "confirmed", err
		})
	}
	p.step("She signs in and gets JWTs.", "cognito-idp initiate-auth --client-id "+client+" --auth-flow USER_PASSWORD_AUTH --auth-parameters USERNAME=ada,PASSWORD="+password, func() (string, error) {
		res, err := usersOpen.InitiateAuth(ctx, &cognitoidentityprovider.InitiateAuthInput{ClientId: &client, AuthFlow: idptypes.AuthFlowTypeUserPasswordAuth,
			AuthParameters: map[string]string{"USERNAME": "ada", "PASSWORD": password}})
		if err != nil {
			return "", err
		}
		idToken = *res.AuthenticationResult.IdToken
		return "IdToken " + short(idToken), nil
	})
	p.step("An identity pool takes tokens of that user pool.", "cognito-identity create-identity-pool --identity-pool-name demo --no-allow-unauthenticated-identities --cognito-identity-providers ProviderName="+provider+",ClientId="+client, func() (string, error) {
		res, err := identities.CreateIdentityPool(ctx, &cognitoidentity.CreateIdentityPoolInput{IdentityPoolName: aws.String("demo"),
			CognitoIdentityProviders: []identitytypes.CognitoIdentityProvider{{ProviderName: &provider, ClientId: &client}}})
		if err != nil {
			return "", err
		}
		identityPool = *res.IdentityPoolId
		return identityPool, nil
	})
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"%s"},"ForAnyValue:StringLike":{"cognito-identity.amazonaws.com:amr":"authenticated"}}}]}`, identityPool)
	p.step("A role that trusts the identity pool.", "iam create-role --role-name "+roleName+" --assume-role-policy-document '"+trust+"'", func() (string, error) {
		res, err := roles.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &roleName, AssumeRolePolicyDocument: &trust})
		if err != nil {
			return "", err
		}
		roleARN = *res.Role.Arn
		return roleARN, nil
	})
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::%s/private/${cognito-identity.amazonaws.com:sub}/*"}]}`, bucket)
	p.step("It may read and write one's own prefix.", "iam put-role-policy --role-name "+roleName+" --policy-name own --policy-document '"+policy+"'", func() (string, error) {
		_, err := roles.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &roleName, PolicyName: aws.String("own"), PolicyDocument: &policy})
		return "ok", err
	})
	p.step("The pool gives that role to users.", "cognito-identity set-identity-pool-roles --identity-pool-id "+identityPool+" --roles authenticated="+roleARN, func() (string, error) {
		_, err := identities.SetIdentityPoolRoles(ctx, &cognitoidentity.SetIdentityPoolRolesInput{IdentityPoolId: &identityPool, Roles: map[string]string{"authenticated": roleARN}})
		return "ok", err
	})
	p.step("A bucket.", "s3 mb s3://"+bucket, func() (string, error) {
		_, err := objects(admin).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
		return bucket, err
	})
	logins := map[string]string{provider: idToken}
	p.step("Ada's identity.", "cognito-identity get-id --identity-pool-id "+identityPool+" --logins "+provider+"=$ID_TOKEN", func() (string, error) {
		res, err := identOpen.GetId(ctx, &cognitoidentity.GetIdInput{IdentityPoolId: &identityPool, Logins: logins})
		if err != nil {
			return "", err
		}
		identity = *res.IdentityId
		return identity, nil
	})
	p.step("Her token buys temporary credentials.", "cognito-identity get-credentials-for-identity --identity-id "+identity+" --logins "+provider+"=$ID_TOKEN", func() (string, error) {
		res, err := identOpen.GetCredentialsForIdentity(ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: &identity, Logins: logins})
		if err != nil {
			return "", err
		}
		session = res.Credentials
		return *session.AccessKeyId + ", until " + session.Expiration.Local().Format(time.TimeOnly), nil
	})
	if p.err != nil {
		return p.err
	}
	ada := p.config(credentials.NewStaticCredentialsProvider(*session.AccessKeyId, *session.SecretKey, *session.SessionToken))
	p.step("With them she is the role.", "sts get-caller-identity", func() (string, error) {
		res, err := sts.NewFromConfig(ada).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", err
		}
		return *res.Arn, nil
	})
	own := "private/" + identity + "/hello.txt"
	p.step("She writes beneath her own prefix …", "s3 cp hello.txt s3://"+bucket+"/"+own, func() (string, error) {
		_, err := objects(ada).PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &own, Body: strings.NewReader("hello\n")})
		return "stored", err
	})
	p.step("… and reads it back.", "s3 cp s3://"+bucket+"/"+own+" -", func() (string, error) {
		res, err := objects(ada).GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &own})
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return string(text), err
	})
	p.step("Elsewhere she is refused.", "s3 cp s3://"+bucket+"/private/somebody-else/secret.txt -", func() (string, error) {
		_, err := objects(ada).GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("private/somebody-else/secret.txt")})
		if err == nil {
			return "", errors.New("was not refused")
		}
		if !strings.Contains(err.Error(), "AccessDenied") {
			return "", err
		}
		return err.Error()[strings.Index(err.Error(), "AccessDenied"):], nil
	})
	if p.err == nil {
		fmt.Fprintln(out, "\nAll of it is still there: explore with the AWS CLI after  eval \"$(usher env)\"")
	}
	return p.err
}

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// newestCode returns the code of the newest message that pool sent, "" when a mail server took it.
func newestCode(ctx context.Context, cfg server.Config, pool string) (string, error) {
	kept, err := server.Control{Data: cfg.Data}.Inbox(ctx, 20)
	if err != nil {
		return "", err
	}
	for _, m := range kept {
		if m.PoolID == pool {
			return sixDigits.FindString(m.Body), nil
		}
	}
	return "", nil
}

func short(token string) string { return token[:min(len(token), 24)] + "…" }
