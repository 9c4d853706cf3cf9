package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Explanation is a decision and what became of every statement of every policy
// that applies to the request.
type Explanation struct {
	Decision
	Statements []StatementOutcome
	// MissingKeys are the condition keys, and keys used as policy variables, that
	// statements otherwise fitting the request asked for and the request did not have.
	MissingKeys []string
	// UnknownKeys are those of MissingKeys that are no known condition keys: conditions on them could not be evaluated.
	UnknownKeys []string
}

// Element of a statement that did not fit the request.
type Element string

const (
	ActionElement    Element = "Action"
	ResourceElement  Element = "Resource"
	PrincipalElement Element = "Principal"
	ConditionElement Element = "Condition"
)

// StatementOutcome says whether one statement applied, and if not, why.
type StatementOutcome struct {
	Layer     Layer
	Source    *Source
	Statement *Statement
	Applied   bool
	Failed    Element // first element that did not fit; empty if the statement applied
	// Conditions is filled in when everything else fitted.
	Conditions []ConditionOutcome
}

// ConditionOutcome compares what a condition asks for with what the request had.
type ConditionOutcome struct {
	Condition
	Present bool     // the request has the key
	Got     []string // its values
	Unknown []string // keys, its own or used as variables, that neither the request has nor anybody knows
	Met     bool
	Offset  int // of the key in the policy text
}

// Explain decides as Decide does and explains the decision.
func Explain(r *Request, p *Policies) Explanation {
	var x Explanation
	e := evaluation{request: r, trace: &x}
	x.Decision = e.decide(p)
	e.completeTrace(p)
	return x
}

// completeTrace adds the statements that the decision did not depend on.
func (e *evaluation) completeTrace(p *Policies) {
	seen := map[*Statement]bool{}
	for i := range e.trace.Statements {
		seen[e.trace.Statements[i].Statement] = true
	}
	addOne := func(src *Source, layer Layer) {
		if src.Policy == nil {
			return
		}
		for j := range src.Policy.statements {
			if st := &src.Policy.statements[j]; !seen[st] {
				e.tracedApplies(src, st, layer)
			}
		}
	}
	add := func(sources []Source, layer Layer) {
		for i := range sources {
			addOne(&sources[i], layer)
		}
	}
	for _, level := range p.SCP {
		add(level, ServiceControl)
	}
	for _, level := range p.RCP {
		add(level, ResourceControl)
	}
	resourceLayer := ResourceBased
	if p.Trust {
		resourceLayer = RoleTrust
	}
	add(p.Resource, resourceLayer)
	add(p.Identity, IdentityBased)
	if p.Boundary != nil {
		addOne(p.Boundary, PermissionsBoundary)
	}
	add(p.Session, SessionPolicy)
}

// tracedApplies is applies, writing down what it sees.
func (e *evaluation) tracedApplies(src *Source, st *Statement, layer Layer) grant {
	kinds := e.principalFits(st, layer)
	out := StatementOutcome{Layer: layer, Source: src, Statement: st}
	switch {
	case !e.actionFits(st):
		out.Failed = ActionElement
	case !e.resourceFits(st, layer):
		out.Failed = ResourceElement
		if e.resourceTypeFits(st) {
			e.missingVariables(st)
		}
	case kinds == 0:
		out.Failed = PrincipalElement
	default:
		for i := range st.conditions {
			c := e.traceCondition(&st.conditions[i], st.Effect == Deny)
			if !c.Met {
				out.Failed = ConditionElement
			}
			out.Conditions = append(out.Conditions, c)
		}
	}
	if out.Applied = out.Failed == ""; !out.Applied {
		kinds = 0
	}
	e.trace.Statements = append(e.trace.Statements, out)
	return kinds
}

func (e *evaluation) traceCondition(c *condition, inDeny bool) ConditionOutcome {
	out := ConditionOutcome{Condition: c.source(), Offset: c.at, Met: c.holds(e.ctx, inDeny)}
	if got, _ := e.ctx.find(c.key); got != nil {
		out.Present, out.Got = true, got.values()
	} else {
		e.missing(c.name)
		if c.unknown {
			out.Unknown = append(out.Unknown, c.name)
		}
	}
	for i := range c.values {
		e.missingIn(c.values[i].tokens)
		for j := range c.values[i].tokens {
			t := &c.values[i].tokens[j]
			if slices.Contains(c.strange, t.key) {
				if got, _ := e.ctx.find(t.key); got == nil {
					out.Unknown = append(out.Unknown, t.name)
				}
			}
		}
	}
	for _, name := range out.Unknown {
		addKey(&e.trace.UnknownKeys, name)
	}
	return out
}

// resourceTypeFits reports whether the service of a listed ARN is that of the request's resource.
func (e *evaluation) resourceTypeFits(st *Statement) bool {
	for i := range st.resources {
		if r := &st.resources[i]; !r.all && r.seg[2].match(e.target.seg[2], e.ctx) {
			return true
		}
	}
	return false
}

func (e *evaluation) missingVariables(st *Statement) {
	for i := range st.resources {
		e.missingIn(st.resources[i].seg[5].tokens)
	}
}

func (e *evaluation) missingIn(tokens []token) {
	for i := range tokens {
		if t := &tokens[i]; t.kind == variable {
			if _, ok := e.ctx.single(t.key); !ok {
				e.missing(t.name)
			}
		}
	}
}

func (e *evaluation) missing(name string) { addKey(&e.trace.MissingKeys, name) }

