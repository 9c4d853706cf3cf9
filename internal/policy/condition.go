package policy

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"strings"
	"time"
)

// operatorClass is an operator without negation, suffix and prefix.
type operatorClass uint8

const (
	unknownOperator operatorClass = iota
	stringEquals
	stringFold
	stringLike
	numeric
	date
	boolean
	binaryEquals
	ipAddress
	arnLike
	null
)

// relation orders numbers and dates.
type relation uint8

const (
	equal relation = iota
	less
	lessEqual
	greater
	greaterEqual
)

func (r relation) holds(cmp int) bool {
	switch r {
	case less:
		return cmp < 0
	case lessEqual:
		return cmp <= 0
	case greater:
		return cmp > 0
	case greaterEqual:
		return cmp >= 0
	}
	return cmp == 0
}

type operator struct {
	class    operatorClass
	relation relation
	negated  bool
}

// operators by lower-case name (IAM JSON policy elements: Condition operators).
var operators = map[string]operator{
	"stringequals":              {class: stringEquals},
	"stringnotequals":           {class: stringEquals, negated: true},
	"stringequalsignorecase":    {class: stringFold},
	"stringnotequalsignorecase": {class: stringFold, negated: true},
	"stringlike":                {class: stringLike},
	"stringnotlike":             {class: stringLike, negated: true},
	"numericequals":             {class: numeric},
	"numericnotequals":          {class: numeric, negated: true},
	"numericlessthan":           {class: numeric, relation: less},
	"numericlessthanequals":     {class: numeric, relation: lessEqual},
	"numericgreaterthan":        {class: numeric, relation: greater},
	"numericgreaterthanequals":  {class: numeric, relation: greaterEqual},
	"dateequals":                {class: date},
	"datenotequals":             {class: date, negated: true},
	"datelessthan":              {class: date, relation: less},
	"datelessthanequals":        {class: date, relation: lessEqual},
	"dategreaterthan":           {class: date, relation: greater},
	"dategreaterthanequals":     {class: date, relation: greaterEqual},
	"bool":                      {class: boolean},
	"binaryequals":              {class: binaryEquals},
	"ipaddress":                 {class: ipAddress},
	"notipaddress":              {class: ipAddress, negated: true},
	"arnequals":                 {class: arnLike},
	"arnlike":                   {class: arnLike},
	"arnnotequals":              {class: arnLike, negated: true},
	"arnnotlike":                {class: arnLike, negated: true},
	"null":                      {class: null},
}

type setMode uint8

const (
	single setMode = iota
	forAllValues
	forAnyValue
)

// condition is one key under one operator, with its values compiled for the operator.
type condition struct {
	operator string // as written
	name     string // key as written
	key      string // lower case
	at       int    // offset of the key
	op       operator
	set      setMode
	ifExists bool
	values   []conditionValue
	// broken: the operator is unknown or a value cannot be read. Such a
	// condition counts as false in an Allow and as true in a Deny.
	broken bool
	// unknown: key is no known condition key. If the request has it all the
	// same it is compared, else the condition counts as a broken one.
	unknown bool
	// strange are the unknown keys that values use as variables without default.
	strange []string
}

type conditionValue struct {
	text   string
	at     int
	broken bool    // cannot be read as the operator's type
	tokens []token // string, ARN and Bool operators
	plain  bool    // tokens are a single literal
	arn    *arnPattern
	number decimal
	time   time.Time
	truth  bool
	bytes  []byte
	prefix netip.Prefix
}

func (c *condition) source() Condition {
	out := Condition{Operator: c.operator, Key: c.name}
	for i := range c.values {
		out.Values = append(out.Values, c.values[i].text)
	}
	return out
}

