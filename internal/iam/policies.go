package iam

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/arn"
	"usher/internal/db"
	"usher/internal/ids"
	"usher/internal/policy"
)

// checkDocument refuses what is no policy of its kind, in AWS's words.
func checkDocument(document string, kind policy.Kind) error {
	return policyError(policy.Validate(document, kind))
}

// policyError is a fault of a document in the words of IAM.
func policyError(err error) error {
	var bad *policy.Malformed
	var large *policy.TooLarge
	switch {
	case errors.As(err, &bad):
		return iam.ErrMalformedPolicyDocument.Msg("%s", bad.Message)
	case errors.As(err, &large):
		return iam.ErrLimitExceeded.Msg("%s", large.Message)
	}
	return err
}

// managed is a managed policy: a row of iam_policies, or one of AWS's own (AccountID "aws").
type managed struct {
	ARN, AccountID      string
	Name, NameKey, Path string
	Created, Rev        int64
	Doc                 db.JSON[managedDoc]
}

const managedColumns = `arn, account_id, name, name_key, path, created, rev, doc`

type managedDoc struct {
	ID          string    `json:"id"`
	Description string    `json:"description,omitempty"`
	Default     string    `json:"default"` // id of the default version
	Last        int       `json:"last"`    // number of the newest version ever made
	Versions    []version `json:"versions"`
	Updated     int64     `json:"updated"`
	Tags        []tag     `json:"tags,omitempty"`
}

type version struct {
	ID       string `json:"id"`
	Document string `json:"document"` // as sent
	Created  int64  `json:"created"`
}

func (m *managed) version(id string) *version {
	for i := range m.Doc.V.Versions {
		if m.Doc.V.Versions[i].ID == id {
			return &m.Doc.V.Versions[i]
		}
	}
	return nil
}

const awsAccount = "aws" // of AWS's own managed policies

// findPolicy reads a managed policy by its ARN, AWS's own included; db.ErrNotFound if there is none.
func (s *Service) findPolicy(ctx context.Context, q db.Querier, text string) (*managed, error) {
	if m, ok := awsManaged[text]; ok {
		return m, nil
	}
	m, err := db.One[managed](ctx, q, `SELECT `+managedColumns+` FROM iam_policies WHERE arn = $1`, text)
	return &m, err
}

// managed reads a policy that a call names: one of the caller's account, or of AWS.
func (s *Service) managed(ctx context.Context, q db.Querier, text string) (*managed, error) {
	if _, err := arn.Parse(text); err != nil {
		return nil, errUnparsableARN
	}
	m, err := s.findPolicy(ctx, q, text)
	if isNotFound(err) || err == nil && m.AccountID != awsAccount && m.AccountID != account(ctx) {
		return nil, iam.ErrNoSuchEntity.Msg("Policy %s was not found.", text)
	}
	return m, err
}

func (s *Service) policyExists(ctx context.Context, q db.Querier, text string) (bool, error) {
	_, err := s.managed(ctx, q, text)
	if errors.Is(err, iam.ErrNoSuchEntity) {
		return false, nil
	}
	return err == nil, err
}

func (s *Service) checkAttachable(ctx context.Context, q db.Querier, text string) error {
	if strings.HasPrefix(text, rootTaskPolicies) {
		return iam.ErrPolicyNotAttachable.Msg("Cannot attach %s: it is for AssumeRoot.", text)
	}
	ok, err := s.policyExists(ctx, q, text)
	if err == nil && !ok {
		err = iam.ErrNoSuchEntity.Msg("Policy %s does not exist or is not attachable.", text)
	}
	return err
}

// changePolicy edits a customer managed policy.
func (s *Service) changePolicy(ctx context.Context, text string, change func(*db.Tx, *managed) error) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		m, err := s.managed(ctx, tx, text)
		if err != nil {
			return err
		}
		if m.AccountID == awsAccount {
			return iam.ErrInvalidInput.Msg("Cannot perform the operation on an AWS managed policy.")
		}
		if err := change(tx, m); err != nil {
			return err
		}
		tx.Invalidate(policyScope(m.ARN))
		return db.Changed(tx.ExecContext(ctx, `UPDATE iam_policies SET doc = $1, rev = rev + 1 WHERE arn = $2 AND rev = $3`, m.Doc, m.ARN, m.Rev))
	})
}

