package iam

import (
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/arn"
	"usher/internal/db"
	"usher/internal/policy"
)

// simulation asks the policy engine what it would decide. Nothing of the request is known but what the caller gives: there
// are no condition keys besides his.
type simulation struct {
	principal policy.Principal
	policies  policy.Policies
	keys      policy.Context
	actions   []string
	resources []string
	owner     string // account of resources that do not tell; with a resource policy only
	together  bool   // each action needs all of the resources at once
}

// SimulateCustomPolicy implements iam:SimulateCustomPolicy.
func (s *Service) SimulateCustomPolicy(ctx context.Context, in *iam.SimulateCustomPolicyRequest) (*iam.SimulatePolicyResponse, error) {
	sim := &simulation{principal: policy.Principal{Kind: policy.User, AccountID: account(ctx)}, actions: in.ActionNames, resources: in.ResourceArns}
	var err error
	if sim.policies.Identity, err = inputPolicies("PolicyInputList", in.PolicyInputList); err != nil {
		return nil, err
	}
	for i, level := range in.OrderedOrganizationPolicyInputList {
		sources, err := inputPolicies("OrderedOrganizationPolicyInputList."+strconv.Itoa(i+1), level.ServiceControlPolicyInputList)
		if err != nil {
			return nil, err
		}
		sim.policies.SCP = append(sim.policies.SCP, sources)
	}
	if err := sim.setBoundary(in.PermissionsBoundaryPolicyInputList); err != nil {
		return nil, err
	}
	if err := s.setResourcePolicy(ctx, sim, in.ResourcePolicy, in.ResourceOwner, in.CallerArn); err != nil {
		return nil, err
	}
	if err := sim.setKeys(in.ContextEntries); err != nil {
		return nil, err
	}
	if err := sim.setScenario(in.ResourceHandlingOption); err != nil {
		return nil, err
	}
	return sim.run(in.Marker, in.MaxItems)
}

