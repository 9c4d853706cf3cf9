package policy

import (
	"errors"
	"strings"
)

// Request is one action on one resource.
type Request struct {
	Principal Principal
	Action    string // service:Name
	Resource  string // ARN, or "*" for actions without resource

	// ResourceAccount owns the resource. If empty it is read from the ARN; for
	// "*" it is the caller's account. A resource whose account is unknown is
	// treated as another account's.
	ResourceAccount string

	Context *Context // nil: no keys
}

// Source is a policy that applies to a request, and where it comes from. The
// evaluator reads Policy only; the rest is handed back in decisions and explanations.
type Source struct {
	ID     string // name of the policy as its owner knows it
	Type   string // SourcePolicyType of the simulator: user, group, role, aws-managed, user-managed, resource, none
	ARN    string // of a managed policy
	Policy *Policy
}

// Policies are all policies that apply to a request.
type Policies struct {
	// Identity: of a user his own and those of his groups, of a session those of the role or user.
	Identity []Source
	// Boundary is the permissions boundary of the user or role, nil if there is none.
	Boundary *Source
	// Session policies, meant as a union. HasSession is set when the session was
	// created with session policies, even if none of them exists any more.
	Session    []Source
	HasSession bool
	// Resource policy, usually one. With Trust it is the trust policy of a role
	// and Request.Resource is the role: statements have no Resource of their own,
	// and naming the account only delegates to its identity policies.
	Resource []Source
	Trust    bool
	// SCP and RCP per level of the organization (root, units, account); at each
	// level one must allow. Empty without an organization.
	SCP, RCP [][]Source
}

// Layer is the role that a policy plays in a decision.
type Layer uint8

const (
	NoLayer Layer = iota
	ServiceControl
	ResourceControl
	ResourceBased
	RoleTrust
	IdentityBased
	PermissionsBoundary
	SessionPolicy
)

var layerNames = [...]string{"", "service control policy", "resource control policy", "resource-based policy",
	"role trust policy", "identity-based policy", "permissions boundary", "session policy"}

func (l Layer) String() string { return layerNames[l] }

// MarshalText makes layers readable in JSON.
func (l Layer) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Decision is the answer to a request.
type Decision struct {
	Allowed  bool
	Explicit bool  // a Deny statement applied
	Layer    Layer // which policies decided; NoLayer if none was needed

	// Source and Statement are the statement that denied, or the first one that
	// granted. Both are nil for an implicit denial and where no policy was needed.
	Source    *Source
	Statement *Statement

	// Err is set when the request was denied because something could not be
	// evaluated: a policy is missing or a condition key failed to load.
	Err error
}

// ErrNoPolicy is the Decision.Err of a request to which a policy applies that
// could not be read.
var ErrNoPolicy = errors.New("policy: applicable policy is missing")

// Decide evaluates a request (IAM User Guide, "Policy evaluation logic").
func Decide(r *Request, p *Policies) Decision {
	e := evaluation{request: r}
	return e.decide(p)
}

// evaluation is the state of one decision.
type evaluation struct {
	request *Request
	who     *Principal
	ctx     *Context
	target  target
	service string       // prefix of the action
	bounded bool         // the caller has a permissions boundary
	trace   *Explanation // nil unless explaining
}

func (e *evaluation) decide(p *Policies) Decision {
	r := e.request
	e.who, e.ctx, e.target = &r.Principal, r.Context, newTarget(r.Resource)
	e.service, _, _ = strings.Cut(r.Action, ":")
	e.service = strings.ToLower(e.service)
	e.bounded = p.Boundary != nil && e.who.Kind != Root
	if e.who.Kind != Anonymous && neverDenied(r.Action) {
		return Decision{Allowed: true}
	}
	d := e.evaluate(p)
	if d.Err == nil && e.ctx != nil && !d.Allowed {
		d.Err = e.ctx.err
	}
	return d
}

// neverDenied names the actions that need no permission and that no policy can take away.
func neverDenied(action string) bool {
	return foldEqual(action, "sts:getcalleridentity") || foldEqual(action, "sts:getsessiontoken")
}

