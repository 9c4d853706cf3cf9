package userpool

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
	"usher/internal/srp"
)

// A client with PreventUserExistenceErrors does not tell whether a user exists (developer guide, "Managing user existence
// error responses"). For a name that nobody has, the operations go on with an invented user and do the same work: it has an
// id, a salt and a place where codes would go, all derived from the name under the pool's secret and therefore the same
// each time (RFC 5054 section 2.5.1.3). Its codes are counted like anybody's and never sent; no password is right for it.

// evenStep is the step of the times, counted from the beginning of an operation, at which answers leave that could tell who exists.
// It is several times what the work takes, of which some microseconds hang on whether there is a user.
const evenStep = 5 * time.Millisecond

// evenly waits for the next such time. It ends with ctx.
func evenly(ctx context.Context, begun time.Time) {
	timer := time.NewTimer(evenStep - time.Since(begun)%evenStep)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// requested returns the user whom an unsigned request names, once the request has shown that it comes from client c: hash is
// its secret hash, for the name as it was sent or for the username. unknown is the error where there is no such user; a
// client that hides who exists goes on with fake, an invented one. For such a client he is made in any case and stands in the
// database's answer where there is nobody, so that it takes no time to tell.
func (s *Service) requested(ctx context.Context, q db.Querier, p *pool, c *client, name string, hash *string, unknown error) (u, fake *user, err error) {
	fake = p.invent(name)
	if !c.hidesUsers() || strings.Contains(name, "\x00") { // PostgreSQL refuses to compare with it
		u, err = s.findUser(ctx, q, p, name)
	} else {
		query, args := p.userByName(name)
		u, err = s.userOr(ctx, q, p, fake, query, args...)
	}
	u, err = c.requested(u, err, fake, name, hash, unknown)
	return u, fake, err
}

// requested is the answer of Service.requested to what the search for the user has found.
func (c *client) requested(u *user, err error, fake *user, name string, hash *string, unknown error) (*user, error) {
	badHash := c.checkSecretHash(hash, name)
	switch {
	case errors.Is(err, cognitoidp.ErrUserNotFound) && badHash != nil:
		return nil, badHash
	case errors.Is(err, cognitoidp.ErrUserNotFound) && c.hidesUsers():
		return fake, nil
	case errors.Is(err, cognitoidp.ErrUserNotFound):
		return nil, unknown
	case err == nil && badHash != nil:
		err = c.checkSecretHash(hash, u.Username)
	}
	if err != nil {
		return nil, err
	}
	return u, nil
}

// invent returns the user that stands for a name which nobody has. His name for SRP is the name that was asked for where
// usernames are names; where they are UUIDs, or the name has the form of an alias, it is one.
func (p *pool) invent(name string) *user {
	fake := p.fake(name)
	h := hex.EncodeToString(fake.ID[:])
	u := &user{userRow: userRow{Key: p.key(name), Username: p.key(name), Status: cognitoidp.UserStatusTypeConfirmed, Enabled: true, Salt: fake.Salt}, fakeVerifier: fake.Verifier}
	u.Sub = strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
	if len(p.Settings.UsernameAttributes) > 0 || len(p.Settings.AliasAttributes) > 0 && strings.ContainsAny(name, "@+") {
		u.Username = u.Sub
	}
	return u
}

func (p *pool) fake(name string) srp.Fake {
	fake := srp.NewFake(p.keys.secret, p.ID, p.key(name))
	fake.ID[6], fake.ID[8] = fake.ID[6]&0x0f|0x40, fake.ID[8]&0x3f|0x80 // as ids.Sub
	return fake
}

// invented reports whether the user exists in no pool.
func (u *user) invented() bool { return u.PoolID == "" }

// inventedDelivery is where a code for an invented user is said to go: the name itself when it is an address, or else an
// address made up, by the first attribute of the pool that would be used.
func (p *pool) inventedDelivery(name string) delivery {
	switch {
	case strings.Contains(name, "@"):
		return p.inventedAddress(attrEmail, name)
	case strings.HasPrefix(name, "+"), p.autoVerifies(attrPhone) && !p.autoVerifies(attrEmail):
		return p.inventedAddress(attrPhone, name)
	}
	return p.inventedAddress(attrEmail, name)
}

// unsentDelivery is where a code is said to go that is not sent to u, whom an unsigned request calls name. Every operation
// names the same place for the same name, as for one that nobody has: of a user who exists, it is the place where another
// operation would send him a code.
func (p *pool) unsentDelivery(u *user, name string) delivery {
	made := p.inventedDelivery(name)
	if u.invented() || !u.Enabled {
		return made
	}
	if to, err := p.recoveryDelivery(u); err == nil {
		return to
	}
	if to, sends := p.confirmationDelivery(u); sends {
		return to
	}
	for _, attr := range []string{attrEmail, attrPhone} {
		if value := u.attributes()[attr]; value != "" {
			return delivery{attr, value}
		}
	}
	return made
}

// inventedAddress is the e-mail address or phone number that an invented user is said to have.
func (p *pool) inventedAddress(attr, name string) delivery {
	if attr == attrEmail && strings.Contains(name, "@") || attr == attrPhone && strings.HasPrefix(name, "+") {
		return delivery{attr, name}
	}
	made := p.keys.mac("delivery", p.key(name))
	if attr == attrPhone {
		number := []byte("+1")
		for _, b := range made[2:12] {
			number = append(number, '0'+b%10)
		}
		return delivery{attrPhone, string(number)}
	}
	letter := func(b byte) string { return string(rune('a' + b%26)) }
	return delivery{attrEmail, letter(made[0]) + "@" + letter(made[1])}
}

// Failed sign-ins of users who exist are counted in their row, those of invented ones beside the other limits: both are
// locked out alike.
const (
	inventedFailures = "sign-in"
	failuresKept     = int64(24 * time.Hour / time.Microsecond) // from the last one to the end of the row
)

type rateRow struct{ Count, Expires int64 }

// userOr is Service.userOr for a sign-in.
func (a *signIn) userOr(ctx context.Context, q db.Querier, fake *user, query string, args ...any) (*user, error) {
	return a.Service.userOr(ctx, q, a.pool, fake, a.client.admitted(query), args...)
}

// admitted is a query for a user without those whom the client may not know to sign in: to one that hides who exists, a
// disabled user is none.
func (c *client) admitted(query string) string {
	if c.hidesUsers() {
		return `SELECT * FROM (` + query + `) AS of_any_state WHERE enabled`
	}
	return query
}

// userOr returns the user that a query finds, and if there is none the failures of the invented user fake who stands for him.
// Either is one row of one statement, read alike, so that it takes no time to tell which it was.
func (s *Service) userOr(ctx context.Context, q db.Querier, p *pool, fake *user, query string, args ...any) (*user, error) {
	query, args = s.orFailures(p, fake, query, args)
	row, err := db.One[userRow](ctx, q, query, args...)
	if err != nil {
		return nil, err
	}
	u := p.user(row)
	if u.invented() {
		fake.Failures, fake.FailedAt = u.Failures, max(u.FailedAt-failuresKept, 0)
		return nil, errUserNotFound
	}
	return u, nil
}

func (s *Service) orFailures(p *pool, fake *user, query string, args []any) (string, []any) {
	n := len(args)
	arg := func(i int) string { return "$" + strconv.Itoa(n+i) }
	return `SELECT ` + userColumns + ` FROM (SELECT 0 AS rank, found.* FROM (` + query + `) AS found UNION ALL
		SELECT 1, '', ` + arg(1) + `, ` + arg(1) + `, ` + arg(2) + `, 'CONFIRMED', TRUE, 0, 0, 0, 0, COALESCE(r.count, 0), COALESCE(r.expires, 0), ` + arg(3) + `, ` + arg(4) + `, 0, ` + arg(5) + `
		FROM (SELECT 1) AS o LEFT JOIN user_rates r ON r.pool_id = ` + arg(6) + ` AND r.sub = ` + arg(2) + ` AND r.kind = '` + inventedFailures + `') AS u ORDER BY u.rank LIMIT 1`,
		append(args, fake.Username, fake.Sub, fake.Salt, s.decoyVerifier, decoyDoc, p.ID)
}

// decoyDoc is the document of a row that stands for no user.
var decoyDoc = db.JSON[userDoc]{V: userDoc{Attributes: map[string]string{attrEmail: "nobody@example.com", attrEmailVerified: "true"}}}

// claimed returns the user whom the first request of a sign-in names, and the one that stands for him where he is not to be
// known. The second is made in any case, so that it takes no time to tell.
func (a *signIn) claimed(ctx context.Context, name string) (u, fake *user, err error) {
	fake = a.pool.invent(name)
	if strings.Contains(name, "\x00") {
		err = errUserNotFound // PostgreSQL refuses to compare with it
	} else {
		query, args := a.pool.userByName(name)
		u, err = a.userOr(ctx, a.DB, fake, query, args...)
	}
	u, err = a.client.requested(u, err, fake, name, a.secretHash(), errUserNotFound)
	return u, fake, err
}

func (a *signIn) writeInventedFailures(ctx context.Context, tx *db.Tx, u *user, now int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO user_rates (pool_id, sub, kind, count, expires) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (pool_id, sub, kind) DO UPDATE SET expires = excluded.expires,
			count = CASE WHEN user_rates.count = $6 AND user_rates.expires = $7 THEN excluded.count ELSE user_rates.count + 1 END`,
		a.pool.ID, u.Sub, inventedFailures, a.failures+1, now+failuresKept, u.Failures, u.FailedAt+failuresKept)
	return err
}
