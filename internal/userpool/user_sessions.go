package userpool

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// A session is a sign-in while it can be refreshed, known by its origin_jti. Only pools that track sessions write them down.
//
// Source: Amazon Cognito developer guide, "Managing user sessions".

// sessionSettings is what a pool, or one of its clients, sets for sessions.
type sessionSettings struct {
	Tracked    bool  `json:"tracked,omitempty"`    // of a pool
	MaxPerUser int32 `json:"maxPerUser,omitempty"` // of a pool
	SSOMinutes int32 `json:"ssoMinutes"`           // of a client
}

// What is in force where nothing was set.
var (
	defaultPoolSessions   = sessionSettings{MaxPerUser: 20}
	defaultClientSessions = sessionSettings{SSOMinutes: 60}
)

// activeEvery is how exactly a session tells when it was last active.
const activeEvery = time.Minute

// mostSessions is how many sessions a list has at most, all of a user's: MaxPerUser bounds them.
const mostSessions = 125

// readSessionSettings returns what a pool, or with a client id one of its clients, has set.
func readSessionSettings(ctx context.Context, q db.Querier, poolID, clientID string, unset sessionSettings) (sessionSettings, error) {
	doc, err := db.One[db.JSON[sessionSettings]](ctx, q, `SELECT doc FROM user_pool_session_settings WHERE pool_id = $1 AND client_id = $2`, poolID, clientID)
	if errors.Is(err, db.ErrNotFound) {
		return unset, nil
	}
	return doc.V, err
}

func writeSessionSettings(ctx context.Context, tx *db.Tx, poolID, clientID string, doc sessionSettings) error {
	tx.Invalidate(poolScope(poolID))
	_, err := tx.ExecContext(ctx, `INSERT INTO user_pool_session_settings (pool_id, client_id, doc) VALUES ($1, $2, $3)
		ON CONFLICT (pool_id, client_id) DO UPDATE SET doc = excluded.doc`, poolID, clientID, db.JSON[sessionSettings]{V: doc})
	return err
}

// GetUserPoolSessionConfiguration tells whether a pool tracks sessions, and how many a user can have.
func (s *Service) GetUserPoolSessionConfiguration(ctx context.Context, in *cognitoidp.GetUserPoolSessionConfigurationRequest) (*cognitoidp.GetUserPoolSessionConfigurationResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	tracking, session := p.sessions.wire()
	return &cognitoidp.GetUserPoolSessionConfigurationResponse{UserPoolId: &p.ID, UserSessionTracking: tracking, TokenSession: session}, nil
}

func (t sessionSettings) wire() (tracking *string, session *cognitoidp.UserPoolTokenSessionConfigType) {
	tracking = new(cognitoidp.UserSessionTrackingTypeDisabled)
	if t.Tracked {
		tracking = new(cognitoidp.UserSessionTrackingTypeEnabled)
	}
	return tracking, &cognitoidp.UserPoolTokenSessionConfigType{MaxPerUser: &t.MaxPerUser}
}

// SetUserPoolSessionConfiguration has a pool track sessions or not, and sets how many a user can have.
func (s *Service) SetUserPoolSessionConfiguration(ctx context.Context, in *cognitoidp.SetUserPoolSessionConfigurationRequest) (*cognitoidp.SetUserPoolSessionConfigurationResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	doc := sessionSettings{Tracked: *in.UserSessionTracking == cognitoidp.UserSessionTrackingTypeEnabled, MaxPerUser: *in.TokenSession.MaxPerUser}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if err := sessionsInTier(ctx, tx, p.ID); err != nil {
			return err
		}
		return writeSessionSettings(ctx, tx, p.ID, "", doc)
	})
	if err != nil {
		return nil, err
	}
	tracking, session := doc.wire()
	return &cognitoidp.SetUserPoolSessionConfigurationResponse{UserPoolId: &p.ID, UserSessionTracking: tracking, TokenSession: session}, nil
}

func sessionsInTier(ctx context.Context, tx *db.Tx, poolID string) error {
	p, err := readPool(ctx, tx, poolID)
	if err == nil && *p.Settings.UserPoolTier == cognitoidp.UserPoolTierTypeLite {
		err = errSessionsTier
	}
	return err
}

