package iam_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"usher/internal/access"
	apiiam "usher/internal/api/iam"
	"usher/internal/awsapi"
	"usher/internal/awsapi/awstest"
	"usher/internal/db"
	"usher/internal/db/dbtest"
	usheriam "usher/internal/iam"
	"usher/internal/seal"
	"usher/internal/sts"
)

// server is IAM behind its API.
type server struct {
	*usheriam.Service
	url   string
	admin *usheriam.KeyPair
	shift atomic.Int64 // of the clock
}

func (s *server) now() time.Time { return time.Now().Add(time.Duration(s.shift.Load())) }

func start(t *testing.T, open func(...db.Schema) *db.DB) *server {
	t.Helper()
	ring, err := seal.Parse(seal.Generate())
	if err != nil {
		t.Fatal(err)
	}
	d := open(db.Schema{Name: "iam", Files: usheriam.Schema}, db.Schema{Name: "sts", Files: sts.Schema})
	s := &server{}
	s.Service = usheriam.New(usheriam.Service{DB: d, Box: ring.Box("iam/access-key"), Now: s.now})
	tokens, err := sts.New(sts.Service{IAM: s.Service, DB: d, Keys: ring, Now: s.now})
	if err != nil {
		t.Fatal(err)
	}
	gate := access.New(access.Gate{Identities: tokens, DB: d, Now: s.now})
	web := httptest.NewServer(&awsapi.Server{
		Authenticator: gate, Authorizer: gate,
		Services: []*awsapi.Service{{Name: "iam", Protocol: apiiam.Protocol, Operations: apiiam.Operations(s), Targets: s.Targets}},
	})
	t.Cleanup(web.Close)
	s.url = web.URL
	if s.admin, err = s.Bootstrap(t.Context()); err != nil || s.admin == nil {
		t.Fatalf("Bootstrap: %v, %v", s.admin, err)
	}
	return s
}

func (s *server) client(id, secret string) *iam.Client {
	return iam.New(iam.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.url), RetryMaxAttempts: 1, HTTPClient: awstest.Client,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
	})
}

func each(t *testing.T, test func(t *testing.T, s *server, c *iam.Client)) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		s := start(t, open)
		test(t, s, s.client(s.admin.AccessKeyID, s.admin.SecretAccessKey))
	})
}

// must fails the test for an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// failure is an error as "Code: message".
func failure(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return fmt.Sprint(err)
}