// wirePolicy is a policy with its counts of use within the caller's account.
func (s *Service) wirePolicy(ctx context.Context, q db.Querier, m *managed) (*iam.Policy, error) {
	type counts struct{ Attached, Bounding int64 }
	n, err := db.One[counts](ctx, q, `SELECT COUNT(CASE WHEN boundary = 0 THEN 1 END), COUNT(CASE WHEN boundary = 1 THEN 1 END)
		FROM iam_attachments WHERE policy_arn = $1 AND account_id = $2`, m.ARN, account(ctx))
	if err != nil {
		return nil, err
	}
	return &iam.Policy{
		PolicyName: &m.Name, PolicyId: &m.Doc.V.ID, Arn: &m.ARN, Path: &m.Path, DefaultVersionId: &m.Doc.V.Default,
		AttachmentCount: new(int32(n.Attached)), PermissionsBoundaryUsageCount: new(int32(n.Bounding)), IsAttachable: new(true),
		CreateDate: timeOf(m.Created), UpdateDate: timeOf(m.Doc.V.Updated),
	}, nil
}

// CreatePolicy implements iam:CreatePolicy.
func (s *Service) CreatePolicy(ctx context.Context, in *iam.CreatePolicyRequest) (*iam.CreatePolicyResponse, error) {
	if err := checkDocument(*in.PolicyDocument, policy.KindManaged); err != nil {
		return nil, err
	}
	tags, err := newTags(in.Tags, false)
	if err != nil {
		return nil, err
	}
	exists := iam.ErrEntityAlreadyExists.Msg("A policy called %s already exists. Duplicate names are not allowed.", *in.PolicyName)
	var m *managed
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		now := s.Now().UnixMicro()
		m = &managed{AccountID: account(ctx), Name: *in.PolicyName, NameKey: strings.ToLower(*in.PolicyName), Path: cmp.Or(str(in.Path), "/"), Created: now, Rev: 1}
		m.ARN = entityARN(m.AccountID, "policy", m.Path, m.Name)
		m.Doc.V = managedDoc{ID: ids.Policy(), Description: str(in.Description), Default: "v1", Last: 1, Updated: now, Tags: tags,
			Versions: []version{{ID: "v1", Document: *in.PolicyDocument, Created: now}}}
		type counts struct{ All, Named int64 }
		n, err := db.One[counts](ctx, tx, `SELECT COUNT(*), COUNT(CASE WHEN name_key = $1 THEN 1 END) FROM iam_policies WHERE account_id = $2`, m.NameKey, m.AccountID)
		switch {
		case err != nil:
			return err
		case n.Named > 0:
			return exists
		case n.All >= maxPolicies:
			return quota("PoliciesPerAccount", maxPolicies)
		}
		tx.Invalidate(policyScope(m.ARN))
		_, err = tx.ExecContext(ctx, `INSERT INTO iam_policies (`+managedColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			m.ARN, m.AccountID, m.Name, m.NameKey, m.Path, m.Created, m.Rev, m.Doc)
		return err
	})
	if db.IsUnique(err) {
		err = exists
	}
	if err != nil {
		return nil, err
	}
	p, err := s.wirePolicy(ctx, s.DB, m)
	if err != nil {
		return nil, err
	}
	p.Tags = wireTags(tags)
	return &iam.CreatePolicyResponse{Policy: p}, nil
}