// GetUserPoolClientSessionConfiguration tells for how long a client takes up the sign-in of another in the same browser.
func (s *Service) GetUserPoolClientSessionConfiguration(ctx context.Context, in *cognitoidp.GetUserPoolClientSessionConfigurationRequest) (*cognitoidp.GetUserPoolClientSessionConfigurationResponse, error) {
	c, p, err := s.poolClient(ctx, *in.UserPoolId, *in.ClientId)
	if err != nil {
		return nil, err
	}
	doc, err := readSessionSettings(ctx, s.DB, p.ID, c.ID, defaultClientSessions)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.GetUserPoolClientSessionConfigurationResponse{UserPoolId: &p.ID, ClientId: &c.ID,
		SSOSession: &cognitoidp.ClientSSOSessionConfigType{MaxValidityMinutes: &doc.SSOMinutes}}, nil
}

// SetUserPoolClientSessionConfiguration sets for how long a client takes up the sign-in of another in the same browser. It
// takes effect on sign-in pages alone.
func (s *Service) SetUserPoolClientSessionConfiguration(ctx context.Context, in *cognitoidp.SetUserPoolClientSessionConfigurationRequest) (*cognitoidp.SetUserPoolClientSessionConfigurationResponse, error) {
	c, p, err := s.poolClient(ctx, *in.UserPoolId, *in.ClientId)
	if err != nil {
		return nil, err
	}
	doc := sessionSettings{SSOMinutes: *in.SSOSession.MaxValidityMinutes}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if err := sessionsInTier(ctx, tx, p.ID); err != nil {
			return err
		}
		settings, err := readSessionSettings(ctx, tx, p.ID, "", defaultPoolSessions)
		if err != nil {
			return err
		}
		if !settings.Tracked {
			return errSessionsUntracked
		}
		if _, err := readClientRow(ctx, tx, p, c.ID); err != nil {
			return err
		}
		return writeSessionSettings(ctx, tx, p.ID, c.ID, doc)
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.SetUserPoolClientSessionConfigurationResponse{UserPoolId: &p.ID, ClientId: &c.ID,
		SSOSession: &cognitoidp.ClientSSOSessionConfigType{MaxValidityMinutes: &doc.SSOMinutes}}, nil
}

// sessionRecord is a session as it is written down.
type sessionRecord struct {
	ID, ClientID             string
	Created, Active, Expires int64
}

// wireID is the SessionId of a session: 28 lower-case letters and digits, of which the first three tell its type.
func (r *sessionRecord) wireID() string {
	sum := sha256.Sum256([]byte("session " + r.ID))
	return "tkn" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:25]
}

// liveSessions returns the sessions of a user that were not ended, the most recently active first.
func (s *Service) liveSessions(ctx context.Context, q db.Querier, p *pool, sub string) ([]sessionRecord, error) {
	return db.All[sessionRecord](ctx, q, `SELECT s.id, s.client_id, s.created, s.active, s.expires FROM user_sessions s
		JOIN users u ON u.pool_id = s.pool_id AND u.sub = s.sub
		WHERE s.pool_id = $1 AND s.sub = $2 AND s.expires > $3 AND s.created > u.tokens_after
			AND NOT EXISTS (SELECT 1 FROM token_revocations r WHERE r.pool_id = s.pool_id AND r.origin_jti = s.id)
		ORDER BY s.active DESC, s.created DESC, s.id LIMIT $4`, p.ID, sub, s.now(), mostSessions)
}

// trackSession writes down a sign-in where the pool tracks them. A user who has as many sessions as the pool allows loses
// the one that was not active for the longest time.
func (s *Service) trackSession(ctx context.Context, p *pool, g grant) error {
	if !p.sessions.Tracked {
		return nil
	}
	now := s.now()
	created, _ := originTime(g.Origin)
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		live, err := s.liveSessions(ctx, tx, p, g.Sub)
		if err != nil {
			return err
		}
		for _, old := range live[min(len(live), int(p.sessions.MaxPerUser)-1):] {
			if err := s.endSession(ctx, tx, p, g.Sub, old); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO user_sessions (pool_id, sub, id, client_id, created, active, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			p.ID, g.Sub, g.Origin, g.Client, created, now, g.Expires)
		return err
	})
}

