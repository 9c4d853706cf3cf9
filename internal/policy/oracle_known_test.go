package policy

import (
	"maps"
	"math/big"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A knownDifference is a reading of the policy language in which the simulator
// differs from this package. It says the case again in words that both read
// alike and that mean the same here: our decision must not change by it, and
// the simulator's must become ours, else the case is not explained.
type knownDifference struct {
	name    string
	reason  string
	source  string // in the IAM User Guide unless told otherwise
	restate func(*oracleCase)
}

var knownDifferences = []knownDifference{
	{
		name:   "unknown keys",
		reason: "a condition on a key, or with a variable without default, that nobody knows and the request does not have never allows and always denies",
		source: "open for AWS, which counts such a key as absent; decided to the safe side",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				unknown := w.unknown && w.got == nil
				if !w.broken && w.op.class != null {
					for _, key := range w.strange {
						unknown = unknown || !c.has(key)
					}
				}
				switch {
				case !unknown:
					return asWritten, nil
				case w.deny:
					return alwaysMet, nil
				}
				return neverMet, nil
			})
		},
	},
	{
		name:   "language version",
		reason: "documents of version 2008-10-17 have no variables: ${…} is text",
		source: "Policy elements: Version",
		restate: func(c *oracleCase) {
			asText := func(s string) string { return variablePattern.ReplaceAllString(s, "\u00a7$1\u00a7") }
			c.conditions(func(w *written) (meaning, []string) {
				switch w.op.class {
				case stringEquals, stringFold, stringLike, arnLike:
					if w.version != "2012-10-17" {
						return asWritten, eachText(w.list(), asText)
					}
				}
				return asWritten, nil
			})
			c.resources(func(pattern, version string) string {
				if version != "2012-10-17" {
					return asText(pattern)
				}
				return pattern
			})
			c.Resource = asText(c.Resource)
			for key, got := range c.Ctx {
				if text, single := got.(string); single {
					c.Ctx[key] = asText(text)
				}
			}
		},
	},
	{
		name:   "variables without a name",
		reason: "${} is text",
		source: "open; AWS does not save such documents",
		restate: func(c *oracleCase) {
			asText := strings.NewReplacer("${}", "\u00a7").Replace
			c.conditions(func(w *written) (meaning, []string) {
				switch w.op.class {
				case stringEquals, stringFold, stringLike, arnLike:
					return asWritten, eachText(w.list(), asText)
				}
				return asWritten, nil
			})
			for key, got := range c.Ctx {
				if text, single := got.(string); single {
					c.Ctx[key] = asText(text)
				}
			}
		},
	},
	{
		name:   "defaults without a blank",
		reason: "the blank between comma and quote may be absent",
		source: "open",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				return asWritten, eachText(w.list(), func(s string) string { return strings.ReplaceAll(s, ",'", ", '") })
			})
		},
	},
	{
		name:   "variables in ARN patterns",
		reason: "a variable is one part of the pattern: the colon in its name separates no segments, and its value may be a whole ARN",
		source: "Policy elements: Variables and tags, \"Where you can use policy variables\"",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				if w.op.class != arnLike || w.version != "2012-10-17" {
					return asWritten, nil
				}
				return asWritten, eachText(w.list(), func(s string) string {
					return variablePattern.ReplaceAllStringFunc(s, func(v string) string {
						if text, present := c.value(variablePattern.FindStringSubmatch(v)[1]); present && !strings.ContainsAny(text, "*?$") {
							return text
						}
						return v
					})
				})
			})
		},
	},
	{
		name:   "IPv4 written as IPv6",
		reason: "::ffff:a.b.c.d is a.b.c.d",
		source: "RFC 4291, section 2.5.5.2",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				if w.op.class != ipAddress {
					return asWritten, nil
				}
				plain := func(s string) string {
					text, ok := strings.CutPrefix(s, "::ffff:")
					address, bits, isRange := strings.Cut(text, "/")
					n, err := strconv.Atoi(bits)
					switch {
					case !ok:
						return s
					case isRange && err == nil && n >= 96:
						return address + "/" + strconv.Itoa(n-96)
					}
					return address
				}
				c.change(w.key, plain)
				return asWritten, eachText(w.list(), plain)
			})
		},
	},
	{
		name:   "escapes without wildcards",
		reason: "${*}, ${?} and ${$} stand for the character also where the operator has no wildcards",
		source: "Policy elements: Variables and tags",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				if w.version == "2012-10-17" && (w.op.class == stringEquals || w.op.class == stringFold) {
					return asWritten, eachText(w.list(), strings.NewReplacer("${*}", "*", "${?}", "?", "${$}", "$").Replace)
				}
				return asWritten, nil
			})
		},
	},
	{
		name:   "empty values of variables",
		reason: "a key with an empty value has a value",
		source: "Policy elements: Variables and tags (a default is for keys that are not there)",
		restate: func(c *oracleCase) {
			putIn := func(s string) string {
				return variablePattern.ReplaceAllStringFunc(s, func(v string) string {
					m := variablePattern.FindStringSubmatch(v)
					if text, present := c.value(m[1]); present && text == "" || !present && m[2] != "" && m[3] == "" {
						return ""
					}
					return v
				})
			}
			c.conditions(func(w *written) (meaning, []string) {
				switch w.op.class {
				case stringEquals, stringFold, stringLike, arnLike:
					return asWritten, eachText(w.list(), putIn)
				}
				return asWritten, nil
			})
			c.resources(func(pattern, _ string) string { return putIn(pattern) })
		},
	},
	{
		name:   "variables without a value, negated",
		reason: "a value that cannot be formed equals nothing, so a negated operator holds against it",
		source: "Policy elements: Variables and tags, \"Variables with no value\"",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				if !w.op.negated {
					return asWritten, nil
				}
				never := noText
				if w.op.class == arnLike {
					never = noARN
				}
				return asWritten, eachText(w.list(), func(s string) string {
					if c.unformed(s) {
						return never
					}
					return s
				})
			})
		},
	},
	{
		name:   "variables without a value in NotResource",
		reason: "a pattern that cannot be formed is no resource, so it leaves nothing out",
		source: "Policy elements: Variables and tags, \"Variables with no value\"",
		restate: func(c *oracleCase) {
			c.resources(func(pattern, _ string) string {
				if c.unformed(pattern) {
					return noARN
				}
				return pattern
			})
		},
	},
	{
		name:   "negated operator on a multivalued key",
		reason: "a set operator is called for; without one a Deny holds if any value differs, an Allow if all do",
		source: "Single-valued vs. multivalued context keys; open there, decided to the safe side",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				values, multi := w.got.([]any)
				switch {
				case !multi || w.set != single || !w.op.negated || w.broken:
				case len(values) == 0:
					return alwaysMet, nil
				case w.deny:
					w.operator = "ForAnyValue:" + w.operator
				default:
					w.operator = "ForAllValues:" + w.operator
				}
				return asWritten, nil
			})
		},
	},
	{
		name:   "Null and empty keys",
		reason: "a multivalued key without values is null",
		source: "Condition operators, \"Null\": the key exists and its value is not null",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				if values, multi := w.got.([]any); w.op.class != null || !multi || len(values) > 0 {
					return asWritten, nil
				} else if slices.Contains(w.list(), "true") {
					return alwaysMet, nil
				}
				return neverMet, nil
			})
		},
	},
	{
		name:   "ForAnyValue with IfExists",
		reason: "IfExists makes a condition on an absent key true, whatever the prefix",
		source: "Condition operators, \"…IfExists\"",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				if w.set == forAnyValue && w.ifExists && w.got == nil && !w.broken {
					return alwaysMet, nil
				}
				return asWritten, nil
			})
		},
	},
	{
		name:   "unreadable policies",
		reason: "an unknown operator or a value that is not of its type never allows and always denies; AWS does not save such documents",
		source: "open; decided to the safe side",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				unreadable := w.op.class == unknownOperator || w.op.negated && len(w.values) == 0
				for _, text := range w.list() {
					unreadable = unreadable || !w.readable(text) && w.op.class != arnLike && !(w.op.class == boolean && w.version == "2012-10-17" && strings.Contains(text, "${"))
				}
				switch {
				case !unreadable:
					return asWritten, nil
				case w.deny:
					return alwaysMet, nil
				}
				return neverMet, nil
			})
		},
	},
	{
		name:   "unreadable request values",
		reason: "a request value that is not of the operator's type equals nothing, so negated operators hold",
		source: "open; as for variables without a value",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				switch text, single := w.got.(string); {
				case !single || w.op.class == null || w.readable(text):
					return asWritten, nil
				case w.op.class == arnLike && slices.Contains(w.list(), "*") != w.op.negated:
					return alwaysMet, nil
				case w.op.class == arnLike:
					return neverMet, nil
				case w.op.negated:
					return alwaysMet, nil
				}
				return neverMet, nil
			})
		},
	},
	{
		name:   "ARN patterns that are not ARNs",
		reason: "* alone is any ARN, a short pattern that ends in * has the rest filled with *, any other text is no ARN and equals none",
		source: "Condition operators, \"Amazon Resource Name (ARN) condition operators\"; open for short patterns",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				if w.op.class != arnLike {
					return asWritten, nil
				}
				return asWritten, eachText(w.list(), func(s string) string {
					switch n := strings.Count(s, ":"); {
					case s == "*":
						return "arn:*:*:*:*:*"
					case n >= 5:
						return s
					case strings.HasSuffix(s, "*"):
						return s + strings.Repeat(":*", 5-n)
					case strings.Contains(s, "${"): // stands for a whole ARN
						return s
					}
					return noARN
				})
			})
		},
	},
	{
		name:   "single addresses",
		reason: "an address alone is the range of that address: compared by value, and an address of the other family is outside",
		source: "Condition operators, \"IP address condition operators\"",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				if w.op.class != ipAddress {
					return asWritten, nil
				}
				return asWritten, eachText(w.list(), func(s string) string {
					switch {
					case strings.Contains(s, "/"):
						return s
					case strings.Contains(s, ":"):
						return s + "/128"
					}
					return s + "/32"
				})
			})
		},
	},
	{
		name:   "every address",
		reason: "0.0.0.0/0 holds every IPv4 address",
		source: "RFC 4632, section 3.1",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				if !slices.Contains(w.list(), "0.0.0.0/0") || w.op.class != ipAddress {
					return asWritten, nil
				}
				return asWritten, append(slices.DeleteFunc(w.list(), func(s string) bool { return s == "0.0.0.0/0" }), "0.0.0.0/1", "128.0.0.0/1")
			})
		},
	},
	{
		name:   "long numbers",
		reason: "numbers are compared exactly, not as floating point",
		source: "open",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				got, single := w.got.(string)
				if w.op.class != numeric || len(w.values) != 1 || !single || len(got) < 16 {
					return asWritten, nil
				}
				a, ok1 := new(big.Rat).SetString(got)
				b, ok2 := new(big.Rat).SetString(w.values[0].text)
				if !ok1 || !ok2 {
					return asWritten, nil
				}
				if w.op.relation.holds(a.Cmp(b)) != w.op.negated {
					return alwaysMet, nil
				}
				return neverMet, nil
			})
		},
	},
	{
		name:   "years and seconds",
		reason: "four digits are a year, other whole numbers are seconds since 1970, not milliseconds",
		source: "Condition operators, \"Date condition operators\"",
		restate: func(c *oracleCase) {
			c.conditions(func(w *written) (meaning, []string) {
				if w.op.class != date {
					return asWritten, nil
				}
				inFull := func(s string) string {
					n, err := strconv.ParseInt(s, 10, 64)
					switch {
					case err != nil:
						return s
					case len(s) == 4:
						return s + "-01-01T00:00:00Z"
					}
					return time.Unix(n, 0).UTC().Format(time.RFC3339)
				}
				c.change(w.key, inFull)
				return asWritten, eachText(w.list(), inFull)
			})
		},
	},
	{
		name:   "wildcards over colons",
		reason: "a * at the end of an ARN segment also covers further segments, and one in the resource type is a wildcard too",
		source: "IAM JSON policy elements: Resource; the type's wildcards are discouraged, not without effect",
		restate: func(c *oracleCase) {
			c.resources(func(pattern, _ string) string {
				seg, ok := splitARN(pattern)
				kind, _, _ := strings.Cut(seg[5], "/")
				if !ok || strings.Contains(pattern, "${") || !strings.HasSuffix(seg[1], "*") && !strings.HasSuffix(seg[2], "*") &&
					!strings.HasSuffix(seg[3], "*") && !strings.HasSuffix(seg[4], "*") && !strings.ContainsAny(kind, "*?") {
					return pattern
				}
				glob := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
				if c.Resource != "*" && regexp.MustCompile(`^`+glob+`$`).MatchString(c.Resource) {
					return "*"
				}
				return pattern
			})
		},
	},
	{
		name:   "all resources",
		reason: "an ARN of wildcards only covers actions without a resource",
		source: "open; an ARN pattern that every ARN fits leaves nothing out",
		restate: func(c *oracleCase) {
			c.resources(func(pattern, _ string) string {
				if c.Resource == "*" && regexp.MustCompile(`^arn:(aws|\*)(:\*){4}$`).MatchString(pattern) {
					return "*"
				}
				return pattern
			})
		},
	},
	{
		name:   "short resource patterns",
		reason: "missing ARN segments are filled with *, in every kind of policy and also in NotResource",
		source: "open; AWS does not save most of them",
		restate: func(c *oracleCase) {
			c.resources(func(pattern, _ string) string {
				if n := strings.Count(pattern, ":"); n > 0 && n < 5 {
					return pattern + strings.Repeat(":*", 5-n)
				}
				return pattern
			})
		},
	},
	{
		name:   "elements that say nothing",
		reason: "an empty list, an absent resource and an action without a service match nothing, also under Not…",
		source: "open; AWS does not save such documents",
		restate: func(c *oracleCase) {
			for _, d := range c.documents() {
				for _, st := range d.Statement {
					if st["Resource"] == nil && st["NotResource"] == nil && !(c.Trust && d == c.ResourcePolicy) {
						st["Resource"] = list(nil)
					}
					for _, element := range []string{"Action", "NotAction", "Resource", "NotResource"} {
						if st[element] == nil {
							continue
						}
						values := texts(st[element])
						if len(values) == 0 {
							st["Action"], st["Resource"] = "none:None", "*"
							delete(st, "NotAction")
							delete(st, "NotResource")
							break
						}
						if strings.HasSuffix(element, "Action") {
							after := eachText(values, func(s string) string {
								if strings.Trim(s, "*") != "" && !strings.Contains(s, ":") {
									return "none:None"
								}
								return s
							})
							if !slices.Equal(after, values) {
								st[element] = list(after)
							}
						}
					}
				}
			}
		},
	},
	{
		name:   "Allow with NotPrincipal",
		reason: "grants nothing",
		source: "AWS JSON policy elements: NotPrincipal; to be used with Deny only, refused by most services",
		restate: func(c *oracleCase) {
			c.resourceStatements(func(st map[string]any) bool { return st["NotPrincipal"] == nil || st["Effect"] == "Deny" })
		},
	},
	{
		name:   "Deny with NotPrincipal",
		reason: "exempts a caller only if all his identities are listed: account, user or role, and session",
		source: "AWS JSON policy elements: NotPrincipal, \"Specifying an IAM user\", \"role\", \"assumed-role session\"",
		restate: func(c *oracleCase) {
			c.resourceStatements(func(st map[string]any) bool {
				if st["NotPrincipal"] == nil {
					return true
				}
				if c.Boundary == nil && c.exempted(st["NotPrincipal"]) {
					return false
				}
				delete(st, "NotPrincipal")
				st["Principal"] = "*"
				return true
			})
		},
	},
	{
		name:   "role paths",
		reason: "a role is named with its path; the ARN of a session does not show it",
		source: "IAM identifiers",
		restate: func(c *oracleCase) {
			c.principals(func(kind, name string) string {
				if kind == "AWS" && strings.Contains(name, ":role/") && c.Parent != "" && name != c.Parent {
					return nobody
				}
				return name
			})
		},
	},
	{
		name:   "external identities",
		reason: "whom an identity provider knows must be let in by the provider's name, not by * or the account of the provider",
		source: "AWS JSON policy elements: Principal, \"OIDC federated principals\"; * decided to the safe side",
		restate: func(c *oracleCase) {
			if who := PrincipalFromARN(c.Principal); who.Kind != Federated {
				return
			}
			c.resourceStatements(func(st map[string]any) bool {
				if p, _ := st["Principal"].(map[string]any); st["Effect"] == "Allow" && (st["Principal"] == "*" || p["AWS"] != nil) {
					st["Principal"] = map[string]any{"AWS": nobody}
				}
				return true
			})
			c.principals(func(kind, name string) string {
				if kind == "AWS" && name != "*" {
					return nobody
				}
				return name
			})
		},
	},
	{
		name:   "built-in identity providers",
		reason: "all of them are callers of AssumeRoleWithWebIdentity, not only those whose name ends in amazonaws.com",
		source: "AWS JSON policy elements: Principal, \"OIDC federated principals\"",
		restate: func(c *oracleCase) {
			if c.Principal != "accounts.google.com" && c.Principal != "graph.facebook.com" && c.Principal != "www.amazon.com" {
				return
			}
			c.principals(func(_, name string) string {
				if name == c.Principal {
					return "cognito-identity.amazonaws.com"
				}
				return name
			})
			c.Principal = "cognito-identity.amazonaws.com"
		},
	},
	{
		name:   "names of federated users",
		reason: "the name of the session need not be the name of the user who made it",
		source: "AWS STS API Reference, GetFederationToken",
		restate: func(c *oracleCase) {
			if !strings.Contains(c.Principal, ":federated-user/") || c.Parent == "" {
				return
			}
			session := strings.NewReplacer(":iam:", ":sts:", ":user/", ":federated-user/").Replace(c.Parent)
			c.principals(func(_, name string) string {
				if name == c.Principal {
					return session
				}
				return name
			})
			c.Principal = session
		},
	},
	{
		name:   "root user",
		reason: "may do everything in his account without a policy",
		source: "AWS account root user",
		restate: func(c *oracleCase) {
			if strings.HasSuffix(c.Principal, ":root") {
				c.Identity = append(c.Identity, allowAll())
			}
		},
	},
	{
		name:   "root user and bucket policies",
		reason: "the root user of the owner can always read, write and delete the policy of a bucket",
		source: "Amazon S3 API Reference, PutBucketPolicy",
		restate: func(c *oracleCase) {
			if c.Principal == "arn:aws:iam::"+c.Account+":root" && strings.HasSuffix(c.Action, "BucketPolicy") {
				c.resourceStatements(func(st map[string]any) bool { return st["Effect"] != "Deny" })
			}
		},
	},
	{
		name:   "GetSessionToken",
		reason: "needs no permission and cannot be denied, as GetCallerIdentity",
		source: "AWS STS API Reference, GetSessionToken: \"no permissions are required\"",
		restate: func(c *oracleCase) {
			if c.Action == "sts:GetSessionToken" {
				c.Action = "sts:GetCallerIdentity"
			}
		},
	},
	{
		name:   "resource policies that name the session",
		reason: "what the resource's policy grants to the session itself, in its account, session policies do not limit",
		source: "Policies and permissions, \"Session policies\"",
		restate: func(c *oracleCase) {
			if c.Session == nil || c.ResourcePolicy == nil || accountOf(c.Principal) != c.Account {
				return
			}
			var grants []map[string]any // the same, said in the session policy
			for _, st := range c.ResourcePolicy.Statement {
				p, _ := st["Principal"].(map[string]any)
				if names := texts(p["AWS"]); st["Effect"] == "Allow" && (st["Principal"] == "*" || slices.Contains(names, "*") || slices.Contains(names, c.Principal)) {
					grant := maps.Clone(st)
					delete(grant, "Principal")
					grants = append(grants, grant)
				}
			}
			c.Session.Statement = append(c.Session.Statement, grants...)
		},
	},
	{
		name:   "federated users without session policies",
		reason: "have no permissions but what resource policies grant to their session",
		source: "AWS STS API Reference, GetFederationToken, \"Permissions\"",
		restate: func(c *oracleCase) {
			if strings.Contains(c.Principal, ":federated-user/") && c.Session == nil {
				c.Session = &oracleDocument{Version: "2012-10-17", Statement: []map[string]any{{"Effect": "Allow", "Action": "none:None", "Resource": "*"}}}
			}
		},
	},
}

