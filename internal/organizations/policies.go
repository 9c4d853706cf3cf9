package organizations

import (
	"context"
	"errors"
	"unicode/utf8"

	"usher/internal/api/organizations"
	"usher/internal/db"
	"usher/internal/ids"
	"usher/internal/policy"
)

const serviceControl = organizations.PolicyTypeServiceControlPolicy

// controlPolicy is a row of organization_policies.
type controlPolicy struct {
	ID, Organization, Type, Name string
	Rev                          int64
	Doc                          db.JSON[policyDoc]
}

const policyColumns = `id, organization_id, type, name, rev, doc`

type policyDoc struct {
	Description string `json:"description"`
	Content     string `json:"content"`
}

// fullAccess is AWS's own policy, which is attached to everything at first.
var fullAccess = &controlPolicy{ID: "p-FullAWSAccess", Type: serviceControl, Name: "FullAWSAccess", Doc: db.JSON[policyDoc]{V: policyDoc{
	Description: "Allows access to every operation",
	Content:     `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
}}}

func (p *controlPolicy) arn(o *organization) string {
	if p.ID == fullAccess.ID {
		return "arn:aws:organizations::aws:policy/service_control_policy/" + p.ID
	}
	return "arn:aws:organizations::" + o.Management + ":policy/" + o.ID + "/service_control_policy/" + p.ID
}

func (p *controlPolicy) summary(o *organization) *organizations.PolicySummary {
	return &organizations.PolicySummary{Id: &p.ID, Arn: new(p.arn(o)), Name: &p.Name, Description: &p.Doc.V.Description, Type: &p.Type, AwsManaged: new(p.ID == fullAccess.ID)}
}

func (p *controlPolicy) wire(o *organization) *organizations.Policy {
	return &organizations.Policy{PolicySummary: p.summary(o), Content: &p.Doc.V.Content}
}

func (s *Service) policy(ctx context.Context, q db.Querier, o *organization, id string) (*controlPolicy, error) {
	if id == fullAccess.ID {
		return fullAccess, nil
	}
	p, err := db.One[controlPolicy](ctx, q, `SELECT `+policyColumns+` FROM organization_policies WHERE id = $1 AND organization_id = $2`, id, o.ID)
	if isNotFound(err) {
		err = organizations.ErrPolicyNotFound.Msg("You specified a policy that doesn't exist.")
	}
	return &p, err
}

// ownPolicy finds a policy that may be changed.
func (s *Service) ownPolicy(ctx context.Context, q db.Querier, o *organization, id string) (*controlPolicy, error) {
	if id == fullAccess.ID {
		return nil, organizations.ErrInvalidInput.Msg("You can't change an AWS managed policy.").Member("Reason", "IMMUTABLE_POLICY")
	}
	return s.policy(ctx, q, o, id)
}

// checkContent refuses what cannot be a service control policy.
func checkContent(text string) error {
	if utf8.RuneCountInString(text) > maxContent {
		return tooMany("POLICY_CONTENT_LIMIT_EXCEEDED", "The policy content exceeds the maximum of %d characters.", maxContent)
	}
	err := policy.Validate(text, policy.KindSCP)
	var bad *policy.Malformed
	var large *policy.TooLarge
	switch {
	case errors.As(err, &bad):
		return organizations.ErrMalformedPolicyDocument.Msg("The provided policy document does not meet the requirements of the specified policy type. %s", bad.Message)
	case errors.As(err, &large):
		return tooMany("POLICY_CONTENT_LIMIT_EXCEEDED", "%s", large.Message)
	}
	return err
}

var errPolicyName = organizations.ErrDuplicatePolicy.Msg("A policy with the same name already exists.")

func (s *Service) freePolicyName(ctx context.Context, tx *db.Tx, o *organization, name string) error {
	if name == fullAccess.Name {
		return errPolicyName
	}
	n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM organization_policies WHERE organization_id = $1 AND type = $2 AND name = $3`, o.ID, serviceControl, name)
	if err == nil && n > 0 {
		err = errPolicyName
	}
	return err
}

// CreatePolicy implements organizations:CreatePolicy, of service control policies.
func (s *Service) CreatePolicy(ctx context.Context, in *organizations.CreatePolicyRequest) (*organizations.CreatePolicyResponse, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	var out *organizations.Policy
	err = s.change(ctx, func(tx *db.Tx, o *organization) error {
		if *in.Type != serviceControl {
			return errOtherType
		}
		if err := checkContent(*in.Content); err != nil {
			return err
		}
		if err := s.freePolicyName(ctx, tx, o, *in.Name); err != nil {
			return err
		}
		n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM organization_policies WHERE organization_id = $1`, o.ID)
		if err != nil {
			return err
		}
		if n >= maxPolicies {
			return tooMany("POLICY_NUMBER_LIMIT_EXCEEDED", "You have exceeded the allowed number of policies.")
		}
		p := &controlPolicy{ID: ids.OrganizationPolicy(), Organization: o.ID, Type: serviceControl, Name: *in.Name, Rev: 1}
		p.Doc.V = policyDoc{Description: *in.Description, Content: *in.Content}
		if _, err := tx.ExecContext(ctx, `INSERT INTO organization_policies (`+policyColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`, p.ID, p.Organization, p.Type, p.Name, p.Rev, p.Doc); err != nil {
			return err
		}
		out = p.wire(o)
		return s.putTags(ctx, tx, o, p.ID, tags)
	})
	if err != nil {
		return nil, err
	}
	return &organizations.CreatePolicyResponse{Policy: out}, nil
}

var errOtherType = organizations.ErrPolicyTypeNotAvailableForOrganization.Msg("Only policies of type SERVICE_CONTROL_POLICY are available.")

// UpdatePolicy implements organizations:UpdatePolicy.
func (s *Service) UpdatePolicy(ctx context.Context, in *organizations.UpdatePolicyRequest) (*organizations.UpdatePolicyResponse, error) {
	var out *organizations.Policy
	err := s.change(ctx, func(tx *db.Tx, o *organization) error {
		p, err := s.ownPolicy(ctx, tx, o, *in.PolicyId)
		if err != nil {
			return err
		}
		if in.Name != nil && *in.Name != p.Name {
			if err := s.freePolicyName(ctx, tx, o, *in.Name); err != nil {
				return err
			}
			p.Name = *in.Name
		}
		if in.Description != nil {
			p.Doc.V.Description = *in.Description
		}
		if in.Content != nil {
			if err := checkContent(*in.Content); err != nil {
				return err
			}
			p.Doc.V.Content = *in.Content
		}
		out = p.wire(o)
		tx.Invalidate(structureScope)
		return db.Changed(tx.ExecContext(ctx, `UPDATE organization_policies SET name = $1, doc = $2, rev = rev + 1 WHERE id = $3 AND rev = $4`, p.Name, p.Doc, p.ID, p.Rev))
	})
	if err != nil {
		return nil, err
	}
	return &organizations.UpdatePolicyResponse{Policy: out}, nil
}

// DeletePolicy implements organizations:DeletePolicy.
func (s *Service) DeletePolicy(ctx context.Context, in *organizations.DeletePolicyRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		p, err := s.ownPolicy(ctx, tx, o, *in.PolicyId)
		if err != nil {
			return err
		}
		n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM organization_attachments WHERE policy_id = $1`, p.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			return organizations.ErrPolicyInUse.Msg("The policy is attached to one or more entities. You must detach it before you can delete it.")
		}
		if err := s.forget(ctx, tx, p.ID); err != nil {
			return err
		}
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM organization_policies WHERE id = $1 AND rev = $2`, p.ID, p.Rev))
	})
}

