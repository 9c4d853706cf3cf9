package userpool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// Identity providers are records here: what is needed to send users to them and to know whose they are when they come back.

// Quotas of identity providers ("Quotas in Amazon Cognito").
const (
	maxProviders  = 300 // of a pool
	providerLocal = "COGNITO"
)

// identityProvider is a provider as it is stored.
type identityProvider struct {
	PoolID, Name, Type     string
	Created, Modified, Rev int64
	Doc                    db.JSON[providerDoc]
	Secrets                []byte // sealed: those of Details that are secret
}

type providerDoc struct {
	Details     map[string]string `json:"details"` // without secrets
	Mapping     map[string]string `json:"mapping,omitempty"`
	Identifiers []string          `json:"identifiers,omitempty"`
	EntityID    string            `json:"entityID,omitempty"` // SAML
}

const providerColumns = `pool_id, name, type, created, modified, rev, doc, secrets`

func providerOwner(poolID, name string) []byte { return []byte(poolID + "|" + name) }

// keep stores the details of a provider, its secret apart.
func (s *Service) keep(r *identityProvider, details map[string]string, entityID string) {
	secrets := map[string]string{}
	if key := providerKinds[r.Type].secret; key != "" {
		secrets[key] = details[key]
		delete(details, key)
	}
	plain, _ := json.Marshal(secrets) // strings do not fail
	r.Doc.V.Details, r.Doc.V.EntityID = details, entityID
	r.Secrets = s.providerSecrets.Seal(plain, providerOwner(r.PoolID, r.Name))
}

// details returns ProviderDetails with the secret.
func (s *Service) details(r *identityProvider) (map[string]string, error) {
	plain, err := s.providerSecrets.Open(r.Secrets, providerOwner(r.PoolID, r.Name))
	secrets := map[string]string{}
	if err == nil {
		err = json.Unmarshal(plain, &secrets)
	}
	if err != nil {
		return nil, fmt.Errorf("secret of identity provider %s of pool %s: %w", r.Name, r.PoolID, err)
	}
	maps.Copy(secrets, r.Doc.V.Details)
	return secrets, nil
}

// wireProvider returns a provider as AWS answers it: with its client secret, but not with Apple's private key.
func (s *Service) wireProvider(r *identityProvider) (*cognitoidp.IdentityProviderType, error) {
	details, err := s.details(r)
	if err != nil {
		return nil, err
	}
	delete(details, "private_key")
	return &cognitoidp.IdentityProviderType{
		UserPoolId: &r.PoolID, ProviderName: &r.Name, ProviderType: &r.Type, ProviderDetails: details, AttributeMapping: r.Doc.V.Mapping,
		IdpIdentifiers: r.Doc.V.Identifiers, CreationDate: new(timeOf(r.Created)), LastModifiedDate: new(timeOf(r.Modified)),
	}, nil
}

func readProvider(ctx context.Context, q db.Querier, p *pool, name string) (*identityProvider, error) {
	r, err := db.One[identityProvider](ctx, q, `SELECT `+providerColumns+` FROM user_pool_identity_providers WHERE pool_id = $1 AND name = $2`, p.ID, name)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errIdentityProvider(name)
	}
	return &r, err
}

