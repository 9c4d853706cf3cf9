package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// model is one service as models/<service>.model describes it.
type model struct {
	Service   string // signing name
	Title     string
	Protocol  string // json, query or rest-json
	Version   string
	Target    string
	Namespace string
	Invalid   []string // error code of constraint failures, and how they are worded
	Browsers  bool     // pages may call
	Ops       []*op
	Shapes    map[string]*shape
}

type op struct {
	Name     string
	Auth     string // "", open or bearer
	Route    string // method and path of rest-json
	In, Out  string // shapes; "" for none
	Errors   []string
	NoOutput bool
}

type shape struct {
	Name      string
	Kind      string // struct union err doc list map str int long double bool ts blob
	Members   []*member
	Elem      string // of a list
	Key       string // of a map
	Value     string
	ElemName  string // how elements are called in the Query protocol
	KeyName   string
	ValueName string
	Flat      bool
	Min, Max  *int64
	Enum      []string
	Pattern   string
	Sensitive bool
	Box       bool
	Primitive bool // answers hold it even when unset
	URLEnc    bool // answers hold it percent-encoded
	Code      string
	Status    int
}

type member struct {
	Name     string
	Shape    string
	Required bool
	Box      bool
	Loc      string // path query header status headers payload; "" is the body
	Wire     string // name on the wire
}

var kinds = []string{"str", "int", "long", "double", "float", "bool", "ts", "blob", "list", "map", "doc", "struct", "union", "err"}

func readModel(dir, service string) (*model, error) {
	text, err := os.ReadFile(filepath.Join(dir, service+".model"))
	if err != nil {
		return nil, err
	}
	m, err := parseModel(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s.model: %w", service, err)
	}
	return m, nil
}

// readOps returns the names in models/<service>.ops, sorted; each must be an operation of m.
func readOps(dir string, m *model) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, m.Service+".ops"))
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		name := strings.TrimSpace(line)
		if name == "" {
			continue
		}
		if m.op(name) == nil {
			return nil, fmt.Errorf("%s.ops: no operation %s in the model", m.Service, name)
		}
		if slices.Contains(names, name) {
			return nil, fmt.Errorf("%s.ops: %s is there twice", m.Service, name)
		}
		names = append(names, name)
	}
	sort.Strings(names)
	return names, nil
}

