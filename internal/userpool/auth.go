package userpool

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/ids"
	"usher/internal/token"
)

// InitiateAuth begins a sign-in, or refreshes one.
func (s *Service) InitiateAuth(ctx context.Context, in *cognitoidp.InitiateAuthRequest) (*cognitoidp.InitiateAuthResponse, error) {
	a, begun := signIn{Service: s, flow: *in.AuthFlow, params: in.AuthParameters, validation: in.ClientMetadata}, time.Now()
	out, err := a.initiate(ctx, *in.ClientId, in.Session)
	if err != nil {
		evenly(ctx, begun)
		return nil, err
	}
	return &cognitoidp.InitiateAuthResponse{ChallengeName: out.name(), Session: out.sessionText(), ChallengeParameters: out.parameters(), AuthenticationResult: out.tokens, AvailableChallenges: out.available}, nil
}

// AdminInitiateAuth is InitiateAuth by an administrator, who may also use the password flows of servers.
func (s *Service) AdminInitiateAuth(ctx context.Context, in *cognitoidp.AdminInitiateAuthRequest) (*cognitoidp.AdminInitiateAuthResponse, error) {
	a := signIn{Service: s, admin: *in.UserPoolId, flow: *in.AuthFlow, params: in.AuthParameters, validation: in.ClientMetadata}
	out, err := a.initiate(ctx, *in.ClientId, in.Session)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.AdminInitiateAuthResponse{ChallengeName: out.name(), Session: out.sessionText(), ChallengeParameters: out.parameters(), AuthenticationResult: out.tokens, AvailableChallenges: out.available}, nil
}

// RespondToAuthChallenge goes on with a sign-in.
func (s *Service) RespondToAuthChallenge(ctx context.Context, in *cognitoidp.RespondToAuthChallengeRequest) (*cognitoidp.RespondToAuthChallengeResponse, error) {
	a, begun := signIn{Service: s, params: in.ChallengeResponses, metadata: in.ClientMetadata}, time.Now()
	out, err := a.respond(ctx, *in.ClientId, *in.ChallengeName, in.Session)
	if err != nil {
		evenly(ctx, begun)
		return nil, err
	}
	return &cognitoidp.RespondToAuthChallengeResponse{ChallengeName: out.name(), Session: out.sessionText(), ChallengeParameters: out.parameters(), AuthenticationResult: out.tokens, AvailableChallenges: out.available}, nil
}

// AdminRespondToAuthChallenge goes on with a sign-in for an administrator.
func (s *Service) AdminRespondToAuthChallenge(ctx context.Context, in *cognitoidp.AdminRespondToAuthChallengeRequest) (*cognitoidp.AdminRespondToAuthChallengeResponse, error) {
	a := signIn{Service: s, admin: *in.UserPoolId, params: in.ChallengeResponses, metadata: in.ClientMetadata}
	out, err := a.respond(ctx, *in.ClientId, *in.ChallengeName, in.Session)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.AdminRespondToAuthChallengeResponse{ChallengeName: out.name(), Session: out.sessionText(), ChallengeParameters: out.parameters(), AuthenticationResult: out.tokens, AvailableChallenges: out.available}, nil
}

// signIn is one step of a sign-in: a call of InitiateAuth, RespondToAuthChallenge or their Admin variants. What the next
// step must know travels in a session or a secret block.
type signIn struct {
	*Service
	admin  string            // the pool that an administrator named; "" for a call from an app
	params map[string]string // AuthParameters or ChallengeResponses
	flow   string            // AuthFlow that began the sign-in

	// ClientMetadata, for triggers: of InitiateAuth, which only few are told, and of RespondToAuthChallenge.
	validation, metadata map[string]string

	pool   *pool
	client *client
	event  string // event_id

	// From the primary factor on:
	user     *user // whose sign-in it is, or an invented user
	failures int64 // of his that count

	passwordChosen bool // in this step

	custom string // key of the sign-in by custom challenges that a proof of the password is part of

	deviceKey string  // of the device that takes part; "" if there is none
	device    *device // as read for this step

	deviceProven bool // this step has proven the device
	mfaProven    bool // the first factor stands for the second, too

	migrationAsked bool // UserMigration was, in this step
}

// outcome is what a step leads to: a challenge or tokens.
type outcome struct {
	challenge string
	session   string // "" where the state is elsewhere
	params    map[string]string
	tokens    *cognitoidp.AuthenticationResultType
	available []string // AvailableChallenges of USER_AUTH
}

func (o *outcome) name() *string        { return optional(o.challenge) }
func (o *outcome) sessionText() *string { return optional(o.session) }

