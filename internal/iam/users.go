package iam

import (
	"context"

	"usher/internal/api/iam"
	"usher/internal/db"
)

func wireUser(e *entity) *iam.User {
	return &iam.User{Path: &e.Path, UserName: &e.Name, UserId: &e.ID, Arn: new(e.ARN()), CreateDate: timeOf(e.Created)}
}

// CreateUser implements iam:CreateUser.
func (s *Service) CreateUser(ctx context.Context, in *iam.CreateUserRequest) (*iam.CreateUserResponse, error) {
	e, err := s.createEntity(ctx, newEntity{
		kind: userKind, id: newID[userKind](), name: in.UserName, path: in.Path, boundary: in.PermissionsBoundary, tags: in.Tags,
		quotaName: "UsersPerAccount", quota: maxUsers,
	}, nil)
	if err != nil {
		return nil, err
	}
	u := wireUser(e)
	u.PermissionsBoundary, u.Tags = e.boundary(), wireTags(e.Doc.V.Tags)
	return &iam.CreateUserResponse{User: u}, nil
}

// GetUser implements iam:GetUser. Without a name it tells about the caller.
func (s *Service) GetUser(ctx context.Context, in *iam.GetUserRequest) (*iam.GetUserResponse, error) {
	e, id, err := s.requireUser(ctx, s.DB, in.UserName)
	if err != nil {
		return nil, err
	}
	if e == nil { // the root user
		created, err := db.One[int64](ctx, s.DB, `SELECT created FROM accounts WHERE id = $1`, id)
		if err != nil {
			return nil, err
		}
		return &iam.GetUserResponse{User: &iam.User{UserId: &id, Arn: new(rootARN(id)), CreateDate: timeOf(created)}}, nil
	}
	u := wireUser(e)
	u.PermissionsBoundary, u.Tags = e.boundary(), wireTags(e.Doc.V.Tags)
	return &iam.GetUserResponse{User: u}, nil
}

// ListUsers implements iam:ListUsers.
func (s *Service) ListUsers(ctx context.Context, in *iam.ListUsersRequest) (*iam.ListUsersResponse, error) {
	list, p, err := s.listEntities(ctx, userKind, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListUsersResponse{IsTruncated: p.isTruncated(), Marker: p.marker()}
	for i := range list {
		out.Users = append(out.Users, *wireUser(&list[i]))
	}
	return out, nil
}

// UpdateUser implements iam:UpdateUser.
func (s *Service) UpdateUser(ctx context.Context, in *iam.UpdateUserRequest) error {
	return s.rename(ctx, userKind, in.UserName, in.NewUserName, in.NewPath)
}

// DeleteUser implements iam:DeleteUser.
func (s *Service) DeleteUser(ctx context.Context, in *iam.DeleteUserRequest) error {
	return s.deleteEntity(ctx, userKind, in.UserName, func(tx *db.Tx, e *entity) error {
		type counts struct{ Keys, Groups, Devices, Profiles int64 }
		n, err := db.One[counts](ctx, tx, `SELECT
			(SELECT COUNT(*) FROM iam_access_keys WHERE entity_id = $1),
			(SELECT COUNT(*) FROM iam_members WHERE user_id = $1),
			(SELECT COUNT(*) FROM iam_mfa_devices WHERE user_id = $1),
			(SELECT COUNT(*) FROM iam_login_profiles WHERE user_id = $1)`, e.ID)
		switch {
		case err != nil:
			return err
		case n.Profiles > 0:
			return iam.ErrDeleteConflict.Msg("Cannot delete entity, must delete login profile first.")
		case n.Devices > 0:
			return iam.ErrDeleteConflict.Msg("Cannot delete entity, must delete MFA device first.")
		case n.Keys > 0:
			return iam.ErrDeleteConflict.Msg("Cannot delete entity, must delete access keys first.")
		case n.Groups > 0:
			return iam.ErrDeleteConflict.Msg("Cannot delete entity, must remove users from group first.")
		}
		return nil
	})
}

// PutUserPolicy implements iam:PutUserPolicy.
func (s *Service) PutUserPolicy(ctx context.Context, in *iam.PutUserPolicyRequest) error {
	return s.putInline(ctx, userKind, in.UserName, in.PolicyName, in.PolicyDocument)
}

// GetUserPolicy implements iam:GetUserPolicy.
func (s *Service) GetUserPolicy(ctx context.Context, in *iam.GetUserPolicyRequest) (*iam.GetUserPolicyResponse, error) {
	e, text, err := s.getInline(ctx, userKind, in.UserName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iam.GetUserPolicyResponse{UserName: &e.Name, PolicyName: in.PolicyName, PolicyDocument: &text}, nil
}

// DeleteUserPolicy implements iam:DeleteUserPolicy.
func (s *Service) DeleteUserPolicy(ctx context.Context, in *iam.DeleteUserPolicyRequest) error {
	return s.deleteInline(ctx, userKind, in.UserName, in.PolicyName)
}

// ListUserPolicies implements iam:ListUserPolicies.
func (s *Service) ListUserPolicies(ctx context.Context, in *iam.ListUserPoliciesRequest) (*iam.ListUserPoliciesResponse, error) {
	names, p, err := s.listInline(ctx, userKind, in.UserName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListUserPoliciesResponse{PolicyNames: names, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// AttachUserPolicy implements iam:AttachUserPolicy.
func (s *Service) AttachUserPolicy(ctx context.Context, in *iam.AttachUserPolicyRequest) error {
	return s.attach(ctx, userKind, in.UserName, in.PolicyArn)
}

// DetachUserPolicy implements iam:DetachUserPolicy.
func (s *Service) DetachUserPolicy(ctx context.Context, in *iam.DetachUserPolicyRequest) error {
	return s.detach(ctx, userKind, in.UserName, in.PolicyArn)
}

// ListAttachedUserPolicies implements iam:ListAttachedUserPolicies.
func (s *Service) ListAttachedUserPolicies(ctx context.Context, in *iam.ListAttachedUserPoliciesRequest) (*iam.ListAttachedUserPoliciesResponse, error) {
	list, p, err := s.listAttached(ctx, userKind, in.UserName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListAttachedUserPoliciesResponse{AttachedPolicies: list, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// PutUserPermissionsBoundary implements iam:PutUserPermissionsBoundary.
func (s *Service) PutUserPermissionsBoundary(ctx context.Context, in *iam.PutUserPermissionsBoundaryRequest) error {
	return s.putBoundary(ctx, userKind, in.UserName, in.PermissionsBoundary)
}

// DeleteUserPermissionsBoundary implements iam:DeleteUserPermissionsBoundary.
func (s *Service) DeleteUserPermissionsBoundary(ctx context.Context, in *iam.DeleteUserPermissionsBoundaryRequest) error {
	return s.deleteBoundary(ctx, userKind, in.UserName)
}
