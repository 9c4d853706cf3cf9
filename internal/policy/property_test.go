package policy

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// world draws small random requests and policies from few words, so that they often meet.
type world struct{ *rand.Rand }

func (w world) pick(words ...string) string { return words[w.IntN(len(words))] }

func (w world) some(words ...string) string {
	var list []string
	for range 1 + w.IntN(2) {
		list = append(list, `"`+w.pick(words...)+`"`)
	}
	if len(list) == 1 {
		return list[0]
	}
	return "[" + strings.Join(list, ",") + "]"
}

func (w world) statement(effect string, principal, resource bool) string {
	parts := []string{`"Effect":"` + effect + `"`}
	if principal {
		name := w.pick("Principal", "Principal", "Principal", "NotPrincipal")
		parts = append(parts, `"`+name+`":{"AWS":`+w.some("*", "111122223333", "444455556666", "arn:aws:iam::111122223333:user/alice",
			"arn:aws:iam::444455556666:user/bob", "arn:aws:iam::111122223333:role/app", "arn:aws:sts::111122223333:assumed-role/app/s")+`}`)
	}
	parts = append(parts, `"`+w.pick("Action", "Action", "NotAction")+`":`+w.some("*", "s3:*", "s3:Get*", "s3:GetObject", "s3:?etObject", "iam:*"))
	if resource {
		parts = append(parts, `"`+w.pick("Resource", "Resource", "NotResource")+`":`+w.some("*", "arn:aws:s3:::box/*", "arn:aws:s3:::b*", "arn:aws:s3:::box/${aws:username}/*", "arn:aws:iam::*:*"))
	}
	if w.IntN(2) == 0 {
		op := w.pick("", "", "ForAllValues:", "ForAnyValue:") + w.pick("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "NumericLessThan", "NotIpAddress", "StringOdd") + w.pick("", "IfExists")
		parts = append(parts, `"Condition":{"`+op+`":{"`+w.pick("a:one", "a:many", "a:none")+`":`+w.some("x", "y", "x*", "${a:one}", "${a:none, 'x'}", "5")+`}}`)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

type document []string // statements

func (d document) text() string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(d, ",") + `]}`
}

func (w world) document(principal, resource bool) document {
	var d document
	for range 1 + w.IntN(3) {
		d = append(d, w.statement(w.pick("Allow", "Allow", "Deny"), principal, resource))
	}
	return d
}

// situation is a request with the texts of its policies.
type situation struct {
	request  *Request
	identity []document
	resource document
	boundary document
	session  document
	scp      []document
	trust    bool
}

func (w world) situation() *situation {
	s := &situation{trust: w.IntN(4) == 0}
	s.request = &Request{
		Principal:       PrincipalFromARN(w.pick("arn:aws:iam::111122223333:user/alice", "arn:aws:iam::444455556666:user/bob", "arn:aws:sts::111122223333:assumed-role/app/s", "arn:aws:iam::111122223333:root", "anonymous", "sns.amazonaws.com")),
		Action:          w.pick("s3:GetObject", "s3:PutObject", "iam:GetUser"),
		Resource:        w.pick("arn:aws:s3:::box/alice/k", "arn:aws:s3:::other", "arn:aws:iam::111122223333:role/app", "*"),
		ResourceAccount: "111122223333",
		Context:         &Context{},
	}
	if w.IntN(2) == 0 {
		s.request.Context.Set("aws:username", "alice")
	}
	if w.IntN(2) == 0 {
		s.request.Context.Set("a:one", w.pick("x", "y", "4", "*"))
	}
	if w.IntN(2) == 0 {
		s.request.Context.SetAll("a:many", []string{"x", "y", "10.0.0.1"}[:w.IntN(4)])
	}
	for range w.IntN(3) {
		s.identity = append(s.identity, w.document(false, true))
	}
	if w.IntN(2) == 0 {
		s.resource = w.document(true, !s.trust)
	}
	if w.IntN(4) == 0 {
		s.boundary = w.document(false, true)
	}
	if w.IntN(4) == 0 {
		s.session = w.document(false, true)
	}
	if w.IntN(4) == 0 {
		s.scp = append(s.scp, w.document(false, true))
	}
	return s
}

func mustParse(t testing.TB, d document) Source {
	t.Helper()
	p, err := Parse(d.text())
	if err != nil {
		t.Fatalf("%s: %v", d.text(), err)
	}
	return Source{Policy: p}
}

func (s *situation) policies(t testing.TB) *Policies {
	p := &Policies{Trust: s.trust}
	for _, d := range s.identity {
		p.Identity = append(p.Identity, mustParse(t, d))
	}
	if s.resource != nil {
		p.Resource = []Source{mustParse(t, s.resource)}
	}
	if s.boundary != nil {
		b := mustParse(t, s.boundary)
		p.Boundary = &b
	}
	if s.session != nil {
		p.Session = []Source{mustParse(t, s.session)}
	}
	for _, d := range s.scp {
		p.SCP = append(p.SCP, []Source{mustParse(t, d)})
	}
	return p
}

// checkProperties draws a situation and changes it in ways whose effect is known.
func checkProperties(t *testing.T, seed1, seed2 uint64) {
	w := world{rand.New(rand.NewPCG(seed1, seed2))}
	s := w.situation()
	before := Decide(s.request, s.policies(t))
	show := func(what string, after Decision) {
		t.Fatalf("seed %d %d: %s turns %s into %s\n%+v\nidentity %s\nresource %s\nboundary %s\nsession %s\nscp %s", seed1, seed2, what,
			before.Result(), after.Result(), s.request, s.identity, s.resource, s.boundary, s.session, s.scp)
	}
	neverWidens := func(what string, change func(*situation)) {
		changed := *s
		change(&changed)
		if after := Decide(s.request, changed.policies(t)); after.Allowed && !before.Allowed {
			show(what, after)
		}
	}
	same := func(what string, change func(*situation)) {
		changed := *s
		change(&changed)
		if after := Decide(s.request, changed.policies(t)); after.Allowed != before.Allowed || after.Explicit != before.Explicit {
			show(what, after)
		}
	}

	if x := Explain(s.request, s.policies(t)); x.Allowed != before.Allowed || x.Explicit != before.Explicit || x.Layer != before.Layer {
		show("explaining", x.Decision)
	}
	if before.Allowed && before.Explicit {
		show("nothing", before)
	}

	neverWidens("a Deny in an identity policy", func(c *situation) {
		c.identity = append(slices.Clone(c.identity), document{w.statement("Deny", false, true)})
	})
	neverWidens("a Deny in the resource policy", func(c *situation) {
		c.resource = append(slices.Clone(c.resource), w.statement("Deny", true, !s.trust))
	})
	if s.boundary == nil {
		neverWidens("a boundary", func(c *situation) { c.boundary = w.document(false, true) })
	} else {
		neverWidens("a Deny in the boundary", func(c *situation) {
			c.boundary = append(slices.Clone(c.boundary), w.statement("Deny", false, true))
		})
	}
	if s.session == nil {
		neverWidens("a session policy", func(c *situation) { c.session = w.document(false, true) })
	} else {
		neverWidens("a Deny in the session policy", func(c *situation) {
			c.session = append(slices.Clone(c.session), w.statement("Deny", false, true))
		})
	}
	neverWidens("another level of service control policies", func(c *situation) {
		c.scp = append(slices.Clone(c.scp), w.document(false, true))
	})

	shuffled := func(d document) document {
		d = slices.Clone(d)
		w.Shuffle(len(d), func(i, j int) { d[i], d[j] = d[j], d[i] })
		return d
	}
	same("the order of statements", func(c *situation) {
		c.identity = slices.Clone(c.identity)
		for i := range c.identity {
			c.identity[i] = shuffled(c.identity[i])
		}
		w.Shuffle(len(c.identity), func(i, j int) { c.identity[i], c.identity[j] = c.identity[j], c.identity[i] })
		c.resource, c.boundary, c.session = shuffled(c.resource), shuffled(c.boundary), shuffled(c.session)
	})
	same("splitting policies into statements", func(c *situation) {
		var split []document
		for _, d := range c.identity {
			for _, st := range d {
				split = append(split, document{st})
			}
		}
		c.identity = split
	})
	same("saying everything twice", func(c *situation) {
		c.identity = append(slices.Clone(c.identity), c.identity...)
		c.resource = append(slices.Clone(c.resource), c.resource...)
	})
}

func TestProperties(t *testing.T) {
	n := uint64(3000)
	if testing.Short() {
		n = 300
	}
	for seed := range n {
		checkProperties(t, seed, 1)
	}
}

func FuzzDecide(f *testing.F) {
	f.Add([]byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, seed []byte) {
		var b [16]byte
		copy(b[:], seed)
		checkProperties(t, binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:]))
	})
}

