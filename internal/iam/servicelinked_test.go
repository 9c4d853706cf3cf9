package iam_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestServiceLinkedRoles(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		service := "email.cognito-idp.amazonaws.com"
		r := must(c.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service, Description: str("d")}))(t).Role
		if want := "arn:aws:iam::" + s.admin.Account + ":role/aws-service-role/" + service + "/AWSServiceRoleForAmazonCognitoIdpEmailService"; *r.Arn != want {
			t.Errorf("role %s", *r.Arn)
		}
		got := must(c.GetRole(ctx, &iam.GetRoleInput{RoleName: r.RoleName}))(t).Role
		if trust := must(url.PathUnescape(*got.AssumeRolePolicyDocument))(t); *got.Description != "d" || !strings.Contains(trust, `"Service":["`+service+`"]`) {
			t.Errorf("role %+v with trust policy %s", got, trust)
		}
		for _, c := range []struct {
			want string
			call func() (any, error)
		}{
			{"InvalidInput: Service role name " + *r.RoleName + " has been taken in this account, please try a different suffix.", func() (any, error) {
				return c.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service})
			}},
			{"InvalidInput: Custom suffix is not allowed for " + service, func() (any, error) {
				return c.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service, CustomSuffix: str("x")})
			}},
			{"InvalidInput: Service-linked roles of x.amazonaws.com are not known here.", func() (any, error) {
				return c.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: str("x.amazonaws.com")})
			}},
			{"UnmodifiableEntity: Cannot perform the operation on the protected role '" + *r.RoleName + "' - this role is only modifiable by AWS", func() (any, error) {
				return c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: r.RoleName})
			}},
			{"ValidationError: The specified value for path is invalid. /aws-service-role/x/ is reserved for AWS.", func() (any, error) {
				return c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: str("mine"), Path: str("/aws-service-role/x/"), AssumeRolePolicyDocument: str(trustAll)})
			}},
			{"NoSuchEntity: The deletion task with id task/aws-service-role/x/y/z cannot be found.", func() (any, error) {
				return c.GetServiceLinkedRoleDeletionStatus(ctx, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: str("task/aws-service-role/x/y/z")})
			}},
		} {
			if _, err := c.call(); failure(err) != c.want {
				t.Errorf("%s\nwant %s", failure(err), c.want)
			}
		}
		must(c.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: str("autoscaling.amazonaws.com"), CustomSuffix: str("x")}))(t)
		must(c.GetRole(ctx, &iam.GetRoleInput{RoleName: str("AWSServiceRoleForAutoScaling_x")}))(t)

		// The managed policy for Cognito's administrators names these roles.
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("power")}))(t)
		must(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: str("power"), PolicyArn: str("arn:aws:iam::aws:policy/AmazonCognitoPowerUser")}))(t)
		key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: str("power")}))(t).AccessKey
		power := s.client(*key.AccessKeyId, *key.SecretAccessKey)
		if _, err := power.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: str("rds.amazonaws.com")}); !strings.HasPrefix(failure(err), "AccessDenied: ") {
			t.Error(failure(err))
		}
		must(power.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: str("cognito-idp.amazonaws.com")}))(t)
		if _, err := power.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: str("AWSServiceRoleForAutoScaling_x")}); !strings.HasPrefix(failure(err), "AccessDenied: ") {
			t.Error(failure(err))
		}
		task := must(power.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: r.RoleName}))(t).DeletionTaskId
		if !strings.HasPrefix(*task, "task/aws-service-role/"+service+"/"+*r.RoleName+"/") {
			t.Errorf("task %s", *task)
		}
		if out := must(power.GetServiceLinkedRoleDeletionStatus(ctx, &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task}))(t); out.Status != types.DeletionTaskStatusTypeSucceeded {
			t.Errorf("status %s", out.Status)
		}
		if _, err := c.GetRole(ctx, &iam.GetRoleInput{RoleName: r.RoleName}); !strings.HasPrefix(failure(err), "NoSuchEntity: ") {
			t.Error(failure(err))
		}
		must(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: str("mine"), AssumeRolePolicyDocument: str(trustAll)}))(t)
		if _, err := c.DeleteServiceLinkedRole(ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: str("mine")}); failure(err) != "NoSuchEntity: The role with name mine cannot be found." {
			t.Error(failure(err))
		}
	})
}
