package access

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/policy"
)

// TestQuestions: a question is answered by the node that knows, stays for a minute at most, and is not needed where there is one
// node.
func TestQuestions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		var shift atomic.Int64
		d := open(db.Schema{Name: "access", Files: Schema})
		now := func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
		asks := &Questions{DB: d, Denials: NewDenials(), Now: now}
		knows := &Questions{DB: d, Denials: NewDenials(), Now: now}
		request := policy.Request{Principal: policy.PrincipalFromARN("arn:aws:iam::111122223333:user/alice"), Action: "s3:GetObject", Resource: "arn:aws:s3:::box/k"}
		knows.Denials.Add(awsapi.WithRequestID(t.Context(), "one"), now(), request, policy.Policies{}, "a note")

		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			knows.Run(ctx, func(err error) { t.Error(err) })
		}()
		told, err := asks.Explain(t.Context(), "one")
		if d.Shared() != (len(told) == 1) || err != nil {
			t.Errorf("told %+v, %v", told, err)
		}
		if len(told) == 1 && (told[0].Note != "a note" || told[0].Action != "s3:GetObject" || told[0].Caller != "arn:aws:iam::111122223333:user/alice") {
			t.Errorf("told %+v", told)
		}
		stop()
		<-done
		count := func() int {
			n, err := db.One[int64](t.Context(), d, `SELECT COUNT(*) FROM access_questions`)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		if n := count(); d.Shared() != (n == 1) {
			t.Errorf("%d questions", n)
		}
		shift.Store(int64(2 * time.Minute))
		if err := asks.answer(t.Context()); err != nil || count() != 0 {
			t.Errorf("%d questions after two minutes, %v", count(), err)
		}
	})
}
