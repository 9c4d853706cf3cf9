package policy

import (
	"encoding/json"
	"testing"
)

// conditionCase is one line of testdata/conditions.jsonl: a condition block and
// whether it is met: "yes", "no" or "unclear" (it cannot be evaluated, or AWS leaves it open).
type conditionCase struct {
	If           json.RawMessage
	Ctx          map[string]json.RawMessage
	Met, Version string
}

// decisionCase puts the block into a statement; one that denies is joined by one that allows.
func (c *conditionCase) decisionCase(effect string) decisionCase {
	version := c.Version
	if version == "" {
		version = "2012-10-17"
	}
	d := decisionCase{Principal: "arn:aws:iam::111122223333:user/alice", Action: "s3:GetObject", Resource: "arn:aws:s3:::box/k", Ctx: c.Ctx}
	if effect == "Deny" {
		d.Identity = append(d.Identity, json.RawMessage(`[{"Effect":"Allow","Action":"*","Resource":"*"}]`))
	}
	d.Identity = append(d.Identity, json.RawMessage(`{"Version":"`+version+`","Statement":{"Effect":"`+effect+`","Action":"*","Resource":"*","Condition":`+string(c.If)+`}}`))
	return d
}

// TestConditions has each block once in an Allow and once in a Deny: if met both
// apply, if not neither, and if that is unclear only the Deny.
func TestConditions(t *testing.T) {
	for _, c := range readLines[conditionCase](t, "conditions.jsonl") {
		allow := c.decisionCase("Allow")
		if got := Decide(allow.build(t)).Allowed; got != (c.Met == "yes") {
			t.Errorf("Allow if %s with %s: allowed %v, want met %s", c.If, c.Ctx, got, c.Met)
		}
		deny := c.decisionCase("Deny")
		if got := Decide(deny.build(t)).Explicit; got != (c.Met != "no") {
			t.Errorf("Deny if %s with %s: denied %v, want met %s", c.If, c.Ctx, got, c.Met)
		}
	}
}
