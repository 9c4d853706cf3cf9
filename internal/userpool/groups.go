package userpool

import (
	"context"
	"errors"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// CreateGroup creates a group.
func (s *Service) CreateGroup(ctx context.Context, in *cognitoidp.CreateGroupRequest) (*cognitoidp.CreateGroupResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	now := s.now()
	g := group{PoolID: p.ID, Name: *in.GroupName, Description: in.Description, RoleArn: in.RoleArn, Created: now, Modified: now}
	if in.Precedence != nil {
		g.Precedence = new(int64(*in.Precedence))
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if _, err := readPool(ctx, tx, p.ID); err != nil {
			return err
		}
		n, err := db.One[int](ctx, tx, `SELECT count(*) FROM user_groups WHERE pool_id = $1`, p.ID)
		if err != nil {
			return err
		}
		if n >= maxGroups {
			return errLimit("groups", maxGroups)
		}
		err = db.Changed(tx.ExecContext(ctx, `INSERT INTO user_groups (pool_id, name, description, role_arn, precedence, created, modified)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (pool_id, name) DO NOTHING`,
			g.PoolID, g.Name, g.Description, g.RoleArn, g.Precedence, g.Created, g.Modified))
		if errors.Is(err, db.ErrConflict) {
			return errGroupExists
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.CreateGroupResponse{Group: wireGroup(&g)}, nil
}

// checkDescription refuses what PostgreSQL cannot store.
func checkDescription(text *string) error {
	if strings.Contains(deref(text), "\x00") {
		return errDescription
	}
	return nil
}

// group returns a group of the pool.
func (s *Service) group(ctx context.Context, q db.Querier, p *pool, name string) (*group, error) {
	g, err := db.One[group](ctx, q, `SELECT `+groupColumns+` FROM user_groups g WHERE g.pool_id = $1 AND g.name = $2`, p.ID, name)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errGroupNotFound
	}
	return &g, err
}

// ownGroup returns a group of the caller's pool.
func (s *Service) ownGroup(ctx context.Context, poolID, name *string) (*pool, *group, error) {
	p, err := s.ownPool(ctx, *poolID)
	if err != nil {
		return nil, nil, err
	}
	g, err := s.group(ctx, s.DB, p, *name)
	return p, g, err
}

// GetGroup returns a group.
func (s *Service) GetGroup(ctx context.Context, in *cognitoidp.GetGroupRequest) (*cognitoidp.GetGroupResponse, error) {
	_, g, err := s.ownGroup(ctx, in.UserPoolId, in.GroupName)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.GetGroupResponse{Group: wireGroup(g)}, nil
}

// UpdateGroup changes a group: what is not in the request stays.
func (s *Service) UpdateGroup(ctx context.Context, in *cognitoidp.UpdateGroupRequest) (*cognitoidp.UpdateGroupResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	var g *group
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		var err error
		if g, err = s.group(ctx, tx, p, *in.GroupName); err != nil {
			return err
		}
		if in.Description != nil {
			g.Description = in.Description
		}
		if in.RoleArn != nil {
			g.RoleArn = in.RoleArn
		}
		if in.Precedence != nil {
			g.Precedence = new(int64(*in.Precedence))
		}
		g.Modified = s.now()
		return db.Changed(tx.ExecContext(ctx, `UPDATE user_groups SET description = $3, role_arn = $4, precedence = $5, modified = $6
			WHERE pool_id = $1 AND name = $2`, g.PoolID, g.Name, g.Description, g.RoleArn, g.Precedence, g.Modified))
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.UpdateGroupResponse{Group: wireGroup(g)}, nil
}

// DeleteGroup deletes a group. Its members are not deleted.
func (s *Service) DeleteGroup(ctx context.Context, in *cognitoidp.DeleteGroupRequest) error {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		err := db.Changed(tx.ExecContext(ctx, `DELETE FROM user_groups WHERE pool_id = $1 AND name = $2`, p.ID, *in.GroupName))
		if errors.Is(err, db.ErrConflict) {
			return errGroupNotFound
		} else if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM user_group_members WHERE pool_id = $1 AND group_name = $2`, p.ID, *in.GroupName)
		return err
	})
}

// ListGroups lists the groups of a pool.
func (s *Service) ListGroups(ctx context.Context, in *cognitoidp.ListGroupsRequest) (*cognitoidp.ListGroupsResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	page, err := s.openPage(in.NextToken, in.Limit, "ListGroups", p.ID)
	if err != nil {
		return nil, err
	}
	groups, err := db.All[group](ctx, s.DB, `SELECT `+groupColumns+` FROM user_groups g WHERE g.pool_id = $1 AND g.name > $2 ORDER BY g.name LIMIT $3`,
		p.ID, page.after(0), page.fetch())
	if err != nil {
		return nil, err
	}
	out := &cognitoidp.ListGroupsResponse{}
	groups, out.NextToken = cut(page, groups, func(g *group) []string { return []string{g.Name} })
	out.Groups = wireGroups(groups)
	return out, nil
}

// ListUsersInGroup lists the members of a group.
func (s *Service) ListUsersInGroup(ctx context.Context, in *cognitoidp.ListUsersInGroupRequest) (*cognitoidp.ListUsersInGroupResponse, error) {
	p, g, err := s.ownGroup(ctx, in.UserPoolId, in.GroupName)
	if err != nil {
		return nil, err
	}
	page, err := s.openPage(in.NextToken, in.Limit, "ListUsersInGroup", p.ID, g.Name)
	if err != nil {
		return nil, err
	}
	rows, err := db.All[userRow](ctx, s.DB, `SELECT `+listColumns+` FROM user_group_members m
		JOIN users u ON u.pool_id = m.pool_id AND u.username_key = m.username_key
		WHERE m.pool_id = $1 AND m.group_name = $2 AND m.username_key > $3 ORDER BY m.username_key LIMIT $4`,
		p.ID, g.Name, page.after(0), page.fetch())
	if err != nil {
		return nil, err
	}
	out := &cognitoidp.ListUsersInGroupResponse{Users: []cognitoidp.UserType{}}
	rows, out.NextToken = cut(page, rows, func(r *userRow) []string { return []string{r.Key} })
	for i := range rows {
		out.Users = append(out.Users, *wireUser(p, &user{userRow: rows[i]}))
	}
	return out, nil
}

// AdminAddUserToGroup makes a user a member of a group. It is no error if he is one already.
func (s *Service) AdminAddUserToGroup(ctx context.Context, in *cognitoidp.AdminAddUserToGroupRequest) error {
	return s.changeMembership(ctx, in.UserPoolId, in.Username, in.GroupName, func(tx *db.Tx, u *user, g *group) error {
		n, err := db.One[int](ctx, tx, `SELECT count(*) FROM user_group_members WHERE pool_id = $1 AND username_key = $2 AND group_name <> $3`,
			u.PoolID, u.Key, g.Name)
		if err != nil {
			return err
		}
		if n >= maxGroupsOfUser {
			return errLimit("groups of a user", maxGroupsOfUser)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO user_group_members (pool_id, username_key, group_name) VALUES ($1, $2, $3)
			ON CONFLICT (pool_id, username_key, group_name) DO NOTHING`, u.PoolID, u.Key, g.Name)
		return err
	})
}

