package ushertest_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	idp "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"usher/internal/ushertest"
)

// TestProviderAuthorization has an IAM user call what concerns identity providers: without a permission, with one for the pool, and
// for another pool; nobody gets anywhere unsigned.
func TestProviderAuthorization(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		admin, nobody, ctx := ushertest.ClientsFor(s.Admin(t)), ushertest.ClientsFor(s.Nobody()), t.Context()
		var pools []*types.UserPoolType
		for _, name := range []string{"mine", "theirs"} {
			pool := must(admin.Users.CreateUserPool(ctx, &idp.CreateUserPoolInput{PoolName: &name}))(t).UserPool
			must(admin.Users.AdminCreateUser(ctx, &idp.AdminCreateUserInput{UserPoolId: pool.Id, Username: aws.String("ada"), MessageAction: "SUPPRESS"}))(t)
			pools = append(pools, pool)
		}
		must(admin.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice")}))(t)
		key := must(admin.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("alice")}))(t).AccessKey
		alice := ushertest.ClientsFor(s.As(*key.AccessKeyId, *key.SecretAccessKey, ""))

		google, subject := aws.String("Google"), &types.ProviderUserIdentifierType{ProviderName: aws.String("Google"), ProviderAttributeName: aws.String("Cognito_Subject"), ProviderAttributeValue: aws.String("1")}
		for _, op := range []struct {
			name string
			call func(ctx context.Context, c *idp.Client, pool *string) error
		}{
			{"CreateIdentityProvider", func(ctx context.Context, c *idp.Client, pool *string) error {
				_, err := c.CreateIdentityProvider(ctx, &idp.CreateIdentityProviderInput{UserPoolId: pool, ProviderName: google, ProviderType: "Google", IdpIdentifiers: []string{"g"},
					ProviderDetails: map[string]string{"client_id": "c", "client_secret": "s", "authorize_scopes": "openid"}})
				return err
			}},
			{"DescribeIdentityProvider", func(ctx context.Context, c *idp.Client, pool *string) error {
				_, err := c.DescribeIdentityProvider(ctx, &idp.DescribeIdentityProviderInput{UserPoolId: pool, ProviderName: google})
				return err
			}},
			{"GetIdentityProviderByIdentifier", func(ctx context.Context, c *idp.Client, pool *string) error {
				_, err := c.GetIdentityProviderByIdentifier(ctx, &idp.GetIdentityProviderByIdentifierInput{UserPoolId: pool, IdpIdentifier: aws.String("g")})
				return err
			}},
			{"UpdateIdentityProvider", func(ctx context.Context, c *idp.Client, pool *string) error {
				_, err := c.UpdateIdentityProvider(ctx, &idp.UpdateIdentityProviderInput{UserPoolId: pool, ProviderName: google})
				return err
			}},
			{"ListIdentityProviders", func(ctx context.Context, c *idp.Client, pool *string) error {
				_, err := c.ListIdentityProviders(ctx, &idp.ListIdentityProvidersInput{UserPoolId: pool})
				return err
			}},
			{"AdminLinkProviderForUser", func(ctx context.Context, c *idp.Client, pool *string) error {
				_, err := c.AdminLinkProviderForUser(ctx, &idp.AdminLinkProviderForUserInput{UserPoolId: pool, SourceUser: subject,
					DestinationUser: &types.ProviderUserIdentifierType{ProviderName: aws.String("Cognito"), ProviderAttributeValue: aws.String("ada")}})
				return err
			}},
			{"AdminDisableProviderForUser", func(ctx context.Context, c *idp.Client, pool *string) error {
				_, err := c.AdminDisableProviderForUser(ctx, &idp.AdminDisableProviderForUserInput{UserPoolId: pool, User: subject})
				return err
			}},
			{"GetSigningCertificate", func(ctx context.Context, c *idp.Client, pool *string) error {
				_, err := c.GetSigningCertificate(ctx, &idp.GetSigningCertificateInput{UserPoolId: pool})
				return err
			}},
			{"DeleteIdentityProvider", func(ctx context.Context, c *idp.Client, pool *string) error {
				_, err := c.DeleteIdentityProvider(ctx, &idp.DeleteIdentityProviderInput{UserPoolId: pool, ProviderName: google})
				return err
			}},
		} {
			allow := func(statement string) {
				must(admin.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("alice"), PolicyName: aws.String("p"), PolicyDocument: document(statement)}))(t)
			}
			denied := "is not authorized to perform: cognito-idp:" + op.name + " on resource: "
			allow(`{"Effect":"Allow","Action":"cognito-idp:ListUsers","Resource":"*"}`)
			refused(t, op.call(ctx, alice.Users, pools[0].Id), "AccessDeniedException", denied+*pools[0].Arn)
			refused(t, op.call(ctx, nobody.Users, pools[0].Id), "MissingAuthenticationTokenException", "")
			allow(`{"Effect":"Allow","Action":"cognito-idp:` + op.name + `","Resource":"` + *pools[0].Arn + `"}`)
			if err := op.call(ctx, alice.Users, pools[0].Id); err != nil {
				t.Errorf("%s: %v", op.name, err)
			}
			refused(t, op.call(ctx, alice.Users, pools[1].Id), "AccessDeniedException", denied+*pools[1].Arn)
		}
	})
}

// TestConfirmLinkRoute: the page of links is on the listener, and where S3 has no bucket of the name.
func TestConfirmLinkRoute(t *testing.T) {
	s := ushertest.New(t, "sqlite:"+t.TempDir()+"/usher.db")
	for path, status := range map[string]int{"/confirmUser?client_id=a&user_name=b&confirmation_code=c": 200, "/confirmUser": 400, "/confirmuser": 404} {
		res := must(http.Get(s.URL + path))(t)
		res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}