// DescribePolicy implements organizations:DescribePolicy.
func (s *Service) DescribePolicy(ctx context.Context, in *organizations.DescribePolicyRequest) (*organizations.DescribePolicyResponse, error) {
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	p, err := s.policy(ctx, s.DB, o, *in.PolicyId)
	if err != nil {
		return nil, err
	}
	return &organizations.DescribePolicyResponse{Policy: p.wire(o)}, nil
}

// ListPolicies implements organizations:ListPolicies.
func (s *Service) ListPolicies(ctx context.Context, in *organizations.ListPoliciesRequest) (*organizations.ListPoliciesResponse, error) {
	out := &organizations.ListPoliciesResponse{}
	var err error
	out.Policies, out.NextToken, err = s.listPolicies(ctx, *in.Filter, nil, in.NextToken, in.MaxResults)
	return out, err
}

// ListPoliciesForTarget implements organizations:ListPoliciesForTarget: what is attached to the very target.
func (s *Service) ListPoliciesForTarget(ctx context.Context, in *organizations.ListPoliciesForTargetRequest) (*organizations.ListPoliciesForTargetResponse, error) {
	out := &organizations.ListPoliciesForTargetResponse{}
	var err error
	out.Policies, out.NextToken, err = s.listPolicies(ctx, *in.Filter, in.TargetId, in.NextToken, in.MaxResults)
	return out, err
}

