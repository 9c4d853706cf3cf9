package policy

import (
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	literal  tokenKind = iota
	star               // any run of characters, also none
	one                // one character
	variable           // ${key} or ${key, 'default'}
)

type token struct {
	kind     tokenKind
	text     string // literal text, or the variable's default
	key      string // of a variable, lower case
	name     string // of a variable, as written
	fallback bool   // the variable has a default
}

// value gives the text that a literal or variable stands for, and whether there is one.
func (t *token) value(ctx *Context) (string, bool) {
	if t.kind == literal {
		return t.text, true
	}
	if v, ok := ctx.single(t.key); ok {
		return v, true
	}
	return t.text, t.fallback
}

// tokenize splits a pattern. What looks like a variable but is not one (no end,
// no name) is literal text, and broken is set so that it can be refused on write.
func tokenize(s string, wildcards, variables bool) (tokens []token, broken bool) {
	lit := func(text string) {
		if n := len(tokens); n > 0 && tokens[n-1].kind == literal {
			tokens[n-1].text += text
		} else if text != "" {
			tokens = append(tokens, token{text: text})
		}
	}
	for s != "" {
		switch {
		case wildcards && s[0] == '*':
			if n := len(tokens); n == 0 || tokens[n-1].kind != star {
				tokens = append(tokens, token{kind: star})
			}
			s = s[1:]
		case wildcards && s[0] == '?':
			tokens = append(tokens, token{kind: one})
			s = s[1:]
		case variables && strings.HasPrefix(s, "${"):
			t, n := readVariable(s)
			switch {
			case n == 0:
				broken = true
				lit("${")
				s = s[2:]
				continue
			case t.kind == literal:
				lit(t.text)
			default:
				tokens = append(tokens, t)
			}
			s = s[n:]
		default:
			n := 1 + strings.IndexAny(s[1:], "*?$")
			if n == 0 {
				n = len(s)
			}
			lit(s[:n])
			s = s[n:]
		}
	}
	return tokens, broken
}

// readVariable reads "${…}" at the start of s: a key, a key with a default, or
// one of the escapes ${*} ${?} ${$}. n is its length, 0 if it is malformed.
func readVariable(s string) (t token, n int) {
	end := strings.IndexAny(s[2:], ",}")
	if end < 0 {
		return token{}, 0
	}
	end += 2
	name := strings.TrimSpace(s[2:end])
	if name == "" {
		return token{}, 0
	}
	if s[end] == '}' {
		if name == "*" || name == "?" || name == "$" {
			return token{text: name}, end + 1
		}
		return token{kind: variable, key: lowerKey(name), name: name}, end + 1
	}
	open := end + 1
	for open < len(s) && s[open] == ' ' {
		open++
	}
	if open == len(s) || s[open] != '\'' {
		return token{}, 0
	}
	length := strings.IndexByte(s[open+1:], '\'')
	if length < 0 {
		return token{}, 0
	}
	value := s[open+1 : open+1+length]
	last := open + 1 + length + 1
	for last < len(s) && s[last] == ' ' {
		last++
	}
	if last == len(s) || s[last] != '}' {
		return token{}, 0
	}
	return token{kind: variable, key: lowerKey(name), name: name, text: value, fallback: true}, last + 1
}

// glob is a compiled pattern; the common shapes need no token walk.
type glob struct {
	shape  shape
	text   string // exact and prefix
	tokens []token
}

type shape uint8

const (
	exact shape = iota
	anything
	prefix
	general
)

func compileGlob(tokens []token) glob {
	g := glob{tokens: tokens, shape: general}
	switch {
	case len(tokens) == 0:
		g.shape = exact
	case len(tokens) == 1 && tokens[0].kind == literal:
		g.shape, g.text = exact, tokens[0].text
	case len(tokens) == 1 && tokens[0].kind == star:
		g.shape = anything
	case len(tokens) == 2 && tokens[0].kind == literal && tokens[1].kind == star:
		g.shape, g.text = prefix, tokens[0].text
	}
	return g
}

func (g *glob) match(s string, ctx *Context) bool {
	switch g.shape {
	case exact:
		return s == g.text
	case anything:
		return true
	case prefix:
		return strings.HasPrefix(s, g.text)
	}
	return match(g.tokens, s, ctx)
}

// match reports whether the whole of s fits the tokens. It walks both once and
// returns to the last star only, so it needs no stack and at most
// len(tokens)·len(s) steps. A variable without a value matches nothing.
func match(tokens []token, s string, ctx *Context) bool {
	ti, si := 0, 0
	lastStar, resume := -1, 0 // token after the last star, and where in s it was tried
	for {
		if ti == len(tokens) {
			if si == len(s) {
				return true
			}
		} else {
			t := &tokens[ti]
			switch t.kind {
			case star:
				if ti++; ti == len(tokens) {
					return true
				}
				lastStar, resume = ti, si
				continue
			case one:
				if si < len(s) {
					si += runeLen(s[si:])
					ti++
					continue
				}
			default:
				text, ok := t.value(ctx)
				if !ok {
					return false
				}
				if strings.HasPrefix(s[si:], text) {
					si += len(text)
					ti++
					continue
				}
				if ti == lastStar { // skip to where the text occurs at all
					i := strings.Index(s[si:], text)
					if i < 0 {
						return false
					}
					resume = si + i
					si = resume + len(text)
					ti++
					continue
				}
			}
		}
		if lastStar < 0 || resume >= len(s) {
			return false
		}
		resume += runeLen(s[resume:])
		ti, si = lastStar, resume
	}
}