// GetPolicy implements iam:GetPolicy.
func (s *Service) GetPolicy(ctx context.Context, in *iam.GetPolicyRequest) (*iam.GetPolicyResponse, error) {
	m, err := s.managed(ctx, s.DB, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	p, err := s.wirePolicy(ctx, s.DB, m)
	if err != nil {
		return nil, err
	}
	if m.Doc.V.Description != "" {
		p.Description = &m.Doc.V.Description
	}
	p.Tags = wireTags(m.Doc.V.Tags)
	return &iam.GetPolicyResponse{Policy: p}, nil
}

// ListPolicies implements iam:ListPolicies: AWS's policies first, then the account's.
func (s *Service) ListPolicies(ctx context.Context, in *iam.ListPoliciesRequest) (*iam.ListPoliciesResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var list []*managed
	if str(in.Scope) != iam.PolicyScopeTypeLocal {
		list = append(list, awsManagedList...)
	}
	if str(in.Scope) != iam.PolicyScopeTypeAws {
		from, to := pathRange(in.PathPrefix)
		own, err := db.All[managed](ctx, s.DB, `SELECT `+managedColumns+` FROM iam_policies
			WHERE account_id = $1 AND path >= $2 AND path < $3 ORDER BY name_key LIMIT $4`, account(ctx), from, to, maxPolicies)
		if err != nil {
			return nil, err
		}
		for i := range own {
			list = append(list, &own[i])
		}
	}
	used, err := s.policiesInUse(ctx, str(in.PolicyUsageFilter))
	if err != nil {
		return nil, err
	}
	key := func(m *managed) string {
		if m.AccountID == awsAccount {
			return "0" + m.NameKey
		}
		return "1" + m.NameKey
	}
	list = slices.DeleteFunc(list, func(m *managed) bool {
		return key(m) <= p.after || !strings.HasPrefix(m.Path, str(in.PathPrefix)) ||
			(in.OnlyAttached != nil && *in.OnlyAttached || in.PolicyUsageFilter != nil) && !used[m.ARN]
	})
	out := &iam.ListPoliciesResponse{}
	for _, m := range cut(p, list, key) {
		w, err := s.wirePolicy(ctx, s.DB, m)
		if err != nil {
			return nil, err
		}
		out.Policies = append(out.Policies, *w)
	}
	out.IsTruncated, out.Marker = p.isTruncated(), p.marker()
	return out, nil
}

// policiesInUse lists the ARNs of the policies that entities of the caller's account use.
func (s *Service) policiesInUse(ctx context.Context, usage string) (map[string]bool, error) {
	arns, err := db.All[string](ctx, s.DB, `SELECT DISTINCT policy_arn FROM iam_attachments WHERE account_id = $1 AND boundary = $2`,
		account(ctx), boundaryFlag(usage))
	used := map[string]bool{}
	for _, a := range arns {
		used[a] = true
	}
	return used, err
}

func boundaryFlag(usage string) int {
	if usage == iam.PolicyUsageTypePermissionsBoundary {
		return 1
	}
	return 0
}

// ListEntitiesForPolicy implements iam:ListEntitiesForPolicy.
func (s *Service) ListEntitiesForPolicy(ctx context.Context, in *iam.ListEntitiesForPolicyRequest) (*iam.ListEntitiesForPolicyResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	m, err := s.managed(ctx, s.DB, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	kind := map[string]string{iam.EntityTypeUser: userKind, iam.EntityTypeGroup: groupKind, iam.EntityTypeRole: roleKind}[str(in.EntityFilter)]
	from, to := pathRange(in.PathPrefix)
	type row struct{ ID, Kind, Name string }
	rows, err := db.All[row](ctx, s.DB, `SELECT DISTINCT e.id, e.kind, e.name FROM iam_attachments a JOIN iam_entities e ON e.id = a.entity_id
		WHERE a.policy_arn = $1 AND a.account_id = $2 AND ($3 = '' OR e.kind = $3) AND ($4 = '' OR a.boundary = $5)
		AND e.path >= $6 AND e.path < $7 AND e.id > $8 ORDER BY e.id LIMIT $9`,
		m.ARN, account(ctx), kind, str(in.PolicyUsageFilter), boundaryFlag(str(in.PolicyUsageFilter)), from, to, p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	out := &iam.ListEntitiesForPolicyResponse{}
	for _, r := range cut(p, rows, func(r row) string { return r.ID }) {
		switch r.Kind {
		case userKind:
			out.PolicyUsers = append(out.PolicyUsers, iam.PolicyUser{UserName: &r.Name, UserId: &r.ID})
		case groupKind:
			out.PolicyGroups = append(out.PolicyGroups, iam.PolicyGroup{GroupName: &r.Name, GroupId: &r.ID})
		case roleKind:
			out.PolicyRoles = append(out.PolicyRoles, iam.PolicyRole{RoleName: &r.Name, RoleId: &r.ID})
		}
	}
	out.IsTruncated, out.Marker = p.isTruncated(), p.marker()
	return out, nil
}

// DeletePolicy implements iam:DeletePolicy.
func (s *Service) DeletePolicy(ctx context.Context, in *iam.DeletePolicyRequest) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		m, err := s.managed(ctx, tx, *in.PolicyArn)
		if err != nil {
			return err
		}
		if m.AccountID == awsAccount {
			return iam.ErrInvalidInput.Msg("Cannot perform the operation on an AWS managed policy.")
		}
		uses, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_attachments WHERE policy_arn = $1`, m.ARN)
		switch {
		case err != nil:
			return err
		case uses > 0:
			return iam.ErrDeleteConflict.Msg("Cannot delete a policy attached to entities.")
		case len(m.Doc.V.Versions) > 1:
			return iam.ErrDeleteConflict.Msg("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		tx.Invalidate(policyScope(m.ARN))
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM iam_policies WHERE arn = $1 AND rev = $2`, m.ARN, m.Rev))
	})
}

