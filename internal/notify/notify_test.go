package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/emersion/go-smtp"

	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/seal"
)

// mailServer is a real SMTP server that keeps what it accepts.
type mailServer struct {
	mu     sync.Mutex
	mails  []string
	to     []string
	refuse *smtp.SMTPError
	server *smtp.Server
}

type mailSession struct{ m *mailServer }

func (m *mailServer) NewSession(*smtp.Conn) (smtp.Session, error) { return mailSession{m}, nil }
func (s mailSession) Reset()                                      {}
func (s mailSession) Logout() error                               { return nil }
func (s mailSession) Mail(from string, _ *smtp.MailOptions) error { return nil }
func (s mailSession) Data(r io.Reader) error                      { return s.m.take(r) }
func (s mailSession) Rcpt(to string, _ *smtp.RcptOptions) (err error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.refuse != nil {
		return s.m.refuse
	}
	s.m.to = append(s.m.to, to)
	return nil
}

func (m *mailServer) take(r io.Reader) error {
	text, err := io.ReadAll(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, string(text))
	return err
}

func (m *mailServer) got() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.mails...)
}

func (m *mailServer) rcpts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.to...)
}

// listen starts m on an address, "127.0.0.1:0" for any.
func (m *mailServer) listen(t *testing.T, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	m.server = smtp.NewServer(m)
	m.server.Domain = "localhost"
	go m.server.Serve(l)
	t.Cleanup(func() { m.server.Close() })
	return l.Addr().String()
}

// clock is a time that the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time       { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) pass(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func newOutbox(t *testing.T, d *db.DB, email Sender) (*Outbox, *clock) {
	ring, err := seal.Parse("t:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{t: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	return New(Outbox{DB: d, Box: ring.Box("outbox"), Email: email, Now: c.now, Log: slog.New(slog.DiscardHandler)}), c
}

func enqueue(t *testing.T, o *Outbox, to string, after error) {
	t.Helper()
	err := o.DB.Tx(t.Context(), func(tx *db.Tx) error {
		if err := o.Enqueue(t.Context(), tx, Message{Medium: "EMAIL", To: to, Subject: "Your code, ünïcode", Body: "Your code is 123456", Purpose: "sign-up"}); err != nil {
			return err
		}
		return after
	})
	if !errors.Is(err, after) {
		t.Fatal(err)
	}
}

func count(t *testing.T, o *Outbox) int64 {
	t.Helper()
	n, err := db.One[int64](t.Context(), o.DB, `SELECT COUNT(*) FROM messages`)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// deliverAll tries once what is due, and says how many that was.
func deliverAll(t *testing.T, o *Outbox) (n int, err error) {
	t.Helper()
	sending := newSending()
	for kept := range o.wake {
		due, failed := o.deliver(t.Context(), kept, sending)
		n, err = n+due, errors.Join(err, failed)
	}
	sending.Wait()
	return n, err
}

var schema = db.Schema{Name: "notify", Files: Schema}

func TestDelivery(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		var server mailServer
		addr := server.listen(t, "127.0.0.1:0")
		o, _ := newOutbox(t, open(schema), &SMTP{Addr: addr, From: "no-reply@usher.example", TLS: "none"})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { o.Run(ctx) })
		defer running.Wait()
		defer cancel()

		enqueue(t, o, "ada@example.org", nil)
		for i := 0; len(server.got()) == 0 && i < 500; i++ {
			time.Sleep(10 * time.Millisecond)
		}
		mails := server.got()
		if len(mails) != 1 {
			t.Fatalf("%d mails", len(mails))
		}
		m, err := mail.ReadMessage(strings.NewReader(mails[0]))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(m.Body)
		if m.Header.Get("To") != "<ada@example.org>" || m.Header.Get("From") != "<no-reply@usher.example>" || !strings.Contains(string(body), "Your code is 123456") {
			t.Errorf("mail: %q", mails[0])
		}
		for i := 0; count(t, o) != 0; i++ {
			if i == 500 {
				t.Fatal("a delivered message stays")
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func TestDeadServerLosesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close() // nobody listens
		o, clock := newOutbox(t, open(schema), &SMTP{Addr: addr, From: "no-reply@usher.example", TLS: "none"})
		enqueue(t, o, "ada@example.org", nil)
		if n, err := deliverAll(t, o); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if count(t, o) != 1 {
			t.Fatal("the message is lost")
		}
		if n, _ := deliverAll(t, o); n != 0 {
			t.Error("tried again at once")
		}
		var server mailServer
		server.listen(t, addr)
		clock.pass(time.Minute)
		if n, err := deliverAll(t, o); n != 1 || err != nil || len(server.got()) != 1 || count(t, o) != 0 {
			t.Errorf("after the server is back: %d tried, %v, %d mails, %d left", n, err, len(server.got()), count(t, o))
		}
	})
}

