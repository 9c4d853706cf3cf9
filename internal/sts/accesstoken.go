package sts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"usher/internal/api/sts"
)

const (
	facebook = "graph.facebook.com"
	amazon   = "www.amazon.com"

	accessTokenTime  = 5 * time.Second
	accessTokenBytes = 64 << 10
	// maxAsking bounds how many questions to the providers are under way, since anybody may cause them.
	maxAsking = 64
)

// Providers are the built-in web identity providers where they really are. An empty field is the provider's own address.
type Providers struct {
	Google   string // issuer of ID tokens
	Facebook string // Graph API
	Amazon   string // Login with Amazon API
}

func (p *Providers) complete() {
	for at, address := range map[*string]string{&p.Google: "https://" + google, &p.Facebook: "https://" + facebook, &p.Amazon: "https://api.amazon.com"} {
		if *at == "" {
			*at = address
		}
	}
}

var (
	errTokenRejected = sts.ErrIDPRejectedClaim.Msg("The identity provider rejected the access token.")
	errProviderDown  = sts.ErrIDPCommunicationError.Msg("The identity provider could not be reached.")
)

// verifyAccessToken asks Facebook or Amazon whose an OAuth 2.0 access token is, and which app's.
func (s *Service) verifyAccessToken(ctx context.Context, provider, token string) (*externalIdentity, error) {
	id := &externalIdentity{principal: provider, prefix: provider, issuer: provider}
	switch provider {
	case facebook: // Graph API: the app, and the user, that a token is for
		bearer := "Bearer " + token
		var app, user struct{ ID string }
		if err := s.ask(ctx, s.Providers.Facebook+"/app?fields=id", bearer, &app); err != nil {
			return nil, err
		}
		if err := s.ask(ctx, s.Providers.Facebook+"/me?fields=id", bearer, &user); err != nil {
			return nil, err
		}
		id.audience, id.subject = app.ID, user.ID
		id.add("app_id", app.ID)
		id.add("id", user.ID)
	case amazon: // Login with Amazon Developer Guide, "Access Token": tokeninfo
		var info struct {
			AppID   string `json:"app_id"`
			UserID  string `json:"user_id"`
			Issuer  string `json:"iss"`
			Expires int64  `json:"exp"` // seconds left
		}
		if err := s.ask(ctx, s.Providers.Amazon+"/auth/o2/tokeninfo?access_token="+url.QueryEscape(token), "", &info); err != nil {
			return nil, err
		}
		if info.Issuer != "https://"+amazon || info.Expires <= 0 {
			return nil, errTokenRejected
		}
		id.audience, id.subject = info.AppID, info.UserID
		id.add("app_id", info.AppID)
		id.add("user_id", info.UserID)
	default:
		return nil, sts.ErrInvalidIdentityToken.Msg("%s is not a provider of OAuth 2.0 access tokens.", provider)
	}
	if id.audience == "" || id.subject == "" {
		return nil, errTokenRejected
	}
	return id, nil
}

// ask reads a JSON object from a provider. The address may hold the token: it must not get into errors.
func (s *Service) ask(ctx context.Context, address, authorization string, into any) error {
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	default:
		return errProviderDown.With(errors.New("too many questions under way"))
	}
	ctx, cancel := context.WithTimeout(ctx, accessTokenTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errProviderDown.With(unaddressed(err))
	}
	r.Header.Set("Accept", "application/json")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, err := askingClient.Do(r)
	if err != nil {
		return errProviderDown.With(unaddressed(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, accessTokenBytes))
	switch {
	case err != nil:
		return errProviderDown.With(err)
	case response.StatusCode >= 400 && response.StatusCode < 500 && response.StatusCode != http.StatusTooManyRequests:
		return errTokenRejected.With(fmt.Errorf("status %d", response.StatusCode))
	case response.StatusCode != http.StatusOK:
		return errProviderDown.With(fmt.Errorf("status %d", response.StatusCode))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errProviderDown.With(err)
	}
	return nil
}

// askingClient follows nobody elsewhere with a token.
var askingClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// unaddressed is the cause of an error without the address that was asked.
func unaddressed(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
