package access

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"usher/internal/awsapi"
	"usher/internal/db"
)

// Schema is the table of questions.
//
//go:embed schema/*.sql
var Schema embed.FS

// Told says why one action of a request was denied, or, without a resource, what the request itself was answered and why.
type Told struct {
	At                       time.Time
	Caller, Action, Resource string
	// Note is what the policies cannot say, such as that a role does not exist; of a request, the error.
	Note string
	// Text is what became of every statement that the request came near to, in lines; of a request, all that is known.
	Text string
}

// Questions explains denials of all nodes that share a database. Denials stay in the memory of the node that answered: who asks
// for one that he does not have leaves a question in the database, and the node that has it answers. So a denial costs no write,
// however many there are.
type Questions struct {
	DB      *db.DB
	Denials *Denials
	Now     func() time.Time
}

const (
	lookEvery  = time.Second            // how often a node looks for questions
	askedEvery = 100 * time.Millisecond // how often the one who asked looks for the answer
	answerMost = 4 * time.Second        // how long the others have to answer
	questions  = 100                    // that a node looks at
)

// Explain tells why the request with an id was denied, once for each action that was; nothing if no node remembers it.
func (q *Questions) Explain(ctx context.Context, requestID string) ([]Told, error) {
	list := q.Denials.tell(requestID)
	if len(list) > 0 || requestID == "" || len(requestID) > 128 || !q.DB.Shared() {
		return list, nil
	}
	err := q.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO access_questions (request_id, asked) VALUES ($1, $2) ON CONFLICT (request_id) DO UPDATE SET asked = excluded.asked`,
			requestID, q.Now().UnixMicro())
		return err
	})
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, answerMost)
	defer cancel()
	tick := time.NewTicker(askedEvery)
	defer tick.Stop()
	for {
		found, err := db.All[db.JSON[[]Told]](ctx, q.DB, `SELECT answer FROM access_questions WHERE request_id = $1 AND answer IS NOT NULL`, requestID)
		if err != nil || len(found) > 0 {
			for _, f := range found {
				list = append(list, f.V...)
			}
			return list, err
		}
		select {
		case <-wait.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// Run answers the questions of other nodes until ctx ends. The error is one of the database, after which it goes on, for failed
// to log.
func (q *Questions) Run(ctx context.Context, failed func(error)) {
	if !q.DB.Shared() {
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := q.answer(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}
}

// answer answers what this node knows, and removes what nobody waits for any more.
func (q *Questions) answer(ctx context.Context) error {
	type question struct {
		RequestID string
		Asked     int64
		Answered  int64
	}
	list, err := db.All[question](ctx, q.DB, `SELECT request_id, asked, CASE WHEN answer IS NULL THEN 0 ELSE 1 END FROM access_questions ORDER BY asked DESC LIMIT $1`, questions)
	if err != nil {
		return err
	}
	old, stale := q.Now().Add(-15*answerMost).UnixMicro(), false
	answers := map[string][]Told{}
	for _, o := range list {
		stale = stale || o.Asked < old
		if o.Answered != 0 {
			continue
		}
		if told := q.Denials.tell(o.RequestID); len(told) > 0 {
			answers[o.RequestID] = told
		}
	}
	if len(answers) == 0 && !stale {
		return nil
	}
	return q.DB.Tx(ctx, func(tx *db.Tx) error {
		for id, told := range answers {
			if _, err := tx.ExecContext(ctx, `UPDATE access_questions SET answer = $1 WHERE request_id = $2`, db.JSON[[]Told]{V: told}, id); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM access_questions WHERE asked < $1`, old)
		return err
	})
}

// tell is Explain in words. The request itself comes first, where there is more to say than that policies denied it.
func (ds *Denials) tell(requestID string) []Told {
	var list []Told
	denied := ds.Explain(requestID)
	if f, ok := ds.failure(requestID); ok && (len(denied) == 0 || f.Cause != "" || len(f.Details) > 0) {
		list = append(list, tellFailure(&f))
	}
	for _, d := range denied {
		list = append(list, Told{d.At, d.Request.Principal.Display(), d.Request.Action, d.Request.Resource, d.Note, d.Explanation.String()})
	}
	return list
}

func tellFailure(f *awsapi.Failure) Told {
	t := Told{At: f.At, Caller: cmp.Or(f.Caller, "anonymous"), Action: f.Operation, Note: f.Code + ": " + f.Message}
	if f.Service != "" {
		t.Action = f.Service + ":" + f.Operation
	}
	var text strings.Builder
	if f.Cause != "" {
		fmt.Fprintf(&text, "because: %s\n", f.Cause)
	}
	for _, line := range slices.Concat(f.Details, f.Facts) {
		fmt.Fprintln(&text, line)
	}
	t.Text = text.String()
	return t
}
