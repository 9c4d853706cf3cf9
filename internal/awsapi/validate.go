package awsapi

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ValidationStyle is how a service words constraint failures.
type ValidationStyle struct {
	Code         string // error code; the status is 400
	PatternFirst bool   // a member's pattern failure comes before its length failure
	IAM          bool   // values and enum sets are left out, names and paths have texts of their own
}

// StringRule constrains a string. A Max of 0 is no limit.
type StringRule struct {
	Min, Max  int // in UTF-16 units, as Java counts
	Pattern   *Pattern
	Enum      []string
	Sensitive bool
}

// NumberRule constrains a number.
type NumberRule struct {
	Min, Max       int64
	HasMin, HasMax bool
	Sensitive      bool
}

// SizeRule constrains the size of a list, map or blob; a Max of 0 is no limit.
// For blobs it counts bytes.
type SizeRule struct {
	Min, Max  int
	Sensitive bool
}

// These bound an answer to a request that is wrong in every element, or in long ones.
const (
	maxViolations = 100
	maxText       = 32 << 10 // bytes of violations after which there is no further one
	maxEcho       = 2048     // bytes of one value that are repeated
)

// clip bounds what an answer repeats of the request.
func clip(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	return strings.ToValidUTF8(s[:maxEcho], "") + "..."
}

// Validator collects the constraint failures of one input. Generated code
// visits every constrained member; nothing is formatted while all is well.
type Validator struct {
	style   ValidationStyle
	path    []step
	texts   []string
	size    int    // of texts, in bytes
	missing string // first required member of the input itself that is absent
	special string // IAM: text that replaces all others
}

type step struct {
	name  string
	index int // from 1; 0 without
	key   string
	isMap bool
}

// NewValidator returns a validator that words failures in that style.
func NewValidator(style ValidationStyle) *Validator { return &Validator{style: style} }

// Err returns nil, or the error that names every failure.
func (v *Validator) Err() error {
	if len(v.texts) == 0 {
		return nil
	}
	e := &Error{Code: v.style.Code, Status: 400}
	switch n := len(v.texts); {
	case v.special != "":
		return e.Msg("%s", v.special)
	case n == 1:
		return e.Msg("%s", "1 validation error detected: "+v.texts[0])
	default:
		return e.Msg("%d validation errors detected: %s", n, strings.Join(v.texts, "; "))
	}
}

// Missing returns the first required member of the input itself that is absent.
func (v *Validator) Missing() string { return v.missing }

// Enter goes into a structure member.
func (v *Validator) Enter(name string) { v.path = append(v.path, step{name: name}) }

// EnterElement goes into element i, from 0, of a list member.
func (v *Validator) EnterElement(name string, i int) {
	v.path = append(v.path, step{name: name, index: i + 1})
}

// EnterValue goes into the value under key of a map member.
func (v *Validator) EnterValue(name, key string) {
	v.path = append(v.path, step{name: name, key: key, isMap: true})
}

// Leave goes back up.
func (v *Validator) Leave() { v.path = v.path[:len(v.path)-1] }

// where words the path of a member: lower-case first letters and dots.
func (v *Validator) where(name string) string {
	var b strings.Builder
	for _, s := range v.path {
		b.WriteString(lowerFirst(s.name))
		switch {
		case s.isMap:
			b.WriteString("." + clip(s.key) + ".member")
		case s.index > 0:
			b.WriteString("." + strconv.Itoa(s.index) + ".member")
		}
		b.WriteByte('.')
	}
	b.WriteString(lowerFirst(name))
	return b.String()
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}

// add records a failure; value is called only if it is to be printed.
func (v *Validator) add(name string, sensitive bool, value func() string, constraint string) {
	if len(v.texts) >= maxViolations || v.size >= maxText {
		return
	}
	subject := "Value"
	if !sensitive && !v.style.IAM {
		subject += " " + value()
	}
	text := subject + " at '" + v.where(name) + "' failed to satisfy constraint: " + constraint
	v.texts = append(v.texts, text)
	v.size += len(text)
}

