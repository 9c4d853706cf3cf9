package userpool

import (
	"context"
	"errors"
	"slices"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// resourceServer is an API with the scopes that clients may ask for. A scope is called {identifier}/{scope name}.
type resourceServer struct {
	Identifier, Name string
	Scopes           db.JSON[[]cognitoidp.ResourceServerScopeType]
}

const resourceServerColumns = `identifier, name, scopes`

// Quotas of resource servers ("Quotas in Amazon Cognito").
const (
	maxResourceServers     = 25 // of a pool
	maxResourceServersPage = 50
)

func (r *resourceServer) wire(p *pool) *cognitoidp.ResourceServerType {
	return &cognitoidp.ResourceServerType{UserPoolId: &p.ID, Identifier: &r.Identifier, Name: &r.Name, Scopes: r.Scopes.V}
}

// CreateResourceServer adds an API to a pool.
func (s *Service) CreateResourceServer(ctx context.Context, in *cognitoidp.CreateResourceServerRequest) (*cognitoidp.CreateResourceServerResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	r := resourceServer{Identifier: *in.Identifier, Name: *in.Name}
	if r.Scopes.V, err = checkedScopes(in.Scopes); err != nil {
		return nil, err
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if _, err := readPool(ctx, tx, p.ID); err != nil {
			return err
		}
		n, err := db.One[int](ctx, tx, `SELECT count(*) FROM user_pool_resource_servers WHERE pool_id = $1 AND identifier <> $2`, p.ID, r.Identifier)
		if err != nil {
			return err
		}
		if n >= maxResourceServers {
			return errLimit("resource servers", maxResourceServers)
		}
		err = db.Changed(tx.ExecContext(ctx, `INSERT INTO user_pool_resource_servers (pool_id, identifier, name, scopes) VALUES ($1, $2, $3, $4)
			ON CONFLICT (pool_id, identifier) DO NOTHING`, p.ID, r.Identifier, r.Name, r.Scopes))
		if errors.Is(err, db.ErrConflict) {
			return errResourceServerExists(r.Identifier)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.CreateResourceServerResponse{ResourceServer: r.wire(p)}, nil
}

// checkedScopes returns the scopes of a resource server, each of another name.
func checkedScopes(scopes []cognitoidp.ResourceServerScopeType) ([]cognitoidp.ResourceServerScopeType, error) {
	names := map[string]bool{}
	for _, scope := range scopes {
		if names[*scope.ScopeName] {
			return nil, errScopeTwice(*scope.ScopeName)
		}
		names[*scope.ScopeName] = true
		if err := checkDescription(scope.ScopeDescription); err != nil {
			return nil, err
		}
	}
	return append([]cognitoidp.ResourceServerScopeType{}, scopes...), nil
}

func readResourceServer(ctx context.Context, q db.Querier, p *pool, identifier string) (*resourceServer, error) {
	r, err := db.One[resourceServer](ctx, q, `SELECT `+resourceServerColumns+` FROM user_pool_resource_servers WHERE pool_id = $1 AND identifier = $2`,
		p.ID, identifier)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errResourceServerNotFound(identifier)
	}
	return &r, err
}

// DescribeResourceServer returns an API of a pool.
func (s *Service) DescribeResourceServer(ctx context.Context, in *cognitoidp.DescribeResourceServerRequest) (*cognitoidp.DescribeResourceServerResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	r, err := readResourceServer(ctx, s.DB, p, *in.Identifier)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.DescribeResourceServerResponse{ResourceServer: r.wire(p)}, nil
}

// UpdateResourceServer replaces the name and the scopes of an API. Clients keep the names of scopes that are gone, which
// mean nothing until a scope has the name again.
func (s *Service) UpdateResourceServer(ctx context.Context, in *cognitoidp.UpdateResourceServerRequest) (*cognitoidp.UpdateResourceServerResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	r := resourceServer{Identifier: *in.Identifier, Name: *in.Name}
	if r.Scopes.V, err = checkedScopes(in.Scopes); err != nil {
		return nil, err
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		err := db.Changed(tx.ExecContext(ctx, `UPDATE user_pool_resource_servers SET name = $3, scopes = $4 WHERE pool_id = $1 AND identifier = $2`,
			p.ID, r.Identifier, r.Name, r.Scopes))
		if errors.Is(err, db.ErrConflict) {
			return errResourceServerNotFound(r.Identifier)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.UpdateResourceServerResponse{ResourceServer: r.wire(p)}, nil
}

// DeleteResourceServer takes an API out of a pool.
func (s *Service) DeleteResourceServer(ctx context.Context, in *cognitoidp.DeleteResourceServerRequest) error {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		err := db.Changed(tx.ExecContext(ctx, `DELETE FROM user_pool_resource_servers WHERE pool_id = $1 AND identifier = $2`, p.ID, *in.Identifier))
		if errors.Is(err, db.ErrConflict) {
			return errResourceServerNotFound(*in.Identifier)
		}
		return err
	})
}

// ListResourceServers lists the APIs of a pool.
func (s *Service) ListResourceServers(ctx context.Context, in *cognitoidp.ListResourceServersRequest) (*cognitoidp.ListResourceServersResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	page, err := s.openPage(in.NextToken, or(in.MaxResults, maxResourceServersPage), "ListResourceServers", p.ID)
	if err != nil {
		return nil, err
	}
	rows, err := db.All[resourceServer](ctx, s.DB, `SELECT `+resourceServerColumns+` FROM user_pool_resource_servers
		WHERE pool_id = $1 AND identifier > $2 ORDER BY identifier LIMIT $3`, p.ID, page.after(0), page.fetch())
	if err != nil {
		return nil, err
	}
	out := &cognitoidp.ListResourceServersResponse{ResourceServers: []cognitoidp.ResourceServerType{}}
	rows, out.NextToken = cut(page, rows, func(r *resourceServer) []string { return []string{r.Identifier} })
	for i := range rows {
		out.ResourceServers = append(out.ResourceServers, *rows[i].wire(p))
	}
	return out, nil
}

// checkCustomScopes checks that the resource servers of the pool have the scopes that are not every pool's.
func checkCustomScopes(ctx context.Context, tx *db.Tx, p *pool, scopes []string) error {
	known := map[string]*resourceServer{}
	for _, scope := range scopes {
		if slices.Contains(standardScopes, scope) {
			continue
		}
		slash := strings.LastIndexByte(scope, '/') // a scope's name has none, an identifier may
		if slash < 0 {
			return errScopeNotFound(scope)
		}
		identifier, name := scope[:slash], scope[slash+1:]
		if known[identifier] == nil {
			r, err := readResourceServer(ctx, tx, p, identifier)
			if errors.Is(err, cognitoidp.ErrResourceNotFound) {
				return errScopeNotFound(scope)
			} else if err != nil {
				return err
			}
			known[identifier] = r
		}
		if !slices.ContainsFunc(known[identifier].Scopes.V, func(t cognitoidp.ResourceServerScopeType) bool { return *t.ScopeName == name }) {
			return errScopeNotFound(scope)
		}
	}
	return nil
}
