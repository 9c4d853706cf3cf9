package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// suite is a group of protocol test vectors with the shapes that they share.
type suite struct {
	Description string
	Shapes      map[string]vectorShape
	Cases       []struct {
		Given struct {
			HTTP struct {
				Method     string
				RequestURI string
			}
			Input, Output *struct{ Shape, Payload string }
		}
	}
}

type vectorShape struct {
	Type       string
	Members    map[string]vectorMember
	Member     vectorMember
	Key, Value vectorMember
	Flattened  bool
	Enum       []string
	Payload    string
	vectorTraits
}

type vectorMember struct {
	Shape     string
	Flattened bool
	vectorTraits
}

type vectorTraits struct {
	Location, LocationName, TimestampFormat string
	JSONValue                               bool
}

// served reports whether the codec has the traits: members with others are left
// out of the generated types, because no service has them.
func (t vectorTraits) served(in bool) bool {
	switch t.Location {
	case "", "uri":
	case "querystring", "header":
		if !in {
			return false
		}
	default:
		return false
	}
	return t.TimestampFormat == "" && !t.JSONValue
}

// vectors generates a package for the protocol test vectors of one protocol: an
// operation for each case, so that the vectors run through the code that
// services get.
func vectors(root, protocol string) (map[string][]byte, error) {
	dir := filepath.Join(root, "internal/api/prototest/testdata")
	m := &model{Service: "prototest", Protocol: protocol, Shapes: map[string]*shape{}}
	var names []string
	for _, direction := range []string{"Input", "Output"} {
		text, err := os.ReadFile(filepath.Join(dir, strings.ToLower(direction), protocol+".json"))
		if err != nil {
			return nil, err
		}
		var suites []suite
		if err := json.Unmarshal(text, &suites); err != nil {
			return nil, err
		}
		for i, s := range suites {
			prefix := fmt.Sprintf("%s%d", direction, i)
			addVectorShapes(m, prefix, s.Shapes, direction == "Input")
			for j, c := range s.Cases {
				path, _, _ := strings.Cut(c.Given.HTTP.RequestURI, "?")
				o := &op{Name: fmt.Sprintf("%sCase%d", prefix, j), Auth: "open", Out: "Empty", Route: or(c.Given.HTTP.Method, "POST") + " " + or(path, "/")}
				given := c.Given.Input
				if direction == "Output" {
					given = c.Given.Output
				}
				switch {
				case given == nil:
				case given.Payload != "" || s.Shapes[given.Shape].Payload != "":
					continue // no service has a member that is the whole body
				case direction == "Input":
					o.In = prefix + given.Shape
				default:
					o.Out = prefix + given.Shape
				}
				if o.In == "" {
					o.In = "Empty"
				}
				m.Ops = append(m.Ops, o)
				names = append(names, o.Name)
			}
		}
	}
	m.Shapes["Empty"] = &shape{Name: "Empty", Kind: "struct"}
	g := newGenerator(m, names)
	g.pkg = strings.ReplaceAll(protocol, "-", "") + "test"
	g.source = "internal/api/prototest/testdata"
	files := map[string][]byte{}
	for name, text := range map[string]string{
		"types.go": g.file(g.types), "wire.go": g.file(g.wire), "validate.go": g.file(g.validation), "operations.go": g.file(g.vectorOperations),
	} {
		src, err := format(text)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", protocol, name, err)
		}
		files["internal/api/prototest/"+g.pkg+"/"+name] = src
	}
	return files, nil
}

var vectorKinds = map[string]string{
	"string": "str", "character": "str", "integer": "int", "long": "long", "float": "float", "double": "double", "boolean": "bool",
	"timestamp": "ts", "blob": "blob", "list": "list", "map": "map", "structure": "struct",
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func addVectorShapes(m *model, prefix string, shapes map[string]vectorShape, in bool) {
	for name, v := range shapes {
		s := &shape{
			Name: prefix + name, Kind: vectorKinds[v.Type], Flat: v.Flattened,
			ElemName: or(v.Member.LocationName, "member"), KeyName: or(v.Key.LocationName, "key"), ValueName: or(v.Value.LocationName, "value"),
		}
		m.Shapes[s.Name] = s
		switch s.Kind {
		case "list":
			s.Elem = prefix + v.Member.Shape
		case "map":
			s.Key, s.Value = prefix+v.Key.Shape, prefix+v.Value.Shape
		}
		for _, n := range slices.Sorted(maps.Keys(v.Members)) {
			mb := v.Members[n]
			t := shapes[mb.Shape]
			traits := mb.vectorTraits
			traits.Location = or(mb.Location, t.Location)
			traits.TimestampFormat = or(mb.TimestampFormat, t.TimestampFormat)
			scalar := t.Type == "string" || t.Type == "integer" || t.Type == "long" || t.Type == "boolean"
			if !traits.served(in) || traits.Location != "" && !scalar || t.Type == "list" && shapes[t.Member.Shape].TimestampFormat != "" || t.Member.JSONValue {
				continue
			}
			member := &member{Name: n, Shape: prefix + mb.Shape, Wire: or(mb.LocationName, n)}
			member.Loc = map[string]string{"uri": "path", "querystring": "query", "header": "header"}[traits.Location]
			if t.Flattened && t.Member.LocationName != "" {
				member.Wire = t.Member.LocationName // a flat list is called as its elements are
			}
			if mb.Flattened && !t.Flattened { // flat at the member alone: a shape of its own
				member.Shape = m.flatShape(prefix, mb.Shape, t).Name
			}
			s.Members = append(s.Members, member)
		}
	}
}

// flatShape adds the flat twin of a list or map.
func (m *model) flatShape(prefix, name string, v vectorShape) *shape {
	s := &shape{
		Name: prefix + name + "Flat", Kind: vectorKinds[v.Type], Flat: true,
		ElemName: "member", KeyName: or(v.Key.LocationName, "key"), ValueName: or(v.Value.LocationName, "value"),
	}
	if s.Kind == "list" {
		s.Elem = prefix + v.Member.Shape
	} else {
		s.Key, s.Value = prefix+v.Key.Shape, prefix+v.Value.Shape
	}
	m.Shapes[s.Name] = s
	return s
}

func (g *generator) vectorOperations() {
	g.p("// Package %s is the wire code of the protocol test vectors for %s.", g.pkg, g.Protocol)
	g.p("")
	g.p("// Operations is one operation for each case. Each hands its input to got and its output, to be filled, to fill.")
	g.p("func Operations(got, fill func(any)) []awsapi.Operation {")
	g.p("return []awsapi.Operation{")
	for _, o := range g.ops {
		g.p("awsapi.Op(%q, \"\", awsapi.Open, func(_ context.Context, in *%s) (*%s, error) {\ngot(in)\nout := new(%s)\nfill(out)\nreturn out, nil\n}).On(%q),",
			o.Name, exported(o.In), exported(o.Out), exported(o.Out), o.Route)
	}
	g.p("}\n}")
}
