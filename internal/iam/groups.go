package iam

import (
	"context"

	"usher/internal/api/iam"
	"usher/internal/db"
)

func wireGroup(e *entity) *iam.Group {
	return &iam.Group{Path: &e.Path, GroupName: &e.Name, GroupId: &e.ID, Arn: new(e.ARN()), CreateDate: timeOf(e.Created)}
}

// CreateGroup implements iam:CreateGroup.
func (s *Service) CreateGroup(ctx context.Context, in *iam.CreateGroupRequest) (*iam.CreateGroupResponse, error) {
	e, err := s.createEntity(ctx, newEntity{
		kind: groupKind, id: newID[groupKind](), name: in.GroupName, path: in.Path, quotaName: "GroupsPerAccount", quota: maxGroups,
	}, nil)
	if err != nil {
		return nil, err
	}
	return &iam.CreateGroupResponse{Group: wireGroup(e)}, nil
}

// GetGroup implements iam:GetGroup: the group and a page of its users.
func (s *Service) GetGroup(ctx context.Context, in *iam.GetGroupRequest) (*iam.GetGroupResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	g, err := s.entity(ctx, s.DB, groupKind, in.GroupName)
	if err != nil {
		return nil, err
	}
	users, err := db.All[entity](ctx, s.DB, `SELECT `+entityColumns+` FROM iam_entities
		WHERE id IN (SELECT user_id FROM iam_members WHERE group_id = $1) AND name_key > $2 ORDER BY name_key LIMIT $3`, g.ID, p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	out := &iam.GetGroupResponse{Group: wireGroup(g)}
	for _, u := range cut(p, users, func(e entity) string { return e.NameKey }) {
		out.Users = append(out.Users, *wireUser(&u))
	}
	out.IsTruncated, out.Marker = p.isTruncated(), p.marker()
	return out, nil
}

// ListGroups implements iam:ListGroups.
func (s *Service) ListGroups(ctx context.Context, in *iam.ListGroupsRequest) (*iam.ListGroupsResponse, error) {
	list, p, err := s.listEntities(ctx, groupKind, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListGroupsResponse{IsTruncated: p.isTruncated(), Marker: p.marker()}
	for i := range list {
		out.Groups = append(out.Groups, *wireGroup(&list[i]))
	}
	return out, nil
}

// ListGroupsForUser implements iam:ListGroupsForUser.
func (s *Service) ListGroupsForUser(ctx context.Context, in *iam.ListGroupsForUserRequest) (*iam.ListGroupsForUserResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	u, err := s.entity(ctx, s.DB, userKind, in.UserName)
	if err != nil {
		return nil, err
	}
	groups, err := db.All[entity](ctx, s.DB, `SELECT `+entityColumns+` FROM iam_entities
		WHERE id IN (SELECT group_id FROM iam_members WHERE user_id = $1) AND name_key > $2 ORDER BY name_key LIMIT $3`, u.ID, p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	out := &iam.ListGroupsForUserResponse{}
	for _, g := range cut(p, groups, func(e entity) string { return e.NameKey }) {
		out.Groups = append(out.Groups, *wireGroup(&g))
	}
	out.IsTruncated, out.Marker = p.isTruncated(), p.marker()
	return out, nil
}

// UpdateGroup implements iam:UpdateGroup.
func (s *Service) UpdateGroup(ctx context.Context, in *iam.UpdateGroupRequest) error {
	return s.rename(ctx, groupKind, in.GroupName, in.NewGroupName, in.NewPath)
}

// DeleteGroup implements iam:DeleteGroup.
func (s *Service) DeleteGroup(ctx context.Context, in *iam.DeleteGroupRequest) error {
	return s.deleteEntity(ctx, groupKind, in.GroupName, func(tx *db.Tx, e *entity) error {
		members, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_members WHERE group_id = $1`, e.ID)
		if err == nil && members > 0 {
			return iam.ErrDeleteConflict.Msg("Cannot delete entity, must remove users from group first.")
		}
		return err
	})
}

// AddUserToGroup implements iam:AddUserToGroup.
func (s *Service) AddUserToGroup(ctx context.Context, in *iam.AddUserToGroupRequest) error {
	return s.changeMembership(ctx, in.GroupName, in.UserName, func(tx *db.Tx, g, u *entity) error {
		groups, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_members WHERE user_id = $1 AND group_id <> $2`, u.ID, g.ID)
		if err != nil {
			return err
		}
		if groups >= maxGroupsPerUser {
			return quota("GroupsPerUser", maxGroupsPerUser)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO iam_members (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, g.ID, u.ID)
		return err
	})
}

// RemoveUserFromGroup implements iam:RemoveUserFromGroup.
func (s *Service) RemoveUserFromGroup(ctx context.Context, in *iam.RemoveUserFromGroupRequest) error {
	return s.changeMembership(ctx, in.GroupName, in.UserName, func(tx *db.Tx, g, u *entity) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM iam_members WHERE group_id = $1 AND user_id = $2`, g.ID, u.ID)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			return iam.ErrNoSuchEntity.Msg("User %s is not in group %s.", u.Name, g.Name)
		}
		return err
	})
}

func (s *Service) changeMembership(ctx context.Context, group, user *string, change func(tx *db.Tx, g, u *entity) error) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		g, err := s.entity(ctx, tx, groupKind, group)
		if err != nil {
			return err
		}
		u, err := s.entity(ctx, tx, userKind, user)
		if err != nil {
			return err
		}
		s.touch(tx, u)
		return change(tx, g, u)
	})
}

// PutGroupPolicy implements iam:PutGroupPolicy.
func (s *Service) PutGroupPolicy(ctx context.Context, in *iam.PutGroupPolicyRequest) error {
	return s.putInline(ctx, groupKind, in.GroupName, in.PolicyName, in.PolicyDocument)
}

// GetGroupPolicy implements iam:GetGroupPolicy.
func (s *Service) GetGroupPolicy(ctx context.Context, in *iam.GetGroupPolicyRequest) (*iam.GetGroupPolicyResponse, error) {
	e, text, err := s.getInline(ctx, groupKind, in.GroupName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iam.GetGroupPolicyResponse{GroupName: &e.Name, PolicyName: in.PolicyName, PolicyDocument: &text}, nil
}

// DeleteGroupPolicy implements iam:DeleteGroupPolicy.
func (s *Service) DeleteGroupPolicy(ctx context.Context, in *iam.DeleteGroupPolicyRequest) error {
	return s.deleteInline(ctx, groupKind, in.GroupName, in.PolicyName)
}

// ListGroupPolicies implements iam:ListGroupPolicies.
func (s *Service) ListGroupPolicies(ctx context.Context, in *iam.ListGroupPoliciesRequest) (*iam.ListGroupPoliciesResponse, error) {
	names, p, err := s.listInline(ctx, groupKind, in.GroupName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListGroupPoliciesResponse{PolicyNames: names, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// AttachGroupPolicy implements iam:AttachGroupPolicy.
func (s *Service) AttachGroupPolicy(ctx context.Context, in *iam.AttachGroupPolicyRequest) error {
	return s.attach(ctx, groupKind, in.GroupName, in.PolicyArn)
}

// DetachGroupPolicy implements iam:DetachGroupPolicy.
func (s *Service) DetachGroupPolicy(ctx context.Context, in *iam.DetachGroupPolicyRequest) error {
	return s.detach(ctx, groupKind, in.GroupName, in.PolicyArn)
}

// ListAttachedGroupPolicies implements iam:ListAttachedGroupPolicies.
func (s *Service) ListAttachedGroupPolicies(ctx context.Context, in *iam.ListAttachedGroupPoliciesRequest) (*iam.ListAttachedGroupPoliciesResponse, error) {
	list, p, err := s.listAttached(ctx, groupKind, in.GroupName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListAttachedGroupPoliciesResponse{AttachedPolicies: list, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}
