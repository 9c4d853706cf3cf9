package userpool

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// Identities are what users are known by at other identity providers. A user of the pool to whom one is linked is who its
// subject signs in as (developer guide, "Linking federated users to an existing user profile").

// identity is one of a user's identities. Rows of user_identities find the user by it.
type identity struct {
	Provider  string  `json:"provider"`
	Type      string  `json:"type"`
	Attribute string  `json:"attribute"` // subjectAttribute, or that of the pool whose value it is known by until the first sign-in
	Value     string  `json:"value"`
	Issuer    *string `json:"issuer,omitempty"` // SAML: the entity id
	Primary   bool    `json:"primary,omitempty"`
	Created   int64   `json:"created"` // ms
}

const (
	subjectAttribute = "Cognito_Subject"
	localProvider    = "Cognito"
	maxLinked        = 5 // identities of a user ("Quotas in Amazon Cognito")
)

// identitiesText is the attribute identities; "" if the user has none.
func (u *user) identitiesText() string {
	if len(u.Doc.V.Identities) == 0 {
		return ""
	}
	type wire struct {
		UserID       string  `json:"userId"`
		ProviderName string  `json:"providerName"`
		ProviderType string  `json:"providerType"`
		Issuer       *string `json:"issuer"`
		Primary      bool    `json:"primary"`
		DateCreated  int64   `json:"dateCreated"`
	}
	var list []wire
	for _, i := range u.Doc.V.Identities {
		list = append(list, wire{i.Value, i.Provider, i.Type, i.Issuer, i.Primary, i.Created})
	}
	text, _ := json.Marshal(list) // strings do not fail
	return string(text)
}

// identitiesClaim is the claim identities of an ID token, in which all values are strings.
func (u *user) identitiesClaim() []map[string]any {
	var list []map[string]any
	for _, i := range u.Doc.V.Identities {
		claim := map[string]any{"userId": i.Value, "providerName": i.Provider, "providerType": i.Type, "issuer": nil,
			"primary": strconv.FormatBool(i.Primary), "dateCreated": strconv.FormatInt(i.Created, 10)}
		if i.Issuer != nil {
			claim["issuer"] = *i.Issuer
		}
		list = append(list, claim)
	}
	return list
}

// userOfIdentity returns the user who has an identity.
func (s *Service) userOfIdentity(ctx context.Context, q db.Querier, p *pool, provider, attribute, value string) (*user, error) {
	sub, err := db.One[string](ctx, q, `SELECT sub FROM user_identities WHERE pool_id = $1 AND provider = $2 AND attribute = $3 AND value = $4`,
		p.ID, provider, attribute, value)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errUserNotFound
	} else if err != nil {
		return nil, err
	}
	return s.userBySub(ctx, q, p, sub)
}

// AdminLinkProviderForUser makes an identity elsewhere one of a user's: who proves it signs in as that user.
func (s *Service) AdminLinkProviderForUser(ctx context.Context, in *cognitoidp.AdminLinkProviderForUserRequest) (*cognitoidp.AdminLinkProviderForUserResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	source, destination := in.SourceUser, in.DestinationUser
	provider, attribute, value := deref(source.ProviderName), deref(source.ProviderAttributeName), deref(source.ProviderAttributeValue)
	switch {
	case provider == "" || attribute == "" || value == "":
		return nil, errIdentityMember("SourceUser", "ProviderName, ProviderAttributeName and ProviderAttributeValue")
	case deref(destination.ProviderName) == "" || deref(destination.ProviderAttributeValue) == "":
		return nil, errIdentityMember("DestinationUser", "ProviderName and ProviderAttributeValue")
	case provider == localProvider || strings.EqualFold(provider, providerLocal):
		return nil, errMerging
	case len(value) > maxAttribute || strings.Contains(value+attribute+*destination.ProviderAttributeValue, "\x00"):
		return nil, errIdentityValue
	}
	return nil, s.DB.Tx(ctx, func(tx *db.Tx) error {
		r, err := readProvider(ctx, tx, p, provider)
		if errors.Is(err, cognitoidp.ErrResourceNotFound) {
			return errProviderNotFound(provider, p.ID)
		} else if err != nil {
			return err
		}
		if attribute != subjectAttribute && (isSocial(r.Type) || r.Doc.V.Mapping[attribute] == "" || attribute == "username") {
			return errIdentityAttribute(attribute, r.Type)
		}
		var u *user
		if *destination.ProviderName == localProvider {
			u, err = s.findUser(ctx, tx, p, *destination.ProviderAttributeValue)
		} else {
			u, err = s.userOfIdentity(ctx, tx, p, *destination.ProviderName, subjectAttribute, *destination.ProviderAttributeValue)
		}
		if err != nil {
			return err
		}
		if err := s.mayLink(ctx, tx, p, u, provider, attribute, value); err != nil {
			return err
		}
		link := identity{Provider: provider, Type: r.Type, Attribute: attribute, Value: value, Issuer: optional(r.Doc.V.EntityID), Created: s.Now().UnixMilli()}
		return s.addIdentity(ctx, tx, p, u, link)
	})
}

