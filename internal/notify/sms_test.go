package notify

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/sigv4"
)

// receiver is an HTTP server that keeps what it is sent and answers with a status.
type receiver struct {
	status int
	header map[string]string
	body   string
	got    []string // bodies
	auth   string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	text, _ := io.ReadAll(q.Body)
	r.got, r.auth = append(r.got, string(text)), q.Header.Get("Authorization")
	for name, value := range r.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(r.status)
	io.WriteString(w, r.body)
}

func listen(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestWebhook(t *testing.T) {
	elsewhere := &receiver{status: 200}
	for _, c := range []struct {
		status          int
		sent, final     bool
		header, content string
	}{
		{status: 200, sent: true},
		{status: 202, sent: true, content: "accepted"},
		{status: 204, sent: true},
		{status: 307, header: listen(t, elsewhere)},
		{status: 400, final: true},
		{status: 401},
		{status: 404},
		{status: 413, final: true},
		{status: 422, final: true},
		{status: 429},
		{status: 500},
		{status: 503},
	} {
		r := &receiver{status: c.status, header: map[string]string{"Location": c.header}, body: c.content}
		h := &Webhook{URL: listen(t, r) + "/hook?key=x", Token: "secret"}
		err := h.Send(t.Context(), Message{Medium: "SMS", To: "+15550100", Body: `Your code is "123456" <ünïcode>.`})
		if (err == nil) != c.sent || errors.Is(err, ErrRefused) != c.final {
			t.Errorf("%d: %v", c.status, err)
		}
		var got map[string]string
		if len(r.got) != 1 || json.Unmarshal([]byte(r.got[0]), &got) != nil || len(got) != 2 || got["to"] != "+15550100" || got["body"] != `Your code is "123456" <ünïcode>.` || r.auth != "Bearer secret" {
			t.Errorf("%d: sent %q with %q", c.status, r.got, r.auth)
		}
	}
	if len(elsewhere.got) != 0 {
		t.Error("a redirect is followed")
	}
}

// TestSMSWaits: a dead webhook loses no message, and its URL, which may hold a key, is not in the error.
func TestSMSWaits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		r := &receiver{status: 200}
		server := httptest.NewServer(r)
		addr := server.Listener.Addr().String()
		server.Close()
		hook := &Webhook{URL: "http://" + addr + "/?key=hidden"}
		if err := hook.Send(t.Context(), Message{}); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("error: %v", err)
		}
		o, clock := newOutbox(t, open(schema), nil)
		o.SMS = hook
		if err := o.DB.Tx(t.Context(), func(tx *db.Tx) error {
			return o.Enqueue(t.Context(), tx, Message{Medium: "SMS", To: "+15550100", Body: "Your code is 123456"})
		}); err != nil {
			t.Fatal(err)
		}
		if n, err := deliverAll(t, o); n != 1 || err != nil || count(t, o) != 1 {
			t.Fatalf("%d tried, %v, %d kept", n, err, count(t, o))
		}
		hook.URL = listen(t, r)
		clock.pass(time.Minute)
		if n, err := deliverAll(t, o); n != 1 || err != nil || count(t, o) != 0 || len(r.got) != 1 {
			t.Errorf("after it is back: %d tried, %v, %d kept, got %q", n, err, count(t, o), r.got)
		}
	})
}

func TestSNS(t *testing.T) {
	for _, c := range []struct {
		status      int
		answer      string
		sent, final bool
	}{
		{200, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>`, true, false},
		{400, `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidParameter</Code><Message>Invalid parameter: PhoneNumber</Message></Error></ErrorResponse>`, false, true},
		{400, `<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`, false, false},
		{403, `<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code></Error></ErrorResponse>`, false, false},
		{500, ``, false, false},
	} {
		var form url.Values
		server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			q, err := sigv4.Parse(r, sigv4.Options{Service: "sns", Region: "eu-west-1", Now: time.Now()})
			if err == nil {
				err = q.Verify(sigv4.SigningKey("secret", q.Date, q.Region, q.Service), sigv4.PayloadHash(body))
			}
			if err != nil {
				t.Error(err)
			}
			form, _ = url.ParseQuery(string(body))
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(c.status)
			io.WriteString(w, c.answer)
		})
		s := NewSNS(listen(t, server), "eu-west-1", credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""))
		err := s.Send(t.Context(), Message{To: "+15550100", Body: "Your code is 123456"})
		if (err == nil) != c.sent || errors.Is(err, ErrRefused) != c.final {
			t.Errorf("%d %s: %v", c.status, c.answer, err)
		}
		if form.Get("Action") != "Publish" || form.Get("PhoneNumber") != "+15550100" || form.Get("Message") != "Your code is 123456" {
			t.Errorf("published %v", form)
		}
		topic := Message{Medium: Topic, To: "arn:aws:sns:eu-west-1:111122223333:news", Body: "{}"}
		if err := s.Send(t.Context(), topic); (err == nil) != c.sent || form.Get("TopicArn") != topic.To || form.Has("PhoneNumber") {
			t.Errorf("%v, published %v", err, form)
		}
		if (&Outbox{SMS: s}).sender(topic) != Sender(s) || (&Outbox{SMS: &Webhook{}, Email: s}).sender(topic) != nil {
			t.Error("topics are not SNS's alone")
		}
	}
}
