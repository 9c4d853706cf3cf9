package notify

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"usher/internal/db"
	"usher/internal/ids"
	"usher/internal/seal"
)

// Schema holds the migrations of the outbox.
//
//go:embed schema/*.sql
var Schema embed.FS

// Sender delivers one message. An error that wraps ErrRefused is final; any other is tried again.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// ErrRefused says that a message will not be accepted however often it is tried.
var ErrRefused = errors.New("message refused")

const (
	keptFor   = 24 * time.Hour // the longest life of a code in a message
	keptMost  = 1000           // kept messages, the newest
	giveUp    = 24 * time.Hour
	inHand    = 2 * time.Minute // how long a sender may take before another node tries the same message
	batchMost = 32
	atOnce    = 8 // messages of one way that are being sent
)

// What becomes of a message, in the column kept.
const (
	byEmail   = 0
	forInbox  = 1
	forNobody = 2 // a decoy where others are kept: goes with the next pruning
	bySMS     = 3 // and topics
)

// Outbox keeps messages in the database until they are delivered. A message is written in the transaction that causes it,
// so that neither a crash nor a dead mail server loses one; delivery is at least once, in the background.
type Outbox struct {
	DB    *db.DB
	Box   *seal.Box // messages hold one-time codes: sealed at rest
	Email Sender    // nil: e-mail is kept for the inbox
	SMS   Sender    // nil: SMS is kept for the inbox
	Now   func() time.Time
	Log   *slog.Logger

	wake map[int]chan struct{} // by what becomes of a message
}

// New returns o, ready for Enqueue and Run.
func New(o Outbox) *Outbox {
	o.wake = map[int]chan struct{}{byEmail: make(chan struct{}, 1), bySMS: make(chan struct{}, 1)}
	return &o
}

func (o *Outbox) sender(m Message) Sender {
	switch m.Medium {
	case "SMS":
		return o.SMS
	case Topic: // an SNS that sends SMS has topics too
		if topics, ok := o.SMS.(*SNS); ok {
			return topics
		}
		return nil
	}
	return o.Email
}

// Enqueue writes m in the caller's transaction; it is sent after that has committed.
func (o *Outbox) Enqueue(ctx context.Context, tx *db.Tx, m Message) error {
	id := ids.Row(o.Now())
	m.Created = o.Now()
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	kept := byEmail
	if m.Medium == "SMS" || m.Medium == Topic {
		kept = bySMS
	}
	if o.sender(m) == nil {
		kept = forInbox
		if m.Decoy {
			kept = forNobody
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO messages (id, kept, due, attempts, message) VALUES ($1, $2, $3, 0, $4)`,
		id, kept, o.Now().UnixMicro(), o.Box.Seal(text, []byte(id)))
	if wake := o.wake[kept]; err == nil && wake != nil {
		tx.AfterCommit(func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
	}
	return err
}

type outboxRow struct {
	ID       string
	Attempts int64
	Message  []byte
}

func (o *Outbox) open(row outboxRow) (Message, error) {
	var m Message
	text, err := o.Box.Open(row.Message, []byte(row.ID))
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// Run delivers until ctx ends: e-mail and SMS each on its own, so that one does not wait for the other.
func (o *Outbox) Run(ctx context.Context) {
	var ways sync.WaitGroup
	for kept := range o.wake {
		ways.Go(func() { o.run(ctx, kept) })
	}
	ways.Wait()
}

func (o *Outbox) run(ctx context.Context, kept int) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	sending := newSending()
	defer sending.Wait()
	for {
		for n := batchMost; n == batchMost && ctx.Err() == nil; {
			var err error
			if n, err = o.deliver(ctx, kept, sending); err != nil && ctx.Err() == nil {
				o.Log.Error("outbox", "error", err)
			}
		}
		if kept == byEmail {
			if err := o.prune(ctx); err != nil && ctx.Err() == nil {
				o.Log.Error("outbox: prune", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-o.wake[kept]:
		case <-tick.C:
		}
	}
}

// sending is the messages that are being sent: a server that takes its time, or never answers, holds up as few others.
type sending struct {
	sync.WaitGroup
	slots chan struct{}
}

func newSending() *sending { return &sending{slots: make(chan struct{}, atOnce)} }

// deliver takes the messages that are due in hand, begins to send each as soon as there is a slot for it, and says how many
// there were.
func (o *Outbox) deliver(ctx context.Context, kept int, sending *sending) (int, error) {
	due, err := db.All[outboxRow](ctx, o.DB, `SELECT id, attempts, message FROM messages WHERE kept = `+strconv.Itoa(kept)+` AND due <= $1 ORDER BY due LIMIT $2`,
		o.Now().UnixMicro(), batchMost)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	for _, row := range due {
		select {
		case sending.slots <- struct{}{}:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		taken, err := o.take(ctx, row)
		if err != nil || !taken { // another node has it
			<-sending.slots
			if err != nil {
				return 0, err
			}
			continue
		}
		sending.Go(func() {
			defer func() { <-sending.slots }()
			if err := o.sendOne(ctx, row); err != nil && ctx.Err() == nil {
				o.Log.Error("outbox", "error", err)
			}
		})
	}
	return len(due), nil
}

// take takes a message in hand, unless another node has. It counts as an attempt, so that a message which kills its sender
// does not come back for ever.
func (o *Outbox) take(ctx context.Context, row outboxRow) (taken bool, err error) {
	err = o.DB.Tx(ctx, func(tx *db.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE messages SET due = $1, attempts = attempts + 1 WHERE id = $2 AND attempts = $3`,
			o.Now().Add(inHand).UnixMicro(), row.ID, row.Attempts)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		taken = n == 1
		return err
	})
	return taken, err
}

