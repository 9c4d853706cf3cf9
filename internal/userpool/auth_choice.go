package userpool

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
	"usher/internal/ids"
)

// USER_AUTH is the sign-in in which the user chooses his first factor (developer guide, "Choice-based authentication"): the
// password, sent or proven by SRP, a code that is sent to his e-mail address or phone number, or a passkey. Codes of first
// factors are kept in the session that waits for them, as those of second factors are.

// Challenges of first factors. The challenge of a code by e-mail has the name that it has as a second factor.
const (
	firstSelect      = cognitoidp.ChallengeNameTypeSelectChallenge
	firstPassword    = cognitoidp.ChallengeNameTypePassword
	firstPasswordSRP = cognitoidp.ChallengeNameTypePasswordSrp
	firstEmail       = cognitoidp.ChallengeNameTypeEmailOtp
	firstSMS         = cognitoidp.ChallengeNameTypeSmsOtp
	firstWebAuthn    = cognitoidp.ChallengeNameTypeWebAuthn
)

// What sessions wait for that lead from SignUp over ConfirmSignUp to tokens. They are no challenges: nobody can answer them.
const (
	sessionSignUp    = "sign-up"
	sessionConfirmed = "confirmed"
)

// codeFirst is what codes of a first factor are for.
var codeFirst = codeKind{purpose: "sign-in", send: limit{"send-sign-in", 20}}

// firstAttribute is where the code of a first factor goes; "" for other factors.
func firstAttribute(challenge string) string {
	switch challenge {
	case firstEmail:
		return attrEmail
	case firstSMS:
		return attrPhone
	}
	return ""
}

// allowsFirst reports whether the pool has a first factor, which its challenge has the name of.
func (p *pool) allowsFirst(factor string) bool {
	return slices.Contains(p.Settings.Policies.SignInPolicy.AllowedFirstAuthFactors, factor)
}

// signsInByCode reports whether a user with these attributes needs no password.
func (p *pool) signsInByCode(attributes map[string]string) bool {
	for _, f := range []string{firstEmail, firstSMS} {
		if p.allowsFirst(f) && attributes[firstAttribute(f)] != "" {
			return true
		}
	}
	return false
}

// firstChallenges is what u can begin a sign-in with. Codes and passkeys are not for those whose password has to be changed
// first, nor for those who need a second factor, unless the passkey stands for both. Who has nothing gets the challenges of
// the password, which he will fail.
func (p *pool) firstChallenges(u *user) (list []string) {
	if u.hasPassword() {
		list = passwordChallenges(u.Verifier != nil)
	}
	step, err := p.mfaStep(u)
	needsMFA := err != nil || step.challenge != ""
	confirmed := u.Status == cognitoidp.UserStatusTypeConfirmed
	byCode := !needsMFA && (confirmed || u.Status == cognitoidp.UserStatusTypeUnconfirmed)
	for _, f := range []string{firstEmail, firstSMS} {
		if byCode && p.allowsFirst(f) && u.attributes()[firstAttribute(f)] != "" {
			list = append(list, f)
		}
	}
	if confirmed && p.allowsFirst(firstWebAuthn) && p.hasPasskey(u) && (!needsMFA || p.passkeyIsMFA(u)) {
		list = append(list, firstWebAuthn)
	}
	if len(list) == 0 {
		verifier, _ := p.storesPassword()
		list = passwordChallenges(verifier)
	}
	return list
}

// passwordChallenges is how a password can be proven; by SRP only if there is a verifier of it.
func passwordChallenges(verifier bool) []string {
	if !verifier {
		return []string{firstPassword}
	}
	return []string{firstPasswordSRP, firstPassword}
}

