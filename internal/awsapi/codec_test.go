package awsapi

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestJSONTypeErrors(t *testing.T) {
	str := func(d *JSONDecoder) { d.String() }
	num := func(d *JSONDecoder) { d.Int() }
	long := func(d *JSONDecoder) { d.Long() }
	boolean := func(d *JSONDecoder) { d.Bool() }
	blob := func(d *JSONDecoder) { d.Blob() }
	date := func(d *JSONDecoder) { d.Time() }
	object := func(d *JSONDecoder) {
		for d.Object() && d.Member() {
			d.Skip()
		}
	}
	list := func(d *JSONDecoder) {
		for d.Array() && d.Element() {
			d.Skip()
		}
	}
	for _, c := range []struct {
		name string
		read func(*JSONDecoder)
		json string
		want string
	}{
		{"integer", num, `"1"`, "STRING_VALUE can not be converted to an Integer"},
		{"integer", num, `true`, "TRUE_VALUE can not be converted to an Integer"},
		{"integer", num, `false`, "FALSE_VALUE can not be converted to an Integer"},
		{"integer", num, `[1]`, "Start of list found where not expected"},
		{"integer", num, `{}`, "Start of structure or map found where not expected."},
		{"long", long, `"1"`, "STRING_VALUE can not be converted to a Long"},
		{"string", str, `1`, "NUMBER_VALUE can not be converted to a String"},
		{"string", str, `-1.5`, "NUMBER_VALUE can not be converted to a String"},
		{"string", str, `true`, "TRUE_VALUE can not be converted to a String"},
		{"string", str, `[]`, "Start of list found where not expected"},
		{"string", str, `{"a":1}`, "Start of structure or map found where not expected."},
		{"boolean", boolean, `"true"`, "STRING_VALUE can not be converted to a Boolean"},
		{"boolean", boolean, `1`, "NUMBER_VALUE can not be converted to a Boolean"},
		{"blob", blob, `1`, "NUMBER_VALUE can not be converted to a Blob"},
		{"blob", blob, `"no base64!"`, ""},
		{"date", date, `"2026"`, "STRING_VALUE can not be converted to a Timestamp"},
		{"date", date, `1e300`, ""},
		{"object", object, `"x"`, "Expected null"},
		{"object", object, `[]`, "Start of list found where not expected"},
		{"list", list, `"x"`, "Expected list or null"},
		{"list", list, `7`, "Expected list or null"},
		{"list", list, `{}`, "Start of structure or map found where not expected."},
	} {
		d, err := NewJSONDecoder([]byte(`{"x": ` + c.json + ` }`))
		if err != nil {
			t.Fatal(err)
		}
		d.Object()
		d.Member()
		c.read(d)
		e, ok := d.Err().(*Error)
		if !ok || e.Code != "SerializationException" || e.Status != 400 || e.Message != c.want {
			t.Errorf("%s %s: %v, want %q", c.name, c.json, d.Err(), c.want)
		}
	}
}

func TestJSONScalars(t *testing.T) {
	d, err := NewJSONDecoder([]byte(`{"a" : "p\u00e4\n\"x\"" ,"b":-7,"c":1.9,"d":99999999999,"e":true,"f":false,
		"g":1726788459.464,"h":"aGk=","i":{"k":[1,{"z":"]}"}]},"j":null,"k":[ "x" , null,"y"],"\u006c":1e3,"m":9007199254740993}`))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	d.Object()
	for d.Member() {
		ok := false
		switch string(d.Name()) {
		case "a":
			ok = *d.String() == "pä\n\"x\""
		case "b":
			ok = *d.Int() == -7
		case "c": // a fraction is cut off
			ok = *d.Int() == 1
		case "d": // left to the range constraint
			ok = *d.Int() == math.MaxInt32
		case "e":
			ok = *d.Bool()
		case "f":
			ok = !*d.Bool()
		case "g":
			ok = d.Time().Equal(time.UnixMilli(1726788459464))
		case "h":
			ok = string(d.Blob()) == "hi"
		case "i":
			ok = string(d.Document()) == `{"k":[1,{"z":"]}"}]}`
		case "j":
			ok = d.String() == nil
		case "k":
			var list []string
			for d.Array(); d.Element(); {
				list = append(list, d.StringValue())
			}
			ok = strings.Join(list, "") == "xy"
		case "l":
			ok = *d.Long() == 1000
		case "m": // beyond what a float64 can hold
			ok = *d.Long() == 9007199254740993
		}
		if !ok {
			t.Errorf("member %s", d.Name())
		}
		seen++
	}
	if d.Err() != nil || seen != 13 || d.pos != len(d.buf) {
		t.Errorf("%v, %d members, at %d of %d", d.Err(), seen, d.pos, len(d.buf))
	}
}