func TestRefusals(t *testing.T) {
	d := dbtest.Open(t, dbtest.SQLite(t), schema)
	server := mailServer{refuse: &smtp.SMTPError{Code: 450, Message: "try later"}}
	o, clock := newOutbox(t, d, &SMTP{Addr: server.listen(t, "127.0.0.1:0"), From: "no-reply@usher.example", TLS: "none"})
	enqueue(t, o, "ada@example.org", nil)
	if deliverAll(t, o); count(t, o) != 1 {
		t.Error("a temporary refusal gives up")
	}
	server.mu.Lock()
	server.refuse = &smtp.SMTPError{Code: 550, Message: "no such user"}
	server.mu.Unlock()
	clock.pass(time.Hour)
	if deliverAll(t, o); count(t, o) != 0 {
		t.Error("a permanent refusal is tried again")
	}
	enqueue(t, o, "not an address\r\nBcc: eve@example.org", nil)
	if deliverAll(t, o); count(t, o) != 0 || len(server.got()) != 0 {
		t.Error("an address with a line break is not refused")
	}
}

// TestNoHeaderIsSmuggled: none of what users and administrators choose can add a header or a recipient.
func TestNoHeaderIsSmuggled(t *testing.T) {
	const evil = "x\r\nBcc: eve@example.org\r\n\r\nbody"
	for name, m := range map[string]Message{
		"subject":         {To: "ada@example.org", Subject: evil},
		"from":            {To: "ada@example.org", From: "a@usher.example\r\nBcc: eve@example.org"},
		"name of from":    {To: "ada@example.org", From: "\"a\r\nBcc: eve@example.org\" <a@usher.example>"},
		"encoded from":    {To: "ada@example.org", From: "=?utf-8?q?a=0D=0ABcc:_eve@example.org?= <a@usher.example>"},
		"reply to":        {To: "ada@example.org", ReplyTo: "a@usher.example\nBcc: eve@example.org"},
		"two recipients":  {To: "ada@example.org, eve@example.org"},
		"group":           {To: "all: ada@example.org, eve@example.org;"},
		"quoted local":    {To: "\"ada@example.org> RCPT TO:<eve\"@example.org"},
		"body":            {To: "ada@example.org", Body: "a\r\n.\r\nMAIL FROM:<x@y>\r\nRCPT TO:<eve@example.org>\r\n"},
		"line end in to":  {To: "ada@example.org\r\nBcc: eve@example.org"},
		"blank and blank": {To: "ada@example.org eve@example.org"},
	} {
		var server mailServer
		s := &SMTP{Addr: server.listen(t, "127.0.0.1:0"), From: "no-reply@usher.example", TLS: "none"}
		err := s.Send(t.Context(), m)
		if err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
		for _, text := range server.got() {
			got, err := mail.ReadMessage(strings.NewReader(text))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if to, err := got.Header.AddressList("To"); got.Header.Get("Bcc") != "" || len(to) != 1 || err != nil {
				t.Errorf("%s: %q", name, text)
			}
		}
		if n := len(server.rcpts()); n > 1 || n == 1 && server.rcpts()[0] == "eve@example.org" {
			t.Errorf("%s: sent to %q", name, server.rcpts())
		}
	}
}

func TestRolledBackIsNotSent(t *testing.T) {
	d := dbtest.Open(t, dbtest.SQLite(t), schema)
	o, _ := newOutbox(t, d, &SMTP{})
	enqueue(t, o, "ada@example.org", errors.New("no"))
	if count(t, o) != 0 {
		t.Error("the message outlives its transaction")
	}
}

// twice is a sender that counts.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) Send(_ context.Context, m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[m.To]++
	return nil
}

func TestTwoNodesSendOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		d := open(schema)
		sent := &counter{n: map[string]int{}}
		a, _ := newOutbox(t, d, sent)
		b, _ := newOutbox(t, d, sent)
		for i := range 20 {
			enqueue(t, a, fmt.Sprintf("user%d@example.org", i), nil)
		}
		var wg sync.WaitGroup
		for _, o := range []*Outbox{a, b} {
			wg.Go(func() {
				if _, err := deliverAll(t, o); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range 20 {
			if to := fmt.Sprintf("user%d@example.org", i); sent.n[to] != 1 {
				t.Errorf("%s: %d times", to, sent.n[to])
			}
		}
	})
}

// stuck is a sender that does not come to an end with some messages, as one whose server does not answer.
type stuck struct {
	on    func(Message) bool
	sent  chan string
	ended chan struct{}
}

func (s *stuck) Send(ctx context.Context, m Message) error {
	if s.on(m) {
		select {
		case <-s.ended:
		case <-ctx.Done():
		}
		return errors.New("no answer")
	}
	s.sent <- m.To
	return nil
}

