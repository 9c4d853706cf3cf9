package organizations

import (
	"context"
	"errors"
	"strings"

	"usher/internal/api/organizations"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/ids"
)

// unit is a row of organization_units.
type unit struct {
	ID, Organization, Parent, Name string
}

const unitColumns = `id, organization_id, parent_id, name`

func (s *Service) unit(ctx context.Context, q db.Querier, o *organization, id string) (*unit, error) {
	u, err := db.One[unit](ctx, q, `SELECT `+unitColumns+` FROM organization_units WHERE id = $1 AND organization_id = $2`, id, o.ID)
	if isNotFound(err) {
		err = organizations.ErrOrganizationalUnitNotFound.Msg("You specified an organizational unit that doesn't exist.")
	}
	return &u, err
}

// isParent fails unless id is the root or a unit.
func (s *Service) isParent(ctx context.Context, q db.Querier, o *organization, id string) error {
	if id == o.Root {
		return nil
	}
	_, err := s.unit(ctx, q, o, id)
	if isModeled(err) {
		err = organizations.ErrParentNotFound.Msg("You specified parent that doesn't exist.")
	}
	return err
}

func isModeled(err error) bool {
	var known *awsapi.Error
	return errors.As(err, &known)
}

// ancestors are the ids from the root to parent, both included.
func (s *Service) ancestors(ctx context.Context, q db.Querier, o *organization, parent string) ([]string, error) {
	var path []string
	for parent != o.Root {
		u, err := s.unit(ctx, q, o, parent)
		if err != nil {
			return nil, err
		}
		path, parent = append([]string{u.ID}, path...), u.Parent
	}
	return append([]string{o.Root}, path...), nil
}

// path is how policies name a place in the organization (IAM User Guide, "Understand the AWS Organizations entity path").
func (o *organization) path(ancestors []string) string {
	return o.ID + "/" + strings.Join(ancestors, "/") + "/"
}

func (s *Service) wireUnit(ctx context.Context, q db.Querier, o *organization, u *unit) (*organizations.OrganizationalUnit, error) {
	path, err := s.ancestors(ctx, q, o, u.Parent)
	if err != nil {
		return nil, err
	}
	return &organizations.OrganizationalUnit{Id: &u.ID, Arn: new(o.arn("ou", u.ID)), Name: &u.Name, Path: new(o.path(append(path, u.ID)))}, nil
}

func (o *organization) wireRoot() *organizations.Root {
	r := &organizations.Root{Id: &o.Root, Arn: new(o.arn("root", o.Root)), Name: new("Root"), PolicyTypes: []organizations.PolicyTypeSummary{}}
	if o.Doc.V.SCP {
		r.PolicyTypes = append(r.PolicyTypes, organizations.PolicyTypeSummary{Type: new(serviceControl), Status: new(organizations.PolicyTypeStatusEnabled)})
	}
	return r
}

// ListRoots implements organizations:ListRoots.
func (s *Service) ListRoots(ctx context.Context, _ *organizations.ListRootsRequest) (*organizations.ListRootsResponse, error) {
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	return &organizations.ListRootsResponse{Roots: []organizations.Root{*o.wireRoot()}}, nil
}

// CreateOrganizationalUnit implements organizations:CreateOrganizationalUnit.
func (s *Service) CreateOrganizationalUnit(ctx context.Context, in *organizations.CreateOrganizationalUnitRequest) (*organizations.CreateOrganizationalUnitResponse, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	var out *organizations.OrganizationalUnit
	err = s.change(ctx, func(tx *db.Tx, o *organization) error {
		if err := s.isParent(ctx, tx, o, *in.ParentId); err != nil {
			return err
		}
		path, err := s.ancestors(ctx, tx, o, *in.ParentId)
		if err != nil {
			return err
		}
		if len(path) > maxDepth { // the root is not a unit
			return tooMany("OU_DEPTH_LIMIT_EXCEEDED", "You have exceeded the maximum OU depth.")
		}
		n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM organization_units WHERE organization_id = $1`, o.ID)
		if err != nil {
			return err
		}
		if n >= maxUnits {
			return tooMany("OU_NUMBER_LIMIT_EXCEEDED", "You have exceeded the allowed number of OUs.")
		}
		u := &unit{ID: ids.OrganizationalUnit(o.Root), Organization: o.ID, Parent: *in.ParentId, Name: *in.Name}
		if err := s.freeName(ctx, tx, u.Parent, u.Name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO organization_units (`+unitColumns+`) VALUES ($1, $2, $3, $4)`, u.ID, u.Organization, u.Parent, u.Name); err != nil {
			return err
		}
		if o.Doc.V.SCP {
			if err := s.attach(ctx, tx, o, fullAccess.ID, u.ID); err != nil {
				return err
			}
		}
		if err := s.putTags(ctx, tx, o, u.ID, tags); err != nil {
			return err
		}
		out, err = s.wireUnit(ctx, tx, o, u)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &organizations.CreateOrganizationalUnitResponse{OrganizationalUnit: out}, nil
}

// freeName fails if a unit of the parent has the name.
func (s *Service) freeName(ctx context.Context, tx *db.Tx, parent, name string) error {
	n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM organization_units WHERE parent_id = $1 AND name = $2`, parent, name)
	if err == nil && n > 0 {
		err = organizations.ErrDuplicateOrganizationalUnit.Msg("An OU with the same name already exists.")
	}
	return err
}

// UpdateOrganizationalUnit implements organizations:UpdateOrganizationalUnit.
func (s *Service) UpdateOrganizationalUnit(ctx context.Context, in *organizations.UpdateOrganizationalUnitRequest) (*organizations.UpdateOrganizationalUnitResponse, error) {
	var out *organizations.OrganizationalUnit
	err := s.change(ctx, func(tx *db.Tx, o *organization) error {
		u, err := s.unit(ctx, tx, o, *in.OrganizationalUnitId)
		if err != nil {
			return err
		}
		if in.Name != nil && *in.Name != u.Name {
			if err := s.freeName(ctx, tx, u.Parent, *in.Name); err != nil {
				return err
			}
			u.Name = *in.Name
			if err := db.Changed(tx.ExecContext(ctx, `UPDATE organization_units SET name = $1 WHERE id = $2`, u.Name, u.ID)); err != nil {
				return err
			}
		}
		out, err = s.wireUnit(ctx, tx, o, u)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &organizations.UpdateOrganizationalUnitResponse{OrganizationalUnit: out}, nil
}

// DeleteOrganizationalUnit implements organizations:DeleteOrganizationalUnit.
func (s *Service) DeleteOrganizationalUnit(ctx context.Context, in *organizations.DeleteOrganizationalUnitRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		u, err := s.unit(ctx, tx, o, *in.OrganizationalUnitId)
		if err != nil {
			return err
		}
		n, err := db.One[int64](ctx, tx, `SELECT (SELECT COUNT(*) FROM organization_units WHERE parent_id = $1) + (SELECT COUNT(*) FROM organization_accounts WHERE parent_id = $1)`, u.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			return organizations.ErrOrganizationalUnitNotEmpty.Msg("To delete an OU you must first move all of its accounts and delete its OUs.")
		}
		if err := s.forget(ctx, tx, u.ID); err != nil {
			return err
		}
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM organization_units WHERE id = $1`, u.ID))
	})
}

