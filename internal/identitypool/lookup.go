package identitypool

import (
	"context"
	"time"

	api "usher/internal/api/cognitoidentity"
)

// Identity is an identity as an operator sees it.
type Identity struct {
	ID, PoolID string
	Enabled    bool   // false: merged into another
	MergedInto string // the other
	Guest      bool
	State      string // in words
	Created    time.Time
	Modified   time.Time
	Logins     []Linked
}

// Linked is a login of an identity: the provider as the pool spells it, and who the identity is there (sub, user id or
// developer user identifier).
type Linked struct{ Provider, Subject string }

// Lookup returns an identity and who it is at each provider.
func (s *Service) Lookup(ctx context.Context, id string) (*Identity, error) {
	k, p, err := s.asked(ctx, id)
	if err != nil {
		return nil, err
	}
	i := &Identity{ID: k.ID, PoolID: k.PoolID, Enabled: k.Enabled, MergedInto: k.MergedInto, Guest: k.guest(),
		State: k.state(), Created: timeOf(k.Created), Modified: timeOf(k.Modified)}
	if i.Enabled && !i.Guest && len(k.logins) == 0 {
		i.State += ", without logins: nobody can use it any more"
	}
	for _, l := range k.logins {
		i.Logins = append(i.Logins, Linked{s.spell(p, l.Provider), l.Subject})
	}
	return i, nil
}

// LookupUser returns the identity of a user in a pool. The provider may be spelled in any way; that of a user pool also by
// the user pool's id.
func (s *Service) LookupUser(ctx context.Context, poolID, providerName, subject string) (*Identity, error) {
	if err := s.DB.Refresh(ctx); err != nil {
		return nil, err
	}
	p, err := s.pool(ctx, poolID)
	if err != nil {
		return nil, err
	}
	canonical := providerName
	if from := s.find(p, providerName); from != nil {
		canonical = from.id
	} else if name := p.Settings.DeveloperProviderName; name != nil && *name == providerName {
		canonical = developerPrefix + providerName
	} else if id, ok := s.names.userPool(providerName); ok {
		canonical = id
	}
	held, err := s.owners(ctx, s.DB, p, []login{{provider: canonical, subject: subject}})
	if err != nil {
		return nil, err
	}
	if held[0] == "" {
		return nil, api.ErrResourceNotFound.Msg("User '%s' of %s has no identity in the identity pool.", subject, providerName)
	}
	return s.Lookup(ctx, held[0])
}
