package userpool

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
	"usher/internal/token"
)

const refreshTokenVersion = 2

// longestToken is the longest life of an access or ID token (AccessTokenValidityType).
const longestToken = 24 * time.Hour

// sealRefreshToken returns the refresh token of g. It is opaque to clients and good in this pool only.
func (s *Service) sealRefreshToken(p *pool, g grant) string {
	var w packer
	w.text(g.Client)
	w.text(g.Sub)
	w.text(g.Origin)
	w.text(g.Event)
	w.number(g.AuthTime)
	w.number(g.Expires)
	w.number(g.Turn)
	w.text(g.Device)
	return base64.RawURLEncoding.EncodeToString(s.Seal.Box(boxRefresh).Seal(w, boundTo(refreshTokenVersion, p.ID, "")))
}

// openRefreshToken returns the grant that a refresh token of pool p seals, whatever its client and even if it has expired.
func (s *Service) openRefreshToken(p *pool, text string) (grant, error) {
	var g grant
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return g, errRefresh
	}
	plain, err := s.Seal.Box(boxRefresh).Open(sealed, boundTo(refreshTokenVersion, p.ID, ""))
	if err != nil {
		return g, errRefresh.With(err)
	}
	r := unpacker{rest: plain}
	g.Client, g.Sub, g.Origin, g.Event = r.text(), r.text(), r.text(), r.text()
	g.AuthTime, g.Expires, g.Turn, g.Device = r.number(), r.number(), r.number(), r.text()
	if !r.done() {
		return g, errRefresh
	}
	return g, nil
}

// refresh is REFRESH_TOKEN_AUTH. The answer has no refresh token: the one at hand stays good until it expires.
func (a *signIn) refresh(ctx context.Context) (*outcome, error) {
	text, err := a.param("REFRESH_TOKEN")
	if err != nil {
		return nil, err
	}
	g, u, err := a.openGrant(ctx, a.pool, a.client, text, a.params["DEVICE_KEY"])
	if err != nil {
		return nil, err
	}
	hash := a.secretHash()
	if err := a.client.checkSecretHash(hash, u.Username); err != nil {
		if hash != nil {
			err = errRefreshSecretHash(a.client.ID)
		}
		return nil, err
	}
	if err := a.touchSession(ctx, a.pool, g); err != nil {
		return nil, err
	}
	tokens, err := a.issue(ctx, a.pool, a.client, u, g, generation{source: tokensRefresh})
	if err != nil {
		return nil, err
	}
	return &outcome{tokens: tokens}, nil
}

// openGrant returns the grant of a refresh token that client c may use now, and its user. In a pool that tracks devices it
// must come from the device that it was issued to.
func (s *Service) openGrant(ctx context.Context, p *pool, c *client, text, device string) (grant, *user, error) {
	g, err := s.openRefreshToken(p, text)
	if err != nil {
		return g, nil, err
	}
	if g.Client != c.ID {
		return g, nil, errRefresh
	}
	if s.Now().UnixMicro() >= g.Expires {
		return g, nil, errRefreshExpired
	}
	if p.tracksDevices() && g.Device != "" && g.Device != device {
		return g, nil, errRefreshDevice
	}
	u, revoked, err := s.userOfSession(ctx, p, g.Sub, g.Origin)
	if errors.Is(err, cognitoidp.ErrUserNotFound) {
		return g, nil, errRefresh
	} else if err != nil {
		return g, nil, err
	}
	switch {
	case !u.Enabled:
		return g, nil, errUserDisabled
	case revoked || startedBefore(g.Origin, g.AuthTime, u.TokensAfter):
		return g, nil, errRefreshRevoked
	}
	return g, u, statusAllows(u)
}

// statusAllows refuses what a signed-in user does while his status says that he could not sign in.
func statusAllows(u *user) error {
	switch u.Status {
	case cognitoidp.UserStatusTypeResetRequired:
		return errResetRequired
	case cognitoidp.UserStatusTypeUnconfirmed:
		return errUserNotConfirmed
	}
	return nil
}