func TestAppendMillis(t *testing.T) {
	for ms, want := range map[int64]string{0: "0", 1000: "1", 1500: "1.5", 1510: "1.51", 1001: "1.001", 1010: "1.01", 1726788459464: "1726788459.464", -1500: "-1.5"} {
		if got := string(appendMillis(nil, ms)); got != want {
			t.Errorf("%d: %s, want %s", ms, got, want)
		}
	}
}

// deepForm makes as many nodes of a few bytes as a parser lets it.
var deepForm = func() string {
	var b strings.Builder
	for i := range 2000 {
		b.WriteString("a" + strconv.Itoa(i) + strings.Repeat(".b", 20) + "&")
	}
	return b.String()
}()

func TestForm(t *testing.T) {
	q, err := ParseForm("Action=X&Tags.member.2.Key=b&Tags.member.1.Key=a%2Bc+d&Tags.member.10.Key=j&Empty=&A=1&A=2&B=TRUE&T=2026-11-21T07:08:55.250Z")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, n := range q.Get("Tags").List("member") {
		keys = append(keys, *n.Get("Key").String())
	}
	if got := strings.Join(keys, "|"); got != "a+c d|b|j" {
		t.Errorf("keys %s", got)
	}
	if l := q.Get("Empty").List("member"); l == nil || len(l) != 0 {
		t.Error("an empty list is absent")
	}
	if l, _ := ParseForm("L.member.1=a&L.member.01=b&L.member.%2B1=c&L.member.0=d&L.member.-1=e"); len(l.Get("L").List("member")) != 1 {
		t.Error("an element has two numbers")
	}
	if q.Get("None").List("member") != nil || q.Get("None").Get("X").Int() != nil {
		t.Error("an absent parameter is there")
	}
	if *q.Get("A").Int() != 1 || !*q.Get("B").Bool() || !q.Get("T").Time().Equal(time.Date(2026, 11, 21, 7, 8, 55, 250e6, time.UTC)) || q.Err() != nil {
		t.Error("scalars")
	}
	if q.Get("B").Int(); q.Err() == nil {
		t.Error("TRUE is no number")
	}
	for _, x := range []string{"NaN", "-Inf", "1e400"} {
		if q, _ := ParseForm("D=" + x); q.Get("D").Double() != nil || q.Err() == nil {
			t.Errorf("%s is a number", x)
		}
	}
	for _, bad := range []string{"a=%", "%zz=1", "a=%ff", strings.Repeat("a.", 30) + "=1", strings.Repeat("a=1&", maxQueryParams+1), deepForm} {
		if _, err := ParseForm(bad); err == nil {
			t.Errorf("%.20q passes", bad)
		}
	}
}

