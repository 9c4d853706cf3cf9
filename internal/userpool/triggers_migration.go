package userpool

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// UserMigration brings users from another directory when they first sign in with their password, or have forgotten it (developer
// guide, "Migrate user Lambda trigger"). It is asked about names that nobody has in the pool, in sign-ins that carry the password
// itself, never in SRP; a user whom it brings is stored as one change, whatever the policy says of his password. Nothing keeps
// the password but what is stored for every user.
//
// Attempts at names that nobody has are counted, or else the function would serve to guess at the passwords of the other directory.

// Sources of UserMigration.
const (
	migrateSignIn         = "Authentication"
	migrateForgotPassword = "ForgotPassword"
)

// passwordMost is how many characters a password has at most (PasswordType in the API reference).
const passwordMost = 256

type migrationRequest struct {
	Password       *string           `json:"password,omitempty"`
	ValidationData map[string]string `json:"validationData"`
	ClientMetadata map[string]string `json:"clientMetadata"`
}

type migrationResponse struct {
	UserAttributes         map[string]string `json:"userAttributes"`
	FinalUserStatus        *string           `json:"finalUserStatus"`
	MessageAction          *string           `json:"messageAction"`
	DesiredDeliveryMediums []string          `json:"desiredDeliveryMediums"`
	ForceAliasCreation     *bool             `json:"forceAliasCreation"`
	EnableSMSMFA           *bool             `json:"enableSMSMFA"`
}

// migrant is a user whom UserMigration has brought and who is not stored yet.
type migrant struct {
	user    *user
	mediums []string // to welcome him by
	words   wording
}

// migrates reports whether the pool has UserMigration.
func (s *Service) migrates(p *pool) bool {
	t := p.Settings.LambdaConfig
	return t != nil && s.configures(t.UserMigration)
}

// bring asks UserMigration for the user whom somebody calls name. password is the one that he has typed; nil is for a user who
// has forgotten it. It returns nil if the function brings nobody.
func (s *Service) bring(ctx context.Context, p *pool, c *client, source, name string, request migrationRequest) (*migrant, error) {
	var answer migrationResponse
	err := s.call(ctx, p, occasion{trigger: triggerUserMigration, source: source, function: p.Settings.LambdaConfig.UserMigration, client: c.ID, userName: name},
		request, migrationResponse{}, &answer)
	if err != nil || len(answer.UserAttributes) == 0 {
		return nil, err
	}
	m, err := s.newMigrant(ctx, p, name, request.Password, &answer)
	if err != nil {
		return nil, migrationFailed(err)
	}
	if len(m.mediums) > 0 {
		m.words.noPassword = true
		err = s.askWords(ctx, p, messageAdminCreate, c.ID, m.user, unlimited, &m.words, request.ClientMetadata)
	}
	return m, err
}

// newMigrant makes a user of what the function answered. The attribute username, where usernames are names, is his username if it
// is not the name that he has typed.
func (s *Service) newMigrant(ctx context.Context, p *pool, name string, password *string, answer *migrationResponse) (*migrant, error) {
	if username, ok := answer.UserAttributes["username"]; ok {
		delete(answer.UserAttributes, "username")
		if p.Settings.UsernameAttributes == nil {
			name = username
		}
	}
	if !isUsername(name) {
		return nil, errMigratedName
	}
	var in []cognitoidp.AttributeType
	for _, attr := range slices.Sorted(maps.Keys(answer.UserAttributes)) {
		in = append(in, cognitoidp.AttributeType{Name: &attr, Value: new(answer.UserAttributes[attr])})
	}
	values, err := p.readAttributes(in, nil, nil)
	if err != nil {
		return nil, err
	}
	username, sub, err := p.nameUser(name, values)
	if err != nil {
		return nil, err
	}
	if err := p.checkRequired(values); err != nil {
		return nil, err
	}
	for _, attr := range []string{attrEmail, attrPhone} {
		switch verified := values[attr+"_verified"]; {
		case values[attr] == "" && verified != "":
			return nil, errNothingToVerify(attr)
		case values[attr] != "" && verified == "":
			values[attr+"_verified"] = "false"
		}
	}
	u := p.newUser(username, sub, cognitoidp.UserStatusTypeResetRequired, values, s.now())
	u.MoveAliases = deref(answer.ForceAliasCreation)
	switch deref(answer.FinalUserStatus) {
	case "", cognitoidp.UserStatusTypeConfirmed:
		if password == nil {
			break
		}
		stored, err := s.storePassword(ctx, p, u, *password)
		if err != nil {
			return nil, err
		}
		u.Status = cognitoidp.UserStatusTypeConfirmed
		u.setPassword(stored, u.Created)
	case cognitoidp.UserStatusTypeResetRequired:
	default:
		return nil, errLambdaOutput
	}
	if deref(answer.EnableSMSMFA) {
		if err := p.mayEnable(u, factorSMS); err != nil {
			return nil, err
		}
		u.mfa().enable(factorSMS, true)
	}
	m := &migrant{user: u}
	switch deref(answer.MessageAction) {
	case "":
		m.mediums, err = u.mediums(answer.DesiredDeliveryMediums, true)
	case cognitoidp.MessageActionTypeSuppress:
	default:
		err = errLambdaOutput
	}
	return m, err
}

// isUsername reports whether a name has the form of usernames (UsernameType in the API reference).
func isUsername(name string) bool {
	n := utf8.RuneCountInString(name)
	return n >= 1 && n <= 128 && utf8.ValidString(name) && strings.IndexFunc(name, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.M, unicode.S, unicode.N, unicode.P)
	}) < 0
}

