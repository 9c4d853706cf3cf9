package main

import "fmt"

// wire writes how inputs are decoded and outputs encoded.
func (g *generator) wire() {
	inputs, outputs := map[string]bool{}, map[string]bool{}
	for _, o := range g.ops {
		if !inputs[o.In] {
			inputs[o.In] = true
			g.decode(o)
		}
		if o.Out != "" && !outputs[o.Out] {
			outputs[o.Out] = true
			g.encode(o.Out)
		}
	}
	isList := func(s *shape) bool { return s.Kind == "list" || s.Kind == "map" }
	if g.Protocol == "query" {
		for _, s := range g.sorted(isStruct, g.in) {
			g.decodeQuery(s)
		}
		for _, s := range g.sorted(isList, g.in) {
			g.decodeQueryList(s)
		}
		for _, s := range g.sorted(isStruct, g.out) {
			g.encodeXML(s, outputs[s.Name])
		}
		for _, s := range g.sorted(isList, g.out) {
			g.encodeXMLList(s)
		}
		return
	}
	for _, s := range g.sorted(isStruct, g.in) {
		g.decodeJSON(s)
	}
	for _, s := range g.sorted(isList, g.in) {
		g.decodeJSONList(s)
	}
	for _, s := range g.sorted(isStruct, g.out) {
		g.encodeJSON(s)
	}
	for _, s := range g.sorted(isList, g.out) {
		g.encodeJSONList(s)
	}
}

// method is the decoder's or encoder's method for a scalar kind.
var method = map[string]string{
	"str": "String", "int": "Int", "long": "Long", "double": "Double", "float": "Double",
	"bool": "Bool", "ts": "Time", "blob": "Blob", "doc": "Document",
}

func (g *generator) decode(o *op) {
	s := g.Shapes[o.In]
	name := exported(o.In)
	g.p("// Decode reads the input from a request.")
	g.p("func (x *%s) Decode(r *awsapi.Request) {", name)
	switch {
	case g.Protocol == "query":
		g.p("x.decodeQuery(r.Form)")
	case g.Protocol == "json":
		g.p("x.decodeJSON(r.JSON)")
	default:
		body := false
		for _, mb := range s.Members {
			kind := g.Shapes[mb.Shape].Kind
			switch mb.Loc {
			case "path", "query", "header":
				g.p("x.%s = r.%s%s(%q)", exported(mb.Name), exported(mb.Loc), method[kind], mb.Wire)
			default:
				body = true
			}
		}
		if body {
			g.p("if r.JSON != nil {\nx.decodeJSON(r.JSON)\n}")
		}
	}
	g.p("}\n")
	if o.Auth == "bearer" {
		g.p("// BearerToken is the access token that authorizes the operation.")
		g.p("func (x *%s) BearerToken() string { return *x.AccessToken }\n", name)
	}
}

func (g *generator) encode(out string) {
	g.p("// Encode writes the output to a response.")
	if g.Protocol == "query" {
		g.p("func (x *%s) Encode(r *awsapi.Response) { x.encodeXML(&r.XML) }\n", exported(out))
	} else {
		g.p("func (x *%s) Encode(r *awsapi.Response) { x.encodeJSON(&r.JSON) }\n", exported(out))
	}
}

func body(s *shape) []*member {
	var list []*member
	for _, mb := range s.Members {
		if mb.Loc == "" {
			list = append(list, mb)
		}
	}
	return list
}

func (g *generator) decodeJSON(s *shape) {
	members := body(s)
	if len(members) < len(s.Members) && len(members) == 0 {
		return // everything is in path, query and header
	}
	g.p("func (x *%s) decodeJSON(d *awsapi.JSONDecoder) {", exported(s.Name))
	g.p("if !d.Object() {\nreturn\n}")
	g.p("for d.Member() {")
	if len(members) == 0 {
		g.p("d.Skip()\n}\n}\n")
		return
	}
	g.p("switch string(d.Name()) {")
	for _, mb := range members {
		t := g.Shapes[mb.Shape]
		field := "x." + exported(mb.Name)
		g.p("case %q:", mb.Wire)
		switch {
		case isStruct(t):
			g.p("if !d.Null() {\n%s = new(%s)\n%s.decodeJSON(d)\n}", field, exported(t.Name), field)
		case t.Kind == "list" || t.Kind == "map":
			g.p("%s = decode%s(d)", field, exported(t.Name))
		default:
			g.p("%s = d.%s()", field, method[t.Kind])
		}
	}
	g.p("default:\nd.Skip()\n}\n}\n}\n")
}

