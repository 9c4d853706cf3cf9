package iam

import (
	"context"
	"strings"
	"sync"
	"time"

	"usher/internal/api/iam"
	"usher/internal/db"
	"usher/internal/ids"
)

// keyRow is a row of iam_access_keys.
type keyRow struct {
	ID, AccountID, EntityID, Status string
	Created                         int64
	Secret                          []byte
}

const keyColumns = `id, account_id, entity_id, status, created, secret`

// CreateAccessKey implements iam:CreateAccessKey. The secret is shown this once.
func (s *Service) CreateAccessKey(ctx context.Context, in *iam.CreateAccessKeyRequest) (*iam.CreateAccessKeyResponse, error) {
	var key keyRow
	var secret string
	var userName *string
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		e, id, err := s.requireUser(ctx, tx, in.UserName)
		if err != nil {
			return err
		}
		if userName = nil; e != nil {
			userName = &e.Name
		}
		count, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_access_keys WHERE entity_id = $1`, id)
		if err != nil {
			return err
		}
		if count >= maxKeysPerUser {
			return quota("AccessKeysPerUser", maxKeysPerUser)
		}
		key, secret, err = s.insertKey(ctx, tx, account(ctx), id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iam.CreateAccessKeyResponse{AccessKey: &iam.AccessKey{
		UserName: userName, AccessKeyId: &key.ID, SecretAccessKey: &secret, Status: &key.Status, CreateDate: timeOf(key.Created),
	}}, nil
}

func (s *Service) insertKey(ctx context.Context, tx *db.Tx, account, owner string) (keyRow, string, error) {
	secret := ids.SecretKey()
	key := keyRow{ID: ids.AccessKey(account), AccountID: account, EntityID: owner, Status: iam.StatusTypeActive, Created: s.Now().UnixMicro()}
	key.Secret = s.Box.Seal([]byte(secret), []byte(key.ID))
	_, err := tx.ExecContext(ctx, `INSERT INTO iam_access_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
		key.ID, key.AccountID, key.EntityID, key.Status, key.Created, key.Secret)
	tx.Invalidate(keyScope(key.ID))
	return key, secret, err
}

// ListAccessKeys implements iam:ListAccessKeys.
func (s *Service) ListAccessKeys(ctx context.Context, in *iam.ListAccessKeysRequest) (*iam.ListAccessKeysResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	e, id, err := s.requireUser(ctx, s.DB, in.UserName)
	if err != nil {
		return nil, err
	}
	keys, err := db.All[keyRow](ctx, s.DB, `SELECT `+keyColumns+` FROM iam_access_keys WHERE entity_id = $1 AND id > $2 ORDER BY id LIMIT $3`, id, p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	out := &iam.ListAccessKeysResponse{}
	for _, k := range cut(p, keys, func(k keyRow) string { return k.ID }) {
		m := iam.AccessKeyMetadata{AccessKeyId: &k.ID, Status: &k.Status, CreateDate: timeOf(k.Created)}
		if e != nil {
			m.UserName = &e.Name
		}
		out.AccessKeyMetadata = append(out.AccessKeyMetadata, m)
	}
	out.IsTruncated, out.Marker = p.isTruncated(), p.marker()
	return out, nil
}

func noSuchKey(id string) error {
	return iam.ErrNoSuchEntity.Msg("The Access Key with id %s cannot be found.", id)
}

// UpdateAccessKey implements iam:UpdateAccessKey. An inactive key works no more from the next request on.
func (s *Service) UpdateAccessKey(ctx context.Context, in *iam.UpdateAccessKeyRequest) error {
	if *in.Status == iam.StatusTypeExpired {
		return iam.ErrInvalidInput.Msg("An access key cannot be set to the status Expired.")
	}
	return s.changeKey(ctx, in.UserName, *in.AccessKeyId, `UPDATE iam_access_keys SET status = $3 WHERE id = $1 AND entity_id = $2`, *in.Status)
}

// DeleteAccessKey implements iam:DeleteAccessKey.
func (s *Service) DeleteAccessKey(ctx context.Context, in *iam.DeleteAccessKeyRequest) error {
	return s.changeKey(ctx, in.UserName, *in.AccessKeyId, `DELETE FROM iam_access_keys WHERE id = $1 AND entity_id = $2`)
}

// changeKey runs a statement on the key $1 of the user $2.
func (s *Service) changeKey(ctx context.Context, userName *string, id, statement string, args ...any) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, owner, err := s.requireUser(ctx, tx, userName)
		if err != nil {
			return err
		}
		tx.Invalidate(keyScope(id))
		res, err := tx.ExecContext(ctx, statement, append([]any{id, owner}, args...)...)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			return noSuchKey(id)
		}
		return err
	})
}

