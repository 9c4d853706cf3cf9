package iam

import (
	"context"
	"slices"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/arn"
	"usher/internal/db"
)

type tag struct{ Key, Value string }

// newTags checks the tags of a resource that is being made. Keys of users and roles are unique without regard to case.
func newTags(in []iam.Tag, fold bool) ([]tag, error) { return mergeTags(nil, in, fold) }

// mergeTags adds tags, in the place of those with the same key.
func mergeTags(tags []tag, in []iam.Tag, fold bool) ([]tag, error) {
	same := func(a, b string) bool { return a == b || fold && strings.EqualFold(a, b) }
	for i, t := range in {
		if strings.HasPrefix(strings.ToLower(str(t.Key)), "aws:") {
			return nil, iam.ErrInvalidInput.Msg("Tag keys that start with aws: are reserved for system use")
		}
		if slices.ContainsFunc(in[:i], func(o iam.Tag) bool { return same(str(o.Key), str(t.Key)) }) {
			return nil, errDuplicateTagKeys
		}
	}
	merged := slices.Clone(tags)
	for _, t := range in {
		next := tag{str(t.Key), str(t.Value)}
		if i := slices.IndexFunc(merged, func(o tag) bool { return same(o.Key, next.Key) }); i >= 0 {
			merged[i] = next
		} else {
			merged = append(merged, next)
		}
	}
	if len(merged) > maxTags {
		return nil, errTooManyTags
	}
	return merged, nil
}

func removeTags(tags []tag, keys []string, fold bool) []tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return k == t.Key || fold && strings.EqualFold(k, t.Key) })
	})
}

func wireTags(tags []tag) []iam.Tag {
	var list []iam.Tag
	for _, t := range tags {
		list = append(list, iam.Tag{Key: new(t.Key), Value: new(t.Value)})
	}
	return list
}

func tagPage(tags []tag, marker *string, max *int32) ([]iam.Tag, *page, error) {
	p, err := newPage(marker, max)
	if err != nil {
		return nil, nil, err
	}
	tags = slices.SortedFunc(slices.Values(tags), func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	tags = slices.DeleteFunc(tags, func(t tag) bool { return t.Key <= p.after })
	return wireTags(cut(p, tags, func(t tag) string { return t.Key })), p, nil
}

func (s *Service) tagEntity(ctx context.Context, kind string, name *string, tags []iam.Tag) error {
	return s.changeEntity(ctx, kind, name, func(_ *db.Tx, e *entity) (err error) {
		e.Doc.V.Tags, err = mergeTags(e.Doc.V.Tags, tags, true)
		return err
	})
}

func (s *Service) untagEntity(ctx context.Context, kind string, name *string, keys []string) error {
	return s.changeEntity(ctx, kind, name, func(_ *db.Tx, e *entity) error {
		e.Doc.V.Tags = removeTags(e.Doc.V.Tags, keys, true)
		return nil
	})
}

// TagUser implements iam:TagUser.
func (s *Service) TagUser(ctx context.Context, in *iam.TagUserRequest) error {
	return s.tagEntity(ctx, userKind, in.UserName, in.Tags)
}

// UntagUser implements iam:UntagUser.
func (s *Service) UntagUser(ctx context.Context, in *iam.UntagUserRequest) error {
	return s.untagEntity(ctx, userKind, in.UserName, in.TagKeys)
}

// ListUserTags implements iam:ListUserTags.
func (s *Service) ListUserTags(ctx context.Context, in *iam.ListUserTagsRequest) (*iam.ListUserTagsResponse, error) {
	e, err := s.entity(ctx, s.DB, userKind, in.UserName)
	if err != nil {
		return nil, err
	}
	tags, p, err := tagPage(e.Doc.V.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListUserTagsResponse{Tags: tags, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// TagRole implements iam:TagRole.
func (s *Service) TagRole(ctx context.Context, in *iam.TagRoleRequest) error {
	return s.tagEntity(ctx, roleKind, in.RoleName, in.Tags)
}

// UntagRole implements iam:UntagRole.
func (s *Service) UntagRole(ctx context.Context, in *iam.UntagRoleRequest) error {
	return s.untagEntity(ctx, roleKind, in.RoleName, in.TagKeys)
}

// ListRoleTags implements iam:ListRoleTags.
func (s *Service) ListRoleTags(ctx context.Context, in *iam.ListRoleTagsRequest) (*iam.ListRoleTagsResponse, error) {
	e, err := s.entity(ctx, s.DB, roleKind, in.RoleName)
	if err != nil {
		return nil, err
	}
	tags, p, err := tagPage(e.Doc.V.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListRoleTagsResponse{Tags: tags, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// TagPolicy implements iam:TagPolicy.
func (s *Service) TagPolicy(ctx context.Context, in *iam.TagPolicyRequest) error {
	return s.changePolicy(ctx, *in.PolicyArn, func(_ *db.Tx, p *managed) (err error) {
		p.Doc.V.Tags, err = mergeTags(p.Doc.V.Tags, in.Tags, false)
		return err
	})
}

// UntagPolicy implements iam:UntagPolicy.
func (s *Service) UntagPolicy(ctx context.Context, in *iam.UntagPolicyRequest) error {
	return s.changePolicy(ctx, *in.PolicyArn, func(_ *db.Tx, p *managed) error {
		p.Doc.V.Tags = removeTags(p.Doc.V.Tags, in.TagKeys, false)
		return nil
	})
}

// ListPolicyTags implements iam:ListPolicyTags.
func (s *Service) ListPolicyTags(ctx context.Context, in *iam.ListPolicyTagsRequest) (*iam.ListPolicyTagsResponse, error) {
	m, err := s.managed(ctx, s.DB, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	tags, p, err := tagPage(m.Doc.V.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListPolicyTagsResponse{Tags: tags, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// TagOpenIDConnectProvider implements iam:TagOpenIDConnectProvider.
func (s *Service) TagOpenIDConnectProvider(ctx context.Context, in *iam.TagOpenIDConnectProviderRequest) error {
	return s.changeProvider(ctx, *in.OpenIDConnectProviderArn, func(p *provider) (err error) {
		p.Doc.V.Tags, err = mergeTags(p.Doc.V.Tags, in.Tags, false)
		return err
	})
}

// UntagOpenIDConnectProvider implements iam:UntagOpenIDConnectProvider.
func (s *Service) UntagOpenIDConnectProvider(ctx context.Context, in *iam.UntagOpenIDConnectProviderRequest) error {
	return s.changeProvider(ctx, *in.OpenIDConnectProviderArn, func(p *provider) error {
		p.Doc.V.Tags = removeTags(p.Doc.V.Tags, in.TagKeys, false)
		return nil
	})
}

// ListOpenIDConnectProviderTags implements iam:ListOpenIDConnectProviderTags.
func (s *Service) ListOpenIDConnectProviderTags(ctx context.Context, in *iam.ListOpenIDConnectProviderTagsRequest) (*iam.ListOpenIDConnectProviderTagsResponse, error) {
	prov, err := s.provider(ctx, s.DB, *in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	tags, p, err := tagPage(prov.Doc.V.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListOpenIDConnectProviderTagsResponse{Tags: tags, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// policyName and policyPath are the parts of a managed policy's ARN.
func policyName(text string) string {
	return text[strings.LastIndexByte(text, '/')+1:]
}

func policyPath(text string) string {
	a, err := arn.Parse(text)
	if err != nil {
		return ""
	}
	rest := strings.TrimPrefix(a.Resource, "policy")
	return rest[:strings.LastIndexByte(rest, '/')+1]
}
