package userpool

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"usher/internal/api/cognitoidp"
)

// PreTokenGeneration changes claims, groups and scopes of the tokens (developer guide, "Pre token generation Lambda
// trigger"). The first version of its event is about the ID token alone, the later ones about both.

// generation is why tokens are issued.
type generation struct {
	source   string // of TokenGeneration
	metadata map[string]string
}

// Sources of TokenGeneration.
const (
	tokensAuthentication = "Authentication"
	tokensNewPassword    = "NewPasswordChallenge"
	tokensRefresh        = "RefreshTokens"
	tokensDevice         = "AuthenticateDevice"
)

type tokenRequest struct {
	UserAttributes map[string]string  `json:"userAttributes"`
	Groups         groupConfiguration `json:"groupConfiguration"`
	Scopes         []string           `json:"scopes,omitempty"`
	ClientMetadata map[string]string  `json:"clientMetadata,omitempty"`
}

type groupConfiguration struct {
	Groups        []string `json:"groupsToOverride"`
	Roles         []string `json:"iamRolesToOverride"`
	PreferredRole *string  `json:"preferredRole"`
}

// claimChanges is what the function wants of one token.
type claimChanges struct {
	Add      map[string]json.RawMessage `json:"claimsToAddOrOverride"`
	Suppress []string                   `json:"claimsToSuppress"`

	// Of the access token:
	ScopesToAdd      []string `json:"scopesToAdd"`
	ScopesToSuppress []string `json:"scopesToSuppress"`
}

type tokenResponseV1 struct {
	Details *struct {
		Add      map[string]string `json:"claimsToAddOrOverride"`
		Suppress []string          `json:"claimsToSuppress"`
		Groups   json.RawMessage   `json:"groupOverrideDetails"`
	} `json:"claimsOverrideDetails"`
}

type tokenResponseV2 struct {
	Details *struct {
		ID     *claimChanges   `json:"idTokenGeneration"`
		Access *claimChanges   `json:"accessTokenGeneration"`
		Groups json.RawMessage `json:"groupOverrideDetails"`
	} `json:"claimsAndScopeOverrideDetails"`
}

// preTokenGeneration returns the function of the pool and the version of its event; nil if there is none.
func (p *pool) preTokenGeneration() (function *string, version string) {
	t := p.Settings.LambdaConfig
	switch {
	case t == nil:
		return nil, ""
	case t.PreTokenGenerationConfig != nil:
		return t.PreTokenGenerationConfig.LambdaArn, *t.PreTokenGenerationConfig.LambdaVersion
	}
	return t.PreTokenGeneration, cognitoidp.PreTokenGenerationLambdaVersionTypeV10
}

// customizeTokens has PreTokenGeneration change the claims of the tokens that are about to be issued to u.
func (s *Service) customizeTokens(ctx context.Context, p *pool, c *client, u *user, why generation, access, id claims) error {
	function, version := p.preTokenGeneration()
	if !s.configures(function) {
		return nil
	}
	request := tokenRequest{UserAttributes: u.eventAttributes(), ClientMetadata: why.metadata, Groups: groupConfiguration{Groups: []string{}, Roles: []string{}}}
	if groups, ok := id[claimGroups].([]string); ok {
		request.Groups.Groups = groups
	}
	if roles, ok := id[claimRoles].([]string); ok {
		request.Groups.Roles = roles
	}
	if role, ok := id[claimPreferredRole].(string); ok {
		request.Groups.PreferredRole = &role
	}
	o := occasion{trigger: triggerPreToken, source: why.source, version: version[1:2], function: function, client: c.ID, userName: u.Username}
	var forID, forAccess *claimChanges
	var groups json.RawMessage
	if version == cognitoidp.PreTokenGenerationLambdaVersionTypeV10 {
		var answer tokenResponseV1
		if err := s.call(ctx, p, o, request, tokenResponseV1Preset{}, &answer); err != nil {
			return err
		}
		if d := answer.Details; d != nil {
			forID, groups = &claimChanges{Add: map[string]json.RawMessage{}, Suppress: d.Suppress}, d.Groups
			for name, value := range d.Add {
				text, err := json.Marshal(value)
				if err != nil {
					return err
				}
				forID.Add[name] = text
			}
		}
	} else {
		request.Scopes = strings.Fields(access["scope"].(string))
		var answer tokenResponseV2
		if err := s.call(ctx, p, o, request, tokenResponseV2Preset{}, &answer); err != nil {
			return err
		}
		if d := answer.Details; d != nil {
			forID, forAccess, groups = d.ID, d.Access, d.Groups
		}
	}
	if err := overrideGroups(access, id, groups); err != nil {
		return err
	}
	if err := id.change(forID, func(name string, value json.RawMessage) bool {
		return !isComplex(value) || !slices.Contains(plainClaims, name)
	}); err != nil {
		return err
	}
	if err := access.change(forAccess, func(name string, value json.RawMessage) bool { return true }); err != nil {
		return err
	}
	return access.changeScopes(forAccess)
}

