package organizations

import (
	"context"
	"maps"
	"slices"

	"usher/internal/api/organizations"
	"usher/internal/db"
	"usher/internal/ids"
)

func (o *organization) wire() *organizations.Organization {
	out := &organizations.Organization{
		Id: &o.ID, Arn: new("arn:aws:organizations::" + o.Management + ":organization/" + o.ID), FeatureSet: new(organizations.OrganizationFeatureSetAll),
		MasterAccountId: &o.Management, MasterAccountArn: new(o.arn("account", o.Management)),
	}
	out.AvailablePolicyTypes = []organizations.PolicyTypeSummary{{Type: new(serviceControl), Status: new(organizations.PolicyTypeStatusEnabled)}}
	return out
}

// CreateOrganization implements organizations:CreateOrganization: the caller's account becomes the management account.
func (s *Service) CreateOrganization(ctx context.Context, in *organizations.CreateOrganizationRequest) (*organizations.CreateOrganizationResponse, error) {
	if in.FeatureSet != nil && *in.FeatureSet != organizations.OrganizationFeatureSetAll {
		return nil, tooMany("CREATE_ORGANIZATION_IN_BILLING_MODE_UNSUPPORTED_REGION", "Only the feature set ALL is available.")
	}
	var o *organization
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		o = &organization{ID: ids.Organization(), Management: account(ctx), Root: ids.OrganizationRoot(), Created: s.Now().UnixMicro(), Rev: 1}
		if _, err := s.own(ctx, tx); err == nil {
			return organizations.ErrAlreadyInOrganization.Msg("The AWS account is already a member of an organization.")
		} else if err != error(errNotMember) {
			return err
		}
		name, err := s.IAM.AccountName(ctx, tx, o.Management)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO organizations (`+organizationColumns+`, one) VALUES ($1, $2, $3, $4, $5, $6, 1) ON CONFLICT DO NOTHING`,
			o.ID, o.Management, o.Root, o.Created, o.Rev, o.Doc)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return organizations.ErrAccessDenied.Msg("There is an organization already: a server has one, and its management account makes the accounts in it.")
		}
		m := &member{ID: o.Management, Organization: o.ID, Parent: o.Root, EmailKey: o.Management, Joined: o.Created}
		m.Doc.V = memberDoc{Name: name, Method: organizations.AccountJoinedMethodInvited}
		return s.insertMember(ctx, tx, m)
	})
	if err != nil {
		return nil, err
	}
	return &organizations.CreateOrganizationResponse{Organization: o.wire()}, nil
}

// DescribeOrganization implements organizations:DescribeOrganization, for every member.
func (s *Service) DescribeOrganization(ctx context.Context, _ *organizations.DescribeOrganizationRequest) (*organizations.DescribeOrganizationResponse, error) {
	o, err := s.own(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	return &organizations.DescribeOrganizationResponse{Organization: o.wire()}, nil
}

// DeleteOrganization implements organizations:DeleteOrganization.
func (s *Service) DeleteOrganization(ctx context.Context, _ *organizations.DeleteOrganizationRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		n, err := db.One[int64](ctx, tx, `SELECT (SELECT COUNT(*) FROM organization_accounts WHERE organization_id = $1) - 1
			+ (SELECT COUNT(*) FROM organization_units WHERE organization_id = $1) + (SELECT COUNT(*) FROM organization_policies WHERE organization_id = $1)`, o.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			return organizations.ErrOrganizationNotEmpty.Msg("To delete an organization you must first remove all member accounts, delete all organizational units (OUs) and delete all policies.")
		}
		tx.Invalidate(accountScope(o.Management), structureScope)
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM organizations WHERE id = $1 AND rev = $2`, o.ID, o.Rev))
	})
}

// Trusted access of services.

// EnableAWSServiceAccess implements organizations:EnableAWSServiceAccess.
func (s *Service) EnableAWSServiceAccess(ctx context.Context, in *organizations.EnableAWSServiceAccessRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		services := o.Doc.V.Services
		if _, on := services[*in.ServicePrincipal]; on {
			return nil
		}
		if services == nil {
			services = map[string]int64{}
		}
		services[*in.ServicePrincipal] = s.Now().UnixMicro()
		if len(services) > 200 {
			return organizations.ErrConstraintViolation.Msg("Too many services have access.")
		}
		o.Doc.V.Services = services
		return s.update(ctx, tx, o)
	})
}

// DisableAWSServiceAccess implements organizations:DisableAWSServiceAccess. Delegated administrators of the service go with it.
func (s *Service) DisableAWSServiceAccess(ctx context.Context, in *organizations.DisableAWSServiceAccessRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		delete(o.Doc.V.Services, *in.ServicePrincipal)
		if _, err := tx.ExecContext(ctx, `DELETE FROM organization_administrators WHERE organization_id = $1 AND service = $2`, o.ID, *in.ServicePrincipal); err != nil {
			return err
		}
		return s.update(ctx, tx, o)
	})
}

