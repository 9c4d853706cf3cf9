package userpool

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/ids"
	"usher/internal/token"
)

// scopeSignedIn is the scope of every sign-in through the API; the operations that take an access token need it.
const scopeSignedIn = "aws.cognito.signin.user.admin"

// grant is what tokens are issued under: one sign-in, carried on by its refresh tokens. A refresh token is a sealed grant.
type grant struct {
	Client   string
	Sub      string
	Origin   string // origin_jti: names the sign-in, and tells its time to the microsecond
	Event    string // event_id
	AuthTime int64  // auth_time, s
	Expires  int64  // of the refresh token, µs
	Turn     int64  // how often the refresh token was rotated
	Device   string // key of the device, in pools that track devices
}

// newOrigin returns an origin_jti for a sign-in at t: a version 7 UUID with the microseconds in rand_a (RFC 9562 section
// 6.2, method 3). Tokens have times in whole seconds; this tells a sign-in from a sign-out in the same second.
func newOrigin(t time.Time) string {
	var b [16]byte
	rand.Read(b[:])
	us := uint64(t.UnixMicro())
	ms, rest := us/1000, us%1000<<12/1000+1
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6], b[7] = 0x70|byte(rest>>8), byte(rest)
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// originTime returns the time in an origin_jti, µs; false if it has none.
func originTime(origin string) (int64, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(origin, "-", ""))
	if err != nil || len(b) != 16 || b[6]>>4 != 7 {
		return 0, false
	}
	var ms int64
	for _, x := range b[:6] {
		ms = ms<<8 | int64(x)
	}
	rest := int64(b[6]&0x0f)<<8 | int64(b[7])
	return ms*1000 + rest*1000>>12, true
}

// startedBefore reports whether a sign-in began no later than cut (µs). Without an origin_jti its time is known by the
// second only, and the whole second counts as before.
func startedBefore(origin string, authTime, cut int64) bool {
	if t, ok := originTime(origin); ok {
		return t <= cut
	}
	return authTime*1e6 <= cut
}

// signedIn begins a sign-in session of u and issues its tokens.
func (s *Service) signedIn(ctx context.Context, p *pool, c *client, u *user, event, device string, why generation) (*cognitoidp.AuthenticationResultType, error) {
	now := s.Now()
	start := time.UnixMicro(max(now.UnixMicro(), u.TokensAfter+1))
	g := grant{Client: c.ID, Sub: u.Sub, Origin: newOrigin(start), Event: event, AuthTime: now.Unix(), Expires: now.Add(c.RefreshTokenLife).UnixMicro(), Device: device}
	result, err := s.issue(ctx, p, c, u, g, why)
	if err != nil {
		return nil, err
	}
	if err := s.trackSession(ctx, p, g); err != nil {
		return nil, err
	}
	result.RefreshToken = new(s.sealRefreshToken(p, g))
	return result, nil
}

// issue makes the access and the ID token of g. Both signatures are one unit of work for the signer.
func (s *Service) issue(ctx context.Context, p *pool, c *client, u *user, g grant, why generation) (*cognitoidp.AuthenticationResultType, error) {
	groups, err := s.groupsOf(ctx, s.DB, p, u.Key)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	access := claims{
		"sub": u.Sub, "iss": s.Issuer(p.ID), "client_id": c.ID, "event_id": g.Event, "token_use": "access", "scope": scopeSignedIn,
		"auth_time": g.AuthTime, "iat": now.Unix(), "exp": now.Add(c.AccessTokenLife).Unix(), "username": u.Username,
	}
	id := claims{
		"sub": u.Sub, "iss": s.Issuer(p.ID), "aud": c.ID, "event_id": g.Event, "token_use": "id",
		"auth_time": g.AuthTime, "iat": now.Unix(), "exp": now.Add(c.IDTokenLife).Unix(), "cognito:username": u.Username,
	}
	id.addAttributes(p, c, u)
	addGroups(access, id, groups)
	if g.Device != "" {
		access["device_key"] = g.Device
	}
	if c.revocable() {
		access["origin_jti"], access["jti"] = g.Origin, ids.UUID()
		id["origin_jti"], id["jti"] = g.Origin, ids.UUID()
	}
	if err := s.customizeTokens(ctx, p, c, u, why, access, id); err != nil {
		return nil, err
	}
	keys, jobs := p.keys.at(now), make([]token.Job, 2)
	for i, t := range []struct {
		key    *token.KeyPair
		claims claims
	}{{keys.access, access}, {keys.id, id}} {
		text, err := json.Marshal(t.claims)
		if err != nil {
			return nil, err
		}
		jobs[i] = token.Job{Key: t.key, Claims: text}
	}
	signed, err := s.Signer.Sign(ctx, jobs)
	if errors.Is(err, token.ErrOverloaded) {
		return nil, errTooManyAtOnce.With(err)
	}
	if err != nil {
		return nil, err
	}
	return &cognitoidp.AuthenticationResultType{
		AccessToken: new(signed[0]), IdToken: new(signed[1]), ExpiresIn: new(int32(c.AccessTokenLife / time.Second)), TokenType: new("Bearer"),
	}, nil
}