// mayLink returns why an identity cannot be made u's.
func (s *Service) mayLink(ctx context.Context, tx *db.Tx, p *pool, u *user, provider, attribute, value string) error {
	holder, err := s.userOfIdentity(ctx, tx, p, provider, attribute, value)
	switch {
	case err == nil && holder.Sub == u.Sub:
		return errLinkedAlready
	case err == nil && slices.ContainsFunc(holder.Doc.V.Identities, func(i identity) bool { return i.Primary && i.Provider == provider && i.Value == value }):
		return errMerging
	case err == nil:
		return errLinkedElsewhere
	case !errors.Is(err, cognitoidp.ErrUserNotFound):
		return err
	}
	if attribute == subjectAttribute {
		// The username that the identity would have, had it signed in.
		taken, err := hasRow(ctx, tx, `SELECT 1 FROM users WHERE pool_id = $1 AND username_key = $2`, p.ID, p.key(provider+"_"+value))
		if err != nil {
			return err
		}
		if taken {
			return errMerging
		}
	}
	linked := 0
	for _, i := range u.Doc.V.Identities {
		if !i.Primary {
			linked++
		}
	}
	if linked >= maxLinked {
		return errLimit("linked identities", maxLinked)
	}
	for name, a := range p.schema {
		if strings.Contains(name, ":") && !*a.Mutable && u.attributes()[name] != "" {
			return errLinkImmutable(name)
		}
	}
	return nil
}

// addIdentity stores one more identity of u.
func (s *Service) addIdentity(ctx context.Context, tx *db.Tx, p *pool, u *user, i identity) error {
	u.Doc.V.Identities = append(slices.Clip(u.Doc.V.Identities), i)
	if err := s.saveUser(ctx, tx, p, u); err != nil {
		return err
	}
	err := db.Changed(tx.ExecContext(ctx, `INSERT INTO user_identities (pool_id, provider, attribute, value, sub) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (pool_id, provider, attribute, value) DO NOTHING`, p.ID, i.Provider, i.Attribute, i.Value, u.Sub))
	if errors.Is(err, db.ErrConflict) {
		return errLinkedElsewhere
	}
	return err
}

// AdminDisableProviderForUser takes an identity from the user who has it; whoever signs in with it then is another user. Of provider
// Cognito it takes the password: the user signs in by his other identities, until an administrator sets a new one.
func (s *Service) AdminDisableProviderForUser(ctx context.Context, in *cognitoidp.AdminDisableProviderForUserRequest) (*cognitoidp.AdminDisableProviderForUserResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	provider, attribute, value := deref(in.User.ProviderName), deref(in.User.ProviderAttributeName), deref(in.User.ProviderAttributeValue)
	switch {
	case provider == "" || attribute == "" || value == "":
		return nil, errIdentityMember("User", "ProviderName, ProviderAttributeName and ProviderAttributeValue")
	case strings.Contains(value+attribute, "\x00"):
		return nil, errIdentityValue
	case provider == localProvider && attribute != subjectAttribute:
		return nil, errIdentityAttribute(attribute, localProvider)
	}
	return nil, s.DB.Tx(ctx, func(tx *db.Tx) error {
		if provider == localProvider {
			u, err := s.findUser(ctx, tx, p, value)
			if err != nil {
				return err
			}
			if p.key(value) != u.Key && value != u.Sub {
				return errUserNotFound // an alias
			}
			u.setPassword(password{}, s.now())
			u.Status = cognitoidp.UserStatusTypeExternalProvider
			return s.saveUser(ctx, tx, p, u)
		}
		u, err := s.userOfIdentity(ctx, tx, p, provider, attribute, value)
		if err != nil {
			return err
		}
		u.Doc.V.Identities = slices.DeleteFunc(slices.Clone(u.Doc.V.Identities), func(i identity) bool {
			return i.Provider == provider && i.Attribute == attribute && i.Value == value
		})
		if err := s.saveUser(ctx, tx, p, u); err != nil {
			return err
		}
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM user_identities WHERE pool_id = $1 AND provider = $2 AND attribute = $3 AND value = $4 AND sub = $5`,
			p.ID, provider, attribute, value, u.Sub))
	})
}
