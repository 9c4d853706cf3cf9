package sts

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"usher/internal/access"
	"usher/internal/api/sts"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/ids"
	"usher/internal/policy"
)

const (
	defaultOutbound = 300 // seconds
	maxOutbound     = 16 << 10

	claimNamespace = "https://sts.amazonaws.com/"
)

// outboundTargets: the permission to get a token, and the one to put tags into it.
func outboundTargets(in *sts.GetWebIdentityTokenRequest) ([]awsapi.Target, error) {
	tags, err := sessionTags(in.Tags, nil, nil)
	if err != nil {
		return nil, err
	}
	keys := map[string][]string{
		"sts:IdentityTokenAudience": in.Audience, "sts:SigningAlgorithm": {*in.SigningAlgorithm},
		"sts:DurationSeconds": {strconv.Itoa(outboundSeconds(in))},
	}
	tagKeys(keys, tags)
	targets := []awsapi.Target{{Resource: "*", Keys: keys}}
	if len(tags) > 0 {
		targets = append(targets, awsapi.Target{Action: "sts:TagGetWebIdentityToken", Resource: "*", Keys: keys})
	}
	return targets, nil
}

func outboundSeconds(in *sts.GetWebIdentityTokenRequest) int {
	if in.DurationSeconds == nil {
		return defaultOutbound
	}
	return int(*in.DurationSeconds)
}

// GetWebIdentityToken implements sts:GetWebIdentityToken: a token that tells others who the caller is.
func (s *Service) GetWebIdentityToken(ctx context.Context, in *sts.GetWebIdentityTokenRequest) (*sts.GetWebIdentityTokenResponse, error) {
	p := access.PrincipalOf(ctx)
	if p == nil {
		return nil, awsapi.ErrMissingAuthentication
	}
	issuer, err := s.IAM.OutboundIssuer(ctx, p.AccountID)
	if err != nil {
		return nil, err
	}
	if !issuer.Enabled {
		return nil, sts.ErrOutboundWebIdentityFederationDisabled.Msg("Outbound web identity federation is not enabled for this account.")
	}
	tags, err := sessionTags(in.Tags, nil, nil)
	if err != nil {
		return nil, err
	}
	now := s.Now().UTC().Truncate(time.Second)
	expires := now.Add(time.Duration(outboundSeconds(in)) * time.Second)
	if p.Session != nil && expires.After(p.Session.Expiry) {
		return nil, sts.ErrSessionDurationEscalation.Msg("The requested token duration would extend the session beyond its original expiration time.")
	}
	signer, err := s.outboundSigner(ctx, *in.SigningAlgorithm)
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(outboundClaims(ctx, p, issuer.URL, in.Audience, tags, now, expires))
	if err != nil {
		return nil, err
	}
	if len(payload) > maxOutbound {
		return nil, sts.ErrJWTPayloadSizeExceeded.Msg("The requested token payload size exceeds the maximum allowed size.")
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return nil, err
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		return nil, err
	}
	return &sts.GetWebIdentityTokenResponse{WebIdentityToken: &text, Expiration: &expires}, nil
}