// migrationFailed words what is wrong with a user whom the function has brought, as if the function had said so.
func migrationFailed(err error) error {
	if e, ok := errors.AsType[*awsapi.Error](err); ok && err != error(errLambdaOutput) {
		return cognitoidp.ErrUserLambdaValidation.Msg("%s failed with error %s.", triggerUserMigration, strings.TrimRight(e.Message, ".\n"))
	}
	return err
}

// insertMigrant stores a user who was brought, and welcomes him; the message holds no password. If somebody else has brought
// him meanwhile, the error is a UsernameExistsException.
func (s *Service) insertMigrant(ctx context.Context, tx *db.Tx, p *pool, m *migrant) error {
	if err := s.insertUser(ctx, tx, p, m.user, errSignUpExists); err != nil {
		return err
	}
	return s.invite(ctx, tx, p, m.user, "", m.mediums, m.words)
}

// identifyOrMigrate is identify for a request that brings the password: a name that nobody has may be that of a user elsewhere, who
// then is brought and has proven his password.
func (a *signIn) identifyOrMigrate(ctx context.Context, name, password string) (migrated bool, err error) {
	if !a.migrates(a.pool) || !isUsername(name) || utf8.RuneCountInString(password) > passwordMost {
		return false, a.identify(ctx, name)
	}
	u, fake, err := a.claimed(ctx, name)
	if err == error(errUserNotFound) {
		u = fake
	} else if err != nil {
		return false, err
	}
	if err := a.admit(u); err != nil {
		return false, err
	}
	if !u.invented() {
		return false, a.preAuthentication(ctx)
	}
	a.migrationAsked = true
	m, err := a.bring(ctx, a.pool, a.client, migrateSignIn, name, migrationRequest{Password: &password, ValidationData: a.validation})
	if m != nil && err == nil {
		err = a.DB.Tx(ctx, func(tx *db.Tx) error { return a.insertMigrant(ctx, tx, a.pool, m) })
		if err == nil {
			a.user = m.user
			return true, a.preAuthentication(ctx)
		}
		if errors.Is(err, cognitoidp.ErrUsernameExists) {
			if _, missing := a.findUser(ctx, a.DB, a.pool, name); missing == nil {
				return false, a.identify(ctx, name) // somebody else has brought him meanwhile
			}
		}
		err = migrationFailed(err)
	}
	return false, a.notMigrated(ctx, err)
}

// notMigrated goes on with a sign-in as a name that nobody has and that UserMigration brings nobody for. A client that hides who
// exists learns nothing of it, nor of what went wrong.
func (a *signIn) notMigrated(ctx context.Context, err error) error {
	e, ok := errors.AsType[*awsapi.Error](err)
	if err != nil && !ok {
		return err
	}
	if a.client.hidesUsers() {
		a.logTrigger(ctx, a.pool, triggerUserMigration, e)
		return a.preAuthentication(ctx)
	}
	if err == nil || errors.Is(err, cognitoidp.ErrUserLambdaValidation) {
		if failed := a.failed(ctx); failed != error(errWrongPassword) {
			return failed
		}
	}
	if err == nil {
		err = errUserNotFound
	}
	return err
}

// logTrigger tells the operator what the caller is not told. The function's own message is not logged: it may have seen a password.
func (s *Service) logTrigger(ctx context.Context, p *pool, name string, e *awsapi.Error) {
	if e != nil {
		s.Log.WarnContext(ctx, "trigger failed", "trigger", name, "user_pool", p.ID, "code", e.Code, "error", e.Err)
	}
}

// concealMigration has a refusal take as long as one for which UserMigration was asked, so that a client that hides who exists does
// not tell it by the time.
func (a *signIn) concealMigration(ctx context.Context, refusal error) error {
	if refusal == error(errWrongPassword) && !a.migrationAsked && a.migrates(a.pool) && a.client.hidesUsers() {
		if err := a.Triggers.Pretend(ctx, *a.pool.Settings.LambdaConfig.UserMigration); err != nil {
			return err
		}
	}
	return refusal
}

// bringForgetful asks UserMigration for a user who has forgotten his password and whom nobody in the pool has the name of. It returns nil
// if there is such a user, or none elsewhere.
func (s *Service) bringForgetful(ctx context.Context, p *pool, c *client, in *cognitoidp.ForgotPasswordRequest) (*migrant, error) {
	if !s.migrates(p) {
		return nil, nil
	}
	u, fake, err := s.requested(ctx, s.DB, p, c, *in.Username, in.SecretHash, errNoSuchCombination)
	switch {
	case err == error(errNoSuchCombination):
		u = fake
	case err != nil:
		return nil, err
	case !u.invented():
		if c.hidesUsers() {
			return nil, s.Triggers.Pretend(ctx, *p.Settings.LambdaConfig.UserMigration)
		}
		return nil, nil
	}
	if err := s.unspent(ctx, p, u.Sub, codeForgotPassword.send); err != nil {
		return nil, err
	}
	m, err := s.bring(ctx, p, c, migrateForgotPassword, *in.Username, migrationRequest{ClientMetadata: in.ClientMetadata})
	e, ok := errors.AsType[*awsapi.Error](err)
	switch {
	case ok && c.hidesUsers():
		s.logTrigger(ctx, p, triggerUserMigration, e)
		return nil, nil
	case m == nil && !c.hidesUsers() && (err == nil || ok):
		if spent := s.DB.Tx(ctx, func(tx *db.Tx) error { return s.spend(ctx, tx, p, u.Sub, codeForgotPassword.send) }); spent != nil {
			return nil, spent
		}
	}
	return m, err
}
