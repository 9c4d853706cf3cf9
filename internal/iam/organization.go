package iam

import (
	"context"

	"usher/internal/policy"
)

// Organizations knows which accounts are members of an organization.
type Organizations interface {
	// Membership returns the place of an account in its organization, nil if it is in none. It calls on with the scopes of the
	// caches that the answer depends on.
	Membership(ctx context.Context, account string, on func(scopes ...string)) (*Membership, error)
}

// Membership is the place of an account in an organization. It is shared: read only.
type Membership struct {
	Organization string // its id
	Management   string // id of the management account
	Path         string // of the account's parent, such as o-…/r-…/ou-…/: the value of aws:PrincipalOrgPaths

	// ServiceControl are the service control policies by level: root, units, account. None where they do not count: in the
	// management account, and while the type is not enabled.
	ServiceControl [][]policy.Source

	TrustsIAM      bool // IAM has trusted access to the organization
	AdministersIAM bool // the account is a delegated administrator of IAM
}

// Membership returns the place of an account in its organization, nil if it is in none.
func (s *Service) Membership(ctx context.Context, account string) (*Membership, error) {
	return s.memberships.GetScoped(ctx, account, func(ctx context.Context, on func(...string)) (*Membership, error) {
		return s.membership(ctx, account, on)
	})
}

func (s *Service) membership(ctx context.Context, account string, on func(...string)) (*Membership, error) {
	if s.Organizations == nil {
		return nil, nil
	}
	return s.Organizations.Membership(ctx, account, on)
}