const (
	nobody = "arn:aws:iam::111122223333:user/nobody"
	noText = "\u00a7no such text\u00a7"
	noARN  = "arn:aws:none:none:000000000000:none"
)

// meaning is what a condition is restated as.
type meaning uint8

const (
	asWritten meaning = iota
	alwaysMet
	neverMet
)

// written is a condition as a policy has it.
type written struct {
	condition // compiled
	version   string
	deny      bool
	got       any // of the request: nil, string or []any
}

func (w *written) list() []string {
	var out []string
	for i := range w.values {
		out = append(out, w.values[i].text)
	}
	return out
}

// conditions has every condition restated: f may change operator and give new values.
func (c *oracleCase) conditions(f func(w *written) (m meaning, values []string)) {
	for _, d := range c.documents() {
		for _, st := range d.Statement {
			block, ok := st["Condition"].(map[string]any)
			if !ok {
				continue
			}
			out := map[string]any{}
			put := func(operator, key string, values any) {
				if out[operator] == nil {
					out[operator] = map[string]any{}
				}
				keys := out[operator].(map[string]any)
				if _, taken := keys[key]; taken { // the other spelling of a key is another condition
					key = strings.ToUpper(key)
				}
				keys[key] = values
			}
			never := false
			for _, operator := range slices.Sorted(maps.Keys(block)) {
				keys := block[operator].(map[string]any)
				for _, key := range slices.Sorted(maps.Keys(keys)) {
					w := &written{version: d.Version, deny: st["Effect"] == "Deny"}
					w.operator, w.key = operator, strings.ToLower(key)
					for _, text := range texts(keys[key]) {
						w.values = append(w.values, conditionValue{text: text})
					}
					w.compile(d.Version == "2012-10-17")
					for name, got := range c.Ctx {
						if strings.EqualFold(name, key) {
							w.got = got
						}
					}
					switch m, values := f(w); {
					case m == neverMet:
						never = true
					case m == alwaysMet:
					case values != nil:
						put(w.operator, key, list(values))
					default:
						put(w.operator, key, keys[key])
					}
				}
			}
			if never {
				out["StringEquals"] = map[string]any{"aws:RequestTag/never": "met"}
			}
			if len(out) == 0 {
				delete(st, "Condition")
			} else {
				st["Condition"] = out
			}
		}
	}
}

