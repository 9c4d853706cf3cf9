package access

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"usher/internal/policy"
)

func TestClient(t *testing.T) {
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:4000", nil, "192.0.2.1"},
		{"192.0.2.1:4000", []string{"198.51.100.1"}, "192.0.2.1"}, // anybody may write it
		{"[2001:db8::1]:4000", nil, "2001:db8::1"},
		{"[::ffff:192.0.2.1]:4000", nil, "192.0.2.1"},
		{"[fe80::1%eth0]:4000", nil, "fe80::1"},
		{"127.0.0.1:4000", nil, "127.0.0.1"},
		{"127.0.0.1:4000", []string{"192.0.2.1"}, "127.0.0.1"}, // whom to believe is the server's decision
		{"", nil, "invalid IP"},
		{"@", nil, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := Client(WithRequest(t.Context(), r)).String(); got != c.want {
			t.Errorf("%s, forwarded %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
	if Client(t.Context()).IsValid() {
		t.Error("a client without a request")
	}
}

// TestFromService: the network address is the service's, all else the client's.
func TestFromService(t *testing.T) {
	r := &http.Request{RemoteAddr: "192.0.2.1:4000", Header: http.Header{"User-Agent": {"app"}}}
	var c policy.Context
	SetRequestKeys(FromService(WithRequest(t.Context(), r)), &c, time.Now())
	keys := map[string][]string{}
	c.Keys(func(name string, values []string) { keys[strings.ToLower(name)] = slices.Clone(values) })
	for name, want := range map[string]string{"aws:sourceip": "127.0.0.1", "aws:useragent": "app"} {
		if got := keys[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s %v, want %s", name, got, want)
		}
	}
}