// SimulatePrincipalPolicy implements iam:SimulatePrincipalPolicy: the policies of a user, group or role as they are, and
// those that the caller adds.
func (s *Service) SimulatePrincipalPolicy(ctx context.Context, in *iam.SimulatePrincipalPolicyRequest) (*iam.SimulatePolicyResponse, error) {
	e, err := s.policySource(ctx, *in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	sim := &simulation{actions: in.ActionNames, resources: in.ResourceArns}
	sim.principal = policy.Principal{Kind: policy.User, AccountID: e.AccountID, ARN: e.ARN(), ID: e.ID}
	if e.Kind == roleKind {
		sim.principal.Kind, sim.principal.ParentARN = policy.RoleSession, e.ARN()
	}
	if sim.policies.Identity, err = s.policiesOf(ctx, e); err != nil {
		return nil, err
	}
	sim.policies.Identity = slices.DeleteFunc(sim.policies.Identity, func(src policy.Source) bool { return excluded(in.PolicyExclusionList, &src) })
	added, err := inputPolicies("PolicyInputList", in.PolicyInputList)
	if err != nil {
		return nil, err
	}
	sim.policies.Identity = append(sim.policies.Identity, added...)
	if e.Doc.V.Boundary != "" {
		src, err := s.ManagedPolicy(ctx, e.Doc.V.Boundary)
		if err != nil {
			return nil, err
		}
		if src.Type = iam.PolicyIdentifierPolicyTypePermissionBoundary; !excluded(in.PolicyExclusionList, &src) {
			sim.policies.Boundary = &src
		}
	}
	if err := s.setOrganization(ctx, sim, e, in.PolicyExclusionList); err != nil {
		return nil, err
	}
	if err := sim.setBoundary(in.PermissionsBoundaryPolicyInputList); err != nil {
		return nil, err
	}
	caller := in.CallerArn
	if caller == nil && e.Kind == userKind {
		caller = new(e.ARN())
	}
	if err := s.setResourcePolicy(ctx, sim, in.ResourcePolicy, in.ResourceOwner, caller); err != nil {
		return nil, err
	}
	if err := sim.setKeys(in.ContextEntries); err != nil {
		return nil, err
	}
	if err := sim.setScenario(in.ResourceHandlingOption); err != nil {
		return nil, err
	}
	return sim.run(in.Marker, in.MaxItems)
}

// setOrganization adds the service control policies that count for a user, role or the members of a group. A level whose
// policies are all left out stays, and allows nothing, unless the whole kind is left out.
func (s *Service) setOrganization(ctx context.Context, sim *simulation, e *entity, exclude []iam.PolicyIdentifier) error {
	m, err := s.Membership(ctx, e.AccountID)
	if err != nil || m == nil || excluded(exclude, &policy.Source{Type: iam.PolicyIdentifierPolicyTypeScp, ARN: "*"}) ||
		e.Kind == roleKind && strings.HasPrefix(e.Path, servicePath) {
		return err
	}
	for _, level := range m.ServiceControl {
		sim.policies.SCP = append(sim.policies.SCP, slices.DeleteFunc(slices.Clone(level), func(src policy.Source) bool { return excluded(exclude, &src) }))
	}
	return nil
}

// scenarios are the kinds of EC2 requests that can be simulated whole, with the types of resources that each needs (IAM API
// Reference, SimulateCustomPolicy).
var scenarios = map[string][]string{
	"EC2-VPC-InstanceStore":        {"instance", "image", "security-group", "network-interface"},
	"EC2-VPC-InstanceStore-Subnet": {"instance", "image", "security-group", "network-interface", "subnet"},
	"EC2-VPC-EBS":                  {"instance", "image", "security-group", "network-interface", "volume"},
	"EC2-VPC-EBS-Subnet":           {"instance", "image", "security-group", "network-interface", "subnet", "volume"},
	"EC2-Classic-InstanceStore":    {"instance", "image", "security-group"},
	"EC2-Classic-EBS":              {"instance", "image", "security-group", "volume"},
}

// setScenario has each action need all resources at once, and checks that none of those that it needs is missing.
func (sim *simulation) setScenario(option *string) error {
	if option == nil {
		return nil
	}
	needs, ok := scenarios[*option]
	if !ok {
		return iam.ErrInvalidInput.Msg("Invalid ResourceHandlingOption: %s", *option)
	}
	for _, kind := range needs {
		if !slices.ContainsFunc(sim.resources, func(text string) bool {
			a, err := arn.Parse(text)
			part, _ := a.Type()
			return err == nil && a.Service == "ec2" && part == kind
		}) {
			return iam.ErrInvalidInput.Msg("ResourceHandlingOption %s needs a resource of the type %s.", *option, kind)
		}
	}
	sim.together = true
	return nil
}

// excluded reports whether a simulation is to leave a policy out: by its kind, its ARN, or what it is inline in.
func excluded(list []iam.PolicyIdentifier, src *policy.Source) bool {
	kind := src.Type
	if src.ARN == "" {
		kind = iam.PolicyIdentifierPolicyTypeInline
	}
	return slices.ContainsFunc(list, func(x iam.PolicyIdentifier) bool {
		switch in := x.InlinePolicyIdentifier; {
		case x.PolicyType != nil:
			return *x.PolicyType == kind
		case x.PolicyArn != nil:
			return *x.PolicyArn == src.ARN
		case in != nil:
			return inlineID(*in.AttachmentType, *in.AttachmentName, *in.PolicyName) == src.ID
		}
		return false
	})
}

// inlineID is the name that the policy simulator has for an inline policy.
func inlineID(kind, name, policy string) string { return kind + "_" + name + "_" + policy }

// policySource finds the user, group or role of the caller's account that a simulation names.
func (s *Service) policySource(ctx context.Context, text string) (*entity, error) {
	a, err := arn.Parse(text)
	if err != nil {
		return nil, errUnparsableARN
	}
	kind, name := a.Type()
	if a.Service != "iam" || kind != userKind && kind != groupKind && kind != roleKind {
		return nil, iam.ErrInvalidInput.Msg("%s is not the ARN of a user, group or role.", text)
	}
	e, err := s.entityByARN(ctx, s.DB, text)
	if isNotFound(err) || err == nil && e.AccountID != account(ctx) {
		return nil, noSuchEntity(kind, name[strings.LastIndexByte(name, '/')+1:])
	}
	return e, err
}

// policiesOf are the policies of a user, group or role, those of a user's groups included, under the names that the policy
// simulator has for them.
func (s *Service) policiesOf(ctx context.Context, e *entity) ([]policy.Source, error) {
	bearers := []entity{*e}
	if e.Kind == userKind {
		groups, err := s.groupsOf(ctx, s.DB, e.ID)
		if err != nil {
			return nil, err
		}
		bearers = append(bearers, groups...)
	}
	var list []policy.Source
	for i := range bearers {
		var p Principal
		if err := s.addPolicies(ctx, &p, &bearers[i], func(...string) {}); err != nil {
			return nil, err
		}
		for _, src := range p.Identity {
			if src.ARN == "" { // inline
				src.ID = inlineID(bearers[i].Kind, bearers[i].Name, src.ID)
			}
			list = append(list, src)
		}
	}
	return list, nil
}

func (s *Service) groupsOf(ctx context.Context, q db.Querier, userID string) ([]entity, error) {
	return db.All[entity](ctx, q, `SELECT `+entityColumns+` FROM iam_entities
		WHERE id IN (SELECT group_id FROM iam_members WHERE user_id = $1) ORDER BY name_key`, userID)
}

// inputPolicies reads the policies that a caller gives.
func inputPolicies(name string, documents []string) ([]policy.Source, error) {
	var list []policy.Source
	for i, text := range documents {
		src, err := inputPolicy(name+"."+strconv.Itoa(i+1), text)
		if err != nil {
			return nil, err
		}
		list = append(list, src)
	}
	return list, nil
}

func inputPolicy(name, text string) (policy.Source, error) {
	p, err := policy.Parse(text)
	if err != nil {
		return policy.Source{}, iam.ErrInvalidInput.Msg("%s: Syntax errors in policy.", name)
	}
	return policy.Source{ID: name, Policy: p}, nil
}

func (sim *simulation) setBoundary(documents []string) error {
	switch len(documents) {
	case 0:
		return nil
	case 1:
		src, err := inputPolicy("PermissionsBoundaryPolicyInputList.1", documents[0])
		sim.policies.Boundary = &src
		return err
	}
	return iam.ErrInvalidInput.Msg("Only one permissions boundary can be simulated at a time.")
}

// setResourcePolicy adds a resource policy, which names callers: then it matters who calls, and whose the resource is.
func (s *Service) setResourcePolicy(ctx context.Context, sim *simulation, document, owner, caller *string) error {
	if caller != nil {
		a, err := arn.Parse(*caller)
		if kind, _ := a.Type(); err != nil || a.Service != "iam" || kind != userKind || !isAccount(a.AccountID) {
			return iam.ErrInvalidInput.Msg("CallerArn must be the ARN of an IAM user.")
		}
		if *caller != sim.principal.ARN {
			sim.principal = policy.Principal{Kind: policy.User, AccountID: a.AccountID, ARN: *caller}
			if e, err := s.entityByARN(ctx, s.DB, *caller); err == nil {
				sim.principal.ID = e.ID
			} else if !isNotFound(err) {
				return err
			}
		}
	}
	if document == nil {
		return nil
	}
	if caller == nil {
		return iam.ErrInvalidInput.Msg("CallerArn is required when ResourcePolicy is given and the policies are not those of a user.")
	}
	src, err := inputPolicy("ResourcePolicy", *document)
	if err != nil {
		return err
	}
	sim.policies.Resource = []policy.Source{src}
	sim.owner = sim.principal.AccountID
	if owner != nil {
		if a, err := arn.Parse(*owner); err == nil {
			sim.owner = a.AccountID
		} else {
			sim.owner = *owner
		}
		if !isAccount(sim.owner) {
			return iam.ErrInvalidInput.Msg("ResourceOwner must be an account.")
		}
	}
	return nil
}

func (sim *simulation) setKeys(entries []iam.ContextEntry) error {
	for _, e := range entries {
		if e.ContextKeyName == nil {
			return iam.ErrInvalidInput.Msg("A context entry must have a name.")
		}
		kind := str(e.ContextKeyType)
		switch {
		case strings.HasSuffix(kind, "List"), len(e.ContextKeyValues) > 1:
			sim.keys.SetAll(*e.ContextKeyName, e.ContextKeyValues)
		case len(e.ContextKeyValues) == 1:
			sim.keys.Set(*e.ContextKeyName, e.ContextKeyValues[0])
		}
	}
	return nil
}

const everyResource = "*"

// run decides each action on each resource that belongs on the page.
func (sim *simulation) run(marker *string, max *int32) (*iam.SimulatePolicyResponse, error) {
	if len(sim.resources) == 0 {
		sim.resources = []string{everyResource}
	}
	p, err := newPage(marker, max)
	if err != nil {
		return nil, err
	}
	requests := sim.requests()
	from, total := 0, len(requests)
	if p.after != "" {
		if from, err = strconv.Atoi(p.after); err != nil || from < 0 || from > total {
			return nil, errInvalidMarker
		}
	}
	to := min(from+p.size, total)
	if p.truncated = to < total; p.truncated {
		p.next = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to)))
	}
	out := &iam.SimulatePolicyResponse{IsTruncated: p.isTruncated(), Marker: p.marker()}
	for _, request := range requests[from:to] {
		var all *iam.EvaluationResult
		for _, resource := range request.resources {
			r, err := sim.evaluate(request.action, resource)
			if err != nil {
				return nil, err
			}
			all = join(all, r)
		}
		out.EvaluationResults = append(out.EvaluationResults, *all)
	}
	return out, nil
}

