package iam

import (
	"context"
	"strings"
	"time"

	"usher/internal/api/iam"
	"usher/internal/arn"
	"usher/internal/db"
	"usher/internal/ids"
	"usher/internal/saml"
)

const maxSAMLProviders = 100

// samlRow is a row of iam_saml_providers.
type samlRow struct {
	ARN, AccountID string
	Created, Rev   int64
	Doc            db.JSON[samlDoc]
}

const samlColumns = `arn, account_id, created, rev, doc`

type samlDoc struct {
	UUID       string `json:"uuid"`
	ValidUntil int64  `json:"validUntil,omitempty"` // microseconds; 0 if the metadata does not say
	Tags       []tag  `json:"tags,omitempty"`
}

func samlScope(arn string) string { return "iam/saml/" + arn }

func samlARN(account, name string) string {
	return "arn:aws:iam::" + account + ":saml-provider/" + name
}

// validUntil is when the metadata ends. Where it does not say, IAM shows a date in a hundred years.
func (p *samlRow) validUntil() *time.Time {
	if p.Doc.V.ValidUntil != 0 {
		return timeOf(p.Doc.V.ValidUntil)
	}
	return new(timeOf(p.Created).AddDate(100, 0, 0))
}

// setMetadata checks a metadata document and notes when it ends.
func (d *samlDoc) setMetadata(document string) error {
	m, err := saml.ParseMetadata(document)
	if err != nil {
		return iam.ErrInvalidInput.Msg("Could not parse metadata.").With(err)
	}
	d.ValidUntil = 0
	if !m.ValidUntil.IsZero() {
		d.ValidUntil = m.ValidUntil.UnixMicro()
	}
	return nil
}

// errEncryption refuses what a provider for encrypted assertions would need: no assertion is ever decrypted.
var errEncryption = iam.ErrInvalidInput.Msg("Encrypted SAML assertions are not supported: AssertionEncryptionMode, AddPrivateKey and RemovePrivateKey cannot be used.")

// CreateSAMLProvider implements iam:CreateSAMLProvider.
func (s *Service) CreateSAMLProvider(ctx context.Context, in *iam.CreateSAMLProviderRequest) (*iam.CreateSAMLProviderResponse, error) {
	if in.AssertionEncryptionMode != nil || in.AddPrivateKey != nil {
		return nil, errEncryption
	}
	p := &samlRow{AccountID: account(ctx), Created: s.Now().UnixMicro(), Rev: 1}
	p.ARN = samlARN(p.AccountID, *in.Name)
	p.Doc.V.UUID = strings.ToUpper(strings.ReplaceAll(ids.UUID(), "-", ""))
	var err error
	if p.Doc.V.Tags, err = newTags(in.Tags, false); err != nil {
		return nil, err
	}
	if err := p.Doc.V.setMetadata(*in.SAMLMetadataDocument); err != nil {
		return nil, err
	}
	exists := iam.ErrEntityAlreadyExists.Msg("Provider with name %s already exists.", *in.Name)
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		type counts struct{ All, Same int64 }
		n, err := db.One[counts](ctx, tx, `SELECT COUNT(*), COUNT(CASE WHEN arn = $1 THEN 1 END) FROM iam_saml_providers WHERE account_id = $2`, p.ARN, p.AccountID)
		switch {
		case err != nil:
			return err
		case n.Same > 0:
			return exists
		case n.All >= maxSAMLProviders:
			return quota("SAMLProvidersPerAccount", maxSAMLProviders)
		}
		tx.Invalidate(samlScope(p.ARN))
		_, err = tx.ExecContext(ctx, `INSERT INTO iam_saml_providers (`+samlColumns+`, metadata) VALUES ($1, $2, $3, $4, $5, $6)`,
			p.ARN, p.AccountID, p.Created, p.Rev, p.Doc, *in.SAMLMetadataDocument)
		return err
	})
	if db.IsUnique(err) {
		err = exists
	}
	if err != nil {
		return nil, err
	}
	return &iam.CreateSAMLProviderResponse{SAMLProviderArn: &p.ARN, Tags: wireTags(p.Doc.V.Tags)}, nil
}

// samlProvider reads a SAML provider of the caller's account.
func (s *Service) samlProvider(ctx context.Context, q db.Querier, text string) (*samlRow, error) {
	if _, err := arn.Parse(text); err != nil {
		return nil, errUnparsableARN
	}
	p, err := db.One[samlRow](ctx, q, `SELECT `+samlColumns+` FROM iam_saml_providers WHERE arn = $1 AND account_id = $2`, text, account(ctx))
	if isNotFound(err) {
		return nil, iam.ErrNoSuchEntity.Msg("Manifest not found for arn %s", text)
	}
	return &p, err
}

// changeSAMLProvider edits a provider. metadata is its new metadata document, nil to keep the present one.
func (s *Service) changeSAMLProvider(ctx context.Context, text string, metadata *string, change func(*samlDoc) error) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		p, err := s.samlProvider(ctx, tx, text)
		if err != nil {
			return err
		}
		if err := change(&p.Doc.V); err != nil {
			return err
		}
		tx.Invalidate(samlScope(p.ARN))
		return db.Changed(tx.ExecContext(ctx, `UPDATE iam_saml_providers SET doc = $1, metadata = COALESCE($2, metadata), rev = rev + 1 WHERE arn = $3 AND rev = $4`,
			p.Doc, metadata, p.ARN, p.Rev))
	})
}

