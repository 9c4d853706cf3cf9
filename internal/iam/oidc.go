package iam

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/arn"
	"usher/internal/db"
)

// provider is a row of iam_oidc_providers.
type provider struct {
	ARN, AccountID, URL string
	Created, Rev        int64
	Doc                 db.JSON[providerDoc]
}

const providerColumns = `arn, account_id, url, created, rev, doc`

type providerDoc struct {
	ClientIDs   []string `json:"clientIds,omitempty"`
	Thumbprints []string `json:"thumbprints,omitempty"`
	Tags        []tag    `json:"tags,omitempty"`
	Keys        string   `json:"keys,omitempty"` // uploaded key set
}

// providerName checks the URL of a provider and returns the name that stands in the ARN and before the colon of condition
// keys: the URL without its scheme.
func (s *Service) providerName(text string) (name string, err error) {
	invalid := errValidation.Msg("Invalid Open ID Connect Provider URL")
	u, parseErr := url.Parse(text)
	if parseErr != nil || u.Host == "" || !strings.HasPrefix(text, u.Scheme+"://") || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.ContainsAny(text, "*? \\") {
		return "", invalid
	}
	switch {
	case u.Scheme == "https" && (u.Port() == "" || s.AllowLoopbackHTTP && isLoopback(u.Hostname())):
	case u.Scheme == "http" && s.AllowLoopbackHTTP && isLoopback(u.Hostname()):
	default:
		return "", invalid
	}
	name = strings.TrimPrefix(text, u.Scheme+"://")
	if builtinProviders[name] || s.isOutbound(text) || s.ReservedIssuer != nil && s.ReservedIssuer(text) {
		return "", iam.ErrInvalidInput.Msg("The provider %s is built in and needs no OpenID Connect provider.", text)
	}
	return name, nil
}

// isLoopback reports whether a host can only be this machine.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func checkClientIDs(list []string) error {
	if len(list) > maxClientIDs {
		return quota("ClientIdsPerOpenIdConnectProvider", maxClientIDs)
	}
	return nil
}

func checkThumbprints(list []string) error {
	if len(list) > maxThumbprints {
		return iam.ErrInvalidInput.Msg("Thumbprint list must contain fewer than %d entries.", maxThumbprints)
	}
	for _, t := range list {
		if strings.Trim(t, "0123456789abcdefABCDEF") != "" {
			return iam.ErrInvalidInput.Msg("Thumbprint %s is not a hexadecimal SHA-1 fingerprint.", t)
		}
	}
	return nil
}

// CreateOpenIDConnectProvider implements iam:CreateOpenIDConnectProvider. Thumbprints are kept as given; without them the
// provider's certificate must be trusted by the system.
func (s *Service) CreateOpenIDConnectProvider(ctx context.Context, in *iam.CreateOpenIDConnectProviderRequest) (*iam.CreateOpenIDConnectProviderResponse, error) {
	name, err := s.providerName(*in.Url)
	if err != nil {
		return nil, err
	}
	if err := checkClientIDs(in.ClientIDList); err != nil {
		return nil, err
	}
	if err := checkThumbprints(in.ThumbprintList); err != nil {
		return nil, err
	}
	tags, err := newTags(in.Tags, false)
	if err != nil {
		return nil, err
	}
	exists := iam.ErrEntityAlreadyExists.Msg("Provider with url %s already exists.", *in.Url)
	p := &provider{AccountID: account(ctx), URL: *in.Url, Created: s.Now().UnixMicro(), Rev: 1}
	p.ARN = "arn:aws:iam::" + p.AccountID + ":oidc-provider/" + name
	p.Doc.V = providerDoc{ClientIDs: distinct(in.ClientIDList), Thumbprints: distinct(in.ThumbprintList), Tags: tags}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		type counts struct{ All, Same int64 }
		n, err := db.One[counts](ctx, tx, `SELECT COUNT(*), COUNT(CASE WHEN arn = $1 THEN 1 END) FROM iam_oidc_providers WHERE account_id = $2`, p.ARN, p.AccountID)
		switch {
		case err != nil:
			return err
		case n.Same > 0:
			return exists
		case n.All >= maxOIDCProviders:
			return quota("OpenIDConnectProvidersPerAccount", maxOIDCProviders)
		}
		tx.Invalidate(oidcScope(p.AccountID))
		_, err = tx.ExecContext(ctx, `INSERT INTO iam_oidc_providers (`+providerColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
			p.ARN, p.AccountID, p.URL, p.Created, p.Rev, p.Doc)
		return err
	})
	if db.IsUnique(err) {
		err = exists
	}
	if err != nil {
		return nil, err
	}
	return &iam.CreateOpenIDConnectProviderResponse{OpenIDConnectProviderArn: &p.ARN, Tags: wireTags(tags)}, nil
}