const (
	allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	allowS3  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
	trustAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`
	adminARN = "arn:aws:iam::aws:policy/AdministratorAccess"
)

func TestBootstrapHappensOnce(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		if key, err := s.Bootstrap(t.Context()); key != nil || err != nil {
			t.Errorf("second Bootstrap = %v, %v", key, err)
		}
		u := must(c.GetUser(t.Context(), nil))(t).User
		if *u.UserName != "admin" || *u.Arn != "arn:aws:iam::"+s.admin.Account+":user/admin" {
			t.Errorf("the caller is %s", *u.Arn)
		}
		attached := must(c.ListAttachedUserPolicies(t.Context(), &iam.ListAttachedUserPoliciesInput{UserName: aws.String("admin")}))(t).AttachedPolicies
		if len(attached) != 1 || *attached[0].PolicyArn != adminARN {
			t.Errorf("attached: %v", attached)
		}
		if accounts := must(s.Accounts(t.Context()))(t); len(accounts) != 1 {
			t.Errorf("accounts: %v", accounts)
		}
	})
}

func TestUsers(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		u := must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("Alice"), Path: aws.String("/eng/"), Tags: []types.Tag{{Key: aws.String("Team"), Value: aws.String("x")}}}))(t).User
		if *u.Arn != "arn:aws:iam::"+s.admin.Account+":user/eng/Alice" || !strings.HasPrefix(*u.UserId, "AIDA") || len(u.Tags) != 1 {
			t.Errorf("created %+v", u)
		}
		got := must(c.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("aLICE")}))(t).User // any case
		if *got.UserId != *u.UserId || *got.UserName != "Alice" {
			t.Errorf("got %+v", got)
		}
		must(c.UpdateUser(ctx, &iam.UpdateUserInput{UserName: aws.String("alice"), NewUserName: aws.String("bob"), NewPath: aws.String("/")}))(t)
		got = must(c.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("bob")}))(t).User
		if *got.UserId != *u.UserId || *got.Path != "/" {
			t.Errorf("renamed to %+v", got)
		}

		key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("bob")}))(t).AccessKey
		own := s.client(*key.AccessKeyId, *key.SecretAccessKey)
		_, err := own.GetUser(ctx, nil)
		if want := "AccessDenied: User: " + *got.Arn + " is not authorized to perform: iam:GetUser on resource: " + *got.Arn + " because no identity-based policy allows the iam:GetUser action"; failure(err) != want {
			t.Errorf("without permission: %v\nwant %s", failure(err), want)
		}
		must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("bob"), PolicyName: aws.String("all"), PolicyDocument: aws.String(allowAll)}))(t)
		must(own.GetUser(ctx, nil))(t) // at once

		used := must(c.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key.AccessKeyId}))(t)
		if *used.UserName != "bob" || *used.AccessKeyLastUsed.ServiceName != "iam" || used.AccessKeyLastUsed.LastUsedDate == nil {
			t.Errorf("last used %+v", used.AccessKeyLastUsed)
		}
		if err := s.FlushUsed(ctx); err != nil {
			t.Fatal(err)
		}
		used = must(c.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key.AccessKeyId}))(t)
		if *used.AccessKeyLastUsed.ServiceName != "iam" || *used.AccessKeyLastUsed.Region != "us-east-1" {
			t.Errorf("last used, written: %+v", used.AccessKeyLastUsed)
		}

		must(c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: aws.String("bob"), AccessKeyId: key.AccessKeyId, Status: types.StatusTypeInactive}))(t)
		if _, err := own.GetUser(ctx, nil); failure(err) != "InvalidClientTokenId: The security token included in the request is invalid." {
			t.Errorf("with an inactive key: %v", failure(err))
		}
		must(c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: aws.String("bob"), AccessKeyId: key.AccessKeyId, Status: types.StatusTypeActive}))(t)
		must(own.GetUser(ctx, nil))(t)
		must(c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: aws.String("bob"), AccessKeyId: key.AccessKeyId}))(t)
		if _, err := own.GetUser(ctx, nil); failure(err) != "InvalidClientTokenId: The security token included in the request is invalid." {
			t.Errorf("with a deleted key: %v", failure(err))
		}
		must(c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String("bob"), PolicyName: aws.String("all")}))(t)
		must(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("bob")}))(t)
	})
}

func TestGroups(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		must(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("devs")}))(t)
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice")}))(t)
		key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("alice")}))(t).AccessKey
		own := s.client(*key.AccessKeyId, *key.SecretAccessKey)
		allowed := func() bool {
			_, err := own.ListUsers(ctx, nil)
			return err == nil
		}
		member := func(add bool) {
			if add {
				must(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: aws.String("devs"), UserName: aws.String("alice")}))(t)
			} else {
				must(c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: aws.String("devs"), UserName: aws.String("alice")}))(t)
			}
		}
		if allowed() {
			t.Error("allowed without a policy")
		}
		member(true)
		must(c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: aws.String("devs"), PolicyName: aws.String("p"), PolicyDocument: aws.String(allowAll)}))(t)
		if !allowed() {
			t.Error("the group's policy does not count")
		}
		member(false)
		if allowed() {
			t.Error("allowed after leaving the group")
		}
		member(true)
		if !allowed() {
			t.Error("not allowed after joining again")
		}
		must(c.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: aws.String("devs"), PolicyName: aws.String("p")}))(t)
		if allowed() {
			t.Error("allowed after the group lost its policy")
		}
		must(c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: aws.String("devs"), PolicyArn: aws.String(adminARN)}))(t)
		if !allowed() {
			t.Error("the group's attached policy does not count")
		}
		if _, err := c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: aws.String("devs")}); failure(err) != "DeleteConflict: Cannot delete entity, must remove users from group first." {
			t.Error(failure(err))
		}
		g := must(c.GetGroup(ctx, &iam.GetGroupInput{GroupName: aws.String("devs")}))(t)
		if len(g.Users) != 1 || *g.Users[0].UserName != "alice" {
			t.Errorf("members: %v", g.Users)
		}
		if l := must(c.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: aws.String("alice")}))(t).Groups; len(l) != 1 || *l[0].GroupName != "devs" {
			t.Errorf("groups: %v", l)
		}
	})
}

func TestRoles(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		u := must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice")}))(t).User
		trust := `{"Version":"2012-10-17", "Statement":[{"Effect":"Allow","Principal":{"AWS":["` + *u.Arn + `","` + s.admin.Account + `"]},"Action":"sts:AssumeRole",
			"Condition":{"ArnLike":{"aws:PrincipalArn":"` + *u.Arn + `"}}}]}`
		r := must(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("app"), AssumeRolePolicyDocument: aws.String(trust), Description: aws.String("d")}))(t).Role
		if r.MaxSessionDuration != nil || !strings.HasPrefix(*r.RoleId, "AROA") {
			t.Errorf("created %+v", r)
		}
		read := func() string {
			t.Helper()
			got := must(c.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("app")}))(t).Role
			if *got.MaxSessionDuration != 3600 || got.RoleLastUsed == nil || *got.Description != "d" {
				t.Errorf("got %+v", got)
			}
			text, err := url.PathUnescape(*got.AssumeRolePolicyDocument)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		if got := read(); got != trust {
			t.Errorf("trust policy\n%s, want\n%s", got, trust)
		}
		must(c.UpdateUser(ctx, &iam.UpdateUserInput{UserName: aws.String("alice"), NewPath: aws.String("/moved/")}))(t)
		moved := strings.Replace(trust, *u.Arn, strings.Replace(*u.Arn, "user/", "user/moved/", 1), 1)
		if got := read(); got != moved {
			t.Errorf("trust policy after the user moved\n%s, want\n%s", got, moved)
		}
		must(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("alice")}))(t)
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice")}))(t)
		gone := strings.Replace(trust, *u.Arn, *u.UserId, 1)
		if got := read(); got != gone {
			t.Errorf("trust policy after the user was deleted\n%s, want\n%s", got, gone)
		}
		list := must(c.ListRoles(ctx, &iam.ListRolesInput{PathPrefix: aws.String("/")}))(t).Roles
		if len(list) != 1 || *list[0].MaxSessionDuration != 3600 || list[0].RoleLastUsed != nil {
			t.Errorf("list %+v", list)
		}
		must(c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: aws.String("app"), MaxSessionDuration: aws.Int32(7200)}))(t)
		if got := must(c.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("app")}))(t).Role; *got.MaxSessionDuration != 7200 {
			t.Errorf("max session %d", *got.MaxSessionDuration)
		}
		if l := must(c.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: aws.String("app")}))(t).InstanceProfiles; len(l) != 0 {
			t.Errorf("instance profiles: %v", l)
		}
		must(c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: aws.String(adminARN)}))(t)
		if _, err := c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("app")}); failure(err) != "DeleteConflict: Cannot delete entity, must detach all policies first." {
			t.Error(failure(err))
		}
		must(c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: aws.String(adminARN)}))(t)
		must(c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("app")}))(t)
	})
}

func TestManagedPolicies(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		p := must(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("P"), PolicyDocument: aws.String(allowS3), Description: aws.String("d")}))(t).Policy
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice")}))(t)
		must(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("alice"), PolicyArn: p.Arn}))(t)
		key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("alice")}))(t).AccessKey
		own := s.client(*key.AccessKeyId, *key.SecretAccessKey)
		if _, err := own.ListUsers(ctx, nil); err == nil {
			t.Error("allowed by a policy for S3")
		}
		v := must(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: aws.String(allowAll), SetAsDefault: true}))(t).PolicyVersion
		if *v.VersionId != "v2" || !v.IsDefaultVersion {
			t.Errorf("version %+v", v)
		}
		must(own.ListUsers(ctx, nil))(t) // the new version counts at once
		for range 3 {
			must(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: aws.String(allowS3)}))(t)
		}
		if _, err := c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: aws.String(allowS3)}); !strings.HasPrefix(failure(err), "LimitExceeded: A managed policy can have up to 5 versions.") {
			t.Error(failure(err))
		}
		if _, err := c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: p.Arn, VersionId: aws.String("v2")}); failure(err) != "DeleteConflict: Cannot delete the default version of a policy." {
			t.Error(failure(err))
		}
		must(c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: p.Arn, VersionId: aws.String("v5")}))(t)
		if v := must(c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: p.Arn, PolicyDocument: aws.String(allowS3)}))(t); *v.PolicyVersion.VersionId != "v6" {
			t.Errorf("version number used again: %s", *v.PolicyVersion.VersionId)
		}
		must(c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: p.Arn, VersionId: aws.String("v1")}))(t)
		if _, err := own.ListUsers(ctx, nil); err == nil {
			t.Error("still allowed by a version that is not the default")
		}
		got := must(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: p.Arn}))(t).Policy
		if *got.DefaultVersionId != "v1" || *got.AttachmentCount != 1 || *got.Description != "d" || !got.IsAttachable {
			t.Errorf("policy %+v", got)
		}
		doc := must(c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: aws.String("v1")}))(t).PolicyVersion
		if text, _ := url.PathUnescape(*doc.Document); text != allowS3 {
			t.Errorf("document %s", text)
		}
		if _, err := c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: p.Arn}); failure(err) != "DeleteConflict: Cannot delete a policy attached to entities." {
			t.Error(failure(err))
		}
		e := must(c.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: p.Arn}))(t)
		if len(e.PolicyUsers) != 1 || *e.PolicyUsers[0].UserName != "alice" || len(e.PolicyRoles)+len(e.PolicyGroups) != 0 {
			t.Errorf("entities %+v", e)
		}

		if got := must(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String(adminARN)}))(t).Policy; *got.AttachmentCount != 1 {
			t.Errorf("AdministratorAccess is attached %d times", *got.AttachmentCount)
		}
		local := must(c.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal}))(t).Policies
		if len(local) != 1 || *local[0].PolicyName != "P" {
			t.Errorf("local policies %v", local)
		}
		attached := must(c.ListPolicies(ctx, &iam.ListPoliciesInput{OnlyAttached: true}))(t).Policies
		if len(attached) != 2 {
			t.Errorf("attached policies %v", attached)
		}
	})
}

// TestBoundary: a boundary grants nothing, limits at once, and a missing one denies.
func TestBoundary(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		p := must(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("edge"), PolicyDocument: aws.String(allowS3)}))(t).Policy
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice"), PermissionsBoundary: p.Arn}))(t)
		must(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("alice"), PolicyArn: aws.String(adminARN)}))(t)
		key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("alice")}))(t).AccessKey
		own := s.client(*key.AccessKeyId, *key.SecretAccessKey)
		if _, err := own.ListUsers(ctx, nil); !strings.HasSuffix(failure(err), "because no permissions boundary allows the iam:ListUsers action") {
			t.Error(failure(err))
		}
		u := must(c.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("alice")}))(t).User
		if *u.PermissionsBoundary.PermissionsBoundaryArn != *p.Arn {
			t.Errorf("boundary %+v", u.PermissionsBoundary)
		}
		if got := must(c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: p.Arn}))(t).Policy; *got.AttachmentCount != 0 || *got.PermissionsBoundaryUsageCount != 1 {
			t.Errorf("counts %d %d", *got.AttachmentCount, *got.PermissionsBoundaryUsageCount)
		}
		if _, err := c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: p.Arn}); failure(err) != "DeleteConflict: Cannot delete a policy attached to entities." {
			t.Error(failure(err))
		}
		must(c.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: aws.String("alice")}))(t)
		must(own.ListUsers(ctx, nil))(t)
		must(c.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: aws.String("alice"), PermissionsBoundary: p.Arn}))(t)
		if _, err := own.ListUsers(ctx, nil); err == nil {
			t.Error("allowed beyond the boundary")
		}
	})
}

func TestOIDCProviders(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		arn := must(c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://idp.example.com/realms/x"), ClientIDList: []string{"app1"}}))(t).OpenIDConnectProviderArn
		if *arn != "arn:aws:iam::"+s.admin.Account+":oidc-provider/idp.example.com/realms/x" {
			t.Errorf("ARN %s", *arn)
		}
		must(c.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("app2")}))(t)
		must(c.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("app2")}))(t)
		must(c.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("app1")}))(t)
		must(c.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{strings.Repeat("a", 40)}}))(t)
		got := must(c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))(t)
		if *got.Url != "idp.example.com/realms/x" || fmt.Sprint(got.ClientIDList) != "[app2]" || len(got.ThumbprintList) != 1 {
			t.Errorf("provider %+v", got)
		}
		if l := must(c.ListOpenIDConnectProviders(ctx, nil))(t).OpenIDConnectProviderList; len(l) != 1 || *l[0].Arn != *arn {
			t.Errorf("list %v", l)
		}
		must(c.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))(t)

		for _, bad := range []string{"http://idp.example.com", "http://127.0.0.1:8080/x", "https://idp.example.com:8443", "https://idp.example.com?x=1", "https://u@idp.example.com", "idp.example.com", "https://", "https://idp.example.com/*"} {
			if _, err := c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &bad}); failure(err) != "ValidationError: Invalid Open ID Connect Provider URL" {
				t.Errorf("%s: %v", bad, failure(err))
			}
		}
		if _, err := c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://cognito-identity.amazonaws.com")}); !strings.HasPrefix(failure(err), "InvalidInput") {
			t.Errorf("a built-in provider: %v", failure(err))
		}
	})
}

func TestLoopbackProvidersNeedTheOption(t *testing.T) {
	s := start(t, func(schemas ...db.Schema) *db.DB { return dbtest.Open(t, dbtest.SQLite(t), schemas...) })
	s.Service.AllowLoopbackHTTP = true
	c := s.client(s.admin.AccessKeyID, s.admin.SecretAccessKey)
	for url, ok := range map[string]bool{
		"http://127.0.0.1:8080/pool": true, "http://localhost:8080/pool": true, "http://[::1]:1/pool": true, "https://localhost:8443": true,
		"http://10.0.0.1/pool": false, "http://127.0.0.1.example.com/": false, "http://example.com": false, "ftp://localhost/": false,
	} {
		if _, err := c.CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: &url}); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestPages(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		want := []string{"admin"}
		for _, name := range []string{"Ann", "bea", "Cy", "dee"} {
			must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))(t)
			want = append(want, name)
		}
		var got []string
		pages := iam.NewListUsersPaginator(c, &iam.ListUsersInput{MaxItems: aws.Int32(2)})
		n := 0
		for ; pages.HasMorePages(); n++ {
			for _, u := range must(pages.NextPage(ctx))(t).Users {
				got = append(got, *u.UserName)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || n != 3 {
			t.Errorf("%v in %d pages, want %v", got, n, want)
		}
		if _, err := c.ListUsers(ctx, &iam.ListUsersInput{Marker: aws.String("!!")}); failure(err) != "ValidationError: Invalid Marker." {
			t.Error(failure(err))
		}
	})
}

// TestErrors: one line each, in AWS's words.
func TestErrors(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		a := "arn:aws:iam::" + s.admin.Account + ":"
		ctx := t.Context()
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice")}))(t)
		must(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("devs")}))(t)
		must(c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: aws.String("devs"), UserName: aws.String("alice")}))(t)
		must(c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("app"), AssumeRolePolicyDocument: aws.String(trustAll)}))(t)
		must(c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("in"), PolicyDocument: aws.String(allowS3)}))(t)
		must(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: aws.String(allowS3)}))(t)
		must(c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://idp.example.com")}))(t)
		tag := func(k string) types.Tag { return types.Tag{Key: aws.String(k), Value: aws.String("v")} }
		trust := func(principal string) *iam.CreateRoleInput {
			return &iam.CreateRoleInput{RoleName: aws.String("r2"), AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}}`)}
		}
		str := aws.String
		for _, c := range []struct {
			want string
			call func() (any, error)
		}{
			{"NoSuchEntity: The user with name nobody cannot be found.", func() (any, error) { return c.GetUser(ctx, &iam.GetUserInput{UserName: str("nobody")}) }},
			{"NoSuchEntity: The role with name nothing cannot be found.", func() (any, error) { return c.GetRole(ctx, &iam.GetRoleInput{RoleName: str("nothing")}) }},
			{"NoSuchEntity: The group with name none cannot be found.", func() (any, error) { return c.GetGroup(ctx, &iam.GetGroupInput{GroupName: str("none")}) }},
			{"EntityAlreadyExists: User with name ALICE already exists.", func() (any, error) { return c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("ALICE")}) }},
			{"EntityAlreadyExists: User with name admin already exists.", func() (any, error) {
				return c.UpdateUser(ctx, &iam.UpdateUserInput{UserName: str("alice"), NewUserName: str("admin")})
			}},
			{"EntityAlreadyExists: Role with name App already exists.", func() (any, error) {
				return c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: str("App"), AssumeRolePolicyDocument: str(trustAll)})
			}},
			{"EntityAlreadyExists: A policy called p already exists. Duplicate names are not allowed.", func() (any, error) {
				return c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: str("p"), PolicyDocument: str(allowS3)})
			}},
			{"EntityAlreadyExists: Provider with url https://idp.example.com already exists.", func() (any, error) {
				return c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: str("https://idp.example.com")})
			}},
			{"NoSuchEntity: Policy " + a + "policy/none was not found.", func() (any, error) {
				return c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: str(a + "policy/none")})
			}},
			{"NoSuchEntity: Policy " + a + "policy/none does not exist or is not attachable.", func() (any, error) {
				return c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: str("app"), PolicyArn: str(a + "policy/none")})
			}},
			{"NoSuchEntity: Policy arn:aws:iam::999999999999:policy/p does not exist or is not attachable.", func() (any, error) {
				return c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: str("app"), PolicyArn: str("arn:aws:iam::999999999999:policy/p")})
			}},
			{"ValidationError: Invalid ARN:  Could not be parsed!", func() (any, error) {
				return c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: str("app"), PolicyArn: str("not an ARN, however long")})
			}},
			{"ValidationError: Value (" + a + "role/application-x) for parameter PermissionsBoundary is invalid.", func() (any, error) {
				return c.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: str("app"), PermissionsBoundary: str(a + "role/application-x")})
			}},
			{"NoSuchEntity: OpenIDConnect Provider not found for arn " + a + "oidc-provider/x", func() (any, error) {
				return c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: str(a + "oidc-provider/x")})
			}},
			{"NoSuchEntity: The role policy with name none cannot be found.", func() (any, error) {
				return c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: str("app"), PolicyName: str("none")})
			}},
			{"DeleteConflict: Cannot delete entity, must delete policies first.", func() (any, error) { return c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: str("app")}) }},
			{"DeleteConflict: Cannot delete entity, must remove users from group first.", func() (any, error) { return c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: str("alice")}) }},
			{"DeleteConflict: Cannot delete entity, must delete access keys first.", func() (any, error) { return c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: str("admin")}) }},
			{"NoSuchEntity: The Access Key with id AKIAAAAAAAAAAAAAAAAA cannot be found.", func() (any, error) {
				return c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{AccessKeyId: str("AKIAAAAAAAAAAAAAAAAA")})
			}},
			{"MalformedPolicyDocument: This policy contains invalid Json", func() (any, error) {
				return c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: str("r2"), AssumeRolePolicyDocument: str("x")})
			}},
			{"MalformedPolicyDocument: Syntax errors in policy.", func() (any, error) {
				return c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: str("q"), PolicyDocument: str("{}")})
			}},
			{`MalformedPolicyDocument: Invalid principal in policy: "AWS":"` + a + `user/nobody"`, func() (any, error) { return c.CreateRole(ctx, trust(`{"AWS":"`+a+`user/nobody"}`)) }},
			{`MalformedPolicyDocument: Invalid principal in policy: "AWS":"` + a + `user/ALICE"`, func() (any, error) { return c.CreateRole(ctx, trust(`{"AWS":"`+a+`user/ALICE"}`)) }},
			{`MalformedPolicyDocument: Invalid principal in policy: "AWS":"999999999999"`, func() (any, error) { return c.CreateRole(ctx, trust(`{"AWS":"999999999999"}`)) }},
			{`MalformedPolicyDocument: Invalid principal in policy: "SERVICE":"lambda"`, func() (any, error) { return c.CreateRole(ctx, trust(`{"Service":"lambda"}`)) }},
			{`MalformedPolicyDocument: Invalid principal in policy: "FEDERATED":"evil.example.com"`, func() (any, error) {
				return c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: str("r2"), AssumeRolePolicyDocument: str(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"evil.example.com"},"Action":"sts:AssumeRoleWithWebIdentity"}}`)})
			}},
			{"InvalidInput: Duplicate tag keys found. Please note that Tag keys are case insensitive.", func() (any, error) {
				return c.TagUser(ctx, &iam.TagUserInput{UserName: str("alice"), Tags: []types.Tag{tag("a"), tag("A")}})
			}},
			{"InvalidInput: Tag keys that start with aws: are reserved for system use", func() (any, error) {
				return c.TagUser(ctx, &iam.TagUserInput{UserName: str("alice"), Tags: []types.Tag{tag("aws:x")}})
			}},
			{"InvalidInput: Thumbprint list must contain fewer than 5 entries.", func() (any, error) {
				return c.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: str(a + "oidc-provider/idp.example.com"), ThumbprintList: make6()})
			}},
			{"LimitExceeded: Maximum policy size of 2048 bytes exceeded for user alice", func() (any, error) {
				long := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:` + strings.Repeat("x", 2048) + `","Resource":"*"}}`
				return c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: str("alice"), PolicyName: str("x"), PolicyDocument: &long})
			}},
		} {
			if _, err := c.call(); failure(err) != c.want {
				t.Errorf("%s\nwant %s", failure(err), c.want)
			}
		}
	})
}