func (s *Service) listPolicies(ctx context.Context, kind string, target, token *string, max *int32) ([]organizations.PolicySummary, *string, error) {
	p, err := newPage(token, max)
	if err != nil {
		return nil, nil, err
	}
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, nil, err
	}
	if target != nil {
		if _, err := s.target(ctx, s.DB, o, *target); err != nil {
			return nil, nil, err
		}
	}
	if kind != serviceControl {
		return nil, nil, nil
	}
	var rows []controlPolicy
	full := int64(1) // whether AWS's policy is in the list, as the first
	if target == nil {
		rows, err = db.All[controlPolicy](ctx, s.DB, `SELECT `+policyColumns+` FROM organization_policies WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3`, o.ID, p.after, p.size+1)
	} else {
		rows, err = db.All[controlPolicy](ctx, s.DB, `SELECT `+policyColumns+` FROM organization_policies
			WHERE id IN (SELECT policy_id FROM organization_attachments WHERE target_id = $1) AND id > $2 ORDER BY id LIMIT $3`, *target, p.after, p.size+1)
		if err == nil {
			full, err = db.One[int64](ctx, s.DB, `SELECT COUNT(*) FROM organization_attachments WHERE target_id = $1 AND policy_id = $2`, *target, fullAccess.ID)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if full > 0 && p.after == "" {
		rows = append([]controlPolicy{*fullAccess}, rows...)
	}
	var list []organizations.PolicySummary
	key := func(r controlPolicy) string {
		if r.ID == fullAccess.ID {
			return "p-" // before all others
		}
		return r.ID
	}
	for _, r := range cut(p, rows, key) {
		list = append(list, *r.summary(o))
	}
	return list, p.next, nil
}

// target describes the root, a unit or an account.
func (s *Service) target(ctx context.Context, q db.Querier, o *organization, id string) (*organizations.PolicyTargetSummary, error) {
	t := &organizations.PolicyTargetSummary{TargetId: &id}
	var err error
	switch {
	case id == o.Root:
		t.Name, t.Type, t.Arn = new("Root"), new(organizations.TargetTypeRoot), new(o.arn("root", id))
		return t, nil
	case len(id) == 12:
		var m *member
		m, err = s.member(ctx, q, o, id)
		t.Name, t.Type, t.Arn = &m.Doc.V.Name, new(organizations.TargetTypeAccount), new(o.arn("account", id))
	default:
		var u *unit
		u, err = s.unit(ctx, q, o, id)
		t.Name, t.Type, t.Arn = &u.Name, new(organizations.TargetTypeOrganizationalUnit), new(o.arn("ou", id))
	}
	if isModeled(err) {
		err = organizations.ErrTargetNotFound.Msg("You specified a target that doesn't exist.")
	}
	return t, err
}

// ListTargetsForPolicy implements organizations:ListTargetsForPolicy.
func (s *Service) ListTargetsForPolicy(ctx context.Context, in *organizations.ListTargetsForPolicyRequest) (*organizations.ListTargetsForPolicyResponse, error) {
	p, err := newPage(in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	if _, err := s.policy(ctx, s.DB, o, *in.PolicyId); err != nil {
		return nil, err
	}
	rows, err := db.All[string](ctx, s.DB, `SELECT target_id FROM organization_attachments WHERE policy_id = $1 AND organization_id = $2 AND target_id > $3 ORDER BY target_id LIMIT $4`,
		*in.PolicyId, o.ID, p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	out := &organizations.ListTargetsForPolicyResponse{}
	for _, id := range cut(p, rows, func(id string) string { return id }) {
		t, err := s.target(ctx, s.DB, o, id)
		if err != nil {
			return nil, err
		}
		out.Targets = append(out.Targets, *t)
	}
	out.NextToken = p.next
	return out, nil
}

// AttachPolicy implements organizations:AttachPolicy.
func (s *Service) AttachPolicy(ctx context.Context, in *organizations.AttachPolicyRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		if err := s.attachable(ctx, tx, o, *in.PolicyId, *in.TargetId); err != nil {
			return err
		}
		have, err := db.All[string](ctx, tx, `SELECT policy_id FROM organization_attachments WHERE target_id = $1`, *in.TargetId)
		if err != nil {
			return err
		}
		for _, id := range have {
			if id == *in.PolicyId {
				return organizations.ErrDuplicatePolicyAttachment.Msg("The selected policy is already attached to the specified target.")
			}
		}
		if len(have) >= maxAttached {
			return tooMany("MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", "You have attached the maximum number of policies to the specified target.")
		}
		return s.attach(ctx, tx, o, *in.PolicyId, *in.TargetId)
	})
}

// attachable checks that a policy and a target are there and policies of the type are in use.
func (s *Service) attachable(ctx context.Context, tx *db.Tx, o *organization, policyID, target string) error {
	if _, err := s.policy(ctx, tx, o, policyID); err != nil {
		return err
	}
	if _, err := s.target(ctx, tx, o, target); err != nil {
		return err
	}
	if !o.Doc.V.SCP {
		return errNotEnabled
	}
	return nil
}

var errNotEnabled = organizations.ErrPolicyTypeNotEnabled.Msg("This operation can be performed only for enabled policy types.")

func (s *Service) attach(ctx context.Context, tx *db.Tx, o *organization, policyID, target string) error {
	tx.Invalidate(scopeOf(target))
	_, err := tx.ExecContext(ctx, `INSERT INTO organization_attachments (target_id, policy_id, organization_id) VALUES ($1, $2, $3)`, target, policyID, o.ID)
	return err
}

// scopeOf is what a change to the policies of a target concerns.
func scopeOf(target string) string {
	if len(target) == 12 {
		return accountScope(target)
	}
	return structureScope
}

// DetachPolicy implements organizations:DetachPolicy. One policy must remain.
func (s *Service) DetachPolicy(ctx context.Context, in *organizations.DetachPolicyRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		if err := s.attachable(ctx, tx, o, *in.PolicyId, *in.TargetId); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM organization_attachments WHERE target_id = $1 AND policy_id = $2`, *in.TargetId, *in.PolicyId)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return organizations.ErrPolicyNotAttached.Msg("The policy isn't attached to the specified target in the specified root.")
		}
		n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM organization_attachments WHERE target_id = $1`, *in.TargetId)
		if err != nil {
			return err
		}
		if n == 0 {
			return tooMany("MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", "You must keep at least one policy of the type attached to the specified target.")
		}
		tx.Invalidate(scopeOf(*in.TargetId))
		return nil
	})
}

