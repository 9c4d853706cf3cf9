package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestSimulateCustomPolicy(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		doc := func(statements string) string { return `{"Version":"2012-10-17","Statement":[` + statements + `]}` }
		allow := func(action string) string {
			return doc(`{"Effect":"Allow","Action":"` + action + `","Resource":"arn:aws:s3:::box/${aws:username}/*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}}`)
		}
		key := func(name string, kind types.ContextKeyTypeEnum, values ...string) types.ContextEntry {
			return types.ContextEntry{ContextKeyName: &name, ContextKeyType: kind, ContextKeyValues: values}
		}
		mine := []types.ContextEntry{key("aws:username", "string", "alice"), key("aws:PrincipalTag/team", "string", "red")}
		bob := "arn:aws:iam::222222222222:user/bob"
		bucket := func(principal string) *string {
			return aws.String(doc(`{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"}`))
		}
		for _, c := range []struct {
			what     string
			in       iam.SimulateCustomPolicyInput
			resource string
			want     string // decision, matched statements, missing keys, boundary, cross-account details
		}{
			{"everything there", iam.SimulateCustomPolicyInput{PolicyInputList: []string{allow("s3:*")}, ContextEntries: mine}, "arn:aws:s3:::box/alice/1",
				"allowed PolicyInputList.1@1:38-1:181 [] - map[]"},
			{"no keys", iam.SimulateCustomPolicyInput{PolicyInputList: []string{allow("s3:*")}}, "arn:aws:s3:::box/alice/1", "implicitDeny  [aws:username] - map[]"},
			{"one key", iam.SimulateCustomPolicyInput{PolicyInputList: []string{allow("s3:*")}, ContextEntries: mine[:1]}, "arn:aws:s3:::box/alice/1", "implicitDeny  [aws:PrincipalTag/team] - map[]"},
			{"all resources", iam.SimulateCustomPolicyInput{PolicyInputList: []string{doc(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`)}}, "*",
				"implicitDeny  [aws:SecureTransport] - map[]"},
			{"a deny among others", iam.SimulateCustomPolicyInput{PolicyInputList: []string{allowAll, doc(`{"Effect":"Allow","Action":"s3:*","Resource":"*"},` + "\n " + `{"Effect":"Deny","Action":"s3:Get*","Resource":"*"}`)}}, "arn:aws:s3:::box/1",
				"explicitDeny PolicyInputList.2@1:88-2:53 [] - map[]"},
			{"boundary", iam.SimulateCustomPolicyInput{PolicyInputList: []string{allowAll}, PermissionsBoundaryPolicyInputList: []string{doc(`{"Effect":"Allow","Action":"ec2:*","Resource":"*"}`)}}, "*", "implicitDeny  [] false map[]"},
			{"wide boundary", iam.SimulateCustomPolicyInput{PolicyInputList: []string{allowAll}, PermissionsBoundaryPolicyInputList: []string{allowS3}}, "*", "allowed PolicyInputList.1@1:38-1:84 [] true map[]"},
			{"an unknown key", iam.SimulateCustomPolicyInput{PolicyInputList: []string{doc(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:Sourcelp":"10.0.0.0/8"}}}`)}}, "*",
				"implicitDeny  [aws:Sourcelp] - map[Unknown condition key aws:Sourcelp:implicitDeny]"},
			{"an unknown key that the caller gives", iam.SimulateCustomPolicyInput{PolicyInputList: []string{doc(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"my:address":"10.0.0.0/8"}}}`)}, ContextEntries: []types.ContextEntry{key("my:address", "ip", "11.0.0.1")}}, "*",
				"allowed PolicyInputList.1@1:38-1:141 [] - map[]"},
			{"a list", iam.SimulateCustomPolicyInput{PolicyInputList: []string{doc(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"b"}}}`)}, ContextEntries: []types.ContextEntry{key("aws:TagKeys", "stringList", "a", "b")}}, "*",
				"allowed PolicyInputList.1@1:38-1:145 [] - map[]"},
			{"resource policy for the caller", iam.SimulateCustomPolicyInput{PolicyInputList: []string{doc(`{"Effect":"Allow","Action":"ec2:*","Resource":"*"}`)}, ResourcePolicy: bucket(bob), CallerArn: &bob}, "arn:aws:s3:::box/1",
				"allowed ResourcePolicy@1:38-1:169 [] - map[]"},
			{"resource policy of another account", iam.SimulateCustomPolicyInput{PolicyInputList: []string{doc(`{"Effect":"Allow","Action":"ec2:*","Resource":"*"}`)}, ResourcePolicy: bucket(bob), CallerArn: &bob, ResourceOwner: aws.String("arn:aws:iam::333333333333:root")}, "arn:aws:s3:::box/1",
				"implicitDeny  [] - map[IAM Policy:implicitDeny Resource Policy:allowed]"},
			{"both sides", iam.SimulateCustomPolicyInput{PolicyInputList: []string{allowS3}, ResourcePolicy: bucket(bob), CallerArn: &bob, ResourceOwner: aws.String("333333333333")}, "arn:aws:s3:::box/1",
				"allowed ResourcePolicy@1:38-1:169 PolicyInputList.1@1:38-1:87 [] - map[IAM Policy:allowed Resource Policy:allowed]"},
			{"organization", iam.SimulateCustomPolicyInput{PolicyInputList: []string{allowAll}, OrderedOrganizationPolicyInputList: []types.OrderedOrganizationPolicyType{{ServiceControlPolicyInputList: []string{doc(`{"Effect":"Allow","Action":"ec2:*","Resource":"*"}`)}}}}, "*",
				"implicitDeny  [] - map[] not by the organization"},
			{"organization, and another denies", iam.SimulateCustomPolicyInput{PolicyInputList: []string{doc(`{"Effect":"Deny","Action":"*","Resource":"*"}`)}, OrderedOrganizationPolicyInputList: []types.OrderedOrganizationPolicyType{{ServiceControlPolicyInputList: []string{doc(`{"Effect":"Allow","Action":"ec2:*","Resource":"*"}`)}}}}, "*",
				"explicitDeny PolicyInputList.1@1:38-1:83 [] - map[] not by the organization"},
		} {
			c.in.ActionNames = []string{"s3:GetObject"}
			if c.resource != "*" {
				c.in.ResourceArns = []string{c.resource}
			}
			out, err := s.client(s.admin.AccessKeyID, s.admin.SecretAccessKey).SimulateCustomPolicy(t.Context(), &c.in)
			if err != nil {
				t.Errorf("%s: %v", c.what, err)
				continue
			}
			r := out.EvaluationResults[0]
			missing := r.MissingContextValues
			if c.resource != "*" {
				missing = r.ResourceSpecificResults[0].MissingContextValues
				if len(r.MissingContextValues) != 0 || r.ResourceSpecificResults[0].EvalResourceDecision != r.EvalDecision {
					t.Errorf("%s: %+v", c.what, r)
				}
			}
			got := fmt.Sprint(r.EvalDecision, matched(r.MatchedStatements), " ", missing, " ", boundary(r.PermissionsBoundaryDecisionDetail), " ", details(r.EvalDecisionDetails))
			if !r.OrganizationsDecisionDetail.AllowedByOrganizations {
				got += " not by the organization"
			}
			if got != c.want || *r.EvalResourceName != c.resource || *r.EvalActionName != "s3:GetObject" {
				t.Errorf("%s:\n%s, want\n%s", c.what, got, c.want)
			}
		}

		for _, c := range []struct {
			in   iam.SimulateCustomPolicyInput
			want string
		}{
			{iam.SimulateCustomPolicyInput{PolicyInputList: []string{allowAll, "{}"}}, "InvalidInput: PolicyInputList.2: Syntax errors in policy."},
			{iam.SimulateCustomPolicyInput{PolicyInputList: []string{allowAll}, ResourcePolicy: bucket("*")}, "InvalidInput: CallerArn is required when ResourcePolicy is given and the policies are not those of a user."},
			{iam.SimulateCustomPolicyInput{PolicyInputList: []string{allowAll}, CallerArn: aws.String("arn:aws:sts::222222222222:assumed-role/r/s")}, "InvalidInput: CallerArn must be the ARN of an IAM user."},
			{iam.SimulateCustomPolicyInput{PolicyInputList: []string{allowAll}, Marker: aws.String("MTAwMA")}, "ValidationError: Invalid Marker."},
			{iam.SimulateCustomPolicyInput{PolicyInputList: []string{allowAll}, ActionNames: []string{"GetObject"}}, "InvalidInput: Invalid action name: GetObject"},
		} {
			if c.in.ActionNames == nil {
				c.in.ActionNames = []string{"s3:GetObject"}
			}
			if _, err := s.client(s.admin.AccessKeyID, s.admin.SecretAccessKey).SimulateCustomPolicy(t.Context(), &c.in); failure(err) != c.want {
				t.Errorf("%s\nwant %s", failure(err), c.want)
			}
		}
	})
}

