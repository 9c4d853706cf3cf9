package policy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// decisionCase is one line of testdata/decisions*.jsonl. A document is either a
// list of statements, then of version 2012-10-17, or a whole policy.
type decisionCase struct {
	ID, Expect, Topic, Why string
	Principal, Account     string
	Parent, UniqueID       string // ParentARN and ID of the principal
	Action, Resource       string
	Ctx                    map[string]json.RawMessage
	Identity               []json.RawMessage
	ResourcePolicy         json.RawMessage
	Boundary, Session      json.RawMessage
	HasSession, Trust      bool
	SCP, RCP               [][]json.RawMessage
	Reason                 string // expected Decision.Reason, where given
}

func readLines[T any](t testing.TB, name string) []T {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var list []T
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var v T
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v in %s", name, err, lines.Text())
		}
		list = append(list, v)
	}
	return list
}

func parseDocument(t testing.TB, raw json.RawMessage) *Policy {
	t.Helper()
	text := string(raw)
	if strings.HasPrefix(text, "[") {
		text = `{"Version":"2012-10-17","Statement":` + text + `}`
	}
	p, err := Parse(text)
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return p
}

func (c *decisionCase) build(t testing.TB) (*Request, *Policies) {
	t.Helper()
	r := &Request{Principal: PrincipalFromARN(c.Principal), Action: c.Action, Resource: c.Resource, ResourceAccount: c.Account, Context: &Context{}}
	if r.ResourceAccount == "" {
		r.ResourceAccount = "111122223333"
	}
	if c.Parent != "" {
		r.Principal.ParentARN = c.Parent
	}
	r.Principal.ID = c.UniqueID
	for name, raw := range c.Ctx {
		var value string
		var values []string
		if json.Unmarshal(raw, &value) == nil {
			r.Context.Set(name, value)
		} else if json.Unmarshal(raw, &values) == nil {
			r.Context.SetAll(name, values)
		} else {
			t.Fatalf("%s: bad context value %s", c.ID, raw)
		}
	}
	source := func(raw json.RawMessage) Source { return Source{Policy: parseDocument(t, raw)} }
	levels := func(all [][]json.RawMessage) (out [][]Source) {
		for _, level := range all {
			var sources []Source
			for _, raw := range level {
				sources = append(sources, source(raw))
			}
			out = append(out, sources)
		}
		return out
	}
	p := &Policies{Trust: c.Trust, HasSession: c.HasSession, SCP: levels(c.SCP), RCP: levels(c.RCP)}
	for _, raw := range c.Identity {
		p.Identity = append(p.Identity, source(raw))
	}
	if c.ResourcePolicy != nil {
		p.Resource = []Source{source(c.ResourcePolicy)}
	}
	if c.Boundary != nil {
		b := source(c.Boundary)
		p.Boundary = &b
	}
	if c.Session != nil {
		p.Session = []Source{source(c.Session)}
	}
	return r, p
}

func outcome(d Decision) string {
	switch {
	case d.Allowed:
		return "Allow"
	case d.Explicit:
		return "ExplicitDeny"
	}
	return "ImplicitDeny"
}

func TestDecide(t *testing.T) {
	for _, file := range []string{"decisions.jsonl", "decisions-more.jsonl"} {
		for _, c := range readLines[decisionCase](t, file) {
			t.Run(c.ID, func(t *testing.T) {
				r, p := c.build(t)
				d := Decide(r, p)
				if got := outcome(d); got != c.Expect {
					t.Fatalf("%s: got %s, want %s: %s", c.Topic, got, c.Expect, c.Why)
				}
				if c.Reason != "" && d.Reason(r.Action) != c.Reason {
					t.Errorf("reason %q, want %q", d.Reason(r.Action), c.Reason)
				}
				x := Explain(r, p)
				if got := outcome(x.Decision); got != c.Expect || x.Layer != d.Layer {
					t.Errorf("Explain differs from Decide: %s\n%s", got, x.String())
				}
			})
		}
	}
}

func TestContext(t *testing.T) {
	var c Context
	c.Set("aws:SourceIp", "10.0.0.1")
	c.Set("AWS:sourceip", "10.0.0.2")
	c.SetAll("aws:TagKeys", []string{"a", "b"})
	got := map[string][]string{}
	c.Keys(func(name string, values []string) { got[name] = values })
	if len(got) != 2 || got["AWS:sourceip"][0] != "10.0.0.2" || len(got["aws:TagKeys"]) != 2 {
		t.Errorf("keys %v", got)
	}
	c.Reset()
	c.Keys(func(name string, _ []string) { t.Errorf("%s survives Reset", name) })
	if e, err := c.find("aws:sourceip"); e != nil || err != nil {
		t.Errorf("found %v, %v", e, err)
	}
}
