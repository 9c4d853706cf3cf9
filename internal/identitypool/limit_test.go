package identitypool

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestGuestLimit(t *testing.T) {
	at := time.Unix(1_750_000_000, 0)
	l := guestLimit{perMinute: 3, clients: map[netip.Prefix]guestBucket{}}
	for i, c := range []struct {
		client string
		after  time.Duration
		want   bool
	}{
		{"192.0.2.1", 0, true}, {"192.0.2.1", 0, true}, {"192.0.2.1", 0, true},
		{"192.0.2.1", 0, false},
		{"192.0.2.2", 0, true}, // another client
		{"192.0.2.1", 19 * time.Second, false},
		{"192.0.2.1", time.Second, true}, // a third of a minute later
		{"192.0.2.1", 0, false},
		{"2001:db8:1:2::1", 0, true}, {"2001:db8:1:2::2", 0, true}, {"2001:db8:1:2:3::", 0, true}, // one subscriber
		{"2001:db8:1:2::3", 0, false},
		{"2001:db8:1:3::3", 0, true},
		{"192.0.2.1", time.Hour, true}, {"192.0.2.1", 0, true}, {"192.0.2.1", 0, true}, // no more than a minute's worth is saved
		{"192.0.2.1", 0, false},
		{"127.0.0.1", 0, true}, {"127.0.0.1", 0, true}, {"127.0.0.1", 0, true}, {"127.0.0.1", 0, false},
		{"", 0, true}, {"", 0, true}, {"", 0, true}, {"", 0, false}, // whoever they are
	} {
		at = at.Add(c.after)
		client, _ := netip.ParseAddr(c.client)
		if got := l.take(client, at); got != c.want {
			t.Errorf("%d: guest of %q: %v, want %v", i, c.client, got, c.want)
		}
	}

	// Memory is bounded whoever asks.
	address := netip.MustParseAddr("10.0.0.0")
	for range clientsMost + 1000 {
		l.take(address, at)
		address = address.Next()
	}
	if len(l.clients) > clientsMost {
		t.Errorf("%d clients are remembered", len(l.clients))
	}
	l.forget(at.Add(time.Minute))
	if len(l.clients) != 0 {
		t.Errorf("%d clients are remembered, all with all that they may", len(l.clients))
	}
}

// TestGuestsPerClient limits guests by the address that the server has found for the client, whatever the client says of
// itself, and nothing else.
func TestGuestsPerClient(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		w.s.guests.perMinute = 2
		getID := func(client, forwarded, logins string) string {
			body := fmt.Sprintf(`{"IdentityPoolId":%q%s}`, pool, logins)
			r := httptest.NewRequest("POST", "/", strings.NewReader(body))
			r.RemoteAddr = client
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService.GetId")
			if forwarded != "" {
				r.Header.Set("X-Forwarded-For", forwarded)
			}
			res := httptest.NewRecorder()
			w.server.Config.Handler.ServeHTTP(res, r)
			if res.Code == http.StatusOK {
				return "ok"
			}
			h := res.Header()
			return fmt.Sprint(res.Code, " ", strings.TrimSuffix(h.Get("X-Amzn-Errortype"), ":"), " ", h.Get("X-Amzn-Errormessage"))
		}
		const limited = "400 TooManyRequestsException Rate exceeded"
		login := fmt.Sprintf(`,"Logins":{%q:%q}`, awsName(people), w.idToken(people, uuid(), nil))
		for i, c := range []struct{ client, forwarded, logins, want string }{
			{"192.0.2.1:1", "", "", "ok"}, {"192.0.2.1:2", "192.0.2.9", "", "ok"},
			{"192.0.2.1:1", "", "", limited}, {"192.0.2.1:3", "192.0.2.77", "", limited},
			{"192.0.2.2:1", "192.0.2.1", "", "ok"},
			{"192.0.2.1:1", "", login, "ok"}, {"192.0.2.1:1", "", login, "ok"},
			{"127.0.0.1:1", "", "", "ok"}, {"127.0.0.1:1", "192.0.2.3", "", "ok"}, {"127.0.0.1:1", "192.0.2.4", "", limited},
			{"", "", "", "ok"}, {"", "192.0.2.5", "", "ok"}, {"", "", "", limited},
		} {
			if got := getID(c.client, c.forwarded, c.logins); got != c.want {
				t.Errorf("%d: %q from %q: %s, want %s", i, c.client, c.forwarded, got, c.want)
			}
		}
		if n, err := w.count(`SELECT COUNT(*) FROM identities`); n != 8 || err != nil {
			t.Errorf("%d identities, %v", n, err)
		}
	})
}
