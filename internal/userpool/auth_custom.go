package userpool

import (
	"context"
	"encoding/json"
	"errors"
	"maps"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// CUSTOM_AUTH is a sign-in whose steps three functions of the pool's owner decide (developer guide, "Custom authentication
// challenge Lambda triggers"): one says what comes next, knowing what came before, one makes a challenge, one checks the
// answer. Who exists is hidden as everywhere: for an invented user the functions are called all the same, and told so; what
// they say never leads to tokens.

// customStep is one entry of the history that the functions are told.
type customStep struct {
	Challenge string  `json:"challengeName"`
	Result    bool    `json:"challengeResult"`
	Metadata  *string `json:"challengeMetadata,omitempty"`
}

// customState is a sign-in by custom challenges between two steps.
type customState struct {
	Name     string // as typed
	Username string // of the user, who may be invented
	Known    bool   // the user existed when the sign-in began
	History  []customStep

	// Of the challenge that waits for its answer:
	Private  map[string]string
	Metadata *string
}

const (
	customSteps    = 50       // of one sign-in, whatever the functions say
	customStateMax = 64 << 10 // bytes that the functions may have kept between two steps
	stepSRPA       = "SRP_A"  // the step in which a client that has the password sends SRP_A
)

// startCustom is the first request. A client that has the user's password may send SRP_A along.
func (a *signIn) startCustom(ctx context.Context) (*outcome, error) {
	if !a.customAuth() {
		return nil, errNoCustomAuth
	}
	name, err := a.param("USERNAME")
	if err != nil {
		return nil, err
	}
	st := customState{Name: name}
	if a.params["CHALLENGE_NAME"] == stepSRPA {
		if _, err := a.param(stepSRPA); err != nil {
			return nil, err
		}
		st.History = append(st.History, customStep{Challenge: stepSRPA, Result: true})
	}
	if err := a.identify(ctx, name); err != nil {
		return nil, err
	}
	st.Username, st.Known = a.user.Username, !a.user.invented()
	return a.defineChallenge(ctx, st)
}

// customAuth reports whether the pool has all three functions.
func (a *signIn) customAuth() bool {
	t := deref(a.pool.Settings.LambdaConfig)
	return a.configures(t.DefineAuthChallenge) && a.configures(t.CreateAuthChallenge) && a.configures(t.VerifyAuthChallengeResponse)
}

type defineRequest struct {
	UserAttributes map[string]string `json:"userAttributes"`
	Session        []customStep      `json:"session"`
	ClientMetadata map[string]string `json:"clientMetadata,omitempty"`
	UserNotFound   *bool             `json:"userNotFound,omitempty"`
}

type defineResponse struct {
	ChallengeName      *string `json:"challengeName"`
	IssueTokens        *bool   `json:"issueTokens"`
	FailAuthentication *bool   `json:"failAuthentication"`
}

// defineChallenge has DefineAuthChallenge say what comes next.
func (a *signIn) defineChallenge(ctx context.Context, st customState) (*outcome, error) {
	if len(st.History) > customSteps {
		return nil, errWrongPassword
	}
	session := st.History
	if session == nil {
		session = []customStep{}
	}
	var next defineResponse
	if err := a.callCustom(ctx, triggerDefine, a.pool.Settings.LambdaConfig.DefineAuthChallenge, defineRequest{
		UserAttributes: a.user.eventAttributes(), Session: session, ClientMetadata: a.metadata, UserNotFound: a.client.notFound(a.user),
	}, defineResponse{}, &next); err != nil {
		return nil, err
	}
	switch {
	case deref(next.FailAuthentication):
		return nil, errWrongPassword
	case deref(next.IssueTokens):
		if a.user.invented() || !st.Known {
			return nil, errWrongPassword
		}
		return a.proceed(ctx)
	}
	switch deref(next.ChallengeName) {
	case cognitoidp.ChallengeNameTypeCustomChallenge:
		return a.createChallenge(ctx, st)
	case cognitoidp.ChallengeNameTypePasswordVerifier:
		if n := len(st.History); n == 1 && st.History[0].Challenge == stepSRPA {
			return a.customPassword(ctx, st)
		}
	}
	return nil, errLambdaOutput
}

type createRequest struct {
	UserAttributes map[string]string `json:"userAttributes"`
	ChallengeName  string            `json:"challengeName"`
	Session        []customStep      `json:"session"`
	ClientMetadata map[string]string `json:"clientMetadata,omitempty"`
	UserNotFound   *bool             `json:"userNotFound,omitempty"`
}

type createResponse struct {
	Public   map[string]string `json:"publicChallengeParameters"`
	Private  map[string]string `json:"privateChallengeParameters"`
	Metadata *string           `json:"challengeMetadata"`
}

// createChallenge has CreateAuthChallenge make a challenge, and keeps what the client must not see until the answer.
func (a *signIn) createChallenge(ctx context.Context, st customState) (*outcome, error) {
	const challenge = cognitoidp.ChallengeNameTypeCustomChallenge
	session := st.History
	if session == nil {
		session = []customStep{}
	}
	var made createResponse
	if err := a.callCustom(ctx, triggerCreate, a.pool.Settings.LambdaConfig.CreateAuthChallenge, createRequest{
		UserAttributes: a.user.eventAttributes(), ChallengeName: challenge, Session: session,
		ClientMetadata: a.metadata, UserNotFound: a.client.notFound(a.user),
	}, createResponse{}, &made); err != nil {
		return nil, err
	}
	st.Private, st.Metadata = made.Private, made.Metadata
	text, _, err := a.keepCustom(ctx, challenge, st)
	if err != nil {
		return nil, err
	}
	params := maps.Clone(made.Public)
	if params == nil {
		params = map[string]string{}
	}
	params["USERNAME"] = a.user.Username
	return &outcome{challenge: challenge, session: text, params: params}, nil
}

type verifyRequest struct {
	UserAttributes map[string]string `json:"userAttributes"`
	Private        map[string]string `json:"privateChallengeParameters"`
	Answer         string            `json:"challengeAnswer"`
	ClientMetadata map[string]string `json:"clientMetadata,omitempty"`
	UserNotFound   *bool             `json:"userNotFound,omitempty"`
}

type verifyResponse struct {
	AnswerCorrect *bool `json:"answerCorrect"`
}

// answerCustom has VerifyAuthChallengeResponse check the answer to a custom challenge. The session is used up before: each
// challenge can be guessed at once.
func (a *signIn) answerCustom(ctx context.Context, ses session) (*outcome, error) {
	if !a.customAuth() {
		return nil, errNoCustomAuth
	}
	name, err := a.param("USERNAME")
	if err != nil {
		return nil, err
	}
	answer, err := a.param("ANSWER")
	if err != nil {
		return nil, err
	}
	st, err := a.takeCustom(ctx, ses, name)
	if err != nil {
		return nil, err
	}
	private := st.Private
	if private == nil {
		private = map[string]string{}
	}
	var verdict verifyResponse
	if err := a.callCustom(ctx, triggerVerify, a.pool.Settings.LambdaConfig.VerifyAuthChallengeResponse, verifyRequest{
		UserAttributes: a.user.eventAttributes(), Private: private, Answer: answer,
		ClientMetadata: a.metadata, UserNotFound: a.client.notFound(a.user),
	}, verifyResponse{}, &verdict); err != nil {
		return nil, err
	}
	st.History = append(st.History, customStep{cognitoidp.ChallengeNameTypeCustomChallenge, deref(verdict.AnswerCorrect), st.Metadata})
	return a.defineChallenge(ctx, st)
}

// customPassword is the challenge PASSWORD_VERIFIER within a custom sign-in.
func (a *signIn) customPassword(ctx context.Context, st customState) (*outcome, error) {
	const challenge = cognitoidp.ChallengeNameTypePasswordVerifier
	text, id, err := a.keepCustom(ctx, challenge, st)
	if err != nil {
		return nil, err
	}
	a.custom = id
	out, err := a.passwordVerifier(a.params[stepSRPA])
	if err != nil {
		return nil, err
	}
	out.session = text
	return out, nil
}

// customPasswordProven goes on with a custom sign-in once the answer to PASSWORD_VERIFIER has proven the password. A wrong
// one has ended it, as it ends any sign-in.
func (a *signIn) customPasswordProven(ctx context.Context, id string) (*outcome, error) {
	if !a.customAuth() {
		return nil, errNoCustomAuth
	}
	var st customState
	err := a.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		st, err = a.takeCustomState(ctx, tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	st.History = append(st.History, customStep{Challenge: cognitoidp.ChallengeNameTypePasswordVerifier, Result: true})
	return a.defineChallenge(ctx, st)
}

func (a *signIn) callCustom(ctx context.Context, name string, function *string, request, preset, answer any) error {
	return a.call(ctx, a.pool, occasion{trigger: name, source: "Authentication", function: function, client: a.client.ID, userName: a.user.Username},
		request, preset, answer)
}

// keepCustom stores st for the step that answers challenge, and returns the session of that step and the key of st.
func (a *signIn) keepCustom(ctx context.Context, challenge string, st customState) (text, id string, err error) {
	plain, err := json.Marshal(st)
	if err != nil {
		return "", "", err
	}
	if len(plain) > customStateMax {
		return "", "", errLambdaOutput
	}
	ses := a.newSession(challenge)
	id = usedID(ses.ID, ses.Expires)
	sealed := a.Seal.Box(boxCustom).Seal(plain, []byte(id))
	err = a.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO custom_sign_ins (id, state, expires) VALUES ($1, $2, $3)`, id, sealed, ses.Expires)
		return err
	})
	return a.sealSession(a.pool, a.client, ses), id, err
}

// takeCustom takes up the custom sign-in that ses is the session of, which can then not be used again.
func (a *signIn) takeCustom(ctx context.Context, ses session, name string) (customState, error) {
	var st customState
	err := a.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		if err := useSession(ctx, tx, ses); err != nil {
			return err
		}
		if st, err = a.takeCustomState(ctx, tx, usedID(ses.ID, ses.Expires)); err != nil {
			return err
		}
		u, err := a.userBySub(ctx, tx, a.pool, ses.Sub)
		if errors.Is(err, cognitoidp.ErrUserNotFound) {
			u = a.pool.invent(st.Name)
			u.Username, u.Sub = st.Username, ses.Sub
		} else if err != nil {
			return err
		}
		if err := a.client.checkSecretHash(a.secretHash(), name, u.Username); err != nil {
			return err
		}
		switch {
		case !a.pool.named(u, name) && name != st.Name:
			return errSession
		case st.Known == u.invented() || u.PasswordSet != ses.Password:
			return errSession // deleted, made or given another password meanwhile
		case !u.Enabled && a.client.hidesUsers():
			return errWrongPassword
		case !u.Enabled:
			return errUserDisabled
		}
		a.user = u
		return nil
	})
	return st, err
}

func (a *signIn) takeCustomState(ctx context.Context, tx *db.Tx, id string) (customState, error) {
	var st customState
	sealed, err := db.One[[]byte](ctx, tx, `DELETE FROM custom_sign_ins WHERE id = $1 RETURNING state`, id)
	if errors.Is(err, db.ErrNotFound) {
		return st, errSession
	} else if err != nil {
		return st, err
	}
	plain, err := a.Seal.Box(boxCustom).Open(sealed, []byte(id))
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(plain, &st)
}