// decodeJSONValue is the expression for an element that is not null.
func (g *generator) decodeJSONValue(t *shape) string {
	switch t.Kind {
	case "list", "map":
		return fmt.Sprintf("decode%s(d)", exported(t.Name))
	case "str", "int":
		return "d." + method[t.Kind] + "Value()"
	case "blob", "doc":
		return "d." + method[t.Kind] + "()"
	}
	return "*d." + method[t.Kind] + "()"
}

func (g *generator) decodeJSONList(s *shape) {
	g.p("func decode%s(d *awsapi.JSONDecoder) %s {", exported(s.Name), g.goType(s.Name, true))
	if s.Kind == "list" {
		t := g.Shapes[s.Elem]
		g.p("if !d.Array() {\nreturn nil\n}")
		g.p("list := %s{}", g.goType(s.Name, true))
		g.p("for d.Element() {")
		if isStruct(t) {
			g.p("list = append(list, %s{})\nlist[len(list)-1].decodeJSON(d)", exported(t.Name))
		} else {
			g.p("list = append(list, %s)", g.decodeJSONValue(t))
		}
		g.p("}\nreturn list\n}\n")
		return
	}
	t := g.Shapes[s.Value]
	g.p("if !d.Object() {\nreturn nil\n}")
	g.p("m := %s{}", g.goType(s.Name, true))
	g.p("for d.Member() {\nkey := string(d.Name())\nif d.Null() {\ncontinue\n}")
	if isStruct(t) {
		g.p("var value %s\nvalue.decodeJSON(d)\nm[key] = value", exported(t.Name))
	} else {
		g.p("m[key] = %s", g.decodeJSONValue(t))
	}
	g.p("}\nreturn m\n}\n")
}

func (g *generator) encodeJSON(s *shape) {
	g.p("func (x *%s) encodeJSON(e *awsapi.JSONEncoder) {\ne.Begin()", exported(s.Name))
	for _, mb := range body(s) {
		t := g.Shapes[mb.Shape]
		field := "x." + exported(mb.Name)
		switch {
		case isStruct(t):
			g.p("if %s != nil {\ne.Key(%q)\n%s.encodeJSON(e)\n}", field, mb.Wire, field)
		case t.Kind == "list" || t.Kind == "map":
			g.p("if %s != nil {\ne.Key(%q)\nencode%s(e, %s)\n}", field, mb.Wire, exported(t.Name), field)
		case t.Primitive && !mb.Box && t.Kind == "bool":
			g.p("e.BoolOrFalse(%q, %s)", mb.Wire, field)
		case t.Primitive && !mb.Box && t.Kind == "int":
			g.p("e.IntOrZero(%q, %s)", mb.Wire, field)
		default:
			g.p("e.%s(%q, %s)", method[t.Kind], mb.Wire, field)
		}
	}
	g.p("e.End()\n}\n")
}

func (g *generator) encodeJSONElement(t *shape, value string) {
	switch {
	case isStruct(t):
		g.p("%s.encodeJSON(e)", value)
	case t.Kind == "list" || t.Kind == "map":
		g.p("encode%s(e, %s)", exported(t.Name), value)
	default:
		g.p("e.%sValue(%s)", method[t.Kind], value)
	}
}

func (g *generator) encodeJSONList(s *shape) {
	g.p("func encode%s(e *awsapi.JSONEncoder, list %s) {", exported(s.Name), g.goType(s.Name, true))
	if s.Kind == "list" {
		g.p("e.BeginList()\nfor i := range list {\ne.Next()")
		g.encodeJSONElement(g.Shapes[s.Elem], "list[i]")
		g.p("}\ne.EndList()\n}\n")
		return
	}
	g.p("e.Begin()\nfor _, k := range awsapi.SortedKeys(list) {\nv := list[k]\ne.MapKey(k)")
	g.encodeJSONElement(g.Shapes[s.Value], "v")
	g.p("}\ne.End()\n}\n")
}

func (g *generator) decodeQuery(s *shape) {
	g.p("func (x *%s) decodeQuery(q *awsapi.FormNode) {", exported(s.Name))
	for _, mb := range s.Members {
		t := g.Shapes[mb.Shape]
		field := "x." + exported(mb.Name)
		get := fmt.Sprintf("q.Get(%q)", mb.Wire)
		switch {
		case isStruct(t):
			g.p("if n := %s; n != nil {\n%s = new(%s)\n%s.decodeQuery(n)\n}", get, field, exported(t.Name), field)
		case t.Kind == "list" || t.Kind == "map":
			g.p("%s = decode%s(%s)", field, exported(t.Name), get)
		default:
			g.p("%s = %s.%s()", field, get, method[t.Kind])
		}
	}
	g.p("}\n")
}