func TestMatchRoute(t *testing.T) {
	const route = "GET /identitypools/{IdentityPoolId}/identities/{IdentityId}"
	for _, c := range []struct {
		method, path string
		want         string // pool and identity
	}{
		{"GET", "/identitypools/eu-west-1%3Aab/identities/x", "eu-west-1:ab x"},
		{"GET", "/identitypools/a%2Fb/identities/x", "a/b x"}, // a slash inside of a segment does not split it
		{"POST", "/identitypools/a/identities/x", ""},
		{"GET", "/identitypools/a/identities", ""},
		{"GET", "/identitypools/a/identities/x/", ""},
		{"GET", "/identitypools//identities/x", ""},
		{"GET", "/identitypools/a/identity/x", ""},
		{"GET", "/identitypools/%zz/identities/x", ""},
		// The signature covers the path without dot segments: these are signed as another.
		{"GET", "/identitypools/../identities/x", ""},
		{"GET", "/identitypools/./identities/x", ""},
		{"GET", "/identitypools/a/identities/..", ""},
	} {
		v, ok := matchRoute(route, c.method, c.path)
		if got := strings.TrimSpace(v["IdentityPoolId"] + " " + v["IdentityId"]); ok != (c.want != "") || got != c.want {
			t.Errorf("%s %s: %q %t", c.method, c.path, got, ok)
		}
	}
}

func TestXML(t *testing.T) {
	var e XMLEncoder
	policy := `{"a": "b/c+é~"}`
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e.StringValue("A", "<a&b>\"\x00\r\xff")
	e.URLEncoded("P", &policy)
	e.TimeValue("T", when)
	e.TimeValue("T", when.Add(7*time.Millisecond))
	e.BlobValue("B", []byte("hi"))
	want := `<A>&lt;a&amp;b&gt;&quot;` + "\uFFFD&#xD;\uFFFD" + `</A><P>%7B%22a%22%3A%20%22b%2Fc%2B%C3%A9~%22%7D</P><T>2026-01-02T03:04:05Z</T><T>2026-01-02T03:04:05Z</T><B>aGk=</B>`
	if string(e.buf) != want {
		t.Errorf("\ngot  %s\nwant %s", e.buf, want)
	}
}

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		expr    string
		class   bool // takes the short way
		yes, no string
	}{
		{`[\w-]+`, true, "a|Z|_-9|abc", "|a b|ä|a\n"},
		{`^[\w\- ]+$`, true, "a b|-", "|a\n|/"},
		{`[\p{L}\p{N}]*`, true, "|aä漢1", "a b| |😀"},
		{`[\S]+`, true, "a😀", "|a b|\t"},
		{`[a-z]+_[0-9]+`, false, "a_1", "|a_|_1|a_1x| a_1"},
		{`a|b`, false, "a|b", "ab|xa|"},
		{`(?s).*`, false, "|a\nb", ""},
		{`[ab]+$`, true, "ab", "abc|"},
	} {
		p := NewPattern(c.expr, c.expr)
		for _, s := range strings.Split(c.yes, "|") {
			if !p.Match(s) {
				t.Errorf("%s refuses %q", c.expr, s)
			}
		}
		for _, s := range strings.Split(c.no, "|") {
			if c.no != "" && p.Match(s) {
				t.Errorf("%s takes %q", c.expr, s)
			}
		}
		if (p.class != nil) != c.class {
			t.Errorf("%s: class %v", c.expr, p.class)
		}
	}
}