type claims map[string]any

// addAttributes adds the attributes that the client may read, typed as the developer guide, "Understanding the identity
// (ID) token", has them.
func (id claims) addAttributes(p *pool, c *client, u *user) {
	if len(u.Doc.V.Identities) > 0 && c.readable(attrIdentities) {
		id[attrIdentities] = u.identitiesClaim()
	}
	for name, value := range u.attributes() {
		if name == "sub" || strings.HasPrefix(name, "dev:") || !c.readable(name) {
			continue
		}
		switch name {
		case "email_verified", "phone_number_verified":
			id[name] = value == "true"
		case "address":
			id[name] = map[string]string{"formatted": value}
		case "updated_at":
			id[name] = numeric(value)
		default:
			id[name] = value
		}
	}
}

// numeric is a claim that is a number if its value is one.
func numeric(value string) any {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return n
	}
	return value
}

// addGroups adds the user's groups, in order of precedence, and to the ID token their roles.
func addGroups(access, id claims, groups []group) {
	if len(groups) == 0 {
		return
	}
	var names, roles []string
	for _, g := range groups {
		names = append(names, g.Name)
		if role := deref(g.RoleArn); role != "" && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	access["cognito:groups"], id["cognito:groups"] = names, names
	if len(roles) > 0 {
		id["cognito:roles"] = roles
	}
	if role := preferredRole(groups); role != "" {
		id["cognito:preferred_role"] = role
	}
}

// preferredRole is the role of the group with the lowest precedence, groups without one coming last; "" if groups that tie
// for it have different roles.
func preferredRole(groups []group) string {
	var best *group
	role := ""
	for i := range groups {
		g := &groups[i]
		if deref(g.RoleArn) == "" {
			continue
		}
		switch c := comparePrecedence(g, best); {
		case c < 0:
			best, role = g, *g.RoleArn
		case c == 0 && role != *g.RoleArn:
			role = ""
		}
	}
	return role
}

// comparePrecedence is below 0 if a comes before b; anything comes before nil.
func comparePrecedence(a, b *group) int {
	switch {
	case b == nil:
		return -1
	case a.Precedence == nil && b.Precedence == nil:
		return 0
	case a.Precedence == nil:
		return 1
	case b.Precedence == nil:
		return -1
	}
	return cmp.Compare(*a.Precedence, *b.Precedence)
}

// AccessToken is what a verified access token says.
type AccessToken struct {
	PoolID, ClientID, Sub, Username string
	Scopes                          []string
	OriginJTI                       string // "" where the client's tokens cannot be revoked
	AuthTime, IssuedAt, Expires     time.Time
}

// VerifyAccessToken returns what text says if it is an access token of one of the pools: signed with the pool's key for
// access tokens, neither expired nor revoked, and issued to a user who is there and enabled. Errors are those of the
// operations that take an access token.
func (s *Service) VerifyAccessToken(ctx context.Context, text string) (AccessToken, error) {
	b, err := s.verifyAccessToken(ctx, text)
	if err != nil {
		return AccessToken{}, err
	}
	return b.token, nil
}

// bearer is who calls an operation that takes an access token.
type bearer struct {
	token  AccessToken
	pool   *pool
	client *client
	user   *user  // as of the check of the token
	device string // device_key
}

type bearerKey struct{}

// bearerFrom returns who calls a Bearer operation.
func bearerFrom(ctx context.Context) *bearer { return ctx.Value(bearerKey{}).(*bearer) }

// Bearer verifies the access token of a Bearer operation, for awsapi.Service.
func (s *Service) Bearer(ctx context.Context, text string) (context.Context, error) {
	b, err := s.verifyAccessToken(ctx, text)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(b.token.Scopes, scopeSignedIn) {
		return nil, errAccessTokenScope
	}
	if err := statusAllows(b.user); err != nil {
		return nil, err
	}
	awsapi.Annotate(ctx, "user_pool", b.pool.ID)
	awsapi.Annotate(ctx, "sub", b.user.Sub)
	return context.WithValue(ctx, bearerKey{}, b), nil
}

func (s *Service) verifyAccessToken(ctx context.Context, text string) (*bearer, error) {
	var p *pool
	find := func(u *token.Unverified) (key token.PublicKey, err error) {
		if p, err = s.poolOfIssuer(ctx, u.Issuer()); err != nil {
			return key, err
		}
		key, ok := p.keys.accessKey(u.KeyID())
		if !ok {
			return key, token.ErrKeyNotFound
		}
		return key, nil
	}
	c, err := s.auth.verified.Verify(text, s.Now(), find)
	if err != nil {
		return nil, accessTokenError(err)
	}
	b := &bearer{}
	use, _ := c.String("token_use")
	iss, _ := c.String("iss")
	scope, _ := c.String("scope")
	authTime, _ := c.Int("auth_time")
	issued, _ := c.Int("iat")
	expires, _ := c.Int("exp")
	b.token.ClientID, _ = c.String("client_id")
	b.token.Sub, _ = c.String("sub")
	b.token.Username, _ = c.String("username")
	b.token.OriginJTI, _ = c.String("origin_jti")
	b.device, _ = c.String("device_key")
	b.token.Scopes = strings.Fields(scope)
	b.token.AuthTime, b.token.IssuedAt, b.token.Expires = time.Unix(authTime, 0), time.Unix(issued, 0), time.Unix(expires, 0)
	if use != "access" {
		return nil, errAccessToken
	}
	if p == nil { // remembered: the pool may be gone since
		if p, err = s.poolOfIssuer(ctx, iss); err != nil {
			return nil, accessTokenError(err)
		}
	}
	if _, ok := p.keys.accessKey(c.KeyID()); !ok { // discarded since
		return nil, errAccessToken.With(token.ErrKeyNotFound)
	}
	b.pool, b.token.PoolID = p, p.ID
	client, _, err := s.client(ctx, b.token.ClientID)
	if err != nil {
		return nil, accessTokenError(err)
	}
	if client.PoolID != p.ID {
		return nil, errAccessToken
	}
	b.client = client
	b.user, err = s.checkSession(ctx, p, b.token.Sub, b.token.OriginJTI, authTime)
	return b, err
}

func (s *Service) poolOfIssuer(ctx context.Context, iss string) (*pool, error) {
	poolID, ok := s.PoolOfIssuer(iss)
	if !ok {
		return nil, token.ErrKeyNotFound
	}
	return s.pool(ctx, poolID)
}

// accessTokenError is the answer to a token that could not be verified; errors of our own stay what they are.
func accessTokenError(err error) error {
	if _, expired := errors.AsType[*token.ExpiredError](err); expired {
		return errAccessTokenExpired
	}
	if _, claim := errors.AsType[*token.ClaimError](err); claim {
		return errAccessToken.With(err)
	}
	for _, bad := range []error{token.ErrMalformed, token.ErrAlgorithm, token.ErrSignature, token.ErrKeyNotFound, cognitoidp.ErrResourceNotFound} {
		if errors.Is(err, bad) {
			return errAccessToken.With(err)
		}
	}
	return err
}

// CheckSession returns nil if the user sub of a pool exists, is enabled, and has not ended the session of a token with
// originJTI ("" if it has none) and auth_time or, where that is not known, iat authenticated.
func (s *Service) CheckSession(ctx context.Context, poolID, sub, originJTI string, authenticated time.Time) error {
	p, err := s.pool(ctx, poolID)
	if err != nil {
		return err
	}
	_, err = s.checkSession(ctx, p, sub, originJTI, authenticated.Unix())
	return err
}

func (s *Service) checkSession(ctx context.Context, p *pool, sub, origin string, authTime int64) (*user, error) {
	u, revoked, err := s.userOfSession(ctx, p, sub, origin)
	switch {
	case err != nil:
		return nil, err
	case revoked || startedBefore(origin, authTime, u.TokensAfter):
		return nil, errAccessTokenRevoked
	case !u.Enabled:
		return nil, errUserDisabled
	}
	return u, nil
}

type sessionRow struct {
	userRow
	Revoked bool
}

const userOfSession = `SELECT ` + userColumns + `,
		EXISTS (SELECT 1 FROM token_revocations r WHERE r.pool_id = u.pool_id AND r.origin_jti = $3)
	FROM users u WHERE u.pool_id = $1 AND u.sub = $2`

// userOfSession reads the user of a token, and whether the sign-in that origin names was revoked, in one statement.
func (s *Service) userOfSession(ctx context.Context, p *pool, sub, origin string) (*user, bool, error) {
	row, err := db.One[sessionRow](ctx, s.DB, userOfSession, p.ID, sub, origin)
	if errors.Is(err, db.ErrNotFound) {
		return nil, false, errUserNotFound
	}
	if err != nil {
		return nil, false, err
	}
	return p.user(row.userRow), row.Revoked, nil
}

const userBySub = `SELECT ` + userColumns + ` FROM users u WHERE u.pool_id = $1 AND u.sub = $2`

// userBySub reads the user with that sub.
func (s *Service) userBySub(ctx context.Context, q db.Querier, p *pool, sub string) (*user, error) {
	row, err := db.One[userRow](ctx, q, userBySub, p.ID, sub)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errUserNotFound
	} else if err != nil {
		return nil, err
	}
	return p.user(row), nil
}

// updateFound is updateUser for a user who was found before; another person who has got the name since is not changed.
func (s *Service) updateFound(ctx context.Context, p *pool, found *user, change func(tx *db.Tx, u *user) error) (*user, error) {
	return s.updateUser(ctx, p, found.Key, func(tx *db.Tx, u *user) error {
		if u.Sub != found.Sub {
			return errUserNotFound
		}
		return change(tx, u)
	})
}
