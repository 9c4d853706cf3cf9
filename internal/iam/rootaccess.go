package iam

import (
	"context"

	"usher/internal/api/iam"
	"usher/internal/db"
)

// Root access management: the management account of an organization, and members that administer IAM for it, act as the root
// users of members for single tasks (IAM User Guide, "Centrally manage root access for member accounts"). STS has AssumeRoot.

// RootFeatures are what an organization has enabled of it.
type RootFeatures struct {
	Credentials int64 // RootCredentialsManagement: tasks on the credentials of root users
	Sessions    int64 // RootSessions: tasks on resources
}

// RootFeatures returns what an organization has enabled.
func (s *Service) RootFeatures(ctx context.Context, organization string) (RootFeatures, error) {
	return s.rootFeatures(ctx, s.DB, organization)
}

func (s *Service) rootFeatures(ctx context.Context, q db.Querier, organization string) (RootFeatures, error) {
	f, err := db.One[RootFeatures](ctx, q, `SELECT root_credentials, root_sessions FROM iam_organization_features WHERE organization_id = $1`, organization)
	return f, ignoreNotFound(err)
}

func (f RootFeatures) wire() []string {
	list := []string{}
	if f.Credentials != 0 {
		list = append(list, iam.FeatureTypeRootCredentialsManagement)
	}
	if f.Sessions != 0 {
		list = append(list, iam.FeatureTypeRootSessions)
	}
	return list
}

// rootManager is the membership of the calling account, which must manage root access.
func (s *Service) rootManager(ctx context.Context) (*Membership, error) {
	m, err := s.Membership(ctx, account(ctx))
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, iam.ErrOrganizationNotFound.Msg("The account is not a member of an organization.")
	case m.Management != account(ctx) && !m.AdministersIAM:
		return nil, iam.ErrAccountNotManagementOrDelegatedAdministrator.Msg("The account is neither the management account nor a delegated administrator of IAM.")
	case !m.TrustsIAM:
		return nil, iam.ErrServiceAccessNotEnabled.Msg("Trusted access of iam.amazonaws.com is not enabled in the organization.")
	}
	return m, nil
}

// setRootFeatures changes what the caller's organization has enabled.
func (s *Service) setRootFeatures(ctx context.Context, enable bool, change func(*RootFeatures)) (*string, []string, error) {
	m, err := s.rootManager(ctx)
	if err != nil {
		return nil, nil, err
	}
	if enable && m.Management != account(ctx) {
		return nil, nil, iam.ErrCallerIsNotManagementAccount.Msg("The account is not the management account of the organization.")
	}
	var f RootFeatures
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		var err error
		if f, err = s.rootFeatures(ctx, tx, m.Organization); err != nil {
			return err
		}
		change(&f)
		_, err = tx.ExecContext(ctx, `INSERT INTO iam_organization_features (organization_id, root_credentials, root_sessions) VALUES ($1, $2, $3)
			ON CONFLICT (organization_id) DO UPDATE SET root_credentials = excluded.root_credentials, root_sessions = excluded.root_sessions`, m.Organization, f.Credentials, f.Sessions)
		return err
	})
	return &m.Organization, f.wire(), err
}

// EnableOrganizationsRootCredentialsManagement implements iam:EnableOrganizationsRootCredentialsManagement.
func (s *Service) EnableOrganizationsRootCredentialsManagement(ctx context.Context, _ *iam.EnableOrganizationsRootCredentialsManagementRequest) (*iam.EnableOrganizationsRootCredentialsManagementResponse, error) {
	id, features, err := s.setRootFeatures(ctx, true, func(f *RootFeatures) { f.Credentials = 1 })
	return &iam.EnableOrganizationsRootCredentialsManagementResponse{OrganizationId: id, EnabledFeatures: features}, err
}

// DisableOrganizationsRootCredentialsManagement implements iam:DisableOrganizationsRootCredentialsManagement.
func (s *Service) DisableOrganizationsRootCredentialsManagement(ctx context.Context, _ *iam.DisableOrganizationsRootCredentialsManagementRequest) (*iam.DisableOrganizationsRootCredentialsManagementResponse, error) {
	id, features, err := s.setRootFeatures(ctx, false, func(f *RootFeatures) { f.Credentials = 0 })
	return &iam.DisableOrganizationsRootCredentialsManagementResponse{OrganizationId: id, EnabledFeatures: features}, err
}

// EnableOrganizationsRootSessions implements iam:EnableOrganizationsRootSessions.
func (s *Service) EnableOrganizationsRootSessions(ctx context.Context, _ *iam.EnableOrganizationsRootSessionsRequest) (*iam.EnableOrganizationsRootSessionsResponse, error) {
	id, features, err := s.setRootFeatures(ctx, true, func(f *RootFeatures) { f.Sessions = 1 })
	return &iam.EnableOrganizationsRootSessionsResponse{OrganizationId: id, EnabledFeatures: features}, err
}

// DisableOrganizationsRootSessions implements iam:DisableOrganizationsRootSessions.
func (s *Service) DisableOrganizationsRootSessions(ctx context.Context, _ *iam.DisableOrganizationsRootSessionsRequest) (*iam.DisableOrganizationsRootSessionsResponse, error) {
	id, features, err := s.setRootFeatures(ctx, false, func(f *RootFeatures) { f.Sessions = 0 })
	return &iam.DisableOrganizationsRootSessionsResponse{OrganizationId: id, EnabledFeatures: features}, err
}

// ListOrganizationsFeatures implements iam:ListOrganizationsFeatures.
func (s *Service) ListOrganizationsFeatures(ctx context.Context, _ *iam.ListOrganizationsFeaturesRequest) (*iam.ListOrganizationsFeaturesResponse, error) {
	m, err := s.rootManager(ctx)
	if err != nil {
		return nil, err
	}
	f, err := s.RootFeatures(ctx, m.Organization)
	return &iam.ListOrganizationsFeaturesResponse{OrganizationId: &m.Organization, EnabledFeatures: f.wire()}, err
}