func wireVersion(m *managed, v *version) *iam.PolicyVersion {
	return &iam.PolicyVersion{VersionId: &v.ID, IsDefaultVersion: new(v.ID == m.Doc.V.Default), CreateDate: timeOf(v.Created)}
}

func noSuchVersion(text, id string) error {
	return iam.ErrNoSuchEntity.Msg("Policy %s version %s does not exist or is not attachable.", text, id)
}

// CreatePolicyVersion implements iam:CreatePolicyVersion.
func (s *Service) CreatePolicyVersion(ctx context.Context, in *iam.CreatePolicyVersionRequest) (*iam.CreatePolicyVersionResponse, error) {
	if err := checkDocument(*in.PolicyDocument, policy.KindManaged); err != nil {
		return nil, err
	}
	var out *iam.PolicyVersion
	err := s.changePolicy(ctx, *in.PolicyArn, func(_ *db.Tx, m *managed) error {
		d := &m.Doc.V
		if len(d.Versions) >= maxVersions {
			return iam.ErrLimitExceeded.Msg("A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		d.Last++
		d.Updated = s.Now().UnixMicro()
		v := version{ID: "v" + strconv.Itoa(d.Last), Document: *in.PolicyDocument, Created: d.Updated}
		d.Versions = append(d.Versions, v)
		if in.SetAsDefault != nil && *in.SetAsDefault {
			d.Default = v.ID
		}
		out = wireVersion(m, &v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iam.CreatePolicyVersionResponse{PolicyVersion: out}, nil
}

// GetPolicyVersion implements iam:GetPolicyVersion.
func (s *Service) GetPolicyVersion(ctx context.Context, in *iam.GetPolicyVersionRequest) (*iam.GetPolicyVersionResponse, error) {
	m, err := s.managed(ctx, s.DB, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	v := m.version(*in.VersionId)
	if v == nil {
		return nil, noSuchVersion(m.ARN, *in.VersionId)
	}
	w := wireVersion(m, v)
	w.Document = &v.Document
	return &iam.GetPolicyVersionResponse{PolicyVersion: w}, nil
}

// ListPolicyVersions implements iam:ListPolicyVersions, newest first.
func (s *Service) ListPolicyVersions(ctx context.Context, in *iam.ListPolicyVersionsRequest) (*iam.ListPolicyVersionsResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	m, err := s.managed(ctx, s.DB, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	list := slices.Clone(m.Doc.V.Versions)
	slices.Reverse(list)
	if i := slices.IndexFunc(list, func(v version) bool { return v.ID == p.after }); i >= 0 {
		list = list[i+1:]
	}
	out := &iam.ListPolicyVersionsResponse{}
	for _, v := range cut(p, list, func(v version) string { return v.ID }) {
		out.Versions = append(out.Versions, *wireVersion(m, &v))
	}
	out.IsTruncated, out.Marker = p.isTruncated(), p.marker()
	return out, nil
}

// SetDefaultPolicyVersion implements iam:SetDefaultPolicyVersion.
func (s *Service) SetDefaultPolicyVersion(ctx context.Context, in *iam.SetDefaultPolicyVersionRequest) error {
	return s.changePolicy(ctx, *in.PolicyArn, func(_ *db.Tx, m *managed) error {
		if m.version(*in.VersionId) == nil {
			return noSuchVersion(m.ARN, *in.VersionId)
		}
		m.Doc.V.Default, m.Doc.V.Updated = *in.VersionId, s.Now().UnixMicro()
		return nil
	})
}

// DeletePolicyVersion implements iam:DeletePolicyVersion.
func (s *Service) DeletePolicyVersion(ctx context.Context, in *iam.DeletePolicyVersionRequest) error {
	return s.changePolicy(ctx, *in.PolicyArn, func(_ *db.Tx, m *managed) error {
		switch {
		case m.version(*in.VersionId) == nil:
			return noSuchVersion(m.ARN, *in.VersionId)
		case *in.VersionId == m.Doc.V.Default:
			return iam.ErrDeleteConflict.Msg("Cannot delete the default version of a policy.")
		}
		m.Doc.V.Versions = slices.DeleteFunc(m.Doc.V.Versions, func(v version) bool { return v.ID == *in.VersionId })
		return nil
	})
}