func (c *condition) compile(variables bool) {
	name := strings.ToLower(c.operator)
	if rest, ok := strings.CutPrefix(name, "forallvalues:"); ok {
		c.set, name = forAllValues, rest
	} else if rest, ok := strings.CutPrefix(name, "foranyvalue:"); ok {
		c.set, name = forAnyValue, rest
	}
	if base, ok := strings.CutSuffix(name, "ifexists"); ok {
		c.ifExists, name = true, base
	}
	c.op = operators[name]
	if c.op.class == null && (c.ifExists || c.set != single) {
		c.op = operator{}
	}
	if c.op.class == unknownOperator || len(c.values) == 0 && c.op.negated {
		c.broken = true
	}
	for i := range c.values {
		v := &c.values[i]
		v.compile(c.op.class, variables)
		c.broken = c.broken || v.broken
		for _, t := range v.tokens {
			if t.kind == variable && !t.fallback && !knownKey(t.key) {
				c.strange = append(c.strange, t.key)
			}
		}
	}
	c.unknown = !knownKey(c.key)
}

func (v *conditionValue) compile(class operatorClass, variables bool) {
	var ok bool
	switch class {
	case stringEquals, stringFold:
		v.tokens, _ = tokenize(v.text, false, variables)
		ok = true
	case stringLike:
		v.tokens, _ = tokenize(v.text, true, variables)
		ok = true
	case arnLike:
		v.tokens, _ = tokenize(v.text, true, variables)
		v.arn = compileARN(v.tokens)
		ok = true
	case boolean:
		v.tokens, _ = tokenize(v.text, false, variables)
		v.truth, ok = parseBool(v.text)
		for _, t := range v.tokens {
			ok = ok || t.kind == variable
		}
	case null:
		v.truth, ok = parseBool(v.text)
	case numeric:
		v.number, ok = parseDecimal(v.text)
	case date:
		v.time, ok = parseDate(v.text)
	case ipAddress:
		v.prefix, ok = parsePrefix(v.text)
	case binaryEquals:
		var err error
		v.bytes, err = base64.StdEncoding.DecodeString(v.text)
		ok = err == nil
	default:
		ok = true // the condition is broken as a whole
	}
	v.broken = !ok
	v.plain = len(v.tokens) == 0 || len(v.tokens) == 1 && v.tokens[0].kind == literal
}

// holds evaluates the condition. inDeny says which way an unanswerable one falls.
func (c *condition) holds(ctx *Context, inDeny bool) bool {
	if c.broken {
		return inDeny
	}
	e, err := ctx.find(c.key)
	if err != nil || e == nil && c.unknown {
		return inDeny
	}
	for _, key := range c.strange {
		if e, err := ctx.find(key); err != nil || e == nil {
			return inDeny
		}
	}
	if c.op.class == null {
		absent := e == nil || e.multi && len(e.many) == 0
		for i := range c.values {
			if c.values[i].truth == absent {
				return true
			}
		}
		return false
	}
	if e == nil {
		return c.ifExists || c.set == forAllValues || c.set == single && c.op.negated
	}
	if !e.multi {
		return c.differsOrEquals(e.one, ctx)
	}
	switch {
	case c.set == forAllValues:
		return c.all(e.many, ctx)
	case c.set == forAnyValue:
		return c.any(e.many, ctx)
	case !c.op.negated:
		return false
	case len(e.many) == 0:
		return true
	case inDeny:
		return c.any(e.many, ctx)
	}
	return c.all(e.many, ctx)
}

func (c *condition) all(values []string, ctx *Context) bool {
	for _, v := range values {
		if !c.differsOrEquals(v, ctx) {
			return false
		}
	}
	return true
}

func (c *condition) any(values []string, ctx *Context) bool {
	for _, v := range values {
		if c.differsOrEquals(v, ctx) {
			return true
		}
	}
	return false
}

// differsOrEquals compares one request value with the listed ones: it must fit
// one of them or, for negated operators, none. A request value that cannot be
// read fits none.
func (c *condition) differsOrEquals(got string, ctx *Context) bool {
	return c.fitsOne(got, ctx) != c.op.negated
}