// TestStuckMessageHoldsUpNobody: other mails pass one that the server does not come to an end with, and SMS pass a mail server
// that answers nobody.
func TestStuckMessageHoldsUpNobody(t *testing.T) {
	for name, on := range map[string]func(Message) bool{
		"one mail":  func(m Message) bool { return m.To == "stuck@example.org" },
		"all mails": func(m Message) bool { return m.Medium == "EMAIL" },
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
				sender := &stuck{on: on, sent: make(chan string, 100), ended: make(chan struct{})}
				o, _ := newOutbox(t, open(schema), sender)
				o.SMS = sender
				enqueue(t, o, "stuck@example.org", nil)
				for i := range 2 * atOnce {
					enqueue(t, o, fmt.Sprintf("user%d@example.org", i), nil)
				}
				want := 2 * atOnce
				if on(Message{Medium: "EMAIL"}) {
					want = 0
				}
				if err := o.DB.Tx(t.Context(), func(tx *db.Tx) error {
					return o.Enqueue(t.Context(), tx, Message{Medium: "SMS", To: "+15550001234", Body: "123456"})
				}); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { o.Run(ctx) })
				defer running.Wait()
				defer cancel()
				for i := range want + 1 {
					select {
					case <-sender.sent:
					case <-time.After(10 * time.Second):
						t.Fatalf("%d of %d messages are delivered", i, want+1)
					}
				}
			})
		})
	}
}

func TestInbox(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		o, clock := newOutbox(t, open(schema), nil)
		enqueue(t, o, "ada@example.org", nil)
		clock.pass(time.Second)
		enqueue(t, o, "grace@example.org", nil)
		kept, err := o.Inbox(t.Context(), 10)
		if err != nil || len(kept) != 2 || kept[0].To != "grace@example.org" || kept[1].Body != "Your code is 123456" {
			t.Fatalf("inbox: %+v %v", kept, err)
		}
		raw, err := db.One[[]byte](t.Context(), o.DB, `SELECT message FROM messages LIMIT 1`)
		if err != nil || strings.Contains(string(raw), "123456") {
			t.Errorf("a code is in the clear at rest: %q %v", raw, err)
		}
		clock.pass(keptFor)
		if err := o.prune(t.Context()); err != nil || count(t, o) != 1 {
			t.Errorf("%d messages after a day, want the younger: %v", count(t, o), err)
		}
	})
}

// TestDecoys: what is for nobody is taken up but not sent, is not in the inbox, and does not stay.
func TestDecoys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		sent := &counter{n: map[string]int{}}
		o, _ := newOutbox(t, open(schema), sent)
		decoy := func() {
			if err := o.DB.Tx(t.Context(), func(tx *db.Tx) error {
				return o.Enqueue(t.Context(), tx, Message{Medium: "EMAIL", To: "nobody@example.org", Decoy: true})
			}); err != nil {
				t.Fatal(err)
			}
		}
		decoy()
		enqueue(t, o, "ada@example.org", nil)
		if n, err := deliverAll(t, o); n != 2 || err != nil || len(sent.n) != 1 || sent.n["ada@example.org"] != 1 || count(t, o) != 0 {
			t.Errorf("%d taken up, %v, sent %v, %d left", n, err, sent.n, count(t, o))
		}
		o.Email = nil
		decoy()
		enqueue(t, o, "ada@example.org", nil)
		if kept, err := o.Inbox(t.Context(), 10); len(kept) != 1 || err != nil || kept[0].To != "ada@example.org" {
			t.Errorf("inbox: %+v %v", kept, err)
		}
		if err := o.prune(t.Context()); err != nil || count(t, o) != 1 {
			t.Errorf("%d messages after pruning: %v", count(t, o), err)
		}
	})
}

// TestFormerOutbox: messages that waited in a data folder of the first version are delivered.
func TestFormerOutbox(t *testing.T) {
	first, err := Schema.ReadFile("schema/0001_outbox.sql")
	if err != nil {
		t.Fatal(err)
	}
	for name, fresh := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		t.Run(name, func(t *testing.T) {
			url := fresh(t)
			d, err := db.Open(t.Context(), db.Config{URL: url, Schemas: []db.Schema{{Name: "notify", Files: fstest.MapFS{"schema/0001_outbox.sql": {Data: first}}}}})
			if err != nil {
				t.Fatal(err)
			}
			var server mailServer
			o, _ := newOutbox(t, d, &SMTP{Addr: server.listen(t, "127.0.0.1:0"), From: "no-reply@usher.example", TLS: "none"})
			text, _ := json.Marshal(Message{Medium: "EMAIL", To: "ada@example.org", Subject: "s", Body: "b", Created: o.Now()})
			err = d.Tx(t.Context(), func(tx *db.Tx) error {
				_, err := tx.ExecContext(t.Context(), `INSERT INTO outbox (id, kept, due, attempts, message) VALUES ('id', 0, 0, 0, $1)`, o.Box.Seal(text, []byte("id")))
				return err
			})
			if err := errors.Join(err, d.Close()); err != nil {
				t.Fatal(err)
			}
			o.DB = dbtest.Open(t, url, schema)
			if n, err := deliverAll(t, o); n != 1 || err != nil || len(server.got()) != 1 || count(t, o) != 0 {
				t.Errorf("%d tried, %v, %d mails, %d left", n, err, len(server.got()), count(t, o))
			}
		})
	}
}
