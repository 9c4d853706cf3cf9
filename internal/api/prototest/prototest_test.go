package prototest

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"usher/internal/api/prototest/jsontest"
	"usher/internal/api/prototest/querytest"
	"usher/internal/api/prototest/restjsontest"
	"usher/internal/awsapi"
)

type suite struct {
	Description string
	Cases       []struct {
		Given struct {
			Output struct{ ResultWrapper string }
		}
		Params     map[string]any // of an input case
		Serialized struct {
			Method  string
			URI     string
			Body    string
			Headers map[string]string
		}
		Result   map[string]any // of an output case
		Response struct{ Body string }
	}
}

// protocols are the vectors, how many of them must run, and what the requests of
// their one operation need to be routed. Left out are cases whose whole body is
// one member, and members with a timestamp format of their own, JSON in a string,
// and places outside the body other than scalars of a request: nothing of it is
// in the models.
var protocols = []struct {
	name       string
	protocol   awsapi.Protocol
	operations func(got, fill func(any)) []awsapi.Operation
	media      string
	in, out    int
}{
	{"json", awsapi.Protocol{Kind: awsapi.JSON11, Target: "com.amazonaws.foo"}, jsontest.Operations, "application/x-amz-json-1.1", 17, 7},
	{"query", awsapi.Protocol{Kind: awsapi.Query, Version: "2014-01-01"}, querytest.Operations, "application/x-www-form-urlencoded", 28, 17},
	{"rest-json", awsapi.Protocol{Kind: awsapi.RESTJSON, Path: "/"}, restjsontest.Operations, "application/json", 34, 9},
}

// clientOnly are cases that say what a client does, not what is on the wire.
var clientOnly = []string{
	"Idempotency token auto fill 1",                           // the client makes the token up
	"Omits null query params, but serializes empty strings 0", // nothing is sent
	"Lists 1",                               // null elements: answers have none
	"Ignores extra data 0",                  // members that the client does not know
	"Ignores undefined output 0",            // answers that are no JSON
	"unmodeled non-json response payload 0", //
	"unmodeled non-json response payload 1", //
}

func TestVectors(t *testing.T) {
	for _, p := range protocols {
		run := map[string]int{}
		for _, direction := range []string{"Input", "Output"} {
			var suites []suite
			text, err := os.ReadFile("testdata/" + strings.ToLower(direction) + "/" + p.name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &suites); err != nil {
				t.Fatal(err)
			}
			for i, s := range suites {
				for j, c := range s.Cases {
					var in, out any
					ops := p.operations(func(x any) { in = x }, func(x any) { out = x; fill(reflect.ValueOf(x).Elem(), c.Result) })
					n := slices.IndexFunc(ops, func(o awsapi.Operation) bool { return o.Name == fmt.Sprintf("%s%dCase%d", direction, i, j) })
					label := fmt.Sprintf("%s %d", s.Description, j)
					if n < 0 || slices.Contains(clientOnly, label) {
						continue
					}
					t.Run(p.name+"/"+direction+"/"+label, func(t *testing.T) {
						op := ops[n]
						op.Name = "OperationName"
						if target := c.Serialized.Headers["X-Amz-Target"]; target != "" {
							op.Name = target[strings.LastIndex(target, ".")+1:]
						}
						protocol := p.protocol
						server := &awsapi.Server{Services: []*awsapi.Service{{Name: "test", Protocol: &protocol, Operations: []awsapi.Operation{op}}}}
						method, uri, body := "POST", c.Serialized.URI, c.Serialized.Body
						if p.protocol.Kind == awsapi.RESTJSON {
							method, _, _ = strings.Cut(op.Route, " ")
						}
						if direction == "Output" {
							_, uri, _ = strings.Cut(op.Route, " ")
						}
						if uri == "" {
							uri = "/"
						}
						if body == "" && p.protocol.Kind == awsapi.JSON11 {
							body = "{}"
						}
						if p.protocol.Kind == awsapi.Query {
							if body == "" {
								body = "Action=OperationName&Version=2014-01-01"
							}
							op.Name = strings.TrimPrefix(strings.Split(body, "&")[0], "Action=")
							server.Services[0].Operations[0] = op
						}
						r := httptest.NewRequest(method, uri, strings.NewReader(body))
						r.Header.Set("Content-Type", p.media)
						if p.protocol.Kind == awsapi.JSON11 {
							r.Header.Set("X-Amz-Target", p.protocol.Target+"."+op.Name)
						}
						for k, v := range c.Serialized.Headers {
							r.Header.Set(k, v)
						}
						w := httptest.NewRecorder()
						server.ServeHTTP(w, r)
						if w.Code != 200 {
							t.Fatalf("%d %s", w.Code, w.Body)
						}
						vector, typ := c.Params, reflect.TypeOf(in)
						if direction == "Output" {
							vector, typ = c.Result, reflect.TypeOf(out)
						}
						want := prune(vector, typ)
						if len(vector) > 0 && len(want.(map[string]any)) == 0 {
							t.Skip("no member of the case is in the type")
						}
						run[direction]++
						if direction == "Output" {
							compareBody(t, p.protocol.Kind, w.Body.String(), c.Response.Body)
						} else if got := dump(reflect.ValueOf(in)); !reflect.DeepEqual(got, want) {
							t.Errorf("\nread %v\nwant %v", got, want)
						}
					})
				}
			}
		}
		if run["Input"] != p.in || run["Output"] != p.out {
			t.Errorf("%s: ran %d input and %d output cases, want %d and %d", p.name, run["Input"], run["Output"], p.in, p.out)
		}
	}
}

