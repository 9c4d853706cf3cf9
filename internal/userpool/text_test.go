package userpool

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
)

// TestOddText sends text that a database or a message cannot take: it is refused alike on both engines.
func TestOddText(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		ctx := t.Context()
		const nul = "a\x00b"
		_, err := app.create(t, "ann", "name", nul)
		wantError(t, "an attribute with NUL", err, "InvalidParameterException", "")
		_, err = ts.sdk.ListUsers(ctx, &cip.ListUsersInput{UserPoolId: &app.pool, Filter: aws.String(`name = "` + nul + `"`)})
		wantError(t, "a filter with NUL", err, "InvalidParameterException", "Error while parsing filter: the value contains a null character")
		_, err = app.password(t, nul, testPassword)
		wantError(t, "a name with NUL", err, "UserNotFoundException", "")
		_, err = ts.sdk.CreateGroup(ctx, &cip.CreateGroupInput{UserPoolId: &app.pool, GroupName: aws.String("g"), Description: aws.String(nul)})
		wantError(t, "a description with NUL", err, "InvalidParameterException", "")
		if _, err := ts.sdk.TagResource(ctx, &cip.TagResourceInput{ResourceArn: aws.String(poolARN(testAccount, app.pool)), Tags: map[string]string{"k": nul}}); err != nil {
			wantError(t, "a tag with NUL", err, "InvalidParameterException", "")
		}
		if _, err := ts.sdk.UpdateUserPool(ctx, &cip.UpdateUserPoolInput{UserPoolId: &app.pool, SmsConfiguration: &types.SmsConfigurationType{SnsCallerArn: aws.String("arn:aws:iam::123456789012:role/sms"), ExternalId: aws.String(nul)}}); err != nil {
			wantError(t, "a setting with NUL", err, "InvalidParameterException", "")
		}
		app.mustCreate(t, "bob", "name", "\xff\xfe", "nickname", "line\nbreak", "address", "\u2028🙂")
	})
}
