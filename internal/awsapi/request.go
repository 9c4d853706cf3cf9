package awsapi

import "strconv"

// What members outside the body are read from, in the REST-JSON protocol.

// PathString reads a placeholder of the path.
func (r *Request) PathString(name string) *string {
	if s, ok := r.Path[name]; ok {
		return &s
	}
	return nil
}

// QueryString reads a parameter of the query string.
func (r *Request) QueryString(name string) *string {
	if v, ok := r.Params[name]; ok && len(v) > 0 {
		return &v[0]
	}
	return nil
}

// QueryInt reads a 32-bit integer from the query string.
func (r *Request) QueryInt(name string) *int32 {
	if n := r.queryNumber(name, 32); n != nil {
		i := int32(*n)
		return &i
	}
	return nil
}

// QueryLong reads a 64-bit integer from the query string.
func (r *Request) QueryLong(name string) *int64 { return r.queryNumber(name, 64) }

func (r *Request) queryNumber(name string, bits int) *int64 {
	s := r.QueryString(name)
	if s == nil {
		return nil
	}
	n, err := strconv.ParseInt(*s, 10, bits)
	if err != nil {
		r.fail()
		return nil
	}
	return &n
}

// QueryBool reads true or false from the query string.
func (r *Request) QueryBool(name string) *bool {
	s := r.QueryString(name)
	if s == nil {
		return nil
	}
	if *s != "true" && *s != "false" {
		r.fail()
		return nil
	}
	b := *s == "true"
	return &b
}

// HeaderString reads a header.
func (r *Request) HeaderString(name string) *string {
	if v := r.Header.Values(name); len(v) > 0 {
		return &v[0]
	}
	return nil
}

func (r *Request) fail() {
	if r.err == nil {
		r.err = errSerialization
	}
}
