package sts

import (
	"context"
	"strings"
	"time"

	"usher/internal/access"
	"usher/internal/api/sts"
	"usher/internal/arn"
	"usher/internal/awsapi"
	"usher/internal/iam"
	"usher/internal/policy"
)

const (
	rootTasks       = "arn:aws:iam::aws:policy/root-task/"
	defaultRootTask = 900 // seconds
)

// enabledBy tells of each task which feature of the organization it needs.
var enabledBy = map[string]func(iam.RootFeatures) bool{
	rootTasks + "IAMAuditRootUserCredentials":  managesCredentials,
	rootTasks + "IAMCreateRootUserPassword":    managesCredentials,
	rootTasks + "IAMDeleteRootUserCredentials": managesCredentials,
	rootTasks + "S3UnlockBucketPolicy":         func(f iam.RootFeatures) bool { return f.Sessions != 0 },
	rootTasks + "SQSUnlockQueuePolicy":         func(f iam.RootFeatures) bool { return f.Sessions != 0 },
}

func managesCredentials(f iam.RootFeatures) bool { return f.Credentials != 0 }

// rootTarget is the account whose root user a call of AssumeRoot is for, by its id or the user's ARN.
func rootTarget(in *sts.AssumeRootRequest) (string, error) {
	account := *in.TargetPrincipal
	if a, err := arn.Parse(account); err == nil && a.Service == "iam" && a.Resource == "root" {
		account = a.AccountID
	}
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
		return "", errValidation.Msg("%s is invalid", *in.TargetPrincipal)
	}
	return account, nil
}

func rootARN(account string) string { return "arn:aws:iam::" + account + ":root" }

func assumeRootTargets(p *access.Principal, in *sts.AssumeRootRequest) ([]awsapi.Target, error) {
	account, err := rootTarget(in)
	if err != nil {
		return nil, err
	}
	if enabledBy[str(in.TaskPolicyArn.Arn)] == nil {
		return nil, errValidation.Msg("%s is not a task that AssumeRoot is for.", str(in.TaskPolicyArn.Arn))
	}
	keys := map[string][]string{"sts:TaskPolicyArn": {*in.TaskPolicyArn.Arn}, "aws:ResourceAccount": {account}}
	if source := sourceIdentity(p); source != "" {
		keys["sts:SourceIdentity"] = []string{source}
	}
	// Root users have no policy that could let another account in: the caller's own policies decide, and the organization.
	return []awsapi.Target{{Resource: rootARN(account), Keys: keys}}, nil
}

// AssumeRoot implements sts:AssumeRoot: a session as the root user of a member of the caller's organization, for one task.
func (s *Service) AssumeRoot(ctx context.Context, in *sts.AssumeRootRequest) (*sts.AssumeRootResponse, error) {
	p := access.PrincipalOf(ctx)
	if p == nil {
		return nil, awsapi.ErrMissingAuthentication
	}
	account, err := rootTarget(in)
	if err != nil {
		return nil, err
	}
	task := *in.TaskPolicyArn.Arn
	switch reason, err := s.refuseRoot(ctx, p.AccountID, account, task); {
	case err != nil:
		return nil, err
	case reason != "":
		r := policy.Request{Principal: p.Principal, Action: "sts:AssumeRoot", Resource: rootARN(account), ResourceAccount: account}
		s.Denials.Add(ctx, s.Now(), r, policy.Policies{Identity: p.Identity}, reason)
		return nil, errAccessDenied.Msg("User: %s is not authorized to perform: sts:AssumeRoot on resource: %s", p.ARN, r.Resource)
	}
	seconds := int32(defaultRootTask)
	if in.DurationSeconds != nil {
		seconds = *in.DurationSeconds
	}
	caller, _ := awsapi.CallerFrom(ctx)
	b := &bearer{kind: policy.Root, account: account, id: account, session: access.Session{
		AssumedRoot: true, SourceIdentity: sourceIdentity(p), PolicyARNs: []string{task}, ParentKey: caller.AccessKeyID,
	}}
	out, err := s.issue(ctx, b, time.Duration(seconds)*time.Second, in.MinimumSessionTokenSize)
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRootResponse{
		Credentials: out.wire(), SourceIdentity: optional(b.session.SourceIdentity), SessionTokenSize: out.size(), SessionTokenUtilization: out.utilization(),
	}, nil
}

// refuseRoot tells why an account may not act as the root user of another; empty if it may.
func (s *Service) refuseRoot(ctx context.Context, by, target, task string) (string, error) {
	own, err := s.IAM.Membership(ctx, by)
	if err != nil {
		return "", err
	}
	other, err := s.IAM.Membership(ctx, target)
	if err != nil {
		return "", err
	}
	switch {
	case own == nil:
		return "the caller's account is in no organization", nil
	case own.Management != by && !own.AdministersIAM:
		return "the caller's account is neither the management account of its organization nor a delegated administrator of IAM", nil
	case other == nil || other.Organization != own.Organization || other.Management == target:
		return "the target is not a member account of the caller's organization", nil
	case !own.TrustsIAM:
		return "trusted access of iam.amazonaws.com is not enabled in the organization", nil
	}
	f, err := s.IAM.RootFeatures(ctx, own.Organization)
	if err == nil && !enabledBy[task](f) {
		return "the organization has not enabled the feature of root access management that the task needs", nil
	}
	return "", err
}
