package sts

import (
	"context"
	"errors"
	"time"

	"usher/internal/access"
	"usher/internal/api/sts"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/policy"
)

// GetDelegatedAccessToken implements sts:GetDelegatedAccessToken: an account that was sent the token of its delegation request
// gets credentials that may do what the request says, as far as who accepted it may. Those of a user are a federated user's, and
// those of a role session another session of the role, so that no policy that names him or his session lifts the limit.
func (s *Service) GetDelegatedAccessToken(ctx context.Context, in *sts.GetDelegatedAccessTokenRequest) (*sts.GetDelegatedAccessTokenResponse, error) {
	p := access.PrincipalOf(ctx)
	if p == nil {
		return nil, awsapi.ErrMissingAuthentication
	}
	d, err := s.IAM.Delegation(ctx, p.AccountID, *in.TradeInToken)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errAccessDenied.Msg("The trade-in token is not valid for this account.")
	} else if err != nil {
		return nil, err
	}
	left := d.Expires.Sub(s.Now()).Truncate(time.Second)
	if left <= 0 {
		return nil, sts.ErrExpiredTradeInToken.Msg("The trade-in token has expired.")
	}
	b := &bearer{kind: policy.FederatedUser, account: d.Account, id: d.Approver.ID, session: access.Session{
		Name: "delegated-" + d.Requestor, Delegated: true, Policy: d.Policy, SourceIdentity: d.Approver.SourceIdentity,
	}}
	if d.Approver.Role {
		b.kind, b.session.Chained = policy.RoleSession, true
	}
	for key, value := range d.Approver.Tags {
		b.session.Tags = append(b.session.Tags, access.Tag{Key: key, Value: value, Transitive: true})
	}
	if _, err := s.principal(ctx, d.Approver.ID); errors.Is(err, awsapi.ErrInvalidClientToken) {
		return nil, errAccessDenied.Msg("Who accepted the delegation request does not exist any more.")
	} else if err != nil {
		return nil, err
	}
	out, err := s.issue(ctx, b, min(left, defaultDuration), nil)
	if err != nil {
		return nil, err
	}
	return &sts.GetDelegatedAccessTokenResponse{Credentials: out.wire(), PackedPolicySize: &out.packed, AssumedPrincipal: &d.Approver.ARN}, nil
}
