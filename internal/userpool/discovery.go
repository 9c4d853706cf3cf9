package userpool

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"usher/internal/api/cognitoidp"
)

// Issuer returns the iss of tokens of a pool: the URL under which its keys are published, or with AWSIssuer the one that AWS
// would write.
func (s *Service) Issuer(poolID string) string {
	if s.AWSIssuer {
		return s.awsURL() + "/" + poolID
	}
	return s.PublicURL + "/" + poolID
}

func (s *Service) awsURL() string { return "https://cognito-idp." + s.Region + ".amazonaws.com" }

// PoolOfIssuer returns the pool that iss names, if it has the form of an issuer of this server. It does not say whether there
// is such a pool.
func (s *Service) PoolOfIssuer(iss string) (poolID string, ok bool) {
	base, poolID := "", ""
	if i := strings.LastIndexByte(iss, '/'); i >= 0 {
		base, poolID = iss[:i], iss[i+1:]
	}
	ours := base == s.PublicURL || slices.Contains(s.AliasURLs, base) || s.AWSIssuer && base == s.awsURL()
	if !ours || strings.ContainsAny(poolID, "?#%") || !strings.Contains(poolID, "_") {
		return "", false
	}
	return poolID, true
}

const (
	jwksPath          = "/.well-known/jwks.json"
	configurationPath = "/.well-known/openid-configuration"
)

// Discovery serves the documents with which others verify a pool's tokens: "/{pool}/.well-known/jwks.json" and
// "/{pool}/.well-known/openid-configuration" (OpenID Connect Discovery 1.0). Anything else is not found. Keys may be added
// at any time, so whoever meets an unknown kid must fetch them again.
func (s *Service) Discovery() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Access-Control-Allow-Origin"] = anyOrigin
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodOptions:
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
			w.WriteHeader(http.StatusNoContent)
			return
		default:
			h.Set("Allow", "GET, HEAD, OPTIONS")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if err := s.DB.Refresh(r.Context()); err != nil {
			s.documentError(w, r, err)
			return
		}
		path := strings.TrimPrefix(r.URL.Path, "/")
		if poolID, ok := strings.CutSuffix(path, jwksPath); ok {
			s.document(w, r, poolID, func(k *poolKeys) []byte { return k.jwks })
		} else if poolID, ok := strings.CutSuffix(path, configurationPath); ok {
			s.document(w, r, poolID, func(k *poolKeys) []byte { return k.configuration })
		} else {
			http.NotFound(w, r)
		}
	})
}

// Header values that every answer shares.
var (
	anyOrigin    = []string{"*"}
	documentType = []string{"application/json"}
	cacheable    = []string{"public, max-age=300"}
)

func (s *Service) document(w http.ResponseWriter, r *http.Request, poolID string, of func(*poolKeys) []byte) {
	p, err := s.pool(r.Context(), poolID)
	if err != nil {
		s.documentError(w, r, err)
		return
	}
	body := of(p.keys)
	h := w.Header()
	h["Content-Type"] = documentType
	h["Cache-Control"] = cacheable
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.Write(body)
}

func (s *Service) documentError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, cognitoidp.ErrResourceNotFound) {
		http.NotFound(w, r)
		return
	}
	s.Log.ErrorContext(r.Context(), "discovery", "path", r.URL.Path, "error", err)
	http.Error(w, "internal error", http.StatusInternalServerError)
}

// configuration is the discovery document of a pool. There are no endpoints in it: the pool has no pages to sign in with.
func (s *Service) configuration(poolID string) []byte {
	doc, err := json.Marshal(map[string]any{
		"issuer":                                s.Issuer(poolID),
		"jwks_uri":                              s.PublicURL + "/" + poolID + jwksPath,
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"response_types_supported":              []string{"code", "token"},
		"scopes_supported":                      []string{"openid", "email", "phone", "profile"},
		"subject_types_supported":               []string{"public"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "token_use", "cognito:username", "cognito:groups", "email", "email_verified", "phone_number", "phone_number_verified"},
	})
	if err != nil {
		panic(err) // strings always encode
	}
	return doc
}
