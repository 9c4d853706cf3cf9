package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// bounds limits what a document may make the parsers do.
type bounds struct {
	depth    int  // nested elements
	elements int  // in all; the library for signatures stops at 1000
	attrs    int  // of one element
	scope    int  // namespace declarations in scope
	lax      bool // comments, processing instructions and repeated identifiers do no harm
}

var (
	responseBounds = bounds{depth: 24, elements: 900, attrs: 32, scope: 64}
	metadataBounds = bounds{depth: 32, elements: 20_000, attrs: 64, scope: 128, lax: true}
)

// check reads a document once and refuses what no identity provider sends but parsers may differ about or suffer from: a
// document type (thereby entities), other encodings than UTF-8, attributes that stand twice, and, in responses,
// identifiers that stand twice, and comments and processing instructions, at which some readers cut a text in two.
func check(text []byte, b bounds) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	ids := map[string]bool{}
	var scopes []int // namespace declarations in scope at each open element
	elements := 0
	for first := true; ; first = false {
		token, err := d.Token()
		if err == io.EOF {
			if elements == 0 {
				return errors.New("no element")
			}
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.Directive:
			return errors.New("a document type is not allowed")
		case xml.Comment:
			if !b.lax {
				return errors.New("comments are not allowed")
			}
		case xml.ProcInst:
			if t.Target != "xml" && !b.lax || t.Target == "xml" && !first {
				return errors.New("processing instructions are not allowed")
			}
		case xml.CharData:
			if len(scopes) == 0 && len(bytes.TrimSpace(t)) > 0 {
				return errors.New("text outside of the element")
			}
		case xml.StartElement:
			if elements++; elements > b.elements {
				return fmt.Errorf("more than %d elements", b.elements)
			}
			if len(scopes) == 0 && elements > 1 {
				return errors.New("more than one element at the top")
			}
			if len(scopes) >= b.depth {
				return fmt.Errorf("nested deeper than %d elements", b.depth)
			}
			if len(t.Attr) > b.attrs {
				return fmt.Errorf("more than %d attributes", b.attrs)
			}
			scope := 0
			if len(scopes) > 0 {
				scope = scopes[len(scopes)-1]
			}
			seen := make(map[xml.Name]bool, len(t.Attr))
			for _, a := range t.Attr {
				if seen[a.Name] {
					return fmt.Errorf("attribute %s stands twice", a.Name.Local)
				}
				seen[a.Name] = true
				if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
					scope++
				} else if strings.EqualFold(a.Name.Local, "id") {
					if ids[a.Value] && !b.lax {
						return errors.New("an identifier stands twice")
					}
					ids[a.Value] = true
				}
			}
			if scope > b.scope {
				return fmt.Errorf("more than %d namespaces in scope", b.scope)
			}
			scopes = append(scopes, scope)
		case xml.EndElement:
			scopes = scopes[:len(scopes)-1]
		}
	}
}

// parse checks a response and reads it into a tree.
func parse(text []byte) (*etree.Element, error) {
	if err := check(text, responseBounds); err != nil {
		return nil, err
	}
	return tree(text)
}

func tree(text []byte) (*etree.Element, error) {
	doc := etree.NewDocument()
	doc.ReadSettings.MaxDepth = responseBounds.depth + 1
	if err := doc.ReadFromBytes(text); err != nil {
		return nil, err
	}
	if doc.Root() == nil {
		return nil, errors.New("no element")
	}
	return doc.Root(), nil
}

const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"
)

func is(el *etree.Element, namespace, tag string) bool {
	return el.Tag == tag && el.NamespaceURI() == namespace
}

// children are the child elements with a name.
func children(el *etree.Element, namespace, tag string) []*etree.Element {
	var list []*etree.Element
	for _, c := range el.ChildElements() {
		if is(c, namespace, tag) {
			list = append(list, c)
		}
	}
	return list
}

// only is the child element of which there must be exactly one.
func only(el *etree.Element, namespace, tag string) (*etree.Element, error) {
	list := children(el, namespace, tag)
	if len(list) != 1 {
		return nil, fmt.Errorf("%s has %d elements %s, not one", el.Tag, len(list), tag)
	}
	return list[0], nil
}

// walk calls f for el and every element below it.
func walk(el *etree.Element, f func(*etree.Element) error) error {
	if err := f(el); err != nil {
		return err
	}
	for _, c := range el.ChildElements() {
		if err := walk(c, f); err != nil {
			return err
		}
	}
	return nil
}

// content is the text of an element that holds nothing else.
func content(el *etree.Element) (string, error) {
	var text strings.Builder
	for _, c := range el.Child {
		data, ok := c.(*etree.CharData)
		if !ok {
			return "", fmt.Errorf("%s holds more than text", el.Tag)
		}
		text.WriteString(data.Data)
	}
	return text.String(), nil
}

// attr is the value of an attribute without a namespace.
func attr(el *etree.Element, name string) string {
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == name {
			return a.Value
		}
	}
	return ""
}