// resources has every resource pattern restated.
func (c *oracleCase) resources(f func(pattern, version string) string) {
	for _, d := range c.documents() {
		for _, st := range d.Statement {
			for _, element := range []string{"Resource", "NotResource"} {
				if st[element] == nil {
					continue
				}
				var patterns []string
				for _, p := range texts(st[element]) {
					patterns = append(patterns, f(p, d.Version))
				}
				if !slices.Equal(patterns, texts(st[element])) {
					st[element] = list(patterns)
				}
			}
		}
	}
}

// resourceStatements has the statements of the resource policy restated; those for which f is false are dropped.
func (c *oracleCase) resourceStatements(f func(st map[string]any) bool) {
	if c.ResourcePolicy == nil {
		return
	}
	c.ResourcePolicy.Statement = slices.DeleteFunc(c.ResourcePolicy.Statement, func(st map[string]any) bool { return !f(st) })
	if len(c.ResourcePolicy.Statement) == 0 {
		c.ResourcePolicy.Statement = []map[string]any{{"Effect": "Allow", "Principal": map[string]any{"AWS": nobody}, "Action": "none:None", "Resource": "*"}}
		if c.Trust {
			delete(c.ResourcePolicy.Statement[0], "Resource")
		}
	}
}

func (c *oracleCase) value(key string) (text string, present bool) {
	for name, got := range c.Ctx {
		if strings.EqualFold(name, strings.TrimSpace(key)) {
			text, single := got.(string)
			return text, single
		}
	}
	return "", false
}