func quoted(s string) func() string { return func() string { return "'" + clip(s) + "'" } }

func null() string { return "null" }

// Required records a failure unless present.
func (v *Validator) Required(name string, present, sensitive bool) {
	if present {
		return
	}
	if v.missing == "" && len(v.path) == 0 {
		v.missing = name
	}
	v.add(name, sensitive, null, "Member must not be null")
}

func minLength(n int) string {
	return "Member must have length greater than or equal to " + strconv.Itoa(n)
}

func maxLength(n int) string {
	return "Member must have length less than or equal to " + strconv.Itoa(n)
}

// String checks a string member that may be absent.
func (v *Validator) String(name string, s *string, rule *StringRule) {
	if s == nil {
		return
	}
	long, short, pattern, enum := rule.check(*s)
	if !long && !short && !pattern && !enum {
		return
	}
	if pattern && v.style.PatternFirst {
		v.pattern(name, *s, rule)
	}
	if long {
		v.add(name, rule.Sensitive, quoted(*s), maxLength(rule.Max))
	}
	if short {
		v.add(name, rule.Sensitive, quoted(*s), minLength(rule.Min))
	}
	if pattern && !v.style.PatternFirst {
		v.pattern(name, *s, rule)
	}
	if enum {
		v.add(name, rule.Sensitive, quoted(*s), v.enumText(rule))
	}
}

// IAM's own texts for two patterns that half of its members have.
const (
	iamName     = `[\w+=,.@-]+`
	iamPath     = `(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`
	iamNameText = "The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
	iamPathText = "The specified value for %s is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters."
)

func (v *Validator) pattern(name, s string, rule *StringRule) {
	if v.style.IAM && v.special == "" && s != "" {
		switch rule.Pattern.model {
		case iamName:
			v.special = fmt.Sprintf(iamNameText, v.where(name))
		case iamPath:
			v.special = fmt.Sprintf(iamPathText, v.where(name))
		}
	}
	v.add(name, rule.Sensitive, quoted(s), patternText(rule))
}

func patternText(rule *StringRule) string {
	return "Member must satisfy regular expression pattern: " + rule.Pattern.model
}

func (v *Validator) enumText(rule *StringRule) string {
	if v.style.IAM {
		return "Member must satisfy enum value set"
	}
	return "Member must satisfy enum value set: [" + strings.Join(rule.Enum, ", ") + "]"
}

// check tells which constraints s breaks.
func (r *StringRule) check(s string) (long, short, pattern, enum bool) {
	n := len(s)
	if r.Max > 0 && n > r.Max || n < 3*r.Min { // else bytes decide: a UTF-16 unit takes at most three
		n = utf16Len(s)
	}
	long = r.Max > 0 && n > r.Max
	short = n < r.Min
	pattern = r.Pattern != nil && !r.Pattern.Match(s)
	enum = r.Enum != nil && !slices.Contains(r.Enum, s)
	return
}

// utf16Len counts UTF-16 units, as Java does.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

// elementTexts lists the constraints of an element, in the order that AWS prints them.
func (v *Validator) elementTexts(r *StringRule) string {
	var t []string
	if r.Max > 0 {
		t = append(t, maxLength(r.Max))
	}
	if r.Min > 0 {
		t = append(t, minLength(r.Min))
	}
	if r.Pattern != nil {
		t = append(t, patternText(r))
	}
	if r.Enum != nil {
		t = append(t, v.enumText(r))
	}
	return "[" + strings.Join(t, ", ") + "]"
}

// Int checks an integer member that may be absent.
func (v *Validator) Int(name string, n *int32, rule *NumberRule) {
	if n != nil {
		v.number(name, int64(*n), rule)
	}
}

// Long checks an integer member that may be absent.
func (v *Validator) Long(name string, n *int64, rule *NumberRule) {
	if n != nil {
		v.number(name, *n, rule)
	}
}