func (e *evaluation) evaluate(p *Policies) Decision {
	resourceLayer := ResourceBased
	if p.Trust {
		resourceLayer = RoleTrust
	}
	sameAccount := e.sameAccount()
	root := e.who.Kind == Root
	member := e.who.inAccount()

	if d, denied := e.denied(p, resourceLayer, sameAccount); denied {
		return d
	}

	for _, level := range p.RCP {
		if src, _ := e.allows(level, ResourceControl); src == nil {
			return Decision{Layer: ResourceControl}
		}
	}
	if member {
		for _, level := range p.SCP {
			if src, _ := e.allows(level, ServiceControl); src == nil {
				return Decision{Layer: ServiceControl}
			}
		}
	}

	granted := e.grants(p.Resource, resourceLayer)
	if !member { // the resource's side alone decides
		if granted.has(toPublic | toExternal) {
			return granted.decision(resourceLayer)
		}
		return Decision{Layer: resourceLayer}
	}
	if granted.kinds == 0 && (p.Trust || !sameAccount) {
		return Decision{Layer: resourceLayer}
	}
	if sameAccount && (granted.has(toSession) || granted.has(toUser) && e.who.Kind == User) {
		return granted.decision(resourceLayer) // given to the caller himself: boundary and session policies do not limit it
	}

	// The caller's side: something must grant, and what limits the caller must allow.
	base := Decision{Allowed: true, Layer: IdentityBased}
	base.Source, base.Statement = e.allows(p.Identity, IdentityBased)
	switch {
	case base.Source != nil:
	case root: // may do everything in his account without any policy
		base.Layer = NoLayer
	case sameAccount && granted.has(toRole|toUser):
		base = granted.decision(resourceLayer)
	default:
		return Decision{Layer: IdentityBased}
	}
	if p.Boundary != nil && !root {
		if src, _ := e.allowsOne(p.Boundary, PermissionsBoundary); src == nil {
			return Decision{Layer: PermissionsBoundary}
		}
	}
	if p.HasSession || len(p.Session) > 0 {
		if src, _ := e.allows(p.Session, SessionPolicy); src == nil {
			return Decision{Layer: SessionPolicy}
		}
	} else if e.who.Kind == FederatedUser {
		return Decision{Layer: SessionPolicy}
	}
	return base
}

// sameAccount reports whether caller and resource belong together.
func (e *evaluation) sameAccount() bool {
	account := e.request.ResourceAccount
	if account == "" {
		if e.target.text == "*" {
			return true
		}
		account = e.target.seg[4]
	}
	return account != "" && account == e.who.AccountID
}

// denied looks for a Deny in all policies, in the order in which AWS names them.
func (e *evaluation) denied(p *Policies, resourceLayer Layer, sameAccount bool) (d Decision, found bool) {
	note := func(got Decision, ok bool) bool {
		if ok && !found {
			d, found = got, true
		}
		return found && e.trace == nil // an explanation looks at everything
	}
	if e.who.inAccount() {
		for _, level := range p.SCP {
			if note(e.denies(level, ServiceControl)) {
				return d, true
			}
		}
	}
	for _, level := range p.RCP {
		if note(e.denies(level, ResourceControl)) {
			return d, true
		}
	}
	if !(sameAccount && e.who.Kind == Root && isBucketPolicyAction(e.request.Action)) {
		if note(e.denies(p.Resource, resourceLayer)) {
			return d, true
		}
	}
	if note(e.denies(p.Identity, IdentityBased)) {
		return d, true
	}
	if p.Boundary != nil && note(e.deniesOne(p.Boundary, PermissionsBoundary)) {
		return d, true
	}
	note(e.denies(p.Session, SessionPolicy))
	return d, found
}

// isBucketPolicyAction names what the root user of a bucket's owner may do
// whatever the bucket policy says, so that nobody locks himself out for good.
func isBucketPolicyAction(action string) bool {
	return foldEqual(action, "s3:getbucketpolicy") || foldEqual(action, "s3:putbucketpolicy") || foldEqual(action, "s3:deletebucketpolicy")
}

func (e *evaluation) denies(sources []Source, layer Layer) (d Decision, found bool) {
	for i := range sources {
		got, ok := e.deniesOne(&sources[i], layer)
		if ok && !found {
			d, found = got, true
		}
		if found && e.trace == nil {
			break
		}
	}
	return d, found
}

func (e *evaluation) deniesOne(src *Source, layer Layer) (d Decision, found bool) {
	if src.Policy == nil {
		return Decision{Layer: layer, Source: src, Err: ErrNoPolicy}, true
	}
	for i := range src.Policy.deny {
		st := &src.Policy.deny[i]
		if e.applies(src, st, layer) != 0 && !found {
			d, found = Decision{Explicit: true, Layer: layer, Source: src, Statement: st.statement}, true
			if e.trace == nil {
				break
			}
		}
	}
	return d, found
}

// allows gives the first statement that allows the request.
func (e *evaluation) allows(sources []Source, layer Layer) (src *Source, st *Statement) {
	for i := range sources {
		gotSource, gotStatement := e.allowsOne(&sources[i], layer)
		if src == nil {
			src, st = gotSource, gotStatement
		}
		if src != nil && e.trace == nil {
			break
		}
	}
	return src, st
}