func (c *condition) fitsOne(got string, ctx *Context) bool {
	switch c.op.class {
	case stringEquals:
		for i := range c.values {
			v := &c.values[i]
			if v.plain && v.literal() == got || !v.plain && match(v.tokens, got, ctx) {
				return true
			}
		}
	case stringFold:
		for i := range c.values {
			v := &c.values[i]
			if v.plain {
				if strings.EqualFold(v.literal(), got) {
					return true
				}
			} else if want, ok := resolve(v.tokens, ctx); ok && strings.EqualFold(want, got) {
				return true
			}
		}
	case stringLike:
		for i := range c.values {
			if match(c.values[i].tokens, got, ctx) {
				return true
			}
		}
	case arnLike:
		seg, isARN := splitARN(got)
		for i := range c.values {
			if c.values[i].arn.match(got, &seg, isARN, ctx) {
				return true
			}
		}
	case boolean:
		truth, ok := parseBool(got)
		if !ok {
			return false
		}
		for i := range c.values {
			v := &c.values[i]
			want := v.truth
			if !v.plain {
				text, ok := resolve(v.tokens, ctx)
				if !ok {
					continue
				}
				if want, ok = parseBool(text); !ok {
					continue
				}
			}
			if want == truth {
				return true
			}
		}
	case numeric:
		number, ok := parseDecimal(got)
		for i := range c.values {
			if ok && c.op.relation.holds(number.compare(c.values[i].number)) {
				return true
			}
		}
	case date:
		t, ok := parseDate(got)
		for i := range c.values {
			if ok && c.op.relation.holds(t.Compare(c.values[i].time)) {
				return true
			}
		}
	case binaryEquals:
		raw, err := base64.StdEncoding.DecodeString(got)
		for i := range c.values {
			if err == nil && bytes.Equal(raw, c.values[i].bytes) {
				return true
			}
		}
	case ipAddress:
		addr, err := netip.ParseAddr(got)
		if err != nil {
			return false
		}
		addr = addr.Unmap().WithZone("")
		for i := range c.values {
			if c.values[i].prefix.Contains(addr) {
				return true
			}
		}
	}
	return false
}

func (v *conditionValue) literal() string {
	if len(v.tokens) == 0 {
		return ""
	}
	return v.tokens[0].text
}

// arnPattern is an ARN in a condition: six segments compared one by one, so
// that a "*" never runs over a colon.
type arnPattern struct {
	all   bool // "*"
	seg   [6][]token
	whole []token // instead of segments: a variable that stands for an ARN
}

func compileARN(tokens []token) *arnPattern {
	p := &arnPattern{}
	if len(tokens) == 1 && tokens[0].kind == star {
		p.all = true
		return p
	}
	n, variables := 0, false
	for _, t := range tokens {
		if t.kind != literal {
			variables = variables || t.kind == variable
			p.seg[n] = append(p.seg[n], t)
			continue
		}
		text := t.text
		for n < 5 {
			head, tail, more := strings.Cut(text, ":")
			if !more {
				break
			}
			if head != "" {
				p.seg[n] = append(p.seg[n], token{text: head})
			}
			text = tail
			n++
		}
		if text != "" {
			p.seg[n] = append(p.seg[n], token{text: text})
		}
	}
	if n < 5 {
		if last := p.seg[n]; len(last) > 0 && last[len(last)-1].kind == star {
			for n++; n < 6; n++ { // a short pattern that ends in "*" covers what follows
				p.seg[n] = []token{{kind: star}}
			}
		} else if variables {
			p.whole = tokens
		}
	}
	return p
}

func (p *arnPattern) match(text string, seg *[6]string, isARN bool, ctx *Context) bool {
	if p.all {
		return true
	}
	if p.whole != nil {
		for i := range p.whole {
			if p.whole[i].kind == star || p.whole[i].kind == one {
				return false
			}
		}
		return match(p.whole, text, ctx)
	}
	if !isARN {
		return false
	}
	for i := range p.seg {
		if !match(p.seg[i], seg[i], ctx) {
			return false
		}
	}
	return true
}
