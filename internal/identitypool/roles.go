package identitypool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/arn"
	"usher/internal/awsapi"
)

// Guests of the enhanced flow get two session policies beside their role's: what they may do is what the role allows and
// one of these as well (Cognito developer guide, "IAM roles", access policies for unauthenticated identities).
const (
	guestPolicyARN = "arn:aws:iam::aws:policy/AmazonCognitoUnAuthedIdentitiesSessionPolicy"
	guestPolicy    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["cloudwatch:*","logs:*","dynamodb:*","kinesis:*","mobileanalytics:*","s3:*","ses:*","sns:*","sqs:*","lambda:*","machinelearning:*","execute-api:*","iot:*","gamelift:*","cognito-identity:*","cognito-idp:*","lex:*","polly:*","comprehend:*","translate:*","transcribe:*","rekognition:*","mobiletargeting:*","firehose:*","appsync:*","personalize:*","sagemaker:InvokeEndpoint","cognito-sync:*","codewhisperer:*","textract:DetectDocumentText","textract:AnalyzeDocument","sdb:*"],"Resource":"*"}]}`
)

var errRoles = api.ErrInvalidIdentityPoolConfiguration.Msg("Invalid identity pool configuration. Check assigned IAM roles for this pool.")

// rulesMost is how many rules a mapping may have, though the model has a higher bound.
const rulesMost = 25

// SetIdentityPoolRoles implements the operation: it replaces roles and mappings. The caller needs iam:PassRole on each role.
func (s *Service) SetIdentityPoolRoles(ctx context.Context, in *api.SetIdentityPoolRolesInput) error {
	var roles []string
	for _, role := range in.Roles {
		roles = append(roles, role)
	}
	mapped, err := s.checkMappings(in.RoleMappings)
	if err != nil {
		return err
	}
	roles = append(roles, mapped...)
	slices.Sort(roles)
	roles = slices.Compact(roles)
	if _, err := s.ownPool(ctx, *in.IdentityPoolId); err != nil {
		return err
	}
	for _, role := range roles {
		a, err := arn.Parse(role)
		if err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "role/") {
			return api.ErrInvalidParameter.Msg("Invalid role ARN %s", role)
		}
		// The caller's own policies decide, also about a role of another account: whether that trusts the pool, its trust
		// policy says when it is assumed.
		err = s.Authorizer.Authorize(ctx, []awsapi.Target{{Action: "iam:PassRole", Resource: role,
			Keys: map[string][]string{"iam:PassedToService": {builtIn}, "aws:ResourceAccount": {a.AccountID}}}})
		if errors.Is(err, awsapi.ErrAccessDenied) {
			return errNotAuthorized("Access to Role '%s' is forbidden.", role).With(err)
		} else if err != nil {
			return err
		}
	}
	_, err = s.change(ctx, *in.IdentityPoolId, func(doc *poolDoc) error {
		if err := s.checkMapped(&doc.Settings, in.RoleMappings); err != nil {
			return err
		}
		doc.Roles, doc.RoleMappings = mapOrNil(in.Roles), mapOrNil(in.RoleMappings)
		return nil
	})
	return err
}

// checkMapped refuses mappings of what is no provider of the pool, which would decide about nobody: those whom they mean to
// deny would get the pool's role.
func (s *Service) checkMapped(settings *api.IdentityPool, mappings map[string]api.RoleMapping) error {
	valid := map[string]bool{} // by canonical key
	for _, from := range s.providersOf(settings) {
		if from.kind != userPoolKind {
			valid[from.id] = true
		}
		for _, c := range from.clients {
			valid[from.id+":"+*c.ClientId] = true
		}
	}
	seen := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(mappings)) {
		canonical := s.mappingKey(key)
		if !valid[canonical] {
			return api.ErrInvalidParameter.Msg("%s is not a valid RoleMapping ProviderName or is not a configured provider.", key)
		}
		if other, ok := seen[canonical]; ok {
			return api.ErrInvalidParameter.Msg("The role mappings of %s and %s are for one provider.", other, key)
		}
		seen[canonical] = key
	}
	return nil
}

// checkMappings returns the roles that the mappings name.
func (s *Service) checkMappings(mappings map[string]api.RoleMapping) ([]string, error) {
	var roles []string
	for key, m := range mappings {
		if m.AmbiguousRoleResolution == nil {
			return nil, api.ErrInvalidParameter.Msg("AmbiguousRoleResolution is required for the role mapping of %s.", key)
		}
		if *m.Type == api.RoleMappingTypeToken {
			continue
		}
		if m.RulesConfiguration == nil || len(m.RulesConfiguration.Rules) == 0 {
			return nil, api.ErrInvalidParameter.Msg("RulesConfiguration is required for the role mapping of %s.", key)
		}
		if len(m.RulesConfiguration.Rules) > rulesMost {
			return nil, api.ErrInvalidParameter.Msg("At most %d rules are allowed for the role mapping of %s.", rulesMost, key)
		}
		for _, r := range m.RulesConfiguration.Rules {
			roles = append(roles, *r.RoleARN)
		}
	}
	return roles, nil
}

// GetIdentityPoolRoles implements the operation.
func (s *Service) GetIdentityPoolRoles(ctx context.Context, in *api.GetIdentityPoolRolesInput) (*api.GetIdentityPoolRolesResponse, error) {
	p, err := s.ownPool(ctx, *in.IdentityPoolId)
	if err != nil {
		return nil, err
	}
	return &api.GetIdentityPoolRolesResponse{IdentityPoolId: in.IdentityPoolId, Roles: p.Roles, RoleMappings: p.RoleMappings}, nil
}

func errForbiddenRole(role string) *awsapi.Error {
	return errNotAuthorized("Access to Role '%s' is forbidden.", role)
}

// role chooses the role of the enhanced flow. A guest gets the pool's. A user gets what the mappings of the logins'
// providers say: the first of them, in the order of the login keys, that names a role; else, unless one of them denies the
// ambiguous, the pool's.
func (s *Service) role(ctx context.Context, p *pool, logins []login, custom *string) (string, error) {
	state := "unauthenticated"
	var denied *awsapi.Error
	for _, l := range logins {
		state = "authenticated"
		key, ok := s.mappingOf(p, &l)
		m := p.RoleMappings[key]
		if !ok && len(l.roles) == 0 {
			continue
		} else if !ok { // an assertion that lists roles chooses by itself
			key, m = l.name, api.RoleMapping{Type: new(api.RoleMappingTypeToken), AmbiguousRoleResolution: new(api.AmbiguousRoleResolutionTypeDeny)}
		}
		awsapi.Annotate(ctx, "role_mapping", key)
		var role string
		reason := errors.New("the token names no role, or several and none that is preferred")
		if *m.Type == api.RoleMappingTypeToken {
			if l.assertion != nil {
				role = l.assertedRole(custom)
			} else {
				role = tokenRole(&l, custom)
			}
			if role == "" && custom != nil {
				return "", errForbiddenRole(*custom).With(errors.New("the login does not list this CustomRoleArn among its roles"))
			}
		} else {
			reason = fmt.Errorf("none of the %d rules matches", len(m.RulesConfiguration.Rules))
			for i, r := range m.RulesConfiguration.Rules {
				if matches(r, &l) && (custom == nil || *custom == *r.RoleARN) {
					awsapi.Annotate(ctx, "role_rule", i+1)
					role = *r.RoleARN
					break
				}
			}
		}
		if role != "" {
			return role, nil
		}
		if denied == nil && *m.AmbiguousRoleResolution == api.AmbiguousRoleResolutionTypeDeny {
			denied = errNotAuthorized("The ambiguous role mapping rules for: %s denied this request.", key).With(reason)
		}
	}
	switch role := p.Roles[state]; {
	case denied != nil:
		return "", denied
	case custom != nil && *custom != role:
		return "", errForbiddenRole(*custom).With(errors.New("no mapping, rule or token offers this CustomRoleArn"))
	case role == "":
		return "", errRoles.With(fmt.Errorf("the pool has no role for %s identities", state))
	default:
		return role, nil
	}
}

// mappingOf returns the key of the mapping for a login, as the pool spells it.
func (s *Service) mappingOf(p *pool, l *login) (key string, ok bool) {
	for _, key := range slices.Sorted(maps.Keys(p.RoleMappings)) {
		if s.mappingKey(key) == l.mapping {
			return key, true
		}
	}
	return "", false
}

// mappingKey is the canonical form of a RoleMappings key of a user pool, provider:client.
func (s *Service) mappingKey(key string) string {
	i := strings.LastIndexByte(key, ':')
	if i < 0 {
		return key
	}
	if id, ok := s.names.userPool(key[:i]); ok {
		return id + key[i:]
	}
	return key
}

// tokenRole chooses by the claims that user pools put in for groups; "" when they do not say.
func tokenRole(l *login, custom *string) string {
	raw, _ := l.claim("cognito:roles")
	roles := texts(raw)
	if len(roles) == 1 { // may be a list in one string
		roles = strings.Split(roles[0], ",")
		for i, role := range roles {
			roles[i] = strings.TrimSpace(role)
		}
	}
	if custom != nil {
		if slices.Contains(roles, *custom) {
			return *custom
		}
		return ""
	}
	if raw, _ := l.claim("cognito:preferred_role"); len(texts(raw)) == 1 {
		return texts(raw)[0]
	}
	if len(roles) == 1 {
		return roles[0]
	}
	return ""
}

// matches applies a rule; of a claim with several values any may match. An absent claim matches nothing, not even NotEqual.
func matches(r api.MappingRule, l *login) bool {
	raw, _ := l.claim(*r.Claim)
	return slices.ContainsFunc(texts(raw), func(v string) bool {
		switch *r.MatchType {
		case api.MappingRuleMatchTypeEquals:
			return v == *r.Value
		case api.MappingRuleMatchTypeContains:
			return strings.Contains(v, *r.Value)
		case api.MappingRuleMatchTypeStartsWith:
			return strings.HasPrefix(v, *r.Value)
		case api.MappingRuleMatchTypeNotEqual:
			return v != *r.Value
		}
		return false
	})
}

// texts returns the values of a claim as rules compare them: none of an absent or null one, each element of an array.
func texts(raw json.RawMessage) []string {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if raw[0] != '[' {
		return []string{text(raw)}
	}
	var values []json.RawMessage
	if json.Unmarshal(raw, &values) != nil {
		return nil
	}
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = text(v)
	}
	return list
}

// text returns a claim that is a string as it is, and anything else as its JSON text.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