func (e *evaluation) allowsOne(src *Source, layer Layer) (*Source, *Statement) {
	if src.Policy == nil {
		return nil, nil
	}
	var found *Statement
	for i := range src.Policy.allow {
		st := &src.Policy.allow[i]
		if e.applies(src, st, layer) != 0 && found == nil {
			if found = st.statement; e.trace == nil {
				break
			}
		}
	}
	if found == nil {
		return nil, nil
	}
	return src, found
}

// grants collects how the resource policies name the caller.
func (e *evaluation) grants(sources []Source, layer Layer) grants {
	var g grants
	for i := range sources {
		if sources[i].Policy == nil {
			continue
		}
		for j := range sources[i].Policy.allow {
			st := &sources[i].Policy.allow[j]
			kinds := e.applies(&sources[i], st, layer)
			if kinds&^g.kinds == 0 {
				continue
			}
			// Keep the statement of the widest grant for the record.
			if g.source == nil || kinds&toSession != 0 && g.kinds&toSession == 0 {
				g.source, g.statement = &sources[i], st.statement
			}
			g.kinds |= kinds
		}
	}
	return g
}

type grants struct {
	kinds     grant
	source    *Source
	statement *Statement
}

func (g *grants) has(any grant) bool { return g.kinds&any != 0 }

func (g *grants) decision(layer Layer) Decision {
	return Decision{Allowed: true, Layer: layer, Source: g.source, Statement: g.statement}
}

// applies reports whether all elements of a statement fit the request, as the
// set of ways in which it names the caller; identity-side policies name nobody
// and count as toSession.
func (e *evaluation) applies(src *Source, at *indexed, layer Layer) grant {
	st := at.statement
	if e.trace != nil {
		return e.tracedApplies(src, st, layer)
	}
	if at.service != "" && at.service != e.service {
		return 0
	}
	if !e.actionFits(st) || !e.resourceFits(st, layer) {
		return 0
	}
	kinds := e.principalFits(st, layer)
	if kinds == 0 {
		return 0
	}
	for i := range st.conditions {
		if !st.conditions[i].holds(e.ctx, st.Effect == Deny) {
			return 0
		}
	}
	return kinds
}

func (e *evaluation) actionFits(st *Statement) bool {
	for i := range st.actions {
		if st.actions[i].match(e.request.Action) {
			return !st.notAction
		}
	}
	return st.notAction && len(st.actions) > 0
}

func (e *evaluation) resourceFits(st *Statement, layer Layer) bool {
	if !st.hasResource {
		return layer == RoleTrust
	}
	for i := range st.resources {
		if st.resources[i].match(&e.target, e.ctx) {
			return !st.notResource
		}
	}
	return st.notResource && len(st.resources) > 0
}

func (e *evaluation) principalFits(st *Statement, layer Layer) grant {
	switch layer {
	case ResourceBased, RoleTrust:
		if e.who.Kind == Federated && st.Effect == Allow {
			return st.namesProvider(e.who)
		}
		return st.namesCaller(e.who, e.bounded)
	case ResourceControl:
		return st.namesCaller(e.who, e.bounded)
	}
	if st.hasPrincipal {
		return st.namesCaller(e.who, e.bounded)
	}
	return toSession
}

// Result is the decision in the words of the policy simulator: allowed, explicitDeny or implicitDeny.
func (d *Decision) Result() string {
	switch {
	case d.Allowed:
		return "allowed"
	case d.Explicit:
		return "explicitDeny"
	}
	return "implicitDeny"
}

// Reason is the suffix of a denial message that names the kind of policy, such
// as "because no identity-based policy allows the s3:GetObject action". It is
// empty for allowed requests (IAM User Guide, "Troubleshoot access denied error messages").
func (d *Decision) Reason(action string) string {
	if d.Allowed || d.Layer == NoLayer {
		return ""
	}
	if d.Explicit {
		article := "a "
		switch d.Layer {
		case RoleTrust:
			article = "the "
		case IdentityBased:
			article = "an "
		}
		return "with an explicit deny in " + article + d.Layer.String()
	}
	return "because no " + d.Layer.String() + " allows the " + action + " action"
}

// Message is the whole denial message.
func (d *Decision) Message(r *Request) string {
	var b strings.Builder
	b.WriteString("User: " + r.Principal.Display() + " is not authorized to perform: " + r.Action)
	if r.Resource != "" {
		b.WriteString(" on resource: " + r.Resource)
	}
	if reason := d.Reason(r.Action); reason != "" {
		b.WriteString(" " + reason)
	}
	return b.String()
}
