package sts

import (
	"context"
	"time"

	"usher/internal/access"
	"usher/internal/api/sts"
	"usher/internal/awsapi"
	"usher/internal/policy"
)

const (
	defaultUserDuration = 12 * time.Hour
	maxRootDuration     = time.Hour
)

// userDuration is how long a session of a user or of the root user lasts; the root user's is cut.
func userDuration(asked *int32, p *access.Principal) time.Duration {
	d := defaultUserDuration
	if asked != nil {
		d = time.Duration(*asked) * time.Second
	}
	if p.Kind == policy.Root {
		d = min(d, maxRootDuration)
	}
	return d
}

// GetSessionToken implements sts:GetSessionToken.
func (s *Service) GetSessionToken(ctx context.Context, in *sts.GetSessionTokenRequest) (*sts.GetSessionTokenResponse, error) {
	p := access.PrincipalOf(ctx)
	if p == nil {
		return nil, awsapi.ErrMissingAuthentication
	}
	mfa, err := s.checkMFA(ctx, p, in.SerialNumber, in.TokenCode)
	if err != nil {
		return nil, err
	}
	caller, _ := awsapi.CallerFrom(ctx)
	b := &bearer{kind: p.Kind, account: p.AccountID, id: p.ID, session: access.Session{ParentKey: caller.AccessKeyID}}
	if mfa {
		b.session.MFATime = s.Now()
	}
	out, err := s.issue(ctx, b, userDuration(in.DurationSeconds, p), in.MinimumSessionTokenSize)
	if err != nil {
		return nil, err
	}
	return &sts.GetSessionTokenResponse{Credentials: out.wire(), SessionTokenSize: out.size(), SessionTokenUtilization: out.utilization()}, nil
}

func federationTargets(p *access.Principal, in *sts.GetFederationTokenRequest) ([]awsapi.Target, error) {
	tags, err := sessionTags(in.Tags, nil, nil)
	if err != nil {
		return nil, err
	}
	keys := map[string][]string{}
	tagKeys(keys, tags)
	resource := federatedARN(p.AccountID, *in.Name)
	targets := []awsapi.Target{{Action: "sts:GetFederationToken", Resource: resource, Keys: keys}}
	if len(tags) > 0 {
		targets = append(targets, awsapi.Target{Action: tagFederatedUser, Resource: resource, Keys: keys})
	}
	return targets, nil
}

// tagFederatedUser is the permission to pass tags with GetFederationToken.
const tagFederatedUser = "sts:TagSession"

// GetFederationToken implements sts:GetFederationToken.
func (s *Service) GetFederationToken(ctx context.Context, in *sts.GetFederationTokenRequest) (*sts.GetFederationTokenResponse, error) {
	p := access.PrincipalOf(ctx)
	if p == nil {
		return nil, awsapi.ErrMissingAuthentication
	}
	tags, err := sessionTags(in.Tags, nil, nil)
	if err != nil {
		return nil, err
	}
	document, arns, err := s.checkSessionPolicies(ctx, p.AccountID, in.Policy, in.PolicyArns)
	if err != nil {
		return nil, err
	}
	caller, _ := awsapi.CallerFrom(ctx)
	b := &bearer{kind: policy.FederatedUser, account: p.AccountID, id: p.ID, session: access.Session{
		Name: *in.Name, Tags: tags, Policy: document, PolicyARNs: arns, ParentKey: caller.AccessKeyID,
	}}
	out, err := s.issue(ctx, b, userDuration(in.DurationSeconds, p), in.MinimumSessionTokenSize)
	if err != nil {
		return nil, err
	}
	return &sts.GetFederationTokenResponse{
		Credentials: out.wire(), PackedPolicySize: &out.packed,
		FederatedUser:    &sts.FederatedUser{FederatedUserId: new(p.AccountID + ":" + *in.Name), Arn: new(federatedARN(p.AccountID, *in.Name))},
		SessionTokenSize: out.size(), SessionTokenUtilization: out.utilization(),
	}, nil
}