// FuzzParse feeds documents: what Validate accepts for any kind Parse must read, and deciding and explaining must not fail.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"decisions.jsonl", "decisions-more.jsonl"} {
		for _, c := range readLines[decisionCase](f, name) {
			for _, raw := range append(c.Identity, c.ResourcePolicy) {
				text := string(raw)
				if strings.HasPrefix(text, "[") {
					text = `{"Version":"2012-10-17","Statement":` + text + `}`
				}
				f.Add(text, "box/k")
			}
		}
	}
	data, err := os.ReadFile("testdata/conditions.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f.Add(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+line[6:], "x")
	}
	f.Fuzz(func(t *testing.T, text, key string) {
		p, err := Parse(text)
		accepted := false
		for kind := KindManaged; kind <= KindRCP; kind++ {
			accepted = Validate(text, kind) == nil || accepted
		}
		if err != nil {
			if accepted {
				t.Fatalf("Validate accepts what Parse refuses: %v", err)
			}
			return
		}
		if _, err := ReplacePrincipals(text, func(_, value string) (string, error) { return value, nil }); err != nil {
			t.Fatal(err)
		}
		p.ContextKeys()
		ctx := &Context{}
		ctx.Set("aws:username", key)
		ctx.Set("a:k", key)
		ctx.SetAll("a:v", []string{key, "x"})
		r := &Request{Principal: PrincipalFromARN("arn:aws:iam::111122223333:user/alice"), Action: "s3:GetObject", Resource: "arn:aws:s3:::" + key, ResourceAccount: "111122223333", Context: ctx}
		for _, all := range []*Policies{
			{Identity: []Source{{Policy: p}}},
			{Resource: []Source{{Policy: p}}},
			{Identity: []Source{{Policy: p}}, Resource: []Source{{Policy: p}}, Trust: true},
		} {
			d, x := Decide(r, all), Explain(r, all)
			if d.Allowed != x.Allowed || d.Explicit != x.Explicit {
				t.Fatalf("Decide %s, Explain %s", d.Result(), x.Result())
			}
			if x.String() == "" || !d.Allowed && d.Message(r) == "" {
				t.Fatal("no explanation")
			}
		}
	})
}

