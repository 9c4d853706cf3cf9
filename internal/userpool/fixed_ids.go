package userpool

import (
	"context"
	"regexp"
	"strings"

	"usher/internal/db"
	"usher/internal/ids"
)

// The ids of a pool and of its clients can be chosen when they are created. The tag _custom_id_, a convention of AWS
// emulators, is the id of the pool; the pool's tag _custom_id_:NAME is the id of a client with that name, since clients have
// no tags.
const tagFixedID = "_custom_id_"

var (
	fixedPoolID   = regexp.MustCompile(`^[0-9a-zA-Z]{1,40}$`) // without the region
	fixedClientID = regexp.MustCompile(`^[0-9A-Za-z_+]{1,128}$`)
)

// newPoolID returns the id of a new pool with these tags: one of the server's region.
func (s *Service) newPoolID(tags map[string]string) (string, error) {
	id, ok := tags[tagFixedID]
	if !ok {
		return ids.UserPool(s.Region), nil
	}
	id = strings.TrimPrefix(id, s.Region+"_")
	if !fixedPoolID.MatchString(id) {
		return "", errFixedPoolID(s.Region)
	}
	return s.Region + "_" + id, nil
}

// poolIDFree checks that no pool has the id, nor had it in another account, and that nothing is left of one that had it.
func poolIDFree(ctx context.Context, tx *db.Tx, account, id string) error {
	taken, err := hasRow(ctx, tx, `SELECT 1 FROM user_pools WHERE id = $1
		UNION ALL SELECT 1 FROM user_pool_remains WHERE pool_id = $1
		UNION ALL SELECT 1 FROM user_pool_former_ids WHERE pool_id = $1 AND account_id <> $2`, id, account)
	if err == nil && taken {
		err = errPoolIDTaken(id)
	}
	return err
}

// newClientID returns the id of a new client of the pool with that name.
func (p *pool) newClientID(name string) (string, error) {
	id, ok := p.Settings.UserPoolTags[tagFixedID+":"+name]
	if !ok {
		return ids.Client(), nil
	}
	if !fixedClientID.MatchString(id) {
		return "", errFixedClientID
	}
	return id, nil
}

// clientIDFree checks that no client of any pool has the id.
func clientIDFree(ctx context.Context, tx *db.Tx, id string) error {
	taken, err := hasRow(ctx, tx, `SELECT 1 FROM user_pool_clients WHERE id = $1`, id)
	if err == nil && taken {
		err = errClientIDTaken(id)
	}
	return err
}