// ListAWSServiceAccessForOrganization implements organizations:ListAWSServiceAccessForOrganization.
func (s *Service) ListAWSServiceAccessForOrganization(ctx context.Context, in *organizations.ListAWSServiceAccessForOrganizationRequest) (*organizations.ListAWSServiceAccessForOrganizationResponse, error) {
	p, err := newPage(in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(o.Doc.V.Services)), func(n string) bool { return n <= p.after })
	out := &organizations.ListAWSServiceAccessForOrganizationResponse{}
	for _, n := range cut(p, names, func(n string) string { return n }) {
		out.EnabledServicePrincipals = append(out.EnabledServicePrincipals, organizations.EnabledServicePrincipal{ServicePrincipal: &n, DateEnabled: timeOf(o.Doc.V.Services[n])})
	}
	out.NextToken = p.next
	return out, nil
}

// Delegated administrators.

// RegisterDelegatedAdministrator implements organizations:RegisterDelegatedAdministrator.
func (s *Service) RegisterDelegatedAdministrator(ctx context.Context, in *organizations.RegisterDelegatedAdministratorRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		if _, err := s.member(ctx, tx, o, *in.AccountId); err != nil {
			return err
		}
		if *in.AccountId == o.Management {
			return tooMany("CANNOT_REGISTER_MASTER_AS_DELEGATED_ADMINISTRATOR", "You cannot register the management account as a delegated administrator.")
		}
		if _, on := o.Doc.V.Services[*in.ServicePrincipal]; !on {
			return tooMany("SERVICE_ACCESS_NOT_ENABLED", "You must enable trusted access for %s first.", *in.ServicePrincipal)
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO organization_administrators (account_id, service, organization_id, since) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			*in.AccountId, *in.ServicePrincipal, o.ID, s.Now().UnixMicro())
		if err != nil {
			return err
		}
		tx.Invalidate(accountScope(*in.AccountId))
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			err = organizations.ErrAccountAlreadyRegistered.Msg("The provided account is already a delegated administrator for your organization.")
		}
		return err
	})
}

var errNotRegistered = organizations.ErrAccountNotRegistered.Msg("The provided account is not a registered delegated administrator for your organization.")

// DeregisterDelegatedAdministrator implements organizations:DeregisterDelegatedAdministrator.
func (s *Service) DeregisterDelegatedAdministrator(ctx context.Context, in *organizations.DeregisterDelegatedAdministratorRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		if _, err := s.member(ctx, tx, o, *in.AccountId); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM organization_administrators WHERE account_id = $1 AND service = $2`, *in.AccountId, *in.ServicePrincipal)
		if err != nil {
			return err
		}
		tx.Invalidate(accountScope(*in.AccountId))
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			err = errNotRegistered
		}
		return err
	})
}

// ListDelegatedAdministrators implements organizations:ListDelegatedAdministrators.
func (s *Service) ListDelegatedAdministrators(ctx context.Context, in *organizations.ListDelegatedAdministratorsRequest) (*organizations.ListDelegatedAdministratorsResponse, error) {
	p, err := newPage(in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	type row struct {
		member
		Since int64
	}
	rows, err := db.All[row](ctx, s.DB, `SELECT `+memberColumns+`, (SELECT MIN(since) FROM organization_administrators d WHERE d.account_id = organization_accounts.account_id)
		FROM organization_accounts WHERE organization_id = $1 AND account_id > $2
		AND account_id IN (SELECT account_id FROM organization_administrators WHERE $3 = '' OR service = $3) ORDER BY account_id LIMIT $4`, o.ID, p.after, str(in.ServicePrincipal), p.size+1)
	if err != nil {
		return nil, err
	}
	out := &organizations.ListDelegatedAdministratorsResponse{DelegatedAdministrators: []organizations.DelegatedAdministrator{}}
	for _, r := range cut(p, rows, func(r row) string { return r.ID }) {
		a := r.wire(o, nil)
		out.DelegatedAdministrators = append(out.DelegatedAdministrators, organizations.DelegatedAdministrator{Id: a.Id, Arn: a.Arn, Email: a.Email, Name: a.Name,
			Status: a.Status, JoinedMethod: a.JoinedMethod, JoinedTimestamp: a.JoinedTimestamp, DelegationEnabledDate: timeOf(r.Since)})
	}
	out.NextToken = p.next
	return out, nil
}

// ListDelegatedServicesForAccount implements organizations:ListDelegatedServicesForAccount.
func (s *Service) ListDelegatedServicesForAccount(ctx context.Context, in *organizations.ListDelegatedServicesForAccountRequest) (*organizations.ListDelegatedServicesForAccountResponse, error) {
	p, err := newPage(in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	if _, err := s.member(ctx, s.DB, o, *in.AccountId); err != nil {
		return nil, err
	}
	type row struct {
		Service string
		Since   int64
	}
	rows, err := db.All[row](ctx, s.DB, `SELECT service, since FROM organization_administrators WHERE account_id = $1 AND service > $2 ORDER BY service LIMIT $3`, *in.AccountId, p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 && p.after == "" {
		return nil, errNotRegistered
	}
	out := &organizations.ListDelegatedServicesForAccountResponse{}
	for _, r := range cut(p, rows, func(r row) string { return r.Service }) {
		out.DelegatedServices = append(out.DelegatedServices, organizations.DelegatedService{ServicePrincipal: &r.Service, DelegationEnabledDate: timeOf(r.Since)})
	}
	out.NextToken = p.next
	return out, nil
}