func (c *oracleCase) has(key string) bool {
	for name := range c.Ctx {
		if strings.EqualFold(name, key) {
			return true
		}
	}
	return false
}

// change restates the single value of a key.
func (c *oracleCase) change(key string, f func(string) string) {
	for name, got := range c.Ctx {
		if text, single := got.(string); single && strings.EqualFold(name, key) {
			c.Ctx[name] = f(text)
		}
	}
}

// unformed reports whether a text holds a variable that has neither value nor default.
func (c *oracleCase) unformed(text string) bool {
	for _, m := range variablePattern.FindAllStringSubmatch(text, -1) {
		if _, present := c.value(m[1]); !present && m[2] == "" && !strings.Contains("*?$", m[1]) {
			return true
		}
	}
	return false
}

func allowAll() *oracleDocument {
	return &oracleDocument{Version: "2012-10-17", Statement: []map[string]any{{"Effect": "Allow", "Action": "*", "Resource": "*"}}}
}

var (
	variablePattern = regexp.MustCompile(`\$\{([^},]+)(, *'([^']*)')?\}`)
)

// principals has the entries of Principal restated. NotPrincipal keeps its own.
func (c *oracleCase) principals(f func(kind, name string) string) {
	c.resourceStatements(func(st map[string]any) bool {
		who, _ := st["Principal"].(map[string]any)
		for kind, names := range who {
			if after := eachText(texts(names), func(name string) string { return f(kind, name) }); !slices.Equal(after, texts(names)) {
				who[kind] = list(after)
			}
		}
		return true
	})
}

