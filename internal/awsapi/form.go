package awsapi

import (
	"encoding/base64"
	"math"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// FormNode is one node of the parameters of an AWS Query request, a tree by the
// dots in their names: Tags.member.1.Key. A nil node is an absent parameter.
type FormNode struct {
	form  *formState
	value string
	set   bool
	kids  map[string]*FormNode
}

type formState struct{ err error }

// AWS documents none; these keep the tree proportional to what a model can use.
const (
	maxQueryDepth  = 24
	maxQueryParams = 20000
	maxQueryNodes  = 30000
)

var (
	// errMalformedQuery answers parameters that are no form encoding.
	errMalformedQuery = &Error{Code: "MalformedQueryString", Status: 400, Message: "The query string contains a syntax error."}
	// errMalformedInput answers a value that is not of its member's type; AWS sends no message.
	errMalformedInput = &Error{Code: "MalformedInput", Status: 400}
)

// ParseForm reads form-encoded parameters; of equal names the first counts.
func ParseForm(form string) (*FormNode, error) {
	root := &FormNode{form: &formState{}}
	for n, nodes := 0, 0; form != ""; {
		var pair string
		pair, form, _ = strings.Cut(form, "&")
		if pair == "" {
			continue
		}
		if n++; n > maxQueryParams {
			return nil, errMalformedQuery
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, errMalformedQuery
		}
		if value, err = url.QueryUnescape(value); err != nil || !utf8.ValidString(value) || !utf8.ValidString(name) {
			return nil, errMalformedQuery
		}
		if strings.Count(name, ".") > maxQueryDepth {
			return nil, errMalformedQuery
		}
		node := root
		for rest, more := name, true; more; {
			var part string
			part, rest, more = strings.Cut(rest, ".")
			kid := node.kids[part]
			if kid == nil {
				if nodes++; nodes > maxQueryNodes {
					return nil, errMalformedQuery
				}
				kid = &FormNode{form: root.form}
				if node.kids == nil {
					node.kids = map[string]*FormNode{}
				}
				node.kids[part] = kid
			}
			node = kid
		}
		if !node.set {
			node.value, node.set = value, true
		}
	}
	return root, nil
}

// Err returns the first value that was not of its type.
func (q *FormNode) Err() error { return q.form.err }

// Get returns the member of that name, nil if absent.
func (q *FormNode) Get(name string) *FormNode {
	if q == nil {
		return nil
	}
	return q.kids[name]
}

// List returns the elements in order of their numbers, nil if the list is
// absent and an empty slice if it is present and empty (`Tags=`). The elements
// are numbered below member, or directly if member is empty (flattened).
func (q *FormNode) List(member string) []*FormNode {
	if q == nil {
		return nil
	}
	in := q
	if member != "" {
		in = q.kids[member]
	}
	type item struct {
		n int
		q *FormNode
	}
	var items []item
	if in != nil {
		for k, v := range in.kids {
			if n, err := strconv.Atoi(k); err == nil && n > 0 && strconv.Itoa(n) == k {
				items = append(items, item{n, v})
			}
		}
	}
	if items == nil && !q.set {
		return nil
	}
	sort.Slice(items, func(i, j int) bool { return items[i].n < items[j].n })
	list := make([]*FormNode, len(items))
	for i, it := range items {
		list[i] = it.q
	}
	return list
}

func (q *FormNode) bad() {
	if q.form.err == nil {
		q.form.err = errMalformedInput
	}
}

// String reads a string; nil if absent.
func (q *FormNode) String() *string {
	if q == nil || !q.set {
		return nil
	}
	return &q.value
}

// StringValue reads a string; empty if absent.
func (q *FormNode) StringValue() string {
	if q == nil {
		return ""
	}
	return q.value
}

// Int reads a 32-bit integer.
func (q *FormNode) Int() *int32 {
	if q == nil || !q.set {
		return nil
	}
	n, err := strconv.ParseInt(q.value, 10, 32)
	if err != nil {
		q.bad()
		return nil
	}
	i := int32(n)
	return &i
}

// IntValue is Int with 0 for an absent value.
func (q *FormNode) IntValue() int32 {
	if n := q.Int(); n != nil {
		return *n
	}
	return 0
}

// Long reads a 64-bit integer.
func (q *FormNode) Long() *int64 {
	if q == nil || !q.set {
		return nil
	}
	n, err := strconv.ParseInt(q.value, 10, 64)
	if err != nil {
		q.bad()
		return nil
	}
	return &n
}

// Double reads a floating-point number.
func (q *FormNode) Double() *float64 {
	if q == nil || !q.set {
		return nil
	}
	f, err := strconv.ParseFloat(q.value, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		q.bad()
		return nil
	}
	return &f
}

// Bool reads true or false.
func (q *FormNode) Bool() *bool {
	if q == nil || !q.set {
		return nil
	}
	switch strings.ToLower(q.value) {
	case "true", "false":
		b := q.value[0] == 't' || q.value[0] == 'T'
		return &b
	}
	q.bad()
	return nil
}

// Time reads ISO 8601 with or without milliseconds.
func (q *FormNode) Time() *time.Time {
	if q == nil || !q.set {
		return nil
	}
	t, err := time.Parse(time.RFC3339, q.value)
	if err != nil {
		q.bad()
		return nil
	}
	t = t.UTC()
	return &t
}

// Blob reads base64.
func (q *FormNode) Blob() []byte {
	if q == nil || !q.set {
		return nil
	}
	b, err := base64.StdEncoding.AppendDecode([]byte{}, []byte(q.value))
	if err != nil {
		q.bad()
		return nil
	}
	return b
}
