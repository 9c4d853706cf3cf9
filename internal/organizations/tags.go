package organizations

import (
	"context"
	"strings"

	"usher/internal/api/organizations"
	"usher/internal/db"
)

// tag is a tag of a root, unit, account or policy. Names are told apart by case.
type tag struct{ Name, Value string }

func newTags(in []organizations.Tag) ([]tag, error) {
	var tags []tag
	seen := map[string]bool{}
	for _, t := range in {
		if seen[*t.Key] {
			return nil, organizations.ErrInvalidInput.Msg("Duplicate tag keys found.").Member("Reason", "DUPLICATE_TAG_KEY")
		}
		if strings.HasPrefix(strings.ToLower(*t.Key), "aws:") {
			return nil, organizations.ErrInvalidInput.Msg("Tag keys that start with aws: are reserved for system use.").Member("Reason", "INVALID_SYSTEM_TAGS_PARAMETER")
		}
		seen[*t.Key] = true
		tags = append(tags, tag{*t.Key, *t.Value})
	}
	return tags, nil
}

func (s *Service) putTags(ctx context.Context, tx *db.Tx, o *organization, resource string, tags []tag) error {
	for _, t := range tags {
		if _, err := tx.ExecContext(ctx, `INSERT INTO organization_tags (resource_id, name, value, organization_id) VALUES ($1, $2, $3, $4)
			ON CONFLICT (resource_id, name) DO UPDATE SET value = excluded.value`, resource, t.Name, t.Value, o.ID); err != nil {
			return err
		}
	}
	if len(tags) == 0 {
		return nil
	}
	n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM organization_tags WHERE resource_id = $1`, resource)
	if err == nil && n > maxTags {
		err = tooMany("MAX_TAG_LIMIT_EXCEEDED", "You have exceeded the number of tags allowed on this resource.")
	}
	return err
}

func (s *Service) tagsOf(ctx context.Context, q db.Querier, resource string) ([]tag, error) {
	return db.All[tag](ctx, q, `SELECT name, value FROM organization_tags WHERE resource_id = $1 ORDER BY name`, resource)
}

// taggable fails unless id is something of the organization that can have tags.
func (s *Service) taggable(ctx context.Context, q db.Querier, o *organization, id string) error {
	if !strings.HasPrefix(id, "p-") {
		_, err := s.target(ctx, q, o, id)
		return err
	}
	_, err := s.ownPolicy(ctx, q, o, id)
	if isModeled(err) {
		err = organizations.ErrTargetNotFound.Msg("You specified a target that doesn't exist.")
	}
	return err
}

// TagResource implements organizations:TagResource.
func (s *Service) TagResource(ctx context.Context, in *organizations.TagResourceRequest) error {
	tags, err := newTags(in.Tags)
	if err != nil {
		return err
	}
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		if err := s.taggable(ctx, tx, o, *in.ResourceId); err != nil {
			return err
		}
		return s.putTags(ctx, tx, o, *in.ResourceId, tags)
	})
}

// UntagResource implements organizations:UntagResource.
func (s *Service) UntagResource(ctx context.Context, in *organizations.UntagResourceRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		if err := s.taggable(ctx, tx, o, *in.ResourceId); err != nil {
			return err
		}
		for _, name := range in.TagKeys {
			if _, err := tx.ExecContext(ctx, `DELETE FROM organization_tags WHERE resource_id = $1 AND name = $2`, *in.ResourceId, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// ListTagsForResource implements organizations:ListTagsForResource.
func (s *Service) ListTagsForResource(ctx context.Context, in *organizations.ListTagsForResourceRequest) (*organizations.ListTagsForResourceResponse, error) {
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	out := &organizations.ListTagsForResourceResponse{Tags: []organizations.Tag{}}
	if *in.ResourceId == fullAccess.ID {
		return out, nil
	}
	if err := s.taggable(ctx, s.DB, o, *in.ResourceId); err != nil {
		return nil, err
	}
	tags, err := s.tagsOf(ctx, s.DB, *in.ResourceId)
	for _, t := range tags {
		out.Tags = append(out.Tags, organizations.Tag{Key: &t.Name, Value: &t.Value})
	}
	return out, err
}