// TestSimulateTogether: an action that needs several resources at once is allowed if it is on each.
func TestSimulateTogether(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		instance, image, group, network := "arn:aws:ec2:us-east-1:111122223333:instance/*", "arn:aws:ec2:us-east-1::image/ami-1", "arn:aws:ec2:us-east-1:111122223333:security-group/sg-1", "arn:aws:ec2:us-east-1:111122223333:network-interface/*"
		allow := func(resources string) string {
			return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:RunInstances","Resource":` + resources + `}}`
		}
		simulate := func(option, document string, resources ...string) string {
			out, err := c.SimulateCustomPolicy(t.Context(), &iam.SimulateCustomPolicyInput{PolicyInputList: []string{document}, ActionNames: []string{"ec2:RunInstances", "ec2:StopInstances"},
				ResourceArns: resources, ResourceHandlingOption: &option})
			if err != nil {
				return failure(err)
			}
			text := ""
			for _, r := range out.EvaluationResults {
				text += fmt.Sprint(*r.EvalActionName, " ", *r.EvalResourceName, " ", r.EvalDecision, ":")
				for _, x := range r.ResourceSpecificResults {
					text += " " + string(x.EvalResourceDecision)
				}
				text += "; "
			}
			return text
		}
		for _, c := range []struct{ got, want string }{
			{simulate("EC2-VPC-InstanceStore", allow(`"*"`), instance, image, group, network),
				"ec2:RunInstances * allowed: allowed allowed allowed allowed; ec2:StopInstances * implicitDeny: implicitDeny implicitDeny implicitDeny implicitDeny; "},
			{simulate("EC2-VPC-InstanceStore", allow(`["arn:aws:ec2:*:*:instance/*","arn:aws:ec2:*::image/*","arn:aws:ec2:*:*:network-interface/*"]`), instance, image, group, network),
				"ec2:RunInstances * implicitDeny: allowed allowed implicitDeny allowed; ec2:StopInstances * implicitDeny: implicitDeny implicitDeny implicitDeny implicitDeny; "},
			{simulate("EC2-VPC-InstanceStore", allow(`"*"`), instance, image, group), "InvalidInput: ResourceHandlingOption EC2-VPC-InstanceStore needs a resource of the type network-interface."},
			{simulate("EC2-VPC-EBS", allow(`"*"`), instance, image, group, network), "InvalidInput: ResourceHandlingOption EC2-VPC-EBS needs a resource of the type volume."},
			{simulate("EC2", allow(`"*"`), instance), "InvalidInput: Invalid ResourceHandlingOption: EC2"},
		} {
			if c.got != c.want {
				t.Errorf("%s\nwant %s", c.got, c.want)
			}
		}
	})
}