// GetAccessKeyLastUsed implements iam:GetAccessKeyLastUsed.
func (s *Service) GetAccessKeyLastUsed(ctx context.Context, in *iam.GetAccessKeyLastUsedRequest) (*iam.GetAccessKeyLastUsedResponse, error) {
	key, err := db.One[keyRow](ctx, s.DB, `SELECT `+keyColumns+` FROM iam_access_keys WHERE id = $1 AND account_id = $2`, *in.AccessKeyId, account(ctx))
	if isNotFound(err) {
		return nil, noSuchKey(*in.AccessKeyId)
	} else if err != nil {
		return nil, err
	}
	out := &iam.GetAccessKeyLastUsedResponse{AccessKeyLastUsed: &iam.AccessKeyLastUsed{ServiceName: new("N/A"), Region: new("N/A")}}
	if e, err := s.entityByID(ctx, s.DB, key.EntityID); err == nil {
		out.UserName = &e.Name
	} else if !isNotFound(err) {
		return nil, err
	}
	use, ok := s.used.get(key.ID)
	if !ok {
		use, err = db.One[lastUse](ctx, s.DB, `SELECT used, service, region FROM iam_last_used WHERE access_key_id = $1`, key.ID)
		if isNotFound(err) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
	}
	out.AccessKeyLastUsed = &iam.AccessKeyLastUsed{LastUsedDate: timeOf(use.Used), ServiceName: &use.Service, Region: &use.Region}
	return out, nil
}

// lastUse is when and for what an access key or role was used last.
type lastUse struct {
	Used            int64 // µs
	Service, Region string
}

// usage holds what is not written yet.
type usage struct {
	mu      sync.Mutex
	pending map[string]lastUse // by id of the access key or role
}

func (u *usage) get(id string) (lastUse, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	use, ok := u.pending[id]
	return use, ok
}

// Used notes that a request was signed with a long-term access key, or by a session of a role, given by its unique id. It
// is written later, by Run.
func (s *Service) Used(id, service, region string, at time.Time) {
	s.used.mu.Lock()
	s.used.pending[id] = lastUse{at.UnixMicro(), service, region}
	s.used.mu.Unlock()
}

// usedEvery is how often the last uses are written: a crash forgets at most that much.
const usedEvery = time.Minute

// Run writes down when access keys and roles were used, until ctx ends, and then once more. What could not be written is tried again
// the next time; the error is that of the last time.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(usedEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = s.FlushUsed(ctx) // what is pending stays so
		case <-ctx.Done():
			return s.FlushUsed(context.WithoutCancel(ctx))
		}
	}
}

// FlushUsed writes down the uses that are pending.
func (s *Service) FlushUsed(ctx context.Context) error {
	s.used.mu.Lock()
	pending := s.used.pending
	s.used.pending = map[string]lastUse{}
	s.used.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		for id, use := range pending {
			// What was deleted meanwhile has no row to refer to.
			if strings.HasPrefix(id, "AROA") {
				if _, err := tx.ExecContext(ctx, `INSERT INTO iam_roles_last_used (role_id, used, region)
					SELECT id, $2, $3 FROM iam_entities WHERE id = $1
					ON CONFLICT (role_id) DO UPDATE SET used = excluded.used, region = excluded.region
					WHERE excluded.used > iam_roles_last_used.used`, id, use.Used, use.Region); err != nil {
					return err
				}
				continue
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO iam_last_used (access_key_id, used, service, region)
				SELECT id, $2, $3, $4 FROM iam_access_keys WHERE id = $1
				ON CONFLICT (access_key_id) DO UPDATE SET used = excluded.used, service = excluded.service, region = excluded.region
				WHERE excluded.used > iam_last_used.used`, id, use.Used, use.Service, use.Region); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil { // keep them for the next time, but for those that were used again
		s.used.mu.Lock()
		for id, use := range pending {
			if _, ok := s.used.pending[id]; !ok {
				s.used.pending[id] = use
			}
		}
		s.used.mu.Unlock()
	}
	return err
}