// simulated is an action on one resource, or on all of them at once.
type simulated struct {
	action    string
	resources []string
}

func (sim *simulation) requests() []simulated {
	var list []simulated
	for _, action := range sim.actions {
		if sim.together {
			list = append(list, simulated{action, sim.resources})
			continue
		}
		for i := range sim.resources {
			list = append(list, simulated{action, sim.resources[i : i+1]})
		}
	}
	return list
}

// join adds to the result of an action that of one more resource, which must be allowed too.
func join(all, r *iam.EvaluationResult) *iam.EvaluationResult {
	if all == nil {
		return r
	}
	all.EvalResourceName = new(everyResource)
	all.ResourceSpecificResults = append(all.ResourceSpecificResults, r.ResourceSpecificResults...)
	if rank(r) > rank(all) {
		all.EvalDecision, all.MatchedStatements, all.PermissionsBoundaryDecisionDetail = r.EvalDecision, r.MatchedStatements, r.PermissionsBoundaryDecisionDetail
		all.EvalDecisionDetails = r.EvalDecisionDetails
	}
	if !*r.OrganizationsDecisionDetail.AllowedByOrganizations {
		all.OrganizationsDecisionDetail = r.OrganizationsDecisionDetail
	}
	return all
}

// rank orders decisions by which prevails.
func rank(r *iam.EvaluationResult) int {
	return slices.Index([]string{iam.PolicyEvaluationDecisionTypeAllowed, iam.PolicyEvaluationDecisionTypeImplicitDeny, iam.PolicyEvaluationDecisionTypeExplicitDeny}, *r.EvalDecision)
}