// outboundClaims are the claims of a token (IAM User Guide, "Understanding token claims").
func outboundClaims(ctx context.Context, p *access.Principal, issuer string, audience []string, tags []access.Tag, now, expires time.Time) map[string]any {
	subject := p.ARN
	if p.Kind == policy.RoleSession {
		subject = p.ParentARN
	}
	own := map[string]any{"aws_account": p.AccountID, "source_region": access.RegionOf(ctx), "principal_id": subject}
	if p.Organization.ID != "" {
		own["org_id"], own["ou_path"] = p.Organization.ID, []string{p.Organization.Path}
	}
	principalTags := map[string]string{}
	maps.Copy(principalTags, p.Tags)
	if p.Session != nil {
		for _, t := range p.Session.Tags {
			maps.DeleteFunc(principalTags, func(key, _ string) bool { return strings.EqualFold(key, t.Key) })
			principalTags[t.Key] = t.Value
		}
		own["original_session_exp"] = p.Session.Expiry.UTC().Format(time.RFC3339)
		if p.Session.Provider != "" {
			own["federated_provider"] = p.Session.Provider
		}
		if p.Session.SourceIdentity != "" {
			own["source_identity"] = p.Session.SourceIdentity
		}
	}
	if len(principalTags) > 0 {
		own["principal_tags"] = principalTags
	}
	if len(tags) > 0 {
		requestTags := map[string]string{}
		for _, t := range tags {
			requestTags[t.Key] = t.Value
		}
		own["request_tags"] = requestTags
	}
	claims := map[string]any{
		"iss": issuer, "sub": subject, "aud": audience, "iat": now.Unix(), "exp": expires.Unix(), "jti": ids.UUID(), claimNamespace: own,
	}
	if len(audience) == 1 {
		claims["aud"] = audience[0]
	}
	return claims
}

// outboundSigner signs with the key for an algorithm.
func (s *Service) outboundSigner(ctx context.Context, algorithm string) (jose.Signer, error) {
	if algorithm != "RS256" && algorithm != "ES384" {
		return nil, errValidation.Msg("1 validation error detected: Value '%s' at 'signingAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [RS256, ES384]", algorithm)
	}
	keys, err := s.IAM.OutboundKeys(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.Algorithm == algorithm {
			return jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: jose.JSONWebKey{Key: k.Key, KeyID: k.ID}},
				(&jose.SignerOptions{}).WithType("JWT"))
		}
	}
	return nil, errors.New("sts: no key for " + algorithm)
}

// Discovery serves the discovery documents and keys of the accounts as issuers, under the path of iam.Service.OutboundURL:
// {id}/.well-known/openid-configuration and {id}/.well-known/jwks.json. prefix is that path, such as "/sts/".
func (s *Service) Discovery(prefix string) http.Handler {
	mux := http.NewServeMux()
	serve := func(name string, document func(context.Context, string) (any, error)) {
		mux.HandleFunc("GET "+prefix+"{id}/.well-known/"+name, func(w http.ResponseWriter, r *http.Request) {
			issuer, err := s.IAM.OutboundIssuerURL(r.Context(), r.PathValue("id"))
			var body []byte
			if err == nil {
				var v any
				if v, err = document(r.Context(), issuer); err == nil {
					body, err = json.Marshal(v)
				}
			}
			switch {
			case errors.Is(err, db.ErrNotFound):
				http.NotFound(w, r)
			case err != nil:
				http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
			default:
				h := w.Header()
				h.Set("Content-Type", "application/json")
				h.Set("Cache-Control", "public, max-age=3600")
				h.Set("Access-Control-Allow-Origin", "*")
				w.Write(body)
			}
		})
	}
	serve("openid-configuration", func(_ context.Context, issuer string) (any, error) {
		return struct {
			Issuer        string   `json:"issuer"`
			JWKS          string   `json:"jwks_uri"`
			ResponseTypes []string `json:"response_types_supported"`
			SubjectTypes  []string `json:"subject_types_supported"`
			Algorithms    []string `json:"id_token_signing_alg_values_supported"`
			Claims        []string `json:"claims_supported"`
		}{issuer, issuer + "/.well-known/jwks.json", []string{"id_token"}, []string{"public"}, []string{"RS256", "ES384"},
			[]string{"iss", "sub", "aud", "iat", "exp", "jti", claimNamespace}}, nil
	})
	serve("jwks.json", func(ctx context.Context, _ string) (any, error) {
		keys, err := s.IAM.OutboundKeys(ctx)
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
		for _, k := range keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Key.Public(), KeyID: k.ID, Algorithm: k.Algorithm, Use: "sig"})
		}
		return set, err
	})
	return mux
}
