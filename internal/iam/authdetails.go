package iam

import (
	"context"
	"slices"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/db"
)

// GetAccountAuthorizationDetails implements iam:GetAccountAuthorizationDetails: users, groups, roles and the managed
// policies of the account, then AWS's own policies that are in use.
func (s *Service) GetAccountAuthorizationDetails(ctx context.Context, in *iam.GetAccountAuthorizationDetailsRequest) (*iam.GetAccountAuthorizationDetailsResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	wanted := func(kind string) bool { return len(in.Filter) == 0 || slices.Contains(in.Filter, kind) }
	var list []detail
	for i, kind := range []string{iam.EntityTypeUser, iam.EntityTypeGroup, iam.EntityTypeRole} {
		if wanted(kind) && len(list) <= p.size {
			if list, err = s.entityDetails(ctx, list, p, '0'+byte(i), strings.ToLower(kind)); err != nil {
				return nil, err
			}
		}
	}
	if wanted(iam.EntityTypeLocalManagedPolicy) && len(list) <= p.size {
		own, err := db.All[managed](ctx, s.DB, `SELECT `+managedColumns+` FROM iam_policies WHERE account_id = $1 AND name_key > $2 ORDER BY name_key LIMIT $3`,
			account(ctx), p.afterOf('3'), p.size+1)
		if err != nil {
			return nil, err
		}
		for i := range own {
			list = append(list, detail{key: "3" + own[i].NameKey, policy: &own[i]})
		}
	}
	if wanted(iam.EntityTypeAWSManagedPolicy) && len(list) <= p.size {
		used, err := db.All[string](ctx, s.DB, `SELECT DISTINCT policy_arn FROM iam_attachments WHERE account_id = $1`, account(ctx))
		if err != nil {
			return nil, err
		}
		for _, m := range awsManagedList {
			if key := "4" + m.NameKey; slices.Contains(used, m.ARN) && key > p.after {
				list = append(list, detail{key: key, policy: m})
			}
		}
	}
	out := &iam.GetAccountAuthorizationDetailsResponse{}
	for _, d := range cut(p, list, func(d detail) string { return d.key }) {
		if err := s.addDetail(ctx, out, &d); err != nil {
			return nil, err
		}
	}
	out.IsTruncated, out.Marker = p.isTruncated(), p.marker()
	return out, nil
}

// detail is an element of the list; its key begins with a digit for the kind, in the order of the list.
type detail struct {
	key    string
	entity *entity
	policy *managed
}

// afterOf is the name after which the page begins among the elements of one kind: all of it, part of it, or nothing.
func (p *page) afterOf(kind byte) string {
	switch {
	case p.after == "" || p.after[0] < kind:
		return ""
	case p.after[0] == kind:
		return p.after[1:]
	}
	return "\U0010FFFF"
}

func (s *Service) entityDetails(ctx context.Context, list []detail, p *page, digit byte, kind string) ([]detail, error) {
	found, err := db.All[entity](ctx, s.DB, `SELECT `+entityColumns+` FROM iam_entities
		WHERE account_id = $1 AND kind = $2 AND name_key > $3 ORDER BY name_key LIMIT $4`, account(ctx), kind, p.afterOf(digit), p.size+1)
	for i := range found {
		list = append(list, detail{key: string(digit) + found[i].NameKey, entity: &found[i]})
	}
	return list, err
}

func (s *Service) addDetail(ctx context.Context, out *iam.GetAccountAuthorizationDetailsResponse, d *detail) error {
	if d.policy != nil {
		w, err := s.policyDetail(ctx, d.policy)
		if err == nil {
			out.Policies = append(out.Policies, *w)
		}
		return err
	}
	e := d.entity
	arns, err := db.All[string](ctx, s.DB, `SELECT policy_arn FROM iam_attachments WHERE entity_id = $1 AND boundary = 0 ORDER BY policy_arn`, e.ID)
	if err != nil {
		return err
	}
	attached, inline := []iam.AttachedPolicy{}, []iam.PolicyDetail{} // AWS writes empty lists
	for _, a := range arns {
		attached = append(attached, iam.AttachedPolicy{PolicyName: new(policyName(a)), PolicyArn: new(a)})
	}
	for _, name := range sortedKeys(e.Doc.V.Inline) {
		inline = append(inline, iam.PolicyDetail{PolicyName: new(name), PolicyDocument: new(e.Doc.V.Inline[name])})
	}
	switch e.Kind {
	case userKind:
		groups, err := s.groupsOf(ctx, s.DB, e.ID)
		if err != nil {
			return err
		}
		u := iam.UserDetail{
			Path: &e.Path, UserName: &e.Name, UserId: &e.ID, Arn: new(e.ARN()), CreateDate: timeOf(e.Created),
			UserPolicyList: inline, AttachedManagedPolicies: attached, PermissionsBoundary: e.boundary(), Tags: wireTags(e.Doc.V.Tags),
			GroupList: []string{},
		}
		for i := range groups {
			u.GroupList = append(u.GroupList, groups[i].Name)
		}
		out.UserDetailList = append(out.UserDetailList, u)
	case groupKind:
		out.GroupDetailList = append(out.GroupDetailList, iam.GroupDetail{
			Path: &e.Path, GroupName: &e.Name, GroupId: &e.ID, Arn: new(e.ARN()), CreateDate: timeOf(e.Created),
			GroupPolicyList: inline, AttachedManagedPolicies: attached,
		})
	case roleKind:
		r, err := s.wireRole(ctx, s.DB, e)
		if err != nil {
			return err
		}
		used, err := s.roleLastUsed(ctx, e.ID)
		if err != nil {
			return err
		}
		out.RoleDetailList = append(out.RoleDetailList, iam.RoleDetail{
			Path: r.Path, RoleName: r.RoleName, RoleId: r.RoleId, Arn: r.Arn, CreateDate: r.CreateDate, AssumeRolePolicyDocument: r.AssumeRolePolicyDocument,
			RolePolicyList: inline, AttachedManagedPolicies: attached, PermissionsBoundary: e.boundary(), Tags: wireTags(e.Doc.V.Tags),
			RoleLastUsed: used, InstanceProfileList: []iam.InstanceProfile{},
		})
	}
	return nil
}

// policyDetail is a managed policy with its versions, the newest first.
func (s *Service) policyDetail(ctx context.Context, m *managed) (*iam.ManagedPolicyDetail, error) {
	w, err := s.wirePolicy(ctx, s.DB, m)
	if err != nil {
		return nil, err
	}
	d := &iam.ManagedPolicyDetail{
		PolicyName: w.PolicyName, PolicyId: w.PolicyId, Arn: w.Arn, Path: w.Path, DefaultVersionId: w.DefaultVersionId, AttachmentCount: w.AttachmentCount,
		PermissionsBoundaryUsageCount: w.PermissionsBoundaryUsageCount, IsAttachable: w.IsAttachable, CreateDate: w.CreateDate, UpdateDate: w.UpdateDate,
	}
	if m.Doc.V.Description != "" {
		d.Description = &m.Doc.V.Description
	}
	for _, v := range slices.Backward(m.Doc.V.Versions) {
		wv := wireVersion(m, &v)
		wv.Document = &v.Document
		d.PolicyVersionList = append(d.PolicyVersionList, *wv)
	}
	return d, nil
}