// CreateIdentityProvider adds a provider to a pool. With the first one the schema of the pool gets the attribute identities.
func (s *Service) CreateIdentityProvider(ctx context.Context, in *cognitoidp.CreateIdentityProviderRequest) (*cognitoidp.CreateIdentityProviderResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if in.AcrMapping != nil {
		return nil, errNotAvailable("AcrMapping")
	}
	now := s.now()
	r := &identityProvider{PoolID: p.ID, Name: *in.ProviderName, Type: *in.ProviderType, Created: now, Modified: now, Rev: 1}
	if err := checkProviderName(r.Name, r.Type); err != nil {
		return nil, err
	}
	details, entityID, err := s.providerDetails(ctx, r.Type, in.ProviderDetails)
	if err != nil {
		return nil, err
	}
	s.keep(r, details, entityID)
	if r.Doc.V.Mapping, err = p.checkMapping(r.Type, in.AttributeMapping); err != nil {
		return nil, err
	}
	r.Doc.V.Identifiers = set(in.IdpIdentifiers)
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		p, err := readPool(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		n, err := db.One[int](ctx, tx, `SELECT count(*) FROM user_pool_identity_providers WHERE pool_id = $1 AND name <> $2`, p.ID, r.Name)
		if err != nil {
			return err
		}
		if n >= maxProviders {
			return errLimit("identity providers", maxProviders)
		}
		err = db.Changed(tx.ExecContext(ctx, `INSERT INTO user_pool_identity_providers (`+providerColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (pool_id, name) DO NOTHING`, r.PoolID, r.Name, r.Type, r.Created, r.Modified, r.Rev, r.Doc, r.Secrets))
		if errors.Is(err, db.ErrConflict) {
			return errProviderExists(r.Name)
		} else if err != nil {
			return err
		}
		if err := saveIdentifiers(ctx, tx, r); err != nil {
			return err
		}
		return addIdentitiesAttribute(ctx, tx, p)
	})
	if err != nil {
		return nil, err
	}
	w, err := s.wireProvider(r)
	return &cognitoidp.CreateIdentityProviderResponse{IdentityProvider: w}, err
}

// checkProviderName checks that a social provider has the name of its type, and no other provider has it.
func checkProviderName(name, kind string) error {
	_, reserved := providerKinds[name]
	switch {
	case isSocial(kind) && name != kind:
		return errProviderName("The provider name of type " + kind + " must be " + kind + ".")
	case !isSocial(kind) && (reserved || strings.EqualFold(name, providerLocal)):
		return errProviderName("The provider name " + name + " is reserved.")
	}
	return nil
}

// saveIdentifiers stores the identifiers of a provider, each of which is one provider's of the pool.
func saveIdentifiers(ctx context.Context, tx *db.Tx, r *identityProvider) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM user_pool_provider_identifiers WHERE pool_id = $1 AND name = $2`, r.PoolID, r.Name); err != nil {
		return err
	}
	for _, identifier := range r.Doc.V.Identifiers {
		err := db.Changed(tx.ExecContext(ctx, `INSERT INTO user_pool_provider_identifiers (pool_id, identifier, name) VALUES ($1, $2, $3)
			ON CONFLICT (pool_id, identifier) DO NOTHING`, r.PoolID, identifier, r.Name))
		if errors.Is(err, db.ErrConflict) {
			return errIdentifierTaken(identifier)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// addIdentitiesAttribute adds identities to the schema of the pool, unless it is there.
func addIdentitiesAttribute(ctx context.Context, tx *db.Tx, p *pool) error {
	if p.schema[attrIdentities] != nil {
		return nil
	}
	settings := p.Settings
	a := schemaAttribute(attrIdentities, typeString)
	a.StringAttributeConstraints = &cognitoidp.StringAttributeConstraintsType{}
	settings.SchemaAttributes = append(slices.Clip(settings.SchemaAttributes), a)
	tx.Invalidate(poolScope(p.ID))
	return db.Changed(tx.ExecContext(ctx, `UPDATE user_pools SET rev = rev + 1, doc = $3 WHERE id = $1 AND rev = $2`,
		p.ID, p.Rev, db.JSON[cognitoidp.UserPoolType]{V: settings}))
}

// DescribeIdentityProvider returns a provider of a pool.
func (s *Service) DescribeIdentityProvider(ctx context.Context, in *cognitoidp.DescribeIdentityProviderRequest) (*cognitoidp.DescribeIdentityProviderResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	r, err := readProvider(ctx, s.DB, p, *in.ProviderName)
	if err != nil {
		return nil, err
	}
	w, err := s.wireProvider(r)
	return &cognitoidp.DescribeIdentityProviderResponse{IdentityProvider: w}, err
}

// GetIdentityProviderByIdentifier returns the provider that has an identifier.
func (s *Service) GetIdentityProviderByIdentifier(ctx context.Context, in *cognitoidp.GetIdentityProviderByIdentifierRequest) (*cognitoidp.GetIdentityProviderByIdentifierResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	name, err := db.One[string](ctx, s.DB, `SELECT name FROM user_pool_provider_identifiers WHERE pool_id = $1 AND identifier = $2`, p.ID, *in.IdpIdentifier)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errIdentityProvider(*in.IdpIdentifier)
	} else if err != nil {
		return nil, err
	}
	r, err := readProvider(ctx, s.DB, p, name)
	if err != nil {
		return nil, err
	}
	w, err := s.wireProvider(r)
	return &cognitoidp.GetIdentityProviderByIdentifierResponse{IdentityProvider: w}, err
}

// UpdateIdentityProvider replaces those of a provider's details, mapping and identifiers that the request has. Apple's private key,
// which no answer returns, stays where the details leave it out.
func (s *Service) UpdateIdentityProvider(ctx context.Context, in *cognitoidp.UpdateIdentityProviderRequest) (*cognitoidp.UpdateIdentityProviderResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if in.AcrMapping != nil {
		return nil, errNotAvailable("AcrMapping")
	}
	found, err := readProvider(ctx, s.DB, p, *in.ProviderName)
	if err != nil {
		return nil, err
	}
	var details map[string]string
	var entityID string
	if in.ProviderDetails != nil {
		sent := maps.Clone(in.ProviderDetails)
		if former, err := s.details(found); err != nil {
			return nil, err
		} else if key := former["private_key"]; key != "" && sent["private_key"] == "" {
			sent["private_key"] = key
		}
		if details, entityID, err = s.providerDetails(ctx, found.Type, sent); err != nil { // before the transaction: it may ask the provider
			return nil, err
		}
	}
	var r *identityProvider
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if r, err = readProvider(ctx, tx, p, found.Name); err != nil {
			return err
		}
		if r.Type != found.Type || r.Rev != found.Rev {
			return errProviderChanged
		}
		if details != nil {
			s.keep(r, maps.Clone(details), entityID)
		}
		if in.AttributeMapping != nil {
			if r.Doc.V.Mapping, err = p.checkMapping(r.Type, in.AttributeMapping); err != nil {
				return err
			}
		}
		if in.IdpIdentifiers != nil {
			r.Doc.V.Identifiers = set(in.IdpIdentifiers)
			if err := saveIdentifiers(ctx, tx, r); err != nil {
				return err
			}
		}
		r.Modified = s.now()
		err := db.Changed(tx.ExecContext(ctx, `UPDATE user_pool_identity_providers SET modified = $4, rev = rev + 1, doc = $5, secrets = $6
			WHERE pool_id = $1 AND name = $2 AND rev = $3`, r.PoolID, r.Name, r.Rev, r.Modified, r.Doc, r.Secrets))
		if errors.Is(err, db.ErrConflict) {
			return errProviderChanged
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	w, err := s.wireProvider(r)
	return &cognitoidp.UpdateIdentityProviderResponse{IdentityProvider: w}, err
}

// DeleteIdentityProvider takes a provider out of a pool. Users stay, with their identities; so do its name in the lists of clients.
func (s *Service) DeleteIdentityProvider(ctx context.Context, in *cognitoidp.DeleteIdentityProviderRequest) error {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		err := db.Changed(tx.ExecContext(ctx, `DELETE FROM user_pool_identity_providers WHERE pool_id = $1 AND name = $2`, p.ID, *in.ProviderName))
		if errors.Is(err, db.ErrConflict) {
			return errIdentityProvider(*in.ProviderName)
		} else if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM user_pool_provider_identifiers WHERE pool_id = $1 AND name = $2`, p.ID, *in.ProviderName)
		return err
	})
}

// ListIdentityProviders lists the providers of a pool.
func (s *Service) ListIdentityProviders(ctx context.Context, in *cognitoidp.ListIdentityProvidersRequest) (*cognitoidp.ListIdentityProvidersResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	page, err := s.openPage(in.NextToken, in.MaxResults, "ListIdentityProviders", p.ID)
	if err != nil {
		return nil, err
	}
	type row struct {
		Name, Type        string
		Created, Modified int64
	}
	rows, err := db.All[row](ctx, s.DB, `SELECT name, type, created, modified FROM user_pool_identity_providers WHERE pool_id = $1 AND name > $2 ORDER BY name LIMIT $3`,
		p.ID, page.after(0), page.fetch())
	if err != nil {
		return nil, err
	}
	out := &cognitoidp.ListIdentityProvidersResponse{Providers: []cognitoidp.ProviderDescription{}}
	rows, out.NextToken = cut(page, rows, func(r *row) []string { return []string{r.Name} })
	for _, r := range rows {
		out.Providers = append(out.Providers, cognitoidp.ProviderDescription{
			ProviderName: &r.Name, ProviderType: &r.Type, CreationDate: new(timeOf(r.Created)), LastModifiedDate: new(timeOf(r.Modified)),
		})
	}
	return out, nil
}

// checkProviders checks SupportedIdentityProviders of a client: all are there, and a SAML provider that begins sign-ins itself
// (IDPInit) has only its like beside it.
func checkProviders(ctx context.Context, tx *db.Tx, p *pool, names []string) error {
	begins, others := "", slices.Contains(names, providerLocal)
	for _, name := range names {
		if name == providerLocal {
			continue
		}
		r, err := readProvider(ctx, tx, p, name)
		if errors.Is(err, cognitoidp.ErrResourceNotFound) {
			return errProviderNotFound(name, p.ID)
		} else if err != nil {
			return err
		}
		others = others || r.Type != cognitoidp.IdentityProviderTypeTypeSaml
		if r.Doc.V.Details["IDPInit"] == "true" {
			begins = name
		}
	}
	if begins != "" && others {
		return errProviderBegins(begins)
	}
	return nil
}
