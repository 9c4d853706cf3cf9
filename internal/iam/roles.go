package iam

import (
	"cmp"
	"context"

	"usher/internal/api/iam"
	"usher/internal/db"
)

const defaultMaxSession = 3600 // seconds

// wireRole is a role as it is read. MaxSessionDuration and what else differs between operations is the caller's.
func (s *Service) wireRole(ctx context.Context, q db.Querier, e *entity) (*iam.Role, error) {
	trust, err := s.showTrust(ctx, q, e.Doc.V.Trust, e.Doc.V.TrustIDs)
	if err != nil {
		return nil, err
	}
	r := &iam.Role{Path: &e.Path, RoleName: &e.Name, RoleId: &e.ID, Arn: new(e.ARN()), CreateDate: timeOf(e.Created), AssumeRolePolicyDocument: &trust}
	if e.Doc.V.Description != "" {
		r.Description = &e.Doc.V.Description
	}
	return r, nil
}

// CreateRole implements iam:CreateRole.
func (s *Service) CreateRole(ctx context.Context, in *iam.CreateRoleRequest) (*iam.CreateRoleResponse, error) {
	if isProtected(str(in.Path)) {
		return nil, errValidation.Msg("The specified value for path is invalid. %s is reserved for AWS.", *in.Path)
	}
	e, err := s.createEntity(ctx, newEntity{
		kind: roleKind, id: newID[roleKind](), name: in.RoleName, path: in.Path, boundary: in.PermissionsBoundary, tags: in.Tags,
		quotaName: "RolesPerAccount", quota: maxRoles,
	}, func(tx *db.Tx, e *entity) error {
		e.Doc.V.Description = str(in.Description)
		if in.MaxSessionDuration != nil {
			e.Doc.V.MaxSession = *in.MaxSessionDuration
		}
		return s.setTrust(ctx, tx, e, *in.AssumeRolePolicyDocument)
	})
	if err != nil {
		return nil, err
	}
	r, err := s.wireRole(ctx, s.DB, e)
	if err != nil {
		return nil, err
	}
	r.MaxSessionDuration = in.MaxSessionDuration // absent when it was not given, unlike in GetRole
	r.PermissionsBoundary, r.Tags = e.boundary(), wireTags(e.Doc.V.Tags)
	return &iam.CreateRoleResponse{Role: r}, nil
}

// setTrust gives a role its trust policy.
func (s *Service) setTrust(ctx context.Context, tx *db.Tx, e *entity, document string) error {
	if err := s.checkTrust(document); err != nil {
		return err
	}
	ids, err := s.resolveTrust(ctx, tx, document)
	if err != nil {
		return err
	}
	e.Doc.V.Trust, e.Doc.V.TrustIDs = document, ids
	return nil
}

// GetRole implements iam:GetRole.
func (s *Service) GetRole(ctx context.Context, in *iam.GetRoleRequest) (*iam.GetRoleResponse, error) {
	e, err := s.entity(ctx, s.DB, roleKind, in.RoleName)
	if err != nil {
		return nil, err
	}
	r, err := s.wireRole(ctx, s.DB, e)
	if err != nil {
		return nil, err
	}
	r.MaxSessionDuration = new(e.maxSession())
	r.PermissionsBoundary, r.Tags = e.boundary(), wireTags(e.Doc.V.Tags)
	if r.RoleLastUsed, err = s.roleLastUsed(ctx, e.ID); err != nil {
		return nil, err
	}
	return &iam.GetRoleResponse{Role: r}, nil
}

// roleLastUsed is when a session of a role made a request last; empty if none has.
func (s *Service) roleLastUsed(ctx context.Context, id string) (*iam.RoleLastUsed, error) {
	use, ok := s.used.get(id)
	if !ok {
		type row struct {
			Used   int64
			Region string
		}
		r, err := db.One[row](ctx, s.DB, `SELECT used, region FROM iam_roles_last_used WHERE role_id = $1`, id)
		if err != nil {
			return &iam.RoleLastUsed{}, ignoreNotFound(err)
		}
		use = lastUse{Used: r.Used, Region: r.Region}
	}
	return &iam.RoleLastUsed{LastUsedDate: timeOf(use.Used), Region: &use.Region}, nil
}

func (e *entity) maxSession() int32 { return cmp.Or(e.Doc.V.MaxSession, defaultMaxSession) }

