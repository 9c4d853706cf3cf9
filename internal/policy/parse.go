package policy

const (
	version2012 = "2012-10-17"
	version2008 = "2008-10-17"
)

// Parse reads a document. It is meant for stored documents: what can only be
// wrong when it is written (empty lists, short ARNs, unknown operators, values
// that cannot be read) is accepted and matches nothing, or denies; see the
// package comment. What is not a policy at all is refused with *[Malformed].
func Parse(text string) (*Policy, error) {
	p, bad := read(text)
	if bad == nil && p.badEffect != nil {
		bad = malformed(badEffect, p.badEffect.start, p.badEffect.text)
	}
	if bad != nil {
		return nil, bad
	}
	return p, nil
}

// read parses and compiles a document. An Effect in the wrong case is left for
// the caller to refuse, because AWS looks at other faults first.
func read(text string) (*Policy, *Malformed) {
	root, bad := readJSON(text)
	if bad != nil {
		return nil, bad
	}
	if root.kind != '{' {
		return nil, malformed(notJSON, root.start, "")
	}
	p := &Policy{text: text}
	var statement *node
	for _, m := range root.members {
		switch m.name {
		case "Version":
			if m.value.kind != '"' || m.value.text != version2012 && m.value.text != version2008 {
				return nil, malformed(syntaxFault, m.value.start, "unknown Version")
			}
			p.version = m.value.text
		case "Id":
			if m.value.kind != '"' {
				return nil, malformed(syntaxFault, m.value.start, "Id must be a string")
			}
		case "Statement":
			statement = m.value
		default:
			return nil, malformed(unknownField, m.start, m.name)
		}
	}
	if statement == nil {
		return nil, malformed(noStatement, root.start, "")
	}
	list := statement.list()
	if len(list) == 0 {
		return nil, malformed(noStatement, statement.start, "")
	}
	p.statements = make([]Statement, len(list))
	for i, n := range list {
		if bad := p.readStatement(&p.statements[i], n); bad != nil {
			return nil, bad
		}
	}
	for i := range p.statements {
		if st := &p.statements[i]; st.Effect == Allow {
			p.allow = append(p.allow, index(st))
		} else {
			p.deny = append(p.deny, index(st))
		}
	}
	return p, nil
}

func (p *Policy) readStatement(st *Statement, n *node) *Malformed {
	if n.kind != '{' {
		return malformed(syntaxFault, n.start, "a statement must be an object")
	}
	st.Start, st.End = n.start, n.end
	variables := p.version == version2012
	effect := false
	for _, m := range n.members {
		v := m.value
		switch m.name {
		case "Sid":
			if v.kind != '"' {
				return malformed(syntaxFault, v.start, "Sid must be a string")
			}
			st.Sid = v.text
		case "Effect":
			if v.kind != '"' {
				return malformed(syntaxFault, v.start, "Effect must be a string")
			}
			effect = true
			switch {
			case v.text == "Allow":
				st.Effect = Allow
			case v.text == "Deny":
			case foldEqual(v.text, "allow"), foldEqual(v.text, "deny"):
				p.badEffect = v
			default:
				return malformed(badEffect, v.start, v.text)
			}
		case "Principal", "NotPrincipal":
			if st.hasPrincipal {
				return malformed(syntaxFault, m.start, "Principal and NotPrincipal")
			}
			st.hasPrincipal, st.notPrincipal = true, m.name == "NotPrincipal"
			if bad := st.readPrincipals(v); bad != nil {
				return bad
			}
		case "Action", "NotAction":
			if st.hasAction {
				return malformed(syntaxFault, m.start, "Action and NotAction")
			}
			st.hasAction, st.notAction = true, m.name == "NotAction"
			for _, item := range v.list() {
				if item.kind != '"' {
					return malformed(syntaxFault, item.start, m.name+" must be a string")
				}
				st.actions = append(st.actions, compileAction(item))
			}
		case "Resource", "NotResource":
			if st.hasResource {
				return malformed(syntaxFault, m.start, "Resource and NotResource")
			}
			st.hasResource, st.notResource = true, m.name == "NotResource"
			for _, item := range v.list() {
				if item.kind != '"' {
					return malformed(syntaxFault, item.start, m.name+" must be a string")
				}
				st.resources = append(st.resources, compileResource(item, variables))
			}
		case "Condition":
			if bad := st.readConditions(v, variables); bad != nil {
				return bad
			}
		default:
			return malformed(unknownField, m.start, m.name)
		}
	}
	if !effect {
		return malformed(noEffect, n.start, "")
	}
	return nil
}

func (st *Statement) readPrincipals(v *node) *Malformed {
	if v.kind == '"' && v.text == "*" {
		st.principals = []principalPattern{compilePrincipal("AWS", v)}
		return nil
	}
	if v.kind != '{' {
		return malformed(badPrincipal, v.start, v.text)
	}
	for _, m := range v.members {
		switch m.name {
		case "AWS", "Federated", "Service", "CanonicalUser":
		default:
			return malformed(badPrincipal, m.start, m.name)
		}
		for _, item := range m.value.list() {
			if item.kind != '"' {
				return malformed(badPrincipal, item.start, m.name)
			}
			st.principals = append(st.principals, compilePrincipal(m.name, item))
		}
	}
	return nil
}

func (st *Statement) readConditions(block *node, variables bool) *Malformed {
	if block.kind != '{' {
		return malformed(syntaxFault, block.start, "Condition must be an object")
	}
	for _, op := range block.members {
		if op.value.kind != '{' {
			return malformed(syntaxFault, op.value.start, "a condition operator must hold an object")
		}
		for _, key := range op.value.members {
			c := condition{operator: op.name, name: key.name, key: lowerKey(key.name), at: key.start}
			for _, item := range key.value.list() {
				if item.kind == '{' || item.kind == '[' || item.kind == 'n' {
					return malformed(syntaxFault, item.start, "a condition value must be a string, number or boolean")
				}
				c.values = append(c.values, conditionValue{text: item.text, at: item.start})
			}
			c.compile(variables)
			st.conditions = append(st.conditions, c)
		}
	}
	return nil
}
