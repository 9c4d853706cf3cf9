package organizations

import (
	"context"
	"fmt"

	"usher/internal/db"
	"usher/internal/iam"
	"usher/internal/policy"
)

// iamService is the principal of the service that manages root access of members.
const iamService = "iam.amazonaws.com"

// Membership implements iam.Organizations.
func (s *Service) Membership(ctx context.Context, account string, on func(scopes ...string)) (*iam.Membership, error) {
	on(accountScope(account))
	// From the account upwards in one statement, so that a move meanwhile cannot tear it.
	path, err := db.All[string](ctx, s.DB, `WITH RECURSIVE up (id, height) AS (SELECT parent_id, 1 FROM organization_accounts WHERE account_id = $1
		UNION ALL SELECT u.parent_id, up.height + 1 FROM organization_units u JOIN up ON u.id = up.id) SELECT id FROM up ORDER BY height DESC`, account)
	if err != nil || len(path) == 0 {
		return nil, err
	}
	on(structureScope)
	o, err := db.One[organization](ctx, s.DB, `SELECT `+organizationColumns+` FROM organizations WHERE root_id = $1`, path[0])
	if isNotFound(err) { // it has gone meanwhile, and so will what is made of this
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	administers, err := db.One[int64](ctx, s.DB, `SELECT COUNT(*) FROM organization_administrators WHERE account_id = $1 AND service = $2`, account, iamService)
	if err != nil {
		return nil, err
	}
	_, trusted := o.Doc.V.Services[iamService]
	m := &iam.Membership{Organization: o.ID, Management: o.Management, Path: o.path(path), TrustsIAM: trusted, AdministersIAM: administers > 0 && trusted}
	if account == o.Management || !o.Doc.V.SCP {
		return m, nil
	}
	for _, target := range append(path, account) {
		level, err := s.attached(ctx, &o, target)
		if err != nil {
			return nil, err
		}
		m.ServiceControl = append(m.ServiceControl, level)
	}
	return m, nil
}

// attached are the policies of one level. A level without any allows nothing.
func (s *Service) attached(ctx context.Context, o *organization, target string) ([]policy.Source, error) {
	type row struct {
		ID, Name string
		Doc      db.JSON[policyDoc]
	}
	rows, err := db.All[row](ctx, s.DB, `SELECT a.policy_id, COALESCE(p.name, ''), COALESCE(p.doc, '{}')
		FROM organization_attachments a LEFT JOIN organization_policies p ON p.id = a.policy_id WHERE a.target_id = $1 ORDER BY a.policy_id`, target)
	if err != nil {
		return nil, err
	}
	level := []policy.Source{}
	for _, r := range rows {
		p := &controlPolicy{ID: r.ID, Name: r.Name, Doc: r.Doc}
		if r.ID == fullAccess.ID {
			p = fullAccess
		}
		compiled, err := policy.Parse(p.Doc.V.Content)
		if err != nil {
			return nil, fmt.Errorf("organizations: policy %s: %w", r.ID, err)
		}
		level = append(level, policy.Source{ID: p.Name, Type: "scp", ARN: p.arn(o), Policy: compiled})
	}
	return level, nil
}