func make6() []string {
	var list []string
	for i := range 6 {
		list = append(list, fmt.Sprintf("%040d", i))
	}
	return list
}

func TestKeyQuota(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		must(c.CreateAccessKey(t.Context(), nil))(t)
		if _, err := c.CreateAccessKey(t.Context(), nil); failure(err) != "LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2" {
			t.Error(failure(err))
		}
		if l := must(c.ListAccessKeys(t.Context(), nil))(t).AccessKeyMetadata; len(l) != 2 || *l[0].UserName != "admin" {
			t.Errorf("keys %v", l)
		}
	})
}

// TestTagConditions: tags of the resource and of the request decide, and tagging needs its own permission.
func TestTagConditions(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("boss")}))(t)
		must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("boss"), PolicyName: aws.String("p"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":"iam:CreateUser","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"red"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}},
			{"Effect":"Allow","Action":"iam:TagUser","Resource":"arn:aws:iam::*:user/red-*"},
			{"Effect":"Allow","Action":"iam:DeleteUser","Resource":"*","Condition":{"StringEquals":{"iam:ResourceTag/team":"red"}}},
			{"Effect":"Allow","Action":"iam:AttachUserPolicy","Resource":"*","Condition":{"ArnEquals":{"iam:PolicyARN":"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}}}]}`)}))(t)
		key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("boss")}))(t).AccessKey
		boss := s.client(*key.AccessKeyId, *key.SecretAccessKey)
		create := func(name string, tags ...types.Tag) error {
			_, err := boss.CreateUser(ctx, &iam.CreateUserInput{UserName: &name, Tags: tags})
			return err
		}
		team := func(v string) types.Tag { return types.Tag{Key: aws.String("team"), Value: &v} }
		for _, c := range []struct {
			what string
			err  error
			ok   bool
		}{
			{"no tag", create("red-1"), false},
			{"another team", create("red-1", team("blue")), false},
			{"a further tag", create("red-1", team("red"), types.Tag{Key: aws.String("x"), Value: aws.String("y")}), false},
			{"tagging not allowed for this name", create("blue-1", team("red")), false},
			{"its team", create("red-1", team("red")), true},
		} {
			if (c.err == nil) != c.ok {
				t.Errorf("%s: %v", c.what, c.err)
			}
		}
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("other")}))(t)
		if _, err := boss.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("other")}); err == nil {
			t.Error("deleted a user without the tag")
		}
		if _, err := boss.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("red-1"), PolicyArn: aws.String(adminARN)}); err == nil {
			t.Error("attached another policy")
		}
		must(boss.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("red-1"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")}))(t)
		must(c.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: aws.String("red-1"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")}))(t)
		must(boss.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("red-1")}))(t)
	})
}