// GetSAMLProvider implements iam:GetSAMLProvider.
func (s *Service) GetSAMLProvider(ctx context.Context, in *iam.GetSAMLProviderRequest) (*iam.GetSAMLProviderResponse, error) {
	p, err := s.samlProvider(ctx, s.DB, *in.SAMLProviderArn)
	if err != nil {
		return nil, err
	}
	metadata, err := db.One[string](ctx, s.DB, `SELECT metadata FROM iam_saml_providers WHERE arn = $1`, p.ARN)
	if err != nil {
		return nil, err
	}
	tags, _, err := tagPage(p.Doc.V.Tags, nil, nil)
	if err != nil {
		return nil, err
	}
	return &iam.GetSAMLProviderResponse{
		SAMLMetadataDocument: &metadata, SAMLProviderUUID: &p.Doc.V.UUID,
		CreateDate: timeOf(p.Created), ValidUntil: p.validUntil(), Tags: tags,
	}, nil
}

// ListSAMLProviders implements iam:ListSAMLProviders.
func (s *Service) ListSAMLProviders(ctx context.Context, _ *iam.ListSAMLProvidersRequest) (*iam.ListSAMLProvidersResponse, error) {
	rows, err := db.All[samlRow](ctx, s.DB, `SELECT `+samlColumns+` FROM iam_saml_providers WHERE account_id = $1 ORDER BY arn LIMIT $2`, account(ctx), maxSAMLProviders)
	if err != nil {
		return nil, err
	}
	out := &iam.ListSAMLProvidersResponse{}
	for _, p := range rows {
		out.SAMLProviderList = append(out.SAMLProviderList, iam.SAMLProviderListEntry{Arn: &p.ARN, ValidUntil: p.validUntil(), CreateDate: timeOf(p.Created)})
	}
	return out, nil
}

// UpdateSAMLProvider implements iam:UpdateSAMLProvider: a new metadata document in the place of the present one.
func (s *Service) UpdateSAMLProvider(ctx context.Context, in *iam.UpdateSAMLProviderRequest) (*iam.UpdateSAMLProviderResponse, error) {
	if in.AssertionEncryptionMode != nil || in.AddPrivateKey != nil || in.RemovePrivateKey != nil {
		return nil, errEncryption
	}
	err := s.changeSAMLProvider(ctx, *in.SAMLProviderArn, in.SAMLMetadataDocument, func(d *samlDoc) error {
		if in.SAMLMetadataDocument == nil {
			return nil
		}
		return d.setMetadata(*in.SAMLMetadataDocument)
	})
	if err != nil {
		return nil, err
	}
	return &iam.UpdateSAMLProviderResponse{SAMLProviderArn: in.SAMLProviderArn}, nil
}

// DeleteSAMLProvider implements iam:DeleteSAMLProvider. Roles that trust the provider stay as they are.
func (s *Service) DeleteSAMLProvider(ctx context.Context, in *iam.DeleteSAMLProviderRequest) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		p, err := s.samlProvider(ctx, tx, *in.SAMLProviderArn)
		if err != nil {
			return err
		}
		tx.Invalidate(samlScope(p.ARN))
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM iam_saml_providers WHERE arn = $1 AND rev = $2`, p.ARN, p.Rev))
	})
}

// TagSAMLProvider implements iam:TagSAMLProvider.
func (s *Service) TagSAMLProvider(ctx context.Context, in *iam.TagSAMLProviderRequest) error {
	return s.changeSAMLProvider(ctx, *in.SAMLProviderArn, nil, func(d *samlDoc) (err error) {
		d.Tags, err = mergeTags(d.Tags, in.Tags, false)
		return err
	})
}

// UntagSAMLProvider implements iam:UntagSAMLProvider.
func (s *Service) UntagSAMLProvider(ctx context.Context, in *iam.UntagSAMLProviderRequest) error {
	return s.changeSAMLProvider(ctx, *in.SAMLProviderArn, nil, func(d *samlDoc) error {
		d.Tags = removeTags(d.Tags, in.TagKeys, false)
		return nil
	})
}

// ListSAMLProviderTags implements iam:ListSAMLProviderTags.
func (s *Service) ListSAMLProviderTags(ctx context.Context, in *iam.ListSAMLProviderTagsRequest) (*iam.ListSAMLProviderTagsResponse, error) {
	prov, err := s.samlProvider(ctx, s.DB, *in.SAMLProviderArn)
	if err != nil {
		return nil, err
	}
	tags, p, err := tagPage(prov.Doc.V.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListSAMLProviderTagsResponse{Tags: tags, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// SAMLProvider is a SAML provider of an account. It is shared: read only.
type SAMLProvider struct {
	ARN      string
	Account  string
	Name     string
	Metadata *saml.Metadata
}

// SAMLProvider returns the provider with an ARN, in whichever account; db.ErrNotFound if there is none.
func (s *Service) SAMLProvider(ctx context.Context, text string) (*SAMLProvider, error) {
	p, err := s.samlProviders.Get(ctx, text, samlScope(text), func(ctx context.Context) (*SAMLProvider, error) {
		type row struct{ ARN, AccountID, Metadata string }
		r, err := db.One[row](ctx, s.DB, `SELECT arn, account_id, metadata FROM iam_saml_providers WHERE arn = $1`, text)
		if isNotFound(err) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		m, err := saml.ParseMetadata(r.Metadata)
		return &SAMLProvider{ARN: r.ARN, Account: r.AccountID, Name: strings.TrimPrefix(r.ARN, samlARN(r.AccountID, "")), Metadata: m}, err
	})
	if err == nil && p == nil {
		err = db.ErrNotFound
	}
	return p, err
}

// samlTags adds the tags of a provider to the condition keys.
func (t *targeting) samlTags(text string) error {
	p, err := t.samlProvider(t.ctx, t.DB, text)
	if err != nil {
		return ignoreModeled(err)
	}
	t.resourceTags(p.Doc.V.Tags)
	return nil
}