func (o *Outbox) sendOne(ctx context.Context, row outboxRow) error {
	m, err := o.open(row)
	if err == nil && !m.Decoy {
		if s := o.sender(m); s == nil {
			err = fmt.Errorf("%w: no sender for %s", ErrRefused, m.Medium)
		} else {
			err = s.Send(ctx, m)
		}
	} else if err != nil {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	switch {
	case ctx.Err() != nil && err != nil:
		return ctx.Err()
	case err == nil:
		return o.remove(ctx, row.ID)
	case errors.Is(err, ErrRefused) || o.Now().Sub(m.Created) > giveUp:
		o.Log.Error("outbox: message given up", "id", row.ID, "pool", m.PoolID, "purpose", m.Purpose, "attempts", row.Attempts+1, "error", err)
		return o.remove(ctx, row.ID)
	}
	o.Log.Warn("outbox: message not delivered, will be tried again", "id", row.ID, "pool", m.PoolID, "purpose", m.Purpose, "attempts", row.Attempts+1, "error", err)
	wait := min(5*time.Second<<min(row.Attempts, 10), 15*time.Minute)
	return o.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE messages SET due = $1 WHERE id = $2`, o.Now().Add(wait).UnixMicro(), row.ID)
		return err
	})
}

func (o *Outbox) remove(ctx context.Context, id string) error {
	return o.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM messages WHERE id = $1`, id)
		return err
	})
}

// prune bounds what the inbox keeps, and drops decoys.
func (o *Outbox) prune(ctx context.Context) error {
	cut, err := db.One[string](ctx, o.DB, `SELECT COALESCE((SELECT id FROM messages WHERE kept = 1 ORDER BY id DESC LIMIT 1 OFFSET $1), '')`, keptMost)
	if err != nil {
		return err
	}
	old := o.Now().Add(-keptFor).UnixMicro()
	stale, err := db.One[int64](ctx, o.DB, `SELECT COUNT(*) FROM (SELECT 1 AS x FROM messages WHERE kept = 2 OR kept = 1 AND (id <= $1 OR due < $2) LIMIT 1) AS s`, cut, old)
	if err != nil || stale == 0 {
		return err
	}
	return o.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM messages WHERE kept = 2 OR kept = 1 AND (id <= $1 OR due < $2)`, cut, old)
		return err
	})
}

// Inbox returns the kept messages, newest first, at most limit.
func (o *Outbox) Inbox(ctx context.Context, limit int) ([]Message, error) {
	rows, err := db.All[outboxRow](ctx, o.DB, `SELECT id, attempts, message FROM messages WHERE kept = 1 ORDER BY id DESC LIMIT $1`, min(limit, keptMost))
	if err != nil {
		return nil, err
	}
	kept := make([]Message, 0, len(rows))
	for _, row := range rows {
		m, err := o.open(row)
		if err != nil {
			return nil, err
		}
		kept = append(kept, m)
	}
	return kept, nil
}