// TestRenamePermissions: who renames a user or group, or moves it, needs permission for what it was and for what it becomes.
func TestRenamePermissions(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		for _, name := range []string{"boss", "red-1"} {
			must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))(t)
		}
		must(c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: str("red-g")}))(t)
		must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: str("boss"), PolicyName: str("p"), PolicyDocument: str(`{"Version":"2012-10-17","Statement":{
			"Effect":"Allow","Action":["iam:UpdateUser","iam:UpdateGroup"],"Resource":["arn:aws:iam::*:user/red-*","arn:aws:iam::*:user/red/red-*","arn:aws:iam::*:group/red-*"]}}`)}))(t)
		key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: str("boss")}))(t).AccessKey
		boss := s.client(*key.AccessKeyId, *key.SecretAccessKey)
		user := func(name string, newName, newPath *string) error {
			_, err := boss.UpdateUser(ctx, &iam.UpdateUserInput{UserName: &name, NewUserName: newName, NewPath: newPath})
			return err
		}
		group := func(newName, newPath *string) error {
			_, err := boss.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: str("red-g"), NewGroupName: newName, NewPath: newPath})
			return err
		}
		for _, c := range []struct {
			what   string
			err    error
			denied string
		}{
			{"of another name", user("boss", str("red-2"), nil), "user/boss"},
			{"to another name", user("red-1", str("blue-1"), nil), "user/blue-1"},
			{"to another path", user("red-1", nil, str("/admins/")), "user/admins/red-1"},
			{"to both", user("red-1", str("red-2"), str("/admins/")), "user/admins/red-2"},
			{"to what is allowed", user("red-1", str("red-2"), str("/red/")), ""},
			{"out of the path", user("red-2", nil, str("/")), ""},
			{"a group to another name", group(str("blue-g"), nil), "group/blue-g"},
			{"a group to another path", group(nil, str("/admins/")), "group/admins/red-g"},
			{"a group to what is allowed", group(str("red-h"), nil), ""},
		} {
			if c.denied == "" && c.err != nil || c.denied != "" && !strings.Contains(failure(c.err), ":"+c.denied+" because no identity-based policy allows") {
				t.Errorf("%s: %v", c.what, c.err)
			}
		}
	})
}