// ListRoles implements iam:ListRoles. Its roles have neither tags nor boundary.
func (s *Service) ListRoles(ctx context.Context, in *iam.ListRolesRequest) (*iam.ListRolesResponse, error) {
	list, p, err := s.listEntities(ctx, roleKind, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListRolesResponse{IsTruncated: p.isTruncated(), Marker: p.marker()}
	for i := range list {
		r, err := s.wireRole(ctx, s.DB, &list[i])
		if err != nil {
			return nil, err
		}
		r.MaxSessionDuration = new(list[i].maxSession())
		out.Roles = append(out.Roles, *r)
	}
	return out, nil
}

// UpdateRole implements iam:UpdateRole.
func (s *Service) UpdateRole(ctx context.Context, in *iam.UpdateRoleRequest) (*iam.UpdateRoleResponse, error) {
	return &iam.UpdateRoleResponse{}, s.changeEntity(ctx, roleKind, in.RoleName, func(_ *db.Tx, e *entity) error {
		if in.Description != nil {
			e.Doc.V.Description = *in.Description
		}
		if in.MaxSessionDuration != nil {
			e.Doc.V.MaxSession = *in.MaxSessionDuration
		}
		return nil
	})
}

// UpdateRoleDescription implements iam:UpdateRoleDescription.
func (s *Service) UpdateRoleDescription(ctx context.Context, in *iam.UpdateRoleDescriptionRequest) (*iam.UpdateRoleDescriptionResponse, error) {
	err := s.changeEntity(ctx, roleKind, in.RoleName, func(_ *db.Tx, e *entity) error {
		e.Doc.V.Description = *in.Description
		return nil
	})
	if err != nil {
		return nil, err
	}
	out, err := s.GetRole(ctx, &iam.GetRoleRequest{RoleName: in.RoleName})
	if err != nil {
		return nil, err
	}
	return &iam.UpdateRoleDescriptionResponse{Role: out.Role}, nil
}

// UpdateAssumeRolePolicy implements iam:UpdateAssumeRolePolicy.
func (s *Service) UpdateAssumeRolePolicy(ctx context.Context, in *iam.UpdateAssumeRolePolicyRequest) error {
	return s.changeEntity(ctx, roleKind, in.RoleName, func(tx *db.Tx, e *entity) error {
		return s.setTrust(ctx, tx, e, *in.PolicyDocument)
	})
}

// DeleteRole implements iam:DeleteRole.
func (s *Service) DeleteRole(ctx context.Context, in *iam.DeleteRoleRequest) error {
	return s.deleteEntity(ctx, roleKind, in.RoleName, nil)
}

// ListInstanceProfilesForRole implements iam:ListInstanceProfilesForRole. There are no instance profiles, so the list is
// empty; infrastructure tools ask for it before they delete a role.
func (s *Service) ListInstanceProfilesForRole(ctx context.Context, in *iam.ListInstanceProfilesForRoleRequest) (*iam.ListInstanceProfilesForRoleResponse, error) {
	if _, err := s.entity(ctx, s.DB, roleKind, in.RoleName); err != nil {
		return nil, err
	}
	return &iam.ListInstanceProfilesForRoleResponse{IsTruncated: new(false)}, nil
}

// PutRolePolicy implements iam:PutRolePolicy.
func (s *Service) PutRolePolicy(ctx context.Context, in *iam.PutRolePolicyRequest) error {
	return s.putInline(ctx, roleKind, in.RoleName, in.PolicyName, in.PolicyDocument)
}

// GetRolePolicy implements iam:GetRolePolicy.
func (s *Service) GetRolePolicy(ctx context.Context, in *iam.GetRolePolicyRequest) (*iam.GetRolePolicyResponse, error) {
	e, text, err := s.getInline(ctx, roleKind, in.RoleName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iam.GetRolePolicyResponse{RoleName: &e.Name, PolicyName: in.PolicyName, PolicyDocument: &text}, nil
}

// DeleteRolePolicy implements iam:DeleteRolePolicy.
func (s *Service) DeleteRolePolicy(ctx context.Context, in *iam.DeleteRolePolicyRequest) error {
	return s.deleteInline(ctx, roleKind, in.RoleName, in.PolicyName)
}

// ListRolePolicies implements iam:ListRolePolicies.
func (s *Service) ListRolePolicies(ctx context.Context, in *iam.ListRolePoliciesRequest) (*iam.ListRolePoliciesResponse, error) {
	names, p, err := s.listInline(ctx, roleKind, in.RoleName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListRolePoliciesResponse{PolicyNames: names, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// AttachRolePolicy implements iam:AttachRolePolicy.
func (s *Service) AttachRolePolicy(ctx context.Context, in *iam.AttachRolePolicyRequest) error {
	return s.attach(ctx, roleKind, in.RoleName, in.PolicyArn)
}

// DetachRolePolicy implements iam:DetachRolePolicy.
func (s *Service) DetachRolePolicy(ctx context.Context, in *iam.DetachRolePolicyRequest) error {
	return s.detach(ctx, roleKind, in.RoleName, in.PolicyArn)
}

// ListAttachedRolePolicies implements iam:ListAttachedRolePolicies.
func (s *Service) ListAttachedRolePolicies(ctx context.Context, in *iam.ListAttachedRolePoliciesRequest) (*iam.ListAttachedRolePoliciesResponse, error) {
	list, p, err := s.listAttached(ctx, roleKind, in.RoleName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListAttachedRolePoliciesResponse{AttachedPolicies: list, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// PutRolePermissionsBoundary implements iam:PutRolePermissionsBoundary.
func (s *Service) PutRolePermissionsBoundary(ctx context.Context, in *iam.PutRolePermissionsBoundaryRequest) error {
	return s.putBoundary(ctx, roleKind, in.RoleName, in.PermissionsBoundary)
}

// DeleteRolePermissionsBoundary implements iam:DeleteRolePermissionsBoundary.
func (s *Service) DeleteRolePermissionsBoundary(ctx context.Context, in *iam.DeleteRolePermissionsBoundaryRequest) error {
	return s.deleteBoundary(ctx, roleKind, in.RoleName)
}