// inventedChallenges is firstChallenges for a name that nobody has: some of what the pool allows, the same each time.
func (p *pool) inventedChallenges(name string) (list []string) {
	made := p.keys.mac("first factors", p.key(name))
	verifier, _ := p.storesPassword()
	if made[0]%4 != 0 {
		list = passwordChallenges(verifier)
	}
	for i, f := range []string{firstEmail, firstSMS} {
		if p.allowsFirst(f) && made[i+1]%8 != 0 {
			list = append(list, f)
		}
	}
	if _, ok := p.relyingParty(); ok && p.allowsFirst(firstWebAuthn) && made[3]%2 != 0 {
		list = append(list, firstWebAuthn)
	}
	if len(list) == 0 {
		list = passwordChallenges(verifier)
	}
	return list
}

// available is firstChallenges for whoever signs in as name.
func (a *signIn) available(name string) []string {
	if a.user.invented() {
		return a.pool.inventedChallenges(name)
	}
	return a.pool.firstChallenges(a.user)
}

// startChoice is the first request of USER_AUTH: to the challenge that it prefers, or to the choice.
func (a *signIn) startChoice(ctx context.Context, sessionText *string) (*outcome, error) {
	name, err := a.param("USERNAME")
	if err != nil {
		return nil, err
	}
	if a.params["TARGET_ACR_VALUES"] != "" || a.params["MAX_AGE"] != "" {
		return nil, errStepUp // rather than tokens that prove less than was asked for
	}
	a.deviceKey = a.params["DEVICE_KEY"]
	preferred := a.params["PREFERRED_CHALLENGE"]
	switch preferred {
	case "", firstEmail, firstSMS, firstWebAuthn:
	case firstPassword:
		_, err = a.param("PASSWORD")
	case firstPasswordSRP:
		_, err = a.param("SRP_A")
	default:
		err = errPreferredChallenge
	}
	if err != nil {
		return nil, err
	}
	if sessionText != nil {
		return a.startConfirmed(ctx, name, *sessionText)
	}
	if preferred == firstPassword {
		proven, err := a.provePreferred(ctx, name)
		if err != nil {
			return nil, err
		}
		if proven {
			return a.proceed(ctx)
		}
		return a.offerFirst(name)
	}
	if err := a.identify(ctx, name); err != nil {
		return nil, err
	}
	switch {
	case preferred == firstPasswordSRP && (a.user.Verifier != nil || a.client.hidesUsers()):
		return a.passwordVerifier(a.params["SRP_A"])
	case firstAttribute(preferred) != "" && slices.Contains(a.available(name), preferred):
		return a.sendFirstCode(ctx, preferred, name, nil)
	case preferred == firstWebAuthn && slices.Contains(a.available(name), preferred):
		return a.askPasskey(ctx, name, nil)
	}
	return a.offerFirst(name)
}

// asksPassword reports whether a password is worth asking for. A client that hides who exists does not learn from the
// question who has none.
func (a *signIn) asksPassword() bool { return a.user.hasPassword() || a.client.hidesUsers() }

// provePreferred checks the password that the first request brings. It reports false where there is none to check.
func (a *signIn) provePreferred(ctx context.Context, name string) (bool, error) {
	leave, err := a.auth.attempts.enter(ctx, a.pool.ID+"/"+a.pool.key(name))
	if err != nil {
		return false, err
	}
	defer leave()
	migrated, err := a.identifyOrMigrate(ctx, name, a.params["PASSWORD"])
	if err != nil || migrated || !a.asksPassword() {
		return migrated, err
	}
	return true, a.concealMigration(ctx, a.checkPassword(ctx, a.params["PASSWORD"]))
}

// firstSession is the state that the answer to a first factor's challenge will need.
func (a *signIn) firstSession(challenge, name string, choices ...string) session {
	st := a.newSession(challenge)
	st.First, st.Name, st.Choices = true, name, choices
	return st
}

// offerFirst is the challenge to choose a first factor.
func (a *signIn) offerFirst(name string) (*outcome, error) {
	available := a.available(name)
	return a.askFirst(a.firstSession(firstSelect, name, available...)), nil
}

