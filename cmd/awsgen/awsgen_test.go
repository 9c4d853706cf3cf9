package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// TestGeneratedIsCurrent: what is checked in is what the generator writes, and nothing beside it.
func TestGeneratedIsCurrent(t *testing.T) {
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is out of date: run go generate ./...", name)
		}
	}
	for _, pattern := range []string{"internal/api/*/*.go", "internal/api/*/*/*.go"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name, _ := filepath.Rel(root, path)
			if files[filepath.ToSlash(name)] == nil && !strings.Contains(name, "prototest"+string(filepath.Separator)) {
				t.Errorf("%s is not generated", name)
			}
		}
	}
}

// TestModels counts: operations, and those that need no signature.
func TestModels(t *testing.T) {
	for _, c := range []struct {
		service           string
		ops, open, bearer int
	}{
		{"cognito-idp", 140, 15, 20},
		{"cognito-identity", 23, 4, 0},
		{"cognito-sync", 17, 0, 0},
		{"sts", 11, 2, 0},
		{"iam", 180, 0, 0},
		{"sns", 42, 0, 0},
	} {
		m, err := readModel(filepath.Join(root, "models"), c.service)
		if err != nil {
			t.Error(err)
			continue
		}
		open, bearer := 0, 0
		for _, o := range m.Ops {
			switch o.Auth {
			case "open":
				open++
			case "bearer":
				bearer++
			}
		}
		if len(m.Ops) != c.ops || open != c.open || bearer != c.bearer {
			t.Errorf("%s: %d operations, %d open, %d bearer", c.service, len(m.Ops), open, bearer)
		}
	}
}

// TestEveryOperationGenerates: the whole of every model is within what the
// generator can do, so that serving one more operation is a line in a list.
func TestEveryOperationGenerates(t *testing.T) {
	for _, service := range services {
		m, err := readModel(filepath.Join(root, "models"), service)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, o := range m.Ops {
			names = append(names, o.Name)
		}
		for name, text := range newGenerator(m, names).files() {
			if _, err := format(text); err != nil {
				t.Errorf("%s %s: %.500s", service, name, err)
			}
		}
	}
}

// TestPatterns: every pattern of every model compiles, and those translated by hand mean the same.
func TestPatterns(t *testing.T) {
	for _, service := range services {
		m, err := readModel(filepath.Join(root, "models"), service)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range m.Shapes {
			if s.Pattern != "" {
				goPattern(s.Pattern) // panics if there is no equivalent
			}
		}
	}
	match := func(model, text string) bool {
		return regexp.MustCompile(`\A(?:` + goPattern(model) + `)\z`).MatchString(text)
	}
	for _, c := range []struct{ model, yes, no string }{
		{`^[0-9A-Za-z\.\-_]*(?<!\.)$`, "|bucket|a.b|.a|-", "a.|.|a..|a/"},
		{`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`, "abc|a-b|a-b-c", "a--b|-ab|ab-|Abc"},
		{`(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`, "/|/a/|/a/b/", "|a|/a|//|/a b/"},
		{`[\u0009\u000A\u000D\u0020-\u00FF]+`, "a\té", "|\x00|漢"},
	} {
		for _, s := range strings.Split(c.yes, "|") {
			if !match(c.model, s) {
				t.Errorf("%s refuses %q", c.model, s)
			}
		}
		for _, s := range strings.Split(c.no, "|") {
			if match(c.model, s) {
				t.Errorf("%s takes %q", c.model, s)
			}
		}
	}
}

func TestModelErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"op A | in B", "no shape B"},
		{"op A | out B", "no shape B"},
		{"op A | err B", "no error B"},
		{"op A\nop A", "there twice"},
		{"struct A { B C }", "no shape C"},
		{"struct A { B }", "has no shape"},
		{"str A\nstr A", "there twice"},
		{"str A mini=3", "unknown attribute"},
		{"thing A", "unknown word"},
		{"op A bearer | in B\nstruct B { AccessToken T }\nstr T", "bearer without"},
	} {
		if _, err := parseModel(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}
