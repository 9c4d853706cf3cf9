package userpool

import (
	"cmp"
	"context"
	"maps"
	"strings"

	"usher/internal/api/cognitoidp"
)

// taggedPool returns the pool of the caller's account that an ARN names.
func (s *Service) taggedPool(ctx context.Context, text string) (*pool, error) {
	a, id, err := parsePoolARN(text)
	if err != nil {
		return nil, err
	}
	p, err := s.ownPool(ctx, id)
	if err != nil {
		return nil, err
	}
	if poolARN(p.AccountID, p.ID) != a.String() {
		return nil, errPoolNotFound(id)
	}
	return p, nil
}

// TagResource adds tags to a pool, or gives tags that it has another value.
func (s *Service) TagResource(ctx context.Context, in *cognitoidp.TagResourceRequest) (*cognitoidp.TagResourceResponse, error) {
	return nil, s.updateTags(ctx, *in.ResourceArn, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
}

// UntagResource removes tags from a pool.
func (s *Service) UntagResource(ctx context.Context, in *cognitoidp.UntagResourceRequest) (*cognitoidp.UntagResourceResponse, error) {
	return nil, s.updateTags(ctx, *in.ResourceArn, func(tags map[string]string) {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
	})
}

func (s *Service) updateTags(ctx context.Context, resource string, change func(tags map[string]string)) error {
	p, err := s.taggedPool(ctx, resource)
	if err != nil {
		return err
	}
	return s.updatePool(ctx, p.ID, func(p *pool) (*cognitoidp.UserPoolType, error) {
		settings := p.Settings
		settings.UserPoolTags = map[string]string{}
		maps.Copy(settings.UserPoolTags, p.Settings.UserPoolTags)
		change(settings.UserPoolTags)
		return &settings, checkTags(settings.UserPoolTags)
	})
}

// ListTagsForResource returns the tags of a pool.
func (s *Service) ListTagsForResource(ctx context.Context, in *cognitoidp.ListTagsForResourceRequest) (*cognitoidp.ListTagsForResourceResponse, error) {
	p, err := s.taggedPool(ctx, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.ListTagsForResourceResponse{Tags: p.Settings.UserPoolTags}, nil
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return errTagCount
	}
	for key := range tags {
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return errTagPrefix
		}
	}
	if err := cmp.Or(checkRecoveryCodesTag(tags), checkUnfrozenTag(tags)); err != nil {
		return err
	}
	if err := checkPasskeyOrigins(tags); err != nil {
		return err
	}
	return checkPasswordStorage(tags)
}