// TestAccountsAreApart: an administrator sees and changes nothing of another account.
func TestAccountsAreApart(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		key := must(s.CreateAccount(ctx, "second"))(t)
		if _, err := s.CreateAccount(ctx, "SECOND"); !errors.Is(err, usheriam.ErrAccountExists) {
			t.Errorf("the same name again: %v", err)
		}
		other := s.client(key.AccessKeyID, key.SecretAccessKey)
		p := must(c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: aws.String(allowS3)}))(t).Policy
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("alice")}))(t)
		if _, err := other.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("alice")}); failure(err) != "NoSuchEntity: The user with name alice cannot be found." {
			t.Error(failure(err))
		}
		for what, err := range map[string]error{
			"get":    second(other.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: p.Arn})),
			"delete": second(other.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: p.Arn})),
			"attach": second(other.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("admin"), PolicyArn: p.Arn})),
		} {
			if err == nil {
				t.Errorf("%s of another account's policy succeeded", what)
			}
		}
		if l := must(other.ListUsers(ctx, nil))(t).Users; len(l) != 1 {
			t.Errorf("users of the second account: %v", l)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestRootKey: root is allowed everything in its account, and only with a key made on request.
func TestRootKey(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		if n := must(c.GetAccountSummary(ctx, nil))(t).SummaryMap["AccountAccessKeysPresent"]; n != 0 {
			t.Errorf("%d root keys", n)
		}
		key := must(s.RootKey(ctx, s.admin.Account))(t)
		root := s.client(key.AccessKeyID, key.SecretAccessKey)
		u := must(root.GetUser(ctx, nil))(t).User
		if *u.Arn != "arn:aws:iam::"+s.admin.Account+":root" || *u.UserId != s.admin.Account || u.UserName != nil {
			t.Errorf("root is %+v", u)
		}
		must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("x")}))(t)
		if n := must(c.GetAccountSummary(ctx, nil))(t).SummaryMap["AccountAccessKeysPresent"]; n != 1 {
			t.Errorf("%d root keys", n)
		}
	})
}

