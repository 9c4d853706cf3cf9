package iam_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestAccountAuthorizationDetails(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		for i := range 3 {
			must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str(fmt.Sprint("u", i)), Tags: []types.Tag{{Key: str("k"), Value: str("v")}}}))(t)
			must(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: str(fmt.Sprint("g", i))}))(t)
			must(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: str(fmt.Sprint("r", i)), AssumeRolePolicyDocument: str(trustAll)}))(t)
			must(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: str(fmt.Sprint("p", i)), PolicyDocument: str(allowS3)}))(t)
		}
		own := str("arn:aws:iam::" + s.admin.Account + ":policy/p1")
		must(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: own, PolicyDocument: str(allowAll), SetAsDefault: true}))(t)
		must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: str("u1"), PolicyName: str("inline"), PolicyDocument: str(allowS3)}))(t)
		must(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{UserName: str("u1"), GroupName: str("g2")}))(t)
		must(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: str("u1"), PolicyArn: own}))(t)
		must(c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: str("g2"), PolicyArn: own}))(t)
		must(c.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: str("r1"), PermissionsBoundary: own}))(t)
		other := must(s.CreateAccount(ctx, "other"))(t)
		must(s.client(other.AccessKeyID, other.SecretAccessKey).CreateUser(ctx, &iam.CreateUserInput{UserName: str("x")}))(t)

		names := func(out *iam.GetAccountAuthorizationDetailsOutput) []string {
			var list []string
			for _, u := range out.UserDetailList {
				list = append(list, *u.UserName)
			}
			for _, g := range out.GroupDetailList {
				list = append(list, *g.GroupName)
			}
			for _, r := range out.RoleDetailList {
				list = append(list, *r.RoleName)
			}
			for _, p := range out.Policies {
				list = append(list, *p.PolicyName)
			}
			return list
		}
		all := strings.Fields("admin u0 u1 u2 g0 g1 g2 r0 r1 r2 p0 p1 p2 AdministratorAccess")
		for size := int32(1); size < 16; size += 2 {
			var got []string
			p := iam.NewGetAccountAuthorizationDetailsPaginator(c, &iam.GetAccountAuthorizationDetailsInput{MaxItems: &size})
			for p.HasMorePages() {
				out := must(p.NextPage(ctx))(t)
				if n := len(names(out)); n > int(size) {
					t.Errorf("%d on a page of %d", n, size)
				}
				got = append(got, names(out)...)
			}
			if !slices.Equal(got, all) {
				t.Errorf("pages of %d: %v", size, got)
			}
		}
		for filter, want := range map[types.EntityType]string{"User": "admin u0 u1 u2", "Group": "g0 g1 g2", "Role": "r0 r1 r2", "LocalManagedPolicy": "p0 p1 p2", "AWSManagedPolicy": "AdministratorAccess"} {
			if got := names(must(c.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{filter}}))(t)); strings.Join(got, " ") != want {
				t.Errorf("%s: %v", filter, got)
			}
		}

		out := must(c.GetAccountAuthorizationDetails(ctx, nil))(t)
		u := out.UserDetailList[2]
		text := must(url.PathUnescape(*u.UserPolicyList[0].PolicyDocument))(t)
		if text != allowS3 || *u.UserPolicyList[0].PolicyName != "inline" || !slices.Equal(u.GroupList, []string{"g2"}) || *u.AttachedManagedPolicies[0].PolicyName != "p1" || len(u.Tags) != 1 {
			t.Errorf("user %+v", u)
		}
		if g := out.GroupDetailList[2]; *g.AttachedManagedPolicies[0].PolicyArn != *own {
			t.Errorf("group %+v", g)
		}
		r := out.RoleDetailList[1]
		if text := must(url.PathUnescape(*r.AssumeRolePolicyDocument))(t); text != trustAll || *r.PermissionsBoundary.PermissionsBoundaryArn != *own || r.RoleLastUsed == nil {
			t.Errorf("role %+v", r)
		}
		p := out.Policies[1]
		if *p.AttachmentCount != 2 || *p.PermissionsBoundaryUsageCount != 1 || *p.DefaultVersionId != "v2" || len(p.PolicyVersionList) != 2 || *p.PolicyVersionList[0].VersionId != "v2" || !p.PolicyVersionList[0].IsDefaultVersion {
			t.Errorf("policy %+v", p)
		}
	})
}