func matched(list []types.Statement) string {
	text := ""
	for _, m := range list {
		text += fmt.Sprintf(" %s@%d:%d-%d:%d", *m.SourcePolicyId, m.StartPosition.Line, m.StartPosition.Column, m.EndPosition.Line, m.EndPosition.Column)
	}
	if text == "" {
		text = " "
	}
	return text
}

func boundary(d *types.PermissionsBoundaryDecisionDetail) string {
	if d == nil {
		return "-"
	}
	return fmt.Sprint(d.AllowedByPermissionsBoundary)
}

func details(m map[string]types.PolicyEvaluationDecisionType) map[string]types.PolicyEvaluationDecisionType {
	if m == nil {
		m = map[string]types.PolicyEvaluationDecisionType{}
	}
	return m
}

// TestSimulatePrincipalPolicy: the same decisions as those about real requests, and where they come from.
func TestSimulatePrincipalPolicy(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		a := "arn:aws:iam::" + s.admin.Account + ":"
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("alice")}))(t)
		must(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: str("devs")}))(t)
		must(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: str("devs"), UserName: str("alice")}))(t)
		must(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: str("app"), AssumeRolePolicyDocument: str(trustAll)}))(t)
		doc := func(effect, action string) *string {
			return str("{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\n      \"Effect\": \"" + effect + "\",\n      \"Action\": \"" + action + "\",\n      \"Resource\": \"*\"\n    }\n  ]\n}")
		}
		must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: str("alice"), PolicyName: str("own"), PolicyDocument: doc("Allow", "iam:ListUsers")}))(t)
		must(c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: str("devs"), PolicyName: str("shared"), PolicyDocument: doc("Allow", "iam:ListRoles")}))(t)
		must(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: str("alice"), PolicyArn: str("arn:aws:iam::aws:policy/AmazonS3FullAccess")}))(t)
		must(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: str("app"), PolicyName: str("no"), PolicyDocument: doc("Deny", "s3:*")}))(t)
		must(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: str("app"), PolicyArn: str(adminARN)}))(t)

		simulate := func(in iam.SimulatePrincipalPolicyInput, source string, actions ...string) string {
			t.Helper()
			in.PolicySourceArn, in.ActionNames = str(a+source), actions
			out, err := c.SimulatePrincipalPolicy(ctx, &in)
			if err != nil {
				return failure(err)
			}
			var list []string
			for _, r := range out.EvaluationResults {
				list = append(list, fmt.Sprint(r.EvalDecision, strings.TrimRight(matched(r.MatchedStatements), " ")))
			}
			return strings.Join(list, ", ")
		}
		type in = iam.SimulatePrincipalPolicyInput
		exclude := func(x types.PolicyIdentifier) in { return in{PolicyExclusionList: []types.PolicyIdentifier{x}} }
		// AWS's positions begin after what stands before the statement.
		for _, c := range []struct{ what, got, want string }{
			{"inline", simulate(in{}, "user/alice", "iam:ListUsers"), "allowed user_alice_own@3:17-8:6"},
			{"of a group", simulate(in{}, "user/alice", "iam:ListRoles"), "allowed group_devs_shared@3:17-8:6"},
			{"managed", simulate(in{}, "user/alice", "s3:GetObject", "iam:GetUser"), "allowed AmazonS3FullAccess@1:41-1:119, implicitDeny"},
			{"group", simulate(in{}, "group/devs", "iam:ListRoles", "iam:ListUsers"), "allowed group_devs_shared@3:17-8:6, implicitDeny"},
			{"role", simulate(in{}, "role/app", "s3:GetObject"), "explicitDeny role_app_no@3:17-8:6"},
			{"added policy", simulate(in{PolicyInputList: []string{*doc("Deny", "iam:*")}}, "user/alice", "iam:ListUsers"), "explicitDeny PolicyInputList.1@3:17-8:6"},
			{"without a kind of policies", simulate(exclude(&types.PolicyIdentifierMemberPolicyType{Value: types.PolicyIdentifierPolicyTypeInline}), "role/app", "s3:GetObject"), "allowed AdministratorAccess@1:41-1:92"},
			{"without an attached policy", simulate(exclude(&types.PolicyIdentifierMemberPolicyArn{Value: adminARN}), "role/app", "iam:ListUsers"), "implicitDeny"},
			{"without an inline policy", simulate(exclude(&types.PolicyIdentifierMemberInlinePolicyIdentifier{Value: types.InlinePolicyIdentifierType{AttachmentName: str("devs"), AttachmentType: "group", PolicyName: str("shared")}}), "user/alice", "iam:ListRoles"), "implicitDeny"},
			{"nobody", simulate(in{}, "user/nobody", "iam:ListRoles"), "NoSuchEntity: The user with name nobody cannot be found."},
			{"a policy", simulate(in{}, "policy/p", "iam:ListRoles"), "InvalidInput: " + a + "policy/p is not the ARN of a user, group or role."},
			{"resource policy for a role", simulate(in{ResourcePolicy: str(trustAll)}, "role/app", "s3:GetObject"), "InvalidInput: CallerArn is required when ResourcePolicy is given and the policies are not those of a user."},
			{"resource policy for the user", simulate(in{ResourcePolicy: str(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + a + `user/alice"},"Action":"sqs:*","Resource":"*"}}`)}, "user/alice", "sqs:SendMessage"), "allowed ResourcePolicy@1:14-1:123"},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s\nwant %s", c.what, c.got, c.want)
			}
		}
		must(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: str("alice"), PermissionsBoundary: str("arn:aws:iam::aws:policy/AmazonS3FullAccess")}))(t)
		for _, c := range []struct{ what, got, want string }{
			{"boundary", simulate(in{}, "user/alice", "iam:ListUsers", "s3:GetObject"), "implicitDeny, allowed AmazonS3FullAccess@1:41-1:119"},
			{"another boundary", simulate(in{PermissionsBoundaryPolicyInputList: []string{allowAll}}, "user/alice", "iam:ListUsers"), "allowed user_alice_own@3:17-8:6"},
			{"without boundary", simulate(exclude(&types.PolicyIdentifierMemberPolicyType{Value: types.PolicyIdentifierPolicyTypePermissionBoundary}), "user/alice", "iam:ListUsers"), "allowed user_alice_own@3:17-8:6"},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s\nwant %s", c.what, c.got, c.want)
			}
		}

		// Pages.
		var actions, got []string
		for i := range 7 {
			actions = append(actions, fmt.Sprintf("s3:Get%d", i))
		}
		p := iam.NewSimulatePrincipalPolicyPaginator(c, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: str(a + "user/alice"), ActionNames: actions, ResourceArns: []string{"arn:aws:s3:::a", "arn:aws:s3:::b"}, MaxItems: aws.Int32(3)})
		for p.HasMorePages() {
			out := must(p.NextPage(ctx))(t)
			if len(out.EvaluationResults) > 3 {
				t.Errorf("%d on a page", len(out.EvaluationResults))
			}
			for _, r := range out.EvaluationResults {
				got = append(got, *r.EvalActionName+" "+*r.EvalResourceName)
			}
		}
		if len(got) != 14 || got[0] != "s3:Get0 arn:aws:s3:::a" || got[13] != "s3:Get6 arn:aws:s3:::b" || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 14 {
			t.Errorf("pages: %v", got)
		}
	})
}

func TestContextKeys(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::box/${aws:username}/*","Condition":{"StringLike":{"aws:UserAgent":"${aws:PrincipalTag/agent}*"},"Bool":{"AWS:Username":"true"}}}]}`
		want := []string{"aws:username", "aws:UserAgent", "aws:PrincipalTag/agent"}
		if got := must(c.GetContextKeysForCustomPolicy(ctx, &iam.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{text, text, allowAll}}))(t).ContextKeyNames; !slices.Equal(got, want) {
			t.Errorf("keys %v", got)
		}
		must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: str("admin"), PolicyName: str("p"), PolicyDocument: &text}))(t)
		got := must(c.GetContextKeysForPrincipalPolicy(ctx, &iam.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: str("arn:aws:iam::" + s.admin.Account + ":user/admin")}))(t).ContextKeyNames
		if !slices.Equal(got, want) {
			t.Errorf("keys %v", got)
		}
	})
}
