package awsapi_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"usher/internal/api/cognitoidentity"
	"usher/internal/api/cognitoidp"
	"usher/internal/api/cognitosync"
	"usher/internal/api/iam"
	"usher/internal/api/sns"
	"usher/internal/api/sts"
	"usher/internal/awsapi"
)

func TestSentinels(t *testing.T) {
	for _, c := range []struct {
		err    *awsapi.Error
		code   string
		status int
		fault  bool
	}{
		{cognitoidp.ErrUserNotFound, "UserNotFoundException", 400, false},
		{cognitoidp.ErrNotAuthorized, "NotAuthorizedException", 400, false},
		{cognitoidp.ErrInternalError, "InternalErrorException", 500, true},
		{cognitoidp.ErrInternalServer, "InternalServerException", 500, true},
		{cognitoidp.ErrRefreshTokenReuse, "RefreshTokenReuseException", 400, false}, // newer than the base of the model
		{cognitoidentity.ErrResourceConflict, "ResourceConflictException", 400, false},
		{cognitosync.ErrResourceConflict, "ResourceConflictException", 409, false},
		{cognitosync.ErrLambdaThrottled, "LambdaThrottledException", 429, false},
		{iam.ErrNoSuchEntity, "NoSuchEntity", 404, false},
		{iam.ErrServiceFailure, "ServiceFailure", 500, true},
		{iam.ErrOrganizationNotFound, "OrganizationNotFoundException", 400, false},
		{iam.ErrNameConflict, "NameConflict", 409, false},
		{sts.ErrIDPRejectedClaim, "IDPRejectedClaim", 403, false},
		{sts.ErrExpiredToken, "ExpiredTokenException", 400, false},
		{sns.ErrNotFound, "NotFound", 404, false},
	} {
		if c.err.Code != c.code || c.err.Status != c.status || c.err.Fault != c.fault {
			t.Errorf("%+v, want %s %d", c.err, c.code, c.status)
		}
	}
	cause := errors.New("cause")
	err := error(cognitoidp.ErrUserNotFound.Msg("User %s does not exist.", "x").With(cause))
	if !errors.Is(err, cognitoidp.ErrUserNotFound) || !errors.Is(err, cause) || errors.Is(err, cognitoidp.ErrNotAuthorized) {
		t.Error("errors.Is")
	}
	if got := err.Error(); got != "UserNotFoundException: User x does not exist.: cause" {
		t.Error(got)
	}
	if cognitoidp.ErrUserNotFound.Message != "" {
		t.Error("Msg changed the sentinel")
	}
	text := "100% of it"
	if got := cognitoidp.ErrUserNotFound.Msg("%s", text).Message; got != "100% of it" {
		t.Error(got)
	}
}

// TestPrimitives: what AWS holds in a primitive type is in answers even when unset; the rest is not.
func TestPrimitives(t *testing.T) {
	s := &awsapi.Server{Services: []*awsapi.Service{{Name: "cognito-idp", Protocol: cognitoidp.Protocol, Operations: []awsapi.Operation{
		awsapi.Op("InitiateAuth", "", awsapi.Open, func(context.Context, *cognitoidp.InitiateAuthRequest) (*cognitoidp.InitiateAuthResponse, error) {
			return &cognitoidp.InitiateAuthResponse{ChallengeParameters: map[string]string{}, AuthenticationResult: &cognitoidp.AuthenticationResultType{}}, nil
		}),
		awsapi.Op("SignUp", "", awsapi.Open, func(context.Context, *cognitoidp.SignUpRequest) (*cognitoidp.SignUpResponse, error) {
			return nil, nil
		}),
	}}}}
	for op, want := range map[string]string{
		"InitiateAuth": `{"ChallengeParameters":{},"AuthenticationResult":{"ExpiresIn":0}}`,
		"SignUp":       `{"UserConfirmed":false}`,
	} {
		if _, _, body := send(s, "POST", "/", jsonType, idp+op, "", `{"ClientId":"a","AuthFlow":"USER_AUTH","Username":"u"}`); body != want {
			t.Errorf("%s: %s, want %s", op, body, want)
		}
	}
}

// TestPolicyDocumentsAreEncoded: IAM answers documents percent-encoded (GetRole, AWS documentation).
func TestPolicyDocumentsAreEncoded(t *testing.T) {
	out := &iam.GetRoleResponse{Role: &iam.Role{RoleName: ptr("r"), AssumeRolePolicyDocument: ptr(`{"Version": "2012-10-17"}`)}}
	s := &awsapi.Server{Services: []*awsapi.Service{{Name: "iam", Protocol: iam.Protocol, Operations: []awsapi.Operation{
		awsapi.Op("GetRole", "", awsapi.Open, func(context.Context, *iam.GetRoleRequest) (*iam.GetRoleResponse, error) { return out, nil }),
	}}}}
	_, _, body := send(s, "POST", "/", formType, "", "", "Action=GetRole&RoleName=r"+iamForm)
	if want := "<AssumeRolePolicyDocument>%7B%22Version%22%3A%20%222012-10-17%22%7D</AssumeRolePolicyDocument>"; !strings.Contains(body, want) {
		t.Error(body)
	}
}

// FuzzInputs decodes and validates whatever comes, and prints every failure.
func FuzzInputs(f *testing.F) {
	f.Add(`{"PoolName":"p","Schema":[{"Name":"a","StringAttributeConstraints":{"MaxLength":"1"}}],"Policies":{"PasswordPolicy":{"MinimumLength":3}}}`)
	f.Add(`{"ClientId":"a","Username":"","UserAttributes":[{"Name":"x"},null],"ClientMetadata":{"a":"b"}}`)
	f.Add(`{"RoleMappings":{"p":{"RulesConfiguration":{"Rules":[{}]}}},"Roles":{"a":""}}`)
	f.Add(`RoleName=r&AssumeRolePolicyDocument=%7B%7D&Tags.member.1.Key=k&Tags.member.1.Value=v&MaxSessionDuration=1`)
	f.Fuzz(func(t *testing.T, s string) {
		var r awsapi.Request
		if r.JSON, _ = awsapi.NewJSONDecoder([]byte(s)); r.JSON != nil {
			for _, in := range []awsapi.Input{new(cognitoidp.CreateUserPoolRequest), new(cognitoidp.SignUpRequest), new(cognitoidentity.SetIdentityPoolRolesInput)} {
				r.JSON, _ = awsapi.NewJSONDecoder([]byte(s))
				in.Decode(&r)
				v := awsapi.NewValidator(cognitoidp.Protocol.Style)
				in.Validate(v)
				if err := v.Err(); err != nil && !strings.Contains(err.Error(), "validation error") {
					t.Error(err)
				}
			}
		}
		if r.Form, _ = awsapi.ParseForm(s); r.Form != nil {
			for _, in := range []awsapi.Input{new(iam.CreateRoleRequest), new(sts.AssumeRoleRequest)} {
				in.Decode(&r)
				v := awsapi.NewValidator(sts.Protocol.Style)
				in.Validate(v)
				_ = v.Err()
			}
		}
	})
}