// FuzzMatch compares the matcher with a regular expression.
func FuzzMatch(f *testing.F) {
	for _, c := range [][2]string{{"a*b*c", "aXbXc"}, {"*?x", "äx"}, {"*??", "日"}, {"a*a*a*b", "aaaaaaaaaaaa"}, {"", ""}, {"?*", "x"}, {"*ab", "aab"}, {"x*y?z", "xyyyz"}} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 200 || len(s) > 500 || strings.ToValidUTF8(pattern, "") != pattern || strings.ToValidUTF8(s, "") != s {
			return
		}
		quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`(?s)\A` + quoted + `\z`).MatchString(s)
		tokens, _ := tokenize(pattern, true, false)
		if g := compileGlob(tokens); g.match(s, nil) != want || match(tokens, s, nil) != want {
			t.Errorf("match(%q, %q), want %v", pattern, s, want)
		}
		if isASCII(pattern+s) && foldGlob(strings.ToLower(pattern), strings.ToUpper(s)) != regexp.MustCompile(`(?is)\A`+quoted+`\z`).MatchString(s) {
			t.Errorf("foldGlob(%q, %q) differs", pattern, s)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0
}

// A pattern made to be slow must not be: the work is bounded by the product of the lengths.
func TestMatchIsBounded(t *testing.T) {
	tokens, _ := tokenize(strings.Repeat("*a", 1000)+"b", true, false)
	if match(tokens, strings.Repeat("a", 2000), nil) {
		t.Error("matched")
	}
}

func ExampleExplain() {
	p, _ := Parse(`{"Version":"2012-10-17","Statement":{"Sid":"Home","Effect":"Allow","Action":"s3:GetObject",
		"Resource":"arn:aws:s3:::box/*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"blue"}}}}`)
	x := Explain(&Request{
		Principal: PrincipalFromARN("arn:aws:iam::111122223333:user/alice"), Action: "s3:GetObject",
		Resource: "arn:aws:s3:::box/k", ResourceAccount: "111122223333",
	}, &Policies{Identity: []Source{{ID: "home", Policy: p}}})
	fmt.Print(x.String())
	// Output:
	// implicitDeny: no identity-based policy allows it
	//   Allow Home in identity-based policy home (line 1, column 37): Condition does not match
	//     StringEquals aws:PrincipalTag/team ["blue"] not met: the request has no such key
	//   keys not in the request: aws:PrincipalTag/team
}
