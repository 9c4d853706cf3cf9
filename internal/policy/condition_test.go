package policy

import (
	"encoding/json"
	"testing"
)

// TestConditions puts each block of testdata/conditions.jsonl once into an
// Allow and once into a Deny: met "yes" makes both apply, "no" neither, and
// "unclear" (it cannot be evaluated, or AWS leaves it open) only the Deny.
func TestConditions(t *testing.T) {
	type conditionCase struct {
		If           json.RawMessage
		Ctx          map[string]json.RawMessage
		Met, Version string
	}
	for _, c := range readLines[conditionCase](t, "conditions.jsonl") {
		if c.Version == "" {
			c.Version = "2012-10-17"
		}
		document := func(effect string) json.RawMessage {
			return json.RawMessage(`{"Version":"` + c.Version + `","Statement":{"Effect":"` + effect + `","Action":"*","Resource":"*","Condition":` + string(c.If) + `}}`)
		}
		base := decisionCase{Principal: "arn:aws:iam::111122223333:user/alice", Action: "s3:GetObject", Resource: "arn:aws:s3:::box/k", Ctx: c.Ctx}

		allow := base
		allow.Identity = []json.RawMessage{document("Allow")}
		if got := Decide(allow.build(t)).Allowed; got != (c.Met == "yes") {
			t.Errorf("Allow if %s with %s: allowed %v, want met %s", c.If, c.Ctx, got, c.Met)
		}
		deny := base
		deny.Identity = []json.RawMessage{json.RawMessage(`[{"Effect":"Allow","Action":"*","Resource":"*"}]`), document("Deny")}
		if got := Decide(deny.build(t)).Explicit; got != (c.Met != "no") {
			t.Errorf("Deny if %s with %s: denied %v, want met %s", c.If, c.Ctx, got, c.Met)
		}
	}
}