// addKey adds a key to a list unless it is there.
func addKey(list *[]string, name string) {
	for _, have := range *list {
		if lowerKey(have) == lowerKey(name) {
			return
		}
	}
	*list = append(*list, name)
}

// Matched lists the statements that applied: in the simulator's terms the matched statements.
func (x *Explanation) Matched() []StatementOutcome {
	var list []StatementOutcome
	for _, out := range x.Statements {
		if out.Applied {
			list = append(list, out)
		}
	}
	return list
}

// String explains the decision to a person, in a few lines.
func (x *Explanation) String() string {
	var b strings.Builder
	b.WriteString(x.Result())
	switch {
	case x.Err != nil:
		fmt.Fprintf(&b, ": %v", x.Err)
	case x.Statement != nil:
		fmt.Fprintf(&b, " by %s", describe(x.Layer, x.Source, x.Statement))
	case !x.Allowed:
		fmt.Fprintf(&b, ": no %s allows it", x.Layer)
	}
	b.WriteByte('\n')
	for i := range x.Statements {
		out := &x.Statements[i]
		if out.Failed == ActionElement {
			continue
		}
		fmt.Fprintf(&b, "  %s: ", describe(out.Layer, out.Source, out.Statement))
		if out.Applied {
			b.WriteString("applied\n")
		} else {
			fmt.Fprintf(&b, "%s does not match\n", out.Failed)
		}
		for _, c := range out.Conditions {
			got := "the request has no such key"
			if c.Present {
				got = fmt.Sprintf("the request has %q", c.Got)
			}
			met := "met"
			if !c.Met {
				met = "not met"
			}
			if len(c.Unknown) > 0 {
				met = "counts as " + met
				got = "no such condition key is known: " + strings.Join(c.Unknown, ", ")
			}
			fmt.Fprintf(&b, "    %s %s %q %s: %s\n", c.Operator, c.Key, c.Values, met, got)
		}
	}
	if len(x.MissingKeys) > 0 {
		fmt.Fprintf(&b, "  keys not in the request: %s\n", strings.Join(x.MissingKeys, ", "))
	}
	return b.String()
}

func describe(layer Layer, src *Source, st *Statement) string {
	name := src.ARN
	if name == "" {
		name = src.ID
	}
	line, column := src.Policy.Position(st.Start)
	sid := ""
	if st.Sid != "" {
		sid = " " + st.Sid
	}
	return fmt.Sprintf("%s%s in %s %s (line %d, column %d)", st.Effect, sid, layer, name, line, column)
}

// AuthorizationMessage is the explanation of a denied request in the form that
// sts:DecodeAuthorizationMessage returns: the Deny statements that applied, and
// the caller, action, resource and keys of the request.
func (x *Explanation) AuthorizationMessage(r *Request) ([]byte, error) {
	type value struct {
		Value string `json:"value"`
	}
	type list[T any] struct {
		Items []T `json:"items"`
	}
	type key struct {
		Key    string      `json:"key"`
		Values list[value] `json:"values"`
	}
	type statement struct {
		ID              string      `json:"statementId"`
		Effect          string      `json:"effect"`
		Principals      list[value] `json:"principals"`
		PrincipalGroups list[value] `json:"principalGroups"`
		Actions         list[value] `json:"actions"`
		Resources       list[value] `json:"resources"`
		Conditions      list[key]   `json:"conditions"`
	}
	type principal struct {
		ID   string `json:"id"`
		Name string `json:"name,omitempty"`
		ARN  string `json:"arn"`
	}
	values := func(texts []string) list[value] {
		items := []value{}
		for _, text := range texts {
			items = append(items, value{text})
		}
		return list[value]{items}
	}

	var m struct {
		Allowed           bool            `json:"allowed"`
		ExplicitDeny      bool            `json:"explicitDeny"`
		MatchedStatements list[statement] `json:"matchedStatements"`
		Failures          list[value]     `json:"failures"`
		Context           struct {
			Principal  principal `json:"principal"`
			Action     string    `json:"action"`
			Resource   string    `json:"resource"`
			Conditions list[key] `json:"conditions"`
		} `json:"context"`
	}
	m.Allowed, m.ExplicitDeny = x.Allowed, x.Explicit
	m.MatchedStatements.Items, m.Failures.Items = []statement{}, []value{}
	for _, out := range x.Matched() {
		st := out.Statement
		if st.Effect != Deny {
			continue
		}
		actions, _ := st.Actions()
		resources, _ := st.Resources()
		entries, _ := st.Principals()
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Value)
		}
		conditions := []key{}
		for _, c := range st.Conditions() {
			conditions = append(conditions, key{c.Key, values(c.Values)})
		}
		m.MatchedStatements.Items = append(m.MatchedStatements.Items, statement{st.Sid, st.Effect.String(), values(names), values(nil),
			values(actions), values(resources), list[key]{conditions}})
	}
	who := &r.Principal
	m.Context.Principal = principal{ID: who.ID, Name: who.SessionName, ARN: who.Display()}
	if who.Kind == RoleSession && who.ID != "" {
		m.Context.Principal.ID += ":" + who.SessionName
	}
	m.Context.Action, m.Context.Resource = r.Action, r.Resource
	m.Context.Conditions.Items = []key{}
	r.Context.Keys(func(name string, texts []string) {
		m.Context.Conditions.Items = append(m.Context.Conditions.Items, key{name, values(texts)})
	})
	return json.Marshal(m)
}