// TestNoStatements: what a request needs of IAM comes from memory.
func TestNoStatements(t *testing.T) {
	s := start(t, func(schemas ...db.Schema) *db.DB { return dbtest.Open(t, dbtest.SQLite(t), schemas...) })
	ctx := db.WithCounter(context.Background())
	look := func() {
		key := must(s.AccessKey(ctx, s.admin.AccessKeyID))(t)
		must(s.Principal(ctx, key.Owner))(t)
		for _, err := range []error{
			second(s.OIDCProvider(ctx, s.admin.Account, "https://idp.example.com")), second(s.AccessKey(ctx, "AKIAAAAAAAAAAAAAAAAA")),
		} {
			if !errors.Is(err, db.ErrNotFound) {
				t.Error(err)
			}
		}
	}
	look()
	before := db.Statements(ctx)
	look()
	if after := db.Statements(ctx); after != before {
		t.Errorf("statements: %+v, then %+v", before, after)
	}
}

// TestEmptyLists: lists that are empty are there all the same, since scripts index them without asking.
func TestEmptyLists(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		name := aws.String("empty")
		const allow = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
		must(c.CreateUser(t.Context(), &iam.CreateUserInput{UserName: name}))(t)
		must(c.CreateGroup(t.Context(), &iam.CreateGroupInput{GroupName: name}))(t)
		must(c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}`)}))(t)
		arn := must(c.CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: name, PolicyDocument: aws.String(allow)}))(t).Policy.Arn
		for _, out := range []any{
			must(c.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: name}))(t),
			must(c.ListUserPolicies(t.Context(), &iam.ListUserPoliciesInput{UserName: name}))(t),
			must(c.ListAttachedUserPolicies(t.Context(), &iam.ListAttachedUserPoliciesInput{UserName: name}))(t),
			must(c.ListGroupsForUser(t.Context(), &iam.ListGroupsForUserInput{UserName: name}))(t),
			must(c.ListMFADevices(t.Context(), &iam.ListMFADevicesInput{UserName: name}))(t),
			must(c.ListUserTags(t.Context(), &iam.ListUserTagsInput{UserName: name}))(t),
			must(c.GetGroup(t.Context(), &iam.GetGroupInput{GroupName: name}))(t),
			must(c.ListRolePolicies(t.Context(), &iam.ListRolePoliciesInput{RoleName: name}))(t),
			must(c.ListInstanceProfilesForRole(t.Context(), &iam.ListInstanceProfilesForRoleInput{RoleName: name}))(t),
			must(c.ListEntitiesForPolicy(t.Context(), &iam.ListEntitiesForPolicyInput{PolicyArn: arn}))(t),
			must(c.ListUsers(t.Context(), &iam.ListUsersInput{PathPrefix: aws.String("/none/")}))(t),
			must(c.ListSAMLProviders(t.Context(), nil))(t),
			must(c.GetAccountAuthorizationDetails(t.Context(), &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeRole}}))(t),
			must(c.GetAccountAuthorizationDetails(t.Context(), &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeUser, types.EntityTypeGroup}}))(t),
			must(c.SimulateCustomPolicy(t.Context(), &iam.SimulateCustomPolicyInput{PolicyInputList: []string{allow}, ActionNames: []string{"iam:ListUsers"}}))(t),
		} {
			wantLists(t, fmt.Sprintf("%T", out), reflect.ValueOf(out).Elem())
		}
	})
}

// wantLists looks for lists that were not in an answer. Tags of what is listed, and decisions on resources that were not named, AWS leaves out.
func wantLists(t *testing.T, path string, v reflect.Value) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if name == "EvalDecisionDetails" && f.IsNil() {
			t.Errorf("%s: no %s", path, name)
		}
		if f.Kind() != reflect.Slice || strings.Contains(path, "/") && (name == "Tags" || name == "ResourceSpecificResults") {
			continue
		}
		if f.IsNil() {
			t.Errorf("%s: no %s", path, name)
		}
		for j := range f.Len() {
			if f.Index(j).Kind() == reflect.Struct {
				wantLists(t, path+"/"+name, f.Index(j))
			}
		}
	}
}
