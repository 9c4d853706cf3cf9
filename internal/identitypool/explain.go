package identitypool

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/awsapi"
)

// What a client is told of a failed call is little, and fixed by AWS. The operator is told, as details of the request, which
// login, mapping, rule or tag it was; trust policies are explained by STS.

// explainLogins says whose the logins of a refused call are, and what state the identity that was asked for is in.
func (s *Service) explainLogins(ctx context.Context, p *pool, asked *known, logins []login) {
	if asked != nil {
		s.explainIdentity(ctx, p, asked)
	}
	held, err := s.owners(ctx, s.DB, p, logins)
	if err != nil {
		return
	}
	for i, l := range logins {
		whose := "of no identity yet"
		if held[i] != "" {
			whose = "of identity " + held[i]
		}
		if l.identity != "" {
			awsapi.Detail(ctx, "the developer's token is %s", whose)
		} else {
			awsapi.Detail(ctx, "login %q of %s is %s", l.subject, l.name, whose)
		}
	}
}

// explainIdentity says what state an identity is in and whose it is.
func (s *Service) explainIdentity(ctx context.Context, p *pool, k *known) {
	awsapi.Detail(ctx, "identity %s %s", k.ID, k.state())
	for _, l := range k.logins {
		awsapi.Detail(ctx, "  its login is %q of %s", l.Subject, s.spell(p, l.Provider))
	}
}

// state is what an identity is good for.
func (i *identity) state() string {
	switch {
	case i.MergedInto != "":
		return "is disabled: it was merged into " + i.MergedInto
	case !i.Enabled:
		return "is disabled"
	case !i.Authenticated:
		return "is a guest's"
	}
	return "is a user's"
}

// explainRole says why the mappings of the logins lead to no role.
func (s *Service) explainRole(ctx context.Context, p *pool, logins []login, custom *string) {
	for _, l := range logins {
		key, ok := s.mappingOf(p, &l)
		if !ok {
			awsapi.Detail(ctx, "login of %s: the pool has no role mapping for it", l.name)
			s.explainRoles(ctx, &l)
			continue
		}
		m := p.RoleMappings[key]
		awsapi.Detail(ctx, "role mapping of %s: by %s, else %s", key, *m.Type, *m.AmbiguousRoleResolution)
		if *m.Type == api.RoleMappingTypeToken {
			s.explainRoles(ctx, &l)
			continue
		}
		for i, r := range m.RulesConfiguration.Rules {
			raw, _ := l.claim(*r.Claim)
			has := "the login has no such claim"
			if values := texts(raw); values != nil {
				has = fmt.Sprintf("the login has %q", values)
			}
			if matches(r, &l) {
				has += fmt.Sprintf(": the rule matches, but its role %s is not the CustomRoleArn", *r.RoleARN)
			}
			awsapi.Detail(ctx, "  rule %d wants %s %s %q; %s", i+1, *r.Claim, *r.MatchType, *r.Value, has)
		}
	}
	if custom != nil {
		awsapi.Detail(ctx, "CustomRoleArn is %s", *custom)
	}
	if len(logins) > 0 {
		awsapi.Detail(ctx, "the pool's role for users: %s", orNone(p.Roles["authenticated"]))
	} else {
		awsapi.Detail(ctx, "the pool's role for guests: %s", orNone(p.Roles["unauthenticated"]))
	}
}

// explainRoles says which roles a login brings along.
func (s *Service) explainRoles(ctx context.Context, l *login) {
	roles, preferred := l.roles, ""
	if l.assertion == nil {
		raw, _ := l.claim("cognito:roles")
		roles = texts(raw)
		raw, _ = l.claim("cognito:preferred_role")
		preferred = strings.Join(texts(raw), " ")
	}
	if len(roles) > 0 || preferred != "" {
		awsapi.Detail(ctx, "  it lists the roles %q and prefers %s", roles, orNone(preferred))
	} else {
		awsapi.Detail(ctx, "  it lists no roles")
	}
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// explainTags says which session tags the logins bring, and which are missing since there is no such claim.
func (s *Service) explainTags(ctx context.Context, p *pool, logins []login) {
	for _, l := range logins {
		for _, tag := range slices.Sorted(maps.Keys(l.tags)) {
			awsapi.Detail(ctx, "principal tag %s, given by the developer, is %q", tag, l.tags[tag])
		}
		mapped := p.PrincipalTags[l.provider].Tags
		for _, tag := range slices.Sorted(maps.Keys(mapped)) {
			if raw, ok := l.claim(mapped[tag]); ok {
				awsapi.Detail(ctx, "principal tag %s, from %s of %s, is %q", tag, mapped[tag], l.name, text(raw))
			} else {
				awsapi.Detail(ctx, "principal tag %s is missing: the login of %s has no %s", tag, l.name, mapped[tag])
			}
		}
	}
}