// DescribeOrganizationalUnit implements organizations:DescribeOrganizationalUnit.
func (s *Service) DescribeOrganizationalUnit(ctx context.Context, in *organizations.DescribeOrganizationalUnitRequest) (*organizations.DescribeOrganizationalUnitResponse, error) {
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	u, err := s.unit(ctx, s.DB, o, *in.OrganizationalUnitId)
	if err != nil {
		return nil, err
	}
	out, err := s.wireUnit(ctx, s.DB, o, u)
	return &organizations.DescribeOrganizationalUnitResponse{OrganizationalUnit: out}, err
}

// ListOrganizationalUnitsForParent implements organizations:ListOrganizationalUnitsForParent.
func (s *Service) ListOrganizationalUnitsForParent(ctx context.Context, in *organizations.ListOrganizationalUnitsForParentRequest) (*organizations.ListOrganizationalUnitsForParentResponse, error) {
	o, rows, next, err := s.unitsOf(ctx, *in.ParentId, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &organizations.ListOrganizationalUnitsForParentResponse{NextToken: next}
	for i := range rows {
		u, err := s.wireUnit(ctx, s.DB, o, &rows[i])
		if err != nil {
			return nil, err
		}
		out.OrganizationalUnits = append(out.OrganizationalUnits, *u)
	}
	return out, nil
}

func (s *Service) unitsOf(ctx context.Context, parent string, token *string, max *int32) (*organization, []unit, *string, error) {
	p, err := newPage(token, max)
	if err != nil {
		return nil, nil, nil, err
	}
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := s.isParent(ctx, s.DB, o, parent); err != nil {
		return nil, nil, nil, err
	}
	rows, err := db.All[unit](ctx, s.DB, `SELECT `+unitColumns+` FROM organization_units WHERE parent_id = $1 AND id > $2 ORDER BY id LIMIT $3`, parent, p.after, p.size+1)
	rows = cut(p, rows, func(u unit) string { return u.ID })
	return o, rows, p.next, err
}

// ListChildren implements organizations:ListChildren.
func (s *Service) ListChildren(ctx context.Context, in *organizations.ListChildrenRequest) (*organizations.ListChildrenResponse, error) {
	out := &organizations.ListChildrenResponse{}
	if *in.ChildType == organizations.ChildTypeAccount {
		list, next, err := s.listAccounts(ctx, in.ParentId, in.NextToken, in.MaxResults)
		for _, a := range list {
			out.Children = append(out.Children, organizations.Child{Id: a.Id, Type: in.ChildType})
		}
		out.NextToken = next
		return out, err
	}
	_, rows, next, err := s.unitsOf(ctx, *in.ParentId, in.NextToken, in.MaxResults)
	for _, u := range rows {
		out.Children = append(out.Children, organizations.Child{Id: &u.ID, Type: in.ChildType})
	}
	out.NextToken = next
	return out, err
}

// ListParents implements organizations:ListParents.
func (s *Service) ListParents(ctx context.Context, in *organizations.ListParentsRequest) (*organizations.ListParentsResponse, error) {
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	parent := ""
	if strings.HasPrefix(*in.ChildId, "ou-") {
		u, unitErr := s.unit(ctx, s.DB, o, *in.ChildId)
		parent, err = u.Parent, unitErr
	} else {
		m, memberErr := s.member(ctx, s.DB, o, *in.ChildId)
		parent, err = m.Parent, memberErr
	}
	if isModeled(err) {
		return nil, organizations.ErrChildNotFound.Msg("You specified a child that doesn't exist.")
	} else if err != nil {
		return nil, err
	}
	kind := organizations.ParentTypeOrganizationalUnit
	if parent == o.Root {
		kind = organizations.ParentTypeRoot
	}
	return &organizations.ListParentsResponse{Parents: []organizations.Parent{{Id: &parent, Type: &kind}}}, nil
}