// askFirst is a challenge that has no parameters.
func (a *signIn) askFirst(st session) *outcome {
	return &outcome{challenge: st.Challenge, session: a.sealSession(a.pool, a.client, st), available: st.Choices}
}

// offers reports whether the challenge that st waits for may be answered by answering one of those it offers at once.
func (st *session) offers(challenge string) bool {
	return st.First && st.Challenge == firstSelect && firstAttribute(challenge) == "" && slices.Contains(st.Choices, challenge)
}

// answerFirst is the answer to a challenge of a first factor, or to the choice of one.
func (a *signIn) answerFirst(ctx context.Context, st session, challenge string) (*outcome, error) {
	choice := challenge
	if challenge == firstSelect {
		var err error
		if choice, err = a.param("ANSWER"); err != nil {
			return nil, err
		}
		if !slices.Contains(st.Choices, choice) {
			return nil, errFirstChoice
		}
		switch {
		case firstAttribute(choice) != "":
			return a.chooseCode(ctx, st, choice)
		case choice == firstPassword && a.params["PASSWORD"] == "", choice == firstPasswordSRP && a.params["SRP_A"] == "":
			return a.choosePassword(ctx, st, choice)
		}
	}
	switch choice {
	case firstWebAuthn:
		if st.Challenge == firstSelect {
			return a.choosePasskey(ctx, st)
		}
		return a.answerPasskey(ctx, st)
	case firstPassword:
		return a.answerPassword(ctx, st)
	case firstPasswordSRP:
		return a.answerPasswordSRP(ctx, st)
	case firstEmail, firstSMS:
		return a.answerFirstCode(ctx, st)
	}
	return nil, errSession
}

func (a *signIn) chooseCode(ctx context.Context, st session, factor string) (*outcome, error) {
	if err := a.resumeFirst(ctx, a.DB, st); err != nil {
		return nil, err
	}
	if !slices.Contains(a.available(st.Name), factor) {
		return nil, errFirstChoice
	}
	return a.sendFirstCode(ctx, factor, st.Name, &st)
}

func (a *signIn) choosePassword(ctx context.Context, st session, challenge string) (*outcome, error) {
	if err := a.resumeFirst(ctx, a.DB, st); err != nil {
		return nil, err
	}
	if err := a.useUp(ctx, st); err != nil {
		return nil, err
	}
	return a.askFirst(a.firstSession(challenge, st.Name, challenge)), nil
}

func (a *signIn) useUp(ctx context.Context, st session) error {
	return a.DB.Tx(ctx, func(tx *db.Tx) error { return useSession(ctx, tx, st) })
}

// answerPassword takes the password itself. A wrong one leaves the session as it is.
func (a *signIn) answerPassword(ctx context.Context, st session) (*outcome, error) {
	password, err := a.param("PASSWORD")
	if err != nil {
		return nil, err
	}
	if err := a.proveChosen(ctx, st, password); err != nil {
		return nil, err
	}
	if err := a.useUp(ctx, st); err != nil {
		return nil, err
	}
	return a.proceed(ctx)
}

func (a *signIn) proveChosen(ctx context.Context, st session, password string) error {
	leave, err := a.auth.attempts.enter(ctx, a.pool.ID+"/"+st.Sub)
	if err != nil {
		return err
	}
	defer leave()
	if err := a.resumeFirst(ctx, a.DB, st); err != nil {
		return err
	}
	if err := a.admit(a.user); err != nil {
		return err
	}
	return a.checkPassword(ctx, password)
}

// answerPasswordSRP leads to PASSWORD_VERIFIER, whose state is in its secret block.
func (a *signIn) answerPasswordSRP(ctx context.Context, st session) (*outcome, error) {
	publicA, err := a.param("SRP_A")
	if err != nil {
		return nil, err
	}
	if err := a.resumeFirst(ctx, a.DB, st); err != nil {
		return nil, err
	}
	out, err := a.passwordVerifier(publicA)
	if err != nil {
		return nil, err
	}
	return out, a.useUp(ctx, st)
}

