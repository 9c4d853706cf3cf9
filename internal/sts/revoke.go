package sts

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/policy"
)

// Schema holds the migrations of the table of revocations.
//
//go:embed schema/*.sql
var Schema embed.FS

// SubjectKind says what the sessions that are revoked have in common. The numbers are stored.
type SubjectKind int

const (
	// SessionsOfRole are those of a role, by its unique id.
	SessionsOfRole SubjectKind = iota + 1
	// SessionsOfUser are those that an IAM user got by GetSessionToken and GetFederationToken, by his unique id, or the root
	// user by the account id.
	SessionsOfUser
	// SessionsOfKey are those got with a long-term access key, by its id.
	SessionsOfKey
	// OneSession is the one with a temporary access key id.
	OneSession
	// SessionsOfIdentity are those of a Cognito identity, by its id.
	SessionsOfIdentity
	// SessionsOfUserSub are those that a user of a user pool got, by his sub.
	SessionsOfUserSub
	// SessionsOfSignIn are those that one sign-in to a user pool led to, by the origin_jti of its tokens.
	SessionsOfSignIn
)

// Subject names sessions to revoke.
type Subject struct {
	Kind SubjectKind
	ID   string
}

const (
	// revocationLife is longer than any session lives (GetSessionToken: 36 hours).
	revocationLife = 37 * time.Hour

	revocationShards = 256
	epochScope       = "sts/epoch"
)

// revocationScopes are the names of the shards in the caches.
var revocationScopes = func() (scopes [revocationShards]string) {
	for i := range scopes {
		scopes[i] = fmt.Sprintf("sts/revocations/%d", i)
	}
	return scopes
}()

// shard spreads subjects evenly, the same on every node: FNV-1a.
func (sub Subject) shard() int {
	h := uint32(2166136261)
	for i := range len(sub.ID) {
		h = (h ^ uint32(sub.ID[i])) * 16777619
	}
	return int(h % revocationShards)
}

// Revoke ends all sessions of the subject that were issued until now, from the next request on, on every node. Sessions that
// are issued afterwards live. Before and after are told by a count and not by clocks, which nodes may have set differently.
// Roles that a revoked session has assumed are sessions of their own and go on, as on AWS.
func (s *Service) Revoke(ctx context.Context, sub Subject) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error { return s.RevokeIn(ctx, tx, sub) })
}

// RevokeIn is Revoke as part of a transaction.
func (s *Service) RevokeIn(ctx context.Context, tx *db.Tx, sub Subject) error {
	if sub.ID == "" {
		return errors.New("sts: revocation of nothing")
	}
	epoch, err := db.One[int64](ctx, tx, `SELECT epoch + 1 FROM sts_epoch WHERE one = 1`)
	if err != nil {
		return err
	}
	if err := db.Changed(tx.ExecContext(ctx, `UPDATE sts_epoch SET epoch = $1 WHERE one = 1 AND epoch < $1`, epoch)); err != nil {
		return err
	}
	tx.Invalidate(epochScope, revocationScopes[sub.shard()])
	if sub.Kind == SessionsOfUser || sub.Kind == SessionsOfRole {
		if err := s.IAM.EndDelegations(ctx, tx, sub.ID); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO sts_revocations (kind, id, shard, epoch, expires) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (kind, id) DO UPDATE SET epoch = excluded.epoch, expires = excluded.expires`,
		int64(sub.Kind), sub.ID, sub.shard(), epoch, s.Now().Add(revocationLife).Unix())
	return err
}

// Sweep deletes revocations that no session is left for, and SAML assertions that have expired.
func (s *Service) Sweep(ctx context.Context) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		for _, table := range []string{"sts_revocations", "sts_saml_assertions"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE expires < $1`, s.Now().Unix()); err != nil {
				return err
			}
		}
		return nil
	})
}

// epoch is how many revocations there have been. It comes from memory.
func (s *Service) epoch(ctx context.Context) (int64, error) {
	return s.epochs.Get(ctx, struct{}{}, epochScope, func(ctx context.Context) (int64, error) {
		return db.One[int64](ctx, s.DB, `SELECT epoch FROM sts_epoch WHERE one = 1`)
	})
}

// checkRevoked refuses a session that was revoked since it was issued; id is its access key id. To its holder it has expired,
// so that SDKs get a new one if they may. What is revoked comes from memory.
func (s *Service) checkRevoked(ctx context.Context, id string, b *bearer) error {
	owner := SessionsOfUser
	if b.kind == policy.RoleSession {
		owner = SessionsOfRole
	}
	for _, sub := range [...]Subject{{owner, b.id}, {OneSession, id}, {SessionsOfKey, b.session.ParentKey},
		{SessionsOfIdentity, b.session.IdentityID}, {SessionsOfUserSub, b.session.UserSub}, {SessionsOfSignIn, b.session.OriginJTI}} {
		if sub.ID == "" {
			continue
		}
		revoked, err := s.revoked(ctx, sub.shard())
		if err != nil {
			return err
		}
		if revoked[sub] > b.epoch {
			return awsapi.ErrExpiredToken.With(errors.New("sts: the session was revoked"))
		}
	}
	return nil
}

// revoked is one shard: subjects, and the epochs of their revocation.
func (s *Service) revoked(ctx context.Context, shard int) (map[Subject]int64, error) {
	return s.revocations.Get(ctx, shard, revocationScopes[shard], func(ctx context.Context) (map[Subject]int64, error) {
		type row struct {
			Kind  int64
			ID    string
			Epoch int64
		}
		rows, err := db.All[row](ctx, s.DB, `SELECT kind, id, epoch FROM sts_revocations WHERE shard = $1 AND expires >= $2`, shard, s.Now().Unix())
		if err != nil || len(rows) == 0 {
			return nil, err
		}
		m := make(map[Subject]int64, len(rows))
		for _, r := range rows {
			m[Subject{SubjectKind(r.Kind), r.ID}] = r.Epoch
		}
		return m, nil
	})
}

// warm reads all that is revoked, so that no request reads anything but what changes.
func (s *Service) warm(ctx context.Context) error {
	_, err := s.epoch(ctx)
	for shard := 0; shard < revocationShards && err == nil; shard++ {
		_, err = s.revoked(ctx, shard)
	}
	return err
}