// GetTokensFromRefreshToken is REFRESH_TOKEN_AUTH with the client's secret in place of a hash. Where the client rotates
// refresh tokens, the answer has the next one, good for the rest of the sign-in's time.
func (s *Service) GetTokensFromRefreshToken(ctx context.Context, in *cognitoidp.GetTokensFromRefreshTokenRequest) (*cognitoidp.GetTokensFromRefreshTokenResponse, error) {
	if s.Signer.Full() {
		return nil, errTooManyAtOnce.With(token.ErrOverloaded)
	}
	c, p, err := s.client(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	if !c.knows(in.ClientSecret) {
		return nil, cognitoidp.ErrNotAuthorized.Msg("Client %s is configured with secret but the secret did not match", c.ID)
	}
	g, u, err := s.openGrant(ctx, p, c, *in.RefreshToken, deref(in.DeviceKey))
	if err != nil {
		return nil, err
	}
	// The tokens come first: a trigger may refuse them, and the refresh token must not be used up for nothing.
	if err := s.touchSession(ctx, p, g); err != nil {
		return nil, err
	}
	tokens, err := s.issue(ctx, p, c, u, g, generation{tokensRefresh, in.ClientMetadata})
	if err != nil {
		return nil, err
	}
	if grace, rotates := c.rotation(); rotates {
		if g.Turn, err = s.rotate(ctx, p, g, grace); err != nil {
			return nil, err
		}
		tokens.RefreshToken = new(s.sealRefreshToken(p, g))
	}
	return &cognitoidp.GetTokensFromRefreshTokenResponse{AuthenticationResult: tokens}, nil
}

// knows reports whether secret is one of the client's; a public client has none to send.
func (c *client) knows(secret *string) bool {
	match := 0
	for _, s := range c.Secrets {
		match |= subtle.ConstantTimeCompare([]byte(s), []byte(deref(secret)))
	}
	return match == 1 || len(c.Secrets) == 0 && secret == nil
}

// rotation reports whether refresh tokens of the client are good for one use, and for how long after it they may be used
// again.
func (c *client) rotation() (grace time.Duration, on bool) {
	r := c.Settings.RefreshTokenRotation
	if r == nil || r.Feature == nil || *r.Feature != cognitoidp.FeatureTypeEnabled {
		return 0, false
	}
	if r.RetryGracePeriodSeconds != nil {
		grace = time.Duration(*r.RetryGracePeriodSeconds) * time.Second
	}
	return grace, true
}

type rotationRow struct {
	Turn  int64 // of the newest refresh token
	Since int64 // when it was issued, µs
}

// rotate takes the refresh token of g out of use and returns the turn of its successor. The token before the newest gives
// the newest turn again for the time of grace, since a client may not have received it. Any other use of a former token is
// theft by one of its two users, and ends the sign-in for both.
func (s *Service) rotate(ctx context.Context, p *pool, g grant, grace time.Duration) (turn int64, err error) {
	reused := false
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		reused = false
		now := s.Now().UnixMicro()
		row, err := db.One[rotationRow](ctx, tx, `SELECT turn, since FROM refresh_rotations WHERE pool_id = $1 AND origin_jti = $2`, p.ID, g.Origin)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
		switch {
		case g.Turn == row.Turn:
			turn = row.Turn + 1
			_, err := tx.ExecContext(ctx, `INSERT INTO refresh_rotations (pool_id, origin_jti, turn, since, expires) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (pool_id, origin_jti) DO UPDATE SET turn = excluded.turn, since = excluded.since`, p.ID, g.Origin, turn, now, g.Expires)
			return err
		case g.Turn == row.Turn-1 && now < row.Since+grace.Microseconds():
			turn = row.Turn
			return nil
		}
		reused = true
		return s.revoke(ctx, tx, p, g, g.Expires+longestToken.Microseconds())
	})
	if err == nil && reused {
		err = cognitoidp.ErrRefreshTokenReuse.Msg("Refresh token has been reused.")
	}
	return turn, err
}

// revoke ends the sign-in that g carries on, until its last token would have expired.
func (s *Service) revoke(ctx context.Context, tx *db.Tx, p *pool, g grant, expires int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO token_revocations (pool_id, origin_jti, expires) VALUES ($1, $2, $3) ON CONFLICT (pool_id, origin_jti) DO NOTHING`,
		p.ID, g.Origin, expires)
	if err != nil {
		return err
	}
	return s.signedOut(ctx, tx, g.Sub, g.Origin)
}

// signOut makes every token of the user that was issued up to now invalid.
func (s *Service) signOut(ctx context.Context, tx *db.Tx, u *user) error {
	u.revokeTokens(s.Now())
	return s.signedOut(ctx, tx, u.Sub, "")
}

func (s *Service) signedOut(ctx context.Context, tx *db.Tx, sub, origin string) error {
	if s.SignedOut == nil {
		return nil
	}
	return s.SignedOut(ctx, tx, sub, origin)
}

// RevokeToken ends the sign-in that a refresh token carries on: the token itself and the access and ID tokens of the same
// origin_jti. A token that means nothing here is as good as revoked.
func (s *Service) RevokeToken(ctx context.Context, in *cognitoidp.RevokeTokenRequest) (*cognitoidp.RevokeTokenResponse, error) {
	c, p, err := s.client(ctx, *in.ClientId)
	if errors.Is(err, cognitoidp.ErrResourceNotFound) {
		return nil, errUnauthorizedClient
	} else if err != nil {
		return nil, err
	}
	if !c.knows(in.ClientSecret) {
		return nil, errUnauthorizedClient
	}
	if !c.revocable() {
		return nil, cognitoidp.ErrUnsupportedOperation.Msg("Token revocation is not enabled for the client.")
	}
	if strings.Count(*in.Token, ".") == 2 {
		return nil, cognitoidp.ErrUnsupportedTokenType.Msg("Unsupported token type.")
	}
	g, err := s.openRefreshToken(p, *in.Token)
	ended := g.Expires + longestToken.Microseconds() // of the last tokens issued under it
	if err != nil || s.Now().UnixMicro() >= ended {
		return nil, nil
	}
	if g.Client != c.ID {
		return nil, errUnauthorizedClient
	}
	return nil, s.DB.Tx(ctx, func(tx *db.Tx) error { return s.revoke(ctx, tx, p, g, ended) })
}

var errUnauthorizedClient = cognitoidp.ErrUnauthorized.Msg("The client is not authorized.")

// GlobalSignOut ends every sign-in of the user who calls it.
func (s *Service) GlobalSignOut(ctx context.Context, in *cognitoidp.GlobalSignOutRequest) (*cognitoidp.GlobalSignOutResponse, error) {
	b := bearerFrom(ctx)
	_, err := s.updateFound(ctx, b.pool, b.user, func(tx *db.Tx, u *user) error {
		return s.signOut(ctx, tx, u)
	})
	return nil, err
}

// AdminUserGlobalSignOut ends every sign-in of a user.
func (s *Service) AdminUserGlobalSignOut(ctx context.Context, in *cognitoidp.AdminUserGlobalSignOutRequest) (*cognitoidp.AdminUserGlobalSignOutResponse, error) {
	return nil, s.changeUser(ctx, in.UserPoolId, in.Username, func(tx *db.Tx, _ *pool, u *user) error {
		return s.signOut(ctx, tx, u)
	})
}
