package awsapi

import (
	"encoding/json"
	"net/url"
	"strings"
)

// writeOutput writes an answer in the protocol of the call.
func (c *call) writeOutput(w *Response, out Output) {
	switch c.kind {
	case Query:
		// <OpResponse><OpResult>…</OpResult><ResponseMetadata/></OpResponse>
		w.Header.Set("Content-Type", "text/xml")
		e := &w.XML
		e.buf = append(e.buf, '<')
		e.buf = append(e.buf, c.op.Name...)
		e.buf = append(e.buf, `Response xmlns="`...)
		e.buf = append(e.buf, c.service.Protocol.Namespace...)
		e.buf = append(e.buf, '"', '>')
		if out != nil {
			result := c.op.Name + "Result"
			e.Open(result)
			out.Encode(w)
			e.Close(result)
		}
		e.Open("ResponseMetadata")
		e.StringValue("RequestId", c.id)
		e.Close("ResponseMetadata")
		e.Close(c.op.Name + "Response")
		return
	case RESTJSON:
		w.Header.Set("Content-Type", "application/json")
	default:
		w.Header.Set("Content-Type", "application/x-amz-json-1.1")
	}
	if out != nil {
		out.Encode(w)
	}
}

// writeError writes an error in the protocol of the call.
func (c *call) writeError(w *Response, err *Error) {
	w.Status = err.Status
	switch c.kind {
	case JSON11:
		w.Header.Set("Content-Type", "application/x-amz-json-1.1")
		w.Header.Set("X-Amzn-Errortype", err.Code+":")
		if err.Message != "" {
			w.Header.Set("X-Amzn-Errormessage", headerText(err.Message))
		}
		w.JSON.Begin()
		w.JSON.Key("__type")
		w.JSON.StringValue(err.Code)
		w.writeErrorMembers(err)
		w.JSON.End()
	case RESTJSON:
		w.Header.Set("Content-Type", "application/json")
		w.Header.Set("X-Amzn-Errortype", err.Code)
		w.JSON.Begin()
		w.writeErrorMembers(err)
		w.JSON.End()
	case Query:
		w.Header.Set("Content-Type", "text/xml")
		namespace := "http://webservices.amazon.com/AWSFault/2005-15-09" // what is no operation belongs to no service
		if c.op != nil {
			namespace = c.service.Protocol.Namespace
		}
		kind := "Sender"
		if err.Fault {
			kind = "Receiver"
		}
		e := &w.XML
		e.buf = append(e.buf, `<ErrorResponse xmlns="`+namespace+`">`...)
		e.Open("Error")
		e.StringValue("Type", kind)
		e.StringValue("Code", err.Code)
		e.StringValue("Message", err.Message)
		e.Close("Error")
		e.StringValue("RequestId", c.id)
		e.Close("ErrorResponse")
	default:
		w.Header.Set("Content-Type", "text/xml")
		w.XML.buf = append(w.XML.buf, '<')
		w.XML.buf = append(w.XML.buf, err.Code...)
		w.XML.buf = append(w.XML.buf, '/', '>')
	}
}

// writeErrorMembers writes the message and the exception's further members. The
// message of a denial has a capital M: it comes from AWS's front end, not from
// the service. Clients read both.
func (w *Response) writeErrorMembers(err *Error) {
	if err.Message != "" {
		name := "message"
		if err.Code == "AccessDeniedException" {
			name = "Message"
		}
		w.JSON.Key(name)
		w.JSON.StringValue(err.Message)
	}
	for _, name := range SortedKeys(err.Members) {
		if b, e := json.Marshal(err.Members[name]); e == nil {
			w.JSON.MapKey(name)
			w.JSON.buf = append(w.JSON.buf, b...)
		}
	}
}

// headerText makes a message fit for a header: printable ASCII, not too long.
func headerText(s string) string {
	const most = 1024
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// matchRoute compares a request with an operation's method and path and returns
// the values of the placeholders. A dot segment is none: the signature covers
// the path without it.
func matchRoute(route, method, path string) (map[string]string, bool) {
	wantMethod, pattern, _ := strings.Cut(route, " ")
	if method != wantMethod {
		return nil, false
	}
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	values := map[string]string{}
	for i, w := range want {
		name, placeholder := strings.CutPrefix(w, "{")
		if !placeholder {
			if w != have[i] {
				return nil, false
			}
			continue
		}
		v, err := url.PathUnescape(have[i])
		if err != nil || v == "" || have[i] == "." || have[i] == ".." {
			return nil, false
		}
		values[strings.TrimSuffix(name, "}")] = v
	}
	return values, true
}