// FuzzJSON reads any document with every method and compares Skip and Document with encoding/json.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,"x",null,{"b":{}}],"c":true}`, `{"a":"\ud800\u00e4\\"}`, `{"a":1e999,"b":-0.5}`, `[]`, `{"a`, `{"":{"":[[]]}}`} {
		f.Add([]byte(s))
	}
	reads := []func(*JSONDecoder){
		func(d *JSONDecoder) { d.String() }, func(d *JSONDecoder) { d.Int() }, func(d *JSONDecoder) { d.Long() }, func(d *JSONDecoder) { d.Double() },
		func(d *JSONDecoder) { d.Bool() }, func(d *JSONDecoder) { d.Time() }, func(d *JSONDecoder) { d.Blob() }, (*JSONDecoder).Skip,
		func(d *JSONDecoder) {
			for d.Array(); d.Element(); {
				d.StringValue()
			}
		},
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, read := range reads {
			d, err := NewJSONDecoder(b)
			if err != nil {
				return
			}
			d.Object()
			for d.Member() {
				read(d)
			}
		}
		d, _ := NewJSONDecoder(b)
		var want map[string]json.RawMessage
		if err := json.Unmarshal(b, &want); err != nil {
			return // nested too deep
		}
		got := map[string]json.RawMessage{}
		d.Object()
		for d.Member() {
			name := string(d.Name())
			got[name] = d.Document()
		}
		if d.Err() != nil || len(got) != len(want) {
			t.Fatalf("%v: %d members, want %d", d.Err(), len(got), len(want))
		}
		for k, w := range want {
			if g := got[k]; string(g) != string(w) && string(w) != "null" {
				t.Errorf("%q: %s, want %s", k, g, w)
			}
		}
	})
}

// FuzzValidJSON compares the scanner with encoding/json.
func FuzzValidJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, ` [1, -0, 0.5, 1e9, 1E+9, 1e-9, true, false, null, "x"] `, `{"a":{"b":[[]]},"c":""}`, `"\u00e4\"\\\/\b\f\n\r\t"`, "\"12345678\x1f\"",
		`01`, `1.`, `.5`, `-`, `1e`, `+1`, `"\x"`, `"\u12g4"`, `"`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[1 2]`, `{} {}`, `tru`, `nul`, ``, "\x00", "{}\x00", `{a:1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := validJSON(b), json.Valid(b); got != want && (got || strings.Count(string(b), "[")+strings.Count(string(b), "{") <= maxJSONDepth) {
			t.Errorf("%q: %t, encoding/json says %t", b, got, want)
		}
	})
}

func TestJSONDepth(t *testing.T) {
	for _, c := range []struct {
		depth int
		want  bool
	}{{maxJSONDepth, true}, {maxJSONDepth + 2, false}, {1 << 20, false}} {
		if got := validJSON([]byte(strings.Repeat("[", c.depth) + strings.Repeat("]", c.depth))); got != c.want {
			t.Errorf("depth %d: %t", c.depth, got)
		}
	}
}

// FuzzJSONString: what is encoded is JSON, and reads back as it was.
func TestJSONValuesAreBounded(t *testing.T) {
	list := func(n int) []byte { return []byte(`{"a":[` + strings.TrimSuffix(strings.Repeat("{},", n), ",") + `]}`) }
	if _, err := NewJSONDecoder(list(5000)); err != nil {
		t.Error(err)
	}
	if _, err := NewJSONDecoder(list(1_000_000)); err == nil {
		t.Error("a million structures of three bytes pass")
	}
}

func FuzzJSONString(f *testing.F) {
	f.Add("a\"\\\n\x00\u2028😀\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var e JSONEncoder
		e.StringValue(s)
		var got string
		if err := json.Unmarshal(e.buf, &got); err != nil || got != strings.ToValidUTF8(s, "\uFFFD") && utf8.ValidString(s) {
			t.Errorf("%q became %s: %v", s, e.buf, err)
		}
	})
}

func FuzzForm(f *testing.F) {
	f.Add("Action=X&Tags.member.1.Key=a&Tags.member.2.Key=b&L=")
	f.Add("a.b.c=%41&a.b=1&.=2&a..b=3")
	f.Fuzz(func(t *testing.T, s string) {
		q, err := ParseForm(s)
		if err != nil {
			return
		}
		var walk func(*FormNode, int)
		walk = func(n *FormNode, depth int) {
			if depth > maxQueryDepth+1 {
				t.Fatal("too deep")
			}
			n.String()
			n.Int()
			n.Bool()
			n.Time()
			n.Blob()
			n.List("member")
			n.List("")
			for _, kid := range n.kids {
				walk(kid, depth+1)
			}
		}
		walk(q, 0)
	})
}