func (g *generator) decodeQueryElement(t *shape, dst, q string) {
	switch {
	case isStruct(t):
		g.p("%s.decodeQuery(%s)", dst, q)
	case t.Kind == "list" || t.Kind == "map":
		g.p("%s = decode%s(%s)", dst, exported(t.Name), q)
	case t.Kind == "str" || t.Kind == "int":
		g.p("%s = %s.%sValue()", dst, q, method[t.Kind])
	case t.Kind == "blob":
		g.p("%s = %s.Blob()", dst, q)
	default:
		g.p("if v := %s.%s(); v != nil {\n%s = *v\n}", q, method[t.Kind], dst)
	}
}

func (g *generator) decodeQueryList(s *shape) {
	typ := g.goType(s.Name, true)
	g.p("func decode%s(q *awsapi.FormNode) %s {", exported(s.Name), typ)
	if s.Kind == "list" {
		elem := s.ElemName
		if s.Flat {
			elem = ""
		}
		g.p("items := q.List(%q)\nif items == nil {\nreturn nil\n}", elem)
		g.p("list := make(%s, len(items))\nfor i, q := range items {", typ)
		g.decodeQueryElement(g.Shapes[s.Elem], "list[i]", "q")
		g.p("}\nreturn list\n}\n")
		return
	}
	entry := "entry"
	if s.Flat {
		entry = ""
	}
	g.p("items := q.List(%q)\nif items == nil {\nreturn nil\n}", entry)
	g.p("m := make(%s, len(items))\nfor _, q := range items {\nvar v %s", typ, g.goType(s.Value, false))
	g.decodeQueryElement(g.Shapes[s.Value], "v", fmt.Sprintf("q.Get(%q)", s.ValueName))
	g.p("m[q.Get(%q).StringValue()] = v\n}\nreturn m\n}\n", s.KeyName)
}

// encodeXML writes the lists of an output even when they are empty, as AWS does: clients index them without asking.
func (g *generator) encodeXML(s *shape, output bool) {
	g.p("func (x *%s) encodeXML(e *awsapi.XMLEncoder) {", exported(s.Name))
	for _, mb := range s.Members {
		t := g.Shapes[mb.Shape]
		field := "x." + exported(mb.Name)
		switch {
		case isStruct(t):
			g.p("if %s != nil {\ne.Open(%q)\n%s.encodeXML(e)\ne.Close(%q)\n}", field, mb.Wire, field, mb.Wire)
		case t.Flat:
			g.p("encode%s(e, %q, %s)", exported(t.Name), mb.Wire, field)
		case t.Kind == "list" && output:
			g.p("e.Open(%q)\nencode%s(e, %s)\ne.Close(%q)", mb.Wire, exported(t.Name), field, mb.Wire)
		case t.Kind == "list" || t.Kind == "map":
			g.p("if %s != nil {\ne.Open(%q)\nencode%s(e, %s)\ne.Close(%q)\n}", field, mb.Wire, exported(t.Name), field, mb.Wire)
		case t.URLEnc:
			g.p("e.URLEncoded(%q, %s)", mb.Wire, field)
		default:
			g.p("e.%s(%q, %s)", method[t.Kind], mb.Wire, field)
		}
	}
	g.p("}\n")
}

func (g *generator) encodeXMLElement(t *shape, name, value string) {
	switch {
	case isStruct(t):
		g.p("e.Open(%s)\n%s.encodeXML(e)\ne.Close(%s)", name, value, name)
	case t.Kind == "list" || t.Kind == "map":
		g.p("e.Open(%s)\nencode%s(e, %s)\ne.Close(%s)", name, exported(t.Name), value, name)
	default:
		g.p("e.%sValue(%s, %s)", method[t.Kind], name, value)
	}
}

func (g *generator) encodeXMLList(s *shape) {
	typ := g.goType(s.Name, true)
	name := ""
	if s.Flat {
		name = ", name string"
	}
	g.p("func encode%s(e *awsapi.XMLEncoder%s, list %s) {", exported(s.Name), name, typ)
	if s.Kind == "list" {
		tag := fmt.Sprintf("%q", s.ElemName)
		if s.Flat {
			tag = "name"
		}
		g.p("for i := range list {")
		g.encodeXMLElement(g.Shapes[s.Elem], tag, "list[i]")
		g.p("}\n}\n")
		return
	}
	tag := `"entry"`
	if s.Flat {
		tag = "name"
	}
	g.p("for _, k := range awsapi.SortedKeys(list) {\nv := list[k]\ne.Open(%s)\ne.StringValue(%q, k)", tag, s.KeyName)
	g.encodeXMLElement(g.Shapes[s.Value], fmt.Sprintf("%q", s.ValueName), "v")
	g.p("e.Close(%s)\n}\n}\n", tag)
}