// sendFirstCode sends a code, to an invented user only in appearance, and asks for it. answered, if not nil, is used up.
func (a *signIn) sendFirstCode(ctx context.Context, factor, name string, answered *session) (*outcome, error) {
	attr := firstAttribute(factor)
	to := delivery{attr, a.user.attributes()[attr]}
	if a.user.invented() {
		to = a.pool.inventedAddress(attr, name)
	}
	code := ids.SignInCode()
	st := a.firstSession(factor, name)
	st.To, st.Code = to, a.pool.keys.codeHash(a.user.Sub, codeFirst, code)
	var w wording
	err := a.askSignInWords(ctx, codeFirst, &w)
	if err != nil {
		return nil, err
	}
	err = a.DB.Tx(ctx, func(tx *db.Tx) error {
		if answered != nil {
			if err := useSession(ctx, tx, *answered); err != nil {
				return err
			}
		}
		if err := a.spend(ctx, tx, a.pool, a.user.Sub, codeFirst.send); err != nil {
			return err
		}
		return a.sendSignInCode(ctx, tx, a.pool, a.user, codeFirst, to, code, w)
	})
	if errors.Is(err, cognitoidp.ErrLimitExceeded) {
		err = errTooManyCodes // sign-in has no LimitExceededException
	}
	if err != nil {
		return nil, err
	}
	details := to.details()
	return &outcome{challenge: factor, session: a.sealSession(a.pool, a.client, st), available: []string{factor}, params: map[string]string{
		"USER_ID_FOR_SRP": a.user.Username, "CODE_DELIVERY_DELIVERY_MEDIUM": *details.DeliveryMedium, "CODE_DELIVERY_DESTINATION": *details.Destination,
	}}, nil
}

// answerFirstCode takes the code. A wrong one leaves the session as it is; the right one confirms a user who is not yet.
func (a *signIn) answerFirstCode(ctx context.Context, st session) (*outcome, error) {
	code, err := a.param(st.Challenge + "_CODE")
	if err != nil {
		return nil, err
	}
	if err := a.resumeFirst(ctx, a.DB, st); err != nil {
		return nil, err
	}
	confirmed := false
	err = a.guess(ctx, st, func(tx *db.Tx) (refusal, err error) {
		confirmed, refusal, err = a.checkFirstCode(ctx, tx, st, code)
		return refusal, err
	})
	if err != nil {
		return nil, err
	}
	if confirmed {
		if err := a.postConfirmation(ctx, a.pool, confirmSignUp, a.client.ID, a.user, a.metadata); err != nil {
			return nil, err
		}
		if err := a.again(ctx); err != nil {
			return nil, err
		}
	}
	return a.proceed(ctx)
}

// checkFirstCode takes the code that st waits for: the address that it went to is the user's from then on. confirmed says
// that he was not confirmed before.
func (a *signIn) checkFirstCode(ctx context.Context, tx *db.Tx, st session, code string) (confirmed bool, refusal, err error) {
	right := subtle.ConstantTimeCompare(st.Code, a.pool.keys.codeHash(st.Sub, codeFirst, code)) == 1
	if !right || a.user.invented() {
		return false, errFactorMismatch, nil
	}
	u, err := a.userBySub(ctx, tx, a.pool, st.Sub)
	if errors.Is(err, cognitoidp.ErrUserNotFound) {
		return false, errFactorMismatch, nil
	} else if err != nil {
		return false, nil, err
	}
	if !u.Enabled || u.attributes()[st.To.attribute] != st.To.target || !slices.Contains(a.pool.firstChallenges(u), st.Challenge) {
		return false, errFactorMismatch, nil // he has changed since the code was sent
	}
	a.user = u
	confirmed = u.Status == cognitoidp.UserStatusTypeUnconfirmed
	if !confirmed && u.verified(st.To.attribute) {
		return false, nil, nil
	}
	u.Status = cognitoidp.UserStatusTypeConfirmed
	u.set(st.To.attribute+"_verified", "true")
	u.MoveAliases = true
	return confirmed, nil, a.saveUser(ctx, tx, a.pool, u)
}

