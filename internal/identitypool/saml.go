package identitypool

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"usher/internal/awsapi"
	"usher/internal/saml"
)

// SAML providers (Cognito developer guide, "SAML providers (identity pools)"): the login key is the ARN of the provider in
// IAM, the login its response as the browser posts it.

const (
	samlRoles  = "https://aws.amazon.com/SAML/Attributes/Role"
	samlNameID = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"
	samlName   = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
)

// verifySAML verifies a response. Clients present it twice, to GetId and then for credentials, so that only giving something
// out uses its assertion up; from then on every operation refuses it.
func (s *Service) verifySAML(ctx context.Context, from *provider, text string) (login, error) {
	a, err := s.SAML.VerifySAML(ctx, from.id, text)
	if err != nil {
		return login{}, samlError(err)
	}
	if len(a.NameID) > subjectMost {
		return login{}, errSAMLResponse("the NameID is too long")
	}
	l := login{
		provider: from.id, subject: a.NameID, name: from.name, mapping: from.id, assertion: a,
		amr: []string{from.name, from.name + ":SAML:" + a.NameID},
	}
	l.claim = func(name string) (json.RawMessage, bool) { return samlClaim(a, name) }
	for _, pair := range a.Values(samlRoles) {
		first, second, _ := strings.Cut(pair, ",")
		first, second = strings.TrimSpace(first), strings.TrimSpace(second)
		switch from.id {
		case second:
			l.roles = append(l.roles, first)
		case first:
			l.roles = append(l.roles, second)
		}
	}
	return l, nil
}

// samlClaim is an attribute as the claims of tokens are: a text, or an array of several. The subject counts as the attribute
// that identity providers of claims send it in.
func samlClaim(a *saml.Assertion, name string) (json.RawMessage, bool) {
	values := a.Values(name)
	if len(values) == 0 && name == samlNameID {
		values = []string{a.NameID}
	}
	var claim any = values
	switch len(values) {
	case 0:
		return nil, false
	case 1:
		claim = values[0]
	}
	text, err := json.Marshal(claim)
	return text, err == nil
}

func errSAMLResponse(why string) *awsapi.Error {
	return errNotAuthorized("Invalid login token. %s", why)
}

// samlError words why a response was not accepted.
func samlError(err error) error {
	var refused *awsapi.Error
	switch {
	case errors.Is(err, saml.ErrNoSubject):
		return errMissingClaim("NameID").With(err)
	case errors.As(err, &refused) && !refused.Fault && refused.Status < 500:
		return errSAMLResponse(refused.Message).With(err)
	}
	return err
}

// redeem uses up the assertions of logins, for which something was given out.
func (s *Service) redeem(ctx context.Context, logins []login) error {
	for _, l := range logins {
		if l.assertion == nil {
			continue
		}
		if err := s.SAML.RedeemSAML(ctx, l.assertion); err != nil {
			return samlError(err)
		}
	}
	return nil
}

// assertedRole chooses by the roles that an assertion lists; "" when they do not say.
func (l *login) assertedRole(custom *string) string {
	switch {
	case custom != nil && slices.Contains(l.roles, *custom):
		return *custom
	case custom == nil && len(l.roles) == 1:
		return l.roles[0]
	}
	return ""
}