// touchSession writes down that a session was refreshed, where the pool tracks sessions.
func (s *Service) touchSession(ctx context.Context, p *pool, g grant) error {
	if !p.sessions.Tracked {
		return nil
	}
	now := s.now()
	due, err := hasRow(ctx, s.DB, `SELECT 1 FROM user_sessions WHERE pool_id = $1 AND sub = $2 AND id = $3 AND active <= $4`,
		p.ID, g.Sub, g.Origin, now-activeEvery.Microseconds())
	if err != nil || !due {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE user_sessions SET active = $4 WHERE pool_id = $1 AND sub = $2 AND id = $3`, p.ID, g.Sub, g.Origin, now)
		return err
	})
}

// endSession revokes the tokens of a session and forgets it.
func (s *Service) endSession(ctx context.Context, tx *db.Tx, p *pool, sub string, r sessionRecord) error {
	if err := s.revoke(ctx, tx, p, grant{Sub: sub, Origin: r.ID}, r.Expires+longestToken.Microseconds()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM user_sessions WHERE pool_id = $1 AND sub = $2 AND id = $3`, p.ID, sub, r.ID)
	return err
}

// ListUserSessions lists the sessions of the user who calls.
func (s *Service) ListUserSessions(ctx context.Context, in *cognitoidp.ListUserSessionsRequest) (*cognitoidp.ListUserSessionsResponse, error) {
	b := bearerFrom(ctx)
	list, err := s.listSessions(ctx, b.pool, b.user, b.token.OriginJTI, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.ListUserSessionsResponse{Sessions: list}, nil
}

// AdminListUserSessions lists the sessions of a user.
func (s *Service) AdminListUserSessions(ctx context.Context, in *cognitoidp.AdminListUserSessionsRequest) (*cognitoidp.AdminListUserSessionsResponse, error) {
	p, u, err := s.adminUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	list, err := s.listSessions(ctx, p, u, "", in.NextToken)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.AdminListUserSessionsResponse{Sessions: list}, nil
}

// listSessions lists all sessions of a user in one page. current is the one that the caller's access token belongs to.
func (s *Service) listSessions(ctx context.Context, p *pool, u *user, current string, token *string) ([]cognitoidp.SessionDescriptionType, error) {
	if _, err := s.openPage(token, nil, "ListUserSessions", p.ID, u.Sub); err != nil {
		return nil, err
	}
	if !p.sessions.Tracked {
		return nil, errSessionsUntracked
	}
	live, err := s.liveSessions(ctx, s.DB, p, u.Sub)
	if err != nil {
		return nil, err
	}
	list := []cognitoidp.SessionDescriptionType{}
	for i := range live {
		r := &live[i]
		d := cognitoidp.SessionDescriptionType{SessionId: new(r.wireID()), SessionType: new(cognitoidp.SessionTypeTypeToken), ClientId: &r.ClientID,
			CreateDate: new(timeOf(r.Created)), LastActiveDate: new(timeOf(r.Active))}
		if current != "" {
			d.IsCurrentSession = new(r.ID == current)
		}
		list = append(list, d)
	}
	return list, nil
}

// RevokeUserSession ends another session of the user who calls.
func (s *Service) RevokeUserSession(ctx context.Context, in *cognitoidp.RevokeUserSessionRequest) (*cognitoidp.RevokeUserSessionResponse, error) {
	b := bearerFrom(ctx)
	if current := (sessionRecord{ID: b.token.OriginJTI}); *in.SessionId == current.wireID() {
		return nil, errSessionCurrent
	}
	return nil, s.revokeSession(ctx, b.pool, b.user, *in.SessionId)
}

// AdminRevokeUserSession ends a session of a user.
func (s *Service) AdminRevokeUserSession(ctx context.Context, in *cognitoidp.AdminRevokeUserSessionRequest) (*cognitoidp.AdminRevokeUserSessionResponse, error) {
	p, u, err := s.adminUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	return nil, s.revokeSession(ctx, p, u, *in.SessionId)
}

// revokeSession ends a session. None is linked to another: those of sign-in pages would be.
func (s *Service) revokeSession(ctx context.Context, p *pool, u *user, id string) error {
	if !p.sessions.Tracked {
		return errSessionsUntracked
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		live, err := s.liveSessions(ctx, tx, p, u.Sub)
		if err != nil {
			return err
		}
		for _, r := range live {
			if r.wireID() == id {
				return s.endSession(ctx, tx, p, u.Sub, r)
			}
		}
		return errSessionNotFound
	})
}