// AdminRemoveUserFromGroup ends the membership of a user in a group. It is no error if he is not a member.
func (s *Service) AdminRemoveUserFromGroup(ctx context.Context, in *cognitoidp.AdminRemoveUserFromGroupRequest) error {
	return s.changeMembership(ctx, in.UserPoolId, in.Username, in.GroupName, func(tx *db.Tx, u *user, g *group) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM user_group_members WHERE pool_id = $1 AND username_key = $2 AND group_name = $3`,
			u.PoolID, u.Key, g.Name)
		return err
	})
}

func (s *Service) changeMembership(ctx context.Context, poolID, username, groupName *string, change func(*db.Tx, *user, *group) error) error {
	p, err := s.ownPool(ctx, *poolID)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		u, err := s.findUser(ctx, tx, p, *username)
		if err != nil {
			return err
		}
		g, err := s.group(ctx, tx, p, *groupName)
		if err != nil {
			return err
		}
		return change(tx, u, g)
	})
}

// AdminListGroupsForUser lists the groups of a user.
func (s *Service) AdminListGroupsForUser(ctx context.Context, in *cognitoidp.AdminListGroupsForUserRequest) (*cognitoidp.AdminListGroupsForUserResponse, error) {
	p, u, err := s.adminUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	page, err := s.openPage(in.NextToken, in.Limit, "AdminListGroupsForUser", p.ID, u.Sub)
	if err != nil {
		return nil, err
	}
	groups, err := db.All[group](ctx, s.DB, `SELECT `+groupColumns+` FROM user_group_members m
		JOIN user_groups g ON g.pool_id = m.pool_id AND g.name = m.group_name
		WHERE m.pool_id = $1 AND m.username_key = $2 AND m.group_name > $3 ORDER BY m.group_name LIMIT $4`,
		p.ID, u.Key, page.after(0), page.fetch())
	if err != nil {
		return nil, err
	}
	out := &cognitoidp.AdminListGroupsForUserResponse{}
	groups, out.NextToken = cut(page, groups, func(g *group) []string { return []string{g.Name} })
	out.Groups = wireGroups(groups)
	return out, nil
}

// groupsOf returns all groups of a user, those of the lowest precedence first, without precedence last, and then by name.
func (s *Service) groupsOf(ctx context.Context, q db.Querier, p *pool, key string) ([]group, error) {
	return db.All[group](ctx, q, `SELECT `+groupColumns+` FROM user_group_members m
		JOIN user_groups g ON g.pool_id = m.pool_id AND g.name = m.group_name
		WHERE m.pool_id = $1 AND m.username_key = $2
		ORDER BY CASE WHEN g.precedence IS NULL THEN 1 ELSE 0 END, g.precedence, g.name LIMIT $3`, p.ID, key, maxGroupsOfUser)
}