func (v *Validator) number(name string, n int64, rule *NumberRule) {
	value := quoted(strconv.FormatInt(n, 10))
	if rule.HasMax && n > rule.Max {
		v.add(name, rule.Sensitive, value, "Member must have value less than or equal to "+strconv.FormatInt(rule.Max, 10))
	}
	if rule.HasMin && n < rule.Min {
		v.add(name, rule.Sensitive, value, "Member must have value greater than or equal to "+strconv.FormatInt(rule.Min, 10))
	}
}

// Size checks the size of a list, map or blob that is present; value is the member itself.
func (v *Validator) Size(name string, n int, value any, rule *SizeRule) {
	if rule.Max > 0 && n > rule.Max {
		v.add(name, rule.Sensitive, javaValue(value), maxLength(rule.Max))
	}
	if n < rule.Min {
		v.add(name, rule.Sensitive, javaValue(value), minLength(rule.Min))
	}
}

// Elements checks the elements of a list of strings.
func (v *Validator) Elements(name string, list []string, rule *StringRule) {
	for _, s := range list {
		if long, short, pattern, enum := rule.check(s); long || short || pattern || enum {
			v.add(name, rule.Sensitive, javaValue(list), "Member must satisfy constraint: "+v.elementTexts(rule))
			return
		}
	}
}

// Keys checks the keys of a map.
func (v *Validator) Keys(name string, keys []string, m any, rule *StringRule, sensitive bool) {
	for _, k := range keys {
		if long, short, pattern, enum := rule.check(k); long || short || pattern || enum {
			v.add(name, sensitive, javaValue(m), "Map keys must satisfy constraint: "+v.elementTexts(rule))
			return
		}
	}
}

// Values checks the keys and values of a map of strings; either rule may be nil.
func (v *Validator) Values(name string, m map[string]string, key, value *StringRule, sensitive bool) {
	badKey, badValue := false, false
	for k, s := range m {
		if key != nil && !badKey {
			long, short, pattern, enum := key.check(k)
			badKey = long || short || pattern || enum
		}
		if value != nil && !badValue {
			long, short, pattern, enum := value.check(s)
			badValue = long || short || pattern || enum
		}
	}
	if badKey {
		v.add(name, sensitive || key.Sensitive, javaValue(m), "Map keys must satisfy constraint: "+v.elementTexts(key))
	}
	if badValue {
		v.add(name, sensitive || value.Sensitive, javaValue(m), "Map value must satisfy constraint: "+v.elementTexts(value))
	}
}

// javaValue prints a list, map or structure as Java does: [a, b], {k=v},
// Name(member=value, other=null). Members tagged sensitive are left out.
func javaValue(x any) func() string {
	return func() string {
		var b strings.Builder
		writeJava(&b, reflect.ValueOf(x))
		return "'" + clip(b.String()) + "'"
	}
}

func writeJava(b *strings.Builder, x reflect.Value) {
	if b.Len() > maxEcho {
		return
	}
	switch x.Kind() {
	case reflect.Pointer:
		if x.IsNil() {
			b.WriteString("null")
			return
		}
		writeJava(b, x.Elem())
	case reflect.Slice:
		if x.Type().Elem().Kind() == reflect.Uint8 {
			fmt.Fprintf(b, "java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]", x.Len(), x.Len())
			return
		}
		b.WriteByte('[')
		for i := range x.Len() {
			if i > 0 {
				b.WriteString(", ")
			}
			writeJava(b, x.Index(i))
		}
		b.WriteByte(']')
	case reflect.Map:
		keys := x.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(k.String() + "=")
			writeJava(b, x.MapIndex(k))
		}
		b.WriteByte('}')
	case reflect.Struct:
		t := x.Type()
		b.WriteString(t.Name() + "(")
		first := true
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("sensitive") == "true" {
				continue
			}
			if !first {
				b.WriteString(", ")
			}
			first = false
			b.WriteString(lowerFirst(t.Field(i).Name) + "=")
			writeJava(b, x.Field(i))
		}
		b.WriteByte(')')
	default:
		fmt.Fprint(b, x.Interface())
	}
}