func (sim *simulation) evaluate(action, resource string) (*iam.EvaluationResult, error) {
	if service, name, ok := strings.Cut(action, ":"); !ok || service == "" || name == "" || strings.Contains(name, ":") {
		return nil, iam.ErrInvalidInput.Msg("Invalid action name: %s", action)
	}
	r := &policy.Request{Principal: sim.principal, Action: action, Resource: resource, ResourceAccount: sim.resourceAccount(resource), Context: &sim.keys}
	x := policy.Explain(r, &sim.policies)
	if x.Err != nil {
		return nil, iam.ErrPolicyEvaluation.Msg("The policies could not be evaluated.").With(x.Err)
	}
	decision, matched, boundary, details := x.Result(), matchedStatements(&x), sim.boundaryDetail(&x), sim.details(r, &x)
	out := &iam.EvaluationResult{
		EvalActionName: &action, EvalResourceName: &resource, EvalDecision: &decision, MatchedStatements: matched,
		OrganizationsDecisionDetail:       &iam.OrganizationsDecisionDetail{AllowedByOrganizations: new(sim.organizationAllows(r))},
		PermissionsBoundaryDecisionDetail: boundary, EvalDecisionDetails: details, MissingContextValues: []string{},
	}
	missing := append([]string{}, x.MissingKeys...)
	if resource == everyResource {
		out.MissingContextValues = missing
		return out, nil
	}
	out.ResourceSpecificResults = []iam.ResourceSpecificResult{{
		EvalResourceName: &resource, EvalResourceDecision: &decision, MatchedStatements: matched, MissingContextValues: missing,
		PermissionsBoundaryDecisionDetail: boundary, EvalDecisionDetails: details,
	}}
	return out, nil
}

// organizationAllows is what the service control policies say by themselves.
func (sim *simulation) organizationAllows(r *policy.Request) bool {
	d := policy.Decide(r, &policy.Policies{SCP: sim.policies.SCP})
	return d.Layer != policy.ServiceControl
}

// resourceAccount is whose the resource is. Without a resource policy it does not matter, so that it is the caller's.
func (sim *simulation) resourceAccount(resource string) string {
	if len(sim.policies.Resource) == 0 {
		return sim.principal.AccountID
	}
	if a, err := arn.Parse(resource); err == nil && isAccount(a.AccountID) {
		return a.AccountID
	}
	return sim.owner
}

