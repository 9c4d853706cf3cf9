package userpool

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// CustomMessage words the messages of a pool (developer guide, "Custom message Lambda trigger"). It is called before the
// transaction that sends the message, so that its failure changes nothing, and is told where code and name will stand, never
// the code. On AWS it may word e-mails only where they are sent through the owner's SES account. Here all e-mails go through
// the owner's SMTP server, so it always may.

// Sources of CustomMessage.
const (
	messageSignUp          = "SignUp"
	messageAdminCreate     = "AdminCreateUser"
	messageResend          = "ResendCode"
	messageForgotPassword  = "ForgotPassword"
	messageUpdateAttribute = "UpdateUserAttribute"
	messageVerifyAttribute = "VerifyUserAttribute"
	messageAuthentication  = "Authentication"
)

// Places in texts that are filled in.
const (
	codePlace     = "{####}"
	usernamePlace = "{username}"
	linkParameter = "{##Click Here##}" // as the trigger is told it
)

// linkPlace is where the link stands in a text; the group is its words.
var linkPlace = regexp.MustCompile(`(?s)\{##(.+?)##\}`)

// wording is what an operation knows of a message before its transaction sends it.
type wording struct {
	custom     *customMessage // nil: the pool's own texts
	linkClient string         // app client through which a link in an e-mail confirms the sign-up; "" for a code
	noPassword bool           // an invitation that tells no password
	unsent     bool           // CustomMessage has failed, and the message stays here so that nobody learns whom it was for
}

// customMessage is what CustomMessage has answered for a user. Unset texts are the pool's own.
type customMessage struct {
	customMessageResponse
	sub string // of the user
}

type customMessageRequest struct {
	UserAttributes    map[string]string `json:"userAttributes"`
	CodeParameter     string            `json:"codeParameter"`
	LinkParameter     *string           `json:"linkParameter,omitempty"`
	UsernameParameter *string           `json:"usernameParameter"`
	ClientMetadata    map[string]string `json:"clientMetadata,omitempty"`
}

type customMessageResponse struct {
	SMS     *string `json:"smsMessage"`
	Email   *string `json:"emailMessage"`
	Subject *string `json:"emailSubject"`
}

// customizes reports whether the pool's messages are worded by CustomMessage.
func (s *Service) customizes(p *pool) bool {
	t := p.Settings.LambdaConfig
	return t != nil && s.configures(t.CustomMessage)
}

// askWords has CustomMessage word a message to u, unless the pool has no such trigger or u has had as many messages as send allows.
// For an invented user it takes as long as the function does.
func (s *Service) askWords(ctx context.Context, p *pool, source, client string, u *user, send limit, w *wording, metadata map[string]string) error {
	if !s.customizes(p) {
		return nil
	}
	function := p.Settings.LambdaConfig.CustomMessage
	if send != unlimited {
		if err := s.unspent(ctx, p, u.Sub, send); err != nil {
			return err
		}
	}
	if u.invented() {
		return s.Triggers.Pretend(ctx, *function)
	}
	request := customMessageRequest{UserAttributes: u.eventAttributes(), CodeParameter: codePlace, ClientMetadata: metadata}
	if source == messageAdminCreate {
		request.UsernameParameter = new(usernamePlace)
	}
	if w.linkClient != "" {
		request.LinkParameter = new(linkParameter)
	}
	answer := &customMessage{sub: u.Sub}
	err := s.call(ctx, p, occasion{trigger: triggerCustomMessage, source: source, function: function, client: client, userName: u.Username},
		request, customMessageResponse{}, &answer.customMessageResponse)
	if err != nil {
		return err
	}
	if !answer.valid(source, *w) {
		return errLambdaOutput
	}
	w.custom = answer
	return nil
}

// askWordsUnseen is askWords for whoever has proven nothing. To a client that hides who exists, a function that fails must look like one
// that was not called: the message is not sent, and only the log says so.
func (s *Service) askWordsUnseen(ctx context.Context, p *pool, source string, c *client, u *user, send limit, w *wording, metadata map[string]string) error {
	err := s.askWords(ctx, p, source, c.ID, u, send, w, metadata)
	if e, ok := errors.AsType[*awsapi.Error](err); ok && c.hidesUsers() && !errors.Is(err, cognitoidp.ErrLimitExceeded) {
		s.logTrigger(ctx, p, triggerCustomMessage, e)
		w.unsent, err = true, nil
	}
	return err
}

