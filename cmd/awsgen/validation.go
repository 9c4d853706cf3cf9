package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// validation writes the constraint checks of inputs and the rules that they share.
func (g *generator) validation() {
	inputs := map[string]bool{}
	for _, o := range g.ops {
		inputs[o.In] = true
	}
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		g.p("// Validate checks the constraints of the model.")
		if g.needsCheck(name) {
			g.p("func (x *%s) Validate(v *awsapi.Validator) { x.validate(v) }\n", exported(name))
		} else {
			g.p("func (x *%s) Validate(*awsapi.Validator) {}\n", exported(name))
		}
	}
	for _, s := range g.sorted(isStruct, g.in) {
		if g.needsCheck(s.Name) {
			g.validate(s)
		}
	}
	for _, s := range g.sorted(g.constrained, g.in) {
		g.rule(s)
	}
}

// constrained reports whether a value of s itself can be wrong.
func (g *generator) constrained(s *shape) bool {
	switch s.Kind {
	case "str":
		return s.Enum != nil || s.Pattern != "" || s.Min != nil && *s.Min > 0 || s.Max != nil
	case "int", "long":
		return s.Min != nil || s.Max != nil
	case "list", "map", "blob":
		return s.Min != nil && *s.Min > 0 || s.Max != nil
	}
	return false
}

// needsCheck reports whether anything at or below the shape is constrained.
func (g *generator) needsCheck(name string) bool {
	if need, ok := g.checked[name]; ok {
		return need
	}
	g.checked[name] = false // for shapes that contain themselves
	s := g.Shapes[name]
	need := g.constrained(s)
	for _, mb := range s.Members {
		need = need || mb.Required || g.needsCheck(mb.Shape)
	}
	for _, r := range []string{s.Elem, s.Key, s.Value} {
		need = need || r != "" && g.needsCheck(r)
	}
	g.checked[name] = need
	return need
}

// sensitive reports whether a value of s must not be printed: so is a list or map of what must not be. Structures leave
// out their sensitive members.
func (g *generator) sensitive(s *shape) bool {
	for _, r := range []string{s.Elem, s.Key, s.Value} {
		if r != "" && g.sensitive(g.Shapes[r]) {
			return true
		}
	}
	return s.Sensitive
}

func (g *generator) validate(s *shape) {
	g.p("func (x *%s) validate(v *awsapi.Validator) {", exported(s.Name))
	for _, mb := range s.Members {
		t := g.Shapes[mb.Shape]
		field := "x." + exported(mb.Name)
		if mb.Required {
			g.p("v.Required(%q, %s != nil, %t)", mb.Name, field, t.Sensitive)
		}
		if !g.needsCheck(t.Name) {
			continue
		}
		rule := "&rule" + exported(t.Name)
		switch t.Kind {
		case "str", "int", "long":
			g.p("v.%s(%q, %s, %s)", method[t.Kind], mb.Name, field, rule)
		case "blob":
			g.p("if %s != nil {\nv.Size(%q, len(%s), %s, %s)\n}", field, mb.Name, field, field, rule)
		case "struct", "union":
			g.p("if %s != nil {\nv.Enter(%q)\n%s.validate(v)\nv.Leave()\n}", field, mb.Name, field)
		case "list":
			g.validateList(t, mb.Name, field, rule)
		case "map":
			g.validateMap(t, mb.Name, field, rule)
		}
	}
	g.p("}\n")
}

func (g *generator) validateList(t *shape, name, field, rule string) {
	if g.constrained(t) {
		g.p("if %s != nil {\nv.Size(%q, len(%s), %s, %s)\n}", field, name, field, field, rule)
	}
	elem := g.Shapes[t.Elem]
	if !g.needsCheck(elem.Name) {
		return
	}
	switch {
	case elem.Kind == "str":
		g.p("v.Elements(%q, %s, &rule%s)", name, field, exported(elem.Name))
	case isStruct(elem):
		g.p("for i := range %s {\nv.EnterElement(%q, i)\n%s[i].validate(v)\nv.Leave()\n}", field, name, field)
	default:
		panic("no checks for a list of " + elem.Kind + ": " + t.Name)
	}
}

func (g *generator) validateMap(t *shape, name, field, rule string) {
	if g.constrained(t) {
		g.p("if %s != nil {\nv.Size(%q, len(%s), %s, %s)\n}", field, name, field, field, rule)
	}
	key, value := g.Shapes[t.Key], g.Shapes[t.Value]
	ref := func(s *shape) string {
		if g.needsCheck(s.Name) {
			return "&rule" + exported(s.Name)
		}
		return "nil"
	}
	switch {
	case value.Kind == "str":
		if ref(key) != "nil" || ref(value) != "nil" {
			g.p("v.Values(%q, %s, %s, %s, %t)", name, field, ref(key), ref(value), g.sensitive(t))
		}
		return
	case ref(key) != "nil":
		g.p("v.Keys(%q, awsapi.SortedKeys(%s), %s, %s, %t)", name, field, field, ref(key), g.sensitive(t))
	}
	if !g.needsCheck(value.Name) {
		return
	}
	if !isStruct(value) {
		panic("no checks for a map of " + value.Kind + ": " + t.Name)
	}
	g.p("for _, k := range awsapi.SortedKeys(%s) {\nvalue := %s[k]\nv.EnterValue(%q, k)\nvalue.validate(v)\nv.Leave()\n}", field, field, name)
}

func (g *generator) rule(s *shape) {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	kind := "SizeRule"
	switch s.Kind {
	case "int", "long":
		kind = "NumberRule"
		if s.Min != nil {
			add("Min: %d, HasMin: true", *s.Min)
		}
		if s.Max != nil {
			add("Max: %d, HasMax: true", *s.Max)
		}
	default:
		if s.Min != nil && *s.Min > 0 {
			add("Min: %d", *s.Min)
		}
		if s.Max != nil {
			add("Max: %d", *s.Max)
		}
	}
	if s.Kind == "str" {
		kind = "StringRule"
		if s.Pattern != "" {
			add("Pattern: awsapi.NewPattern(%s, %s)", literal(s.Pattern), literal(goPattern(s.Pattern)))
		}
		if s.Enum != nil {
			var list []string
			for _, e := range s.Enum {
				list = append(list, strconv.Quote(e))
			}
			add("Enum: []string{%s}", strings.Join(list, ", "))
		}
	}
	if g.sensitive(s) {
		add("Sensitive: true")
	}
	g.p("var rule%s = awsapi.%s{%s}\n", exported(s.Name), kind, strings.Join(parts, ", "))
}

func literal(s string) string {
	if strings.Contains(s, "`") {
		return strconv.Quote(s)
	}
	return "`" + s + "`"
}

// patterns that Go's regexp cannot take by the mechanical rule, with their equivalents.
var patterns = map[string]string{
	`^[0-9A-Za-z\.\-_]*(?<!\.)$`:                                                         `(?:[0-9A-Za-z._-]*[0-9A-Za-z_-])?`,
	`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`:                                          `[a-z0-9](?:-?[a-z0-9])*`, // the length is a constraint of its own
	`[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+`: `[\t\n\r\x20-\x7E\x{85}\x{A0}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}]+`,
}

var unicodeEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// goPattern is the pattern for Go's regexp, to be matched on the whole string.
func goPattern(p string) string {
	if g, ok := patterns[p]; ok {
		return g
	}
	g := unicodeEscape.ReplaceAllString(p, `\x{$1}`)
	if _, err := regexp.Compile(g); err != nil {
		panic("no Go equivalent of the pattern " + p)
	}
	return g
}
