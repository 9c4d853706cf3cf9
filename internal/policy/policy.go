// Package policy is the IAM policy language: it reads policy documents, checks
// them as AWS does when they are saved, decides requests and explains the
// decisions. It is pure: no storage, no network, no clock.
//
// A document is parsed once into an immutable [Policy], which may be shared
// between goroutines. For a request the caller fills in a [Request] (who, what
// action, on which resource, with which condition keys) and the [Policies] that
// apply to it, and asks [Decide]. [Explain] takes the same arguments, walks the
// same code and also returns what became of every statement.
//
//	p, err := policy.Parse(document)
//	var keys policy.Context
//	keys.Set("aws:SourceIp", "198.51.100.7")
//	d := policy.Decide(&policy.Request{
//		Principal:       policy.Principal{Kind: policy.User, AccountID: "111122223333", ARN: "arn:aws:iam::111122223333:user/alice"},
//		Action:          "s3:GetObject",
//		Resource:        "arn:aws:s3:::box/key",
//		ResourceAccount: "111122223333",
//		Context:         &keys,
//	}, &policy.Policies{Identity: []policy.Source{{ID: "inline", Policy: p}}})
//	if !d.Allowed {
//		return errors.New(d.Message(...))
//	}
//
// One request may touch several resources (a copy, a batch): each pair of
// action and resource is decided on its own and all must be allowed.
//
// # Choices where AWS is silent
//
// What cannot be evaluated denies. A statement with an unknown operator, or with
// a condition value that cannot be read, never allows, and denies as if the
// condition held. The same holds when a lazily loaded condition key fails to
// load, and of a condition key that is neither in the request nor known: not a
// global one, not one of a service in package catalog, not one of a web identity
// provider. AWS counts such a key as absent, so that a misspelt key lets an Allow
// with a negated operator through and takes the force from a Deny. A policy that
// is missing (Source.Policy is nil) denies every request.
//
// Values put in for policy variables are literal: a "*" in a tag value is never
// a wildcard.
//
// A plain operator on a key set with [Context.SetAll] never matches when the
// operator is positive. When it is negated an Allow needs every value to
// differ, a Deny only one.
//
// "Principal": "*" in an Allow statement does not cover external identities
// (AssumeRoleWithWebIdentity, AssumeRoleWithSAML): their provider must be named.
// Allow with NotPrincipal grants nothing.
//
// The language is described in the IAM User Guide, "IAM JSON policy reference"
// and "Policy evaluation logic".
package policy

import (
	"strings"
	"unicode/utf8"
)

// Effect of a statement.
type Effect uint8

const (
	Deny Effect = iota
	Allow
)

func (e Effect) String() string {
	if e == Allow {
		return "Allow"
	}
	return "Deny"
}

// Policy is a parsed document. It is immutable.
type Policy struct {
	text    string
	version string // "2012-10-17", "2008-10-17" or empty
	// statements in document order; the evaluator reads allow and deny.
	statements  []Statement
	allow, deny []indexed

	badEffect *node // an Effect in the wrong case: read, but never accepted
}

// indexed lets the evaluator pass over a statement without looking at it:
// service is the lower-case prefix that all its actions share, empty if they
// do not or if it has NotAction.
type indexed struct {
	service   string
	statement *Statement
}

func index(st *Statement) indexed {
	service := ""
	for i := range st.actions {
		prefix, _, found := strings.Cut(st.actions[i].lower, ":")
		if !found || st.notAction || i > 0 && prefix != service || strings.ContainsAny(prefix, "*?") {
			return indexed{"", st}
		}
		service = prefix
	}
	return indexed{service, st}
}

// Statement is one statement of a policy.
type Statement struct {
	Sid        string
	Effect     Effect
	Start, End int // byte offsets of the statement's object in the policy text

	principals                           []principalPattern
	actions                              []actionPattern
	resources                            []resourcePattern
	conditions                           []condition
	notPrincipal, notAction, notResource bool
	hasPrincipal, hasAction, hasResource bool
}

// Text is the document as it was given to Parse.
func (p *Policy) Text() string { return p.text }

// Version is the language version named by the document, empty if it names none.
func (p *Policy) Version() string { return p.version }

// Statements lists the statements in document order. The caller must not change them.
func (p *Policy) Statements() []Statement { return p.statements }

// Position converts a byte offset in the text into a line and a column, both counted from 1.
func (p *Policy) Position(offset int) (line, column int) {
	before := p.text[:min(max(offset, 0), len(p.text))]
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// ContextKeys lists the condition keys that the policy reads, in conditions or
// as variables, in the spelling of their first use and without duplicates (iam:GetContextKeysForCustomPolicy).
func (p *Policy) ContextKeys() []string {
	var names []string
	seen := map[string]bool{}
	add := func(name string) {
		if key := lowerKey(name); !seen[key] {
			seen[key] = true
			names = append(names, name)
		}
	}
	addVariables := func(tokens []token) {
		for _, t := range tokens {
			if t.kind == variable {
				add(t.name)
			}
		}
	}
	for i := range p.statements {
		st := &p.statements[i]
		for j := range st.resources {
			addVariables(st.resources[j].seg[5].tokens)
		}
		for j := range st.conditions {
			c := &st.conditions[j]
			add(c.name)
			for k := range c.values {
				addVariables(c.values[k].tokens)
			}
		}
	}
	return names
}

// Actions lists the patterns of Action or NotAction.
func (s *Statement) Actions() (patterns []string, not bool) {
	for i := range s.actions {
		patterns = append(patterns, s.actions[i].text)
	}
	return patterns, s.notAction
}

// Resources lists the patterns of Resource or NotResource.
func (s *Statement) Resources() (patterns []string, not bool) {
	for i := range s.resources {
		patterns = append(patterns, s.resources[i].text)
	}
	return patterns, s.notResource
}

// PrincipalValue is one entry of a Principal or NotPrincipal element. Type is
// AWS, Federated, Service or CanonicalUser; the principal "*" reads as AWS and "*".
type PrincipalValue struct{ Type, Value string }

// Principals lists the entries of Principal or NotPrincipal.
func (s *Statement) Principals() (entries []PrincipalValue, not bool) {
	for i := range s.principals {
		entries = append(entries, s.principals[i].PrincipalValue)
	}
	return entries, s.notPrincipal
}

// Condition is one key of a condition block as the document spells it.
type Condition struct {
	Operator string
	Key      string
	Values   []string
}

// Conditions lists the condition block in document order.
func (s *Statement) Conditions() []Condition {
	var list []Condition
	for i := range s.conditions {
		list = append(list, s.conditions[i].source())
	}
	return list
}
