package server

import (
	"net/http"
	"strings"
	"testing"
)

func TestThroughProxies(t *testing.T) {
	trusted, err := parseProxies("10.0.0.0/8, 192.0.2.7,2001:db8::/32")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, peer, headers string
		client              string
		secure              bool
		host                string
	}{
		{"no proxy", "198.51.100.1:99", "", "198.51.100.1:99", false, "usher"},
		{"somebody who is no proxy", "198.51.100.1:99", "For: 203.0.113.9; Proto: https; Host: evil", "198.51.100.1:99", false, "usher"},
		{"a neighbour of a proxy", "192.0.2.8:99", "For: 203.0.113.9; Proto: https", "192.0.2.8:99", false, "usher"},
		{"a proxy that says nothing", "10.1.2.3:99", "", "10.1.2.3:0", false, "usher"},
		{"one proxy", "10.1.2.3:99", "For: 203.0.113.9; Proto: https; Host: id.example.org", "203.0.113.9:0", true, "id.example.org"},
		{"one proxy, plain", "192.0.2.7:99", "For: 203.0.113.9; Proto: http", "203.0.113.9:0", false, "usher"},
		{"IPv6", "[2001:db8::1]:99", "For: 2a00::5; Proto: HTTPS", "[2a00::5]:0", true, "usher"},
		{"IPv4 as IPv6", "[::ffff:10.0.0.1]:99", "For: ::ffff:203.0.113.9", "203.0.113.9:0", false, "usher"},
		{"with ports", "10.1.2.3:99", "For: 203.0.113.9:4711", "203.0.113.9:0", false, "usher"},
		{"two proxies", "10.1.2.3:99", "For: 203.0.113.9, 10.9.9.9; Proto: https, https", "203.0.113.9:0", true, "usher"},
		{"two lines", "10.1.2.3:99", "For: 203.0.113.9; For: 10.9.9.9", "203.0.113.9:0", false, "usher"},
		{"what the client put in front", "10.1.2.3:99", "For: 10.5.5.5, 203.0.113.9; Proto: https", "203.0.113.9:0", true, "usher"},
		{"proxies alone", "10.1.2.3:99", "For: 10.5.5.5, 10.6.6.6", "10.5.5.5:0", false, "usher"},
		{"what is no address, farther than the client", "10.1.2.3:99", "For: junk, 203.0.113.9", "203.0.113.9:0", false, "usher"},
		{"what is no address", "10.1.2.3:99", "For: 203.0.113.9, unknown", "", false, "usher"},
		{"TLS on a part of the way", "10.1.2.3:99", "For: 203.0.113.9; Proto: https, http", "203.0.113.9:0", false, "usher"},
		{"two hosts", "10.1.2.3:99", "For: 203.0.113.9; Host: a, b", "203.0.113.9:0", false, "usher"},
	} {
		r, _ := http.NewRequest("GET", "http://usher/", nil)
		r.RemoteAddr = c.peer
		for line := range strings.SplitSeq(c.headers, "; ") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				r.Header.Add("X-Forwarded-"+name, value)
			}
		}
		got := throughProxies(r, trusted)
		if got.RemoteAddr != c.client || (got.TLS != nil) != c.secure || got.Host != c.host {
			t.Errorf("%s: %s, TLS %v, host %s", c.what, got.RemoteAddr, got.TLS != nil, got.Host)
		}
		if r.RemoteAddr != c.peer || r.Host != "usher" {
			t.Errorf("%s: the request itself was changed", c.what)
		}
	}
	for _, text := range []string{"proxy", "10.0.0.0/33", "10.0.0.1,*"} {
		if _, err := parseProxies(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