// EnablePolicyType implements organizations:EnablePolicyType. AWS's policy is attached to everything, so that nothing changes
// before others are.
func (s *Service) EnablePolicyType(ctx context.Context, in *organizations.EnablePolicyTypeRequest) (*organizations.EnablePolicyTypeResponse, error) {
	root, err := s.setPolicyType(ctx, *in.RootId, *in.PolicyType, func(tx *db.Tx, o *organization) error {
		if o.Doc.V.SCP {
			return organizations.ErrPolicyTypeAlreadyEnabled.Msg("The specified policy type is already enabled.")
		}
		o.Doc.V.SCP = true
		_, err := tx.ExecContext(ctx, `INSERT INTO organization_attachments (target_id, policy_id, organization_id)
			SELECT root_id, $1, id FROM organizations WHERE id = $2 UNION ALL SELECT id, $1, organization_id FROM organization_units WHERE organization_id = $2
			UNION ALL SELECT account_id, $1, organization_id FROM organization_accounts WHERE organization_id = $2`, fullAccess.ID, o.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &organizations.EnablePolicyTypeResponse{Root: root}, nil
}

// DisablePolicyType implements organizations:DisablePolicyType. All policies are detached.
func (s *Service) DisablePolicyType(ctx context.Context, in *organizations.DisablePolicyTypeRequest) (*organizations.DisablePolicyTypeResponse, error) {
	root, err := s.setPolicyType(ctx, *in.RootId, *in.PolicyType, func(tx *db.Tx, o *organization) error {
		if !o.Doc.V.SCP {
			return errNotEnabled
		}
		o.Doc.V.SCP = false
		_, err := tx.ExecContext(ctx, `DELETE FROM organization_attachments WHERE organization_id = $1`, o.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &organizations.DisablePolicyTypeResponse{Root: root}, nil
}

func (s *Service) setPolicyType(ctx context.Context, rootID, kind string, set func(*db.Tx, *organization) error) (*organizations.Root, error) {
	var root *organizations.Root
	err := s.change(ctx, func(tx *db.Tx, o *organization) error {
		switch {
		case rootID != o.Root:
			return organizations.ErrRootNotFound.Msg("You specified a root that doesn't exist.")
		case kind != serviceControl:
			return errOtherType
		}
		if err := set(tx, o); err != nil {
			return err
		}
		root = o.wireRoot()
		return s.update(ctx, tx, o)
	})
	return root, err
}