// exempted reports whether a NotPrincipal element lists all identities of the caller.
func (c *oracleCase) exempted(element any) bool {
	if element == "*" {
		return true
	}
	var names []string
	for _, values := range element.(map[string]any) {
		names = append(names, texts(values)...)
	}
	has := func(any ...string) bool {
		return slices.ContainsFunc(any, func(name string) bool { return name != "" && slices.Contains(names, name) })
	}
	if has("*") {
		return true
	}
	account := accountOf(c.Principal)
	inAccount := has(account, "arn:aws:iam::"+account+":root")
	switch who := PrincipalFromARN(c.Principal); who.Kind {
	case Root:
		return inAccount
	case User:
		return inAccount && has(c.Principal)
	case RoleSession, FederatedUser:
		return inAccount && has(c.Principal) && has(c.Parent)
	case Anonymous:
		return false
	}
	return has(c.Principal)
}

func eachText(values []string, f func(string) string) []string {
	out := slices.Clone(values)
	for i := range out {
		out[i] = f(out[i])
	}
	return out
}

// shapes of values that operators can read; for the others any text will do.
var shapes = map[operatorClass]*regexp.Regexp{
	numeric: regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?$`),
	date:    regexp.MustCompile(`^(-?[0-9]+|[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}(:[0-9]{2})?)?)?)?)?)$`),
	boolean: regexp.MustCompile(`^(?i:true|false)$`),
	null:    regexp.MustCompile(`^(?i:true|false)$`),
	arnLike: regexp.MustCompile(`^\*$|^([^:]*:){5}`),
}

func (w *written) readable(text string) bool {
	switch shape := shapes[w.op.class]; {
	case shape != nil && !shape.MatchString(text):
		return false
	case w.op.class == date && len(text) >= 10 && text[4] == '-':
		_, err := time.Parse(time.DateOnly, text[:10])
		return err == nil
	case w.op.class == ipAddress:
		_, err := netip.ParsePrefix(text)
		if err != nil {
			_, err = netip.ParseAddr(text)
		}
		return err == nil
	}
	return true
}

func accountOf(arn string) string {
	seg, _ := splitARN(arn)
	return seg[4]
}