func (m *model) op(name string) *op {
	for _, o := range m.Ops {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// parseModel reads the notation of models/README.md.
func parseModel(text string) (*model, error) {
	m := &model{Shapes: map[string]*shape{}}
	var open *shape // structure whose members follow, one a line
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\n")
		if open == nil && (line == "" || strings.HasPrefix(line, "#")) {
			continue
		}
		var err error
		switch {
		case open != nil && line == "}":
			open = nil
		case open != nil:
			err = open.member(strings.TrimSpace(line))
		default:
			open, err = m.line(line)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return m, m.check()
}

func (m *model) line(line string) (open *shape, err error) {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "service":
		m.Service = rest
	case "title":
		m.Title = rest
	case "protocol":
		m.Protocol = rest
	case "version":
		m.Version = rest
	case "target":
		m.Target = rest
	case "namespace":
		m.Namespace = rest
	case "invalid":
		m.Invalid = strings.Fields(rest)
	case "browsers":
		m.Browsers = rest == "yes"
	case "op":
		return nil, m.operation(rest)
	default:
		if !slices.Contains(kinds, word) {
			return nil, fmt.Errorf("unknown word %q", word)
		}
		return m.shape(word, rest)
	}
	return nil, nil
}

// operation reads: Name [open|bearer] [METHOD /path] | in Shape | out Shape | err E1 E2
func (m *model) operation(text string) error {
	parts := strings.Split(text, " | ")
	head := strings.Fields(parts[0])
	o := &op{Name: head[0], NoOutput: true}
	for _, w := range head[1:] {
		switch {
		case w == "open" || w == "bearer":
			o.Auth = w
		case o.Route == "":
			o.Route = w
		default:
			o.Route += " " + w
		}
	}
	for _, p := range parts[1:] {
		f := strings.Fields(p)
		switch f[0] {
		case "in":
			o.In = f[1]
		case "out":
			o.Out, o.NoOutput = f[1], false
		case "err":
			o.Errors = f[1:]
		default:
			return fmt.Errorf("unknown part %q", p)
		}
	}
	if m.op(o.Name) != nil {
		return fmt.Errorf("operation %s is there twice", o.Name)
	}
	m.Ops = append(m.Ops, o)
	return nil
}

func (m *model) shape(kind, text string) (open *shape, err error) {
	text, pattern, hasPattern := strings.Cut(text, " pat=")
	text, body, hasBody := strings.Cut(text, " {")
	f := strings.Fields(text)
	s := &shape{Name: f[0], Kind: kind, ElemName: "member", KeyName: "key", ValueName: "value"}
	if hasPattern {
		s.Pattern = pattern
	}
	if m.Shapes[s.Name] != nil {
		return nil, fmt.Errorf("shape %s is there twice", s.Name)
	}
	m.Shapes[s.Name] = s
	f = f[1:]
	switch {
	case kind == "list":
		s.Elem, f = f[1], f[2:]
	case kind == "map":
		s.Key, s.Value, f = f[0], f[2], f[3:]
	case kind == "err":
		s.Code, s.Status = s.Name, 400
	}
	for _, a := range f {
		if err := s.attribute(a); err != nil {
			return nil, err
		}
	}
	if !hasBody {
		return nil, nil
	}
	body = strings.TrimSpace(body)
	if body == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(body, "}"), ";") {
		if part = strings.TrimSpace(part); part != "" {
			if err := s.member(part); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

func (s *shape) attribute(a string) error {
	name, value, _ := strings.Cut(a, "=")
	switch name {
	case "min", "max", "http":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return err
		}
		switch name {
		case "min":
			s.Min = &n
		case "max":
			s.Max = &n
		default:
			s.Status = int(n)
		}
	case "enum":
		s.Enum = strings.Split(value, "|")
	case "code":
		s.Code = value
	case "member":
		s.ElemName = value
	case "key":
		s.KeyName = value
	case "value":
		s.ValueName = value
	case "sensitive":
		s.Sensitive = true
	case "box":
		s.Box = true
	case "primitive":
		s.Primitive = true
	case "urlencoded":
		s.URLEnc = true
	case "flat":
		s.Flat = true
	default:
		return fmt.Errorf("unknown attribute %q", a)
	}
	return nil
}

// member reads: Name[!] Shape [@where(name)] [box]
func (s *shape) member(text string) error {
	f := strings.Fields(text)
	if len(f) < 2 {
		return fmt.Errorf("member %q has no shape", text)
	}
	name, required := strings.CutSuffix(f[0], "!")
	mb := &member{Name: name, Shape: f[1], Required: required, Wire: name}
	for _, a := range f[2:] {
		if a == "box" {
			mb.Box = true
			continue
		}
		loc, wire, ok := strings.Cut(strings.TrimPrefix(a, "@"), "(")
		if ok {
			mb.Wire = strings.TrimSuffix(wire, ")")
		}
		switch loc {
		case "name":
		case "path", "query", "header", "headers", "status", "payload":
			mb.Loc = loc
		default:
			return fmt.Errorf("unknown attribute %q", a)
		}
	}
	s.Members = append(s.Members, mb)
	return nil
}

// check reports a name without a definition, and expands error names to shape names.
func (m *model) check() error {
	missing := func(in, name string) error {
		if name == "" || m.Shapes[name] != nil {
			return nil
		}
		return fmt.Errorf("%s: no shape %s", in, name)
	}
	for _, o := range m.Ops {
		for i, e := range o.Errors {
			if m.Shapes[e+"Exception"] != nil {
				o.Errors[i] = e + "Exception"
			}
			if s := m.Shapes[o.Errors[i]]; s == nil || s.Kind != "err" {
				return fmt.Errorf("%s: no error %s", o.Name, e)
			}
		}
		for _, name := range []string{o.In, o.Out} {
			if err := missing(o.Name, name); err != nil {
				return err
			}
		}
		if o.Auth == "bearer" {
			if in := m.Shapes[o.In]; in == nil || !slices.ContainsFunc(in.Members, func(mb *member) bool { return mb.Name == "AccessToken" && mb.Required }) {
				return fmt.Errorf("%s: bearer without a required AccessToken", o.Name)
			}
		}
	}
	for _, s := range m.Shapes {
		refs := []string{s.Elem, s.Key, s.Value}
		for _, mb := range s.Members {
			refs = append(refs, mb.Shape)
		}
		for _, r := range refs {
			if err := missing(s.Name, r); err != nil {
				return err
			}
		}
	}
	return nil
}
