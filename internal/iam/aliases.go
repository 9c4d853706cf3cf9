package iam

import (
	"context"

	"usher/internal/api/iam"
	"usher/internal/db"
)

// alias is the alias of an account; empty if it has none.
func (s *Service) alias(ctx context.Context, q db.Querier, account string) (string, error) {
	alias, err := db.One[string](ctx, q, `SELECT alias FROM iam_account_aliases WHERE account_id = $1`, account)
	return alias, ignoreNotFound(err)
}

// CreateAccountAlias implements iam:CreateAccountAlias. A new alias takes the place of the old one.
func (s *Service) CreateAccountAlias(ctx context.Context, in *iam.CreateAccountAliasRequest) error {
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO iam_account_aliases (alias, account_id) VALUES ($1, $2)
			ON CONFLICT (account_id) DO UPDATE SET alias = excluded.alias`, *in.AccountAlias, account(ctx))
		return err
	})
	if db.IsUnique(err) {
		err = iam.ErrEntityAlreadyExists.Msg("The account alias %s already exists.", *in.AccountAlias)
	}
	return err
}

// ListAccountAliases implements iam:ListAccountAliases.
func (s *Service) ListAccountAliases(ctx context.Context, in *iam.ListAccountAliasesRequest) (*iam.ListAccountAliasesResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	list, err := db.All[string](ctx, s.DB, `SELECT alias FROM iam_account_aliases WHERE account_id = $1 AND alias > $2`, account(ctx), p.after)
	if err != nil {
		return nil, err
	}
	list = cut(p, list, func(a string) string { return a })
	return &iam.ListAccountAliasesResponse{AccountAliases: list, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// DeleteAccountAlias implements iam:DeleteAccountAlias.
func (s *Service) DeleteAccountAlias(ctx context.Context, in *iam.DeleteAccountAliasRequest) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM iam_account_aliases WHERE alias = $1 AND account_id = $2`, *in.AccountAlias, account(ctx))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			err = iam.ErrNoSuchEntity.Msg("The account alias %s cannot be found.", *in.AccountAlias)
		}
		return err
	})
}