// resolve puts in the variables of a pattern without wildcards.
func resolve(tokens []token, ctx *Context) (string, bool) {
	if len(tokens) == 1 {
		return tokens[0].value(ctx)
	}
	var b strings.Builder
	for i := range tokens {
		text, ok := tokens[i].value(ctx)
		if !ok {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}

func runeLen(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// actionPattern is a pattern of Action or NotAction, compared without case.
type actionPattern struct {
	text  string
	at    int
	all   bool   // "*"
	exact bool   // no wildcard
	lower string // the pattern in lower case
}

func compileAction(n *node) actionPattern {
	return actionPattern{
		text:  n.text,
		at:    n.start,
		all:   n.text != "" && strings.Trim(n.text, "*") == "",
		exact: !strings.ContainsAny(n.text, "*?"),
		lower: strings.ToLower(n.text),
	}
}

func (a *actionPattern) match(action string) bool {
	if a.all {
		return true
	}
	if a.exact {
		return foldEqual(action, a.lower)
	}
	return strings.Contains(a.lower, ":") && foldGlob(a.lower, action)
}

// foldGlob matches s against a lower-case pattern with "*" and "?", without regard to ASCII case.
func foldGlob(pattern, s string) bool {
	pi, si := 0, 0
	lastStar, resume := -1, 0
	for si < len(s) {
		switch {
		case pi < len(pattern) && pattern[pi] == '*':
			if pi++; pi == len(pattern) {
				return true
			}
			lastStar, resume = pi, si
		case pi < len(pattern) && (pattern[pi] == '?' || pattern[pi] == lowerByte(s[si])):
			pi++
			si++
		case lastStar >= 0:
			resume++
			pi, si = lastStar, resume
		default:
			return false
		}
	}
	for pi < len(pattern) && pattern[pi] == '*' {
		pi++
	}
	return pi == len(pattern)
}

// foldEqual compares s with a text that is in lower case already.
func foldEqual(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		if lowerByte(s[i]) != lower[i] {
			return false
		}
	}
	return true
}

func lowerByte(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// target is the resource of a request, split once.
type target struct {
	text string
	seg  [6]string
	arn  bool
}

func newTarget(text string) target {
	t := target{text: text}
	t.seg, t.arn = splitARN(text)
	return t
}

// splitARN cuts at the first five colons. The last segment may hold more.
func splitARN(s string) (seg [6]string, ok bool) {
	for i := range 5 {
		if seg[i], s, ok = strings.Cut(s, ":"); !ok {
			return seg, false
		}
	}
	seg[5] = s
	return seg, true
}

// resourcePattern is a pattern of Resource or NotResource.
type resourcePattern struct {
	text   string
	at     int
	all    bool // "*"
	star   bool // consists of wildcards only, so it also covers actions without a resource
	seg    [6]glob
	loose  bool // one of segments 2 to 5 ends in "*", which may then run over colons
	whole  []token
	broken bool // holds a malformed variable
}

func compileResource(n *node, variables bool) resourcePattern {
	r := resourcePattern{text: n.text, at: n.start}
	if n.text != "" && strings.Trim(n.text, "*") == "" {
		r.all, r.star = true, true
		return r
	}
	text := n.text
	seg, ok := splitARN(text)
	if !ok { // a stored short pattern: padded
		text += strings.Repeat(":*", 5-strings.Count(text, ":"))
		seg, _ = splitARN(text)
	}
	r.star = seg[0] == "arn"
	for i := range 6 {
		var tokens []token
		tokens, r.broken = tokenize(seg[i], true, variables && i == 5)
		r.seg[i] = compileGlob(tokens)
		if i >= 1 && i <= 4 && strings.HasSuffix(seg[i], "*") {
			r.loose = true
		}
		if i >= 1 && r.seg[i].shape != anything && !(i == 1 && seg[i] == "aws") {
			r.star = false
		}
	}
	if r.loose {
		head, _ := tokenize(strings.TrimSuffix(text, seg[5]), true, false)
		r.whole = append(head, r.seg[5].tokens...)
	}
	return r
}

func (r *resourcePattern) match(t *target, ctx *Context) bool {
	if r.all {
		return true
	}
	if !t.arn {
		return r.star && t.text == "*"
	}
	if r.seg[2].match(t.seg[2], ctx) && r.seg[5].match(t.seg[5], ctx) && r.seg[1].match(t.seg[1], ctx) &&
		r.seg[3].match(t.seg[3], ctx) && r.seg[4].match(t.seg[4], ctx) && r.seg[0].match(t.seg[0], ctx) {
		return true
	}
	return r.loose && match(r.whole, t.text, ctx)
}
