package policy

import (
	"encoding/json"
	"io"
	"strings"
)

const (
	maxDocument = 131072 // bytes; the API limit for documents
	maxDepth    = 8      // a condition value is at depth 6
)

// node is a JSON value together with its place in the text.
type node struct {
	kind       byte   // '{' '[' '"' '0' 't' (true, false) 'n' (null)
	text       string // the string, or the literal as written
	start, end int
	members    []member
	items      []*node
}

type member struct {
	name  string
	start int
	value *node
}

// fault says in which way a document is no policy. The words for the caller depend on the kind of policy.
type fault uint8

const (
	notJSON      fault = iota + 1
	syntaxFault        // JSON, but not the shape of a policy
	unknownField       // an element that the grammar does not know
	noStatement        // Statement missing or empty
	noEffect           // statement without Effect
	badEffect          // Effect is neither Allow nor Deny
	badPrincipal       // principal of an unknown type or shape
)

func malformed(f fault, offset int, detail string) *Malformed {
	return &Malformed{Message: "Syntax errors in policy.", Offset: offset, fault: f, detail: detail}
}

// readJSON reads one JSON object and refuses what encoding/json lets pass:
// duplicate members, text after the object and deep nesting.
func readJSON(text string) (*node, *Malformed) {
	if len(text) > maxDocument || !json.Valid([]byte(text)) {
		return nil, malformed(notJSON, 0, "")
	}
	r := jsonReader{text: text, dec: json.NewDecoder(strings.NewReader(text))}
	r.dec.UseNumber()
	n, bad := r.value(0)
	if bad != nil {
		return nil, bad
	}
	if _, err := r.dec.Token(); err != io.EOF {
		return nil, malformed(notJSON, n.end, "")
	}
	return n, nil
}

type jsonReader struct {
	text string
	dec  *json.Decoder
}

// next gives the next token and where it starts.
func (r *jsonReader) next() (json.Token, int, *Malformed) {
	start := int(r.dec.InputOffset())
	for start < len(r.text) && strings.IndexByte(" \t\r\n,:", r.text[start]) >= 0 {
		start++
	}
	tok, err := r.dec.Token()
	if err != nil {
		return nil, start, malformed(notJSON, start, "")
	}
	return tok, start, nil
}

func (r *jsonReader) value(depth int) (*node, *Malformed) {
	tok, start, bad := r.next()
	if bad != nil {
		return nil, bad
	}
	if depth > maxDepth {
		return nil, malformed(syntaxFault, start, "nested too deeply")
	}
	n := &node{start: start}
	switch tok := tok.(type) {
	case json.Delim:
		n.kind = byte(tok)
		for r.dec.More() {
			var m member
			if n.kind == '{' {
				name, at, bad := r.next()
				if bad != nil {
					return nil, bad
				}
				m.name, m.start = name.(string), at
				for i := range n.members {
					if n.members[i].name == m.name {
						return nil, malformed(syntaxFault, at, "duplicate member "+m.name)
					}
				}
			}
			v, bad := r.value(depth + 1)
			if bad != nil {
				return nil, bad
			}
			if m.value = v; n.kind == '{' {
				n.members = append(n.members, m)
			} else {
				n.items = append(n.items, v)
			}
		}
		if _, _, bad := r.next(); bad != nil {
			return nil, bad
		}
		n.end = int(r.dec.InputOffset())
		return n, nil
	case string:
		n.kind, n.text = '"', tok
	case json.Number:
		n.kind, n.text = '0', tok.String()
	case bool:
		n.kind, n.text = 't', "false"
		if tok {
			n.text = "true"
		}
	case nil:
		n.kind = 'n'
	}
	n.end = int(r.dec.InputOffset())
	return n, nil
}

// list gives the items of an array, or the value itself: the grammar lets a single value stand without brackets.
func (n *node) list() []*node {
	if n.kind == '[' {
		return n.items
	}
	return []*node{n}
}

func quoteJSON(s string) string {
	quoted, _ := json.Marshal(s) // a string always marshals
	return string(quoted)
}
