// Package internal holds the rule of what may import what; docs/architecture.md gives the reasons.
package internal

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// imports is the table: a package may import of Usher exactly what stands behind it; imports point down only.
var imports = map[string]string{
	"argon2id": "", "arn": "", "ids": "", "sigv4": "", "srp": "", "seal": "", "token": "",
	"policy": "arn policy/catalog", "policy/catalog": "",
	"db": "", "db/dbtest": "db ids",
	"saml": "", "saml/samltest": "",
	"awsapi": "arn ids", "awsapi/awstest": "",
	"notify":  "db ids seal",
	"trigger": "arn", "trigger/triggertest": "sigv4",
	"access": "arn awsapi db policy sigv4",

	"userpool":      "api/cognitoidp argon2id arn awsapi db ids notify saml seal srp token trigger",
	"iam":           "api/iam arn awsapi db ids policy saml seal token",
	"organizations": "api/organizations arn awsapi db iam ids policy",
	"sts":           "access api/sts arn awsapi db iam ids policy policy/catalog saml seal token",
	"identitypool":  "access api/cognitoidentity arn awsapi db ids saml seal sts token",
	"gateway":       "arn awsapi db ids policy sigv4",
}

// anything may be imported by these.
var top = []string{"server", "ushertest"}

func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}}|{{join .Imports \" \"}}", "usher/internal/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	const prefix = "usher/internal/"
	for line := range strings.Lines(string(out)) {
		path, deps, _ := strings.Cut(strings.TrimSpace(line), "|")
		name := strings.TrimPrefix(path, prefix)
		if slices.Contains(top, name) || path == "usher/internal" {
			continue
		}
		allowed, ok := imports[name]
		if strings.HasPrefix(name, "api/") {
			allowed, ok = "awsapi", true
		}
		if !ok {
			t.Errorf("%s has no line in the table", name)
		}
		for dep := range strings.FieldsSeq(deps) {
			if d, own := strings.CutPrefix(dep, prefix); own && !slices.Contains(strings.Fields(allowed), d) {
				t.Errorf("%s imports %s", name, d)
			}
		}
	}
}
