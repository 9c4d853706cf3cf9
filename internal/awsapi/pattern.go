package awsapi

import (
	"regexp"
	"regexp/syntax"
	"sort"
	"sync"
	"unicode/utf8"
)

// Pattern is a constraint by regular expression, always on the whole string.
type Pattern struct {
	model string // as the model has it, for messages
	expr  string // the same for Go's regexp
	once  sync.Once
	re    *regexp.Regexp
	class *charClass
}

// NewPattern returns the pattern that the model writes as model and Go as expr. It is compiled at first use.
func NewPattern(model, expr string) *Pattern { return &Pattern{model: model, expr: expr} }

// Match reports whether the whole of s matches.
func (p *Pattern) Match(s string) bool {
	p.once.Do(p.compile)
	if p.class != nil {
		return p.class.match(s)
	}
	return p.re.MatchString(s)
}

func (p *Pattern) compile() {
	p.class = newCharClass(p.expr)
	if p.class == nil {
		p.re = regexp.MustCompile(`\A(?:` + p.expr + `)\z`)
	}
}

// charClass is a pattern of the form [class]+ or [class]*, as most are. A
// token of two thousand characters passes in a few microseconds.
type charClass struct {
	ascii  [2]uint64
	ranges []rune // pairs low, high, sorted
	empty  bool   // matches the empty string
}

func newCharClass(expr string) *charClass {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	for re.Op == syntax.OpCapture || re.Op == syntax.OpConcat && len(re.Sub) == 1 {
		re = re.Sub[0]
	}
	if re.Op == syntax.OpConcat { // ^[class]+$
		var subs []*syntax.Regexp
		for _, s := range re.Sub {
			if s.Op != syntax.OpBeginText && s.Op != syntax.OpEndText {
				subs = append(subs, s)
			}
		}
		if len(subs) != 1 || re.Sub[0] != subs[0] && re.Sub[0].Op != syntax.OpBeginText {
			return nil
		}
		re = subs[0]
	}
	if re.Op != syntax.OpPlus && re.Op != syntax.OpStar || re.Sub[0].Op != syntax.OpCharClass || re.Sub[0].Flags&syntax.FoldCase != 0 {
		return nil
	}
	c := &charClass{ranges: re.Sub[0].Rune, empty: re.Op == syntax.OpStar}
	for r := rune(0); r < utf8.RuneSelf; r++ {
		if c.has(r) {
			c.ascii[r>>6] |= 1 << (r & 63)
		}
	}
	return c
}

func (c *charClass) has(r rune) bool {
	i := sort.Search(len(c.ranges)/2, func(i int) bool { return c.ranges[2*i+1] >= r })
	return i < len(c.ranges)/2 && c.ranges[2*i] <= r
}

func (c *charClass) match(s string) bool {
	if s == "" {
		return c.empty
	}
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b >= utf8.RuneSelf {
			for _, r := range s[i:] {
				if !c.has(r) {
					return false
				}
			}
			return true
		}
		if c.ascii[b>>6]&(1<<(b&63)) == 0 {
			return false
		}
	}
	return true
}