// fieldOf returns the field of a member.
func fieldOf(t reflect.Type, member string) (reflect.StructField, bool) {
	return t.FieldByName(strings.ToUpper(member[:1]) + member[1:])
}

// fill sets a generated value from the vector's.
func fill(v reflect.Value, x any) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), x)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(x.(float64)), 0)))
			return
		}
		for k, m := range x.(map[string]any) {
			if f, ok := fieldOf(v.Type(), k); ok {
				fill(v.FieldByIndex(f.Index), m)
			}
		}
	case reflect.Slice:
		if s, ok := x.(string); ok {
			v.SetBytes([]byte(s))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(x.([]any)), len(x.([]any))))
		for i, e := range x.([]any) {
			fill(v.Index(i), e)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for k, e := range x.(map[string]any) {
			elem := reflect.New(v.Type().Elem()).Elem()
			fill(elem, e)
			v.SetMapIndex(reflect.ValueOf(k), elem)
		}
	default:
		v.Set(reflect.ValueOf(x).Convert(v.Type()))
	}
}

// dump is the reverse of fill.
func dump(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return dump(v.Elem())
	case reflect.Struct:
		if when, ok := v.Interface().(time.Time); ok {
			return float64(when.Unix())
		}
		m := map[string]any{}
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
				m[name] = dump(v.Field(i))
			}
		}
		return m
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return string(v.Bytes())
		}
		list := []any{}
		for i := range v.Len() {
			list = append(list, dump(v.Index(i)))
		}
		return list
	case reflect.Map:
		m := map[string]any{}
		for _, k := range v.MapKeys() {
			m[k.String()] = dump(v.MapIndex(k))
		}
		return m
	case reflect.Int32, reflect.Int64:
		return float64(v.Int())
	default:
		return v.Interface()
	}
}

// prune drops the members that the generated type has not.
func prune(x any, t reflect.Type) any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	m, _ := x.(map[string]any)
	list, _ := x.([]any)
	switch {
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]():
		out := map[string]any{}
		for k, e := range m {
			if f, ok := fieldOf(t, k); ok && e != nil {
				out[k] = prune(e, f.Type)
			}
		}
		return out
	case t.Kind() == reflect.Slice && list != nil:
		out := []any{}
		for _, e := range list {
			out = append(out, prune(e, t.Elem()))
		}
		return out
	case t.Kind() == reflect.Map:
		out := map[string]any{}
		for k, e := range m {
			out[k] = prune(e, t.Elem())
		}
		return out
	}
	return x
}

// compareBody compares answers by meaning: JSON values, or XML elements with text.
func compareBody(t *testing.T, kind awsapi.Kind, got, want string) {
	t.Helper()
	if kind == awsapi.Query {
		g, w := parseXML(t, got), parseXML(t, want)
		if !slices.Equal(g, w) {
			t.Errorf("\nwrote %q\nwant  %q", g, w)
		}
		return
	}
	if want == "" {
		want = "{}"
	}
	// One answer has a date in the form that clients read as well; servers write the other.
	want = strings.Replace(want, `"Timestamp": "2015-01-25T08:00:00Z"`, `"Timestamp": 1422172800`, 1)
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	// The vector holds more than the type where members are left out of the type.
	for k := range w.(map[string]any) {
		if _, ok := g.(map[string]any)[k]; !ok && !leftOut(k) {
			t.Errorf("member %s is missing in %s", k, got)
		} else if !ok {
			delete(w.(map[string]any), k)
		}
	}
	dropNested(g, w)
	if !reflect.DeepEqual(g, w) {
		t.Errorf("\nwrote %s\nwant  %s", got, want)
	}
}

// leftOut are members of outputs with a timestamp format of their own or JSON in a string.
func leftOut(member string) bool {
	return slices.Contains([]string{"TimeCustom", "TimeFormat", "bar"}, member)
}

func dropNested(g, w any) {
	gm, _ := g.(map[string]any)
	wm, _ := w.(map[string]any)
	for k := range wm {
		if _, ok := gm[k]; !ok && leftOut(k) {
			delete(wm, k)
		}
		dropNested(gm[k], wm[k])
	}
}

// parseXML flattens the members of an answer to path=text, without its frame.
func parseXML(t *testing.T, text string) []string {
	t.Helper()
	var lines, path []string
	var chars strings.Builder
	leaf := false
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			slices.Sort(lines)
			return lines
		}
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			if len(path) == 1 && (strings.HasSuffix(name, "Result") || strings.HasSuffix(name, "Wrapper")) {
				name = ""
			}
			path = append(path, name)
			chars.Reset()
			leaf = true
		case xml.CharData:
			chars.Write(token)
		case xml.EndElement:
			line := strings.Join(slices.DeleteFunc(slices.Clone(path[1:]), func(s string) bool { return s == "" }), "/")
			member := path[len(path)-1]
			if leaf && line != "" && !strings.Contains(line, "RequestId") && !leftOut(member) && !outside(line) {
				lines = append(lines, line+"="+chars.String())
			}
			leaf = false
			path = path[:len(path)-1]
		}
	}
}

func outside(line string) bool { return strings.HasPrefix(line, "ResponseMetadata") }