// The response as an event has it before the function fills it in.
type (
	tokenResponseV1Preset struct {
		Details *struct{} `json:"claimsOverrideDetails"`
	}
	tokenResponseV2Preset struct {
		Details *struct{} `json:"claimsAndScopeOverrideDetails"`
	}
)

const (
	claimGroups        = "cognito:groups"
	claimRoles         = "cognito:roles"
	claimPreferredRole = "cognito:preferred_role"
)

// fixedClaims cannot be changed, nor can any that begins with cognito:.
var fixedClaims = []string{"acr", "amr", "at_hash", "aud", "auth_time", "azp", "client_id", "username", "device_key", "event_id", "exp", "iat",
	"identities", "iss", "jti", "nbf", "nonce", "origin_jti", "sub", "token_use", "version", "scope"}

// plainClaims are those that take no array or object in an ID token.
var plainClaims = []string{attrPhoneVerified, attrEmailVerified, "updated_at", "address"}

// customClaimsMost bounds the claims of one token, in bytes of JSON: tokens travel in headers.
const customClaimsMost = 16 << 10

func isComplex(value json.RawMessage) bool {
	value = bytes.TrimSpace(value)
	return len(value) > 0 && (value[0] == '{' || value[0] == '[')
}

// change adds and suppresses claims; what is suppressed stays so. Fixed claims are left as they are. fits says whether a
// claim takes a value.
func (c claims) change(changes *claimChanges, fits func(name string, value json.RawMessage) bool) error {
	if changes == nil {
		return nil
	}
	size := 0
	for name, value := range changes.Add {
		if size += len(name) + len(value); size > customClaimsMost || !fits(name, value) {
			return errLambdaOutput
		}
		if name == "aud" && c["token_use"] == "access" { // the access token has none of its own
			var aud string
			if json.Unmarshal(value, &aud) == nil && aud == c["client_id"] {
				c[name] = aud
			}
			continue
		}
		if !slices.Contains(fixedClaims, name) && !strings.HasPrefix(name, "cognito:") && !strings.HasPrefix(name, "dev:") && string(value) != "null" {
			c[name] = value
		}
	}
	for _, name := range changes.Suppress {
		switch {
		case name == claimGroups:
			delete(c, claimGroups)
			delete(c, claimRoles)
			delete(c, claimPreferredRole)
		case !slices.Contains(fixedClaims, name) && !strings.HasPrefix(name, "cognito:"):
			delete(c, name)
		}
	}
	return nil
}

// changeScopes adds and suppresses scopes of an access token.
func (c claims) changeScopes(changes *claimChanges) error {
	if changes == nil {
		return nil
	}
	scopes := strings.Fields(c["scope"].(string))
	for _, scope := range changes.ScopesToAdd {
		if scope == "" || strings.ContainsAny(scope, " \t\r\n") {
			return errLambdaOutput
		}
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	scopes = slices.DeleteFunc(scopes, func(scope string) bool { return slices.Contains(changes.ScopesToSuppress, scope) })
	c["scope"] = strings.Join(scopes, " ")
	if len(c["scope"].(string)) > customClaimsMost {
		return errLambdaOutput
	}
	return nil
}

// overrideGroups replaces the groups and roles of both tokens by those that the function returned; where it returned
// nothing in their place, there are none. Without the member they stay.
func overrideGroups(access, id claims, override json.RawMessage) error {
	if override == nil {
		return nil
	}
	var g groupConfiguration
	if len(override) > customClaimsMost {
		return errLambdaOutput
	}
	if err := json.Unmarshal(override, &g); err != nil {
		return errLambdaOutput.With(err)
	}
	for _, name := range []string{claimGroups, claimRoles, claimPreferredRole} {
		delete(access, name)
		delete(id, name)
	}
	if len(g.Groups) > 0 {
		access[claimGroups], id[claimGroups] = g.Groups, g.Groups
	}
	if len(g.Roles) > 0 {
		id[claimRoles] = g.Roles
	}
	if deref(g.PreferredRole) != "" {
		id[claimPreferredRole] = *g.PreferredRole
	}
	return nil
}