// askSignInWords is askWords for the code of a factor. The metadata is that of the answer to a challenge: CustomMessage is not
// told what InitiateAuth brought.
func (a *signIn) askSignInWords(ctx context.Context, kind codeKind, w *wording) error {
	var err error
	if kind.purpose == codeFirst.purpose {
		err = a.askWordsUnseen(ctx, a.pool, messageAuthentication, a.client, a.user, kind.send, w, a.metadata)
	} else {
		err = a.askWords(ctx, a.pool, messageAuthentication, a.client.ID, a.user, kind.send, w, a.metadata)
	}
	if errors.Is(err, cognitoidp.ErrLimitExceeded) {
		err = errTooManyCodes // sign-in has no LimitExceededException
	}
	return err
}

// askUpdateWords is askWords for the codes that an update of attributes will send. update edits a user as the operation is going to.
func (s *Service) askUpdateWords(ctx context.Context, p *pool, c *client, found *user, update func(*user) ([]string, error), metadata map[string]string) (w wording, err error) {
	u, err := s.userBySub(ctx, s.DB, p, found.Sub)
	if err != nil {
		return w, err
	}
	verify, err := update(u)
	if err != nil || len(verify) == 0 {
		return w, err
	}
	client := noClient
	if c != nil {
		client = c.ID
	}
	return w, s.askWords(ctx, p, messageUpdateAttribute, client, u, verification(verify[0]).send, &w, metadata)
}

// unspent returns errAttemptLimit where spend would, and counts nothing.
func (s *Service) unspent(ctx context.Context, p *pool, sub string, l limit) error {
	used, err := hasRow(ctx, s.DB, `SELECT 1 FROM user_rates WHERE pool_id = $1 AND sub = $2 AND kind = $3 AND count >= $4 AND expires > $5`,
		p.ID, sub, l.name, l.max, s.now())
	if err == nil && used {
		err = errAttemptLimit
	}
	return err
}

// valid checks what the pool's own texts are checked for when they are set: the bounds, and that whoever gets the message finds
// what it is for.
func (r *customMessageResponse) valid(source string, w wording) bool {
	fits := func(text *string, most int) bool {
		return text == nil || utf8.RuneCountInString(*text) <= most && !strings.Contains(*text, "\x00")
	}
	tells := func(text *string, link bool) bool {
		switch {
		case deref(text) == "":
			return true
		case source == messageAdminCreate:
			return strings.Contains(*text, usernamePlace) && (strings.Contains(*text, codePlace) || w.noPassword)
		case link && linkPlace.MatchString(*text):
			return true
		}
		return strings.Contains(*text, codePlace)
	}
	return fits(r.SMS, 140) && fits(r.Email, 20_000) && fits(r.Subject, 140) && !strings.ContainsAny(deref(r.Subject), "\r\n") &&
		tells(r.SMS, false) && tells(r.Email, w.linkClient != "")
}

// texts replaces the pool's texts of a message to u by those of CustomMessage.
func (w wording) texts(u *user, to delivery, subject, body string) (string, string) {
	if w.custom == nil || w.custom.sub != u.Sub {
		return subject, body
	}
	if to.medium() == cognitoidp.DeliveryMediumTypeSms {
		return "", orDefault(w.custom.SMS, body)
	}
	return orDefault(w.custom.Subject, subject), orDefault(w.custom.Email, body)
}

// taken returns exists if another user has u's name, for triggers that are called before he is stored.
func (s *Service) taken(ctx context.Context, q db.Querier, p *pool, u *user, exists error) error {
	taken, err := hasRow(ctx, q, `SELECT 1 FROM users WHERE pool_id = $1 AND username_key = $2`, p.ID, u.Key)
	if err == nil && taken {
		err = exists
	}
	return err
}