// resumeFirst takes up a sign-in in which nothing is proven yet, by the user whom the answer names. He may be an invented
// one: because he was from the start, or since nobody is to learn that he has gone or was disabled meanwhile.
func (a *signIn) resumeFirst(ctx context.Context, q db.Querier, st session) error {
	name, err := a.param("USERNAME")
	if err != nil {
		return err
	}
	fake := a.pool.invent(st.Name)
	fake.Sub = st.Sub
	u, err := a.userOr(ctx, q, fake, userBySub, a.pool.ID, st.Sub)
	switch {
	case errors.Is(err, cognitoidp.ErrUserNotFound) && !a.client.hidesUsers():
		return errSession
	case errors.Is(err, cognitoidp.ErrUserNotFound):
		u = fake
	case err != nil:
		return err
	case !u.Enabled:
		return errUserDisabled
	}
	if err := a.client.checkSecretHash(a.secretHash(), name, u.Username); err != nil {
		return err
	}
	if key := a.pool.key(name); key != a.pool.key(st.Name) && key != a.pool.key(u.Username) && name != st.Sub {
		return errSession
	}
	a.user = u
	if !u.invented() && u.PasswordSet != st.Password {
		return a.ended(ctx, q, st)
	}
	return nil
}

// signUpSession is the Session that leads from SignUp over ConfirmSignUp to tokens without another code: where the code went
// to is an address that users of the pool sign in by, and the client lets them choose. nil where it is not so.
func (s *Service) signUpSession(p *pool, c *client, stage string, u *user, to delivery) *string {
	if !c.allows(cognitoidp.ExplicitAuthFlowsTypeAllowUserAuth, "") || !p.provesFirst(u, to) {
		return nil
	}
	return new(s.sealSession(p, c, session{Challenge: stage, Flow: cognitoidp.AuthFlowTypeUserAuth, Sub: u.Sub, Event: ids.UUID(), Password: u.PasswordSet, To: to}))
}

// provesFirst reports whether a code that was sent there is a first factor of u.
func (p *pool) provesFirst(u *user, to delivery) bool {
	return to.target != "" && slices.ContainsFunc(p.firstChallenges(u), func(f string) bool {
		return firstAttribute(f) == to.attribute && u.attributes()[to.attribute] == to.target
	})
}

// openSignUpSession returns the session of SignUp that a request of ConfirmSignUp brings. One that has expired is none: the
// user can still be confirmed, but not signed in.
func (s *Service) openSignUpSession(p *pool, c *client, text *string) (session, error) {
	if text == nil {
		return session{}, nil
	}
	st, err := s.openSession(p, c, *text)
	switch {
	case err == error(errSessionExpired):
		return session{}, nil
	case err != nil:
		return session{}, err
	case st.Challenge != sessionSignUp:
		return session{}, errSession
	}
	return st, nil
}

// startConfirmed signs in the user whose ConfirmSignUp gave the session: he has just proven his address. Should that be no
// first factor of his any more, he has to choose one.
func (a *signIn) startConfirmed(ctx context.Context, name, text string) (*outcome, error) {
	st, err := a.openSession(a.pool, a.client, text)
	if err != nil {
		return nil, err
	}
	if st.Challenge != sessionConfirmed {
		return nil, errSession
	}
	if err := a.identify(ctx, name); err != nil {
		return nil, err
	}
	if a.user.Sub != st.Sub {
		return nil, errSession
	}
	if err := a.goesOn(ctx, a.DB, a.user, st); err != nil {
		return nil, err
	}
	if err := a.useUp(ctx, st); err != nil {
		return nil, err
	}
	if !a.pool.provesFirst(a.user, st.To) || !a.user.verified(st.To.attribute) {
		return a.offerFirst(name)
	}
	return a.proceed(ctx)
}
