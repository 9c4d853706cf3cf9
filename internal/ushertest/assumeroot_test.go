package ushertest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"usher/internal/ushertest"
)

func (w *organization) assumeRoot(c ushertest.Clients, target, task string) (ushertest.Clients, error) {
	out, err := c.STS.AssumeRoot(w.t.Context(), &sts.AssumeRootInput{TargetPrincipal: &target, TaskPolicyArn: &ststypes.PolicyDescriptorType{Arn: aws.String("arn:aws:iam::aws:policy/root-task/" + task)}})
	if err != nil {
		return ushertest.Clients{}, err
	}
	return ushertest.ClientsFor(w.As(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)), nil
}

// TestAssumeRoot: the management account does single tasks as the root user of a member, once the organization has enabled it.
func TestAssumeRoot(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		w := newOrganization(t, s)
		ctx := t.Context()
		features := func(c ushertest.Clients) []iamtypes.FeatureType {
			t.Helper()
			return must(c.IAM.ListOrganizationsFeatures(ctx, nil))(t).EnabledFeatures
		}
		denied := func(c ushertest.Clients, target, task, why string) {
			t.Helper()
			_, err := w.assumeRoot(c, target, task)
			refused(t, err, "AccessDenied", "is not authorized to perform: sts:AssumeRoot on resource: arn:aws:iam::"+target+":root")
			if text := w.explained(err); !strings.Contains(text, why) {
				t.Errorf("explained as %s, want %s", text, why)
			}
		}

		// What must be enabled, by whom.
		_, err := w.a.IAM.EnableOrganizationsRootSessions(ctx, nil)
		refused(t, err, "ServiceAccessNotEnabledException", "iam.amazonaws.com")
		denied(w.a, w.member, "S3UnlockBucketPolicy", "trusted access of iam.amazonaws.com is not enabled")
		must(w.a.Orgs.EnableAWSServiceAccess(ctx, &organizations.EnableAWSServiceAccessInput{ServicePrincipal: aws.String("iam.amazonaws.com")}))(t)
		denied(w.a, w.member, "S3UnlockBucketPolicy", "has not enabled the feature")
		if list := features(w.a); len(list) != 0 {
			t.Errorf("features %v", list)
		}
		_, err = w.b.IAM.ListOrganizationsFeatures(ctx, nil)
		refused(t, err, "OrganizationNotFoundException", "")
		_, err = w.role.IAM.EnableOrganizationsRootSessions(ctx, nil)
		refused(t, err, "AccountNotManagementOrDelegatedAdministratorException", "")
		if out := must(w.a.IAM.EnableOrganizationsRootSessions(ctx, nil))(t); *out.OrganizationId != w.id || !slices.Equal(out.EnabledFeatures, []iamtypes.FeatureType{"RootSessions"}) {
			t.Errorf("%+v", out)
		}
		denied(w.a, w.member, "IAMAuditRootUserCredentials", "has not enabled the feature")
		must(w.a.IAM.EnableOrganizationsRootCredentialsManagement(ctx, nil))(t)
		if list := features(w.a); !slices.Equal(list, []iamtypes.FeatureType{"RootCredentialsManagement", "RootSessions"}) {
			t.Errorf("features %v", list)
		}

		// Who may not.
		denied(w.b, w.member, "S3UnlockBucketPolicy", "is in no organization")
		denied(w.role, w.idA, "S3UnlockBucketPolicy", "neither the management account")
		denied(w.a, w.idA, "S3UnlockBucketPolicy", "not a member account")
		denied(w.a, w.idB, "S3UnlockBucketPolicy", "not a member account")
		_, err = w.assumeRoot(w.alice, w.member, "S3UnlockBucketPolicy")
		refused(t, err, "AccessDenied", "because no identity-based policy allows the sts:AssumeRoot action")
		w.allow(`{"Effect":"Allow","Action":"sts:AssumeRoot","Resource":"arn:aws:iam::` + w.member + `:root","Condition":{"ArnEquals":{"sts:TaskPolicyArn":"arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"}}}`)
		must(w.assumeRoot(w.alice, w.member, "S3UnlockBucketPolicy"))(t)
		_, err = w.assumeRoot(w.alice, w.member, "IAMDeleteRootUserCredentials")
		refused(t, err, "AccessDenied", "")
		rootOfA := must(s.Server.RootKey(ctx, w.idA))(t)
		_, err = w.assumeRoot(ushertest.ClientsFor(w.As(rootOfA.AccessKeyID, rootOfA.SecretAccessKey, "")), w.member, "S3UnlockBucketPolicy")
		refused(t, err, "AccessDenied", "root user")
		_, err = w.assumeRoot(w.a, w.member, "AdministratorAccess")
		refused(t, err, "ValidationError", "")

		// A bucket that has locked everybody out.
		must(w.role.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("lab")}))(t)
		must(w.role.S3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String("lab"), Policy: document(`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::lab","arn:aws:s3:::lab/*"]}`)}))(t)
		_, err = w.role.S3.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: aws.String("lab")})
		refused(t, err, "AccessDenied", "with an explicit deny in a resource-based policy")
		unlock := must(w.assumeRoot(w.a, "arn:aws:iam::"+w.member+":root", "S3UnlockBucketPolicy"))(t)
		if who := must(unlock.STS.GetCallerIdentity(ctx, nil))(t); *who.Arn != "arn:aws:iam::"+w.member+":root" || *who.UserId != w.member {
			t.Errorf("%+v", who)
		}
		_, err = unlock.S3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("lab")})
		refused(t, err, "AccessDenied", "with an explicit deny in a ")
		_, err = unlock.IAM.ListAccessKeys(ctx, nil)
		refused(t, err, "AccessDenied", "with an explicit deny in a session policy")
		must(unlock.S3.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: aws.String("lab")}))(t)
		must(w.role.S3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("lab")}))(t)
		_, err = unlock.S3.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: aws.String("shared")})
		refused(t, err, "AccessDenied", "") // of another account

		// Credentials of the root user.
		key := must(s.Server.RootKey(ctx, w.member))(t)
		root := ushertest.ClientsFor(w.As(key.AccessKeyID, key.SecretAccessKey, ""))
		must(root.IAM.ListUsers(ctx, nil))(t)
		audit := must(w.assumeRoot(w.a, w.member, "IAMAuditRootUserCredentials"))(t)
		if list := must(audit.IAM.ListAccessKeys(ctx, nil))(t).AccessKeyMetadata; len(list) != 1 || *list[0].AccessKeyId != key.AccessKeyID {
			t.Errorf("%+v", list)
		}
		must(audit.IAM.GetUser(ctx, nil))(t)
		must(audit.IAM.GetAccountSummary(ctx, nil))(t)
		must(audit.IAM.ListMFADevices(ctx, nil))(t)
		must(audit.IAM.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &key.AccessKeyID}))(t)
		_, err = audit.IAM.GetLoginProfile(ctx, nil)
		refused(t, err, "NoSuchEntity", "")
		_, err = audit.IAM.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: aws.String("admin")})
		refused(t, err, "AccessDenied", "with an explicit deny in a session policy")
		_, err = audit.IAM.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{AccessKeyId: &key.AccessKeyID})
		refused(t, err, "AccessDenied", "with an explicit deny in a session policy")
		cleaner := must(w.assumeRoot(w.a, w.member, "IAMDeleteRootUserCredentials"))(t)
		_, err = cleaner.IAM.CreateAccessKey(ctx, nil)
		refused(t, err, "AccessDenied", "with an explicit deny in a session policy")
		must(cleaner.IAM.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{AccessKeyId: &key.AccessKeyID}))(t)
		_, err = root.IAM.ListUsers(ctx, nil)
		refused(t, err, "InvalidClientTokenId", "")
		recovery := must(w.assumeRoot(w.a, w.member, "IAMCreateRootUserPassword"))(t)
		_, err = recovery.IAM.CreateLoginProfile(ctx, nil)
		refused(t, err, "ValidationError", "usher root-key")

		// It goes no further.
		_, err = w.assumeRoot(audit, w.member, "IAMDeleteRootUserCredentials")
		refused(t, err, "InvalidClientTokenId", "")
		_, err = w.a.IAM.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("alice"), PolicyArn: aws.String("arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy")})
		refused(t, err, "PolicyNotAttachable", "")
		w.enable()
		w.attach(w.policy("NoAudit", `{"Effect":"Deny","Action":"iam:ListAccessKeys","Resource":"*","Condition":{"Bool":{"aws:AssumedRoot":"true"}}}`), w.member)
		_, err = audit.IAM.ListAccessKeys(ctx, nil)
		refused(t, err, "AccessDenied", "with an explicit deny in a service control policy")
		must(w.role.IAM.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: aws.String("admin")}))(t)

		// A delegated administrator may too, while it is one.
		delegate := w.account("security", "security@example.org")
		must(w.a.Orgs.RegisterDelegatedAdministrator(ctx, &organizations.RegisterDelegatedAdministratorInput{AccountId: &delegate, ServicePrincipal: aws.String("iam.amazonaws.com")}))(t)
		officer := w.assume(w.a, delegate)
		must(w.assumeRoot(officer, w.member, "IAMAuditRootUserCredentials"))(t)
		_, err = officer.IAM.EnableOrganizationsRootSessions(ctx, nil)
		refused(t, err, "CallerIsNotManagementAccountException", "")
		must(officer.IAM.DisableOrganizationsRootCredentialsManagement(ctx, nil))(t)
		denied(officer, w.member, "IAMAuditRootUserCredentials", "has not enabled the feature")
		must(w.a.Orgs.DeregisterDelegatedAdministrator(ctx, &organizations.DeregisterDelegatedAdministratorInput{AccountId: &delegate, ServicePrincipal: aws.String("iam.amazonaws.com")}))(t)
		denied(officer, w.member, "S3UnlockBucketPolicy", "neither the management account")

		must(w.a.Orgs.RemoveAccountFromOrganization(ctx, &organizations.RemoveAccountFromOrganizationInput{AccountId: &w.member}))(t)
		_, err = audit.IAM.GetUser(ctx, nil)
		refused(t, err, "InvalidClientTokenId", "")
	})
}