// matchedStatements are the statements that decided: those that deny, or else those that allow.
func matchedStatements(x *policy.Explanation) []iam.Statement {
	effect := policy.Deny
	if x.Allowed {
		effect = policy.Allow
	} else if !x.Explicit {
		return []iam.Statement{}
	}
	list := []iam.Statement{}
	for _, m := range x.Matched() {
		if m.Statement.Effect != effect || x.Allowed && m.Layer != policy.IdentityBased && m.Layer != policy.ResourceBased {
			continue
		}
		kind := "IAM Policy"
		switch m.Layer {
		case policy.ResourceBased:
			kind = "Resource Policy"
		case policy.ServiceControl:
			kind = "Service Control Policy"
		}
		list = append(list, iam.Statement{
			SourcePolicyId: new(m.Source.ID), SourcePolicyType: &kind,
			StartPosition: position(m.Source.Policy, beforeBlanks(m.Source.Policy.Text(), m.Statement.Start)), EndPosition: position(m.Source.Policy, m.Statement.End),
		})
	}
	return list
}

// beforeBlanks moves to the end of what stands before: AWS counts the blanks to the statement.
func beforeBlanks(text string, at int) int {
	for at > 0 && strings.IndexByte(" \t\r\n", text[at-1]) >= 0 {
		at--
	}
	return at
}

func position(p *policy.Policy, offset int) *iam.Position {
	line, column := p.Position(offset)
	return &iam.Position{Line: new(int32(line)), Column: new(int32(column))}
}

func (sim *simulation) boundaryDetail(x *policy.Explanation) *iam.PermissionsBoundaryDecisionDetail {
	if sim.policies.Boundary == nil {
		return nil
	}
	return &iam.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: new(layerDecision(x, policy.PermissionsBoundary) == "allowed")}
}

// details tells, where caller and resource are of different accounts, what each side says. Beyond AWS, it names the
// condition keys that nobody knows, which AWS would count as absent.
func (sim *simulation) details(r *policy.Request, x *policy.Explanation) map[string]string {
	list := map[string]string{}
	if r.Resource != everyResource && r.ResourceAccount != r.Principal.AccountID {
		list["IAM Policy"], list["Resource Policy"] = layerDecision(x, policy.IdentityBased), layerDecision(x, policy.ResourceBased)
	}
	for _, name := range x.UnknownKeys {
		list["Unknown condition key "+name] = x.Result()
	}
	return list
}

// layerDecision is what the policies of one layer say by themselves.
func layerDecision(x *policy.Explanation, layer policy.Layer) string {
	d := policy.Decision{}
	for _, m := range x.Matched() {
		if m.Layer == layer {
			d.Allowed = d.Allowed || m.Statement.Effect == policy.Allow
			d.Explicit = d.Explicit || m.Statement.Effect == policy.Deny
		}
	}
	d.Allowed = d.Allowed && !d.Explicit
	return d.Result()
}

// GetContextKeysForCustomPolicy implements iam:GetContextKeysForCustomPolicy.
func (s *Service) GetContextKeysForCustomPolicy(_ context.Context, in *iam.GetContextKeysForCustomPolicyRequest) (*iam.GetContextKeysForPolicyResponse, error) {
	sources, err := inputPolicies("PolicyInputList", in.PolicyInputList)
	if err != nil {
		return nil, err
	}
	return contextKeys(sources), nil
}

// GetContextKeysForPrincipalPolicy implements iam:GetContextKeysForPrincipalPolicy.
func (s *Service) GetContextKeysForPrincipalPolicy(ctx context.Context, in *iam.GetContextKeysForPrincipalPolicyRequest) (*iam.GetContextKeysForPolicyResponse, error) {
	e, err := s.policySource(ctx, *in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	sources, err := s.policiesOf(ctx, e)
	if err != nil {
		return nil, err
	}
	added, err := inputPolicies("PolicyInputList", in.PolicyInputList)
	if err != nil {
		return nil, err
	}
	return contextKeys(append(sources, added...)), nil
}

func contextKeys(sources []policy.Source) *iam.GetContextKeysForPolicyResponse {
	out := &iam.GetContextKeysForPolicyResponse{}
	for _, src := range sources {
		if src.Policy == nil {
			continue
		}
		for _, name := range src.Policy.ContextKeys() {
			if !slices.ContainsFunc(out.ContextKeyNames, func(have string) bool { return strings.EqualFold(have, name) }) {
				out.ContextKeyNames = append(out.ContextKeyNames, name)
			}
		}
	}
	return out
}