func (o *outcome) parameters() map[string]string {
	if o.params == nil {
		return map[string]string{}
	}
	return o.params
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// initiate begins a sign-in, unless so many wait for their tokens that this one would be refused after all the work.
func (a *signIn) initiate(ctx context.Context, clientID string, sessionText *string) (*outcome, error) {
	if a.Signer.Full() {
		return nil, errTooManyAtOnce.With(token.ErrOverloaded)
	}
	if err := a.loadClient(ctx, clientID); err != nil {
		return nil, err
	}
	if err := a.flowAllowed(); err != nil {
		return nil, err
	}
	a.event = ids.UUID()
	switch a.flow {
	case cognitoidp.AuthFlowTypeUserSrpAuth:
		return a.startSRP(ctx)
	case cognitoidp.AuthFlowTypeUserPasswordAuth, cognitoidp.AuthFlowTypeAdminUserPasswordAuth, cognitoidp.AuthFlowTypeAdminNoSrpAuth:
		return a.signInWithPassword(ctx)
	case cognitoidp.AuthFlowTypeRefreshTokenAuth, cognitoidp.AuthFlowTypeRefreshToken:
		return a.refresh(ctx)
	case cognitoidp.AuthFlowTypeCustomAuth:
		return a.startCustom(ctx)
	case cognitoidp.AuthFlowTypeUserAuth:
		return a.startChoice(ctx, sessionText)
	}
	return nil, errFlowNotEnabled
}

func (a *signIn) respond(ctx context.Context, clientID, challenge string, sessionText *string) (*outcome, error) {
	if err := a.loadClient(ctx, clientID); err != nil {
		return nil, err
	}
	if challenge == cognitoidp.ChallengeNameTypePasswordVerifier {
		a.event = ids.UUID()
		return a.finishSRP(ctx)
	}
	if sessionText == nil {
		return nil, errMissingParameter("Session")
	}
	st, err := a.openSession(a.pool, a.client, *sessionText)
	if err != nil {
		return nil, err
	}
	if st.Challenge != challenge && !st.offers(challenge) {
		return nil, errSession
	}
	a.flow, a.event, a.deviceKey = st.Flow, st.Event, st.Device
	if st.First {
		return a.answerFirst(ctx, st, challenge)
	}
	switch challenge {
	case cognitoidp.ChallengeNameTypeNewPasswordRequired:
		return a.answerNewPassword(ctx, st)
	case cognitoidp.ChallengeNameTypeCustomChallenge:
		return a.answerCustom(ctx, st)
	case factorSMS, factorTOTP, factorEmail:
		return a.answerFactor(ctx, st)
	case cognitoidp.ChallengeNameTypeSelectMfaType:
		return a.answerChoice(ctx, st)
	case cognitoidp.ChallengeNameTypeMfaSetup:
		return a.answerSetup(ctx, st)
	case cognitoidp.ChallengeNameTypeDeviceSrpAuth:
		return a.startDeviceSRP(ctx, st)
	case cognitoidp.ChallengeNameTypeDevicePasswordVerifier:
		return a.finishDeviceSRP(ctx, st)
	}
	return nil, errSession
}

// loadClient finds the client and its pool. An administrator names the pool too, and the client must be one of it.
func (a *signIn) loadClient(ctx context.Context, clientID string) (err error) {
	if a.admin != "" {
		if a.pool, err = a.ownPool(ctx, a.admin); err != nil {
			return err
		}
	}
	c, p, err := a.Service.client(ctx, clientID)
	if err != nil {
		return err
	}
	if a.admin != "" && p.ID != a.admin {
		return errClientNotFound(clientID)
	}
	a.client, a.pool = c, p
	awsapi.Annotate(ctx, "user_pool", p.ID)
	awsapi.Annotate(ctx, "client", c.ID)
	return nil
}

// flowAllowed checks AuthFlow against the client's ExplicitAuthFlows.
func (a *signIn) flowAllowed() error {
	admin := a.admin != ""
	switch a.flow {
	case cognitoidp.AuthFlowTypeUserPasswordAuth:
		if admin {
			return errFlowNotEnabled
		}
		if !a.client.allows(cognitoidp.ExplicitAuthFlowsTypeAllowUserPasswordAuth, cognitoidp.ExplicitAuthFlowsTypeUserPasswordAuth) {
			return errNamedFlowNotEnabled("USER_PASSWORD_AUTH")
		}
		return nil
	case cognitoidp.AuthFlowTypeAdminUserPasswordAuth, cognitoidp.AuthFlowTypeAdminNoSrpAuth:
		if !admin {
			return cognitoidp.ErrInvalidParameter.Msg("Initiate Auth method not supported.")
		}
		if a.client.allows(cognitoidp.ExplicitAuthFlowsTypeAllowAdminUserPasswordAuth, cognitoidp.ExplicitAuthFlowsTypeAdminNoSrpAuth) {
			return nil
		}
	case cognitoidp.AuthFlowTypeUserSrpAuth:
		if !a.client.allows(cognitoidp.ExplicitAuthFlowsTypeAllowUserSrpAuth, "") {
			return cognitoidp.ErrInvalidParameter.Msg("USER_SRP_AUTH is not enabled for the client.")
		}
		return nil
	case cognitoidp.AuthFlowTypeCustomAuth:
		if a.client.allows(cognitoidp.ExplicitAuthFlowsTypeAllowCustomAuth, "") {
			return nil
		}
	case cognitoidp.AuthFlowTypeUserAuth:
		if a.client.allows(cognitoidp.ExplicitAuthFlowsTypeAllowUserAuth, "") {
			return nil
		}
	case cognitoidp.AuthFlowTypeRefreshTokenAuth, cognitoidp.AuthFlowTypeRefreshToken:
		// Tokens that are rotated are refreshed by GetTokensFromRefreshToken only.
		if _, rotates := a.client.rotation(); !rotates && a.client.allows(cognitoidp.ExplicitAuthFlowsTypeAllowRefreshTokenAuth, "") {
			return nil
		}
	}
	return errFlowNotEnabled
}

// allows reports whether the client's ExplicitAuthFlows have the flow, by its name or by its older one. A client that names
// none has SRP, custom and refresh; so have those with older names, unless they are for custom sign-in only.
func (c *client) allows(flow, older string) bool {
	flows := c.Flows
	if slices.Contains(flows, flow) || older != "" && slices.Contains(flows, older) {
		return true
	}
	if slices.ContainsFunc(flows, func(f string) bool { return len(f) > 6 && f[:6] == "ALLOW_" }) {
		return false
	}
	switch flow {
	case cognitoidp.ExplicitAuthFlowsTypeAllowUserSrpAuth:
		return !slices.Contains(flows, cognitoidp.ExplicitAuthFlowsTypeCustomAuthFlowOnly)
	case cognitoidp.ExplicitAuthFlowsTypeAllowCustomAuth, cognitoidp.ExplicitAuthFlowsTypeAllowRefreshTokenAuth:
		return true
	}
	return false
}

// param returns a required parameter.
func (a *signIn) param(name string) (string, error) {
	v := a.params[name]
	if v == "" {
		return "", errMissingParameter(name)
	}
	return v, nil
}

// identify finds the user of a first request, and refuses those who may not try to sign in now. A disabled user is to a
// client that hides who exists the same as an unknown one.
func (a *signIn) identify(ctx context.Context, name string) error {
	u, _, err := a.claimed(ctx, name)
	if err != nil {
		return err
	}
	if err := a.admit(u); err != nil {
		return err
	}
	return a.preAuthentication(ctx)
}

// admit makes u the user of the sign-in unless he is disabled or locked out.
func (a *signIn) admit(u *user) error {
	if !u.Enabled {
		return errUserDisabled
	}
	a.user = u
	now := a.Now()
	a.failures = failuresAt(u.Failures, time.UnixMicro(u.FailedAt), now)
	if now.Before(lockedUntil(a.failures, time.UnixMicro(u.FailedAt))) {
		return errLockedOut
	}
	return nil
}

// failed records that the primary factor was wrong, and returns the answer.
func (a *signIn) failed(ctx context.Context) error {
	u, now := a.user, a.Now().UnixMicro()
	err := a.DB.Tx(ctx, func(tx *db.Tx) error {
		if u.invented() {
			return a.writeInventedFailures(ctx, tx, u, now)
		}
		// Another attempt may have failed meanwhile.
		_, err := tx.ExecContext(ctx, `UPDATE users SET failures = CASE WHEN failures = $1 AND failed_at = $2 THEN $3 ELSE failures + 1 END, failed_at = $4
			WHERE pool_id = $5 AND sub = $6`, u.Failures, u.FailedAt, a.failures+1, now, a.pool.ID, u.Sub)
		return err
	})
	if err != nil {
		return err
	}
	return errWrongPassword
}

// passed forgets earlier failures.
func (a *signIn) passed(ctx context.Context) error {
	if a.user.FailedAt == 0 {
		return nil
	}
	return a.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE users SET failures = 0, failed_at = 0 WHERE pool_id = $1 AND sub = $2`, a.pool.ID, a.user.Sub)
		return err
	})
}

// proceed leads a sign-in whose primary factor is proven on, to the next challenge or to tokens.
func (a *signIn) proceed(ctx context.Context) (*outcome, error) {
	switch a.user.Status {
	case cognitoidp.UserStatusTypeConfirmed, cognitoidp.UserStatusTypeExternalProvider:
		return a.secondFactor(ctx)
	case cognitoidp.UserStatusTypeForceChangePassword:
		return a.requireNewPassword()
	case cognitoidp.UserStatusTypeResetRequired:
		return nil, errResetRequired
	case cognitoidp.UserStatusTypeUnconfirmed:
		return nil, errUserNotConfirmed
	}
	return nil, errWrongPassword
}

// complete issues the tokens of a sign-in that has proven everything.
func (a *signIn) complete(ctx context.Context) (*outcome, error) {
	device, unknown, err := a.deviceOfTokens(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.postAuthentication(ctx, unknown != nil); err != nil {
		return nil, err
	}
	why := generation{tokensAuthentication, a.metadata}
	switch {
	case a.deviceProven:
		why.source = tokensDevice
	case a.passwordChosen:
		why.source = tokensNewPassword
	}
	tokens, err := a.signedIn(ctx, a.pool, a.client, a.user, a.event, device, why)
	if err != nil {
		return nil, err
	}
	tokens.NewDeviceMetadata = unknown
	return &outcome{tokens: tokens}, nil
}

// challengeSession seals the state that the answer to challenge will need.
func (a *signIn) challengeSession(challenge string) string {
	return a.sealSession(a.pool, a.client, a.newSession(challenge))
}

// newSession is the state that the answer to challenge will need, whatever the challenge.
func (a *signIn) newSession(challenge string) session {
	return a.Service.newSession(a.client, session{Challenge: challenge, Flow: a.flow, Sub: a.user.Sub, Event: a.event, Password: a.user.PasswordSet, Device: a.deviceKey})
}

// resume takes up the sign-in that st is the session of: the user must still be there, enabled, have the password that was
// proven, and be the one whom the answer names.
func (a *signIn) resume(ctx context.Context, q db.Querier, st session) error {
	name, err := a.param("USERNAME")
	if err != nil {
		return err
	}
	u, err := a.userBySub(ctx, q, a.pool, st.Sub)
	if errors.Is(err, cognitoidp.ErrUserNotFound) {
		return errSession
	} else if err != nil {
		return err
	}
	if err := a.client.checkSecretHash(a.secretHash(), name, u.Username); err != nil {
		return err
	}
	if !a.pool.named(u, name) {
		return errSession
	}
	a.user = u
	return a.goesOn(ctx, q, u, st)
}

// userOfSignIn reads the user of st, for calls that do not name him.
func (s *Service) userOfSignIn(ctx context.Context, q db.Querier, p *pool, st session) (*user, error) {
	u, err := s.userBySub(ctx, q, p, st.Sub)
	if errors.Is(err, cognitoidp.ErrUserNotFound) {
		return nil, errSession
	} else if err != nil {
		return nil, err
	}
	return u, s.goesOn(ctx, q, u, st)
}

// goesOn returns nil if the user of st may still go on with the sign-in.
func (s *Service) goesOn(ctx context.Context, q db.Querier, u *user, st session) error {
	switch {
	case u.PasswordSet != st.Password:
		return s.ended(ctx, q, st)
	case !u.Enabled:
		return errUserDisabled
	}
	return statusAllows(u)
}

// ended tells why a session whose password has been replaced is over: it was answered, or somebody else set a password.
func (s *Service) ended(ctx context.Context, q db.Querier, st session) error {
	used, err := isUsed(ctx, q, st)
	switch {
	case err != nil:
		return err
	case used:
		return errSessionUsed
	}
	return errSession
}

// named reports whether name is one that u signs in with.
func (p *pool) named(u *user, name string) bool {
	key := p.key(name)
	if name == u.Sub || key == p.key(u.Username) {
		return true
	}
	for _, value := range u.aliases {
		if value == key {
			return true
		}
	}
	return false
}

// secretHash returns SECRET_HASH of this step; nil if there is none.
func (a *signIn) secretHash() *string {
	if sent, ok := a.params["SECRET_HASH"]; ok {
		return &sent
	}
	return nil
}

// checkSecretHash verifies that the sender of a request knows a secret of the client: sent is Base64(HMAC-SHA-256(secret,
// name || client id)) for one of names. A client without a secret takes no hash.
func (c *client) checkSecretHash(sent *string, names ...string) error {
	if len(c.Secrets) > 0 && (sent == nil || *sent == "") {
		return errSecretHashMissing(c.ID)
	}
	if len(c.Secrets) == 0 && sent == nil || c.hashMatches(sent, names...) {
		return nil
	}
	return errSecretHash(c.ID)
}

func (c *client) hashMatches(sent *string, names ...string) bool {
	got, err := base64.StdEncoding.DecodeString(*sent)
	if err != nil {
		return false
	}
	match := 0
	for _, secret := range c.Secrets {
		for _, name := range names {
			h := hmac.New(sha256.New, []byte(secret))
			h.Write([]byte(name))
			h.Write([]byte(c.ID))
			match |= subtle.ConstantTimeCompare(h.Sum(nil), got)
		}
	}
	return match == 1
}
