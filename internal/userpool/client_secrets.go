package userpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
	"usher/internal/ids"
)

// maxSecrets is how many secrets a client has at most: the one in use, and the one that is to replace it.
const maxSecrets = 2

// AddUserPoolClientSecret gives a confidential client a second secret, so that the first can be replaced without a moment
// when neither works. Only a secret that was made here is returned.
func (s *Service) AddUserPoolClientSecret(ctx context.Context, in *cognitoidp.AddUserPoolClientSecretRequest) (*cognitoidp.AddUserPoolClientSecretResponse, error) {
	plain := in.ClientSecret
	if plain == nil {
		plain = new(ids.ClientSecret())
	}
	var added clientSecret
	err := s.updateSecrets(ctx, in.UserPoolId, in.ClientId, func(row *clientRow) error {
		switch len(row.Secrets.V) {
		case 0:
			return errPublicClient
		case maxSecrets:
			return errLimit("client secrets", maxSecrets)
		}
		now := s.now()
		added = clientSecret{ID: clientSecretID(row, now), Created: now, Sealed: s.secrets.Seal([]byte(*plain), []byte(row.ID))}
		row.Secrets.V = append(row.Secrets.V, added)
		return nil
	})
	if err != nil {
		return nil, err
	}
	d := wireSecret(added)
	if in.ClientSecret == nil {
		d.ClientSecretValue = plain
	}
	return &cognitoidp.AddUserPoolClientSecretResponse{ClientSecretDescriptor: &d}, nil
}

// clientSecretID returns the id of a secret that a client gets now: it tells the second, or the next that no other secret
// of the client has.
func clientSecretID(row *clientRow, now int64) string {
	for second := timeOf(now).Unix(); ; second++ {
		id := fmt.Sprintf("%s--%d", row.ID, second)
		if !slices.ContainsFunc(row.Secrets.V, func(s clientSecret) bool { return s.ID == id }) {
			return id
		}
	}
}

func wireSecret(s clientSecret) cognitoidp.ClientSecretDescriptorType {
	return cognitoidp.ClientSecretDescriptorType{ClientSecretId: &s.ID, ClientSecretCreateDate: new(timeOf(s.Created).Truncate(time.Millisecond))}
}

// ListUserPoolClientSecrets tells which secrets a client has, not what they are.
func (s *Service) ListUserPoolClientSecrets(ctx context.Context, in *cognitoidp.ListUserPoolClientSecretsRequest) (*cognitoidp.ListUserPoolClientSecretsResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if _, err := s.openPage(in.NextToken, nil, "ListUserPoolClientSecrets", p.ID, *in.ClientId); err != nil {
		return nil, err // there is no second page, so no token is good
	}
	row, err := readClientRow(ctx, s.DB, p, *in.ClientId)
	if err != nil {
		return nil, err
	}
	out := &cognitoidp.ListUserPoolClientSecretsResponse{ClientSecrets: []cognitoidp.ClientSecretDescriptorType{}}
	for _, secret := range row.Secrets.V {
		out.ClientSecrets = append(out.ClientSecrets, wireSecret(secret))
	}
	return out, nil
}

// DeleteUserPoolClientSecret takes a secret from a client, which does not work any more from then on. The last one stays.
func (s *Service) DeleteUserPoolClientSecret(ctx context.Context, in *cognitoidp.DeleteUserPoolClientSecretRequest) (*cognitoidp.DeleteUserPoolClientSecretResponse, error) {
	return nil, s.updateSecrets(ctx, in.UserPoolId, in.ClientId, func(row *clientRow) error {
		i := slices.IndexFunc(row.Secrets.V, func(s clientSecret) bool { return s.ID == *in.ClientSecretId })
		if i < 0 {
			return errClientSecretNotFound(*in.ClientSecretId)
		}
		if len(row.Secrets.V) == 1 {
			return errLastSecret
		}
		row.Secrets.V = slices.Delete(row.Secrets.V, i, i+1)
		return nil
	})
}

// updateSecrets changes the secrets of a client of the caller's pool.
func (s *Service) updateSecrets(ctx context.Context, poolID, clientID *string, change func(*clientRow) error) error {
	p, err := s.ownPool(ctx, *poolID)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		row, err := readClientRow(ctx, tx, p, *clientID)
		if err != nil {
			return err
		}
		if err := change(row); err != nil {
			return err
		}
		tx.Invalidate(poolScope(p.ID))
		return db.Changed(tx.ExecContext(ctx, `UPDATE user_pool_clients SET modified = $3, rev = rev + 1, secrets = $4 WHERE id = $1 AND rev = $2`,
			row.ID, row.Rev, s.now(), row.Secrets))
	})
}

func readClientRow(ctx context.Context, q db.Querier, p *pool, id string) (*clientRow, error) {
	row, err := db.One[clientRow](ctx, q, `SELECT `+clientColumns+` FROM user_pool_clients WHERE pool_id = $1 AND id = $2`, p.ID, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errClientNotFound(id)
	}
	return &row, err
}