// provider reads an OIDC provider of the caller's account.
func (s *Service) provider(ctx context.Context, q db.Querier, text string) (*provider, error) {
	if _, err := arn.Parse(text); err != nil {
		return nil, errUnparsableARN
	}
	p, err := db.One[provider](ctx, q, `SELECT `+providerColumns+` FROM iam_oidc_providers WHERE arn = $1 AND account_id = $2`, text, account(ctx))
	if isNotFound(err) {
		return nil, iam.ErrNoSuchEntity.Msg("OpenIDConnect Provider not found for arn %s", text)
	}
	return &p, err
}

func (s *Service) changeProvider(ctx context.Context, text string, change func(*provider) error) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		p, err := s.provider(ctx, tx, text)
		if err != nil {
			return err
		}
		if err := change(p); err != nil {
			return err
		}
		tx.Invalidate(oidcScope(p.AccountID))
		return db.Changed(tx.ExecContext(ctx, `UPDATE iam_oidc_providers SET doc = $1, rev = rev + 1 WHERE arn = $2 AND rev = $3`, p.Doc, p.ARN, p.Rev))
	})
}

// GetOpenIDConnectProvider implements iam:GetOpenIDConnectProvider. The URL is shown without https://, as AWS does.
func (s *Service) GetOpenIDConnectProvider(ctx context.Context, in *iam.GetOpenIDConnectProviderRequest) (*iam.GetOpenIDConnectProviderResponse, error) {
	p, err := s.provider(ctx, s.DB, *in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	return &iam.GetOpenIDConnectProviderResponse{
		Url: new(strings.TrimPrefix(p.URL, "https://")), ClientIDList: p.Doc.V.ClientIDs, ThumbprintList: p.Doc.V.Thumbprints,
		CreateDate: timeOf(p.Created), Tags: wireTags(p.Doc.V.Tags),
	}, nil
}

// ListOpenIDConnectProviders implements iam:ListOpenIDConnectProviders.
func (s *Service) ListOpenIDConnectProviders(ctx context.Context, _ *iam.ListOpenIDConnectProvidersRequest) (*iam.ListOpenIDConnectProvidersResponse, error) {
	arns, err := db.All[string](ctx, s.DB, `SELECT arn FROM iam_oidc_providers WHERE account_id = $1 ORDER BY arn LIMIT $2`, account(ctx), maxOIDCProviders)
	if err != nil {
		return nil, err
	}
	out := &iam.ListOpenIDConnectProvidersResponse{}
	for _, a := range arns {
		out.OpenIDConnectProviderList = append(out.OpenIDConnectProviderList, iam.OpenIDConnectProviderListEntry{Arn: &a})
	}
	return out, nil
}

// DeleteOpenIDConnectProvider implements iam:DeleteOpenIDConnectProvider.
func (s *Service) DeleteOpenIDConnectProvider(ctx context.Context, in *iam.DeleteOpenIDConnectProviderRequest) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		p, err := s.provider(ctx, tx, *in.OpenIDConnectProviderArn)
		if err != nil {
			return err
		}
		tx.Invalidate(oidcScope(p.AccountID))
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM iam_oidc_providers WHERE arn = $1 AND rev = $2`, p.ARN, p.Rev))
	})
}

// AddClientIDToOpenIDConnectProvider implements iam:AddClientIDToOpenIDConnectProvider; a client id that is there already
// is no error.
func (s *Service) AddClientIDToOpenIDConnectProvider(ctx context.Context, in *iam.AddClientIDToOpenIDConnectProviderRequest) error {
	return s.changeProvider(ctx, *in.OpenIDConnectProviderArn, func(p *provider) error {
		p.Doc.V.ClientIDs = distinct(append(p.Doc.V.ClientIDs, *in.ClientID))
		return checkClientIDs(p.Doc.V.ClientIDs)
	})
}

// RemoveClientIDFromOpenIDConnectProvider implements iam:RemoveClientIDFromOpenIDConnectProvider; removing what is not
// there is no error.
func (s *Service) RemoveClientIDFromOpenIDConnectProvider(ctx context.Context, in *iam.RemoveClientIDFromOpenIDConnectProviderRequest) error {
	return s.changeProvider(ctx, *in.OpenIDConnectProviderArn, func(p *provider) error {
		p.Doc.V.ClientIDs = slices.DeleteFunc(p.Doc.V.ClientIDs, func(id string) bool { return id == *in.ClientID })
		return nil
	})
}

// UpdateOpenIDConnectProviderThumbprint implements iam:UpdateOpenIDConnectProviderThumbprint.
func (s *Service) UpdateOpenIDConnectProviderThumbprint(ctx context.Context, in *iam.UpdateOpenIDConnectProviderThumbprintRequest) error {
	if err := checkThumbprints(in.ThumbprintList); err != nil {
		return err
	}
	return s.changeProvider(ctx, *in.OpenIDConnectProviderArn, func(p *provider) error {
		p.Doc.V.Thumbprints = distinct(in.ThumbprintList)
		return nil
	})
}

// distinct keeps the first of equal texts.
func distinct(list []string) []string {
	var out []string
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
